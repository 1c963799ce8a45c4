/* live_watch: whether what a live query looks at may have changed since a position. */
#include "hub/live_watch.h"

#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MS(n) ((n)*NS_PER_MS)

static struct store *store;
static struct vehicle *vehicle;

/* V has a battery (message 10), a mode (20), a desired (revision 5) and a meta (7). */
static int make(void **state)
{
    (void)state;
    store = store_new();
    if (!store)
        return -1;
    store_lock(store);
    vehicle = store_vehicle(store, "V", 1);
    struct twin *twin = twin_copy(store_current(vehicle));
    struct state *battery = state_of("battery", version_of(NULL, 1, T0), T0, "{\"remaining\":1}");
    struct state *mode = state_of("mode", version_of(NULL, 1, T0), T0, "{\"mode\":\"AUTO\"}");
    battery->stream_seq = 10;
    mode->stream_seq = 20;
    twin_take(&twin, battery);
    twin_take(&twin, mode);
    twin->parts[PART_DESIRED] = part_of(5, "{\"led\":1}");
    twin->parts[PART_META] = part_of(7, "{\"site\":\"oslo\"}");
    store_hear(vehicle, STREAM_STATE, 20);
    store_hear(vehicle, STREAM_SHADOW, 7);
    store_put(store, vehicle, twin);
    store_advance(store, STREAM_STATE, (struct position){T0, 20, T0});
    store_advance(store, STREAM_SHADOW, (struct position){T0, 7, T0});
    store_unlock(store);
    return 0;
}

static int destroy(void **state)
{
    (void)state;
    store_free(store);
    return 0;
}

static struct live_seen seen_at(uint64_t state_seq, uint64_t shadow_seq)
{
    struct fleet_position position = {
        .streams = {[STREAM_STATE] = {T0, state_seq, T0}, [STREAM_SHADOW] = {T0, shadow_seq, T0}}};
    return live_seen_of(store, &position);
}

static bool filter_touched(const char *text, uint64_t state_seq, uint64_t shadow_seq)
{
    struct live_watch watch = {0};
    struct text_error error;
    struct filter *filter = filter_compile(PATH_OF_TWIN, text, strlen(text), NULL, &error);
    assert_non_null(filter);
    assert_true(live_watch_filter(&watch, filter));
    struct live_seen seen = seen_at(state_seq, shadow_seq);
    bool touched = live_watch_touched(&watch, store, 0, store_at(store, 0), &seen);
    live_watch_done(&watch);
    filter_free(filter);
    return touched;
}

static bool fields_touched(const char *text, uint64_t state_seq, uint64_t shadow_seq)
{
    struct live_watch watch = {0};
    struct text_error error;
    struct fields *fields = fields_compile(text, strlen(text), &error);
    assert_non_null(fields);
    assert_true(live_watch_fields(&watch, fields));
    struct live_seen seen = seen_at(state_seq, shadow_seq);
    bool touched = live_watch_touched(&watch, store, 0, store_at(store, 0), &seen);
    live_watch_done(&watch);
    fields_free(fields);
    return touched;
}

static void watch_of_a_state_is_touched_by_its_own_messages(void **state)
{
    (void)state;
    assert_true(filter_touched("state.battery.remaining < 0.5", 9, 7));
    assert_false(filter_touched("state.battery.remaining < 0.5", 10, 7));
    assert_true(fields_touched("state.mode", 19, 7));
    assert_false(fields_touched("state.mode,state.battery.remaining", 20, 7));
    assert_true(fields_touched("state.battery,state.mode.mode", 15, 7));
    assert_true(fields_touched("state", 19, 7));
    assert_false(fields_touched("state", 20, 7));
}

/* One that is not there may have been there. */
static void watch_of_a_missing_state_is_touched_by_any_message(void **state)
{
    (void)state;
    assert_true(filter_touched("state.health.errors > 1", 19, 7));
    assert_false(filter_touched("state.health.errors > 1", 20, 7));
}

static void watch_of_parts_is_touched_by_their_revisions(void **state)
{
    (void)state;
    assert_true(filter_touched("meta.site = \"oslo\"", 20, 6));
    assert_false(filter_touched("meta.site = \"oslo\"", 20, 7));
    assert_true(fields_touched("desired.led", 20, 4));
    assert_false(fields_touched("desired.led", 20, 5));
    assert_true(fields_touched("delta", 20, 4));
    assert_false(fields_touched("delta", 20, 6));
    assert_false(fields_touched("reported", 20, 0)); /* there is none */
    assert_true(fields_touched("revision.config", 20, 6));
    assert_false(fields_touched("revision.config", 20, 7));
}

