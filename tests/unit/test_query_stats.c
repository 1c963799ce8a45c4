/* Statistics in groups, the keys they are grouped by, and the fields of a fleet. */
#include "hub/query_fields.h"
#include "hub/query_key.h"
#include "hub/query_stats.h"

#include "tests/unit/fault.h"
#include "tests/unit/fleet_help.h"

#include <stdio.h>

static struct store *store;

static int make_store(void **state)
{
    (void)state;
    store = store_new();
    return store ? 0 : -1;
}

static int free_store(void **state)
{
    (void)state;
    store_free(store);
    return 0;
}

/* ---- keys ---- */

static void key_of(const char *json, struct buf *key)
{
    struct doc *doc = doc_of(json);
    assert_non_null(doc);
    struct value value = value_of_doc(doc_root(doc));
    buf_reset(key);
    query_key_write(key, &value);
    assert_false(key->failed);
    free(doc);
}

static int compare_keys(const char *a, const char *b)
{
    struct buf left = BUF_INIT, right = BUF_INIT;
    key_of(a, &left);
    key_of(b, &right);
    size_t common = left.size_bytes < right.size_bytes ? left.size_bytes : right.size_bytes;
    int order = memcmp(left.data, right.data, common);
    if (order == 0)
        order = (left.size_bytes > right.size_bytes) - (left.size_bytes < right.size_bytes);
    buf_done(&left);
    buf_done(&right);
    return order;
}

