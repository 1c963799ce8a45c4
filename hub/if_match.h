/*
 * if_match: the header If-Match (RFC 9110, 13.1.1): a write only over what the caller has seen.
 *
 * Pure functions, any thread.
 */
#ifndef HUB_IF_MATCH_H
#define HUB_IF_MATCH_H

#include <stdbool.h>

/* Whether the header allows a write over what has this ETag. No header (NULL) allows any, `*`
 * whatever is there. Both of our forms of a tag count, `"x"` and that of its gzip, `"x-gz"`; a weak
 * tag never does. */
bool if_match_allows(const char *header, const char *etag);

#endif
