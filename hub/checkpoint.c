/* The writing side of TWIN_LAST: hub/last.h says what holds. */
#include "hub/last.h"

#include "hub/clock.h"
#include "hub/log.h"
#include "hub/registry.h"
#include "hub/streams.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH_VEHICLES = 256, /* written between two looks at the recorder */
    OUTBOX_MAX = 256,
    SETTLE_MS = 10000,     /* for the records behind a batch, and for the batch itself */
    STOP_SETTLE_MS = 1500, /* the same while the hub stops */
    STORE_MS = 3000,       /* for the mark */
    TICK_MS = 100,
    READ_MS = 2000, /* for the mark */
    MARK_DEPTH = 8,
};

/* One entry on its way. */
struct entry {
    struct vehicle *vehicle;
    uint64_t changed; /* what the entry holds, see struct vehicle */
    char *subject;    /* followed by the value */
    size_t value_at, value_bytes;
    struct registry_times times;
    uint64_t expected_seq;
    enum bus_status status;
    uint64_t seq;
};

struct checkpoint_lane {
    struct bus *bus;
    struct store *store;
    struct recorder *recorder;
    struct registry *registry;
    struct bus_outbox *outbox;
    struct doc_parser *parser;
    int interval_ms, settle_ms;
    char hub_id[RECORD_ID_TEXT_BYTES];
    bool holder;       /* of the lease, as far as this hub knows */
    uint64_t mark_seq; /* of the mark as last read or written; 0: there is none */
    int64_t mark_ms;   /* when it was seen to change */
    struct mark mark;
    struct entry entries[BATCH_VEHICLES];
    _Atomic bool stop;
    pthread_t thread;
};

/* ---- entries ---- */

static void on_stored(void *closure, uint64_t tag, enum bus_status status, uint64_t seq)
{
    struct checkpoint_lane *lane = closure;
    lane->entries[tag].status = status;
    lane->entries[tag].seq = seq;
}

enum made { ENTRY_MADE, ENTRY_NOT_DUE, ENTRY_NO_MEMORY };

static enum made make_entry(struct checkpoint_lane *lane, uint32_t index, struct entry *entry)
{
    struct buf out = BUF_INIT;
    char subject[STREAMS_SUBJECT_BYTES];
    *entry = (struct entry){.status = BUS_ERROR};
    store_lock(lane->store);
    entry->vehicle = store_vehicle_at(lane->store, index);
    entry->changed = entry->vehicle->changed;
    entry->expected_seq = entry->vehicle->last_kv_seq;
    bool due = entry->changed != entry->vehicle->persisted;
    size_t place = store_enter(lane->store);
    const struct twin *twin = store_current(entry->vehicle);
    store_unlock(lane->store);
    if (due) { /* the twin is immutable: written without the lock */
        struct slice vid = {twin->vid, strlen(twin->vid)};
        buf_adds(&out, streams_last_subject(vid, subject));
        buf_addc(&out, '\0');
        entry->value_at = out.size_bytes;
        last_write_twin(&out, twin);
        registry_times_of(twin, &entry->times);
        entry->value_bytes = out.size_bytes - entry->value_at;
        entry->subject = buf_take(&out, NULL);
    }
    store_leave(lane->store, place);
    if (!due)
        return ENTRY_NOT_DUE;
    return entry->subject ? ENTRY_MADE : ENTRY_NO_MEMORY;
}

/* What became of the entries; returns how many are stored. */
static size_t settle_entries(struct checkpoint_lane *lane, size_t count)
{
    size_t stored = 0;
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = &lane->entries[i];
        if (entry->status == BUS_OK) {
            store_lock(lane->store);
            entry->vehicle->persisted = entry->changed;
            entry->vehicle->last_kv_seq = entry->seq;
            store_unlock(lane->store);
            stored++;
        } else if (entry->status == BUS_CONFLICT) {
            /* Somebody else wrote it, perhaps a registration: to be known before it is written
             * over, at the next checkpoint. */
            registry_refresh(lane->registry,
                             (struct slice){entry->vehicle->vid, strlen(entry->vehicle->vid)});
        }
        free(entry->subject);
        entry->subject = NULL;
    }
    return stored;
}

