/* live_id: what an event's id says, and that nothing else is one. */
#include "hub/live_id.h"

#include "tests/unit/random.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MS(n) ((n)*NS_PER_MS)

static const struct live_id sample = {
    .position = {.streams = {[STREAM_STATE] = {T0, 812, T0 + MS(9)}}, .broker_time_ns = T0 + MS(9)},
    .told = {[STREAM_STATE] = {.epoch_ns = T0, .seq = 900},
             [STREAM_EVENTS] = {.epoch_ns = T0 + MS(4), .seq = 7}},
    .sweep = {T0 - MS(500), T0 + MS(20)},
    .aged_ns = T0 + MS(30),
    .digest = {1, 2, 3, 4, 5, 6, 7, 8},
    .timed = true,
    .judged_ns = {T0 + MS(1), T0 + MS(2)},
};

static void write(const struct live_id *id, char text[LIVE_ID_MAX_BYTES])
{
    char position[POSITION_TOKEN_BYTES];
    struct buf out = BUF_INIT;
    position_write(&id->position, position);
    live_id_write(&out, position, id);
    assert_false(out.failed);
    assert_true(out.size_bytes < LIVE_ID_MAX_BYTES);
    memcpy(text, buf_cstr(&out), out.size_bytes + 1);
    buf_done(&out);
}

static struct live_id read_back(const struct live_id *id)
{
    char text[LIVE_ID_MAX_BYTES];
    struct live_id read;
    write(id, text);
    assert_null(strpbrk(text, "\r\n: ")); /* it is a field's value */
    assert_true(live_id_read(text, &read));
    assert_memory_equal(read.digest, id->digest, LIVE_DIGEST_BYTES);
    assert_int_equal(read.unfinished, id->unfinished);
    assert_int_equal(read.timed, id->timed);
    assert_int_equal(read.position.streams[STREAM_STATE].seq,
                     id->position.streams[STREAM_STATE].seq);
    return read;
}

static void live_id_reads_back_as_it_was(void **state)
{
    (void)state;
    struct live_id read = read_back(&sample);
    assert_int_equal(read.sweep.hearing_ns, sample.sweep.hearing_ns);
    assert_int_equal(read.sweep.swept_ns, sample.sweep.swept_ns);
    assert_int_equal(read.judged_ns[0], sample.judged_ns[0]);
    assert_int_equal(read.judged_ns[1], sample.judged_ns[1]);
    assert_int_equal(read.aged_ns, sample.aged_ns);
    assert_int_equal(read.told[STREAM_STATE].seq, 900);
    assert_int_equal(read.told[STREAM_STATE].epoch_ns, T0);
    assert_int_equal(read.told[STREAM_EVENTS].seq, 7); /* of which the position says nothing */
    assert_int_equal(read.told[STREAM_EVENTS].epoch_ns, T0 + MS(4));
    assert_int_equal(read.told[STREAM_SHADOW].seq, 0);
    struct live_id bare = sample;
    bare.timed = false;
    bare.unfinished = true;
    bare.sweep = (struct store_sweep){TIMESTAMP_NONE, TIMESTAMP_NONE};
    read = read_back(&bare);
    assert_true(read.sweep.swept_ns == TIMESTAMP_NONE);
    assert_int_equal(read.judged_ns[0], 0);
}

/* Milliseconds are cut so that less is taken for sure, never more. */
static void live_id_rounds_to_the_safe_side(void **state)
{
    (void)state;
    struct live_id id = sample;
    id.sweep = (struct store_sweep){T0 + 1, T0 + MS(5) + 999999};
    id.aged_ns = T0 + 1;
    struct live_id read = read_back(&id);
    assert_int_equal(read.sweep.hearing_ns, T0 + MS(1));
    assert_int_equal(read.sweep.swept_ns, T0 + MS(5));
    assert_int_equal(read.aged_ns, T0 + MS(1));
    assert_int_equal(live_id_time(T0 + MS(3) + 17), T0 + MS(3));
}

/* What was told is worth saying only beyond the position, and of the same stream. */
static void live_id_is_short_where_the_position_says_it_all(void **state)
{
    (void)state;
    char text[LIVE_ID_MAX_BYTES], more[LIVE_ID_MAX_BYTES];
    struct live_id id = sample;
    write(&id, more);
    id.told[STREAM_STATE].seq = 812;
    id.told[STREAM_EVENTS].seq = 0;
    write(&id, text);
    assert_true(strlen(text) < strlen(more));
    assert_int_equal(read_back(&id).told[STREAM_STATE].seq, 0);
    id.told[STREAM_STATE] = (struct position){.epoch_ns = T0 - MS(70), .seq = 5000};
    assert_int_equal(read_back(&id).told[STREAM_STATE].seq, 0);
}

static void live_id_is_a_position_too(void **state)
{
    (void)state;
    char text[LIVE_ID_MAX_BYTES];
    struct fleet_position position;
    write(&sample, text);
    assert_true(position_read(text, &position));
    assert_int_equal(position.streams[STREAM_STATE].seq, 812);
}

static void live_id_refuses_what_is_none(void **state)
{
    (void)state;
    char text[LIVE_ID_MAX_BYTES], mutant[LIVE_ID_MAX_BYTES + 8];
    struct live_id read = sample;
    write(&sample, text);
    size_t length = strlen(text);
    for (size_t at = 0; at < length; at++) {
        memcpy(mutant, text, at);
        mutant[at] = '\0'; /* cut off */
        assert_false(live_id_read(mutant, &read));
        memcpy(mutant + at, text + at + 1, length - at); /* one left out */
        assert_false(live_id_read(mutant, &read));
    }
    memcpy(mutant, text, length);
    strcpy(mutant + length, "AAAA");
    assert_false(live_id_read(mutant, &read));
    static const char *const bad[] = {"", ".", "0", "latest", ".AAAAAAAAAAAA", "\xff.\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(live_id_read(bad[i], &read));
    position_write(&sample.position, mutant); /* a position alone is bound to no query */
    assert_false(live_id_read(mutant, &read));
    assert_int_equal(read.judged_ns[1], sample.judged_ns[1]); /* written only on success */
}

static void live_id_of_any_bytes_is_read_within_bounds(void **state)
{
    (void)state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    struct random random = random_seeded(__func__);
    for (int round = 0; round < 20000; round++) {
        char text[LIVE_ID_MAX_BYTES];
        struct live_id read;
        write(&sample, text);
        size_t length = strlen(text);
        for (unsigned i = 1 + random_below(&random, 4); i > 0; i--)
            text[random_below(&random, (unsigned)length)] =
                alphabet[random_below(&random, sizeof alphabet - 1)];
        if (live_id_read(text, &read))
            for (int i = 0; i < 2; i++)
                assert_true(read.judged_ns[i] >= 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_id_reads_back_as_it_was),
        cmocka_unit_test(live_id_rounds_to_the_safe_side),
        cmocka_unit_test(live_id_is_short_where_the_position_says_it_all),
        cmocka_unit_test(live_id_is_a_position_too),
        cmocka_unit_test(live_id_refuses_what_is_none),
        cmocka_unit_test(live_id_of_any_bytes_is_read_within_bounds),
    };
    return cmocka_run_group_tests_name("live_id", tests, NULL, NULL);
}
