/*
 * live_id: the id of a live query's event: a position, a dot, and what else a hub has to know to go
 * on from there without having kept anything:
 *
 *   - which query it was (a digest of filter, groups, fields, principal and what that may see), so
 *     that the id of another one is found out;
 *   - how far beyond the position the client has been told things: a hub that is to go on has to
 *     have come as far, or it would not notice that they are over;
 *   - whether the snapshot was unfinished;
 *   - up to when presence had been judged, since it changes by time, without a message: that of all
 *     vehicles, and that of any;
 *   - at which times the filter had been judged, where its outcome depends on time: the last time
 *     that the whole fleet was, and, where a further judging had begun, that one.
 *
 * An id is not signed: who forges one gets what it may see anyway.
 *
 * Pure functions, any thread.
 */
#ifndef HUB_LIVE_ID_H
#define HUB_LIVE_ID_H

#include "hub/position.h"

enum { LIVE_DIGEST_BYTES = 8, LIVE_ID_MAX_BYTES = POSITION_TOKEN_BYTES + 320 };

struct live_id {
    struct fleet_position position;
    /* Where that is further than the position: epoch and seq; else seq 0. */
    struct position told[STREAM_LABELS];
    struct store_sweep sweep; /* in whole milliseconds, on the safe side */
    int64_t aged_ns;          /* no presence that was told of had been judged later */
    uint8_t digest[LIVE_DIGEST_BYTES];
    bool unfinished;
    bool timed;           /* the filter's outcome depends on time */
    int64_t judged_ns[2]; /* in whole milliseconds; the same twice where none had begun */
};

/* Appends it. `position` is the text of id->position. */
void live_id_write(struct buf *out, const char *position, const struct live_id *id);
/* False for what is none. */
bool live_id_read(const char *text, struct live_id *id);

/* The instant as ids hold it. */
static inline int64_t live_id_time(int64_t ns)
{
    return ns / NS_PER_MS * NS_PER_MS;
}

#endif
