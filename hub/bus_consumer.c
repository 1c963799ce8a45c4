/*
 * Reading a stream in order. The server's side is an ephemeral push consumer without
 * acknowledgements, with flow control and heartbeats; this side counts. Whatever breaks the count,
 * the silence or the connection ends in the same place: a new consumer on a new inbox, from the
 * sequence after the last one handed out. A new inbox, so that nothing of an old consumer can
 * arrive late; the server drops a consumer nobody listens to after five seconds.
 */
#include "hub/bus_ack.h"
#include "hub/bus_api.h"
#include "hub/bus_impl.h"
#include "hub/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEARTBEAT_MS = 1000,
    SILENCE_MAX_MS = 3500, /* without even a heartbeat: the consumer is gone */
    WATCH_EVERY_MS = 5000, /* how often an idle consumer is compared with its stream */
    LOOK_EVERY_MS = 250,   /* how often bus_caught_up asks */
    ATTACH_EVERY_MS = 250,
    WAIT_STEP_MS = 250, /* a waiting consumer looks about this often */
    DOWN_STEP_MS = 50,
    COMPLAIN_EVERY_MS = 10000,
    STREAM_NAME_BYTES = 128,
    CONSUMER_NAME_BYTES = 64,
    INBOX_BYTES = 128,
    FILTER_BYTES = 256,
};

struct bus_consumer {
    struct bus *bus;
    char stream[STREAM_NAME_BYTES];
    char filter[FILTER_BYTES]; /* "" for all */
    bool headers_only;
    enum bus_from from; /* BUS_FROM_SEQ as soon as there is a position */

    /* the position: it outlives every consumer on the server */
    int64_t epoch_ns;
    uint64_t last_seq;    /* handed out last, or what the caller began behind */
    int64_t last_time_ns; /* the broker's time of it, 0 where not known */
    uint64_t covered_seq; /* all that the stream held up to here has been handed out */
    bool epoch_over;

    /* the consumer on the server; sub NULL: none now */
    natsConnection *nc;
    natsSubscription *sub;
    char name[CONSUMER_NAME_BYTES];
    uint64_t connects;     /* of the bus, when it was made */
    uint64_t consumer_seq; /* of its last message */
    bool caught_up;        /* nothing was behind the last message handed out */

    bool busy;  /* bus_poll's */
    bool heard; /* something came since heard_ms */
    bool data_heard;
    int64_t heard_ms, data_ms, watched_ms, looked_ms, attach_after_ms, complained_ms;
};

/* ---- the consumer on the server ---- */

static void detach(struct bus_consumer *c)
{
    if (!c->sub)
        return;
    if (natsConnection_Status(c->nc) == NATS_CONN_STATUS_CONNECTED) {
        char subject[BUS_API_SUBJECT_BYTES];
        snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.DELETE.%s.%s", c->stream, c->name);
        natsConnection_Publish(c->nc, subject, "", 0); /* a courtesy: it would expire */
    }
    bus_bury(c->bus, c->nc, c->sub);
    c->sub = NULL;
    c->caught_up = false;
}

static void lose(struct bus_consumer *c, const char *why)
{
    log_info("bus.resubscribe", "stream", c->stream, "why", why, "after_seq",
             LOG_INT((int64_t)c->last_seq));
    detach(c);
}

/* Is the stream still the one that our position belongs to? */
static enum bus_status epoch_check(struct bus_consumer *c, const struct bus_stream_info *info,
                                   struct bus_error *error)
{
    if (c->epoch_ns && info->created_ns != c->epoch_ns) {
        bus_error_set(error, "%s: the stream was created anew", c->stream);
        return BUS_EPOCH;
    }
    if (c->last_seq > info->last_seq) {
        bus_error_set(error, "%s: the stream ends at %llu, before %llu", c->stream,
                      (unsigned long long)info->last_seq, (unsigned long long)c->last_seq);
        return BUS_EPOCH;
    }
    if (c->last_time_ns == 0 || c->last_seq < info->first_seq)
        return BUS_OK;
    int64_t time_ns = 0;
    enum bus_status status = bus_api_msg_time(c->bus, c->stream, c->last_seq, &time_ns, error);
    if (status == BUS_NOT_FOUND)
        return BUS_OK; /* expired or superseded; nothing to compare */
    if (status == BUS_OK && time_ns != c->last_time_ns) {
        bus_error_set(error, "%s: message %llu is another one: the stream lost its tail", c->stream,
                      (unsigned long long)c->last_seq);
        return BUS_EPOCH;
    }
    return status;
}

