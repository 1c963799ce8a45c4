/* twin: the delta and the start of a divergence, through sequences of writes (contract §4). */
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define NEVER (-1)

/* One write of a part, and what the twin shows after it. */
struct step {
    enum part_kind kind;
    const char *value;
    const char *delta; /* NULL: none */
    int since;         /* the number of the step in which the divergence began, or NEVER */
};

static void write_part(struct twin **twin, enum part_kind kind, const char *value, int64_t at_ns)
{
    struct twin *next = twin_copy(*twin);
    const struct doc *old_delta = NULL;
    const struct part *old_part = (*twin)->parts[kind];
    assert_non_null(next);
    next->parts[kind] = part_of(1, value);
    assert_non_null(next->parts[kind]);
    const struct doc *before = (*twin)->delta;
    assert_true(twin_refresh_delta(next, at_ns, &old_delta));
    assert_ptr_equal(old_delta, before);
    assert_ptr_equal((*twin)->delta, before); /* the old twin has its own to the end */
    free(*twin);
    free_const(old_part);
    free_const(old_delta);
    *twin = next;
}

static void assert_delta(const struct twin *twin, const struct step *step, int number)
{
    struct doc *expected = step->delta ? doc_of(step->delta) : NULL;
    int64_t since = step->since == NEVER ? TIMESTAMP_NONE : T0 + step->since;
    size_t size;
    char *text = twin->delta ? text_of_doc(doc_root(twin->delta), &size) : NULL;
    if (!twin->delta != !expected ||
        (expected && !doc_equal(doc_root(twin->delta), doc_root(expected))))
        fail_msg("step %d: the delta is %s", number, text ? text : "none");
    if (twin->delta_since_ns != since)
        fail_msg("step %d: since %lld", number, (long long)(twin->delta_since_ns - T0));
    free(text);
    free(expected);
}

/* Step i is written at T0 + i. */
static void assert_steps(const struct step *steps, int count)
{
    struct twin *twin = twin_new("V1");
    assert_non_null(twin);
    for (int i = 0; i < count; i++) {
        write_part(&twin, steps[i].kind, steps[i].value, T0 + i);
        assert_delta(twin, &steps[i], i);
    }
    twin_destroy(twin);
}
#define ASSERT_STEPS(...)                                                                          \
    assert_steps((const struct step[]){__VA_ARGS__},                                               \
                 sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step))

#define D PART_DESIRED
#define R PART_REPORTED

static void delta_begins_with_a_desire_and_ends_when_it_is_met(void **state)
{
    (void)state;
    ASSERT_STEPS({D, "{\"rate\":5}", "{\"rate\":5}", 0}, {R, "{\"rate\":4}", "{\"rate\":5}", 0},
                 {R, "{\"rate\":5}", NULL, NEVER});
}

static void delta_keeps_its_start_while_it_is_unbroken(void **state)
{
    (void)state;
    ASSERT_STEPS({R, "{\"a\":1,\"b\":1}", NULL, NEVER}, {D, "{\"a\":1}", NULL, NEVER},
                 {D, "{\"a\":2}", "{\"a\":2}", 2}, {D, "{\"a\":2,\"b\":2}", "{\"a\":2,\"b\":2}", 2},
                 {R, "{\"a\":2,\"b\":1}", "{\"b\":2}", 2}, {D, "{\"a\":3,\"b\":1}", "{\"a\":3}", 2},
                 {R, "{\"a\":3,\"b\":1}", NULL, NEVER});
}

static void delta_after_a_convergence_begins_anew(void **state)
{
    (void)state;
    ASSERT_STEPS({D, "{\"a\":1}", "{\"a\":1}", 0}, {R, "{\"a\":1}", NULL, NEVER},
                 {R, "{\"a\":0}", "{\"a\":1}", 2}, {R, "{\"a\":1}", NULL, NEVER},
                 {D, "{\"a\":9}", "{\"a\":9}", 4});
}

