#include "hub/query_key.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In the order in which groups are shown. */
enum tag { TAG_NUMBER = 1, TAG_STRING, TAG_FALSE, TAG_TRUE, TAG_ARRAY, TAG_OBJECT, TAG_NULL };
enum { TAG_END = 0, TAG_ITEM = 1 }; /* within an array or object */

static void add_int(struct buf *out, uint64_t number)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        buf_addc(out, (char)(number >> shift & 0xFF));
}

/* So that no string is the beginning of another's bytes, and shorter ones come first. */
static void add_text(struct buf *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        buf_addc(out, text[i]);
        if (text[i] == '\0')
            buf_addc(out, (char)0xFF);
    }
    buf_addc(out, '\0');
    buf_addc(out, '\0');
}

/* ---- numbers ---- */

/* A double as bits that sort as it does. */
static uint64_t sortable(double number)
{
    uint64_t bits;
    number = number == 0 ? 0 : number; /* -0 is 0 */
    memcpy(&bits, &number, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static void add_decimal(struct buf *out, int64_t mantissa, int64_t exponent)
{
    while (mantissa != 0 && mantissa % 10 == 0) {
        mantissa /= 10;
        exponent++;
    }
    add_int(out, (uint64_t)mantissa);
    add_int(out, mantissa ? (uint64_t)exponent : 0);
}

/* Behind the `e`; beyond what matters to any double it is cut. */
static int64_t read_exponent(const char *at, const char *end)
{
    enum { EXPONENT_CUT = 1000000 };
    bool negative = at < end && *at == '-';
    int64_t exponent = 0;
    for (; at < end; at++)
        if (*at >= '0' && *at <= '9' && exponent < EXPONENT_CUT)
            exponent = exponent * 10 + (*at - '0');
    return negative ? -exponent : exponent;
}

/* A number that came as more digits than a decimal holds; where that is because of its zeros it
 * becomes the decimal that it is. */
static void add_digits(struct buf *out, struct slice text)
{
    struct buf digits = BUF_INIT;
    int64_t exponent = 0;
    bool fraction = false;
    size_t i = 0;
    if (text.size > 0 && text.at[0] == '-') {
        buf_addc(&digits, '-');
        i++;
    }
    size_t sign = digits.size_bytes;
    for (; i < text.size && text.at[i] != 'e' && text.at[i] != 'E'; i++) {
        if (text.at[i] == '.') {
            fraction = true;
            continue;
        }
        exponent -= fraction;
        if (text.at[i] != '0' || digits.size_bytes > sign)
            buf_addc(&digits, text.at[i]);
    }
    if (i < text.size)
        exponent += read_exponent(text.at + i + 1, text.at + text.size);
    while (digits.size_bytes > sign && digits.data[digits.size_bytes - 1] == '0') {
        digits.size_bytes--;
        exponent++;
    }
    errno = 0;
    long long mantissa = strtoll(buf_cstr(&digits), NULL, 10);
    if (errno == 0) {
        add_decimal(out, mantissa, exponent);
    } else {
        add_text(out, digits.data, digits.size_bytes);
        add_int(out, (uint64_t)exponent);
    }
    out->failed = out->failed || digits.failed;
    buf_done(&digits);
}

static void add_number(struct buf *out, const struct value *value)
{
    buf_addc(out, TAG_NUMBER);
    add_int(out, sortable(value->number));
    switch ((enum number_form)value->form) {
    case NUMBER_DOUBLE:
        break;
    case NUMBER_DECIMAL:
        add_decimal(out, value->mantissa, value->exponent);
        break;
    case NUMBER_DIGITS:
        add_digits(out, value->string);
        break;
    }
}

/* ---- containers ---- */

static int by_name(const void *a, const void *b)
{
    size_t left_size, right_size;
    const char *left = doc_name(*(const struct doc_ref *)a, &left_size);
    const char *right = doc_name(*(const struct doc_ref *)b, &right_size);
    int order = memcmp(left, right, left_size < right_size ? left_size : right_size);
    return order ? order : (left_size > right_size) - (left_size < right_size);
}

static void add_object(struct buf *out, struct doc_ref object)
{
    size_t count = 0, size;
    struct doc_ref *members = malloc((doc_members(object) + 1) * sizeof *members);
    if (!members) {
        out->failed = true;
        return;
    }
    for (struct doc_ref m = doc_first(object); doc_exists(m); m = doc_next(object, m))
        members[count++] = m;
    if (count > 0)
        qsort(members, count, sizeof *members, by_name);
    buf_addc(out, TAG_OBJECT);
    for (size_t i = 0; i < count; i++) {
        struct value value = value_of_doc(members[i]);
        const char *name = doc_name(members[i], &size);
        buf_addc(out, TAG_ITEM);
        add_text(out, name, size);
        query_key_write(out, &value);
    }
    buf_addc(out, TAG_END);
    free(members);
}

static void add_array(struct buf *out, struct doc_ref array)
{
    buf_addc(out, TAG_ARRAY);
    for (struct doc_ref m = doc_first(array); doc_exists(m); m = doc_next(array, m)) {
        struct value value = value_of_doc(m);
        buf_addc(out, TAG_ITEM);
        query_key_write(out, &value);
    }
    buf_addc(out, TAG_END);
}

void query_key_write(struct buf *out, const struct value *value)
{
    char text[TIMESTAMP_TEXT_BYTES];
    switch ((enum value_type)value->type) {
    case VALUE_NUMBER:
        add_number(out, value);
        break;
    case VALUE_STRING:
        buf_addc(out, TAG_STRING);
        add_text(out, value->string.at, value->string.size);
        break;
    case VALUE_TIME:
        buf_addc(out, TAG_STRING);
        add_text(out, text, timestamp_format(value->ns, text));
        break;
    case VALUE_BOOL:
        buf_addc(out, value->boolean ? TAG_TRUE : TAG_FALSE);
        break;
    case VALUE_ARRAY:
        add_array(out, value->doc);
        break;
    case VALUE_OBJECT:
        add_object(out, value->doc);
        break;
    case VALUE_MISSING:
    case VALUE_NULL:
    case VALUE_DURATION:
        buf_addc(out, TAG_NULL);
        break;
    }
}
