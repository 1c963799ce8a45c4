/* filter: what is refused, where the error points, and what it suggests. */
#include "tests/unit/filter_help.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A text is refused at `offset`; the detail and the hint hold these pieces ("" for no hint). */
struct refused {
    const char *text;
    size_t offset;
    const char *detail, *hint;
};

static void assert_refused_of(enum path_kind kind, const struct refused *refused, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct refused *one = &refused[i];
        struct text_error error;
        struct filter *filter =
            filter_compile(kind, one->text, strlen(one->text), &help_groups, &error);
        if (filter)
            fail_msg("accepted: %s", one->text);
        bool hint = one->hint[0] ? strstr(error.hint, one->hint) != NULL : error.hint[0] == '\0';
        if (error.offset != one->offset || !strstr(error.detail, one->detail) || !hint)
            fail_msg("%s\n  at %zu: %s\n  hint: %s", one->text, error.offset, error.detail,
                     error.hint);
    }
}
#define REFUSED_OF(kind, ...)                                                                      \
    do {                                                                                           \
        static const struct refused list[] = {__VA_ARGS__};                                        \
        assert_refused_of((kind), list, sizeof list / sizeof *list);                               \
    } while (0)
#define REFUSED(...) REFUSED_OF(PATH_OF_TWIN, __VA_ARGS__)

static void filter_and_with_or_at_one_level_needs_parentheses(void **state)
{
    (void)state;
    REFUSED({"vid:* AND meta:* OR state:*", 17, "AND and OR at one level need parentheses", "("},
            {"vid:* OR meta:* AND state:*", 16, "AND and OR at one level need parentheses", "("},
            {"(vid:* AND (meta:* OR state:* AND vid:*))", 30, "need parentheses", "("});
}

static void filter_unknown_root_comes_with_what_may_be_meant(void **state)
{
    (void)state;
    REFUSED({"stat.battery < 1", 0, "stat", "did you mean state.battery?"},
            {"vid:* AND stat.battery.remaining < 1", 10, "stat",
             "did you mean state.battery.remaining?"},
            {"battery.remaining < 1", 0, "battery", "did you mean state.battery.remaining?"},
            {"battery < 1", 0, "battery", "did you mean state.battery.remaining?"},
            {"remaining < 1", 0, "remaining", "did you mean state.battery.remaining?"},
            {"mode = \"RTL\"", 0, "mode", "did you mean state.mode.mode?"},
            {"age(battery) > 1s", 4, "battery", "did you mean state.battery?"},
            {"distance(position, 1, 2) < 1", 9, "position", "did you mean state.position?"},
            {"armed = true", 0, "armed", "state.mode.armed"},
            {"status = \"online\"", 0, "status", "presence.status"},
            {"online", 0, "online", "presence.status = \"online\""},
            {"State.battery:*", 0, "State", "did you mean state.battery?"},
            {"persence.status = \"online\"", 0, "persence", "did you mean presence.status?"},
            {"dsired.mode = 1", 0, "dsired", "did you mean desired.mode?"},
            {"xyzzy = 1", 0, "xyzzy", "a path begins with vid"},
            {"\"x\".\"y z\" = 1", 0, "", "a path begins with vid"},
            {"stte.\"my type\" = 1", 0, "stte", "did you mean state.\"my type\"?"});
}

static void filter_unknown_root_of_records_comes_with_what_may_be_meant(void **state)
{
    (void)state;
    REFUSED_OF(PATH_OF_RECORD, {"presence.status = \"a\"", 0, "records", "data.presence.status"},
               {"sevrity = \"info\"", 0, "sevrity", "did you mean severity?"},
               {"age(seq) > 5s", 4, "timestamp, received or archived", ""},
               {"received > 5", 11, "timestamp", ""});
}

static void filter_unquoted_string_is_told_from_a_path(void **state)
{
    (void)state;
    REFUSED({"presence.status = online", 18, "online", "did you mean \"online\"?"},
            {"meta.tags:red", 10, "red", "did you mean \"red\"?"},
            {"meta.tags:meta.site", 10, "literal", "double quotes"},
            {"vid = 'a'", 6, "expected a value", "double quotes"},
            {"vid = *", 6, "expected a value", "\"VID-0*\""});
}

