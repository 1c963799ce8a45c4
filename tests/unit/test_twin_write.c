/* twin_write: what is written is JSON, and says what contract §4 says, as jansson reads it. */
#include "tests/unit/fault.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

enum { READ_FLAGS = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL };

static struct twin *twin;

static int make_twin(void **state)
{
    (void)state;
    twin = twin_new("VID-001");
    return twin ? 0 : -1;
}

static int free_twin(void **state)
{
    (void)state;
    twin_destroy(twin);
    return 0;
}

static json_t *read_json(const char *text, size_t size)
{
    json_error_t error;
    json_t *json = json_loadb(text, size, READ_FLAGS, &error);
    if (!json)
        fail_msg("%s in %.*s", error.text, (int)size, text);
    return json;
}

static json_t *written(const struct viewer *viewer, const char *region, bool metadata)
{
    struct buf out = BUF_INIT;
    struct twin_view view = {viewer, region, metadata};
    twin_write(&out, twin, &view);
    assert_false(out.failed);
    json_t *json = read_json(out.data, out.size_bytes);
    buf_done(&out);
    return json;
}

/* Takes `got`. */
static void assert_json(json_t *got, const char *expected)
{
    json_t *json = read_json(expected, strlen(expected));
    if (!json_equal(got, json)) {
        char *text = json_dumps(got, 0);
        fail_msg("got %s", text);
    }
    json_decref(json);
    json_decref(got);
}

static void fill(void)
{
    static const struct version position = {{"b7", 2}, 12345, T0 + 123 * NS_PER_MS};
    static const struct version cells = {{NULL, 0}, SEQ_NONE, T0 + 1};
    assert_true(twin_take(
        &twin, state_of("position", position, T0 + 200 * NS_PER_MS, "{\"lat\":59.9,\"alt\":1e2}")));
    assert_true(twin_take(&twin, state_of("battery.cells", cells, T0, "{\"v\":[3.7,3.71]}")));
    twin->presence = (struct presence){PRESENCE_ONLINE, T0 + 200 * NS_PER_MS, T0};
    twin->parts[PART_DESIRED] = part_of(7, "{\"rate\":5,\"mode\":\"RTL\"}");
    twin->parts[PART_REPORTED] = part_of(41, "{\"rate\":5,\"mode\":\"AUTO\"}");
    twin->parts[PART_META] = part_of(2, "{\"site\":\"oslo-1\"}");
    const struct doc *none;
    assert_true(twin_refresh_delta(twin, T0 + 2 * NS_PER_S, &none));
}

/* ---- shape ---- */

static void twin_of_which_nothing_is_known_has_every_part_empty(void **state)
{
    (void)state;
    assert_json(written(&viewer_all, "eu-north", false),
                "{\"vid\":\"VID-001\",\"region\":\"eu-north\",\"presence\":{\"status\":\"unknown\","
                "\"last_seen\":null,\"since\":null},\"state\":{},\"reported\":{},\"desired\":{},"
                "\"delta\":{},\"delta_since\":null,\"config\":{},\"meta\":{},\"revision\":{"
                "\"desired\":0,\"reported\":0,\"config\":0,\"meta\":0}}");
    json_t *json = written(&viewer_all, "eu-north", true);
    assert_json(json_incref(json_object_get(json, "metadata")), "{\"state\":{}}");
    json_decref(json);
}

static void twin_is_written_as_the_contract_shows_it(void **state)
{
    (void)state;
    fill();
    assert_json(
        written(&viewer_all, "eu-north", false),
        "{\"vid\":\"VID-001\",\"region\":\"eu-north\",\"presence\":{\"status\":\"online\","
        "\"last_seen\":\"2026-01-15T10:30:00.200Z\",\"since\":\"2026-01-15T10:30:00.000Z\"},"
        "\"state\":{\"battery.cells\":{\"v\":[3.7,3.71]},\"position\":{\"lat\":59.9,\"alt\":1e2}},"
        "\"reported\":{\"rate\":5,\"mode\":\"AUTO\"},\"desired\":{\"rate\":5,\"mode\":\"RTL\"},"
        "\"delta\":{\"mode\":\"RTL\"},\"delta_since\":\"2026-01-15T10:30:02.000Z\","
        "\"config\":{},\"meta\":{\"site\":\"oslo-1\"},"
        "\"revision\":{\"desired\":7,\"reported\":41,\"config\":0,\"meta\":2}}");
}

