/* The JetStream resources of contract §3, made and refused on a nats-server of the test's own. */
#include "hub/streams.h"
#include "tests/integration/bus_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (INT64_C(1) << 20)

static struct bus_server server;
static struct bus *bus;
static struct config config;
static struct buf report;

static void start(const char *store_limit, const char *extra)
{
    bus_server_start(&server, store_limit, extra);
    bus = help_open(&server, true);
}

static int setup(void **state)
{
    (void)state;
    static char env[] = "test";
    static char region[] = "r1";
    config = (struct config){.env = env, .region = region};
    config.nats.replicas = 1;
    config.nats.limits.state_age_s = 3600;
    config.nats.limits.state_bytes = 32 * MIB;
    config.nats.limits.events_age_s = 90 * 86400;
    config.nats.limits.events_bytes = 64 * MIB;
    config.nats.limits.cmd_age_s = 300;
    config.nats.limits.ack_age_s = 7 * 86400;
    config.nats.limits.ack_bytes = 16 * MIB;
    config.nats.limits.record_age_s = 90 * 86400;
    config.nats.limits.record_bytes = 64 * MIB;
    config.nats.limits.commands_age_s = 30 * 86400;
    buf_init(&report);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bus_close(bus, 1000);
    bus = NULL;
    bus_server_done(&server);
    buf_done(&report);
    return 0;
}

static void ensure(enum bus_status wanted)
{
    buf_reset(&report);
    enum bus_status status = streams_ensure(bus, &config, &report);
    if (status != wanted)
        fail_msg("status %d, not %d: %s", (int)status, (int)wanted, buf_cstr(&report));
}

static void makes_all_that_is_missing_and_then_nothing(void **state)
{
    (void)state;
    int64_t created_ns[TWIN_STREAMS];
    start(NULL, NULL);
    ensure(BUS_OK);
    for (enum twin_stream s = 0; s < TWIN_STREAMS; s++) {
        struct bus_stream_info info = help_info(bus, streams_name(s));
        assert_true(streams_check(s, &config, &info, &report));
        created_ns[s] = info.created_ns;
    }
    assert_int_equal(help_info(bus, "TWIN_EVENTS").max_bytes, 64 * MIB);
    assert_int_equal(help_info(bus, "KV_TWIN_SHADOW").max_per_subject, 5);
    ensure(BUS_OK);
    assert_int_equal(report.size_bytes, 0);
    for (enum twin_stream s = 0; s < TWIN_STREAMS; s++)
        assert_int_equal(help_info(bus, streams_name(s)).created_ns, created_ns[s]);
}

static enum bus_status store(const char *subject, const char *id, const char *header,
                             const char *value)
{
    struct bus_error error = {""};
    struct bus_store what = {.subject = subject,
                             .data = "{}",
                             .size = 2,
                             .msg_id = id,
                             .expected_last_of_subject = BUS_ANY_SEQ,
                             .headers = {{header, value}}};
    return bus_store(bus, &what, 3000, NULL, &error);
}

static void a_vehicle_can_roll_nothing_up(void **state)
{
    (void)state;
    start(NULL, NULL);
    ensure(BUS_OK);
    static const char *const subjects[] = {
        "fleet.test.veh.V1.state.position", "fleet.test.veh.V1.evt.armed",
        "fleet.test.veh.V1.cmdack.rtl", "$KV.TWIN_SHADOW.fleet/test/veh/V1/reported"};
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        assert_int_equal(store(subjects[i], NULL, NULL, NULL), BUS_OK);
        assert_int_equal(store(subjects[i], NULL, "Nats-Rollup", "all"), BUS_ERROR);
        assert_int_equal(store(subjects[i], NULL, "Nats-Rollup", "sub"), BUS_ERROR);
    }
    assert_int_equal(help_info(bus, "KV_TWIN_SHADOW").messages, 1);
}

static void a_bucket_keeps_its_history_and_takes_delete_markers(void **state)
{
    (void)state;
    start(NULL, NULL);
    ensure(BUS_OK);
    for (int i = 0; i < 9; i++)
        assert_int_equal(store("$KV.TWIN_SHADOW.fleet/test/veh/V1/desired", NULL, NULL, NULL),
                         BUS_OK);
    assert_int_equal(help_info(bus, "KV_TWIN_SHADOW").messages, 5);
    assert_int_equal(
        store("$KV.TWIN_SHADOW.fleet/test/veh/V1/desired", NULL, "KV-Operation", "DEL"), BUS_OK);
    assert_int_equal(store("$KV.TWIN_LAST.V1", NULL, NULL, NULL), BUS_OK);
    assert_int_equal(store("$KV.TWIN_LAST.V1", NULL, NULL, NULL), BUS_OK);
    assert_int_equal(help_info(bus, "KV_TWIN_LAST").messages, 1);
}

