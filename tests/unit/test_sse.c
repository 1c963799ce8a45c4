/* sse: server-sent events, in whatever pieces they come; and the table that lists are shown as. */
#include "hub/sse.h"
#include "hub/table.h"
#include "tests/unit/doc_help.h"
#include "tests/unit/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct told {
    char text[1024]; /* "name=data|" */
    int stop_after;  /* events; -1: never */
};

static bool tell(void *closure, const struct sse_event *event)
{
    struct told *told = closure;
    size_t used = strlen(told->text);
    snprintf(told->text + used, sizeof told->text - used, "%s=%s|", event->name, event->data);
    return told->stop_after < 0 || --told->stop_after > 0;
}

static const char stream[] = ": hello\n\nevent: enter\nid: p1\ndata: {\"vid\":\"A\"}\n\n"
                             "data:one\r\ndata: two\r\n\r\nevent: lost\n\n"
                             "id: p2\rdata\r\rignored: x\ndata:  spaced\n\nevent: cut\ndata: off";
static const char expected[] = "enter={\"vid\":\"A\"}|message=one\ntwo|message=|message= spaced|";

static void sse_events_are_the_same_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < sizeof stream; piece++) {
        struct sse_reader reader;
        struct told told = {.stop_after = -1};
        sse_init(&reader);
        for (size_t at = 0; at < sizeof stream - 1; at += piece) {
            size_t left = sizeof stream - 1 - at;
            assert_true(sse_read(&reader, stream + at, left < piece ? left : piece, tell, &told));
        }
        assert_string_equal(told.text, expected);
        assert_string_equal(sse_last_id(&reader), "p2");
        sse_done(&reader);
    }
}

static void sse_after_a_break_begins_a_new_event_and_knows_the_last_id(void **state)
{
    (void)state;
    struct sse_reader reader;
    struct told told = {.stop_after = -1};
    sse_init(&reader);
    assert_null(sse_last_id(&reader));
    static const char half[] = "id: p1\ndata: a\n\nid: p2\nevent: half\ndata: b\n";
    assert_true(sse_read(&reader, half, sizeof half - 1, tell, &told));
    assert_string_equal(sse_last_id(&reader), "p1"); /* of p2 not all has been told */
    sse_restart(&reader);
    assert_true(sse_read(&reader, "data: c\n\n", 9, tell, &told));
    assert_string_equal(told.text, "message=a|message=c|");
    assert_string_equal(sse_last_id(&reader), "p1");
    sse_done(&reader);
}

static void sse_stops_where_it_is_told_to(void **state)
{
    (void)state;
    struct sse_reader reader;
    struct told told = {.stop_after = 1};
    sse_init(&reader);
    assert_false(sse_read(&reader, "data: a\n\ndata: b\n\n", 18, tell, &told));
    assert_string_equal(told.text, "message=a|");
    sse_done(&reader);
}

static bool read_all(void *context)
{
    struct sse_reader reader;
    struct told told = {.stop_after = -1};
    (void)context;
    sse_init(&reader);
    bool good = sse_read(&reader, stream, sizeof stream - 1, tell, &told);
    if (good)
        assert_string_equal(told.text, expected);
    sse_done(&reader);
    return good;
}

static void sse_without_memory_ends_the_reading(void **state)
{
    (void)state;
    assert_true(fault_loop(read_all, NULL) >= 3);
}

/* ---- table ---- */

static void table_columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    struct table table;
    struct buf out = BUF_INIT;
    struct doc *doc =
        doc_of("[\"\xc3\xb8\xc3\xb8\xc3\xb8\",null,{\"a\":1},\"x\\u001b\\ny\",true,7]");
    assert_non_null(doc);
    table_init(&table, 3);
    for (const char *const *title = (const char *const[]){"A", "LONG", "C", NULL}; *title; title++)
        table_cell(&table, *title, strlen(*title));
    struct doc_ref all = doc_root(doc);
    for (struct doc_ref m = doc_first(all); doc_exists(m); m = doc_next(all, m))
        table_value(&table, m);
    table_write(&table, &out);
    assert_string_equal(buf_cstr(&out), "A     LONG  C\n"
                                        "\xc3\xb8\xc3\xb8\xc3\xb8         {\"a\":1}\n"
                                        "x  y  true  7\n");
    buf_reset(&out);
    table_cell(&table, "a", 1);
    table_cell(&table, "b", 1);
    table_cell(&table, "", 0);
    table_write(&table, &out);
    assert_string_equal(buf_cstr(&out), "a     b\n"); /* aligned with what came before */
    free(doc);
    table_done(&table);
    buf_done(&out);
}

static void table_cells_are_cut_between_characters(void **state)
{
    (void)state;
    char text[TABLE_CELL_MAX_BYTES + 3] = "x";
    struct table table;
    struct buf out = BUF_INIT;
    for (size_t i = 1; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xb8", 2);
    table_init(&table, 1);
    table_cell(&table, text, sizeof text - 1);
    table_write(&table, &out);
    assert_int_equal(out.size_bytes, TABLE_CELL_MAX_BYTES - 1 + 1);
    table_done(&table);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sse_events_are_the_same_in_pieces_of_any_size),
        cmocka_unit_test(sse_after_a_break_begins_a_new_event_and_knows_the_last_id),
        cmocka_unit_test(sse_stops_where_it_is_told_to),
        cmocka_unit_test(sse_without_memory_ends_the_reading),
        cmocka_unit_test(table_columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(table_cells_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
