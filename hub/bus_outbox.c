/*
 * Publishing without waiting. Each message asks for its acknowledgement on a subject of its own,
 * `<inbox>.<slot>-<generation>`; a thread of the outbox takes the answers, and ends what waits too
 * long or was under way when the connection went. A slot is free again, and its generation
 * another, before a late answer could be taken for its next message.
 *
 * Locks: outbox->mutex guards all but what the thread alone uses; `done` is called without it.
 */
#include "hub/bus_impl.h"
#include "hub/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ACK_TIMEOUT_MS = 5000,
    NO_RESPONDERS_AFTER_MS = 500, /* unanswered for so long when the server says: nobody there */
    COUNT_LAG_MS = 1000,
    SWEEP_EVERY_MS = 100,
    DOWN_STEP_MS = 20,
    INBOX_BYTES = 128,
    REPLY_BYTES = INBOX_BYTES + 32,
    OUTBOX_MAX = 1 << 20,
};

struct slot {
    uint64_t tag;
    uint64_t connects; /* of the bus, when it was sent */
    int64_t sent_ms;
    uint32_t generation;
    uint32_t next; /* free slots: the next one, as index + 1; 0 ends the list */
    bool waiting;
};

struct bus_outbox {
    struct bus *bus;
    bus_stored_fn *done;
    void *closure;
    size_t max;
    pthread_t thread;

    pthread_mutex_t mutex;
    pthread_cond_t changed; /* pending became 0, or stop */
    bool stop;
    struct slot *slots;
    uint32_t free_head; /* index + 1 */
    size_t pending;
    natsConnection *nc; /* the connection that the inbox is subscribed on, NULL for none */
    char inbox[INBOX_BYTES];

    /* the thread's alone */
    natsSubscription *sub;
    bool busy;
    int64_t swept_ms;
    int64_t nobody_ms; /* when the server last said: nobody there, of some message */
};

/* ---- slots ---- */

/* Ends the message in `slot`, if it is still the one meant; `done` is called here and nowhere
 * else. */
static void finish(struct bus_outbox *o, uint32_t index, uint32_t generation,
                   enum bus_status status, uint64_t seq)
{
    pthread_mutex_lock(&o->mutex);
    struct slot *slot = &o->slots[index];
    bool meant = slot->waiting && slot->generation == generation;
    uint64_t tag = slot->tag;
    if (meant)
        slot->waiting = false;
    pthread_mutex_unlock(&o->mutex);
    if (!meant)
        return;
    o->done(o->closure, tag, status, seq);
    pthread_mutex_lock(&o->mutex);
    slot->generation++;
    slot->next = o->free_head;
    o->free_head = index + 1;
    if (--o->pending == 0)
        pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->mutex);
}

/* What became of a message that nobody has answered, or BUS_OK to go on waiting. */
static enum bus_status overdue(const struct slot *slot, int64_t now_ms, uint64_t connects,
                               bool connected, int64_t nobody_ms)
{
    int64_t waited_ms = now_ms - slot->sent_ms;
    if (!connected)
        return BUS_DISCONNECTED;
    /* the count follows the connection a moment later: what was just sent may belong to it */
    if (slot->connects != connects && waited_ms >= COUNT_LAG_MS)
        return BUS_DISCONNECTED;
    if (slot->sent_ms <= nobody_ms && waited_ms >= NO_RESPONDERS_AFTER_MS)
        return BUS_DISCONNECTED;
    if (waited_ms >= ACK_TIMEOUT_MS)
        return BUS_TIMEOUT;
    return BUS_OK;
}

static void sweep(struct bus_outbox *o)
{
    int64_t now_ms = bus_now_ms();
    uint64_t connects = bus_connects(o->bus);
    natsConnection *up = bus_link_up(o->bus);
    o->swept_ms = now_ms;
    pthread_mutex_lock(&o->mutex);
    bool connected = up && up == o->nc;
    for (uint32_t i = 0; i < o->max && o->pending > 0; i++) {
        struct slot *slot = &o->slots[i];
        if (!slot->waiting)
            continue;
        enum bus_status status = overdue(slot, now_ms, connects, connected, o->nobody_ms);
        if (status == BUS_OK)
            continue;
        uint32_t generation = slot->generation;
        pthread_mutex_unlock(&o->mutex);
        finish(o, i, generation, status, 0);
        pthread_mutex_lock(&o->mutex);
    }
    pthread_mutex_unlock(&o->mutex);
}

