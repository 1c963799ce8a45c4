/*
 * http: the HTTP server: connections, parsing of requests, dispatch by a table of routes,
 * conventions that hold for every answer (contract §5). The one file that includes microhttpd.h is
 * http.c. What a route means lives in api_*.c.
 *
 * A reply whose body or headers ran out of memory (`failed`) is answered with a 503. An answer with
 * an ETag gets `Cache-Control: no-cache`, any other `no-store`, unless the handler sets its own.
 *
 * What the server does for every route, so that no handler does it again: request ids; 404, 405
 * with Allow; unknown and repeated query parameters are a 400 that names them; Content-Type and
 * size of bodies; problem+json; HEAD; If-None-Match against the handler's ETag (304); gzip where
 * the client accepts it; security headers; metrics per route and status; the access log line.
 *
 * A request has to come, and a reply to be taken, in its time (hub/http_deadline.h); streams,
 * exports and replies that wait to be taken are bounded for each principal (hub/http_shares.h).
 *
 * A reply may be a stream that goes on as things happen (HTTP_WAIT): its connection costs no thread
 * while it waits. A route may have to wait before its handler is called (ROUTE_POSITION): neither
 * does that.
 *
 * Threads: a fast handler runs on one of the server's event threads and must not block. A handler
 * marked ROUTE_BLOCKING (PostgreSQL) runs on a pool of workers while its connection is suspended,
 * one marked ROUTE_SCAN (the whole fleet in memory) on another, one marked ROUTE_NATS (writes) on a
 * third: queries wait for neither, and writes never wait for PostgreSQL.
 * Ownership: the request and all it points to live until the handler returns, and beside a stream
 * until that is freed; the reply's body and stream are taken over by the server.
 */
#ifndef HUB_HTTP_H
#define HUB_HTTP_H

#include "twin/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;
struct viewer;    /* twin/viewer.h: which vehicles and parts the caller may see */
struct principal; /* hub/access_set.h: who calls */

enum { HTTP_MAX_PATH_PARAMS = 3, HTTP_MAX_QUERY_PARAMS = 32, HTTP_REQUEST_ID_BYTES = 33 };

struct http_param {
    const char *name, *value; /* decoded, NUL-terminated */
};

struct http_request {
    void *app;                                    /* what http_start was given */
    const char *method;                           /* "GET" also for a HEAD */
    const char *path;                             /* without the query; decoded, where it can be */
    const char *path_param[HTTP_MAX_PATH_PARAMS]; /* in the order of the pattern's {…} */
    struct http_param query[HTTP_MAX_QUERY_PARAMS];
    size_t query_count;
    const char *body;
    size_t body_bytes;
    const char *accept; /* the header, "" where absent */
    const char *request_id;
    const char *remote;             /* the peer's address */
    const struct viewer *viewer;    /* what the caller may see, or do, as far as the route goes */
    const char *principal;          /* who calls; `local` with access off */
    const struct principal *caller; /* all that he may; NULL with access off: everything */
    void *impl;
};
/* A query parameter's value, NULL where it was not given. */
const char *http_query(const struct http_request *request, const char *name);
/* Any request header, NULL where absent. */
const char *http_header(const struct http_request *request, const char *name);

/* Whether the client has left while it was waiting for an answer, or for more of a stream that
 * waits: it has closed its side of the connection. From a handler that blocks, or any thread until
 * the stream is freed. */
bool http_gone(const struct http_request *request);

/* Whether If-None-Match names this ETag: the answer will be a 304, and the handler may leave the
 * body out. It sets `reply->etag` all the same. */
bool http_etag_known(const struct http_request *request, const char *etag);

enum { HTTP_MAX_REPLY_HEADERS = 8, HTTP_MAX_REPLY_HEADER_BYTES = 10 * 1024, HTTP_ETAG_BYTES = 80 };

/* A body that is made while it is sent, for what is too large to be held at once, or is not known
 * yet. A member of something of the handler's. */
enum http_more { HTTP_MORE, HTTP_END, HTTP_FAILED, HTTP_WAIT };
struct http_pump;
struct http_stream {
    /* Appends the next piece, of some 64 KiB at most, on an event thread: it must not block.
     * HTTP_FAILED, or a buffer that failed, cuts the connection: the client sees that the body is
     * not whole. HTTP_WAIT: there is nothing now; it is called again after http_stream_wake. That
     * the client has gone is noticed by sending to it alone, so a stream that waits sends
     * something now and then. */
    enum http_more (*next)(struct http_stream *stream, struct buf *out);
    void (*free)(struct http_stream *stream); /* called once, also where nothing was sent */
    bool waits;                               /* it may say HTTP_WAIT */
    bool endless; /* of events: to be ended at any time is no sign that something is missing */
    _Atomic(struct http_pump *) pump; /* the server's; NULL at first */
};
/* There is something, or may be. Any thread, until `free` is called. */
void http_stream_wake(struct http_stream *stream);

