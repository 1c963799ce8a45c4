#include "hub/record.h"

#include "hub/record_hash.h"
#include "hub/utf8.h"

#include <stdio.h>
#include <string.h>

static const char *const kind_names[RECORD_KIND_COUNT] = {
#define X(id, name) name,
    RECORD_KIND_TABLE(X)
#undef X
};

static const char *const severity_names[SEVERITY_COUNT] = {NULL,
#define X(id, name) name,
                                                           RECORD_SEVERITY_TABLE(X)
#undef X
};

const char *record_kind_name(enum record_kind kind)
{
    return kind_names[kind];
}

/* The index of a text in a list of names, -1 where it is none of them. */
static int name_index(const char *const *names, int count, const char *text, size_t size)
{
    for (int i = 0; i < count; i++) {
        if (names[i] && strlen(names[i]) == size && memcmp(names[i], text, size) == 0)
            return i;
    }
    return -1;
}

bool record_kind_parse(const char *text, size_t size, enum record_kind *kind)
{
    int index = name_index(kind_names, RECORD_KIND_COUNT, text, size);
    if (index < 0)
        return false;
    *kind = (enum record_kind)index;
    return true;
}

const char *record_severity_name(enum record_severity severity)
{
    return severity_names[severity];
}

enum record_severity record_severity_of(struct doc_ref data)
{
    static const enum record_severity of_syslog[] = {
        SEVERITY_CRITICAL, SEVERITY_CRITICAL, SEVERITY_CRITICAL, SEVERITY_ERROR,
        SEVERITY_WARNING,  SEVERITY_NOTICE,   SEVERITY_INFO,     SEVERITY_DEBUG};
    struct doc_ref value = doc_getz(data, "severity");
    int64_t number;
    if (doc_is(value, DOC_STRING)) {
        size_t size;
        const char *text = doc_string(value, &size);
        int index = name_index(severity_names, SEVERITY_COUNT, text, size);
        return index < 0 ? SEVERITY_NONE : (enum record_severity)index;
    }
    if (doc_is_number(value) && doc_int(value, &number) && number >= 0 && number <= 7)
        return of_syslog[number];
    return SEVERITY_NONE;
}

void record_init(struct record *record)
{
    *record = (struct record){.vehicle_seq = SEQ_NONE,
                              .timestamp_ns = TIMESTAMP_NONE,
                              .received_ns = TIMESTAMP_NONE,
                              .archived_ns = TIMESTAMP_NONE,
                              .stream_seq = RECORD_STREAM_SEQ_NONE};
}

/* ---- ids ---- */

enum { ID_TIME_BYTES = 6 };

void record_id_of(enum record_kind kind, const void *key, size_t key_bytes,
                  uint8_t id[RECORD_ID_BYTES])
{
    uint8_t hash[RECORD_HASH_BYTES];
    /* With the NUL, which no kind's name holds: kind and key cannot run together. */
    const struct slice pieces[] = {{kind_names[kind], strlen(kind_names[kind]) + 1},
                                   {key, key_bytes}};
    record_sha256_of(pieces, sizeof pieces / sizeof *pieces, hash);
    memcpy(id, hash, RECORD_ID_BYTES);
}

void record_id_of_time(enum record_kind kind, int64_t time_ns, const void *key, size_t key_bytes,
                       uint8_t id[RECORD_ID_BYTES])
{
    int64_t time_ms = time_ns < 0 ? 0 : time_ns / NS_PER_MS; /* int64 ns are 44 bits of ms */
    record_id_of(kind, key, key_bytes, id);
    memmove(id + ID_TIME_BYTES, id, RECORD_ID_BYTES - ID_TIME_BYTES);
    for (int i = ID_TIME_BYTES - 1; i >= 0; i--) {
        id[i] = (uint8_t)(time_ms & 0xff);
        time_ms >>= 8;
    }
}

