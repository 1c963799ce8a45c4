/* doc: looking at documents, and new ones out of old ones (RFC 7396; the contract's section 4). */
#include "tests/unit/doc_help.h"
#include "tests/unit/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct doc_ref none = {NULL, NULL};

/* Takes `doc`; equal to the text as values, and written exactly so where members have one order. */
static void assert_doc(struct doc *doc, const char *expected)
{
    assert_non_null(doc);
    char *text = text_of_doc(doc_root(doc), NULL);
    struct doc *other = doc_of(expected);
    if (!doc_equal(doc_root(doc), doc_root(other)) || !doc_equal(doc_root(other), doc_root(doc)))
        fail_msg("%s, expected %s", text, expected);
    free(text);
    free(other);
    free(doc);
}

static bool equal(const char *a, const char *b)
{
    struct doc *x = doc_of(a), *y = doc_of(b);
    assert_non_null(x);
    assert_non_null(y);
    bool result = doc_equal(doc_root(x), doc_root(y));
    assert_int_equal(doc_equal(doc_root(y), doc_root(x)), result);
    free(x);
    free(y);
    return result;
}

/* ---- looking ---- */

static void doc_no_value_has_nothing_in_it(void **state)
{
    (void)state;
    assert_false(doc_exists(doc_root(NULL)));
    assert_false(doc_exists(none));
    assert_false(doc_is(none, DOC_NULL));
    assert_false(doc_is_number(none));
    assert_int_equal(doc_members(none), 0);
    assert_false(doc_exists(doc_first(none)));
    assert_false(doc_exists(doc_getz(none, "a")));
    assert_true(doc_equal(none, none));
    struct doc *null = doc_of("null");
    assert_false(doc_equal(none, doc_root(null)));
    assert_false(doc_equal(doc_root(null), none));
    free(null);
}

static void doc_members_are_visited_in_document_order(void **state)
{
    (void)state;
    struct doc *doc = doc_of("{\"z\":[1,[2,{\"x\":3}],{}],\"a\":{\"b\":[]},\"\":null,\"m\":\"s\"}");
    static const char *const names[] = {"z", "a", "", "m"};
    size_t count = 0, size;
    struct doc_ref root = doc_root(doc);
    assert_int_equal(doc_members(root), 4);
    for (struct doc_ref m = doc_first(root); doc_exists(m); m = doc_next(root, m)) {
        const char *name = doc_name(m, &size);
        assert_int_equal(size, strlen(names[count]));
        assert_memory_equal(name, names[count], size);
        count++;
    }
    assert_int_equal(count, 4);

    struct doc_ref array = doc_getz(root, "z");
    assert_int_equal(doc_members(array), 3);
    count = 0;
    for (struct doc_ref m = doc_first(array); doc_exists(m); m = doc_next(array, m)) {
        doc_name(m, &size);
        assert_int_equal(size, 0);
        count++;
    }
    assert_int_equal(count, 3);
    assert_false(doc_exists(doc_first(doc_getz(doc_getz(root, "a"), "b"))));
    free(doc);
}

static void doc_get_finds_direct_members_by_their_whole_name(void **state)
{
    (void)state;
    struct doc *doc = doc_of("{\"in\":{\"deep\":1},\"a\":2,\"ab\":3,\"a\\u0000b\":4,\"\":5}");
    struct doc_ref root = doc_root(doc);
    int64_t value;
    assert_false(doc_exists(doc_getz(root, "deep")));
    assert_false(doc_exists(doc_getz(root, "abc")));
    assert_false(doc_exists(doc_getz(doc_getz(root, "a"), "a")));
    assert_true(doc_int(doc_getz(root, "a"), &value) && value == 2);
    assert_true(doc_int(doc_getz(root, "ab"), &value) && value == 3);
    assert_true(doc_int(doc_get(root, "a\0b", 3), &value) && value == 4);
    assert_true(doc_int(doc_getz(root, ""), &value) && value == 5);
    free(doc);
    doc = doc_of("[{\"a\":1}]");
    assert_false(doc_exists(doc_getz(doc_root(doc), "a")));
    assert_false(doc_exists(doc_getz(doc_root(doc), "")));
    free(doc);
}

