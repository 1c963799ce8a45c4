/* record_redact, record_judge, record_ring, record_formats: which records are meant, who sees what
 * of them, and how they are kept and written. */
#include "hub/record_formats.h"
#include "hub/record_judge.h"
#include "hub/record_redact.h"
#include "hub/record_ring.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct doc_parser *parser;
static struct buf out;

static int setup(void **state)
{
    (void)state;
    parser = doc_parser_new();
    return parser ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    doc_parser_free(parser);
    buf_done(&out);
    return 0;
}

static struct slice slice(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static struct record record_of(enum record_kind kind, const char *vid, const char *type,
                               const char *data)
{
    struct record record;
    record_init(&record);
    record.kind = kind;
    record.vid = slice(vid);
    record.type = slice(type);
    record.data = slice(data);
    record.region = slice("north");
    record.seq = 7;
    record.received_ns = 0;
    record.archived_ns = NS_PER_S;
    return record;
}

/* ---- who sees what ---- */

struct rights {
    const char *vehicles[4], *allow[4], *deny[4]; /* NULL at first: not given */
};

static size_t count_of(const char *const list[4])
{
    size_t count = 0;
    while (count < 4 && list[count])
        count++;
    return count;
}

/* What is seen of a record: "hidden", "whole", or the data that remains. */
static const char *seen(const struct rights *rights, enum record_kind kind, const char *vid,
                        const char *type, const char *data)
{
    struct viewer_scope scope = {
        .vehicles = {rights->vehicles[0] != NULL, rights->vehicles, count_of(rights->vehicles)},
        .allow = {rights->allow[0] != NULL, rights->allow, count_of(rights->allow)}};
    struct viewer viewer = {
        .principal = "p",
        .scopes = &scope,
        .scope_count = 1,
        .deny = {rights->deny[0] != NULL, rights->deny, count_of(rights->deny)}};
    struct record record = record_of(kind, vid, type, data);
    switch (record_redact(&viewer, &record, parser, &out)) {
    case RECORD_HIDDEN:
        return "hidden";
    case RECORD_WHOLE:
        return "whole";
    case RECORD_PARTLY:
        return buf_cstr(&out);
    case RECORD_NO_MEMORY:
        break;
    }
    return "no memory";
}

static const struct rights all, customer = {.vehicles = {"CUST-*"}};
static const struct rights no_low = {.deny = {"evt.battery.>"}}, only_events = {.allow = {"evt.>"}};

static void events_go_by_their_type(void **state)
{
    (void)state;
    assert_string_equal(seen(&all, RECORD_EVENT, "V", "battery.low", "{}"), "whole");
    assert_string_equal(seen(&no_low, RECORD_EVENT, "V", "battery.low", "{}"), "hidden");
    assert_string_equal(seen(&no_low, RECORD_EVENT, "V", "takeoff", "{}"), "whole");
    assert_string_equal(seen(&only_events, RECORD_EVENT, "V", "takeoff", "{}"), "whole");
    assert_string_equal(seen(&only_events, RECORD_PRESENCE, "V", "offline", "{}"), "hidden");
    assert_string_equal(seen(&customer, RECORD_EVENT, "CUST-1", "takeoff", "{}"), "whole");
    assert_string_equal(seen(&customer, RECORD_EVENT, "V", "takeoff", "{}"), "hidden");
}

static void commands_and_their_acknowledgements_go_by_theirs(void **state)
{
    static const struct rights no_arm = {.deny = {"cmd.arm"}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        enum record_kind kind = i ? RECORD_ACK : RECORD_COMMAND;
        assert_string_equal(seen(&no_arm, kind, "V", "arm", "{}"), "hidden");
        assert_string_equal(seen(&no_arm, kind, "V", "rtl", "{}"), "whole");
        assert_string_equal(seen(&only_events, kind, "V", "rtl", "{}"), "hidden");
    }
}

static void records_without_a_vehicle_are_for_those_who_see_all(void **state)
{
    (void)state;
    assert_string_equal(seen(&all, RECORD_SYSTEM, NULL, "gap", "{}"), "whole");
    assert_string_equal(seen(&no_low, RECORD_SYSTEM, NULL, "gap", "{}"), "whole");
    assert_string_equal(seen(&customer, RECORD_SYSTEM, NULL, "gap", "{}"), "hidden");
    assert_string_equal(seen(&customer, RECORD_ACCESS, NULL, "record_read", "{}"), "hidden");
    assert_string_equal(seen(&customer, RECORD_COMMAND, NULL, "rtl", "{}"), "hidden");
    assert_string_equal(seen(&only_events, RECORD_ACCESS, NULL, "record_read", "{}"), "hidden");
    assert_string_equal(seen(&no_low, RECORD_ACCESS, NULL, "record_read", "{}"), "whole");
}

static void tracks_lose_the_states_that_are_denied(void **state)
{
    static const char track[] =
        "{\"position\":{\"lat\":1.50},\"mode\":{\"mode\":\"A\"},\"received\":"
        "{\"position\":\"p\",\"mode\":\"m\"}}";
    static const struct rights no_position = {.deny = {"state.position"}};
    static const struct rights no_state = {.deny = {"state.>"}};
    (void)state;
    assert_string_equal(seen(&no_low, RECORD_TRACK, "V", "position", track), "whole");
    assert_string_equal(seen(&no_position, RECORD_TRACK, "V", "position", track),
                        "{\"mode\":{\"mode\":\"A\"},\"received\":{\"mode\":\"m\"}}");
    assert_string_equal(seen(&no_state, RECORD_TRACK, "V", "position", track), "hidden");
}

static void shadow_changes_lose_the_keys_that_are_denied(void **state)
{
    static const char change[] = "{\"part\":\"desired\",\"before\":{\"pin\":1,\"mode\":\"A\"},"
                                 "\"after\":{\"pin\":2,\"mode\":\"B\"}}";
    static const char first[] = "{\"part\":\"desired\",\"before\":null,\"after\":{\"pin\":2}}";
    static const struct rights no_pin = {.deny = {"desired.pin"}};
    static const struct rights no_meta = {.deny = {"meta.>"}}, no_desired = {.deny = {"desired.>"}};
    (void)state;
    assert_string_equal(seen(&no_meta, RECORD_SHADOW, "V", "requested", change), "whole");
    assert_string_equal(seen(&no_pin, RECORD_SHADOW, "V", "requested", change),
                        "{\"part\":\"desired\",\"before\":{\"mode\":\"A\"},"
                        "\"after\":{\"mode\":\"B\"}}");
    assert_string_equal(seen(&no_pin, RECORD_SHADOW, "V", "outside", first),
                        "{\"part\":\"desired\",\"before\":null,\"after\":{}}");
    assert_string_equal(seen(&no_desired, RECORD_SHADOW, "V", "requested", change), "hidden");
    assert_string_equal(
        seen(&no_pin, RECORD_SHADOW, "V", "applied", "{\"request\":\"00\",\"revision\":3}"),
        "whole");
}

static void refused_messages_go_by_what_they_were(void **state)
{
    static const struct rights no_position = {.deny = {"state.position"}};
    static const char *const subjects[] = {"fleet.t.veh.V.state.position", "fleet.t.veh.V.evt.low",
                                           "fleet.t.veh.V.cmdack.rtl", "nonsense"};
    static const char *const expected[] = {"hidden", "whole", "whole", "hidden"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char data[128];
        snprintf(data, sizeof data, "{\"subject\":\"%s\",\"payload\":\"QQ==\"}", subjects[i]);
        assert_string_equal(seen(&no_position, RECORD_REJECTED, "V", "not_json", data),
                            expected[i]);
    }
    assert_string_equal(seen(&no_position, RECORD_REJECTED, "V", "not_json", "{\"count\":3}"),
                        "whole");
}

static void what_is_not_in_its_kind_s_form_is_hidden_from_who_is_denied_something(void **state)
{
    static const struct rights no_pin = {.deny = {"desired.pin"}};
    static const char *const no_objects[] = {"{", "[]", ""};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(seen(&no_low, RECORD_TRACK, "V", "position", no_objects[i]), "hidden");
        assert_string_equal(seen(&no_low, RECORD_REJECTED, "V", "x", no_objects[i]), "hidden");
        assert_string_equal(seen(&all, RECORD_TRACK, "V", "position", no_objects[i]), "whole");
    }
    assert_string_equal(seen(&no_low, RECORD_TRACK, "V", "position", "{}"), "whole");
    assert_string_equal(seen(&no_low, RECORD_TRACK, "V", "position", "{\"received\":7}"), "whole");
    assert_string_equal(seen(&no_pin, RECORD_SHADOW, "V", "x", "{\"part\":\"gossip\"}"), "hidden");
}

