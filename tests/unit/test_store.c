/* store: vehicles, their newest twins, and positions, in one thread. */
#include "hub/store.h"

#include "tests/unit/fault.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { MANY = 5000 }; /* beyond the first table, and beyond several chunks */

static struct store *store;

static int make_store(void **state)
{
    (void)state;
    store = store_new();
    return store ? 0 : -1;
}

static int free_store(void **state)
{
    (void)state;
    store_free(store);
    return 0;
}

static struct vehicle *add(const char *vid)
{
    store_lock(store);
    struct vehicle *vehicle = store_vehicle(store, vid, strlen(vid));
    store_unlock(store);
    assert_non_null(vehicle);
    return vehicle;
}

static struct vehicle *look_up(const char *vid)
{
    store_lock(store);
    struct vehicle *vehicle = store_lookup(store, vid, strlen(vid));
    store_unlock(store);
    return vehicle;
}

/* ---- vehicles ---- */

static void store_begins_empty(void **state)
{
    (void)state;
    assert_int_equal(store_count(store), 0);
    assert_null(store_find(store, "V1"));
    assert_null(store_find(store, ""));
    assert_null(look_up("V1"));
    for (int i = 0; i < STREAM_LABELS; i++) {
        struct position position = store_position(store, (enum stream_label)i);
        assert_int_equal(position.epoch_ns, 0);
        assert_int_equal(position.seq, 0);
        assert_int_equal(position.received_ns, 0);
    }
    assert_true(store_broker_time(store) == TIMESTAMP_NONE);
}

static void store_vehicle_is_made_once(void **state)
{
    (void)state;
    struct vehicle *vehicle = add("V1");
    assert_ptr_equal(add("V1"), vehicle);
    assert_ptr_equal(look_up("V1"), vehicle);
    assert_int_equal(store_count(store), 1);
    assert_string_equal(vehicle->vid, "V1");
    assert_int_equal(vehicle->index, 0);
    assert_int_equal(vehicle->changed, 0);
    assert_int_equal(vehicle->last_kv_seq, 0);
}

static void store_new_vehicle_has_an_empty_twin(void **state)
{
    (void)state;
    struct vehicle *vehicle = add("V1");
    size_t place = store_enter(store);
    const struct twin *twin = store_find(store, "V1");
    assert_non_null(twin);
    assert_ptr_equal(twin, store_current(vehicle));
    assert_ptr_equal(twin, store_at(store, 0));
    assert_ptr_equal(twin->vid, vehicle->vid);
    assert_int_equal(twin->presence.status, PRESENCE_UNKNOWN);
    assert_int_equal(twin->state_count, 0);
    store_leave(store, place);
}

static void store_knows_ids_from_their_beginnings(void **state)
{
    (void)state;
    static const char *const vids[] = {"V1", "V10", "V", "v1", "V1-", "V100", "1V"};
    for (size_t i = 0; i < sizeof vids / sizeof *vids; i++)
        add(vids[i]);
    assert_int_equal(store_count(store), sizeof vids / sizeof *vids);
    for (size_t i = 0; i < sizeof vids / sizeof *vids; i++)
        assert_string_equal(store_find(store, vids[i])->vid, vids[i]);
    assert_null(store_find(store, "V2"));
    assert_null(store_find(store, ""));
    /* a piece of a longer text, as a subject's token is */
    store_lock(store);
    assert_string_equal(store_lookup(store, "V10.state", 3)->vid, "V10");
    assert_null(store_lookup(store, "V100", 0));
    store_unlock(store);
}

/* Of many ids some stand where a beginning of theirs would: the hash alone decides nothing. */
static void store_takes_no_beginning_for_the_whole_id(void **state)
{
    (void)state;
    char vid[32];
    for (int i = 0; i < MANY; i++) {
        snprintf(vid, sizeof vid, "%04d-abcdefghijklmnop", i);
        add(vid);
    }
    store_lock(store);
    for (int i = 0; i < MANY; i++) {
        size_t size = (size_t)snprintf(vid, sizeof vid, "%04d-abcdefghijklmnop", i);
        while (--size > 0)
            assert_null(store_lookup(store, vid, size));
    }
    store_unlock(store);
}

static void store_finds_no_id_that_is_too_long(void **state)
{
    (void)state;
    char longest[TOKEN_MAX_BYTES + 2];
    memset(longest, 'a', sizeof longest);
    longest[TOKEN_MAX_BYTES + 1] = '\0';
    assert_null(store_find(store, longest));
    longest[TOKEN_MAX_BYTES] = '\0';
    add(longest);
    assert_string_equal(store_find(store, longest)->vid, longest);
}

