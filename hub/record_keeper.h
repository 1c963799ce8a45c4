/*
 * record_keeper: what the hub that writes the record looks after beside writing it: room in the
 * streams that are archived (record_purge.h), and retention (record_retention.h).
 *
 * It has a thread and a PostgreSQL connection of its own, so that neither a broker that takes its
 * time nor a large partition ever holds up the record lane. Only the writer's keeper does
 * anything; one that thaws after another hub has taken over purges nothing that is not committed,
 * and drops nothing (the fence).
 *
 * Threads: one of its own.
 */
#ifndef HUB_RECORD_KEEPER_H
#define HUB_RECORD_KEEPER_H

#include "hub/broker_clock.h"
#include "hub/bus.h"
#include "hub/config.h"
#include "hub/record_lane.h"

struct record_keeper_options {
    const struct config *config; /* outlives the keeper, as do the others */
    struct bus *bus;
    struct record_lane *lane;
    struct broker_clock *clock; /* NULL: this machine's */
    int purge_age_s;            /* RECORD_PURGE_AGE_S; tests cannot wait for that */
};

struct record_keeper;
/* NULL: no memory, or no thread. */
struct record_keeper *record_keeper_start(const struct record_keeper_options *options);
/* Breaks off what is under way, which costs nothing but doing it again. */
void record_keeper_stop(struct record_keeper *keeper);

#endif
