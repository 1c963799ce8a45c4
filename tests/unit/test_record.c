/* Records: their JSON, their ids, their hash, and what becomes a record. */
#include "hub/record.h"
#include "hub/record_hash.h"
#include "hub/record_make.h"
#include "tests/unit/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SLICE(text) ((struct slice){text, sizeof(text) - 1})

enum { PAYLOAD_MAX_BYTES = 4096 };

static struct doc_parser *parser;
static struct record_maker *maker;

static int setup(void **state)
{
    (void)state;
    parser = doc_parser_new();
    maker = record_maker_new(PAYLOAD_MAX_BYTES);
    return parser && maker ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    doc_parser_free(parser);
    record_maker_free(maker);
    return 0;
}

static void assert_slice(struct slice got, const char *wanted)
{
    assert_non_null(got.at);
    assert_int_equal(got.size, strlen(wanted));
    assert_memory_equal(got.at, wanted, got.size);
}

static struct record full_record(void)
{
    struct record record;
    record_init(&record);
    record_id_of(RECORD_PRESENCE, "k", 1, record.id);
    record.kind = RECORD_PRESENCE;
    record.severity = SEVERITY_WARNING;
    record.vid = SLICE("VID-1");
    record.type = SLICE("offline");
    record.actor = SLICE("ops \"desk\"");
    record.request_id = SLICE("r1");
    record.boot = (struct slice){"b\0\n7", 4};
    record.vehicle_seq = 12;
    record.timestamp_ns = 1767225600 * NS_PER_S + 1;
    record.received_ns = 1767225601 * NS_PER_S;
    record.stream = SLICE("TWIN_STATE");
    record.stream_seq = 812;
    record.data = SLICE("{ \"a\" : 1.50,\n\"b\":[\"}\"] }");
    return record;
}

/* ---- the JSON of TWIN_RECORD ---- */

static void record_written_and_parsed_is_the_same(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct record record = full_record(), back;
    const char *reason;
    record_write(&text, &record);
    assert_true(record_parse(parser, text.data, text.size_bytes, &back, &reason));
    assert_memory_equal(back.id, record.id, RECORD_ID_BYTES);
    assert_int_equal(back.kind, RECORD_PRESENCE);
    assert_int_equal(back.severity, SEVERITY_WARNING);
    assert_slice(back.vid, "VID-1");
    assert_slice(back.type, "offline");
    assert_slice(back.actor, "ops \"desk\"");
    assert_slice(back.request_id, "r1");
    assert_int_equal(back.boot.size, 4);
    assert_memory_equal(back.boot.at, "b\0\n7", 4);
    assert_int_equal(back.vehicle_seq, 12);
    assert_int_equal(back.timestamp_ns, record.timestamp_ns);
    assert_int_equal(back.received_ns, record.received_ns);
    assert_slice(back.stream, "TWIN_STATE");
    assert_int_equal(back.stream_seq, 812);
    assert_slice(back.data, "{ \"a\" : 1.50, \"b\":[\"}\"] }");
    buf_done(&text);
}

static void record_with_nulls_reads_as_nothing_set(void **state)
{
    (void)state;
    struct record back;
    const char *reason;
    const char text[] = "{\"id\":\"00112233445566778899aabbccddeeff\",\"kind\":\"system\","
                        "\"type\":\"gap\",\"vid\":null,\"data\":{}}";
    assert_true(record_parse(parser, text, sizeof text - 1, &back, &reason));
    assert_null(back.vid.at);
    assert_null(back.boot.at);
    assert_int_equal(back.vehicle_seq, SEQ_NONE);
    assert_true(back.timestamp_ns == TIMESTAMP_NONE);
    assert_true(back.received_ns == TIMESTAMP_NONE);
    assert_int_equal(back.stream_seq, RECORD_STREAM_SEQ_NONE);
}