static void what_no_vehicle_is_called_is_nobody_s_to_see(void **state)
{
    static const struct rights no_pin = {.deny = {"desired.pin"}};
    char vid[TOKEN_MAX_BYTES + 2];
    (void)state;
    memset(vid, 'V', sizeof vid - 1);
    vid[sizeof vid - 1] = '\0';
    assert_string_equal(seen(&no_pin, RECORD_EVENT, vid, "x", "{}"), "hidden");
    assert_string_equal(seen(&no_pin, RECORD_EVENT, vid + 1, "x", "{}"), "whole");
}

/* A message whose subject says nothing could be about anything: who sees all of a vehicle sees it.
 */
static void a_refused_message_about_nothing_is_for_those_who_see_everything(void **state)
{
    static const char *const mine[] = {"V"}, *const others[] = {"W"}, *const events[] = {"evt.>"};
    static const char *const denied[] = {"evt.low"};
    static const struct viewer_patterns none = {false, NULL, 0}, only_events_of = {true, events, 1};
    const struct viewer_scope whole = {{true, mine, 1}, none};
    const struct viewer_scope part = {{true, mine, 1}, only_events_of};
    const struct viewer_scope other = {{true, others, 1}, none};
    const struct {
        struct viewer_scope scopes[2];
        bool denies;
        enum record_sight sight;
    } cases[] = {
        {{whole, other}, false, RECORD_WHOLE},
        {{whole, other}, true, RECORD_HIDDEN},
        {{other, part}, false, RECORD_HIDDEN},
    };
    static const char *const subjects[] = {"\"nonsense\"", "7"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t j = 0; j < 2; j++) {
            char data[64];
            struct viewer viewer = {"p", cases[i].scopes, 2, {cases[i].denies, denied, 1}};
            viewer.deny.count = cases[i].denies;
            snprintf(data, sizeof data, "{\"subject\":%s,\"payload\":\"\"}", subjects[j]);
            struct record record = record_of(RECORD_REJECTED, "V", "not_json", data);
            assert_int_equal(record_redact(&viewer, &record, parser, &out), cases[i].sight);
        }
}

