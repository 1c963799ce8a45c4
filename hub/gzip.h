/*
 * gzip: a body compressed as a whole, or in pieces as they are made (RFC 1952).
 *
 * Threads: gzip_pack from any; each thread keeps one compressor (about 270 KB) and frees it at its
 * end. A stream has a compressor of its own, one thread at a time.
 */
#ifndef HUB_GZIP_H
#define HUB_GZIP_H

#include "twin/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Below this a body is sent as it is: what is saved is less than a packet. */
enum { GZIP_MIN_BYTES = 1024 };

/* Appends the compressed bytes; false, and `out` of no use, when there is no memory. */
bool gzip_pack(const void *data, size_t size, struct buf *out);

struct gzip_stream;
struct gzip_stream *gzip_stream_new(void); /* NULL when there is no memory */
/* Appends what of the compressed bytes is ready, everything where it is the last piece; what is
 * kept back is at most some tens of KB. False when there is no memory. */
bool gzip_stream_add(struct gzip_stream *stream, const void *data, size_t size, bool last,
                     struct buf *out);
void gzip_stream_free(struct gzip_stream *stream);

#endif
