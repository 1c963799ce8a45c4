#include "hub/http_exchange.h"

#include "hub/accept.h"
#include "hub/gzip.h"
#include "hub/http_stream.h"
#include "hub/log.h"
#include "hub/metrics.h"
#include "hub/utf8.h"
#include "twin/timestamp.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

int64_t exchange_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- request ids ---- */

enum { ID_RANDOM_BYTES = 16, ID_POOL_BYTES = 64 * ID_RANDOM_BYTES };

/* Drawn for many requests at a time: a system call for each would cost more than the rest of a
 * small request. */
static void make_request_id(char id[HTTP_REQUEST_ID_BYTES])
{
    static _Thread_local unsigned char pool[ID_POOL_BYTES];
    static _Thread_local size_t used = ID_POOL_BYTES;
    static const char digits[] = "0123456789abcdef";
    if (used == ID_POOL_BYTES) {
        for (size_t have = 0; have < ID_POOL_BYTES;) {
            ssize_t more = getrandom(pool + have, ID_POOL_BYTES - have, 0);
            if (more > 0)
                have += (size_t)more;
        }
        used = 0;
    }
    for (size_t i = 0; i < ID_RANDOM_BYTES; i++, used++) {
        id[2 * i] = digits[pool[used] >> 4];
        id[2 * i + 1] = digits[pool[used] & 15];
    }
    id[2 * ID_RANDOM_BYTES] = '\0';
}

static bool request_id_valid(const char *id)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_.-";
    size_t size = strspn(id, allowed);
    return size > 0 && size < HTTP_REQUEST_ID_BYTES && id[size] == '\0';
}

/* ---- the request ---- */

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
    x->auth = rules->auth;
    x->reply.status = 200;
    x->reply.content_type = "application/json";
    return x;
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

#define REFUSE(x, problem, ...)                                                                    \
    do {                                                                                           \
        (x)->refused = true;                                                                       \
        http_problem(&(x)->request, &(x)->reply, problem, __VA_ARGS__);                            \
    } while (0)

static void judge_head(struct exchange *x, const struct exchange_rules *rules)
{
    x->has_body = x->head.transfer_encoding != NULL;
    if (x->head.content_length) {
        char *end;
        x->content_length = strtoull(x->head.content_length, &end, 10);
        x->has_body = x->has_body || x->content_length > 0;
        /* Two answers to how long a body is let requests be smuggled past a proxy (RFC 9112,
         * 6.3): the connection is of no use any more. */
        if (x->head.transfer_encoding || x->head.two_lengths || *end) {
            REFUSE(x, PROBLEM_BAD_REQUEST, "The length of the body is ambiguous.");
            x->close = true;
        }
    }
    if (!x->refused && x->head.header_bytes > rules->header_bytes_max)
        REFUSE(x, PROBLEM_HEADERS_TOO_LARGE, "The request's header has more than %zu bytes.",
               rules->header_bytes_max);
}

static void join_path(char *out, char *const *segments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *out++ = '/';
        size_t size = strlen(segments[i]);
        memcpy(out, segments[i], size);
        out += size;
    }
    *out = '\0';
}

/* Sets the route, and *query to what is left to be parsed. */
static void judge_path(struct exchange *x, const struct exchange_rules *rules, const char *method,
                       char **query)
{
    char *path, *shown = x->text + strlen(x->text) + 1;
    char *segments[URI_MAX_SEGMENTS];
    size_t count;
    struct route_match match = {0};
    enum uri_error error = uri_split(x->text, &path, query);
    if (error) {
        REFUSE(x, PROBLEM_BAD_REQUEST, "Bad path: %s.", uri_error_text(error));
        return;
    }
    strcpy(shown, path); /* as sent, until it is known to decode; never longer */
    error = uri_path(path, segments, &count);
    if (error == URI_BAD_ESCAPE || error == URI_BAD_TEXT) {
        REFUSE(x, PROBLEM_BAD_REQUEST, "Bad path: %s.", uri_error_text(error));
        return;
    }
    if (error) {
        REFUSE(x, PROBLEM_NOT_FOUND, "There is nothing at this path.");
        return;
    }
    join_path(shown, segments, count);
    switch (route_find(rules->table, method, segments, count, &match)) {
    case ROUTE_NO_PATH:
        REFUSE(x, PROBLEM_NOT_FOUND, "There is nothing at this path.");
        return;
    case ROUTE_NO_METHOD:
        REFUSE(x, PROBLEM_METHOD_NOT_ALLOWED, "This path takes %s.", match.allow);
        http_reply_header(&x->reply, "Allow", "%s", match.allow);
        return;
    case ROUTE_FOUND:
        break;
    }
    x->route = match.route;
    x->route_index = match.index;
    memcpy(x->request.path_param, match.path_param, sizeof match.path_param);
}

