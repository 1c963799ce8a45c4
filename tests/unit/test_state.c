/* state: which of two messages is newer, and which clocks are believed (contract §4). */
#include "tests/unit/fault.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- newest wins ---- */

enum boots { SAME_BOOT, OTHER_BOOT, FIRST_BOOT_MISSING, SECOND_BOOT_MISSING, NO_BOOT, BOOTS };
enum seqs { GREATER, EQUAL, LESS, FIRST_SEQ_MISSING, SECOND_SEQ_MISSING, NO_SEQ, SEQS };
enum times { EARLIER, SAME_TIME, LATER, TIMES };

static const char *const boot_names[BOOTS] = {"the same boot", "another boot", "a boot after none",
                                              "no boot after one", "no boots"};
static const char *const seq_names[SEQS] = {"greater seq",        "equal seq",        "lower seq",
                                            "a seq after no seq", "no seq after one", "no seqs"};

/* The contract's sentence, case by case, for a timestamp that is earlier, the same, later:
 * n newer, s stale, d duplicate. */
static const char *const verdicts[BOOTS][SEQS] = {
    [SAME_BOOT] =
        {
            [GREATER] = "nnn", /* within one known boot only the seq counts */
            [EQUAL] = "sds",
            [LESS] = "sss",
            [FIRST_SEQ_MISSING] = "ssn", /* a seq is missing: the later timestamp */
            [SECOND_SEQ_MISSING] = "ssn",
            [NO_SEQ] = "sdn",
        },
    [OTHER_BOOT] =
        {
            [GREATER] = "snn", /* the later timestamp, seq as the tie-break */
            [EQUAL] = "ssn",   /* all else is equal, but it is no duplicate */
            [LESS] = "ssn",
            [FIRST_SEQ_MISSING] = "ssn",
            [SECOND_SEQ_MISSING] = "ssn",
            [NO_SEQ] = "ssn",
        },
    [FIRST_BOOT_MISSING] = {"snn", "ssn", "ssn", "ssn", "ssn", "ssn"},
    [SECOND_BOOT_MISSING] = {"snn", "ssn", "ssn", "ssn", "ssn", "ssn"},
    [NO_BOOT] =
        {
            [GREATER] = "snn", /* no boot is known: two without one may be of two boots */
            [EQUAL] = "sdn",
            [LESS] = "ssn",
            [FIRST_SEQ_MISSING] = "ssn",
            [SECOND_SEQ_MISSING] = "ssn",
            [NO_SEQ] = "sdn",
        },
};

static char verdict(const struct state *have, struct version fresh)
{
    switch (version_judge(have, &fresh)) {
    case OUTCOME_NEWER:
        return 'n';
    case OUTCOME_NOT_NEWER:
        return 's';
    case OUTCOME_SAME:
        return 'd';
    }
    return '?';
}

static char verdict_of(struct version have, struct version fresh)
{
    struct state *state = state_of("position", have, T0, "{}");
    assert_non_null(state);
    char result = verdict(state, fresh);
    free(state);
    return result;
}

static void version_newest_wins_in_every_case(void **state)
{
    (void)state;
    static const struct {
        const char *have, *fresh;
    } boots[BOOTS] = {{"a", "a"}, {"a", "b"}, {NULL, "a"}, {"a", NULL}, {NULL, NULL}};
    static const struct {
        int64_t have, fresh;
    } seqs[SEQS] = {{5, 6}, {5, 5}, {5, 4}, {SEQ_NONE, 5}, {5, SEQ_NONE}, {SEQ_NONE, SEQ_NONE}};
    for (int b = 0; b < BOOTS; b++)
        for (int s = 0; s < SEQS; s++)
            for (int t = 0; t < TIMES; t++) {
                char got = verdict_of(version_of(boots[b].have, seqs[s].have, T0),
                                      version_of(boots[b].fresh, seqs[s].fresh, T0 + t - 1));
                if (got != verdicts[b][s][t])
                    fail_msg("%s, %s, %+d ns: %c instead of %c", boot_names[b], seq_names[s], t - 1,
                             got, verdicts[b][s][t]);
            }
}

