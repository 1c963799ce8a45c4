/* What is judged of a request before its handler is called (hub/http_exchange.h). */
#include "hub/http_exchange.h"

#include "hub/accept.h"
#include "hub/http_site.h"
#include "hub/metrics.h"
#include "hub/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { PREFLIGHT_MAX_AGE_S = 7200 };

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
/* ---- head, path and query ---- */

static void judge_head(struct exchange *x)
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
    if (!x->refused && x->head.two_hosts) /* RFC 9112, 3.2 */
        REFUSE(x, PROBLEM_BAD_REQUEST, "There is more than one Host header.");
    if (!x->refused && x->head.header_bytes > x->settings->header_bytes_max)
        REFUSE(x, PROBLEM_HEADERS_TOO_LARGE, "The request's header has more than %zu bytes.",
               x->settings->header_bytes_max);
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

/* While access is off. Which port of this machine Host names does not matter: the page of another
 * port is of another origin to its browser all the same. */
static void judge_site(struct exchange *x)
{
    const char *open_at = x->settings->open_at;
    if (!open_at || x->route->flags & ROUTE_OPEN)
        return;
    if (!site_host_is_ours(x->head.host, open_at))
        REFUSE(x, PROBLEM_FORBIDDEN,
               "While auth.mode is off the hub answers only to localhost and its own address, so "
               "that no page of a browser gets at it by another name. Ask for one of them in Host, "
               "or set auth.mode to tokens.");
    else if (strcmp(x->request.method, "GET") != 0 && x->head.origin && !x->cors &&
             !site_origin_is_host(x->head.origin, x->head.host))
        REFUSE(x, PROBLEM_FORBIDDEN,
               "While auth.mode is off a page of another origin may change nothing. Add its origin "
               "to http.cors_origins, or set auth.mode to tokens.");
    if (x->refused)
        metrics_inc(METRIC_ACCESS_DENIED, DENIED_FORBIDDEN);
}

static void judge_caller(struct exchange *x)
{
    const char *bearer = x->head.authorization ? bearer_of(x->head.authorization) : NULL;
    if (x->route->flags & ROUTE_SSE) {
        const char *token = take_access_token(x);
        bearer = bearer ? bearer : token;
    }
    if (!x->auth) { /* then a credential of either kind means nothing */
        judge_site(x);
        return;
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

static void judge_body(struct exchange *x)
{
    const char *type = x->head.content_type;
    if (x->content_length > x->settings->body_bytes_max)
        REFUSE(x, PROBLEM_BODY_TOO_LARGE, "The body has more than %zu bytes.",
               x->settings->body_bytes_max);
    else if ((x->route->flags & ROUTE_BODY_JSON) &&
             !(type && (media_type_is(type, "application/json") ||
                        media_type_is(type, "application/merge-patch+json"))))
        REFUSE(x, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
               "The body must be application/json or application/merge-patch+json.");
}

/* ---- pages of other origins ---- */

/* Whether a browser may hand the reply to the page that asked. */
static bool origin_allowed(const struct http_settings *settings, const char *origin)
{
    for (char *const *at = settings->cors_origins; origin && at && *at; at++)
        if (strcmp(*at, "*") == 0 || strcmp(*at, origin) == 0)
            return true;
    return false;
}

/* A browser asks beforehand (Fetch, 4.8): the answer is the server's, and no handler's. True where
 * this is such a question. */
static bool preflight(struct exchange *x, const char *method)
{
    if (!x->cors || !x->head.preflight || strcmp(method, "OPTIONS") != 0)
        return false;
    x->refused = true; /* nothing is left to be judged */
    x->reply.status = 204;
    http_reply_header(&x->reply, "Access-Control-Allow-Methods", "GET, PUT, PATCH, POST, DELETE");
    http_reply_header(&x->reply, "Access-Control-Allow-Headers",
                      "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, "
                      "Last-Event-ID, X-Request-Id");
    http_reply_header(&x->reply, "Access-Control-Max-Age", "%d", PREFLIGHT_MAX_AGE_S);
    return true;
}

void exchange_judge(struct exchange *x, const struct exchange_rules *rules, const char *method)
{
    char *query = x->text;
    x->accepts_gzip = accept_gzip(x->head.accept_encoding);
    x->cors = origin_allowed(x->settings, x->head.origin);
    x->is_head = strcmp(method, "HEAD") == 0;
    x->request.method = x->is_head ? "GET" : method;
    if (x->head.request_id && request_id_valid(x->head.request_id))
        memcpy(x->request_id, x->head.request_id, strlen(x->head.request_id) + 1);
    else
        make_request_id(x->request_id);
    judge_head(x);
    if (!x->refused && preflight(x, method))
        return;
    if (!x->refused)
        judge_path(x, rules, method, &query);
    if (!x->refused)
        read_query(x, query);
    if (!x->refused)
        judge_caller(x);
    if (!x->refused)
        judge_query(x);
    if (!x->refused && x->has_body)
        judge_body(x);
}
