/* The record lane between real servers: what becomes a record, and what is noticed on the way. */
#include "tests/integration/record_help.h"

#include "hub/clock.h"
#include "hub/record.h"
#include "hub/record_hash.h"
#include "hub/record_throttle.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EVENT_COUNT "SELECT count(*) FROM records WHERE kind = 'event'"

static void store_text(const char *subject, const char *payload)
{
    record_help_store(subject, payload, strlen(payload));
}

static void assert_text(const char *sql, const char *wanted)
{
    char text[512];
    pg_server_text(help.pg, sql, text, sizeof text);
    assert_string_equal(text, wanted);
}

/* ---- what becomes a record ---- */

static void record_keeps_every_member(void **state)
{
    (void)state;
    record_help_start();
    store_text("fleet.t.veh.V1.evt.battery.low",
               "{\"timestamp\":\"2026-01-15T10:30:00.123456789Z\",\"boot\":\"b7\",\"seq\":5,"
               "\"data\":{ \"z\":1.0, \"a\":2, \"severity\":4 }}");
    store_text("fleet.t.veh.V1.cmdack.rtl", "{\"cmd_id\":\"c.V1\",\"status\":\"accepted\","
                                            "\"timestamp\":\"1960-01-01T00:00:00.000000001Z\"}");
    record_help_wait("SELECT count(*) FROM records", 2);
    assert_text("SELECT concat_ws('|', kind, vid, region, type, severity, boot, vehicle_seq, "
                "timestamp AT TIME ZONE 'UTC', timestamp_rest_ns, stream, stream_seq, data, "
                "convert_from(raw, 'UTF8')) FROM records WHERE kind = 'event'",
                "event|V1|r|battery.low|warning|b7|5|2026-01-15 10:30:00.123456|789|TWIN_EVENTS|1|"
                "{\"a\": 2, \"z\": 1.0, \"severity\": 4}|{ \"z\":1.0, \"a\":2, \"severity\":4 }");
    assert_text("SELECT concat_ws('|', kind, vid, type, severity, boot, vehicle_seq, "
                "timestamp AT TIME ZONE 'UTC', timestamp_rest_ns, stream, data->>'status') "
                "FROM records WHERE kind = 'ack'",
                "ack|V1|rtl|1960-01-01 00:00:00|1|TWIN_ACK|accepted");
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE "
                                            "received > now() - interval '1 minute' AND "
                                            "archived >= received - interval '1 second'"),
                     2);
    record_help_check_log();
}

static void record_published_again_is_one_record(void **state)
{
    (void)state;
    record_help_start();
    record_help_events("V1", 1, 800);
    record_help_events("V1", 1, 800);
    record_help_events("V2", 1, 10);
    record_help_wait("SELECT seq FROM stream_positions WHERE stream = 'TWIN_EVENTS'", 1610);
    assert_int_equal(pg_server_int(help.pg, EVENT_COUNT), 810);
    record_help_stop();
    record_help_start();
    record_help_events("V2", 1, 20);
    record_help_wait("SELECT seq FROM stream_positions WHERE stream = 'TWIN_EVENTS'", 1630);
    assert_int_equal(pg_server_int(help.pg, EVENT_COUNT), 820);
    record_help_check_log();
}

/* Each refusal once, by its position; good ones among them untouched. */
static void record_refuses_each_bad_message_once(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "{",
                                      "[]",   "{\"timestamp\":\"x\",\"data\":{}}",
                                      "null", "{\"timestamp\":\"2026-01-01T00:00:00Z\"}",
                                      "\xff", "{\"a\":1,\"a\":2}"};
    enum { BAD = sizeof bad / sizeof *bad };
    record_help_start();
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < BAD; i++)
            record_help_store("fleet.t.veh.V1.evt.x", bad[i], strlen(bad[i]));
        record_help_events("V1", round * 10, 10);
    }
    store_text("fleet.t.veh.stream.evt.x", "{}");
    store_text("fleet.t.hub.r.record.presence.V1", "{\"no\":\"record\"}");
    record_help_wait("SELECT count(*) FROM records", 2 * BAD + 20 + 2);
    assert_int_equal(pg_server_int(help.pg, EVENT_COUNT), 20);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE kind = 'rejected' "
                                            "AND type = 'not_json' AND vid = 'V1'"),
                     8);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE kind = 'rejected' "
                                            "AND type = 'bad_envelope'"),
                     7);
    assert_text("SELECT concat_ws('|', type, vid, stream, data->>'subject') FROM records "
                "WHERE type = 'bad_subject'",
                "bad_subject|TWIN_EVENTS|fleet.t.veh.stream.evt.x");
    assert_text("SELECT concat_ws('|', type, vid, stream_seq, data) FROM records "
                "WHERE stream = 'TWIN_RECORD'",
                "bad_envelope|V1|1|{\"size\": 15, \"reason\": \"bad_envelope\", \"payload\": "
                "\"eyJubyI6InJlY29yZCJ9\", \"subject\": \"fleet.t.hub.r.record.presence.V1\"}");
    record_help_check_log();
}

