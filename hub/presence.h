/*
 * presence: time passes over the twins, and changes to or from `offline` go on record.
 *
 * The lane looks at every vehicle each second. Silence counts only from the moment the feeds have
 * been connected and up to date without a break (contract §4): a hub that was deaf, stopped or
 * frozen declares nobody offline before offline_after_s after it hears again.
 *
 * It also follows the presence records of the region, its own and other hubs', beginning with each
 * vehicle's last: what one hub has put on record as offline is offline on all of them, also on one
 * that was just started. A record's id names the silence it is about, so that it is on record once
 * however many hubs saw it.
 *
 * Threads: one of its own.
 */
#ifndef HUB_PRESENCE_H
#define HUB_PRESENCE_H

#include "hub/broker_clock.h"
#include "hub/bus.h"
#include "hub/config.h"
#include "hub/recorder.h"
#include "hub/state_lane.h"
#include "hub/store.h"

struct presence_lane;
/* Reads what is on record, then starts. NULL when there is no memory. */
struct presence_lane *presence_lane_start(const struct config *config, struct bus *bus,
                                          struct store *store, struct broker_clock *clock,
                                          struct recorder *recorder);
/* The feeds to ask whether the hub hears; before this is given nothing ages. */
void presence_lane_listen(struct presence_lane *lane, struct state_lane *feeds);
/* True once the presence records that existed at the start are applied. */
bool presence_lane_recovered(struct presence_lane *lane);
void presence_lane_stop(struct presence_lane *lane);

/* As the configuration in force has them. */
struct presence_limits presence_limits_of(const struct config *config);

/* The record of a vehicle's return, made by whoever folds the message, before the twin says so.
 * False where there is no place for it now: the message is taken again. */
bool presence_record_return(struct recorder *recorder, const char *vid, const struct presence *was,
                            const struct presence *now);

#endif
