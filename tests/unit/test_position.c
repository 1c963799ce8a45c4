/* position: the Fleet-Position token says what has been applied, and only that. */
#include "hub/position.h"

#include "tests/unit/random.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { ROUNDS = 2000 };

#define MS(n) ((n)*NS_PER_MS)

/* Positions hold whole milliseconds and microseconds. */
static const struct fleet_position sample = {
    .streams = {[STREAM_STATE] = {T0, 812, T0 + MS(9)},
                [STREAM_EVENTS] = {T0 + MS(1), 1, T0 + MS(2)},
                [STREAM_SHADOW] = {T0 + MS(3), UINT64_MAX, T0 + MS(7)},
                [STREAM_RECORD] = {T0, 5, T0 + MS(12)}}, /* of a write: later than the twins */
    .broker_time_ns = T0 + MS(9),
};

static bool is_same(const struct fleet_position *a, const struct fleet_position *b)
{
    bool same = a->broker_time_ns == b->broker_time_ns;
    for (int i = 0; i < STREAM_LABELS; i++)
        same = same && a->streams[i].epoch_ns == b->streams[i].epoch_ns &&
               a->streams[i].seq == b->streams[i].seq &&
               a->streams[i].received_ns == b->streams[i].received_ns;
    return same;
}

static void assert_same(const struct fleet_position *a, const struct fleet_position *b)
{
    assert_true(is_same(a, b));
}

static void assert_reads_back(const struct fleet_position *position)
{
    char token[POSITION_TOKEN_BYTES];
    struct fleet_position read;
    position_write(position, token);
    assert_true(strlen(token) > 0 && strlen(token) < POSITION_TOKEN_BYTES);
    assert_int_equal(
        strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
        strlen(token)); /* fit for a header and for a URL */
    assert_true(position_read(token, &read));
    assert_same(&read, position);
}

static void position_reads_back_as_it_was(void **state)
{
    (void)state;
    assert_reads_back(&sample);
    assert_reads_back(&(struct fleet_position){.broker_time_ns = TIMESTAMP_NONE});
    assert_reads_back(&(struct fleet_position){.broker_time_ns = TIMESTAMP_MAX / 1000 * 1000});
}

static void position_of_any_numbers_reads_back(void **state)
{
    (void)state;
    struct random random = random_seeded(__func__);
    for (int round = 0; round < ROUNDS; round++) {
        struct fleet_position position = {.broker_time_ns =
                                              (int64_t)(random_next(&random) >> 12 | 1) * 1000};
        for (int i = 0; i < STREAM_LABELS; i++) {
            if (random_below(&random, 4) == 0)
                continue;
            position.streams[i] =
                (struct position){(int64_t)(1 + random_below(&random, 1u << 31)) * NS_PER_MS,
                                  1 + (random_next(&random) >> (1 + random_below(&random, 63))),
                                  (int64_t)(random_next(&random) >> 12) * 1000};
        }
        assert_reads_back(&position);
    }
}

static void position_is_short_where_streams_are_busy(void **state)
{
    (void)state;
    struct fleet_position position = {.broker_time_ns = T0};
    char token[POSITION_TOKEN_BYTES];
    size_t i = 0;
    for (; position_stream(i) != STREAM_LABELS; i++)
        position.streams[position_stream(i)] =
            (struct position){T0 - 3600 * NS_PER_S, 1000000, T0 - MS(20)};
    assert_int_equal(i, 6);
    position_write(&position, token);
    assert_true(strlen(token) <= 112); /* it stands on every event of a live query */
}

/* The id of a live query's event is a position and more. */
static void position_in_an_id_is_read(void **state)
{
    (void)state;
    char token[POSITION_TOKEN_BYTES + 8];
    struct fleet_position read;
    position_write(&sample, token);
    strcat(token, ".Zm9v");
    assert_true(position_read(token, &read));
    assert_same(&read, &sample);
}

static void position_mutated_anywhere_is_refused_or_another_position(void **state)
{
    (void)state;
    char token[POSITION_TOKEN_BYTES], mutant[POSITION_TOKEN_BYTES + 1];
    char again[POSITION_TOKEN_BYTES];
    struct fleet_position read;
    position_write(&sample, token);
    size_t length = strlen(token);
    for (size_t at = 0; at < length; at++)
        for (int c = 1; c < 256; c++) {
            memcpy(mutant, token, length + 1);
            mutant[at] = (char)c;
            if (mutant[at] == token[at] || !position_read(mutant, &read))
                continue;
            position_write(&read, again);
            assert_string_equal(again, mutant);
            assert_false(is_same(&read, &sample));
        }
}

