/*
 * http_shelf: answers that are kept ready to be sent, as long as what they tell has not changed.
 *
 * A handler names the content of its answer by a mark (http_kept in hub/http.h). The shelf keeps
 * the library's response of the last answers, with their bodies, compressed or not as they were
 * sent; of its headers only those that differ from request to request are set anew.
 *
 * Limits: each event thread has a shelf of its own, SHELF_PLACES answers of at most
 *         SHELF_BODY_MAX_BYTES, SHELF_BYTES in all. What is asked for a second time is kept, in the
 *         place of others. An answer that is on its way belongs to that request alone until it has
 * been sent; whoever asks for the same meanwhile gets one that is made for him. Threads: the event
 * threads of one server; freed when they have ended.
 */
#ifndef HUB_HTTP_SHELF_H
#define HUB_HTTP_SHELF_H

#include "hub/http_exchange.h"

struct MHD_Response;

enum { SHELF_PLACES = 1024, SHELF_BODY_MAX_BYTES = 8 * 1024, SHELF_BYTES = 2 << 20 };

struct http_shelf;
struct http_shelf *http_shelf_new(void);
void http_shelf_free(struct http_shelf *shelf);

/* One kept answer. */
struct shelf_place {
    uint64_t mark;                 /* 0: the place is empty */
    struct MHD_Response *response; /* whose body and headers are the answer */
    size_t header_count;           /* of the handler's own */
    size_t bytes;                  /* of memory, roughly */
    bool gzip;                     /* made for one who accepts it */
    bool packed;                   /* and is gzip */
    bool busy;                     /* some exchange has it */
    char etag[HTTP_ETAG_BYTES], sent_etag[HTTP_SENT_ETAG_BYTES];
};

/* The exchange takes the kept answer to its request, if there is one (x->place). Else its reply has
 * the mark if it is to be kept. */
bool http_shelf_find(struct http_shelf *shelf, struct exchange *x, uint64_t mark);
/* The response of x->place, with the headers of this request; NULL: no memory. */
struct MHD_Response *http_shelf_response(const struct exchange *x);
/* Keeps what was just made for the exchange, which has it (x->place). False: it does not, and the
 * response stays the caller's. */
bool http_shelf_put(struct http_shelf *shelf, struct exchange *x, struct MHD_Response *response,
                    size_t body_bytes);
/* The exchange has been sent, or does without it. */
void http_shelf_release(struct exchange *x);

#endif
