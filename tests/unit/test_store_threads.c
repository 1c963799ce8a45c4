/*
 * store: readers on several threads while one writer changes a thousand vehicles as fast as it can
 * and adds others. Everything a reader finds must be one moment's twin, whole; newer than what it
 * found before; and at least as new as the position it took first.
 *
 * The work is bounded by the number of changes, not by time. Meant for TSan and ASan above all.
 */
#include "hub/position.h"
#include "hub/store.h"
#include "tests/unit/random.h"
#include "tests/unit/twin_help.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include <cmocka.h>

enum {
    VEHICLES = 1000,
    GENERATIONS = 16, /* of each of them */
    ADDED = 4,        /* new vehicles with each 25 changes: the table grows three times */
    ADD_EVERY = 25,
    READERS = 3,
    SEEKERS = 2,
    READS_MIN = 200, /* however late a reader begins */
    STATES = 3,
    VID_BYTES = 16,
    STORES = 8,        /* filled one after the other while others look for the newest vehicle */
    STORE_FILL = 9000, /* four growths of each table */
};

static const char *const types[STATES] = {"battery", "mode", "position"};

static struct store *store;
static _Atomic bool done;

struct reader {
    pthread_t thread;
    uint64_t seed;
    uint64_t reads;
    const char *wrong; /* the first rule that did not hold */
    int64_t generations[VEHICLES];
};

static void vid_of(char vid[VID_BYTES], uint32_t index)
{
    snprintf(vid, VID_BYTES, "VID-%u", index);
}

/* ---- writing: generation g of a vehicle is g in everything ---- */

static bool put_generation(struct vehicle *vehicle, int64_t generation)
{
    const void *replaced[STATES + 3] = {NULL};
    char data[64];
    struct twin *twin = twin_copy(store_current(vehicle));
    snprintf(data, sizeof data, "{\"g\":%lld,\"vid\":\"%s\"}", (long long)generation, vehicle->vid);
    for (int i = 0; i < STATES && twin; i++) {
        struct state *fresh =
            state_of(types[i], version_of("b", generation, T0 + generation), T0 + generation, data);
        const struct state *old = NULL;
        struct twin *next = fresh ? twin_with_state(twin, fresh, &old) : NULL;
        free(twin);
        twin = next;
        replaced[i] = old;
    }
    if (!twin)
        return false;
    replaced[STATES] = twin->parts[PART_DESIRED];
    replaced[STATES + 1] = twin->parts[PART_REPORTED];
    twin->parts[PART_DESIRED] = part_of((uint64_t)generation, data);
    snprintf(data, sizeof data, "{\"g\":%lld,\"vid\":\"%s\"}", -(long long)generation,
             vehicle->vid);
    twin->parts[PART_REPORTED] = part_of((uint64_t)generation, data);
    const struct doc *old_delta;
    if (!twin->parts[PART_DESIRED] || !twin->parts[PART_REPORTED] ||
        !twin_refresh_delta(twin, T0 + generation, &old_delta))
        return false;
    twin->presence = presence_heard(twin->presence, T0 + generation);
    store_put(store, vehicle, twin);
    store_retire(store, old_delta);
    for (int i = 0; i < STATES + 2; i++)
        store_retire(store, replaced[i]);
    return true;
}

/* Change number n (from 1) gives vehicle (n-1) % VEHICLES its generation (n-1) / VEHICLES + 1. */
static bool change(uint64_t number)
{
    struct vehicle *vehicle = store_vehicle_at(store, (uint32_t)((number - 1) % VEHICLES));
    bool put = put_generation(vehicle, (int64_t)((number - 1) / VEHICLES + 1));
    store_advance(store, STREAM_STATE, (struct position){T0, number, T0 + (int64_t)number});
    return put;
}

static bool add_vehicles(uint32_t count)
{
    char vid[VID_BYTES];
    for (uint32_t i = 0; i < count; i++) {
        vid_of(vid, store_count(store));
        if (!store_vehicle(store, vid, strlen(vid)))
            return false;
    }
    return true;
}

/* ---- reading ---- */

static int64_t generation_in(struct doc_ref value)
{
    int64_t generation = 0;
    return doc_int(doc_getz(value, "g"), &generation) ? generation : -1;
}

static bool names_vehicle(struct doc_ref value, const char *vid)
{
    size_t size;
    struct doc_ref name = doc_getz(value, "vid");
    const char *text = doc_is(name, DOC_STRING) ? doc_string(name, &size) : NULL;
    return text && size == strlen(vid) && memcmp(text, vid, size) == 0;
}