static void record_malformed_is_refused(void **state)
{
    (void)state;
#define GOOD_ID "\"id\":\"00112233445566778899aabbccddeeff\""
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{" GOOD_ID ",\"kind\":\"system\",\"type\":\"x\"}",
        "{" GOOD_ID ",\"kind\":\"system\",\"type\":\"x\",\"data\":[]}",
        "{" GOOD_ID ",\"kind\":\"system\",\"type\":\"\",\"data\":{}}",
        "{" GOOD_ID ",\"kind\":\"nonsense\",\"type\":\"x\",\"data\":{}}",
        "{\"id\":\"x\",\"kind\":\"system\",\"type\":\"x\",\"data\":{}}",
        "{\"id\":\"00112233445566778899AABBCCDDEEFF\",\"kind\":\"system\",\"type\":\"x\",\"data\":{"
        "}}",
        "{" GOOD_ID ",\"kind\":\"system\",\"type\":\"x\",\"vid\":\"a b\",\"data\":{}}",
        "{" GOOD_ID ",\"kind\":\"system\",\"type\":\"x\",\"actor\":\"\\u0000\",\"data\":{}}",
        "{" GOOD_ID ",\"kind\":\"system\",\"type\":\"x\",\"severity\":\"loud\",\"data\":{}}",
        "{" GOOD_ID ",\"kind\":\"system\",\"type\":\"x\",\"vehicle_seq\":-1,\"data\":{}}",
        "{" GOOD_ID ",\"kind\":\"system\",\"type\":\"x\",\"received\":\"today\",\"data\":{}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct record back;
        const char *reason = NULL;
        assert_false(record_parse(parser, bad[i], strlen(bad[i]), &back, &reason));
        assert_non_null(reason);
    }
}

static void record_subject_names_kind_and_vehicle(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct record record = full_record();
    record_subject(&text, "prod", "eu", &record);
    assert_string_equal(buf_cstr(&text), "fleet.prod.hub.eu.record.presence.VID-1");
    buf_reset(&text);
    record.vid = (struct slice){NULL, 0};
    record_subject(&text, "prod", "eu", &record);
    assert_string_equal(buf_cstr(&text), "fleet.prod.hub.eu.record.presence.hub");
    buf_done(&text);
}

/* ---- the text of a member ---- */

static void record_member_text_is_byte_for_byte(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"{\"data\":{}}", "{}"},
        {" {\"a\":\"data\",\"data\" :\t{\"data\": [1, {\"x\":\"\\\"}\"}]} , \"z\":1}",
         "{\"data\": [1, {\"x\":\"\\\"}\"}]}"},
        {"{\"d\\u0061t\\u0061\":{\"k\":1e5}}", "{\"k\":1e5}"},
        {"{\"dat\":1,\"datas\":2,\"data\":-3.50}", "-3.50"},
        {"{\"x\":[[[]],{}],\"y\":\"\\\\\",\"data\":\"a\\\"b\"}", "\"a\\\"b\""},
        {"{\"x\":true,\"data\":null}", "null"},
    };
    struct slice value;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(record_member_text(cases[i].text, strlen(cases[i].text), "data", &value));
        assert_slice(value, cases[i].wanted);
    }
    assert_false(record_member_text("{\"a\":{\"data\":1}}", 16, "data", &value));
    assert_false(record_member_text("{}", 2, "data", &value));
}

/* ---- ids and hashes ---- */

static void record_id_reads_back_and_tells_kinds_apart(void **state)
{
    (void)state;
    uint8_t a[RECORD_ID_BYTES], b[RECORD_ID_BYTES];
    char text[RECORD_ID_TEXT_BYTES];
    record_id_of(RECORD_EVENT, "key", 3, a);
    record_id_of(RECORD_ACK, "key", 3, b);
    assert_memory_not_equal(a, b, sizeof a);
    record_id_format(a, text);
    assert_true(record_id_parse(text, strlen(text), b));
    assert_memory_equal(a, b, sizeof a);
    assert_false(record_id_parse(text, strlen(text) - 1, b));
    static const char wrong[] = "/:`g ";
    for (size_t i = 0; i < 2; i++)
        for (const char *at = wrong; *at; at++) {
            char was = text[i];
            text[i] = *at;
            assert_false(record_id_parse(text, strlen(text), b));
            text[i] = was;
        }
}

/* What is on record has these ids; and a hub without memory gives no other, lest two records look
 * like one published twice. */
static void record_id_is_the_same_for_ever_and_takes_no_memory(void **state)
{
    (void)state;
    static const struct {
        enum record_kind kind;
        const char *key, *id;
    } known[] = {
        {RECORD_EVENT, "key", "51dcdb72fe8735a8254d6a3ef5ee97b9"},
        {RECORD_ACK, "key", "2232c13a41e29e72f296e18c0598ca23"},
        {RECORD_PRESENCE, "k", "d078755e06f50fd0186609f6e8544d55"},
        {RECORD_EVENT, "", "6a079a1e52919b7b8aaa6666bd00b35d"},
    };
    char large[4096];
    uint8_t id[RECORD_ID_BYTES], other[RECORD_ID_BYTES];
    char text[RECORD_ID_TEXT_BYTES];
    memset(large, 'x', sizeof large);
    record_id_of(RECORD_EVENT, large, sizeof large, other);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        fault_arm(1, FAULT_FROM_THEN);
        record_id_of(known[i].kind, known[i].key, strlen(known[i].key), id);
        assert_false(fault_disarm());
        record_id_format(id, text);
        assert_string_equal(text, known[i].id);
    }
    fault_arm(1, FAULT_FROM_THEN);
    record_id_of(RECORD_EVENT, large, sizeof large, id);
    assert_false(fault_disarm());
    assert_memory_equal(id, other, sizeof id);
}

