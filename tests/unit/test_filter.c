/* filter: what each sentence of contract §5 says of matching. */
#include "tests/unit/fault.h"
#include "tests/unit/filter_help.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct twin *full, *empty;

static const char full_text[] =
    "{\"vid\":\"VID-001\",\"status\":\"online\",\"seen\":5,\"since\":3600,\"delta_since\":90,"
    "\"state\":{\"position\":{\"lat\":59.91,\"lon\":10.75,\"heading\":null,\"extra\":{}},"
    "\"battery\":{\"remaining\":0.2,\"voltage\":11.10,\"big\":9007199254740993,"
    "\"huge\":123456789012345678901234567890},"
    "\"mode\":{\"mode\":\"AUTO\",\"armed\":true},\"battery.cells\":{\"lowest\":3.5}},"
    "\"received\":{\"position\":3,\"battery\":61},"
    "\"desired\":{\"mode\":\"RTL\",\"same\":1},\"reported\":{\"mode\":\"AUTO\",\"same\":1.0},"
    "\"meta\":{\"site\":\"oslo-north\",\"star\":\"*a\",\"end\":\"a*\",\"middle\":\"a*b\","
    "\"slash\":\"a\\\\\",\"word\":\"*\",\"none\":\"\",\"tags\":[\"red\",5,null,true,[1]],"
    "\"empty\":[],\"object\":{\"k\":null,\"x\":{\"y\":1}},\"AND\":1,\"my site\":2,\"0\":{\"5\":7},"
    "\"built\":\"2026-01-15T10:29:55.000Z\",\"later\":\"2026-01-15T12:29:55+02:00\"}}";

static int make_twins(void **state)
{
    (void)state;
    full = help_twin(full_text);
    empty = help_twin("{\"vid\":\"VID-002\"}");
    return full && empty ? 0 : -1;
}

static int free_twins(void **state)
{
    (void)state;
    help_free(full);
    help_free(empty);
    return 0;
}

static struct filter *compile(const char *text)
{
    struct text_error error;
    struct filter *filter = filter_compile(PATH_OF_TWIN, text, strlen(text), &help_groups, &error);
    if (!filter)
        fail_msg("%s: refused at %zu: %s", text, error.offset, error.detail);
    return filter;
}

static bool twin_matches(const struct twin *twin, const char *text, int64_t now_ns)
{
    struct subject_of_query subject = {.twin = twin, .region = "eu-north"};
    struct filter *filter = compile(text);
    bool result = filter_matches(filter, &subject, now_ns);
    filter_free(filter);
    return result;
}

/* Each text of the list, up to NULL, matches the full twin or none does. */
static void assert_all(bool expected, const char *const *texts)
{
    for (; *texts; texts++)
        if (twin_matches(full, *texts, HELP_NOW_NS) != expected)
            fail_msg("%s: should %smatch", *texts, expected ? "" : "not ");
}
#define MATCH(...) assert_all(true, (const char *const[]){__VA_ARGS__, NULL})
#define NO_MATCH(...) assert_all(false, (const char *const[]){__VA_ARGS__, NULL})

static void filter_examples_of_the_contract_are_read(void **state)
{
    (void)state;
    MATCH("state.battery.remaining < 0.25 AND presence.status = \"online\"",
          "meta.site = \"oslo-*\" AND NOT reported.mode = \"RTL\"",
          "distance(state.position, 59.91, 10.75) < 500 AND age(state.position) <= 10s",
          "inside(state.position, \"POLYGON((10.6 59.8, 10.9 59.8, 10.9 60.0, 10.6 60.0, 10.6 "
          "59.8))\")",
          "delta:* AND age(delta) > 60s", "group(\"odd\") OR vid = \"VID-0*\"");
}

static void filter_empty_matches_everything(void **state)
{
    (void)state;
    MATCH("", " ", "\n\t ");
    assert_true(twin_matches(empty, "", HELP_NOW_NS));
}

static void filter_roots_are_found(void **state)
{
    (void)state;
    MATCH("vid = \"VID-001\"", "region = \"eu-north\"", "presence.status = \"online\"",
          "state.mode.mode = \"AUTO\"", "reported.same = 1", "desired.mode = \"RTL\"",
          "delta.mode = \"RTL\"", "delta_since:*", "meta.site:*", "revision.desired = 7",
          "revision.config = 0", "state.\"battery.cells\".lowest = 3.5", "meta.\"my site\" = 2",
          "meta.\"AND\" = 1", "meta.\"\\u0041ND\" = 1", "meta.0.5 = 7", "\"vid\".x = 1 OR vid:*",
          "state . mode . mode=\"AUTO\"");
    NO_MATCH("config.a = 1", "state.battery.cells.lowest = 3.5", "vid.x = 1", "revision.x = 0",
             "presence.x:*", "delta_since.x:*", "delta.same:*", "revision.desired.x = 7");
}

