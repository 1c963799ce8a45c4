#include "hub/state_lane.h"

#include "hub/clock.h"
#include "hub/log.h"
#include "hub/metrics.h"
#include "hub/presence.h"
#include "hub/record_throttle.h"
#include "hub/streams.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEXT_MS = 100,           /* how long a feed waits for a message before it looks around */
    RETRY_MS = 250,          /* between two attempts to open a consumer, or to get memory */
    ALIVE_LAG = 1000,        /* messages behind which a feed still counts as up to date */
    RECORDER_BACKOFF_MS = 5, /* while the recorder's queue is full */
    LATENCY_EVERY =
        16, /* messages of TWIN_STATE: looking at the clock costs as much as 2 % of one */
    MINUTE_GRACE_MS = 30000, /* an idle stream's minute is over that long after its end */
};

struct feed {
    struct state_lane *lane;
    enum stream_label stream;
    const char *name; /* of the stream */
    struct bus_consumer *consumer;
    struct doc_parser *parser;
    struct record_throttle *throttle; /* of refusals put on record; TWIN_STATE's alone */
    int64_t epoch_ns;
    uint64_t goal; /* the stream's last sequence when it was opened first */
    _Atomic bool hearing;
    _Atomic bool recovered; /* all up to the goal is applied */
    _Atomic uint64_t lag;
    pthread_t thread;
    bool running;
};

enum { FEEDS = 3 };
static const struct {
    enum stream_label label;
    enum twin_stream stream;
} feed_table[FEEDS] = {
    {STREAM_STATE, TWIN_STATE},
    {STREAM_EVENTS, TWIN_EVENTS},
    {STREAM_ACK, TWIN_ACK},
};

struct state_lane {
    const struct config *config;
    struct bus *bus;
    struct store *store;
    struct recorder *recorder;
    struct registry *registry;
    _Atomic bool stop;
    struct feed feeds[FEEDS];
};

/* ---- what is refused ---- */

/* Puts a record on its way; waits while the recorder's queue is full, for as long as the hub runs.
 * False when it has to be done again. */
static bool put_on_record(struct state_lane *lane, const struct record *record)
{
    uint64_t ticket;
    while (!recorder_put(lane->recorder, record, &ticket)) {
        if (atomic_load(&lane->stop))
            return false;
        clock_pause_ms(RECORDER_BACKOFF_MS);
    }
    return true;
}

/* The records that a minute's end brings: the refusals beyond the limit, counted per vehicle. */
static bool record_counted(struct feed *feed, int64_t now_ns)
{
    const struct record_refusals *refusals;
    while ((refusals = record_throttle_due(feed->throttle, now_ns))) {
        struct record_scratch scratch = {0};
        struct record record;
        bool put = record_of_throttled(&scratch, feed->name, refusals, &record) &&
                   put_on_record(feed->lane, &record);
        record_scratch_done(&scratch);
        if (!put)
            return false;
    }
    return true;
}

static bool record_refused(struct feed *feed, const struct bus_msg *msg, enum refusal refusal,
                           struct slice vid)
{
    bool admitted;
    if (!record_counted(feed, msg->received_ns) ||
        !record_throttle_admit(feed->throttle, vid, refusal, msg, &admitted))
        return false;
    if (!admitted)
        return true;
    struct record_scratch scratch = {0};
    struct record record;
    bool put =
        record_of_refused(&scratch, feed->name, feed->epoch_ns, msg, refusal, vid, &record) &&
        put_on_record(feed->lane, &record);
    record_scratch_done(&scratch);
    return put;
}

/* ---- what is accepted ---- */

static const enum outcome_label outcome_label[] = {
    [OUTCOME_NEWER] = OUTCOME_APPLIED,
    [OUTCOME_NOT_NEWER] = OUTCOME_STALE,
    [OUTCOME_SAME] = OUTCOME_DUPLICATE,
};

/* The twin after the message: a new one, in which presence has moved and, where the message is the
 * newest of its type, the state. NULL when there is no memory. */
