#include "hub/position.h"

#include "hub/cursor.h"

#include <string.h>

/* version, streams, broker time; for each stream its epoch and two numbers of varying length */
enum {
    VERSION = 2,
    EPOCH_BYTES = 6,
    NUMBER_BYTES = 10,
    HEAD_BYTES = 1 + 1 + 8,
    BYTES_MAX = HEAD_BYTES + STREAM_LABELS * (EPOCH_BYTES + 2 * NUMBER_BYTES),
    NS_PER_US = 1000,
};
_Static_assert(STREAM_LABELS <= 8, "the streams are bits of a byte");
_Static_assert(BYTES_MAX * 4 / 3 + 3 <= POSITION_TOKEN_BYTES, "the longest token has room");

/* Those of which twins are made. */
static const enum stream_label streams[] = {STREAM_STATE,  STREAM_EVENTS, STREAM_ACK,
                                            STREAM_SHADOW, STREAM_ACCESS, STREAM_LAST};
enum { STREAMS = sizeof streams / sizeof *streams };

enum stream_label position_stream(size_t i)
{
    return i < STREAMS ? streams[i] : STREAM_LABELS;
}

void position_take(const struct store *store, struct fleet_position *position)
{
    *position = (struct fleet_position){.broker_time_ns = store_broker_time(store)};
    for (size_t i = 0; i < STREAMS; i++)
        position->streams[streams[i]] = store_position(store, streams[i]);
}

void position_include(struct fleet_position *position, enum stream_label stream,
                      struct position written)
{
    struct position *have = &position->streams[stream];
    if (written.epoch_ns > have->epoch_ns ||
        (written.epoch_ns == have->epoch_ns && written.seq > have->seq))
        *have = written;
}

/* ---- as text ---- */

static unsigned char *put_fixed(unsigned char *at, uint64_t value, int bytes)
{
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        *at++ = (unsigned char)(value >> shift);
    return at;
}

static unsigned char *put_number(unsigned char *at, uint64_t value)
{
    for (; value > 0x7F; value >>= 7)
        *at++ = (unsigned char)(value | 0x80);
    *at++ = (unsigned char)value;
    return at;
}

/* What is read: `failed` once there were too few bytes. */
struct reader {
    const unsigned char *at, *end;
    bool failed;
};

static uint64_t get_fixed(struct reader *reader, int bytes)
{
    uint64_t value = 0;
    reader->failed = reader->failed || reader->end - reader->at < bytes;
    for (int i = 0; i < bytes && !reader->failed; i++)
        value = value << 8 | *reader->at++;
    return value;
}

static uint64_t get_number(struct reader *reader)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint64_t byte = get_fixed(reader, 1);
        if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0)) /* one number, one form */
            break;
        value |= (byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return value;
    }
    reader->failed = true;
    return 0;
}

static int64_t whole_us(int64_t ns)
{
    return ns == TIMESTAMP_NONE ? 0 : ns / NS_PER_US;
}

static bool says_something(const struct position *stream)
{
    return stream->seq > 0 && stream->epoch_ns > 0;
}

void position_write(const struct fleet_position *position, char token[POSITION_TOKEN_BYTES])
{
    unsigned char bytes[BYTES_MAX], *at = bytes;
    int64_t now_us = whole_us(position->broker_time_ns);
    unsigned present = 0;
    for (unsigned i = 0; i < STREAM_LABELS; i++)
        present |= (unsigned)says_something(&position->streams[i]) << i;
    *at++ = VERSION;
    *at++ = (unsigned char)present;
    at = put_fixed(at, (uint64_t)now_us, 8);
    for (unsigned i = 0; i < STREAM_LABELS; i++) {
        const struct position *stream = &position->streams[i];
        if (!(present & 1u << i))
            continue;
        /* As the time before the newest, which is short; one after it, of a write, wraps around. */
        uint64_t before_us = (uint64_t)now_us - (uint64_t)whole_us(stream->received_ns);
        at = put_fixed(at, (uint64_t)(stream->epoch_ns / NS_PER_MS), EPOCH_BYTES);
        at = put_number(at, stream->seq);
        at = put_number(at, before_us);
    }
    *cursor_base64url_at(token, bytes, (size_t)(at - bytes)) = '\0';
}

