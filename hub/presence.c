#include "hub/presence.h"

#include "hub/clock.h"
#include "hub/streams.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SWEEP_MS = 1000,
    NEXT_MS = 100,
    RETRY_MS = 500,
    FROZEN_MS = 3000,  /* a sweep that comes so late finds a hub that was not running */
    SWEEP_CHUNK = 512, /* vehicles looked at in one hold of the write lock */
    RECORD_DEPTH = RECORD_MAX_DEPTH,
};

struct presence_lane {
    struct bus *bus;
    struct store *store;
    struct broker_clock *clock;
    struct recorder *recorder;
    const struct config *config;
    struct presence_limits limits; /* as of this sweep */
    char subject[256];             /* of the region's presence records */
    _Atomic(struct state_lane *) feeds;
    _Atomic bool stop, recovered;
    struct bus_consumer *consumer;
    struct bus_stream_info opened;
    struct doc_parser *parser;
    uint64_t next_seq; /* of TWIN_RECORD, once the last of each vehicle was read */
    int64_t epoch_ns;
    int64_t swept_ms, hearing_since_ns;
    bool broker_known; /* the last sweep went by the broker's clock, not the hub's own */
    uint64_t connects;
    pthread_t thread;
};

/* ---- records ---- */

/* The id names the silence: the vehicle and when it was last heard before. */
static void fill_record(struct record *record, const char *vid, enum presence_status to,
                        const struct presence *was, const struct presence *now, char *key,
                        size_t key_bytes, struct buf *data)
{
    const char *type = to == PRESENCE_OFFLINE ? "offline" : "online";
    int size = snprintf(key, key_bytes, "%s/%s/%lld", vid, type, (long long)was->last_seen_ns);
    buf_adds(data, "{\"from\":");
    buf_json_cstr(data, presence_name(was->status));
    buf_adds(data, ",\"to\":");
    buf_json_cstr(data, presence_name(to));
    buf_adds(data, ",\"last_seen\":");
    buf_json_timestamp(data, was->last_seen_ns);
    buf_adds(data, ",\"since\":");
    buf_json_timestamp(data, now->since_ns);
    buf_addc(data, '}');

    record_init(record);
    record_id_of(RECORD_PRESENCE, key, (size_t)size, record->id);
    record->kind = RECORD_PRESENCE;
    record->severity = to == PRESENCE_OFFLINE ? SEVERITY_WARNING : SEVERITY_NOTICE;
    record->vid = (struct slice){vid, strlen(vid)};
    record->type = (struct slice){type, strlen(type)};
    record->data = (struct slice){data->data, data->size_bytes};
}

static bool put_change(struct recorder *recorder, const char *vid, enum presence_status to,
                       const struct presence *was, const struct presence *now)
{
    char key[TOKEN_MAX_BYTES + 48];
    struct buf data = BUF_INIT;
    struct record record;
    uint64_t ticket;
    fill_record(&record, vid, to, was, now, key, sizeof key, &data);
    bool put = !data.failed && recorder_put(recorder, &record, &ticket);
    buf_done(&data);
    return put;
}

bool presence_record_return(struct recorder *recorder, const char *vid, const struct presence *was,
                            const struct presence *now)
{
    return was->status != PRESENCE_OFFLINE || now->status != PRESENCE_ONLINE ||
           put_change(recorder, vid, PRESENCE_ONLINE, was, now);
}

/* ---- following what is on record ---- */

