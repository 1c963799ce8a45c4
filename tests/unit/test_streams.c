/* The names, subjects and keys of streams, and what reply subjects of JetStream say. */
#include "hub/bus_ack.h"
#include "hub/streams.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static void assert_slice(struct slice slice, const char *text)
{
    assert_int_equal(slice.size, strlen(text));
    assert_memory_equal(slice.at, text, slice.size);
}

static struct config make_config(void)
{
    static char env[] = "prod";
    static char region[] = "eu-north";
    struct config config = {.env = env, .region = region};
    config.nats.replicas = 3;
    config.nats.limits.state_age_s = 3600;
    config.nats.limits.state_bytes = 10000000000;
    config.nats.limits.events_age_s = 90 * 86400;
    config.nats.limits.events_bytes = 20000000000;
    config.nats.limits.cmd_age_s = 300;
    config.nats.limits.ack_age_s = 7 * 86400;
    config.nats.limits.ack_bytes = 2000000000;
    config.nats.limits.record_age_s = 90 * 86400;
    config.nats.limits.record_bytes = 20000000000;
    config.nats.limits.commands_age_s = 30 * 86400;
    return config;
}

static void the_table_is_the_contracts(void **state)
{
    (void)state;
    static const struct {
        const char *name, *subject;
        bool discard_new, kv;
        int64_t age_s, bytes, window_ms, history;
    } expected[TWIN_STREAMS] = {
        {"TWIN_STATE", "fleet.prod.veh.*.state.>", false, false, 3600, 10000000000, 100, 0},
        {"TWIN_EVENTS", "fleet.prod.veh.*.evt.>", true, false, 7776000, 20000000000, 100, 0},
        {"TWIN_CMD", "fleet.prod.veh.*.cmd.>", true, false, 300, 0, 300000, 0},
        {"TWIN_ACK", "fleet.prod.veh.*.cmdack.>", true, false, 604800, 2000000000, 100, 0},
        {"TWIN_RECORD", "fleet.prod.hub.eu-north.record.>", true, false, 7776000, 20000000000, 0,
         0},
        {"TWIN_CHECKPOINTS", "fleet.prod.hub.eu-north.checkpoint", true, false, 0, 0, 0, 0},
        {"KV_TWIN_SHADOW", "$KV.TWIN_SHADOW.>", true, true, 0, 0, 0, 5},
        {"KV_TWIN_LAST", "$KV.TWIN_LAST.>", true, true, 0, 0, 0, 1},
        {"KV_TWIN_COMMANDS", "$KV.TWIN_COMMANDS.>", true, true, 2592000, 0, 0, 1},
        {"KV_TWIN_ACCESS", "$KV.TWIN_ACCESS.>", true, true, 0, 0, 0, 5},
    };
    struct config config = make_config();
    for (enum twin_stream s = 0; s < TWIN_STREAMS; s++) {
        struct bus_stream_spec spec;
        char subject[STREAMS_SUBJECT_BYTES];
        streams_spec(s, &config, &spec, subject);
        assert_string_equal(spec.name, expected[s].name);
        assert_string_equal(spec.name, streams_name(s));
        assert_string_equal(spec.subject, expected[s].subject);
        assert_int_equal(spec.discard == BUS_DISCARD_NEW, expected[s].discard_new);
        assert_int_equal(spec.kv, expected[s].kv);
        assert_int_equal(spec.max_age_ns, expected[s].age_s * 1000000000);
        assert_int_equal(spec.max_bytes, expected[s].bytes);
        assert_int_equal(spec.duplicate_ns, expected[s].window_ms * 1000000);
        assert_int_equal(spec.max_per_subject, expected[s].history);
        assert_int_equal(spec.replicas, 3);
        assert_int_equal(spec.max_msg_bytes >= PART_MAX_BYTES, s == TWIN_SHADOW);
    }
}

static void a_window_is_never_longer_than_the_age(void **state)
{
    (void)state;
    struct config config = make_config();
    struct bus_stream_spec spec;
    char subject[STREAMS_SUBJECT_BYTES];
    config.nats.limits.cmd_age_s = 60;
    config.nats.limits.record_age_s = 60;
    streams_spec(TWIN_CMD, &config, &spec, subject);
    assert_int_equal(spec.duplicate_ns, INT64_C(60000000000));
    streams_spec(TWIN_RECORD, &config, &spec, subject);
    assert_int_equal(spec.duplicate_ns, INT64_C(60000000000));
}

