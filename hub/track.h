/*
 * track: where each vehicle was, what it was doing and how much battery it had, on record every
 * record.track_s seconds while it is online (contract §5), so that there is a flight path when all
 * telemetry is long gone.
 *
 * Time is cut into slots of that length, by the broker's clock. Every hub makes a record of each
 * vehicle in each slot; its id derives from vehicle and slot, so that the region has one: the
 * stream's window of Nats-Msg-Id drops the others, and the archive what comes later than that. A
 * hub that dies therefore leaves no hole, and nobody has to notice that it did.
 *
 * The sweep spreads over the first half of the slot. It yields to whoever else puts something on
 * record: while much is queued it waits, and what a slot has no time left for is counted
 * (fleethub_tracks_skipped_total) and left out.
 *
 * Threads: one of its own.
 */
#ifndef HUB_TRACK_H
#define HUB_TRACK_H

#include "hub/broker_clock.h"
#include "hub/config.h"
#include "hub/recorder.h"
#include "hub/state_lane.h"
#include "hub/store.h"

struct track_lane;
/* All arguments outlive the lane. NULL when there is no memory. */
struct track_lane *track_lane_start(const struct config *config, struct store *store,
                                    struct broker_clock *clock, struct state_lane *feeds,
                                    struct recorder *recorder);
void track_lane_stop(struct track_lane *lane);

/* The record of a vehicle in the slot that began at `slot_ns`; `data` holds its text, and the
 * record borrows from it and from the twin. False where there is nothing to tell: it is not online,
 * not there for the world, or has sent none of the three states. */
bool track_record(const struct twin *twin, int64_t slot_ns, struct buf *data,
                  struct record *record);

#endif
