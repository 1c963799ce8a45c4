#include "hub/record_stream.h"

#include "hub/clock.h"
#include "hub/log.h"
#include "hub/record_reuse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_MS = 500, NOTICE_BYTES = 512 };

bool record_streams_init(struct record_stream streams[RECORD_STREAMS])
{
    static const struct record_stream table[RECORD_STREAMS] = {
        {.name = "TWIN_EVENTS", .label = STREAM_EVENTS},
        {.name = "TWIN_ACK", .label = STREAM_ACK},
        {.name = "TWIN_RECORD", .label = STREAM_RECORD, .own = true},
    };
    bool made = true;
    for (int i = 0; i < RECORD_STREAMS; i++) {
        streams[i] = table[i];
        streams[i].throttle = record_throttle_new();
        streams[i].reuse = streams[i].own ? NULL : record_reuse_new();
        made &= streams[i].throttle != NULL && (streams[i].own || streams[i].reuse);
    }
    if (!made)
        record_streams_done(streams);
    return made;
}

void record_streams_done(struct record_stream streams[RECORD_STREAMS])
{
    for (int i = 0; i < RECORD_STREAMS; i++) {
        bus_consumer_close(streams[i].consumer);
        record_throttle_free(streams[i].throttle);
        record_reuse_free(streams[i].reuse);
        streams[i].consumer = NULL;
        streams[i].throttle = NULL;
        streams[i].reuse = NULL;
    }
}

static void close_one(struct record_stream *stream)
{
    bus_consumer_close(stream->consumer);
    stream->consumer = NULL;
}

void record_streams_close(struct record_stream streams[RECORD_STREAMS])
{
    for (int i = 0; i < RECORD_STREAMS; i++) {
        close_one(&streams[i]);
        streams[i].read = streams[i].committed = (struct record_position){0};
        streams[i].moved = streams[i].complained = false;
        streams[i].retry_at_ms = 0;
        streams[i].pending = 0;
        record_throttle_reset(streams[i].throttle);
    }
}

/* ---- what is committed ---- */

static struct record_stream *stream_named(struct record_stream streams[RECORD_STREAMS],
                                          const char *name)
{
    for (int i = 0; i < RECORD_STREAMS; i++) {
        if (strcmp(streams[i].name, name) == 0)
            return &streams[i];
    }
    return NULL;
}

static enum pg_status load_positions(struct record_stream streams[RECORD_STREAMS], struct pg *pg,
                                     struct pg_error *error)
{
    static const struct pg_statement select_positions = {
        .sql = "SELECT stream, created_ns, generation, seq, received_ns FROM stream_positions"};
    struct pg_result *rows = NULL;
    enum pg_status status = pg_run(pg, &select_positions, NULL, &rows, error);
    for (int row = 0; status == PG_OK && row < pg_rows(rows); row++) {
        struct record_stream *stream = stream_named(streams, pg_get_bytes(rows, row, 0, NULL));
        if (!stream)
            continue;
        stream->committed = (struct record_position){
            .created_ns = pg_get_int(rows, row, 1),
            .generation = pg_get_int(rows, row, 2),
            .seq = (uint64_t)pg_get_int(rows, row, 3),
            .received_ns = pg_get_int(rows, row, 4),
        };
        stream->read = stream->committed;
    }
    pg_result_free(rows);
    return status;
}

static void reasons_read(const char *text, int64_t reasons[REFUSAL_COUNT])
{
    char *end;
    for (int i = 0; i < REFUSAL_COUNT; i++, text = end)
        reasons[i] = strtoll(text, &end, 10);
}

