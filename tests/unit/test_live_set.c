/* live_set: beside a plain array, through all its forms. */
#include "hub/live_set.h"

#include "tests/unit/fault.h"
#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { INDICES = 3 * LIVE_SET_GROUP + 100, ROUNDS = 200000 };

static bool model[INDICES];
static size_t members;

static void assert_same(const struct live_set *set)
{
    assert_int_equal(set->count, members);
    for (uint32_t i = 0; i < INDICES; i++)
        assert_int_equal(live_set_has(set, i), model[i]);
    assert_false(live_set_has(set, INDICES + 10 * LIVE_SET_GROUP));
}

static void put(struct live_set *set, uint32_t index, bool in)
{
    assert_true(in ? live_set_add(set, index) : live_set_remove(set, index));
    members += (size_t)(in && !model[index]) - (size_t)(!in && model[index]);
    model[index] = in;
}

static int clear_model(void **state)
{
    (void)state;
    memset(model, 0, sizeof model);
    members = 0;
    return 0;
}

static void live_set_is_empty_at_first(void **state)
{
    (void)state;
    struct live_set set = {0};
    assert_same(&set);
    assert_true(live_set_remove(&set, 5)); /* was not there */
    assert_int_equal(set.count, 0);
    live_set_done(&set);
}

static void live_set_holds_what_was_added_and_not_removed(void **state)
{
    (void)state;
    struct live_set set = {0};
    struct random random = random_seeded(__func__);
    for (int round = 0; round < ROUNDS; round++) {
        /* Stretches in which most are added, and such in which most are removed. */
        unsigned add_pct = round / 20000 % 2 ? 10 : 90;
        put(&set, random_below(&random, INDICES), random_below(&random, 100) < add_pct);
        if (round % 20000 == 0)
            assert_same(&set);
    }
    assert_same(&set);
    live_set_done(&set);
    assert_int_equal(set.count, 0);
}

/* From nothing to everything and back, in either order: every form is passed through. */
static void live_set_passes_through_all_its_forms(void **state)
{
    (void)state;
    struct live_set set = {0};
    for (int round = 0; round < 4; round++) {
        bool up = round % 2;
        for (uint32_t i = 0; i < INDICES; i++)
            put(&set, up ? i : INDICES - 1 - i, true);
        assert_same(&set);
        for (uint32_t i = 0; i < INDICES; i++)
            put(&set, round / 2 ? i : INDICES - 1 - i, false);
        assert_same(&set);
    }
    live_set_done(&set);
}

static void live_set_without_memory_stays_as_it_was(void **state)
{
    (void)state;
    struct live_set set = {0};
    for (uint32_t i = 0; i < INDICES; i++) { /* each step fails first, and then is done */
        fault_arm(1, FAULT_ONCE);
        bool added = live_set_add(&set, i);
        fault_disarm();
        assert_int_equal(live_set_has(&set, i), added);
        put(&set, i, true);
    }
    members = set.count;
    memset(model, 1, sizeof model);
    assert_same(&set);
    for (uint32_t i = 0; i < INDICES; i++) {
        fault_arm(1, FAULT_ONCE);
        bool removed = live_set_remove(&set, i);
        fault_disarm();
        assert_int_equal(live_set_has(&set, i), !removed);
        put(&set, i, false);
    }
    members = 0;
    assert_same(&set);
    live_set_done(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(live_set_is_empty_at_first, clear_model),
        cmocka_unit_test_setup(live_set_holds_what_was_added_and_not_removed, clear_model),
        cmocka_unit_test_setup(live_set_passes_through_all_its_forms, clear_model),
        cmocka_unit_test_setup(live_set_without_memory_stays_as_it_was, clear_model),
    };
    return cmocka_run_group_tests_name("live_set", tests, NULL, NULL);
}