/* Stores a batch of entries: all of it, or false. */
static bool store_entries(struct checkpoint_lane *lane, size_t count)
{
    size_t sent = 0;
    if (!lane->outbox)
        lane->outbox = bus_outbox_new(lane->bus, OUTBOX_MAX, on_stored, lane);
    /* A record that is not stored yet may be made again only from before these entries. */
    if (lane->outbox &&
        recorder_wait(lane->recorder, recorder_last(lane->recorder), lane->settle_ms)) {
        for (; sent < count; sent++) {
            struct entry *entry = &lane->entries[sent];
            struct bus_store what = {.subject = entry->subject,
                                     .data = entry->subject + entry->value_at,
                                     .size = entry->value_bytes,
                                     .expected_last_of_subject = entry->expected_seq};
            registry_times_add(&entry->times, &what);
            if (bus_outbox_store(lane->outbox, &what, sent) != BUS_OK)
                break;
        }
        if (!bus_outbox_flush(lane->outbox, lane->settle_ms)) {
            /* Answers may still come: the outbox is emptied before its entries are used again. */
            bus_outbox_free(lane->outbox);
            lane->outbox = NULL; /* the next batch has one of its own */
        }
    }
    return settle_entries(lane, count) == count;
}

/* Stores every vehicle that changed; true when all are stored as they are now or were since. */
static bool store_vehicles(struct checkpoint_lane *lane, size_t *written)
{
    uint32_t vehicles = store_count(lane->store);
    size_t count = 0;
    bool good = true;
    *written = 0;
    for (uint32_t i = 0; i < vehicles && good; i++) {
        enum made made = make_entry(lane, i, &lane->entries[count]);
        if (made == ENTRY_NO_MEMORY) {
            good = false; /* no mark may vouch for it */
            break;
        }
        count += made == ENTRY_MADE;
        if (count == BATCH_VEHICLES || (i + 1 == vehicles && count > 0)) {
            good = store_entries(lane, count);
            *written += count;
            count = 0;
        }
    }
    if (count > 0)
        good = store_entries(lane, count) && good;
    return good;
}

/* ---- the mark ---- */

/* Reads the mark where it changed. False when it cannot be read now. */
static bool read_mark(struct checkpoint_lane *lane)
{
    struct bus_consume what = {.stream = streams_name(TWIN_LAST),
                               .filter = streams_mark_subject(),
                               .from = BUS_FROM_LAST_PER};
    struct bus_consumer *consumer = NULL;
    struct bus_error error;
    struct bus_msg msg;
    if (bus_consume(lane->bus, &what, &consumer, NULL, &error) != BUS_OK)
        return false;
    enum bus_status status = bus_next(consumer, READ_MS, &msg);
    bool none = status == BUS_TIMEOUT && bus_caught_up(consumer);
    if (status == BUS_OK) {
        struct doc_limits limits = {RECORD_MAX_BYTES, MARK_DEPTH};
        struct doc_ref entry;
        if (msg.stream_seq != lane->mark_seq) {
            lane->mark_seq = msg.stream_seq;
            lane->mark_ms = clock_mono_ms();
        }
        if (doc_parse(lane->parser, msg.data, msg.size, limits, &entry) != DOC_OK ||
            !last_read_mark(entry, &lane->mark))
            lane->mark = (struct mark){0};
        bus_msg_done(&msg);
    } else if (none) {
        lane->mark = (struct mark){0};
        lane->mark_seq = 0;
    }
    bus_consumer_close(consumer);
    return status == BUS_OK || none;
}

/* Whether this hub's positions are at least the mark's: a hub that is behind must not overwrite
 * what another vouched for. Of TWIN_RECORD the mark says only how far requests are settled. */
static bool ahead_of_mark(struct checkpoint_lane *lane)
{
    for (int i = 0; i < STREAM_LABELS; i++) {
        if (i == STREAM_RECORD)
            continue;
        struct position mine = store_position(lane->store, (enum stream_label)i);
        struct position marked = lane->mark.streams[i];
        if (mine.epoch_ns == marked.epoch_ns && mine.seq < marked.seq)
            return false;
    }
    return true;
}

/* Whether the lease is this hub's, or free to be taken: never written, given back, or its holder
 * fell silent. */
static bool may_write(struct checkpoint_lane *lane)
{
    if (!read_mark(lane))
        return false;
    bool mine = strcmp(lane->mark.by, lane->hub_id) == 0;
    bool silent =
        clock_mono_ms() - lane->mark_ms > (int64_t)CHECKPOINT_TAKEOVER * lane->interval_ms;
    if (lane->holder && !mine)
        log_info("last.lease_lost", "by", lane->mark.by);
    lane->holder = mine;
    return mine || lane->mark.by[0] == '\0' || silent;
}

