#include "hub/bus.h"

#include "hub/bus_impl.h"
#include "hub/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_SERVERS = 16,
    CONNECT_TIMEOUT_DEFAULT_MS = 2000,
    RECONNECT_WAIT_MS = 250,
    RECONNECT_JITTER_MS = 250,
    /* a dead peer is noticed after three of these */
    PING_INTERVAL_MS = 2500,
    PINGS_OUT = 2,
    WRITE_DEADLINE_MS = 5000,
    IO_BUFFER_BYTES = 128 * 1024,
    DIALER_LOOK_MS = 500,
    BURY_FLUSH_MS = 2000,
    CLOSED_CALLBACK_MS = 3000,
    ERROR_LOG_EVERY_MS = 10000,
    BUSY_POLL_US = 1000,
};

/* ---- small things that all of bus uses ---- */

int64_t bus_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void bus_sleep_ms(int64_t ms)
{
    if (ms <= 0)
        return;
    struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        ;
}

void bus_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

void bus_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ms)
{
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = (until_ms % 1000) * 1000000};
    pthread_cond_timedwait(cond, mutex, &until);
}

void bus_error_set(struct bus_error *error, const char *format, ...)
{
    if (!error)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
}

enum bus_status bus_status_of(natsStatus status)
{
    switch ((int)status) {
    case NATS_OK:
        return BUS_OK;
    case NATS_TIMEOUT:
        return BUS_TIMEOUT;
    case NATS_CONNECTION_CLOSED:
    case NATS_NO_SERVER:
    case NATS_STALE_CONNECTION:
    case NATS_CONNECTION_DISCONNECTED:
    case NATS_NOT_YET_CONNECTED:
    case NATS_IO_ERROR:
    case NATS_NO_RESPONDERS:
    case NATS_INSUFFICIENT_BUFFER: /* the reconnect buffer, which is as good as none */
    case NATS_INVALID_SUBSCRIPTION:
        return BUS_DISCONNECTED;
    default:
        return BUS_ERROR;
    }
}

const char *bus_library_version(void)
{
    return nats_GetVersion();
}

natsStatus bus_poll(natsSubscription *sub, bool *busy, int64_t wait_ms, natsMsg **msg)
{
    natsStatus status = natsSubscription_NextMsg(msg, sub, 0);
    if (status == NATS_TIMEOUT && wait_ms > 0) {
        if (*busy) {
            struct timespec nap = {.tv_nsec = BUSY_POLL_US * 1000};
            nanosleep(&nap, NULL);
            status = natsSubscription_NextMsg(msg, sub, 0);
        } else {
            status = natsSubscription_NextMsg(msg, sub, wait_ms);
        }
    }
    *busy = status == NATS_OK;
    return status;
}

/* ---- what nats.c reports, on its own threads ---- */

static void log_link(enum log_level level, const char *event, natsConnection *nc)
{
    char url[256] = "";
    natsConnection_GetConnectedUrl(nc, url, sizeof(url));
    const char *at = strrchr(url, '@'); /* a URL may hold a password */
    log_write(level, event, "server", at ? at + 1 : url, (char *)0);
}

static void on_disconnected(natsConnection *nc, void *closure)
{
    struct bus_link *link = closure;
    pthread_mutex_lock(&link->bus->mutex);
    bool wanted = link->bus->closing;
    pthread_mutex_unlock(&link->bus->mutex);
    (void)nc;
    if (!wanted)
        log_warn("bus.disconnected");
}

static void on_reconnected(natsConnection *nc, void *closure)
{
    struct bus_link *link = closure;
    atomic_fetch_add(&link->bus->connects, 1);
    log_link(LOG_INFO, "bus.reconnected", nc);
}

static void on_closed(natsConnection *nc, void *closure)
{
    struct bus_link *link = closure;
    struct bus *bus = link->bus;
    (void)nc;
    pthread_mutex_lock(&bus->mutex);
    link->closed = true;
    pthread_cond_broadcast(&bus->changed);
    pthread_mutex_unlock(&bus->mutex);
}

