#include "hub/cursor.h"

#include "hub/record_hash.h"

#include <string.h>

enum { SCOPE_BYTES = 12 }; /* of the scope's digest: enough that no two meet by accident */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *cursor_base64url_at(char *at, const void *bytes, size_t size)
{
    const unsigned char *in = bytes, *end = in + size;
    for (; end - in >= 3; in += 3) {
        uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *at++ = alphabet[group >> 18];
        *at++ = alphabet[group >> 12 & 63];
        *at++ = alphabet[group >> 6 & 63];
        *at++ = alphabet[group & 63];
    }
    if (in == end)
        return at;
    uint32_t group = (uint32_t)in[0] << 16 | (end - in > 1 ? (uint32_t)in[1] << 8 : 0);
    *at++ = alphabet[group >> 18];
    *at++ = alphabet[group >> 12 & 63];
    if (end - in > 1)
        *at++ = alphabet[group >> 6 & 63];
    return at;
}

void cursor_base64url(struct buf *out, const void *bytes, size_t size)
{
    char *at = buf_room(out, BASE64URL_BYTES(size));
    if (at)
        out->size_bytes += (size_t)(cursor_base64url_at(at, bytes, size) - at);
}

bool cursor_from_base64url(const char *text, size_t size, void *bytes, size_t room,
                           size_t *bytes_size)
{
    unsigned char *out = bytes;
    size_t used = 0, bits = 0;
    uint32_t held = 0;
    if (size % 4 == 1)
        return false;
    for (size_t i = 0; i < size; i++) {
        const char *digit = text[i] ? strchr(alphabet, text[i]) : NULL;
        if (!digit)
            return false;
        held = held << 6 | (uint32_t)(digit - alphabet);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            if (used == room)
                return false;
            out[used++] = (unsigned char)(held >> bits);
        }
    }
    if (held & ((1u << bits) - 1)) /* one value has one token */
        return false;
    *bytes_size = used;
    return true;
}

void cursor_write(struct buf *out, const char *scope, const void *key, size_t key_bytes)
{
    unsigned char token[SCOPE_BYTES + CURSOR_KEY_MAX_BYTES];
    uint8_t digest[RECORD_HASH_BYTES];
    if (key_bytes > CURSOR_KEY_MAX_BYTES) {
        out->failed = true;
        return;
    }
    record_sha256(scope, strlen(scope), digest);
    memcpy(token, digest, SCOPE_BYTES);
    memcpy(token + SCOPE_BYTES, key, key_bytes);
    cursor_base64url(out, token, SCOPE_BYTES + key_bytes);
}

bool cursor_read(const char *text, const char *scope, char key[CURSOR_KEY_MAX_BYTES + 1],
                 size_t *key_bytes)
{
    unsigned char token[SCOPE_BYTES + CURSOR_KEY_MAX_BYTES];
    uint8_t digest[RECORD_HASH_BYTES];
    size_t size;
    if (!cursor_from_base64url(text, strlen(text), token, sizeof token, &size) ||
        size < SCOPE_BYTES)
        return false;
    record_sha256(scope, strlen(scope), digest);
    if (memcmp(token, digest, SCOPE_BYTES) != 0)
        return false;
    *key_bytes = size - SCOPE_BYTES;
    memcpy(key, token + SCOPE_BYTES, *key_bytes);
    key[*key_bytes] = '\0';
    return true;
}