static void keys_are_equal_where_values_are(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"1", "1.0"},
        {"0", "-0"},
        {"0", "0.000"},
        {"100", "1e2"},
        {"100", "10000000000000000000000e-20"},
        {"1", "1.0000000000000000000000000000"},
        {"-0.5", "-0.50000000000000000000000000"},
        {"123456789012345678901234567890", "1.23456789012345678901234567890e29"},
        {"{\"a\":1,\"b\":[2]}", "{\"b\":[2.0],\"a\":1e0}"},
        {"[]", "[ ]"},
    };
    static const char *const other[][2] = {
        {"1", "\"1\""},
        {"1", "true"},
        {"1", "1.0000000000000000000000000001"},
        {"9007199254740993", "9007199254740992"},
        {"123456789012345678901234567890", "123456789012345678901234567891"},
        {"null", "false"},
        {"[]", "{}"},
        {"[1,2]", "[2,1]"},
        {"[[1],2]", "[[1,2]]"},
        {"{\"a\":1}", "{\"a\":1,\"b\":null}"},
        {"\"a\"", "\"a\\u0000\""},
        {"[\"a\",\"b\"]", "[\"a\\u0000b\"]"},
        {"\"\"", "null"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_int_equal(compare_keys(same[i][0], same[i][1]), 0);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_int_not_equal(compare_keys(other[i][0], other[i][1]), 0);
}

static void keys_sort_as_their_values(void **state)
{
    (void)state;
    static const char *const sorted[] = {"-1e300", "-2",    "-1.5",  "0",         "1e-9",  "0.5",
                                         "3",      "20",    "1e300", "\"\"",      "\"a\"", "\"aa\"",
                                         "\"b\"",  "false", "true",  "[1,\"x\"]", "{}",    "null"};
    for (size_t i = 1; i < sizeof sorted / sizeof *sorted; i++)
        assert_true(compare_keys(sorted[i - 1], sorted[i]) < 0);
}

/* ---- statistics ---- */

/* The answer as text; "" where the query is denied or has too many groups. */
static void ask(const struct viewer *viewer, const char *filter, const char *group_by,
                const char *asked, enum stats_status expected, struct buf *out)
{
    struct stats_spec spec;
    struct text_error error;
    struct query_denial denial;
    const char *parameter;
    struct query query = fleet_query(viewer, filter, NULL);
    if (!stats_spec_init(&spec, group_by, asked, &parameter, &error))
        fail_msg("%s: %s", parameter, error.detail);
    for (size_t i = 0; i < spec.key_count; i++)
        assert_true(query_looks_at(&query, spec.keys[i]));
    for (size_t i = 0; i < spec.column_count; i++)
        assert_true(query_looks_at(&query, spec.columns[i].path));
    struct query_stats *stats = query_stats_new(&spec, &query);
    assert_non_null(stats);
    assert_int_equal(query_stats_run(stats, store, &denial), expected);
    buf_reset(out);
    if (expected == STATS_OK)
        query_stats_write(stats, out);
    query_stats_free(stats);
    stats_spec_done(&spec);
    query_done(&query);
}

static void expect_stats(const char *filter, const char *group_by, const char *asked,
                         const char *expected)
{
    struct buf out = BUF_INIT;
    ask(&viewer_all, filter, group_by, asked, STATS_OK, &out);
    expect_text(&out, expected);
    buf_done(&out);
}

static void add_batteries(void)
{
    static const char *const values[] = {"1", "2", "3",  "4",    "5",   "6",        "7",
                                         "8", "9", "10", "20.0", "2e1", "\"lots\"", "null"};
    for (int i = 0; i < 14; i++) {
        char vid[8], data[32], meta[32];
        snprintf(vid, sizeof vid, "V%02d", i);
        snprintf(data, sizeof data, "{\"x\":%s}", values[i]);
        snprintf(meta, sizeof meta, "{\"site\":\"%s\"}", i < 10 ? "a" : "b");
        fleet_state(store, vid, "battery", data);
        if (i != 13)
            fleet_part(store, vid, PART_META, meta);
    }
}

static void stats_of_nothing(void **state)
{
    (void)state;
    expect_stats(NULL, NULL, NULL, "{\"groups\":[{\"key\":{},\"count\":0}],\"total_size\":0}");
    expect_stats(NULL, "meta.site", NULL, "{\"groups\":[],\"total_size\":0}");
    expect_stats(NULL, NULL, "avg(meta.a),min(meta.a),max(meta.a),sum(meta.a),p50(meta.a)",
                 "{\"groups\":[{\"key\":{},\"avg(meta.a)\":null,\"min(meta.a)\":null,"
                 "\"max(meta.a)\":null,\"sum(meta.a)\":0,\"p50(meta.a)\":null}],\"total_size\":0}");
}

static void stats_are_in_groups_and_what_is_missing_is_null(void **state)
{
    (void)state;
    add_batteries();
    expect_stats(NULL, "meta.site", NULL,
                 "{\"groups\":[{\"key\":{\"meta.site\":\"a\"},\"count\":10},"
                 "{\"key\":{\"meta.site\":\"b\"},\"count\":3},"
                 "{\"key\":{\"meta.site\":null},\"count\":1}],\"total_size\":14}");
    expect_stats("state.battery.x >= 10", "state.battery.x", NULL,
                 "{\"groups\":[{\"key\":{\"state.battery.x\":10},\"count\":1},"
                 "{\"key\":{\"state.battery.x\":20.0},\"count\":2}],\"total_size\":3}");
}

static void percentiles_are_of_the_nearest_rank(void **state)
{
    (void)state;
    add_batteries();
    expect_stats("state.battery.x <= 10", NULL,
                 "p1(state.battery.x),p50(state.battery.x),p51(state.battery.x),"
                 "p95(state.battery.x),p99(state.battery.x)",
                 "{\"groups\":[{\"key\":{},\"p1(state.battery.x)\":1,\"p50(state.battery.x)\":5,"
                 "\"p51(state.battery.x)\":6,\"p95(state.battery.x)\":10,"
                 "\"p99(state.battery.x)\":10}],\"total_size\":10}");
    expect_stats("state.battery.x = 3", NULL, "p95(state.battery.x)",
                 "{\"groups\":[{\"key\":{},\"p95(state.battery.x)\":3}],\"total_size\":1}");
}

static void stats_ignore_what_is_no_number_and_count_every_vehicle(void **state)
{
    (void)state;
    add_batteries();
    expect_stats("meta.site = \"b\"", NULL,
                 "count,avg(state.battery.x),sum(state.battery.x),avg(meta.site)",
                 "{\"groups\":[{\"key\":{},\"count\":3,\"avg(state.battery.x)\":20,"
                 "\"sum(state.battery.x)\":40,\"avg(meta.site)\":null}],\"total_size\":3}");
}

static void sums_keep_what_rounding_would_take(void **state)
{
    (void)state;
    static const char *const values[] = {"1e100", "1", "-1e100", "0.25"};
    for (int i = 0; i < 4; i++) {
        char vid[8], meta[32];
        snprintf(vid, sizeof vid, "V%d", i);
        snprintf(meta, sizeof meta, "{\"x\":%s}", values[i]);
        fleet_part(store, vid, PART_META, meta);
    }
    expect_stats(NULL, NULL, "sum(meta.x)",
                 "{\"groups\":[{\"key\":{},\"sum(meta.x)\":1.25}],\"total_size\":4}");
}

static void stats_are_labelled_as_asked_and_once(void **state)
{
    (void)state;
    fleet_part(store, "V1", PART_META, "{\"a b\":1}");
    expect_stats(NULL, " meta.\"a b\" , vid,vid", "count , sum(meta.\"a b\"),count",
                 "{\"groups\":[{\"key\":{\"meta.\\\"a b\\\"\":1,\"vid\":\"V1\"},\"count\":1,"
                 "\"sum(meta.\\\"a b\\\")\":1}],\"total_size\":1}");
}

static void wholes_group_too(void **state)
{
    (void)state;
    fleet_state(store, "V1", "mode", "{\"a\":1}");
    fleet_part(store, "V2", PART_META, "{\"tags\":[1,{\"b\":2}]}");
    fleet_part(store, "V3", PART_META, "{\"tags\":[1.0,{\"b\":2}]}");
    expect_stats(NULL, "meta.tags", NULL,
                 "{\"groups\":[{\"key\":{\"meta.tags\":[1,{\"b\":2}]},\"count\":2},"
                 "{\"key\":{\"meta.tags\":null},\"count\":1}],\"total_size\":3}");
    expect_stats("vid = \"V1\"", "state,presence,revision,meta,delta", NULL,
                 "{\"groups\":[{\"key\":{\"state\":{},\"presence\":{},\"revision\":{},\"meta\":{},"
                 "\"delta\":{}},\"count\":1}],\"total_size\":1}");
}

static void more_groups_than_may_be_are_refused(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    for (int i = 0; i < STATS_GROUPS_MAX; i++) {
        char vid[16];
        snprintf(vid, sizeof vid, "V%06d", i);
        fleet_state(store, vid, "mode", "{}");
    }
    ask(&viewer_all, NULL, "vid", NULL, STATS_OK, &out);
    fleet_state(store, "one-more", "mode", "{}");
    ask(&viewer_all, NULL, "vid", NULL, STATS_TOO_MANY, &out);
    ask(&viewer_all, NULL, "presence.status", NULL, STATS_OK, &out);
    buf_done(&out);
}

static void stats_of_a_viewer_hold_no_hidden_vehicle_and_no_denied_part(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{PATTERNS("V0*"), ANYTHING}};
    struct viewer viewer = {"p", scopes, 1, PATTERNS("state.battery")};
    struct buf out = BUF_INIT;
    add_batteries();
    ask(&viewer, NULL, "meta.site", NULL, STATS_OK, &out);
    expect_text(&out, "{\"groups\":[{\"key\":{\"meta.site\":\"a\"},\"count\":10}],"
                      "\"total_size\":10}");
    ask(&viewer, NULL, NULL, "avg(state.battery.x)", STATS_DENIED, &out);
    ask(&viewer, NULL, "state.battery.x", NULL, STATS_DENIED, &out);
    ask(&viewer, "state.battery.x > 3", NULL, NULL, STATS_DENIED, &out);
    buf_done(&out);
}