static void doc_equal_ignores_order_of_members_and_nothing_else(void **state)
{
    (void)state;
    assert_true(equal("{\"a\":1,\"b\":[2,3],\"c\":{}}", "{\"c\":{},\"b\":[2,3],\"a\":1}"));
    assert_true(equal("{\"a\":1.0}", "{\"\\u0061\":1}"));
    assert_true(equal("\"\\u00e9\"", "\"\xc3\xa9\""));
    assert_false(equal("{\"a\":1}", "{\"a\":1,\"b\":1}"));
    assert_false(equal("{\"a\":1,\"c\":1}", "{\"a\":1,\"b\":1}"));
    assert_false(equal("{\"a\":null}", "{}"));
    assert_false(equal("{\"a\":1}", "{\"A\":1}"));
    assert_false(equal("[1,2]", "[2,1]"));
    assert_false(equal("[1]", "[1,1]"));
    assert_false(equal("[]", "{}"));
    assert_false(equal("1", "\"1\""));
    assert_false(equal("1", "true"));
    assert_false(equal("0", "false"));
    assert_false(equal("null", "false"));
    assert_false(equal("\"a\\u0000b\"", "\"a\\u0000c\""));
    assert_false(equal("\"\xc3\xa9\"", "\"e\xcc\x81\""));
}

/* ---- RFC 7396 ---- */

static struct doc *merged(const char *target, const char *patch)
{
    struct doc *a = target ? doc_of(target) : NULL, *b = patch ? doc_of(patch) : NULL;
    struct doc *result = doc_merge(doc_root(a), doc_root(b));
    free(a);
    free(b);
    return result;
}

