/*
 * twin_help: short ways from text to states, parts and twins, for tests.
 *
 * What is returned is malloc'd, one free() each; twin_destroy frees a twin with all that it holds.
 */
#ifndef TESTS_UNIT_TWIN_HELP_H
#define TESTS_UNIT_TWIN_HELP_H

#include "tests/unit/doc_help.h"
#include "twin/twin.h"

#include <stdlib.h>
#include <string.h>

#define T0 (INT64_C(1768473000) * NS_PER_S) /* 2026-01-15T10:30:00Z */

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static inline struct version version_of(const char *boot, int64_t seq, int64_t timestamp_ns)
{
    return (struct version){slice_of(boot), seq, timestamp_ns};
}

static inline struct state *state_of(const char *type, struct version version, int64_t received_ns,
                                     const char *data)
{
    struct doc *doc = doc_of(data);
    struct state *state =
        doc ? state_new(slice_of(type), &version, received_ns, 1, doc_root(doc)) : NULL;
    free(doc);
    return state;
}

static inline struct part *part_of(uint64_t revision, const char *value)
{
    struct doc *doc = doc_of(value);
    struct part *part = doc ? part_new(revision, T0, "unknown", doc_root(doc)) : NULL;
    free(doc);
    return part;
}

static inline void free_const(const void *block)
{
    free((void *)(uintptr_t)block);
}

static inline void twin_destroy(struct twin *twin)
{
    if (!twin)
        return;
    for (size_t i = 0; i < twin->state_count; i++)
        free_const(twin->states[i]);
    for (size_t i = 0; i < PART_COUNT; i++)
        free_const(twin->parts[i]);
    free_const(twin->delta);
    free(twin);
}

/* `twin` is replaced by one with the state, as the state lane does it; what it displaced is freed.
 * False when there is no memory. */
static inline bool twin_take(struct twin **twin, struct state *state)
{
    const struct state *replaced;
    struct twin *more = state ? twin_with_state(*twin, state, &replaced) : NULL;
    if (!more) {
        free(state);
        return false;
    }
    free(*twin);
    free_const(replaced);
    *twin = more;
    return true;
}

#endif
