/* twin: folding states and shadow parts into immutable twins, and the delta (contract §4). */
#include "tests/unit/fault.h"
#include "tests/unit/random.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct twin *make_twin(void)
{
    struct twin *twin = twin_new("V1");
    assert_non_null(twin);
    return twin;
}

static struct state *plain_state(const char *type, int64_t received_ns)
{
    struct state *made = state_of(type, version_of(NULL, SEQ_NONE, T0), received_ns, "{\"a\":1}");
    assert_non_null(made);
    return made;
}

static void assert_text(struct doc_ref value, const char *expected)
{
    size_t size;
    char *text = text_of_doc(value, &size);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

/* ---- states ---- */

static void twin_of_a_new_vehicle_knows_nothing(void **state)
{
    (void)state;
    struct twin *twin = make_twin();
    assert_string_equal(twin->vid, "V1");
    assert_int_equal(twin->state_count, 0);
    assert_int_equal(twin->presence.status, PRESENCE_UNKNOWN);
    assert_true(twin->presence.last_seen_ns == TIMESTAMP_NONE);
    assert_true(twin->presence.since_ns == TIMESTAMP_NONE);
    assert_true(twin->delta_since_ns == TIMESTAMP_NONE);
    assert_false(twin->registered);
    assert_null(twin->delta);
    assert_null(twin_state(twin, slice_of("position")));
    for (int i = 0; i < PART_COUNT; i++)
        assert_null(twin->parts[i]);
    free(twin);
}

static void twin_is_visible_unless_retired(void **state)
{
    (void)state;
    struct twin *twin = make_twin();
    assert_true(twin_visible(twin));
    twin->retired_ns = T0; /* and back since */
    assert_true(twin_visible(twin));
    twin->hidden = true;
    assert_false(twin_visible(twin));
    assert_false(twin_visible(NULL));
    free(twin);
}

static void twin_finds_each_type_and_no_other(void **state)
{
    (void)state;
    /* one begins another: the whole type is the key, dots or not */
    static const char *const types[] = {
        "battery", "battery.cells", "batter", "position", "battery.cell", "a", "B", "battery-2"};
    enum { TYPES = sizeof types / sizeof *types };
    struct twin *twin = make_twin();
    const struct state *states[TYPES];
    for (size_t i = 0; i < TYPES; i++) {
        struct state *made = plain_state(types[i], T0);
        assert_true(twin_take(&twin, made));
        states[i] = made;
    }
    for (size_t i = 0; i < TYPES; i++)
        assert_ptr_equal(twin_state(twin, slice_of(types[i])), states[i]);
    assert_null(twin_state(twin, slice_of("battery.")));
    assert_null(twin_state(twin, slice_of("")));
    assert_null(twin_state(twin, slice_of("positions")));
    assert_int_equal(twin->state_count, TYPES);
    twin_destroy(twin);
}

static void assert_ordered(const struct twin *twin)
{
    for (size_t i = 1; i < twin->state_count; i++) {
        struct slice a = state_type(twin->states[i - 1]), b = state_type(twin->states[i]);
        int order = memcmp(a.at, b.at, a.size < b.size ? a.size : b.size);
        assert_true(order < 0 || (order == 0 && a.size < b.size));
    }
}

static void twin_keeps_its_types_in_order_however_they_come(void **state)
{
    (void)state;
    struct random random = random_seeded(__func__);
    for (int round = 0; round < 50; round++) {
        struct twin *twin = make_twin();
        for (int i = 0; i < 100; i++) {
            char type[16];
            snprintf(type, sizeof type, "%c%.*u", "aBz-"[random_below(&random, 4)],
                     (int)random_below(&random, 3) + 1, random_below(&random, 50));
            assert_true(twin_take(&twin, plain_state(type, T0 + i)));
            assert_ordered(twin);
            assert_int_equal(twin_state(twin, slice_of(type))->received_ns, T0 + i);
        }
        twin_destroy(twin);
    }
}

static void twin_state_replaces_its_type_as_a_whole(void **state)
{
    (void)state;
    struct twin *twin = make_twin();
    struct state *first = state_of("mode", version_of("b", 1, T0), T0, "{\"mode\":\"A\",\"x\":1}");
    struct state *second = state_of("mode", version_of("b", 2, T0), T0, "{\"mode\":\"B\"}");
    const struct state *replaced;
    assert_true(twin_take(&twin, plain_state("attitude", T0)));
    assert_true(twin_take(&twin, first));
    struct twin *next = twin_with_state(twin, second, &replaced);
    assert_non_null(next);
    assert_ptr_equal(replaced, first);
    assert_int_equal(next->state_count, 2);
    assert_text(doc_root(twin_state(next, slice_of("mode"))->data), "{\"mode\":\"B\"}");
    free(twin);
    free(first);
    twin_destroy(next);
}

static char *bytes_of(const struct twin *twin, size_t *size)
{
    *size = sizeof *twin + twin->state_count * sizeof *twin->states;
    char *bytes = malloc(*size);
    assert_non_null(bytes);
    memcpy(bytes, twin, *size);
    return bytes;
}

static void twin_that_was_changed_is_itself_unchanged(void **state)
{
    (void)state;
    struct twin *old = make_twin();
    assert_true(twin_take(&old, plain_state("b", T0)));
    assert_true(twin_take(&old, plain_state("d", T0)));
    size_t size;
    char *before = bytes_of(old, &size);
    static const char *const types[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++) {
        const struct state *replaced;
        struct state *fresh = plain_state(types[i], T0 + 1);
        struct twin *next = twin_with_state(old, fresh, &replaced);
        assert_non_null(next);
        assert_memory_equal(old, before, size);
        assert_int_equal(next->state_count, replaced ? 2 : 3);
        for (size_t k = 0; k < old->state_count; k++) /* shared, but for the one replaced */
            if (old->states[k] != replaced)
                assert_ptr_equal(twin_state(next, state_type(old->states[k])), old->states[k]);
        assert_ptr_equal(twin_state(next, slice_of(types[i])), fresh);
        free(next);
        free(fresh);
    }
    free(before);
    twin_destroy(old);
}

static struct twin *full_twin(void)
{
    struct twin *twin = make_twin();
    for (int i = 0; i < TWIN_STATES_MAX; i++) {
        char type[16];
        snprintf(type, sizeof type, "t%03d", (i * 37) % TWIN_STATES_MAX);
        assert_true(twin_take(&twin, plain_state(type, T0 + i)));
    }
    assert_int_equal(twin->state_count, TWIN_STATES_MAX);
    return twin;
}

static void twin_beyond_256_types_forgets_the_one_received_longest_ago(void **state)
{
    (void)state;
    struct twin *twin = full_twin();
    for (int i = 0; i < TWIN_STATES_MAX; i++) {
        char oldest[16], fresh[16];
        snprintf(oldest, sizeof oldest, "t%03d", (i * 37) % TWIN_STATES_MAX);
        snprintf(fresh, sizeof fresh, "%c%03d", i % 2 ? 'a' : 'z', i);
        assert_non_null(twin_state(twin, slice_of(oldest)));
        assert_true(twin_take(&twin, plain_state(fresh, T0 + 1000 + i)));
        assert_int_equal(twin->state_count, TWIN_STATES_MAX);
        assert_null(twin_state(twin, slice_of(oldest)));
        assert_non_null(twin_state(twin, slice_of(fresh)));
        assert_ordered(twin);
    }
    twin_destroy(twin);
}

static void twin_with_256_types_replaces_one_without_forgetting_another(void **state)
{
    (void)state;
    struct twin *twin = full_twin();
    assert_true(twin_take(&twin, plain_state("t100", T0 + 1000)));
    assert_int_equal(twin->state_count, TWIN_STATES_MAX);
    assert_non_null(twin_state(twin, slice_of("t000"))); /* the one received longest ago */
    assert_int_equal(twin_state(twin, slice_of("t100"))->received_ns, T0 + 1000);
    twin_destroy(twin);
}

static void twin_with_256_types_takes_none_that_was_received_before_all(void **state)
{
    (void)state;
    struct twin *twin = full_twin();
    const struct state *replaced;
    struct state *late = plain_state("late", T0 - 1);
    struct twin *next = twin_with_state(twin, late, &replaced);
    assert_non_null(next);
    assert_ptr_equal(replaced, late);
    assert_null(twin_state(next, slice_of("late")));
    assert_int_equal(next->state_count, TWIN_STATES_MAX);
    assert_memory_equal(next->states, twin->states, TWIN_STATES_MAX * sizeof *next->states);
    free(next);
    free(late);
    twin_destroy(twin);
}

/* ---- parts ---- */

static void part_names_are_the_contracts(void **state)
{
    (void)state;
    static const char *const names[PART_COUNT] = {"desired", "reported", "config", "meta"};
    enum part_kind kind;
    for (int i = 0; i < PART_COUNT; i++) {
        assert_string_equal(part_name((enum part_kind)i), names[i]);
        assert_true(part_of_name(names[i], strlen(names[i]), &kind));
        assert_int_equal(kind, i);
        assert_false(part_of_name(names[i], strlen(names[i]) - 1, &kind));
    }
    assert_false(part_of_name("", 0, &kind));
    assert_false(part_of_name("delta", 5, &kind));
    assert_false(part_of_name("Meta", 4, &kind));
    assert_false(part_of_name("metadata", 8, &kind));
}

static void part_drops_null_members_at_any_depth(void **state)
{
    (void)state;
    static const struct {
        const char *written, *kept;
    } table[] = {
        {"{}", "{}"},
        {"{\"a\":null}", "{}"},
        {"{\"a\":null,\"b\":1,\"c\":null}", "{\"b\":1}"},
        {"{\"a\":{\"b\":null,\"c\":{\"d\":null}}}", "{\"a\":{\"c\":{}}}"},
        {"{\"a\":[null,{\"b\":null,\"c\":2},[{\"d\":null}]]}", "{\"a\":[null,{\"c\":2},[{}]]}"},
        {"{\"a\":0,\"b\":false,\"c\":\"\",\"d\":[],\"e\":{}}",
         "{\"a\":0,\"b\":false,\"c\":\"\",\"d\":[],\"e\":{}}"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct part *part = part_of(7, table[i].written);
        assert_non_null(part);
        assert_text(doc_root(part->value), table[i].kept);
        free(part);
    }
}

static void part_holds_its_revision_time_and_author(void **state)
{
    (void)state;
    struct doc *doc = doc_of("{\"a\":1}");
    struct part *part = part_new(UINT64_C(1) << 40, T0 + 3, "fh_\"x\"", doc_root(doc));
    free(doc); /* the part has its own */
    assert_non_null(part);
    assert_true(part->revision == UINT64_C(1) << 40);
    assert_int_equal(part->updated_ns, T0 + 3);
    assert_string_equal(part->updated_by, "fh_\"x\"");
    assert_text(doc_root(part->value), "{\"a\":1}");
    free(part);
}

/* ---- without memory ---- */

static bool add_state(void *context)
{
    struct twin *twin = context;
    const struct state *replaced = (const struct state *)context; /* a mark */
    struct state *fresh = state_of("position", version_of("b", 1, T0), T0, "{\"lat\":1}");
    struct twin *next = fresh ? twin_with_state(twin, fresh, &replaced) : NULL;
    if (!next)
        assert_ptr_equal(replaced, context); /* outputs are written only on success */
    free(next);
    free(fresh);
    return next != NULL;
}

static bool refresh(void *context)
{
    struct twin *twin = twin_copy(context);
    const struct doc *replaced = (const struct doc *)context;
    if (!twin)
        return false;
    bool done = twin_refresh_delta(twin, T0 + 9, &replaced);
    if (!done) {
        assert_ptr_equal(replaced, context);
        assert_ptr_equal(twin->delta, ((struct twin *)context)->delta);
        assert_true(twin->delta_since_ns == TIMESTAMP_NONE);
    } else {
        free_const(twin->delta);
    }
    free(twin);
    return done;
}

static bool make_part(void *context)
{
    struct part *part = part_new(1, T0, "unknown", doc_root((const struct doc *)context));
    free(part);
    return part != NULL;
}

static void twin_without_memory_changes_nothing(void **state)
{
    (void)state;
    struct twin *twin = make_twin();
    assert_true(twin_take(&twin, plain_state("mode", T0)));
    twin->parts[PART_DESIRED] = part_of(1, "{\"a\":1}");
    assert_non_null(twin->parts[PART_DESIRED]);
    assert_true(fault_loop(add_state, twin) > 1);
    assert_true(fault_loop(refresh, twin) > 1);
    struct doc *doc = doc_of("{\"a\":null,\"b\":2}");
    assert_true(fault_loop(make_part, doc) > 1);
    free(doc);
    twin_destroy(twin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twin_of_a_new_vehicle_knows_nothing),
        cmocka_unit_test(twin_is_visible_unless_retired),
        cmocka_unit_test(twin_finds_each_type_and_no_other),
        cmocka_unit_test(twin_keeps_its_types_in_order_however_they_come),
        cmocka_unit_test(twin_state_replaces_its_type_as_a_whole),
        cmocka_unit_test(twin_that_was_changed_is_itself_unchanged),
        cmocka_unit_test(twin_beyond_256_types_forgets_the_one_received_longest_ago),
        cmocka_unit_test(twin_with_256_types_replaces_one_without_forgetting_another),
        cmocka_unit_test(twin_with_256_types_takes_none_that_was_received_before_all),
        cmocka_unit_test(part_names_are_the_contracts),
        cmocka_unit_test(part_drops_null_members_at_any_depth),
        cmocka_unit_test(part_holds_its_revision_time_and_author),
        cmocka_unit_test(twin_without_memory_changes_nothing),
    };
    return cmocka_run_group_tests_name("twin", tests, NULL, NULL);
}
