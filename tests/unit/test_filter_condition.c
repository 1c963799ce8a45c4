/* filter_next_condition: what every match of a filter fulfils, by example and on random records. */
#include "tests/unit/record_filters.h"
#include "twin/filter.h"
#include "twin/record_view.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

enum { RECORDS = 60, FILTERS = 8000, DEPTH = 3 };

#define NOW_NS INT64_C(1768473040000000000) /* 2026-01-15T10:30:40Z */

static struct filter *compile(const char *text)
{
    struct text_error error;
    struct filter *filter = filter_compile(PATH_OF_RECORD, text, strlen(text), NULL, &error);
    if (!filter)
        fail_msg("refused at %zu, %s: %s", error.offset, error.detail, text);
    return filter;
}

/* ---- by example ---- */

static void write_value(struct buf *out, const struct value *value)
{
    char text[TIMESTAMP_TEXT_BYTES];
    switch ((enum value_type)value->type) {
    case VALUE_STRING:
        buf_add(out, value->string.at, value->string.size);
        break;
    case VALUE_NUMBER:
        buf_addf(out, "%g", value->number);
        break;
    case VALUE_TIME:
        buf_add(out, text, timestamp_format(value->ns, text));
        break;
    default:
        buf_addf(out, "type %d", value->type);
    }
}

static void says(const char *text, const char *expected)
{
    static const char *const relations[] = {"one of", "begins", "not", "<", "<=", ">", ">="};
    struct filter *filter = compile(text);
    struct filter_condition condition;
    struct buf out = BUF_INIT;
    for (size_t at = 0; filter_next_condition(filter, &at, NOW_NS, &condition);) {
        buf_addf(&out, "%s%s %s", out.size_bytes ? "; " : "", path_text(condition.path),
                 relations[condition.relation]);
        for (size_t i = 0; i < condition.value_count; i++) {
            buf_addc(&out, ' ');
            write_value(&out, condition.values[i]);
        }
    }
    assert_string_equal(buf_cstr(&out), expected);
    buf_done(&out);
    filter_free(filter);
}

static void conditions_of_terms_that_must_hold(void **state)
{
    (void)state;
    says("", "");
    says("vid = \"V-1\"", "vid one of V-1");
    says("vid = \"V-1\" AND seq >= 10 AND data.load < 0.5",
         "vid one of V-1; seq >= 10; data.load < 0.5");
    says("10 < seq", "seq > 10");
    says("kind != \"track\"", "kind not track");
    says("vid = \"V-*\"", "vid begins V-");
    says("vid = \"*1\"", "");
    says("type:\"landed\"", "type one of landed");
    says("data.tags:\"landed\"", "");
    says("received >= \"2026-01-15T11:30:00+01:00\"", "received >= 2026-01-15T10:30:00.000Z");
}

static void conditions_of_alternatives_are_one(void **state)
{
    (void)state;
    says("kind = \"event\" OR kind = \"ack\"", "kind one of event ack");
    says("(kind = \"event\" AND seq > 5) OR (kind = \"ack\" AND vid = \"V-1\")",
         "kind one of event ack");
    says("kind = \"event\" OR vid = \"V-1\"", "");
    says("(kind = \"event\" OR vid = \"V-1\") AND type = \"a\"", "type one of a");
}

static void conditions_are_not_made_of_negations(void **state)
{
    (void)state;
    says("NOT vid = \"V-1\"", "");
    says("NOT (vid = \"V-1\" OR seq < 5)", "");
    says("NOT (NOT vid = \"V-1\")", "vid one of V-1");
    says("NOT (NOT vid = \"V-1\" OR NOT seq < 5)", "vid one of V-1; seq < 5");
}

static void conditions_of_ages_are_instants(void **state)
{
    (void)state;
    says("age(received) < 40s", "received > 2026-01-15T10:30:00.000Z");
    says("age(received) <= 40s", "received >= 2026-01-15T10:30:00.000Z");
    says("age(received) > 40s", "received < 2026-01-15T10:30:00.000Z");
    says("age(archived) >= 40s", "archived <= 2026-01-15T10:30:00.000Z");
    says("age(received) = 40s", "");
}

/* ---- on random records ---- */

static struct record_view records[RECORDS];
static struct doc *datas[RECORDS];

static struct slice text_of(struct random *random, const char *const *list, unsigned count)
{
    const char *text = list[random_below(random, count)];
    return (struct slice){text, text ? strlen(text) : 0};
}