/* What jsonb and text refuse is kept as it came, and blocks nobody. */
static void record_with_nul_or_monstrous_number_is_archived(void **state)
{
    (void)state;
    record_help_start();
    record_help_events("V1", 1, 5);
    store_text("fleet.t.veh.V2.evt.x", "{\"timestamp\":\"2026-01-01T00:00:00Z\","
                                       "\"boot\":\"a\\u0000b\",\"data\":{\"t\":\"x\\u0000y\"}}");
    store_text("fleet.t.veh.V2.evt.x", "{\"timestamp\":\"2026-01-01T00:00:00Z\","
                                       "\"data\":{\"t\":\"x\\\\u0000y\"}}");
    store_text("fleet.t.veh.V2.evt.x", "{\"timestamp\":\"2026-01-01T00:00:00Z\","
                                       "\"data\":{\"n\":1e-30000}}");
    record_help_events("V1", 6, 5);
    record_help_wait("SELECT seq FROM stream_positions WHERE stream = 'TWIN_EVENTS'", 13);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE vid = 'V1' "
                                            "AND data IS NOT NULL"),
                     10);
    assert_text("SELECT concat_ws('|', data, boot, encode(boot_raw, 'hex'), "
                "convert_from(raw, 'UTF8')) FROM records WHERE stream_seq = 6",
                "610062|{\"t\":\"x\\u0000y\"}");
    assert_text("SELECT data->>'t' FROM records WHERE stream_seq = 7", "x\\u0000y");
    assert_text("SELECT concat_ws('|', kind, data IS NULL, convert_from(raw, 'UTF8')) "
                "FROM records WHERE stream_seq = 8 AND kind = 'event'",
                "event|t|{\"n\":1e-30000}");
    record_help_check_log();
}

/* They lie in one batch, here and there. */
static void monstrous_numbers_among_many_are_found(void **state)
{
    enum { MONSTERS = 30, BETWEEN = 50 };
    char payload[128];
    (void)state;
    for (int i = 0; i < MONSTERS; i++) {
        record_help_events("V1", i * BETWEEN, BETWEEN);
        snprintf(payload, sizeof payload,
                 "{\"timestamp\":\"2026-01-01T00:00:00Z\",\"seq\":%d,\"data\":{\"n\":1e-30000}}",
                 i);
        store_text("fleet.t.veh.V2.evt.x", payload);
    }
    record_help_start();
    record_help_wait("SELECT seq FROM stream_positions WHERE stream = 'TWIN_EVENTS'",
                     MONSTERS * (BETWEEN + 1));
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE vid = 'V1' "
                                            "AND data IS NOT NULL"),
                     MONSTERS * BETWEEN);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE vid = 'V2' "
                                            "AND data IS NULL AND "
                                            "raw = convert_to('{\"n\":1e-30000}', 'UTF8')"),
                     MONSTERS);
    record_help_check_log();
}

