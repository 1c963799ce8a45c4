/*
 * position: Fleet-Position, an opaque token of what a hub has applied: epoch and sequence of each
 * stream that twins are made of, and the newest broker time. It means the same on every hub of the
 * region, since sequences are the streams' own.
 *
 * Pure over the store's atomics, any thread.
 */
#ifndef HUB_POSITION_H
#define HUB_POSITION_H

#include "hub/store.h"

enum { POSITION_STREAMS = 4, POSITION_TOKEN_BYTES = 120 };

struct fleet_position {
    struct position streams[POSITION_STREAMS]; /* TWIN_STATE, TWIN_EVENTS, TWIN_ACK, TWIN_SHADOW */
    int64_t broker_time_ns;
};

/* To be taken before the twins are read: they then hold at least what it says. */
void position_take(const struct store *store, struct fleet_position *position);
/* NUL-terminated. */
void position_write(const struct fleet_position *position, char token[POSITION_TOKEN_BYTES]);
/* False for what is no position. */
bool position_read(const char *token, struct fleet_position *position);

#endif
