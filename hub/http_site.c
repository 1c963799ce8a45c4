#include "hub/http_site.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX_BYTES = 256, IPV4_LOOPBACK_NET = 127 };

/* The host without its port, in brackets where it came in some; false for what is no host. */
static bool take_host(const char *text, char host[HOST_MAX_BYTES])
{
    size_t size = strcspn(text, ":");
    if (text[0] == '[') {
        size = strcspn(text, "]");
        size += text[size] == ']';
    }
    const char *port = text + size;
    if (size == 0 || size >= HOST_MAX_BYTES ||
        (*port && (*port != ':' || port[1 + strspn(port + 1, "0123456789")])))
        return false;
    memcpy(host, text, size);
    host[size] = '\0';
    return true;
}

static bool is_loopback(const char *host)
{
    struct in_addr ipv4;
    struct in6_addr ipv6;
    size_t size = strlen(host);
    if (host[0] != '[')
        return inet_pton(AF_INET, host, &ipv4) == 1 &&
               ntohl(ipv4.s_addr) >> 24 == IPV4_LOOPBACK_NET;
    char inner[HOST_MAX_BYTES];
    if (host[size - 1] != ']')
        return false;
    memcpy(inner, host + 1, size - 2);
    inner[size - 2] = '\0';
    return inet_pton(AF_INET6, inner, &ipv6) == 1 && IN6_IS_ADDR_LOOPBACK(&ipv6);
}

bool site_host_is_ours(const char *host, const char *listen)
{
    char name[HOST_MAX_BYTES], own[HOST_MAX_BYTES];
    if (!host)
        return true;
    return take_host(host, name) && (strcasecmp(name, "localhost") == 0 || is_loopback(name) ||
                                     (take_host(listen, own) && strcasecmp(name, own) == 0));
}

bool site_origin_is_host(const char *origin, const char *host)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; host && i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncasecmp(origin, schemes[i], strlen(schemes[i])) == 0)
            return strcasecmp(origin + strlen(schemes[i]), host) == 0;
    return false;
}
