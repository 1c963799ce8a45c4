/* timestamp: RFC 3339 (its section 5.6 and the examples of 5.8) to nanoseconds and back. */
#include "twin/timestamp.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static int64_t parsed(const char *text)
{
    int64_t instant = TIMESTAMP_NONE;
    if (!timestamp_parse(text, strlen(text), &instant))
        fail_msg("refused: %s", text);
    assert_true(instant != TIMESTAMP_NONE);
    return instant;
}

static void assert_refused(const char *text, size_t size)
{
    int64_t instant = 4711;
    if (timestamp_parse(text, size, &instant))
        fail_msg("accepted: %.*s", (int)size, text);
    assert_int_equal(instant, 4711);
}

static int64_t at(int64_t seconds, int64_t nanoseconds)
{
    return seconds * NS_PER_S + nanoseconds;
}

static void timestamp_examples_of_rfc_3339_are_read(void **state)
{
    (void)state;
    assert_int_equal(parsed("1985-04-12T23:20:50.52Z"), at(482196050, 520000000));
    assert_int_equal(parsed("1996-12-19T16:39:57-08:00"), at(851042397, 0));
    assert_int_equal(parsed("1996-12-20T00:39:57Z"), at(851042397, 0));
    /* Leap seconds: the first instant of the next minute. */
    assert_int_equal(parsed("1990-12-31T23:59:60Z"), at(662688000, 0));
    assert_int_equal(parsed("1990-12-31T15:59:60-08:00"), at(662688000, 0));
    assert_int_equal(parsed("1991-01-01T00:00:00Z"), at(662688000, 0));
    assert_int_equal(parsed("1937-01-01T12:00:27.87+00:20"), at(-1041337173, 870000000));
    assert_int_equal(parsed("2026-01-15T10:30:00.123Z"), at(1768473000, 123000000));
}

static void timestamp_any_fraction_is_read_to_the_nanosecond(void **state)
{
    (void)state;
    assert_int_equal(parsed("1970-01-01T00:00:00.5Z"), at(0, 500000000));
    assert_int_equal(parsed("1970-01-01T00:00:00.000000001Z"), 1);
    assert_int_equal(parsed("1970-01-01T00:00:00.0000000019999Z"), 1);
    assert_int_equal(parsed("1970-01-01T00:00:00.999999999999999999999999999999Z"),
                     at(0, 999999999));
    assert_int_equal(parsed("1969-12-31T23:59:59.999999999Z"), -1);
    assert_int_equal(parsed("1990-12-31T23:59:60.75Z"), at(662688000, 0));

    char text[100] = "1970-01-01T00:00:00.";
    memset(text + 20, '0', 70);
    memcpy(text + 90, "7Z", 3);
    assert_int_equal(parsed(text), 0);
}

static void timestamp_any_offset_is_read(void **state)
{
    (void)state;
    assert_int_equal(parsed("1970-01-01T00:00:00+00:00"), 0);
    assert_int_equal(parsed("1970-01-01T00:00:00-00:00"), 0);
    assert_int_equal(parsed("1970-01-01T05:45:00+05:45"), 0);
    assert_int_equal(parsed("1970-01-01T23:59:00+23:59"), 0);
    assert_int_equal(parsed("1969-12-31T00:01:00-23:59"), 0);
    assert_int_equal(parsed("2000-02-29T23:30:00-01:00"), parsed("2000-03-01T00:30:00Z"));
    assert_refused("1970-01-01T00:00:00+24:00", 25);
    assert_refused("1970-01-01T00:00:00+00:60", 25);
    assert_refused("1970-01-01T00:00:00+0000", 24);
    assert_refused("1970-01-01T00:00:00+00", 22);
    assert_refused("1970-01-01T00:00:00", 19);
}

static void timestamp_letters_may_be_small(void **state)
{
    (void)state;
    assert_int_equal(parsed("1970-01-01t00:00:01z"), NS_PER_S);
    assert_refused("1970-01-01 00:00:01Z", 20);
    assert_refused("1970-01-01_00:00:01Z", 20);
}

static void timestamp_february_has_29_days_in_leap_years_only(void **state)
{
    (void)state;
    parsed("2024-02-29T00:00:00Z");
    parsed("2000-02-29T00:00:00Z");
    parsed("0000-02-29T00:00:00Z");
    assert_refused("2023-02-29T00:00:00Z", 20);
    assert_refused("1900-02-29T00:00:00Z", 20);
    assert_refused("2100-02-29T00:00:00Z", 20);
    assert_refused("2024-02-30T00:00:00Z", 20);
}

