/* A stream near its limit makes room of what is archived and old, and of nothing else. */
#include "hub/clock.h"
#include "hub/record_keeper.h"
#include "hub/record_purge.h"
#include "tests/integration/record_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGES = 400, LIMIT_BYTES = 100 * 1024, LOOK_MS = 20 };

/* About 90 % of the limit, each message some 230 bytes. */
static struct bus_stream_info fill(void)
{
    struct bus_error error;
    struct bus_stream_spec spec = {.name = "TWIN_EVENTS",
                                   .subject = "fleet.t.veh.*.evt.>",
                                   .discard = BUS_DISCARD_NEW,
                                   .max_bytes = LIMIT_BYTES,
                                   .replicas = 1};
    help_api(help.bus, "STREAM.DELETE.TWIN_EVENTS", NULL);
    assert_int_equal(bus_stream_create(help.bus, &spec, &error), BUS_OK);
    record_help_events("V1", 1, MESSAGES);
    struct bus_stream_info info = help_info(help.bus, "TWIN_EVENTS");
    assert_true(info.bytes > LIMIT_BYTES / 100 * RECORD_PURGE_PERCENT);
    assert_int_equal(info.messages, MESSAGES);
    return info;
}

static uint64_t purge(const struct record_purge *what, enum bus_status wanted)
{
    struct bus_error error = {""};
    uint64_t purged = 0;
    enum bus_status status = record_purge(help.bus, what, &purged, &error);
    if (status != wanted)
        fail_msg("%d: %s", status, error.text);
    return purged;
}

static void purge_takes_what_is_archived_and_old(void **state)
{
    (void)state;
    struct bus_stream_info info = fill();
    struct record_purge what = {.stream = "TWIN_EVENTS",
                                .created_ns = info.created_ns,
                                .archived_seq = 150,
                                .before_ns = clock_wall_ns()};
    assert_int_equal(purge(&what, BUS_OK), 150);
    assert_int_equal(help_info(help.bus, "TWIN_EVENTS").first_seq, 151);
    assert_int_equal(purge(&what, BUS_OK), 0);
}

static void purge_leaves_what_is_young(void **state)
{
    (void)state;
    struct bus_stream_info info = fill();
    struct bus_stored middle;
    struct bus_error error;
    assert_int_equal(bus_get_seq(help.bus, "TWIN_EVENTS", 201, &middle, &error), BUS_OK);
    struct record_purge what = {.stream = "TWIN_EVENTS",
                                .created_ns = info.created_ns,
                                .archived_seq = MESSAGES,
                                .before_ns = middle.received_ns};
    bus_stored_done(&middle);
    assert_int_equal(purge(&what, BUS_OK), 200);
    assert_int_equal(help_info(help.bus, "TWIN_EVENTS").first_seq, 201);

    what.before_ns -= RECORD_PURGE_AGE_S * NS_PER_S;
    assert_int_equal(purge(&what, BUS_OK), 0);
}

static void purge_of_a_stream_with_room_takes_nothing(void **state)
{
    (void)state;
    struct bus_stream_info info = fill();
    struct bus_error error;
    struct record_purge what = {.stream = "TWIN_EVENTS",
                                .created_ns = info.created_ns,
                                .archived_seq = MESSAGES,
                                .before_ns = clock_wall_ns()};
    assert_int_equal(
        bus_stream_resize(help.bus, "TWIN_EVENTS", (int64_t)info.bytes * 100 / 60, &error), BUS_OK);
    assert_int_equal(purge(&what, BUS_OK), 0);
    assert_int_equal(bus_stream_resize(help.bus, "TWIN_EVENTS", 0, &error), BUS_OK);
    assert_int_equal(purge(&what, BUS_OK), 0);
}

/* The positions are about a stream that is not there any more. */
static void purge_of_another_stream_takes_nothing(void **state)
{
    (void)state;
    struct bus_stream_info info = fill();
    struct record_purge what = {.stream = "TWIN_EVENTS",
                                .created_ns = info.created_ns - 1,
                                .archived_seq = MESSAGES,
                                .before_ns = clock_wall_ns()};
    assert_int_equal(purge(&what, BUS_EPOCH), 0);
    assert_int_equal(help_info(help.bus, "TWIN_EVENTS").messages, MESSAGES);
}

/* A stream that refuses new messages takes them again, without anybody's help. */
static void keeper_makes_room_so_that_a_full_stream_goes_on(void **state)
{
    (void)state;
    struct bus_error error;
    char payload[128];
    uint64_t seq;
    fill();
    struct bus_store what = {.subject = "fleet.t.veh.V2.evt.x",
                             .data = payload,
                             .expected_last_of_subject = BUS_ANY_SEQ};
    int refused_at = 0;
    for (int i = 0; refused_at == 0; i++) {
        assert_true(i < MESSAGES);
        what.size =
            (size_t)snprintf(payload, sizeof payload,
                             "{\"timestamp\":\"2026-01-15T10:30:00Z\",\"seq\":%d,\"data\":{}}", i);
        enum bus_status status = bus_store(help.bus, &what, 10000, &seq, &error);
        if (status != BUS_OK) {
            assert_int_equal(status, BUS_FULL);
            refused_at = i;
        }
    }
    record_help_start();
    struct record_keeper_options options = {
        .config = &help.config, .bus = help.bus, .lane = help.lane, .purge_age_s = 0};
    struct record_keeper *keeper = record_keeper_start(&options);
    assert_non_null(keeper);
    int64_t until_ms = clock_mono_ms() + HELP_ARCHIVE_WAIT_MS;
    while (bus_store(help.bus, &what, 10000, &seq, &error) != BUS_OK) {
        assert_true(clock_mono_ms() < until_ms);
        clock_pause_ms(LOOK_MS);
    }
    record_help_wait("SELECT count(*) FROM records", MESSAGES + refused_at + 1);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE type = 'gap'"), 0);
    record_keeper_stop(keeper);
    record_help_check_log();
}

int main(int argc, char **argv)
{
    record_help_child(argc, argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, record_help_setup, record_help_teardown)
    const struct CMUnitTest tests[] = {
        TEST(purge_takes_what_is_archived_and_old),
        TEST(purge_leaves_what_is_young),
        TEST(purge_of_a_stream_with_room_takes_nothing),
        TEST(purge_of_another_stream_takes_nothing),
        TEST(keeper_makes_room_so_that_a_full_stream_goes_on),
    };
    return cmocka_run_group_tests(tests, record_help_servers, record_help_servers_done);
}
