/* The parts of a twin that are asked for, and lists of them in every format. */
#include "hub/fields.h"
#include "hub/formats.h"
#include "hub/formats_csv.h"

#include "tests/unit/fault.h"
#include "tests/unit/fleet_help.h"

static struct store *store;
static const struct twin *twin;

static int make_twin(void **state)
{
    (void)state;
    store = store_new();
    if (!store)
        return -1;
    fleet_state(store, "V1", "position", "{\"lat\":59.90,\"lon\":10.70,\"alt\":1e2}");
    fleet_state(store, "V1", "battery.cells", "{\"low\":-3.50,\"all\":[3.7,{\"a\":\"x,y\"}]}");
    fleet_state(store, "V1", "mode", "{\"mode\":\"RTL\",\"armed\":true,\"none\":null}");
    fleet_part(store, "V1", PART_DESIRED, "{\"mode\":\"AUTO\",\"led\":{\"on\":true,\"hue\":7}}");
    fleet_part(store, "V1", PART_REPORTED, "{\"mode\":\"RTL\",\"led\":{\"on\":true}}");
    fleet_part(store, "V1", PART_META, "{\"site\":\"oslo\",\"note\":\"=1+1\",\"empty\":{}}");
    twin = fleet_twin(store, "V1");
    return 0;
}

static int free_twin(void **state)
{
    (void)state;
    store_free(store);
    return 0;
}

static struct fields *fields_of(const char *text)
{
    struct text_error error;
    struct fields *fields = fields_compile(text, strlen(text), &error);
    if (!fields)
        fail_msg("%s: %s", text, error.detail);
    return fields;
}

static void expect_fields(const struct viewer *viewer, const char *text, const char *expected)
{
    struct twin_view view = {viewer, "eu-north", false};
    struct buf out = BUF_INIT;
    struct fields *fields = fields_of(text);
    fields_write(&out, fields, twin, &view);
    expect_text(&out, expected);
    buf_done(&out);
    fields_free(fields);
}

/* ---- projections ---- */

static void fields_are_nested_and_vid_is_always_there(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"vid", "{\"vid\":\"V1\"}"},
        {"region", "{\"vid\":\"V1\",\"region\":\"eu-north\"}"},
        {"state.position.lat", "{\"vid\":\"V1\",\"state\":{\"position\":{\"lat\":59.90}}}"},
        {"state.\"battery.cells\".low,state.mode.mode, meta.site",
         "{\"vid\":\"V1\",\"state\":{\"battery.cells\":{\"low\":-3.50},"
         "\"mode\":{\"mode\":\"RTL\"}},\"meta\":{\"site\":\"oslo\"}}"},
        {"state.mode.none", "{\"vid\":\"V1\",\"state\":{\"mode\":{\"none\":null}}}"},
        {"presence.status,presence.since.x",
         "{\"vid\":\"V1\",\"presence\":{\"status\":\"online\"}}"},
        {"revision.desired,revision.config,revision.other",
         "{\"vid\":\"V1\",\"revision\":{\"desired\":7,\"config\":0}}"},
        {"delta", "{\"vid\":\"V1\",\"delta\":{\"mode\":\"AUTO\",\"led\":{\"hue\":7}}}"},
        {"delta.led.hue,delta.mode",
         "{\"vid\":\"V1\",\"delta\":{\"led\":{\"hue\":7},\"mode\":\"AUTO\"}}"},
        {"delta_since", "{\"vid\":\"V1\",\"delta_since\":\"2026-01-15T10:30:00.000Z\"}"},
        {"config,meta.empty", "{\"vid\":\"V1\",\"config\":{},\"meta\":{\"empty\":{}}}"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        expect_fields(&viewer_all, table[i][0], table[i][1]);
}

static void fields_that_are_not_there_leave_nothing_behind(void **state)
{
    (void)state;
    expect_fields(&viewer_all,
                  "state.position.x.y,state.none.x,meta.site.x,meta.none,desired.led.on.x,"
                  "state.\"battery.cells\".all.a,region.x,vid.x,config.a.b,meta.empty.x",
                  "{\"vid\":\"V1\"}");
}