static void record_id_of_time_sorts_by_it_and_tells_keys_apart(void **state)
{
    (void)state;
    /* 2026-01-15T10:30:00.123Z is 1768473000123 ms since 1970. */
    static const uint8_t head[] = {0x01, 0x9b, 0xc1, 0x34, 0x78, 0xbb};
    const int64_t at_ns = INT64_C(1768473000123) * NS_PER_MS;
    uint8_t a[RECORD_ID_BYTES], b[RECORD_ID_BYTES];
    record_id_of_time(RECORD_EVENT, at_ns, "a", 1, a);
    assert_memory_equal(a, head, sizeof head);
    record_id_of_time(RECORD_EVENT, at_ns, "b", 1, b);
    assert_memory_equal(b, head, sizeof head);
    assert_memory_not_equal(a, b, sizeof a);
    record_id_of_time(RECORD_ACK, at_ns, "a", 1, b);
    assert_memory_not_equal(a, b, sizeof a);

    static const int64_t times_ns[] = {INT64_MIN,         0,        NS_PER_MS, at_ns,
                                       at_ns + NS_PER_MS, INT64_MAX};
    for (size_t i = 0; i + 1 < sizeof times_ns / sizeof *times_ns; i++) {
        record_id_of_time(RECORD_EVENT, times_ns[i], "a", 1, a);
        record_id_of_time(RECORD_EVENT, times_ns[i + 1], "a", 1, b);
        if (times_ns[i] == INT64_MIN) /* before 1970 is 1970 */
            assert_memory_equal(a, b, sizeof a);
        else
            assert_true(memcmp(a, b, sizeof a) < 0);
    }
}

/* The vector that another implementation has to meet (record_hash.h). */
static void record_hash_covers_the_line_as_documented(void **state)
{
    (void)state;
    static const char line[] =
        "{\"id\":\"000102030405060708090a0b0c0d0e0f\",\"seq\":40213,\"kind\":\"presence\","
        "\"vid\":\"VID-1\",\"region\":\"eu-north\",\"type\":\"offline\",\"severity\":\"warning\","
        "\"actor\":\"ops \\\"desk\\\"\",\"request_id\":\"r1\",\"boot\":\"b\\u0000\\n7\","
        "\"vehicle_seq\":12,\"timestamp\":\"2026-01-01T00:00:00.000000001Z\","
        "\"received\":\"2026-01-01T00:00:01.000Z\",\"archived\":\"2026-01-01T00:00:02.000Z\","
        "\"stream\":\"TWIN_STATE\",\"stream_seq\":812,\"data\":{ \"a\" : 1.50, \"b\":[\"}\"] }}";
    struct record record = full_record();
    struct buf text = BUF_INIT;
    uint8_t hash[RECORD_HASH_BYTES], wanted[RECORD_HASH_BYTES];
    for (int i = 0; i < RECORD_ID_BYTES; i++)
        record.id[i] = (uint8_t)i;
    record.region = SLICE("eu-north");
    record.seq = 40213;
    record.archived_ns = 1767225602 * NS_PER_S;
    record_write_public(&text, &record, false);
    assert_string_equal(buf_cstr(&text), line);

    assert_true(record_hash(&record, &text, hash));
    char leaf[sizeof line];
    leaf[0] = 0;
    memcpy(leaf + 1, line, sizeof line - 1);
    record_sha256(leaf, sizeof leaf, wanted);
    assert_memory_equal(hash, wanted, sizeof hash);
    buf_done(&text);
}

static void record_sha256_is_that_of_fips_180(void **state)
{
    (void)state;
    static const uint8_t abc[4] = {0xba, 0x78, 0x16, 0xbf};
    uint8_t hash[RECORD_HASH_BYTES];
    record_sha256("abc", 3, hash);
    assert_memory_equal(hash, abc, sizeof abc);
}

/* ---- what becomes a record ---- */

