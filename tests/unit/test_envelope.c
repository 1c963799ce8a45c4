/* envelope: every bound and refusal of the contract's sections 1 and 2. */
#include "twin/envelope.h"

#include "tests/unit/fault.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct doc_parser *parser;
static struct envelope envelope; /* of the last judge() */

static int make_parser(void **state)
{
    (void)state;
    parser = doc_parser_new();
    return parser ? 0 : -1;
}

static int free_parser(void **state)
{
    (void)state;
    doc_parser_free(parser);
    return 0;
}

#define STATE "fleet.prod.veh.V1.state.position"
#define EVENT "fleet.prod.veh.V1.evt.battery.low"
#define ACK "fleet.prod.veh.V1.cmdack.rtl"
#define TIME "\"timestamp\":\"2026-01-15T10:30:00.123Z\""

static enum refusal judge_bytes(const char *subject, const char *payload, size_t size)
{
    /* Exactly as large as it is, so that the sanitizer sees a byte read beyond. */
    char *exact = malloc(size ? size : 1);
    assert_non_null(exact);
    memcpy(exact, payload, size);
    enum refusal refusal =
        envelope_parse(parser, subject, exact, size, ENVELOPE_MAX_BYTES_DEFAULT, &envelope);
    free(exact);
    return refusal;
}

static enum refusal judge(const char *subject, const char *payload)
{
    return judge_bytes(subject, payload, strlen(payload));
}