/* ---- the question ---- */

static enum record_verdict ask(const struct viewer *viewer, const char *text, struct record *record)
{
    struct record_question question;
    struct record_judge judge;
    struct text_error error;
    record_question_init(&question, viewer);
    struct filter *filter = filter_compile(PATH_OF_RECORD, text, strlen(text), NULL, &error);
    assert_non_null(filter);
    question.filter = filter;
    assert_true(record_judge_init(&judge, &question));
    enum record_verdict verdict = record_judge_ask(&judge, record);
    record_judge_done(&judge);
    filter_free(filter);
    return verdict;
}

static void a_filter_sees_what_its_viewer_sees(void **state)
{
    static const char *const denied[] = {"desired.pin"};
    static const struct viewer_scope scope = {.vehicles = {false, NULL, 0}};
    static const struct viewer viewer = {
        .principal = "p", .scopes = &scope, .scope_count = 1, .deny = {true, denied, 1}};
    static const char change[] =
        "{\"part\":\"desired\",\"before\":{\"pin\":1},\"after\":{\"pin\":2,\"a\":3}}";
    static const char *const both[] = {"data.after.a = 3", "kind = \"shadow\"", "seq = 7"};
    static const char *const only_all[] = {"data.after.pin = 2", "data.before.pin:*", "hash:*"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct record record = record_of(RECORD_SHADOW, "V", "requested", change);
        assert_int_equal(ask(&viewer_all, both[i], &record), RECORD_YES);
        assert_int_equal(ask(&viewer_all, only_all[i], &record), RECORD_YES);
        assert_int_equal(ask(&viewer, only_all[i], &record), RECORD_NO);
        record = record_of(RECORD_SHADOW, "V", "requested", change);
        assert_int_equal(ask(&viewer, both[i], &record), RECORD_YES);
        assert_true(record.redacted);
    }
}

static void the_hash_of_a_redacted_record_is_not_told(void **state)
{
    struct record record = record_of(RECORD_SHADOW, "V", "requested", "{}");
    (void)state;
    buf_reset(&out);
    record_write_public(&out, &record, true);
    assert_null(strstr(buf_cstr(&out), "\"hash\":null"));
    record.redacted = true;
    buf_reset(&out);
    record_write_public(&out, &record, true);
    assert_non_null(strstr(buf_cstr(&out), "\"hash\":null"));
    buf_reset(&out);
    record_format_item(&out, FORMAT_CSV, &record, true);
    assert_non_null(strstr(buf_cstr(&out), ",7,,shadow,V,"));
}

/* ---- formats ---- */

static void csv_has_a_cell_for_each_member(void **state)
{
    struct record record = record_of(RECORD_EVENT, "V,1", "=a", "{\"a\":\"b\"}");
    (void)state;
    record.boot = slice("\"x\"");
    buf_reset(&out);
    record_format_begin(&out, FORMAT_CSV);
    assert_string_equal(buf_cstr(&out),
                        "id,seq,hash,kind,vid,region,type,severity,actor,request_id,boot,"
                        "vehicle_seq,timestamp,received,archived,stream,stream_seq,data\r\n");
    buf_reset(&out);
    record_format_item(&out, FORMAT_CSV, &record, true);
    const char *row = buf_cstr(&out);
    assert_non_null(strstr(row,
                           ",event,\"V,1\",north,'=a,,,,\"\"\"x\"\"\",,,1970-01-01T00:00:00.000Z,"
                           "1970-01-01T00:00:01.000Z,,,\"{\"\"a\"\":\"\"b\"\"}\"\r\n"));
}

