/*
 * clock: the hub's clocks, in one place. twin/ reads none: time goes into it as an argument.
 */
#ifndef HUB_CLOCK_H
#define HUB_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Wall clock, nanoseconds since 1970. */
static inline int64_t clock_wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Monotonic, for measuring how long something took or may take. */
static inline int64_t clock_mono_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline int64_t clock_mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A pause within a loop that looks at its stop flag; not a way to wait for something to be true. */
static inline void clock_pause_ms(int ms)
{
    struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&pause, 0);
}

#endif