static void timestamp_fields_out_of_range_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "2026-00-10T00:00:00Z", "2026-13-10T00:00:00Z", "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z", "2026-04-31T00:00:00Z", "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-06-31T00:00:00Z",
        "2026-09-31T00:00:00Z", "2026-11-31T00:00:00Z", "2026-99-99T99:99:99Z"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refused(texts[i], strlen(texts[i]));
}

static void timestamp_text_of_another_shape_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "Z",
                                        "now",
                                        "1736937000",
                                        "2026-01-01",
                                        "26-01-01T00:00:00Z",
                                        "02026-01-01T00:00:00Z",
                                        "+2026-01-01T00:00:00Z",
                                        "-001-01-01T00:00:00Z",
                                        "2026-1-1T00:00:00Z",
                                        "2026-01-01T0:00:00Z",
                                        "2026-01-01T00:00Z",
                                        "20260101T000000Z",
                                        "2026-01-01T00:00:00.Z",
                                        "2026-01-01T00:00:00,5Z",
                                        "2026-01-01T00:00:00.-5Z",
                                        "2026-01-01T00:00:00.5",
                                        "2026-01-01T00:00:00ZZ",
                                        "2026-01-01T00:00:00Z ",
                                        " 2026-01-01T00:00:00Z",
                                        "2026-01-01T00:00:00+01:00Z",
                                        "2026-01-01T00:00:00*01:00",
                                        "2026-W01-1T00:00:00Z",
                                        "2026-01-01T00:00:00 +01:00",
                                        "\xd9\xa2\xd9\xa0-01-01T00:00:00Z"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refused(texts[i], strlen(texts[i]));
    assert_refused("2026-01-01T00:00:00Z\0", 21);
    assert_refused("2026-01-01T00:00:00\0", 20);
}

static void timestamp_truncated_anywhere_is_refused(void **state)
{
    (void)state;
    static const char text[] = "2026-01-15T10:30:00.123+01:00";
    for (size_t size = 0; size < sizeof text - 1; size++) {
        char exact[sizeof text]; /* what is behind the size must not be read as part of it */
        memset(exact, '0', sizeof exact);
        memcpy(exact, text, size);
        assert_refused(exact, size);
    }
}

static void timestamp_beyond_64_bits_becomes_the_nearest_instant(void **state)
{
    (void)state;
    assert_int_equal(parsed("0000-01-01T00:00:00Z"), TIMESTAMP_MIN);
    assert_int_equal(parsed("0001-01-01T00:00:00+23:59"), TIMESTAMP_MIN);
    assert_int_equal(parsed("1677-01-01T00:00:00Z"), TIMESTAMP_MIN);
    assert_int_equal(parsed("1677-09-21T00:12:43.145224192Z"), TIMESTAMP_MIN);
    assert_int_equal(parsed("2262-04-11T23:47:16.854775808Z"), TIMESTAMP_MAX);
    assert_int_equal(parsed("2262-04-11T23:47:17Z"), TIMESTAMP_MAX);
    assert_int_equal(parsed("9999-12-31T23:59:59.999999999Z"), TIMESTAMP_MAX);
    assert_int_equal(parsed("9999-12-31T23:59:60-23:59"), TIMESTAMP_MAX);
}

static void timestamp_the_last_instants_of_64_bits_are_read_exactly(void **state)
{
    (void)state;
    assert_int_equal(parsed("2262-04-11T23:47:16.854775807Z"), TIMESTAMP_MAX);
    assert_int_equal(parsed("2262-04-11T23:47:16.854775806Z"), TIMESTAMP_MAX - 1);
    assert_int_equal(parsed("2262-04-11T23:47:16Z"), at(9223372036, 0));
    assert_int_equal(parsed("1677-09-21T00:12:43.145224193Z"), TIMESTAMP_MIN);
    assert_int_equal(parsed("1677-09-21T00:12:43.145224194Z"), TIMESTAMP_MIN + 1);
    assert_int_equal(parsed("1677-09-21T00:12:44Z"), at(-9223372036, 0));
}

