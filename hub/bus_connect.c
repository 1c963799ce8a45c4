/*
 * Making the connection: options, dialing, and what nats.c reports about it. nats.c reconnects by
 * itself; the dialer makes the first connection, so that bus_open need not wait for one, and
 * another where nats.c gave one up.
 */
#include "hub/bus_line.h"
#include "hub/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
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
    ERROR_LOG_EVERY_MS = 10000,
};

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

/* NULL where lines are not possible: with TLS. */
static enum bus_status make_line_options(const struct bus_options *from, natsOptions **options,
                                         struct bus_error *error)
{
    *options = NULL;
    if (from->tls_ca_file || from->tls_cert_file || !from->url || strstr(from->url, "tls://"))
        return BUS_OK;
    enum bus_status status = make_options(from, options, error);
    natsStatus set = status == BUS_OK ? bus_line_options(*options) : NATS_OK;
    if (set == NATS_OK)
        return status;
    bus_error_set(error, "options: %s", natsStatus_GetText(set));
    natsOptions_Destroy(*options);
    return BUS_ERROR;
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
    if (status == BUS_OK)
        status = make_line_options(options, &bus->line_options, error);
    if (status != BUS_OK) {
        natsOptions_Destroy(bus->options);
        free(bus);
        return status;
    }
    pthread_mutex_init(&bus->mutex, NULL);
    pthread_mutex_init(&bus->line_mutex, NULL);
    bus_cond_init(&bus->changed);
    if (pthread_create(&bus->dialer, NULL, dialer_main, bus) != 0) {
        bus_error_set(error, "cannot start a thread");
        natsOptions_Destroy(bus->line_options);
        natsOptions_Destroy(bus->options);
        pthread_cond_destroy(&bus->changed);
        pthread_mutex_destroy(&bus->line_mutex);
        pthread_mutex_destroy(&bus->mutex);
        free(bus);
        return BUS_ERROR;
    }
    *out = bus;
    return BUS_OK;
}