static void fields_that_overlap_are_written_once(void **state)
{
    (void)state;
    expect_fields(&viewer_all,
                  "meta.site,meta,meta.site,meta.site.x,presence.status,"
                  "presence.status,desired.led.on,desired.led",
                  "{\"vid\":\"V1\",\"meta\":{\"site\":\"oslo\",\"note\":\"=1+1\",\"empty\":{}},"
                  "\"presence\":{\"status\":\"online\"},"
                  "\"desired\":{\"led\":{\"on\":true,\"hue\":7}}}");
}

static void fields_leave_out_what_the_viewer_may_not_see(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{PATTERNS("V*"), ANYTHING}};
    struct viewer viewer = {"p", scopes, 1,
                            PATTERNS("state.position", "desired.mode", "presence", "meta.>")};
    expect_fields(&viewer, "state.position.lat,state.mode.mode,presence.status,desired,delta,meta",
                  "{\"vid\":\"V1\",\"state\":{\"mode\":{\"mode\":\"RTL\"}},"
                  "\"desired\":{\"led\":{\"on\":true,\"hue\":7}},\"delta\":{\"led\":{\"hue\":7}},"
                  "\"meta\":{}}");
    expect_fields(&viewer, "delta.mode,delta.led.hue,desired.mode,state,meta.site",
                  "{\"vid\":\"V1\",\"delta\":{\"led\":{\"hue\":7}},\"state\":{\"battery.cells\":"
                  "{\"low\":-3.50,\"all\":[3.7,{\"a\":\"x,y\"}]},"
                  "\"mode\":{\"mode\":\"RTL\",\"armed\":true,\"none\":null}}}");
    struct viewer no_delta = {"p", scopes, 1, PATTERNS("delta")};
    expect_fields(&no_delta, "delta,delta.mode,delta_since,desired.mode",
                  "{\"vid\":\"V1\",\"desired\":{\"mode\":\"AUTO\"}}");
}

/* Whole roots say what the whole twin says. */
static void fields_of_every_root_are_the_twin(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{PATTERNS("V*"), PATTERNS("state.*", "desired.led", "delta")}};
    struct viewer some = {"p", scopes, 1, PATTERNS("state.mode")};
    const struct viewer *viewers[] = {&viewer_all, &some};
    struct fields *fields = fields_of("vid,region,presence,state,reported,desired,delta,"
                                      "delta_since,config,meta,revision");
    for (size_t i = 0; i < 2; i++) {
        struct twin_view view = {viewers[i], "eu-north", true};
        struct buf whole = BUF_INIT, parts = BUF_INIT;
        twin_write(&whole, twin, &view);
        fields_write(&parts, fields, twin, &view);
        expect_text(&parts, buf_cstr(&whole));
        buf_done(&whole);
        buf_done(&parts);
    }
    fields_free(fields);
}

static void fields_that_make_no_sense_are_refused_where_they_stand(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
    } table[] = {{"", 0},           {"vid,", 4},
                 {",vid", 0},       {"vid,,region", 4},
                 {"vid region", 4}, {"meta.\"é\",stat", 9},
                 {"state.", 6},     {"metadata", 0}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct text_error error;
        assert_null(fields_compile(table[i].text, strlen(table[i].text), &error));
        if (error.offset != table[i].offset)
            fail_msg("%s: %zu, %s", table[i].text, error.offset, error.detail);
    }
}

static void fields_are_bounded(void **state)
{
    (void)state;
    struct text_error error;
    struct buf text = BUF_INIT;
    buf_adds(&text, "vid");
    for (int i = 1; i < FIELDS_MAX; i++)
        buf_adds(&text, ",vid");
    fields_free(fields_of(buf_cstr(&text)));
    buf_adds(&text, ",vid");
    assert_null(fields_compile(text.data, text.size_bytes, &error));
    buf_reset(&text);
    buf_adds(&text, "meta.");
    while (text.size_bytes <= FIELDS_MAX_BYTES)
        buf_addc(&text, 'x');
    assert_null(fields_compile(text.data, text.size_bytes, &error));
    buf_done(&text);
}

/* ---- tables ---- */

