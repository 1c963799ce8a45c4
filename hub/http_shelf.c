#include "hub/http_shelf.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SEEN = 2048,
    WAYS = 4, /* places that an answer may stand in */
    SETS = SHELF_PLACES / WAYS,
    RESPONSE_BYTES = 1024, /* of the library's object and its headers */
};

/* One event thread's. */
struct rack {
    struct shelf_place places[SHELF_PLACES];
    uint64_t seen[SEEN]; /* marks that were asked for lately */
    size_t bytes;        /* of all places */
    size_t hand;         /* the place to be emptied next */
    struct rack *next;
};

struct http_shelf {
    uint64_t id;
    pthread_mutex_t lock;
    struct rack *racks;
};

/* A thread serves one server as long as it lives; no two servers have had the same id. */
static _Thread_local struct {
    uint64_t shelf_id;
    struct rack *rack;
} mine;

struct http_shelf *http_shelf_new(void)
{
    static atomic_uint_least64_t last_id;
    struct http_shelf *shelf = calloc(1, sizeof *shelf);
    if (!shelf)
        return NULL;
    shelf->id = atomic_fetch_add(&last_id, 1) + 1;
    pthread_mutex_init(&shelf->lock, NULL);
    return shelf;
}

static void empty(struct rack *rack, struct shelf_place *place)
{
    if (place->response)
        MHD_destroy_response(place->response);
    rack->bytes -= place->bytes;
    *place = (struct shelf_place){0};
}

void http_shelf_free(struct http_shelf *shelf)
{
    if (!shelf)
        return;
    for (struct rack *rack = shelf->racks, *next; rack; rack = next) {
        next = rack->next;
        for (size_t i = 0; i < SHELF_PLACES; i++)
            empty(rack, &rack->places[i]);
        free(rack);
    }
    pthread_mutex_destroy(&shelf->lock);
    free(shelf);
}

/* NULL when there is no memory: nothing is kept then. */
static struct rack *rack_of(struct http_shelf *shelf)
{
    if (mine.shelf_id == shelf->id)
        return mine.rack;
    struct rack *rack = calloc(1, sizeof *rack);
    if (!rack)
        return NULL;
    pthread_mutex_lock(&shelf->lock);
    rack->next = shelf->racks;
    shelf->racks = rack;
    pthread_mutex_unlock(&shelf->lock);
    mine.shelf_id = shelf->id;
    mine.rack = rack;
    return rack;
}

static size_t mixed(const struct exchange *x, uint64_t mark)
{
    return (mark + x->accepts_gzip) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
}

/* Those that it may stand in. */
static struct shelf_place *places_of(struct rack *rack, const struct exchange *x, uint64_t mark)
{
    return &rack->places[mixed(x, mark) % SETS * WAYS];
}

static struct shelf_place *place_with(struct rack *rack, const struct exchange *x, uint64_t mark)
{
    struct shelf_place *places = places_of(rack, x, mark);
    for (size_t i = 0; i < WAYS; i++)
        if (places[i].mark == mark && places[i].gzip == x->accepts_gzip)
            return &places[i];
    return NULL;
}

/* An empty one for it, an old one that is emptied, or NULL: all of them are on their way. */
static struct shelf_place *place_for(struct rack *rack, const struct exchange *x, uint64_t mark)
{
    struct shelf_place *places = places_of(rack, x, mark), *place = place_with(rack, x, mark);
    for (size_t i = 0; i < WAYS && !place; i++)
        if (!places[i].response)
            place = &places[i];
    for (size_t i = 0; i < WAYS && !place; i++)
        if (!places[rack->hand++ % WAYS].busy)
            place = &places[(rack->hand - 1) % WAYS];
    if (!place || place->busy)
        return NULL;
    empty(rack, place);
    return place;
}

/* Empties others until so many bytes have room. False where too much is on its way. */
static bool make_room(struct rack *rack, size_t bytes)
{
    for (size_t looked = 0; rack->bytes + bytes > SHELF_BYTES; looked++) {
        struct shelf_place *place = &rack->places[rack->hand++ % SHELF_PLACES];
        if (looked == SHELF_PLACES)
            return false;
        if (!place->busy)
            empty(rack, place);
    }
    return true;
}

/* What is asked for once is not kept: it would only push out what is hot, here and in the
 * processor's caches. */
static bool seen_before(struct rack *rack, const struct exchange *x, uint64_t mark)
{
    uint64_t *seen = &rack->seen[mixed(x, mark) % SEEN];
    bool before = *seen == mark;
    *seen = mark;
    return before;
}

/* Whether a kept answer has just the headers that the handler has set. */
static bool same_headers(const struct shelf_place *place, const struct http_reply *reply)
{
    const char *at = reply->headers.data, *end = at + reply->headers.size_bytes;
    if (reply->headers.failed || place->header_count != reply->header_count)
        return false;
    while (at < end) {
        if (!MHD_get_response_header(place->response, at))
            return false;
        at += strlen(at) + 1;
        at += strlen(at) + 1;
    }
    return true;
}

bool http_shelf_find(struct http_shelf *shelf, struct exchange *x, uint64_t mark)
{
    struct rack *rack = rack_of(shelf);
    if (!rack)
        return false;
    struct shelf_place *place = place_with(rack, x, mark);
    if (!place || place->busy || !same_headers(place, &x->reply)) {
        x->reply.mark = seen_before(rack, x, mark) ? mark : 0;
        return false;
    }
    place->busy = true;
    x->place = place;
    memcpy(x->reply.etag, place->etag, sizeof x->reply.etag);
    return true;
}

static bool set_header(struct MHD_Response *response, const char *name, const char *value)
{
    const char *have = MHD_get_response_header(response, name);
    if (have && strcmp(have, value) == 0)
        return true;
    return (!have || MHD_del_response_header(response, name, have) == MHD_YES) &&
           MHD_add_response_header(response, name, value) == MHD_YES;
}

struct MHD_Response *http_shelf_response(const struct exchange *x)
{
    const struct buf *headers = &x->reply.headers;
    struct MHD_Response *response = x->place->response;
    const char *at = headers->data, *end = at + headers->size_bytes;
    bool ok = set_header(response, "X-Request-Id", x->request_id);
    while (ok && at < end) {
        const char *value = at + strlen(at) + 1;
        ok = set_header(response, at, value);
        at = value + strlen(value) + 1;
    }
    if (!ok) /* it may lack a header now */
        x->place->mark = 0;
    return ok ? response : NULL;
}

bool http_shelf_put(struct http_shelf *shelf, struct exchange *x, struct MHD_Response *response,
                    size_t body_bytes)
{
    size_t bytes = body_bytes + RESPONSE_BYTES;
    struct rack *rack = body_bytes <= SHELF_BODY_MAX_BYTES ? rack_of(shelf) : NULL;
    struct shelf_place *place = NULL;
    if (rack && make_room(rack, bytes))
        place = place_for(rack, x, x->reply.mark);
    if (!place)
        return false;
    rack->bytes += bytes;
    place->bytes = bytes;
    place->response = response;
    place->mark = x->reply.mark;
    place->header_count = x->reply.header_count;
    place->gzip = x->accepts_gzip;
    place->packed = x->packed;
    memcpy(place->etag, x->reply.etag, sizeof place->etag);
    memcpy(place->sent_etag, x->sent_etag, sizeof place->sent_etag);
    place->busy = true;
    x->place = place;
    return true;
}

void http_shelf_release(struct exchange *x)
{
    if (x->place)
        x->place->busy = false;
    x->place = NULL;
}
