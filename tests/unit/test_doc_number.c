/* doc: numbers are values, exact to the last digit, however they are written. */
#include "tests/unit/doc_help.h"
#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Two parsers: a value of each lives while the other reads. */
static struct doc_parser *parsers[2];

static int make_parsers(void **state)
{
    (void)state;
    parsers[0] = doc_parser_new();
    parsers[1] = doc_parser_new();
    return parsers[0] && parsers[1] ? 0 : -1;
}

static int free_parsers(void **state)
{
    (void)state;
    doc_parser_free(parsers[0]);
    doc_parser_free(parsers[1]);
    return 0;
}

static struct doc_ref number(int which, const char *text)
{
    struct doc_ref root;
    if (parse_exact(parsers[which], text, strlen(text), wide_limits, &root) != DOC_OK)
        fail_msg("refused: %s", text);
    assert_true(doc_is_number(root));
    return root;
}

/* ---- a slow reference: a decimal written out with every digit in its place ---- */

enum { PLACES = 400, POINT = 200 }; /* the digit of 10^0 is the one before POINT */
struct plain {
    bool negative, zero;
    char digits[PLACES];
};

static struct plain plain_of(const char *text)
{
    struct plain plain = {.zero = true};
    memset(plain.digits, '0', PLACES);
    plain.negative = *text == '-';
    text += plain.negative;
    const char *e = strpbrk(text, "eE");
    const char *end = e ? e : text + strlen(text);
    const char *dot = memchr(text, '.', (size_t)(end - text));
    long place = POINT - ((dot ? dot : end) - text) - (e ? strtol(e + 1, NULL, 10) : 0);
    for (const char *at = text; at < end; at++) {
        if (*at == '.')
            continue;
        if (*at != '0') {
            assert_in_range(place, 0, PLACES - 1);
            plain.digits[place] = *at;
            plain.zero = false;
        }
        place++;
    }
    return plain;
}

static int plain_compare(const struct plain *a, const struct plain *b)
{
    int a_sign = a->zero ? 0 : a->negative ? -1 : 1, b_sign = b->zero ? 0 : b->negative ? -1 : 1;
    if (a_sign != b_sign)
        return a_sign < b_sign ? -1 : 1;
    int order = memcmp(a->digits, b->digits, PLACES);
    return order == 0 || a_sign == 0 ? 0 : (order > 0) == (a_sign > 0) ? 1 : -1;
}

static bool plain_int(const struct plain *plain, int64_t *out)
{
    __int128 sum = 0;
    for (int i = 0; i < PLACES; i++) {
        if (i >= POINT && plain->digits[i] != '0')
            return false;
        if (i < POINT)
            sum = sum * 10 + (plain->digits[i] - '0');
        if (sum > (__int128)INT64_MAX + plain->negative)
            return false;
    }
    *out = (int64_t)(plain->negative ? -sum : sum);
    return true;
}

/* A number as hostile as the grammar lets it be, with few enough places for the reference. */
static void random_number(struct random *random, char *text)
{
    char *at = text;
    unsigned whole = random_below(random, 4) ? random_below(random, 22) : random_below(random, 60);
    unsigned fraction = random_below(random, 2) ? random_below(random, 25) : 0;
    bool sparse = random_below(random, 2);
    if (random_below(random, 3) == 0)
        *at++ = '-';
    if (whole == 0)
        *at++ = '0';
    for (unsigned i = 0; i < whole; i++)
        *at++ = (char)(sparse && i && random_below(random, 4) ? '0'
                       : i                                    ? '0' + (int)random_below(random, 10)
                                                              : '1' + (int)random_below(random, 9));
    if (fraction)
        *at++ = '.';
    for (unsigned i = 0; i < fraction; i++)
        *at++ = (char)(sparse ? '0' : '0' + (int)random_below(random, 10));
    if (random_below(random, 3) == 0)
        at += sprintf(at, "%c%d", random_below(random, 2) ? 'e' : 'E',
                      (int)random_below(random, 60) - 30);
    *at = '\0';
}

/* The same value written otherwise: the point shifted, zeros added. */
static void rewrite(struct random *random, const char *text, char *other)
{
    const char *e = strpbrk(text, "eE");
    long exponent = e ? strtol(e + 1, NULL, 10) : 0;
    size_t size = e ? (size_t)(e - text) : strlen(text);
    memcpy(other, text, size);
    other[size] = '\0';
    if (!strchr(other, '.'))
        strcat(other, ".0");
    for (unsigned zeros = random_below(random, 4); zeros > 0; zeros--)
        strcat(other, "0");
    sprintf(other + strlen(other), "e%ld", exponent);
    /* Move one digit over the point where there is one to move. */
    char *dot = strchr(other, '.');
    if (dot[1] >= '0' && dot[1] <= '9' && dot[2] >= '0' && dot[2] <= '9' && dot[-1] != '0') {
        dot[0] = dot[1];
        dot[1] = '.';
        sprintf(strchr(other, 'e'), "e%ld", exponent - 1);
    }
}