static void filter_numbers_compare_by_value_and_exactly(void **state)
{
    (void)state;
    MATCH("state.battery.remaining = 0.2", "state.battery.remaining = 2e-1",
          "state.battery.voltage = 11.1", "desired.same = reported.same",
          "state.battery.big = 9007199254740993", "state.battery.big > 9007199254740992",
          "state.battery.big != 9007199254740992", "state.battery.big < 9007199254740994",
          "state.battery.huge = 123456789012345678901234567890",
          "state.battery.huge < 123456789012345678901234567891",
          "state.battery.remaining < 0.20000000000000000000001", "-1 < state.battery.remaining",
          "state.battery.remaining>-0.5", "1.0 = 1", "state.battery.remaining > -0");
    NO_MATCH("state.battery.big = 9007199254740992",
             "state.battery.huge > 123456789012345678901234567890",
             "state.battery.remaining >= 0.20000000000000000000001");
}

static void filter_strings_compare_by_bytes(void **state)
{
    (void)state;
    MATCH("state.mode.mode < \"B\"", "state.mode.mode > \"AUT\"", "state.mode.mode <= \"AUTO\"",
          "meta.none < \"a\"", "\"Z\" < \"a\"", "state.mode.mode < \"\xc3\xa9\"",
          "meta.built != meta.later");
    NO_MATCH("state.mode.mode < \"AUTO\"", "meta.built = meta.later");
}

static void filter_comparison_with_what_is_missing_or_of_another_type_is_false(void **state)
{
    (void)state;
    NO_MATCH("meta.nothing = 1", "meta.nothing != 1", "meta.nothing != meta.nothing",
             "meta.site = 5", "meta.site != 5", "meta.site < 5", "meta.tags = 5", "meta.tags != 5",
             "state.battery.remaining != \"a\"", "state.battery.remaining = true",
             "state.battery.remaining != null", "vid != 5", "state.x.y != \"a*\"",
             "state.battery.remaining != \"a*\"", "presence.status != 5");
    MATCH("NOT meta.nothing = 1", "NOT meta.site != 5", "NOT state.x.y = \"*\"");
}

static void filter_null_equals_null_and_nothing_else(void **state)
{
    (void)state;
    MATCH("state.position.heading = null", "null = state.position.heading");
    NO_MATCH("state.position.heading != null", "meta.site = null", "meta.site != null",
             "meta.nothing = null", "state.position.heading < null",
             "state.position.heading >= null", "state.position.heading:*");
    assert_true(twin_matches(empty, "presence.last_seen = null", HELP_NOW_NS));
    assert_true(twin_matches(empty, "delta_since = null", HELP_NOW_NS));
    assert_false(twin_matches(empty, "presence.last_seen != null", HELP_NOW_NS));
}

static void filter_order_is_of_numbers_strings_durations_and_timestamps_only(void **state)
{
    (void)state;
    MATCH("state.mode.armed = true", "state.mode.armed != false", "true = true");
    NO_MATCH("state.mode.armed < true", "state.mode.armed >= true", "state.mode.armed > false",
             "state.mode <= state.mode", "state.mode = state.mode", "meta.tags = meta.tags",
             "state.mode != state.position", "meta = meta", "state = state");
}

static void filter_wildcard_is_first_or_last_right_of_equality(void **state)
{
    (void)state;
    MATCH("meta.site = \"oslo*\"", "meta.site = \"*north\"", "meta.site = \"*lo-no*\"",
          "meta.site = \"*\"", "meta.site = \"**\"", "meta.none = \"*\"",
          "meta.site != \"bergen*\"", "vid = \"VID-00*\"", "presence.status = \"on*\"",
          "region = \"*north\"", "meta.site = \"*oslo-north*\"", "\"abc\" = \"a*\"",
          "meta.site = \"\\u006fslo*\"", "meta.site = \"oslo\\u002a\"");
    NO_MATCH("meta.site = \"oslo\"", "meta.site = \"o*h\"", "meta.site != \"oslo*\"",
             "meta.site = \"*bergen\"", "meta.site < \"*\"", "\"*\" = meta.site",
             "\"VID-0*\" = vid", "meta.tags = \"*\"", "meta.site = \"oslo-north-west*\"");
}

