/* doc: what it does with many random texts is what a slow implementation on jansson does. */
#include "tests/unit/doc_reference.h"
#include "tests/unit/random_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { ROUNDS = 5000, MUTATED_ROUNDS = 25000 };

static struct doc_parser *parser;

static int make_parser(void **state)
{
    (void)state;
    parser = doc_parser_new();
    return parser ? 0 : -1;
}

static int free_parser(void **state)
{
    (void)state;
    doc_parser_free(parser);
    return 0;
}

/* One random document, read by both. */
struct sample {
    struct buf text;
    struct doc *doc;
    json_t *json;
};

static struct sample sample_new(struct random *random, bool object_only)
{
    struct sample sample = {.text = BUF_INIT};
    random_value(random, &sample.text, 4, object_only);
    sample.doc = doc_of_bytes(sample.text.data, sample.text.size_bytes);
    sample.json = json_loadb(sample.text.data, sample.text.size_bytes, REFERENCE_FLAGS, NULL);
    if (!sample.doc || !sample.json)
        fail_msg("not read: %s", buf_cstr(&sample.text));
    return sample;
}

static void sample_done(struct sample *sample)
{
    buf_done(&sample->text);
    free(sample->doc);
    json_decref(sample->json);
}

/* Takes both results. */
static void assert_same(struct doc *got, json_t *expected, const struct sample *a,
                        const struct sample *b)
{
    assert_non_null(got);
    assert_non_null(expected);
    const char *fault = reference_same(doc_root(got), expected)
                            ? reference_check_writing(doc_root(got), expected)
                            : "the results differ";
    if (fault)
        fail_msg("%s: %.*s and %.*s", fault, (int)a->text.size_bytes, a->text.data,
                 (int)b->text.size_bytes, b->text.data);
    free(got);
    json_decref(expected);
}

static void doc_random_texts_are_read_as_jansson_reads_them(void **state)
{
    (void)state;
    struct random random = random_seeded("doc_parse");
    for (int i = 0; i < ROUNDS; i++) {
        struct buf text = BUF_INIT;
        random_value(&random, &text, 5, false);
        const char *fault = reference_check(parser, text.data, text.size_bytes);
        if (fault)
            fail_msg("%s: %s", fault, buf_cstr(&text));
        buf_done(&text);
    }
}

static void doc_mutated_texts_are_judged_as_jansson_judges_them(void **state)
{
    (void)state;
    struct random random = random_seeded("doc_parse_mutated");
    unsigned accepted = 0;
    for (int i = 0; i < MUTATED_ROUNDS; i++) {
        struct buf text = BUF_INIT;
        struct doc_ref root;
        random_value(&random, &text, 3, i % 2);
        for (unsigned n = 1 + random_below(&random, 3); n > 0; n--)
            random_mutation(&random, &text);
        const char *fault = reference_check(parser, text.data ? text.data : "", text.size_bytes);
        if (fault)
            fail_msg("%s: %s", fault, buf_cstr(&text));
        accepted +=
            doc_parse(parser, buf_cstr(&text), text.size_bytes, wide_limits, &root) == DOC_OK;
        buf_done(&text);
    }
    /* both verdicts must have had their chance */
    assert_in_range(accepted, MUTATED_ROUNDS / 20, MUTATED_ROUNDS * 19 / 20);
}

static void doc_copies_are_equal_and_as_large_as_they_say(void **state)
{
    (void)state;
    enum { HEADER_BYTES = 48 };
    struct random random = random_seeded("doc_copy");
    for (int i = 0; i < ROUNDS / 4; i++) {
        struct sample a = sample_new(&random, false);
        struct doc *inside;
        char *block = doc_copy_behind(doc_root(a.doc), HEADER_BYTES, &inside);
        assert_non_null(block);
        assert_ptr_equal(block + HEADER_BYTES, inside);
        memset(block, 0xff, HEADER_BYTES);
        assert_int_equal(doc_bytes(inside), doc_bytes(a.doc));
        assert_memory_equal(inside, a.doc, doc_bytes(a.doc));
        free(a.doc);
        a.doc = doc_copy(doc_root(inside));
        free(block);
        assert_true(reference_same(doc_root(a.doc), a.json));
        sample_done(&a);
    }
}