static struct twin *fold(const struct twin *old, const struct envelope *envelope,
                         const struct bus_msg *msg, int64_t timestamp_ns, enum outcome *outcome,
                         const struct state **replaced)
{
    struct version version = {envelope->boot, envelope->seq, timestamp_ns};
    struct twin *twin;
    *outcome = OUTCOME_NEWER;
    *replaced = NULL;
    if (envelope->subject.category == CATEGORY_STATE)
        *outcome = version_judge(twin_state(old, envelope->subject.type), &version);
    if (envelope->subject.category == CATEGORY_STATE && *outcome == OUTCOME_NEWER) {
        struct state *fresh = state_new(envelope->subject.type, &version, msg->received_ns,
                                        msg->stream_seq, envelope->data);
        twin = fresh ? twin_with_state(old, fresh, replaced) : NULL;
        if (!twin)
            free(fresh);
    } else {
        twin = twin_copy(old);
    }
    if (twin) {
        twin->presence = presence_heard(old->presence, msg->received_ns);
        twin->hidden = false; /* a retired vehicle that an open fleet hears again is back */
    }
    return twin;
}

static bool record_return(struct state_lane *lane, const struct twin *old,
                          const struct bus_msg *msg)
{
    struct presence now = presence_heard(old->presence, msg->received_ns);
    return presence_record_return(lane->recorder, old->vid, &old->presence, &now);
}

/* The position moves with the message, under the same hold of the lock. */
static void advance(struct feed *feed, const struct bus_msg *msg)
{
    store_advance(feed->lane->store, feed->stream,
                  (struct position){feed->epoch_ns, msg->stream_seq, msg->received_ns});
}

static enum refusal apply(struct feed *feed, const struct envelope *envelope,
                          const struct bus_msg *msg)
{
    struct state_lane *lane = feed->lane;
    struct slice vid = envelope->subject.vid;
    bool skewed, open = lane->config->vehicles.admission == ADMISSION_OPEN;
    int64_t timestamp_ns =
        clock_believed(envelope->timestamp_ns, msg->received_ns,
                       lane->config->vehicles.max_clock_skew_s * NS_PER_S, &skewed);
    enum refusal refusal = REFUSAL_NONE;
    enum outcome outcome;
    const struct state *replaced;

    store_lock_fold(lane->store);
    struct vehicle *vehicle = open ? store_vehicle(lane->store, vid.at, vid.size)
                                   : store_lookup(lane->store, vid.at, vid.size);
    struct twin *old = vehicle ? store_current(vehicle) : NULL;
    if (!open && !twin_registered_at(old, msg->received_ns)) {
        refusal = REFUSAL_NOT_REGISTERED;
        goto out;
    }
    if (old && twin_buries(old, msg->received_ns)) { /* read again, or late: retired since */
        metrics_add(METRIC_MESSAGES, feed->stream, OUTCOME_STALE, 1);
        goto out;
    }
    /* Its return goes on record first: without a place for that the message is taken again. */
    struct twin *twin = old && record_return(lane, old, msg)
                            ? fold(old, envelope, msg, timestamp_ns, &outcome, &replaced)
                            : NULL;
    if (!twin) {
        refusal = REFUSAL_NO_MEMORY;
        goto out;
    }
    store_hear(vehicle, feed->stream, msg->stream_seq);
    store_put(lane->store, vehicle, twin);
    store_retire(lane->store, replaced);
    metrics_add(METRIC_MESSAGES, feed->stream, outcome_label[outcome], 1);
    if (skewed)
        metrics_inc(METRIC_CLOCK_SKEW, 0);
out:
    if (refusal == REFUSAL_NONE)
        advance(feed, msg);
    store_unlock(lane->store);
    return refusal;
}

