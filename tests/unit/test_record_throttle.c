/* Refused messages beyond the limit of a minute become one counted record. */
#include "hub/record_throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE (29000000 * RECORD_MINUTE_NS)

static struct record_throttle *throttle;

static int setup(void **state)
{
    (void)state;
    throttle = record_throttle_new();
    assert_non_null(throttle);
    assert_null(record_throttle_due(throttle, MINUTE));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    record_throttle_free(throttle);
    return 0;
}

static bool refuse(const char *vid, int64_t at_ns, uint64_t seq)
{
    struct bus_msg msg = {.stream_seq = seq, .received_ns = at_ns};
    struct slice slice = {vid, vid ? strlen(vid) : 0};
    bool admitted;
    assert_true(record_throttle_admit(throttle, slice, REFUSAL_NOT_JSON, &msg, &admitted));
    return admitted;
}

static void throttle_admits_the_limit_and_counts_the_rest(void **state)
{
    (void)state;
    for (int i = 0; i < RECORD_REFUSED_PER_MINUTE; i++)
        assert_true(refuse("V1", MINUTE + i, (uint64_t)i + 1));
    for (int i = 0; i < 5; i++)
        assert_false(refuse("V1", MINUTE + 20000 + i, 20000 + (uint64_t)i));
    assert_true(refuse("V2", MINUTE, 30000));
    assert_null(record_throttle_due(throttle, MINUTE + RECORD_MINUTE_NS - 1));

    const struct record_refusals *due = record_throttle_due(throttle, MINUTE + RECORD_MINUTE_NS);
    assert_non_null(due);
    assert_string_equal(due->vid, "V1");
    assert_int_equal(due->suppressed, 5);
    assert_int_equal(due->last_seq, 20004);
    struct record_scratch scratch = {0};
    struct record record;
    assert_true(record_of_throttled(&scratch, "TWIN_EVENTS", due, &record));
    assert_int_equal(record.kind, RECORD_REJECTED);
    assert_int_equal(record.stream_seq, 20004);
    const char wanted[] = "{\"reason\":\"not_json\",\"count\":5,\"recorded\":10000,\"minute\":"
                          "\"2025-02-19T21:20:00.000Z\",\"reasons\":{\"not_json\":5}}";
    assert_int_equal(record.data.size, sizeof wanted - 1);
    assert_memory_equal(record.data.at, wanted, sizeof wanted - 1);
    record_scratch_done(&scratch);

    assert_null(record_throttle_due(throttle, MINUTE + RECORD_MINUTE_NS));
    assert_true(refuse("V1", MINUTE + RECORD_MINUTE_NS, 40000));
}

static void throttle_restored_goes_on_counting(void **state)
{
    (void)state;
    struct record_refusals saved[2];
    size_t count = 0;
    for (int i = 0; i < RECORD_REFUSED_PER_MINUTE - 1; i++)
        refuse("V1", MINUTE, 1);
    refuse(NULL, MINUTE, 2);
    const struct record_refusals *entry;
    for (; (entry = record_throttle_at(throttle, count)) != NULL; count++) {
        assert_true(count < 2);
        assert_true(entry->changed);
        saved[count] = *entry;
    }
    assert_int_equal(count, 2);
    assert_true(record_throttle_changed(throttle));
    record_throttle_saved(throttle);
    assert_false(record_throttle_changed(throttle));

    record_throttle_reset(throttle);
    for (size_t i = 0; i < count; i++)
        assert_true(record_throttle_restore(throttle, &saved[i]));
    assert_false(record_throttle_changed(throttle));
    assert_true(refuse("V1", MINUTE, 3));
    assert_false(refuse("V1", MINUTE, 4));
    assert_true(refuse(NULL, MINUTE, 5));
}

static void throttle_has_a_bound_on_vehicles(void **state)
{
    (void)state;
    char vid[32];
    for (int i = 0; i < RECORD_THROTTLE_VEHICLES; i++) {
        snprintf(vid, sizeof vid, "V%d", i);
        assert_true(refuse(vid, MINUTE, 1));
    }
    /* All others share one count. */
    for (int i = 0; i < RECORD_REFUSED_PER_MINUTE; i++) {
        snprintf(vid, sizeof vid, "W%d", i);
        assert_true(refuse(vid, MINUTE, 1));
    }
    assert_false(refuse("X", MINUTE, 1));
    assert_true(refuse("V1", MINUTE, 1));
    assert_null(record_throttle_at(throttle, RECORD_THROTTLE_VEHICLES + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(throttle_admits_the_limit_and_counts_the_rest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(throttle_restored_goes_on_counting, setup, teardown),
        cmocka_unit_test_setup_teardown(throttle_has_a_bound_on_vehicles, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