static void timestamp_is_written_in_utc_with_three_or_nine_digits(void **state)
{
    (void)state;
    static const struct {
        int64_t instant;
        const char *text;
    } cases[] = {{0, "1970-01-01T00:00:00.000Z"},
                 {-1, "1969-12-31T23:59:59.999999999Z"},
                 {1500 * NS_PER_MS, "1970-01-01T00:00:01.500Z"},
                 {1500 * NS_PER_MS + 1, "1970-01-01T00:00:01.500000001Z"},
                 {-1500 * NS_PER_MS, "1969-12-31T23:59:58.500Z"},
                 {INT64_C(951782399999) * NS_PER_MS, "2000-02-28T23:59:59.999Z"},
                 {INT64_C(951782400000) * NS_PER_MS, "2000-02-29T00:00:00.000Z"},
                 {INT64_C(951868800000) * NS_PER_MS, "2000-03-01T00:00:00.000Z"},
                 {TIMESTAMP_MIN, "1677-09-21T00:12:43.145224193Z"},
                 {TIMESTAMP_MAX, "2262-04-11T23:47:16.854775807Z"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[TIMESTAMP_TEXT_BYTES];
        assert_int_equal(timestamp_format(cases[i].instant, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
        assert_int_equal(parsed(text), cases[i].instant);
    }
}

static void timestamp_every_day_of_64_bits_is_the_day_that_libc_names(void **state)
{
    (void)state;
    for (int64_t day = -106751; day <= 106751; day++) {
        time_t seconds = (time_t)(day * 86400 + 43200);
        struct tm tm;
        char expected[TIMESTAMP_TEXT_BYTES], text[TIMESTAMP_TEXT_BYTES];
        assert_non_null(gmtime_r(&seconds, &tm));
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        timestamp_format(seconds * NS_PER_S, text);
        assert_string_equal(text, expected);
        assert_int_equal(parsed(text), seconds * NS_PER_S);
    }
}

static void timestamp_random_instants_survive_the_round_trip(void **state)
{
    (void)state;
    struct random random = random_seeded("timestamp");
    for (int i = 0; i < 200000; i++) {
        int64_t instant = (int64_t)random_next(&random);
        if (instant == TIMESTAMP_NONE)
            continue;
        if (i % 3 == 0) /* whole milliseconds are written shorter */
            instant -= instant % NS_PER_MS;
        char text[TIMESTAMP_TEXT_BYTES];
        size_t size = timestamp_format(instant, text);
        assert_int_equal(size, instant % NS_PER_MS == 0 ? 24 : 30);
        assert_int_equal(parsed(text), instant);

        /* The same wall clock in another zone is the same instant shifted. */
        int offset_min = (int)random_below(&random, 24 * 60);
        if (instant < TIMESTAMP_MIN + 2 * 86400 * NS_PER_S ||
            instant > TIMESTAMP_MAX - 2 * 86400 * NS_PER_S)
            continue;
        snprintf(text + size - 1, sizeof text - size + 1, "+%02d:%02d", offset_min / 60,
                 offset_min % 60);
        assert_int_equal(parsed(text), instant - offset_min * 60 * NS_PER_S);
        text[size - 1] = '-';
        assert_int_equal(parsed(text), instant + offset_min * 60 * NS_PER_S);
    }
}

static void timestamp_no_single_wrong_byte_goes_unnoticed(void **state)
{
    (void)state;
    static const char text[] = "2024-02-29T12:34:56.789+01:30";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        for (int c = 0; c < 256; c++) {
            char changed[sizeof text];
            int64_t instant;
            memcpy(changed, text, sizeof text);
            changed[i] = (char)c;
            bool digit = c >= '0' && c <= '9', was_digit = text[i] >= '0' && text[i] <= '9';
            bool same_kind = (was_digit && digit) || (text[i] == 'T' && c == 't') ||
                             (text[i] == '+' && c == '-') || text[i] == (char)c;
            if (!same_kind && timestamp_parse(changed, sizeof text - 1, &instant))
                fail_msg("accepted byte %d at %zu", c, i);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(timestamp_examples_of_rfc_3339_are_read),
        cmocka_unit_test(timestamp_any_fraction_is_read_to_the_nanosecond),
        cmocka_unit_test(timestamp_any_offset_is_read),
        cmocka_unit_test(timestamp_letters_may_be_small),
        cmocka_unit_test(timestamp_february_has_29_days_in_leap_years_only),
        cmocka_unit_test(timestamp_fields_out_of_range_are_refused),
        cmocka_unit_test(timestamp_text_of_another_shape_is_refused),
        cmocka_unit_test(timestamp_truncated_anywhere_is_refused),
        cmocka_unit_test(timestamp_beyond_64_bits_becomes_the_nearest_instant),
        cmocka_unit_test(timestamp_the_last_instants_of_64_bits_are_read_exactly),
        cmocka_unit_test(timestamp_is_written_in_utc_with_three_or_nine_digits),
        cmocka_unit_test(timestamp_every_day_of_64_bits_is_the_day_that_libc_names),
        cmocka_unit_test(timestamp_random_instants_survive_the_round_trip),
        cmocka_unit_test(timestamp_no_single_wrong_byte_goes_unnoticed),
    };
    return cmocka_run_group_tests_name("timestamp", tests, NULL, NULL);
}