/* NULL where the twin is whole and of one generation, which it gives. */
static const char *judge_twin(const struct twin *twin, int64_t *generation)
{
    *generation = 0;
    if (twin->state_count == 0)
        return twin->delta || twin->parts[PART_DESIRED] ? "an empty twin has parts" : NULL;
    if (twin->state_count != STATES)
        return "a twin has some of its states";
    *generation = twin->states[0]->seq;
    for (int i = 0; i < STATES; i++) {
        const struct state *state = twin->states[i];
        if (state->seq != *generation || state->timestamp_ns != T0 + *generation ||
            generation_in(doc_root(state->data)) != *generation)
            return "states of several generations";
        if (!names_vehicle(doc_root(state->data), twin->vid))
            return "another vehicle's state";
        if (twin_state(twin, slice_of(types[i])) != state)
            return "states out of order";
    }
    if (twin->parts[PART_DESIRED]->revision != (uint64_t)*generation ||
        generation_in(doc_root(twin->parts[PART_REPORTED]->value)) != -*generation)
        return "parts of another generation";
    if (generation_in(doc_root(twin->delta)) != *generation ||
        doc_members(doc_root(twin->delta)) != 1)
        return "a delta of another generation";
    if (twin->presence.last_seen_ns != T0 + *generation || twin->delta_since_ns != T0 + 1)
        return "presence or delta_since of another generation";
    return NULL;
}

/* How often vehicle `index` was changed among the first `number` changes. */
static int64_t changes_of(uint64_t number, uint32_t index)
{
    return (int64_t)((number + VEHICLES - 1 - index) / VEHICLES);
}

static const char *judge_vehicle(struct reader *reader, uint32_t index, uint64_t position)
{
    char vid[VID_BYTES];
    int64_t generation;
    vid_of(vid, index);
    const struct twin *found = store_find(store, vid);
    if (!found)
        return "a vehicle that counts is not found";
    if (strcmp(found->vid, vid) != 0)
        return "another vehicle is found";
    const char *wrong = judge_twin(found, &generation);
    if (wrong || index >= VEHICLES)
        return wrong;
    if (generation < reader->generations[index])
        return "a twin older than the one before";
    if (generation < changes_of(position, index))
        return "a position ahead of its twin";
    reader->generations[index] = generation;
    const struct twin *later = store_at(store, index);
    wrong = judge_twin(later, &generation);
    if (generation < reader->generations[index])
        return "the index has an older twin than the id";
    return wrong;
}

/* A query over everything, inside one epoch. */
static const char *visit_all(struct reader *reader)
{
    struct fleet_position position;
    position_take(store, &position);
    uint32_t count = store_count(store);
    for (uint32_t i = 0; i < count; i++) {
        const char *wrong = judge_vehicle(reader, i, position.streams[0].seq);
        if (wrong)
            return wrong;
    }
    return NULL;
}

static const char *visit_one(struct reader *reader, struct random *random)
{
    struct position position = store_position(store, STREAM_STATE);
    int64_t broker_ns = store_broker_time(store);
    uint32_t index = random_below(random, store_count(store));
    if (position.epoch_ns != T0 || position.received_ns != T0 + (int64_t)position.seq)
        return "a position that never was";
    if (store_find(store, "VID-") || store_find(store, "VID-x"))
        return "a vehicle that never was";
    if (broker_ns > T0 + (int64_t)store_position(store, STREAM_STATE).seq + 1)
        return "a broker time ahead of the position";
    return judge_vehicle(reader, index, position.seq);
}

static void *read_store(void *closure)
{
    struct reader *reader = closure;
    struct random random = {reader->seed};
    while (!reader->wrong && (!atomic_load(&done) || reader->reads < READS_MIN)) {
        size_t place = store_enter(store);
        reader->wrong = reader->reads % 100 == 0 ? visit_all(reader) : visit_one(reader, &random);
        store_leave(store, place);
        reader->reads++;
    }
    return NULL;
}

static bool write_all(void)
{
    const uint64_t changes = (uint64_t)VEHICLES * GENERATIONS;
    bool good = true;
    for (uint64_t number = VEHICLES + 1; good && number <= changes; number++) {
        store_lock(store);
        good = change(number);
        if (good && number % ADD_EVERY == 0)
            good = add_vehicles(ADDED);
        store_unlock(store);
    }
    return good;
}

