#include "twin/doc.h"

#include "twin/doc_lookup.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXACT_POWER = 22,      /* 10^22 is the last power of ten that a double holds exactly */
    ROUNDING_DIGITS = 768, /* more cannot change which double is nearest, but for a tie */
    INT64_DIGITS = 19,
    DECIMAL_TEXT_BYTES = 40,            /* a mantissa, its exponent and a NUL */
    EXPONENT_LIMIT = 4 * DOC_MAX_BYTES, /* as in reading: more than all digits of a text */
};
static const int64_t exact_mantissa = INT64_C(1) << 53;

static uint32_t span_of(const struct doc_node *node)
{
    return node->type >= DOC_ARRAY ? node->u.box.span : 1;
}

/* ---- looking ---- */

static const char *heap_of(const struct doc *doc)
{
    return (const char *)(doc->nodes + doc->node_count);
}

struct doc_ref doc_root(const struct doc *doc)
{
    if (!doc)
        return (struct doc_ref){NULL, NULL};
    return (struct doc_ref){doc->nodes, heap_of(doc)};
}

size_t doc_bytes(const struct doc *doc)
{
    return sizeof *doc + doc->node_count * sizeof *doc->nodes + doc->heap_bytes;
}

bool doc_is_number(struct doc_ref value)
{
    return value.node && (value.node->type == DOC_DECIMAL || value.node->type == DOC_DIGITS);
}

size_t doc_members(struct doc_ref value)
{
    return value.node && value.node->type >= DOC_ARRAY ? value.node->u.box.members : 0;
}

struct doc_ref doc_first(struct doc_ref container)
{
    if (doc_members(container) == 0)
        return (struct doc_ref){NULL, NULL};
    return (struct doc_ref){container.node + 1, container.heap};
}

struct doc_ref doc_next(struct doc_ref container, struct doc_ref member)
{
    const struct doc_node *next = member.node + span_of(member.node);
    if (next == container.node + container.node->u.box.span)
        return (struct doc_ref){NULL, NULL};
    return (struct doc_ref){next, container.heap};
}

struct doc_ref doc_get(struct doc_ref object, const char *name, size_t name_size)
{
    if (!doc_is(object, DOC_OBJECT))
        return (struct doc_ref){NULL, NULL};
    const struct doc_node *end = object.node + object.node->u.box.span;
    for (const struct doc_node *node = object.node + 1; node < end; node += span_of(node))
        if (node->name_len == name_size && memcmp(object.heap + node->name, name, name_size) == 0)
            return (struct doc_ref){node, object.heap};
    return (struct doc_ref){NULL, NULL};
}

struct doc_ref doc_getz(struct doc_ref object, const char *name)
{
    return doc_get(object, name, strlen(name));
}

const char *doc_name(struct doc_ref member, size_t *size)
{
    *size = member.node->name_len;
    return member.heap + member.node->name;
}

const char *doc_string(struct doc_ref string, size_t *size)
{
    *size = string.node->u.text.len;
    return string.heap + string.node->u.text.at;
}

static double decimal_value(int64_t mantissa, int exponent)
{
    static const double powers[EXACT_POWER + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    /* Both factors exact: one operation, correctly rounded (Clinger's fast path). */
    if (mantissa >= -exact_mantissa && mantissa <= exact_mantissa && exponent >= -EXACT_POWER &&
        exponent <= EXACT_POWER)
        return exponent < 0 ? (double)mantissa / powers[-exponent]
                            : (double)mantissa * powers[exponent];
    char text[40];
    snprintf(text, sizeof text, "%llde%d", (long long)mantissa, exponent);
    return strtod(text, NULL);
}

/* A number taken apart: ± 0.d1d2d3… × 10^magnitude, with d1 not 0. Zero has no digits. */
struct digits {
    const char *at, *end; /* what is left of the digits; may hold the point */
    long magnitude;
    bool negative;
};

static long written_exponent(const char *at, const char *end)
{
    long sum = 0;
    bool down = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    for (; at < end && sum < EXPONENT_LIMIT; at++)
        sum = sum * 10 + (*at - '0');
    return down ? -sum : sum;
}

static struct digits digits_of(struct doc_ref number, char room[DECIMAL_TEXT_BYTES])
{
    size_t size;
    const char *text = room;
    if (number.node->type == DOC_DECIMAL)
        size = (size_t)snprintf(room, DECIMAL_TEXT_BYTES, "%llde%d",
                                (long long)number.node->u.mantissa, number.node->exponent);
    else
        text = doc_string(number, &size);

    const char *end = text + size, *at = text;
    struct digits digits = {.negative = *text == '-'};
    bool point = false;
    for (at += digits.negative; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at != '0' && *at != '.' && !digits.at)
            digits.at = at;
        if (*at == '.')
            point = true;
        else if (digits.at)
            digits.magnitude += !point;
        else
            digits.magnitude -= point;
    }
    digits.end = at;
    if (!digits.at)
        digits.at = at, digits.magnitude = 0;
    else if (at < end)
        digits.magnitude += written_exponent(at + 1, end);
    return digits;
}

/* The next digit, and zeros for ever behind the last. */
static int next_digit(struct digits *digits)
{
    if (digits->at < digits->end && *digits->at == '.')
        digits->at++;
    return digits->at < digits->end ? *digits->at++ - '0' : 0;
}

static bool rest_is_zero(struct digits digits)
{
    while (digits.at < digits.end)
        if (next_digit(&digits) != 0)
            return false;
    return true;
}