/* The subscription may be gone already and is not looked at. */
static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus status, void *closure)
{
    struct bus_link *link = closure;
    struct bus *bus = link->bus;
    (void)nc;
    (void)sub;
    int64_t now_ms = bus_now_ms();
    pthread_mutex_lock(&bus->mutex);
    bool quiet = bus->error_logged_ms && now_ms - bus->error_logged_ms < ERROR_LOG_EVERY_MS;
    uint64_t unlogged = bus->errors_unlogged;
    if (quiet) {
        bus->errors_unlogged++;
    } else {
        bus->errors_unlogged = 0;
        bus->error_logged_ms = now_ms;
    }
    pthread_mutex_unlock(&bus->mutex);
    if (!quiet)
        log_warn("bus.error", "error", natsStatus_GetText(status), "unlogged",
                 LOG_INT((int64_t)unlogged));
}

/* ---- connecting ---- */

static natsStatus link_options(struct bus *bus, struct bus_link *link)
{
    natsStatus status = natsOptions_SetDisconnectedCB(bus->options, on_disconnected, link);
    if (status == NATS_OK)
        status = natsOptions_SetReconnectedCB(bus->options, on_reconnected, link);
    if (status == NATS_OK)
        status = natsOptions_SetClosedCB(bus->options, on_closed, link);
    if (status == NATS_OK)
        status = natsOptions_SetErrorHandler(bus->options, on_error, link);
    return status;
}

/* One attempt; the first failure of a row is logged. */
static bool dial(struct bus *bus, bool *told)
{
    struct bus_link *link = calloc(1, sizeof(*link));
    if (!link)
        return false;
    link->bus = bus;
    natsStatus status = link_options(bus, link);
    if (status == NATS_OK)
        status = natsConnection_Connect(&link->nc, bus->options);
    if (status != NATS_OK) {
        if (!*told)
            log_warn("bus.connect_failed", "error", natsStatus_GetText(status));
        *told = true;
        free(link);
        return false;
    }
    *told = false;
    pthread_mutex_lock(&bus->mutex);
    link->next = bus->links;
    bus->links = link;
    pthread_mutex_unlock(&bus->mutex);
    atomic_store(&bus->nc, link->nc);
    atomic_fetch_add(&bus->connects, 1);
    log_link(LOG_INFO, "bus.connected", link->nc);
    return true;
}

/* Connects for the first time, and anew where nats.c gave a connection up. */
static void *dialer_main(void *closure)
{
    struct bus *bus = closure;
    bool told = false;
    unsigned seed = (unsigned)bus_now_ms() ^ (unsigned)getpid();
    for (;;) {
        natsConnection *nc = atomic_load(&bus->nc);
        int64_t wait_ms = DIALER_LOOK_MS;
        if (!nc || natsConnection_IsClosed(nc)) {
            if (!dial(bus, &told))
                wait_ms = RECONNECT_WAIT_MS + rand_r(&seed) % RECONNECT_JITTER_MS;
        }
        pthread_mutex_lock(&bus->mutex);
        int64_t until_ms = bus_now_ms() + wait_ms;
        while (!bus->closing && bus_now_ms() < until_ms)
            bus_cond_wait_until(&bus->changed, &bus->mutex, until_ms);
        bool closing = bus->closing;
        pthread_mutex_unlock(&bus->mutex);
        if (closing)
            return NULL;
    }
}

/* nats.c reads a URL only when it connects: what can never work is found here. */
static bool url_possible(const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    const char *at = strrchr(host, '@');
    host = at ? at + 1 : host;
    const char *bracket = strrchr(host, ']'); /* an IPv6 address has colons of its own */
    const char *colon = strrchr(bracket ? bracket : host, ':');
    if (*host == '\0' || *host == ':')
        return false;
    if (!colon)
        return true;
    char *end = NULL;
    long port = strtol(colon + 1, &end, 10);
    return end != colon + 1 && (*end == '\0' || *end == '/') && port > 0 && port <= UINT16_MAX;
}

/* Splits at commas; nats.c takes servers one by one. */
static natsStatus set_servers(natsOptions *options, const char *url)
{
    char *copy = strdup(url);
    if (!copy)
        return NATS_NO_MEMORY;
    const char *servers[MAX_SERVERS];
    int count = 0;
    natsStatus status = NATS_OK;
    char *rest = NULL;
    for (char *one = strtok_r(copy, ", \t", &rest); one; one = strtok_r(NULL, ", \t", &rest)) {
        if (count == MAX_SERVERS || !url_possible(one)) {
            status = NATS_INVALID_ARG;
            break;
        }
        servers[count++] = one;
    }
    if (count == 0)
        status = NATS_INVALID_ARG;
    if (status == NATS_OK)
        status = natsOptions_SetServers(options, servers, count);
    free(copy);
    return status;
}