static void delta_ends_when_the_desire_is_withdrawn(void **state)
{
    (void)state;
    ASSERT_STEPS({R, "{\"a\":0,\"b\":0}", NULL, NEVER},
                 {D, "{\"a\":1,\"b\":1}", "{\"a\":1,\"b\":1}", 1}, {D, "{\"b\":1}", "{\"b\":1}", 1},
                 {D, "{\"a\":null,\"b\":null}", NULL, NEVER}, {D, "{}", NULL, NEVER});
}

/* What the vehicle reports beyond what is desired of it is its own business. */
static void delta_asks_for_nothing_that_is_not_desired(void **state)
{
    (void)state;
    ASSERT_STEPS({R, "{\"a\":1,\"b\":{\"c\":2}}", NULL, NEVER}, {D, "{\"b\":{}}", NULL, NEVER},
                 {D, "{\"b\":{\"c\":2}}", NULL, NEVER}, {D, "{}", NULL, NEVER});
}

static void delta_goes_down_through_objects_and_takes_the_rest_whole(void **state)
{
    (void)state;
    ASSERT_STEPS(
        {R, "{\"o\":{\"x\":1,\"y\":2},\"l\":[1,2],\"n\":1.0,\"t\":\"1\"}", NULL, NEVER},
        {D, "{\"o\":{\"x\":1,\"y\":2},\"l\":[1,2],\"n\":1,\"t\":\"1\"}", NULL, NEVER},
        {D, "{\"o\":{\"x\":1,\"y\":3},\"n\":1e0}", "{\"o\":{\"y\":3}}", 2},
        {D, "{\"l\":[1,3]}", "{\"l\":[1,3]}", 2}, {D, "{\"l\":[1,2,3]}", "{\"l\":[1,2,3]}", 2},
        {D, "{\"t\":1}", "{\"t\":1}", 2}, {D, "{\"o\":5}", "{\"o\":5}", 2},
        {D, "{\"n\":{\"z\":{}}}", "{\"n\":{\"z\":{}}}", 2}, {D, "{\"new\":{}}", "{\"new\":{}}", 2},
        {D, "{\"o\":{\"w\":{\"v\":false}}}", "{\"o\":{\"w\":{\"v\":false}}}", 2});
}

static void delta_is_the_desire_where_nothing_is_reported(void **state)
{
    (void)state;
    ASSERT_STEPS({D, "{}", NULL, NEVER}, {D, "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}", 1},
                 {R, "{}", "{\"a\":{\"b\":1}}", 1}, {R, "{\"a\":1}", "{\"a\":{\"b\":1}}", 1});
}

/* A null is no value: neither side can ask for one, or meet one. */
static void delta_knows_no_null(void **state)
{
    (void)state;
    ASSERT_STEPS({D, "{\"a\":null,\"b\":{\"c\":null}}", "{\"b\":{}}", 0},
                 {R, "{\"b\":{\"c\":null}}", NULL, NEVER}, {D, "{\"a\":1}", "{\"a\":1}", 2},
                 {R, "{\"a\":null}", "{\"a\":1}", 2});
}

/* The start of a divergence that outlived a restart is not the time of the restart. */
static void delta_keeps_a_start_that_was_remembered(void **state)
{
    (void)state;
    struct twin *twin = twin_new("V1");
    assert_non_null(twin);
    twin->delta_since_ns = T0 - 3600 * NS_PER_S;
    write_part(&twin, D, "{\"a\":1}", T0);
    assert_int_equal(twin->delta_since_ns, T0 - 3600 * NS_PER_S);
    twin_destroy(twin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delta_begins_with_a_desire_and_ends_when_it_is_met),
        cmocka_unit_test(delta_keeps_its_start_while_it_is_unbroken),
        cmocka_unit_test(delta_after_a_convergence_begins_anew),
        cmocka_unit_test(delta_ends_when_the_desire_is_withdrawn),
        cmocka_unit_test(delta_asks_for_nothing_that_is_not_desired),
        cmocka_unit_test(delta_goes_down_through_objects_and_takes_the_rest_whole),
        cmocka_unit_test(delta_is_the_desire_where_nothing_is_reported),
        cmocka_unit_test(delta_knows_no_null),
        cmocka_unit_test(delta_keeps_a_start_that_was_remembered),
    };
    return cmocka_run_group_tests_name("twin_delta", tests, NULL, NULL);
}