static enum pg_status load_refusals(struct record_stream streams[RECORD_STREAMS], struct pg *pg,
                                    struct pg_error *error)
{
    static const struct pg_statement select_refusals = {
        .sql = "SELECT stream, vid, minute, recorded, suppressed, last_seq, last_ns, "
               "array_to_string(reasons, ' ') FROM refusals"};
    struct pg_result *rows = NULL;
    enum pg_status status = pg_run(pg, &select_refusals, NULL, &rows, error);
    for (int row = 0; status == PG_OK && row < pg_rows(rows); row++) {
        struct record_stream *stream = stream_named(streams, pg_get_bytes(rows, row, 0, NULL));
        struct record_refusals refusals = {
            .minute = pg_get_int(rows, row, 2),
            .recorded = pg_get_int(rows, row, 3),
            .suppressed = pg_get_int(rows, row, 4),
            .last_seq = pg_get_int(rows, row, 5),
            .last_ns = pg_get_int(rows, row, 6),
        };
        snprintf(refusals.vid, sizeof refusals.vid, "%s", pg_get_bytes(rows, row, 1, NULL));
        reasons_read(pg_get_bytes(rows, row, 7, NULL), refusals.reasons);
        if (stream && !record_throttle_restore(stream->throttle, &refusals)) {
            *error = (struct pg_error){.text = "no memory"};
            status = PG_FAILED;
        }
    }
    pg_result_free(rows);
    return status;
}

enum pg_status record_streams_load(struct record_stream streams[RECORD_STREAMS], struct pg *pg,
                                   struct pg_error *error)
{
    record_streams_close(streams);
    enum pg_status status = load_positions(streams, pg, error);
    return status == PG_OK ? load_refusals(streams, pg, error) : status;
}

/* ---- what is noticed ---- */

static bool add_notice(struct record_stream *stream, struct record_batch *batch, const char *type,
                       const char *key, const char *data)
{
    struct record record;
    record_init(&record);
    record.kind = RECORD_SYSTEM;
    record.severity = SEVERITY_ERROR;
    record.type = (struct slice){type, strlen(type)};
    record.received_ns = clock_wall_ns();
    record.stream = (struct slice){stream->name, strlen(stream->name)};
    record.data = (struct slice){data, strlen(data)};
    record_id_of(RECORD_SYSTEM, key, strlen(key), record.id);
    return record_batch_add(batch, &record, 0);
}

/* The messages from `from` to `to` are gone and were never archived. */
static bool notice_gap(struct record_stream *stream, struct record_batch *batch, uint64_t from,
                       uint64_t to)
{
    char key[NOTICE_BYTES], data[NOTICE_BYTES], epoch[RECORD_EPOCH_TEXT_BYTES];
    record_epoch_format(&stream->read, epoch);
    snprintf(key, sizeof key, "gap/%s/%s/%" PRIu64 "/%" PRIu64, stream->name, epoch, from, to);
    snprintf(data, sizeof data,
             "{\"stream\":\"%s\",\"epoch\":\"%s\",\"from\":%" PRIu64 ",\"to\":%" PRIu64
             ",\"missing\":%" PRIu64 "}",
             stream->name, epoch, from, to, to - from + 1);
    if (!add_notice(stream, batch, "gap", key, data))
        return false;
    log_error("record.gap", "stream", stream->name, "from", LOG_INT(from), "to", LOG_INT(to),
              "detail", "the stream let go of messages before they were archived");
    return true;
}

/* The stream is not the one that the position belongs to: say so, and begin where nothing can be
 * missed. Messages that come again meet their digests; a refused one tells itself from another
 * with its sequence by the broker's time. */
