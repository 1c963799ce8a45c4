#include "hub/http.h"

#include "hub/http_deadline.h"
#include "hub/http_exchange.h"
#include "hub/http_limits.h"
#include "hub/http_link.h"
#include "hub/http_listen.h"
#include "hub/http_send.h"
#include "hub/http_shares.h"
#include "hub/http_shelf.h"
#include "hub/http_tls.h"
#include "hub/log.h"
#include "hub/metrics.h"
#include "twin/hash.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    IDLE_TIMEOUT_S = 30,
    /* Beside the request's header a connection's memory holds where its parts begin, and the
     * header of the reply. */
    POOL_RESERVE_BYTES = 6 * 1024,
    CONNECTIONS_MAX = 1000000, /* the library's own limit; http_limits.h is in force */
    LAST_REPLIES_MS = 200,     /* for the refusals that http_stop itself causes */
};

/* Whose workers a route's handler runs on. */
enum http_pool { POOL_BLOCKING, POOL_SCAN, POOL_NATS, HTTP_POOLS };

/* Requests may still keep to settings that others have taken the place of. */
struct past_settings {
    struct http_settings settings;
    struct past_settings *next;
};

struct http {
    struct exchange_rules rules;
    struct route_table *table;
    struct workers *pools[HTTP_POOLS]; /* NULL: there is none of its own */
    struct MHD_Daemon *daemon;
    struct http_sender sender;
    struct http_tls tls;
    struct http_limits *limits;
    struct http_deadlines *deadlines;
    struct http_shares *shares;
    struct past_settings *settings; /* the newest first */
    size_t header_bytes_first;
    int listen_fd;
    uint16_t port;

    atomic_size_t running; /* requests between their header and the end of their reply */
    atomic_bool closed;    /* no handler is called any more */
    pthread_mutex_t lock;
    pthread_cond_t idle; /* `running` fell to 0 while draining */
};

/* ---- workers ---- */

static struct exchange *exchange_of(struct worker_job *job)
{
    return (struct exchange *)(void *)((char *)job - offsetof(struct exchange, job));
}

/* Whose workers a route's requests wait for. */
static enum http_pool pool_of(const struct http *http, unsigned flags)
{
    enum http_pool pool = flags & ROUTE_SCAN   ? POOL_SCAN
                          : flags & ROUTE_NATS ? POOL_NATS
                                               : POOL_BLOCKING;
    return http->pools[pool] ? pool : POOL_BLOCKING;
}

/* After each change of the queue. */
static void note_queue(const struct http *http, enum http_pool pool)
{
    metrics_set(METRIC_QUEUE_DEPTH, QUEUE_HTTP_RECORD + (size_t)pool,
                (double)workers_waiting(http->pools[pool]));
}

static void run_job(struct worker_job *job)
{
    struct exchange *x = exchange_of(job);
    note_queue(x->http, pool_of(x->http, x->route->flags));
    exchange_call(x);
    MHD_resume_connection(x->connection);
}

static void drop_job(struct worker_job *job)
{
    struct exchange *x = exchange_of(job);
    exchange_unavailable(x, "The hub is stopping.");
    MHD_resume_connection(x->connection);
}

static void resume(void *closure)
{
    struct exchange *x = closure;
    MHD_resume_connection(x->connection);
}

/* Who takes turns with the others: a principal, or, where nobody is known, a connection. */
static uint64_t owner_of(const struct exchange *x)
{
    if (!x->credential)
        return (uint64_t)(uintptr_t)x->connection;
    return hash_of_text(x->request.principal) | 1;
}

/* Answers now, or suspends the connection until its gate opens or a worker has made the answer. */
static enum MHD_Result call(struct exchange *x)
{
    struct http *http = x->http;
    x->phase = EXCHANGE_CALLED;
    http_deadline_set(x->deadline, 0);
    if (!x->refused && atomic_load(&http->closed)) {
        exchange_unavailable(x, "The hub is stopping.");
        return http_send(x, &x->http->sender);
    }
    if (exchange_gate(x) == GATE_WAIT) {
        x->phase = EXCHANGE_GATED;
        MHD_suspend_connection(x->connection);
        x->gate->wait(x->gate->closure, x->ticket, resume, x);
        return MHD_YES;
    }
    if (x->refused || !(x->route->flags & (ROUTE_BLOCKING | ROUTE_SCAN | ROUTE_NATS))) {
        exchange_call(x);
        return http_send(x, &x->http->sender);
    }
    x->job.run = run_job;
    x->job.drop = drop_job;
    x->job.owner = owner_of(x);
    /* Suspended first: from the submission on, a worker may resume it. */
    MHD_suspend_connection(x->connection);
    enum http_pool pool = pool_of(http, x->route->flags);
    if (workers_submit(http->pools[pool], &x->job)) {
        note_queue(http, pool); /* x may be answered and gone by now */
    } else {
        metrics_inc(METRIC_HTTP_REFUSED, 0);
        exchange_unavailable(x, "Too many requests are waiting; try again shortly.");
        MHD_resume_connection(x->connection);
    }
    return MHD_YES;
}

