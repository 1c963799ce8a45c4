/*
 * http_site: whom a request is meant for, and which web page it comes from. What is judged while
 * access is off, when anything on this machine may call: so may the pages in its browsers.
 *
 * A page whose name was made to mean 127.0.0.1 (DNS rebinding) is of the same origin as the hub to
 * its browser, and reads all that the hub answers; only Host shows by which name it came
 * (RFC 9110, 7.2). A page of another name may read nothing, but it may send; browsers say in Origin
 * where from (RFC 6454, 7; Fetch, 3.2).
 *
 * Threads: any. Nothing is kept.
 */
#ifndef HUB_HTTP_SITE_H
#define HUB_HTTP_SITE_H

#include <stdbool.h>

/* Whether Host names this machine: `localhost`, a loopback address, or the host of `listen`
 * ("localhost:8480", "[::1]:0"), with any port or none. NULL, which no browser sends, does. */
bool site_host_is_ours(const char *host, const char *listen);

/* Whether Origin is what Host says: the page came from here. `null` is not. */
bool site_origin_is_host(const char *origin, const char *host);

#endif