/* An `offline` that is on record holds for a vehicle that nobody heard since. */
static void apply_offline(struct presence_lane *lane, const struct record *record)
{
    struct doc_ref data;
    struct doc_limits limits = {RECORD_MAX_BYTES, RECORD_DEPTH};
    struct slice last_seen = {0}, since = {0};
    int64_t last_seen_ns, since_ns;
    if (doc_parse(lane->parser, record->data.at, record->data.size, limits, &data) != DOC_OK)
        return;
    struct doc_ref seen = doc_getz(data, "last_seen"), from = doc_getz(data, "since");
    if (!doc_is(seen, DOC_STRING) || !doc_is(from, DOC_STRING))
        return;
    last_seen.at = doc_string(seen, &last_seen.size);
    since.at = doc_string(from, &since.size);
    if (!timestamp_parse(last_seen.at, last_seen.size, &last_seen_ns) ||
        !timestamp_parse(since.at, since.size, &since_ns))
        return;

    store_lock(lane->store);
    struct vehicle *vehicle = store_lookup(lane->store, record->vid.at, record->vid.size);
    struct twin *old = vehicle ? store_current(vehicle) : NULL;
    if (old && old->presence.last_seen_ns != TIMESTAMP_NONE &&
        old->presence.last_seen_ns <= last_seen_ns && old->presence.status != PRESENCE_OFFLINE) {
        struct twin *twin = twin_copy(old);
        if (twin) {
            twin->presence = (struct presence){PRESENCE_OFFLINE, last_seen_ns, since_ns};
            store_put(lane->store, vehicle, twin);
        }
    }
    store_unlock(lane->store);
}

static void follow_one(struct presence_lane *lane, const struct bus_msg *msg)
{
    /* The record borrows from the text and the parser; its data is parsed again from the text. */
    struct record record;
    const char *reason;
    if (record_parse(lane->parser, msg->data, msg->size, &record, &reason) &&
        record.kind == RECORD_PRESENCE && record.vid.size > 0 && record.type.size == 7 &&
        memcmp(record.type.at, "offline", 7) == 0) {
        char vid[TOKEN_MAX_BYTES + 1];
        size_t size = record.vid.size <= TOKEN_MAX_BYTES ? record.vid.size : TOKEN_MAX_BYTES;
        memcpy(vid, record.vid.at, size); /* the parser is about to be used again */
        record.vid = (struct slice){vid, size};
        apply_offline(lane, &record);
    }
    lane->next_seq = msg->stream_seq + 1;
}

static bool open_consumer(struct presence_lane *lane)
{
    struct bus_consume what = {.stream = streams_name(TWIN_RECORD), .filter = lane->subject};
    struct bus_error error;
    if (lane->next_seq > 0) {
        what.from = BUS_FROM_SEQ;
        what.seq = lane->next_seq;
        what.epoch_ns = lane->epoch_ns;
    } else {
        what.from = BUS_FROM_LAST_PER;
    }
    enum bus_status status = bus_consume(lane->bus, &what, &lane->consumer, &lane->opened, &error);
    if (status == BUS_EPOCH)
        lane->next_seq = 0; /* begin again with the last of each */
    lane->epoch_ns = status == BUS_OK ? lane->opened.created_ns : 0;
    return status == BUS_OK;
}

static void follow(struct presence_lane *lane)
{
    struct bus_msg msg;
    if (!lane->consumer && !open_consumer(lane)) {
        clock_pause_ms(RETRY_MS);
        return;
    }
    /* Asked before waiting for what may never come: the start waits for this. */
    if (!atomic_load(&lane->recovered) && bus_caught_up(lane->consumer))
        atomic_store(&lane->recovered, true);
    switch (bus_next(lane->consumer, NEXT_MS, &msg)) {
    case BUS_OK:
        follow_one(lane, &msg);
        if (msg.pending == 0)
            atomic_store(&lane->recovered, true);
        bus_msg_done(&msg);
        return;
    case BUS_TIMEOUT:
    case BUS_DISCONNECTED:
        return;
    default:
        bus_consumer_close(lane->consumer);
        lane->consumer = NULL;
    }
}

/* ---- time passes ---- */

static int64_t broker_now(struct presence_lane *lane)
{
    bool known;
    int64_t now_ns = broker_clock_now(lane->clock, &known);
    if (known && !lane->broker_known)
        lane->hearing_since_ns = TIMESTAMP_NONE; /* it was in the hub's own clock */
    lane->broker_known = known;
    return now_ns;
}

/* Since when the hub hears, without a break; TIMESTAMP_NONE while it does not. */
static void judge_hearing(struct presence_lane *lane, int64_t now_ms, int64_t now_ns)
{
    struct state_lane *feeds = atomic_load(&lane->feeds);
    bool frozen = now_ms - lane->swept_ms > FROZEN_MS;
    bool again = bus_connects(lane->bus) != lane->connects;
    lane->connects = bus_connects(lane->bus);
    if (!feeds || !state_lane_hearing(feeds) || frozen || again)
        lane->hearing_since_ns = TIMESTAMP_NONE;
    else if (lane->hearing_since_ns == TIMESTAMP_NONE)
        lane->hearing_since_ns = now_ns;
}

