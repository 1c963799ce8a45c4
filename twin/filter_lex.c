#include "twin/filter_lex.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_MAX_BYTES = 40 }; /* of an offending token, in an error */

void lex_init(struct lex *lex, const char *text, size_t size, size_t base, struct text_error *error)
{
    *lex = (struct lex){.text = text ? text : "", .size = size, .base = base, .error = error};
    *error = (struct text_error){0};
}

void lex_done(struct lex *lex)
{
    doc_parser_free(lex->parser);
    lex->parser = NULL;
}

/* ---- errors ---- */

static bool continues(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

size_t lex_offset(const struct lex *lex, size_t at)
{
    size_t points = lex->base;
    for (size_t i = 0; i < at && i < lex->size; i++)
        points += !continues(lex->text[i]);
    return points;
}

static void write_text(char *to, size_t room, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/* What did not fit is cut at a code point, so that the text stays valid UTF-8. */
static void write_text(char *to, size_t room, const char *format, va_list args)
{
    int size = vsnprintf(to, room, format, args);
    if (size < 0)
        *to = '\0';
    if (size < 0 || (size_t)size < room)
        return;
    size_t end = room - 1, start = end - 1;
    while (start > 0 && continues(to[start]))
        start--;
    unsigned char lead = (unsigned char)to[start];
    size_t whole = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    to[end - start < whole ? start : end] = '\0';
}

bool lex_fail(struct lex *lex, size_t at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    lex->error->offset = lex_offset(lex, at);
    lex->error->hint[0] = '\0';
    write_text(lex->error->detail, sizeof lex->error->detail, format, args);
    va_end(args);
    return false;
}

bool lex_hint(struct lex *lex, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_text(lex->error->hint, sizeof lex->error->hint, format, args);
    va_end(args);
    return false;
}

bool lex_no_memory(struct lex *lex)
{
    return lex_fail(lex, 0, "out of memory");
}

/* What people write who know another language. */
static void hint_foreign(struct lex *lex, struct slice shown)
{
    static const struct {
        const char *theirs, *ours;
    } foreign[] = {
        {"&&", "AND"}, {"||", "OR"}, {"==", "="},  {"=>", ">="}, {"=<", "<="},
        {"<>", "!="},  {"!", "NOT"}, {"&", "AND"}, {"|", "OR"},
    };
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        size_t size = strlen(foreign[i].theirs);
        if (shown.size >= size && memcmp(shown.at, foreign[i].theirs, size) == 0) {
            lex_hint(lex, "did you mean %s?", foreign[i].ours);
            return;
        }
    }
    if (shown.size && *shown.at == '\'')
        lex_hint(lex, "strings stand in double quotes");
}

bool lex_unexpected(struct lex *lex, size_t at, const char *what)
{
    if (at >= lex->size)
        return lex_fail(lex, at, "expected %s, but here it ends", what);
    struct slice rest = {lex->text + at, lex->size - at};
    unsigned char c = (unsigned char)*rest.at;
    if (c < 0x20 || c >= 0x7f)
        return lex_fail(lex, at, "expected %s; other letters stand in quoted strings only", what);
    size_t size = 0;
    while (size < rest.size && size < SHOWN_MAX_BYTES && lex_is_name_char(rest.at[size]))
        size++;
    lex_fail(lex, at, "expected %s, not %.*s", what, size ? (int)size : 1, rest.at);
    hint_foreign(lex, rest);
    return false;
}

/* ---- tokens ---- */

int lex_peek(struct lex *lex)
{
    while (lex->at < lex->size) {
        char c = lex->text[lex->at];
        if (c != ' ' && c != '\t' && c != '\n')
            return (unsigned char)c;
        lex->at++;
    }
    return LEX_END;
}

bool lex_take(struct lex *lex, char c)
{
    if (lex_peek(lex) != (unsigned char)c)
        return false;
    lex->at++;
    return true;
}

bool lex_expect(struct lex *lex, char c)
{
    const char *name = c == '(' ? "(" : c == ')' ? ")" : "a comma";
    return lex_take(lex, c) || lex_unexpected(lex, lex->at, name);
}

bool lex_is_digit(int c)
{
    return c >= '0' && c <= '9';
}

bool lex_is_name_char(int c)
{
    return lex_is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-';
}

struct slice lex_word(const struct lex *lex)
{
    size_t end = lex->at;
    while (end < lex->size && lex_is_name_char(lex->text[end]))
        end++;
    return (struct slice){lex->text + lex->at, end - lex->at};
}

bool slice_is(struct slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.at, text, slice.size) == 0;
}

