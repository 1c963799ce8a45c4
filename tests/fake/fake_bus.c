#include "tests/fake/fake_bus.h"

#include "hub/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_MS = 1 };

/* One answer of bus_next, or of bus_consume. */
struct said {
    enum bus_status status;
    struct fake_bus_msg msg; /* BUS_OK */
    struct bus_stream_info info;
};

struct queue {
    struct said said[FAKE_BUS_KEPT_MAX];
    int count, next;
};

struct bus_outbox {
    bus_stored_fn *done;
    void *closure;
    size_t pending;
};

static struct {
    pthread_mutex_t lock;
    bool connected, late, no_outbox, unanswered;
    void (*idle)(void *closure);
    void *idle_closure;
    enum bus_status store_status, last_status, before_status;
    const char *last_data, *before_data;
    uint64_t last_seq;
    char last_subject[FAKE_BUS_TEXT_BYTES], last_text[FAKE_BUS_TEXT_BYTES];
    struct bus_outbox outbox;
    struct queue openings, coming;
    struct bus_consume opened;
    int opened_count, stored;
    char text[FAKE_BUS_TEXT_BYTES];
    int refusals, records;
    bool stores;
    char record[FAKE_BUS_TEXT_BYTES];
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};
static char bus_place, consumer_place, recorder_place;

struct bus *fake_bus(void)
{
    return (struct bus *)&bus_place;
}

struct recorder *fake_recorder(void)
{
    return (struct recorder *)&recorder_place;
}

void fake_bus_reset(void)
{
    pthread_mutex_lock(&fake.lock);
    fake.connected = true;
    fake.late = fake.no_outbox = fake.unanswered = false;
    fake.idle = NULL;
    fake.store_status = BUS_OK;
    fake.last_status = BUS_NOT_FOUND;
    fake.last_data = NULL;
    fake.last_seq = 1;
    fake.before_status = BUS_NOT_FOUND;
    fake.openings.count = fake.openings.next = 0;
    fake.coming.count = fake.coming.next = 0;
    fake.opened_count = fake.stored = fake.records = 0;
    fake.refusals = 0;
    fake.stores = true;
    fake.text[0] = fake.record[0] = '\0';
    pthread_mutex_unlock(&fake.lock);
}

void fake_bus_connected(bool connected)
{
    pthread_mutex_lock(&fake.lock);
    fake.connected = connected;
    pthread_mutex_unlock(&fake.lock);
}

bool bus_connected(const struct bus *bus)
{
    (void)bus;
    pthread_mutex_lock(&fake.lock);
    bool connected = fake.connected;
    pthread_mutex_unlock(&fake.lock);
    return connected;
}

/* ---- a stream that is followed ---- */

static void add(struct queue *queue, const struct said *said)
{
    pthread_mutex_lock(&fake.lock);
    if (queue->count == FAKE_BUS_KEPT_MAX)
        abort(); /* a test that is written wrongly */
    queue->said[queue->count++] = *said;
    pthread_mutex_unlock(&fake.lock);
}

void fake_bus_opening(enum bus_status status, int64_t created_ns, uint64_t last_seq)
{
    struct said said = {.status = status, .info = {.created_ns = created_ns, .last_seq = last_seq}};
    add(&fake.openings, &said);
}

void fake_bus_comes(const struct fake_bus_msg *msg)
{
    struct said said = {.status = BUS_OK, .msg = *msg};
    add(&fake.coming, &said);
}

void fake_bus_says(enum bus_status status)
{
    struct said said = {.status = status};
    add(&fake.coming, &said);
}

void fake_bus_when_idle(void (*fn)(void *closure), void *closure)
{
    fake.idle = fn;
    fake.idle_closure = closure;
}

static void is_idle(void)
{
    if (fake.idle)
        fake.idle(fake.idle_closure);
}

struct bus_consume fake_bus_opened(void)
{
    return fake.opened;
}

int fake_bus_openings(void)
{
    return fake.opened_count;
}

enum bus_status bus_consume(struct bus *bus, const struct bus_consume *what,
                            struct bus_consumer **consumer, struct bus_stream_info *info,
                            struct bus_error *error)
{
    struct said said = {.status = BUS_OK, .info = {.created_ns = 1}};
    (void)bus;
    (void)error;
    pthread_mutex_lock(&fake.lock);
    fake.opened = *what;
    fake.opened_count++;
    if (fake.openings.next < fake.openings.count)
        said = fake.openings.said[fake.openings.next++];
    *consumer = said.status == BUS_OK ? (struct bus_consumer *)&consumer_place : NULL;
    *info = said.info;
    pthread_mutex_unlock(&fake.lock);
    return said.status;
}

