/* buf: growing, taking, failing for good, and the JSON that everything here writes. */
#include "tests/unit/fault.h"
#include "twin/buf.h"
#include "twin/timestamp.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void buf_empty_is_the_empty_string(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT;
    assert_string_equal(buf_cstr(&buf), "");
    assert_int_equal(buf.size_bytes, 0);
    buf_done(&buf);

    buf_init(&buf);
    size_t size = 99;
    char *taken = buf_take(&buf, &size);
    assert_non_null(taken);
    assert_string_equal(taken, "");
    assert_int_equal(size, 0);
    free(taken);
}

static void buf_keeps_every_byte_across_growth(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    struct buf buf = BUF_INIT;
    for (int i = 0; i < COUNT; i++) {
        char bytes[3] = {(char)i, '\0', (char)(i >> 8)};
        buf_add(&buf, bytes, (size_t)(i % 4));
        buf_addc(&buf, (char)(i * 7));
    }
    size_t at = 0;
    for (int i = 0; i < COUNT; i++) {
        char bytes[3] = {(char)i, '\0', (char)(i >> 8)};
        assert_memory_equal(buf.data + at, bytes, (size_t)(i % 4));
        at += (size_t)(i % 4);
        assert_true(buf.data[at++] == (char)(i * 7));
    }
    assert_int_equal(at, buf.size_bytes);
    buf_done(&buf);
}

static void buf_cstr_ends_the_text_without_counting_the_end(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT;
    /* Fill to the last byte of the capacity, so that the NUL needs room of its own. */
    buf_addc(&buf, 'x');
    while (buf.size_bytes < buf.capacity_bytes)
        buf_addc(&buf, 'x');
    size_t size = buf.size_bytes;
    assert_int_equal(strlen(buf_cstr(&buf)), size);
    assert_int_equal(buf.size_bytes, size);
    buf_addc(&buf, 'y');
    assert_int_equal(buf_cstr(&buf)[size], 'y');
    buf_done(&buf);
}

static void buf_take_leaves_an_empty_buffer_that_works(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT;
    buf_adds(&buf, "one");
    size_t size;
    char *one = buf_take(&buf, &size);
    assert_int_equal(size, 3);
    assert_null(buf.data);
    buf_adds(&buf, "two");
    char *two = buf_take(&buf, NULL);
    assert_string_equal(one, "one");
    assert_string_equal(two, "two");
    free(one);
    free(two);
}

static void buf_reset_keeps_the_memory_and_forgets_the_failure(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT;
    buf_adds(&buf, "first");
    char *memory = buf.data;
    assert_false(buf_reserve(&buf, SIZE_MAX));
    assert_true(buf.failed);
    buf_adds(&buf, "lost");
    assert_int_equal(buf.size_bytes, 5);
    buf_reset(&buf);
    assert_false(buf.failed);
    assert_int_equal(buf.size_bytes, 0);
    buf_adds(&buf, "again");
    assert_ptr_equal(buf.data, memory);
    assert_string_equal(buf_cstr(&buf), "again");
    buf_done(&buf);
}

static void buf_that_failed_is_taken_as_null(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT;
    buf_adds(&buf, "some");
    assert_false(buf_reserve(&buf, SIZE_MAX / 2));
    assert_string_equal(buf_cstr(&buf), "");
    assert_null(buf_take(&buf, NULL));
    assert_null(buf.data);
    assert_false(buf.failed);
}

static void buf_addf_writes_at_every_distance_from_the_capacity(void **state)
{
    (void)state;
    for (size_t before = 0; before <= 300; before++) {
        struct buf buf = BUF_INIT;
        for (size_t i = 0; i < before; i++)
            buf_addc(&buf, '.');
        buf_addf(&buf, "%s-%d", "value", 42);
        buf_addf(&buf, "%s", "");
        assert_int_equal(buf.size_bytes, before + 8);
        assert_string_equal(buf_cstr(&buf) + before, "value-42");
        buf_done(&buf);
    }
}

