/*
 * shadow_lane: one watch on TWIN_SHADOW keeps desired, reported, config and meta of all twins,
 * their revisions, and the delta.
 *
 * At the start the mark of TWIN_LAST says up to which sequence another hub, or this one before, has
 * seen the bucket. Where nothing came since, the last value of each key is read; else all that the
 * bucket keeps, in its order, so that what was written meanwhile is seen step by step: the delta's
 * beginning, and what was written from outside.
 *
 * That takes as long as reading TWIN_LAST, and what is in there must be in the twins first: so the
 * lane reads ahead (hub/shadow_ahead.c) until it is told that it is.
 *
 * A value that is no JSON object is ignored and counted, the last good one stands. A write to
 * desired, config or meta that carries out no request on record is itself put on record
 * (`outside`). A vehicle's writing of `reported` counts as having heard it.
 *
 * Threads: one of its own; shadow_lane_recovered and shadow_lane_carried_out from any, the others
 * from the starter's.
 */
#ifndef HUB_SHADOW_LANE_H
#define HUB_SHADOW_LANE_H

#include "hub/bus.h"
#include "hub/config.h"
#include "hub/last.h"
#include "hub/recorder.h"
#include "hub/registry.h"
#include "hub/store.h"

struct shadow_lane_options { /* all of it outlives the lane */
    const struct config *config;
    struct bus *bus;
    struct store *store;
    struct recorder *recorder;
    struct position vouched; /* the mark's of TWIN_SHADOW */
};

struct shadow_lane;
/* Begins to read ahead, and touches no twin. NULL when there is no memory. */
struct shadow_lane *shadow_lane_start(const struct shadow_lane_options *options);
/* The twins are what TWIN_LAST says, and the registry follows it: now the lane applies what it has
 * read and goes on. Takes the deltas out of `found`. Once. */
void shadow_lane_go(struct shadow_lane *lane, struct registry *registry, struct last_found *found);
/* True once every value that was there at the start is applied. */
bool shadow_lane_recovered(struct shadow_lane *lane);
/* Whether a revision that carries out this request came by lately (hub/shadow_seen.h): one of up to
 * the store's position of TWIN_SHADOW, and perhaps no longer in the bucket. */
bool shadow_lane_carried_out(struct shadow_lane *lane, const uint8_t request[RECORD_ID_BYTES],
                             uint64_t *revision);
void shadow_lane_stop(struct shadow_lane *lane);

#endif
