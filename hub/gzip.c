#include "hub/gzip.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <zlib.h>

/* Measured on a page of twins of 800 KB: level 1 packs 190 MB/s to 18 % of its size, level 6
 * 61 MB/s to 14 %, and an event thread has other clients waiting. */
enum { GZIP_LEVEL = 1, GZIP_WINDOW_BITS = 15 + 16, GZIP_MEMORY_LEVEL = 8 };

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_made;

static void packer_free(void *packer)
{
    deflateEnd(packer);
    free(packer);
}

static void make_key(void)
{
    key_made = pthread_key_create(&key, packer_free) == 0;
}

static z_stream *packer_new(void)
{
    z_stream *packer = calloc(1, sizeof *packer);
    if (!packer)
        return NULL;
    if (deflateInit2(packer, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) == Z_OK)
        return packer;
    free(packer);
    return NULL;
}

/* This thread's compressor, ready for a new stream; NULL when there is no memory. */
static z_stream *packer_of_thread(void)
{
    pthread_once(&key_once, make_key);
    if (!key_made)
        return NULL;
    z_stream *packer = pthread_getspecific(key);
    if (packer)
        return deflateReset(packer) == Z_OK ? packer : NULL;
    packer = packer_new();
    if (!packer)
        return NULL;
    if (pthread_setspecific(key, packer) != 0) {
        packer_free(packer);
        return NULL;
    }
    return packer;
}

bool gzip_pack(const void *data, size_t size, struct buf *out)
{
    z_stream *packer = packer_of_thread();
    if (!packer || size > UINT_MAX)
        return false;
    uLong bound = deflateBound(packer, (uLong)size);
    if (bound > UINT_MAX || !buf_reserve(out, bound))
        return false;
    packer->next_in = (Bytef *)(uintptr_t)data; /* zlib only reads it */
    packer->avail_in = (uInt)size;
    packer->next_out = (Bytef *)out->data + out->size_bytes;
    packer->avail_out = (uInt)bound;
    if (deflate(packer, Z_FINISH) != Z_STREAM_END)
        return false;
    out->size_bytes += bound - packer->avail_out;
    return true;
}

/* ---- in pieces ---- */

/* The compressor by another name: nothing else belongs to a stream. */
struct gzip_stream {
    z_stream *packer;
};

struct gzip_stream *gzip_stream_new(void)
{
    struct gzip_stream *stream = calloc(1, sizeof *stream);
    if (stream && (stream->packer = packer_new()))
        return stream;
    free(stream);
    return NULL;
}

bool gzip_stream_add(struct gzip_stream *stream, const void *data, size_t size, bool last,
                     struct buf *out)
{
    enum { STEP_BYTES = 16 * 1024 };
    z_stream *packer = stream->packer;
    if (size > UINT_MAX)
        return false;
    packer->next_in = (Bytef *)(uintptr_t)data; /* zlib only reads it */
    packer->avail_in = (uInt)size;
    int result;
    do {
        if (!buf_reserve(out, STEP_BYTES))
            return false;
        packer->next_out = (Bytef *)out->data + out->size_bytes;
        packer->avail_out = STEP_BYTES;
        result = deflate(packer, last ? Z_FINISH : Z_NO_FLUSH);
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return false;
        out->size_bytes += STEP_BYTES - packer->avail_out;
    } while (packer->avail_out == 0 || (last && result != Z_STREAM_END));
    return true;
}

void gzip_stream_free(struct gzip_stream *stream)
{
    if (stream)
        packer_free(stream->packer);
    free(stream);
}