static void buf_json_string_escapes_what_rfc_8259_demands(void **state)
{
    (void)state;
    static const char text[] = "q\" s\\ /\b\f\n\r\t\0\x01\x1f\x7f \xc3\xa9 \xf0\x9f\x9a\x81";
    struct buf buf = BUF_INIT;
    buf_json_string(&buf, text, sizeof text - 1);
    assert_string_equal(buf_cstr(&buf), "\"q\\\" s\\\\ /\\b\\f\\n\\r\\t\\u0000\\u0001\\u001f\x7f "
                                        "\xc3\xa9 \xf0\x9f\x9a\x81\"");
    buf_done(&buf);
}

static void buf_json_string_reads_back_as_the_same_bytes(void **state)
{
    (void)state;
    char all[128];
    for (int i = 0; i < 128; i++)
        all[i] = (char)i;
    for (size_t size = 0; size <= sizeof all; size++) {
        struct buf buf = BUF_INIT;
        buf_json_string(&buf, all, size);
        json_t *read = json_loadb(buf.data, buf.size_bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(read);
        assert_int_equal(json_string_length(read), size);
        assert_memory_equal(json_string_value(read), all, size);
        json_decref(read);
        buf_done(&buf);
    }
}

static void buf_json_int_writes_both_ends_of_the_range(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-1, "-1"},
                 {10, "10"},
                 {INT64_MAX, "9223372036854775807"},
                 {INT64_MIN, "-9223372036854775808"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf buf = BUF_INIT;
        buf_json_int(&buf, cases[i].value);
        assert_string_equal(buf_cstr(&buf), cases[i].text);
        buf_done(&buf);
    }
}

static void buf_json_members_are_separated_by_commas(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT;
    buf_addc(&buf, '{');
    buf_json_name(&buf, "a");
    buf_json_cstr(&buf, NULL);
    buf_json_name(&buf, "b\n");
    buf_addc(&buf, '{');
    buf_json_name(&buf, "brace");
    buf_json_cstr(&buf, "{");
    buf_adds(&buf, "}");
    buf_json_name(&buf, "c");
    buf_json_timestamp(&buf, TIMESTAMP_NONE);
    buf_json_name(&buf, "d");
    buf_json_timestamp(&buf, 1500 * NS_PER_MS);
    buf_addc(&buf, '}');
    assert_string_equal(buf_cstr(&buf), "{\"a\":null,\"b\\n\":{\"brace\":\"{\"},\"c\":null,"
                                        "\"d\":\"1970-01-01T00:00:01.500Z\"}");
    buf_done(&buf);
}

/* Everything that may grow, once, in a buffer that has to grow several times. */
static bool write_much(void *context)
{
    (void)context;
    struct buf buf = BUF_INIT;
    for (int i = 0; i < 40; i++) {
        buf_add(&buf, "some bytes", 10);
        buf_addf(&buf, "%0300d", i);
        buf_json_cstr(&buf, "a string \x01 with an escape");
        buf_json_int(&buf, i);
    }
    bool failed = buf.failed;
    char *taken = buf_take(&buf, NULL);
    assert_int_equal(taken == NULL, failed);
    free(taken);
    return taken != NULL;
}

static void buf_out_of_memory_anywhere_is_noticed_at_the_end(void **state)
{
    (void)state;
    assert_in_range(fault_loop(write_much, NULL), 5, 100);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_empty_is_the_empty_string),
        cmocka_unit_test(buf_keeps_every_byte_across_growth),
        cmocka_unit_test(buf_cstr_ends_the_text_without_counting_the_end),
        cmocka_unit_test(buf_take_leaves_an_empty_buffer_that_works),
        cmocka_unit_test(buf_reset_keeps_the_memory_and_forgets_the_failure),
        cmocka_unit_test(buf_that_failed_is_taken_as_null),
        cmocka_unit_test(buf_addf_writes_at_every_distance_from_the_capacity),
        cmocka_unit_test(buf_json_string_escapes_what_rfc_8259_demands),
        cmocka_unit_test(buf_json_string_reads_back_as_the_same_bytes),
        cmocka_unit_test(buf_json_int_writes_both_ends_of_the_range),
        cmocka_unit_test(buf_json_members_are_separated_by_commas),
        cmocka_unit_test(buf_out_of_memory_anywhere_is_noticed_at_the_end),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
