#include "hub/http_limits.h"
#include "twin/hash.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAINS = 4096, ADDRESS_BYTES = 16, NETWORK_BYTES = 8 };

/* One address that has connections open. */
struct address {
    unsigned char bytes[ADDRESS_BYTES]; /* IPv4 mapped into IPv6 (RFC 4291, 2.5.5.2), or a /64 */
    unsigned count;
    struct address *next;
};

struct http_limits {
    atomic_uint connections_max, per_address_max, connections;
    pthread_mutex_t lock;
    struct address *chains[CHAINS];
};

struct http_limits *http_limits_new(unsigned connections_max, unsigned per_address_max)
{
    struct http_limits *limits = calloc(1, sizeof *limits);
    if (!limits)
        return NULL;
    pthread_mutex_init(&limits->lock, NULL);
    http_limits_set(limits, connections_max, per_address_max);
    return limits;
}

void http_limits_free(struct http_limits *limits)
{
    if (!limits)
        return;
    for (size_t i = 0; i < CHAINS; i++)
        for (struct address *at = limits->chains[i], *next; at; at = next) {
            next = at->next;
            free(at);
        }
    pthread_mutex_destroy(&limits->lock);
    free(limits);
}

void http_limits_set(struct http_limits *limits, unsigned connections_max, unsigned per_address_max)
{
    atomic_store(&limits->connections_max, connections_max);
    atomic_store(&limits->per_address_max, per_address_max);
}

/* Whether addresses of this kind are counted by their /64. */
static bool has_network(const struct in6_addr *address)
{
    return !IN6_IS_ADDR_V4MAPPED(address) && !IN6_IS_ADDR_LINKLOCAL(address) &&
           !IN6_IS_ADDR_LOOPBACK(address);
}

void http_limits_network(const char *remote, char network[HTTP_NETWORK_BYTES])
{
    struct in6_addr ipv6;
    char text[INET6_ADDRSTRLEN];
    if (inet_pton(AF_INET6, remote, &ipv6) != 1 || !has_network(&ipv6)) {
        snprintf(network, HTTP_NETWORK_BYTES, "%s", remote);
        return;
    }
    memset(ipv6.s6_addr + NETWORK_BYTES, 0, ADDRESS_BYTES - NETWORK_BYTES);
    inet_ntop(AF_INET6, &ipv6, text, sizeof text);
    snprintf(network, HTTP_NETWORK_BYTES, "%s/64", text);
}

static void read_address(const struct sockaddr *address, unsigned char bytes[ADDRESS_BYTES])
{
    static const unsigned char mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct sockaddr_in6 ipv6;
    struct sockaddr_in ipv4;
    memset(bytes, 0, ADDRESS_BYTES);
    if (address && address->sa_family == AF_INET6) {
        memcpy(&ipv6, address, sizeof ipv6);
        memcpy(bytes, &ipv6.sin6_addr,
               has_network(&ipv6.sin6_addr) ? NETWORK_BYTES : ADDRESS_BYTES);
    } else if (address && address->sa_family == AF_INET) {
        memcpy(&ipv4, address, sizeof ipv4);
        memcpy(bytes, mapped, sizeof mapped);
        memcpy(bytes + sizeof mapped, &ipv4.sin_addr, sizeof ipv4.sin_addr);
    }
}

/* Where the address stands, or would stand. */
static struct address **find(struct http_limits *limits, const unsigned char bytes[ADDRESS_BYTES])
{
    uint64_t hash = hash_of(bytes, ADDRESS_BYTES);
    struct address **at = &limits->chains[hash % CHAINS];
    while (*at && memcmp((*at)->bytes, bytes, ADDRESS_BYTES) != 0)
        at = &(*at)->next;
    return at;
}

bool http_limits_allow(struct http_limits *limits, const struct sockaddr *address)
{
    unsigned char bytes[ADDRESS_BYTES];
    if (atomic_load(&limits->connections) >= atomic_load(&limits->connections_max))
        return false;
    read_address(address, bytes);
    pthread_mutex_lock(&limits->lock);
    struct address **at = find(limits, bytes);
    bool allowed = !*at || (*at)->count < atomic_load(&limits->per_address_max);
    pthread_mutex_unlock(&limits->lock);
    return allowed;
}

void http_limits_came(struct http_limits *limits, const struct sockaddr *address)
{
    unsigned char bytes[ADDRESS_BYTES];
    atomic_fetch_add(&limits->connections, 1);
    read_address(address, bytes);
    pthread_mutex_lock(&limits->lock);
    struct address **at = find(limits, bytes);
    if (!*at && (*at = calloc(1, sizeof **at)))
        memcpy((*at)->bytes, bytes, ADDRESS_BYTES);
    if (*at)
        (*at)->count++;
    pthread_mutex_unlock(&limits->lock);
}

void http_limits_went(struct http_limits *limits, const struct sockaddr *address)
{
    unsigned char bytes[ADDRESS_BYTES];
    atomic_fetch_sub(&limits->connections, 1);
    read_address(address, bytes);
    pthread_mutex_lock(&limits->lock);
    struct address **at = find(limits, bytes), *found = *at;
    if (found && --found->count == 0) {
        *at = found->next;
        free(found);
    }
    pthread_mutex_unlock(&limits->lock);
}
