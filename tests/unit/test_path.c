/* path: names, where they lead, and what a viewer must be allowed for them. */
#include "tests/unit/fault.h"
#include "tests/unit/filter_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct twin *twin;

static int make_twin(void **state)
{
    (void)state;
    twin =
        help_twin("{\"vid\":\"V\",\"status\":\"stale\",\"seen\":5,\"state\":{\"a.b\":{\"c\":[1]},"
                  "\"position\":{\"lat\":1.5,\"lon\":-2},\"p\":{\"lat\":\"1\",\"lon\":2}},"
                  "\"meta\":{\"x\":{\"y\":false},\"n\":12.50,\"\":{\"\":1},\"s\":\"\xc3\xa9\"}}");
    return twin ? 0 : -1;
}

static int free_twin(void **state)
{
    (void)state;
    help_free(twin);
    return 0;
}

static bool same_text(struct slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.at, text, slice.size) == 0;
}

static struct path *compile(const char *text)
{
    struct text_error error;
    struct path *path = path_compile(PATH_OF_TWIN, text, strlen(text), 0, &error);
    if (!path)
        fail_msg("%s: at %zu: %s", text, error.offset, error.detail);
    return path;
}

static struct value value_at(const char *text)
{
    struct subject_of_query subject = {.twin = twin, .region = "north"};
    struct path *path = compile(text);
    struct value value = path_value(path, &subject);
    path_free(path);
    return value;
}

static void path_leads_to_typed_values(void **state)
{
    (void)state;
    struct value value = value_at("meta.n");
    assert_int_equal(value.type, VALUE_NUMBER);
    assert_true(value.number == 12.5 && value.form == NUMBER_DECIMAL && value.mantissa == 1250);
    value = value_at("meta.s");
    assert_int_equal(value.type, VALUE_STRING);
    assert_true(value.string.size == 2);
    value = value_at("meta.x.y");
    assert_true(value.type == VALUE_BOOL && !value.boolean);
    value = value_at("presence.last_seen");
    assert_true(value.type == VALUE_TIME && value.ns == HELP_NOW_NS - 5 * NS_PER_S);
    assert_int_equal(value_at("presence.since").type, VALUE_NULL);
    value = value_at("presence.status");
    assert_true(value.type == VALUE_STRING && same_text(value.string, "stale"));
}

static void path_containers_tell_how_much_they_hold(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum value_type type;
        size_t members;
    } containers[] = {{"state", VALUE_OBJECT, 3},    {"presence", VALUE_OBJECT, 3},
                      {"revision", VALUE_OBJECT, 4}, {"desired", VALUE_OBJECT, 0},
                      {"delta", VALUE_OBJECT, 0},    {"meta", VALUE_OBJECT, 4},
                      {"meta.x", VALUE_OBJECT, 1},   {"state.\"a.b\".c", VALUE_ARRAY, 1}};
    for (size_t i = 0; i < sizeof containers / sizeof *containers; i++) {
        struct value value = value_at(containers[i].text);
        assert_int_equal(value.type, containers[i].type);
        assert_int_equal(value.members, containers[i].members);
    }
}

static void path_below_what_is_not_there_is_missing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "vid.x",      "region.x",          "state.a.b.c",       "state.zzz",
        "meta.n.x",   "meta.x.z",          "config.a",          "delta.a",
        "presence.x", "presence.status.x", "revision.presence", "state.\"a.b\".c.0"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (value_at(texts[i]).type != VALUE_MISSING)
            fail_msg("found: %s", texts[i]);
}

static void path_is_written_canonically(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"state.battery.remaining", "state.battery.remaining"},
        {"\"state\" . \"battery\"\t.\nremaining", "state.battery.remaining"},
        {"state.\"battery.cells\".x", "state.\"battery.cells\".x"},
        {"meta.\"\\u0041ND\"", "meta.\"AND\""},
        {"meta.\"AND\".\"NOT\".\"OR\".and", "meta.\"AND\".\"NOT\".\"OR\".and"},
        {"meta.\"\"", "meta.\"\""},
        {"meta.\"a\\\"b\\\\\\n\"", "meta.\"a\\\"b\\\\\\n\""},
        {"meta.\"\\u00e9\"", "meta.\"\xc3\xa9\""},
        {"meta.0.a-b_c.-", "meta.0.a-b_c.-"},
        {"meta.true.null", "meta.true.null"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct path *path = compile(texts[i][0]);
        assert_string_equal(path_text(path), texts[i][1]);
        struct path *again = compile(path_text(path));
        assert_string_equal(path_text(again), texts[i][1]);
        path_free(again);
        path_free(path);
    }
}

static void path_names_are_told_one_by_one(void **state)
{
    (void)state;
    struct path *path = compile("state.\"battery.cells\".x");
    assert_true(same_text(path_name(path, 0), "state"));
    assert_true(same_text(path_name(path, 1), "battery.cells"));
    assert_true(same_text(path_name(path, 2), "x"));
    assert_null(path_name(path, 3).at);
    path_free(path);
}

