#include "hub/http_link.h"

#include "hub/metrics.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct http_link *http_link_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static const struct sockaddr *address_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info ? info->client_addr : NULL;
}

static void note_remote(const struct sockaddr *address, struct http_link *link)
{
    struct sockaddr_in6 ipv6;
    struct sockaddr_in ipv4;
    if (!address)
        return;
    if (address->sa_family == AF_INET6) {
        memcpy(&ipv6, address, sizeof ipv6);
        inet_ntop(AF_INET6, &ipv6.sin6_addr, link->remote, sizeof link->remote);
    } else if (address->sa_family == AF_INET) {
        memcpy(&ipv4, address, sizeof ipv4);
        inet_ntop(AF_INET, &ipv4.sin_addr, link->remote, sizeof link->remote);
    }
}

struct http_link *http_link_new(struct MHD_Connection *connection, struct http_limits *limits,
                                struct http_deadlines *deadlines)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const struct sockaddr *address = address_of(connection);
    http_limits_came(limits, address);
    metrics_move(METRIC_HTTP_OPEN, 0, 1);
    struct http_link *link = info ? calloc(1, sizeof *link) : NULL;
    if (!link)
        return NULL;
    note_remote(address, link);
    http_deadline_add(deadlines, &link->deadline, info->connect_fd);
    return link;
}

void http_link_free(struct http_link *link, struct MHD_Connection *connection,
                    struct http_limits *limits, struct http_deadlines *deadlines)
{
    http_limits_went(limits, address_of(connection));
    metrics_move(METRIC_HTTP_OPEN, 0, -1);
    if (!link)
        return;
    http_deadline_remove(deadlines, &link->deadline);
    exchange_free(link->spare);
    free(link);
}
