/*
 * broker_clock: what time the broker has, which is the time vehicles are seen by: its newest time
 * that came with a message, and what has passed since. The hub's own clock may be off; it must age
 * nobody, and no `age()` may depend on which hub answers.
 *
 * It is as exact as somebody asks often: the presence lane does, several times a second.
 *
 * Threads: any.
 */
#ifndef HUB_BROKER_CLOCK_H
#define HUB_BROKER_CLOCK_H

#include "hub/store.h"

#include <pthread.h>

struct broker_clock {
    const struct store *store;
    pthread_mutex_t lock; /* held for some instructions */
    int64_t anchor_ns;    /* the newest broker time seen, TIMESTAMP_NONE before any */
    int64_t anchor_ms;    /* monotonic: when it was seen */
    int64_t latest_ns;    /* that anybody was told; TIMESTAMP_NONE before */
};

void broker_clock_init(struct broker_clock *clock, const struct store *store);
void broker_clock_done(struct broker_clock *clock);
/* Nanoseconds since 1970; the hub's own time, and *known false, as long as no message came.
 * `known` may be NULL. */
int64_t broker_clock_now(struct broker_clock *clock, bool *known);
/* No later time has been given to anybody. The clock steps back where messages come that were long
 * on their way; what was judged meanwhile stands. TIMESTAMP_NONE: nobody has asked yet. */
int64_t broker_clock_latest(struct broker_clock *clock);

#endif