static bool notice_epoch(struct record_stream *stream, struct record_batch *batch,
                         const struct bus_stream_info *info)
{
    char key[NOTICE_BYTES], data[NOTICE_BYTES];
    char was[RECORD_EPOCH_TEXT_BYTES], is[RECORD_EPOCH_TEXT_BYTES];
    bool recreated = info->created_ns != stream->read.created_ns;
    const char *reason = recreated ? "recreated" : "tail_lost";
    struct record_position now = {.created_ns = info->created_ns,
                                  .generation = stream->read.generation + 1};
    if (!recreated && info->first_seq > 0)
        now.seq = info->first_seq - 1;

    record_epoch_format(&stream->read, was);
    record_epoch_format(&now, is);
    snprintf(key, sizeof key, "epoch/%s/%s/%s", stream->name, was, is);
    snprintf(data, sizeof data,
             "{\"stream\":\"%s\",\"reason\":\"%s\",\"before\":{\"epoch\":\"%s\",\"seq\":%" PRIu64
             "},\"after\":{\"epoch\":\"%s\",\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64 "}}",
             stream->name, reason, was, stream->read.seq, is, info->first_seq, info->last_seq);
    if (!add_notice(stream, batch, "epoch", key, data))
        return false;
    log_error("record.stream_epoch", "stream", stream->name, "reason", reason, "archived",
              LOG_INT(stream->read.seq), "last", LOG_INT(info->last_seq), "detail",
              "reading the stream from its first message");
    metrics_inc(METRIC_STREAM_EPOCHS, stream->label);
    stream->read = now;
    stream->moved = true;
    return true;
}

/* ---- opening ---- */

static enum record_open not_yet(struct record_stream *stream, int64_t now_ms,
                                const struct bus_error *why)
{
    stream->retry_at_ms = now_ms + RETRY_MS;
    if (!stream->complained)
        log_info("record.stream_not_open", "stream", stream->name, "error", why->text);
    stream->complained = true;
    return RECORD_NOT_YET;
}

static enum record_open begin_anew(struct record_stream *stream, struct bus *bus,
                                   struct record_batch *batch, int64_t now_ms,
                                   struct bus_error *complaint)
{
    struct bus_stream_info info;
    if (bus_stream_info(bus, stream->name, &info, complaint) != BUS_OK)
        return not_yet(stream, now_ms, complaint);
    if (!notice_epoch(stream, batch, &info))
        return RECORD_NO_MEMORY;
    stream->retry_at_ms = now_ms; /* at once, from the new position */
    return RECORD_NOT_YET;
}

enum record_open record_stream_open(struct record_stream *stream, struct bus *bus,
                                    struct record_batch *batch, int64_t now_ms,
                                    struct bus_error *complaint)
{
    struct bus_stream_info info = {0};
    struct bus_consume what = {.stream = stream->name,
                               .from = BUS_FROM_SEQ,
                               .seq = stream->read.seq + 1,
                               .epoch_ns = stream->read.created_ns,
                               .before_received_ns = stream->read.received_ns,
                               .own_line = true};
    complaint->text[0] = '\0';
    if (now_ms < stream->retry_at_ms)
        return RECORD_NOT_YET;
    enum bus_status status = bus_consume(bus, &what, &stream->consumer, &info, complaint);
    if (status == BUS_EPOCH)
        return begin_anew(stream, bus, batch, now_ms, complaint);
    if (status != BUS_OK)
        return not_yet(stream, now_ms, complaint);

    stream->complained = false;
    stream->read.created_ns = info.created_ns;
    record_stream_doubt(stream);
    if (info.first_seq > stream->read.seq + 1) {
        if (!notice_gap(stream, batch, stream->read.seq + 1, info.first_seq - 1)) {
            close_one(stream);
            return RECORD_NO_MEMORY;
        }
        stream->read.seq = info.first_seq - 1;
        stream->read.received_ns = 0;
    }
    log_info("record.reading", "stream", stream->name, "from", LOG_INT(stream->read.seq + 1),
             "last", LOG_INT(info.last_seq));
    return RECORD_OPENED;
}

void record_stream_doubt(struct record_stream *stream)
{
    stream->read.generation++;
    stream->moved = true;
}

/* ---- reading ---- */

bool record_stream_minute(struct record_stream *stream, int64_t now_ns, struct record_batch *batch)
{
    const struct record_refusals *due;
    struct record_scratch scratch = {0};
    bool done = true;
    while (done && (due = record_throttle_due(stream->throttle, now_ns)) != NULL) {
        struct record record;
        done = record_of_throttled(&scratch, stream->name, due, &record) &&
               record_batch_add(batch, &record, 0);
    }
    stream->moved |= record_throttle_changed(stream->throttle);
    record_scratch_done(&scratch);
    return done;
}

