#include "hub/http_stream.h"

#include "hub/gzip.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum park { PARK_NOT, PARK_IS, PARK_WOKEN };

struct http_pump {
    struct http_stream *stream;
    struct gzip_stream *gzip;
    struct buf piece;  /* as the handler or its stream has written it */
    struct buf packed; /* the same, compressed */
    size_t sent_bytes; /* of what is being sent: `packed` with a compressor, else `piece` */
    bool ended;        /* nothing comes after what is being sent */
    void (*wake)(void *closure);
    void *closure;
    _Atomic int park; /* enum park */
    _Atomic bool cut;
};

struct http_pump *http_pump_new(struct http_reply *reply, bool packed)
{
    struct http_pump *pump = calloc(1, sizeof *pump);
    if (!pump)
        return NULL;
    if (packed && !(pump->gzip = gzip_stream_new())) {
        free(pump);
        return NULL;
    }
    pump->stream = reply->stream;
    atomic_store(&pump->stream->pump, pump);
    pump->piece = reply->body;
    reply->stream = NULL;
    buf_init(&reply->body);
    if (packed && pump->piece.size_bytes > 0 &&
        !gzip_stream_add(pump->gzip, pump->piece.data, pump->piece.size_bytes, false,
                         &pump->packed))
        pump->packed.failed = true;
    return pump;
}

static struct buf *outgoing(struct http_pump *pump)
{
    return pump->gzip ? &pump->packed : &pump->piece;
}

/* The next piece in the place of the one that was sent; HTTP_FAILED when it cannot be made. */
static enum http_more make_piece(struct http_pump *pump)
{
    buf_reset(&pump->piece);
    buf_reset(&pump->packed);
    pump->sent_bytes = 0;
    atomic_store(&pump->park, PARK_NOT); /* a waking from now on is for what comes after this */
    enum http_more more = pump->stream->next(pump->stream, &pump->piece);
    if (more == HTTP_FAILED || pump->piece.failed)
        return HTTP_FAILED;
    if (more == HTTP_WAIT && pump->piece.size_bytes == 0) {
        buf_done(&pump->piece);
        return HTTP_WAIT;
    }
    pump->ended = more == HTTP_END;
    if (pump->gzip && !gzip_stream_add(pump->gzip, pump->piece.data, pump->piece.size_bytes,
                                       pump->ended, &pump->packed))
        return HTTP_FAILED;
    return more;
}

ssize_t http_pump_read(struct http_pump *pump, char *out, size_t room)
{
    struct buf *from = outgoing(pump);
    if (atomic_load(&pump->cut))
        return pump->stream->endless ? PUMP_END : PUMP_FAILED;
    if (from->failed)
        return PUMP_FAILED;
    while (pump->sent_bytes == from->size_bytes) {
        if (pump->ended)
            return PUMP_END;
        switch (make_piece(pump)) {
        case HTTP_FAILED:
            return PUMP_FAILED;
        case HTTP_WAIT:
            if (from->size_bytes == 0)
                return PUMP_WAIT;
            break;
        default:
            break;
        }
    }
    size_t left = from->size_bytes - pump->sent_bytes;
    size_t size = left < room ? left : room;
    memcpy(out, from->data + pump->sent_bytes, size);
    pump->sent_bytes += size;
    return (ssize_t)size;
}

bool http_pump_park(struct http_pump *pump, void (*wake)(void *closure), void *closure)
{
    int was = PARK_NOT;
    pump->wake = wake;
    pump->closure = closure;
    return atomic_compare_exchange_strong(&pump->park, &was, PARK_IS);
}

void http_stream_wake(struct http_stream *stream)
{
    struct http_pump *pump = atomic_load(&stream->pump);
    if (pump && atomic_exchange(&pump->park, PARK_WOKEN) == PARK_IS)
        pump->wake(pump->closure);
}

void http_pump_cut(void *closure)
{
    struct http_pump *pump = closure;
    atomic_store(&pump->cut, true);
    http_stream_wake(pump->stream);
}

void http_pump_free(struct http_pump *pump)
{
    if (!pump)
        return;
    pump->stream->free(pump->stream);
    gzip_stream_free(pump->gzip);
    buf_done(&pump->piece);
    buf_done(&pump->packed);
    free(pump);
}