static void expect_row(const struct viewer *viewer, const char *text, const char *expected)
{
    struct twin_view view = {viewer, "eu-north", false};
    struct buf out = BUF_INIT;
    struct fields *fields = fields_of(text);
    csv_row(&out, fields, twin, &view);
    expect_text(&out, expected);
    buf_done(&out);
    fields_free(fields);
}

static void rows_have_a_cell_for_each_field(void **state)
{
    (void)state;
    expect_row(&viewer_all,
               "vid,state.position.lat,state.mode.armed,state.mode.none,meta.nothing,meta.note,"
               "state.\"battery.cells\".low,presence.last_seen,revision.desired,meta.empty,"
               "state.\"battery.cells\".all,desired.led",
               "V1,59.90,true,,,'=1+1,-3.50,2026-01-15T10:30:00.000Z,7,{},"
               "\"[3.7,{\"\"a\"\":\"\"x,y\"\"}]\",\"{\"\"on\"\":true,\"\"hue\"\":7}\"\r\n");
    expect_row(&viewer_all, "meta.nothing", "\"\"\r\n");
    expect_row(&viewer_all, "config", "{}\r\n");
}

static void rows_leave_out_what_the_viewer_may_not_see(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{ANYTHING, ANYTHING}};
    struct viewer viewer = {"p", scopes, 1, PATTERNS("state.position", "desired.mode", "presence")};
    expect_row(&viewer, "vid,state.position.lat,presence.status,delta.mode,desired,delta",
               "V1,,,,\"{\"\"led\"\":{\"\"on\"\":true,\"\"hue\"\":7}}\","
               "\"{\"\"led\"\":{\"\"hue\"\":7}}\"\r\n");
}

static void texts_that_look_like_formulas_are_texts(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"=1+1", "'=1+1"},
        {"+47", "'+47"},
        {"-x", "'-x"},
        {"@a", "'@a"},
        {"\t=1+1", "'\t=1+1"},
        {"\r=1+1", "\"'\r=1+1\""},
        {"a=1", "a=1"},
        {"", ""},
        {"say \"hi\"", "\"say \"\"hi\"\"\""},
        {"a,b", "\"a,b\""},
        {"a\nb", "\"a\nb\""},
        {"a\rb", "\"a\rb\""},
        {"=\"a\"", "\"'=\"\"a\"\"\""},
        {" =1", " =1"},
        {"'", "'"},
        {"ü;☃", "ü;☃"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct buf out = BUF_INIT;
        csv_text(&out, table[i][0], strlen(table[i][0]));
        expect_text(&out, table[i][1]);
        buf_done(&out);
    }
}

static void header_is_what_was_asked(void **state)
{
    (void)state;
    struct fields *fields = fields_of(" vid , meta.\"a, b\",state.\"battery.cells\".low");
    struct buf out = BUF_INIT;
    csv_header(&out, fields);
    expect_text(&out, "vid,\"meta.\"\"a, b\"\"\",\"state.\"\"battery.cells\"\".low\"\r\n");
    buf_done(&out);
    fields_free(fields);
}

/* ---- lists ---- */

static void write_list(struct buf *out, enum format format, const struct viewer *viewer,
                       const char *fields_text, const char *token)
{
    struct fields *fields = fields_text ? fields_of(fields_text) : NULL;
    struct format_list list = {format, fields, {viewer, "eu-north", false}};
    fleet_part(store, "V2", PART_META, "{\"site\":\"b\"}");
    format_begin(out, &list);
    format_item(out, &list, twin, true);
    format_item(out, &list, fleet_twin(store, "V2"), false);
    format_end(out, &list, token, 12);
    fields_free(fields);
}