static void stats_that_make_no_sense_are_refused_where_they_stand(void **state)
{
    (void)state;
    static const struct {
        const char *group_by, *stats, *parameter;
        size_t offset;
    } table[] = {
        {NULL, "", "stats", 0},
        {NULL, "count,", "stats", 6},
        {NULL, "p100(vid)", "stats", 0},
        {NULL, "p0(vid)", "stats", 0},
        {NULL, "p05(vid)", "stats", 0},
        {NULL, "avg()", "stats", 4},
        {NULL, "avg(vid", "stats", 7},
        {NULL, "avg(vid) sum(vid)", "stats", 9},
        {NULL, "count,max(meta.\"ü\".\"x)", "stats", 19},
        {NULL, "min(meta.\"ü\"),avg(nothing.x)", "stats", 18},
        {"", NULL, "group_by", 0},
        {"vid,,region", NULL, "group_by", 4},
        {"vid region", NULL, "group_by", 4},
        {"meta.1,meta.2,meta.3,meta.4,meta.5,meta.6,meta.7,meta.8,meta.9", NULL, "group_by", 56},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct stats_spec spec;
        struct text_error error;
        const char *parameter;
        assert_false(stats_spec_init(&spec, table[i].group_by, table[i].stats, &parameter, &error));
        assert_string_equal(parameter, table[i].parameter);
        if (error.offset != table[i].offset)
            fail_msg("%s: %zu, %s", table[i].stats, error.offset, error.detail);
        assert_true(error.detail[0] != '\0');
    }
}

