/*
 * What pg.c and its neighbours that include libpq-fe.h share; private to them.
 */
#ifndef HUB_PG_IMPL_H
#define HUB_PG_IMPL_H

#include "hub/pg.h"

#include <libpq-fe.h>

struct pg {
    PGconn *conn;
    const atomic_bool *interrupt;
    bool (*given_up)(void *closure); /* of pg_watch */
    void *closure;
    int call_timeout_ms;
    const struct pg_statement *prepared[PG_PREPARED_MAX];
    int prepared_count;
    pg_meanwhile_fn *meanwhile; /* NULL: none */
    void *meanwhile_closure;
    char *copied;    /* the row handed out last, libpq's */
    bool copy_begun; /* the header has been passed over */
};

int64_t pg_now_ms(void);
/* Waits until the socket is ready. False when the deadline passed or the caller is interrupted. */
bool pg_socket_wait(struct pg *pg, short events, int64_t deadline_ms);
/* Sends what is queued, reading meanwhile as libpq asks for. */
bool pg_flush_all(struct pg *pg, int64_t deadline_ms);
/* The next result; *result NULL at the end. False when the connection or the time ran out. */
bool pg_result_next(struct pg *pg, int64_t deadline_ms, PGresult **result);
/* Reads all results of what was sent and keeps the last. The first failure is the status. */
enum pg_status pg_collect(struct pg *pg, PGresult **last, struct pg_error *error);
/* What a refusal means, with its text in `error`. */
enum pg_status pg_refusal(struct pg *pg, const PGresult *result, struct pg_error *error);
/* Ends a connection of which nobody knows what it is still doing; PG_LOST. */
enum pg_status pg_drop(struct pg *pg, struct pg_error *error, const char *what);

#endif