/* False where it has to be judged again. */
static bool age(struct presence_lane *lane, struct vehicle *vehicle, int64_t now_ns)
{
    struct twin *old = store_current(vehicle);
    struct presence now =
        presence_aged(old->presence, now_ns, lane->hearing_since_ns, &lane->limits);
    if (now.status == old->presence.status)
        return true;
    /* The places that are kept in reserve are not for a whole fleet that falls silent. */
    if (now.status == PRESENCE_OFFLINE && !recorder_has_room(lane->recorder))
        return false;
    struct twin *twin = twin_copy(old);
    if (!twin)
        return false;
    if (now.status == PRESENCE_OFFLINE &&
        !put_change(lane->recorder, vehicle->vid, PRESENCE_OFFLINE, &old->presence, &now)) {
        free(twin);
        return false;
    }
    twin->presence = now;
    store_put(lane->store, vehicle, twin);
    return true;
}

static void sweep(struct presence_lane *lane)
{
    int64_t now_ms = clock_mono_ms(), now_ns = broker_now(lane);
    judge_hearing(lane, now_ms, now_ns);
    lane->swept_ms = now_ms;
    lane->limits = presence_limits_of(lane->config);
    if (lane->hearing_since_ns == TIMESTAMP_NONE)
        return;
    bool whole = true;
    uint32_t count = store_count(lane->store);
    for (uint32_t from = 0; from < count; from += SWEEP_CHUNK) {
        if (!recorder_has_room(lane->recorder))
            return; /* the rest waits for the next sweep */
        uint32_t end = from + SWEEP_CHUNK < count ? from + SWEEP_CHUNK : count;
        store_lock(lane->store);
        for (uint32_t i = from; i < end; i++)
            whole = age(lane, store_vehicle_at(lane->store, i), now_ns) && whole;
        store_unlock(lane->store);
    }
    if (whole)
        store_set_sweep(lane->store, (struct store_sweep){lane->hearing_since_ns, now_ns});
}

static void *run(void *closure)
{
    struct presence_lane *lane = closure;
    while (!atomic_load(&lane->stop)) {
        follow(lane);
        broker_clock_now(lane->clock, NULL); /* keeps it exact for everybody */
        if (clock_mono_ms() - lane->swept_ms >= SWEEP_MS)
            sweep(lane);
    }
    bus_consumer_close(lane->consumer);
    return NULL;
}

struct presence_limits presence_limits_of(const struct config *config)
{
    const struct config *now = config_now(config);
    return (struct presence_limits){(int64_t)(now->presence.stale_after_s * 1e9),
                                    (int64_t)(now->presence.offline_after_s * 1e9)};
}

struct presence_lane *presence_lane_start(const struct config *config, struct bus *bus,
                                          struct store *store, struct broker_clock *clock,
                                          struct recorder *recorder)
{
    struct presence_lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->bus = bus;
    lane->store = store;
    lane->clock = clock;
    lane->recorder = recorder;
    lane->config = config;
    lane->hearing_since_ns = TIMESTAMP_NONE;
    lane->swept_ms = clock_mono_ms();
    snprintf(lane->subject, sizeof lane->subject, "fleet.%s.hub.%s.record.%s.>", config->env,
             config->region, record_kind_name(RECORD_PRESENCE));
    lane->parser = doc_parser_new();
    if (!lane->parser || pthread_create(&lane->thread, NULL, run, lane) != 0) {
        doc_parser_free(lane->parser);
        free(lane);
        return NULL;
    }
    return lane;
}

void presence_lane_listen(struct presence_lane *lane, struct state_lane *feeds)
{
    atomic_store(&lane->feeds, feeds);
}

bool presence_lane_recovered(struct presence_lane *lane)
{
    return atomic_load(&lane->recovered);
}

void presence_lane_stop(struct presence_lane *lane)
{
    if (!lane)
        return;
    atomic_store(&lane->stop, true);
    pthread_join(lane->thread, NULL);
    doc_parser_free(lane->parser);
    free(lane);
}