static void a_subject_too_long_is_cut_and_not_written_beyond(void **state)
{
    (void)state;
    char env[2 * STREAMS_SUBJECT_BYTES];
    char subject[STREAMS_SUBJECT_BYTES];
    memset(env, 'e', sizeof(env) - 1);
    env[sizeof(env) - 1] = '\0';
    streams_subject(TWIN_STATE, env, "r", subject);
    assert_in_range(strlen(subject), 1, STREAMS_SUBJECT_BYTES - 1);
}

static struct bus_stream_info good_info(enum twin_stream stream, const struct config *config)
{
    struct bus_stream_spec spec;
    struct bus_stream_info info = {0};
    streams_spec(stream, config, &spec, info.subject);
    info.subject_count = 1;
    info.limits_retention = info.file_storage = true;
    info.discard_new = spec.discard == BUS_DISCARD_NEW;
    info.max_per_subject = spec.kv ? spec.max_per_subject : -1;
    return info;
}

/* One field of one stream made wrong must be named, with what it is and what it must be. */
static void refuses(enum twin_stream stream, const struct bus_stream_info *info, const char *text)
{
    struct config config = make_config();
    struct buf report = BUF_INIT;
    assert_false(streams_check(stream, &config, info, &report));
    assert_string_equal(buf_cstr(&report), text);
    buf_done(&report);
}

static void a_contradiction_is_named(void **state)
{
    (void)state;
    struct config config = make_config();
    struct buf report = BUF_INIT;
    for (enum twin_stream s = 0; s < TWIN_STREAMS; s++) {
        struct bus_stream_info info = good_info(s, &config);
        assert_true(streams_check(s, &config, &info, &report));
        assert_int_equal(report.size_bytes, 0);
    }
    buf_done(&report);

    struct bus_stream_info info = good_info(TWIN_STATE, &config);
    strcpy(info.subject, "fleet.test.veh.*.state.>");
    refuses(
        TWIN_STATE, &info,
        "TWIN_STATE: subjects is fleet.test.veh.*.state.> and must be fleet.prod.veh.*.state.>");
    info = good_info(TWIN_STATE, &config);
    info.subject_count = 3;
    refuses(TWIN_STATE, &info,
            "TWIN_STATE: subjects is fleet.prod.veh.*.state.> and 2 more and must be "
            "fleet.prod.veh.*.state.>");
    info = good_info(TWIN_STATE, &config);
    info.discard_new = true;
    refuses(TWIN_STATE, &info, "TWIN_STATE: discard is new and must be old");
    info = good_info(TWIN_EVENTS, &config);
    info.limits_retention = false;
    info.file_storage = false;
    refuses(TWIN_EVENTS, &info,
            "TWIN_EVENTS: retention is interest or workqueue and must be limits\n"
            "TWIN_EVENTS: storage is memory and must be file");
    info = good_info(TWIN_SHADOW, &config);
    info.rollup_allowed = true;
    refuses(TWIN_SHADOW, &info, "KV_TWIN_SHADOW: allow_rollup_hdrs is true and must be false");
    info = good_info(TWIN_LAST, &config);
    info.max_per_subject = -1;
    refuses(TWIN_LAST, &info,
            "KV_TWIN_LAST: kind is a stream and must be a KV bucket (max_msgs_per_subject)");
}

static void shadow_keys_read_back_in_both_styles(void **state)
{
    (void)state;
    static const char *const written[2] = {"$KV.TWIN_SHADOW.fleet/prod/veh/VID-001/desired",
                                           "$KV.TWIN_SHADOW.fleet.prod.veh.VID-001.desired"};
    for (int style = KEY_SLASHES; style <= KEY_DOTS; style++) {
        char subject[STREAMS_SUBJECT_BYTES];
        struct slice vid;
        enum part_kind part = PART_META;
        assert_string_equal(streams_shadow_subject((enum key_style)style, "prod",
                                                   slice_of("VID-001"), PART_DESIRED, subject),
                            written[style]);
        assert_true(streams_shadow_parse((enum key_style)style, "prod", subject, &vid, &part));
        assert_slice(vid, "VID-001");
        assert_int_equal(part, PART_DESIRED);
        /* neither in the other style nor of another environment */
        assert_false(streams_shadow_parse((enum key_style) !style, "prod", subject, &vid, &part));
        assert_false(streams_shadow_parse((enum key_style)style, "pro", subject, &vid, &part));
        assert_false(
            streams_shadow_parse((enum key_style)style, "production", subject, &vid, &part));
    }
}

