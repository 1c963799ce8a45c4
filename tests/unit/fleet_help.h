/*
 * fleet_help: a store with a fleet of a test's own, from texts, and viewers of it.
 *
 * Every failure to build fails the test.
 */
#ifndef TESTS_UNIT_FLEET_HELP_H
#define TESTS_UNIT_FLEET_HELP_H

#include "hub/query.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static inline struct vehicle *fleet_vehicle(struct store *store, const char *vid)
{
    struct vehicle *vehicle = store_vehicle(store, vid, strlen(vid));
    assert_non_null(vehicle);
    return vehicle;
}

/* The vehicle reports a state, received at T0. */
static inline void fleet_state(struct store *store, const char *vid, const char *type,
                               const char *data)
{
    const struct state *replaced;
    store_lock(store);
    struct vehicle *vehicle = fleet_vehicle(store, vid);
    struct state *state = state_of(type, version_of(NULL, SEQ_NONE, T0), T0, data);
    assert_non_null(state);
    struct twin *twin = twin_with_state(store_current(vehicle), state, &replaced);
    assert_non_null(twin);
    twin->presence = presence_heard(twin->presence, T0);
    store_put(store, vehicle, twin);
    store_retire(store, replaced);
    store_unlock(store);
}

static inline void fleet_part(struct store *store, const char *vid, enum part_kind kind,
                              const char *value)
{
    const struct doc *replaced;
    store_lock(store);
    struct vehicle *vehicle = fleet_vehicle(store, vid);
    struct twin *twin = twin_copy(store_current(vehicle));
    assert_non_null(twin);
    const struct part *old = twin->parts[kind];
    twin->parts[kind] = part_of(7, value);
    assert_non_null(twin->parts[kind]);
    assert_true(twin_refresh_delta(twin, T0, &replaced));
    store_put(store, vehicle, twin);
    store_retire(store, old);
    store_retire(store, replaced);
    store_unlock(store);
}

/* As if it had been retired. */
static inline void fleet_hide(struct store *store, const char *vid)
{
    store_lock(store);
    struct vehicle *vehicle = fleet_vehicle(store, vid);
    struct twin *twin = twin_copy(store_current(vehicle));
    assert_non_null(twin);
    twin->hidden = true;
    store_put(store, vehicle, twin);
    store_unlock(store);
}

static inline const struct twin *fleet_twin(struct store *store, const char *vid)
{
    const struct twin *twin = store_find(store, vid);
    assert_non_null(twin);
    return twin;
}

/* The query's text has to be right. */
static inline struct query fleet_query(const struct viewer *viewer, const char *filter,
                                       const char *order)
{
    struct query query;
    struct text_error error;
    struct query_options options = {.viewer = viewer,
                                    .region = "eu-north",
                                    .now_ns = T0 + NS_PER_S,
                                    .filter = filter,
                                    .order = order};
    if (query_init(&query, &options, &error) != QUERY_OK)
        fail_msg("%s, %s: %s", filter ? filter : "", order ? order : "", error.detail);
    return query;
}

/* What a buffer holds has to be this text; empties it. */
static inline void expect_text(struct buf *buf, const char *text)
{
    assert_false(buf->failed);
    assert_string_equal(buf_cstr(buf), text);
    buf_reset(buf);
}

#define PATTERNS(...)                                                                              \
    {                                                                                              \
        true, (const char *const[]){__VA_ARGS__},                                                  \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)                      \
    }
#define ANYTHING                                                                                   \
    {                                                                                              \
        false, NULL, 0                                                                             \
    }

#endif
