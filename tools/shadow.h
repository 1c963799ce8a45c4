/*
 * shadow: the vehicles' side of the device shadow (contract §3, §4). Each vehicle writes what it is
 * as `reported` and follows `desired`: after a delay it takes over what it knows, so that the delta
 * closes.
 *
 * A vehicle has one write under way at a time; what changes meanwhile goes with the next. A write
 * without an acknowledgement is made again with what is then true: the last state counts, not every
 * one. At the start and after each reconnect the present `desired` of all vehicles are read.
 *
 * Ownership: borrows roster, bus and counts. Threads: one.
 */
#ifndef TOOLS_SHADOW_H
#define TOOLS_SHADOW_H

#include "tools/report.h"
#include "tools/roster.h"
#include "tools/sim_bus.h"

#include <jansson.h>

enum {
    SHADOW_WINDOW = 256, /* writes under way at a time */
};

/* What the vehicle knows of itself, to be set in `reported`. */
typedef void shadow_facts_fn(void *closure, uint32_t vehicle, json_t *reported);

enum shadow_wish {
    SHADOW_COPY,    /* a setting: reported takes it over */
    SHADOW_DONE,    /* seen to; the facts tell what came of it */
    SHADOW_IGNORED, /* not for this vehicle to change */
};
/* One key of `desired`; with `value` NULL: this key, which stood there before, is gone. */
typedef enum shadow_wish shadow_follow_fn(void *closure, uint32_t vehicle, const char *key,
                                          const json_t *value);

struct shadow_config {
    const char *env;
    bool dots; /* nats.shadow_key_style */
    const struct roster *roster;
    struct sim_bus *bus;
    struct shadow_counts *counts;
    shadow_facts_fn *facts;
    shadow_follow_fn *follow;
    void *closure;
    bool ignore_desired;
    int64_t follow_delay_ns;
    const char *known_keys; /* comma separated; NULL: all */
    uint64_t seed;
};

struct shadow;

struct shadow *shadow_new(const struct shadow_config *config, struct sim_error *error);
void shadow_free(struct shadow *shadow);
/* What the vehicle would report may have changed. */
void shadow_changed(struct shadow *shadow, uint32_t vehicle);
/* Whether an acknowledgement's tag is one of the shadow's. */
bool shadow_owns(uint64_t tag);
void shadow_answered(struct shadow *shadow, uint64_t tag, bool stored);
void shadow_reconnected(struct shadow *shadow);
void shadow_tick(struct shadow *shadow, int64_t now_ns);
/* True when all that was to be written is acknowledged. */
bool shadow_settled(const struct shadow *shadow);

#endif
