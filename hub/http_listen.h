/*
 * http_listen: the socket that the HTTP server listens on.
 *
 * Pure functions but for the socket; any thread.
 */
#ifndef HUB_HTTP_LISTEN_H
#define HUB_HTTP_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

/* A socket that listens on "127.0.0.1:8480", "[::1]:0" or "localhost:8480", not blocking, closed
 * on exec; -1, and text in `error`, when there is none to be had. An IPv6 socket takes IPv6
 * alone. The caller closes it. */
int http_listen_open(const char *listen, bool *is_ipv6, uint16_t *port, char error[256]);

#endif
