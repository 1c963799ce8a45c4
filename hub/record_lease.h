/*
 * record_lease: who may write the record. One row, log_head, names the writer by a number that
 * grows with each change of hands; every transaction of the archive begins by updating that row
 * where the number is still its own. A hub that froze and thaws finds another number and writes
 * nothing.
 *
 * A writer shows that it lives by a heartbeat, by PostgreSQL's clock. After
 * RECORD_LEASE_SILENCE_S without one it may be replaced; at once, when its session is gone. Its
 * session ends when it falls silent within a transaction (idle_in_transaction_session_timeout),
 * so that a frozen hub holds no lock on the row for long; where it fell silent among the rows of a
 * COPY no timeout helps, and the hub that stands by ends the session (both are of one role).
 *
 * Threads: as the connection.
 */
#ifndef HUB_RECORD_LEASE_H
#define HUB_RECORD_LEASE_H

#include "hub/pg.h"

enum { RECORD_LEASE_SILENCE_S = 5 };

enum record_lease {
    RECORD_LEASE_MINE,
    RECORD_LEASE_OTHERS,  /* another hub writes */
    RECORD_LEASE_FOREIGN, /* the database holds the record of another env or region */
};

/* Takes the lease if it is free. `scope`: env/region. `holder`: a name for people. *lease and, if
 * it is ours, *writer are written on PG_OK. */
enum pg_status record_lease_claim(struct pg *pg, const char *scope, const char *holder,
                                  enum record_lease *lease, int64_t *writer,
                                  struct pg_error *error);
/* A sign of life; *mine false: another hub has taken over. */
enum pg_status record_lease_beat(struct pg *pg, int64_t writer, bool *mine, struct pg_error *error);
/* Lets another hub take over at once. */
enum pg_status record_lease_release(struct pg *pg, int64_t writer, struct pg_error *error);

#endif