static void position_of_another_length_is_refused(void **state)
{
    (void)state;
    char token[POSITION_TOKEN_BYTES], mutant[2 * POSITION_TOKEN_BYTES];
    struct fleet_position read;
    position_write(&sample, token);
    size_t length = strlen(token);
    for (size_t at = 0; at < length; at++) { /* cut off, and one left out */
        memcpy(mutant, token, at);
        mutant[at] = '\0';
        assert_false(position_read(mutant, &read));
        memcpy(mutant + at, token + at + 1, length - at);
        assert_false(position_read(mutant, &read));
    }
    memcpy(mutant, token, length);
    memset(mutant + length, 'A', POSITION_TOKEN_BYTES - 1);
    for (size_t more = 1; more < POSITION_TOKEN_BYTES; more++) {
        mutant[length + more] = '\0';
        assert_false(position_read(mutant, &read));
        mutant[length + more] = 'A';
    }
}

static void position_refuses_what_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "0", "AQ", "latest", "812", "\"\"", "AQ==", " "};
    struct fleet_position read = sample;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(position_read(bad[i], &read));
    assert_same(&read, &sample); /* written only on success */
}

/* Another version may mean something else by the same bytes. */
/* Another version may mean something else by the same bytes. */
static void position_of_another_version_is_refused(void **state)
{
    (void)state;
    char token[POSITION_TOKEN_BYTES];
    struct fleet_position read;
    position_write(&sample, token);
    assert_int_equal(token[0], 'A'); /* the first six bits of version 2 */
    for (const char *c = "BCDEFabc019-_"; *c; c++) {
        token[0] = *c;
        assert_false(position_read(token, &read));
    }
}

static void position_taken_is_what_the_store_has_applied(void **state)
{
    (void)state;
    struct store *store = store_new();
    struct fleet_position position;
    assert_non_null(store);
    position_take(store, &position);
    assert_true(position.broker_time_ns == TIMESTAMP_NONE);
    store_lock(store);
    for (int i = 0; i < STREAM_LABELS; i++)
        store_advance(store, (enum stream_label)i,
                      (struct position){T0 + i, 100 + (uint64_t)i, T0 + 10 + (i == 2)});
    store_unlock(store);
    position_take(store, &position);
    for (size_t i = 0; position_stream(i) != STREAM_LABELS; i++) {
        enum stream_label stream = position_stream(i);
        assert_int_equal(position.streams[stream].epoch_ns, T0 + (int)stream);
        assert_int_equal(position.streams[stream].seq, 100 + stream);
    }
    assert_int_equal(position.streams[STREAM_RECORD].seq, 0); /* it makes no twins */
    assert_int_equal(position.broker_time_ns, T0 + 11);
    store_free(store);
}

/* ---- comparing ---- */

static enum position_order compare(struct position wanted, struct position have)
{
    static const struct position none;
    return position_compare(&wanted, &have, &none);
}

static void position_is_reached_from_its_message_on(void **state)
{
    (void)state;
    struct position have = {T0, 100, T0 + MS(100)};
    assert_int_equal(compare((struct position){T0, 99, T0 + MS(99)}, have), POSITION_REACHED);
    assert_int_equal(compare((struct position){T0, 100, T0 + MS(100)}, have), POSITION_REACHED);
    assert_int_equal(compare((struct position){T0, 101, T0 + MS(101)}, have), POSITION_BEHIND);
    assert_int_equal(compare((struct position){0}, have), POSITION_REACHED);
    assert_int_equal(compare((struct position){T0, 1, T0}, (struct position){0}), POSITION_BEHIND);
    /* a token holds less of the time than the hub does */
    assert_int_equal(compare((struct position){T0, 100, T0 + MS(100)},
                             (struct position){T0, 100, T0 + MS(100) + 7}),
                     POSITION_REACHED);
}

static void position_of_another_epoch_is_void_or_not_known_yet(void **state)
{
    (void)state;
    struct position have = {T0, 100, T0 + MS(100)};
    assert_int_equal(compare((struct position){T0 - MS(1), 5, T0}, have), POSITION_VOID);
    assert_int_equal(compare((struct position){T0 + MS(500), 5, T0 + MS(600)}, have),
                     POSITION_BEHIND);
}

