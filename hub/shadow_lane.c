#include "hub/shadow_lane.h"

#include "hub/clock.h"
#include "hub/log.h"
#include "hub/presence.h"
#include "hub/streams.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEXT_MS = 100,
    RETRY_MS = 250,
    HISTORY_MS = 2000, /* for reading the revisions of one key */
    SHADOW_DEPTH = 32,
    RECORDER_BACKOFF_MS = 5,
};

struct shadow_lane {
    const struct config *config;
    struct bus *bus;
    struct store *store;
    struct recorder *recorder;
    struct bus_consumer *consumer;
    struct doc_parser *parser;
    int64_t epoch_ns;
    _Atomic bool stop, recovered;
    pthread_t thread;
};

/* ---- one value ---- */

static bool is_delete(const struct bus_msg *msg)
{
    const char *operation = bus_msg_header(msg, "KV-Operation");
    return operation && (strcmp(operation, "DEL") == 0 || strcmp(operation, "PURGE") == 0);
}

/* The value as an object; false where it is none. A deleted key is an empty object: the part is
 * gone, its revision is not. */
static bool read_value(struct shadow_lane *lane, const struct bus_msg *msg, struct doc_ref *value)
{
    struct doc_limits limits = {PART_MAX_BYTES, SHADOW_DEPTH};
    bool deleted = is_delete(msg);
    enum doc_error error =
        doc_parse(lane->parser, deleted ? "{}" : msg->data, deleted ? 2 : msg->size, limits, value);
    return error == DOC_OK && doc_is(*value, DOC_OBJECT);
}

/* Puts a part in place. False when there is no memory. */
static bool apply(struct shadow_lane *lane, struct slice vid, enum part_kind kind,
                  const struct bus_msg *msg, struct doc_ref value)
{
    struct part *part = part_new(msg->stream_seq, msg->received_ns, "unknown", value);
    const struct part *old_part = NULL;
    const struct doc *old_delta = NULL;
    bool done = false;
    if (!part)
        return false;

    store_lock(lane->store);
    struct vehicle *vehicle = store_vehicle(lane->store, vid.at, vid.size);
    struct twin *old = vehicle ? store_current(vehicle) : NULL;
    struct twin *twin = old ? twin_copy(old) : NULL;
    if (!twin)
        goto out;
    old_part = twin->parts[kind];
    if (old_part && old_part->revision >= part->revision) { /* read again: nothing new */
        free(twin);
        old_part = NULL;
        free(part);
        done = true;
        goto out;
    }
    twin->parts[kind] = part;
    if ((kind == PART_DESIRED || kind == PART_REPORTED) &&
        !twin_refresh_delta(twin, msg->received_ns, &old_delta)) {
        free(twin);
        goto out;
    }
    /* At the start the two sides come one after the other, and what TWIN_LAST says of the start of
     * a divergence must outlive the moment in which only one of them is there. */
    if (!atomic_load(&lane->recovered) && !twin->delta)
        twin->delta_since_ns = old->delta_since_ns;
    if (kind == PART_REPORTED && !is_delete(msg)) {
        twin->presence = presence_heard(old->presence, msg->received_ns);
        presence_record_return(lane->recorder, vehicle->vid, &old->presence, &twin->presence);
    }
    store_put(lane->store, vehicle, twin);
    store_retire(lane->store, old_part);
    store_retire(lane->store, old_delta);
    done = true;
out:
    store_unlock(lane->store);
    if (!done)
        free(part);
    return done;
}

/* The newest revision of one key that is an object, where the last is not: read from the bucket's
 * history. Needed only for what was bad already when the hub started. */
static bool apply_last_good(struct shadow_lane *lane, const char *subject, struct slice vid,
                            enum part_kind kind)
{
    struct bus_consume what = {
        .stream = streams_name(TWIN_SHADOW), .filter = subject, .from = BUS_FROM_SEQ};
    struct bus_consumer *history = NULL;
    struct bus_error error;
    if (bus_consume(lane->bus, &what, &history, NULL, &error) != BUS_OK)
        return false;
    struct bus_msg msg;
    enum bus_status status;
    bool applied = true;
    while (applied && (status = bus_next(history, HISTORY_MS, &msg)) == BUS_OK) {
        struct doc_ref value;
        bool last = msg.pending == 0;
        if (read_value(lane, &msg, &value))
            applied = apply(lane, vid, kind, &msg, value);
        bus_msg_done(&msg);
        if (last)
            break;
    }
    bus_consumer_close(history);
    return applied;
}

static bool has_part(struct shadow_lane *lane, struct slice vid, enum part_kind kind)
{
    store_lock(lane->store);
    struct vehicle *vehicle = store_lookup(lane->store, vid.at, vid.size);
    bool has = vehicle && store_current(vehicle)->parts[kind];
    store_unlock(lane->store);
    return has;
}

