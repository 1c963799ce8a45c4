#include "twin/buf.h"

#include "twin/json_put.h"
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

/* The string's bytes, one of which is escaped; then the closing quote. */
static void add_escaped(struct buf *buf, const char *text, size_t size)
{
    size_t from = 0;
    for (size_t i = 0; i < size; i++) {
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
    char *at = buf_room(buf, size + 2);
    if (!at)
        return;
    *at = '"';
    if (put_plain(at + 1, text, size)) {
        at[1 + size] = '"';
        buf->size_bytes += size + 2;
        return;
    }
    buf->size_bytes++;
    add_escaped(buf, text, size);
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
    char digits[PUT_DIGITS_MAX + 1], *end = digits + sizeof digits;
    char *at = put_digits_before(end, value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value);
    if (value < 0)
        *--at = '-';
    buf_add(buf, at, (size_t)(end - at));
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
