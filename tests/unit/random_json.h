/*
 * random_json: JSON texts for tests that try many. Few names and values, so that two of them have
 * much in common; numbers in several spellings of one value; strings with what is hard to read.
 */
#ifndef TESTS_UNIT_RANDOM_JSON_H
#define TESTS_UNIT_RANDOM_JSON_H

#include "tests/unit/random.h"
#include "twin/buf.h"

#include <stdbool.h>
#include <string.h>

enum { RANDOM_JSON_NAMES = 24 };

static inline void random_space(struct random *random, struct buf *buf)
{
    static const char space[] = " \t\n\r";
    while (random_below(random, 8) == 0)
        buf_addc(buf, space[random_below(random, 4)]);
}

static inline void random_name(struct buf *buf, unsigned number)
{
    static const char *const names[] = {"a",       "b",        "c",
                                        "",        "\\u0064",  "\\n",
                                        "\\u00e9", "\xc3\xa8", "a-name-of-more-than-eight-bytes"};
    enum { KNOWN = sizeof names / sizeof *names };
    if (number < KNOWN)
        buf_addf(buf, "\"%s\"", names[number]);
    else
        buf_addf(buf, "\"n%u\"", number);
}

static inline void random_scalar(struct random *random, struct buf *buf)
{
    static const char *const scalars[] = {"null",
                                          "null",
                                          "true",
                                          "false",
                                          "0",
                                          "-0",
                                          "0.0",
                                          "0e7",
                                          "1",
                                          "1.0",
                                          "10e-1",
                                          "1E0",
                                          "2",
                                          "-1",
                                          "-1.00",
                                          "100",
                                          "1e2",
                                          "1E+2",
                                          "0.5",
                                          "5e-1",
                                          "-273.15",
                                          "1234567890123456",
                                          "1e-7",
                                          "1e300",
                                          "59.329323",
                                          "\"\"",
                                          "\"a\"",
                                          "\"\\u0061\"",
                                          "\"b\"",
                                          "\"\\u0000\"",
                                          "\"\\ud83d\\ude81\"",
                                          "\"\xf0\x9f\x9a\x81\"",
                                          "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                                          "\"2026-01-15T10:30:00.123Z\"",
                                          "\"a longer text, to be moved about\""};
    buf_adds(buf, scalars[random_below(random, sizeof scalars / sizeof *scalars)]);
}

/* One value with at most `depth` levels below it. */
static inline void random_value(struct random *random, struct buf *buf, unsigned depth,
                                bool object_only)
{
    unsigned kind = depth == 0 ? 9 : random_below(random, 10);
    random_space(random, buf);
    if (object_only || kind < 5) {
        unsigned members = random_below(random, random_below(random, 10) ? 5 : RANDOM_JSON_NAMES);
        unsigned name = random_below(random, RANDOM_JSON_NAMES);
        buf_addc(buf, '{');
        for (unsigned i = 0; depth > 0 && i < members; i++) {
            buf_adds(buf, i ? "," : "");
            random_space(random, buf);
            /* 5 and 24 have no common factor: no name twice, and the order differs */
            random_name(buf, (name + i * 5) % RANDOM_JSON_NAMES);
            random_space(random, buf);
            buf_addc(buf, ':');
            random_value(random, buf, depth - 1, false);
        }
        random_space(random, buf);
        buf_addc(buf, '}');
    } else if (kind < 7) {
        unsigned members = random_below(random, 4);
        buf_addc(buf, '[');
        for (unsigned i = 0; i < members; i++) {
            buf_adds(buf, i ? "," : "");
            random_value(random, buf, depth - 1, false);
        }
        buf_addc(buf, ']');
    } else {
        random_scalar(random, buf);
    }
    random_space(random, buf);
}

/* Spoils the text at one place, or changes what it means. */
static inline void random_mutation(struct random *random, struct buf *buf)
{
    static const char *const pieces[] = {"{",
                                         "}",
                                         "[",
                                         "]",
                                         ",",
                                         ":",
                                         "\"",
                                         "\\",
                                         "\\u",
                                         "\\u0000",
                                         "\\ud800",
                                         "\\udc00",
                                         "\\u00",
                                         "0",
                                         "1",
                                         "-",
                                         ".",
                                         "e",
                                         "E+",
                                         "e400",
                                         "e-400",
                                         "9223372036854775807",
                                         "9223372036854775808",
                                         "-9223372036854775808",
                                         "-9223372036854775809",
                                         "null",
                                         "tru",
                                         "NaN",
                                         "Infinity",
                                         "\xff",
                                         "\xc0\x80",
                                         "\xed\xa0\x80",
                                         "\xf4\x90\x80\x80",
                                         "\xe2\x82",
                                         "\xef\xbb\xbf",
                                         "\x7f",
                                         "\x1f",
                                         "\xc2\xa0",
                                         " ",
                                         "\n",
                                         "//",
                                         "'",
                                         "\"a\":1,",
                                         "{\"a\":"};
    size_t at = random_below(random, (unsigned)buf->size_bytes + 1);
    size_t size = random_below(random, 6), left = buf->size_bytes - at;
    const char *piece = pieces[random_below(random, sizeof pieces / sizeof *pieces)];
    struct buf out = BUF_INIT;
    size = size < left ? size : left;
    buf_add(&out, buf->data, at);
    switch (random_below(random, 6)) {
    case 0: /* a piece put in */
        buf_adds(&out, piece);
        buf_add(&out, buf->data + at, left);
        break;
    case 1: /* bytes replaced by a piece */
        buf_adds(&out, piece);
        buf_add(&out, buf->data + at + size, left - size);
        break;
    case 2: /* bytes lost */
        buf_add(&out, buf->data + at + size, left - size);
        break;
    case 3: /* bytes twice */
        buf_add(&out, buf->data + at, size);
        buf_add(&out, buf->data + at, left);
        break;
    case 4: /* one byte replaced by any */
        buf_addc(&out, (char)random_below(random, 256));
        buf_add(&out, buf->data + at + (left > 0), left - (left > 0));
        break;
    default: /* cut off */
        break;
    }
    buf_done(buf);
    *buf = out;
}

#endif