static void filter_operators_and_keywords_of_other_languages_get_a_hint(void **state)
{
    (void)state;
    REFUSED({"vid == \"a\"", 4, "operator", "did you mean =?"},
            {"vid <> \"a\"", 4, "operator", "!="}, {"vid => \"a\"", 4, "operator", ">="},
            {"vid:* and meta:*", 6, "AND, OR", "did you mean AND?"},
            {"vid:* Or meta:*", 6, "AND, OR", "did you mean OR?"},
            {"vid:* && meta:*", 6, "AND, OR", "did you mean AND?"},
            {"vid:* || meta:*", 6, "AND, OR", "did you mean OR?"},
            {"not vid:*", 0, "not", "did you mean NOT?"}, {"! vid:*", 0, "expected", "NOT"},
            {"meta.a = TRUE", 9, "TRUE", "did you mean true?"},
            {"meta.AND = 1", 5, "keyword", "\"AND\""});
}

static void filter_functions_are_checked(void **state)
{
    (void)state;
    REFUSED({"dist(state.position, 1, 2) < 1", 0, "no function dist", "distance"},
            {"Age(delta) > 1s", 0, "no function Age", "age"},
            {"foo(1) = 1", 0, "no function foo", "there are"},
            {"vid = inside(state.position, \"x\")", 6, "condition", ""},
            {"inside(state.position) ", 21, "a comma", ""},
            {"distance(state.position, 1) < 1", 26, "a comma", ""},
            {"distance(state.position, vid, 2) < 1", 25, "latitude", ""},
            {"distance(state.position, 10s, 2) < 1", 25, "degrees", ""},
            {"distance(state.position, 1, 2)", 30, "expected =", ""},
            {"group(odd)", 6, "a group as a string", ""}, {"group(\"odd\"", 11, "expected )", ""},
            {"age(state) > 1s", 4, "state.<type>", ""},
            {"age(state.battery.remaining) > 1s", 4, "state.<type>", "age(state.battery)"},
            {"age(presence) > 1s", 4, "state.<type>", "age(presence.last_seen)"},
            {"age(meta.x) > 1s", 4, "state.<type>", ""},
            {"age(revision) > 1s", 4, "state.<type>", ""});
}

static void filter_what_the_text_shows_to_be_senseless_is_refused(void **state)
{
    (void)state;
    REFUSED({"age(delta) < 10", 13, "a duration and a number", "10s"},
            {"10 > age(delta)", 0, "a duration and a number", "10s"},
            {"age(delta) < \"10s\"", 13, "a duration and a string", "durations"},
            {"age(delta) = null", 13, "a duration and null", "durations"},
            {"age(delta) > meta.limit", 13, "never compare", "durations"},
            {"meta.limit > 10s", 13, "never compare", "durations"},
            {"meta.tags:10s", 10, "never compare", "durations"},
            {"age(delta) > distance(state.position, 1, 2)", 13, "never compare", "durations"},
            {"distance(state.position, 1, 2) = \"a\"", 33, "a number and a string", ""},
            {"true != distance(state.position, 1, 2)", 0, "a number and a boolean", ""},
            {"1 = \"a\"", 4, "a number and a string", ""}, {"null = 1", 7, "never compare", ""},
            {"presence.last_seen > \"yesterday\"", 21, "RFC 3339", ""},
            {"\"2026-01-15\" < delta_since", 0, "RFC 3339", ""},
            {"presence.since = 1768473000", 17, "a timestamp and a number", ""},
            {"presence.since = \"2026-*\"", 17, "RFC 3339", ""},
            {"distance(state.position, 90.1, 2) < 1", 25, "latitude", ""},
            {"distance(state.position, -91, 2) < 1", 25, "latitude", ""},
            {"distance(state.position, 1, 180.5) < 1", 28, "longitude", ""},
            {"bbox(state.position, 1, 5, 2, 4)", 30, "min_lat", "min_lon, min_lat"},
            {"bbox(state.position, -181, 5, 2, 6)", 21, "longitude", ""},
            {"bbox(state.position, 1, 5, 2, 95)", 30, "latitude", ""},
            {"group(\"day-shift\")", 6, "no group \"day-shift\"", ""},
            {"group(\"odd\\u0000\")", 6, "no group", ""});
}