static int make_records(void **state)
{
    static const char *const vids[] = {"V-1", "V-2", "V-3", "W-1", NULL};
    static const char *const kinds[] = {"event", "ack", "track"};
    static const char *const types[] = {"battery.low", "battery.critical", "waypoint", "takeoff"};
    static const char *const severities[] = {"warning", "info", NULL};
    static const char *const boots[] = {"b1", "b2", NULL};
    struct random random = random_seeded("records");
    struct doc_parser *parser = doc_parser_new();
    (void)state;
    for (int i = 0; i < RECORDS; i++) {
        char text[128];
        struct doc_ref data;
        int size = snprintf(text, sizeof text, "{\"index\":%u,\"load\":%u.5,\"phase\":%s}",
                            random_below(&random, 40), random_below(&random, 3),
                            random_below(&random, 3) ? "\"takeoff\"" : "[\"takeoff\"]");
        if (doc_parse(parser, text, (size_t)size, (struct doc_limits){1024, 8}, &data) != DOC_OK)
            fail();
        datas[i] = doc_copy(data);
        int64_t at_ns = NOW_NS - random_below(&random, 60) * NS_PER_S;
        records[i] = (struct record_view){
            .seq = i + 1,
            .kind = text_of(&random, kinds, 3),
            .vid = text_of(&random, vids, 5),
            .region = {"north", 5},
            .type = text_of(&random, types, 4),
            .severity = text_of(&random, severities, 3),
            .boot = text_of(&random, boots, 3),
            .vehicle_seq = random_below(&random, 3) ? (int)random_below(&random, 40) : -1,
            .timestamp_ns = random_below(&random, 4) ? at_ns : TIMESTAMP_NONE,
            .received_ns = at_ns,
            .archived_ns = at_ns + NS_PER_MS,
            .stream = {"TWIN_EVENTS", 11},
            .stream_seq = i,
            .data = doc_root(datas[i]),
        };
    }
    doc_parser_free(parser);
    return 0;
}

static int free_records(void **state)
{
    (void)state;
    for (int i = 0; i < RECORDS; i++)
        free(datas[i]);
    return 0;
}

/* By what the relation says, and nothing of the filter. */
static bool fulfils(const struct filter_condition *condition,
                    const struct subject_of_query *subject)
{
    struct value have = path_value(condition->path, subject);
    for (size_t i = 0; i < condition->value_count; i++) {
        const struct value *value = condition->values[i];
        if (condition->relation == FILTER_ONE_OF && value->type == VALUE_NULL &&
            have.type == VALUE_NULL)
            return true;
        if (have.type != value->type)
            continue;
        int order = value_compare(&have, value);
        switch (condition->relation) {
        case FILTER_ONE_OF:
            if (order == 0)
                return true;
            continue;
        case FILTER_BEGINS:
            return have.string.size >= value->string.size &&
                   memcmp(have.string.at, value->string.at, value->string.size) == 0;
        case FILTER_NOT:
            return order != 0;
        case FILTER_BELOW:
            return order < 0;
        case FILTER_UP_TO:
            return order <= 0;
        case FILTER_ABOVE:
            return order > 0;
        case FILTER_FROM:
            return order >= 0;
        }
    }
    return false;
}

static void every_match_fulfils_every_condition(void **state)
{
    struct random random = random_seeded("filters");
    unsigned conditions = 0, left_out = 0;
    (void)state;
    for (int f = 0; f < FILTERS; f++) {
        struct buf text = BUF_INIT;
        record_filters_write(&random, &text, DEPTH);
        struct filter *filter = compile(buf_cstr(&text));
        struct filter_condition condition;
        for (size_t at = 0; filter_next_condition(filter, &at, NOW_NS, &condition);) {
            conditions++;
            for (int i = 0; i < RECORDS; i++) {
                struct subject_of_query subject = {.record = &records[i]};
                bool matches = filter_matches(filter, &subject, NOW_NS);
                bool fulfilled = fulfils(&condition, &subject);
                left_out += !fulfilled;
                if (matches && !fulfilled)
                    fail_msg("record %d matches %s, but not %s", i + 1, buf_cstr(&text),
                             path_text(condition.path));
            }
        }
        filter_free(filter);
        buf_done(&text);
    }
    print_message("%u conditions of %u filters\n", conditions, (unsigned)FILTERS);
    assert_true(conditions > FILTERS / 2);
    assert_true(left_out > conditions * (RECORDS / 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_of_terms_that_must_hold),
        cmocka_unit_test(conditions_of_alternatives_are_one),
        cmocka_unit_test(conditions_are_not_made_of_negations),
        cmocka_unit_test(conditions_of_ages_are_instants),
        cmocka_unit_test(every_match_fulfils_every_condition),
    };
    return cmocka_run_group_tests(tests, make_records, free_records);
}
