#include "hub/shadow_lane.h"

#include "hub/clock.h"
#include "hub/log.h"
#include "hub/shadow_history.h"
#include "hub/shadow_impl.h"
#include "hub/shadow_write.h"
#include "hub/streams.h"

#include <stdlib.h>
#include <string.h>

enum {
    NEXT_MS = 100,
    RETRY_MS = 250,
    HISTORY_NEXT_MS = 2000, /* for reading the revisions of one key */
    RECORDER_BACKOFF_MS = 5,
};

/* ---- one value ---- */

bool shadow_read_message(struct shadow_lane *lane, const struct bus_msg *msg,
                         struct shadow_value *value)
{
    const struct config *config = lane->options.config;
    *value = (struct shadow_value){.revision = msg->stream_seq,
                                   .received_ns = msg->received_ns,
                                   .news = msg->stream_seq > lane->vouched_seq};
    if (!streams_shadow_parse(config->nats.shadow_key_style, config->env, msg->subject, &value->vid,
                              &value->kind)) {
        value->vid = (struct slice){0};
        return false;
    }
    return shadow_read_value(lane->parser, msg, &value->deleted, &value->value);
}

/* Whether it carries out a request on record. What was there at the mark is believed. */
static enum shadow_named named(struct shadow_lane *lane, const struct bus_msg *msg,
                               const struct shadow_value *value)
{
    const char *record = bus_msg_header(msg, SHADOW_HEADER_RECORD);
    if (!value->news || value->kind == PART_REPORTED)
        return record ? SHADOW_NAMED : SHADOW_NOT_NAMED;
    return shadow_named(lane->options.bus, value->vid, value->kind, record,
                        bus_msg_header(msg, SHADOW_HEADER_RECORD_SEQ), value->value);
}

const char *shadow_author_of(const struct bus_msg *msg, const struct shadow_value *value,
                             bool named_on_record, char vid[TOKEN_MAX_BYTES + 1])
{
    memcpy(vid, value->vid.at, value->vid.size);
    vid[value->vid.size] = '\0';
    return shadow_author(msg, value->kind, named_on_record, vid);
}

/* Tells the settler, for when the bucket has let go of it. */
static void note_seen(struct shadow_lane *lane, const struct bus_msg *msg,
                      const struct shadow_value *value)
{
    const char *record = bus_msg_header(msg, SHADOW_HEADER_RECORD);
    uint8_t id[RECORD_ID_BYTES];
    if (record && record_id_parse(record, strlen(record), id) &&
        !bus_msg_header(msg, SHADOW_HEADER_FENCE))
        shadow_seen_add(lane->seen, id, value->revision);
}

/* False when it must be tried again. */
static bool take_value(struct shadow_lane *lane, const struct bus_msg *msg,
                       struct shadow_value *value)
{
    char vid[TOKEN_MAX_BYTES + 1];
    /* The marker of a retirement: that comes first, so that the marker changes nothing more. */
    if (value->news && value->deleted && bus_msg_header(msg, SHADOW_HEADER_CHANGE) &&
        !registry_refresh(lane->registry, value->vid))
        return false;
    enum shadow_named by = named(lane, msg, value);
    if (by == SHADOW_NAME_NOT_KNOWN_NOW)
        return false;
    value->author = shadow_author_of(msg, value, by == SHADOW_NAMED, vid);
    bool outside = value->news && value->kind != PART_REPORTED && by == SHADOW_NOT_NAMED;
    if (outside && !shadow_record_outside(lane, value))
        return false;
    if (!shadow_apply(lane, value))
        return false;
    if (value->news && value->kind != PART_REPORTED && by == SHADOW_NAMED)
        note_seen(lane, msg, value);
    return true;
}

/* The newest revision of one key that is an object, where the last is not: read from the bucket's
 * history. Needed only where no more than the last values were read. */
static bool apply_last_good(struct shadow_lane *lane, const char *subject)
{
    struct bus_consume what = {
        .stream = streams_name(TWIN_SHADOW), .filter = subject, .from = BUS_FROM_SEQ};
    struct bus_consumer *history = NULL;
    struct bus_error error;
    if (bus_consume(lane->options.bus, &what, &history, NULL, &error) != BUS_OK)
        return false;
    struct bus_msg msg;
    bool applied = true, last = false;
    while (applied && !last && bus_next(history, HISTORY_NEXT_MS, &msg) == BUS_OK) {
        struct shadow_value value;
        last = msg.pending == 0;
        if (shadow_read_message(lane, &msg, &value))
            applied = take_value(lane, &msg, &value);
        bus_msg_done(&msg);
    }
    bus_consumer_close(history);
    return applied;
}

