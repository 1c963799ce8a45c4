/*
 * http_uri: the target of a request taken apart (RFC 3986, RFC 9112 3.2): path segments and query
 * parameters, each decoded on its own, so that an encoded separator never separates.
 *
 * What decodes to a NUL or to something that is not UTF-8 is refused: everything behind this file
 * works with C strings of UTF-8. All of it works in place, within the text handed in, and copies
 * nothing.
 *
 * Ownership: results point into the text. Pure functions, any thread.
 */
#ifndef HUB_HTTP_URI_H
#define HUB_HTTP_URI_H

#include "hub/http.h"

#include <stdbool.h>
#include <stddef.h>

enum { URI_MAX_SEGMENTS = 12 };

enum uri_error {
    URI_OK,
    URI_BAD_ESCAPE, /* a % without two hexadecimal digits */
    URI_BAD_TEXT,   /* decodes to a NUL, or to no UTF-8 */
    URI_SLASH,      /* a path segment that holds an encoded slash */
    URI_TOO_MANY,   /* segments or parameters */
    URI_NO_PATH,    /* neither /path nor scheme://authority/path */
};
/* What is wrong, in English. */
const char *uri_error_text(enum uri_error error);

/* Parts a request target at its `?`; both parts are still encoded. Of an absolute target only the
 * path and the query are kept. *query is "" where there is none. */
enum uri_error uri_split(char *target, char **path, char **query);

/* Splits an encoded path that begins with `/` into decoded segments, NUL-terminated. "/" is one
 * empty segment, and so is what follows a slash at the end. */
enum uri_error uri_path(char *path, char *segments[URI_MAX_SEGMENTS], size_t *count);

/* Splits an encoded query into decoded names and values; `+` is a blank, a name without `=` has
 * the value "", empty parts are skipped. At most `max` parameters. */
enum uri_error uri_query(char *query, struct http_param *params, size_t max, size_t *count);

#endif
