#include "hub/broker_clock.h"

#include "hub/clock.h"

void broker_clock_init(struct broker_clock *clock, const struct store *store)
{
    clock->store = store;
    clock->anchor_ns = TIMESTAMP_NONE;
    clock->anchor_ms = 0;
    clock->latest_ns = TIMESTAMP_NONE;
    pthread_mutex_init(&clock->lock, NULL);
}

void broker_clock_done(struct broker_clock *clock)
{
    pthread_mutex_destroy(&clock->lock);
}

int64_t broker_clock_now(struct broker_clock *clock, bool *known)
{
    int64_t newest_ns = store_broker_time(clock->store), now_ms = clock_mono_ms(), now_ns;
    pthread_mutex_lock(&clock->lock);
    if (newest_ns > clock->anchor_ns) { /* TIMESTAMP_NONE is less than any */
        clock->anchor_ns = newest_ns;
        clock->anchor_ms = now_ms;
    }
    bool anchored = clock->anchor_ns != TIMESTAMP_NONE;
    now_ns =
        anchored ? clock->anchor_ns + (now_ms - clock->anchor_ms) * NS_PER_MS : clock_wall_ns();
    if (now_ns > clock->latest_ns)
        clock->latest_ns = now_ns;
    pthread_mutex_unlock(&clock->lock);
    if (known)
        *known = anchored;
    return now_ns;
}

int64_t broker_clock_latest(struct broker_clock *clock)
{
    pthread_mutex_lock(&clock->lock);
    int64_t latest_ns = clock->latest_ns;
    pthread_mutex_unlock(&clock->lock);
    return latest_ns;
}
