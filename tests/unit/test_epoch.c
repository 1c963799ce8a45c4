/* epoch: what was replaced lives as long as somebody may be reading it, and no longer. */
#include "hub/epoch.h"

#include "tests/unit/fault.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    RETIRED_IDLE_MAX = 1024, /* what may wait though nobody is reading */
    MANY = 5000,             /* more than the queue's first room */
    SWAPS = 200000,
    READERS = 3,
    WORDS = 16,
};

static struct epoch *epoch;

static int make_epoch(void **state)
{
    (void)state;
    epoch = epoch_new();
    return epoch ? 0 : -1;
}

static int free_epoch(void **state)
{
    (void)state;
    epoch_free(epoch);
    return 0;
}

static void *block_of(unsigned char byte)
{
    unsigned char *block = malloc(64);
    assert_non_null(block);
    memset(block, byte, 64);
    return block;
}

/* ---- one thread ---- */

static void epoch_frees_at_once_where_nobody_reads(void **state)
{
    (void)state;
    epoch_retire(epoch, block_of(1));
    epoch_reclaim(epoch);
    assert_int_equal(epoch_retired(epoch), 0);
    epoch_retire(epoch, NULL);
    assert_int_equal(epoch_retired(epoch), 0);
    epoch_reclaim(epoch);
}

static int released;

static void release(void *block)
{
    released++;
    free(block);
}

static void epoch_releases_in_its_own_way_what_asks_for_it(void **state)
{
    (void)state;
    released = 0;
    size_t place = epoch_enter(epoch);
    epoch_retire_by(epoch, block_of(1), release);
    epoch_retire_by(epoch, NULL, release);
    epoch_reclaim(epoch);
    assert_int_equal(released, 0);
    epoch_leave(epoch, place);
    epoch_reclaim(epoch);
    assert_int_equal(released, 1);
    epoch_retire_by(epoch, block_of(1), release); /* the end of the epoch takes it */
}

static void epoch_keeps_what_a_reader_inside_may_see(void **state)
{
    (void)state;
    const volatile unsigned char *seen = block_of(7);
    size_t place = epoch_enter(epoch);
    epoch_retire(epoch, (const void *)(uintptr_t)seen);
    for (int i = 0; i < MANY; i++) /* the queue grows, and is reclaimed in between */
        epoch_retire(epoch, block_of(8));
    epoch_reclaim(epoch);
    assert_int_equal(epoch_retired(epoch), MANY + 1);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(seen[i], 7);
    epoch_leave(epoch, place);
    epoch_reclaim(epoch);
    assert_int_equal(epoch_retired(epoch), 0);
}

static void epoch_frees_what_went_before_the_oldest_reader(void **state)
{
    (void)state;
    size_t first = epoch_enter(epoch);
    epoch_retire(epoch, block_of(1));
    size_t second = epoch_enter(epoch);
    epoch_retire(epoch, block_of(2));
    size_t third = epoch_enter(epoch);
    epoch_reclaim(epoch);
    assert_int_equal(epoch_retired(epoch), 2);
    epoch_leave(epoch, first); /* the second may still see the second block */
    epoch_reclaim(epoch);
    assert_int_equal(epoch_retired(epoch), 1);
    epoch_leave(epoch, second); /* the third entered after both were gone */
    epoch_reclaim(epoch);
    assert_int_equal(epoch_retired(epoch), 0);
    epoch_leave(epoch, third);
}

static void epoch_readers_may_leave_in_any_order(void **state)
{
    (void)state;
    size_t first = epoch_enter(epoch);
    epoch_retire(epoch, block_of(1));
    size_t second = epoch_enter(epoch);
    epoch_retire(epoch, block_of(2));
    epoch_leave(epoch, second);
    epoch_reclaim(epoch);
    assert_int_equal(epoch_retired(epoch), 2);
    epoch_leave(epoch, first);
    epoch_reclaim(epoch);
    assert_int_equal(epoch_retired(epoch), 0);
}