/* ---- fields ---- */

static void expect_fields(const struct viewer *viewer, const char *expected)
{
    struct query query = fleet_query(viewer, NULL, NULL);
    struct query_denial denial;
    struct buf out = BUF_INIT;
    struct query_fields *fields = query_fields_new(&query);
    assert_non_null(fields);
    assert_int_equal(query_fields_run(fields, store, &denial), QUERY_OK);
    query_fields_write(fields, &out);
    if (!strstr(buf_cstr(&out), expected))
        fail_msg("not in %s: %s", buf_cstr(&out), expected);
    buf_done(&out);
    query_fields_free(fields);
    query_done(&query);
}

static void fields_are_leaves_and_arrays_as_filters_write_them(void **state)
{
    (void)state;
    fleet_part(store, "V1", PART_META,
               "{\"a b\":{\"c\":1,\"d\":null},\"tags\":[1],\"\":true,\"AND\":\"x\",\"e\":{}}");
    fleet_part(store, "V2", PART_META, "{\"a b\":{\"c\":\"two\"}}");
    fleet_state(store, "V2", "battery.cells", "{\"low\":3.5}");
    expect_fields(&viewer_all,
                  "{\"path\":\"meta.\\\"\\\"\",\"types\":[\"boolean\"],\"vehicles\":1,"
                  "\"examples\":[true]},"
                  "{\"path\":\"meta.\\\"AND\\\"\",\"types\":[\"string\"],\"vehicles\":1,"
                  "\"examples\":[\"x\"]},"
                  "{\"path\":\"meta.\\\"a b\\\".c\",\"types\":[\"number\",\"string\"],"
                  "\"vehicles\":2,\"examples\":[1,\"two\"]},"
                  "{\"path\":\"meta.tags\",\"types\":[\"array\"],\"vehicles\":1,"
                  "\"examples\":[[1]]},"
                  "{\"path\":\"presence.last_seen\"");
    expect_fields(&viewer_all, "{\"path\":\"state.\\\"battery.cells\\\".low\",\"types\":["
                               "\"number\"],\"vehicles\":1,\"examples\":[3.5]}");
}

