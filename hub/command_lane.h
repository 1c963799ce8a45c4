/*
 * command_lane: group commands (contract §5): accept, freeze the targets, persist, pace, publish,
 * watch acknowledgements and twins, settle.
 *
 * One hub of the region runs the lane, by a lease; so order, pace and one-in-flight are decided in
 * one memory. What is asked of another hub it passes on to the holder, and answers as if it had the
 * lease itself. When the lease changes hands the new holder reads TWIN_COMMANDS, then what was sent
 * (TWIN_CMD) and what came back (TWIN_ACK), and goes on.
 *
 * Threads: command_lane_ask from any that may wait for NATS; six of the lane's own:
 *
 *     lane       publishing, time limits, verification; never waits for NATS
 *     lease      takes and keeps the lease
 *     keeper     taking over, summaries, records
 *     feeds × 2  what TWIN_CMD and TWIN_ACK say
 *     service    requests that other hubs pass on (and workers that answer them)
 *
 * Limits: COMMAND_OPEN_MAX commands that have not ended, COMMAND_TARGETS_MAX vehicles in one.
 */
#ifndef HUB_COMMAND_LANE_H
#define HUB_COMMAND_LANE_H

#include "hub/broker_clock.h"
#include "hub/bus.h"
#include "hub/command_ask.h"
#include "hub/config.h"
#include "hub/groups.h"
#include "hub/recorder.h"
#include "hub/store.h"

enum {
    COMMAND_OPEN_MAX = 1024,
    COMMAND_LEASE_MS = 3000,  /* contract §5 */
    COMMAND_REPEAT_MS = 2000, /* of a recovery command */
    COMMAND_ASK_MS = 4000,    /* for another hub to answer */
};

struct command_lane;
struct command_lane_options {
    const struct config *config;
    struct bus *bus;
    struct bus *urgent_bus; /* a connection of its own: recovery commands, persisting, the lease */
    struct store *store;
    struct broker_clock *clock;
    struct recorder *recorder;
    struct groups *groups;
};
/* Once the twins are recovered. NULL when there is no memory, or no geofence where one is
 * configured. */
struct command_lane *command_lane_start(const struct command_lane_options *options);
/* Gives the lease back, so that another hub takes over at once. Nobody asks any more. NULL is
 * stopped. */
void command_lane_stop(struct command_lane *lane);

/* Takes the geofence of the configuration in force; the rest of its policy is looked up as it is
 * used. False, and why: the old one stays. The main thread alone. */
bool command_lane_reload(struct command_lane *lane, struct buf *why);

/* Answers here, or by way of the hub that holds the lease. */
void command_lane_ask(struct command_lane *lane, const struct command_ask *ask,
                      struct command_answer *answer);
/* Whether this hub runs the lane now. */
bool command_lane_holds(struct command_lane *lane);
/* Commands that have not ended, and how many of these are paused; of a hub that does not run the
 * lane 0. */
void command_lane_open(struct command_lane *lane, size_t *open, size_t *paused);

#endif