struct http_reply {
    int status;               /* 200 unless set */
    const char *content_type; /* a literal; application/json unless set */
    struct buf body;
    char etag[HTTP_ETAG_BYTES]; /* strong, with its quotes; "" for none */
    struct buf headers;         /* written by http_reply_header alone */
    size_t header_count;
    struct http_stream *stream; /* what follows `body`; NULL: nothing does */
    uint64_t mark;              /* http_kept's */
};
/* Sets a header, in the place of one of that name. `name` is a literal; control characters in the
 * value become blanks. Beyond HTTP_MAX_REPLY_HEADERS or HTTP_MAX_REPLY_HEADER_BYTES in all the
 * reply becomes a 500. */
void http_reply_header(struct http_reply *reply, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a value as it is. */
void http_reply_header_text(struct http_reply *reply, const char *name, const char *value);

/* Whether the server has kept the answer of that mark, headers and ETag of which are not to be
 * changed then: it sends that, and the handler is done. Where it has not, the handler makes the
 * answer, with an ETag, and the server may keep it (hub/http_shelf.h). A mark is never 0, and names
 * one content for the life of the server. Called when the headers are set, which are those of any
 * answer of the mark, but for their values. */
bool http_kept(const struct http_request *request, struct http_reply *reply, uint64_t mark);

typedef void http_handler(const struct http_request *request, struct http_reply *reply);

enum http_route_flags {
    ROUTE_BLOCKING = 1 << 0,  /* runs on a worker */
    ROUTE_OPEN = 1 << 1,      /* needs no token: livez, readyz, version, openapi.json */
    ROUTE_METRICS = 1 << 2,   /* needs a token only off loopback */
    ROUTE_BODY_JSON = 1 << 3, /* takes a JSON object as its body */
    ROUTE_SCAN = 1 << 4,      /* reads much of memory: runs on a worker of another pool */
    ROUTE_POSITION = 1 << 5,  /* the gate is asked before its handler is called */
    ROUTE_ARCHIVE = 1 << 6,   /* with that: what it reads is the record, not the twins */
    ROUTE_NATS = 1 << 7,      /* waits for NATS: runs on a worker of a third pool */
    ROUTE_PROBE = 1 << 12,    /* asked all the time: its 503 is an answer, and nothing to log */
    ROUTE_SSE = 1 << 8,       /* for browsers, which cannot send a header: takes access_token= */
    /* What the caller has to be allowed (contract §6); none of them: reading. */
    ROUTE_AUDIT = 1 << 9,
    ROUTE_OPERATE = 1 << 10,
    ROUTE_ADMIN = 1 << 11,
};

/* What routes with ROUTE_POSITION wait for, with no thread to wait on: hub/position_gate.h. */
enum http_gate_answer { GATE_GO, GATE_REFUSED, GATE_WAIT };
struct http_gate {
    const char *query; /* parameters that such routes know beside their own, blank separated */
    void *closure;
    /* On an event thread; must not block. GATE_REFUSED: the problem is in the reply. GATE_WAIT: for
     * what *ticket says; NULL at first. When that is over it is called again, and decides. `flags`
     * are the route's. */
    enum http_gate_answer (*judge)(void *closure, const struct http_request *request,
                                   struct http_reply *reply, unsigned flags, void **ticket);
    /* Calls over(waiter) once, on any thread, also at once. */
    void (*wait)(void *closure, void *ticket, void (*over)(void *waiter), void *waiter);
    void (*drop)(void *ticket);
};

struct http_route;
/* Who may call: hub/access_http.h. */
struct http_auth {
    void *closure;
    /* Judges who calls a route, by the request's bearer token (NULL: there is none). True: sets
     * viewer, principal and caller of the request, and *credential, which is released when the
     * request has ended. False: the problem is in the reply. On an event thread; must not block. */
    bool (*admit)(void *closure, const struct http_route *route, const char *bearer,
                  struct http_request *request, struct http_reply *reply, void **credential);
    void (*release)(void *credential);
    /* A 401 or 403 is about to be sent. */
    void (*denied)(void *closure, const struct http_request *request, int status);
    /* Calls cut(what) when a credential is void, unless the watch (never NULL, but for want of
     * memory) has ended; unwatch waits for a call that runs. */
    void *(*watch)(void *closure, void *credential, void (*cut)(void *what), void *what);
    void (*unwatch)(void *closure, void *watch);
};

/* One line of the table of routes; routes.c holds the table, and everything else about routes
 * (dispatch, Allow, metrics labels, the check against the OpenAPI document) comes from it. */
struct http_route {
    const char *method;
    const char *pattern; /* "/v1/vehicles/{vid}/state/{type}", "/v1/commands/{id}:cancel" */
    http_handler *handler;
    unsigned flags;
    const char *query; /* parameters it knows, blank separated; "" for none */
};

/* ---- errors: RFC 9457 ---- */

#define PROBLEM_TABLE(X)                                                                           \
    X(BAD_REQUEST, 400, "bad-request", "Bad request")                                              \
    X(UNKNOWN_PARAMETER, 400, "unknown-parameter", "Unknown query parameter")                      \
    X(BAD_PARAMETER, 400, "bad-parameter", "Bad query parameter")                                  \
    X(BAD_FILTER, 400, "bad-filter", "Bad filter")                                                 \
    X(BAD_PAGE_TOKEN, 400, "bad-page-token", "Bad page token")                                     \
    X(UNAUTHORIZED, 401, "unauthorized", "Authentication required")                                \
    X(FORBIDDEN, 403, "forbidden", "Not allowed")                                                  \
    X(NOT_FOUND, 404, "not-found", "Not found")                                                    \
    X(UNKNOWN_VEHICLE, 404, "unknown-vehicle", "Unknown vehicle")                                  \
    X(METHOD_NOT_ALLOWED, 405, "method-not-allowed", "Method not allowed")                         \
    X(NOT_ACCEPTABLE, 406, "not-acceptable", "Not acceptable")                                     \
    X(OTHER_EPOCH, 410, "other-epoch", "Position of another epoch")                                \
    X(CONFLICT, 409, "conflict", "Not as things are")                                              \
    X(PRECONDITION_FAILED, 412, "precondition-failed", "It changed meanwhile")                     \
    X(BODY_TOO_LARGE, 413, "body-too-large", "Body too large")                                     \
    X(NO_TARGETS, 422, "no-targets", "No vehicles to send to")                                     \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "unsupported-media-type", "Unsupported media type")             \
    X(TOO_MANY_REQUESTS, 429, "too-many-requests", "Too many requests")                            \
    X(HEADERS_TOO_LARGE, 431, "headers-too-large", "Header fields too large")                      \
    X(INTERNAL, 500, "internal", "Internal error")                                                 \
    X(UNAVAILABLE, 503, "unavailable", "Temporarily unavailable")                                  \
    X(NOT_REACHED, 504, "not-reached", "Position not reached")                                     \
    X(TOO_BROAD, 504, "too-broad", "Too much to look at")

