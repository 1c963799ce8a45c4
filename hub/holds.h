/*
 * holds: what retention is to leave alone: the records of a vehicle, of a period, or of a vehicle
 * in a period (migrations/0003). Adding and removing one goes on record with its reason and with
 * who did it where, in the transaction that does it (record_notes.h).
 *
 * It needs the rights of the tables' owner (postgres.admin_dsn): whoever runs the hub cannot lift a
 * hold with what the hub has.
 *
 * Threads: as the connection.
 */
#ifndef HUB_HOLDS_H
#define HUB_HOLDS_H

#include "hub/pg.h"

enum { HOLD_ID_TEXT_BYTES = 37, HOLD_REASON_MAX_BYTES = 4096 };

struct hold {
    const char *vid;          /* NULL: every vehicle, and records of none */
    int64_t start_ns, end_ns; /* by `received`, half-open; TIMESTAMP_NONE: no bound */
    const char *reason;       /* not empty */
    const char *actor, *host; /* who, and where */
};

/* *id: the new hold's. */
enum pg_status hold_add(struct pg *pg, const struct hold *hold, char id[HOLD_ID_TEXT_BYTES],
                        struct pg_error *error);
/* Of `hold` reason, actor and host. *found false: there is no such hold in force. */
enum pg_status hold_remove(struct pg *pg, const char *id, const struct hold *hold, bool *found,
                           struct pg_error *error);
/* A line each, oldest first, for people or as JSON; `all`: also those that were removed. */
enum pg_status hold_list(struct pg *pg, bool all, bool json, struct buf *out,
                         struct pg_error *error);

#endif
