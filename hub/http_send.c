#include "hub/http_send.h"

#include "hub/http_shelf.h"
#include "hub/http_stream.h"

#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    STREAM_BLOCK_BYTES = 32 * 1024,
    REPLY_LEAST_RATE = 16 * 1024, /* bytes a second at which a long reply may be taken */
    WAITING_BLOCK_BYTES = 64, /* kept for as long as the stream is open; HTTP/1.0 alone uses it */
};

/* On every reply. There is nothing in an API that a browser should run, frame or guess at. */
static const struct {
    const char *name, *value;
} fixed_headers[] = {
    {"X-Content-Type-Options", "nosniff"},
    {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
    {"Referrer-Policy", "no-referrer"},
};

static const char no_memory_body[] =
    "{\"type\":\"/problems/unavailable\",\"title\":\"Temporarily unavailable\",\"status\":503,"
    "\"detail\":\"There is no memory for the answer. Try again shortly.\",\"request_id\":null}";

static bool add_fixed_headers(struct MHD_Response *response)
{
    for (size_t i = 0; i < sizeof fixed_headers / sizeof fixed_headers[0]; i++)
        if (MHD_add_response_header(response, fixed_headers[i].name, fixed_headers[i].value) !=
            MHD_YES)
            return false;
    return true;
}

/* The handler's own headers; *caching is set when Cache-Control is among them. */
static bool add_own_headers(struct MHD_Response *response, const struct buf *headers, bool *caching)
{
    const char *at = headers->data, *end = at + headers->size_bytes;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        *caching = *caching || strcasecmp(at, "Cache-Control") == 0;
        if (MHD_add_response_header(response, at, value) != MHD_YES)
            return false;
        at = value + strlen(value) + 1;
    }
    return true;
}

static bool add_cors(const struct exchange *x, struct MHD_Response *response)
{
    return MHD_add_response_header(response, "Access-Control-Allow-Origin", x->head.origin) &&
           MHD_add_response_header(response, "Access-Control-Expose-Headers",
                                   "ETag, Link, Location, Fleet-Position, Retry-After, "
                                   "X-Request-Id") &&
           MHD_add_response_header(response, "Vary", "Origin");
}

static bool add_headers(const struct exchange *x, struct MHD_Response *response,
                        const struct http_sender *sender)
{
    const struct http_reply *reply = &x->reply;
    bool caching = false;
    bool ok = add_fixed_headers(response);
    if (reply->headers.size_bytes > 0)
        ok = ok && add_own_headers(response, &reply->headers, &caching);
    if (reply->status != 204 && reply->status != 304)
        ok = ok && MHD_add_response_header(response, "Content-Type", reply->content_type);
    if (!caching)
        ok = ok && MHD_add_response_header(response, "Cache-Control",
                                           x->sent_etag[0] ? "no-cache" : "no-store");
    if (x->sent_etag[0])
        ok = ok && MHD_add_response_header(response, "ETag", x->sent_etag);
    if (x->packed)
        ok = ok && MHD_add_response_header(response, "Content-Encoding", "gzip");
    if (x->cors)
        ok = ok && add_cors(x, response);
    if (sender->tls)
        ok = ok &&
             MHD_add_response_header(response, "Strict-Transport-Security", "max-age=31536000");
    if (x->close || atomic_load(&sender->draining) || atomic_load(&sender->leaving))
        ok = ok && MHD_add_response_header(response, "Connection", "close");
    return ok && MHD_add_response_header(response, "Vary", "Accept-Encoding") &&
           MHD_add_response_header(response, "X-Request-Id", x->request_id);
}

static void resume(void *closure)
{
    struct exchange *x = closure;
    MHD_resume_connection(x->connection);
}

/* A body that waits may wait for hours, ten thousand of them at once: the whole pages of the buffer
 * that it was offered, which holds nothing, are given back to the system. They come again, empty,
 * when they are written to; so where none of them was written to they need not be given back. */
static void give_back(struct exchange *x, char *out, size_t room)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t at = (uintptr_t)out, first = (at + page - 1) / page * page;
    uintptr_t end = (at + room) / page * page;
    if (end > first && x->written_to > first)
        madvise(out + (first - at), end - first, MADV_DONTNEED);
    x->written_to = 0;
}