static void contradictions_are_refused_by_name(void **state)
{
    (void)state;
    start(NULL, NULL);
    help_api(bus, "STREAM.CREATE.TWIN_EVENTS",
             "{\"name\": \"TWIN_EVENTS\", \"subjects\": [\"fleet.test.veh.*.evt.>\"],"
             " \"retention\": \"workqueue\", \"storage\": \"memory\", \"discard\": \"new\","
             " \"num_replicas\": 1}");
    help_api(bus, "STREAM.CREATE.KV_TWIN_SHADOW",
             "{\"name\": \"KV_TWIN_SHADOW\", \"subjects\": [\"$KV.TWIN_SHADOW.>\"],"
             " \"retention\": \"limits\", \"storage\": \"file\", \"discard\": \"new\","
             " \"num_replicas\": 1, \"max_msgs_per_subject\": 1, \"allow_rollup_hdrs\": true}");
    ensure(BUS_CONFLICT);
    assert_string_equal(buf_cstr(&report),
                        "TWIN_EVENTS: retention is interest or workqueue and must be limits\n"
                        "TWIN_EVENTS: storage is memory and must be file\n"
                        "KV_TWIN_SHADOW: allow_rollup_hdrs is true and must be false");
    /* and nothing was made beside them */
    struct bus_stream_info info;
    struct bus_error error = {""};
    assert_int_equal(bus_stream_info(bus, "TWIN_STATE", &info, &error), BUS_NOT_FOUND);
}

static void other_sizes_and_ages_are_no_contradiction(void **state)
{
    (void)state;
    start(NULL, NULL);
    ensure(BUS_OK);
    config.nats.limits.events_bytes = 1;
    config.nats.limits.events_age_s = 1;
    ensure(BUS_OK);
    assert_int_equal(help_info(bus, "TWIN_EVENTS").max_bytes, 64 * MIB);
}

static void verify_names_what_is_missing_and_makes_nothing(void **state)
{
    (void)state;
    struct bus_stream_info info;
    struct bus_error error = {""};
    start(NULL, NULL);
    config.nats.streams = STREAMS_VERIFY;
    ensure(BUS_NOT_FOUND);
    for (enum twin_stream s = 0; s < TWIN_STREAMS; s++) {
        assert_non_null(strstr(buf_cstr(&report), streams_name(s)));
        assert_int_equal(bus_stream_info(bus, streams_name(s), &info, &error), BUS_NOT_FOUND);
    }
    config.nats.streams = STREAMS_MANAGE;
    ensure(BUS_OK);
    config.nats.streams = STREAMS_VERIFY;
    ensure(BUS_OK);
}

/* The sum of what is reserved, and each size in its proportion to the others. */
static int64_t reserved_in_proportion(void)
{
    int64_t state_bytes = help_info(bus, "TWIN_STATE").max_bytes;
    int64_t events_bytes = help_info(bus, "TWIN_EVENTS").max_bytes;
    int64_t ack_bytes = help_info(bus, "TWIN_ACK").max_bytes;
    int64_t record_bytes = help_info(bus, "TWIN_RECORD").max_bytes;
    assert_in_range(state_bytes, events_bytes / 2 - 1, events_bytes / 2 + 1);
    assert_in_range(ack_bytes, events_bytes / 4 - 1, events_bytes / 4 + 1);
    assert_int_equal(record_bytes, events_bytes);
    return state_bytes + events_bytes + ack_bytes + record_bytes;
}

static void sizes_shrink_to_what_the_server_has(void **state)
{
    (void)state;
    start("50MB", NULL);
    ensure(BUS_OK);
    assert_in_range(reserved_in_proportion(), 50000000 / 4, 50000000);
    ensure(BUS_OK);
}

static void sizes_shrink_to_what_the_account_has(void **state)
{
    (void)state;
    start(NULL, "accounts { A { jetstream { max_file: 60MB }, users: [ { user: a, password: a } ] }"
                " }\nno_auth_user: a");
    int64_t left = 0;
    struct bus_error error = {""};
    assert_int_equal(bus_storage_left(bus, &left, &error), BUS_OK);
    assert_in_range(left, 59 * 1000000, 63 * 1000000);
    ensure(BUS_OK);
    int64_t reserved = reserved_in_proportion();
    assert_in_range(reserved, left / 2, left);
    int64_t rest = 0;
    assert_int_equal(bus_storage_left(bus, &rest, &error), BUS_OK);
    assert_in_range(rest, left - reserved - MIB, left - reserved);
}

static void a_server_without_room_is_told_of(void **state)
{
    (void)state;
    start("512KB", NULL);
    ensure(BUS_FULL);
    assert_non_null(strstr(buf_cstr(&report), "TWIN_STATE"));
}

static void a_server_that_is_away_is_asked_again(void **state)
{
    (void)state;
    start(NULL, NULL);
    bus_server_kill(&server);
    help_wait_connected(bus, false);
    ensure(BUS_DISCONNECTED);
    bus_server_again(&server, NULL, NULL);
    help_wait_connected(bus, true);
    ensure(BUS_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(makes_all_that_is_missing_and_then_nothing),
        TEST(a_vehicle_can_roll_nothing_up),
        TEST(a_bucket_keeps_its_history_and_takes_delete_markers),
        TEST(contradictions_are_refused_by_name),
        TEST(other_sizes_and_ages_are_no_contradiction),
        TEST(verify_names_what_is_missing_and_makes_nothing),
        TEST(sizes_shrink_to_what_the_server_has),
        TEST(sizes_shrink_to_what_the_account_has),
        TEST(a_server_without_room_is_told_of),
        TEST(a_server_that_is_away_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
