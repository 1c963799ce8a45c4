/* order_by: what comes first, and what page tokens keep of it. */
#include "tests/unit/fault.h"
#include "tests/unit/filter_help.h"
#include "tests/unit/filter_reference.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { TWINS = 40, ROUNDS = 20000 };

static struct order *compile(const char *text)
{
    struct text_error error;
    struct order *order = order_compile(PATH_OF_TWIN, text, strlen(text), &error);
    if (!order)
        fail_msg("%s: at %zu: %s", text, error.offset, error.detail);
    return order;
}

static struct order_values take(const struct order *order, const struct twin *twin)
{
    struct subject_of_query subject = {.twin = twin, .region = "north"};
    struct order_values values;
    order_take(order, &subject, &values);
    return values;
}

/* Sorts twins with {"meta":{"k":<value>}} by `text`; the values come in the order given. */
static void assert_sorted(const char *text, const char *const *values)
{
    struct order *order = compile(text);
    for (size_t i = 0; values[i]; i++) {
        for (size_t j = 0; values[j]; j++) {
            char a_text[256], b_text[256];
            snprintf(a_text, sizeof a_text, "{\"state\":{\"m\":{\"a\":0%s}}}", values[i]);
            snprintf(b_text, sizeof b_text, "{\"state\":{\"m\":{\"a\":0%s}}}", values[j]);
            struct twin *a = help_twin(a_text), *b = help_twin(b_text);
            struct order_values x = take(order, a), y = take(order, b);
            int result = order_compare(order, &x, &y);
            if ((result > 0) != (i > j) || (result < 0) != (i < j))
                fail_msg("%s: %s beside %s: %d", text, values[i], values[j], result);
            help_free(a);
            help_free(b);
        }
    }
    order_free(order);
}

static void order_ascends_numbers_then_strings_then_booleans_then_nothing(void **state)
{
    (void)state;
    static const char *const values[] = {",\"k\":-1e300",
                                         ",\"k\":-1",
                                         ",\"k\":0",
                                         ",\"k\":0.1",
                                         ",\"k\":9007199254740992",
                                         ",\"k\":9007199254740993",
                                         ",\"k\":123456789012345678901234567890",
                                         ",\"k\":123456789012345678901234567891",
                                         ",\"k\":\"\"",
                                         ",\"k\":\"A\"",
                                         ",\"k\":\"AB\"",
                                         ",\"k\":\"B\"",
                                         ",\"k\":\"a\"",
                                         ",\"k\":\"\\u00e9\"",
                                         ",\"k\":false",
                                         ",\"k\":true",
                                         ",\"k\":null",
                                         NULL};
    assert_sorted("state.m.k", values);
    assert_sorted("state.m.a, state.m.k asc", values);
}

static void order_descends_with_nothing_last_all_the_same(void **state)
{
    (void)state;
    static const char *const values[] = {
        ",\"k\":true", ",\"k\":false", ",\"k\":\"b\"", ",\"k\":\"a\"", ",\"k\":2", ",\"k\":1", "",
        NULL};
    assert_sorted("state.m.k desc", values);
}

static void order_of_missing_null_objects_and_arrays_is_one(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "{\"state\":{\"m\":{\"k\":null}}}",
                                        "{\"state\":{\"m\":{\"k\":{\"a\":1}}}}",
                                        "{\"state\":{\"m\":{\"k\":[1]}}}"};
    struct order *order = compile("state.m.k desc, vid");
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 4; j++) {
            struct twin *a = help_twin(texts[i]), *b = help_twin(texts[j]);
            struct order_values x = take(order, a), y = take(order, b);
            assert_int_equal(order_compare(order, &x, &y), 0);
            help_free(a);
            help_free(b);
        }
    }
    order_free(order);
}

static void order_of_equal_numbers_is_left_to_the_next_key(void **state)
{
    (void)state;
    struct order *order = compile("meta.k,meta.l desc");
    struct twin *a = help_twin("{\"meta\":{\"k\":1,\"l\":\"a\"}}");
    struct twin *b = help_twin("{\"meta\":{\"k\":1.0,\"l\":\"b\"}}");
    struct order_values x = take(order, a), y = take(order, b);
    assert_true(order_compare(order, &x, &y) > 0);
    assert_true(order_compare(order, &y, &x) < 0);
    assert_int_equal(order_compare(order, &x, &x), 0);
    help_free(a);
    help_free(b);
    order_free(order);
}

