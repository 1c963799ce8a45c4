#include "tools/sim_bus.h"

#include "tools/pace.h"
#include "twin/buf.h"
#include "twin/timestamp.h"

#include <jansson.h>
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIM_RECONNECT_WAIT_MS INT64_C(100)
#define SIM_RECONNECT_JITTER_MS INT64_C(100)
#define SIM_PING_INTERVAL_MS INT64_C(5000)
#define SIM_WRITE_DEADLINE_MS INT64_C(10000)
#define SIM_LIBRARY_END_MS INT64_C(2000)
#define SIM_CLOSE_NS (5 * NS_PER_S)
#define SIM_CLOSE_POLL_NS (1 * NS_PER_MS)
#define SIM_CONNECT_POLL_NS (10 * NS_PER_MS)
enum { SIM_PINGS_UNANSWERED_MAX = 2, SIM_RECONNECT_FOREVER = -1 };

struct sim_bus {
    natsOptions *options;
    natsConnection *connection;
    natsSubscription *acks;
    natsInbox *ack_inbox;        /* acknowledgements come to <inbox>.<tag> */
    struct sim_sub *closed_subs; /* destroyed after the connection */
    struct buf reply;            /* scratch */
    atomic_bool connected, closed;
    atomic_uint reconnects;
};

struct sim_sub {
    struct sim_bus *bus;
    struct sim_sub *next; /* in closed_subs */
    natsSubscription *subscription;
};

static void set_error(struct sim_error *error, const char *what, natsStatus status)
{
    snprintf(error->text, sizeof error->text, "%s: %s", what, natsStatus_GetText(status));
}

static void on_disconnected(natsConnection *connection, void *closure)
{
    struct sim_bus *bus = closure;
    (void)connection;
    atomic_store(&bus->connected, false);
}

static void on_reconnected(natsConnection *connection, void *closure)
{
    struct sim_bus *bus = closure;
    (void)connection;
    atomic_fetch_add(&bus->reconnects, 1);
    atomic_store(&bus->connected, true);
}

static void on_connected(natsConnection *connection, void *closure)
{
    struct sim_bus *bus = closure;
    (void)connection;
    atomic_store(&bus->connected, true);
}

/* The last callback of a connection. */
static void on_closed(natsConnection *connection, void *closure)
{
    struct sim_bus *bus = closure;
    (void)connection;
    atomic_store(&bus->closed, true);
}

/* nats.c would print asynchronous errors (a broker that stops, a slow subscription) to stderr. */
static void on_error(natsConnection *connection, natsSubscription *sub, natsStatus status,
                     void *closure)
{
    (void)connection;
    (void)sub;
    (void)status;
    (void)closure;
}

static natsStatus set_servers(natsOptions *options, const char *url)
{
    const char *servers[SIM_SERVERS_MAX];
    int count = 0;
    char *rest, *copy = strdup(url);

    if (!copy)
        return NATS_NO_MEMORY;
    for (char *one = strtok_r(copy, ",", &rest); one && count < SIM_SERVERS_MAX;
         one = strtok_r(NULL, ",", &rest))
        servers[count++] = one;
    natsStatus status = natsOptions_SetServers(options, servers, count);
    free(copy);
    return status;
}

