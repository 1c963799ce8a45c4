/* What a consumer hands out, and the watch over it: nothing here is trusted to arrive. */
#include "hub/bus_ack.h"
#include "hub/bus_api.h"
#include "hub/bus_consumer.h"
#include "hub/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SILENCE_MAX_MS = 3500, /* without even a heartbeat: the consumer is gone */
    WATCH_EVERY_MS = 5000, /* how often an idle consumer is compared with its stream */
    LOOK_EVERY_MS = 250,   /* how often bus_caught_up asks */
    WAIT_STEP_MS = 250,    /* a waiting consumer looks about this often */
    DOWN_STEP_MS = 50,
    COMPLAIN_EVERY_MS = 10000,
};

/* ---- messages ---- */

const char *bus_msg_header(const struct bus_msg *msg, const char *name)
{
    const char *value = NULL;
    if (!msg->impl || natsMsgHeader_Get(msg->impl, name, &value) != NATS_OK)
        return NULL;
    return value;
}

void bus_msg_done(struct bus_msg *msg)
{
    if (!msg || !msg->impl)
        return;
    natsMsg_Destroy(msg->impl);
    msg->impl = NULL;
}

/* A heartbeat or a flow control request: what has no acknowledgement subject. */
static void take_control(struct bus_consumer *c, natsMsg *msg)
{
    const char *reply = natsMsg_GetReply(msg);
    const char *status = NULL;
    const char *stalled = NULL;
    const char *last = NULL;
    if (natsMsgHeader_Get(msg, "Status", &status) != NATS_OK || strcmp(status, "100") != 0) {
        bus_lose(c, status ? status : "not a JetStream message");
        return;
    }
    if (reply && *reply) { /* flow control: all before it has been taken, let it go on */
        natsConnection_Publish(c->nc, reply, "", 0);
        return;
    }
    if (natsMsgHeader_Get(msg, "Nats-Consumer-Stalled", &stalled) == NATS_OK)
        natsConnection_Publish(c->nc, stalled, "", 0);
    if (natsMsgHeader_Get(msg, "Nats-Last-Consumer", &last) == NATS_OK &&
        strtoull(last, NULL, 10) != c->consumer_seq)
        bus_lose(c, "messages were lost before a heartbeat");
}

/* True when `out` was filled; the message belongs to it then. */
static bool take_data(struct bus_consumer *c, natsMsg *msg, struct bus_msg *out)
{
    struct bus_ack ack;
    if (!bus_ack_parse(natsMsg_GetReply(msg), &ack)) {
        take_control(c, msg);
        return false;
    }
    if (ack.consumer_seq != c->consumer_seq + 1 || ack.stream_seq <= c->last_seq) {
        bus_lose(c, "messages were lost");
        return false;
    }
    const char *data = natsMsg_GetData(msg);
    int size = natsMsg_GetDataLength(msg);
    *out = (struct bus_msg){
        .subject = natsMsg_GetSubject(msg),
        .data = data ? data : "",
        .size = size > 0 ? (size_t)size : 0,
        .stream_seq = ack.stream_seq,
        .received_ns = ack.received_ns,
        .pending = ack.pending,
        .impl = msg,
    };
    c->consumer_seq = ack.consumer_seq;
    c->last_seq = c->covered_seq = ack.stream_seq;
    c->last_time_ns = ack.received_ns;
    c->from = BUS_FROM_SEQ;
    c->caught_up = ack.pending == 0;
    c->data_heard = true;
    return true;
}

/* ---- the watch ---- */

/* Asks the server whether all has been delivered: true and *all, or false for no answer. `gone`:
 * the consumer no longer exists. */
static bool ask_delivered(struct bus_consumer *c, bool *all, bool *gone)
{
    char call[BUS_API_SUBJECT_BYTES];
    json_t *reply = NULL;
    struct bus_stream_info info;
    struct bus_error error;
    *gone = false;
    if (!c->filter[0]) { /* the stream's own word; a consumer's count of pending may drift */
        enum bus_status status = bus_stream_info(c->bus, c->stream, &info, &error);
        *gone = status == BUS_NOT_FOUND || (status == BUS_OK && info.created_ns != c->epoch_ns);
        *all = info.last_seq <= c->covered_seq;
        return status == BUS_OK && !*gone;
    }
    snprintf(call, sizeof(call), "CONSUMER.INFO.%s.%s", c->stream, c->name);
    enum bus_status status = bus_api(c->bus, call, NULL, &reply, &error);
    *gone = status == BUS_NOT_FOUND;
    if (status != BUS_OK)
        return false;
    const json_t *delivered = json_object_get(reply, "delivered");
    *all =
        json_integer_value(json_object_get(reply, "num_pending")) <= 0 &&
        (uint64_t)json_integer_value(json_object_get(delivered, "consumer_seq")) <= c->consumer_seq;
    json_decref(reply);
    return true;
}