static void what_is_no_shadow_key_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "$KV.TWIN_SHADOW.",
        "$KV.TWIN_SHADOW.fleet/prod/veh/",
        "$KV.TWIN_SHADOW.fleet/prod/veh/V1",
        "$KV.TWIN_SHADOW.fleet/prod/veh/V1/",
        "$KV.TWIN_SHADOW.fleet/prod/veh//desired",
        "$KV.TWIN_SHADOW.fleet/prod/veh/V1/other",
        "$KV.TWIN_SHADOW.fleet/prod/veh/V1/desired/x",
        "$KV.TWIN_SHADOW.fleet/prod/veh/V 1/desired",
        "$KV.TWIN_SHADOW.fleet/prod/veh/stream/desired",
        "$KV.TWIN_LAST.fleet/prod/veh/V1/desired",
        "fleet/prod/veh/V1/desired",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct slice vid;
        enum part_kind part;
        assert_false(streams_shadow_parse(KEY_SLASHES, "prod", bad[i], &vid, &part));
    }
}

static void a_vehicle_called_mark_is_not_the_mark(void **state)
{
    (void)state;
    char subject[STREAMS_SUBJECT_BYTES];
    struct slice vid;
    assert_string_equal(streams_mark_subject(), "$KV.TWIN_LAST.mark");
    assert_false(streams_last_parse(streams_mark_subject(), &vid));
    assert_string_equal(streams_last_subject(slice_of("mark"), subject), "$KV.TWIN_LAST.=mark");
    assert_true(streams_last_parse(subject, &vid));
    assert_slice(vid, "mark");
    assert_string_equal(streams_last_subject(slice_of("mark1"), subject), "$KV.TWIN_LAST.mark1");
    assert_true(streams_last_parse(subject, &vid));
    assert_slice(vid, "mark1");
    assert_false(streams_last_parse("$KV.TWIN_LAST.=mark1", &vid));
    assert_false(streams_last_parse("$KV.TWIN_LAST.a.b", &vid));
    assert_false(streams_last_parse("$KV.TWIN_LAST.", &vid));
    assert_false(streams_last_parse("$KV.TWIN_SHADOW.V1", &vid));
}

static void acknowledgement_subjects_are_read_in_both_forms(void **state)
{
    (void)state;
    static const char *const same[] = {
        "$JS.ACK.S.cons.1.812.33.1700000000123456789.4",
        "$JS.ACK.hub.ACCHASH.S.cons.1.812.33.1700000000123456789.4",
        "$JS.ACK._.ACCHASH.S.cons.1.812.33.1700000000123456789.4.rand",
    };
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        struct bus_ack ack;
        assert_true(bus_ack_parse(same[i], &ack));
        assert_int_equal(ack.stream_seq, 812);
        assert_int_equal(ack.consumer_seq, 33);
        assert_int_equal(ack.received_ns, INT64_C(1700000000123456789));
        assert_int_equal(ack.pending, 4);
    }
}

static void what_is_no_acknowledgement_subject_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "$JS.ACK.",
        "$JS.FC.S.cons.abc",
        "_INBOX.abc",
        "$JS.ACK.S.cons.1.812.33.17000",
        "$JS.ACK.S.cons.1.812.33.17000.4.5",
        "$JS.ACK.S.cons.1..33.17000.4",
        "$JS.ACK.S.cons.1.8x2.33.17000.4",
        "$JS.ACK.S.cons.1.18446744073709551616.33.17000.4",
        "$JS.ACK.S.cons.1.812.33.18446744073709551615.4",
        "$JS.ACK.d.a.S.cons.1.812.33.17000.4.r.s",
        "$JS.ACK.d.a.S.cons.1.812.33.17000.4.r.s.t.u.v.w.x.y.z",
    };
    struct bus_ack ack;
    assert_false(bus_ack_parse(NULL, &ack));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(bus_ack_parse(bad[i], &ack));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_the_contracts),
        cmocka_unit_test(a_window_is_never_longer_than_the_age),
        cmocka_unit_test(a_subject_too_long_is_cut_and_not_written_beyond),
        cmocka_unit_test(a_contradiction_is_named),
        cmocka_unit_test(shadow_keys_read_back_in_both_styles),
        cmocka_unit_test(what_is_no_shadow_key_is_none),
        cmocka_unit_test(a_vehicle_called_mark_is_not_the_mark),
        cmocka_unit_test(acknowledgement_subjects_are_read_in_both_forms),
        cmocka_unit_test(what_is_no_acknowledgement_subject_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