static void store_readers_find_whole_twins_while_they_change(void **state)
{
    (void)state;
    static struct reader readers[READERS];
    struct random random = random_seeded(__func__);
    store = store_new();
    assert_non_null(store);
    store_lock(store);
    assert_true(add_vehicles(VEHICLES));
    for (uint64_t number = 1; number <= VEHICLES; number++)
        assert_true(change(number));
    store_unlock(store);

    for (int i = 0; i < READERS; i++) {
        readers[i].seed = random_next(&random);
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_store, &readers[i]), 0);
    }
    bool written = write_all();
    atomic_store(&done, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i].thread, NULL);

    assert_true(written);
    for (int i = 0; i < READERS; i++) {
        if (readers[i].wrong)
            fail_msg("reader %d, read %llu: %s", i, (unsigned long long)readers[i].reads,
                     readers[i].wrong);
        assert_true(readers[i].reads >= READS_MIN);
        print_message("reader %d: %llu reads\n", i, (unsigned long long)readers[i].reads);
    }
    assert_int_equal(store_count(store),
                     VEHICLES + (GENERATIONS - 1) * VEHICLES / ADD_EVERY * ADDED);
    assert_null(visit_all(&readers[0])); /* the end of it: every last generation is there */
    for (int i = 0; i < VEHICLES; i++)
        assert_int_equal(readers[0].generations[i], GENERATIONS);
    store_free(store);
}

/* ---- growing ---- */

/* Position n of a stream that changes in all that it has. */
static struct position whole_position(uint64_t number)
{
    return (struct position){T0 + (int64_t)number, number, T0 + 2 * (int64_t)number};
}

static bool position_is_whole(void)
{
    struct position position = store_position(store, STREAM_EVENTS);
    struct position whole = whole_position(position.seq);
    return position.seq == 0 ||
           (position.epoch_ns == whole.epoch_ns && position.received_ns == whole.received_ns);
}

static const char *find_newest(struct reader *reader, struct random *random)
{
    char vid[VID_BYTES];
    uint32_t count = store_count(store);
    for (int i = 0; i < 16 && count > 0; i++) {
        uint32_t index = i % 2 ? count - 1 : random_below(random, count);
        vid_of(vid, index);
        const struct twin *found = store_find(store, vid);
        if (!found || found != store_at(store, index) || strcmp(found->vid, vid) != 0)
            return "a vehicle that counts is not found";
        if (!position_is_whole())
            return "a position in two halves";
        reader->reads++;
    }
    return store_find(store, "VID-") ? "a vehicle that never was" : NULL;
}

static void *look_for_vehicles(void *closure)
{
    struct reader *reader = closure;
    struct random random = {reader->seed};
    while (!reader->wrong && !atomic_load(&done)) {
        size_t place = store_enter(store);
        reader->wrong = find_newest(reader, &random);
        store_leave(store, place);
    }
    return NULL;
}

static bool fill_store(void)
{
    bool good = true;
    for (int i = 0; good && i < STORE_FILL; i++) {
        store_lock(store);
        good = add_vehicles(1);
        store_advance(store, STREAM_EVENTS, whole_position((uint64_t)i + 1));
        store_unlock(store);
    }
    return good;
}

static void store_readers_find_every_vehicle_while_the_table_grows(void **state)
{
    (void)state;
    static struct reader readers[SEEKERS];
    struct random random = random_seeded(__func__);
    for (int round = 0; round < STORES; round++) {
        store = store_new();
        assert_non_null(store);
        atomic_store(&done, false);
        for (int i = 0; i < SEEKERS; i++) {
            readers[i].seed = random_next(&random);
            assert_int_equal(
                pthread_create(&readers[i].thread, NULL, look_for_vehicles, &readers[i]), 0);
        }
        bool filled = fill_store();
        atomic_store(&done, true);
        for (int i = 0; i < SEEKERS; i++)
            pthread_join(readers[i].thread, NULL);
        assert_true(filled);
        assert_int_equal(store_count(store), STORE_FILL);
        for (int i = 0; i < SEEKERS; i++)
            if (readers[i].wrong)
                fail_msg("store %d, reader %d: %s", round, i, readers[i].wrong);
        store_free(store);
    }
    uint64_t reads = 0;
    for (int i = 0; i < SEEKERS; i++)
        reads += readers[i].reads;
    assert_true(reads > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_readers_find_whole_twins_while_they_change),
        cmocka_unit_test(store_readers_find_every_vehicle_while_the_table_grows),
    };
    return cmocka_run_group_tests_name("store_threads", tests, NULL, NULL);
}
