/* registration: what a registration and a retirement do to a twin, in whatever order they come. */
#include "tests/unit/fault.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct twin *twin;

static struct part *part_at(uint64_t revision, int64_t updated_ns, const char *value)
{
    struct doc *doc = doc_of(value);
    struct part *part = part_new(revision, updated_ns, "unknown", doc_root(doc));
    free(doc);
    assert_non_null(part);
    return part;
}

/* Two states, three parts and a delta, at T0 and at T0 + 20; heard last at T0 + 20. */
static int make(void **state)
{
    const struct doc *none = NULL;
    (void)state;
    twin = twin_new("V1");
    assert_non_null(twin);
    assert_true(twin_take(&twin, state_of("old", version_of("b", 1, T0), T0, "{}")));
    assert_true(twin_take(&twin, state_of("new", version_of("b", 2, T0), T0 + 20, "{}")));
    twin->presence = (struct presence){PRESENCE_ONLINE, T0 + 20, T0};
    twin->parts[PART_DESIRED] = part_at(1, T0, "{\"a\":1,\"b\":2}");
    twin->parts[PART_REPORTED] = part_at(2, T0 + 20, "{\"a\":1}");
    twin->parts[PART_META] = part_at(3, T0, "{\"m\":1}");
    assert_true(twin_refresh_delta(twin, T0, &none));
    assert_non_null(twin->delta);
    return 0;
}

static int done(void **state)
{
    (void)state;
    twin_destroy(twin);
    return 0;
}

static void free_block(void *closure, const void *block)
{
    (void)closure;
    free_const(block);
}

/* `twin` becomes what it is with these facts. */
static void learn(int64_t registered_ns, int64_t retired_ns, bool open)
{
    struct twin *fresh = twin_with_registration(twin, registered_ns, retired_ns, open);
    assert_non_null(fresh);
    twin_dropped(twin, fresh, free_block, NULL);
    free(twin);
    twin = fresh;
}

static void retirement_takes_all_that_came_before_and_no_more(void **state)
{
    (void)state;
    learn(TIMESTAMP_NONE, T0 + 10, true);
    assert_int_equal(twin->state_count, 1);
    assert_non_null(twin_state(twin, slice_of("new")));
    assert_null(twin->parts[PART_DESIRED]);
    assert_null(twin->parts[PART_META]);
    assert_non_null(twin->parts[PART_REPORTED]);
    assert_null(twin->delta);
    assert_int_equal(twin->delta_since_ns, TIMESTAMP_NONE);
    assert_true(twin_visible(twin)); /* it was heard since */
    assert_int_equal(twin->presence.status, PRESENCE_ONLINE);
}

static void retirement_of_all_hides_it(void **state)
{
    (void)state;
    learn(TIMESTAMP_NONE, T0 + 20, true);
    assert_false(twin_visible(twin));
    assert_int_equal(twin->state_count, 0);
    assert_null(twin->parts[PART_REPORTED]);
    assert_int_equal(twin->presence.status, PRESENCE_UNKNOWN);
    assert_int_equal(twin->presence.last_seen_ns, TIMESTAMP_NONE);
}

static void retirement_hides_it_where_vehicles_must_be_registered(void **state)
{
    (void)state;
    learn(TIMESTAMP_NONE, T0 + 10, false);
    assert_false(twin_visible(twin));
    learn(T0 + 30, TIMESTAMP_NONE, false);
    assert_true(twin_visible(twin));
    assert_true(twin->registered);
}

static void facts_in_any_order_make_the_same_twin(void **state)
{
    (void)state;
    const int64_t registered[] = {T0 - 5, T0 + 5, T0 + 15, T0 + 25}, none = TIMESTAMP_NONE;
    done(NULL);
    for (size_t i = 0; i < sizeof registered / sizeof *registered; i++) {
        for (int order = 0; order < 3; order++) {
            make(NULL);
            if (order == 0) {
                learn(registered[i], none, false);
                learn(none, T0 + 10, false);
            } else if (order == 1) {
                learn(none, T0 + 10, false);
                learn(registered[i], none, false);
            } else {
                learn(registered[i], T0 + 10, false);
            }
            learn(T0 - 9, T0 - 8, false); /* old news */
            bool after = registered[i] > T0 + 10;
            assert_int_equal(twin->registered, after);
            assert_int_equal(twin_visible(twin), after);
            assert_int_equal(twin->registered_ns, registered[i]);
            assert_int_equal(twin->retired_ns, T0 + 10);
            assert_int_equal(twin->state_count, 1);
            done(NULL);
        }
    }
    make(NULL);
}

static void registering_keeps_everything(void **state)
{
    (void)state;
    learn(T0 + 30, TIMESTAMP_NONE, true);
    assert_true(twin->registered);
    assert_int_equal(twin->state_count, 2);
    assert_non_null(twin->delta);
    assert_non_null(twin->parts[PART_META]);
}

static void who_was_registered_when(void **state)
{
    (void)state;
    assert_false(twin_registered_at(NULL, T0));
    assert_false(twin_registered_at(twin, T0));
    twin->registered_ns = T0;
    assert_false(twin_registered_at(twin, T0)); /* its own instant is before it */
    assert_true(twin_registered_at(twin, T0 + 1));
    twin->retired_ns = T0 + 10;
    assert_false(twin_registered_at(twin, T0));
    assert_true(twin_registered_at(twin, T0 + 10));
    assert_false(twin_registered_at(twin, T0 + 11));
    assert_true(twin_buries(twin, T0 + 10));
    assert_false(twin_buries(twin, T0 + 11));
    twin->registered_ns = T0 + 20; /* and before the retirement it was, too */
    assert_true(twin_registered_at(twin, T0 + 10));
    assert_false(twin_registered_at(twin, T0 + 11));
    assert_false(twin_registered_at(twin, T0 + 20));
    assert_true(twin_registered_at(twin, T0 + 21));
}

static bool retire_without_memory(void *context)
{
    (void)context;
    struct twin *fresh = twin_with_registration(twin, TIMESTAMP_NONE, T0 + 10, true);
    if (fresh && fresh->delta != twin->delta)
        free_const(fresh->delta);
    free(fresh);
    return fresh != NULL;
}

static void retirement_without_memory_is_none_and_no_leak(void **state)
{
    (void)state;
    /* reported alone is buried: the delta has to be made anew */
    free_const(twin->parts[PART_REPORTED]);
    free_const(twin->parts[PART_DESIRED]);
    twin->parts[PART_REPORTED] = part_at(2, T0, "{\"a\":1}");
    twin->parts[PART_DESIRED] = part_at(4, T0 + 20, "{\"a\":1,\"b\":2}");
    assert_true(fault_loop(retire_without_memory, NULL) >= 2);
    learn(TIMESTAMP_NONE, T0 + 10, true);
    assert_int_equal(doc_members(doc_root(twin->delta)), 2);
    assert_int_equal(twin->delta_since_ns, T0 + 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(retirement_takes_all_that_came_before_and_no_more),
        TEST(retirement_of_all_hides_it),
        TEST(retirement_hides_it_where_vehicles_must_be_registered),
        TEST(facts_in_any_order_make_the_same_twin),
        TEST(registering_keeps_everything),
        TEST(who_was_registered_when),
        TEST(retirement_without_memory_is_none_and_no_leak),
    };
    return cmocka_run_group_tests_name("registration", tests, NULL, NULL);
}