static void record_of_the_hub_is_one_however_many_publish_it(void **state)
{
    (void)state;
    struct record record;
    struct buf text = BUF_INIT;
    record_help_start();
    for (int hub = 0; hub < 2; hub++) {
        record_init(&record);
        record.kind = RECORD_PRESENCE;
        record_id_of(RECORD_PRESENCE, "V1/offline/1", 12, record.id);
        record.vid = (struct slice){"V1", 2};
        record.type = (struct slice){"offline", 7};
        record.actor = (struct slice){"hub", 3};
        record.timestamp_ns = 1767225600 * NS_PER_S + hub;
        record.data = (struct slice){"{\"since\":1}", 11};
        buf_reset(&text);
        record_write(&text, &record);
        record_help_store("fleet.t.hub.r.record.presence.V1", text.data, text.size_bytes);
    }
    buf_done(&text);
    record_help_wait("SELECT seq FROM stream_positions WHERE stream = 'TWIN_RECORD'", 2);
    assert_text("SELECT concat_ws('|', count(*), min(kind), min(vid), min(actor), min(stream), "
                "min(stream_seq)) FROM records",
                "1|presence|V1|hub|TWIN_RECORD|1");
}

static void store_as(const char *msg_id, const char *vid, int n)
{
    char subject[64], payload[128];
    snprintf(subject, sizeof subject, "fleet.t.veh.%s.evt.x", vid);
    struct bus_store what = {.subject = subject,
                             .data = payload,
                             .msg_id = msg_id,
                             .expected_last_of_subject = BUS_ANY_SEQ};
    struct bus_error error;
    uint64_t seq, last = help_info(help.bus, "TWIN_EVENTS").last_seq;
    what.size = (size_t)snprintf(payload, sizeof payload,
                                 "{\"timestamp\":\"2026-01-01T00:00:00Z\",\"data\":{\"n\":%d}}", n);
    int64_t until_ms = clock_mono_ms() + HELP_ARCHIVE_WAIT_MS;
    do { /* until the stream's window is over, and it takes the id again */
        assert_true(clock_mono_ms() < until_ms);
        assert_int_equal(bus_store(help.bus, &what, 10000, &seq, &error), BUS_OK);
    } while (seq <= last);
}

/* As short a window as the server has. */
static void shorten_window(void)
{
    help_api(help.bus, "STREAM.UPDATE.TWIN_EVENTS",
             "{\"name\":\"TWIN_EVENTS\",\"subjects\":[\"fleet.t.veh.*.evt.>\"],"
             "\"storage\":\"file\",\"retention\":\"limits\",\"num_replicas\":1,"
             "\"duplicate_window\":100000000}");
}

static void record_of_another_message_under_the_same_id_is_flagged(void **state)
{
    (void)state;
    record_help_start();
    shorten_window();
    store_as("m1", "V1", 1);
    store_as("m2", "V2", 1); /* another vehicle's ids are its own */
    store_as("m1", "V1", 2);
    store_as("m2", "V3", 2);
    store_as("m1", "V1", 1); /* the same again is the same */
    store_as("m1", "V1", 2);
    store_as("m3", "V1", 3);
    record_help_wait("SELECT seq FROM stream_positions WHERE stream = 'TWIN_EVENTS'", 7);
    assert_text("SELECT string_agg(vid || (data->>'n'), ' ' ORDER BY vid, data->>'n') FROM records "
                "WHERE kind = 'event'",
                "V11 V12 V13 V21 V32");
    assert_text("SELECT string_agg(concat_ws('|', s.vid, s.data->>'message_id', a.data->>'n', "
                "b.data->>'n'), ' ') FROM records s JOIN records a ON a.id = "
                "(s.data->>'first')::uuid JOIN records b ON b.id = (s.data->>'second')::uuid "
                "WHERE s.kind = 'system' AND s.type = 'message_id_reused'",
                "V1|m1|1|2");
    record_help_check_log();
}

/* The hash in the row is that of the row read back. */
static void record_hash_is_that_of_what_a_reader_sees(void **state)
{
    (void)state;
    record_help_start();
    store_text("fleet.t.veh.V1.evt.x", "{\"timestamp\":\"2026-01-01T00:00:00Z\",\"data\":{}}");
    record_help_wait("SELECT count(*) FROM records", 1);
    assert_int_equal(
        pg_server_int(
            help.pg,
            "SELECT count(*) FROM records WHERE hash = sha256('\\x00'::bytea || convert_to("
            "'{\"id\":\"' || replace(id::text, '-', '') || '\",\"seq\":1,\"kind\":\"event\","
            "\"vid\":\"V1\",\"region\":\"r\",\"type\":\"x\",\"severity\":null,\"actor\":null,"
            "\"request_id\":null,\"boot\":null,\"vehicle_seq\":null,"
            "\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"received\":\"' || "
            "to_char(received AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US') || "
            "lpad(received_rest_ns::text, 3, '0') || 'Z\",\"archived\":\"' || "
            "to_char(archived AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US') || "
            "'000Z\",\"stream\":\"TWIN_EVENTS\",\"stream_seq\":1,\"data\":{}}', 'UTF8'))"),
        1);
}