static void lists_in_every_format(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{ANYTHING, ANYTHING}};
    struct viewer blind = {"p", scopes, 1, PATTERNS("state.position")};
    struct buf out = BUF_INIT;
    write_list(&out, FORMAT_JSON, &viewer_all, "meta.site", "next");
    expect_text(&out, "{\"vehicles\":[{\"vid\":\"V1\",\"meta\":{\"site\":\"oslo\"}},"
                      "{\"vid\":\"V2\",\"meta\":{\"site\":\"b\"}}],"
                      "\"next_page_token\":\"next\",\"total_size\":12}");
    write_list(&out, FORMAT_NDJSON, &viewer_all, "meta.site", "");
    expect_text(&out, "{\"vid\":\"V1\",\"meta\":{\"site\":\"oslo\"}}\n"
                      "{\"vid\":\"V2\",\"meta\":{\"site\":\"b\"}}\n");
    write_list(&out, FORMAT_CSV, &viewer_all, "meta.site,vid", "");
    expect_text(&out, "meta.site,vid\r\noslo,V1\r\nb,V2\r\n");
    write_list(&out, FORMAT_GEOJSON, &viewer_all, "vid", "");
    expect_text(&out, "{\"type\":\"FeatureCollection\",\"features\":[{\"type\":\"Feature\","
                      "\"id\":\"V1\",\"geometry\":{\"type\":\"Point\",\"coordinates\":"
                      "[10.70,59.90,1e2]},\"properties\":{\"vid\":\"V1\"}},{\"type\":\"Feature\","
                      "\"id\":\"V2\",\"geometry\":null,\"properties\":{\"vid\":\"V2\"}}],"
                      "\"total_size\":12}");
    write_list(&out, FORMAT_GEOJSON, &blind, "state.position", "");
    assert_null(strstr(buf_cstr(&out), "59.90"));
    buf_done(&out);
}

static void lists_without_an_item_are_whole(void **state)
{
    (void)state;
    struct fields *fields = fields_of("vid");
    static const char *const expected[FORMAT_COUNT] = {
        [FORMAT_JSON] = "{\"vehicles\":[],\"total_size\":0}",
        [FORMAT_NDJSON] = "",
        [FORMAT_CSV] = "vid\r\n",
        [FORMAT_GEOJSON] = "{\"type\":\"FeatureCollection\",\"features\":[],\"total_size\":0}"};
    for (int format = 0; format < FORMAT_COUNT; format++) {
        struct buf out = BUF_INIT;
        struct format_list list = {(enum format)format, fields, {&viewer_all, "r", false}};
        format_begin(&out, &list);
        format_end(&out, &list, "", 0);
        expect_text(&out, expected[format]);
        buf_done(&out);
    }
    fields_free(fields);
}

/* ---- lost memory ---- */

static bool compile_and_write(void *context)
{
    (void)context;
    static const char text[] = "vid,meta.site,meta.a,meta.b,meta.c,meta.d,meta.e,meta.f,meta.g,"
                               "meta.h,meta.i,meta.j,meta.k,meta.l,state.mode,desired.led";
    struct text_error error;
    struct fields *fields = fields_compile(text, strlen(text), &error);
    if (!fields) {
        assert_string_equal(error.detail, "out of memory");
        return false;
    }
    struct buf out = BUF_INIT;
    struct twin_view view = {&viewer_all, "eu-north", true};
    fields_write(&out, fields, twin, &view);
    csv_row(&out, fields, twin, &view);
    bool ok = !out.failed;
    buf_done(&out);
    fields_free(fields);
    return ok;
}

static void fields_without_memory_are_refused(void **state)
{
    (void)state;
    assert_true(fault_loop(compile_and_write, NULL) > 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_twin, free_twin)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fields_are_nested_and_vid_is_always_there),
        TEST(fields_that_are_not_there_leave_nothing_behind),
        TEST(fields_that_overlap_are_written_once),
        TEST(fields_leave_out_what_the_viewer_may_not_see),
        TEST(fields_of_every_root_are_the_twin),
        TEST(fields_that_make_no_sense_are_refused_where_they_stand),
        TEST(fields_are_bounded),
        TEST(rows_have_a_cell_for_each_field),
        TEST(rows_leave_out_what_the_viewer_may_not_see),
        TEST(texts_that_look_like_formulas_are_texts),
        TEST(header_is_what_was_asked),
        TEST(lists_in_every_format),
        TEST(lists_without_an_item_are_whole),
        TEST(fields_without_memory_are_refused),
    };
    return cmocka_run_group_tests_name("fields", tests, NULL, NULL);
}