static void twin_members_stand_in_the_contracts_order(void **state)
{
    (void)state;
    static const char *const order[] = {"vid",      "region",  "presence", "state",
                                        "reported", "desired", "delta",    "delta_since",
                                        "config",   "meta",    "revision", "metadata"};
    fill();
    json_t *json = written(&viewer_all, "eu-north", true);
    const char *name;
    json_t *value;
    size_t i = 0;
    json_object_foreach(json, name, value)
    {
        assert_true(i < sizeof order / sizeof *order);
        assert_string_equal(name, order[i++]);
    }
    assert_int_equal(i, sizeof order / sizeof *order);
    json_decref(json);
}

static void twin_metadata_says_where_each_value_comes_from(void **state)
{
    (void)state;
    fill();
    json_t *json = written(&viewer_all, "eu-north", true);
    assert_json(
        json_incref(json_object_get(json, "metadata")),
        "{\"state\":{\"battery.cells\":{\"timestamp\":\"2026-01-15T10:30:00.000000001Z\","
        "\"boot\":null,\"seq\":null,\"received\":\"2026-01-15T10:30:00.000Z\","
        "\"stream_seq\":1},\"position\":{\"timestamp\":\"2026-01-15T10:30:00.123Z\","
        "\"boot\":\"b7\",\"seq\":12345,\"received\":\"2026-01-15T10:30:00.200Z\","
        "\"stream_seq\":1}},"
        "\"desired\":{\"updated\":\"2026-01-15T10:30:00.000Z\",\"updated_by\":\"unknown\"},"
        "\"reported\":{\"updated\":\"2026-01-15T10:30:00.000Z\",\"updated_by\":\"unknown\"},"
        "\"meta\":{\"updated\":\"2026-01-15T10:30:00.000Z\",\"updated_by\":\"unknown\"}}");
    json_decref(json);
}

/* ---- text ---- */

static void twin_text_is_escaped_wherever_it_comes_from(void **state)
{
    (void)state;
    static const char text[] = "\"\\/\b\f\n\r\t\x01\x1f\x7f <&> \303\251 \360\237\232\201";
    static const char member[] =
        "{\"q\\\"\\\\\\n\\u0001\\u00e9\":\"\\u0000a\\u0000\\ud83d\\ude81\\t\",\"\":\"\"}";
    struct version version = {{"b\0\"\n", 4}, 0, T0};
    struct doc *doc = doc_of(member);
    assert_true(twin_take(&twin, state_new(slice_of("t"), &version, T0, 1, doc_root(doc))));
    twin->parts[PART_META] = part_new(1, T0, text, doc_root(doc));
    assert_non_null(twin->parts[PART_META]);
    free(doc);

    json_t *json = written(&viewer_all, text, true);
    json_t *expected = read_json(member, sizeof member - 1);
    json_t *data = json_object_get(json_object_get(json, "state"), "t");
    json_t *metadata = json_object_get(json, "metadata");
    json_t *boot =
        json_object_get(json_object_get(json_object_get(metadata, "state"), "t"), "boot");
    json_t *by = json_object_get(json_object_get(metadata, "meta"), "updated_by");
    assert_string_equal(json_string_value(json_object_get(json, "region")), text);
    assert_string_equal(json_string_value(by), text);
    assert_true(json_equal(data, expected));
    assert_true(json_equal(json_object_get(json, "meta"), expected));
    assert_int_equal(json_string_length(boot), 4);
    assert_memory_equal(json_string_value(boot), "b\0\"\n", 4);
    json_decref(expected);
    json_decref(json);
}