static void filter_star_is_itself_between_and_behind_a_backslash(void **state)
{
    (void)state;
    MATCH("meta.star = \"\\\\*a\"", "meta.end = \"a\\\\*\"", "meta.word = \"\\\\*\"",
          "meta.middle = \"a*b\"", "meta.star = \"\\\\**\"", "meta.end = \"*\\\\*\"",
          "meta.middle > \"a*a\"", "meta.word = \"*\\\\*\"", "meta.word = \"\\\\**\"",
          "meta.star:\"*a\"");
    NO_MATCH("meta.site = \"\\\\*\"", "meta.middle = \"a\\\\*b\"", "meta.site = \"o*north\"",
             "meta.site = \"\\\\*oslo\"", "meta.none = \"\\\\*\"", "meta.slash = \"a\\\\*\"");
}

static void filter_timestamps_of_the_twin_compare_with_timestamps_as_time(void **state)
{
    (void)state;
    MATCH("presence.last_seen = \"2026-01-15T10:29:55Z\"",
          "presence.last_seen = \"2026-01-15T12:29:55.000+02:00\"",
          "presence.last_seen < \"2026-01-15T11:30:00+01:00\"",
          "\"2026-01-15T11:29:54+01:00\" < presence.last_seen", "presence.since < delta_since",
          "presence.last_seen = meta.built", "presence.last_seen = meta.later",
          "delta_since:\"2026-01-15T10:28:30Z\"", "presence.last_seen != delta_since");
    NO_MATCH("presence.last_seen < meta.site", "presence.last_seen != meta.site",
             "presence.last_seen = meta.tags", "meta.built = \"2026-01-15T11:29:55+01:00\"",
             "presence.last_seen != meta.later");
}

static void filter_star_behind_a_colon_asks_for_something_that_is_there(void **state)
{
    (void)state;
    MATCH("meta.site:*", "meta.none:*", "meta.tags:*", "delta:*", "state:*", "presence:*",
          "revision:*", "state.mode.armed:*", "meta . site : *", "delta_since:*", "meta.object:*",
          "state.position:*");
    NO_MATCH("meta.nothing:*", "meta.empty:*", "state.position.extra:*", "config:*", "state.x:*",
             "meta.site.x:*");
    assert_false(twin_matches(empty, "delta:*", HELP_NOW_NS));
    assert_false(twin_matches(empty, "state:*", HELP_NOW_NS));
    assert_false(twin_matches(empty, "presence.last_seen:*", HELP_NOW_NS));
    assert_false(twin_matches(empty, "meta:*", HELP_NOW_NS));
}

static void filter_literal_behind_a_colon_is_looked_for_inside(void **state)
{
    (void)state;
    MATCH("meta.tags:\"red\"", "meta.tags:5", "meta.tags:5.0", "meta.tags:null", "meta.tags:true",
          "meta.object:\"x\"", "state:\"battery.cells\"", "presence:\"status\"",
          "presence:\"last_seen\"", "revision:\"config\"", "desired:\"mode\"", "delta:\"mode\"",
          "meta.site:\"oslo-north\"", "state.battery.remaining:0.2", "state.mode.armed:true",
          "state.position.heading:null", "presence.status:\"online\"",
          "state.position:\"heading\"");
    NO_MATCH("meta.tags:\"blue\"", "meta.tags:\"re*\"", "meta.tags:1", "meta.tags:false",
             "meta.object:\"y\"", "meta.object:1", "state:\"nothing\"", "delta:\"same\"",
             "config:\"x\"", "meta.site:\"oslo*\"", "meta.site:5", "meta.nothing:\"x\"", "state:5",
             "meta.empty:null", "presence.status:\"on*\"");
}

static void filter_array_is_not_descended_into(void **state)
{
    (void)state;
    NO_MATCH("meta.tags.0 = \"red\"", "meta.tags.0:*", "meta.tags = \"red\"");
}