static void order_by_distance_and_by_time(void **state)
{
    (void)state;
    struct order *order = compile("distance(state.position, 59, 10) desc, presence.last_seen");
    struct twin *far = help_twin("{\"state\":{\"position\":{\"lat\":60,\"lon\":10}}}");
    struct twin *near = help_twin("{\"seen\":5,\"state\":{\"position\":{\"lat\":59,\"lon\":10}}}");
    struct twin *same = help_twin("{\"seen\":9,\"state\":{\"position\":{\"lat\":59,\"lon\":10}}}");
    struct twin *none = help_twin("{\"state\":{\"position\":{\"lat\":60}}}");
    struct order_values a = take(order, far), b = take(order, same), c = take(order, near),
                        d = take(order, none);
    assert_true(order_compare(order, &a, &b) < 0);
    assert_true(order_compare(order, &b, &c) < 0);
    assert_true(order_compare(order, &c, &d) < 0);
    assert_true(a.key[0].number == geo_distance_m(59, 10, 60, 10));
    help_free(far);
    help_free(near);
    help_free(same);
    help_free(none);
    order_free(order);
}

static void order_tells_its_keys(void **state)
{
    (void)state;
    struct order *order = compile(" meta.k desc , distance( state.position, 1 , -2 ) asc ");
    assert_int_equal(order_keys(order), 2);
    assert_string_equal(path_text(order_path(order, 0)), "meta.k");
    assert_string_equal(path_text(order_path(order, 1)), "state.position");
    assert_null(order_path(order, 2));
    assert_true(order_descends(order, 0));
    assert_false(order_descends(order, 1));
    order_free(order);
    order = compile(" ");
    assert_int_equal(order_keys(order), 0);
    struct order_values none;
    assert_int_equal(order_compare(order, &none, &none), 0);
    order_free(order);
}

static void order_that_is_none_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
        const char *detail;
    } refused[] = {{"battery", 0, "battery"},
                   {"vid,", 4, "a name"},
                   {"vid,,vid", 4, "a name"},
                   {"vid DESC", 4, "asc, desc"},
                   {"vid desc asc", 9, "a comma"},
                   {"vid meta", 4, "asc, desc"},
                   {"age(delta)", 0, "distance(path, lat, lon)"},
                   {"vid, distance(state.position, 91, 0)", 30, "latitude"},
                   {"distance(state.position, 1)", 26, "a comma"},
                   {"\"\xc3\xa9\".x", 0, "root"},
                   {"vid,vid,vid,vid,vid,vid,vid,vid,vid", 32, "8 keys"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct text_error error;
        const char *text = refused[i].text;
        struct order *order = order_compile(PATH_OF_TWIN, text, strlen(text), &error);
        if (order || error.offset != refused[i].offset || !strstr(error.detail, refused[i].detail))
            fail_msg("%s: %s at %zu: %s", text, order ? "accepted" : "refused", error.offset,
                     error.detail);
    }
}

/* ---- page tokens ---- */

static const char every_kind[] =
    "{\"vid\":\"V-1\",\"seen\":5,\"state\":{\"position\":{\"lat\":59.1,\"lon\":10.3},\"m\":{"
    "\"decimal\":-0.1,\"digits\":123456789012345678901234567891,\"big\":9007199254740993,"
    "\"string\":\"a\\u0000\\u00e9\",\"yes\":true,\"no\":false,\"zero\":-0.0,\"null\":null}}}";
static const char *const every_order[] = {
    "state.m.decimal, state.m.digits desc, state.m.big, state.m.string desc, state.m.yes, "
    "state.m.no, "
    "presence.last_seen, distance(state.position, 1, 2)",
    "state.m.null, state.m.none desc, state.m, vid, revision.desired, state.m.zero, presence.since",
    ""};

static void order_values_read_back_compare_as_what_was_written(void **state)
{
    (void)state;
    struct twin *twin = help_twin(every_kind);
    for (size_t i = 0; i < sizeof every_order / sizeof *every_order; i++) {
        struct order *order = compile(every_order[i]);
        struct order_values values = take(order, twin), again;
        struct buf bytes = BUF_INIT;
        order_write(order, &values, &bytes);
        /* Of exactly their size, so that reading beyond is seen. */
        char *exact = malloc(bytes.size_bytes ? bytes.size_bytes : 1);
        if (bytes.size_bytes)
            memcpy(exact, bytes.data, bytes.size_bytes);
        assert_true(order_read(order, exact, bytes.size_bytes, &again));
        assert_int_equal(order_compare(order, &values, &again), 0);
        for (size_t k = 0; k < order_keys(order); k++)
            if (values.key[k].type == VALUE_NUMBER || values.key[k].type == VALUE_STRING)
                assert_int_equal(value_compare(&values.key[k], &again.key[k]), 0);
        struct buf second = BUF_INIT;
        order_write(order, &again, &second);
        assert_int_equal(second.size_bytes, bytes.size_bytes);
        if (bytes.size_bytes)
            assert_memory_equal(second.data, bytes.data, bytes.size_bytes);
        buf_done(&second);
        free(exact);
        buf_done(&bytes);
        order_free(order);
    }
    help_free(twin);
}