/* A filtered view writes member by member, on another path. */
static void twin_text_is_escaped_in_a_partial_view_too(void **state)
{
    (void)state;
    static const char member[] =
        "{\"q\\\"\\\\\\n\\u0001\":\"\\u0000a\",\"\":1,\"\\u0000\":2,\"b\":3}";
    const char *deny[] = {"meta.b"};
    struct viewer_scope all = {{false, NULL, 0}, {false, NULL, 0}};
    struct viewer viewer = {"a", &all, 1, {true, deny, 1}};
    twin->parts[PART_META] = part_of(1, member);
    assert_non_null(twin->parts[PART_META]);
    struct buf out = BUF_INIT;
    twin_write_part(&out, twin, PART_META, &viewer);
    assert_string_equal(buf_cstr(&out),
                        "{\"q\\\"\\\\\\n\\u0001\":\"\\u0000a\",\"\":1,\"\\u0000\":2}");
    buf_done(&out);
}

static void twin_numbers_keep_their_digits(void **state)
{
    (void)state;
    twin->parts[PART_CONFIG] = part_of(
        1, "{\"a\":0.1,\"b\":18446744073709551617,\"c\":1.2345678901234567890123,\"d\":-0}");
    struct buf out = BUF_INIT;
    twin_write_part(&out, twin, PART_CONFIG, &viewer_all);
    assert_non_null(strstr(buf_cstr(&out), "0.1"));
    assert_non_null(strstr(buf_cstr(&out), "18446744073709551617"));
    assert_non_null(strstr(buf_cstr(&out), "1.2345678901234567890123"));
    buf_done(&out);
}

/* ---- what is hidden ---- */

static void twin_parts_alone_are_empty_objects_where_there_are_none(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    for (int i = 0; i < PART_COUNT; i++)
        twin_write_part(&out, twin, (enum part_kind)i, &viewer_all);
    twin_write_delta(&out, twin, &viewer_all);
    assert_string_equal(buf_cstr(&out), "{}{}{}{}{}");
    buf_done(&out);
}

struct hidden {
    const char *deny[4];
    size_t count;
    const char *expected; /* the members that depend on the viewer */
};

#define PRESENCE                                                                                   \
    "\"presence\":{\"status\":\"online\",\"last_seen\":\"2026-01-15T10:30:00.200Z\","              \
    "\"since\":\"2026-01-15T10:30:00.000Z\"},"
#define CELLS "\"battery.cells\":{\"v\":[3.7,3.71]}"
#define POSITION "\"position\":{\"lat\":59.9,\"alt\":1e2}"
#define REPORTED "\"reported\":{\"rate\":5,\"mode\":\"AUTO\"},"
#define DESIRED "\"desired\":{\"rate\":5,\"mode\":\"RTL\"},"
#define SINCE "\"delta_since\":\"2026-01-15T10:30:02.000Z\","
#define DELTA "\"delta\":{\"mode\":\"RTL\"}," SINCE
#define REST "\"config\":{},\"meta\":{\"site\":\"oslo-1\"}"

static const struct hidden hidden[] = {
    {{"evt.>"},
     1,
     "{" PRESENCE "\"state\":{" CELLS "," POSITION "}," REPORTED DESIRED DELTA REST "}"},
    {{"state.position"}, 1, "{" PRESENCE "\"state\":{" CELLS "}," REPORTED DESIRED DELTA REST "}"},
    {{"state.*"}, 1, "{" PRESENCE "\"state\":{" CELLS "}," REPORTED DESIRED DELTA REST "}"},
    {{"state.>"}, 1, "{" PRESENCE "\"state\":{}," REPORTED DESIRED DELTA REST "}"},
    {{"presence"}, 1, "{\"state\":{" CELLS "," POSITION "}," REPORTED DESIRED DELTA REST "}"},
    {{"delta"}, 1, "{" PRESENCE "\"state\":{" CELLS "," POSITION "}," REPORTED DESIRED REST "}"},
    /* what is desired does not show in the delta either */
    {{"desired.mode"},
     1,
     "{" PRESENCE "\"state\":{" CELLS "," POSITION "}," REPORTED
     "\"desired\":{\"rate\":5},\"delta\":{}," SINCE REST "}"},
    {{"desired.*", "delta"},
     2,
     "{" PRESENCE "\"state\":{" CELLS "," POSITION "}," REPORTED "\"desired\":{}," REST "}"},
    {{"reported.rate", "meta.>"},
     2,
     "{" PRESENCE "\"state\":{" CELLS "," POSITION
     "},\"reported\":{\"mode\":\"AUTO\"}," DESIRED DELTA "\"config\":{},\"meta\":{}}"},
    {{"state.position", "desired.*", "delta", "presence"},
     4,
     "{\"state\":{" CELLS "}," REPORTED "\"desired\":{}," REST "}"},
};