static ssize_t read_pump(void *closure, uint64_t at, char *out, size_t room)
{
    struct exchange *x = closure;
    (void)at;
    if (exchange_is_stranger(x)) /* a stream is asked at its next heartbeat, at the latest */
        http_pump_cut(x->pump);
    ssize_t size = http_pump_read(x->pump, out, room);
    if (size > 0) {
        uintptr_t end = (uintptr_t)out + (size_t)size;
        http_deadline_set(x->deadline, x->settings->reply_ms); /* to take this piece */
        x->written_to = end > x->written_to ? end : x->written_to;
        return size;
    }
    if (size == PUMP_WAIT) {
        give_back(x, out, room);
        http_deadline_set(x->deadline, 0);
        /* Suspended first: from the parking on, any thread may resume it. */
        MHD_suspend_connection(x->connection);
        if (!http_pump_park(x->pump, resume, x))
            MHD_resume_connection(x->connection);
        return 0;
    }
    return size == PUMP_END ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static struct MHD_Response *create_response(struct exchange *x)
{
    const struct buf *body = &x->reply.body;
    if (x->pump) /* freed with the exchange, which outlives the sending */
        return MHD_create_response_from_callback(
            MHD_SIZE_UNKNOWN, x->waits ? WAITING_BLOCK_BYTES : STREAM_BLOCK_BYTES, read_pump, x,
            NULL);
    if (body->size_bytes > 0)
        return MHD_create_response_from_buffer(body->size_bytes, body->data, MHD_RESPMEM_MUST_FREE);
    return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
}

/* The reply as the library wants it; its body is handed over, not copied. NULL: no memory. */
static struct MHD_Response *response_of(struct exchange *x, const struct http_sender *sender)
{
    struct buf *body = &x->reply.body;
    struct MHD_Response *response = create_response(x);
    if (!response)
        return NULL;
    if (body->size_bytes > 0)
        buf_init(body);
    if (add_headers(x, response, sender))
        return response;
    MHD_destroy_response(response);
    return NULL;
}

/* From the first byte on; a body in pieces has as long for each of them. */
static void await_taking(struct exchange *x)
{
    int64_t ms = x->settings->reply_ms;
    if (ms > 0)
        ms += (int64_t)x->reply.body.size_bytes * 1000 / REPLY_LEAST_RATE;
    http_deadline_set(x->deadline, ms);
}

/* Whether an answer may be one of many: it has no header of its request's alone, and is made and
 * sent by the same thread. */
static bool keeps(const struct exchange *x, const struct http_sender *sender)
{
    return !x->cors && !x->close &&
           !(x->route->flags & (ROUTE_BLOCKING | ROUTE_SCAN | ROUTE_NATS)) &&
           !atomic_load(&sender->draining) && !atomic_load(&sender->leaving);
}

bool http_send_kept(struct exchange *x, struct http_sender *sender, uint64_t mark)
{
    if (!keeps(x, sender))
        return false;
    return http_shelf_find(sender->shelf, x, mark);
}

static struct MHD_Response *kept_or_new(struct exchange *x, struct http_sender *sender)
{
    size_t body_bytes = x->reply.body.size_bytes;
    if (x->place)
        return http_shelf_response(x);
    struct MHD_Response *response = response_of(x, sender);
    if (response && x->reply.mark && x->reply.status == 200 && x->sent_etag[0] && keeps(x, sender))
        http_shelf_put(sender->shelf, x, response, body_bytes);
    return response;
}

enum MHD_Result http_send(struct exchange *x, struct http_sender *sender)
{
    await_taking(x);
    struct MHD_Response *response = x->no_memory ? NULL : kept_or_new(x, sender);
    x->no_memory = response == NULL;
    enum MHD_Result result = MHD_queue_response(
        x->connection, response ? (unsigned)x->reply.status : HTTP_NO_MEMORY_STATUS,
        response ? response : sender->no_memory);
    if (response && !x->place) /* a kept one is the shelf's */
        MHD_destroy_response(response);
    exchange_account(x);
    return result;
}

bool http_sender_init(struct http_sender *sender)
{
    sender->no_memory = MHD_create_response_from_buffer(
        sizeof no_memory_body - 1, (void *)(uintptr_t)no_memory_body, MHD_RESPMEM_PERSISTENT);
    sender->shelf = http_shelf_new();
    return sender->shelf && sender->no_memory && add_fixed_headers(sender->no_memory) &&
           MHD_add_response_header(sender->no_memory, "Content-Type", "application/problem+json") &&
           MHD_add_response_header(sender->no_memory, "Retry-After", "1") &&
           MHD_add_response_header(sender->no_memory, "Cache-Control", "no-store");
}

void http_sender_done(struct http_sender *sender)
{
    if (sender->no_memory)
        MHD_destroy_response(sender->no_memory);
    sender->no_memory = NULL;
    http_shelf_free(sender->shelf);
    sender->shelf = NULL;
}