double doc_number(struct doc_ref number)
{
    if (number.node->type == DOC_DECIMAL)
        return decimal_value(number.node->u.mantissa, number.node->exponent);
    char room[DECIMAL_TEXT_BYTES], text[ROUNDING_DIGITS + 32];
    struct digits digits = digits_of(number, room);
    size_t at = 0;
    if (digits.negative)
        text[at++] = '-';
    text[at++] = '0';
    text[at++] = '.';
    for (int i = 0; i < ROUNDING_DIGITS && digits.at < digits.end; i++)
        text[at++] = (char)('0' + next_digit(&digits));
    if (!rest_is_zero(digits)) /* all that the others can do is to break a tie */
        text[at++] = '1';
    snprintf(text + at, sizeof text - at, "e%ld", digits.magnitude);
    return strtod(text, NULL);
}

/* 10^power for 0..18 */
static int64_t integer_power(int power)
{
    int64_t value = 1;
    while (power-- > 0)
        value *= 10;
    return value;
}

/* A whole number out of the text of a long one, such as a clock's 19 digits of nanoseconds. */
static bool digits_int(struct doc_ref value, int64_t *out)
{
    char room[DECIMAL_TEXT_BYTES];
    struct digits digits = digits_of(value, room);
    uint64_t sum = 0, limit = digits.negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    if (digits.magnitude > INT64_DIGITS)
        return false;
    for (long i = 0; i < digits.magnitude; i++) {
        uint64_t digit = (uint64_t)next_digit(&digits);
        if (sum > (limit - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    if (!rest_is_zero(digits))
        return false;
    *out = digits.negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

bool doc_int(struct doc_ref value, int64_t *out)
{
    if (doc_is(value, DOC_DIGITS))
        return digits_int(value, out);
    if (!doc_is(value, DOC_DECIMAL))
        return false;
    int64_t mantissa = value.node->u.mantissa;
    int exponent = value.node->exponent;
    while (exponent < 0 && mantissa % 10 == 0 && mantissa != 0)
        mantissa /= 10, exponent++;
    while (exponent > 0 && mantissa != 0) {
        if (mantissa > INT64_MAX / 10 || mantissa < INT64_MIN / 10)
            return false;
        mantissa *= 10, exponent--;
    }
    if (mantissa != 0 && exponent != 0)
        return false;
    *out = mantissa;
    return true;
}

/* ---- comparing ---- */

static int compare_digits(struct doc_ref a, struct doc_ref b)
{
    char x_room[DECIMAL_TEXT_BYTES], y_room[DECIMAL_TEXT_BYTES];
    struct digits x = digits_of(a, x_room), y = digits_of(b, y_room);
    int x_sign = x.at == x.end ? 0 : x.negative ? -1 : 1;
    int y_sign = y.at == y.end ? 0 : y.negative ? -1 : 1;
    if (x_sign != y_sign || x_sign == 0)
        return x_sign - y_sign;
    if (x.magnitude != y.magnitude)
        return x.magnitude > y.magnitude ? x_sign : -x_sign;
    while (x.at < x.end || y.at < y.end) {
        int apart = next_digit(&x) - next_digit(&y);
        if (apart != 0)
            return apart > 0 ? x_sign : -x_sign;
    }
    return 0;
}

int doc_number_compare(struct doc_ref a, struct doc_ref b)
{
    if (a.node->type == DOC_DECIMAL && b.node->type == DOC_DECIMAL) {
        int apart = a.node->exponent - b.node->exponent;
        if (apart >= -18 && apart <= 18) {
            __int128 x = a.node->u.mantissa, y = b.node->u.mantissa;
            if (apart > 0)
                x *= integer_power(apart);
            else
                y *= integer_power(-apart);
            return (x > y) - (x < y);
        }
    }
    return compare_digits(a, b);
}

static bool bytes_equal(struct doc_ref a, struct doc_ref b)
{
    size_t a_size, b_size;
    const char *a_text = doc_string(a, &a_size), *b_text = doc_string(b, &b_size);
    return a_size == b_size && memcmp(a_text, b_text, a_size) == 0;
}

static bool arrays_equal(struct doc_ref a, struct doc_ref b)
{
    if (doc_members(a) != doc_members(b))
        return false;
    struct doc_ref x = doc_first(a), y = doc_first(b);
    for (; doc_exists(x); x = doc_next(a, x), y = doc_next(b, y))
        if (!doc_equal(x, y))
            return false;
    return true;
}

static bool objects_equal(struct doc_ref a, struct doc_ref b)
{
    if (doc_members(a) != doc_members(b))
        return false;
    struct doc_lookup lookup;
    bool equal = true;
    doc_lookup_init(&lookup, b);
    for (struct doc_ref x = doc_first(a); equal && doc_exists(x); x = doc_next(a, x)) {
        struct doc_ref y = doc_lookup_get(&lookup, x);
        equal = doc_exists(y) && doc_equal(x, y);
    }
    doc_lookup_done(&lookup);
    return equal;
}

bool doc_equal(struct doc_ref a, struct doc_ref b)
{
    if (!a.node || !b.node)
        return a.node == b.node;
    if (doc_is_number(a) && doc_is_number(b))
        return doc_number_compare(a, b) == 0;
    if (a.node->type != b.node->type)
        return false;
    switch (doc_type(a)) {
    case DOC_STRING:
        return bytes_equal(a, b);
    case DOC_ARRAY:
        return arrays_equal(a, b);
    case DOC_OBJECT:
        return objects_equal(a, b);
    default:
        return true;
    }
}