static void filter_not_and_or_and_parentheses(void **state)
{
    (void)state;
    MATCH("NOT vid = \"x\"", "-vid = \"x\"", "- vid = \"x\"", "NOT NOT vid:*", "--vid:*",
          "NOT -vid:*", "vid:* AND meta:* AND NOT config:*", "config:* OR vid:*",
          "(vid:* AND config:*) OR meta:*", "NOT (vid:* AND config:*)",
          "NOT (config:* OR (config:*))", "((vid:*))", "NOT(config:*)AND(vid:*)",
          "-(config:*) AND -(config:*)");
    NO_MATCH("NOT vid:*", "-vid:*", "vid:* AND config:*", "NOT (config:* OR vid:*)",
             "(vid:* OR config:*) AND config:*", "NOT NOT config:*");
}

static void filter_minus_before_a_digit_belongs_to_the_number(void **state)
{
    (void)state;
    MATCH("-5 < state.battery.remaining", "--5 > state.battery.remaining",
          "state.battery.remaining>-1");
    NO_MATCH("-5 > state.battery.remaining");
}

static void filter_age_is_of_states_of_the_delta_and_of_own_timestamps(void **state)
{
    (void)state;
    MATCH("age(state.position) = 3s", "age(state.battery) > 1m", "age(state.battery) < 1.5m",
          "age(delta) = 90s", "age(delta_since) = 1.5m", "age(presence.last_seen) = 5s",
          "age(presence.since) = 1h", "age(presence.since) < 1d", "2m > age(delta)",
          "age(state.position) < age(state.battery)", "age(state.\"battery.cells\") = 0s",
          "age(state.position) >= -5s", "1h = 60m", "age(delta) != 91s",
          "age(presence.last_seen) = 5.0000000001s");
    NO_MATCH("age(state.nothing) > 1s", "age(state.nothing) != 1s", "age(state.position) > 3s");
    assert_false(twin_matches(empty, "age(delta) > 0s", HELP_NOW_NS));
    assert_false(twin_matches(empty, "age(presence.last_seen) > 0s", HELP_NOW_NS));
    assert_true(twin_matches(full, "age(state.position) = 4s", HELP_NOW_NS + NS_PER_S));
    assert_true(twin_matches(full, "age(state.position) < -100000d", INT64_MIN));
}

static void filter_distance_is_in_metres_and_missing_without_a_position(void **state)
{
    (void)state;
    MATCH("distance(state.position, 59.91, 10.75) = 0",
          "distance(state.position, 59.91, 10.75) <= 0",
          "500 > distance(state.position, 59.912, 10.75)", "distance(state.position, 60, 11) > 1e4",
          "distance(state.position, 60, 11) = distance(state.position, 60, 11)",
          "distance(state.position, 59.91, 10.75) < distance(state.position, 60, 11)",
          "distance(state.position, -90, -180) > state.battery.remaining",
          "distance(state.position, 59.91, 10.75) > -1");
    NO_MATCH("distance(state.battery, 0, 0) >= 0", "distance(state.battery, 0, 0) != 0",
             "distance(meta, 0, 0) < 1e9", "distance(vid, 0, 0) < 1e9",
             "distance(state.position, 59.91, 10.75) < 0",
             "distance(state.position, 60, 11) != meta.site");
}

static void filter_inside_and_bbox_look_at_the_position(void **state)
{
    (void)state;
    MATCH("bbox(state.position, 10.75, 59.91, 10.75, 59.91)", "bbox(state.position,10,59,11,60)",
          "bbox(state.position, 10, 59, -170, 60)",
          "inside(state.position, \"polygon ((10 59, 11 59, 11 60, 10 60, 10 59))\")",
          "inside(state.position, \"POLYGON((10.75 59, 11 59, 11 60, 10.75 60, 10.75 59))\")");
    NO_MATCH("bbox(state.position, 11, 59, 10, 60)", "bbox(state.battery, -180, -90, 180, 90)",
             "inside(state.battery, \"POLYGON((10 59, 11 59, 11 60, 10 59))\")",
             "bbox(state.position, 170, 59, -170, 60)");
}

/* ---- groups ---- */

static bool group_is_there = true;

static bool changing_exists(void *closure, const char *name)
{
    (void)closure;
    return group_is_there && strcmp(name, "night \xc3\xa9") == 0;
}

static bool changing_holds(void *closure, const char *name, const struct subject_of_query *subject,
                           int64_t now_ns)
{
    (void)now_ns;
    assert_ptr_equal(closure, &group_is_there);
    assert_string_equal(name, "night \xc3\xa9");
    return group_is_there && subject->twin == full;
}