/* A client's text in quotes, not too much of it, and no half of a character. */
static void add_shown(struct buf *out, const char *text)
{
    size_t size = strlen(text), shown = 0, taken;
    while (shown < size) {
        utf8_next(text + shown, size - shown, &taken);
        if (shown + taken > HTTP_NAME_SHOWN_BYTES)
            break;
        shown += taken;
    }
    buf_addc(out, '"');
    buf_add(out, text, shown);
    buf_adds(out, shown < size ? "…\"" : "\"");
}

/* The parameters that the gate of the route knows. */
static const char *gate_query(const struct exchange *x)
{
    return x->gate && (x->route->flags & ROUTE_POSITION) ? x->gate->query : "";
}

static bool knows(const struct exchange *x, const char *parameter)
{
    return route_lists(x->route->query, parameter) || route_lists(gate_query(x), parameter);
}

static void refuse_unknown(struct exchange *x)
{
    struct buf names = BUF_INIT;
    const char *own = x->route->query, *more = gate_query(x);
    for (size_t i = 0; i < x->request.query_count; i++) {
        if (knows(x, x->request.query[i].name))
            continue;
        buf_adds(&names, names.size_bytes ? ", " : "");
        add_shown(&names, x->request.query[i].name);
    }
    if (*own || *more)
        REFUSE(x, PROBLEM_UNKNOWN_PARAMETER, "Unknown query parameter %s; this path knows: %s%s%s.",
               buf_cstr(&names), own, *own && *more ? " " : "", more);
    else
        REFUSE(x, PROBLEM_UNKNOWN_PARAMETER, "Unknown query parameter %s; this path knows none.",
               buf_cstr(&names));
    buf_done(&names);
}

static void refuse_repeated(struct exchange *x, const char *name)
{
    struct buf shown = BUF_INIT;
    add_shown(&shown, name);
    REFUSE(x, PROBLEM_BAD_PARAMETER, "The query parameter %s is given more than once.",
           buf_cstr(&shown));
    buf_done(&shown);
}

static void read_query(struct exchange *x, char *query)
{
    struct http_request *request = &x->request;
    enum uri_error error =
        uri_query(query, request->query, HTTP_MAX_QUERY_PARAMS, &request->query_count);
    if (error == URI_TOO_MANY) {
        REFUSE(x, PROBLEM_BAD_PARAMETER, "There are more than %d query parameters.",
               HTTP_MAX_QUERY_PARAMS);
        return;
    }
    if (error)
        REFUSE(x, PROBLEM_BAD_PARAMETER, "Bad query: %s.", uri_error_text(error));
}

static void judge_query(struct exchange *x)
{
    const struct http_request *request = &x->request;
    for (size_t i = 0; i < request->query_count; i++)
        if (!knows(x, request->query[i].name)) {
            refuse_unknown(x);
            return;
        }
    for (size_t i = 0; i < request->query_count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(request->query[i].name, request->query[j].name) == 0) {
                refuse_repeated(x, request->query[i].name);
                return;
            }
}

/* ---- who calls ---- */

/* The token of `access_token=`, which is taken out of the query: it belongs into no link and no
 * text. */
static const char *take_access_token(struct exchange *x)
{
    struct http_request *request = &x->request;
    for (size_t i = 0; i < request->query_count; i++) {
        if (strcmp(request->query[i].name, "access_token") != 0)
            continue;
        const char *token = request->query[i].value;
        request->query_count--;
        memmove(request->query + i, request->query + i + 1,
                (request->query_count - i) * sizeof *request->query);
        return token;
    }
    return NULL;
}

/* What stands behind `Bearer` (RFC 6750); "" for credentials of another kind. */
static const char *bearer_of(const char *authorization)
{
    static const char scheme[] = "Bearer";
    size_t size = strlen(scheme);
    if (strncasecmp(authorization, scheme, size) != 0 || authorization[size] != ' ')
        return "";
    return authorization + size + strspn(authorization + size, " ");
}

static void judge_caller(struct exchange *x)
{
    const char *bearer = x->head.authorization ? bearer_of(x->head.authorization) : NULL;
    if (x->route->flags & ROUTE_SSE) {
        const char *token = take_access_token(x);
        bearer = bearer ? bearer : token;
    }
    if (x->head.two_credentials) {
        REFUSE(x, PROBLEM_BAD_REQUEST, "There is more than one Authorization header.");
        return;
    }
    if (!x->auth->admit(x->auth->closure, x->route, bearer, &x->request, &x->reply, &x->credential))
        x->refused = true;
}

static bool media_type_is(const char *header, const char *type)
{
    size_t size = strlen(type);
    header += strspn(header, " \t");
    if (strncasecmp(header, type, size) != 0)
        return false;
    header += size;
    header += strspn(header, " \t");
    return *header == '\0' || *header == ';';
}

