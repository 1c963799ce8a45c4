#include "tools/trace.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct trace *read_text(const char *text)
{
    char error[TRACE_ERROR_BYTES] = "";
    struct trace *trace = trace_new();
    assert_non_null(trace);
    if (!trace_read_text(trace, "test", text, strlen(text), error))
        fail_msg("%s", error);
    trace_sort(trace);
    return trace;
}

static void data_is_kept_byte_for_byte(void **state)
{
    (void)state;
    struct trace *trace = read_text("{\"data\": {\"a\" : 1.50, \"b\":[\"}\\\"\"]} ,\"t\":0.25,"
                                    "\"vid\":\"V-1\",\"subject\":\"state.battery.cells\"}\r\n\n");
    assert_int_equal(trace_count(trace), 1);
    const struct trace_line *line = trace_line(trace, 0);
    const char *data = "{\"a\" : 1.50, \"b\":[\"}\\\"\"]}";
    assert_int_equal(line->data_bytes, strlen(data));
    assert_memory_equal(line->data, data, strlen(data));
    assert_string_equal(line->type, "battery.cells");
    assert_int_equal(line->category, CATEGORY_STATE);
    assert_int_equal(line->t_ns, 250000000);
    assert_string_equal(roster_vid(trace_vehicles(trace), line->vehicle), "V-1");
    trace_free(trace);
}

static void files_are_merged_in_order_of_time(void **state)
{
    (void)state;
    char error[TRACE_ERROR_BYTES];
    const char *a = "{\"t\":1,\"vid\":\"A\",\"subject\":\"evt.x\",\"data\":{}}\n"
                    "{\"t\":3,\"vid\":\"A\",\"subject\":\"evt.x\",\"data\":{}}";
    const char *b = "{\"t\":1,\"vid\":\"B\",\"subject\":\"evt.x\",\"data\":{}}\n"
                    "{\"t\":2,\"vid\":\"B\",\"subject\":\"evt.x\",\"data\":{}}\n";
    struct trace *trace = trace_new();
    assert_true(trace_read_text(trace, "a", a, strlen(a), error));
    assert_true(trace_read_text(trace, "b", b, strlen(b), error));
    trace_sort(trace);
    const uint32_t vehicles[] = {0, 1, 1, 0};
    assert_int_equal(trace_count(trace), 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(trace_line(trace, i)->vehicle, vehicles[i]);
    assert_int_equal(trace_length_ns(trace), INT64_C(3000000000));
    trace_free(trace);
}

static void bad_line_is_named_with_its_number(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{\"t\":1}",
        "[]",
        "{\"t\":1,\"vid\":\"A\",\"subject\":\"evt.x\",\"data\":[]}",
        "{\"t\":1,\"vid\":\"A b\",\"subject\":\"evt.x\",\"data\":{}}",
        "{\"t\":1,\"vid\":\"A\",\"subject\":\"cmd.x\",\"data\":{}}",
        "{\"t\":-1,\"vid\":\"A\",\"subject\":\"evt.x\",\"data\":{}}",
        "{\"t\":1,\"vid\":\"A\",\"subject\":\"evt\\u002ex\",\"data\":{}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256], error[TRACE_ERROR_BYTES];
        struct trace *trace = trace_new();
        int size = snprintf(text, sizeof text, "\n%s\n", bad[i]);
        assert_false(trace_read_text(trace, "name", text, (size_t)size, error));
        assert_memory_equal(error, "name:2: ", 8);
        trace_free(trace);
    }
}

static void copy_stands_somewhere_else_and_is_otherwise_the_same(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT;
    struct trace *trace =
        read_text("{\"t\":1,\"vid\":\"A\",\"subject\":\"state.position\",\"data\":"
                  "{\"fix\":{\"lat\":1},\"lon\":10.5,\"lat\":60.0,\"alt\":3.10}}");
    trace_write_displaced(&buf, trace_line(trace, 0), 1111.950797, 0);
    assert_string_equal(buf_cstr(&buf),
                        "{\"fix\":{\"lat\":1},\"lon\":10.5000000,\"lat\":60.0100000,\"alt\":3.10}");
    trace_free(trace);
    buf_done(&buf);
}

static void position_without_a_fix_is_not_displaced(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT;
    struct trace *trace =
        read_text("{\"t\":1,\"vid\":\"A\",\"subject\":\"state.position\",\"data\":"
                  "{\"lat\":0.0,\"lon\":0.0}}");
    trace_write_displaced(&buf, trace_line(trace, 0), 100, 100);
    assert_string_equal(buf_cstr(&buf), "{\"lat\":0.0,\"lon\":0.0}");
    trace_free(trace);
    buf_done(&buf);
}

static void recorded_fleet_has_what_is_said_of_it(void **state)
{
    (void)state;
    char error[TRACE_ERROR_BYTES] = "";
    size_t counts[CATEGORY_COUNT] = {0};
    struct trace *trace = trace_new();
    if (!trace_read(trace, TEST_TRACE, error))
        fail_msg("%s", error);
    trace_sort(trace);
    for (size_t i = 0; i < trace_count(trace); i++)
        counts[trace_line(trace, i)->category]++;
    assert_int_equal(counts[CATEGORY_STATE], 17149);
    assert_int_equal(counts[CATEGORY_EVENT], 712);
    assert_int_equal(roster_count(trace_vehicles(trace)), 20);
    trace_free(trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_is_kept_byte_for_byte),
        cmocka_unit_test(files_are_merged_in_order_of_time),
        cmocka_unit_test(bad_line_is_named_with_its_number),
        cmocka_unit_test(copy_stands_somewhere_else_and_is_otherwise_the_same),
        cmocka_unit_test(position_without_a_fix_is_not_displaced),
        cmocka_unit_test(recorded_fleet_has_what_is_said_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