static json_t *consumer_config(const struct bus_consumer *c, const char *inbox,
                               const char *stream_subject)
{
    json_t *config = json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:i, s:b, s:i, s:b}", "name",
                               c->name, "deliver_subject", inbox, "ack_policy", "none",
                               "replay_policy", "instant", "flow_control", 1, "idle_heartbeat",
                               (json_int_t)HEARTBEAT_MS * 1000000, "max_deliver", 1, "mem_storage",
                               1, "num_replicas", 1, "headers_only", c->headers_only);
    const char *filter = c->filter[0] ? c->filter : NULL;
    if (!config)
        return NULL;
    if (c->from == BUS_FROM_LAST_PER) {
        json_object_set_new(config, "deliver_policy", json_string("last_per_subject"));
        if (!filter)
            filter = stream_subject; /* this policy wants one */
    } else if (c->last_seq == 0) {
        json_object_set_new(config, "deliver_policy", json_string("all"));
    } else {
        json_object_set_new(config, "deliver_policy", json_string("by_start_sequence"));
        json_object_set_new(config, "opt_start_seq", json_integer((json_int_t)c->last_seq + 1));
    }
    if (filter)
        json_object_set_new(config, "filter_subject", json_string(filter));
    return config;
}

/* Creates it on the server; *behind is what it has to deliver. */
static enum bus_status consumer_create(struct bus_consumer *c, const char *inbox,
                                       const char *stream_subject, uint64_t *behind,
                                       struct bus_error *error)
{
    char call[BUS_API_SUBJECT_BYTES];
    json_t *reply = NULL;
    json_t *config = consumer_config(c, inbox, stream_subject);
    const char *filter = json_string_value(json_object_get(config, "filter_subject"));
    snprintf(call, sizeof(call), "CONSUMER.CREATE.%s.%s%s%s", c->stream, c->name, filter ? "." : "",
             filter ? filter : "");
    json_t *request = json_pack("{s:s, s:o}", "stream_name", c->stream, "config", config);
    if (!request) {
        bus_error_set(error, "out of memory");
        return BUS_ERROR;
    }
    enum bus_status status = bus_api(c->bus, call, request, &reply, error);
    if (status == BUS_OK) {
        json_int_t pending = json_integer_value(json_object_get(reply, "num_pending"));
        *behind = pending > 0 ? (uint64_t)pending : 0;
    }
    json_decref(reply);
    return status;
}

static natsStatus subscribe(struct bus_consumer *c, natsConnection *nc, char inbox[INBOX_BYTES])
{
    natsInbox *made = NULL;
    natsSubscription *sub = NULL;
    natsStatus status = natsInbox_Create(&made);
    if (status != NATS_OK)
        return status;
    const char *unique = strrchr(made, '.');
    snprintf(inbox, INBOX_BYTES, "%s", made);
    snprintf(c->name, sizeof(c->name), "fleethub_%s", unique ? unique + 1 : made);
    natsInbox_Destroy(made);
    status = natsConnection_SubscribeSync(&sub, nc, inbox);
    if (status != NATS_OK)
        return status;
    /* nothing may be dropped here; flow control bounds what is under way */
    status = natsSubscription_SetPendingLimits(sub, -1, -1);
    if (status != NATS_OK) {
        bus_bury(c->bus, nc, sub);
        return status;
    }
    c->nc = nc;
    c->sub = sub;
    return NATS_OK;
}

static void attached(struct bus_consumer *c, uint64_t behind, uint64_t stream_last_seq)
{
    int64_t now_ms = bus_now_ms();
    c->consumer_seq = 0;
    c->busy = false;
    c->heard = c->data_heard = false;
    c->heard_ms = c->data_ms = c->watched_ms = now_ms;
    c->caught_up = behind == 0;
    /* what the stream holds no more, or the filter leaves out, will not come: it is behind us */
    if (behind == 0 && stream_last_seq > c->covered_seq)
        c->covered_seq = stream_last_seq;
}

