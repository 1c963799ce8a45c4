/*
 * client_net: the connection of a client: a URL, a socket, TLS, and what is read from it. Internal
 * to client*.c.
 *
 * Threads: one.
 */
#ifndef HUB_CLIENT_NET_H
#define HUB_CLIENT_NET_H

#include "hub/client.h"

#include <openssl/ssl.h>
#include <sys/types.h>

enum { CLIENT_HOST_BYTES = 256, CLIENT_PORT_BYTES = 8 };

struct client_url {
    bool tls, is_address; /* is_address: the host is no name */
    char host[CLIENT_HOST_BYTES], port[CLIENT_PORT_BYTES];
    const char *path; /* into the text, "" for none */
};
/* False where the text is no such URL. */
bool client_url_parse(const char *text, struct client_url *url);

struct client_net {
    int fd; /* -1: none */
    SSL *ssl;
};

/* CLIENT_OK, CLIENT_UNREACHABLE with `why`, or CLIENT_INTERRUPTED. */
enum client_outcome client_net_open(struct client_net *net, const struct client_url *url,
                                    SSL_CTX *tls, int silence_s, struct buf *why);
void client_net_close(struct client_net *net);
bool client_net_write(struct client_net *net, const char *bytes, size_t size);
/* Bytes read, 0 at the end, -1 where it broke or was interrupted. */
ssize_t client_net_read(struct client_net *net, char *bytes, size_t size);

/* Reads one answer, as client_follow does, into a zeroed *answer (retry_after_s: -1). False where
 * it is none, breaks off or is too large. */
bool client_answer_read(struct client_net *net,
                        bool (*take)(void *closure, const char *bytes, size_t size), void *closure,
                        struct client_answer *answer);

#endif