static void filter_without_groups_knows_none(void **state)
{
    (void)state;
    struct text_error error;
    assert_null(filter_compile(PATH_OF_TWIN, "group(\"odd\")", 12, NULL, &error));
    assert_non_null(strstr(error.detail, "no group"));
}

static void filter_polygon_is_checked(void **state)
{
    (void)state;
    REFUSED({"inside(state.position, \"POINT(1 2)\")", 23, "POLYGON((", ""},
            {"inside(state.position, \"POLYGON((1 2, 3 4, 1 2))\")", 23, "four points", ""},
            {"inside(state.position, \"POLYGON((1 2, 3 4, 5 6, 1 3))\")", 23, "not closed", ""},
            {"inside(state.position, \"POLYGON((0 0, 170 0, -170 9, 0 0))\")", 23, "180 degrees",
             "MULTIPOLYGON"},
            {"inside(state.position, \"POLYGON((0 0, 1 91, 2 2, 0 0))\")", 23, "latitude", ""},
            {"inside(state.position, vid)", 23, "as a string", ""});
}

static void filter_strings_and_numbers_are_checked(void **state)
{
    (void)state;
    REFUSED({"vid = \"a", 6, "not closed", ""}, {"vid = \"a\\\"", 6, "not closed", ""},
            {"vid = \"\\q\"", 6, "bad escape", ""}, {"vid = \"\\ud800\"", 6, "bad escape", ""},
            {"vid = \"a\nb\"", 6, "control character", ""}, {"vid = \"\xff\"", 6, "UTF-8", ""},
            {"meta.\"x = 1", 5, "not closed", ""}, {"meta.a = 007", 9, "no number", ""},
            {"meta.a = 5x", 9, "no number", ""}, {"meta.a = 1.", 9, "no number", ""},
            {"meta.a = 1.2.3", 9, "no number", ""}, {"meta.a = 1e", 9, "no number", ""},
            {"meta.a = .5", 9, "expected a value", ""}, {"meta.a = +5", 9, "expected a value", ""},
            {"meta.a = - 5", 9, "expected a value", ""}, {"meta.a = 1e400", 9, "out of range", ""},
            {"age(delta) > 5ms", 13, "s, m, h or d", "0.01s"},
            {"age(delta) > 200000d", 13, "out of range", ""}, {"meta.a = 5-3", 9, "no number", ""});
}

static void filter_offset_counts_code_points(void **state)
{
    (void)state;
    REFUSED({"meta.\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\x81\" = \"\xc3\xa9\" AND x = 1", 21,
             "named x", "a path begins"},
            {"vid = \"\xf0\x9f\x9a\x81\" \xc3\xa9", 10, "quoted strings", ""},
            {"  \n\t vid : * x", 13, "AND, OR", ""});
}

static void filter_structure_is_checked(void **state)
{
    (void)state;
    REFUSED({"(", 1, "it ends", ""}, {")", 0, "expected a condition", ""},
            {"()", 1, "a condition", ""}, {"(vid:*", 6, "AND, OR or )", ""},
            {"vid:*)", 5, "no (", ""}, {"vid", 3, "operator", "vid:*"},
            {"vid meta", 4, "operator", "vid:*"}, {"vid:", 4, "it ends", ""},
            {"vid =", 5, "a value", ""}, {"vid:* AND", 9, "a condition", ""},
            {"AND vid:*", 0, "a condition, not AND", ""}, {"vid:* vid:*", 6, "AND, OR", ""},
            {"5:*", 1, "expected =", ""}, {"\"a\" = \"b\":*", 9, "AND, OR", ""},
            {"vid.:*", 4, "a name", ""}, {"vid..x:*", 4, "a name", ""},
            {"vid = \"a\" = \"b\"", 10, "AND, OR", ""}, {"vid\r:*", 3, "operator", ""},
            {"NOT", 3, "a condition", ""}, {"\xc3\xa9:*", 0, "quoted", ""},
            {"(vid:*) = true", 8, "AND, OR", ""});
}

/* ---- bounds ---- */

static void repeat(struct buf *out, const char *text, int times)
{
    for (int i = 0; i < times; i++)
        buf_adds(out, text);
}

static bool accepts(struct buf *text, struct text_error *error)
{
    struct filter *filter =
        filter_compile(PATH_OF_TWIN, text->data, text->size_bytes, &help_groups, error);
    bool accepted = filter != NULL;
    filter_free(filter);
    buf_reset(text);
    return accepted;
}