static void path_needs_permission_for_the_part_it_stands_in(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part, *rest, *second_part, *second_rest;
    } parts[] = {
        {"state.position.lat", "state", "position", NULL, NULL},
        {"state.\"battery.cells\".x", "state", "battery.cells", NULL, NULL},
        {"state", "state", NULL, NULL, NULL},
        {"desired.mode.x", "desired", "mode", NULL, NULL},
        {"reported", "reported", NULL, NULL, NULL},
        {"meta.\"\"", "meta", "", NULL, NULL},
        {"config.a", "config", "a", NULL, NULL},
        {"presence.status", "presence", NULL, NULL, NULL},
        {"delta", "delta", NULL, NULL, NULL},
        {"delta.mode", "delta", NULL, "desired", "mode"},
        {"delta_since", "delta", NULL, NULL, NULL},
        {"vid", NULL, NULL, NULL, NULL},
        {"region", NULL, NULL, NULL, NULL},
        {"revision.desired", NULL, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct path *path = compile(parts[i].text);
        for (int second = 0; second < 2; second++) {
            const char *expected = second ? parts[i].second_part : parts[i].part;
            const char *expected_rest = second ? parts[i].second_rest : parts[i].rest, *part;
            struct slice rest;
            (second ? path_second_part : path_part)(path, &part, &rest);
            assert_true(!part == !expected && (!part || strcmp(part, expected) == 0));
            assert_true(!rest.at == !expected_rest && (!rest.at || same_text(rest, expected_rest)));
        }
        path_free(path);
    }
}

static void path_that_is_none_is_refused_where_it_goes_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
    } refused[] = {{"", 10},
                   {".", 10},
                   {"state.", 16},
                   {"stat", 10},
                   {"state..x", 16},
                   {"state x", 16},
                   {"meta.\"x", 15},
                   {"meta.AND", 15},
                   {"meta.\"\\x\"", 15},
                   {"meta.a,b", 16},
                   {"meta.\"\xc3\xa9\".?", 19}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct text_error error;
        const char *text = refused[i].text;
        assert_null(path_compile(PATH_OF_TWIN, text, strlen(text), 10, &error));
        if (error.offset != refused[i].offset || !error.detail[0])
            fail_msg("%s: at %zu: %s", text, error.offset, error.detail);
    }
}

static void path_has_bounds(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct text_error error;
    buf_adds(&text, "meta");
    for (int i = 1; i < PATH_MAX_NAMES; i++)
        buf_adds(&text, ".a");
    struct path *path = path_compile(PATH_OF_TWIN, text.data, text.size_bytes, 0, &error);
    assert_non_null(path);
    path_free(path);
    buf_adds(&text, ".a");
    assert_null(path_compile(PATH_OF_TWIN, text.data, text.size_bytes, 0, &error));
    buf_reset(&text);
    buf_adds(&text, "meta.");
    for (int i = 4; i < PATH_MAX_BYTES; i++)
        buf_addc(&text, 'x');
    path = path_compile(PATH_OF_TWIN, text.data, text.size_bytes, 0, &error);
    assert_non_null(path);
    path_free(path);
    buf_addc(&text, 'x');
    assert_null(path_compile(PATH_OF_TWIN, text.data, text.size_bytes, 0, &error));
    buf_done(&text);
}

static void path_list_is_read_one_by_one(void **state)
{
    (void)state;
    static const char text[] = " vid ,meta.\"a,b\", state.position";
    static const char *const expected[] = {"vid", "meta.\"a,b\"", "state.position"};
    struct text_error error;
    size_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        struct path *path = path_next(PATH_OF_TWIN, text, sizeof text - 1, &at, &error);
        assert_non_null(path);
        assert_string_equal(path_text(path), expected[i]);
        path_free(path);
    }
    assert_int_equal(at, sizeof text - 1);
}

static void path_list_with_a_hole_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t paths, offset;
    } lists[] = {
        {"vid,", 0, 4}, {"vid,,meta", 1, 4}, {"", 0, 0}, {"vid meta", 0, 4}, {"vid,x", 1, 4}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct text_error error;
        struct path *path;
        size_t at = 0, size = strlen(lists[i].text), count = 0;
        while ((path = path_next(PATH_OF_TWIN, lists[i].text, size, &at, &error))) {
            path_free(path);
            count++;
        }
        assert_int_equal(count, lists[i].paths);
        assert_int_equal(error.offset, lists[i].offset);
    }
}

static void path_numbers_are_the_nearest_doubles(void **state)
{
    (void)state;
    static const char *const numbers[] = {"59.9139",
                                          "10.752245",
                                          "0.123456789012345",
                                          "-1.0000000000000002",
                                          "1e-15",
                                          "1e-16",
                                          "123456.7890123",
                                          "9007199254740993.1",
                                          "0.1234567890123456",
                                          "1.7976931348623157e308",
                                          "5e-324",
                                          "-0.0",
                                          "1e22",
                                          "12345678901234567890",
                                          "100.00",
                                          "1e5"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"state\":{\"position\":{\"lat\":%s,\"lon\":1}}}",
                 numbers[i]);
        struct twin *one = help_twin(text);
        struct subject_of_query subject = {.twin = one};
        struct path *path = compile("state.position.lat"), *place = compile("state.position");
        double expected = strtod(numbers[i], NULL), lat, lon;
        assert_true(path_value(path, &subject).number == expected);
        assert_true(path_position(place, &subject, &lat, &lon) && lat == expected);
        path_free(path);
        path_free(place);
        help_free(one);
    }
}

