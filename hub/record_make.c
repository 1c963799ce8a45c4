#include "hub/record_make.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_DAY (INT64_C(86400) * NS_PER_S)

struct record_maker {
    struct doc_parser *parser;
    size_t payload_bytes_max;
    record_admits_fn *admits; /* NULL: everybody is admitted */
    void *admits_closure;
    struct buf key; /* what an id derives from */
    struct record_scratch scratch;
};

struct record_maker *record_maker_new(size_t payload_bytes_max)
{
    struct record_maker *maker = calloc(1, sizeof *maker);
    if (!maker)
        return NULL;
    maker->payload_bytes_max = payload_bytes_max;
    maker->parser = doc_parser_new();
    if (!maker->parser) {
        free(maker);
        return NULL;
    }
    return maker;
}

void record_maker_free(struct record_maker *maker)
{
    if (!maker)
        return;
    doc_parser_free(maker->parser);
    buf_done(&maker->key);
    record_scratch_done(&maker->scratch);
    free(maker);
}

void record_maker_admission(struct record_maker *maker, record_admits_fn *admits, void *closure)
{
    maker->admits = admits;
    maker->admits_closure = closure;
}

/* ---- ids of what vehicles say ---- */

static void key_int(struct buf *key, int64_t value)
{
    buf_add(key, &value, sizeof value);
}

/* Its length before it, so that two neighbours cannot trade bytes; -1 for none. */
static void key_slice(struct buf *key, struct slice text)
{
    key_int(key, text.at ? (int64_t)text.size : -1);
    buf_add(key, text.at, text.size);
}

static bool id_of_envelope(struct record_maker *maker, const struct envelope *envelope,
                           struct record *record)
{
    struct buf *key = &maker->key;
    buf_reset(key);
    key_slice(key, envelope->subject.vid);
    key_slice(key, envelope->subject.type);
    key_slice(key, envelope->boot);
    key_int(key, envelope->seq);
    key_int(key, envelope->timestamp_ns);
    doc_write(key, envelope->data);
    if (key->failed)
        return false;
    record_id_of_time(record->kind, envelope->timestamp_ns, key->data, key->size_bytes, record->id);
    return true;
}

/* ---- vehicles ---- */

static struct slice trimmed(const char *text, size_t size)
{
    while (size > 0 && strchr(" \t\r\n", text[size - 1]))
        size--;
    while (size > 0 && strchr(" \t\r\n", *text)) {
        text++;
        size--;
    }
    return (struct slice){text, size};
}

static bool refuse(struct record_maker *maker, const struct record_source *source,
                   const struct bus_msg *msg, enum refusal refusal, struct slice vid,
                   struct record_made *made)
{
    made->refusal = refusal;
    made->day = 0;
    return record_of_refused(&maker->scratch, source->stream, source->created_ns, msg, refusal, vid,
                             &made->record);
}

static int32_t day_of(int64_t timestamp_ns)
{
    int64_t day = timestamp_ns / NS_PER_DAY;
    return (int32_t)(timestamp_ns % NS_PER_DAY < 0 ? day - 1 : day);
}

static bool make_of_vehicle(struct record_maker *maker, const struct record_source *source,
                            const struct bus_msg *msg, struct record_made *made)
{
    struct envelope envelope;
    struct record *record = &made->record;
    enum refusal refusal = envelope_parse(maker->parser, msg->subject, msg->data, msg->size,
                                          maker->payload_bytes_max, &envelope);
    if (refusal == REFUSAL_NONE && maker->admits) {
        enum record_admission admission =
            maker->admits(maker->admits_closure, envelope.subject.vid, msg->received_ns);
        if (admission == RECORD_NOT_KNOWN_NOW)
            return false;
        if (admission == RECORD_NOT_ADMITTED)
            refusal = REFUSAL_NOT_REGISTERED;
    }
    if (refusal == REFUSAL_NO_MEMORY)
        return false;
    if (refusal != REFUSAL_NONE)
        return refuse(maker, source, msg, refusal, envelope.subject.vid, made);

    record_init(record);
    record->kind = envelope.subject.category == CATEGORY_ACK ? RECORD_ACK : RECORD_EVENT;
    record->severity = record_severity_of(envelope.data);
    record->vid = envelope.subject.vid;
    record->type = envelope.subject.type;
    record->boot = envelope.boot;
    record->vehicle_seq = envelope.seq;
    record->timestamp_ns = envelope.timestamp_ns;
    record->received_ns = msg->received_ns;
    record->stream = (struct slice){source->stream, strlen(source->stream)};
    record->stream_seq = (int64_t)msg->stream_seq;
    if (envelope.bare_ack)
        record->data = trimmed(msg->data, msg->size);
    else if (!record_member_text(msg->data, msg->size, "data", &record->data))
        return refuse(maker, source, msg, REFUSAL_BAD_ENVELOPE, envelope.subject.vid, made);
    made->refusal = REFUSAL_NONE;
    made->day = day_of(envelope.timestamp_ns);
    return id_of_envelope(maker, &envelope, record);
}

/* ---- the hub's own ---- */

/* fleet.<env>.hub.<region>.record.<kind>.<token>: the token where it is a vid. */
static struct slice vid_of_subject(const char *subject)
{
    const char *dot = strrchr(subject, '.');
    struct slice token = {dot ? dot + 1 : NULL, dot ? strlen(dot + 1) : 0};
    return token.at && vid_valid(token.at, token.size) ? token : (struct slice){NULL, 0};
}

static bool make_of_own(struct record_maker *maker, const struct record_source *source,
                        const struct bus_msg *msg, struct record_made *made)
{
    const char *reason;
    struct record *record = &made->record;
    if (!record_parse(maker->parser, msg->data, msg->size, record, &reason))
        return refuse(maker, source, msg, REFUSAL_BAD_ENVELOPE, vid_of_subject(msg->subject), made);
    if (record->received_ns == TIMESTAMP_NONE)
        record->received_ns = msg->received_ns;
    if (!record->stream.at) {
        record->stream = (struct slice){source->stream, strlen(source->stream)};
        record->stream_seq = (int64_t)msg->stream_seq;
    }
    made->refusal = REFUSAL_NONE;
    /* Two producers of one record need not agree on its timestamp. Of a track, which is what most
     * records are in a quiet fleet, `received` is the slot that its id derives from. */
    made->day = record->kind == RECORD_TRACK ? day_of(record->received_ns) : 0;
    return true;
}

bool record_make(struct record_maker *maker, const struct record_source *source,
                 const struct bus_msg *msg, struct record_made *made)
{
    return source->own ? make_of_own(maker, source, msg, made)
                       : make_of_vehicle(maker, source, msg, made);
}