static void watch_of_what_never_changes_is_never_touched(void **state)
{
    (void)state;
    assert_false(filter_touched("vid = \"V*\" AND region = \"x\"", 0, 0));
    assert_false(filter_touched("", 0, 0));
    assert_false(fields_touched("vid", 0, 0));
}

static void watch_of_what_no_position_tells_is_always_touched(void **state)
{
    (void)state;
    assert_true(filter_touched("presence.status = \"online\"", 20, 7));
    assert_true(filter_touched("age(state.mode) < 3s", 20, 7));
    assert_true(fields_touched("presence.since", 20, 7));
}

static void watch_is_touched_by_a_registration(void **state)
{
    (void)state;
    store_hear(vehicle, STREAM_LAST, 3);
    assert_true(filter_touched("vid = \"V\"", 20, 7));
    store_lock(store);
    store_advance(store, STREAM_LAST, (struct position){T0, 3, T0});
    store_unlock(store);
    struct fleet_position position = {.streams[STREAM_LAST] = {T0, 3, T0}};
    struct live_seen seen = live_seen_of(store, &position);
    assert_false(live_heard_since(store, 0, store_at(store, 0), STREAM_LAST, &seen));
}

/* A position of another stream, or of one that began anew since, makes nothing sure. */
static void watch_of_a_stream_that_began_anew_is_touched(void **state)
{
    (void)state;
    struct fleet_position other = {.streams[STREAM_STATE] = {T0 - MS(5), 1000, T0}};
    struct live_seen seen = live_seen_of(store, &other);
    assert_int_equal(seen.streams[STREAM_STATE].seq, 0);
    assert_true(live_heard_since(store, 0, store_at(store, 0), STREAM_STATE, &seen));
    store_lock(store);
    store_reposition(store, STREAM_STATE, (struct position){.epoch_ns = T0});
    store_advance(store, STREAM_STATE, (struct position){T0, 30, T0});
    store_unlock(store);
    assert_true(fields_touched("state.mode", 30, 7));
}

/* What a hub has not read itself since it started it knows by the times alone. */
static void watch_before_the_hubs_own_reading_goes_by_times(void **state)
{
    (void)state;
    struct store *fresh = store_new();
    store_lock(fresh);
    store_reposition(fresh, STREAM_STATE, (struct position){T0, 100, T0});
    struct vehicle *loaded = store_vehicle(fresh, "V", 1);
    struct twin *twin = twin_copy(store_current(loaded));
    twin->presence = (struct presence){PRESENCE_ONLINE, T0, T0};
    store_put(fresh, loaded, twin);
    store_unlock(fresh);
    const struct {
        uint64_t seq;
        int64_t received_ns;
        bool heard;
    } cases[] = {
        {100, T0, false},                       /* all that there was */
        {50, T0 - 5 * NS_PER_S, true},          /* it was heard after that */
        {50, T0 + 5 * NS_PER_S, false},         /* and not after this */
        {50, T0 + MS(POSITION_SLACK_MS), true}, /* clocks are not that exact */
        {0, 0, true},                           /* nothing is known */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fleet_position position = {
            .streams[STREAM_STATE] = {T0, cases[i].seq, cases[i].received_ns}};
        struct live_seen seen = live_seen_of(fresh, &position);
        assert_int_equal(live_heard_since(fresh, 0, store_at(fresh, 0), STREAM_STATE, &seen),
                         cases[i].heard);
    }
    store_free(fresh);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, destroy)
    const struct CMUnitTest tests[] = {
        TEST(watch_of_a_state_is_touched_by_its_own_messages),
        TEST(watch_of_a_missing_state_is_touched_by_any_message),
        TEST(watch_of_parts_is_touched_by_their_revisions),
        TEST(watch_of_what_never_changes_is_never_touched),
        TEST(watch_of_what_no_position_tells_is_always_touched),
        TEST(watch_is_touched_by_a_registration),
        TEST(watch_of_a_stream_that_began_anew_is_touched),
        TEST(watch_before_the_hubs_own_reading_goes_by_times),
    };
    return cmocka_run_group_tests_name("live_watch", tests, NULL, NULL);
}
