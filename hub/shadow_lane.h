/*
 * shadow_lane: one watch on TWIN_SHADOW keeps desired, reported, config and meta of all twins,
 * their revisions, and the delta.
 *
 * It begins with the last value of each key and goes on from there. A value that is no JSON object
 * is ignored and counted, the last good one stands; at the start, where that is not in memory, it
 * is looked for among the revisions that the bucket still has. A vehicle's writing of `reported`
 * counts as having heard it.
 *
 * Threads: one of its own; shadow_lane_recovered from any.
 */
#ifndef HUB_SHADOW_LANE_H
#define HUB_SHADOW_LANE_H

#include "hub/bus.h"
#include "hub/config.h"
#include "hub/recorder.h"
#include "hub/store.h"

struct shadow_lane;
struct shadow_lane *shadow_lane_start(const struct config *config, struct bus *bus,
                                      struct store *store, struct recorder *recorder);
/* True once every value that was there at the start is applied. */
bool shadow_lane_recovered(struct shadow_lane *lane);
void shadow_lane_stop(struct shadow_lane *lane);

#endif