/* False when the message must be tried again. */
static bool take(struct shadow_lane *lane, const struct bus_msg *msg)
{
    struct slice vid;
    enum part_kind kind;
    struct doc_ref value;
    bool known = streams_shadow_parse(lane->config->nats.shadow_key_style, lane->config->env,
                                      msg->subject, &vid, &kind);
    if (known && read_value(lane, msg, &value)) {
        if (!apply(lane, vid, kind, msg, value))
            return false;
    } else {
        log_warn("shadow.ignored", "subject", msg->subject, "seq", LOG_INT(msg->stream_seq),
                 "detail",
                 known ? "the value is no JSON object; the last good one stands"
                       : "no key of this environment's shadows");
        if (known && !has_part(lane, vid, kind) && !apply_last_good(lane, msg->subject, vid, kind))
            return false;
        metrics_inc(METRIC_SHADOW_IGNORED, 0);
    }
    store_lock(lane->store);
    store_advance(lane->store, STREAM_SHADOW,
                  (struct position){lane->epoch_ns, msg->stream_seq, msg->received_ns});
    store_unlock(lane->store);
    return true;
}

/* All values of the start are there: a vehicle without a delta diverges since never. */
static void settle_start(struct shadow_lane *lane)
{
    if (atomic_load(&lane->recovered))
        return;
    store_lock(lane->store);
    uint32_t count = store_count(lane->store);
    for (uint32_t i = 0; i < count; i++) {
        struct vehicle *vehicle = store_vehicle_at(lane->store, i);
        const struct twin *old = store_current(vehicle);
        struct twin *twin;
        if (old->delta || old->delta_since_ns == TIMESTAMP_NONE || !(twin = twin_copy(old)))
            continue;
        twin->delta_since_ns = TIMESTAMP_NONE;
        store_put(lane->store, vehicle, twin);
    }
    store_unlock(lane->store);
    atomic_store(&lane->recovered, true);
}

/* ---- reading ---- */

static bool open_consumer(struct shadow_lane *lane)
{
    struct position position = store_position(lane->store, STREAM_SHADOW);
    struct bus_consume what = {.stream = streams_name(TWIN_SHADOW), .from = BUS_FROM_LAST_PER};
    struct bus_stream_info info;
    struct bus_error error;
    if (position.seq > 0) {
        what.from = BUS_FROM_SEQ;
        what.seq = position.seq + 1;
        what.epoch_ns = position.epoch_ns;
        what.before_received_ns = position.received_ns;
    }
    enum bus_status status = bus_consume(lane->bus, &what, &lane->consumer, &info, &error);
    if (status == BUS_EPOCH) {
        metrics_inc(METRIC_STREAM_EPOCHS, STREAM_SHADOW);
        log_warn("shadow.bucket_begins_anew", "last_seq", LOG_INT(info.last_seq), "detail",
                 "made anew, or came back without its tail; reading the last value of each key");
        store_lock(lane->store);
        store_reposition(lane->store, STREAM_SHADOW,
                         (struct position){.epoch_ns = info.created_ns});
        store_unlock(lane->store);
        return false;
    }
    if (status != BUS_OK)
        return false;
    lane->epoch_ns = info.created_ns;
    log_info("shadow.reading", "keys_from", LOG_INT(what.seq), "last", LOG_INT(info.last_seq));
    return true;
}

static void close_consumer(struct shadow_lane *lane)
{
    bus_consumer_close(lane->consumer);
    lane->consumer = NULL;
}

static void read_one(struct shadow_lane *lane)
{
    struct bus_msg msg;
    switch (bus_next(lane->consumer, NEXT_MS, &msg)) {
    case BUS_OK:
        while (!take(lane, &msg) && !atomic_load(&lane->stop))
            clock_pause_ms(RETRY_MS);
        if (msg.pending == 0)
            settle_start(lane);
        bus_msg_done(&msg);
        return;
    case BUS_TIMEOUT:
        if (bus_caught_up(lane->consumer))
            settle_start(lane);
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
    while (!atomic_load(&lane->stop)) {
        if (!recorder_has_room(lane->recorder))
            clock_pause_ms(RECORDER_BACKOFF_MS);
        else if (lane->consumer || open_consumer(lane))
            read_one(lane);
        else
            clock_pause_ms(RETRY_MS);
    }
    close_consumer(lane);
    return NULL;
}

struct shadow_lane *shadow_lane_start(const struct config *config, struct bus *bus,
                                      struct store *store, struct recorder *recorder)
{
    struct shadow_lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->config = config;
    lane->bus = bus;
    lane->store = store;
    lane->recorder = recorder;
    lane->parser = doc_parser_new();
    if (!lane->parser || pthread_create(&lane->thread, NULL, run, lane) != 0) {
        doc_parser_free(lane->parser);
        free(lane);
        return NULL;
    }
    return lane;
}

bool shadow_lane_recovered(struct shadow_lane *lane)
{
    return atomic_load(&lane->recovered);
}

void shadow_lane_stop(struct shadow_lane *lane)
{
    if (!lane)
        return;
    atomic_store(&lane->stop, true);
    pthread_join(lane->thread, NULL);
    doc_parser_free(lane->parser);
    free(lane);
}
