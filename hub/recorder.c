#include "hub/recorder.h"

#include "hub/clock.h"
#include "hub/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    OUTBOX_MAX = 512,      /* published and not acknowledged */
    RETRY_MS = 500,        /* before a record that was not acknowledged is published again */
    IDLE_MS = 1000,        /* the publisher looks around that often without being woken */
    WARN_EVERY_MS = 10000, /* of a stream that takes no records */
};

enum slot_state { SLOT_WAITING, SLOT_SENT, SLOT_STORED };

struct slot {
    enum slot_state state;
    int64_t not_before_ms; /* SLOT_WAITING */
    char id[RECORD_ID_TEXT_BYTES];
    char *subject; /* NUL-terminated, followed by the record's JSON */
    size_t json_at, json_bytes;
};

struct recorder {
    struct bus *bus;
    struct bus_outbox *outbox;
    char *env, *region;
    pthread_mutex_t lock;
    pthread_cond_t work, settled;
    pthread_t thread;
    bool running, stop;
    /* tickets run from 1; slot of a ticket: ticket % RECORDER_QUEUE_MAX. first..last are queued */
    uint64_t first, last;
    _Atomic uint64_t queued; /* last + 1 - first, to be looked at without the lock */
    int64_t warned_ms;
    struct slot slots[RECORDER_QUEUE_MAX];
};

static struct slot *slot_of(struct recorder *recorder, uint64_t ticket)
{
    return &recorder->slots[ticket % RECORDER_QUEUE_MAX];
}

/* Lets go of what is stored at the front of the queue. With the lock held. */
static void drop_stored(struct recorder *recorder)
{
    bool moved = false;
    while (recorder->first <= recorder->last) {
        struct slot *slot = slot_of(recorder, recorder->first);
        if (slot->state != SLOT_STORED)
            break;
        free(slot->subject);
        *slot = (struct slot){0};
        recorder->first++;
        moved = true;
    }
    if (!moved)
        return;
    atomic_store(&recorder->queued, recorder->last + 1 - recorder->first);
    pthread_cond_broadcast(&recorder->settled);
}

/* On a thread of the bus. */
static void on_stored(void *closure, uint64_t ticket, enum bus_status status, uint64_t seq)
{
    (void)seq;
    struct recorder *recorder = closure;
    pthread_mutex_lock(&recorder->lock);
    struct slot *slot = slot_of(recorder, ticket);
    if (status == BUS_OK) {
        slot->state = SLOT_STORED;
        drop_stored(recorder);
    } else {
        slot->state = SLOT_WAITING;
        slot->not_before_ms = clock_mono_ms() + RETRY_MS;
        if (clock_mono_ms() - recorder->warned_ms > WARN_EVERY_MS) {
            recorder->warned_ms = clock_mono_ms();
            log_warn("recorder.not_stored", "id", slot->id, "subject", slot->subject, "detail",
                     "TWIN_RECORD does not take it; trying again");
        }
        pthread_cond_signal(&recorder->work);
    }
    pthread_mutex_unlock(&recorder->lock);
}

/* Publishes what is due. Returns how long to wait for the next, in ms. With the lock held; let go
 * of around each publish, since the answer may come on another thread at once. */
static int publish_due(struct recorder *recorder)
{
    int wait_ms = IDLE_MS;
    for (uint64_t ticket = recorder->first; ticket <= recorder->last; ticket++) {
        struct slot *slot = slot_of(recorder, ticket);
        if (ticket < recorder->first || slot->state != SLOT_WAITING)
            continue;
        int64_t left_ms = slot->not_before_ms - clock_mono_ms();
        if (left_ms > 0) {
            wait_ms = left_ms < wait_ms ? (int)left_ms : wait_ms;
            continue;
        }
        struct bus_store what = {.subject = slot->subject,
                                 .data = slot->subject + slot->json_at,
                                 .size = slot->json_bytes,
                                 .msg_id = slot->id,
                                 .expected_last_of_subject = BUS_ANY_SEQ};
        slot->state = SLOT_SENT;
        pthread_mutex_unlock(&recorder->lock);
        enum bus_status status = bus_outbox_store(recorder->outbox, &what, ticket);
        pthread_mutex_lock(&recorder->lock);
        if (status != BUS_OK) { /* nothing was sent, `done` will not be called */
            slot->state = SLOT_WAITING;
            slot->not_before_ms = clock_mono_ms() + RETRY_MS;
            return RETRY_MS / 10;
        }
    }
    return wait_ms;
}

