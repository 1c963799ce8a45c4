/*
 * cursor: opaque tokens: where a list goes on, and what a position is, in base64url.
 *
 * A page token is bound to what was asked: filter, order, principal. `scope` is any text that says
 * all of it; a token used with another scope is not read. It is bound by a digest, not signed: a
 * client that forges one gets a page of what it may see anyway.
 *
 * Pure functions, any thread.
 */
#ifndef HUB_CURSOR_H
#define HUB_CURSOR_H

#include "twin/buf.h"

enum { CURSOR_KEY_MAX_BYTES = 3072 };

void cursor_base64url(struct buf *out, const void *bytes, size_t size);
/* The same to where there is room, not NUL-terminated; what stands behind it. */
#define BASE64URL_BYTES(size) (((size)*4 + 2) / 3)
char *cursor_base64url_at(char *at, const void *bytes, size_t size);
/* Decodes at most `room` bytes; false for what is no base64url or does not fit. */
bool cursor_from_base64url(const char *text, size_t size, void *bytes, size_t room,
                           size_t *bytes_size);

void cursor_write(struct buf *out, const char *scope, const void *key, size_t key_bytes);
/* False where the token is none of this scope. `key` gets a NUL behind it. */
bool cursor_read(const char *token, const char *scope, char key[CURSOR_KEY_MAX_BYTES + 1],
                 size_t *key_bytes);

#endif
