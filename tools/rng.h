/*
 * rng: seeded pseudo-random numbers, so that a run can be had again. Not for secrets.
 * One thread per generator.
 */
#ifndef TOOLS_RNG_H
#define TOOLS_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline void rng_init(struct rng *rng, uint64_t seed)
{
    rng->state = seed;
}

/* A Weyl sequence, each step scrambled by the finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Evenly from 0 (included) to 1 (excluded). */
static inline double rng_unit(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) * 0x1p-53;
}

static inline double rng_between(struct rng *rng, double low, double high)
{
    return low + (high - low) * rng_unit(rng);
}

/* True in `percent` of 100 cases. Draws a number only where there is something to decide. */
static inline bool rng_percent(struct rng *rng, double percent)
{
    return percent > 0 && rng_unit(rng) * 100 < percent;
}

#endif
