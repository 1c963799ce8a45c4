#include "hub/http_exchange.h"

#include "hub/gzip.h"
#include "hub/http_shelf.h"
#include "hub/http_stream.h"
#include "hub/log.h"
#include "hub/metrics.h"
#include "twin/timestamp.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t exchange_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- the request ---- */

enum {
    HELD_LEAST_BYTES = 16 * 1024, /* a smaller reply is no burden, and always sent */
    HELD_MAX_BYTES = 512 << 20,   /* of replies that wait for their clients */
    HELD_PER_PRINCIPAL_BYTES = HELD_MAX_BYTES / 8,
    HELD_NEXT_BYTES = 4 << 20, /* no list is made at once that is much longer (hub/api_list.c) */
    SHARE_RETRY_S = 5,
};

#define HELD_TEXT "Too many answers wait to be taken by slow clients; try again shortly."
#define HELD_OWN_TEXT "Too many of your answers wait to be taken; read them first."
#define NO_MEMORY_TEXT "There is no memory for the answer. Try again shortly."

enum { TEXT_LEAST_BYTES = 256 }; /* so that the memory of most requests serves the next one */

struct exchange *exchange_new(const struct exchange_rules *rules, struct exchange *spare,
                              const char *target)
{
    size_t size = strlen(target) + 1;
    size_t room_bytes = 2 * size > TEXT_LEAST_BYTES ? 2 * size : TEXT_LEAST_BYTES;
    struct exchange *x = spare;
    if (!x || x->room_bytes < room_bytes) {
        free(spare);
        x = malloc(sizeof *x + room_bytes);
        if (!x)
            return NULL;
    } else {
        room_bytes = x->room_bytes;
    }
    memset(x, 0, sizeof *x);
    x->room_bytes = room_bytes;
    memcpy(x->text, target, size);
    memcpy(x->text + size, target, size);
    x->text[size + strcspn(target, "?")] = '\0'; /* a query may hold a token: never shown */
    x->started_ns = exchange_clock_ns();
    x->route_index = rules->route_count;
    x->request = (struct http_request){
        .app = rules->app,
        .viewer = rules->viewer,
        .principal = "local",
        .method = "",
        .path = x->text + size,
        .accept = "",
        .body = "",
        .request_id = x->request_id,
        .remote = "",
        .impl = x,
    };
    x->gate = rules->gate;
    x->shares = rules->shares;
    x->rules = rules;
    x->settings = atomic_load(&rules->settings);
    x->auth = x->settings->auth;
    x->reply.status = 200;
    x->reply.content_type = "application/json";
    return x;
}

/* ---- what one principal may have of what there is ---- */

static _Atomic size_t held_bytes; /* of all replies that are not sent yet */

static void give_shares(struct exchange *x)
{
    if (x->share == EXCHANGE_STREAM)
        http_shares_give(x->shares, x->request.principal, SHARE_STREAMS, 1);
    if (x->share == EXCHANGE_EXPORT)
        http_shares_give(x->shares, x->request.principal, SHARE_EXPORTS, 1);
    x->share = EXCHANGE_NO_SHARE;
    if (x->held_bytes > 0) {
        atomic_fetch_sub(&held_bytes, x->held_bytes);
        if (x->credential)
            http_shares_give(x->shares, x->request.principal, SHARE_BYTES, x->held_bytes);
    }
    x->held_bytes = 0;
}

static void refuse_share(struct exchange *x, const char *what, int wait_s)
{
    http_problem(&x->request, &x->reply, PROBLEM_TOO_MANY_REQUESTS, "%s", what);
    http_reply_header(&x->reply, "Retry-After", "%d", wait_s);
}

static bool is_events(const char *content_type)
{
    return strncmp(content_type, "text/event-stream", 17) == 0;
}

/* One more stream or export of the caller's. False: the reply says that there is none to be had. */
static bool take_stream(struct exchange *x)
{
    bool events = is_events(x->reply.content_type);
    size_t most = events ? x->settings->streams_per_principal : x->settings->exports_per_principal;
    if (!x->credential || most == 0)
        return true;
    if (http_shares_take(x->shares, x->request.principal, events ? SHARE_STREAMS : SHARE_EXPORTS, 1,
                         most)) {
        x->share = events ? EXCHANGE_STREAM : EXCHANGE_EXPORT;
        return true;
    }
    refuse_share(x,
                 events ? "You have as many streams open as http.limits.streams_per_principal "
                          "allows; close one of them."
                        : "You have as many exports under way as "
                          "http.limits.exports_per_principal allows; wait until one has ended.",
                 SHARE_RETRY_S);
    return false;
}