const char *position_token(const struct store *store)
{
    /* The same as before while nothing is applied; no member leaves a gap in the struct. */
    static _Thread_local struct fleet_position last;
    static _Thread_local char token[POSITION_TOKEN_BYTES];
    struct fleet_position position;
    position_take(store, &position);
    if (token[0] && memcmp(&position, &last, sizeof last) == 0)
        return token;
    position_write(&position, token);
    last = position;
    return token;
}

bool position_read(const char *token, struct fleet_position *position)
{
    unsigned char bytes[BYTES_MAX];
    struct fleet_position read = {.broker_time_ns = TIMESTAMP_NONE};
    size_t size;
    if (!cursor_from_base64url(token, strcspn(token, "."), bytes, sizeof bytes, &size))
        return false;
    struct reader reader = {bytes, bytes + size, false};
    bool known = get_fixed(&reader, 1) == VERSION;
    unsigned present = (unsigned)get_fixed(&reader, 1);
    uint64_t now_us = get_fixed(&reader, 8);
    if (reader.failed || !known || present >= 1u << STREAM_LABELS || now_us > INT64_MAX / NS_PER_US)
        return false;
    if (now_us > 0)
        read.broker_time_ns = (int64_t)now_us * NS_PER_US;
    for (unsigned i = 0; i < STREAM_LABELS; i++) {
        struct position *stream = &read.streams[i];
        if (!(present & 1u << i))
            continue;
        uint64_t epoch_ms = get_fixed(&reader, EPOCH_BYTES);
        stream->seq = get_number(&reader);
        uint64_t received_us = now_us - get_number(&reader);
        if (reader.failed || epoch_ms > INT64_MAX / NS_PER_MS ||
            received_us > INT64_MAX / NS_PER_US)
            return false;
        stream->epoch_ns = (int64_t)epoch_ms * NS_PER_MS;
        stream->received_ns = (int64_t)received_us * NS_PER_US;
        if (!says_something(stream))
            return false;
    }
    if (reader.at != reader.end)
        return false;
    *position = read;
    return true;
}

/* ---- comparing ---- */

/* Whether `a` was surely received before `b`. Of one message both times are the same; of two, the
 * broker's clock may have stepped back a little between them. */
static bool surely_before(const struct position *a, const struct position *b)
{
    int64_t slack_us = a->seq == b->seq ? 0 : POSITION_SLACK_MS * (NS_PER_MS / NS_PER_US);
    if (a->received_ns == 0 || b->received_ns == 0)
        return false;
    return whole_us(a->received_ns) + slack_us < whole_us(b->received_ns);
}

enum position_order position_compare(const struct position *wanted, const struct position *have,
                                     const struct position *fork)
{
    int64_t wanted_ms = wanted->epoch_ns / NS_PER_MS, have_ms = have->epoch_ns / NS_PER_MS;
    if (!says_something(wanted))
        return POSITION_REACHED;
    if (have->epoch_ns == 0)
        return POSITION_BEHIND;
    if (wanted_ms != have_ms) /* a newer stream is one that this reader has not found yet */
        return wanted_ms > have_ms ? POSITION_BEHIND : POSITION_VOID;
    if (fork->seq > 0 && fork->epoch_ns == have->epoch_ns && wanted->seq >= fork->seq &&
        surely_before(wanted, fork))
        return POSITION_VOID;
    if (wanted->seq > have->seq)
        return surely_before(wanted, have) ? POSITION_VOID : POSITION_BEHIND;
    if (wanted->seq == have->seq && surely_before(wanted, have))
        return POSITION_VOID;
    return surely_before(have, wanted) ? POSITION_BEHIND : POSITION_REACHED;
}

enum position_order position_reached(const struct store *store, const struct fleet_position *wanted)
{
    enum position_order order = POSITION_REACHED;
    for (size_t i = 0; i < STREAMS; i++) {
        enum stream_label stream = streams[i];
        struct position have = store_position(store, stream), fork = store_fork(store, stream);
        switch (position_compare(&wanted->streams[stream], &have, &fork)) {
        case POSITION_VOID:
            return POSITION_VOID;
        case POSITION_BEHIND:
            order = POSITION_BEHIND;
            break;
        case POSITION_REACHED:
            break;
        }
    }
    return order;
}