static bool write_mark(struct checkpoint_lane *lane, const struct mark *mark)
{
    struct buf out = BUF_INIT;
    struct bus_error error;
    uint64_t seq;
    last_write_mark(&out, mark);
    struct bus_store what = {.subject = streams_mark_subject(),
                             .data = out.data,
                             .size = out.size_bytes,
                             .expected_last_of_subject = lane->mark_seq};
    enum bus_status status =
        out.failed ? BUS_ERROR : bus_store(lane->bus, &what, STORE_MS, &seq, &error);
    buf_done(&out);
    if (status != BUS_OK)
        return false;
    lane->mark = *mark;
    lane->mark_seq = seq;
    lane->mark_ms = clock_mono_ms();
    return true;
}

/* How far requests are settled is a fact that no later mark takes back. */
static void keep_settled(const struct checkpoint_lane *lane, struct mark *mark)
{
    const struct position *was = &lane->mark.streams[STREAM_RECORD];
    struct position *is = &mark->streams[STREAM_RECORD];
    if (is->epoch_ns == 0 || (is->epoch_ns == was->epoch_ns && is->seq < was->seq))
        *is = *was;
}

/* One checkpoint. The positions are taken before the vehicles: each entry then holds at least what
 * the positions say. */
static void checkpoint(struct checkpoint_lane *lane, bool give_back)
{
    struct mark mark = {0};
    size_t written;
    if (!bus_connected(lane->bus) || !may_write(lane))
        return;
    if (!lane->holder) {
        struct mark claim = lane->mark;
        memcpy(claim.by, lane->hub_id, sizeof claim.by);
        if (!write_mark(lane, &claim))
            return;
        lane->holder = true;
        log_info("last.lease_taken", "hub", lane->hub_id);
    }
    for (int i = 0; i < STREAM_LABELS; i++)
        mark.streams[i] = store_position(lane->store, (enum stream_label)i);
    keep_settled(lane, &mark);
    memcpy(mark.by, give_back ? "" : lane->hub_id, give_back ? 1 : sizeof mark.by);
    int64_t began_ms = clock_mono_ms();
    bool good = ahead_of_mark(lane) && store_vehicles(lane, &written) &&
                recorder_wait(lane->recorder, recorder_last(lane->recorder), lane->settle_ms) &&
                write_mark(lane, &mark);
    metrics_inc(METRIC_CHECKPOINTS, good ? 0 : 1);
    if (good)
        log_debug("last.written", "vehicles", LOG_INT(written), "ms",
                  LOG_INT(clock_mono_ms() - began_ms));
    else
        log_warn("last.not_written", "detail",
                 "the next checkpoint tries again; a restart folds more of TWIN_STATE meanwhile");
}

static void *run(void *closure)
{
    struct checkpoint_lane *lane = closure;
    int64_t due_ms = clock_mono_ms();
    while (!atomic_load(&lane->stop)) {
        if (clock_mono_ms() >= due_ms) {
            checkpoint(lane, false);
            due_ms = clock_mono_ms() + lane->interval_ms;
        }
        clock_pause_ms(TICK_MS);
    }
    lane->settle_ms = STOP_SETTLE_MS;
    if (lane->holder)
        checkpoint(lane, true);
    return NULL;
}

static bool make_hub_id(char id[RECORD_ID_TEXT_BYTES])
{
    uint8_t random[RECORD_ID_BYTES];
    if (RAND_bytes(random, sizeof random) != 1)
        return false;
    record_id_format(random, id);
    return true;
}

struct checkpoint_lane *checkpoint_lane_start(struct bus *bus, struct store *store,
                                              struct recorder *recorder, struct registry *registry,
                                              int interval_ms)
{
    struct checkpoint_lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->bus = bus;
    lane->store = store;
    lane->recorder = recorder;
    lane->registry = registry;
    lane->interval_ms = interval_ms;
    lane->settle_ms = SETTLE_MS;
    lane->mark_ms = clock_mono_ms();
    lane->parser = doc_parser_new();
    lane->outbox = bus_outbox_new(bus, OUTBOX_MAX, on_stored, lane);
    if (!lane->parser || !lane->outbox || !make_hub_id(lane->hub_id) ||
        pthread_create(&lane->thread, NULL, run, lane) != 0) {
        bus_outbox_free(lane->outbox);
        doc_parser_free(lane->parser);
        free(lane);
        return NULL;
    }
    return lane;
}

void checkpoint_lane_stop(struct checkpoint_lane *lane)
{
    if (!lane)
        return;
    atomic_store(&lane->stop, true);
    pthread_join(lane->thread, NULL);
    bus_outbox_free(lane->outbox);
    doc_parser_free(lane->parser);
    free(lane);
}