static void filter_has_at_most_64_terms(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct text_error error;
    repeat(&text, "vid:* OR ", FILTER_MAX_TERMS - 1);
    buf_adds(&text, "vid:*");
    assert_true(accepts(&text, &error));
    repeat(&text, "vid:* OR ", FILTER_MAX_TERMS);
    buf_adds(&text, "vid:*");
    assert_false(accepts(&text, &error));
    assert_int_equal(error.offset, 9 * FILTER_MAX_TERMS);
    assert_non_null(strstr(error.detail, "64 terms"));
    buf_done(&text);
}

static void filter_has_at_most_4_kib(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct text_error error;
    buf_adds(&text, "vid:*");
    repeat(&text, " ", FILTER_MAX_BYTES - 5);
    assert_true(accepts(&text, &error));
    repeat(&text, "\xc3\xa9", FILTER_MAX_BYTES / 2);
    buf_addc(&text, ' ');
    assert_false(accepts(&text, &error));
    assert_int_equal(error.offset, FILTER_MAX_BYTES / 2);
    assert_non_null(strstr(error.detail, "4096 bytes"));
    buf_done(&text);
}

static void filter_is_nested_at_most_64_deep(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct text_error error;
    for (int depth = FILTER_MAX_DEPTH; depth <= FILTER_MAX_DEPTH + 1; depth++) {
        repeat(&text, "(", depth);
        buf_adds(&text, "vid:*");
        repeat(&text, ")", depth);
        assert_true(accepts(&text, &error) == (depth == FILTER_MAX_DEPTH));
    }
    assert_int_equal(error.offset, FILTER_MAX_DEPTH);
    repeat(&text, "-", FILTER_MAX_BYTES - 5);
    buf_adds(&text, "vid:*");
    assert_true(accepts(&text, &error));
    buf_done(&text);
}

static void filter_all_terms_and_levels_at_once(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct text_error error;
    for (int i = 0; i < FILTER_MAX_TERMS - 1; i++)
        buf_adds(&text, i % 2 ? "vid:* OR NOT (" : "meta:* AND -(");
    buf_adds(&text, "state:*");
    repeat(&text, ")", FILTER_MAX_TERMS - 1);
    assert_true(accepts(&text, &error));
    buf_done(&text);
}

static void filter_error_texts_stay_utf8_where_they_are_cut(void **state)
{
    (void)state;
    for (int bytes = 150; bytes < 210; bytes++) {
        struct buf text = BUF_INIT, quoted = BUF_INIT;
        struct text_error error;
        buf_adds(&text, "\"");
        repeat(&text, "x", bytes % 7);
        repeat(&text, "\xf0\x9f\x9a\x81", bytes / 4);
        buf_adds(&text, "\".a = 1");
        assert_false(accepts(&text, &error));
        buf_json_cstr(&quoted, error.detail);
        struct doc *detail = doc_of_bytes(quoted.data, quoted.size_bytes);
        assert_non_null(detail);
        free(detail);
        buf_done(&quoted);
        buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_and_with_or_at_one_level_needs_parentheses),
        cmocka_unit_test(filter_unknown_root_comes_with_what_may_be_meant),
        cmocka_unit_test(filter_unknown_root_of_records_comes_with_what_may_be_meant),
        cmocka_unit_test(filter_unquoted_string_is_told_from_a_path),
        cmocka_unit_test(filter_operators_and_keywords_of_other_languages_get_a_hint),
        cmocka_unit_test(filter_functions_are_checked),
        cmocka_unit_test(filter_what_the_text_shows_to_be_senseless_is_refused),
        cmocka_unit_test(filter_without_groups_knows_none),
        cmocka_unit_test(filter_polygon_is_checked),
        cmocka_unit_test(filter_strings_and_numbers_are_checked),
        cmocka_unit_test(filter_offset_counts_code_points),
        cmocka_unit_test(filter_structure_is_checked),
        cmocka_unit_test(filter_has_at_most_64_terms),
        cmocka_unit_test(filter_has_at_most_4_kib),
        cmocka_unit_test(filter_is_nested_at_most_64_deep),
        cmocka_unit_test(filter_all_terms_and_levels_at_once),
        cmocka_unit_test(filter_error_texts_stay_utf8_where_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