static natsStatus set_options(struct sim_bus *bus, const struct sim_bus_options *given)
{
    natsOptions *o = bus->options;
    natsStatus s = set_servers(o, given->url);

    if (s == NATS_OK)
        s = natsOptions_SetName(o, "fleetsim");
    if (s == NATS_OK)
        s = natsOptions_SetMaxReconnect(o, SIM_RECONNECT_FOREVER);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectWait(o, SIM_RECONNECT_WAIT_MS);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectJitter(o, SIM_RECONNECT_JITTER_MS, SIM_RECONNECT_JITTER_MS);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectBufSize(o, SIM_RECONNECT_BUFFER_BYTES);
    if (s == NATS_OK)
        s = natsOptions_SetPingInterval(o, SIM_PING_INTERVAL_MS);
    if (s == NATS_OK)
        s = natsOptions_SetMaxPingsOut(o, SIM_PINGS_UNANSWERED_MAX);
    if (s == NATS_OK)
        s = natsOptions_SetWriteDeadline(o, SIM_WRITE_DEADLINE_MS);
    if (s == NATS_OK)
        s = natsOptions_SetDisconnectedCB(o, on_disconnected, bus);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectedCB(o, on_reconnected, bus);
    if (s == NATS_OK)
        s = natsOptions_SetClosedCB(o, on_closed, bus);
    if (s == NATS_OK)
        s = natsOptions_SetErrorHandler(o, on_error, NULL);
    if (s == NATS_OK)
        s = natsOptions_SetRetryOnFailedConnect(o, true, on_connected, bus);
    if (s == NATS_OK && given->creds_file)
        s = natsOptions_SetUserCredentialsFromFiles(o, given->creds_file, NULL);
    if (s == NATS_OK && (given->tls_ca_file || given->tls_cert_file))
        s = natsOptions_SetSecure(o, true);
    if (s == NATS_OK && given->tls_ca_file)
        s = natsOptions_LoadCATrustedCertificates(o, given->tls_ca_file);
    if (s == NATS_OK && given->tls_cert_file)
        s = natsOptions_LoadCertificatesChain(o, given->tls_cert_file, given->tls_key_file);
    return s;
}

/* True once connected; false when the time is over or the run was stopped. */
static bool wait_connected(struct sim_bus *bus, const struct sim_bus_options *options)
{
    int64_t deadline_ns = pace_mono_ns() + options->connect_timeout_ms * NS_PER_MS;
    while (!atomic_load(&bus->connected)) {
        bool late = options->connect_timeout_ms > 0 && pace_mono_ns() > deadline_ns;
        if (late || (options->stopped && options->stopped()))
            return false;
        pace_sleep(SIM_CONNECT_POLL_NS);
    }
    return true;
}

static natsStatus open_acks(struct sim_bus *bus)
{
    char subject[128];
    natsStatus s = natsInbox_Create(&bus->ack_inbox);
    if (s != NATS_OK)
        return s;
    snprintf(subject, sizeof subject, "%s.*", bus->ack_inbox);
    s = natsConnection_SubscribeSync(&bus->acks, bus->connection, subject);
    if (s == NATS_OK)
        s = natsSubscription_SetPendingLimits(bus->acks, SIM_PENDING_MESSAGES_MAX,
                                              SIM_PENDING_BYTES_MAX);
    return s;
}

struct sim_bus *sim_bus_open(const struct sim_bus_options *options, struct sim_error *error)
{
    struct sim_bus *bus = calloc(1, sizeof *bus);
    natsStatus s = bus ? natsOptions_Create(&bus->options) : NATS_NO_MEMORY;

    if (s == NATS_OK)
        s = set_options(bus, options);
    if (s == NATS_OK)
        s = natsConnection_Connect(&bus->connection, bus->options);
    if (s == NATS_OK)
        atomic_store(&bus->connected, true);
    if (s == NATS_NOT_YET_CONNECTED)
        s = wait_connected(bus, options) ? NATS_OK : NATS_NO_SERVER;
    if (s == NATS_OK)
        s = open_acks(bus);
    if (s == NATS_OK)
        return bus;
    snprintf(error->text, sizeof error->text, "cannot connect to %s: %s", options->url,
             natsStatus_GetText(s));
    sim_bus_close(bus, 0);
    return NULL;
}

/* Callbacks run on a thread of the library even after natsConnection_Close; the bus has to be there
 * until the last of them. False where it did not come: then the bus must stay. */
static bool close_connection(struct sim_bus *bus)
{
    if (!bus->connection)
        return true;
    natsConnection_Close(bus->connection);
    for (int64_t end_ns = pace_mono_ns() + SIM_CLOSE_NS; !atomic_load(&bus->closed);) {
        if (pace_mono_ns() > end_ns)
            return false;
        pace_sleep(SIM_CLOSE_POLL_NS);
    }
    return true;
}