/* Judges and applies one message; false when it must be tried again. */
static bool take(struct feed *feed, const struct bus_msg *msg)
{
    struct state_lane *lane = feed->lane;
    struct envelope envelope;
    enum refusal refusal =
        envelope_parse(feed->parser, msg->subject, msg->data, msg->size,
                       (size_t)lane->config->nats.limits.payload_bytes, &envelope);
    if (refusal == REFUSAL_NONE)
        refusal = apply(feed, &envelope, msg);
    if (refusal == REFUSAL_NOT_REGISTERED) {
        enum registry_recheck asked = registry_recheck(lane->registry, envelope.subject.vid);
        if (asked == REGISTRY_SILENT)
            return false;
        if (asked == REGISTRY_ASKED)
            refusal = apply(feed, &envelope, msg);
    }
    if (refusal == REFUSAL_NO_MEMORY)
        return false;
    if (refusal == REFUSAL_NONE)
        return true;
    if (feed->throttle && !record_refused(feed, msg, refusal, envelope.subject.vid))
        return false;
    metrics_add(METRIC_MESSAGES, feed->stream, OUTCOME_REJECTED, 1);
    metrics_inc(METRIC_REJECTED, refusal);
    store_lock(lane->store);
    advance(feed, msg);
    store_unlock(lane->store);
    return true;
}

/* ---- reading ---- */

/* A stream that is not the one the position belongs to is read from its beginning: newest wins, so
 * that reading again costs time and changes nothing. */
static void start_anew(struct feed *feed, const struct bus_stream_info *info)
{
    if (feed->stream == STREAM_STATE) /* the record lane counts those of the other two */
        metrics_inc(METRIC_STREAM_EPOCHS, feed->stream);
    log_warn("state.stream_begins_anew", "stream", feed->name, "last_seq", LOG_INT(info->last_seq),
             "detail",
             "made anew, or came back without its tail; reading it from its first message");
    store_lock(feed->lane->store);
    store_reposition(feed->lane->store, feed->stream,
                     (struct position){.epoch_ns = info->created_ns});
    store_unlock(feed->lane->store);
}

static bool open_consumer(struct feed *feed)
{
    struct state_lane *lane = feed->lane;
    struct position position = store_position(lane->store, feed->stream);
    struct bus_consume what = {.stream = feed->name,
                               .from = BUS_FROM_SEQ,
                               .seq = position.seq + 1,
                               .epoch_ns = position.epoch_ns,
                               .before_received_ns = position.received_ns,
                               .own_line = feed->stream == STREAM_STATE};
    struct bus_stream_info info;
    struct bus_error error;
    enum bus_status status = bus_consume(lane->bus, &what, &feed->consumer, &info, &error);
    if (status == BUS_EPOCH) {
        start_anew(feed, &info);
        return false;
    }
    if (status != BUS_OK) {
        log_debug("state.consumer_not_opened", "stream", feed->name, "error", error.text);
        return false;
    }
    if (position.seq + 1 < info.first_seq && position.epoch_ns != 0)
        log_warn("state.gap", "stream", feed->name, "applied", LOG_INT(position.seq), "first",
                 LOG_INT(info.first_seq), "detail", "the stream has forgotten what lies between");
    feed->epoch_ns = info.created_ns;
    if (info.messages == 0 && info.last_seq > position.seq) {
        /* Nothing to read is a position, too: what there was has aged away. */
        store_lock(lane->store);
        store_advance(lane->store, feed->stream,
                      (struct position){info.created_ns, info.last_seq, 0});
        store_unlock(lane->store);
    }
    if (!atomic_load(&feed->recovered)) {
        feed->goal = info.last_seq;
        atomic_store(&feed->recovered, position.seq >= feed->goal);
    }
    atomic_store(&feed->hearing, bus_caught_up(feed->consumer));
    log_info("state.reading", "stream", feed->name, "from", LOG_INT(what.seq), "last",
             LOG_INT(info.last_seq));
    return true;
}

static void close_consumer(struct feed *feed)
{
    atomic_store(&feed->hearing, false);
    bus_consumer_close(feed->consumer);
    feed->consumer = NULL;
}

/* How long it took from the broker to the twin, by the clocks of both. What a start reads again is
 * old, and no sign of anything. */
static void note_latency(const struct feed *feed, const struct bus_msg *msg)
{
    bool sampled = feed->stream != STREAM_STATE || msg->stream_seq % LATENCY_EVERY == 0;
    if (sampled && atomic_load_explicit(&feed->recovered, memory_order_relaxed))
        metrics_observe_of(METRIC_APPLY_LATENCY, feed->stream,
                           (double)(clock_wall_ns() - msg->received_ns) / (double)NS_PER_S);
}

