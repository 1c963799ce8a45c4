/* Reading TWIN_SHADOW before the twins are there: none is touched until they are, and then all
 * comes as if it had been read afterwards. */
#include "hub/bus_api.h"
#include "hub/shadow_lane.h"
#include "hub/streams.h"
#include "tests/integration/bus_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { VEHICLES = 200, SETTLE_MS = 5000 };
static const int64_t since_ns = INT64_C(1700000000) * NS_PER_S;

static struct bus_server server;
static struct bus *bus;
static struct config config;
static struct store *store;
static struct recorder *recorder;
static struct shadow_lane *lane;
static struct last_found found;

static void make_streams(void)
{
    struct buf report = BUF_INIT;
    if (streams_ensure(bus, &config, &report) != BUS_OK)
        fail_msg("%s", buf_cstr(&report));
    buf_done(&report);
}

static int setup(void **state)
{
    (void)state;
    static char env[] = "test";
    static char region[] = "r1";
    config = (struct config){.env = env, .region = region};
    config.nats.replicas = 1;
    config.nats.limits.state_bytes = 1 << 20;
    config.nats.limits.events_bytes = 1 << 20;
    config.nats.limits.ack_bytes = 1 << 20;
    config.nats.limits.record_bytes = 16 << 20;
    config.nats.limits.payload_bytes = 1 << 20;
    config.nats.shadow_key_style = KEY_SLASHES;
    config.vehicles.admission = ADMISSION_OPEN;
    bus_server_start(&server, NULL, NULL);
    bus = help_open(&server, true);
    make_streams();
    store = store_new();
    recorder = recorder_new(bus, env, region);
    assert_true(store && recorder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shadow_lane_stop(lane);
    lane = NULL;
    last_found_done(&found);
    recorder_free(recorder, SETTLE_MS);
    store_free(store);
    bus_close(bus, SETTLE_MS);
    bus_server_done(&server);
    return 0;
}

/* Stores a value of that vehicle's; its sequence. */
static uint64_t put(int vehicle, enum part_kind part, const char *value)
{
    char vid[16], subject[STREAMS_SUBJECT_BYTES];
    struct bus_error error = {""};
    uint64_t seq = 0;
    int size = snprintf(vid, sizeof vid, "V%d", vehicle);
    struct bus_store what = {
        .subject = streams_shadow_subject(config.nats.shadow_key_style, config.env,
                                          (struct slice){vid, (size_t)size}, part, subject),
        .data = value,
        .size = strlen(value),
        .expected_last_of_subject = BUS_ANY_SEQ};
    if (bus_store(bus, &what, HELP_WAIT_MS, &seq, &error) != BUS_OK)
        fail_msg("%s", error.text);
    return seq;
}

static void put_all(const char *name)
{
    for (int i = 0; i < VEHICLES; i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"%s\":%d}", name, i);
        put(i, PART_REPORTED, text);
    }
}

/* A mark that vouches for all that the bucket holds now. */
static struct position vouched_now(void)
{
    struct bus_stream_info info = help_info(bus, streams_name(TWIN_SHADOW));
    return (struct position){.epoch_ns = info.created_ns, .seq = info.last_seq};
}

static void start(struct position vouched)
{
    struct shadow_lane_options options = {
        .config = &config, .bus = bus, .store = store, .recorder = recorder, .vouched = vouched};
    lane = shadow_lane_start(&options);
    assert_non_null(lane);
}

/* Whether some consumer of the bucket has been given all that it holds. */
static bool all_is_delivered(void)
{
    struct bus_error error = {""};
    json_t *reply = NULL;
    char call[BUS_API_SUBJECT_BYTES];
    snprintf(call, sizeof call, "CONSUMER.LIST.%s", streams_name(TWIN_SHADOW));
    if (bus_api(bus, call, NULL, &reply, &error) != BUS_OK)
        return false;
    const json_t *consumer = json_array_get(json_object_get(reply, "consumers"), 0);
    bool all = consumer && json_integer_value(json_object_get(consumer, "num_pending")) == 0;
    json_decref(reply);
    return all;
}

static void wait_until(bool (*reached)(void))
{
    int64_t until_ms = help_now_ms() + HELP_WAIT_MS;
    while (!reached()) {
        assert_true(help_now_ms() < until_ms);
        help_nap();
    }
}

static bool recovered(void)
{
    return shadow_lane_recovered(lane);
}

static void go(void)
{
    shadow_lane_go(lane, NULL, &found);
    wait_until(recovered);
}

/* What the twin holds of that part, as JSON; "" for none. Valid until the next call. */
static const char *value_of(int vehicle, enum part_kind part)
{
    static char text[256];
    char vid[16];
    struct buf out = BUF_INIT;
    snprintf(vid, sizeof vid, "V%d", vehicle);
    size_t place = store_enter(store);
    const struct twin *twin = store_find(store, vid);
    if (twin && twin->parts[part])
        doc_write(&out, doc_root(twin->parts[part]->value));
    store_leave(store, place);
    snprintf(text, sizeof text, "%s", out.size_bytes ? buf_cstr(&out) : "");
    buf_done(&out);
    return text;
}

static void assert_all_hold(const char *name)
{
    assert_int_equal(store_count(store), VEHICLES);
    for (int i = 0; i < VEHICLES; i++) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "{\"%s\":%d}", name, i);
        assert_string_equal(value_of(i, PART_REPORTED), wanted);
    }
}