/* Whether the route answers with a list, which costs time to make and may be long. */
static bool makes_list(const struct http_route *route)
{
    return (route->flags & (ROUTE_BLOCKING | ROUTE_SCAN | ROUTE_NATS)) != 0 &&
           route_lists(route->query, "page_size");
}

/* A list for which there would be no room is not made: whoever reads slowly and asks again and
 * again costs no more than the refusals. False: the reply says that there is no room. */
static bool has_room(struct exchange *x)
{
    if (!makes_list(x->route))
        return true;
    if (atomic_load(&held_bytes) > HELD_MAX_BYTES - HELD_NEXT_BYTES)
        http_problem(&x->request, &x->reply, PROBLEM_UNAVAILABLE, "%s", HELD_TEXT);
    else if (x->credential && http_shares_of(x->shares, x->request.principal, SHARE_BYTES) >
                                  HELD_PER_PRINCIPAL_BYTES - HELD_NEXT_BYTES)
        refuse_share(x, HELD_OWN_TEXT, SHARE_RETRY_S);
    else
        return true;
    return false;
}

/* A reply stays in memory until its client has taken it, and clients may take their time. */
static void hold_body(struct exchange *x)
{
    size_t size = x->reply.body.size_bytes;
    if (size < HELD_LEAST_BYTES)
        return;
    if (atomic_fetch_add(&held_bytes, size) + size > HELD_MAX_BYTES) {
        atomic_fetch_sub(&held_bytes, size);
        http_problem(&x->request, &x->reply, PROBLEM_UNAVAILABLE, "%s", HELD_TEXT);
    } else if (x->credential && !http_shares_take(x->shares, x->request.principal, SHARE_BYTES,
                                                  size, HELD_PER_PRINCIPAL_BYTES)) {
        atomic_fetch_sub(&held_bytes, size);
        refuse_share(x, HELD_OWN_TEXT, SHARE_RETRY_S);
    } else {
        x->held_bytes = size;
        return;
    }
    x->packed = false;
    x->sent_etag[0] = '\0';
}

void exchange_end(struct exchange *x)
{
    if (x->ticket)
        x->gate->drop(x->ticket);
    x->ticket = NULL;
    if (x->watch)
        x->auth->unwatch(x->auth->closure, x->watch);
    x->watch = NULL;
    http_pump_free(x->pump);
    x->pump = NULL;
    if (x->reply.stream)
        x->reply.stream->free(x->reply.stream);
    x->reply.stream = NULL;
    give_shares(x);
    if (x->credential)
        x->auth->release(x->credential);
    x->credential = NULL;
    buf_done(&x->reply.body);
    buf_done(&x->reply.headers);
    buf_done(&x->body);
}

void exchange_free(struct exchange *x)
{
    free(x);
}
bool exchange_discards(const struct exchange *x)
{
    return !x->close && !x->head.expect && x->content_length <= HTTP_DISCARD_MAX_BYTES;
}

bool exchange_body(struct exchange *x, const void *data, size_t size)
{
    bool wanted = !x->refused && (x->route->flags & ROUTE_BODY_JSON);
    if (!x->refused &&
        x->body.size_bytes + x->discarded_bytes + size > x->settings->body_bytes_max) {
        buf_done(&x->body);
        REFUSE(x, PROBLEM_BODY_TOO_LARGE, "The body has more than %zu bytes.",
               x->settings->body_bytes_max);
    } else if (wanted) {
        buf_add(&x->body, data, size);
        if (x->body.failed)
            REFUSE(x, PROBLEM_UNAVAILABLE, "There is no memory for the body.");
        return true;
    }
    x->discarded_bytes += size;
    return x->discarded_bytes <= HTTP_DISCARD_MAX_BYTES;
}

/* ---- the reply ---- */