/* ---- the ring ---- */

enum { RING_RECORDS = 8 };

static void ring_keeps_the_last_ones_within_its_bounds(void **state)
{
    (void)state;
    struct record_ring *ring = record_ring_new(RING_RECORDS, 1 << 20);
    for (int64_t seq = 100; seq < 130; seq++) {
        char data[32];
        snprintf(data, sizeof data, "{\"seq\":%lld}", (long long)seq);
        struct record record = record_of(RECORD_EVENT, NULL, "t", data);
        record.seq = seq;
        assert_true(record_ring_add(ring, &record));
        memset(data, 'x', sizeof data); /* what it was made from goes */
    }
    assert_int_equal(record_ring_first(ring), 122);
    assert_null(record_ring_at(ring, 121));
    assert_null(record_ring_at(ring, 130));
    for (int64_t seq = 122; seq < 130; seq++) {
        const struct record *kept = record_ring_at(ring, seq);
        char expected[32];
        int size = snprintf(expected, sizeof expected, "{\"seq\":%lld}", (long long)seq);
        assert_int_equal(kept->data.size, size);
        assert_memory_equal(kept->data.at, expected, (size_t)size);
        assert_null(kept->vid.at);
    }
    record_ring_free(ring);
}

static void ring_is_bounded_in_bytes_and_begins_anew_behind_a_gap(void **state)
{
    static char large[3000];
    (void)state;
    memset(large, ' ', sizeof large - 1);
    struct record_ring *ring = record_ring_new(RING_RECORDS, 8000);
    for (int64_t seq = 1; seq <= 5; seq++) {
        struct record record = record_of(RECORD_EVENT, "V", "t", large);
        record.seq = seq;
        assert_true(record_ring_add(ring, &record));
    }
    assert_int_equal(record_ring_first(ring), 4); /* two of them fit */
    struct record record = record_of(RECORD_EVENT, "V", "t", "{}");
    record.seq = 9;
    assert_true(record_ring_add(ring, &record));
    assert_int_equal(record_ring_first(ring), 9);
    assert_null(record_ring_at(ring, 5));
    record_ring_free(ring);
}

/* ---- copies of viewers ---- */

static void a_copy_of_a_viewer_sees_the_same_and_needs_nothing_of_it(void **state)
{
    char vehicles[] = "CUST-*", allow[] = "evt.>", deny[] = "evt.low", principal[] = "who";
    const char *vehicle_list[] = {vehicles}, *allow_list[] = {allow}, *deny_list[] = {deny};
    struct viewer_scope scope = {{true, vehicle_list, 1}, {true, allow_list, 1}};
    struct viewer viewer = {principal, &scope, 1, {true, deny_list, 1}};
    (void)state;
    struct viewer *copy = viewer_copy(&viewer), *everything = viewer_copy(&viewer_all);
    memset(vehicles, 'x', sizeof vehicles - 1);
    memset(allow, 'x', sizeof allow - 1);
    memset(deny, 'x', sizeof deny - 1);
    memset(principal, 'x', sizeof principal - 1);
    assert_string_equal(copy->principal, "who");
    assert_true(viewer_sees_part(copy, "CUST-1", "evt", "high", 4));
    assert_false(viewer_sees_part(copy, "CUST-1", "evt", "low", 3));
    assert_false(viewer_sees_part(copy, "CUST-1", "state", "mode", 4));
    assert_false(viewer_sees_vehicle(copy, "V"));
    assert_true(viewer_sees_everything(everything));
    free(copy);
    free(everything);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_go_by_their_type),
        cmocka_unit_test(commands_and_their_acknowledgements_go_by_theirs),
        cmocka_unit_test(records_without_a_vehicle_are_for_those_who_see_all),
        cmocka_unit_test(tracks_lose_the_states_that_are_denied),
        cmocka_unit_test(shadow_changes_lose_the_keys_that_are_denied),
        cmocka_unit_test(refused_messages_go_by_what_they_were),
        cmocka_unit_test(what_is_not_in_its_kind_s_form_is_hidden_from_who_is_denied_something),
        cmocka_unit_test(what_no_vehicle_is_called_is_nobody_s_to_see),
        cmocka_unit_test(a_refused_message_about_nothing_is_for_those_who_see_everything),
        cmocka_unit_test(a_filter_sees_what_its_viewer_sees),
        cmocka_unit_test(the_hash_of_a_redacted_record_is_not_told),
        cmocka_unit_test(csv_has_a_cell_for_each_member),
        cmocka_unit_test(ring_keeps_the_last_ones_within_its_bounds),
        cmocka_unit_test(ring_is_bounded_in_bytes_and_begins_anew_behind_a_gap),
        cmocka_unit_test(a_copy_of_a_viewer_sees_the_same_and_needs_nothing_of_it),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
