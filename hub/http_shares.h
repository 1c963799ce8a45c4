/*
 * http_shares: how much of what the server holds each principal has: streams, exports, bytes of
 * replies that it has not taken yet. What everybody shares is bounded elsewhere; this keeps one of
 * them from having all of it.
 *
 * Threads: any. Memory: an entry for each principal that has something.
 */
#ifndef HUB_HTTP_SHARES_H
#define HUB_HTTP_SHARES_H

#include <stdbool.h>
#include <stddef.h>

enum http_share { SHARE_STREAMS, SHARE_EXPORTS, SHARE_BYTES, SHARE_KINDS };

struct http_shares;
struct http_shares *http_shares_new(void);         /* NULL when there is no memory */
void http_shares_free(struct http_shares *shares); /* NULL is nothing */

/* Takes `amount` for the principal, unless it would have more than `max` then, or there is no
 * memory to note it. What was taken is given back. */
bool http_shares_take(struct http_shares *shares, const char *principal, enum http_share kind,
                      size_t amount, size_t max);
void http_shares_give(struct http_shares *shares, const char *principal, enum http_share kind,
                      size_t amount);
/* How much it has. */
size_t http_shares_of(struct http_shares *shares, const char *principal, enum http_share kind);

#endif