static void filter_group_is_looked_up_whenever_it_is_asked(void **state)
{
    (void)state;
    static const char text[] = "group(\"night \\u00e9\")";
    struct filter_groups groups = {&group_is_there, changing_exists, changing_holds, NULL};
    struct subject_of_query subject = {.twin = full};
    struct text_error error;
    struct filter *filter = filter_compile(PATH_OF_TWIN, text, sizeof text - 1, &groups, &error);
    assert_non_null(filter);
    assert_true(filter_matches(filter, &subject, HELP_NOW_NS));
    assert_string_equal(filter_group(filter, 0), "night \xc3\xa9");
    assert_null(filter_group(filter, 1));
    group_is_there = false;
    assert_false(filter_matches(filter, &subject, HELP_NOW_NS));
    group_is_there = true;
    filter_free(filter);
}

static bool never(void *closure, const char *name)
{
    (void)closure;
    return strcmp(name, "odd") != 0;
}

static void filter_tells_whether_time_alone_changes_it(void **state)
{
    (void)state;
    struct filter_groups timeless = help_groups;
    struct text_error error;
    timeless.depends_on_time = never;
    struct filter *by_age = compile("vid:* OR 5s < age(delta)"), *plain = compile("delta_since:*");
    struct filter *group = compile("group(\"none\")");
    struct filter *known = filter_compile(PATH_OF_TWIN, "group(\"odd\")", 12, &timeless, &error);
    assert_true(filter_depends_on_time(by_age));
    assert_false(filter_depends_on_time(plain));
    assert_true(filter_depends_on_time(group));
    assert_non_null(known);
    assert_false(filter_depends_on_time(known));
    filter_free(by_age);
    filter_free(plain);
    filter_free(group);
    filter_free(known);
}

/* ---- what it looks at ---- */

static void filter_names_every_path_it_looks_at(void **state)
{
    (void)state;
    static const char *const expected[] = {"vid",           "meta.\"my site\"", "state.position",
                                           "delta",         "desired.mode",     "reported.mode",
                                           "state.battery", "presence"};
    struct filter *filter = compile(
        "vid:* AND meta.\"my site\" = 2 AND distance(state.position, 1, 2) > 1 AND age(delta) > 1s "
        "AND desired.mode != reported.mode AND (state:\"battery\" OR presence:* OR "
        "group(\"odd\"))");
    size_t count = 0;
    for (; filter_path(filter, count); count++) {
        bool found = false;
        for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
            found = found || strcmp(path_text(filter_path(filter, count)), expected[i]) == 0;
        assert_true(found);
    }
    assert_int_equal(count, sizeof expected / sizeof *expected);
    assert_string_equal(filter_group(filter, 0), "odd");
    filter_free(filter);
}

/* ---- records ---- */

static void filter_of_records_looks_at_their_members(void **state)
{
    (void)state;
    static const char *const yes[] = {"kind = \"event\"",
                                      "severity = \"warning\"",
                                      "data.remaining < 0.3",
                                      "actor = null",
                                      "vid = \"VID-0*\"",
                                      "seq = 40213",
                                      "vehicle_seq = 9223372036854775807",
                                      "stream_seq:*",
                                      "received > \"2026-01-15T10:29:00Z\"",
                                      "timestamp < received",
                                      "age(received) = 10s",
                                      "archived = null",
                                      "data:\"remaining\"",
                                      "type = \"battery.low\" AND NOT boot:*",
                                      "distance(data, 59.9, 10.7) < 1",
                                      "region:\"eu-north\""};
    static const char *const no[] = {"actor != null",
                                     "archived:*",
                                     "age(archived) > 0s",
                                     "data.x:*",
                                     "vehicle_seq = 9223372036854775806",
                                     "seq.x:*",
                                     "hash:*",
                                     "request_id = \"*\"",
                                     "data = data"};
    struct doc *data = doc_of("{\"remaining\":0.25,\"lat\":59.9,\"lon\":10.7}");
    struct record_view record = {
        .kind = {"event", 5},
        .vid = {"VID-001", 7},
        .region = {"eu-north", 8},
        .type = {"battery.low", 11},
        .severity = {"warning", 7},
        .seq = 40213,
        .vehicle_seq = INT64_MAX,
        .stream_seq = 0,
        .timestamp_ns = HELP_NOW_NS - 11 * NS_PER_S,
        .received_ns = HELP_NOW_NS - 10 * NS_PER_S,
        .archived_ns = TIMESTAMP_NONE,
        .data = doc_root(data),
    };
    struct subject_of_query subject = {.record = &record};
    for (size_t i = 0; i < sizeof yes / sizeof *yes + sizeof no / sizeof *no; i++) {
        bool expected = i < sizeof yes / sizeof *yes;
        const char *text = expected ? yes[i] : no[i - sizeof yes / sizeof *yes];
        struct text_error error;
        struct filter *filter = filter_compile(PATH_OF_RECORD, text, strlen(text), NULL, &error);
        if (!filter || filter_matches(filter, &subject, HELP_NOW_NS) != expected)
            fail_msg("%s: %s", text, filter ? "wrong" : error.detail);
        filter_free(filter);
    }
    free(data);
}

