/* changes: the order of the vehicles' last changes, also while a writer goes on, and where the ring
 * of puts was lost. */
#include "hub/changes.h"

#include "tests/unit/fault.h"
#include "tests/unit/random.h"
#include "tests/unit/twin_help.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include <cmocka.h>

enum { VEHICLES = 500, PUTS = 200000, STALE_PUTS = 3 * STORE_LOG };

static struct store *store;
static struct changes *changes;

static int make(void **state)
{
    (void)state;
    store = store_new();
    changes = store ? changes_new(store) : NULL;
    return changes ? 0 : -1;
}

static int destroy(void **state)
{
    (void)state;
    changes_free(changes);
    store_free(store);
    return 0;
}

/* The put's number. */
static uint64_t put(uint32_t n)
{
    char vid[16];
    snprintf(vid, sizeof vid, "V-%u", n);
    store_lock(store);
    struct vehicle *vehicle = store_vehicle(store, vid, strlen(vid));
    struct twin *twin = vehicle ? twin_copy(store_current(vehicle)) : NULL;
    if (twin)
        store_put(store, vehicle, twin);
    store_unlock(store);
    return twin ? store_changes(store) : 0;
}

/* Walks from `change` to the end, checking the order; how many it passed. */
static size_t walk(uint64_t change, uint32_t hint)
{
    uint64_t before = change;
    size_t passed = 0;
    for (uint32_t at = changes_after(changes, change, hint); at != CHANGES_END;
         at = changes_next(changes, at)) {
        assert_true(changes_of(changes, at) > before);
        before = changes_of(changes, at);
        assert_true(++passed <= store_count(store)); /* each of them once */
    }
    assert_true(before <= changes_last(changes) || before <= store_changes(store));
    return passed;
}

static void changes_begin_empty(void **state)
{
    (void)state;
    assert_true(changes_follow(changes));
    assert_int_equal(changes_last(changes), 0);
    assert_true(changes_after(changes, 0, CHANGES_END) == CHANGES_END);
    assert_int_equal(changes_of(changes, 7), 0);
}

static void changes_hold_each_vehicle_once_in_the_order_of_its_last(void **state)
{
    (void)state;
    put(0), put(1), put(2), put(1), put(0);
    assert_true(changes_follow(changes));
    assert_int_equal(changes_last(changes), 5);
    uint32_t at = changes_after(changes, 0, CHANGES_END);
    static const uint32_t order[] = {2, 1, 0};
    static const uint64_t numbers[] = {3, 4, 5};
    for (int i = 0; i < 3; i++, at = changes_next(changes, at)) {
        assert_int_equal(at, order[i]);
        assert_int_equal(changes_of(changes, at), numbers[i]);
    }
    assert_true(at == CHANGES_END);
    assert_int_equal(changes_after(changes, 3, CHANGES_END), 1);
    assert_int_equal(changes_after(changes, 3, 2), 1); /* by the hint */
    assert_int_equal(changes_after(changes, 3, 0), 1); /* by one that is no use any more */
    assert_true(changes_after(changes, 5, 0) == CHANGES_END);
}

/* Who remembers the number it has come to misses nothing, whatever happens between. */
static void changes_since_a_number_are_all_that_changed_since(void **state)
{
    (void)state;
    static uint64_t last[VEHICLES];
    struct random random = random_seeded(__func__);
    uint64_t seen = 0;
    memset(last, 0, sizeof last);
    for (int round = 0; round < 300; round++) {
        for (unsigned i = random_below(&random, 400); i > 0; i--) {
            uint32_t n = random_below(&random, VEHICLES);
            uint64_t change = put(n);
            last[n] = change;
        }
        assert_true(changes_follow(changes));
        size_t wanted = 0;
        for (uint32_t n = 0; n < VEHICLES; n++)
            wanted += last[n] > seen;
        assert_int_equal(walk(seen, CHANGES_END), wanted);
        if (random_below(&random, 3) == 0)
            seen = changes_last(changes);
    }
}

static void changes_lost_by_the_ring_are_found_in_the_vehicles(void **state)
{
    (void)state;
    struct random random = random_seeded(__func__);
    for (uint32_t n = 0; n < VEHICLES; n++)
        put(n);
    assert_true(changes_follow(changes));
    uint64_t seen = changes_last(changes);
    put(VEHICLES); /* one that changes once, long before the ring's beginning */
    for (uint32_t i = 0; i < STALE_PUTS; i++)
        put(random_below(&random, VEHICLES / 2));
    assert_true(changes_follow(changes));
    assert_int_equal(changes_last(changes), store_changes(store));
    assert_int_equal(walk(seen, CHANGES_END), VEHICLES / 2 + 1);
    assert_int_equal(changes_after(changes, seen, CHANGES_END), VEHICLES);
    put(3);
    assert_true(changes_follow(changes)); /* and goes on from the ring */
    assert_int_equal(walk(store_changes(store) - 1, CHANGES_END), 1);
}

static void changes_without_memory_are_taken_in_later(void **state)
{
    (void)state;
    put(0), put(1);
    fault_arm(1, FAULT_ONCE);
    bool followed = changes_follow(changes);
    assert_true(fault_disarm());
    assert_false(followed);
    assert_true(changes_follow(changes));
    assert_int_equal(walk(0, CHANGES_END), 2);
}

/* ---- beside a writer ---- */

static _Atomic bool done;

static void *write_all(void *closure)
{
    (void)closure;
    struct random random = random_seeded(__func__);
    for (uint32_t i = 0; i < PUTS; i++)
        put(random_below(&random, 1 + i / 100)); /* a fleet that grows */
    atomic_store(&done, true);
    return NULL;
}

static void changes_follow_a_writer_at_full_speed(void **state)
{
    (void)state;
    pthread_t writer;
    uint64_t seen = 0;
    size_t followed = 0;
    atomic_store(&done, false);
    assert_int_equal(pthread_create(&writer, NULL, write_all, NULL), 0);
    for (bool last = false; !last; followed++) {
        last = atomic_load(&done);
        uint64_t before = store_changes(store);
        assert_true(changes_follow(changes));
        assert_true(changes_last(changes) >= before);
        walk(seen, CHANGES_END);
        seen = changes_last(changes);
    }
    pthread_join(writer, NULL);
    assert_int_equal(changes_last(changes), PUTS);
    for (uint32_t i = 0; i < store_count(store); i++)
        assert_int_equal(changes_of(changes, i), store_changed(store, i));
    assert_int_equal(walk(0, CHANGES_END), store_count(store));
    assert_true(followed > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, destroy)
    const struct CMUnitTest tests[] = {
        TEST(changes_begin_empty),
        TEST(changes_hold_each_vehicle_once_in_the_order_of_its_last),
        TEST(changes_since_a_number_are_all_that_changed_since),
        TEST(changes_lost_by_the_ring_are_found_in_the_vehicles),
        TEST(changes_without_memory_are_taken_in_later),
        TEST(changes_follow_a_writer_at_full_speed),
    };
    return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
