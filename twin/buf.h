/*
 * buf: a growable byte buffer, with the JSON writing that everything here shares.
 *
 * Ownership: the buffer owns its bytes; `buf_take` hands them to the caller (free()).
 * Errors: an allocation that fails sets `failed` and turns every later call into a no-op,
 *         so a chain of writes is checked once, at its end.
 * Threads: none of its own; one thread at a time per buffer.
 */
#ifndef TWIN_BUF_H
#define TWIN_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data; /* not NUL-terminated unless buf_cstr was called */
    size_t size_bytes;
    size_t capacity_bytes;
    bool failed;
};

#define BUF_INIT                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }

void buf_init(struct buf *buf);
void buf_done(struct buf *buf);
/* Empties the buffer and keeps its memory. Clears `failed`. */
void buf_reset(struct buf *buf);
/* The bytes, NUL-terminated; the buffer is empty afterwards. NULL when `failed`. */
char *buf_take(struct buf *buf, size_t *size_bytes);
/* The bytes, NUL-terminated, still owned by the buffer; "" when empty or failed. */
const char *buf_cstr(struct buf *buf);

/* Makes room for `more` bytes; false (and `failed`) when there is no memory. */
bool buf_reserve(struct buf *buf, size_t more);

/* Where there is room already, which is nearly always, writing is no more than a copy: these are
 * inline, so that the compiler knows the sizes of constant texts. */
static inline char *buf_room(struct buf *buf, size_t more)
{
    bool room = !buf->failed && more <= buf->capacity_bytes - buf->size_bytes;
    return room || buf_reserve(buf, more) ? buf->data + buf->size_bytes : NULL;
}
static inline void buf_add(struct buf *buf, const void *bytes, size_t size)
{
    char *at = size > 0 ? buf_room(buf, size) : NULL;
    if (!at)
        return;
    memcpy(at, bytes, size);
    buf->size_bytes += size;
}
static inline void buf_adds(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}
static inline void buf_addc(struct buf *buf, char c)
{
    char *at = buf_room(buf, 1);
    if (!at)
        return;
    *at = c;
    buf->size_bytes++;
}
void buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A JSON string with quotes, RFC 8259 escapes; `text` is valid UTF-8 and may hold NUL. */
void buf_json_string(struct buf *buf, const char *text, size_t size);
void buf_json_cstr(struct buf *buf, const char *text); /* NULL becomes null */
void buf_json_int(struct buf *buf, int64_t value);
/* `"name":` — with a comma before it unless it is the first member of its object. */
void buf_json_name(struct buf *buf, const char *name);
/* A timestamp in nanoseconds as an RFC 3339 string in UTC, TIMESTAMP_NONE as null. */
void buf_json_timestamp(struct buf *buf, int64_t timestamp_ns);

#endif