#define assert_accepted(payload) assert_int_equal(judge(STATE, payload), REFUSAL_NONE)
#define assert_refused(payload, why)                                                               \
    assert_string_equal(refusal_name(judge(STATE, payload)), refusal_name(REFUSAL_##why))

static void assert_slice(struct slice slice, const char *text)
{
    assert_int_equal(slice.size, strlen(text));
    assert_memory_equal(slice.at, text, slice.size);
}

/* ---- the whole ---- */

static void envelope_with_every_member_is_read(void **state)
{
    (void)state;
    assert_accepted("{\"vid\":\"V1\"," TIME
                    ",\"boot\":\"b7\",\"seq\":12345,\"data\":{\"lat\":1.5}}");
    assert_slice(envelope.subject.env, "prod");
    assert_slice(envelope.subject.vid, "V1");
    assert_slice(envelope.subject.type, "position");
    assert_int_equal(envelope.subject.category, CATEGORY_STATE);
    assert_int_equal(envelope.timestamp_ns, INT64_C(1768473000123) * NS_PER_MS);
    assert_slice(envelope.boot, "b7");
    assert_int_equal(envelope.seq, 12345);
    assert_true(doc_is(envelope.data, DOC_OBJECT));
    assert_true(doc_number(doc_getz(envelope.data, "lat")) == 1.5);
    assert_false(envelope.bare_ack);
}

static void envelope_needs_timestamp_and_data_only(void **state)
{
    (void)state;
    assert_accepted("{" TIME ",\"data\":{}}");
    assert_null(envelope.boot.at);
    assert_int_equal(envelope.seq, SEQ_NONE);
    assert_int_equal(doc_members(envelope.data), 0);
    assert_refused("{" TIME "}", BAD_ENVELOPE);
    assert_refused("{\"data\":{}}", BAD_ENVELOPE);
    assert_refused("{}", BAD_ENVELOPE);
    assert_refused("{\"Data\":{},\"Timestamp\":\"2026-01-15T10:30:00Z\"}", BAD_ENVELOPE);
}

static void envelope_forgets_the_message_before(void **state)
{
    (void)state;
    assert_accepted("{" TIME ",\"boot\":\"b7\",\"seq\":5,\"data\":{}}");
    assert_accepted("{" TIME ",\"data\":{}}");
    assert_null(envelope.boot.at);
    assert_int_equal(envelope.seq, SEQ_NONE);
}

static void envelope_unknown_members_are_ignored(void **state)
{
    (void)state;
    assert_accepted(
        "{\"a\":[{\"b\":null}]," TIME ",\"Seq\":-1,\"seqs\":-1,\"se\":-1,\"dat\":1,"
        "\"data\":{\"seq\":-1,\"vid\":\"V2\",\"timestamp\":0},\"\":0,\"vid\\u0000\":2}");
    assert_int_equal(envelope.seq, SEQ_NONE);
}

static void envelope_escaped_member_names_are_the_same_names(void **state)
{
    (void)state;
    assert_accepted("{\"tim\\u0065stamp\":\"2026-01-15T10:30:00\\u005a\",\"\\u0073eq\":7,"
                    "\"d\\u0061ta\":{},\"vid\":\"\\u0056\\u0031\"}");
    assert_int_equal(envelope.seq, 7);
}

static void envelope_array_or_scalar_on_top_is_a_bad_envelope(void **state)
{
    (void)state;
    assert_refused("[]", BAD_ENVELOPE);
    assert_refused("[{" TIME ",\"data\":{}}]", BAD_ENVELOPE);
    assert_refused("null", BAD_ENVELOPE);
    assert_refused("true", BAD_ENVELOPE);
    assert_refused("12", BAD_ENVELOPE);
    assert_refused("\"text\"", BAD_ENVELOPE);
}

static void envelope_members_of_the_wrong_type_are_a_bad_envelope(void **state)
{
    (void)state;
    static const char *const values[] = {"null",     "true", "false", "-1", "1.5",
                                         "\"text\"", "[]",   "[1]",   "{}", "{\"a\":1}"};
    static const struct {
        const char *name;
        const char *good; /* first bytes of the values that are of the right type */
    } members[] = {{"timestamp", "\""}, {"data", "{"}, {"boot", "\""}, {"vid", "\""}, {"seq", ""}};
    for (size_t m = 0; m < sizeof members / sizeof *members; m++) {
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            char payload[300];
            size_t at =
                (size_t)snprintf(payload, sizeof payload, "{\"%s\":%s", members[m].name, values[v]);
            if (strcmp(members[m].name, "timestamp") != 0)
                at += (size_t)snprintf(payload + at, sizeof payload - at, "," TIME);
            if (strcmp(members[m].name, "data") != 0)
                at += (size_t)snprintf(payload + at, sizeof payload - at, ",\"data\":{}");
            snprintf(payload + at, sizeof payload - at, "}");
            bool right = values[v][0] == *members[m].good;
            if ((judge(STATE, payload) == REFUSAL_BAD_ENVELOPE) == right)
                fail_msg("%s: %s", payload, refusal_name(judge(STATE, payload)));
        }
    }
}

/* ---- seq ---- */

static enum refusal judge_seq(const char *seq)
{
    char payload[200];
    snprintf(payload, sizeof payload, "{" TIME ",\"seq\":%s,\"data\":{}}", seq);
    return judge(STATE, payload);
}

static void envelope_seq_reaches_from_0_to_2_63_minus_1(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seq;
    } cases[] = {{"0", 0},
                 {"1", 1},
                 {"999999999999999999", INT64_C(999999999999999999)},
                 {"1000000000000000000", INT64_C(1000000000000000000)},
                 {"9223372036854775806", INT64_MAX - 1},
                 {"9223372036854775807", INT64_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(judge_seq(cases[i].text), REFUSAL_NONE);
        assert_int_equal(envelope.seq, cases[i].seq);
    }
}

static void envelope_whole_seq_may_be_written_with_point_or_exponent(void **state)
{
    (void)state;
    assert_int_equal(judge_seq("1.0"), REFUSAL_NONE);
    assert_int_equal(envelope.seq, 1);
    assert_int_equal(judge_seq("1e3"), REFUSAL_NONE);
    assert_int_equal(envelope.seq, 1000);
    assert_int_equal(judge_seq("-0"), REFUSAL_NONE);
    assert_int_equal(envelope.seq, 0);
    assert_int_equal(judge_seq("9223372036854775807.0"), REFUSAL_NONE);
    assert_int_equal(envelope.seq, INT64_MAX);
}

static void envelope_negative_seq_is_a_bad_envelope(void **state)
{
    (void)state;
    assert_int_equal(judge_seq("-1"), REFUSAL_BAD_ENVELOPE);
    assert_int_equal(judge_seq("-9223372036854775808"), REFUSAL_BAD_ENVELOPE);
    assert_int_equal(judge_seq("-1e-400"), REFUSAL_BAD_ENVELOPE);
}

static void envelope_seq_beyond_2_63_is_a_bad_envelope(void **state)
{
    (void)state;
    assert_int_equal(judge_seq("9223372036854775808"), REFUSAL_BAD_ENVELOPE);
    assert_int_equal(judge_seq("18446744073709551617"), REFUSAL_BAD_ENVELOPE);
    assert_int_equal(judge_seq("1e19"), REFUSAL_BAD_ENVELOPE);
    assert_int_equal(judge_seq("1e308"), REFUSAL_BAD_ENVELOPE);
}

static void envelope_fractional_seq_is_a_bad_envelope(void **state)
{
    (void)state;
    assert_int_equal(judge_seq("1.5"), REFUSAL_BAD_ENVELOPE);
    assert_int_equal(judge_seq("1e-3"), REFUSAL_BAD_ENVELOPE);
    assert_int_equal(judge_seq("1.00000000000000000000001"), REFUSAL_BAD_ENVELOPE);
}

static void envelope_number_beyond_a_double_is_not_json(void **state)
{
    (void)state;
    assert_int_equal(judge_seq("1e400"), REFUSAL_NOT_JSON);
    assert_refused("{" TIME ",\"data\":{\"x\":[-1e309]}}", NOT_JSON);
    assert_accepted("{" TIME ",\"data\":{\"x\":[1e-400]}}");
}

/* ---- boot, vid, timestamp ---- */

static void envelope_boot_is_any_string(void **state)
{
    (void)state;
    assert_accepted("{" TIME ",\"boot\":\"\",\"data\":{}}");
    assert_non_null(envelope.boot.at);
    assert_int_equal(envelope.boot.size, 0);
    assert_accepted("{" TIME ",\"boot\":\"a\\u0000\xc3\xa9.*>\",\"data\":{}}");
    assert_int_equal(envelope.boot.size, 7);
    assert_memory_equal(envelope.boot.at, "a\0\xc3\xa9.*>", 7);
}

static void envelope_vid_of_another_vehicle_is_a_mismatch(void **state)
{
    (void)state;
    assert_refused("{\"vid\":\"V2\"," TIME ",\"data\":{}}", VID_MISMATCH);
    assert_refused("{\"vid\":\"v1\"," TIME ",\"data\":{}}", VID_MISMATCH);
    assert_refused("{\"vid\":\"V\"," TIME ",\"data\":{}}", VID_MISMATCH);
    assert_refused("{\"vid\":\"V11\"," TIME ",\"data\":{}}", VID_MISMATCH);
    assert_refused("{\"vid\":\"V1\\u0000\"," TIME ",\"data\":{}}", VID_MISMATCH);
    assert_refused("{\"vid\":\"\"," TIME ",\"data\":{}}", VID_MISMATCH);
    assert_slice(envelope.subject.vid, "V1"); /* it is the subject's that is on record */
    assert_int_equal(judge(ACK, "{\"cmd_id\":\"c.V1\",\"vid\":\"V2\"," TIME "}"),
                     REFUSAL_VID_MISMATCH);
}

static void envelope_timestamp_that_is_none_is_a_bad_timestamp(void **state)
{
    (void)state;
    assert_refused("{\"timestamp\":\"\",\"data\":{}}", BAD_TIMESTAMP);
    assert_refused("{\"timestamp\":\"yesterday\",\"data\":{}}", BAD_TIMESTAMP);
    assert_refused("{\"timestamp\":\"2026-02-29T00:00:00Z\",\"data\":{}}", BAD_TIMESTAMP);
    assert_refused("{\"timestamp\":\"2026-01-01T00:00:00\",\"data\":{}}", BAD_TIMESTAMP);
    assert_refused("{\"timestamp\":\"2026-01-01T00:00:00Z\\u0000\",\"data\":{}}", BAD_TIMESTAMP);
    assert_refused("{\"timestamp\":\"1768473000\",\"data\":{}}", BAD_TIMESTAMP);
}

static void envelope_timestamp_of_any_year_is_read(void **state)
{
    (void)state;
    assert_accepted("{\"timestamp\":\"1970-01-01T00:00:00Z\",\"data\":{}}");
    assert_int_equal(envelope.timestamp_ns, 0);
    assert_accepted("{\"timestamp\":\"9999-12-31T23:59:60.999+00:01\",\"data\":{}}");
    assert_int_equal(envelope.timestamp_ns, TIMESTAMP_MAX);
    assert_accepted("{\"timestamp\":\"0000-01-01t00:00:00z\",\"data\":{}}");
    assert_int_equal(envelope.timestamp_ns, TIMESTAMP_MIN);
}

static void envelope_first_fault_in_order_is_the_reason(void **state)
{
    (void)state;
    assert_int_equal(judge("fleet.prod.veh.V1.x.y", "no json"), REFUSAL_BAD_SUBJECT);
    assert_refused("{\"seq\":-1,\"timestamp\":\"x\",\"vid\":\"V2\",\"data\":{}", NOT_JSON);
    assert_refused("{\"seq\":-1,\"timestamp\":\"x\",\"vid\":\"V2\",\"data\":{}}", BAD_ENVELOPE);
    assert_refused("{\"seq\":1,\"timestamp\":\"x\",\"vid\":\"V2\",\"data\":{}}", BAD_TIMESTAMP);
    assert_refused("{\"seq\":1," TIME ",\"vid\":\"V2\",\"data\":{}}", VID_MISMATCH);
}

/* ---- size and depth ---- */

static enum refusal judge_sized(size_t size, size_t max_bytes)
{
    static const char start[] = "{" TIME ",\"data\":{\"fill\":\"", end[] = "\"}}";
    char *payload = malloc(size);
    assert_non_null(payload);
    memset(payload, 'x', size);
    memcpy(payload, start, sizeof start - 1);
    memcpy(payload + size - sizeof end + 1, end, sizeof end - 1);
    enum refusal refusal = envelope_parse(parser, STATE, payload, size, max_bytes, &envelope);
    free(payload);
    return refusal;
}

static void envelope_of_256_kib_is_accepted_and_one_byte_more_is_not(void **state)
{
    (void)state;
    assert_int_equal(ENVELOPE_MAX_BYTES_DEFAULT, 262144);
    assert_int_equal(judge_sized(262144, ENVELOPE_MAX_BYTES_DEFAULT), REFUSAL_NONE);
    assert_int_equal(judge_sized(262145, ENVELOPE_MAX_BYTES_DEFAULT), REFUSAL_TOO_LARGE);
    assert_int_equal(judge_sized(300 << 10, ENVELOPE_MAX_BYTES_DEFAULT), REFUSAL_TOO_LARGE);
}

static void envelope_size_is_what_the_configuration_says(void **state)
{
    (void)state;
    assert_int_equal(judge_sized(100, 100), REFUSAL_NONE);
    assert_int_equal(judge_sized(101, 100), REFUSAL_TOO_LARGE);
    assert_int_equal(judge_sized(1 << 20, 1 << 20), REFUSAL_NONE);
    /* too large comes before what it holds is looked at */
    assert_int_equal(envelope_parse(parser, STATE, "no json at all", 14, 13, &envelope),
                     REFUSAL_TOO_LARGE);
}

/* `data` of `depth` levels, its own object being the first. */
static enum refusal judge_depth(unsigned depth, bool closed, const char *innermost)
{
    struct buf buf = BUF_INIT;
    buf_adds(&buf, "{" TIME ",\"data\":{\"a\":");
    for (unsigned i = 1; i < depth; i++)
        buf_adds(&buf, i % 2 ? "[" : "{\"a\":");
    buf_adds(&buf, innermost);
    for (unsigned i = depth; closed && i-- > 1;)
        buf_adds(&buf, i % 2 ? "]" : "}");
    buf_adds(&buf, closed ? "}}" : "");
    enum refusal refusal = judge_bytes(STATE, buf.data, buf.size_bytes);
    buf_done(&buf);
    return refusal;
}

static void envelope_data_of_32_levels_is_accepted_and_33_are_too_deep(void **state)
{
    (void)state;
    for (unsigned depth = 1; depth <= 32; depth++)
        assert_int_equal(judge_depth(depth, true, "1"), REFUSAL_NONE);
    assert_int_equal(judge_depth(33, true, "1"), REFUSAL_TOO_DEEP);
    assert_int_equal(judge_depth(31, true, "{}"), REFUSAL_NONE);
    assert_int_equal(judge_depth(32, true, "[]"), REFUSAL_TOO_DEEP);
    assert_int_equal(judge_depth(10000, true, "1"), REFUSAL_TOO_DEEP);
    assert_int_equal(judge_depth(10000, false, "1"), REFUSAL_TOO_DEEP);
    assert_int_equal(judge_depth(32, false, "1"), REFUSAL_NOT_JSON);
}

/* ---- what is no JSON ---- */

static void envelope_text_that_is_no_json_is_not_json(void **state)
{
    (void)state;
    assert_refused("", NOT_JSON);
    assert_refused("hello", NOT_JSON);
    assert_refused("{" TIME ",\"data\":{\"x\":NaN}}", NOT_JSON);
    assert_refused("{" TIME ",\"data\":{\"x\":-Infinity}}", NOT_JSON);
    assert_refused("{" TIME ",\"data\":{\"x\":01}}", NOT_JSON);
    assert_refused("{" TIME ",\"data\":{\"x\":\"\xff\"}}", NOT_JSON);
    assert_refused("{" TIME ",\"data\":{\"x\":\"\xc0\xaf\"}}", NOT_JSON);
    assert_refused("{" TIME ",\"data\":{\"x\":\"\xed\xa0\x80\"}}", NOT_JSON);
    assert_refused("{" TIME ",\"data\":{\"x\":\"\\ud800\"}}", NOT_JSON);
    assert_refused("\xef\xbb\xbf{" TIME ",\"data\":{}}", NOT_JSON);
    assert_refused("{" TIME ",\"data\":{}} {}", NOT_JSON);
}

static void envelope_nul_bytes_are_not_json_and_escaped_ones_are_fine(void **state)
{
    (void)state;
    static const char inside[] = "{" TIME ",\"data\":{\"x\":\"a\0b\"}}";
    static const char behind[] = "{" TIME ",\"data\":{}}\0";
    assert_int_equal(judge_bytes(STATE, inside, sizeof inside - 1), REFUSAL_NOT_JSON);
    assert_int_equal(judge_bytes(STATE, behind, sizeof behind - 1), REFUSAL_NOT_JSON);
    assert_accepted("{" TIME ",\"data\":{\"x\\u0000\":\"a\\u0000b\"}}");
}

static void envelope_duplicate_names_are_not_json(void **state)
{
    (void)state;
    assert_refused("{" TIME ",\"data\":{},\"data\":{}}", NOT_JSON);
    assert_refused("{" TIME "," TIME ",\"data\":{}}", NOT_JSON);
    assert_refused("{" TIME ",\"data\":{\"a\":1,\"\\u0061\":1}}", NOT_JSON);
    assert_refused("{" TIME ",\"data\":{\"x\":[{\"y\":{\"a\":1,\"b\":2,\"a\":3}}]}}", NOT_JSON);
    assert_refused("{" TIME ",\"data\":{},\"other\":{\"a\":1,\"a\":1}}", NOT_JSON);
}

static void envelope_truncated_at_every_byte_is_not_json(void **state)
{
    (void)state;
    static const char whole[] = "{\"vid\":\"V1\"," TIME ",\"boot\":\"\\u00e9\xc3\xa9\",\"seq\":12,"
                                "\"data\":{\"a\":[1.5e3,true,null]}}";
    assert_accepted(whole);
    for (size_t size = 0; size < sizeof whole - 1; size++)
        assert_int_equal(judge_bytes(STATE, whole, size), REFUSAL_NOT_JSON);
}

/* ---- acknowledgements ---- */

static void envelope_bare_acknowledgement_is_its_own_data(void **state)
{
    (void)state;
    assert_int_equal(judge(ACK, "{\"cmd_id\":\"c1.V1\",\"status\":\"completed\"," TIME "}"),
                     REFUSAL_NONE);
    assert_true(envelope.bare_ack);
    assert_int_equal(envelope.subject.category, CATEGORY_ACK);
    assert_int_equal(doc_members(envelope.data), 3);
    assert_true(doc_is(doc_getz(envelope.data, "status"), DOC_STRING));
    assert_int_equal(judge(ACK, "{\"cmd_id\":\"c1.V1\",\"seq\":4,\"boot\":\"b\"," TIME "}"),
                     REFUSAL_NONE);
    assert_int_equal(envelope.seq, 4);
    assert_slice(envelope.boot, "b");
}

static void envelope_acknowledgement_may_stand_in_data(void **state)
{
    (void)state;
    assert_int_equal(judge(ACK, "{" TIME ",\"data\":{\"cmd_id\":\"c1.V1\"},\"cmd_id\":\"other\"}"),
                     REFUSAL_NONE);
    assert_false(envelope.bare_ack);
    assert_int_equal(doc_members(envelope.data), 1);
}

static void envelope_bare_acknowledgement_needs_cmd_id_and_timestamp(void **state)
{
    (void)state;
    assert_int_equal(judge(ACK, "{\"status\":\"completed\"," TIME "}"), REFUSAL_BAD_ENVELOPE);
    assert_int_equal(judge(ACK, "{\"cmd_id\":7," TIME "}"), REFUSAL_BAD_ENVELOPE);
    assert_int_equal(judge(ACK, "{\"cmd_id\":null," TIME "}"), REFUSAL_BAD_ENVELOPE);
    assert_int_equal(judge(ACK, "{\"cmd_id\":\"c1.V1\"}"), REFUSAL_BAD_ENVELOPE);
    assert_int_equal(judge(ACK, "{\"cmd_id\":\"c1.V1\",\"timestamp\":\"x\"}"),
                     REFUSAL_BAD_TIMESTAMP);
    assert_int_equal(judge(ACK, "{\"cmd_id\":\"c1.V1\",\"data\":null," TIME "}"),
                     REFUSAL_BAD_ENVELOPE);
}

static void envelope_of_another_category_is_never_bare(void **state)
{
    (void)state;
    assert_int_equal(judge(STATE, "{\"cmd_id\":\"c1.V1\"," TIME "}"), REFUSAL_BAD_ENVELOPE);
    assert_int_equal(judge(EVENT, "{\"cmd_id\":\"c1.V1\"," TIME "}"), REFUSAL_BAD_ENVELOPE);
}

static bool judge_freshly(void *context)
{
    (void)context;
    struct doc_parser *fresh = doc_parser_new();
    if (!fresh)
        return false;
    static const char payload[] = "{" TIME ",\"data\":{\"a\":1}}";
    enum refusal refusal = envelope_parse(fresh, STATE, payload, sizeof payload - 1,
                                          ENVELOPE_MAX_BYTES_DEFAULT, &envelope);
    assert_true(refusal == REFUSAL_NONE || refusal == REFUSAL_NO_MEMORY);
    doc_parser_free(fresh);
    return refusal == REFUSAL_NONE;
}

static void envelope_out_of_memory_is_no_verdict_on_the_message(void **state)
{
    (void)state;
    assert_in_range(fault_loop(judge_freshly, NULL), 4, 20);
}

static void refusals_carry_the_names_of_the_contract(void **state)
{
    (void)state;
    static const char *const names[] = {"none",         "not_json",     "too_large",
                                        "too_deep",     "bad_envelope", "bad_timestamp",
                                        "vid_mismatch", "bad_subject",  "not_registered"};
    assert_int_equal(REFUSAL_COUNT, sizeof names / sizeof *names);
    for (int i = 0; i < REFUSAL_COUNT; i++)
        assert_string_equal(refusal_name((enum refusal)i), names[i]);
    assert_string_equal(refusal_name(REFUSAL_NO_MEMORY), "no_memory");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(envelope_with_every_member_is_read),
        cmocka_unit_test(envelope_needs_timestamp_and_data_only),
        cmocka_unit_test(envelope_forgets_the_message_before),
        cmocka_unit_test(envelope_unknown_members_are_ignored),
        cmocka_unit_test(envelope_escaped_member_names_are_the_same_names),
        cmocka_unit_test(envelope_array_or_scalar_on_top_is_a_bad_envelope),
        cmocka_unit_test(envelope_members_of_the_wrong_type_are_a_bad_envelope),
        cmocka_unit_test(envelope_seq_reaches_from_0_to_2_63_minus_1),
        cmocka_unit_test(envelope_whole_seq_may_be_written_with_point_or_exponent),
        cmocka_unit_test(envelope_negative_seq_is_a_bad_envelope),
        cmocka_unit_test(envelope_seq_beyond_2_63_is_a_bad_envelope),
        cmocka_unit_test(envelope_fractional_seq_is_a_bad_envelope),
        cmocka_unit_test(envelope_number_beyond_a_double_is_not_json),
        cmocka_unit_test(envelope_boot_is_any_string),
        cmocka_unit_test(envelope_vid_of_another_vehicle_is_a_mismatch),
        cmocka_unit_test(envelope_timestamp_that_is_none_is_a_bad_timestamp),
        cmocka_unit_test(envelope_timestamp_of_any_year_is_read),
        cmocka_unit_test(envelope_first_fault_in_order_is_the_reason),
        cmocka_unit_test(envelope_of_256_kib_is_accepted_and_one_byte_more_is_not),
        cmocka_unit_test(envelope_size_is_what_the_configuration_says),
        cmocka_unit_test(envelope_data_of_32_levels_is_accepted_and_33_are_too_deep),
        cmocka_unit_test(envelope_text_that_is_no_json_is_not_json),
        cmocka_unit_test(envelope_nul_bytes_are_not_json_and_escaped_ones_are_fine),
        cmocka_unit_test(envelope_duplicate_names_are_not_json),
        cmocka_unit_test(envelope_truncated_at_every_byte_is_not_json),
        cmocka_unit_test(envelope_bare_acknowledgement_is_its_own_data),
        cmocka_unit_test(envelope_acknowledgement_may_stand_in_data),
        cmocka_unit_test(envelope_bare_acknowledgement_needs_cmd_id_and_timestamp),
        cmocka_unit_test(envelope_of_another_category_is_never_bare),
        cmocka_unit_test(envelope_out_of_memory_is_no_verdict_on_the_message),
        cmocka_unit_test(refusals_carry_the_names_of_the_contract),
    };
    return cmocka_run_group_tests_name("envelope", tests, make_parser, free_parser);
}
