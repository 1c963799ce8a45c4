#include "hub/live_id.h"

#include "hub/cursor.h"

#include <string.h>

enum {
    FLAG_UNFINISHED = 1,
    FLAG_TIMED = 2,
    FLAG_SWEPT = 4,
    FLAGS = 8,
    TIME_BYTES = 6, /* milliseconds */
    BYTES_MAX = 1 + LIVE_DIGEST_BYTES + 4 * TIME_BYTES,
};
_Static_assert(POSITION_TOKEN_BYTES + BYTES_MAX * 4 / 3 + 2 <= LIVE_ID_MAX_BYTES, "ids have room");

static unsigned char *put_time(unsigned char *at, int64_t ns)
{
    int64_t ms = ns > 0 ? ns / NS_PER_MS : 0;
    for (int shift = 8 * (TIME_BYTES - 1); shift >= 0; shift -= 8)
        *at++ = (unsigned char)((uint64_t)ms >> shift);
    return at;
}

static const unsigned char *get_time(const unsigned char *at, int64_t *ns)
{
    uint64_t ms = 0;
    for (int i = 0; i < TIME_BYTES; i++)
        ms = ms << 8 | *at++;
    *ns = ms < (uint64_t)(INT64_MAX / NS_PER_MS) ? (int64_t)ms * NS_PER_MS : 0;
    return at;
}

void live_id_write(struct buf *out, const char *position, const struct live_id *id)
{
    unsigned char bytes[BYTES_MAX], *at = bytes;
    bool swept = id->sweep.swept_ns != TIMESTAMP_NONE && id->sweep.hearing_ns != TIMESTAMP_NONE;
    *at++ = (unsigned char)((id->unfinished ? FLAG_UNFINISHED : 0) | (id->timed ? FLAG_TIMED : 0) |
                            (swept ? FLAG_SWEPT : 0));
    memcpy(at, id->digest, LIVE_DIGEST_BYTES);
    at += LIVE_DIGEST_BYTES;
    if (swept) { /* hearing since a little later, judged a little earlier: less is sure */
        at = put_time(at, id->sweep.hearing_ns + NS_PER_MS - 1);
        at = put_time(at, id->sweep.swept_ns);
    }
    for (int i = 0; id->timed && i < 2; i++)
        at = put_time(at, id->judged_ns[i]);
    buf_adds(out, position);
    buf_addc(out, '.');
    cursor_base64url(out, bytes, (size_t)(at - bytes));
}

bool live_id_read(const char *text, struct live_id *id)
{
    unsigned char bytes[BYTES_MAX];
    const unsigned char *at = bytes;
    const char *dot = strchr(text, '.');
    struct live_id read = {.sweep = {TIMESTAMP_NONE, TIMESTAMP_NONE}};
    size_t size;
    if (!dot || !position_read(text, &read.position) ||
        !cursor_from_base64url(dot + 1, strlen(dot + 1), bytes, sizeof bytes, &size) ||
        size < 1 + LIVE_DIGEST_BYTES)
        return false;
    unsigned flags = *at++;
    size_t times = (flags & FLAG_SWEPT ? 2u : 0u) + (flags & FLAG_TIMED ? 2u : 0u);
    if (flags >= FLAGS || size != 1 + LIVE_DIGEST_BYTES + times * TIME_BYTES)
        return false;
    memcpy(read.digest, at, LIVE_DIGEST_BYTES);
    at += LIVE_DIGEST_BYTES;
    read.unfinished = flags & FLAG_UNFINISHED;
    read.timed = flags & FLAG_TIMED;
    if (flags & FLAG_SWEPT) {
        at = get_time(at, &read.sweep.hearing_ns);
        at = get_time(at, &read.sweep.swept_ns);
    }
    for (int i = 0; read.timed && i < 2; i++)
        at = get_time(at, &read.judged_ns[i]);
    *id = read;
    return true;
}
