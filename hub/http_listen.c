#include "hub/http_listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_MAX_BYTES = 256, PORT_MAX_DIGITS = 5, PORT_MAX = 65535, BACKLOG = 1024 };

struct address {
    char host[HOST_MAX_BYTES];
    char port[PORT_MAX_DIGITS + 1];
};

/* "host:port" or "[v6]:port". */
static bool address_parse(const char *text, struct address *address)
{
    const char *colon = strrchr(text, ':');
    if (!colon)
        return false;
    const char *host = text;
    size_t size = (size_t)(colon - text);
    bool bracketed = text[0] == '[';
    if (bracketed) {
        if (size < 3 || text[size - 1] != ']')
            return false;
        host++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof address->host || (!bracketed && memchr(host, ':', size)))
        return false;
    memcpy(address->host, host, size);
    address->host[size] = '\0';

    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > PORT_MAX_DIGITS || colon[1 + digits])
        return false;
    memcpy(address->port, colon + 1, digits + 1);
    unsigned value = 0;
    for (const char *c = address->port; *c; c++)
        value = value * 10 + (unsigned)(*c - '0');
    return value <= PORT_MAX;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &size) != 0)
        return 0;
    if (bound.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&bound)->sin6_port);
    return ntohs(((struct sockaddr_in *)&bound)->sin_port);
}

static int open_at(const struct addrinfo *where)
{
    const int on = 1;
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (where->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, where->ai_addr, where->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

int http_listen_open(const char *listen, bool *is_ipv6, uint16_t *port, char error[256])
{
    struct address address;
    if (!address_parse(listen, &address)) {
        snprintf(error, 256,
                 "http.listen: \"%.80s\" is not an address and a port, such as "
                 "127.0.0.1:8480 or [::1]:8480",
                 listen);
        return -1;
    }
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(address.host, address.port, &hints, &found);
    if (code != 0) {
        snprintf(error, 256, "http.listen: \"%.80s\": %s", listen, gai_strerror(code));
        return -1;
    }
    int fd = open_at(found);
    if (fd < 0) {
        snprintf(error, 256, "cannot listen on %.80s: %s", listen, strerror(errno));
    } else {
        *is_ipv6 = found->ai_family == AF_INET6;
        *port = port_of(fd);
    }
    freeaddrinfo(found);
    return fd;
}
