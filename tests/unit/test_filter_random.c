/* filter: what it says of many random twins is what a slow and obvious evaluator says. */
#include "tests/unit/filter_help.h"
#include "tests/unit/filter_reference.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { TWINS = 60, FILTERS = 6000, SOME_PERCENT = 30, SOUP_ROUNDS = 40000, TEXTS = 300 };

static struct twin *twins[TWINS];
static json_t *trees[TWINS];

static json_t *tree_of(const struct twin *twin)
{
    struct buf out = BUF_INIT;
    struct twin_view view = {.viewer = &viewer_all, .region = "north", .metadata = true};
    twin_write(&out, twin, &view);
    json_t *tree = json_loadb(out.data, out.size_bytes, JSON_ALLOW_NUL, NULL);
    buf_done(&out);
    return tree;
}

static int make_twins(void **state)
{
    (void)state;
    struct random random = random_seeded("twins");
    for (unsigned i = 0; i < TWINS; i++) {
        struct buf text = BUF_INIT;
        reference_twin(&random, &text, i);
        twins[i] = help_twin_of(text.data, text.size_bytes);
        trees[i] = twins[i] ? tree_of(twins[i]) : NULL;
        if (!trees[i])
            fail_msg("no twin: %s", buf_cstr(&text));
        buf_done(&text);
    }
    return 0;
}

static int free_twins(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TWINS; i++) {
        help_free(twins[i]);
        json_decref(trees[i]);
    }
    return 0;
}

static struct filter *compile(struct buf *text)
{
    struct text_error error;
    struct filter *filter =
        filter_compile(PATH_OF_TWIN, text->data, text->size_bytes, &help_groups, &error);
    if (!filter)
        fail_msg("refused at %zu, %s: %s", error.offset, error.detail, buf_cstr(text));
    return filter;
}

/* How many of the twins match, having compared each. */
static unsigned matching(const struct filter *filter, const struct reference *reference,
                         struct buf *text)
{
    unsigned found = 0;
    for (unsigned i = 0; i < TWINS; i++) {
        struct subject_of_query subject = {.twin = twins[i], .region = "north"};
        bool got = filter_matches(filter, &subject, HELP_NOW_NS);
        bool expected = reference_matches(reference, trees[i], HELP_NOW_NS);
        if (got != expected) {
            char *twin = json_dumps(trees[i], JSON_COMPACT);
            fail_msg("%s, should %s: %s of %s", got ? "matches" : "does not match",
                     expected ? "match" : "not", buf_cstr(text), twin);
        }
        found += got;
    }
    return found;
}

static void filter_agrees_with_a_slow_and_obvious_evaluator(void **state)
{
    (void)state;
    struct random random = random_seeded("filters");
    unsigned some = 0;
    for (unsigned i = 0; i < FILTERS; i++) {
        struct buf text = BUF_INIT;
        struct reference *reference = reference_filter(&random);
        reference_write(&random, &text, reference);
        struct filter *filter = compile(&text);
        unsigned found = matching(filter, reference, &text);
        some += found > 0 && found < TWINS;
        filter_free(filter);
        reference_free(reference);
        buf_done(&text);
    }
    print_message("%u of %u filters match some twins and not all\n", some, (unsigned)FILTERS);
    assert_true(some * 100 >= FILTERS * SOME_PERCENT);
}

/* Compiles a text that may be anything, in a block of exactly its size. */
static void try_text(const char *text, size_t size)
{
    struct text_error error;
    char *exact = malloc(size ? size : 1);
    memcpy(exact, text, size);
    struct filter *filter = filter_compile(PATH_OF_TWIN, exact, size, &help_groups, &error);
    size_t points = 0;
    for (size_t i = 0; i < size; i++)
        points += ((unsigned char)exact[i] & 0xc0) != 0x80;
    if (!filter) {
        assert_true(error.offset <= points);
        assert_true(error.detail[0] != '\0');
        assert_string_not_equal(error.detail, "out of memory");
    } else {
        struct subject_of_query subject = {.twin = twins[0], .region = "north"};
        bool once = filter_matches(filter, &subject, HELP_NOW_NS);
        assert_true(once == filter_matches(filter, &subject, HELP_NOW_NS));
    }
    filter_free(filter);
    free(exact);
}

static void filter_every_beginning_of_a_filter_is_read_or_refused_within_it(void **state)
{
    (void)state;
    struct random random = random_seeded("beginnings");
    for (unsigned i = 0; i < TEXTS; i++) {
        struct buf text = BUF_INIT;
        struct reference *reference = reference_filter(&random);
        reference_write(&random, &text, reference);
        for (size_t size = 0; size <= text.size_bytes; size++)
            try_text(text.data, size);
        reference_free(reference);
        buf_done(&text);
    }
}

static void filter_token_soup_is_read_or_refused_within_it(void **state)
{
    static const char *const tokens[] = {"vid",
                                         "state",
                                         "meta",
                                         ".",
                                         ".",
                                         "battery",
                                         "\"x\"",
                                         "\"a*\"",
                                         "=",
                                         "!=",
                                         "<",
                                         ">=",
                                         ":",
                                         "*",
                                         "1",
                                         "-5",
                                         "0.5e3",
                                         "10s",
                                         "1.5m",
                                         "true",
                                         "null",
                                         "AND",
                                         "OR",
                                         "NOT",
                                         "-",
                                         "(",
                                         ")",
                                         ",",
                                         "distance(",
                                         "age(",
                                         "inside(",
                                         "bbox(",
                                         "group(",
                                         "\"odd\"",
                                         "\"POLYGON((0 0,1 0,1 1,0 0))\"",
                                         "state.position",
                                         "presence.last_seen",
                                         "\"2026-01-15T10:30:00Z\"",
                                         "delta",
                                         "\"",
                                         "\\",
                                         "é",
                                         "'",
                                         "==",
                                         "and",
                                         "\xff",
                                         "\n",
                                         "\t",
                                         "vid = \"V-1\"",
                                         "delta:*",
                                         "age(delta) > 5s"};
    (void)state;
    struct random random = random_seeded("soup");
    for (unsigned i = 0; i < SOUP_ROUNDS; i++) {
        struct buf text = BUF_INIT;
        for (unsigned n = random_below(&random, 14); n > 0; n--) {
            buf_adds(&text, tokens[random_below(&random, sizeof tokens / sizeof *tokens)]);
            if (random_below(&random, 3))
                buf_addc(&text, ' ');
        }
        try_text(text.data ? text.data : "", text.size_bytes);
        buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_agrees_with_a_slow_and_obvious_evaluator),
        cmocka_unit_test(filter_every_beginning_of_a_filter_is_read_or_refused_within_it),
        cmocka_unit_test(filter_token_soup_is_read_or_refused_within_it),
    };
    return cmocka_run_group_tests(tests, make_twins, free_twins);
}
