/*
 * http_exchange: one request and its reply, from the request line to what is sent: the part of the
 * HTTP server that knows no library. http.c feeds it and sends what it leaves.
 *
 * Order: exchange_new; the fields of `head`; exchange_judge; exchange_body for each piece of a
 * body; exchange_call; then `reply` is final and `sent_etag`, `packed`, `no_memory` say the rest.
 *
 * Ownership: http.c owns an exchange, from the request line until the connection is done with it.
 * Threads: one at a time: an event thread, a worker while the connection is suspended, the event
 *          thread again; the library's suspend and resume order their memory.
 */
#ifndef HUB_HTTP_EXCHANGE_H
#define HUB_HTTP_EXCHANGE_H

#include "hub/http.h"
#include "hub/http_deadline.h"
#include "hub/http_route.h"
#include "hub/http_shares.h"
#include "hub/workers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Connection;
struct shelf_place;

enum {
    HTTP_REMOTE_BYTES = 48,           /* an address as text */
    HTTP_DISCARD_MAX_BYTES = 8 << 20, /* of a refused body, read so that the reply is heard */
    HTTP_NAME_SHOWN_BYTES = 64,       /* of a client's text in a problem's detail */
    HTTP_SENT_ETAG_BYTES = HTTP_ETAG_BYTES + 3 /* `-gz` */
};

/* Of the answer that is made before it is needed, for want of memory for any other. */
enum { HTTP_NO_MEMORY_STATUS = 503 };

enum exchange_phase {
    EXCHANGE_NEW,    /* the request line is there */
    EXCHANGE_BODY,   /* the rest of the request is on its way */
    EXCHANGE_GATED,  /* it waits for what the gate said */
    EXCHANGE_CALLED, /* the handler was called, or is about to be, on a worker */
};

/* What the exchange has of its principal's share while it lasts. */
enum exchange_share { EXCHANGE_NO_SHARE, EXCHANGE_STREAM, EXCHANGE_EXPORT };

struct exchange {
    struct http_request request;
    struct http_reply reply;
    struct worker_job job;
    struct http *http;
    struct MHD_Connection *connection;
    enum exchange_phase phase;

    /* What the header says; strings are the connection's, NULL where absent. */
    struct {
        const char *accept_encoding, *content_type, *if_none_match, *request_id, *expect;
        const char *content_length, *transfer_encoding, *authorization;
        const char *origin, *preflight; /* preflight: Access-Control-Request-Method */
        const char *host;
        size_t header_bytes;
        bool two_lengths, two_credentials, two_hosts;
    } head;
    uint64_t content_length;

    const struct http_route *route; /* NULL: none was found */
    size_t route_index;             /* the label of the metrics */
    bool is_head, has_body;
    bool refused; /* the reply is a problem already, no handler is called */
    bool close;   /* the connection ends with the reply */
    struct buf body;
    uint64_t discarded_bytes;
    const struct http_gate *gate;
    void *ticket; /* the gate's */
    const struct exchange_rules *rules;
    const struct http_settings *settings; /* of the rules, as they were when it began */
    const struct http_auth *auth;         /* the settings' */
    void *credential, *watch;             /* the auth's */

    bool accepts_gzip;
    struct shelf_place *place; /* the kept answer that this is, or becomes (hub/http_shelf.h) */
    bool cors;                 /* the page's origin may read the reply */
    bool packed;               /* the reply's body is gzip */
    struct http_pump *pump;    /* sends the body in pieces; NULL: it is whole */
    bool waits;                /* with pauses */
    uintptr_t written_to;      /* of the buffer for it, since its last pause */
    bool no_memory;            /* not even for a problem: `reply` is void */
    char sent_etag[HTTP_SENT_ETAG_BYTES];

    bool counted;                   /* among the requests that http_stop waits for */
    struct http_deadline *deadline; /* of the connection; NULL: it has none */
    struct http_shares *shares;     /* the server's */
    enum exchange_share share;      /* what of it this exchange has */
    size_t held_bytes;              /* of the reply, until it is sent */
    int64_t started_ns;
    char request_id[HTTP_REQUEST_ID_BYTES];
    size_t room_bytes; /* of `text` */
    char text[];       /* the target, taken apart in place, and the decoded path */
};

/* The bounds and the table that requests are judged by. */
struct exchange_rules {
    const struct route_table *table;
    size_t route_count;
    _Atomic(const struct http_settings *) settings; /* each request keeps to those it began with */
    void *app;
    const struct viewer *viewer;
    const struct http_gate *gate;
    struct http_shares *shares;
};

/* Whether access was off when it began, and is not any more: what goes on for long ends then. */
static inline bool exchange_is_stranger(const struct exchange *x)
{
    return !x->auth && atomic_load(&x->rules->settings)->auth;
}

/* A new exchange, in the memory of an ended one where that is given and large enough; `spare` is
 * taken over either way. NULL when there is no memory. `target` is copied. */
struct exchange *exchange_new(const struct exchange_rules *rules, struct exchange *spare,
                              const char *target);
/* Releases what it holds, but not its own memory. */
void exchange_end(struct exchange *x);
void exchange_free(struct exchange *x); /* an ended one */

/* Finds the route and refuses what no handler should see. */
void exchange_judge(struct exchange *x, const struct exchange_rules *rules, const char *method);
/* Whether a refused body is to be read to its end, or the reply sent at once and the connection
 * closed. */
bool exchange_discards(const struct exchange *x);
/* One piece of the body; false: give the connection up. */
bool exchange_body(struct exchange *x, const void *data, size_t size);
/* Whether the request may go on, as far as the route has a gate. Not GATE_GO: it is refused, or has
 * to wait for x->ticket. */
enum http_gate_answer exchange_gate(struct exchange *x);
/* Calls the handler, unless the request was refused, and makes the reply ready to be sent. */
void exchange_call(struct exchange *x);
/* Turns the exchange into a refusal for want of capacity, ready to be sent. */
void exchange_unavailable(struct exchange *x, const char *detail);
/* Counts and logs the reply. */
void exchange_account(const struct exchange *x);

int64_t exchange_clock_ns(void);

/* The reply is this problem, and no handler is called. */
#define REFUSE(x, problem, ...)                                                                    \
    do {                                                                                           \
        (x)->refused = true;                                                                       \
        http_problem(&(x)->request, &(x)->reply, problem, __VA_ARGS__);                            \
    } while (0)

#endif