static void twin_leaves_out_what_is_denied(void **state)
{
    (void)state;
    struct viewer_scope all = {{false, NULL, 0}, {false, NULL, 0}};
    fill();
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        struct viewer viewer = {"a", &all, 1, {true, hidden[i].deny, hidden[i].count}};
        json_t *json = written(&viewer, "eu-north", false);
        assert_int_equal(json_object_del(json, "vid"), 0);
        assert_int_equal(json_object_del(json, "region"), 0);
        assert_int_equal(json_object_del(json, "revision"), 0);
        assert_json(json, hidden[i].expected);
    }
}

static void twin_shows_only_what_is_allowed(void **state)
{
    (void)state;
    const char *allow[] = {"state.position", "desired.rate"};
    struct viewer_scope scope = {{false, NULL, 0}, {true, allow, 2}};
    struct viewer viewer = {"a", &scope, 1, {false, NULL, 0}};
    fill();
    json_t *json = written(&viewer, "eu-north", false);
    assert_int_equal(json_object_del(json, "revision"), 0);
    assert_json(json, "{\"vid\":\"VID-001\",\"region\":\"eu-north\",\"state\":{" POSITION
                      "},\"reported\":{},\"desired\":{\"rate\":5},\"config\":{},\"meta\":{}}");
}

static void twin_metadata_leaves_out_denied_states(void **state)
{
    (void)state;
    const char *deny[] = {"state.position"};
    struct viewer_scope all = {{false, NULL, 0}, {false, NULL, 0}};
    struct viewer viewer = {"a", &all, 1, {true, deny, 1}};
    fill();
    json_t *json = written(&viewer, "eu-north", true);
    json_t *states = json_object_get(json_object_get(json, "metadata"), "state");
    assert_int_equal(json_object_size(states), 1);
    assert_non_null(json_object_get(states, "battery.cells"));
    json_decref(json);
}

static bool write_all(void *context)
{
    struct buf out = BUF_INIT;
    struct twin_view view = {context, "eu-north", true};
    twin_write(&out, twin, &view);
    bool written_all = !out.failed;
    buf_done(&out);
    return written_all;
}

static void twin_without_memory_is_a_failed_buffer(void **state)
{
    (void)state;
    struct viewer viewer = viewer_all;
    fill();
    assert_true(fault_loop(write_all, &viewer) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_twin, free_twin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(twin_of_which_nothing_is_known_has_every_part_empty),
        TEST(twin_is_written_as_the_contract_shows_it),
        TEST(twin_members_stand_in_the_contracts_order),
        TEST(twin_metadata_says_where_each_value_comes_from),
        TEST(twin_text_is_escaped_wherever_it_comes_from),
        TEST(twin_text_is_escaped_in_a_partial_view_too),
        TEST(twin_numbers_keep_their_digits),
        TEST(twin_parts_alone_are_empty_objects_where_there_are_none),
        TEST(twin_leaves_out_what_is_denied),
        TEST(twin_shows_only_what_is_allowed),
        TEST(twin_metadata_leaves_out_denied_states),
        TEST(twin_without_memory_is_a_failed_buffer),
    };
    return cmocka_run_group_tests_name("twin_write", tests, NULL, NULL);
}
