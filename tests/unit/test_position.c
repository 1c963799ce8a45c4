/* position: the Fleet-Position token says what has been applied, and only that. */
#include "hub/position.h"

#include "tests/unit/random.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { ROUNDS = 2000 };

static const struct fleet_position sample = {
    .streams = {{.epoch_ns = T0, .seq = 812},
                {.epoch_ns = T0 + 1, .seq = 1},
                {.seq = 0},
                {.epoch_ns = T0 + 3, .seq = UINT64_MAX}},
    .broker_time_ns = T0 + 9,
};

static void assert_same(const struct fleet_position *a, const struct fleet_position *b)
{
    for (int i = 0; i < POSITION_STREAMS; i++) {
        assert_int_equal(a->streams[i].epoch_ns, b->streams[i].epoch_ns);
        assert_int_equal(a->streams[i].seq, b->streams[i].seq);
    }
    assert_int_equal(a->broker_time_ns, b->broker_time_ns);
}

static bool is_same(const struct fleet_position *a, const struct fleet_position *b)
{
    bool same = a->broker_time_ns == b->broker_time_ns;
    for (int i = 0; i < POSITION_STREAMS; i++)
        same = same && a->streams[i].epoch_ns == b->streams[i].epoch_ns &&
               a->streams[i].seq == b->streams[i].seq;
    return same;
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
    assert_reads_back(&(struct fleet_position){.broker_time_ns = TIMESTAMP_MAX});
}

static void position_of_any_numbers_reads_back(void **state)
{
    (void)state;
    struct random random = random_seeded(__func__);
    for (int round = 0; round < ROUNDS; round++) {
        struct fleet_position position;
        for (int i = 0; i < POSITION_STREAMS; i++) {
            position.streams[i].epoch_ns = (int64_t)random_next(&random);
            position.streams[i].seq = random_next(&random) >> random_below(&random, 64);
        }
        position.broker_time_ns = (int64_t)random_next(&random);
        assert_reads_back(&position);
    }
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
static void position_of_another_version_is_refused(void **state)
{
    (void)state;
    char token[POSITION_TOKEN_BYTES];
    struct fleet_position read;
    position_write(&sample, token);
    assert_int_equal(token[0], 'A'); /* the first six bits of version 1 */
    for (const char *c = "BCDEFabc019-_"; *c; c++) {
        token[0] = *c;
        assert_false(position_read(token, &read));
    }
}

static void position_taken_is_what_the_store_has_applied(void **state)
{
    (void)state;
    static const enum stream_label streams[] = {STREAM_STATE, STREAM_EVENTS, STREAM_ACK,
                                                STREAM_SHADOW};
    struct store *store = store_new();
    struct fleet_position position;
    assert_non_null(store);
    position_take(store, &position);
    assert_true(position.broker_time_ns == TIMESTAMP_NONE);
    store_lock(store);
    for (int i = 0; i < POSITION_STREAMS; i++)
        store_advance(store, streams[i],
                      (struct position){T0 + i, 100 + (uint64_t)i, T0 + 10 + (i == 2)});
    store_advance(store, STREAM_RECORD, (struct position){T0, 77, T0}); /* makes no twins */
    store_unlock(store);
    position_take(store, &position);
    for (int i = 0; i < POSITION_STREAMS; i++) {
        assert_int_equal(position.streams[i].epoch_ns, T0 + i);
        assert_int_equal(position.streams[i].seq, 100 + i);
    }
    assert_int_equal(position.broker_time_ns, T0 + 11);
    store_free(store);
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
    };
    return cmocka_run_group_tests_name("position", tests, NULL, NULL);
}