static bool has_part(struct shadow_lane *lane, struct slice vid, enum part_kind kind)
{
    store_lock(lane->options.store);
    struct vehicle *vehicle = store_lookup(lane->options.store, vid.at, vid.size);
    bool has = vehicle && store_current(vehicle)->parts[kind];
    store_unlock(lane->options.store);
    return has;
}

/* False when the message must be tried again. */
static bool take(struct shadow_lane *lane, const struct bus_msg *msg)
{
    struct shadow_value value;
    if (shadow_read_message(lane, msg, &value)) {
        if (!take_value(lane, msg, &value))
            return false;
    } else {
        bool known = value.vid.size > 0;
        log_warn("shadow.ignored", "subject", msg->subject, "seq", LOG_INT(msg->stream_seq),
                 "detail",
                 known ? "the value is no JSON object; the last good one stands"
                       : "no key of this environment's shadows");
        if (known && !has_part(lane, value.vid, value.kind) && !apply_last_good(lane, msg->subject))
            return false;
        metrics_inc(METRIC_SHADOW_IGNORED, 0);
    }
    store_lock(lane->options.store);
    store_advance(lane->options.store, STREAM_SHADOW,
                  (struct position){lane->epoch_ns, msg->stream_seq, msg->received_ns});
    store_unlock(lane->options.store);
    return true;
}

/* ---- where to begin ---- */

static void reposition(struct shadow_lane *lane, struct position position)
{
    store_lock(lane->options.store);
    store_reposition(lane->options.store, STREAM_SHADOW, position);
    store_unlock(lane->options.store);
}

/* Whether the bucket is still the one that the mark speaks of. */
static bool mark_holds(struct shadow_lane *lane, const struct bus_stream_info *info)
{
    const struct position *mark = &lane->options.vouched;
    struct bus_stored stored;
    struct bus_error error;
    if (mark->epoch_ns != info->created_ns || mark->seq == 0 || mark->seq > info->last_seq)
        return false;
    if (bus_get_seq(lane->options.bus, streams_name(TWIN_SHADOW), mark->seq, &stored, &error) !=
        BUS_OK)
        return true; /* replaced since */
    bool same = mark->received_ns == 0 || stored.received_ns == mark->received_ns;
    bus_stored_done(&stored);
    return same;
}

/* The first reading: the last values alone where nothing is news, else all that is kept. Where that
 * is the same, the server is not asked to look for the last of each key. */
static bool open_first(struct shadow_lane *lane, struct bus_consume *what)
{
    struct bus_stream_info info;
    struct bus_error error;
    if (bus_stream_info(lane->options.bus, what->stream, &info, &error) != BUS_OK)
        return false;
    bool holds = mark_holds(lane, &info);
    lane->vouched_seq = holds ? lane->options.vouched.seq : 0;
    bool last_values = holds && info.last_seq == lane->vouched_seq;
    what->from = last_values && info.messages != info.subjects ? BUS_FROM_LAST_PER : BUS_FROM_SEQ;
    return true;
}

bool shadow_open(struct shadow_lane *lane)
{
    struct position position = store_position(lane->options.store, STREAM_SHADOW);
    struct bus_consume what = {
        .stream = streams_name(TWIN_SHADOW), .from = BUS_FROM_SEQ, .own_line = true};
    struct bus_stream_info info;
    struct bus_error error;
    if (position.seq > 0) {
        what.seq = position.seq + 1;
        what.epoch_ns = position.epoch_ns;
        what.before_received_ns = position.received_ns;
    } else if (!open_first(lane, &what)) {
        return false;
    }
    enum bus_status status = bus_consume(lane->options.bus, &what, &lane->consumer, &info, &error);
    if (status == BUS_EPOCH) {
        metrics_inc(METRIC_STREAM_EPOCHS, STREAM_SHADOW);
        log_warn("shadow.bucket_begins_anew", "last_seq", LOG_INT(info.last_seq), "detail",
                 "made anew, or came back without its tail; reading all that it keeps");
        shadow_void(lane);
        reposition(lane, (struct position){.epoch_ns = info.created_ns});
        return false;
    }
    if (status != BUS_OK)
        return false;
    lane->epoch_ns = info.created_ns;
    if (position.seq == 0 && info.messages == 0) /* nothing to read is a position, too */
        reposition(lane, (struct position){.epoch_ns = info.created_ns, .seq = info.last_seq});
    log_info("shadow.reading", "from", LOG_INT(what.seq), "last", LOG_INT(info.last_seq), "mode",
             what.from == BUS_FROM_LAST_PER ? "last values" : "all");
    return true;
}