/* ---- the thread ---- */

static void take_answer(struct bus_outbox *o, natsMsg *msg)
{
    const char *subject = natsMsg_GetSubject(msg);
    const char *token = strrchr(subject, '.');
    char *end = NULL;
    struct bus_error error = {""};
    uint64_t seq = 0;
    if (!token)
        return;
    unsigned long index = strtoul(token + 1, &end, 16);
    if (*end != '-' || index >= o->max)
        return;
    unsigned long generation = strtoul(end + 1, NULL, 16);
    enum bus_status status = bus_store_answer(msg, &seq, &error);
    if (status == BUS_ERROR)
        log_warn("bus.publish_refused", "error", error.text);
    finish(o, (uint32_t)index, (uint32_t)generation, status, seq);
}

/* Subscribes the inbox on the newest connection. */
static void resubscribe(struct bus_outbox *o, natsConnection *nc)
{
    natsInbox *made = NULL;
    natsSubscription *sub = NULL;
    natsSubscription *old = o->sub;
    natsConnection *old_nc = o->nc;
    char subject[REPLY_BYTES];
    char inbox[INBOX_BYTES];
    if (natsInbox_Create(&made) != NATS_OK)
        return;
    snprintf(inbox, sizeof(inbox), "%s", made);
    natsInbox_Destroy(made);
    snprintf(subject, sizeof(subject), "%s.*", inbox);
    if (natsConnection_SubscribeSync(&sub, nc, subject) != NATS_OK)
        return;
    if (natsSubscription_SetPendingLimits(sub, -1, -1) != NATS_OK) {
        bus_bury(o->bus, nc, sub);
        return;
    }
    o->sub = sub;
    o->busy = false;
    pthread_mutex_lock(&o->mutex);
    snprintf(o->inbox, sizeof(o->inbox), "%s", inbox);
    o->nc = nc;
    pthread_mutex_unlock(&o->mutex);
    if (old)
        bus_bury(o->bus, old_nc, old);
}

static bool stopping(struct bus_outbox *o)
{
    pthread_mutex_lock(&o->mutex);
    bool stop = o->stop;
    pthread_mutex_unlock(&o->mutex);
    return stop;
}

static void *outbox_main(void *closure)
{
    struct bus_outbox *o = closure;
    while (!stopping(o)) {
        natsMsg *msg = NULL;
        natsConnection *up = bus_link_up(o->bus);
        if (up && up != o->nc) /* only this thread writes it */
            resubscribe(o, up);
        natsStatus status =
            o->sub ? bus_poll(o->sub, &o->busy, SWEEP_EVERY_MS, &msg) : NATS_NOT_YET_CONNECTED;
        if (status == NATS_OK) {
            take_answer(o, msg);
            natsMsg_Destroy(msg);
        } else if (status == NATS_NO_RESPONDERS) {
            o->nobody_ms = bus_now_ms(); /* nats.c does not say of which message */
        } else if (status != NATS_TIMEOUT) {
            bus_sleep_ms(DOWN_STEP_MS);
        }
        if (status != NATS_OK && bus_now_ms() - o->swept_ms >= SWEEP_EVERY_MS)
            sweep(o);
    }
    return NULL;
}

/* ---- the caller's side ---- */

struct bus_outbox *bus_outbox_new(struct bus *bus, size_t outbox_max, bus_stored_fn *done,
                                  void *closure)
{
    if (outbox_max == 0 || outbox_max > OUTBOX_MAX)
        return NULL;
    struct bus_outbox *o = calloc(1, sizeof(*o));
    struct slot *slots = calloc(outbox_max, sizeof(*slots));
    if (!o || !slots) {
        free(o);
        free(slots);
        return NULL;
    }
    o->bus = bus;
    o->done = done;
    o->closure = closure;
    o->max = outbox_max;
    o->slots = slots;
    o->free_head = 1;
    for (uint32_t i = 0; i + 1 < outbox_max; i++)
        slots[i].next = i + 2;
    pthread_mutex_init(&o->mutex, NULL);
    bus_cond_init(&o->changed);
    natsConnection *up = bus_link_up(bus);
    if (up)
        resubscribe(o, up);
    if (pthread_create(&o->thread, NULL, outbox_main, o) != 0) {
        bus_bury(bus, o->nc, o->sub);
        pthread_cond_destroy(&o->changed);
        pthread_mutex_destroy(&o->mutex);
        free(slots);
        free(o);
        return NULL;
    }
    return o;
}

