#include "hub/access_denied.h"

#include "hub/access_http.h"
#include "hub/clock.h"
#include "hub/http_limits.h"
#include "hub/metrics.h"
#include "twin/hash.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MINUTE_MS = 60000 };

/* One address and its minute. */
struct address {
    char text[HTTP_NETWORK_BYTES];
    int64_t minute; /* monotonic */
    unsigned seen;  /* within it */
};

struct access_denied {
    struct recorder *recorder;
    pthread_mutex_t lock;
    struct address addresses[ACCESS_DENIED_ADDRESSES];
};

struct access_denied *access_denied_new(struct recorder *recorder)
{
    struct access_denied *denied = calloc(1, sizeof *denied);
    if (!denied)
        return NULL;
    denied->recorder = recorder;
    pthread_mutex_init(&denied->lock, NULL);
    return denied;
}

static void put(struct access_denied *denied, const char *type, const char *actor,
                const char *request_id, const struct buf *data)
{
    struct record record;
    uint64_t ticket;
    record_init(&record);
    record.kind = RECORD_ACCESS;
    record.severity = SEVERITY_WARNING;
    record.type = (struct slice){type, strlen(type)};
    if (*actor)
        record.actor = (struct slice){actor, strlen(actor)};
    if (*request_id)
        record.request_id = (struct slice){request_id, strlen(request_id)};
    record.data = (struct slice){data->data, data->size_bytes};
    if (data->failed || RAND_bytes(record.id, sizeof record.id) != 1 ||
        !recorder_put(denied->recorder, &record, &ticket))
        metrics_inc(METRIC_ACCESS_UNRECORDED, 0);
}

/* The refusals of an address beyond those that have a record each. With the lock held. */
static void put_count(struct access_denied *denied, struct address *address)
{
    struct buf data = BUF_INIT;
    if (address->seen <= ACCESS_DENIED_PER_MINUTE)
        return;
    buf_adds(&data, "{\"remote\":");
    buf_json_cstr(&data, address->text);
    buf_addf(&data, ",\"count\":%u,\"recorded\":%d}", address->seen - ACCESS_DENIED_PER_MINUTE,
             ACCESS_DENIED_PER_MINUTE);
    put(denied, "denied_count", "", "", &data);
    buf_done(&data);
    address->seen = 0;
}

static struct address *address_of(struct access_denied *denied, const char *network)
{
    return &denied->addresses[hash_of_text(network) % ACCESS_DENIED_ADDRESSES];
}

/* Whether this one has a record of its own. Two addresses in one place push each other out. */
static bool has_record(struct access_denied *denied, const char *remote)
{
    int64_t minute = clock_mono_ms() / MINUTE_MS;
    char network[HTTP_NETWORK_BYTES];
    http_limits_network(remote, network);
    pthread_mutex_lock(&denied->lock);
    struct address *address = address_of(denied, network);
    if (address->minute != minute || strcmp(address->text, network) != 0) {
        put_count(denied, address);
        snprintf(address->text, sizeof address->text, "%s", network);
        address->minute = minute;
        address->seen = 0;
    }
    bool has = ++address->seen <= ACCESS_DENIED_PER_MINUTE;
    pthread_mutex_unlock(&denied->lock);
    return has;
}

void access_denied_put(struct access_denied *denied, const struct http_request *request, int status)
{
    struct buf data = BUF_INIT;
    bool known = request->caller != NULL;
    metrics_inc(METRIC_ACCESS_DENIED, known ? DENIED_FORBIDDEN : DENIED_UNKNOWN);
    if (!known && !has_record(denied, request->remote))
        return;
    buf_addf(&data, "{\"status\":%d,\"method\":", status);
    buf_json_cstr(&data, request->method);
    buf_adds(&data, ",\"path\":");
    buf_json_cstr(&data, request->path);
    buf_adds(&data, ",\"remote\":");
    buf_json_cstr(&data, request->remote);
    buf_addc(&data, '}');
    put(denied, "denied", request->principal, request->request_id, &data);
    buf_done(&data);
}

static void sweep(struct access_denied *denied, int64_t before_minute)
{
    pthread_mutex_lock(&denied->lock);
    for (size_t i = 0; i < ACCESS_DENIED_ADDRESSES; i++)
        if (denied->addresses[i].minute < before_minute)
            put_count(denied, &denied->addresses[i]);
    pthread_mutex_unlock(&denied->lock);
}

void access_denied_sweep(struct access_denied *denied)
{
    sweep(denied, clock_mono_ms() / MINUTE_MS);
}

void access_denied_free(struct access_denied *denied)
{
    if (!denied)
        return;
    sweep(denied, INT64_MAX);
    pthread_mutex_destroy(&denied->lock);
    free(denied);
}