static void version_anything_is_newer_than_nothing(void **state)
{
    (void)state;
    assert_int_equal(verdict(NULL, version_of(NULL, SEQ_NONE, TIMESTAMP_MIN)), 'n');
    assert_int_equal(verdict(NULL, version_of("a", 0, T0)), 'n');
}

static void version_an_empty_boot_is_a_boot_like_any_other(void **state)
{
    (void)state;
    assert_int_equal(verdict_of(version_of("", 5, T0), version_of("", 6, T0 - 1)), 'n');
    assert_int_equal(verdict_of(version_of("", 5, T0), version_of(NULL, 6, T0 - 1)), 's');
    assert_int_equal(verdict_of(version_of("", 5, T0), version_of(NULL, 5, T0)), 's');
    assert_int_equal(verdict_of(version_of("", 5, T0), version_of("", 5, T0)), 'd');
}

static void version_boots_differ_in_any_byte(void **state)
{
    (void)state;
    static const struct slice boots[] = {{"b", 1},    {"b7", 2}, {"b\0", 2},     {"b\0x", 3},
                                         {"b\0y", 3}, {"B7", 2}, {"\303\251", 2}};
    for (size_t i = 0; i < sizeof boots / sizeof *boots; i++)
        for (size_t k = 0; k < sizeof boots / sizeof *boots; k++) {
            struct version have = {boots[i], 5, T0}, fresh = {boots[k], 5, T0};
            assert_int_equal(verdict_of(have, fresh), i == k ? 'd' : 's');
        }
}

static void version_seq_is_compared_over_its_whole_range(void **state)
{
    (void)state;
    assert_int_equal(verdict_of(version_of("a", 0, T0), version_of("a", INT64_MAX, T0)), 'n');
    assert_int_equal(verdict_of(version_of("a", INT64_MAX, T0), version_of("a", 0, T0 + 1)), 's');
    assert_int_equal(verdict_of(version_of("a", INT64_MAX - 1, T0), version_of("a", INT64_MAX, 0)),
                     'n');
    assert_int_equal(verdict_of(version_of("a", SEQ_NONE, T0), version_of("a", 0, T0)), 's');
}

static void version_timestamps_are_compared_over_their_whole_range(void **state)
{
    (void)state;
    struct version first = version_of(NULL, SEQ_NONE, TIMESTAMP_MIN);
    struct version last = version_of(NULL, SEQ_NONE, TIMESTAMP_MAX);
    assert_int_equal(verdict_of(first, last), 'n');
    assert_int_equal(verdict_of(last, first), 's');
}

/* ---- clocks ---- */

#define YEAR_2020 (INT64_C(1577836800) * NS_PER_S)
#define SKEW (300 * NS_PER_S)

static void assert_believed(int64_t timestamp_ns, int64_t received_ns, int64_t skew_ns)
{
    bool skewed = true;
    assert_int_equal(clock_believed(timestamp_ns, received_ns, skew_ns, &skewed), timestamp_ns);
    assert_false(skewed);
}

static void assert_replaced(int64_t timestamp_ns, int64_t received_ns, int64_t skew_ns)
{
    bool skewed = false;
    assert_int_equal(clock_believed(timestamp_ns, received_ns, skew_ns, &skewed), received_ns);
    assert_true(skewed);
}

static void clock_is_believed_from_2020_on(void **state)
{
    (void)state;
    int64_t written;
    assert_true(timestamp_parse("2020-01-01T00:00:00Z", 20, &written));
    assert_int_equal(written, YEAR_2020);
    assert_believed(YEAR_2020, T0, SKEW);
    assert_replaced(YEAR_2020 - 1, T0, SKEW);
    assert_replaced(0, T0, SKEW);
}

static void clock_is_believed_up_to_the_skew_ahead(void **state)
{
    (void)state;
    assert_believed(T0, T0, SKEW);
    assert_believed(T0 + SKEW, T0, SKEW);
    assert_replaced(T0 + SKEW + 1, T0, SKEW);
    assert_believed(T0, T0, 0);
    assert_replaced(T0 + 1, T0, 0);
}

static void clock_however_late_is_believed(void **state)
{
    (void)state;
    assert_believed(T0 - 86400 * NS_PER_S, T0, SKEW);
    assert_believed(YEAR_2020, TIMESTAMP_MAX, SKEW);
}

