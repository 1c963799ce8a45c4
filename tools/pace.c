#include "tools/pace.h"

#include "twin/timestamp.h"

#include <time.h>

/* Timestamps are written with whole microseconds: finer than any message rate, shorter to read. */
#define PACE_GRAIN_NS INT64_C(1000)

void pace_init(struct pace *pace, double speed, int64_t length_ns, int64_t now_mono_ns,
               int64_t now_real_ns)
{
    *pace = (struct pace){
        .speed = speed,
        .endless = length_ns == 0,
        .start_mono_ns = now_mono_ns,
        .base_real_ns = speed > 0 ? now_real_ns : now_real_ns - length_ns,
    };
}

int64_t pace_due(const struct pace *pace, int64_t schedule_ns)
{
    if (pace->speed <= 0)
        return INT64_MIN;
    return pace->start_mono_ns + (int64_t)((double)schedule_ns / pace->speed);
}

int64_t pace_schedule(const struct pace *pace, int64_t mono_ns)
{
    return pace->speed > 0 ? (int64_t)((double)(mono_ns - pace->start_mono_ns) * pace->speed) : 0;
}

int64_t pace_timestamp(struct pace *pace, int64_t schedule_ns, int64_t now_real_ns)
{
    int64_t at;
    if (pace->speed > 0) {
        at = pace->base_real_ns + (int64_t)((double)schedule_ns / pace->speed);
    } else if (!pace->endless) {
        at = pace->base_real_ns + schedule_ns;
    } else {
        at = now_real_ns > pace->last_ns ? now_real_ns : pace->last_ns + PACE_GRAIN_NS;
        pace->last_ns = at;
    }
    return at - at % PACE_GRAIN_NS;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t pace_mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t pace_real_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

void pace_sleep(int64_t ns)
{
    struct timespec span = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
    if (ns > 0)
        nanosleep(&span, NULL);
}