/* ---- receiving ---- */

static enum MHD_Result note_header(void *closure, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    struct exchange *x = closure;
    const struct {
        const char *name, **value;
    } known[] = {
        {"Accept", &x->request.accept},
        {"Accept-Encoding", &x->head.accept_encoding},
        {"If-None-Match", &x->head.if_none_match},
        {"X-Request-Id", &x->head.request_id},
        {"Content-Type", &x->head.content_type},
        {"Content-Length", &x->head.content_length},
        {"Transfer-Encoding", &x->head.transfer_encoding},
        {"Expect", &x->head.expect},
        {"Authorization", &x->head.authorization},
        {"Origin", &x->head.origin},
        {"Host", &x->head.host},
        {"Access-Control-Request-Method", &x->head.preflight},
    };
    (void)kind;
    if (!value)
        return MHD_YES;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcasecmp(name, known[i].name) != 0)
            continue;
        if (known[i].value == &x->head.content_length && x->head.content_length)
            x->head.two_lengths = true;
        if (known[i].value == &x->head.authorization && x->head.authorization)
            x->head.two_credentials = true;
        if (known[i].value == &x->head.host && x->head.host)
            x->head.two_hosts = true;
        *known[i].value = value;
        break;
    }
    return MHD_YES;
}

/* The header is complete. */
static enum MHD_Result begin(struct exchange *x, const char *method)
{
    struct http *http = x->http;
    x->counted = true;
    atomic_fetch_add(&http->running, 1);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    x->head.header_bytes = info ? info->header_size : 0;
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, note_header, x);
    exchange_judge(x, &http->rules, method);
    if (x->refused && x->has_body && !exchange_discards(x)) {
        x->close = true;
        return call(x);
    }
    /* Answered at the next call, also where no body follows: the library takes an answer at this
     * one for a refusal to read on, and closes the connection. */
    x->phase = EXCHANGE_BODY;
    return MHD_YES;
}

static enum MHD_Result on_request(void *closure, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_bytes, void **request)
{
    struct http *http = closure;
    struct exchange *x = *request;
    (void)url;
    (void)version;
    if (!x)
        return MHD_queue_response(connection, HTTP_NO_MEMORY_STATUS, http->sender.no_memory);
    switch (x->phase) {
    case EXCHANGE_NEW:
        return begin(x, method);
    case EXCHANGE_BODY:
        if (*data_bytes == 0)
            return call(x);
        if (!exchange_body(x, data, *data_bytes))
            return MHD_NO;
        *data_bytes = 0;
        return MHD_YES;
    case EXCHANGE_GATED:
        return call(x);
    case EXCHANGE_CALLED:
        break;
    }
    return http_send(x, &x->http->sender);
}

/* ---- connections ---- */

static enum MHD_Result on_accept(void *closure, const struct sockaddr *address, socklen_t size)
{
    struct http *http = closure;
    (void)size;
    if (http_limits_allow(http->limits, address))
        return MHD_YES;
    metrics_inc(METRIC_HTTP_TURNED_AWAY, 0);
    return MHD_NO;
}

static int64_t request_ms(const struct http *http)
{
    return atomic_load(&http->rules.settings)->request_ms;
}

/* A connection on which nothing is asked is the library's to close; here it is only sure to end. */
static void await_request(const struct http *http, struct http_link *link)
{
    int64_t ms = request_ms(http);
    if (link)
        http_deadline_set(&link->deadline, ms > 0 ? ms + IDLE_TIMEOUT_S * 1000 : 0);
}

static void on_connection(void *closure, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http *http = closure;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = http_link_new(connection, http->limits, http->deadlines);
        await_request(http, *context);
        return;
    }
    http_link_free(*context, connection, http->limits, http->deadlines);
    *context = NULL;
}

static void *on_request_line(void *closure, const char *target, struct MHD_Connection *connection)
{
    struct http *http = closure;
    struct http_link *link = http_link_of(connection);
    struct exchange *spare = NULL;
    if (link) {
        http_deadline_set(&link->deadline, request_ms(http));
        spare = link->spare;
        link->spare = NULL;
    }
    struct exchange *x = exchange_new(&http->rules, spare, target);
    if (!x)
        return NULL;
    x->http = http;
    x->connection = connection;
    if (link) {
        x->request.remote = link->remote;
        x->deadline = &link->deadline;
    }
    return x;
}