/* Takes a free slot and writes the subject its answer is to come on. */
static enum bus_status slot_take(struct bus_outbox *o, natsConnection *nc, uint64_t tag,
                                 uint32_t *index, uint32_t *generation, char reply[REPLY_BYTES])
{
    enum bus_status status = BUS_OK;
    pthread_mutex_lock(&o->mutex);
    if (o->nc != nc) {
        status = BUS_DISCONNECTED; /* the inbox is not subscribed there yet */
    } else if (!o->free_head) {
        status = BUS_FULL;
    } else {
        struct slot *slot = &o->slots[o->free_head - 1];
        *index = o->free_head - 1;
        *generation = slot->generation;
        o->free_head = slot->next;
        slot->tag = tag;
        slot->connects = bus_connects(o->bus);
        slot->sent_ms = bus_now_ms();
        slot->waiting = true;
        o->pending++;
        snprintf(reply, REPLY_BYTES, "%s.%x-%x", o->inbox, (unsigned)*index, (unsigned)*generation);
    }
    pthread_mutex_unlock(&o->mutex);
    return status;
}

/* Gives back a slot whose message was not sent; false where `done` has been called meanwhile. */
static bool slot_return(struct bus_outbox *o, uint32_t index, uint32_t generation)
{
    pthread_mutex_lock(&o->mutex);
    struct slot *slot = &o->slots[index];
    bool ours = slot->waiting && slot->generation == generation;
    if (ours) {
        slot->waiting = false;
        slot->generation++;
        slot->next = o->free_head;
        o->free_head = index + 1;
        if (--o->pending == 0)
            pthread_cond_broadcast(&o->changed);
    }
    pthread_mutex_unlock(&o->mutex);
    return ours;
}

enum bus_status bus_outbox_store(struct bus_outbox *o, const struct bus_store *what, uint64_t tag)
{
    char reply[REPLY_BYTES];
    uint32_t index = 0;
    uint32_t generation = 0;
    natsMsg *msg = NULL;
    natsConnection *nc = bus_link_up(o->bus);
    if (!nc)
        return BUS_DISCONNECTED;
    enum bus_status status = slot_take(o, nc, tag, &index, &generation, reply);
    if (status != BUS_OK)
        return status;
    status = bus_store_msg(what, reply, &msg, NULL);
    if (status == BUS_OK)
        status = bus_status_of(natsConnection_PublishMsg(nc, msg));
    natsMsg_Destroy(msg);
    if (status != BUS_OK && !slot_return(o, index, generation))
        return BUS_OK;
    return status;
}

size_t bus_outbox_pending(const struct bus_outbox *outbox)
{
    struct bus_outbox *o = (struct bus_outbox *)outbox; /* for its lock */
    pthread_mutex_lock(&o->mutex);
    size_t pending = o->pending;
    pthread_mutex_unlock(&o->mutex);
    return pending;
}

bool bus_outbox_flush(struct bus_outbox *o, int timeout_ms)
{
    int64_t until_ms = bus_now_ms() + timeout_ms;
    pthread_mutex_lock(&o->mutex);
    while (o->pending > 0 && bus_now_ms() < until_ms)
        bus_cond_wait_until(&o->changed, &o->mutex, until_ms);
    bool empty = o->pending == 0;
    pthread_mutex_unlock(&o->mutex);
    return empty;
}

void bus_outbox_free(struct bus_outbox *o)
{
    if (!o)
        return;
    pthread_mutex_lock(&o->mutex);
    o->stop = true;
    pthread_mutex_unlock(&o->mutex);
    pthread_join(o->thread, NULL);
    for (uint32_t i = 0; i < o->max; i++)
        finish(o, i, o->slots[i].generation, BUS_DISCONNECTED, 0);
    bus_bury(o->bus, o->nc, o->sub);
    pthread_cond_destroy(&o->changed);
    pthread_mutex_destroy(&o->mutex);
    free(o->slots);
    free(o);
}