/* Names of one length that differ in any one byte are different names. */
static void path_names_differ_by_a_byte_anywhere(void **state)
{
    (void)state;
    enum { LONGEST = 20 };
    for (size_t size = 1; size <= LONGEST; size++) {
        for (size_t changed = 0; changed <= size; changed++) {
            char name[LONGEST + 1] = "abcdefghijklmnopqrst", other[LONGEST + 1], text[128];
            name[size] = '\0';
            memcpy(other, name, sizeof name);
            if (changed < size)
                other[changed] = 'Z';
            snprintf(text, sizeof text, "{\"state\":{\"%s\":{\"%s\":1}}}", other, name);
            struct twin *states = help_twin(text);
            snprintf(text, sizeof text, "{\"meta\":{\"%s\":1}}", other);
            struct twin *members = help_twin(text);
            struct subject_of_query subject = {.twin = states};
            snprintf(text, sizeof text, "state.%s.%s", name, name);
            struct path *path = compile(text);
            assert_true((path_value(path, &subject).type == VALUE_NUMBER) == (changed == size));
            path_free(path);
            subject.twin = members;
            snprintf(text, sizeof text, "meta.%s", name);
            path = compile(text);
            assert_true((path_value(path, &subject).type == VALUE_NUMBER) == (changed == size));
            path_free(path);
            help_free(states);
            help_free(members);
        }
    }
}

static void path_position_needs_two_numbers(void **state)
{
    (void)state;
    struct subject_of_query subject = {.twin = twin};
    struct path *good = compile("state.position"), *text = compile("state.p");
    struct path *none = compile("meta"), *scalar = compile("vid");
    double lat = 0, lon = 0;
    assert_true(path_position(good, &subject, &lat, &lon));
    assert_true(lat == 1.5 && lon == -2);
    assert_false(path_position(text, &subject, &lat, &lon));
    assert_false(path_position(none, &subject, &lat, &lon));
    assert_false(path_position(scalar, &subject, &lat, &lon));
    path_free(good);
    path_free(text);
    path_free(none);
    path_free(scalar);
}

static void path_records_have_their_members_as_roots(void **state)
{
    (void)state;
    static const char *const roots[] = {
        "id",        "seq",      "hash",     "kind",       "vid",        "region",
        "type",      "severity", "actor",    "request_id", "boot",       "vehicle_seq",
        "timestamp", "received", "archived", "stream",     "stream_seq", "data"};
    struct record_view record = {.seq = -1, .vehicle_seq = -1, .stream_seq = -1};
    record.timestamp_ns = record.received_ns = record.archived_ns = TIMESTAMP_NONE;
    struct subject_of_query subject = {.record = &record};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        struct text_error error;
        const char *part;
        struct slice rest;
        struct path *path = path_compile(PATH_OF_RECORD, roots[i], strlen(roots[i]), 0, &error);
        assert_non_null(path);
        assert_int_equal(path_value(path, &subject).type, VALUE_NULL);
        path_part(path, &part, &rest);
        assert_null(part);
        path_free(path);
    }
    struct text_error error;
    assert_null(path_compile(PATH_OF_RECORD, "state.x", 7, 0, &error));
    assert_null(path_compile(PATH_OF_TWIN, "severity", 8, 0, &error));
}

static bool compile_once(void *context)
{
    struct text_error error;
    const char *text = context;
    struct path *path = path_compile(PATH_OF_TWIN, text, strlen(text), 0, &error);
    if (!path)
        assert_string_equal(error.detail, "out of memory");
    path_free(path);
    return path != NULL;
}

static void path_lost_memory_is_an_error(void **state)
{
    (void)state;
    char text[] = "meta.\"my site\".x";
    assert_true(fault_loop(compile_once, text) > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_leads_to_typed_values),
        cmocka_unit_test(path_containers_tell_how_much_they_hold),
        cmocka_unit_test(path_below_what_is_not_there_is_missing),
        cmocka_unit_test(path_is_written_canonically),
        cmocka_unit_test(path_names_are_told_one_by_one),
        cmocka_unit_test(path_needs_permission_for_the_part_it_stands_in),
        cmocka_unit_test(path_that_is_none_is_refused_where_it_goes_wrong),
        cmocka_unit_test(path_has_bounds),
        cmocka_unit_test(path_list_is_read_one_by_one),
        cmocka_unit_test(path_list_with_a_hole_is_refused),
        cmocka_unit_test(path_numbers_are_the_nearest_doubles),
        cmocka_unit_test(path_names_differ_by_a_byte_anywhere),
        cmocka_unit_test(path_position_needs_two_numbers),
        cmocka_unit_test(path_records_have_their_members_as_roots),
        cmocka_unit_test(path_lost_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_twin, free_twin);
}
