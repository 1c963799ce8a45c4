/*
 * gzip: a body compressed as a whole (RFC 1952).
 *
 * Threads: any; each thread keeps one compressor (about 270 KB) and frees it at its end.
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

#endif
