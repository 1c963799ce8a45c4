/*
 * base64: RFC 4648 §4, with padding, as notes and keys have it. (cursor.h has the URL's alphabet.)
 *
 * Pure functions, any thread.
 */
#ifndef HUB_BASE64_H
#define HUB_BASE64_H

#include "twin/buf.h"

void base64_write(struct buf *out, const void *bytes, size_t size);
/* False for what is not exactly what base64_write writes of exactly `size` bytes. */
bool base64_read(const char *text, size_t text_size, void *bytes, size_t size);

#endif