static void on_completed(void *closure, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode why)
{
    struct http *http = closure;
    struct exchange *x = *request;
    struct http_link *link = http_link_of(connection);
    (void)why;
    await_request(http, link);
    if (!x)
        return;
    *request = NULL;
    bool counted = x->counted;
    http_shelf_release(x);
    exchange_end(x);
    if (link && !link->spare)
        link->spare = x;
    else
        exchange_free(x);
    if (counted && atomic_fetch_sub(&http->running, 1) == 1 &&
        atomic_load(&http->sender.draining)) {
        pthread_mutex_lock(&http->lock);
        pthread_cond_signal(&http->idle);
        pthread_mutex_unlock(&http->lock);
    }
}

/* The library would decode the path and the arguments; http_uri.c does it, and strictly. */
static size_t leave_escaped(void *closure, struct MHD_Connection *connection, char *text)
{
    (void)closure;
    (void)connection;
    return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void on_library_log(void *closure, const char *format,
                                                                 va_list args)
{
    (void)closure;
    if (!log_enabled(LOG_DEBUG))
        return;
    char text[512];
    if (vsnprintf(text, sizeof text, format, args) > 0) {
        text[strcspn(text, "\n")] = '\0';
        log_debug("http.library", "text", text);
    }
}

const char *http_header(const struct http_request *request, const char *name)
{
    const struct exchange *x = request->impl;
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

bool http_kept(const struct http_request *request, struct http_reply *reply, uint64_t mark)
{
    struct exchange *x = request->impl;
    return x && reply == &x->reply && http_send_kept(x, &x->http->sender, mark);
}

bool http_gone(const struct http_request *request)
{
    const struct exchange *x = request->impl;
    if (!x)
        return false;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!info)
        return false;
    struct pollfd socket = {.fd = info->connect_fd, .events = POLLRDHUP};
    return poll(&socket, 1, 0) == 1 && (socket.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* ---- starting and stopping ---- */

static bool start_daemon(struct http *http, const struct http_options *options, bool is_ipv6)
{
    unsigned threads = options->event_threads ? options->event_threads : 1;
    /* TURBO reads until there is nothing left. Without it, what a client sent right before it left
     * is the last thing that is noticed of it, and the connection lingers until its timeout. */
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_ERROR_LOG | (is_ipv6 ? (unsigned)MHD_USE_IPv6 : 0) |
                     (http->tls.key ? (unsigned)MHD_USE_TLS : 0);
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, http->tls.certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, http->tls.key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)HTTP_TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem *more = http->tls.key ? tls : &tls[3];
    sigset_t all, before;
    sigfillset(&all); /* signals belong to the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    http->daemon = MHD_start_daemon(
        flags, 0, on_accept, http, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_library_log,
        http, MHD_OPTION_LISTEN_SOCKET, http->listen_fd, MHD_OPTION_THREAD_POOL_SIZE,
        threads > 1 ? threads : 0, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        http->header_bytes_first + POOL_RESERVE_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_URI_LOG_CALLBACK, on_request_line, http, MHD_OPTION_UNESCAPE_CALLBACK,
        leave_escaped, http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return http->daemon != NULL;
}

static bool make_pools(struct http *http, const struct http_options *options)
{
    const unsigned counts[HTTP_POOLS] = {[POOL_BLOCKING] = options->workers,
                                         [POOL_SCAN] = options->scan_workers,
                                         [POOL_NATS] = options->nats_workers};
    for (int i = 0; i < HTTP_POOLS; i++) {
        bool wanted = counts[i] > 0 || i == POOL_BLOCKING;
        http->pools[i] = wanted ? workers_new(counts[i], options->queue_max) : NULL;
        if (wanted && !http->pools[i])
            return false;
        if (wanted)
            metrics_set(METRIC_QUEUE_LIMIT, QUEUE_HTTP_RECORD + (size_t)i,
                        (double)options->queue_max);
        if (wanted)
            note_queue(http, (enum http_pool)i);
    }
    return true;
}

static void destroy(struct http *http)
{
    for (int i = 0; i < HTTP_POOLS; i++)
        if (http->pools[i])
            workers_stop(http->pools[i], 0);
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    for (int i = 0; i < HTTP_POOLS; i++)
        workers_free(http->pools[i]);
    http_sender_done(&http->sender);
    http_tls_done(&http->tls);
    http_deadlines_free(http->deadlines);
    http_shares_free(http->shares);
    http_limits_free(http->limits);
    for (struct past_settings *at = http->settings, *next; at; at = next) {
        next = at->next;
        free(at);
    }
    if (http->listen_fd >= 0)
        close(http->listen_fd);
    route_table_free(http->table);
    pthread_cond_destroy(&http->idle);
    pthread_mutex_destroy(&http->lock);
    free(http);
}

static struct http *make(const struct http_options *options)
{
    struct http *http = calloc(1, sizeof *http);
    if (!http)
        return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&http->lock, NULL);
    pthread_cond_init(&http->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    http->listen_fd = -1;
    http->rules = (struct exchange_rules){
        .route_count = options->route_count,
        .app = options->app,
        .viewer = options->viewer,
        .gate = options->gate,
    };
    return http;
}

void http_set(struct http *http, const struct http_settings *settings)
{
    struct past_settings *fresh = malloc(sizeof *fresh);
    if (!fresh)
        return; /* the ones before stay */
    *fresh = (struct past_settings){*settings, http->settings};
    if (fresh->settings.header_bytes_max > http->header_bytes_first)
        fresh->settings.header_bytes_max = http->header_bytes_first;
    http->settings = fresh;
    http_limits_set(http->limits, settings->connections_max, settings->per_address_max);
    atomic_store(&http->rules.settings, &fresh->settings);
}

void http_leave(struct http *http)
{
    atomic_store(&http->sender.leaving, true);
}

struct http *http_start(const struct http_options *options, char error[256])
{
    bool is_ipv6 = false;
    struct http *http = make(options);
    snprintf(error, 256, "no memory for the HTTP server");
    if (!http)
        return NULL;
    http->header_bytes_first = options->settings.header_bytes_max;
    http->limits = http_limits_new(0, 0);
    http->deadlines = http_deadlines_new();
    http->shares = http_shares_new();
    http->rules.shares = http->shares;
    if (!http->limits || !http->deadlines || !http->shares)
        goto out;
    http_set(http, &options->settings);
    if (!http->settings)
        goto out;
    http->table = route_table_new(options->routes, options->route_count, error);
    http->rules.table = http->table;
    if (!http->table)
        goto out;
    metrics_routes(options->routes, options->route_count);
    metrics_set(METRIC_HTTP_OPEN, 0, 0);
    if (!http_tls_load(&http->tls, options->tls_certificate_file, options->tls_key_file, error))
        goto out;
    http->sender.tls = http->tls.key != NULL;
    http->listen_fd = http_listen_open(options->listen, &is_ipv6, &http->port, error);
    if (http->listen_fd < 0)
        goto out;
    snprintf(error, 256, "%s",
             http->tls.key ? "cannot start the HTTP server: its certificate and key do not fit, or "
                             "there are no threads"
                           : "cannot start the HTTP server's threads");
    if (make_pools(http, options) && http_sender_init(&http->sender) &&
        start_daemon(http, options, is_ipv6)) {
        error[0] = '\0';
        return http;
    }
out:
    destroy(http);
    return NULL;
}

uint16_t http_port(const struct http *http)
{
    return http->port;
}

/* Until no request runs, or the time (exchange_clock_ns) has come. */
static void wait_idle(struct http *http, int64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000),
                             .tv_nsec = (long)(until_ns % 1000000000)};
    pthread_mutex_lock(&http->lock);
    while (atomic_load(&http->running) > 0)
        if (pthread_cond_timedwait(&http->idle, &http->lock, &until) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&http->lock);
}

static bool stop_workers(struct workers *workers, int64_t until_ns)
{
    int64_t rest_ms = (until_ns - exchange_clock_ns()) / 1000000;
    return !workers || workers_stop(workers, rest_ms > 0 ? (int)rest_ms : 0);
}

bool http_stop(struct http *http, int timeout_ms)
{
    if (!http)
        return true;
    int64_t until_ns = exchange_clock_ns() + (int64_t)timeout_ms * 1000000;
    if (!atomic_exchange(&http->sender.draining, true)) {
        MHD_quiesce_daemon(http->daemon);
        /* Refuses from now on, and is closed when no thread can be looking at it any more. */
        shutdown(http->listen_fd, SHUT_RDWR);
    }
    wait_idle(http, until_ns);
    atomic_store(&http->closed, true);
    for (int i = 0; i < HTTP_POOLS; i++)
        if (!stop_workers(http->pools[i], until_ns))
            return false;
    /* All connections are resumed now; those just refused get to hear it. */
    wait_idle(http, exchange_clock_ns() + (int64_t)LAST_REPLIES_MS * 1000000);
    destroy(http);
    return true;
}
