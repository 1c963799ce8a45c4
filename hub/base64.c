#include "hub/base64.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write(struct buf *out, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    buf_reserve(out, (size + 2) / 3 * 4);
    for (size_t i = 0; i < size; i += 3) {
        size_t have = size - i < 3 ? size - i : 3;
        uint32_t group = 0;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < have ? at[i + k] : 0u);
        buf_addc(out, digits[group >> 18]);
        buf_addc(out, digits[group >> 12 & 63]);
        buf_addc(out, have > 1 ? digits[group >> 6 & 63] : '=');
        buf_addc(out, have > 2 ? digits[group & 63] : '=');
    }
}

static int value_of(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

bool base64_read(const char *text, size_t text_size, void *bytes, size_t size)
{
    unsigned char *out = bytes;
    size_t full = size * 8 / 6, rest_bits = size * 8 % 6;
    if (text_size != (size + 2) / 3 * 4)
        return false;
    uint32_t held = 0;
    int bits = 0;
    for (size_t i = 0; i < full + (rest_bits > 0); i++) {
        int value = value_of(text[i]);
        if (value < 0)
            return false;
        held = held << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *out++ = (unsigned char)(held >> bits & 0xff);
        }
    }
    if (held & ((1u << bits) - 1)) /* bits that stand for nothing are zero */
        return false;
    for (size_t i = full + (rest_bits > 0); i < text_size; i++) {
        if (text[i] != '=')
            return false;
    }
    return true;
}