static void doc_equality_is_that_of_the_slow_one(void **state)
{
    (void)state;
    struct random random = random_seeded("doc_equal");
    unsigned equal = 0;
    for (int i = 0; i < ROUNDS; i++) {
        /* small ones, so that some pairs are equal */
        struct buf x = BUF_INIT, y = BUF_INIT;
        random_value(&random, &x, (unsigned)i % 3, false);
        random_value(&random, &y, (unsigned)i % 3, false);
        struct doc *a = doc_of_bytes(x.data, x.size_bytes), *b = doc_of_bytes(y.data, y.size_bytes);
        json_t *p = json_loadb(x.data, x.size_bytes, REFERENCE_FLAGS, NULL);
        json_t *q = json_loadb(y.data, y.size_bytes, REFERENCE_FLAGS, NULL);
        bool expected = reference_equal(p, q);
        if (doc_equal(doc_root(a), doc_root(b)) != expected ||
            doc_equal(doc_root(b), doc_root(a)) != expected)
            fail_msg("%s and %s", buf_cstr(&x), buf_cstr(&y));
        assert_true(doc_equal(doc_root(a), doc_root(a)));
        equal += expected;
        free(a), free(b);
        json_decref(p), json_decref(q);
        buf_done(&x), buf_done(&y);
    }
    assert_in_range(equal, ROUNDS / 50, ROUNDS / 2);
}

static void doc_merge_is_that_of_the_slow_one(void **state)
{
    (void)state;
    struct random random = random_seeded("doc_merge");
    for (int i = 0; i < ROUNDS; i++) {
        struct sample target = sample_new(&random, i % 4), patch = sample_new(&random, i % 5);
        struct doc_ref none = {NULL, NULL};
        assert_same(doc_merge(doc_root(target.doc), doc_root(patch.doc)),
                    reference_merge(target.json, patch.json), &target, &patch);
        assert_same(doc_merge(none, doc_root(patch.doc)), reference_merge(NULL, patch.json), &patch,
                    &patch);
        sample_done(&target);
        sample_done(&patch);
    }
}

static void doc_delta_is_that_of_the_slow_one(void **state)
{
    (void)state;
    struct random random = random_seeded("doc_delta");
    for (int i = 0; i < ROUNDS; i++) {
        struct sample desired = sample_new(&random, true), reported = sample_new(&random, true);
        assert_same(doc_delta(doc_root(desired.doc), doc_root(reported.doc)),
                    reference_delta(desired.json, reported.json), &desired, &reported);
        assert_same(doc_delta(doc_root(desired.doc), doc_root(desired.doc)), json_object(),
                    &desired, &desired);
        sample_done(&desired);
        sample_done(&reported);
    }
}

static void doc_delta_merged_into_reported_leaves_no_delta(void **state)
{
    (void)state;
    struct random random = random_seeded("doc_delta_merged");
    for (int i = 0; i < ROUNDS; i++) {
        struct sample wish = sample_new(&random, true), reported = sample_new(&random, true);
        /* null in a patch deletes: a desired document holds none (it came by merging itself) */
        struct doc *desired = doc_without_nulls(doc_root(wish.doc));
        struct doc *delta = doc_delta(doc_root(desired), doc_root(reported.doc));
        struct doc *merged = doc_merge(doc_root(reported.doc), doc_root(delta));
        assert_same(doc_delta(doc_root(desired), doc_root(merged)), json_object(), &wish,
                    &reported);
        /* and what was reported already stays: the delta is no more than is needed */
        struct doc *rest = doc_delta(doc_root(delta), doc_root(reported.doc));
        assert_true(doc_equal(doc_root(rest), doc_root(delta)));
        free(desired), free(delta), free(merged), free(rest);
        sample_done(&wish);
        sample_done(&reported);
    }
}

static void doc_without_nulls_is_that_of_the_slow_one(void **state)
{
    (void)state;
    struct random random = random_seeded("doc_without_nulls");
    for (int i = 0; i < ROUNDS; i++) {
        struct sample a = sample_new(&random, false);
        struct doc *clean = doc_without_nulls(doc_root(a.doc));
        struct doc *again = doc_without_nulls(doc_root(clean));
        assert_true(doc_equal(doc_root(clean), doc_root(again)));
        free(again);
        assert_same(clean, reference_without_nulls(a.json), &a, &a);
        sample_done(&a);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(doc_random_texts_are_read_as_jansson_reads_them),
        cmocka_unit_test(doc_mutated_texts_are_judged_as_jansson_judges_them),
        cmocka_unit_test(doc_copies_are_equal_and_as_large_as_they_say),
        cmocka_unit_test(doc_equality_is_that_of_the_slow_one),
        cmocka_unit_test(doc_merge_is_that_of_the_slow_one),
        cmocka_unit_test(doc_delta_is_that_of_the_slow_one),
        cmocka_unit_test(doc_delta_merged_into_reported_leaves_no_delta),
        cmocka_unit_test(doc_without_nulls_is_that_of_the_slow_one),
    };
    return cmocka_run_group_tests_name("doc_random", tests, make_parser, free_parser);
}
