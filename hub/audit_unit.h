/*
 * audit_unit: verification of one run of AUDIT_UNIT_RECORDS records against the tree: every row's
 * hash, the tiles of levels 0 to 2 over them, the checkpoints that end there. Units are verified
 * apart from each other, on several connections; what they make of it is put together in
 * audit_db.c.
 *
 * Ownership: a result owns its marks. Threads: one per unit.
 */
#ifndef HUB_AUDIT_UNIT_H
#define HUB_AUDIT_UNIT_H

#include "hub/audit_chain.h"
#include "hub/pg.h"
#include "hub/tree.h"

enum {
    AUDIT_UNIT_LEVELS = 3,
    AUDIT_UNIT_LOG2 = AUDIT_UNIT_LEVELS * TREE_TILE_LOG2,
    AUDIT_UNIT_RECORDS = 1 << AUDIT_UNIT_LOG2,
    AUDIT_REASON_BYTES = 400,
};

/* What is wrong, and where first; seq 0: nothing. */
struct audit_finding {
    int64_t seq;
    bool has_id;
    uint8_t id[RECORD_ID_BYTES];
    char reason[AUDIT_REASON_BYTES];
};
/* Keeps the one with the smaller seq. */
void audit_find(struct audit_finding *first, int64_t seq, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A checkpoint, and what of the tree stands below the unit's root at its size. */
struct audit_mark {
    int64_t size;
    struct tree_hash root; /* as the checkpoint has it */
    struct tree_hash rest; /* over the records of the unit up to its size */
    enum audit_trust trust;
    int64_t introduced_by; /* AUDIT_OTHER_KEY: the record that names the key that signed it, or 0 */
    bool outside;          /* given by the one who verifies; else from the table of checkpoints */
    bool malformed;
};

/* What is being verified, the same for all units. */
struct audit_scope {
    const char *origin;
    const struct tree_edge *edge; /* the tree's end, at the time that is verified */
    const struct audit_keys *keys;
    struct audit_chain chain; /* the keys that the record names */
    int64_t dropped_to;       /* retention took records up to this one; holds may have kept some */
    const struct audit_note *outside; /* checkpoints from elsewhere, with their whole text */
    size_t outside_count;
};

struct audit_unit_result {
    bool done;
    int64_t rows;          /* that were there */
    struct tree_hash root; /* of a full unit */
    struct audit_finding bad;
    struct audit_mark *marks; /* in the order of their size */
    size_t mark_count;
};

struct audit_unit; /* what a worker needs, a megabyte and a half; NULL when there is no memory */
struct audit_unit *audit_unit_new(void);
void audit_unit_free(struct audit_unit *unit);
/* Anything but PG_OK: nothing is known about the unit. */
enum pg_status audit_unit_verify(struct audit_unit *unit, struct pg *pg,
                                 const struct audit_scope *scope, int64_t index,
                                 struct audit_unit_result *result, struct pg_error *error);

#endif