void sim_bus_close(struct sim_bus *bus, int64_t timeout_ms)
{
    if (!bus)
        return;
    if (timeout_ms > 0 && bus->connection && sim_bus_connected(bus))
        natsConnection_FlushTimeout(bus->connection, timeout_ms);
    if (!close_connection(bus))
        return;
    while (bus->closed_subs) {
        struct sim_sub *sub = bus->closed_subs;
        bus->closed_subs = sub->next;
        natsSubscription_Destroy(sub->subscription);
        free(sub);
    }
    natsSubscription_Destroy(bus->acks);
    natsConnection_Destroy(bus->connection);
    natsInbox_Destroy(bus->ack_inbox);
    natsOptions_Destroy(bus->options);
    buf_done(&bus->reply);
    free(bus);
}

void sim_bus_end(void)
{
    nats_CloseAndWait(SIM_LIBRARY_END_MS);
}

bool sim_bus_connected(const struct sim_bus *bus)
{
    return atomic_load(&bus->connected);
}

unsigned sim_bus_reconnects(const struct sim_bus *bus)
{
    return atomic_load(&bus->reconnects);
}

bool sim_bus_flush(struct sim_bus *bus, int64_t timeout_ms)
{
    return sim_bus_connected(bus) &&
           natsConnection_FlushTimeout(bus->connection, timeout_ms) == NATS_OK;
}

/* ---- publishing ---- */

static bool publish(struct sim_bus *bus, const char *subject, const char *reply, const void *data,
                    size_t size, const struct sim_header *headers, size_t header_count)
{
    natsMsg *msg = NULL;

    if (size > INT32_MAX)
        return false;
    natsStatus s = natsMsg_Create(&msg, subject, reply, data, (int)size);
    for (size_t i = 0; s == NATS_OK && i < header_count; i++)
        s = natsMsgHeader_Add(msg, headers[i].name, headers[i].value);
    if (s == NATS_OK)
        s = natsConnection_PublishMsg(bus->connection, msg);
    natsMsg_Destroy(msg);
    return s == NATS_OK;
}

bool sim_bus_publish(struct sim_bus *bus, const char *subject, const void *data, size_t size,
                     const char *msg_id)
{
    struct sim_header header = {"Nats-Msg-Id", msg_id};
    if (msg_id)
        return publish(bus, subject, NULL, data, size, &header, 1);
    return size <= INT32_MAX &&
           natsConnection_Publish(bus->connection, subject, data, (int)size) == NATS_OK;
}

bool sim_bus_publish_headers(struct sim_bus *bus, const char *subject, const void *data,
                             size_t size, const struct sim_header *headers, size_t header_count)
{
    return publish(bus, subject, NULL, data, size, headers, header_count);
}

bool sim_bus_store(struct sim_bus *bus, const char *subject, const void *data, size_t size,
                   const struct sim_header *headers, size_t header_count, uint64_t tag)
{
    buf_reset(&bus->reply);
    buf_addf(&bus->reply, "%s.%llu", bus->ack_inbox, (unsigned long long)tag);
    return publish(bus, subject, buf_cstr(&bus->reply), data, size, headers, header_count);
}

/* {"stream": "TWIN_EVENTS", "seq": 812, "duplicate": true} or {"error": {"code", "err_code", …}}.
 */
static void read_ack(const char *data, size_t size, struct sim_ack *ack)
{
    const char *stream = NULL, *description = NULL;
    json_int_t seq = 0;
    int duplicate = 0, code = 0, err_code = 0;

    ack->outcome = SIM_ACK_REFUSED;
    json_t *root = json_loadb(data, size, 0, NULL);
    if (!root)
        return;
    if (json_unpack(root, "{s:{s?i, s?i, s?s}}", "error", "code", &code, "err_code", &err_code,
                    "description", &description) == 0) {
        ack->error_code = err_code ? err_code : code;
        snprintf(ack->error, sizeof ack->error, "%s", description ? description : "refused");
    } else if (json_unpack(root, "{s:s, s:I, s?b}", "stream", &stream, "seq", &seq, "duplicate",
                           &duplicate) == 0 &&
               seq > 0) {
        ack->outcome = SIM_ACK_STORED;
        ack->seq = (uint64_t)seq;
        ack->duplicate = duplicate != 0;
        snprintf(ack->stream, sizeof ack->stream, "%s", stream);
    }
    json_decref(root);
}