static void store_keeps_every_vehicle_at_its_index_as_it_grows(void **state)
{
    (void)state;
    static struct vehicle *vehicles[MANY];
    char vid[16];
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(vid, sizeof vid, "VID-%u", i);
        vehicles[i] = add(vid);
        assert_int_equal(vehicles[i]->index, i);
        assert_int_equal(store_count(store), i + 1);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(vid, sizeof vid, "VID-%u", i);
        assert_ptr_equal(look_up(vid), vehicles[i]);
        assert_ptr_equal(store_find(store, vid), store_at(store, i));
        assert_string_equal(store_at(store, i)->vid, vid);
        store_lock(store);
        assert_ptr_equal(store_vehicle_at(store, i), vehicles[i]);
        store_unlock(store);
    }
    assert_null(store_find(store, "VID-5000"));
}

/* ---- twins ---- */

static struct twin *seen(struct vehicle *vehicle, int64_t received_ns)
{
    struct twin *twin = twin_copy(store_current(vehicle));
    assert_non_null(twin);
    twin->presence = presence_heard(twin->presence, received_ns);
    return twin;
}

static void store_shows_the_twin_that_was_put_last(void **state)
{
    (void)state;
    struct vehicle *vehicle = add("V1");
    for (int i = 0; i < 1000; i++) {
        store_lock(store);
        struct twin *twin = seen(vehicle, T0 + i);
        store_put(store, vehicle, twin);
        assert_ptr_equal(store_current(vehicle), twin);
        store_unlock(store);
        assert_ptr_equal(store_find(store, "V1"), twin);
        assert_int_equal(store_at(store, 0)->presence.last_seen_ns, T0 + i);
    }
}

static void store_reader_keeps_the_twin_it_found(void **state)
{
    (void)state;
    struct vehicle *vehicle = add("V1");
    store_lock(store);
    struct state *first = state_of("mode", version_of("b", 1, T0), T0, "{\"n\":1}");
    struct twin *twin = seen(vehicle, T0);
    assert_true(twin_take(&twin, first));
    store_put(store, vehicle, twin);
    store_unlock(store);

    size_t place = store_enter(store);
    const struct twin *found = store_find(store, "V1");
    store_lock(store);
    for (int i = 2; i < 2000; i++) {
        const struct state *replaced;
        struct state *fresh = state_of("mode", version_of("b", i, T0), T0, "{\"n\":2}");
        assert_non_null(fresh);
        twin = twin_with_state(store_current(vehicle), fresh, &replaced);
        assert_non_null(twin);
        store_put(store, vehicle, twin);
        store_retire(store, replaced);
    }
    store_unlock(store);
    assert_ptr_equal(found->states[0], first);
    assert_int_equal(first->seq, 1);
    assert_true(doc_number(doc_getz(doc_root(first->data), "n")) == 1);
    store_leave(store, place);
    assert_int_equal(store_find(store, "V1")->states[0]->seq, 1999);
}

static void store_counts_changes_over_all_vehicles(void **state)
{
    (void)state;
    struct vehicle *a = add("A"), *b = add("B");
    store_lock(store);
    store_put(store, a, seen(a, T0));
    assert_int_equal(a->changed, 1);
    store_put(store, b, seen(b, T0));
    assert_int_equal(b->changed, 2);
    store_put(store, a, seen(a, T0 + 1));
    assert_int_equal(a->changed, 3);
    assert_int_equal(b->changed, 2);
    assert_int_equal(a->persisted, 0);
    store_unlock(store);
}

static void store_free_frees_all_of_every_twin(void **state)
{
    (void)state;
    struct vehicle *vehicle = add("V1");
    store_lock(store);
    struct twin *twin = seen(vehicle, T0);
    assert_true(twin_take(&twin, state_of("mode", version_of("b", 1, T0), T0, "{}")));
    assert_true(twin_take(&twin, state_of("health", version_of("b", 2, T0), T0, "{}")));
    const struct doc *none;
    twin->parts[PART_DESIRED] = part_of(1, "{\"a\":1}");
    twin->parts[PART_META] = part_of(1, "{\"b\":1}");
    assert_true(twin_refresh_delta(twin, T0, &none));
    assert_non_null(twin->delta);
    store_put(store, vehicle, twin);
    store_unlock(store); /* what is not freed is the leak checker's to find */
}

/* ---- positions ---- */

static void advance(enum stream_label stream, struct position position)
{
    store_lock(store);
    store_advance(store, stream, position);
    store_unlock(store);
}

static void reposition(enum stream_label stream, struct position position)
{
    store_lock(store);
    store_reposition(store, stream, position);
    store_unlock(store);
}

static void assert_position(enum stream_label stream, struct position expected)
{
    struct position position = store_position(store, stream);
    assert_int_equal(position.epoch_ns, expected.epoch_ns);
    assert_int_equal(position.seq, expected.seq);
    assert_int_equal(position.received_ns, expected.received_ns);
}

static void store_keeps_a_position_for_each_stream(void **state)
{
    (void)state;
    const struct position first = {T0, 7, T0 + 5}, next = {T0, 8, T0 + 6};
    const struct position events = {T0 + 1, UINT64_MAX, T0 + 3}, none = {0, 0, 0};
    advance(STREAM_STATE, first);
    advance(STREAM_EVENTS, events);
    assert_position(STREAM_STATE, first);
    assert_position(STREAM_EVENTS, events);
    assert_position(STREAM_ACK, none);
    advance(STREAM_STATE, next);
    assert_position(STREAM_STATE, next);
    assert_position(STREAM_EVENTS, events);
}

