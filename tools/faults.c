#include "tools/faults.h"

#include <stdio.h>
#include <string.h>

#define CLOCK_1970_TEXT "1970-01-01T00:00:00Z"
#define CLOCK_9999_TEXT "9999-12-31T23:59:59Z"

static const struct {
    const char *name;
    enum refusal refusal;
    bool usual;
} HOSTILES[HOSTILE_COUNT] = {
#define X(id, name, refusal, usual) {name, refusal, usual},
    HOSTILE_TABLE(X)
#undef X
};

static const char *const REFUSALS[REFUSAL_COUNT] = {"accepted",
#define X(id, name) name,
                                                    REFUSAL_TABLE(X)
#undef X
};

const char *hostile_name(enum hostile kind)
{
    return HOSTILES[kind].name;
}

enum refusal hostile_refusal(enum hostile kind)
{
    return HOSTILES[kind].refusal;
}

const char *hostile_expectation(enum hostile kind)
{
    return REFUSALS[HOSTILES[kind].refusal];
}

const char *hostile_type(enum hostile kind)
{
    /* five tokens: the streams take them, contract §1 does not */
    return kind == HOSTILE_BAD_SUBJECT ? HOSTILE_TYPE ".2.3.4.5" : HOSTILE_TYPE;
}

bool hostile_kinds_parse(const char *text, bool kinds[HOSTILE_COUNT])
{
    bool all = text && strcmp(text, "all") == 0;
    for (int i = 0; i < HOSTILE_COUNT; i++)
        kinds[i] = text ? all : HOSTILES[i].usual;
    if (!text || all)
        return true;
    for (;;) {
        size_t size = strcspn(text, ",");
        int kind = 0;
        while (kind < HOSTILE_COUNT && (strlen(HOSTILES[kind].name) != size ||
                                        memcmp(HOSTILES[kind].name, text, size) != 0))
            kind++;
        if (kind == HOSTILE_COUNT)
            return false;
        kinds[kind] = true;
        if (text[size] == '\0')
            return true;
        text += size + 1;
    }
}

static void write_with_data(struct buf *buf, const struct message *good, const char *data,
                            size_t size)
{
    struct message message = *good;
    message.data = data;
    message.data_bytes = size;
    message_write(buf, &message);
}

#define WRITE_WITH_DATA(buf, good, text) write_with_data(buf, good, text, sizeof(text) - 1)

static void write_large(struct buf *buf, const struct message *good)
{
    struct buf data = BUF_INIT;
    buf_adds(&data, "{\"text\":\"");
    while (!data.failed && data.size_bytes < HOSTILE_LARGE_BYTES)
        buf_adds(&data, "too much of a good thing ");
    buf_adds(&data, "\"}");
    write_with_data(buf, good, data.data, data.size_bytes);
    buf_done(&data);
}

static void write_deep(struct buf *buf, const struct message *good)
{
    struct buf data = BUF_INIT;
    buf_adds(&data, "{\"down\":");
    for (int i = 0; i < HOSTILE_DEPTH; i++)
        buf_addc(&data, '[');
    for (int i = 0; i < HOSTILE_DEPTH; i++)
        buf_addc(&data, ']');
    buf_addc(&data, '}');
    write_with_data(buf, good, data.data, data.size_bytes);
    buf_done(&data);
}

static void write_clock(struct buf *buf, const struct message *good, const char *timestamp)
{
    struct message message = *good;
    message.timestamp = timestamp;
    message_write(buf, &message);
}

static void write_wrong_vid(struct buf *buf, const struct message *good)
{
    struct message message = *good;
    message.vid = strcmp(good->vid, "IMPOSTOR") == 0 ? "IMPOSTOR-2" : "IMPOSTOR";
    message_write(buf, &message);
}

void hostile_write(struct buf *buf, enum hostile kind, const struct message *good)
{
    size_t start = buf->size_bytes;

    switch (kind) {
    case HOSTILE_NOT_JSON:
        buf_adds(buf, "vid=");
        buf_adds(buf, good->vid);
        buf_adds(buf, ";lat=59.9;lon=10.7");
        break;
    case HOSTILE_TRUNCATED:
        message_write(buf, good);
        if (!buf->failed)
            buf->size_bytes -= (buf->size_bytes - start) / 3;
        break;
    case HOSTILE_TOO_LARGE:
        write_large(buf, good);
        break;
    case HOSTILE_TOO_DEEP:
        write_deep(buf, good);
        break;
    case HOSTILE_WRONG_VID:
        write_wrong_vid(buf, good);
        break;
    case HOSTILE_NAN_NUMBER:
        WRITE_WITH_DATA(buf, good, "{\"lat\":NaN}");
        break;
    case HOSTILE_NUL_BYTES:
        WRITE_WITH_DATA(buf, good, "{\"text\":\"a\0b\"}\0\0");
        break;
    case HOSTILE_DUPLICATE_NAME:
        WRITE_WITH_DATA(buf, good, "{\"lat\":1,\"lon\":2,\"lat\":3}");
        break;
    case HOSTILE_BAD_UTF8:
        WRITE_WITH_DATA(buf, good, "{\"text\":\"\xc3\x28 \xff\"}");
        break;
    case HOSTILE_NEGATIVE_SEQ:
        buf_addf(buf,
                 "{\"vid\":\"%s\",\"timestamp\":\"%s\",\"boot\":\"%s\",\"seq\":-%llu,\"data\":{}}",
                 good->vid, good->timestamp, good->boot, (unsigned long long)good->seq + 1);
        break;
    case HOSTILE_CLOCK_1970:
        write_clock(buf, good, CLOCK_1970_TEXT);
        break;
    case HOSTILE_CLOCK_9999:
        write_clock(buf, good, CLOCK_9999_TEXT);
        break;
    case HOSTILE_ARRAY:
        buf_addc(buf, '[');
        message_write(buf, good);
        buf_addc(buf, ']');
        break;
    case HOSTILE_NO_DATA:
        buf_addf(buf, "{\"vid\":\"%s\",\"timestamp\":\"%s\"}", good->vid, good->timestamp);
        break;
    case HOSTILE_BAD_TIMESTAMP:
        write_clock(buf, good, "yesterday");
        break;
    case HOSTILE_BAD_SUBJECT:
        message_write(buf, good);
        break;
    case HOSTILE_EMPTY:
    case HOSTILE_COUNT:
        break;
    }
}

const char *clock_fault_name(enum clock_fault fault)
{
    static const char *const names[] = {
#define X(id, name) name,
        CLOCK_FAULT_TABLE(X)
#undef X
    };
    return names[fault];
}

void clock_fault_text(enum clock_fault fault, int64_t now_real_ns, char text[TIMESTAMP_TEXT_BYTES])
{
    switch (fault) {
    case CLOCK_FAULT_EPOCH:
        snprintf(text, TIMESTAMP_TEXT_BYTES, "%s", CLOCK_1970_TEXT);
        break;
    case CLOCK_FAULT_END:
        snprintf(text, TIMESTAMP_TEXT_BYTES, "%s", CLOCK_9999_TEXT);
        break;
    case CLOCK_FAULT_AHEAD:
    case CLOCK_FAULT_COUNT:
        timestamp_format(now_real_ns + CLOCK_AHEAD_NS, text);
        break;
    }
}