const char *http_query(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->query_count; i++)
        if (strcmp(request->query[i].name, name) == 0)
            return request->query[i].value;
    return NULL;
}

enum etag_match { ETAG_OTHER, ETAG_ANY, ETAG_PLAIN, ETAG_PACKED };

/* How If-None-Match names `etag`. Both of our forms count, `"x"` and its gzip `"x-gz"`, and weak
 * comparison holds (RFC 9110, 13.1.2). */
static enum etag_match etag_match(const char *header, const char *etag)
{
    size_t size = strlen(etag);
    if (!header || size < 2)
        return ETAG_OTHER;
    for (const char *at = header; *at;) {
        at += strspn(at, " \t,");
        if (at[0] == '*')
            return ETAG_ANY;
        if (at[0] == 'W' && at[1] == '/')
            at += 2;
        if (at[0] != '"')
            return ETAG_OTHER;
        size_t length = strcspn(at + 1, "\"") + 2;
        if (at[length - 1] != '"')
            return ETAG_OTHER;
        if (length == size && memcmp(at, etag, size) == 0)
            return ETAG_PLAIN;
        if (length == size + 3 && memcmp(at, etag, size - 1) == 0 &&
            memcmp(at + size - 1, "-gz\"", 4) == 0)
            return ETAG_PACKED;
        at += length;
    }
    return ETAG_OTHER;
}

bool http_etag_known(const struct http_request *request, const char *etag)
{
    const struct exchange *x = request->impl;
    return strcmp(request->method, "GET") == 0 &&
           etag_match(x->head.if_none_match, etag) != ETAG_OTHER;
}

static bool compressible(const char *content_type)
{
    if (strncmp(content_type, "text/", 5) == 0)
        return !is_events(content_type);
    return strstr(content_type, "json") != NULL;
}

static void set_sent_etag(struct exchange *x, bool packed)
{
    const char *etag = x->reply.etag;
    size_t size = strlen(etag);
    memcpy(x->sent_etag, etag, size + 1);
    if (packed && size >= 2)
        memcpy(x->sent_etag + size - 1, "-gz\"", 5);
}

/* Replaces the body by its gzip; the body stays where there is no memory for that. */
static bool pack_body(struct http_reply *reply)
{
    struct buf packed = BUF_INIT;
    if (!gzip_pack(reply->body.data, reply->body.size_bytes, &packed)) {
        buf_done(&packed);
        return false;
    }
    buf_done(&reply->body);
    reply->body = packed;
    return true;
}

static void finish_etag(struct exchange *x, bool may_pack)
{
    struct http_reply *reply = &x->reply;
    enum etag_match match = ETAG_OTHER;
    if (reply->status == 200 && strcmp(x->request.method, "GET") == 0)
        match = etag_match(x->head.if_none_match, reply->etag);
    if (match == ETAG_OTHER) {
        x->packed = may_pack && pack_body(reply);
        set_sent_etag(x, x->packed);
        return;
    }
    /* The ETag of a 304 says which of the stored representations is still good. */
    set_sent_etag(x, match == ETAG_PACKED || (match == ETAG_ANY && may_pack));
    reply->status = 304;
    buf_reset(&reply->body);
}

/* What is sent was made before, unless the client has it already. */
static void finish_kept(struct exchange *x)
{
    enum etag_match match = etag_match(x->head.if_none_match, x->reply.etag);
    if (match == ETAG_OTHER) {
        x->packed = x->place->packed;
        memcpy(x->sent_etag, x->place->sent_etag, sizeof x->sent_etag);
        return;
    }
    set_sent_etag(x, match == ETAG_PACKED || (match == ETAG_ANY && x->place->packed));
    x->reply.status = 304;
    http_shelf_release(x);
}