/* Another message came under this one's Nats-Msg-Id. False: no memory. */
static bool flag_reuse(struct record_stream *stream, const struct record *made,
                       const struct bus_msg *msg, struct record_batch *batch)
{
    struct record flag;
    const char *msg_id = stream->reuse ? bus_msg_header(msg, "Nats-Msg-Id") : NULL;
    if (!msg_id || !record_reuse_look(stream->reuse, made, msg_id, &flag))
        return true;
    metrics_inc(METRIC_MESSAGE_IDS_REUSED, stream->label);
    return record_batch_add(batch, &flag, 0);
}

bool record_stream_take(struct record_stream *stream, struct record_maker *maker,
                        const struct bus_msg *msg, struct record_batch *batch)
{
    struct record_source source = {stream->name, stream->read.created_ns, stream->own};
    struct record_made made;
    bool admitted = true;

    if (!record_stream_minute(stream, msg->received_ns, batch))
        return false;
    if (msg->stream_seq > stream->read.seq + 1 &&
        !notice_gap(stream, batch, stream->read.seq + 1, msg->stream_seq - 1))
        return false;
    if (!record_make(maker, &source, msg, &made))
        return false;
    if (made.refusal != REFUSAL_NONE &&
        !record_throttle_admit(stream->throttle, made.record.vid, made.refusal, msg, &admitted))
        return false;
    if (admitted && !record_batch_add(batch, &made.record, made.day))
        return false;
    if (made.refusal == REFUSAL_NONE && !flag_reuse(stream, &made.record, msg, batch))
        return false;
    stream->read.seq = msg->stream_seq;
    stream->read.received_ns = msg->received_ns;
    stream->pending = msg->pending;
    stream->moved = true;
    return true;
}

/* ---- committing ---- */

void record_streams_progress(const struct record_stream streams[RECORD_STREAMS],
                             struct record_progress progress[RECORD_STREAMS])
{
    for (int i = 0; i < RECORD_STREAMS; i++) {
        const struct record_stream *stream = &streams[i];
        bool counted = record_throttle_changed(stream->throttle);
        progress[i] = (struct record_progress){
            .stream = stream->moved ? stream->name : NULL,
            .position = stream->read,
            .throttle = counted ? stream->throttle : NULL,
        };
    }
}

static bool same_position(const struct record_position *a, const struct record_position *b)
{
    return a->created_ns == b->created_ns && a->generation == b->generation && a->seq == b->seq &&
           a->received_ns == b->received_ns;
}

void record_streams_committed(struct record_stream streams[RECORD_STREAMS],
                              const struct record_progress progress[RECORD_STREAMS])
{
    for (int i = 0; i < RECORD_STREAMS; i++) {
        struct record_stream *stream = &streams[i];
        if (!progress[i].stream)
            continue;
        stream->committed = progress[i].position;
        if (progress[i].throttle)
            record_throttle_saved(stream->throttle);
        stream->moved = !same_position(&stream->read, &stream->committed) ||
                        record_throttle_changed(stream->throttle);
        metrics_set(METRIC_ARCHIVED_SEQ, stream->label, (double)stream->committed.seq);
    }
}

bool record_streams_moved(const struct record_stream streams[RECORD_STREAMS])
{
    for (int i = 0; i < RECORD_STREAMS; i++) {
        if (streams[i].moved)
            return true;
    }
    return false;
}

void record_epoch_format(const struct record_position *position, char text[RECORD_EPOCH_TEXT_BYTES])
{
    size_t used = timestamp_format(position->created_ns, text);
    snprintf(text + used, RECORD_EPOCH_TEXT_BYTES - used, "-%" PRId64, position->generation);
}
