/*
 * random: a seeded generator for tests that try many inputs. The seed is printed, and taken from
 * the environment variable FLEETHUB_TEST_SEED where that is set, so that a failure can be repeated.
 *
 * One thread at a time per generator.
 */
#ifndef TESTS_UNIT_RANDOM_H
#define TESTS_UNIT_RANDOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct random {
    uint64_t state;
};

/* SplitMix64: every seed gives another full-period sequence. */
static inline uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 to bound - 1. */
static inline unsigned random_below(struct random *random, unsigned bound)
{
    return (unsigned)((random_next(random) >> 32) * bound >> 32);
}

/* The same sequence in every run unless a seed is given. */
static inline struct random random_seeded(const char *what)
{
    const char *given = getenv("FLEETHUB_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 20260115;
    printf("%s: FLEETHUB_TEST_SEED=%llu\n", what, (unsigned long long)seed);
    return (struct random){seed};
}

#endif