/* ---- refusals beyond the limit ---- */

static void record_counts_refusals_beyond_the_limit_across_a_restart(void **state)
{
    (void)state;
    enum { BEYOND = 30 };
    int64_t minute = clock_wall_ns() / RECORD_MINUTE_NS;
    record_help_start();
    for (int i = 0; i < 10; i++)
        record_help_store("fleet.t.veh.V1.evt.x", "bad", 3);
    record_help_wait("SELECT coalesce(max(recorded), 0) FROM refusals", 10);
    record_help_stop();
    /* As if nearly the whole limit had been used up: in this minute, wherever it ends. */
    pg_server_script(help.pg, "UPDATE refusals SET recorded = 9999, minute = minute + 1000000");
    record_help_start();
    for (int i = 0; i < 1 + BEYOND; i++)
        record_help_store("fleet.t.veh.V1.evt.x", "bad", 3);
    record_help_events("V2", 1, 1);
    record_help_wait("SELECT count(*) FROM records WHERE kind = 'event'", 1);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE kind = 'rejected'"),
                     11);
    assert_int_equal(pg_server_int(help.pg, "SELECT suppressed FROM refusals WHERE vid = 'V1'"),
                     BEYOND);
    record_help_stop();

    /* The minute is over: the next message, of another vehicle, brings the counted record. */
    char sql[128];
    snprintf(sql, sizeof sql, "UPDATE refusals SET minute = %lld", (long long)minute - 1);
    pg_server_script(help.pg, sql);
    record_help_start();
    record_help_events("V2", 2, 1);
    record_help_wait("SELECT count(*) FROM records WHERE kind = 'event'", 2);
    assert_text("SELECT concat_ws('|', vid, type, stream, data->>'count', data->>'recorded', "
                "data->'reasons') FROM records WHERE data ? 'count'",
                "V1|not_json|TWIN_EVENTS|30|10000|{\"not_json\": 30}");
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM refusals"), 0);
    record_help_check_log();
}

/* ---- streams that are not what they were ---- */

static void record_of_a_stream_made_anew_goes_on(void **state)
{
    (void)state;
    record_help_start();
    record_help_events("V1", 1, 100);
    record_help_wait(EVENT_COUNT, 100);
    help_api(help.bus, "STREAM.DELETE.TWIN_EVENTS", NULL);
    help_stream(help.bus, "TWIN_EVENTS", "fleet.t.veh.*.evt.>");
    record_help_events("V1", 101, 50);
    record_help_wait(EVENT_COUNT, 150);
    assert_text("SELECT concat_ws('|', stream, type, data->>'reason', data->'before'->>'seq') "
                "FROM records WHERE kind = 'system'",
                "TWIN_EVENTS|epoch|recreated|100");
    record_help_check_log();
}

/* The broker comes back without its tail and writes on: the same sequences, other messages. */
static void record_of_a_stream_that_lost_its_tail_takes_new_for_new(void **state)
{
    (void)state;
    record_help_start();
    record_help_events("V1", 1, 50);
    record_help_store("fleet.t.veh.V1.evt.x", "bad1", 4);
    record_help_wait("SELECT count(*) FROM records", 51);
    bus_server_stop(&help.nats);
    bus_server_keep(&help.nats);
    bus_server_again(&help.nats, NULL, NULL);
    record_help_reconnect();
    record_help_events("V1", 51, 50);
    record_help_store("fleet.t.veh.V1.evt.x", "bad2", 4);
    record_help_wait("SELECT count(*) FROM records", 102);
    record_help_stop();

    bus_server_stop(&help.nats);
    bus_server_bring_back(&help.nats);
    bus_server_again(&help.nats, NULL, NULL);
    record_help_reconnect();
    record_help_events("V1", 201, 50);
    record_help_store("fleet.t.veh.V1.evt.x", "bad3", 4); /* at the sequence of bad2 */
    record_help_events("V1", 251, 50);
    record_help_start();
    record_help_wait("SELECT count(*) FROM records WHERE kind = 'event'", 200);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE kind = 'rejected'"),
                     3);
    assert_text("SELECT concat_ws('|', type, data->>'reason', data->'before'->>'seq') FROM records "
                "WHERE kind = 'system'",
                "epoch|tail_lost|102");
    record_help_check_log();
}