static void order_bytes_that_are_not_whole_are_refused(void **state)
{
    (void)state;
    struct twin *twin = help_twin(every_kind);
    struct order *order = compile(every_order[0]);
    struct order_values values = take(order, twin), again;
    struct buf bytes = BUF_INIT;
    order_write(order, &values, &bytes);
    for (size_t size = 0; size < bytes.size_bytes; size++)
        assert_false(order_read(order, bytes.data, size, &again));
    buf_addc(&bytes, 'l');
    assert_false(order_read(order, bytes.data, bytes.size_bytes, &again));
    buf_done(&bytes);
    order_free(order);
    help_free(twin);
}

static void order_bytes_of_others_are_read_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } refused[] = {{"x", 1},
                   {"n\1\0\0\0-", 6},
                   {"n\3\0\0\0001e+", 8},
                   {"n\5\0\0\0001e999", 10},
                   {"n\3\0\0\0000x1", 8},
                   {"n\0\0\0\0", 5},
                   {"n\2\0\0\00001", 7},
                   {"s\377\377\377\377a", 6},
                   {"g\0\0\0\0\0\0\xf0\x7f", 9},
                   {"g\0\0\0\0\0\0\xf8\x7f", 9}};
    struct order *order = compile("meta.k");
    struct order_values values;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_false(order_read(order, refused[i].bytes, refused[i].size, &values));
    struct random random = random_seeded("bytes");
    for (int i = 0; i < ROUNDS; i++) {
        char bytes[16];
        size_t size = random_below(&random, sizeof bytes + 1);
        for (size_t j = 0; j < size; j++)
            bytes[j] = (char)random_below(&random, 256);
        if (size > 0)
            bytes[0] = "lftgdnsi"[random_below(&random, 8)];
        if (size > 4 && random_below(&random, 2)) {
            bytes[1] = (char)(size - 5);
            bytes[2] = bytes[3] = bytes[4] = 0;
        }
        if (order_read(order, bytes, size, &values))
            assert_int_equal(order_compare(order, &values, &values), 0);
    }
    order_free(order);
}

/* A total order: antisymmetric and transitive, also over what was written and read back. */
static void order_is_total_over_random_twins(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "meta.rank, meta.site desc", "meta.site desc, state.battery.remaining",
        "meta.tags, desired.speed", "distance(meta.base, 59, 10) desc, vid"};
    struct random random = random_seeded("orders");
    struct twin *twins[TWINS];
    for (unsigned i = 0; i < TWINS; i++) {
        struct buf text = BUF_INIT;
        reference_twin(&random, &text, i % (TWINS / 2));
        twins[i] = help_twin_of(text.data, text.size_bytes);
        assert_non_null(twins[i]);
        buf_done(&text);
    }
    for (int i = 0; i < ROUNDS; i++) {
        struct order *order = compile(texts[random_below(&random, 4)]);
        struct order_values a = take(order, twins[random_below(&random, TWINS)]);
        struct order_values b = take(order, twins[random_below(&random, TWINS)]);
        struct order_values c = take(order, twins[random_below(&random, TWINS)]), again;
        struct buf bytes = BUF_INIT;
        int ab = order_compare(order, &a, &b), ba = order_compare(order, &b, &a);
        int bc = order_compare(order, &b, &c), ac = order_compare(order, &a, &c);
        assert_true((ab > 0) == (ba < 0) && (ab == 0) == (ba == 0));
        assert_true(ab > 0 || bc > 0 || ac <= 0);
        order_write(order, &a, &bytes);
        assert_true(order_read(order, bytes.data, bytes.size_bytes, &again));
        int again_b = order_compare(order, &again, &b);
        assert_true((again_b > 0) == (ab > 0) && (again_b < 0) == (ab < 0));
        buf_done(&bytes);
        order_free(order);
    }
    for (unsigned i = 0; i < TWINS; i++)
        help_free(twins[i]);
}

static bool compile_once(void *context)
{
    struct text_error error;
    const char *text = context;
    struct order *order = order_compile(PATH_OF_TWIN, text, strlen(text), &error);
    if (!order)
        assert_string_equal(error.detail, "out of memory");
    order_free(order);
    return order != NULL;
}

static void order_lost_memory_is_an_error(void **state)
{
    (void)state;
    char text[] = "meta.\"a b\" desc, distance(state.position, 1, 2)";
    assert_true(fault_loop(compile_once, text) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_ascends_numbers_then_strings_then_booleans_then_nothing),
        cmocka_unit_test(order_descends_with_nothing_last_all_the_same),
        cmocka_unit_test(order_of_missing_null_objects_and_arrays_is_one),
        cmocka_unit_test(order_of_equal_numbers_is_left_to_the_next_key),
        cmocka_unit_test(order_by_distance_and_by_time),
        cmocka_unit_test(order_tells_its_keys),
        cmocka_unit_test(order_that_is_none_is_refused),
        cmocka_unit_test(order_values_read_back_compare_as_what_was_written),
        cmocka_unit_test(order_bytes_that_are_not_whole_are_refused),
        cmocka_unit_test(order_bytes_of_others_are_read_or_refused),
        cmocka_unit_test(order_is_total_over_random_twins),
        cmocka_unit_test(order_lost_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
