/*
 * audit_floor: up to which record retention went, by its own records. Those are in the tree as any
 * other, which is what makes them evidence; what retention has only noted so far (record_notes.h)
 * anybody could have noted who can write to the database.
 *
 * Threads: as the connection.
 */
#ifndef HUB_AUDIT_FLOOR_H
#define HUB_AUDIT_FLOOR_H

#include "hub/pg.h"

/* Which `system` records of retention count: the hub's own, which came by no stream. */
#define AUDIT_FLOOR_RECORDS "kind = 'system' AND type = 'retention' AND stream IS NULL"

struct audit_floor {
    int64_t dropped_to; /* on record; 0: nothing was dropped */
    int64_t noted_to;   /* at least that; said, and not yet on record */
};
/* By the log's first `size` records: what stands beside the log is no evidence. */
enum pg_status audit_floor_read(struct pg *pg, int64_t size, struct audit_floor *floor,
                                struct pg_error *error);

#endif