/* Nothing is at hand: is the consumer still what it was? */
static void watch(struct bus_consumer *c)
{
    int64_t now_ms = bus_now_ms();
    if (c->heard) {
        c->heard = false;
        c->heard_ms = now_ms;
    }
    if (c->data_heard) {
        c->data_heard = false;
        c->data_ms = now_ms;
    }
    if (bus_connects(c->bus) != c->connects) {
        bus_lose(c, "connected anew");
        return;
    }
    if (now_ms - c->heard_ms > SILENCE_MAX_MS) {
        bus_lose(c, "no heartbeats");
        return;
    }
    if (now_ms - c->data_ms < WATCH_EVERY_MS || now_ms - c->watched_ms < WATCH_EVERY_MS)
        return;
    bool all = false;
    bool gone = false;
    bool answered = ask_delivered(c, &all, &gone);
    c->watched_ms = bus_now_ms();
    if (gone) {
        bus_lose(c, "the consumer is gone");
    } else if (answered && !all) {
        /* it may be on its way, so one more look for it */
        int msgs = 0;
        bus_sleep_ms(DOWN_STEP_MS);
        if (natsSubscription_GetPending(c->sub, &msgs, NULL) != NATS_OK || msgs == 0)
            bus_lose(c, "the stream has more");
    } else if (answered) {
        c->caught_up = true;
    }
}

bool bus_caught_up(struct bus_consumer *c)
{
    int msgs = 0;
    if (c->epoch_over || !c->sub || bus_connects(c->bus) != c->connects || !bus_connected(c->bus))
        return false;
    if (c->caught_up)
        return true;
    int64_t now_ms = bus_now_ms();
    if (natsSubscription_GetPending(c->sub, &msgs, NULL) != NATS_OK || msgs > 0 ||
        now_ms - c->looked_ms < LOOK_EVERY_MS)
        return false;
    bool all = false;
    bool gone = false;
    c->caught_up = ask_delivered(c, &all, &gone) && all;
    c->looked_ms = bus_now_ms();
    return c->caught_up;
}

/* ---- the next one ---- */

static void complain(struct bus_consumer *c, const struct bus_error *error)
{
    int64_t now_ms = bus_now_ms();
    if (c->complained_ms && now_ms - c->complained_ms < COMPLAIN_EVERY_MS)
        return;
    c->complained_ms = now_ms;
    log_warn("bus.subscribe_failed", "stream", c->stream, "error", error->text);
}

/* One attempt to have a consumer again; waits a little where it is not yet time for one. */
static enum bus_status recover(struct bus_consumer *c, int64_t until_ms)
{
    struct bus_error error = {""};
    int64_t now_ms = bus_now_ms();
    if (!bus_connected(c->bus) || now_ms < c->attach_after_ms) {
        int64_t step_ms = until_ms - now_ms;
        bus_sleep_ms(step_ms < DOWN_STEP_MS ? step_ms : DOWN_STEP_MS);
        return BUS_DISCONNECTED;
    }
    enum bus_status status = bus_attach(c, NULL, &error);
    if (status == BUS_OK)
        return BUS_OK;
    if (status == BUS_EPOCH) {
        c->epoch_over = true;
        log_warn("bus.epoch", "stream", c->stream, "error", error.text);
        return BUS_EPOCH;
    }
    if (status != BUS_DISCONNECTED)
        complain(c, &error);
    return BUS_DISCONNECTED;
}

enum bus_status bus_next(struct bus_consumer *c, int timeout_ms, struct bus_msg *out)
{
    natsMsg *msg = NULL;
    int64_t until_ms = 0; /* the clock is read only where there is no message */
    for (;;) {
        if (c->epoch_over)
            return BUS_EPOCH;
        if (c->sub) {
            int64_t wait_ms = 0;
            if (until_ms) {
                wait_ms = until_ms - bus_now_ms();
                wait_ms = wait_ms > WAIT_STEP_MS ? WAIT_STEP_MS : wait_ms;
            }
            natsStatus status = bus_poll(c->sub, &c->busy, wait_ms, &msg);
            if (status == NATS_OK) {
                c->heard = true;
                if (take_data(c, msg, out))
                    return BUS_OK;
                natsMsg_Destroy(msg);
                continue;
            }
            if (status != NATS_TIMEOUT)
                bus_lose(c, natsStatus_GetText(status));
            else
                watch(c);
        }
        int64_t now_ms = bus_now_ms();
        if (!until_ms)
            until_ms = now_ms + (timeout_ms > 0 ? timeout_ms : 0);
        bool over = now_ms >= until_ms;
        if (c->sub && over)
            return bus_connected(c->bus) ? BUS_TIMEOUT : BUS_DISCONNECTED;
        if (!c->sub && recover(c, until_ms) == BUS_DISCONNECTED && over)
            return BUS_DISCONNECTED;
    }
}