/* Another digit at a random place of the mantissa, no zero at its start. */
static void change_digit(struct random *random, char *text)
{
    size_t digits = strcspn(text, "eE"), at;
    do
        at = random_below(random, (unsigned)digits);
    while (text[at] == '-' || text[at] == '.');
    text[at] = (char)('1' + (int)random_below(random, 9));
}

static void doc_random_numbers_compare_as_their_digits_do(void **state)
{
    (void)state;
    struct random random = random_seeded("doc_number_compare");
    unsigned equal = 0;
    for (int i = 0; i < 100000; i++) {
        char a[128], b[160];
        random_number(&random, a);
        random_number(&random, b);
        if (i % 2)
            rewrite(&random, a, b);
        if (i % 4 == 3) /* and one digit of it changed */
            change_digit(&random, b);
        struct plain x = plain_of(a), y = plain_of(b);
        int expected = plain_compare(&x, &y);
        struct doc_ref left = number(0, a), right = number(1, b);
        int order = doc_number_compare(left, right);
        if ((order > 0) - (order < 0) != expected)
            fail_msg("%s and %s compare as %d", a, b, order);
        order = doc_number_compare(right, left);
        assert_int_equal((order > 0) - (order < 0), -expected);
        assert_int_equal(doc_equal(left, right), expected == 0);
        equal += expected == 0;
    }
    assert_true(equal > 20000);
}

static void doc_random_numbers_are_the_nearest_doubles(void **state)
{
    (void)state;
    struct random random = random_seeded("doc_number");
    for (int i = 0; i < 100000; i++) {
        char text[128];
        random_number(&random, text);
        double expected = strtod(text, NULL), got = doc_number(number(0, text));
        if (memcmp(&expected, &got, sizeof got) != 0)
            fail_msg("%s is read as %.17g", text, got);
    }
}

static void doc_random_numbers_are_whole_where_their_digits_are(void **state)
{
    (void)state;
    struct random random = random_seeded("doc_int");
    unsigned whole = 0;
    for (int i = 0; i < 100000; i++) {
        char text[128];
        int64_t expected = 0, got = 4711;
        random_number(&random, text);
        struct plain plain = plain_of(text);
        bool is_whole = plain_int(&plain, &expected);
        if (doc_int(number(0, text), &got) != is_whole)
            fail_msg("%s is %swhole", text, is_whole ? "" : "not ");
        assert_int_equal(got, is_whole ? expected : 4711);
        whole += is_whole;
    }
    assert_true(whole > 20000);
}

static void doc_int_reads_whole_numbers_however_they_are_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {{"0", 0},
                 {"-0", 0},
                 {"-0.0", 0},
                 {"0e400", 0},
                 {"0.000e-5", 0},
                 {"1.0", 1},
                 {"1e3", 1000},
                 {"-1e3", -1000},
                 {"1.5e1", 15},
                 {"15000e-3", 15},
                 {"1.00000000000000000000000000", 1},
                 {"1000000000000000000000e-3", INT64_C(1000000000000000000)},
                 {"0.000000000000000000000000005e27", 5},
                 {"999999999999999999", INT64_C(999999999999999999)},
                 {"1736937000123456789", INT64_C(1736937000123456789)},
                 {"9223372036854775807", INT64_MAX},
                 {"9223372036854775807.000", INT64_MAX},
                 {"9.223372036854775807e18", INT64_MAX},
                 {"9223372036854775806", INT64_MAX - 1},
                 {"-9223372036854775808", INT64_MIN},
                 {"-9223372036854775807", INT64_MIN + 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value = 4711;
        assert_true(doc_int(number(0, cases[i].text), &value));
        assert_int_equal(value, cases[i].value);
    }
}