static struct record_made make(const char *stream, const char *subject, const char *payload)
{
    struct record_source source = {stream, 1000, strcmp(stream, "TWIN_RECORD") == 0};
    struct bus_msg msg = {.subject = subject,
                          .data = payload,
                          .size = strlen(payload),
                          .stream_seq = 7,
                          .received_ns = 5 * NS_PER_S};
    struct record_made made;
    assert_true(record_make(maker, &source, &msg, &made));
    return made;
}

#define EVENT_SUBJECT "fleet.t.veh.V1.evt.battery.low"

static void make_event_keeps_every_member(void **state)
{
    (void)state;
    struct record_made made =
        make("TWIN_EVENTS", EVENT_SUBJECT,
             "{\"timestamp\":\"2026-01-02T00:00:00Z\",\"boot\":\"b7\",\"seq\":9,"
             "\"data\":{\"severity\":4, \"n\": 1.0}}");
    assert_int_equal(made.refusal, REFUSAL_NONE);
    assert_int_equal(made.record.kind, RECORD_EVENT);
    assert_int_equal(made.record.severity, SEVERITY_WARNING);
    assert_slice(made.record.vid, "V1");
    assert_slice(made.record.type, "battery.low");
    assert_slice(made.record.boot, "b7");
    assert_int_equal(made.record.vehicle_seq, 9);
    assert_int_equal(made.record.timestamp_ns, 1767312000 * NS_PER_S);
    assert_int_equal(made.record.received_ns, 5 * NS_PER_S);
    assert_slice(made.record.stream, "TWIN_EVENTS");
    assert_int_equal(made.record.stream_seq, 7);
    assert_slice(made.record.data, "{\"severity\":4, \"n\": 1.0}");
    assert_int_equal(made.day, 1767312000 / 86400);
}

static void make_event_id_is_of_what_it_says(void **state)
{
    (void)state;
#define EVENT(boot, seq, time, data)                                                               \
    "{\"timestamp\":\"" time "\"," boot "\"seq\":" seq ",\"data\":" data "}"
    static const char original[] =
        EVENT("\"boot\":\"b\",", "1", "2026-01-02T00:00:00Z", "{\"a\":1,\"b\":\"x\"}");
    static const char *const same[] = {
        "{\"data\": { \"a\" : 1 , \"b\":\"\\u0078\" },\"seq\":1,\"boot\":\"b\",\"vid\":\"V1\","
        "\"timestamp\":\"2026-01-02T01:00:00.000+01:00\"}",
    };
    static const char *const others[] = {
        EVENT("\"boot\":\"c\",", "1", "2026-01-02T00:00:00Z", "{\"a\":1,\"b\":\"x\"}"),
        EVENT("", "1", "2026-01-02T00:00:00Z", "{\"a\":1,\"b\":\"x\"}"),
        EVENT("\"boot\":\"b\",", "2", "2026-01-02T00:00:00Z", "{\"a\":1,\"b\":\"x\"}"),
        EVENT("\"boot\":\"b\",", "1", "2026-01-02T00:00:00.000000001Z", "{\"a\":1,\"b\":\"x\"}"),
        EVENT("\"boot\":\"b\",", "1", "2026-01-02T00:00:00Z", "{\"a\":1,\"b\":\"y\"}"),
    };
    struct record_made first = make("TWIN_EVENTS", EVENT_SUBJECT, original);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct record_made made = make("TWIN_EVENTS", EVENT_SUBJECT, same[i]);
        assert_memory_equal(made.record.id, first.record.id, RECORD_ID_BYTES);
        assert_int_equal(made.day, first.day);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct record_made made = make("TWIN_EVENTS", EVENT_SUBJECT, others[i]);
        assert_memory_not_equal(made.record.id, first.record.id, RECORD_ID_BYTES);
    }
    struct record_made moved = make("TWIN_EVENTS", "fleet.t.veh.V2.evt.battery.low", original);
    assert_memory_not_equal(moved.record.id, first.record.id, RECORD_ID_BYTES);
    moved = make("TWIN_EVENTS", "fleet.t.veh.V1.evt.battery", original);
    assert_memory_not_equal(moved.record.id, first.record.id, RECORD_ID_BYTES);
}