static void epoch_reclaims_by_itself_now_and_then(void **state)
{
    (void)state;
    for (int i = 0; i < 20 * RETIRED_IDLE_MAX; i++) {
        epoch_retire(epoch, block_of(1));
        assert_true(epoch_retired(epoch) <= RETIRED_IDLE_MAX);
    }
}

/* Readers come and go, one of them always inside: the queue moves on within bounded room. */
/* What a long reading leaves behind is freed while others write, and none of them pays for all. */
static void epoch_frees_what_a_long_reader_left_step_by_step(void **state)
{
    (void)state;
    size_t place = epoch_enter(epoch);
    for (int i = 0; i < 10 * EPOCH_STEP_MAX; i++)
        epoch_retire(epoch, block_of(1));
    epoch_leave(epoch, place);
    size_t before = epoch_retired(epoch), writes = 0;
    assert_true(before >= 10 * EPOCH_STEP_MAX);
    while (epoch_retired(epoch) > RETIRED_IDLE_MAX) {
        epoch_retire(epoch, block_of(1));
        assert_true(epoch_retired(epoch) + EPOCH_STEP_MAX >= before);
        before = epoch_retired(epoch);
        assert_true(++writes < 10 * EPOCH_STEP_MAX); /* it frees faster than they write */
    }
    assert_true(epoch_longest_step_ns(epoch) > 0);
}

static void epoch_queue_moves_on_behind_overlapping_readers(void **state)
{
    (void)state;
    size_t inside = epoch_enter(epoch);
    for (int i = 0; i < 20 * RETIRED_IDLE_MAX; i++) {
        epoch_retire(epoch, block_of(1));
        if (i % 100 == 0) {
            size_t next = epoch_enter(epoch);
            epoch_leave(epoch, inside);
            inside = next;
        }
        assert_true(epoch_retired(epoch) <= RETIRED_IDLE_MAX);
    }
    epoch_leave(epoch, inside);
}

static void epoch_free_takes_what_was_still_waiting(void **state)
{
    (void)state;
    struct epoch *other = epoch_new();
    assert_non_null(other);
    size_t place = epoch_enter(other);
    epoch_retire(other, block_of(1));
    epoch_leave(other, place);
    epoch_free(other); /* a leak is the sanitizer's to find */
    epoch_free(NULL);
}

static bool make_another(void *context)
{
    (void)context;
    struct epoch *other = epoch_new();
    epoch_free(other);
    return other != NULL;
}

static void epoch_without_memory_is_none(void **state)
{
    (void)state;
    assert_true(fault_loop(make_another, NULL) > 0);
}

/* No memory for a longer queue: it gets by with the room it has, once readers have left. */
static void epoch_retires_without_memory(void **state)
{
    (void)state;
    void *blocks[2 * RETIRED_IDLE_MAX];
    for (size_t i = 0; i < 2 * RETIRED_IDLE_MAX; i++)
        blocks[i] = block_of(1);
    fault_arm(1, FAULT_FROM_THEN);
    for (size_t i = 0; i < 2 * RETIRED_IDLE_MAX; i++)
        epoch_retire(epoch, blocks[i]);
    fault_disarm();
    epoch_reclaim(epoch);
    assert_int_equal(epoch_retired(epoch), 0);
}

/* ---- several threads ---- */

struct visitor {
    pthread_t thread;
    _Atomic int inside;
};

static void *visit(void *closure)
{
    struct visitor *visitor = closure;
    size_t place = epoch_enter(epoch);
    atomic_store(&visitor->inside, 1);
    epoch_leave(epoch, place);
    return NULL;
}

