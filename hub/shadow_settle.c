#include "hub/shadow_settle.h"

#include "hub/clock.h"
#include "hub/log.h"
#include "hub/shadow_history.h"
#include "hub/shadow_write.h"
#include "hub/streams.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEXT_MS = 100,
    RETRY_MS = 500,
    AGAIN_MS = 10000, /* before a request whose outcome does not show is settled once more */
    STORE_MS = 2000,
    FENCE_TRIES_MAX = 5,
};

/* A request without an outcome, as far as TWIN_RECORD was read. */
struct open {
    uint8_t id[RECORD_ID_BYTES];
    uint64_t seq;
    int64_t due_ms;
};

struct shadow_settler {
    const struct config *config;
    struct bus *bus;
    struct store *store;
    struct recorder *recorder;
    struct shadow_lane *shadows;
    char subject[STREAMS_SUBJECT_BYTES]; /* of the region's shadow records */
    struct bus_consumer *consumer;
    struct doc_parser *parser, *data_parser;
    struct position read; /* of TWIN_RECORD */
    uint64_t first_end;   /* what was there when this hub began: settled at once */
    bool began;
    struct open open[SHADOW_OPEN_MAX]; /* oldest first */
    size_t open_count;
    _Atomic bool stop;
    pthread_t thread;
};

/* ---- the open ones ---- */

static void show_position(struct shadow_settler *settler)
{
    struct position position = settler->read;
    if (settler->open_count > 0)
        position.seq = settler->open[0].seq - 1;
    store_lock(settler->store);
    store_reposition(settler->store, STREAM_RECORD, position);
    store_unlock(settler->store);
}

static void add_open(struct shadow_settler *settler, const uint8_t id[RECORD_ID_BYTES],
                     uint64_t seq)
{
    if (settler->open_count == SHADOW_OPEN_MAX) {
        log_warn("shadow.too_many_open", "seq", LOG_INT(seq));
        return;
    }
    struct open *open = &settler->open[settler->open_count++];
    memcpy(open->id, id, RECORD_ID_BYTES);
    open->seq = seq;
    open->due_ms = clock_mono_ms() + (seq <= settler->first_end ? 0 : SHADOW_OPEN_MS);
}

static void close_open(struct shadow_settler *settler, const uint8_t id[RECORD_ID_BYTES])
{
    size_t kept = 0;
    for (size_t i = 0; i < settler->open_count; i++)
        if (memcmp(settler->open[i].id, id, RECORD_ID_BYTES) != 0)
            settler->open[kept++] = settler->open[i];
    settler->open_count = kept;
}

static bool slice_is(struct slice text, const char *expected)
{
    return text.size == strlen(expected) && memcmp(text.at, expected, text.size) == 0;
}

/* The request that an outcome speaks of. */
static bool request_of(struct shadow_settler *settler, const struct record *record,
                       uint8_t id[RECORD_ID_BYTES])
{
    struct doc_limits limits = {RECORD_MAX_BYTES, RECORD_MAX_DEPTH};
    struct doc_ref data;
    size_t size;
    if (doc_parse(settler->data_parser, record->data.at, record->data.size, limits, &data) !=
        DOC_OK)
        return false;
    struct doc_ref request = doc_getz(data, "request");
    if (!doc_is(request, DOC_STRING))
        return false;
    const char *text = doc_string(request, &size);
    return record_id_parse(text, size, id);
}

static void take(struct shadow_settler *settler, const struct bus_msg *msg)
{
    struct record record;
    const char *reason;
    uint8_t id[RECORD_ID_BYTES];
    if (record_parse(settler->parser, msg->data, msg->size, &record, &reason) &&
        record.kind == RECORD_SHADOW) {
        if (slice_is(record.type, "requested"))
            add_open(settler, record.id, msg->stream_seq);
        else if ((slice_is(record.type, "applied") || slice_is(record.type, "refused")) &&
                 request_of(settler, &record, id))
            close_open(settler, id);
    }
    settler->read.seq = msg->stream_seq;
}

/* ---- settling one ---- */

/* What is known of the request. Borrows from `stored` and the settler's parser. */
struct request {
    struct bus_stored stored;
    struct record record;
    enum part_kind kind;
    char vid[TOKEN_MAX_BYTES + 1];
    uint64_t base_seq;
};

