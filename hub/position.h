/*
 * position: Fleet-Position, an opaque token of what a hub has applied: epoch and sequence of each
 * stream that twins are made of, and the newest broker time. It means the same on every hub of the
 * region, since sequences are the streams' own.
 *
 * A sequence alone does not name a message: a stream that was made anew counts from 1 again, which
 * its creation tells; one that lost its tail and was written on has other messages at the same
 * sequences, which only their times tell. So a position holds the broker's time of its message, and
 * is void where times and sequences come in another order than here.
 *
 * Times in a token are whole microseconds, epochs whole milliseconds.
 *
 * Pure over the store's atomics, any thread.
 */
#ifndef HUB_POSITION_H
#define HUB_POSITION_H

#include "hub/store.h"

enum {
    POSITION_TOKEN_BYTES = 288,
    POSITION_SLACK_MS = 1000, /* by which the broker's clock may step back */
};

struct fleet_position {
    struct position streams[STREAM_LABELS]; /* seq 0: it says nothing of that stream */
    int64_t broker_time_ns;                 /* TIMESTAMP_NONE: nothing was applied */
};

/* To be taken before the twins are read: they then hold at least what it says. */
void position_take(const struct store *store, struct fleet_position *position);
/* For the answer to a write: a read that is to see it has to have come so far. */
void position_include(struct fleet_position *position, enum stream_label stream,
                      struct position written);
/* NUL-terminated. */
void position_write(const struct fleet_position *position, char token[POSITION_TOKEN_BYTES]);
/* position_take as text; valid until the thread's next. */
const char *position_token(const struct store *store);
/* False for what is no position. What follows a dot is not the position's, but of what it was put
 * into (the id of a live query's event), and is passed over. */
bool position_read(const char *token, struct fleet_position *position);

enum position_order {
    POSITION_REACHED,
    POSITION_BEHIND, /* not yet */
    POSITION_VOID,   /* never: the stream was made anew since, or lost that message */
};
/* Whether a reader that stands at `have` has seen `wanted`. `fork`: store_fork. */
enum position_order position_compare(const struct position *wanted, const struct position *have,
                                     const struct position *fork);
/* The same for all that the twins are made of. */
enum position_order position_reached(const struct store *store,
                                     const struct fleet_position *wanted);

/* The streams that twins are made of, in one order; STREAM_LABELS behind the last. */
enum stream_label position_stream(size_t i);

#endif