/* A broker that lost its tail gives the same sequences to other messages. */
static void position_of_a_lost_message_is_void(void **state)
{
    (void)state;
    int64_t later = T0 + 60 * NS_PER_S;
    struct position have = {T0, 95, later}, lost = {T0, 100, T0 + MS(100)};
    assert_int_equal(compare(lost, have), POSITION_VOID);
    have = (struct position){T0, 100, later}; /* the same sequence, another message */
    assert_int_equal(compare(lost, have), POSITION_VOID);
    have = (struct position){T0, 200, later};
    assert_int_equal(compare(lost, have), POSITION_REACHED); /* nothing shows it any more, but: */
    struct position fork = {T0, 91, later - MS(10)}, kept = {T0, 90, T0 + MS(90)};
    assert_int_equal(position_compare(&lost, &have, &fork), POSITION_VOID);
    assert_int_equal(position_compare(&kept, &have, &fork), POSITION_REACHED);
    struct position since = {T0, 150, later};
    assert_int_equal(position_compare(&since, &have, &fork), POSITION_REACHED);
}

/* The other way round: this hub has not noticed that its tail is gone. */
static void position_of_a_history_not_noticed_yet_is_waited_for(void **state)
{
    (void)state;
    struct position have = {T0, 100, T0 + MS(100)};
    assert_int_equal(compare((struct position){T0, 95, T0 + 60 * NS_PER_S}, have), POSITION_BEHIND);
    assert_int_equal(compare((struct position){T0, 100, T0 + 60 * NS_PER_S}, have),
                     POSITION_BEHIND);
}

static void position_bears_a_clock_that_steps_back_a_little(void **state)
{
    (void)state;
    struct position have = {T0, 100, T0 + MS(POSITION_SLACK_MS)};
    assert_int_equal(compare((struct position){T0, 101, T0 + MS(1)}, have), POSITION_BEHIND);
    assert_int_equal(compare((struct position){T0, 99, T0 + MS(POSITION_SLACK_MS) + MS(900)}, have),
                     POSITION_REACHED);
}

static void store_remembers_where_a_stream_was_written_on(void **state)
{
    (void)state;
    struct store *store = store_new();
    struct fleet_position lost;
    store_lock(store);
    store_advance(store, STREAM_STATE, (struct position){T0, 100, T0 + MS(100)});
    position_take(store, &lost);
    store_reposition(store, STREAM_STATE, (struct position){.epoch_ns = T0});
    for (uint64_t seq = 1; seq <= 90; seq++)
        store_advance(store, STREAM_STATE, (struct position){T0, seq, T0 + MS((int64_t)seq)});
    assert_int_equal(store_fork(store, STREAM_STATE).seq, 0);
    assert_int_equal(position_reached(store, &lost), POSITION_BEHIND);
    for (uint64_t seq = 91; seq <= 200; seq++)
        store_advance(store, STREAM_STATE,
                      (struct position){T0, seq, T0 + 60 * NS_PER_S + MS((int64_t)seq)});
    store_unlock(store);
    assert_int_equal(store_fork(store, STREAM_STATE).seq, 91);
    assert_int_equal(position_reached(store, &lost), POSITION_VOID);
    store_free(store);
}

static void position_includes_what_was_written(void **state)
{
    (void)state;
    struct fleet_position position = {.streams[STREAM_SHADOW] = {T0, 10, T0}};
    position_include(&position, STREAM_SHADOW, (struct position){T0, 8, T0});
    assert_int_equal(position.streams[STREAM_SHADOW].seq, 10);
    position_include(&position, STREAM_SHADOW, (struct position){T0, 12, T0 + 1});
    assert_int_equal(position.streams[STREAM_SHADOW].seq, 12);
    position_include(&position, STREAM_SHADOW, (struct position){T0 + MS(1), 1, T0 + MS(2)});
    assert_int_equal(position.streams[STREAM_SHADOW].seq, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(position_reads_back_as_it_was),
        cmocka_unit_test(position_of_any_numbers_reads_back),
        cmocka_unit_test(position_mutated_anywhere_is_refused_or_another_position),
        cmocka_unit_test(position_of_another_length_is_refused),
        cmocka_unit_test(position_refuses_what_is_none),
        cmocka_unit_test(position_of_another_version_is_refused),
        cmocka_unit_test(position_taken_is_what_the_store_has_applied),
        cmocka_unit_test(position_is_short_where_streams_are_busy),
        cmocka_unit_test(position_in_an_id_is_read),
        cmocka_unit_test(position_is_reached_from_its_message_on),
        cmocka_unit_test(position_of_another_epoch_is_void_or_not_known_yet),
        cmocka_unit_test(position_of_a_lost_message_is_void),
        cmocka_unit_test(position_of_a_history_not_noticed_yet_is_waited_for),
        cmocka_unit_test(position_bears_a_clock_that_steps_back_a_little),
        cmocka_unit_test(store_remembers_where_a_stream_was_written_on),
        cmocka_unit_test(position_includes_what_was_written),
    };
    return cmocka_run_group_tests_name("position", tests, NULL, NULL);
}