static void store_position_follows_a_stream_that_begins_anew(void **state)
{
    (void)state;
    advance(STREAM_STATE, (struct position){T0, 700, T0 + 1});
    reposition(STREAM_STATE, (struct position){T0 + 9, 0, 0});
    assert_position(STREAM_STATE, (struct position){T0 + 9, 0, 0});
    advance(STREAM_STATE, (struct position){T0 + 9, 1, T0 + 10});
    assert_position(STREAM_STATE, (struct position){T0 + 9, 1, T0 + 10});
}

static uint64_t heard_of(struct vehicle *vehicle)
{
    return store_heard(store, vehicle->index, STREAM_STATE);
}

/* Sequences of a stream that is no more say nothing about the one that took its place. */
static void store_heard_is_within_the_stream_as_it_is(void **state)
{
    (void)state;
    store_lock(store);
    struct vehicle *loud = store_vehicle(store, "loud", 4), *old = store_vehicle(store, "old", 3);
    struct vehicle *silent = store_vehicle(store, "silent", 6);
    store_unlock(store);
    advance(STREAM_STATE, (struct position){T0, 700, T0 + 1});
    store_hear(loud, STREAM_STATE, 700);
    store_hear(old, STREAM_STATE, 80);
    store_hear(loud, STREAM_SHADOW, 900);
    reposition(STREAM_STATE, (struct position){T0, 100, T0}); /* its tail is lost */
    assert_int_equal(heard_of(loud), 100);
    assert_int_equal(heard_of(old), 80);
    assert_int_equal(heard_of(silent), 0);
    reposition(STREAM_STATE, (struct position){T0 + 9, 0, 0}); /* another stream */
    assert_int_equal(heard_of(loud), 1);
    assert_int_equal(heard_of(old), 1);
    assert_int_equal(heard_of(silent), 0);
    assert_int_equal(store_heard(store, loud->index, STREAM_SHADOW), 900);
}

static void store_broker_time_is_the_newest_of_all_that_was_applied(void **state)
{
    (void)state;
    advance(STREAM_STATE, (struct position){T0, 1, T0 + 5});
    assert_int_equal(store_broker_time(store), T0 + 5);
    advance(STREAM_EVENTS, (struct position){T0, 1, T0 + 3});
    assert_int_equal(store_broker_time(store), T0 + 5);
    reposition(STREAM_STATE, (struct position){T0, 9, T0 + 9}); /* remembered, not applied */
    assert_int_equal(store_broker_time(store), T0 + 5);
    advance(STREAM_SHADOW, (struct position){T0, 1, T0 + 6});
    assert_int_equal(store_broker_time(store), T0 + 6);
}

/* ---- without memory ---- */

static bool make_another(void *context)
{
    (void)context;
    struct store *other = store_new();
    store_free(other);
    return other != NULL;
}

/* The vehicle that makes the table grow, and begins a chunk. */
static bool add_one_more(void *context)
{
    char vid[16];
    uint32_t count = store_count(store);
    (void)context;
    snprintf(vid, sizeof vid, "VID-%u", count);
    store_lock(store);
    struct vehicle *vehicle = store_vehicle(store, vid, strlen(vid));
    store_unlock(store);
    assert_int_equal(store_count(store), vehicle ? count + 1 : count);
    assert_true((store_find(store, vid) != NULL) == (vehicle != NULL));
    return vehicle != NULL;
}

static void store_without_memory_has_no_new_vehicle_and_keeps_the_old(void **state)
{
    (void)state;
    assert_true(fault_loop(make_another, NULL) > 0);
    for (uint32_t i = 0; i < 2 * 1024 + 10; i++)
        assert_true(fault_loop(add_one_more, NULL) > 0);
    for (uint32_t i = 0; i < store_count(store); i++)
        assert_ptr_equal(store_find(store, store_at(store, i)->vid), store_at(store, i));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_store, free_store)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(store_begins_empty),
        TEST(store_vehicle_is_made_once),
        TEST(store_new_vehicle_has_an_empty_twin),
        TEST(store_knows_ids_from_their_beginnings),
        TEST(store_takes_no_beginning_for_the_whole_id),
        TEST(store_finds_no_id_that_is_too_long),
        TEST(store_keeps_every_vehicle_at_its_index_as_it_grows),
        TEST(store_shows_the_twin_that_was_put_last),
        TEST(store_reader_keeps_the_twin_it_found),
        TEST(store_counts_changes_over_all_vehicles),
        TEST(store_free_frees_all_of_every_twin),
        TEST(store_keeps_a_position_for_each_stream),
        TEST(store_position_follows_a_stream_that_begins_anew),
        TEST(store_heard_is_within_the_stream_as_it_is),
        TEST(store_broker_time_is_the_newest_of_all_that_was_applied),
        TEST(store_without_memory_has_no_new_vehicle_and_keeps_the_old),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