static natsStatus set_behaviour(natsOptions *options, int connect_timeout_ms)
{
    const natsStatus all[] = {
        natsOptions_SetTimeout(options, connect_timeout_ms > 0 ? connect_timeout_ms
                                                               : CONNECT_TIMEOUT_DEFAULT_MS),
        natsOptions_SetAllowReconnect(options, true),
        natsOptions_SetMaxReconnect(options, -1), /* for ever; the default gives up at 60 */
        natsOptions_SetReconnectWait(options, RECONNECT_WAIT_MS),
        natsOptions_SetReconnectJitter(options, RECONNECT_JITTER_MS, RECONNECT_JITTER_MS),
        /* nothing is buffered while disconnected: a publish then fails, and its caller knows */
        natsOptions_SetReconnectBufSize(options, 1),
        natsOptions_SetPingInterval(options, PING_INTERVAL_MS),
        natsOptions_SetMaxPingsOut(options, PINGS_OUT),
        natsOptions_SetWriteDeadline(options, WRITE_DEADLINE_MS),
        natsOptions_SetIOBufSize(options, IO_BUFFER_BYTES),
        natsOptions_SetFailRequestsOnDisconnect(options, true),
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] != NATS_OK)
            return all[i];
    return NATS_OK;
}

static enum bus_status make_options(const struct bus_options *from, natsOptions **out,
                                    struct bus_error *error)
{
    natsOptions *options = NULL;
    const char *what = "";
    const char *unreadable = NULL;
    const char *files[] = {from->creds_file, from->tls_ca_file, from->tls_cert_file,
                           from->tls_key_file};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !unreadable; i++)
        if (files[i] && access(files[i], R_OK) != 0)
            unreadable = files[i];
    if (unreadable) {
        bus_error_set(error, "%s: %s", unreadable, strerror(errno));
        return BUS_ERROR;
    }
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK && (what = "url"))
        status = from->url ? set_servers(options, from->url) : NATS_INVALID_ARG;
    if (status == NATS_OK && from->name && (what = "name"))
        status = natsOptions_SetName(options, from->name);
    if (status == NATS_OK && (what = "options"))
        status = set_behaviour(options, from->connect_timeout_ms);
    if (status == NATS_OK && from->creds_file && (what = from->creds_file))
        status = natsOptions_SetUserCredentialsFromFiles(options, from->creds_file, NULL);
    if (status == NATS_OK && (from->tls_ca_file || from->tls_cert_file) && (what = "tls"))
        status = natsOptions_SetSecure(options, true);
    if (status == NATS_OK && from->tls_ca_file && (what = from->tls_ca_file))
        status = natsOptions_LoadCATrustedCertificates(options, from->tls_ca_file);
    if (status == NATS_OK && from->tls_cert_file && (what = from->tls_cert_file))
        status =
            natsOptions_LoadCertificatesChain(options, from->tls_cert_file, from->tls_key_file);
    if (status != NATS_OK) {
        bus_error_set(error, "%s: %s", what, natsStatus_GetText(status));
        natsOptions_Destroy(options);
        return BUS_ERROR;
    }
    *out = options;
    return BUS_OK;
}

enum bus_status bus_open(const struct bus_options *options, struct bus **out,
                         struct bus_error *error)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    if (!bus) {
        bus_error_set(error, "out of memory");
        return BUS_ERROR;
    }
    enum bus_status status = make_options(options, &bus->options, error);
    if (status != BUS_OK) {
        free(bus);
        return status;
    }
    pthread_mutex_init(&bus->mutex, NULL);
    bus_cond_init(&bus->changed);
    if (pthread_create(&bus->dialer, NULL, dialer_main, bus) != 0) {
        bus_error_set(error, "cannot start a thread");
        natsOptions_Destroy(bus->options);
        pthread_cond_destroy(&bus->changed);
        pthread_mutex_destroy(&bus->mutex);
        free(bus);
        return BUS_ERROR;
    }
    *out = bus;
    return BUS_OK;
}

natsConnection *bus_link_up(const struct bus *bus)
{
    natsConnection *nc = atomic_load(&bus->nc);
    return nc && natsConnection_Status(nc) == NATS_CONN_STATUS_CONNECTED ? nc : NULL;
}