static void doc_merge_does_what_the_table_of_rfc_7396_says(void **state)
{
    (void)state;
    static const struct {
        const char *target, *patch, *result;
    } cases[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
        /* the example of its section 3 */
        {"{\"title\":\"Goodbye!\",\"author\":{\"givenName\":\"John\",\"familyName\":\"Doe\"},"
         "\"tags\":[\"example\",\"sample\"],\"content\":\"This will be unchanged\"}",
         "{\"title\":\"Hello!\",\"phoneNumber\":\"+01-123-456-7890\",\"author\":{\"familyName\":"
         "null},\"tags\":[\"example\"]}",
         "{\"title\":\"Hello!\",\"author\":{\"givenName\":\"John\"},\"tags\":[\"example\"],"
         "\"content\":\"This will be unchanged\",\"phoneNumber\":\"+01-123-456-7890\"}"},
        /* and what the table leaves out */
        {NULL, "{\"a\":{\"b\":null,\"c\":[null]}}", "{\"a\":{\"c\":[null]}}"},
        {"{\"a\":1}", NULL, "{\"a\":1}"},
        {NULL, NULL, "{}"},
        {"{\"a\":1}", "{}", "{\"a\":1}"},
        {"5", "{}", "{}"},
        {"{\"a\":5}", "{\"a\":{\"b\":null}}", "{\"a\":{}}"},
        {"{\"a\":{\"b\":1}}", "{\"a\":[{\"b\":null}]}", "{\"a\":[{\"b\":null}]}"},
        {"{}", "{\"x\":null}", "{}"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_doc(merged(cases[i].target, cases[i].patch), cases[i].result);
}

static void doc_merge_keeps_order_and_spelling(void **state)
{
    (void)state;
    struct doc *doc = merged("{\"z\":1.50,\"m\":{\"y\":1,\"x\":2},\"a\":3}",
                             "{\"b\":4e2,\"m\":{\"x\":-0.0},\"a\":null,\"z\":1.500}");
    char *text = text_of_doc(doc_root(doc), NULL);
    assert_string_equal(text, "{\"z\":1.500,\"m\":{\"y\":1,\"x\":-0.0},\"b\":4e2}");
    free(text);
    free(doc);
}

static void doc_without_nulls_drops_null_members_and_keeps_null_elements(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"{}", "{}"},
        {"{\"a\":null}", "{}"},
        {"{\"a\":null,\"b\":1,\"c\":null}", "{\"b\":1}"},
        {"{\"a\":{\"b\":null}}", "{\"a\":{}}"},
        {"{\"a\":[null,{\"b\":null,\"c\":[{\"d\":null}]}]}", "{\"a\":[null,{\"c\":[{}]}]}"},
        {"null", "null"},
        {"[null]", "[null]"},
        {"\"null\"", "\"null\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct doc *doc = doc_of(cases[i].from);
        assert_doc(doc_without_nulls(doc_root(doc)), cases[i].to);
        free(doc);
    }
}

/* ---- delta ---- */

static struct doc *delta(const char *desired, const char *reported)
{
    struct doc *a = desired ? doc_of(desired) : NULL, *b = reported ? doc_of(reported) : NULL;
    struct doc *result = doc_delta(doc_root(a), doc_root(b));
    free(a);
    free(b);
    return result;
}

static void doc_delta_is_the_part_of_desired_that_reported_does_not_match(void **state)
{
    (void)state;
    static const struct {
        const char *desired, *reported, *delta;
    } cases[] = {
        {"{}", "{}", "{}"},
        {"{\"a\":1}", "{}", "{\"a\":1}"},
        {"{\"a\":1}", "{\"a\":1}", "{}"},
        {"{\"a\":1}", "{\"a\":2}", "{\"a\":1}"},
        {"{}", "{\"a\":1}", "{}"}, /* what is not desired does not matter */
        {"{\"a\":1}", "{\"a\":1,\"b\":2}", "{}"},
        {"{\"a\":1.0,\"b\":100}", "{\"a\":1,\"b\":1e2}", "{}"},
        {"{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1,\"c\":3,\"d\":4}}", "{\"a\":{\"c\":2}}"},
        {"{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1}}", "{\"a\":{\"c\":2}}"},
        {"{\"a\":{\"b\":{}}}", "{\"a\":{}}", "{\"a\":{\"b\":{}}}"},
        {"{\"a\":{}}", "{\"a\":{\"b\":1}}", "{}"},
        {"{\"a\":[1,2]}", "{\"a\":[1,2]}", "{}"},
        {"{\"a\":[1,2]}", "{\"a\":[2,1]}", "{\"a\":[1,2]}"},
        {"{\"a\":[1,2]}", "{\"a\":[1,2,3]}", "{\"a\":[1,2]}"},
        {"{\"a\":[{\"b\":1}]}", "{\"a\":[{\"b\":1,\"c\":2}]}", "{\"a\":[{\"b\":1}]}"},
        {"{\"a\":[{\"b\":1,\"c\":2}]}", "{\"a\":[{\"c\":2,\"b\":1}]}", "{}"},
        {"{\"a\":1}", "{\"a\":\"1\"}", "{\"a\":1}"},
        {"{\"a\":{\"b\":1}}", "{\"a\":5}", "{\"a\":{\"b\":1}}"},
        {"{\"a\":5}", "{\"a\":{\"b\":1}}", "{\"a\":5}"},
        {"{\"a\":[]}", "{\"a\":{}}", "{\"a\":[]}"},
        {"{\"a\":false}", "{\"a\":0}", "{\"a\":false}"},
        {"{\"a\":null}", "{}", "{\"a\":null}"},
        {"{\"a\":null}", "{\"a\":null}", "{}"},
        {"{\"t\":1736937000123456789}", "{\"t\":1736937000123456788}",
         "{\"t\":1736937000123456789}"},
        {NULL, "{\"a\":1}", "{}"},
        {"{\"a\":1}", NULL, "{\"a\":1}"},
        {NULL, NULL, "{}"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_doc(delta(cases[i].desired, cases[i].reported), cases[i].delta);
}

/* ---- at the bounds ---- */

static struct doc *nested(unsigned depth, const char *innermost)
{
    struct buf buf = BUF_INIT;
    for (unsigned i = 0; i < depth; i++)
        buf_adds(&buf, "{\"a\":");
    buf_adds(&buf, innermost);
    for (unsigned i = 0; i < depth; i++)
        buf_addc(&buf, '}');
    struct doc *doc = doc_of_bytes(buf.data, buf.size_bytes);
    buf_done(&buf);
    return doc;
}

static void doc_operations_work_at_the_greatest_depth(void **state)
{
    (void)state;
    struct doc *one = nested(DOC_MAX_DEPTH, "1"), *two = nested(DOC_MAX_DEPTH, "2");
    assert_non_null(one);
    struct doc *apart = doc_delta(doc_root(one), doc_root(two));
    assert_true(doc_equal(doc_root(apart), doc_root(one)));
    struct doc *both = doc_merge(doc_root(two), doc_root(one));
    assert_true(doc_equal(doc_root(both), doc_root(one)));
    struct doc *same = doc_delta(doc_root(one), doc_root(both));
    assert_int_equal(doc_members(doc_root(same)), 0);
    free(one), free(two), free(apart), free(both), free(same);
}

/* An object of `members` members, from the first to the last or from the last to the first. */
static struct doc *wide(unsigned members, bool backwards, unsigned value)
{
    struct buf buf = BUF_INIT;
    for (unsigned i = 0; i < members; i++)
        buf_addf(&buf, "%s\"%05u\":%u", i ? "," : "{", backwards ? members - 1 - i : i, value);
    buf_addc(&buf, '}');
    struct doc *doc = doc_of_bytes(buf.data, buf.size_bytes);
    buf_done(&buf);
    return doc;
}

static void assert_wide_operations(unsigned members)
{
    struct doc *a = wide(members, false, 1), *b = wide(members, true, 1);
    struct doc *c = wide(members, true, 2), *merge = doc_merge(doc_root(a), doc_root(c));
    struct doc *apart = doc_delta(doc_root(a), doc_root(c));
    struct doc *same = doc_delta(doc_root(a), doc_root(b));
    assert_true(doc_equal(doc_root(a), doc_root(b)));
    assert_false(doc_equal(doc_root(a), doc_root(c)));
    assert_true(doc_equal(doc_root(merge), doc_root(c)));
    assert_true(doc_equal(doc_root(apart), doc_root(a)));
    assert_int_equal(doc_members(doc_root(same)), 0);
    free(a), free(b), free(c), free(merge), free(apart), free(same);
}

/* In the time of the square of its members, the last would take minutes. */
static void doc_operations_on_objects_in_opposite_order_do_not_take_the_square(void **state)
{
    (void)state;
    for (unsigned members = 1; members <= 40; members++)
        assert_wide_operations(members);
    assert_wide_operations(60000);
}

/* ---- memory ---- */

struct pair {
    struct doc *a, *b;
};

static bool run_merge(void *context)
{
    const struct pair *pair = context;
    struct doc *doc = doc_merge(doc_root(pair->a), doc_root(pair->b));
    free(doc);
    return doc != NULL;
}

static bool run_delta(void *context)
{
    const struct pair *pair = context;
    struct doc *doc = doc_delta(doc_root(pair->a), doc_root(pair->b));
    free(doc);
    return doc != NULL;
}

static bool run_without_nulls(void *context)
{
    const struct pair *pair = context;
    struct doc *doc = doc_without_nulls(doc_root(pair->a));
    free(doc);
    return doc != NULL;
}

static bool run_copy_behind(void *context)
{
    const struct pair *pair = context;
    struct doc *inside = pair->b;
    void *block = doc_copy_behind(doc_root(pair->a), 64, &inside);
    assert_int_equal(inside == pair->b, block == NULL); /* written on success only */
    free(block);
    return block != NULL;
}

static void doc_each_operation_is_one_allocation_that_may_fail(void **state)
{
    (void)state;
    struct pair pair = {doc_of("{\"a\":{\"b\":[1,2,null]},\"c\":\"text\"}"),
                        doc_of("{\"a\":{\"b\":3,\"d\":null}}")};
    assert_int_equal(fault_loop(run_merge, &pair), 1);
    assert_int_equal(fault_loop(run_delta, &pair), 1);
    assert_int_equal(fault_loop(run_without_nulls, &pair), 1);
    assert_int_equal(fault_loop(run_copy_behind, &pair), 1);
    free(pair.a);
    free(pair.b);
}

/* Finding the members of large objects is only slower without memory. */
static void doc_comparing_large_objects_needs_no_memory(void **state)
{
    (void)state;
    struct doc *a = wide(200, false, 1), *b = wide(200, true, 1), *c = wide(200, true, 2);
    fault_arm(1, FAULT_FROM_THEN);
    assert_true(doc_equal(doc_root(a), doc_root(b)));
    assert_false(doc_equal(doc_root(a), doc_root(c)));
    assert_true(fault_disarm());
    unsigned lost = 0;
    bool hit = true;
    for (unsigned nth = 1; hit; nth++) { /* and of a delta's allocations it is one that counts */
        fault_arm(nth, FAULT_ONCE);
        struct doc *same = doc_delta(doc_root(a), doc_root(b));
        hit = fault_disarm();
        lost += same == NULL;
        assert_true(!same || doc_members(doc_root(same)) == 0);
        free(same);
    }
    assert_int_equal(lost, 1);
    free(a);
    free(b);
    free(c);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(doc_no_value_has_nothing_in_it),
        cmocka_unit_test(doc_members_are_visited_in_document_order),
        cmocka_unit_test(doc_get_finds_direct_members_by_their_whole_name),
        cmocka_unit_test(doc_equal_ignores_order_of_members_and_nothing_else),
        cmocka_unit_test(doc_merge_does_what_the_table_of_rfc_7396_says),
        cmocka_unit_test(doc_merge_keeps_order_and_spelling),
        cmocka_unit_test(doc_without_nulls_drops_null_members_and_keeps_null_elements),
        cmocka_unit_test(doc_delta_is_the_part_of_desired_that_reported_does_not_match),
        cmocka_unit_test(doc_operations_work_at_the_greatest_depth),
        cmocka_unit_test(doc_operations_on_objects_in_opposite_order_do_not_take_the_square),
        cmocka_unit_test(doc_comparing_large_objects_needs_no_memory),
        cmocka_unit_test(doc_each_operation_is_one_allocation_that_may_fail),
    };
    return cmocka_run_group_tests_name("doc_build", tests, NULL, NULL);
}