bool sim_bus_next_ack(struct sim_bus *bus, struct sim_ack *ack)
{
    natsMsg *msg = NULL;

    natsStatus s = natsSubscription_NextMsg(&msg, bus->acks, 0);
    if (s == NATS_NO_RESPONDERS) {
        /* the library consumes that message, and with it the subject that named the publish */
        *ack = (struct sim_ack){.tag = SIM_TAG_UNKNOWN, .outcome = SIM_ACK_NO_STREAM};
        return true;
    }
    if (s != NATS_OK)
        return false;
    const char *dot = strrchr(natsMsg_GetSubject(msg), '.');
    *ack = (struct sim_ack){.tag = strtoull(dot ? dot + 1 : "0", NULL, 10)};
    read_ack(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg), ack);
    natsMsg_Destroy(msg);
    return true;
}

/* ---- subscriptions ---- */

static struct sim_sub *sub_open(struct sim_bus *bus, const char *subject, struct sim_error *error)
{
    struct sim_sub *sub = calloc(1, sizeof *sub);
    natsStatus s = sub ? natsConnection_SubscribeSync(&sub->subscription, bus->connection, subject)
                       : NATS_NO_MEMORY;
    if (s == NATS_OK) {
        sub->bus = bus;
        s = natsSubscription_SetPendingLimits(sub->subscription, SIM_PENDING_MESSAGES_MAX,
                                              SIM_PENDING_BYTES_MAX);
        if (s == NATS_OK)
            return sub;
        sim_sub_close(sub);
        sub = NULL;
    }
    set_error(error, subject, s);
    free(sub);
    return NULL;
}

struct sim_sub *sim_sub_open(struct sim_bus *bus, const char *subject, struct sim_error *error)
{
    return sub_open(bus, subject, error);
}

struct sim_sub *sim_sub_open_last(struct sim_bus *bus, const char *stream, const char *filter,
                                  struct sim_error *error)
{
    natsInbox *inbox = NULL;
    struct sim_sub *sub = NULL;
    struct buf request = BUF_INIT;
    char api[128];

    natsStatus s = natsInbox_Create(&inbox);
    if (s == NATS_OK)
        sub = sub_open(bus, inbox, error);
    if (!sub)
        goto out;
    snprintf(api, sizeof api, "$JS.API.CONSUMER.CREATE.%s", stream);
    buf_addf(&request,
             "{\"stream_name\":\"%s\",\"config\":{\"deliver_subject\":\"%s\","
             "\"deliver_policy\":\"last_per_subject\",\"ack_policy\":\"none\","
             "\"replay_policy\":\"instant\",\"filter_subject\":\"%s\"}}",
             stream, inbox, filter);
    s = natsConnection_PublishRequest(bus->connection, api, inbox, buf_cstr(&request),
                                      (int)request.size_bytes);
    if (s != NATS_OK) {
        set_error(error, api, s);
        sim_sub_close(sub);
        sub = NULL;
    }
out:
    buf_done(&request);
    natsInbox_Destroy(inbox);
    return sub;
}

/* Up to nats.c 3.5 the reading thread may still hold a subscription that is destroyed under it: it
 * is destroyed when that thread has ended. */
void sim_sub_close(struct sim_sub *sub)
{
    if (!sub)
        return;
    natsSubscription_Unsubscribe(sub->subscription);
    sub->next = sub->bus->closed_subs;
    sub->bus->closed_subs = sub;
}

bool sim_sub_next(struct sim_sub *sub, struct sim_msg *msg)
{
    natsMsg *got = NULL;
    const char *operation = NULL;

    if (natsSubscription_NextMsg(&got, sub->subscription, 0) != NATS_OK)
        return false;
    *msg = (struct sim_msg){.subject = natsMsg_GetSubject(got),
                            .data = natsMsg_GetData(got),
                            .size = (size_t)natsMsg_GetDataLength(got),
                            .impl = got};
    if (natsMsgHeader_Get(got, "KV-Operation", &operation) == NATS_OK)
        msg->deleted = true;
    return true;
}

void sim_msg_done(struct sim_msg *msg)
{
    natsMsg_Destroy(msg->impl);
    msg->impl = NULL;
}
