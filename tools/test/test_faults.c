#include "tools/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct message GOOD = {
    .vid = "VID-001",
    .timestamp = "2026-01-15T10:30:00.123Z",
    .boot = "b1",
    .seq = 12,
    .data = "{\"hostile\":true}",
    .data_bytes = 16,
};

/* What the hub's own parser says of it. */
static enum refusal judge(enum hostile kind, enum category category, int64_t *timestamp_ns)
{
    struct doc_parser *parser = doc_parser_new();
    struct buf subject = BUF_INIT, payload = BUF_INIT;
    struct envelope envelope;

    assert_non_null(parser);
    message_subject(&subject, "dev", GOOD.vid, category, hostile_type(kind));
    hostile_write(&payload, kind, &GOOD);
    assert_false(payload.failed);
    enum refusal refusal =
        envelope_parse(parser, buf_cstr(&subject), buf_cstr(&payload), payload.size_bytes,
                       ENVELOPE_MAX_BYTES_DEFAULT, &envelope);
    if (refusal == REFUSAL_NONE)
        *timestamp_ns = envelope.timestamp_ns;
    doc_parser_free(parser);
    buf_done(&subject);
    buf_done(&payload);
    return refusal;
}

static void each_hostile_kind_is_refused_for_the_reason_the_report_gives(void **state)
{
    (void)state;
    for (int i = 0; i < HOSTILE_COUNT; i++) {
        enum hostile kind = (enum hostile)i;
        int64_t timestamp_ns;
        enum refusal said = judge(kind, CATEGORY_STATE, &timestamp_ns);
        if (said != hostile_refusal(kind) ||
            judge(kind, CATEGORY_EVENT, &timestamp_ns) != hostile_refusal(kind))
            fail_msg("%s: %s", hostile_name(kind), refusal_name(said));
        if (said != REFUSAL_NONE)
            assert_string_equal(hostile_expectation(kind), refusal_name(said));
    }
}

static void hostile_clocks_are_accepted_far_from_now(void **state)
{
    (void)state;
    int64_t timestamp_ns = 1;
    assert_int_equal(judge(HOSTILE_CLOCK_1970, CATEGORY_STATE, &timestamp_ns), REFUSAL_NONE);
    assert_int_equal(timestamp_ns, 0);
    assert_int_equal(judge(HOSTILE_CLOCK_9999, CATEGORY_STATE, &timestamp_ns), REFUSAL_NONE);
    assert_true(timestamp_ns > INT64_C(8000000000) * NS_PER_S);
    assert_string_equal(hostile_expectation(HOSTILE_CLOCK_9999), "accepted");
}

static void the_sizes_are_what_they_are_meant_to_be(void **state)
{
    (void)state;
    struct buf payload = BUF_INIT;
    hostile_write(&payload, HOSTILE_TOO_LARGE, &GOOD);
    assert_true(payload.size_bytes > 300 * 1024 && payload.size_bytes < 310 * 1024);
    buf_reset(&payload);
    hostile_write(&payload, HOSTILE_NUL_BYTES, &GOOD);
    assert_non_null(memchr(payload.data, 0, payload.size_bytes));
    buf_done(&payload);
}

static void wrong_clocks_are_timestamps(void **state)
{
    (void)state;
    char text[TIMESTAMP_TEXT_BYTES];
    int64_t read_ns, now_ns = INT64_C(1800000000) * NS_PER_S;
    for (int i = 0; i < CLOCK_FAULT_COUNT; i++) {
        clock_fault_text((enum clock_fault)i, now_ns, text);
        assert_true(timestamp_parse(text, strlen(text), &read_ns));
    }
    clock_fault_text(CLOCK_FAULT_AHEAD, now_ns, text);
    assert_true(timestamp_parse(text, strlen(text), &read_ns));
    assert_int_equal(read_ns - now_ns, 600 * NS_PER_S);
}

static void kinds_are_chosen_by_name(void **state)
{
    (void)state;
    bool kinds[HOSTILE_COUNT];
    assert_true(hostile_kinds_parse(NULL, kinds));
    assert_true(kinds[HOSTILE_NOT_JSON] && kinds[HOSTILE_CLOCK_9999] && !kinds[HOSTILE_ARRAY]);
    assert_true(hostile_kinds_parse("all", kinds));
    assert_true(kinds[HOSTILE_ARRAY]);
    assert_true(hostile_kinds_parse("nan,too_deep", kinds));
    assert_true(kinds[HOSTILE_NAN_NUMBER] && kinds[HOSTILE_TOO_DEEP] && !kinds[HOSTILE_NOT_JSON]);
    assert_false(hostile_kinds_parse("nan,", kinds));
    assert_false(hostile_kinds_parse("nonsense", kinds));
}

static void good_message_is_accepted(void **state)
{
    (void)state;
    struct doc_parser *parser = doc_parser_new();
    struct buf payload = BUF_INIT;
    struct envelope envelope;
    message_write(&payload, &GOOD);
    assert_int_equal(envelope_parse(parser, "fleet.dev.veh.VID-001.evt.armed", buf_cstr(&payload),
                                    payload.size_bytes, ENVELOPE_MAX_BYTES_DEFAULT, &envelope),
                     REFUSAL_NONE);
    assert_int_equal(envelope.seq, 12);
    buf_done(&payload);
    doc_parser_free(parser);
}

static void only_a_vehicles_own_subjects_are_kinds(void **state)
{
    (void)state;
    enum category category;
    const char *type;
    assert_true(message_kind_parse("evt.battery.low", &category, &type));
    assert_int_equal(category, CATEGORY_EVENT);
    assert_string_equal(type, "battery.low");
    assert_true(message_kind_parse("cmdack.rtl", &category, &type));
    assert_false(message_kind_parse("cmd.rtl", &category, &type));
    assert_false(message_kind_parse("state", &category, &type));
    assert_false(message_kind_parse("state.", &category, &type));
    assert_false(message_kind_parse("state.a.b.c.d.e", &category, &type));
    assert_false(message_kind_parse("state.a b", &category, &type));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_hostile_kind_is_refused_for_the_reason_the_report_gives),
        cmocka_unit_test(hostile_clocks_are_accepted_far_from_now),
        cmocka_unit_test(the_sizes_are_what_they_are_meant_to_be),
        cmocka_unit_test(wrong_clocks_are_timestamps),
        cmocka_unit_test(kinds_are_chosen_by_name),
        cmocka_unit_test(good_message_is_accepted),
        cmocka_unit_test(only_a_vehicles_own_subjects_are_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