static enum bus_status attach(struct bus_consumer *c, struct bus_stream_info *info,
                              struct bus_error *error)
{
    struct bus_stream_info before;
    struct bus_stream_info after;
    char inbox[INBOX_BYTES];
    uint64_t behind = 0;
    natsConnection *nc = bus_link_up(c->bus);
    c->attach_after_ms = bus_now_ms() + ATTACH_EVERY_MS;
    c->connects = bus_connects(c->bus);
    if (!nc) {
        bus_error_set(error, "not connected");
        return BUS_DISCONNECTED;
    }
    enum bus_status status = bus_stream_info(c->bus, c->stream, &before, error);
    if (status == BUS_OK)
        status = epoch_check(c, &before, error);
    if (status != BUS_OK)
        return status;
    if (c->from == BUS_FROM_NEW) {
        c->last_seq = c->covered_seq = before.last_seq;
        c->from = BUS_FROM_SEQ;
    }
    natsStatus subscribed = subscribe(c, nc, inbox);
    if (subscribed != NATS_OK) {
        bus_error_set(error, "%s: %s", c->stream, natsStatus_GetText(subscribed));
        return bus_status_of(subscribed);
    }
    status = consumer_create(c, inbox, before.subject, &behind, error);
    /* once more: between the two the stream may have been made anew */
    if (status == BUS_OK)
        status = bus_stream_info(c->bus, c->stream, &after, error);
    if (status == BUS_OK && after.created_ns != before.created_ns) {
        bus_error_set(error, "%s: the stream was created anew", c->stream);
        status = BUS_EPOCH;
    }
    if (status != BUS_OK) {
        detach(c);
        return status;
    }
    c->epoch_ns = before.created_ns;
    attached(c, behind, before.last_seq);
    if (info)
        *info = before;
    return BUS_OK;
}

/* ---- opening and closing ---- */

enum bus_status bus_consume(struct bus *bus, const struct bus_consume *what,
                            struct bus_consumer **out, struct bus_stream_info *info,
                            struct bus_error *error)
{
    const char *filter = what->filter ? what->filter : "";
    if (strlen(what->stream) >= STREAM_NAME_BYTES || strlen(filter) >= FILTER_BYTES) {
        bus_error_set(error, "the name of a stream or filter is too long");
        return BUS_ERROR;
    }
    struct bus_consumer *c = calloc(1, sizeof(*c));
    if (!c) {
        bus_error_set(error, "out of memory");
        return BUS_ERROR;
    }
    c->bus = bus;
    snprintf(c->stream, sizeof(c->stream), "%s", what->stream);
    snprintf(c->filter, sizeof(c->filter), "%s", filter);
    c->headers_only = what->headers_only;
    c->from = what->from;
    c->epoch_ns = what->epoch_ns;
    if (what->from == BUS_FROM_SEQ && what->seq > 1) {
        c->last_seq = c->covered_seq = what->seq - 1;
        c->last_time_ns = what->before_received_ns;
    }
    enum bus_status status = attach(c, info, error);
    if (status != BUS_OK) {
        bus_consumer_close(c);
        return status;
    }
    *out = c;
    return BUS_OK;
}

void bus_consumer_close(struct bus_consumer *c)
{
    if (!c)
        return;
    detach(c);
    free(c);
}

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
        lose(c, status ? status : "not a JetStream message");
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
        lose(c, "messages were lost before a heartbeat");
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
        lose(c, "messages were lost");
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
        lose(c, "connected anew");
        return;
    }
    if (now_ms - c->heard_ms > SILENCE_MAX_MS) {
        lose(c, "no heartbeats");
        return;
    }
    if (now_ms - c->data_ms < WATCH_EVERY_MS || now_ms - c->watched_ms < WATCH_EVERY_MS)
        return;
    bool all = false;
    bool gone = false;
    bool answered = ask_delivered(c, &all, &gone);
    c->watched_ms = bus_now_ms();
    if (gone) {
        lose(c, "the consumer is gone");
    } else if (answered && !all) {
        /* it may be on its way, so one more look for it */
        int msgs = 0;
        bus_sleep_ms(DOWN_STEP_MS);
        if (natsSubscription_GetPending(c->sub, &msgs, NULL) != NATS_OK || msgs == 0)
            lose(c, "the stream has more");
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
    enum bus_status status = attach(c, NULL, &error);
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
                lose(c, natsStatus_GetText(status));
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
