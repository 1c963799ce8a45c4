#include "hub/etag.h"

#include <stdint.h>
#include <string.h>

/* Odd numbers whose bits look random: digits of the square roots of 2, 3, 5 and 7. */
static const uint64_t mix[4] = {UINT64_C(0x6a09e667f3bcc909), UINT64_C(0xbb67ae8584caa73b),
                                UINT64_C(0x3c6ef372fe94f82b), UINT64_C(0xa54ff53a5f1d36f1)};

/* A product of 128 bits, its halves folded: every bit of either depends on all before it. */
static inline uint64_t folded(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline void take(uint64_t sums[2], uint64_t first, uint64_t second)
{
    sums[0] = folded(sums[0] ^ first ^ mix[0], second ^ mix[1]) + second;
    sums[1] = folded(sums[1] ^ second ^ mix[2], first ^ mix[3]) + first;
}

static char *put_hex(char *at, uint64_t value, int digits)
{
    static const char hex[] = "0123456789abcdef";
    for (int i = digits - 1; i >= 0; i--)
        *at++ = hex[value >> (4 * i) & 15];
    return at;
}

void etag_of(const void *bytes, size_t size, char text[ETAG_TEXT_BYTES])
{
    const char *at = bytes;
    uint64_t sums[2] = {mix[2], mix[1]}, pair[2];
    size_t left = size;
    for (; left >= sizeof pair; at += sizeof pair, left -= sizeof pair) {
        memcpy(pair, at, sizeof pair);
        take(sums, pair[0], pair[1]);
    }
    if (left > 0) {
        memset(pair, 0, sizeof pair);
        memcpy(pair, at, left);
        take(sums, pair[0], pair[1]);
    }
    take(sums, size, mix[0]); /* the zeros that fill the last pair are not the text's */
    take(sums, sums[1], sums[0]);
    *text++ = '"';
    text = put_hex(text, sums[0], 16);
    text = put_hex(text, sums[1], ETAG_DIGITS - 16);
    *text++ = '"';
    *text = '\0';
}