bool bus_connected(const struct bus *bus)
{
    return bus_link_up(bus) != NULL;
}

uint64_t bus_connects(const struct bus *bus)
{
    return atomic_load(&bus->connects);
}

/* ---- burying and closing ---- */

/* A pong is read by the very thread that reads messages: when one asked for after unsubscribing
 * has come, that thread holds the subscription no more. Without one it waits for the close, which
 * joins the thread. */
void bus_bury(struct bus *bus, natsConnection *nc, natsSubscription *sub)
{
    if (!sub)
        return;
    natsSubscription_Unsubscribe(sub);
    pthread_mutex_lock(&bus->mutex);
    if (bus->grave_count == bus->grave_room) {
        size_t room = bus->grave_room ? bus->grave_room * 2 : 8;
        struct bus_grave *graves = realloc(bus->graves, room * sizeof(*graves));
        if (!graves) {
            pthread_mutex_unlock(&bus->mutex);
            return; /* without memory a leak is the smaller evil */
        }
        bus->graves = graves;
        bus->grave_room = room;
    }
    bus->graves[bus->grave_count++] = (struct bus_grave){nc, sub};
    pthread_mutex_unlock(&bus->mutex);

    if (natsConnection_Status(nc) != NATS_CONN_STATUS_CONNECTED ||
        natsConnection_FlushTimeout(nc, BURY_FLUSH_MS) != NATS_OK)
        return;
    /* Only this one: another thread may have buried its own after our pong was asked for. */
    pthread_mutex_lock(&bus->mutex);
    size_t kept = 0;
    for (size_t i = 0; i < bus->grave_count; i++)
        if (bus->graves[i].sub != sub)
            bus->graves[kept++] = bus->graves[i];
    bool ours = kept < bus->grave_count;
    bus->grave_count = kept;
    pthread_mutex_unlock(&bus->mutex);
    if (ours)
        natsSubscription_Destroy(sub);
}

static void links_close(struct bus *bus)
{
    for (struct bus_link *link = bus->links; link; link = link->next)
        natsConnection_Close(link->nc);
    int64_t until_ms = bus_now_ms() + CLOSED_CALLBACK_MS;
    pthread_mutex_lock(&bus->mutex);
    for (struct bus_link *link = bus->links; link; link = link->next)
        while (!link->closed && bus_now_ms() < until_ms)
            bus_cond_wait_until(&bus->changed, &bus->mutex, until_ms);
    pthread_mutex_unlock(&bus->mutex);
}

/* True when nats.c will call none of our callbacks any more. */
static bool links_closed(struct bus *bus)
{
    bool all = true;
    pthread_mutex_lock(&bus->mutex);
    for (struct bus_link *link = bus->links; link; link = link->next)
        all = all && link->closed;
    pthread_mutex_unlock(&bus->mutex);
    return all;
}

void bus_close(struct bus *bus, int timeout_ms)
{
    if (!bus)
        return;
    natsConnection *nc = bus_link_up(bus);
    if (nc && timeout_ms > 0)
        natsConnection_FlushTimeout(nc, timeout_ms);
    pthread_mutex_lock(&bus->mutex);
    bus->closing = true;
    pthread_cond_broadcast(&bus->changed);
    pthread_mutex_unlock(&bus->mutex);
    pthread_join(bus->dialer, NULL);
    links_close(bus);
    for (size_t i = 0; i < bus->grave_count; i++)
        natsSubscription_Destroy(bus->graves[i].sub);
    free(bus->graves);
    bus->graves = NULL;
    bus->grave_count = 0;
    natsOptions_Destroy(bus->options);
    if (!links_closed(bus)) {
        log_warn("bus.close_unconfirmed"); /* a callback may still come: its memory stays */
        return;
    }
    while (bus->links) {
        struct bus_link *link = bus->links;
        bus->links = link->next;
        natsConnection_Destroy(link->nc);
        free(link);
    }
    pthread_cond_destroy(&bus->changed);
    pthread_mutex_destroy(&bus->mutex);
    free(bus);
}

enum bus_status bus_publish(struct bus *bus, const char *subject, const void *data, size_t size)
{
    natsConnection *nc = bus_link_up(bus);
    if (!nc)
        return BUS_DISCONNECTED;
    if (size > INT32_MAX)
        return BUS_ERROR;
    return bus_status_of(natsConnection_Publish(nc, subject, data, (int)size));
}