enum problem {
#define X(id, status, slug, title) PROBLEM_##id,
    PROBLEM_TABLE(X)
#undef X
        PROBLEM_COUNT
};

/* Turns the reply into that problem, with a detail that says what to do. What the handler had
 * written before is dropped, headers too. `type` is the reference "/problems/<slug>": the full
 * path, so that it means the same below every route (RFC 9457, 3.1.1). A 503 gets
 * `Retry-After: 1`. */
void http_problem(const struct http_request *request, struct http_reply *reply,
                  enum problem problem, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for a text of the client's that cannot be read, with the members `offset` and, unless
 * it is empty, `hint`. `parameter` is where the text stood. */
struct text_error; /* twin/geo.h */
void http_problem_text(const struct http_request *request, struct http_reply *reply,
                       enum problem problem, const char *parameter, const struct text_error *error);

/* ---- the server ---- */

/* What may change while it runs. `header_bytes_max` holds up to what the server was started with.
 */
struct http_settings {
    unsigned connections_max, per_address_max;
    size_t header_bytes_max, body_bytes_max;
    unsigned request_ms; /* for all of a request, from its first line on; 0: any time */
    unsigned reply_ms;   /* for a piece of a reply to be taken; 0: any time */
    unsigned streams_per_principal, exports_per_principal; /* open at a time; 0: any number */
    /* Web origins whose pages may call from a browser ("https://ops.example.org"), NULL-terminated;
     * NULL: none. Credentials travel in a header, so an origin gets no more than its user has. They
     * outlive the server, also when others take their place. */
    char *const *cors_origins;
    /* Where the server listens, while access is off: requests for another host, and changes from
     * pages of other sites, are refused then (hub/http_site.h). NULL: they are not. */
    const char *open_at;
    const struct http_auth *auth; /* NULL: access is off */
};

struct http_options {
    const char *listen; /* "127.0.0.1:8480", "[::1]:0"; port 0: any free one */
    struct http_settings settings;
    unsigned event_threads, workers;
    unsigned scan_workers, nats_workers; /* 0: such routes run on a worker like the others */
    size_t queue_max; /* requests waiting for a worker of each pool; one more is a 503 */
    const struct http_route *routes;
    size_t route_count; /* the table outlives the server */
    void *app;
    const struct viewer *viewer;  /* given to every request while access is off */
    const struct http_gate *gate; /* NULL: nothing is waited for */
    const char *tls_certificate_file, *tls_key_file; /* PEM; NULL: no TLS */
};
/* NULL, and text in `error`, when it cannot listen. */
struct http *http_start(const struct http_options *options, char error[256]);
/* The port it listens on. */
uint16_t http_port(const struct http *http);
/* Holds for connections and requests that come from now on. Any thread. */
void http_set(struct http *http, const struct http_settings *settings);
/* Every reply is its connection's last from now on, so that clients go elsewhere. */
void http_leave(struct http *http);
/* Stops accepting, lets running requests finish (bounded by timeout_ms), ends the rest and frees
 * the server. False: a blocking handler did not return in time. It still runs, everything else is
 * refused, and nothing is freed: call again, or end the process without freeing what handlers
 * use. NULL is stopped. */
bool http_stop(struct http *http, int timeout_ms);

#endif
