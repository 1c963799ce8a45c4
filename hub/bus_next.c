/* What a consumer hands out, and the watch over it: nothing here is trusted to arrive. */
#include "hub/bus_ack.h"
#include "hub/bus_api.h"
#include "hub/bus_consumer.h"
#include "hub/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SILENCE_MAX_MS = 3500, /* without even a heartbeat: the consumer is gone */
    WATCH_EVERY_MS = 5000, /* how often an idle consumer is compared with its stream */
    LOOK_EVERY_MS = 250,   /* how often bus_caught_up asks */
    WAIT_STEP_MS = 250,    /* a waiting consumer looks about this often */
    DOWN_STEP_MS = 50,
    COMPLAIN_EVERY_MS = 10000,
    LINE_NAP_US = 250,
};

/* ---- messages ---- */

const char *bus_msg_header(const struct bus_msg *msg, const char *name)
{
    const char *value = NULL;
    if (msg->headers)
        return wire_header(msg->headers, msg->headers_bytes, name);
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

/* What came, from wherever: the fields of a message that need no acknowledgement to be read. */
struct arrival {
    struct bus_msg msg;
    const char *reply, *status; /* NULL: none */
};

static struct arrival arrival_of_msg(natsMsg *msg)
{
    struct arrival arrival = {.msg = {.impl = msg}, .reply = natsMsg_GetReply(msg)};
    const char *data = natsMsg_GetData(msg);
    int size = natsMsg_GetDataLength(msg);
    arrival.msg.subject = natsMsg_GetSubject(msg);
    arrival.msg.data = data ? data : "";
    arrival.msg.size = size > 0 ? (size_t)size : 0;
    return arrival;
}

static struct arrival arrival_of_frame(const struct wire_frame *frame)
{
    return (struct arrival){
        .msg = {.subject = frame->subject,
                .data = frame->data,
                .size = frame->size,
                .headers = frame->headers,
                .headers_bytes = frame->headers_bytes},
        .reply = frame->reply,
        .status = frame->status[0] ? frame->status : NULL,
    };
}

static void answer(struct bus_consumer *c, const char *subject)
{
    if (c->line)
        bus_line_answer(c->line, subject);
    else
        natsConnection_Publish(c->nc, subject, "", 0);
}

/* A heartbeat or a flow control request: what has no acknowledgement subject. */
static void take_control(struct bus_consumer *c, const struct arrival *arrival)
{
    const char *status = arrival->status;
    if (arrival->msg.impl)
        status = bus_msg_header(&arrival->msg, "Status");
    if (!status || strcmp(status, "100") != 0) {
        bus_lose(c, status ? status : "not a JetStream message");
        return;
    }
    if (arrival->reply && *arrival->reply) {
        /* flow control: all before it has been taken, let it go on */
        answer(c, arrival->reply);
        return;
    }
    const char *stalled = bus_msg_header(&arrival->msg, "Nats-Consumer-Stalled");
    const char *last = bus_msg_header(&arrival->msg, "Nats-Last-Consumer");
    if (stalled)
        answer(c, stalled);
    if (last && strtoull(last, NULL, 10) != c->consumer_seq)
        bus_lose(c, "messages were lost before a heartbeat");
}

/* True when `out` was filled; the message belongs to it then. */
static bool take_data(struct bus_consumer *c, const struct arrival *arrival, struct bus_msg *out)
{
    struct bus_ack ack;
    if (!bus_ack_parse(arrival->reply, &ack)) {
        take_control(c, arrival);
        return false;
    }
    if (ack.consumer_seq != c->consumer_seq + 1 || ack.stream_seq <= c->last_seq) {
        bus_lose(c, "messages were lost");
        return false;
    }
    *out = arrival->msg;
    out->stream_seq = ack.stream_seq;
    out->received_ns = ack.received_ns;
    out->pending = ack.pending;
    c->consumer_seq = ack.consumer_seq;
    c->last_seq = c->covered_seq = ack.stream_seq;
    c->last_time_ns = ack.received_ns;
    c->from = BUS_FROM_SEQ;
    c->caught_up = ack.pending == 0;
    c->data_heard = true;
    return true;
}

/* ---- where they come from ---- */

enum fetched { FETCHED_NOTHING, FETCHED_CONTROL, FETCHED_DATA };

static enum fetched fetch_msg(struct bus_consumer *c, int64_t wait_ms, struct bus_msg *out)
{
    natsMsg *msg = NULL;
    natsStatus status = bus_poll(c->sub, &c->busy, wait_ms, &msg);
    if (status != NATS_OK) {
        if (status != NATS_TIMEOUT)
            bus_lose(c, natsStatus_GetText(status));
        return FETCHED_NOTHING;
    }
    struct arrival arrival = arrival_of_msg(msg);
    if (take_data(c, &arrival, out))
        return FETCHED_DATA;
    natsMsg_Destroy(msg);
    return FETCHED_CONTROL;
}

static enum fetched fetch_frame(struct bus_consumer *c, int64_t wait_ms, struct bus_msg *out)
{
    struct wire_frame frame;
    bus_line_next(c->line, &frame);
    if (frame.kind == WIRE_MORE && wait_ms > 0) {
        if (c->busy) { /* more is on its way, and comes cheaper together */
            struct timespec nap = {.tv_nsec = LINE_NAP_US * 1000};
            nanosleep(&nap, NULL);
        } else {
            bus_line_wait(c->line, wait_ms);
        }
        bus_line_next(c->line, &frame);
    }
    c->busy = frame.kind == WIRE_MSG;
    if (frame.kind == WIRE_ERR)
        bus_lose(c, frame.text);
    if (frame.kind != WIRE_MSG)
        return FETCHED_NOTHING;
    struct arrival arrival = arrival_of_frame(&frame);
    return take_data(c, &arrival, out) ? FETCHED_DATA : FETCHED_CONTROL;
}

/* Whether a message is at hand. */
static bool at_hand(struct bus_consumer *c)
{
    int msgs = 0;
    if (c->line)
        return bus_line_at_hand(c->line);
    return natsSubscription_GetPending(c->sub, &msgs, NULL) == NATS_OK && msgs > 0;
}

bool bus_at_hand(struct bus_consumer *c)
{
    return !c->epoch_over && bus_attached(c) && at_hand(c);
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
        bus_sleep_ms(DOWN_STEP_MS);
        if (!at_hand(c))
            bus_lose(c, "the stream has more");
    } else if (answered) {
        c->caught_up = true;
    }
}