/* ---- memory ---- */

static bool compile_once(void *context)
{
    struct text_error error;
    const char *text = context;
    struct filter *filter = filter_compile(PATH_OF_TWIN, text, strlen(text), &help_groups, &error);
    if (!filter)
        assert_string_equal(error.detail, "out of memory");
    filter_free(filter);
    return filter != NULL;
}

static void filter_lost_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    char text[] =
        "(meta.\"my site\" = \"a*\" OR group(\"odd\")) AND NOT inside(state.position, "
        "\"POLYGON((0 0, 1 0, 1 1, 0 0))\") AND age(delta) > 5s AND state:\"battery\" AND "
        "meta.x = 12345678901234567890123 AND distance(state.position, 1, 2) < 5 AND "
        "presence.last_seen > \"2026-01-15T10:30:00Z\"";
    assert_true(fault_loop(compile_once, text) > 15);
}

static void filter_remembers_nothing_of_the_vehicle_before(void **state)
{
    (void)state;
    /* The place of a state in one twin is tried first in the next. */
    struct twin *other =
        help_twin("{\"state\":{\"aaa\":{\"mode\":\"AUTO\"},\"battery\":{\"remaining\":1},"
                  "\"zzz\":{}}}");
    struct filter *filter = compile("state.battery.remaining < 0.5");
    struct subject_of_query subjects[] = {{.twin = full}, {.twin = other}, {.twin = empty}};
    for (int i = 0; i < 12; i++)
        assert_true(filter_matches(filter, &subjects[i % 3], HELP_NOW_NS) == (i % 3 == 0));
    filter_free(filter);
    help_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_examples_of_the_contract_are_read),
        cmocka_unit_test(filter_empty_matches_everything),
        cmocka_unit_test(filter_roots_are_found),
        cmocka_unit_test(filter_numbers_compare_by_value_and_exactly),
        cmocka_unit_test(filter_strings_compare_by_bytes),
        cmocka_unit_test(filter_comparison_with_what_is_missing_or_of_another_type_is_false),
        cmocka_unit_test(filter_null_equals_null_and_nothing_else),
        cmocka_unit_test(filter_order_is_of_numbers_strings_durations_and_timestamps_only),
        cmocka_unit_test(filter_wildcard_is_first_or_last_right_of_equality),
        cmocka_unit_test(filter_star_is_itself_between_and_behind_a_backslash),
        cmocka_unit_test(filter_timestamps_of_the_twin_compare_with_timestamps_as_time),
        cmocka_unit_test(filter_star_behind_a_colon_asks_for_something_that_is_there),
        cmocka_unit_test(filter_literal_behind_a_colon_is_looked_for_inside),
        cmocka_unit_test(filter_array_is_not_descended_into),
        cmocka_unit_test(filter_not_and_or_and_parentheses),
        cmocka_unit_test(filter_minus_before_a_digit_belongs_to_the_number),
        cmocka_unit_test(filter_age_is_of_states_of_the_delta_and_of_own_timestamps),
        cmocka_unit_test(filter_distance_is_in_metres_and_missing_without_a_position),
        cmocka_unit_test(filter_inside_and_bbox_look_at_the_position),
        cmocka_unit_test(filter_group_is_looked_up_whenever_it_is_asked),
        cmocka_unit_test(filter_tells_whether_time_alone_changes_it),
        cmocka_unit_test(filter_names_every_path_it_looks_at),
        cmocka_unit_test(filter_of_records_looks_at_their_members),
        cmocka_unit_test(filter_lost_memory_is_an_error_and_leaks_nothing),
        cmocka_unit_test(filter_remembers_nothing_of_the_vehicle_before),
    };
    return cmocka_run_group_tests(tests, make_twins, free_twins);
}