static void make_ack_is_taken_bare_or_in_data(void **state)
{
    (void)state;
    static const char bare[] =
        " {\"cmd_id\":\"c\",\"status\":\"accepted\",\"timestamp\":\"2026-01-02T00:00:00Z\"}\n";
    struct record_made made = make("TWIN_ACK", "fleet.t.veh.V1.cmdack.rtl", bare);
    assert_int_equal(made.record.kind, RECORD_ACK);
    assert_slice(made.record.type, "rtl");
    assert_slice(
        made.record.data,
        "{\"cmd_id\":\"c\",\"status\":\"accepted\",\"timestamp\":\"2026-01-02T00:00:00Z\"}");
    made = make("TWIN_ACK", "fleet.t.veh.V1.cmdack.rtl",
                "{\"timestamp\":\"2026-01-02T00:00:00Z\",\"data\":{\"cmd_id\":\"c\"}}");
    assert_int_equal(made.record.kind, RECORD_ACK);
    assert_slice(made.record.data, "{\"cmd_id\":\"c\"}");
}

static void make_refused_message_becomes_its_refusal(void **state)
{
    (void)state;
    struct record_made made = make("TWIN_EVENTS", EVENT_SUBJECT, "{\"a\"");
    assert_int_equal(made.refusal, REFUSAL_NOT_JSON);
    assert_int_equal(made.record.kind, RECORD_REJECTED);
    assert_slice(made.record.type, "not_json");
    assert_slice(made.record.vid, "V1");
    assert_slice(made.record.stream, "TWIN_EVENTS");
    assert_int_equal(made.record.stream_seq, 7);
    assert_true(made.record.timestamp_ns == TIMESTAMP_NONE);
    assert_slice(made.record.data,
                 "{\"subject\":\"" EVENT_SUBJECT
                 "\",\"reason\":\"not_json\",\"size\":4,\"payload\":\"eyJhIg==\"}");
    assert_int_equal(made.day, 0);

    made = make("TWIN_EVENTS", "fleet.t.veh.bad!id.evt.x", "{}");
    assert_slice(made.record.type, "bad_subject");
    assert_null(made.record.vid.at);
}

static void make_refused_payload_is_cut_and_subject_made_text(void **state)
{
    (void)state;
    char payload[RECORD_REJECTED_PAYLOAD_BYTES + 2];
    memset(payload, 'x', sizeof payload - 1);
    payload[sizeof payload - 1] = '\0';
    struct record_made made = make("TWIN_EVENTS", "fleet.t.veh.V1.evt.\xff\"", payload);
    struct doc_ref root;
    size_t size;
    struct doc_limits limits = {.max_bytes = 65536, .max_depth = 4};
    assert_int_equal(doc_parse(parser, made.record.data.at, made.record.data.size, limits, &root),
                     DOC_OK);
    doc_string(doc_getz(root, "payload"), &size);
    assert_int_equal(size, (RECORD_REJECTED_PAYLOAD_BYTES + 2) / 3 * 4);
    int64_t told;
    assert_true(doc_int(doc_getz(root, "size"), &told));
    assert_int_equal(told, RECORD_REJECTED_PAYLOAD_BYTES + 1);
    struct slice subject;
    subject.at = doc_string(doc_getz(root, "subject"), &subject.size);
    assert_slice(subject, "fleet.t.veh.V1.evt.\xef\xbf\xbd\"");
}

static void make_own_record_is_taken_and_a_malformed_one_rejected(void **state)
{
    (void)state;
    struct record record = full_record();
    struct buf text = BUF_INIT;
    record.received_ns = TIMESTAMP_NONE;
    record.stream = (struct slice){NULL, 0};
    record.stream_seq = RECORD_STREAM_SEQ_NONE;
    record_write(&text, &record);
    struct record_made made =
        make("TWIN_RECORD", "fleet.t.hub.r.record.presence.VID-1", buf_cstr(&text));
    assert_int_equal(made.record.kind, RECORD_PRESENCE);
    assert_int_equal(made.record.received_ns, 5 * NS_PER_S);
    assert_slice(made.record.stream, "TWIN_RECORD");
    assert_int_equal(made.record.stream_seq, 7);
    assert_memory_equal(made.record.id, record.id, RECORD_ID_BYTES);
    buf_done(&text);

    made = make("TWIN_RECORD", "fleet.t.hub.r.record.presence.VID-1", "{}");
    assert_int_equal(made.record.kind, RECORD_REJECTED);
    assert_slice(made.record.type, "bad_envelope");
    assert_slice(made.record.vid, "VID-1");
}