static void *run(void *closure)
{
    struct recorder *recorder = closure;
    pthread_mutex_lock(&recorder->lock);
    while (!recorder->stop) {
        int wait_ms = publish_due(recorder);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
        until.tv_sec += wait_ms / 1000 + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (!recorder->stop)
            pthread_cond_timedwait(&recorder->work, &recorder->lock, &until);
    }
    pthread_mutex_unlock(&recorder->lock);
    return NULL;
}

struct recorder *recorder_new(struct bus *bus, const char *env, const char *region)
{
    struct recorder *recorder = calloc(1, sizeof *recorder);
    if (!recorder)
        return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&recorder->lock, NULL);
    pthread_cond_init(&recorder->work, &monotonic);
    pthread_cond_init(&recorder->settled, &monotonic);
    pthread_condattr_destroy(&monotonic);
    recorder->bus = bus;
    recorder->first = 1;
    recorder->warned_ms = -WARN_EVERY_MS;
    recorder->env = strdup(env);
    recorder->region = strdup(region);
    recorder->outbox = bus_outbox_new(bus, OUTBOX_MAX, on_stored, recorder);
    if (!recorder->env || !recorder->region || !recorder->outbox ||
        pthread_create(&recorder->thread, NULL, run, recorder) != 0) {
        recorder_free(recorder, 0);
        return NULL;
    }
    recorder->running = true;
    return recorder;
}

void recorder_free(struct recorder *recorder, int timeout_ms)
{
    if (!recorder)
        return;
    if (recorder->running) {
        recorder_wait(recorder, recorder_last(recorder), timeout_ms);
        pthread_mutex_lock(&recorder->lock);
        recorder->stop = true;
        pthread_cond_signal(&recorder->work);
        pthread_mutex_unlock(&recorder->lock);
        pthread_join(recorder->thread, NULL);
    }
    bus_outbox_free(recorder->outbox); /* no answer comes after this */
    if (recorder->last >= recorder->first)
        log_warn("recorder.left_behind", "records", LOG_INT(recorder->last - recorder->first + 1),
                 "detail", "they are made again from their streams after the next start");
    for (uint64_t ticket = recorder->first; ticket <= recorder->last; ticket++)
        free(slot_of(recorder, ticket)->subject);
    pthread_cond_destroy(&recorder->settled);
    pthread_cond_destroy(&recorder->work);
    pthread_mutex_destroy(&recorder->lock);
    free(recorder->env);
    free(recorder->region);
    free(recorder);
}

bool recorder_put(struct recorder *recorder, const struct record *record, uint64_t *ticket)
{
    struct buf text = BUF_INIT;
    struct slot slot = {.state = SLOT_WAITING};
    record_id_format(record->id, slot.id);
    record_subject(&text, recorder->env, recorder->region, record);
    buf_addc(&text, '\0');
    slot.json_at = text.size_bytes;
    record_write(&text, record);
    slot.json_bytes = text.size_bytes - slot.json_at;
    slot.subject = buf_take(&text, NULL);
    if (!slot.subject)
        return false;

    pthread_mutex_lock(&recorder->lock);
    bool room = recorder->last + 1 - recorder->first < RECORDER_QUEUE_MAX;
    if (room) {
        *ticket = ++recorder->last;
        *slot_of(recorder, *ticket) = slot;
        atomic_store(&recorder->queued, recorder->last + 1 - recorder->first);
        pthread_cond_signal(&recorder->work);
    }
    pthread_mutex_unlock(&recorder->lock);
    if (!room)
        free(slot.subject);
    return room;
}

bool recorder_has_room(struct recorder *recorder)
{
    return atomic_load(&recorder->queued) < RECORDER_QUEUE_MAX - RECORDER_RESERVE;
}

size_t recorder_queued(struct recorder *recorder)
{
    return (size_t)atomic_load(&recorder->queued);
}

uint64_t recorder_last(struct recorder *recorder)
{
    pthread_mutex_lock(&recorder->lock);
    uint64_t last = recorder->last;
    pthread_mutex_unlock(&recorder->lock);
    return last;
}

bool recorder_settled(struct recorder *recorder, uint64_t ticket)
{
    pthread_mutex_lock(&recorder->lock);
    bool settled = recorder->first > ticket;
    pthread_mutex_unlock(&recorder->lock);
    return settled;
}

bool recorder_wait(struct recorder *recorder, uint64_t ticket, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    until.tv_sec += timeout_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    int late = 0;
    pthread_mutex_lock(&recorder->lock);
    while (recorder->first <= ticket && late != ETIMEDOUT)
        late = pthread_cond_timedwait(&recorder->settled, &recorder->lock, &until);
    bool settled = recorder->first > ticket;
    pthread_mutex_unlock(&recorder->lock);
    return settled;
}
