/*
 * http_limits: how many connections there may be, in all and from one address. Both may change
 * while the server runs, which the library's own limits cannot.
 *
 * An address of IPv6 is counted as its /64: so many are one subscriber's at the least (RFC 6177),
 * and often one machine's. Those of a link (fe80::/10) are counted each: there the /64 is
 * everybody's.
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

enum { HTTP_NETWORK_BYTES = 52 };
/* What an address, as text, is counted as: itself, or its /64 as `2001:db8:0:1::/64`. What is no
 * address stays as it is. */
void http_limits_network(const char *remote, char network[HTTP_NETWORK_BYTES]);

#endif
