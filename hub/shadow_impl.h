/*
 * shadow_impl: what shadow_lane.c, which reads the bucket, and shadow_apply.c, which puts one
 * value into its twin, share.
 */
#ifndef HUB_SHADOW_IMPL_H
#define HUB_SHADOW_IMPL_H

#include "hub/shadow_lane.h"

#include <pthread.h>
#include <stdatomic.h>

struct shadow_lane {
    struct shadow_lane_options options;
    bool open; /* the admission */
    struct bus_consumer *consumer;
    struct doc_parser *parser;
    int64_t epoch_ns;
    uint64_t vouched_seq;      /* up to here it is known what was written from outside */
    struct last_delta *deltas; /* what TWIN_LAST says, by the vehicle's index, until recovered */
    size_t delta_count;
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

/* Puts it in place. False when there is no memory. */
bool shadow_apply(struct shadow_lane *lane, const struct shadow_value *value);
/* Puts a write from outside the hub on record, before it is applied. False: try again. */
bool shadow_record_outside(struct shadow_lane *lane, const struct shadow_value *value);
/* Takes all parts away: those of a bucket that begins anew have other revisions. */
void shadow_void(struct shadow_lane *lane);

#endif