static void read_one(struct feed *feed)
{
    struct bus_msg msg;
    switch (bus_next(feed->consumer, NEXT_MS, &msg)) {
    case BUS_OK:
        while (!take(feed, &msg) && !atomic_load(&feed->lane->stop))
            clock_pause_ms(RETRY_MS);
        note_latency(feed, &msg);
        if (msg.stream_seq >= feed->goal)
            atomic_store_explicit(&feed->recovered, true, memory_order_release);
        atomic_store_explicit(&feed->lag, msg.pending, memory_order_relaxed);
        atomic_store_explicit(&feed->hearing, msg.pending <= ALIVE_LAG, memory_order_relaxed);
        bus_msg_done(&msg);
        return;
    case BUS_TIMEOUT:
        atomic_store(&feed->hearing, bus_caught_up(feed->consumer));
        if (atomic_load(&feed->hearing)) /* the message at the goal may have been forgotten since */
            atomic_store(&feed->recovered, true);
        if (feed->throttle)
            record_counted(feed, clock_wall_ns() - MINUTE_GRACE_MS * NS_PER_MS);
        return;
    case BUS_DISCONNECTED:
        atomic_store(&feed->hearing, false);
        return;
    default:
        close_consumer(feed);
        return;
    }
}

static void *feed_run(void *closure)
{
    struct feed *feed = closure;
    while (!atomic_load(&feed->lane->stop)) {
        if (!recorder_has_room(feed->lane->recorder))
            clock_pause_ms(RECORDER_BACKOFF_MS);
        else if (feed->consumer || open_consumer(feed))
            read_one(feed);
        else
            clock_pause_ms(RETRY_MS);
    }
    close_consumer(feed);
    return NULL;
}

/* ---- the lane ---- */

struct state_lane *state_lane_start(const struct config *config, struct bus *bus,
                                    struct store *store, struct recorder *recorder,
                                    struct registry *registry)
{
    struct state_lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->config = config;
    lane->bus = bus;
    lane->store = store;
    lane->recorder = recorder;
    lane->registry = registry;
    for (int i = 0; i < FEEDS; i++) {
        struct feed *feed = &lane->feeds[i];
        feed->lane = lane;
        feed->stream = feed_table[i].label;
        feed->name = streams_name(feed_table[i].stream);
        feed->parser = doc_parser_new();
        if (feed->stream == STREAM_STATE)
            feed->throttle = record_throttle_new();
        if (!feed->parser || (feed->stream == STREAM_STATE && !feed->throttle))
            goto fail;
    }
    for (int i = 0; i < FEEDS; i++) {
        if (pthread_create(&lane->feeds[i].thread, NULL, feed_run, &lane->feeds[i]) != 0)
            goto fail;
        pthread_setname_np(lane->feeds[i].thread, "feed");
        lane->feeds[i].running = true;
    }
    return lane;
fail:
    state_lane_stop(lane);
    return NULL;
}

void state_lane_stop(struct state_lane *lane)
{
    if (!lane)
        return;
    atomic_store(&lane->stop, true);
    for (int i = 0; i < FEEDS; i++) {
        if (lane->feeds[i].running)
            pthread_join(lane->feeds[i].thread, NULL);
        doc_parser_free(lane->feeds[i].parser);
        record_throttle_free(lane->feeds[i].throttle);
    }
    free(lane);
}

bool state_lane_hearing(struct state_lane *lane)
{
    for (int i = 0; i < FEEDS; i++)
        if (!atomic_load(&lane->feeds[i].hearing))
            return false;
    return bus_connected(lane->bus);
}

bool state_lane_recovered(struct state_lane *lane)
{
    for (int i = 0; i < FEEDS; i++)
        if (!atomic_load(&lane->feeds[i].recovered))
            return false;
    return true;
}

uint64_t state_lane_lag(struct state_lane *lane, enum stream_label stream)
{
    for (int i = 0; i < FEEDS; i++)
        if (lane->feeds[i].stream == stream)
            return atomic_load_explicit(&lane->feeds[i].lag, memory_order_relaxed);
    return 0;
}