void record_id_format(const uint8_t id[RECORD_ID_BYTES], char text[RECORD_ID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < RECORD_ID_BYTES; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    text[2 * RECORD_ID_BYTES] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool record_id_parse(const char *text, size_t size, uint8_t id[RECORD_ID_BYTES])
{
    uint8_t bytes[RECORD_ID_BYTES];
    if (size != 2 * RECORD_ID_BYTES)
        return false;
    for (int i = 0; i < RECORD_ID_BYTES; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(id, bytes, sizeof bytes);
    return true;
}

bool record_holds_nul(struct slice json)
{
    const char *at = json.at, *end = json.at + json.size;
    while ((at = memmem(at, (size_t)(end - at), "\\u0000", 6)) != NULL) {
        const char *first = at;
        while (first > json.at && first[-1] == '\\')
            first--;
        if ((at - first) % 2 == 0)
            return true;
        at++;
    }
    return false;
}

/* ---- writing ---- */

static void write_slice(struct buf *out, struct slice text)
{
    if (text.at)
        buf_json_string(out, text.at, text.size);
    else
        buf_adds(out, "null");
}

static void write_int(struct buf *out, int64_t value, int64_t none)
{
    if (value == none)
        buf_adds(out, "null");
    else
        buf_json_int(out, value);
}

static void write_id(struct buf *out, const struct record *record)
{
    char id[RECORD_ID_TEXT_BYTES];
    record_id_format(record->id, id);
    buf_adds(out, "{\"id\":\"");
    buf_add(out, id, sizeof id - 1);
    buf_addc(out, '"');
}

/* From `type` to `boot` and `vehicle_seq`, in which both forms agree. */
static void write_middle(struct buf *out, const struct record *record)
{
    buf_adds(out, ",\"type\":");
    write_slice(out, record->type);
    buf_adds(out, ",\"severity\":");
    buf_json_cstr(out, severity_names[record->severity]);
    buf_adds(out, ",\"actor\":");
    write_slice(out, record->actor);
    buf_adds(out, ",\"request_id\":");
    write_slice(out, record->request_id);
    buf_adds(out, ",\"boot\":");
    write_slice(out, record->boot);
    buf_adds(out, ",\"vehicle_seq\":");
    write_int(out, record->vehicle_seq, SEQ_NONE);
    buf_adds(out, ",\"timestamp\":");
    buf_json_timestamp(out, record->timestamp_ns);
    buf_adds(out, ",\"received\":");
    buf_json_timestamp(out, record->received_ns);
}

/* `data` stays one line whatever the vehicle's encoder does (record_hash.h). */
static void write_data(struct buf *out, struct slice data)
{
    if (!buf_reserve(out, data.size))
        return;
    size_t start = out->size_bytes;
    buf_add(out, data.at, data.size);
    char *end = out->data + out->size_bytes;
    if (!memchr(out->data + start, '\n', data.size) && !memchr(out->data + start, '\r', data.size))
        return;
    for (char *at = out->data + start; at < end; at++) {
        if (*at == '\n' || *at == '\r')
            *at = ' ';
    }
}

static void write_end(struct buf *out, const struct record *record)
{
    buf_adds(out, ",\"stream\":");
    write_slice(out, record->stream);
    buf_adds(out, ",\"stream_seq\":");
    write_int(out, record->stream_seq, RECORD_STREAM_SEQ_NONE);
    buf_adds(out, ",\"data\":");
    write_data(out, record->data);
    buf_addc(out, '}');
}

void record_write(struct buf *out, const struct record *record)
{
    write_id(out, record);
    buf_addf(out, ",\"kind\":\"%s\",\"vid\":", kind_names[record->kind]);
    write_slice(out, record->vid);
    write_middle(out, record);
    write_end(out, record);
}

void record_write_public(struct buf *out, const struct record *record, bool with_hash)
{
    write_id(out, record);
    buf_adds(out, ",\"seq\":");
    buf_json_int(out, record->seq);
    if (with_hash && record->redacted) {
        buf_adds(out, ",\"hash\":null");
    } else if (with_hash) {
        static const char digits[] = "0123456789abcdef";
        buf_adds(out, ",\"hash\":\"");
        for (int i = 0; i < RECORD_HASH_BYTES; i++) {
            buf_addc(out, digits[record->hash[i] >> 4]);
            buf_addc(out, digits[record->hash[i] & 15]);
        }
        buf_addc(out, '"');
    }
    buf_adds(out, ",\"kind\":\"");
    buf_adds(out, kind_names[record->kind]);
    buf_adds(out, "\",\"vid\":");
    write_slice(out, record->vid);
    buf_adds(out, ",\"region\":");
    write_slice(out, record->region);
    write_middle(out, record);
    buf_adds(out, ",\"archived\":");
    buf_json_timestamp(out, record->archived_ns);
    write_end(out, record);
}

void record_subject(struct buf *out, const char *env, const char *region,
                    const struct record *record)
{
    buf_addf(out, "fleet.%s.hub.%s.record.%s.", env, region, kind_names[record->kind]);
    if (record->vid.at)
        buf_add(out, record->vid.at, record->vid.size);
    else
        buf_adds(out, "hub");
}

/* ---- refused messages ---- */

static void write_base64(struct buf *out, const char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    buf_reserve(out, (size + 2) / 3 * 4);
    for (size_t i = 0; i < size; i += 3) {
        size_t have = size - i < 3 ? size - i : 3;
        uint32_t group = 0;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < have ? (unsigned char)bytes[i + k] : 0);
        buf_addc(out, digits[group >> 18]);
        buf_addc(out, digits[group >> 12 & 63]);
        buf_addc(out, have > 1 ? digits[group >> 6 & 63] : '=');
        buf_addc(out, have > 2 ? digits[group & 63] : '=');
    }
}

/* A JSON string of bytes that may be no UTF-8: what is none becomes U+FFFD. */
static void write_any_text(struct buf *out, const char *text, size_t size)
{
    struct buf clean = BUF_INIT;
    while (size > 0) {
        size_t taken;
        uint32_t character = utf8_next(text, size, &taken);
        if (character == UTF8_BAD)
            buf_adds(&clean, "\xef\xbf\xbd");
        else
            buf_add(&clean, text, taken);
        text += taken;
        size -= taken;
    }
    buf_json_string(out, clean.data ? clean.data : "", clean.size_bytes);
    out->failed |= clean.failed;
    buf_done(&clean);
}

void record_scratch_done(struct record_scratch *scratch)
{
    buf_done(&scratch->data);
}

bool record_of_refused(struct record_scratch *scratch, const char *stream, int64_t created_ns,
                       const struct bus_msg *msg, enum refusal refusal, struct slice vid,
                       struct record *record)
{
    char key[RECORD_STREAM_MAX_BYTES + 64];
    const char *reason = refusal_name(refusal);
    struct buf *data = &scratch->data;
    size_t kept =
        msg->size < RECORD_REJECTED_PAYLOAD_BYTES ? msg->size : RECORD_REJECTED_PAYLOAD_BYTES;
    buf_reset(data);
    buf_adds(data, "{\"subject\":");
    write_any_text(data, msg->subject, strlen(msg->subject));
    buf_addf(data, ",\"reason\":\"%s\",\"size\":%zu,\"payload\":\"", reason, msg->size);
    write_base64(data, msg->data, kept);
    buf_adds(data, "\"}");
    if (data->failed)
        return false;

    record_init(record);
    record->kind = RECORD_REJECTED;
    record->type = (struct slice){reason, strlen(reason)};
    record->vid = vid.size ? vid : (struct slice){NULL, 0};
    record->received_ns = msg->received_ns;
    record->stream = (struct slice){stream, strlen(stream)};
    record->stream_seq = (int64_t)msg->stream_seq;
    record->data = (struct slice){data->data, data->size_bytes};
    /* The broker's time tells a message from another that got its sequence after a lost tail. */
    int key_bytes = snprintf(key, sizeof key, "%s/%lld/%llu/%lld", stream, (long long)created_ns,
                             (unsigned long long)msg->stream_seq, (long long)msg->received_ns);
    record_id_of(RECORD_REJECTED, key, (size_t)key_bytes, record->id);
    return true;
}