static bool read_request(struct shadow_settler *settler, struct request *request)
{
    struct doc_limits limits = {RECORD_MAX_BYTES, RECORD_MAX_DEPTH};
    struct doc_ref data;
    const char *reason;
    char base[24];
    size_t size;
    if (!record_parse(settler->parser, request->stored.data, request->stored.size, &request->record,
                      &reason) ||
        request->record.vid.size == 0 || request->record.vid.size > TOKEN_MAX_BYTES ||
        !bus_stored_header(&request->stored, SHADOW_HEADER_BASE, base, sizeof base) ||
        doc_parse(settler->data_parser, request->record.data.at, request->record.data.size, limits,
                  &data) != DOC_OK ||
        !doc_is(doc_getz(data, "part"), DOC_STRING))
        return false;
    const char *part = doc_string(doc_getz(data, "part"), &size);
    memcpy(request->vid, request->record.vid.at, request->record.vid.size);
    request->vid[request->record.vid.size] = '\0';
    request->base_seq = strtoull(base, NULL, 10);
    return part_of_name(part, size, &request->kind);
}

/* Writes the last good value again, over `base_seq`: BUS_CONFLICT where the key has moved on. */
static enum bus_status put_fence(struct shadow_settler *settler, const struct request *request,
                                 const struct shadow_history *history, struct bus_error *error)
{
    char subject[STREAMS_SUBJECT_BYTES], id[RECORD_ID_TEXT_BYTES], seq[24];
    const struct shadow_revision *good = NULL;
    struct buf value = BUF_INIT;
    for (size_t i = 0; i < history->count; i++)
        if (history->revisions[i].good)
            good = &history->revisions[i];
    bool deleted = !good || good->deleted;
    if (!deleted)
        doc_write(&value, doc_root(good->value));
    record_id_format(request->record.id, id);
    snprintf(seq, sizeof seq, "%llu", (unsigned long long)request->stored.seq);
    streams_shadow_subject(settler->config->nats.shadow_key_style, settler->config->env,
                           (struct slice){request->vid, strlen(request->vid)}, request->kind,
                           subject);
    struct bus_store what = {.subject = subject,
                             .data = value.data ? value.data : "",
                             .size = value.size_bytes,
                             .expected_last_of_subject = request->base_seq,
                             .headers = {{SHADOW_HEADER_RECORD, id},
                                         {SHADOW_HEADER_RECORD_SEQ, seq},
                                         {SHADOW_HEADER_FENCE, "1"},
                                         {SHADOW_HEADER_ACTOR, good ? good->actor : "unknown"}}};
    if (deleted)
        what.headers[4] = (struct bus_header){SHADOW_HEADER_KV, "DEL"};
    enum bus_status status =
        value.failed ? BUS_ERROR : bus_store(settler->bus, &what, STORE_MS, NULL, error);
    buf_done(&value);
    return status;
}

/* Whether it was carried out: the bucket says so, or, of a revision that it has let go of, who
 * watched it. False: not known now. */
static bool find_revision(struct shadow_settler *settler, const struct request *request,
                          const struct shadow_history *history, uint64_t last, bool *applied,
                          uint64_t *revision)
{
    const struct shadow_revision *ours = shadow_history_find(history, request->record.id);
    *applied = ours != NULL;
    *revision = ours ? ours->revision : last;
    if (ours)
        return true;
    if (store_position(settler->store, STREAM_SHADOW).seq < last)
        return false; /* the watch has not come as far */
    *applied = shadow_lane_carried_out(settler->shadows, request->record.id, revision);
    return true;
}

/* Looks what became of it. False: not known now. */
static bool look(struct shadow_settler *settler, const struct request *request, bool *applied,
                 uint64_t *revision)
{
    for (int i = 0; i < FENCE_TRIES_MAX; i++) {
        struct shadow_history history;
        struct bus_error error;
        enum bus_status status = shadow_history_read(settler->config, settler->bus, request->vid,
                                                     request->kind, &history, &error);
        if (status != BUS_OK)
            return false;
        uint64_t last = history.count > 0 ? history.revisions[history.count - 1].revision : 0;
        bool known = find_revision(settler, request, &history, last, applied, revision);
        bool over = !known || *applied || last != request->base_seq;
        if (!over)
            put_fence(settler, request, &history, &error); /* and look again, whatever it says */
        shadow_history_done(&history);
        if (over)
            return known;
    }
    return false;
}

