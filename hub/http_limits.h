/*
 * http_limits: how many connections there may be, in all and from one address. Both may change
 * while the server runs, which the library's own limits cannot.
 *
 * Threads: any.
 */
#ifndef HUB_HTTP_LIMITS_H
#define HUB_HTTP_LIMITS_H

#include <stdbool.h>
#include <sys/socket.h>

struct http_limits;
struct http_limits *http_limits_new(unsigned connections_max, unsigned per_address_max);
void http_limits_free(struct http_limits *limits); /* NULL is nothing */
void http_limits_set(struct http_limits *limits, unsigned connections_max,
                     unsigned per_address_max);

/* Whether one more from this address may come in. */
bool http_limits_allow(struct http_limits *limits, const struct sockaddr *address);
/* One has come, one has gone. Without memory an address is not counted, and so not bounded. */
void http_limits_came(struct http_limits *limits, const struct sockaddr *address);
void http_limits_went(struct http_limits *limits, const struct sockaddr *address);

#endif