static void judge_body(struct exchange *x, const struct exchange_rules *rules)
{
    const char *type = x->head.content_type;
    if (x->content_length > rules->body_bytes_max)
        REFUSE(x, PROBLEM_BODY_TOO_LARGE, "The body has more than %zu bytes.",
               rules->body_bytes_max);
    else if ((x->route->flags & ROUTE_BODY_JSON) &&
             !(type && (media_type_is(type, "application/json") ||
                        media_type_is(type, "application/merge-patch+json"))))
        REFUSE(x, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
               "The body must be application/json or application/merge-patch+json.");
}

void exchange_judge(struct exchange *x, const struct exchange_rules *rules, const char *method)
{
    char *query = x->text;
    x->is_head = strcmp(method, "HEAD") == 0;
    x->request.method = x->is_head ? "GET" : method;
    if (x->head.request_id && request_id_valid(x->head.request_id))
        memcpy(x->request_id, x->head.request_id, strlen(x->head.request_id) + 1);
    else
        make_request_id(x->request_id);
    judge_head(x, rules);
    if (!x->refused)
        judge_path(x, rules, method, &query);
    if (!x->refused)
        read_query(x, query);
    if (!x->refused && x->auth)
        judge_caller(x);
    if (!x->refused)
        judge_query(x);
    if (!x->refused && x->has_body)
        judge_body(x, rules);
}

bool exchange_discards(const struct exchange *x)
{
    return !x->close && !x->head.expect && x->content_length <= HTTP_DISCARD_MAX_BYTES;
}

bool exchange_body(struct exchange *x, const struct exchange_rules *rules, const void *data,
                   size_t size)
{
    bool wanted = !x->refused && (x->route->flags & ROUTE_BODY_JSON);
    if (!x->refused && x->body.size_bytes + x->discarded_bytes + size > rules->body_bytes_max) {
        buf_done(&x->body);
        REFUSE(x, PROBLEM_BODY_TOO_LARGE, "The body has more than %zu bytes.",
               rules->body_bytes_max);
    } else if (wanted) {
        buf_add(&x->body, data, size);
        if (x->body.failed)
            REFUSE(x, PROBLEM_INTERNAL, "There is no memory for the body.");
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
        return strncmp(content_type, "text/event-stream", 17) != 0;
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

/* A body in pieces has no ETag: nobody has seen its end. */
static void finish_stream(struct exchange *x)
{
    struct http_reply *reply = &x->reply;
    x->packed = accept_gzip(x->head.accept_encoding) && compressible(reply->content_type);
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
    http_problem(&x->request, reply, PROBLEM_INTERNAL, "The answer could not be made.");
    x->no_memory = reply->body.failed || reply->headers.failed;
}

static void finish(struct exchange *x)
{
    struct http_reply *reply = &x->reply;
    if (x->auth && (reply->status == 401 || reply->status == 403))
        x->auth->denied(x->auth->closure, &x->request, reply->status);
    if (reply->body.failed || reply->headers.failed) {
        buf_done(&reply->body);
        http_problem(&x->request, reply, PROBLEM_INTERNAL, "The answer could not be made.");
        x->no_memory = reply->body.failed || reply->headers.failed;
        if (x->no_memory)
            return;
    }
    if (reply->stream) {
        finish_stream(x);
        return;
    }
    bool may_pack = reply->body.size_bytes >= GZIP_MIN_BYTES &&
                    accept_gzip(x->head.accept_encoding) && compressible(reply->content_type);
    if (reply->etag[0])
        finish_etag(x, may_pack);
    else
        x->packed = may_pack && pack_body(reply);
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
            REFUSE(x, PROBLEM_INTERNAL, "There is no memory for the body.");
        else
            x->route->handler(&x->request, &x->reply);
    }
    finish(x);
}

void exchange_unavailable(struct exchange *x, const char *detail)
{
    REFUSE(x, PROBLEM_UNAVAILABLE, "%s", detail);
    finish(x);
}

void exchange_account(const struct exchange *x)
{
    int status = x->no_memory ? 500 : x->reply.status;
    metrics_add(METRIC_HTTP_REQUESTS, x->route_index, metrics_status(status), 1);
    bool expected = status == 503 && x->route && x->route->flags & ROUTE_PROBE;
    enum log_level level = status >= 500 && !expected ? LOG_WARN : LOG_DEBUG;
    if (!log_enabled(level))
        return;
    log_write(level, "http.request", "method", x->is_head ? "HEAD" : x->request.method, "path",
              x->request.path, "status", LOG_INT(status), "us",
              LOG_INT((exchange_clock_ns() - x->started_ns) / 1000), "remote", x->request.remote,
              "request_id", x->request_id, (char *)0);
}