static void clock_at_the_ends_of_time_is_replaced(void **state)
{
    (void)state;
    int64_t year_9999, year_1;
    assert_true(timestamp_parse("9999-12-31T23:59:59Z", 20, &year_9999));
    assert_true(timestamp_parse("0001-01-01T00:00:00Z", 20, &year_1));
    assert_replaced(year_9999, T0, SKEW);
    assert_replaced(year_1, T0, SKEW);
    assert_replaced(TIMESTAMP_MAX, T0, SKEW);
    assert_replaced(TIMESTAMP_MIN, T0, SKEW);
}

static void clock_of_a_broker_long_before_1970_overflows_nothing(void **state)
{
    (void)state;
    assert_replaced(TIMESTAMP_MAX, TIMESTAMP_MIN, SKEW);
    assert_replaced(T0, TIMESTAMP_MIN, SKEW);
    assert_replaced(TIMESTAMP_MAX, -1, TIMESTAMP_MAX);
    assert_believed(TIMESTAMP_MAX, 0, TIMESTAMP_MAX);
    assert_believed(TIMESTAMP_MAX, TIMESTAMP_MAX, SKEW);
}

/* ---- states ---- */

static void state_holds_what_it_was_made_of(void **state)
{
    (void)state;
    struct doc *doc = doc_of("{\"lat\":59.9,\"n\":[1,{\"a\":null}]}");
    struct version version = {{"b\0\"7", 4}, INT64_MAX, T0 + 7};
    struct state *made =
        state_new(slice_of("battery.cells"), &version, T0 + 9, UINT64_C(1) << 63, doc_root(doc));
    assert_non_null(made);
    assert_int_equal(state_type(made).size, 13);
    assert_memory_equal(state_type(made).at, "battery.cells", 13);
    assert_int_equal(state_boot(made).size, 4);
    assert_memory_equal(state_boot(made).at, "b\0\"7", 4);
    assert_int_equal(made->seq, INT64_MAX);
    assert_int_equal(made->timestamp_ns, T0 + 7);
    assert_int_equal(made->received_ns, T0 + 9);
    assert_true(made->stream_seq == UINT64_C(1) << 63);
    assert_true(doc_equal(doc_root(made->data), doc_root(doc)));
    free(doc); /* the state has its own */
    assert_true(doc_number(doc_getz(doc_root(made->data), "lat")) == 59.9);
    free(made);
}

static void state_knows_no_boot_from_an_empty_one(void **state)
{
    (void)state;
    struct state *none = state_of("mode", version_of(NULL, SEQ_NONE, T0), T0, "{}");
    struct state *empty = state_of("mode", version_of("", SEQ_NONE, T0), T0, "{}");
    assert_null(state_boot(none).at);
    assert_non_null(state_boot(empty).at);
    assert_int_equal(state_boot(empty).size, 0);
    free(none);
    free(empty);
}

static bool make_state(void *context)
{
    struct version version = version_of("b7", 1, T0);
    struct state *made =
        state_new(slice_of("position"), &version, T0, 1, doc_root((const struct doc *)context));
    free(made);
    return made != NULL;
}

static void state_without_memory_is_none(void **state)
{
    (void)state;
    struct doc *doc = doc_of("{\"lat\":59.9}");
    assert_true(fault_loop(make_state, doc) > 0);
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_newest_wins_in_every_case),
        cmocka_unit_test(version_anything_is_newer_than_nothing),
        cmocka_unit_test(version_an_empty_boot_is_a_boot_like_any_other),
        cmocka_unit_test(version_boots_differ_in_any_byte),
        cmocka_unit_test(version_seq_is_compared_over_its_whole_range),
        cmocka_unit_test(version_timestamps_are_compared_over_their_whole_range),
        cmocka_unit_test(clock_is_believed_from_2020_on),
        cmocka_unit_test(clock_is_believed_up_to_the_skew_ahead),
        cmocka_unit_test(clock_however_late_is_believed),
        cmocka_unit_test(clock_at_the_ends_of_time_is_replaced),
        cmocka_unit_test(clock_of_a_broker_long_before_1970_overflows_nothing),
        cmocka_unit_test(state_holds_what_it_was_made_of),
        cmocka_unit_test(state_knows_no_boot_from_an_empty_one),
        cmocka_unit_test(state_without_memory_is_none),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