static void no_twin_is_touched_before_they_are_there_and_then_each_has_its_value(void **state)
{
    (void)state;
    put_all("a");
    start(vouched_now());
    wait_until(all_is_delivered);
    assert_int_equal(store_count(store), 0);
    assert_false(recovered());
    go();
    assert_all_hold("a");
    assert_int_equal(store_position(store, STREAM_SHADOW).seq, VEHICLES);
}

static void of_a_key_with_a_history_the_last_value_counts(void **state)
{
    (void)state;
    put_all("a");
    put_all("b");
    start(vouched_now());
    wait_until(all_is_delivered);
    go();
    assert_all_hold("b");
}

static void a_bucket_that_is_empty_is_read_as_well(void **state)
{
    (void)state;
    start((struct position){0});
    go();
    assert_int_equal(store_count(store), 0);
}

/* Whatever the mark does not vouch for is looked at with the twins there. */
static void what_came_behind_the_mark_goes_on_record_once_and_the_rest_does_not(void **state)
{
    (void)state;
    put(1, PART_DESIRED, "{\"vouched\":1}");
    struct position mark = vouched_now();
    uint64_t outside = put(2, PART_DESIRED, "{\"outside\":1}");
    put(3, PART_REPORTED, "{\"said\":1}");
    start(mark);
    wait_until(all_is_delivered);
    assert_int_equal(store_count(store), 0);
    assert_int_equal(recorder_queued(recorder), 0);
    go();
    assert_string_equal(value_of(1, PART_DESIRED), "{\"vouched\":1}");
    assert_string_equal(value_of(2, PART_DESIRED), "{\"outside\":1}");
    assert_string_equal(value_of(3, PART_REPORTED), "{\"said\":1}");
    assert_true(recorder_wait(recorder, recorder_last(recorder), HELP_WAIT_MS));
    assert_int_equal(help_info(bus, streams_name(TWIN_RECORD)).messages, 1);
    assert_int_equal(outside, mark.seq + 1);
}

static void of_a_value_that_is_no_object_the_last_good_one_stands(void **state)
{
    (void)state;
    put(1, PART_REPORTED, "{\"good\":1}");
    put(1, PART_REPORTED, "[1]");
    put(2, PART_REPORTED, "{\"behind\":1}");
    start(vouched_now());
    wait_until(all_is_delivered);
    go();
    assert_string_equal(value_of(1, PART_REPORTED), "{\"good\":1}");
    assert_string_equal(value_of(2, PART_REPORTED), "{\"behind\":1}");
}

/* What the entry in TWIN_LAST says of a divergence meets the revisions that it speaks of. */
static void the_beginning_of_a_divergence_is_the_entrys(void **state)
{
    (void)state;
    put(1, PART_REPORTED, "{\"mode\":\"AUTO\"}");
    put(1, PART_DESIRED, "{\"mode\":\"RTL\"}");
    struct position mark = vouched_now();
    start(mark);
    wait_until(all_is_delivered);
    store_lock(store);
    struct vehicle *vehicle = store_vehicle(store, "V1", 2);
    store_unlock(store);
    assert_non_null(vehicle);
    assert_int_equal(vehicle->index, 0);
    found.deltas = calloc(1, sizeof *found.deltas);
    assert_non_null(found.deltas);
    found.deltas[0] = (struct last_delta){true, since_ns, mark.seq, mark.seq - 1};
    found.delta_count = 1;
    go();
    size_t place = store_enter(store);
    const struct twin *twin = store_find(store, "V1");
    assert_non_null(twin->delta);
    assert_int_equal(twin->delta_since_ns, since_ns);
    store_leave(store, place);
}

static bool new_one_is_there(void)
{
    return strcmp(value_of(1, PART_REPORTED), "{\"new\":1}") == 0;
}

static void of_a_bucket_made_anew_meanwhile_nothing_old_remains(void **state)
{
    (void)state;
    put_all("old");
    start(vouched_now());
    wait_until(all_is_delivered);
    help_api(bus, "STREAM.DELETE.KV_TWIN_SHADOW", NULL);
    make_streams();
    put(1, PART_REPORTED, "{\"new\":1}");
    shadow_lane_go(lane, NULL, &found);
    wait_until(new_one_is_there);
    assert_string_equal(value_of(2, PART_REPORTED), "");
}

static void a_lane_that_is_stopped_before_the_twins_are_there_lets_go_of_all(void **state)
{
    (void)state;
    put_all("a");
    start(vouched_now());
    wait_until(all_is_delivered);
    shadow_lane_stop(lane);
    lane = NULL;
    assert_int_equal(store_count(store), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(no_twin_is_touched_before_they_are_there_and_then_each_has_its_value),
        TEST(of_a_key_with_a_history_the_last_value_counts),
        TEST(a_bucket_that_is_empty_is_read_as_well),
        TEST(what_came_behind_the_mark_goes_on_record_once_and_the_rest_does_not),
        TEST(of_a_value_that_is_no_object_the_last_good_one_stands),
        TEST(the_beginning_of_a_divergence_is_the_entrys),
        TEST(of_a_bucket_made_anew_meanwhile_nothing_old_remains),
        TEST(a_lane_that_is_stopped_before_the_twins_are_there_lets_go_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
