/*
 * state_lane: what vehicles say, folded into their twins.
 *
 * Three feeds, one thread each, run the same code: TWIN_STATE moves states and presence;
 * TWIN_EVENTS and TWIN_ACK only presence (any accepted message of a vehicle counts), their contents
 * are the record lane's. A feed reads its stream in order from the store's position on, judges each
 * message (contract §2), folds it (§4) and moves the position. It waits for nothing but NATS.
 *
 * A refused message of TWIN_STATE goes on record through the recorder; those of the other two are
 * put on record by the record lane, with their rows.
 *
 * Threads: the feeds; state_lane_hearing and state_lane_lag from any thread.
 */
#ifndef HUB_STATE_LANE_H
#define HUB_STATE_LANE_H

#include "hub/bus.h"
#include "hub/config.h"
#include "hub/recorder.h"
#include "hub/registry.h"
#include "hub/store.h"

struct state_lane;
/* Starts from the store's positions: load TWIN_LAST before. All arguments outlive the lane. */
struct state_lane *state_lane_start(const struct config *config, struct bus *bus,
                                    struct store *store, struct recorder *recorder,
                                    struct registry *registry);
/* Ends the feeds after the message in hand. NULL is nothing. */
void state_lane_stop(struct state_lane *lane);

/* True while every feed is connected and has nothing of weight left to read. */
bool state_lane_hearing(struct state_lane *lane);
/* True once everything is applied that the streams held when the lane first opened them: from then
 * on the twins are what they would be had the hub never stopped. */
bool state_lane_recovered(struct state_lane *lane);
/* Messages of a stream that are not applied yet, as of the newest message read. */
uint64_t state_lane_lag(struct state_lane *lane, enum stream_label stream);

#endif
