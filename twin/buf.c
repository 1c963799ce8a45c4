#include "twin/buf.h"

#include "twin/timestamp.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST_BYTES = 256 };

void buf_init(struct buf *buf)
{
    *buf = (struct buf)BUF_INIT;
}

void buf_done(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf)BUF_INIT;
}

void buf_reset(struct buf *buf)
{
    buf->size_bytes = 0;
    buf->failed = false;
}

bool buf_reserve(struct buf *buf, size_t more)
{
    if (buf->failed)
        return false;
    if (more <= buf->capacity_bytes - buf->size_bytes)
        return true;
    if (more > SIZE_MAX / 2 - buf->size_bytes) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->size_bytes + more;
    size_t capacity = buf->capacity_bytes ? buf->capacity_bytes : BUF_FIRST_BYTES;
    while (capacity < need)
        capacity += capacity / 2;
    char *data = realloc(buf->data, capacity);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity_bytes = capacity;
    return true;
}

char *buf_take(struct buf *buf, size_t *size_bytes)
{
    buf_addc(buf, '\0');
    if (buf->failed) {
        buf_done(buf);
        return NULL;
    }
    char *data = buf->data;
    if (size_bytes)
        *size_bytes = buf->size_bytes - 1;
    buf_init(buf);
    return data;
}

const char *buf_cstr(struct buf *buf)
{
    if (!buf_reserve(buf, 1))
        return "";
    buf->data[buf->size_bytes] = '\0';
    return buf->data;
}

void buf_addf(struct buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = buf->capacity_bytes - buf->size_bytes;
    int n = vsnprintf(buf->data ? buf->data + buf->size_bytes : NULL, room, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n >= room && buf_reserve(buf, (size_t)n + 1))
        vsnprintf(buf->data + buf->size_bytes, (size_t)n + 1, format, again);
    va_end(again);
    if (n < 0)
        buf->failed = true;
    if (!buf->failed)
        buf->size_bytes += (size_t)n;
}

static const char *escape_of(unsigned char c, char hex[7])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        snprintf(hex, 7, "\\u%04x", c);
        return hex;
    }
}

/* True for the bytes of a JSON string that have to be escaped. */
static const bool escaped[256] = {[0 ... 0x1f] = true, ['"'] = true, ['\\'] = true};

#define EVERY_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Whether one of eight bytes is zero; more than one zero is still found. */
static inline bool has_zero(uint64_t bytes)
{
    return ((bytes - EVERY_BYTE(1)) & ~bytes & EVERY_BYTE(0x80)) != 0;
}

static inline bool has_escaped(uint64_t bytes)
{
    bool low = ((bytes - EVERY_BYTE(0x20)) & ~bytes & EVERY_BYTE(0x80)) != 0;
    return low || has_zero(bytes ^ EVERY_BYTE('"')) || has_zero(bytes ^ EVERY_BYTE('\\'));
}

/* The string's bytes from `from` on, one of which is escaped; then the closing quote. */
static void add_escaped(struct buf *buf, const char *text, size_t size, size_t from)
{
    for (size_t i = from; i < size; i++) {
        if (!escaped[(unsigned char)text[i]])
            continue;
        char hex[7];
        buf_add(buf, text + from, i - from);
        buf_adds(buf, escape_of((unsigned char)text[i], hex));
        from = i + 1;
    }
    buf_add(buf, text + from, size - from);
    buf_addc(buf, '"');
}

void buf_json_string(struct buf *buf, const char *text, size_t size)
{
    uint64_t eight;
    size_t i = 0;
    char *at = buf_room(buf, size + 2);
    if (!at)
        return;
    *at++ = '"';
    for (; i + sizeof eight <= size; i += sizeof eight) {
        memcpy(&eight, text + i, sizeof eight);
        if (has_escaped(eight))
            break;
        memcpy(at + i, &eight, sizeof eight);
    }
    for (; i < size && !escaped[(unsigned char)text[i]]; i++)
        at[i] = text[i];
    buf->size_bytes += 1 + i;
    if (i < size) {
        add_escaped(buf, text, size, i);
        return;
    }
    at[i] = '"';
    buf->size_bytes++;
}

void buf_json_cstr(struct buf *buf, const char *text)
{
    if (text)
        buf_json_string(buf, text, strlen(text));
    else
        buf_adds(buf, "null");
}

void buf_json_int(struct buf *buf, int64_t value)
{
    char digits[24];
    size_t at = sizeof digits;
    uint64_t rest = value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        digits[--at] = '-';
    buf_add(buf, digits + at, sizeof digits - at);
}

void buf_json_name(struct buf *buf, const char *name)
{
    if (buf->size_bytes > 0 && buf->data[buf->size_bytes - 1] != '{')
        buf_addc(buf, ',');
    buf_json_cstr(buf, name);
    buf_addc(buf, ':');
}

void buf_json_timestamp(struct buf *buf, int64_t timestamp_ns)
{
    char text[TIMESTAMP_TEXT_BYTES];
    if (timestamp_ns == TIMESTAMP_NONE) {
        buf_adds(buf, "null");
        return;
    }
    size_t size = timestamp_format(timestamp_ns, text);
    buf_addc(buf, '"');
    buf_add(buf, text, size);
    buf_addc(buf, '"');
}
