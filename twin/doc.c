#include "twin/doc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PLAIN_DECIMALS = 18, /* more digits behind the point are written with an exponent */
    EXACT_POWER = 22,    /* 10^22 is the last power of ten that a double holds exactly */
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

double doc_number(struct doc_ref number)
{
    if (number.node->type == DOC_DECIMAL)
        return decimal_value(number.node->u.mantissa, number.node->exponent);
    size_t size;
    const char *text = doc_string(number, &size);
    char small[64];
    char *copy = size < sizeof small ? small : malloc(size + 1);
    if (!copy) /* the leading digits carry what a double can */
        copy = small, size = sizeof small - 1;
    memcpy(copy, text, size);
    copy[size] = '\0';
    double value = strtod(copy, NULL);
    if (copy != small)
        free(copy);
    return value;
}

/* 10^power for 0..18 */
static int64_t integer_power(int power)
{
    int64_t value = 1;
    while (power-- > 0)
        value *= 10;
    return value;
}

/* The largest whole number below 2^63 in text of digits alone, such as a 19-digit sequence. */
static bool digits_int(struct doc_ref value, int64_t *out)
{
    size_t size;
    const char *text = doc_string(value, &size);
    bool negative = size > 0 && text[0] == '-';
    uint64_t sum = 0, limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    for (size_t i = negative; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (sum > (limit - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *out = negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

bool doc_int(struct doc_ref value, int64_t *out)
{
    if (doc_is(value, DOC_DIGITS)) {
        if (digits_int(value, out))
            return true;
        double number = doc_number(value); /* -0.0, 1000000000000000000000e-10 */
        if (number != floor(number) || fabs(number) >= (double)exact_mantissa)
            return false;
        *out = (int64_t)number;
        return true;
    }
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
    double x = doc_number(a), y = doc_number(b);
    return (x > y) - (x < y);
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
    /* Usually in the same order: look at the same place first. */
    struct doc_ref guess = doc_first(b);
    for (struct doc_ref x = doc_first(a); doc_exists(x); x = doc_next(a, x)) {
        size_t size, guess_size = 0;
        const char *name = doc_name(x, &size), *guess_name = "";
        if (doc_exists(guess))
            guess_name = doc_name(guess, &guess_size);
        struct doc_ref y =
            doc_exists(guess) && size == guess_size && memcmp(name, guess_name, size) == 0
                ? guess
                : doc_get(b, name, size);
        if (!doc_exists(y) || !doc_equal(x, y))
            return false;
        guess = doc_next(b, y);
    }
    return true;
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

/* ---- writing ---- */

static void write_decimal(struct buf *buf, int64_t mantissa, int exponent)
{
    if (exponent >= 0 || exponent < -PLAIN_DECIMALS) {
        buf_json_int(buf, mantissa);
        if (exponent != 0) {
            buf_addc(buf, 'e');
            buf_json_int(buf, exponent);
        }
        return;
    }
    int64_t unit = integer_power(-exponent);
    uint64_t size = mantissa < 0 ? (uint64_t)0 - (uint64_t)mantissa : (uint64_t)mantissa;
    uint64_t fraction = size % (uint64_t)unit;
    char digits[PLAIN_DECIMALS];
    if (mantissa < 0)
        buf_addc(buf, '-');
    buf_json_int(buf, (int64_t)(size / (uint64_t)unit));
    buf_addc(buf, '.');
    for (int i = -exponent - 1; i >= 0; i--) {
        digits[i] = (char)('0' + fraction % 10);
        fraction /= 10;
    }
    buf_add(buf, digits, (size_t)-exponent);
}

static void write_container(struct buf *buf, struct doc_ref value)
{
    bool object = doc_type(value) == DOC_OBJECT;
    buf_addc(buf, object ? '{' : '[');
    bool first = true;
    for (struct doc_ref m = doc_first(value); doc_exists(m); m = doc_next(value, m)) {
        if (!first)
            buf_addc(buf, ',');
        first = false;
        if (object) {
            size_t size;
            const char *name = doc_name(m, &size);
            buf_json_string(buf, name, size);
            buf_addc(buf, ':');
        }
        doc_write(buf, m);
    }
    buf_addc(buf, object ? '}' : ']');
}

void doc_write(struct buf *buf, struct doc_ref value)
{
    size_t size;
    const char *text;
    switch (doc_type(value)) {
    case DOC_NULL:
        buf_add(buf, "null", 4);
        return;
    case DOC_FALSE:
        buf_add(buf, "false", 5);
        return;
    case DOC_TRUE:
        buf_add(buf, "true", 4);
        return;
    case DOC_DECIMAL:
        write_decimal(buf, value.node->u.mantissa, value.node->exponent);
        return;
    case DOC_DIGITS:
        text = doc_string(value, &size);
        buf_add(buf, text, size);
        return;
    case DOC_STRING:
        text = doc_string(value, &size);
        buf_json_string(buf, text, size);
        return;
    case DOC_ARRAY:
    case DOC_OBJECT:
        write_container(buf, value);
    }
}
