/*
 * Reading a stream in order. The server's side is an ephemeral push consumer without
 * acknowledgements, with flow control and heartbeats; this side counts. Whatever breaks the count,
 * the silence or the connection ends in the same place: a new consumer on a new inbox, from the
 * sequence after the last one handed out. A new inbox, so that nothing of an old consumer can
 * arrive late; the server drops a consumer nobody listens to after five seconds.
 */
#include "hub/bus_consumer.h"

#include "hub/bus_api.h"
#include "hub/log.h"
#include "twin/timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEARTBEAT_MS = 1000,
    ATTACH_EVERY_MS = 250,
    INBOX_BYTES = 128,
    EPOCH_SURE_MS = 3000, /* a new leader has stored what it knows by then */
    EPOCH_STEP_MS = 50,
};

/* ---- the consumer on the server ---- */

void bus_detach(struct bus_consumer *c)
{
    if (!bus_attached(c))
        return;
    natsConnection *nc = c->line ? bus_link_up(c->bus) : c->nc;
    if (nc && natsConnection_Status(nc) == NATS_CONN_STATUS_CONNECTED) {
        char subject[BUS_API_SUBJECT_BYTES];
        snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.DELETE.%s.%s", c->stream, c->name);
        natsConnection_Publish(nc, subject, "", 0); /* a courtesy: it would expire */
    }
    if (c->sub)
        bus_bury(c->bus, c->nc, c->sub);
    bus_line_close(c->line);
    c->line = NULL;
    c->sub = NULL;
    c->caught_up = false;
}

void bus_lose(struct bus_consumer *c, const char *why)
{
    log_info("bus.resubscribe", "stream", c->stream, "why", why, "after_seq",
             LOG_INT((int64_t)c->last_seq));
    bus_detach(c);
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

/* The same, and sure of it. Who has just become the leader of a replicated stream may not have
 * stored yet all that it has in its log: for a moment the stream ends before what was read already,
 * and has lost nothing. */
static enum bus_status epoch_sure(struct bus_consumer *c, struct bus_stream_info *info,
                                  struct bus_error *error)
{
    int64_t until_ms = bus_now_ms() + EPOCH_SURE_MS;
    enum bus_status status = epoch_check(c, info, error);
    while (status == BUS_EPOCH && info->replicas > 1 && bus_now_ms() < until_ms &&
           (c->epoch_ns == 0 || info->created_ns == c->epoch_ns)) {
        bus_sleep_ms(EPOCH_STEP_MS);
        status = bus_stream_info(c->bus, c->stream, info, error);
        if (status == BUS_OK)
            status = epoch_check(c, info, error);
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
    } else if (c->from == BUS_FROM_TIME) {
        char time[TIMESTAMP_TEXT_BYTES];
        timestamp_format(c->time_ns, time);
        json_object_set_new(config, "deliver_policy", json_string("by_start_time"));
        json_object_set_new(config, "opt_start_time", json_string(time));
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

/* A subject of our own for the deliveries, and a name for the consumer. */
static natsStatus make_inbox(struct bus_consumer *c, char inbox[INBOX_BYTES])
{
    natsInbox *made = NULL;
    natsStatus status = natsInbox_Create(&made);
    if (status != NATS_OK)
        return status;
    const char *unique = strrchr(made, '.');
    snprintf(inbox, INBOX_BYTES, "%s", made);
    snprintf(c->name, sizeof(c->name), "fleethub_%s", unique ? unique + 1 : made);
    natsInbox_Destroy(made);
    return NATS_OK;
}

static enum bus_status subscribe(struct bus_consumer *c, natsConnection *nc,
                                 char inbox[INBOX_BYTES], struct bus_error *error)
{
    natsSubscription *sub = NULL;
    natsStatus status = make_inbox(c, inbox);
    if (status == NATS_OK && c->own_line && bus_line_possible(c->bus))
        return bus_line_open(c->bus, inbox, &c->line, error);
    if (status == NATS_OK)
        status = natsConnection_SubscribeSync(&sub, nc, inbox);
    /* nothing may be dropped here; flow control bounds what is under way */
    if (status == NATS_OK)
        status = natsSubscription_SetPendingLimits(sub, -1, -1);
    if (status != NATS_OK) {
        bus_error_set(error, "%s: %s", c->stream, natsStatus_GetText(status));
        bus_bury(c->bus, nc, sub);
        return bus_status_of(status);
    }
    c->nc = nc;
    c->sub = sub;
    return BUS_OK;
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

enum bus_status bus_attach(struct bus_consumer *c, struct bus_stream_info *info,
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
    if (status != BUS_OK)
        return status;
    status = epoch_sure(c, &before, error);
    if (info)
        *info = before;
    if (status != BUS_OK)
        return status;
    if (c->from == BUS_FROM_NEW) {
        c->last_seq = c->covered_seq = before.last_seq;
        c->from = BUS_FROM_SEQ;
    }
    status = subscribe(c, nc, inbox, error);
    if (status != BUS_OK)
        return status;
    status = consumer_create(c, inbox, before.subject, &behind, error);
    /* once more: between the two the stream may have been made anew */
    if (status == BUS_OK)
        status = bus_stream_info(c->bus, c->stream, &after, error);
    if (status == BUS_OK && after.created_ns != before.created_ns) {
        bus_error_set(error, "%s: the stream was created anew", c->stream);
        status = BUS_EPOCH;
        if (info)
            *info = after;
    }
    if (status != BUS_OK) {
        bus_detach(c);
        return status;
    }
    c->epoch_ns = before.created_ns;
    attached(c, behind, before.last_seq);
    return BUS_OK;
}

/* ---- opening and closing ---- */

enum bus_status bus_consume(struct bus *bus, const struct bus_consume *what,
                            struct bus_consumer **out, struct bus_stream_info *info,
                            struct bus_error *error)
{
    const char *filter = what->filter ? what->filter : "";
    if (strlen(what->stream) >= BUS_STREAM_NAME_BYTES || strlen(filter) >= BUS_FILTER_BYTES) {
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
    c->own_line = what->own_line;
    c->from = what->from;
    c->time_ns = what->time_ns;
    c->epoch_ns = what->epoch_ns;
    if (what->from == BUS_FROM_SEQ && what->seq > 1) {
        c->last_seq = c->covered_seq = what->seq - 1;
        c->last_time_ns = what->before_received_ns;
    }
    enum bus_status status = bus_attach(c, info, error);
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
    bus_detach(c);
    free(c);
}