static void record_of_messages_gone_unarchived_is_a_gap(void **state)
{
    (void)state;
    record_help_start();
    record_help_events("V1", 1, 50);
    record_help_wait(EVENT_COUNT, 50);
    record_help_stop();
    record_help_events("V1", 51, 50);
    help_api(help.bus, "STREAM.PURGE.TWIN_EVENTS", "{\"seq\":81}");
    record_help_start();
    record_help_wait(EVENT_COUNT, 70);
    assert_text("SELECT concat_ws('|', stream, type, severity, data->>'from', data->>'to', "
                "data->>'missing') FROM records WHERE kind = 'system'",
                "TWIN_EVENTS|gap|error|51|80|30");
    /* In the middle, too. */
    record_help_stop();
    record_help_events("V1", 101, 10);
    help_api(help.bus, "STREAM.MSG.DELETE.TWIN_EVENTS", "{\"seq\":105}");
    record_help_start();
    record_help_wait(EVENT_COUNT, 79);
    assert_text("SELECT concat_ws('|', data->>'from', data->>'to') FROM records "
                "WHERE kind = 'system' ORDER BY seq DESC LIMIT 1",
                "105|105");
    record_help_check_log();
}

/* ---- archived positions, states of the lane ---- */

/* The last text published on `archived`. */
static void last_archived(char *text, size_t text_bytes)
{
    struct bus_consume what = {.stream = "ARCHIVED", .from = BUS_FROM_LAST_PER};
    struct bus_consumer *consumer = NULL;
    struct bus_error error;
    struct bus_msg msg;
    *text = '\0';
    assert_int_equal(bus_consume(help.bus, &what, &consumer, NULL, &error), BUS_OK);
    if (bus_next(consumer, 500, &msg) == BUS_OK) {
        snprintf(text, text_bytes, "%.*s", (int)msg.size, msg.data);
        bus_msg_done(&msg);
    }
    bus_consumer_close(consumer);
}

static void epoch_of(const char *text, char epoch[64])
{
    const char *at = strstr(text, "\"epoch\":\"");
    assert_non_null(at);
    snprintf(epoch, 64, "%.*s", (int)strcspn(at + 9, "\""), at + 9);
}

static void wait_archived(const char *wanted, char *text, size_t text_bytes)
{
    int64_t until_ms = clock_mono_ms() + HELP_ARCHIVE_WAIT_MS;
    do {
        last_archived(text, text_bytes);
        if (clock_mono_ms() > until_ms)
            fail_msg("%s instead of %s", text, wanted);
    } while (!strstr(text, wanted));
}

static void archived_positions_are_published_and_their_epoch_tells_of_doubt(void **state)
{
    (void)state;
    char text[512], epoch[64], later[64];
    record_help_start();
    record_help_events("V1", 1, 30);
    store_text("fleet.t.veh.V1.cmdack.rtl",
               "{\"cmd_id\":\"c\",\"timestamp\":\"2026-01-01T00:00:00Z\"}");
    wait_archived("\"seq\":30}", text, sizeof text);
    assert_non_null(strstr(text, "{\"TWIN_EVENTS\":{\"epoch\":\""));
    assert_non_null(strstr(text, ",\"TWIN_ACK\":{\"epoch\":\""));
    assert_null(strstr(text, "TWIN_RECORD"));
    epoch_of(text, epoch);

    /* While the lane watches, the epoch stays. */
    record_help_events("V1", 31, 1);
    wait_archived("\"seq\":31}", text, sizeof text);
    epoch_of(text, later);
    assert_string_equal(epoch, later);

    /* While it did not, the broker may have lost its tail. */
    record_help_stop();
    record_help_start();
    record_help_events("V1", 32, 1);
    wait_archived("\"seq\":32}", text, sizeof text);
    epoch_of(text, later);
    assert_string_not_equal(epoch, later);
}