enum bus_status bus_next(struct bus_consumer *consumer, int timeout_ms, struct bus_msg *msg)
{
    struct said *said = NULL;
    (void)consumer;
    (void)timeout_ms;
    pthread_mutex_lock(&fake.lock);
    if (fake.coming.next < fake.coming.count)
        said = &fake.coming.said[fake.coming.next++];
    pthread_mutex_unlock(&fake.lock);
    if (!said) {
        is_idle();
        clock_pause_ms(STEP_MS);
        return BUS_TIMEOUT;
    }
    *msg = (struct bus_msg){.subject = said->msg.subject,
                            .data = said->msg.data,
                            .size = said->msg.data ? strlen(said->msg.data) : 0,
                            .stream_seq = said->msg.seq,
                            .received_ns = said->msg.received_ns,
                            .impl = &said->msg};
    return said->status;
}

const char *bus_msg_header(const struct bus_msg *msg, const char *name)
{
    const struct fake_bus_msg *from = msg->impl;
    for (size_t i = 0; i < sizeof from->headers / sizeof *from->headers; i++)
        if (from->headers[i].name && strcmp(from->headers[i].name, name) == 0)
            return from->headers[i].value;
    return NULL;
}

void bus_msg_done(struct bus_msg *msg)
{
    msg->impl = NULL;
}

bool bus_caught_up(struct bus_consumer *consumer)
{
    (void)consumer;
    pthread_mutex_lock(&fake.lock);
    bool all = fake.coming.next == fake.coming.count;
    pthread_mutex_unlock(&fake.lock);
    return all;
}

void bus_consumer_close(struct bus_consumer *consumer)
{
    (void)consumer;
}

/* ---- storing and asking ---- */

void fake_bus_stores(enum bus_status status, bool late)
{
    pthread_mutex_lock(&fake.lock);
    fake.store_status = status;
    fake.late = late;
    pthread_mutex_unlock(&fake.lock);
}

void fake_bus_no_outbox(bool none)
{
    fake.no_outbox = none;
}

void fake_bus_unanswered(bool unanswered)
{
    fake.unanswered = unanswered;
}

int fake_bus_stored(void)
{
    return fake.stored;
}

const char *fake_bus_stored_text(void)
{
    return fake.text;
}

void fake_bus_last(enum bus_status status, const char *data)
{
    fake.last_status = status;
    fake.last_data = data;
}

void fake_bus_before(uint64_t seq, enum bus_status status, const char *data)
{
    fake.last_seq = seq;
    fake.before_status = status;
    fake.before_data = data;
}

static enum bus_status store(const struct bus_store *what, uint64_t *seq)
{
    pthread_mutex_lock(&fake.lock);
    enum bus_status status = fake.late ? BUS_OK : fake.store_status;
    if (status == BUS_OK) {
        *seq = (uint64_t)++fake.stored;
        snprintf(fake.text, sizeof fake.text, "%s %.*s", what->subject, (int)what->size,
                 (const char *)what->data);
    }
    pthread_mutex_unlock(&fake.lock);
    return status;
}

enum bus_status bus_store(struct bus *bus, const struct bus_store *what, int timeout_ms,
                          uint64_t *seq, struct bus_error *error)
{
    (void)bus;
    (void)timeout_ms;
    enum bus_status status = store(what, seq);
    if (status != BUS_OK)
        snprintf(error->text, sizeof error->text, "a fault of the test");
    return status;
}

static enum bus_status get(enum bus_status status, const char *subject, const char *data,
                           uint64_t seq, struct bus_stored *stored, struct bus_error *error)
{
    if (status != BUS_OK) {
        snprintf(error->text, sizeof error->text, "a fault of the test");
        return status;
    }
    /* Nothing is allocated here: what a fault loop counts is the hub's. */
    snprintf(fake.last_subject, sizeof fake.last_subject, "%s", subject);
    snprintf(fake.last_text, sizeof fake.last_text, "%s", data);
    *stored = (struct bus_stored){.subject = fake.last_subject,
                                  .data = fake.last_text,
                                  .size = strlen(fake.last_text),
                                  .seq = seq};
    return BUS_OK;
}