static void fields_of_a_viewer_hold_nothing_denied(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{PATTERNS("V1"), ANYTHING}};
    struct viewer viewer = {"p", scopes, 1,
                            PATTERNS("meta.secret", "state.position", "presence", "delta")};
    fleet_part(store, "V1", PART_META, "{\"secret\":1,\"open\":2}");
    fleet_state(store, "V1", "position", "{\"lat\":1}");
    fleet_part(store, "V1", PART_DESIRED, "{\"m\":1}");
    fleet_part(store, "V2", PART_META, "{\"hidden\":1}");
    expect_fields(&viewer,
                  "{\"fields\":[{\"path\":\"desired.m\",\"types\":[\"number\"],\"vehicles\":1,"
                  "\"examples\":[1]},{\"path\":\"meta.open\",\"types\":[\"number\"],\"vehicles\":1,"
                  "\"examples\":[2]},{\"path\":\"region\",");
}

static void fields_beyond_the_limit_are_said_to_be_missing(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    for (int v = 0; v < 11; v++) {
        char vid[8];
        buf_reset(&text);
        for (int i = 0; i < FLEET_FIELDS_MAX / 10; i++)
            buf_addf(&text, "%c\"k%d-%d\":1", i ? ',' : '{', v, i);
        buf_addc(&text, '}');
        snprintf(vid, sizeof vid, "V%d", v);
        fleet_part(store, vid, PART_META, buf_cstr(&text));
    }
    expect_fields(&viewer_all, ",\"truncated\":true}");
    buf_done(&text);
}

/* ---- lost memory ---- */

static bool everything(void *context)
{
    (void)context;
    struct stats_spec spec;
    struct text_error error;
    struct query_denial denial;
    const char *parameter;
    struct buf out = BUF_INIT;
    struct query query;
    struct query_options options = {.viewer = &viewer_all, .region = "r"};
    if (query_init(&query, &options, &error) != QUERY_OK)
        return false;
    bool ok = stats_spec_init(&spec, "meta.k", "count,p50(meta.n)", &parameter, &error);
    if (ok) {
        struct query_stats *stats = query_stats_new(&spec, &query);
        ok = stats != NULL;
        if (ok) {
            enum stats_status status = query_stats_run(stats, store, &denial);
            ok = status == STATS_OK;
            assert_true(ok || status == STATS_NO_MEMORY);
            query_stats_write(stats, &out);
        }
        query_stats_free(stats);
        stats_spec_done(&spec);
    }
    struct query_fields *fields = query_fields_new(&query);
    ok = ok && fields && query_fields_run(fields, store, &denial) == QUERY_OK;
    if (fields)
        query_fields_write(fields, &out);
    query_fields_free(fields);
    ok = ok && !out.failed;
    buf_done(&out);
    query_done(&query);
    return ok;
}

static void statistics_without_memory_are_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        char vid[8], meta[64];
        snprintf(vid, sizeof vid, "V%d", i);
        snprintf(meta, sizeof meta, "{\"k\":%d,\"n\":%d}", i % 40, i);
        fleet_part(store, vid, PART_META, meta);
    }
    assert_true(fault_loop(everything, NULL) > 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_store, free_store)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_equal_where_values_are),
        cmocka_unit_test(keys_sort_as_their_values),
        TEST(stats_of_nothing),
        TEST(stats_are_in_groups_and_what_is_missing_is_null),
        TEST(percentiles_are_of_the_nearest_rank),
        TEST(stats_ignore_what_is_no_number_and_count_every_vehicle),
        TEST(sums_keep_what_rounding_would_take),
        TEST(stats_are_labelled_as_asked_and_once),
        TEST(wholes_group_too),
        TEST(more_groups_than_may_be_are_refused),
        TEST(stats_of_a_viewer_hold_no_hidden_vehicle_and_no_denied_part),
        TEST(stats_that_make_no_sense_are_refused_where_they_stand),
        TEST(fields_are_leaves_and_arrays_as_filters_write_them),
        TEST(fields_of_a_viewer_hold_nothing_denied),
        TEST(fields_beyond_the_limit_are_said_to_be_missing),
        TEST(statistics_without_memory_are_refused),
    };
    return cmocka_run_group_tests_name("query_stats", tests, NULL, NULL);
}