static void doc_int_refuses_what_is_not_whole_or_does_not_fit(void **state)
{
    (void)state;
    static const char *const texts[] = {"1.5",
                                        "-0.5",
                                        "1e-1",
                                        "1e-400",
                                        "0.9999999999999999999999999",
                                        "1.00000000000000000000000001",
                                        "9007199254740991.00000000000000000001",
                                        "9223372036854775808",
                                        "-9223372036854775809",
                                        "18446744073709551615",
                                        "18446744073709551616",
                                        "1e19",
                                        "1e127",
                                        "1e308",
                                        "99999999999999999999999999999999999999999",
                                        "123456789012345678901234567890.5"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t value = 4711;
        if (doc_int(number(0, texts[i]), &value))
            fail_msg("%s was read as %lld", texts[i], (long long)value);
        assert_int_equal(value, 4711);
    }
    static const char *const others[] = {"null", "true", "false", "\"1\"", "[1]", "{}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct doc_ref root;
        int64_t value;
        parse_exact(parsers[0], others[i], strlen(others[i]), wide_limits, &root);
        assert_false(doc_int(root, &value));
    }
    int64_t value;
    assert_false(doc_int((struct doc_ref){NULL, NULL}, &value));
}

static void doc_long_numbers_differ_where_a_double_sees_no_difference(void **state)
{
    (void)state;
    static const struct {
        const char *smaller, *larger;
    } cases[] = {{"1736937000123456788", "1736937000123456789"}, /* a clock in nanoseconds */
                 {"9223372036854775806", "9223372036854775807"},
                 {"9223372036854775807", "9223372036854775808"},
                 {"-9223372036854775809", "-9223372036854775808"},
                 {"9007199254740992", "9007199254740993"},
                 {"0.1000000000000000000000000000000", "0.1000000000000000000000000000001"},
                 {"1e-400", "1e-399"},
                 {"-1e-400", "0"},
                 {"0", "1e-400"},
                 {"99999999999999999999", "1e20"},
                 {"1e19", "10000000000000000001"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct doc_ref a = number(0, cases[i].smaller), b = number(1, cases[i].larger);
        assert_true(doc_number_compare(a, b) < 0);
        assert_true(doc_number_compare(b, a) > 0);
        assert_true(doc_number_compare(a, a) == 0);
        assert_false(doc_equal(a, b));
    }
}

static void doc_numbers_of_one_value_are_equal(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
    } cases[] = {{"0", "-0"},
                 {"0", "-0.0"},
                 {"0", "0e400"},
                 {"0e-300", "-0e300"},
                 {"1", "1.0"},
                 {"1", "1e0"},
                 {"100", "1e2"},
                 {"0.01", "1e-2"},
                 {"1", "1.0000000000000000000000000000000"},
                 {"1e20", "100000000000000000000"},
                 {"1e-20", "0.00000000000000000001"},
                 {"-5e127", "-50e126"},
                 {"5e300", "500e298"},
                 {"9223372036854775808", "9.223372036854775808e18"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct doc_ref a = number(0, cases[i].a), b = number(1, cases[i].b);
        if (doc_number_compare(a, b) != 0 || !doc_equal(b, a))
            fail_msg("%s and %s are not equal", cases[i].a, cases[i].b);
    }
}

static void doc_number_rounds_a_thousand_digits_correctly(void **state)
{
    (void)state;
    /* Half way between two doubles: 2^53 + 1, then a thousand zeros, then perhaps a one. */
    static const char half[] = "9007199254740993.";
    char text[2001], small[2100];
    for (int one = 0; one <= 1; one++) {
        memset(text, '0', 1200);
        memcpy(text, half, sizeof half - 1);
        text[1100] = (char)('0' + one);
        text[1101] = '\0';
        double value = doc_number(number(0, text));
        assert_true(value == (one ? 9007199254740994.0 : 9007199254740992.0));
        snprintf(small, sizeof small, "-%se-100", text);
        assert_true(doc_number(number(0, small)) == strtod(small, NULL));
    }
    /* and a number of more digits than any buffer holds, behind as many zeros */
    memset(text, '0', 2000);
    text[1] = '.';
    strcpy(text + 900, "123e899");
    assert_true(doc_number(number(0, text)) == 1.23);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(doc_random_numbers_compare_as_their_digits_do),
        cmocka_unit_test(doc_random_numbers_are_the_nearest_doubles),
        cmocka_unit_test(doc_random_numbers_are_whole_where_their_digits_are),
        cmocka_unit_test(doc_int_reads_whole_numbers_however_they_are_written),
        cmocka_unit_test(doc_int_refuses_what_is_not_whole_or_does_not_fit),
        cmocka_unit_test(doc_long_numbers_differ_where_a_double_sees_no_difference),
        cmocka_unit_test(doc_numbers_of_one_value_are_equal),
        cmocka_unit_test(doc_number_rounds_a_thousand_digits_correctly),
    };
    return cmocka_run_group_tests_name("doc_number", tests, make_parsers, free_parsers);
}