enum bus_status bus_get_last(struct bus *bus, const char *stream, const char *subject,
                             struct bus_stored *stored, struct bus_error *error)
{
    (void)bus;
    (void)stream;
    return get(fake.last_status, subject, fake.last_data, fake.last_seq, stored, error);
}

enum bus_status bus_get_seq(struct bus *bus, const char *stream, uint64_t seq,
                            struct bus_stored *stored, struct bus_error *error)
{
    (void)bus;
    (void)stream;
    return get(fake.before_status, "", fake.before_data, seq, stored, error);
}

void bus_stored_done(struct bus_stored *stored)
{
    *stored = (struct bus_stored){.subject = NULL};
}

struct bus_outbox *bus_outbox_new(struct bus *bus, size_t outbox_max, bus_stored_fn *done,
                                  void *closure)
{
    (void)bus;
    (void)outbox_max;
    fake.outbox = (struct bus_outbox){.done = done, .closure = closure};
    return fake.no_outbox ? NULL : &fake.outbox;
}

enum bus_status bus_outbox_store(struct bus_outbox *outbox, const struct bus_store *what,
                                 uint64_t tag)
{
    uint64_t seq = 0;
    enum bus_status status = store(what, &seq);
    if (status != BUS_OK)
        return status;
    if (fake.unanswered)
        outbox->pending++;
    else
        outbox->done(outbox->closure, tag, fake.late ? fake.store_status : BUS_OK, seq);
    return BUS_OK;
}

bool bus_outbox_flush(struct bus_outbox *outbox, int timeout_ms)
{
    (void)timeout_ms;
    return outbox->pending == 0;
}

void bus_outbox_free(struct bus_outbox *outbox)
{
    (void)outbox;
}

/* ---- records ---- */

void fake_recorder_refuses(int count)
{
    pthread_mutex_lock(&fake.lock);
    fake.refusals = count;
    pthread_mutex_unlock(&fake.lock);
}

void fake_recorder_stores(bool stores)
{
    fake.stores = stores;
}

int fake_recorder_count(void)
{
    pthread_mutex_lock(&fake.lock);
    int count = fake.records;
    pthread_mutex_unlock(&fake.lock);
    return count;
}

const char *fake_recorder_last(void)
{
    return fake.record;
}

bool recorder_put(struct recorder *recorder, const struct record *record, uint64_t *ticket)
{
    (void)recorder;
    pthread_mutex_lock(&fake.lock);
    bool taken = fake.refusals == 0, full = fake.refusals < 0;
    if (!taken) {
        fake.refusals -= !full;
    } else {
        *ticket = (uint64_t)++fake.records;
        snprintf(fake.record, sizeof fake.record, "%s %.*s %.*s %.*s",
                 record_kind_name(record->kind), (int)record->type.size, record->type.at,
                 (int)record->actor.size, record->actor.at ? record->actor.at : "",
                 (int)record->data.size, record->data.at);
    }
    pthread_mutex_unlock(&fake.lock);
    if (full)
        is_idle();
    return taken;
}

bool recorder_wait(struct recorder *recorder, uint64_t ticket, int timeout_ms)
{
    (void)recorder;
    (void)ticket;
    (void)timeout_ms;
    return fake.stores;
}

/* ---- what hub/streams.c is linked with: nobody who only names a stream asks ---- */

enum bus_status bus_stream_info(struct bus *bus, const char *stream, struct bus_stream_info *info,
                                struct bus_error *error)
{
    (void)bus, (void)stream, (void)info, (void)error;
    return BUS_DISCONNECTED;
}

enum bus_status bus_stream_create(struct bus *bus, const struct bus_stream_spec *spec,
                                  struct bus_error *error)
{
    (void)bus, (void)spec, (void)error;
    return BUS_DISCONNECTED;
}

enum bus_status bus_stream_resize(struct bus *bus, const char *stream, int64_t max_bytes,
                                  struct bus_error *error)
{
    (void)bus, (void)stream, (void)max_bytes, (void)error;
    return BUS_DISCONNECTED;
}

enum bus_status bus_storage_left(struct bus *bus, int64_t *bytes, struct bus_error *error)
{
    (void)bus, (void)bytes, (void)error;
    return BUS_DISCONNECTED;
}