static void severity_is_a_name_or_a_syslog_number(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum record_severity wanted;
    } cases[] = {
        {"{\"severity\":\"notice\"}", SEVERITY_NOTICE},
        {"{\"severity\":0}", SEVERITY_CRITICAL},
        {"{\"severity\":2}", SEVERITY_CRITICAL},
        {"{\"severity\":3}", SEVERITY_ERROR},
        {"{\"severity\":7}", SEVERITY_DEBUG},
        {"{\"severity\":8}", SEVERITY_NONE},
        {"{\"severity\":-1}", SEVERITY_NONE},
        {"{\"severity\":\"4\"}", SEVERITY_NONE},
        {"{\"severity\":1.5}", SEVERITY_NONE},
        {"{\"severity\":null}", SEVERITY_NONE},
        {"{}", SEVERITY_NONE},
    };
    struct doc_limits limits = {.max_bytes = 1024, .max_depth = 4};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct doc_ref root;
        assert_int_equal(doc_parse(parser, cases[i].text, strlen(cases[i].text), limits, &root),
                         DOC_OK);
        assert_int_equal(record_severity_of(root), cases[i].wanted);
    }
}

static void a_nul_is_found_wherever_it_is_escaped(void **state)
{
    static const struct {
        const char *json;
        bool holds;
    } cases[] = {
        {"\\u0000", true},     {"{\"a\":\"\\u0000\"}", true},    {"\\\\u0000", false},
        {"\\\\\\u0000", true}, {"{\"a\":\"\\\\u0000\"}", false}, {"\\u0001", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(record_holds_nul((struct slice){cases[i].json, strlen(cases[i].json)}),
                         cases[i].holds);
}

static bool write_without_memory(void *context)
{
    struct buf out = BUF_INIT;
    record_write(&out, context);
    bool written = !out.failed;
    buf_done(&out);
    return written;
}

static void data_is_written_in_one_line_or_not_at_all(void **state)
{
    static const char *const texts[] = {"{\r}", "{\n}", "{\r\n}"};
    struct record record = full_record();
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buf out = BUF_INIT;
        record.data = (struct slice){texts[i], strlen(texts[i])};
        record_write(&out, &record);
        assert_null(strpbrk(buf_cstr(&out), "\r\n"));
        assert_non_null(strchr(buf_cstr(&out), ' '));
        buf_done(&out);
    }
    /* As much as has to be made room for on its own. */
    static char large[2 * 4096 + 1];
    memset(large, ' ', sizeof large - 1);
    record.data = (struct slice){large, sizeof large - 1};
    assert_true(fault_loop(write_without_memory, &record) > 1);
}

static void a_refused_message_without_a_subject_is_recorded_too(void **state)
{
    struct record_scratch scratch = {.data = BUF_INIT};
    struct bus_msg msg = {.subject = "", .data = "", .stream_seq = 1};
    struct record record;
    (void)state;
    assert_true(record_of_refused(&scratch, "S", 1, &msg, REFUSAL_BAD_SUBJECT,
                                  (struct slice){NULL, 0}, &record));
    assert_non_null(strstr(record.data.at, "{\"subject\":\"\","));
    record_scratch_done(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_written_and_parsed_is_the_same),
        cmocka_unit_test(record_with_nulls_reads_as_nothing_set),
        cmocka_unit_test(record_malformed_is_refused),
        cmocka_unit_test(record_subject_names_kind_and_vehicle),
        cmocka_unit_test(record_member_text_is_byte_for_byte),
        cmocka_unit_test(record_id_reads_back_and_tells_kinds_apart),
        cmocka_unit_test(record_id_is_the_same_for_ever_and_takes_no_memory),
        cmocka_unit_test(record_id_of_time_sorts_by_it_and_tells_keys_apart),
        cmocka_unit_test(record_hash_covers_the_line_as_documented),
        cmocka_unit_test(record_sha256_is_that_of_fips_180),
        cmocka_unit_test(make_event_keeps_every_member),
        cmocka_unit_test(make_event_id_is_of_what_it_says),
        cmocka_unit_test(make_ack_is_taken_bare_or_in_data),
        cmocka_unit_test(make_refused_message_becomes_its_refusal),
        cmocka_unit_test(make_refused_payload_is_cut_and_subject_made_text),
        cmocka_unit_test(make_own_record_is_taken_and_a_malformed_one_rejected),
        cmocka_unit_test(severity_is_a_name_or_a_syslog_number),
        cmocka_unit_test(a_nul_is_found_wherever_it_is_escaped),
        cmocka_unit_test(data_is_written_in_one_line_or_not_at_all),
        cmocka_unit_test(a_refused_message_without_a_subject_is_recorded_too),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
