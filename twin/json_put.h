/*
 * json_put: what writes JSON text to where there is room already; for buf.c and doc_write.c.
 *
 * Pure, any thread.
 */
#ifndef TWIN_JSON_PUT_H
#define TWIN_JSON_PUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EVERY_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Whether one of eight bytes has to be escaped in a string (RFC 8259, 7). */
static inline bool put_has_escaped(uint64_t bytes)
{
    uint64_t quote = bytes ^ EVERY_BYTE('"'), backslash = bytes ^ EVERY_BYTE('\\');
    uint64_t found = ((bytes - EVERY_BYTE(0x20)) & ~bytes) | ((quote - EVERY_BYTE(1)) & ~quote) |
                     ((backslash - EVERY_BYTE(1)) & ~backslash);
    return (found & EVERY_BYTE(0x80)) != 0;
}

/* Copies a text in which nothing has to be escaped. False where something has to be: then what
 * stands at `at` is of no meaning, but nothing behind at + size was written to. */
static inline bool put_plain(char *at, const char *text, size_t size)
{
    uint64_t eight = EVERY_BYTE('a');
    if (size >= sizeof eight) {
        for (size_t i = 0; i + sizeof eight < size; i += sizeof eight) {
            memcpy(&eight, text + i, sizeof eight);
            if (put_has_escaped(eight))
                return false;
            memcpy(at + i, &eight, sizeof eight);
        }
        memcpy(&eight, text + size - sizeof eight, sizeof eight); /* overlaps what is done */
        memcpy(at + size - sizeof eight, &eight, sizeof eight);
        return !put_has_escaped(eight);
    }
    if (size >= sizeof(uint32_t)) {
        uint32_t first, last;
        memcpy(&first, text, sizeof first);
        memcpy(&last, text + size - sizeof last, sizeof last);
        memcpy(at, &first, sizeof first);
        memcpy(at + size - sizeof last, &last, sizeof last);
        return !put_has_escaped((uint64_t)first << 32 | last);
    }
    for (size_t i = 0; i < size; i++) {
        at[i] = text[i];
        eight = eight << 8 | (unsigned char)text[i];
    }
    return !put_has_escaped(eight);
}

enum { PUT_DIGITS_MAX = 20 /* of 64 bits */ };

/* The digits of `value` so that they end before `end`; where they begin. */
static inline char *put_digits_before(char *end, uint64_t value)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233"
        "34353637383940414243444546474849505152535455565758596061626364656667"
        "6869707172737475767778798081828384858687888990919293949596979899";
    while (value >= 100) {
        end -= 2;
        memcpy(end, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        end -= 2;
        memcpy(end, pairs + value * 2, 2);
    } else {
        *--end = (char)('0' + value);
    }
    return end;
}

#endif
