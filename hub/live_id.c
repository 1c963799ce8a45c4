#include "hub/live_id.h"

#include "hub/cursor.h"

#include <string.h>

enum {
    FLAG_UNFINISHED = 1,
    FLAG_TIMED = 2,
    FLAG_SWEPT = 4,
    FLAG_TOLD = 8,
    FLAGS = 16,
    TIME_BYTES = 6, /* milliseconds */
    NUMBER_BYTES = 10,
    BYTES_MAX =
        1 + LIVE_DIGEST_BYTES + 5 * TIME_BYTES + 1 + STREAM_LABELS * (TIME_BYTES + NUMBER_BYTES),
};
_Static_assert(POSITION_TOKEN_BYTES + BYTES_MAX * 4 / 3 + 3 <= LIVE_ID_MAX_BYTES, "ids have room");
_Static_assert(STREAM_LABELS <= 8, "the streams are bits of a byte");

/* ---- writing ---- */

static unsigned char *put_time(unsigned char *at, int64_t ns)
{
    int64_t ms = ns > 0 ? ns / NS_PER_MS : 0;
    for (int shift = 8 * (TIME_BYTES - 1); shift >= 0; shift -= 8)
        *at++ = (unsigned char)((uint64_t)ms >> shift);
    return at;
}

static unsigned char *put_number(unsigned char *at, uint64_t value)
{
    for (; value > 0x7F; value >>= 7)
        *at++ = (unsigned char)(value | 0x80);
    *at++ = (unsigned char)value;
    return at;
}

/* What was told of a stream that began anew since is over. */
static bool is_further(const struct position *told, const struct position *position)
{
    bool same = position->seq == 0 || told->epoch_ns / NS_PER_MS == position->epoch_ns / NS_PER_MS;
    return same && told->seq > position->seq;
}

/* Which streams, then of each how much further, or where at all. */
static unsigned char *put_told(unsigned char *at, const struct live_id *id, unsigned streams)
{
    *at++ = (unsigned char)streams;
    for (unsigned i = 0; i < STREAM_LABELS; i++) {
        const struct position *position = &id->position.streams[i], *told = &id->told[i];
        if (!(streams & 1u << i))
            continue;
        if (position->seq == 0)
            at = put_time(at, told->epoch_ns);
        at = put_number(at, told->seq - position->seq);
    }
    return at;
}

void live_id_write(struct buf *out, const char *position, const struct live_id *id)
{
    unsigned char bytes[BYTES_MAX], *at = bytes;
    unsigned streams = 0;
    bool swept = id->sweep.swept_ns != TIMESTAMP_NONE && id->sweep.hearing_ns != TIMESTAMP_NONE;
    for (unsigned i = 0; i < STREAM_LABELS; i++)
        streams |= (unsigned)is_further(&id->told[i], &id->position.streams[i]) << i;
    *at++ = (unsigned char)((id->unfinished ? FLAG_UNFINISHED : 0) | (id->timed ? FLAG_TIMED : 0) |
                            (swept ? FLAG_SWEPT : 0) | (streams ? FLAG_TOLD : 0));
    memcpy(at, id->digest, LIVE_DIGEST_BYTES);
    at += LIVE_DIGEST_BYTES;
    if (swept) { /* hearing since a little later, judged a little earlier: less is sure */
        at = put_time(at, id->sweep.hearing_ns + NS_PER_MS - 1);
        at = put_time(at, id->sweep.swept_ns);
    }
    at = put_time(at, id->aged_ns + NS_PER_MS - 1);
    for (int i = 0; id->timed && i < 2; i++)
        at = put_time(at, id->judged_ns[i]);
    if (streams)
        at = put_told(at, id, streams);
    buf_adds(out, position);
    buf_addc(out, '.');
    cursor_base64url(out, bytes, (size_t)(at - bytes));
}

/* ---- reading ---- */

/* What is read: `failed` once there were too few bytes. */
struct reader {
    const unsigned char *at, *end;
    bool failed;
};

static unsigned get_byte(struct reader *reader)
{
    reader->failed = reader->failed || reader->at == reader->end;
    return reader->failed ? 0 : *reader->at++;
}

static int64_t get_time(struct reader *reader)
{
    uint64_t ms = 0;
    for (int i = 0; i < TIME_BYTES; i++)
        ms = ms << 8 | get_byte(reader);
    return ms < (uint64_t)(INT64_MAX / NS_PER_MS) ? (int64_t)ms * NS_PER_MS : 0;
}

static uint64_t get_number(struct reader *reader)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint64_t byte = get_byte(reader);
        value |= (byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return value;
    }
    reader->failed = true;
    return 0;
}

static void get_told(struct reader *reader, struct live_id *id)
{
    unsigned streams = get_byte(reader);
    reader->failed = reader->failed || streams >= 1u << STREAM_LABELS;
    for (unsigned i = 0; i < STREAM_LABELS && !reader->failed; i++) {
        const struct position *position = &id->position.streams[i];
        if (!(streams & 1u << i))
            continue;
        id->told[i].epoch_ns = position->seq == 0 ? get_time(reader) : position->epoch_ns;
        id->told[i].seq = position->seq + get_number(reader);
    }
}

bool live_id_read(const char *text, struct live_id *id)
{
    unsigned char bytes[BYTES_MAX];
    const char *dot = strchr(text, '.');
    struct live_id read = {.sweep = {TIMESTAMP_NONE, TIMESTAMP_NONE}};
    size_t size;
    if (!dot || !position_read(text, &read.position) ||
        !cursor_from_base64url(dot + 1, strlen(dot + 1), bytes, sizeof bytes, &size))
        return false;
    struct reader reader = {bytes, bytes + size, false};
    unsigned flags = get_byte(&reader);
    for (int i = 0; i < LIVE_DIGEST_BYTES; i++)
        read.digest[i] = (uint8_t)get_byte(&reader);
    read.unfinished = flags & FLAG_UNFINISHED;
    read.timed = flags & FLAG_TIMED;
    if (flags & FLAG_SWEPT) {
        read.sweep.hearing_ns = get_time(&reader);
        read.sweep.swept_ns = get_time(&reader);
    }
    read.aged_ns = get_time(&reader);
    for (int i = 0; read.timed && i < 2; i++)
        read.judged_ns[i] = get_time(&reader);
    if (flags & FLAG_TOLD)
        get_told(&reader, &read);
    if (reader.failed || reader.at != reader.end || flags >= FLAGS)
        return false;
    *id = read;
    return true;
}
