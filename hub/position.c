#include "hub/position.h"

#include "hub/cursor.h"

#include <string.h>

enum { VERSION = 1, POSITION_BYTES = 1 + POSITION_STREAMS * 16 + 8 };

static const enum stream_label streams[POSITION_STREAMS] = {STREAM_STATE, STREAM_EVENTS, STREAM_ACK,
                                                            STREAM_SHADOW};

void position_take(const struct store *store, struct fleet_position *position)
{
    position->broker_time_ns = store_broker_time(store);
    for (size_t i = 0; i < POSITION_STREAMS; i++)
        position->streams[i] = store_position(store, streams[i]);
}

static unsigned char *put(unsigned char *at, uint64_t value)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (unsigned char)(value >> shift);
    return at;
}

static const unsigned char *get(const unsigned char *at, uint64_t *value)
{
    *value = 0;
    for (int i = 0; i < 8; i++)
        *value = *value << 8 | *at++;
    return at;
}

void position_write(const struct fleet_position *position, char token[POSITION_TOKEN_BYTES])
{
    unsigned char bytes[POSITION_BYTES], *at = bytes;
    struct buf text = BUF_INIT;
    *at++ = VERSION;
    for (size_t i = 0; i < POSITION_STREAMS; i++) {
        at = put(at, (uint64_t)position->streams[i].epoch_ns);
        at = put(at, position->streams[i].seq);
    }
    put(at, (uint64_t)position->broker_time_ns);
    cursor_base64url(&text, bytes, sizeof bytes);
    buf_addc(&text, '\0');
    token[0] = '\0';
    if (!text.failed && text.size_bytes <= POSITION_TOKEN_BYTES)
        memcpy(token, text.data, text.size_bytes);
    buf_done(&text);
}

bool position_read(const char *token, struct fleet_position *position)
{
    unsigned char bytes[POSITION_BYTES];
    const unsigned char *at = bytes;
    size_t size;
    uint64_t value;
    if (!cursor_from_base64url(token, strlen(token), bytes, sizeof bytes, &size) ||
        size != sizeof bytes || *at++ != VERSION)
        return false;
    for (size_t i = 0; i < POSITION_STREAMS; i++) {
        at = get(at, &value);
        position->streams[i].epoch_ns = (int64_t)value;
        at = get(at, &position->streams[i].seq);
    }
    get(at, &value);
    position->broker_time_ns = (int64_t)value;
    return true;
}