/* A body in pieces has no ETag: nobody has seen its end. */
static void finish_stream(struct exchange *x)
{
    struct http_reply *reply = &x->reply;
    if (!take_stream(x)) {
        x->no_memory = reply->body.failed || reply->headers.failed;
        return;
    }
    x->packed = x->accepts_gzip && compressible(reply->content_type);
    x->waits = reply->stream->waits;
    x->written_to = UINTPTR_MAX; /* by the library, for the request */
    x->pump = http_pump_new(reply, x->packed);
    if (x->pump && x->credential)
        x->watch = x->auth->watch(x->auth->closure, x->credential, http_pump_cut, x->pump);
    if (x->pump && (x->watch || !x->credential))
        return;
    if (x->pump) { /* nobody would end it in time */
        http_pump_free(x->pump);
        x->pump = NULL;
        buf_init(&reply->body);
    }
    x->packed = false;
    http_problem(&x->request, reply, PROBLEM_UNAVAILABLE, NO_MEMORY_TEXT);
    x->no_memory = reply->body.failed || reply->headers.failed;
}

static void finish(struct exchange *x)
{
    struct http_reply *reply = &x->reply;
    if (x->auth && (reply->status == 401 || reply->status == 403))
        x->auth->denied(x->auth->closure, &x->request, reply->status);
    if (reply->body.failed || reply->headers.failed) {
        bool memory = reply->body.failed; /* else there were too many headers */
        buf_done(&reply->body);
        http_problem(&x->request, reply, memory ? PROBLEM_UNAVAILABLE : PROBLEM_INTERNAL, "%s",
                     memory ? NO_MEMORY_TEXT : "The answer could not be made.");
        x->no_memory = reply->body.failed || reply->headers.failed;
        if (x->no_memory)
            return;
    }
    if (reply->stream) {
        finish_stream(x);
        return;
    }
    if (x->place) {
        finish_kept(x);
        return;
    }
    bool may_pack = reply->body.size_bytes >= GZIP_MIN_BYTES && x->accepts_gzip &&
                    compressible(reply->content_type);
    if (reply->etag[0])
        finish_etag(x, may_pack);
    else
        x->packed = may_pack && pack_body(reply);
    hold_body(x);
}

enum http_gate_answer exchange_gate(struct exchange *x)
{
    if (x->refused || !x->gate || !(x->route->flags & ROUTE_POSITION))
        return GATE_GO;
    enum http_gate_answer answer =
        x->gate->judge(x->gate->closure, &x->request, &x->reply, x->route->flags, &x->ticket);
    x->refused = answer == GATE_REFUSED;
    return answer;
}

void exchange_call(struct exchange *x)
{
    if (!x->refused) {
        if (x->body.size_bytes > 0) {
            x->request.body = buf_cstr(&x->body);
            x->request.body_bytes = x->body.size_bytes;
        }
        if (x->body.failed)
            REFUSE(x, PROBLEM_UNAVAILABLE, "There is no memory for the body.");
        else if (has_room(x))
            x->route->handler(&x->request, &x->reply);
    }
    finish(x);
}

void exchange_unavailable(struct exchange *x, const char *detail)
{
    REFUSE(x, PROBLEM_UNAVAILABLE, "%s", detail);
    finish(x);
}

/* The vehicle that a request is about; NULL where it is about none, or more. */
static const char *vehicle_of(const struct exchange *x)
{
    static const char pattern[] = "/v1/vehicles/{vid}";
    bool one = x->route && strncmp(x->route->pattern, pattern, sizeof pattern - 1) == 0;
    return one ? x->request.path_param[0] : NULL;
}

void exchange_account(const struct exchange *x)
{
    int status = x->no_memory ? HTTP_NO_MEMORY_STATUS : x->reply.status;
    int64_t took_ns = exchange_clock_ns() - x->started_ns;
    metrics_add(METRIC_HTTP_REQUESTS, x->route_index, metrics_status(status), 1);
    metrics_observe_of(METRIC_HTTP_SECONDS, x->route_index, (double)took_ns / 1e9);
    bool expected = status == 503 && x->route && x->route->flags & ROUTE_PROBE;
    enum log_level level = status >= 500 && !expected ? LOG_WARN : LOG_DEBUG;
    if (!log_enabled(level))
        return;
    const char *vid =
        vehicle_of(x); /* without one its name is not there either, and ends the list */
    log_write(level, "http.request", "method", x->is_head ? "HEAD" : x->request.method, "path",
              x->request.path, "status", LOG_INT(status), "us", LOG_INT(took_ns / 1000), "remote",
              x->request.remote, "request_id", x->request_id, "principal", x->request.principal,
              vid ? "vid" : (char *)0, vid, (char *)0);
}