/* False: try again later. */
static bool settle(struct shadow_settler *settler, const struct open *open)
{
    struct request request = {0};
    struct bus_error error;
    struct buf text = BUF_INIT;
    struct record outcome;
    bool applied, done = false;
    uint64_t revision, ticket;
    enum bus_status status =
        bus_get_seq(settler->bus, streams_name(TWIN_RECORD), open->seq, &request.stored, &error);
    if (status == BUS_NOT_FOUND)
        return true; /* let go of: it is archived, and as old as that */
    if (status != BUS_OK)
        return false;
    if (!read_request(settler, &request)) {
        log_warn("shadow.request_unreadable", "seq", LOG_INT(open->seq));
        done = true;
        goto out;
    }
    if (!look(settler, &request, &applied, &revision))
        goto out;
    done = shadow_outcome(&request.record, applied, revision,
                          applied ? NULL : "the hub that asked for it went away before it was done",
                          &text, &outcome) &&
           recorder_put(settler->recorder, &outcome, &ticket);
    log_info("shadow.settled", "vid", request.vid, "part", part_name(request.kind), "outcome",
             applied ? "applied" : "refused", "request_seq", LOG_INT(open->seq));
out:
    buf_done(&text);
    bus_stored_done(&request.stored);
    return done;
}

static void settle_due(struct shadow_settler *settler)
{
    for (size_t i = 0; i < settler->open_count && !atomic_load(&settler->stop); i++) {
        struct open *open = &settler->open[i];
        if (clock_mono_ms() >= open->due_ms)
            /* It is closed when its outcome is read; until then, lest it be lost, again. */
            open->due_ms = clock_mono_ms() + (settle(settler, open) ? AGAIN_MS : RETRY_MS);
    }
}

/* ---- reading ---- */

static bool open_consumer(struct shadow_settler *settler)
{
    struct bus_consume what = {.stream = streams_name(TWIN_RECORD),
                               .filter = settler->subject,
                               .from = BUS_FROM_SEQ,
                               .seq = settler->read.seq + 1,
                               .epoch_ns = settler->read.epoch_ns};
    struct bus_stream_info info;
    struct bus_error error;
    enum bus_status status = bus_consume(settler->bus, &what, &settler->consumer, &info, &error);
    if (status == BUS_EPOCH) { /* read from its beginning: what is settled is settled */
        settler->open_count = 0;
        settler->read = (struct position){.epoch_ns = info.created_ns};
        return false;
    }
    if (status != BUS_OK)
        return false;
    if (!settler->began) {
        settler->began = true;
        settler->first_end = info.last_seq;
    }
    settler->read.epoch_ns = info.created_ns;
    return true;
}

static void read_one(struct shadow_settler *settler)
{
    struct bus_msg msg;
    switch (bus_next(settler->consumer, NEXT_MS, &msg)) {
    case BUS_OK: {
        bool last = msg.pending == 0;
        take(settler, &msg);
        bus_msg_done(&msg);
        show_position(settler);
        if (last)
            settle_due(settler);
        return;
    }
    case BUS_TIMEOUT:
        if (bus_caught_up(settler->consumer)) {
            show_position(settler);
            settle_due(settler);
        }
        return;
    case BUS_DISCONNECTED:
        return;
    default:
        bus_consumer_close(settler->consumer);
        settler->consumer = NULL;
    }
}

static void *run(void *closure)
{
    struct shadow_settler *settler = closure;
    while (!atomic_load(&settler->stop)) {
        if (settler->consumer || open_consumer(settler))
            read_one(settler);
        else
            clock_pause_ms(RETRY_MS);
    }
    bus_consumer_close(settler->consumer);
    return NULL;
}

/* ---- starting and stopping ---- */

static void settler_free(struct shadow_settler *settler)
{
    doc_parser_free(settler->parser);
    doc_parser_free(settler->data_parser);
    free(settler);
}

struct shadow_settler *shadow_settler_start(const struct config *config, struct bus *bus,
                                            struct store *store, struct recorder *recorder,
                                            struct shadow_lane *shadows, struct position from)
{
    struct shadow_settler *settler = calloc(1, sizeof *settler);
    if (!settler)
        return NULL;
    settler->config = config;
    settler->bus = bus;
    settler->store = store;
    settler->recorder = recorder;
    settler->shadows = shadows;
    settler->read = from;
    snprintf(settler->subject, sizeof settler->subject, "fleet.%s.hub.%s.record.%s.>", config->env,
             config->region, record_kind_name(RECORD_SHADOW));
    settler->parser = doc_parser_new();
    settler->data_parser = doc_parser_new();
    if (!settler->parser || !settler->data_parser ||
        pthread_create(&settler->thread, NULL, run, settler) != 0) {
        settler_free(settler);
        return NULL;
    }
    return settler;
}

void shadow_settler_stop(struct shadow_settler *settler)
{
    if (!settler)
        return;
    atomic_store(&settler->stop, true);
    pthread_join(settler->thread, NULL);
    settler_free(settler);
}
