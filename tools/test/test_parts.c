/* The small parts: options, pace, hold, roster. */
#include "tools/hold.h"
#include "tools/options.h"
#include "tools/pace.h"
#include "tools/roster.h"

#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- options ---- */

struct target {
    bool flag;
    const char *text;
    int64_t count, loop;
    double rate;
    struct option_texts headers;
};

static const struct option_spec SPECS[] = {
    {"flag", NULL, "", OPTION_FLAG, offsetof(struct target, flag), NULL, 0, 0},
    {"text", "T", "", OPTION_TEXT, offsetof(struct target, text), "none", 0, 0},
    {"count", "N", "", OPTION_INT, offsetof(struct target, count), "3", 1, 10},
    {"loop", "[N]", "", OPTION_MAYBE_INT, offsetof(struct target, loop), "1", 0, 100},
    {"rate", "R", "", OPTION_REAL, offsetof(struct target, rate), "0.5", 0, 1},
    {"header", "H", "", OPTION_TEXTS, offsetof(struct target, headers), NULL, 0, 0},
};
static const struct option_group GROUP = {"Test", SPECS, sizeof SPECS / sizeof *SPECS};

static bool parse(struct target *target, struct option_args *args, char *error, int argc, ...)
{
    char *argv[16];
    va_list words;
    va_start(words, argc);
    for (int i = 0; i < argc; i++)
        argv[i] = va_arg(words, char *);
    va_end(words);
    *target = (struct target){.flag = false};
    return options_parse(&GROUP, 1, argc, argv, target, args, error);
}

static void options_take_defaults_and_both_spellings(void **state)
{
    (void)state;
    struct target target;
    struct option_args args;
    char error[OPTION_ERROR_BYTES];
    assert_true(parse(&target, &args, error, 0));
    assert_string_equal(target.text, "none");
    assert_int_equal(target.count, 3);
    assert_true(parse(&target, &args, error, 8, "--count=7", "file", "--rate", "0.25", "--flag",
                      "--header=a:b", "--header", "c:d"));
    assert_int_equal(target.count, 7);
    assert_true(target.flag && target.rate == 0.25);
    assert_int_equal(target.headers.count, 2);
    assert_int_equal(args.count, 1);
    assert_string_equal(args.positionals[0], "file");
}

static void loop_without_a_number_is_for_ever(void **state)
{
    (void)state;
    struct target target;
    struct option_args args;
    char error[OPTION_ERROR_BYTES];
    assert_true(parse(&target, &args, error, 2, "--loop", "file.ndjson"));
    assert_int_equal(target.loop, 0);
    assert_int_equal(args.count, 1);
    assert_true(parse(&target, &args, error, 3, "--loop", "5", "file.ndjson"));
    assert_int_equal(target.loop, 5);
    assert_int_equal(args.count, 1);
}

static void options_refuse_what_they_do_not_know(void **state)
{
    (void)state;
    struct target target;
    struct option_args args;
    char error[OPTION_ERROR_BYTES];
    assert_false(parse(&target, &args, error, 1, "--nope"));
    assert_string_equal(error, "no option --nope");
    assert_false(parse(&target, &args, error, 2, "--count", "11"));
    assert_false(parse(&target, &args, error, 2, "--count", "1x"));
    assert_false(parse(&target, &args, error, 2, "--rate", "nan"));
    assert_false(parse(&target, &args, error, 1, "--text"));
    assert_false(parse(&target, &args, error, 1, "--flag=1"));
    assert_false(parse(&target, &args, error, 1, "-x"));
    assert_true(parse(&target, &args, error, 2, "--", "--nope"));
    assert_int_equal(args.count, 1);
}

/* ---- pace ---- */

#define T0 (INT64_C(1800000000) * NS_PER_S)

static void line_is_due_at_the_instant_of_its_timestamp(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 4, 100 * NS_PER_S, 1000, T0);
    assert_int_equal(pace_due(&pace, 8 * NS_PER_S), 1000 + 2 * NS_PER_S);
    assert_int_equal(pace_timestamp(&pace, 8 * NS_PER_S, 0), T0 + 2 * NS_PER_S);
}

static void as_fast_as_possible_is_dated_back_and_never_ahead(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 0, 1000 * NS_PER_S, 0, T0);
    assert_true(pace_due(&pace, 999 * NS_PER_S) == INT64_MIN);
    assert_int_equal(pace_timestamp(&pace, 0, T0), T0 - 1000 * NS_PER_S);
    assert_int_equal(pace_timestamp(&pace, 1000 * NS_PER_S, T0), T0);
}

static void endless_as_fast_as_possible_is_stamped_as_sent_and_always_later(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 0, 0, 0, T0);
    int64_t first = pace_timestamp(&pace, 5 * NS_PER_S, T0);
    int64_t second = pace_timestamp(&pace, 6 * NS_PER_S, T0);
    assert_int_equal(first, T0);
    assert_true(second > first && second < T0 + NS_PER_MS);
}

/* ---- hold ---- */

static void held_messages_come_in_order_of_their_time(void **state)
{
    (void)state;
    struct hold *hold = hold_new();
    static const int64_t times[] = {5, 1, 9, 1, 7, 3, 8};
    for (size_t i = 0; i < 7; i++) {
        char id[8];
        snprintf(id, sizeof id, "%zu", i);
        assert_true(hold_put(hold, held_new(times[i], CATEGORY_EVENT, false, "s", id, "{}", 2)));
    }
    char got[8] = "";
    int64_t last = 0;
    for (size_t i = 0; i < 7; i++) {
        assert_true(hold_next_ns(hold) >= last);
        last = hold_next_ns(hold);
        struct held *held = hold_take(hold);
        got[i] = held->msg_id[0];
        assert_memory_equal(held->payload, "{}", 2);
        free(held);
    }
    assert_string_equal(got, "1350462"); /* equal times: first in, first out */
    assert_null(hold_take(hold));
    assert_true(hold_next_ns(hold) == INT64_MAX);
    hold_free(hold);
}

/* ---- roster ---- */

static void roster_numbers_vehicles_and_finds_them(void **state)
{
    (void)state;
    struct roster *roster = roster_new();
    for (uint32_t i = 0; i < 5000; i++) {
        char vid[16];
        int size = snprintf(vid, sizeof vid, "VID-%u", i);
        assert_int_equal(roster_add(roster, vid, (size_t)size), i);
    }
    assert_int_equal(roster_add(roster, "VID-17", 6), 17);
    assert_int_equal(roster_find(roster, "VID-4999", 8), 4999);
    assert_int_equal(roster_find(roster, "VID-5000", 8), ROSTER_NONE);
    assert_int_equal(roster_add(roster, "a.b", 3), ROSTER_NONE);
    assert_int_equal(roster_add(roster, "stream", 6), ROSTER_NONE);
    assert_int_equal(roster_count(roster), 5000);
    assert_string_equal(roster_vid(roster, 4999), "VID-4999");
    roster_free(roster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_take_defaults_and_both_spellings),
        cmocka_unit_test(loop_without_a_number_is_for_ever),
        cmocka_unit_test(options_refuse_what_they_do_not_know),
        cmocka_unit_test(line_is_due_at_the_instant_of_its_timestamp),
        cmocka_unit_test(as_fast_as_possible_is_dated_back_and_never_ahead),
        cmocka_unit_test(endless_as_fast_as_possible_is_stamped_as_sent_and_always_later),
        cmocka_unit_test(held_messages_come_in_order_of_their_time),
        cmocka_unit_test(roster_numbers_vehicles_and_finds_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
