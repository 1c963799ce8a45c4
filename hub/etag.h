/*
 * etag: an entity tag of an answer's bytes (RFC 9110, 8.8.3): the same on every hub, another one
 * where a byte differs. It is made for every answer, and so is no digest that would withstand an
 * attack: who could make two of its own answers collide would hide a change of its own making from
 * clients that ask conditionally, and could as well have left it out.
 *
 * Pure, any thread.
 */
#ifndef HUB_ETAG_H
#define HUB_ETAG_H

#include <stddef.h>

enum { ETAG_DIGITS = 24, ETAG_TEXT_BYTES = ETAG_DIGITS + 3 };

/* `"<24 hex digits>"`, NUL-terminated. */
void etag_of(const void *bytes, size_t size, char text[ETAG_TEXT_BYTES]);

#endif