static void epoch_lets_one_reader_too_many_wait_for_a_place(void **state)
{
    (void)state;
    size_t places[EPOCH_READERS_MAX];
    bool taken[EPOCH_READERS_MAX] = {false};
    for (size_t i = 0; i < EPOCH_READERS_MAX; i++) {
        places[i] = epoch_enter(epoch);
        assert_true(places[i] < EPOCH_READERS_MAX);
        assert_false(taken[places[i]]);
        taken[places[i]] = true;
    }
    struct visitor visitor = {.inside = 0};
    assert_int_equal(pthread_create(&visitor.thread, NULL, visit, &visitor), 0);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(atomic_load(&visitor.inside), 0);
        sched_yield();
    }
    epoch_leave(epoch, places[77]);
    pthread_join(visitor.thread, NULL); /* the test's own time limit bounds it */
    assert_int_equal(atomic_load(&visitor.inside), 1);
    for (size_t i = 0; i < EPOCH_READERS_MAX; i++)
        if (i != 77)
            epoch_leave(epoch, places[i]);
}

/* A value that says by itself whether it is whole. */
struct value {
    unsigned long words[WORDS];
};

struct shared {
    _Atomic(struct value *) value;
    _Atomic int done;
    _Atomic unsigned long bad;
};

struct reader {
    pthread_t thread;
    struct shared *shared;
    unsigned long reads;
};

static struct value *value_of(unsigned long number)
{
    struct value *value = malloc(sizeof *value);
    if (value)
        for (size_t i = 0; i < WORDS; i++)
            value->words[i] = number;
    return value;
}

static void *read_values(void *closure)
{
    struct reader *reader = closure;
    unsigned long newest = 0;
    while (!atomic_load(&reader->shared->done) || reader->reads < 1000) {
        size_t place = epoch_enter(epoch);
        const struct value *value = atomic_load(&reader->shared->value);
        bool whole = value->words[0] >= newest;
        newest = value->words[0];
        if (reader->reads % 64 == 0)
            sched_yield(); /* holds on to it while the writer goes on */
        for (size_t i = 1; i < WORDS; i++)
            whole = whole && value->words[i] == newest;
        epoch_leave(epoch, place);
        if (!whole)
            atomic_fetch_add(&reader->shared->bad, 1);
        reader->reads++;
    }
    return NULL;
}

static void epoch_readers_find_whole_values_while_they_are_replaced(void **state)
{
    (void)state;
    struct shared shared = {.done = 0};
    struct reader readers[READERS];
    atomic_store(&shared.value, value_of(0));
    assert_non_null(atomic_load(&shared.value));
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.shared = &shared};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_values, &readers[i]), 0);
    }
    bool made = true;
    for (unsigned long number = 1; number <= SWAPS; number++) {
        struct value *fresh = value_of(number);
        made = made && fresh;
        if (fresh)
            epoch_retire(epoch, atomic_exchange(&shared.value, fresh));
    }
    atomic_store(&shared.done, 1);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i].thread, NULL);
    assert_true(made);
    assert_int_equal(atomic_load(&shared.bad), 0);
    epoch_reclaim(epoch);
    assert_int_equal(epoch_retired(epoch), 0);
    free(atomic_load(&shared.value));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_epoch, free_epoch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(epoch_frees_at_once_where_nobody_reads),
        TEST(epoch_releases_in_its_own_way_what_asks_for_it),
        TEST(epoch_keeps_what_a_reader_inside_may_see),
        TEST(epoch_frees_what_went_before_the_oldest_reader),
        TEST(epoch_readers_may_leave_in_any_order),
        TEST(epoch_reclaims_by_itself_now_and_then),
        TEST(epoch_frees_what_a_long_reader_left_step_by_step),
        TEST(epoch_queue_moves_on_behind_overlapping_readers),
        cmocka_unit_test(epoch_free_takes_what_was_still_waiting),
        cmocka_unit_test(epoch_without_memory_is_none),
        TEST(epoch_retires_without_memory),
        TEST(epoch_lets_one_reader_too_many_wait_for_a_place),
        TEST(epoch_readers_find_whole_values_while_they_are_replaced),
    };
    return cmocka_run_group_tests_name("epoch", tests, NULL, NULL);
}