/* ---- the thread ---- */

static void close_consumer(struct shadow_lane *lane)
{
    bus_consumer_close(lane->consumer);
    lane->consumer = NULL;
}

static void caught_up(struct shadow_lane *lane)
{
    if (atomic_load(&lane->recovered))
        return;
    free(lane->deltas);
    lane->deltas = NULL;
    lane->delta_count = 0;
    atomic_store(&lane->recovered, true);
}

static void take_one(struct shadow_lane *lane, struct bus_msg *msg)
{
    while (!take(lane, msg) && !atomic_load(&lane->stop))
        clock_pause_ms(RETRY_MS);
    if (msg->pending == 0)
        caught_up(lane);
    bus_msg_done(msg);
}

static void read_one(struct shadow_lane *lane)
{
    struct bus_msg msg;
    switch (bus_next(lane->consumer, NEXT_MS, &msg)) {
    case BUS_OK:
        take_one(lane, &msg);
        return;
    case BUS_TIMEOUT:
        if (bus_caught_up(lane->consumer))
            caught_up(lane);
        return;
    case BUS_DISCONNECTED:
        return;
    default:
        close_consumer(lane);
    }
}

static void *run(void *closure)
{
    struct shadow_lane *lane = closure;
    shadow_ahead_run(lane);
    if (lane->ahead.holds) {
        lane->ahead.holds = false;
        take_one(lane, &lane->ahead.held);
    } else if (lane->ahead.ended) {
        caught_up(lane);
    }
    while (!atomic_load(&lane->stop)) {
        if (!recorder_has_room(lane->options.recorder))
            clock_pause_ms(RECORDER_BACKOFF_MS);
        else if (lane->consumer || shadow_open(lane))
            read_one(lane);
        else
            clock_pause_ms(RETRY_MS);
    }
    close_consumer(lane);
    return NULL;
}

/* ---- starting and stopping ---- */

static void lane_free(struct shadow_lane *lane)
{
    pthread_mutex_destroy(&lane->lock);
    pthread_cond_destroy(&lane->changed);
    doc_parser_free(lane->parser);
    shadow_seen_free(lane->seen);
    free(lane->deltas);
    free(lane);
}

struct shadow_lane *shadow_lane_start(const struct shadow_lane_options *options)
{
    struct shadow_lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->options = *options;
    lane->open = options->config->vehicles.admission == ADMISSION_OPEN;
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->changed, NULL);
    lane->parser = doc_parser_new();
    lane->seen = shadow_seen_new();
    if (!lane->parser || !lane->seen || pthread_create(&lane->thread, NULL, run, lane) != 0) {
        lane_free(lane);
        return NULL;
    }
    return lane;
}

void shadow_lane_go(struct shadow_lane *lane, struct registry *registry, struct last_found *found)
{
    pthread_mutex_lock(&lane->lock);
    lane->registry = registry;
    lane->deltas = found->deltas;
    lane->delta_count = found->delta_count;
    atomic_store(&lane->may_go, true);
    pthread_cond_signal(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
    found->deltas = NULL;
    found->delta_count = 0;
}

bool shadow_lane_carried_out(struct shadow_lane *lane, const uint8_t request[RECORD_ID_BYTES],
                             uint64_t *revision)
{
    return shadow_seen_find(lane->seen, request, revision);
}

bool shadow_lane_recovered(struct shadow_lane *lane)
{
    return atomic_load(&lane->recovered);
}

void shadow_lane_stop(struct shadow_lane *lane)
{
    if (!lane)
        return;
    pthread_mutex_lock(&lane->lock);
    atomic_store(&lane->stop, true);
    pthread_cond_signal(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
    pthread_join(lane->thread, NULL);
    lane_free(lane);
}
