/*
 * shadow_impl: what shadow_lane.c, which reads the bucket, shadow_ahead.c, which does so before the
 * twins are there, and shadow_apply.c, which puts one value into its twin, share.
 */
#ifndef HUB_SHADOW_IMPL_H
#define HUB_SHADOW_IMPL_H

#include "hub/shadow_lane.h"
#include "hub/shadow_seen.h"

#include <pthread.h>
#include <stdatomic.h>

/* What has been read ahead, in the order of the bucket. */
struct shadow_chunk;
struct shadow_ahead {
    struct shadow_chunk *first, *last;
    size_t bytes;             /* of memory */
    struct position position; /* of the last value; of the bucket's end, when that was read */
    struct bus_msg held;      /* the first that has to wait for the twins */
    bool holds;               /* it */
    bool ended;               /* nothing was behind what was read */
};

struct shadow_lane {
    struct shadow_lane_options options;
    struct registry *registry; /* NULL while reading ahead */
    bool open;                 /* the admission */
    struct bus_consumer *consumer;
    struct doc_parser *parser;
    int64_t epoch_ns;
    uint64_t vouched_seq;      /* up to here it is known what was written from outside */
    struct last_delta *deltas; /* what TWIN_LAST says, by the vehicle's index, until recovered */
    size_t delta_count;
    struct shadow_ahead ahead;
    struct shadow_seen *seen;
    pthread_mutex_t lock; /* for waiting until one of these is set */
    pthread_cond_t changed;
    _Atomic bool may_go; /* the twins are what TWIN_LAST says */
    _Atomic bool stop, recovered;
    pthread_t thread;
};

/* One value on its way into a twin. */
struct shadow_value {
    struct slice vid;
    enum part_kind kind;
    uint64_t revision;
    int64_t received_ns;
    const char *author;
    bool deleted;
    bool news; /* written since the positions that TWIN_LAST vouches for */
    struct doc_ref value;
};

/* Fills in what subject, headers and body say. False where it is no value: `value->vid.size` then
 * tells whether it is a key of ours. */
bool shadow_read_message(struct shadow_lane *lane, const struct bus_msg *msg,
                         struct shadow_value *value);
/* Who wrote it; `vid` gets its vehicle. */
const char *shadow_author_of(const struct bus_msg *msg, const struct shadow_value *value,
                             bool named, char vid[TOKEN_MAX_BYTES + 1]);
/* Opens the consumer at the lane's position. False: try again. */
bool shadow_open(struct shadow_lane *lane);

/* Puts it in place. False when there is no memory. */
bool shadow_apply(struct shadow_lane *lane, const struct shadow_value *value);
/* The same with `value->value` as a part already, which is taken where it returns true. */
bool shadow_apply_part(struct shadow_lane *lane, const struct shadow_value *value,
                       struct part *part);
/* Puts a write from outside the hub on record, before it is applied. False: try again. */
bool shadow_record_outside(struct shadow_lane *lane, const struct shadow_value *value);
/* Reads until the twins are there, and then applies what was read. Returns with a message that is
 * still to be taken in ahead.held, or not. */
void shadow_ahead_run(struct shadow_lane *lane);
/* Takes all parts away: those of a bucket that begins anew have other revisions. */
void shadow_void(struct shadow_lane *lane);

#endif