static bool may_ask(struct bus_consumer *c)
{
    return !c->epoch_over && bus_attached(c) && bus_connects(c->bus) == c->connects &&
           bus_connected(c->bus);
}

bool bus_caught_up_now(struct bus_consumer *c)
{
    bool all = false, gone = false;
    return may_ask(c) && !at_hand(c) && ask_delivered(c, &all, &gone) && all;
}

bool bus_caught_up(struct bus_consumer *c)
{
    if (!may_ask(c))
        return false;
    if (c->caught_up)
        return true;
    int64_t now_ms = bus_now_ms();
    if (at_hand(c) || now_ms - c->looked_ms < LOOK_EVERY_MS)
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
    int64_t until_ms = 0; /* the clock is read only where there is no message */
    for (;;) {
        if (c->epoch_over)
            return BUS_EPOCH;
        if (bus_attached(c)) {
            int64_t wait_ms = 0;
            if (until_ms) {
                wait_ms = until_ms - bus_now_ms();
                wait_ms = wait_ms > WAIT_STEP_MS ? WAIT_STEP_MS : wait_ms;
            }
            enum fetched fetched =
                c->line ? fetch_frame(c, wait_ms, out) : fetch_msg(c, wait_ms, out);
            if (fetched != FETCHED_NOTHING)
                c->heard = true;
            if (fetched == FETCHED_DATA)
                return BUS_OK;
            if (fetched == FETCHED_CONTROL)
                continue;
            if (bus_attached(c))
                watch(c);
        }
        int64_t now_ms = bus_now_ms();
        if (!until_ms)
            until_ms = now_ms + (timeout_ms > 0 ? timeout_ms : 0);
        bool over = now_ms >= until_ms;
        if (bus_attached(c) && over)
            return bus_connected(c->bus) ? BUS_TIMEOUT : BUS_DISCONNECTED;
        if (!bus_attached(c) && recover(c, until_ms) == BUS_DISCONNECTED && over)
            return BUS_DISCONNECTED;
    }
}