static void status_is_true(void **state)
{
    (void)state;
    struct record_lane_status status;
    record_help_start();
    record_help_events("V1", 1, 10);
    record_help_wait(EVENT_COUNT, 10);
    int64_t until_ms = clock_mono_ms() + HELP_ARCHIVE_WAIT_MS;
    do {
        assert_true(clock_mono_ms() < until_ms);
        clock_pause_ms(10);
        record_lane_status(help.lane, &status);
    } while (status.streams[0].archived_seq != 10);
    assert_true(status.postgres);
    assert_true(status.writer);
    assert_string_equal(status.streams[0].name, "TWIN_EVENTS");
    assert_true(status.streams[0].open);
    assert_string_equal(status.error, "");

    pg_server_stop(&help.postgres, SIGINT);
    while (status.postgres || status.error[0] == '\0') {
        assert_true(clock_mono_ms() < until_ms);
        clock_pause_ms(10);
        record_lane_status(help.lane, &status);
    }
    assert_false(status.writer);
    pg_server_again(&help.postgres);
    record_help_reconnect();
    record_help_events("V1", 11, 10);
    record_help_wait(EVENT_COUNT, 20);
}

static void record_of_another_region_is_not_mixed_in(void **state)
{
    (void)state;
    static char other[] = "elsewhere", mine[] = "r";
    struct record_lane_status status;
    record_help_start();
    record_help_events("V1", 1, 10);
    record_help_wait(EVENT_COUNT, 10);
    record_help_stop();
    help.config.region = other;
    record_help_start();
    int64_t until_ms = clock_mono_ms() + HELP_ARCHIVE_WAIT_MS;
    do {
        assert_true(clock_mono_ms() < until_ms);
        clock_pause_ms(10);
        record_lane_status(help.lane, &status);
    } while (!strstr(status.error, "another env or region"));
    assert_false(status.writer);
    record_help_stop();
    help.config.region = mine;
}

static void lane_starts_before_the_database_is_migrated(void **state)
{
    (void)state;
    struct record_lane_status status;
    pg_server_script(help.pg, "ALTER TABLE fleethub_migrations RENAME TO away");
    record_help_start();
    record_help_events("V1", 1, 10);
    int64_t until_ms = clock_mono_ms() + HELP_ARCHIVE_WAIT_MS;
    do {
        assert_true(clock_mono_ms() < until_ms);
        clock_pause_ms(10);
        record_lane_status(help.lane, &status);
    } while (!strstr(status.error, "fleethub migrate"));
    pg_server_script(help.pg, "ALTER TABLE away RENAME TO fleethub_migrations");
    record_help_wait(EVENT_COUNT, 10);
}

int main(int argc, char **argv)
{
    record_help_child(argc, argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, record_help_setup, record_help_teardown)
    const struct CMUnitTest tests[] = {
        TEST(record_keeps_every_member),
        TEST(record_published_again_is_one_record),
        TEST(record_refuses_each_bad_message_once),
        TEST(record_with_nul_or_monstrous_number_is_archived),
        TEST(monstrous_numbers_among_many_are_found),
        TEST(record_of_the_hub_is_one_however_many_publish_it),
        TEST(record_of_another_message_under_the_same_id_is_flagged),
        TEST(record_hash_is_that_of_what_a_reader_sees),
        TEST(record_counts_refusals_beyond_the_limit_across_a_restart),
        TEST(record_of_a_stream_made_anew_goes_on),
        TEST(record_of_a_stream_that_lost_its_tail_takes_new_for_new),
        TEST(record_of_messages_gone_unarchived_is_a_gap),
        TEST(archived_positions_are_published_and_their_epoch_tells_of_doubt),
        TEST(status_is_true),
        TEST(record_of_another_region_is_not_mixed_in),
        TEST(lane_starts_before_the_database_is_migrated),
    };
    return cmocka_run_group_tests(tests, record_help_servers, record_help_servers_done);
}