bool lex_is_keyword(struct slice word)
{
    return slice_is(word, "AND") || slice_is(word, "OR") || slice_is(word, "NOT");
}

/* Reads `size` bytes at lex->at as one JSON value. */
static enum doc_error read_json(struct lex *lex, size_t size, struct doc_ref *value)
{
    if (!lex->parser)
        lex->parser = doc_parser_new();
    if (!lex->parser)
        return DOC_NO_MEMORY;
    struct doc_limits limits = {.max_bytes = DOC_MAX_BYTES, .max_depth = 1};
    return doc_parse(lex->parser, lex->text + lex->at, size, limits, value);
}

bool lex_string(struct lex *lex, struct slice *string)
{
    size_t end = lex->at + 1;
    while (end < lex->size && lex->text[end] != '"')
        end += lex->text[end] == '\\' ? 2 : 1;
    if (end >= lex->size)
        return lex_fail(lex, lex->at, "the string is not closed");
    size_t size = end + 1 - lex->at;
    struct doc_ref value;
    enum doc_error error = read_json(lex, size, &value);
    if (error == DOC_NO_MEMORY)
        return lex_no_memory(lex);
    if (error)
        return lex_fail(lex, lex->at,
                        "no string as in JSON: a bad escape, a control character, or no UTF-8");
    string->at = doc_string(value, &string->size);
    lex->at += size;
    return true;
}

/* ---- numbers ---- */

static size_t digits_size(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && lex_is_digit(text[at]))
        at++;
    return at;
}

size_t lex_number_size(const char *text, size_t size)
{
    size_t at = size > 0 && text[0] == '-', digits;
    if (at < size && text[at] == '0')
        at++;
    else if ((digits = digits_size(text + at, size - at)) > 0)
        at += digits;
    else
        return 0;
    if (at < size && text[at] == '.' && (digits = digits_size(text + at + 1, size - at - 1)) > 0)
        at += 1 + digits;
    if (at < size && (text[at] == 'e' || text[at] == 'E')) {
        size_t sign = at + 1 < size && (text[at + 1] == '+' || text[at + 1] == '-');
        digits = digits_size(text + at + 1 + sign, size - at - 1 - sign);
        if (digits > 0)
            at += 1 + sign + digits;
    }
    return at;
}

static int64_t unit_ns(struct slice unit)
{
    static const struct {
        char name;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    for (size_t i = 0; unit.size == 1 && i < sizeof units / sizeof *units; i++)
        if (*unit.at == units[i].name)
            return units[i].seconds * NS_PER_S;
    return 0;
}

/* A number of units in whole nanoseconds, the rest dropped. */
static bool duration_ns(const struct value *number, int64_t unit, int64_t *ns)
{
    if (fabs(number->number) * (double)unit >= 9.2e18)
        return false;
    if (number->form != NUMBER_DECIMAL) {
        *ns = (int64_t)(number->number * (double)unit);
        return true;
    }
    __int128 sum = (__int128)number->mantissa * unit;
    for (int i = number->exponent; i < 0 && sum != 0; i++)
        sum /= 10;
    for (int i = number->exponent; i > 0 && sum != 0; i--)
        sum *= 10; /* bounded, because the result is */
    *ns = (int64_t)sum;
    return true;
}

bool lex_number(struct lex *lex, struct value *value)
{
    size_t start = lex->at, size = lex_number_size(lex->text + start, lex->size - start);
    lex->at += size;
    struct slice unit = lex_word(lex);
    int64_t unit_size_ns = unit_ns(unit);
    char behind = lex->at < lex->size ? lex->text[lex->at] : '\0';
    lex->at = start;
    if (size == 0 || (unit.size && unit_size_ns == 0) || behind == '.') {
        lex_fail(lex, start, "no number as in JSON, and no duration in s, m, h or d");
        return slice_is(unit, "ms") ? lex_hint(lex, "durations count in s: 0.01s") : false;
    }
    struct doc_ref number;
    enum doc_error error = read_json(lex, size, &number);
    if (error == DOC_NO_MEMORY)
        return lex_no_memory(lex);
    if (error)
        return lex_fail(lex, start, "the number is out of range");
    *value = value_of_doc(number);
    value->doc = (struct doc_ref){NULL, NULL};
    lex->at += size + unit.size;
    if (unit.size == 0)
        return true;
    int64_t ns;
    if (!duration_ns(value, unit_size_ns, &ns))
        return lex_fail(lex, start, "the duration is out of range (292 years)");
    *value = (struct value){.type = VALUE_DURATION, .ns = ns};
    return true;
}
