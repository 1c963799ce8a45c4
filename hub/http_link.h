/*
 * http_link: a connection of the HTTP server's: what is made once for all of its requests. It is
 * counted among the connections, and cut when its client takes too long.
 *
 * Ownership: the library's context of the connection. Threads: those of the connection.
 */
#ifndef HUB_HTTP_LINK_H
#define HUB_HTTP_LINK_H

#include "hub/http_deadline.h"
#include "hub/http_exchange.h"
#include "hub/http_limits.h"

struct http_link {
    struct exchange *spare; /* memory for the next request */
    char remote[HTTP_REMOTE_BYTES];
    struct http_deadline deadline;
};

/* The connection has come, and is counted. NULL when there is no memory: its requests get by. */
struct http_link *http_link_new(struct MHD_Connection *connection, struct http_limits *limits,
                                struct http_deadlines *deadlines);
/* It has gone. */
void http_link_free(struct http_link *link, struct MHD_Connection *connection,
                    struct http_limits *limits, struct http_deadlines *deadlines);
struct http_link *http_link_of(struct MHD_Connection *connection);

#endif
