#include "hub/track.h"

#include "hub/clock.h"
#include "hub/log.h"
#include "hub/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_MS = 50,
    CHUNK = 64,                           /* vehicles between two looks at the recorder */
    QUEUE_SHARE = RECORDER_QUEUE_MAX / 4, /* of the recorder's queue, for tracks */
};

struct track_lane {
    struct store *store;
    struct broker_clock *clock;
    struct state_lane *feeds;
    struct recorder *recorder;
    int64_t slot_length_ns;
    int64_t slot_ns; /* the start of the one being swept */
    uint32_t next;   /* the first vehicle that the sweep has not come to */
    uint32_t end;    /* the vehicles that it is to cover */
    struct buf data;
    _Atomic bool stop;
    pthread_t thread;
};

/* ---- the record ---- */

#define TRACK_STATE_TABLE(X)                                                                       \
    X("position")                                                                                  \
    X("mode")                                                                                      \
    X("battery")

/* Each state as the vehicle sent it, then when the broker received each. */
static const struct state *write_states(const struct twin *twin, struct buf *data)
{
    static const char *const types[] = {
#define X(name) name,
        TRACK_STATE_TABLE(X)
#undef X
    };
    enum { TYPES = sizeof types / sizeof *types };
    const struct state *states[TYPES], *first = NULL;
    for (int i = 0; i < TYPES; i++) {
        states[i] = twin_state(twin, (struct slice){types[i], strlen(types[i])});
        if (!states[i])
            continue;
        first = first ? first : states[i];
        buf_addc(data, data->size_bytes == 0 ? '{' : ',');
        buf_addf(data, "\"%s\":", types[i]);
        doc_write(data, doc_root(states[i]->data));
    }
    if (!first)
        return NULL;
    buf_adds(data, ",\"received\":{");
    bool comma = false;
    for (int i = 0; i < TYPES; i++) {
        if (!states[i])
            continue;
        buf_addf(data, comma ? ",\"%s\":" : "\"%s\":", types[i]);
        buf_json_timestamp(data, states[i]->received_ns);
        comma = true;
    }
    buf_adds(data, "}}");
    return first;
}

bool track_record(const struct twin *twin, int64_t slot_ns, struct buf *data, struct record *record)
{
    static const char type[] = "position";
    char key[TOKEN_MAX_BYTES + 32];
    buf_reset(data);
    if (!twin_visible(twin) || twin->presence.status != PRESENCE_ONLINE)
        return false;
    const struct state *state = write_states(twin, data);
    if (!state || data->failed)
        return false;
    record_init(record);
    int size = snprintf(key, sizeof key, "%s/%" PRId64, twin->vid, slot_ns);
    record_id_of_time(RECORD_TRACK, slot_ns, key, (size_t)size, record->id);
    record->kind = RECORD_TRACK;
    record->vid = (struct slice){twin->vid, strlen(twin->vid)};
    record->type = (struct slice){type, sizeof type - 1};
    record->boot = state_boot(state);
    record->vehicle_seq = state->seq;
    record->timestamp_ns = state->timestamp_ns;
    record->received_ns = slot_ns;
    record->data = (struct slice){data->data, data->size_bytes};
    return true;
}

/* ---- the sweep ---- */

static bool put_one(struct track_lane *lane, uint32_t index)
{
    struct record record;
    uint64_t ticket;
    size_t place = store_enter(lane->store);
    bool put = true;
    if (track_record(store_at(lane->store, index), lane->slot_ns, &lane->data, &record))
        put = recorder_put(lane->recorder, &record, &ticket);
    store_leave(lane->store, place);
    return put;
}

/* How many of `count` vehicles should be done so long after the slot's start. */
static uint32_t share_due(const struct track_lane *lane, int64_t elapsed_ns)
{
    int64_t half_ns = lane->slot_length_ns / 2;
    if (elapsed_ns >= half_ns)
        return lane->end;
    return (uint32_t)((double)lane->end * (double)elapsed_ns / (double)half_ns) + 1;
}

static void sweep_until(struct track_lane *lane, uint32_t due)
{
    due = due < lane->end ? due : lane->end;
    while (lane->next < due && !atomic_load(&lane->stop)) {
        if (recorder_queued(lane->recorder) > QUEUE_SHARE)
            return;
        uint32_t end = lane->next + CHUNK < due ? lane->next + CHUNK : due;
        for (; lane->next < end; lane->next++) {
            if (!put_one(lane, lane->next))
                return;
        }
    }
}

static void begin_slot(struct track_lane *lane, int64_t slot_ns)
{
    if (lane->next < lane->end) {
        metrics_add(METRIC_TRACKS_SKIPPED, 0, 0, lane->end - lane->next);
        log_warn("track.skipped", "vehicles", LOG_INT(lane->end - lane->next), "detail",
                 "TWIN_RECORD does not take records fast enough");
    }
    lane->slot_ns = slot_ns;
    lane->next = 0;
    lane->end = store_count(lane->store);
}

static void *run(void *closure)
{
    struct track_lane *lane = closure;
    while (!atomic_load(&lane->stop)) {
        bool known;
        int64_t now_ns = broker_clock_now(lane->clock, &known);
        int64_t slot_ns = now_ns - now_ns % lane->slot_length_ns;
        /* A hub that is deaf knows nobody's place; a slot that has begun before it could hear is
         * left to others. */
        if (!known || !state_lane_hearing(lane->feeds)) {
            lane->next = lane->end = 0;
            lane->slot_ns = slot_ns;
        } else if (slot_ns > lane->slot_ns) {
            begin_slot(lane, slot_ns);
        }
        if (lane->next < lane->end)
            sweep_until(lane, share_due(lane, now_ns - lane->slot_ns));
        clock_pause_ms(TICK_MS);
    }
    return NULL;
}

struct track_lane *track_lane_start(const struct config *config, struct store *store,
                                    struct broker_clock *clock, struct state_lane *feeds,
                                    struct recorder *recorder)
{
    struct track_lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->store = store;
    lane->clock = clock;
    lane->feeds = feeds;
    lane->recorder = recorder;
    lane->slot_length_ns = config->record.track_s * NS_PER_S;
    int64_t now_ns = broker_clock_now(clock, NULL);
    lane->slot_ns = now_ns - now_ns % lane->slot_length_ns;
    if (pthread_create(&lane->thread, NULL, run, lane) != 0) {
        free(lane);
        return NULL;
    }
    return lane;
}

void track_lane_stop(struct track_lane *lane)
{
    if (!lane)
        return;
    atomic_store(&lane->stop, true);
    pthread_join(lane->thread, NULL);
    buf_done(&lane->data);
    free(lane);
}
