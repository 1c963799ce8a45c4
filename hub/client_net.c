#include "hub/client_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static bool starts(const char *text, const char *beginning)
{
    return strncasecmp(text, beginning, strlen(beginning)) == 0;
}

static bool copy_part(char *out, size_t room, const char *text, size_t size)
{
    if (size == 0 || size >= room)
        return false;
    memcpy(out, text, size);
    out[size] = '\0';
    return true;
}

bool client_url_parse(const char *text, struct client_url *url)
{
    struct in_addr four;
    struct in6_addr six;
    *url = (struct client_url){.tls = starts(text, "https://")};
    if (!url->tls && !starts(text, "http://"))
        return false;
    const char *host = strstr(text, "//") + 2, *end = host + strcspn(host, "/?#");
    const char *host_end =
        host[0] == '[' ? memchr(host, ']', (size_t)(end - host)) : host + strcspn(host, ":/?#");
    url->path = end;
    if (!host_end || strpbrk(end, "?#") || memchr(host, '@', (size_t)(end - host)))
        return false;
    const char *port = host[0] == '[' ? host_end + 1 : host_end;
    if (host[0] == '[')
        host++;
    if (!copy_part(url->host, sizeof url->host, host, (size_t)(host_end - host)))
        return false;
    url->is_address =
        inet_pton(AF_INET, url->host, &four) == 1 || inet_pton(AF_INET6, url->host, &six) == 1;
    if (port == end)
        return copy_part(url->port, sizeof url->port, url->tls ? "443" : "80", url->tls ? 3 : 2);
    return *port == ':' && strspn(port + 1, "0123456789") == (size_t)(end - port - 1) &&
           copy_part(url->port, sizeof url->port, port + 1, (size_t)(end - port - 1));
}

/* ---- the socket ---- */

static bool set_silence(int fd, int silence_s)
{
    struct timeval limit = {.tv_sec = silence_s};
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0;
}

/* Without blocking for longer than CLIENT_CONNECT_S; 0, or an errno. */
static int connect_within(int fd, const struct addrinfo *address)
{
    int flags = fcntl(fd, F_GETFL), error = 0;
    socklen_t size = sizeof error;
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return errno;
    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        struct pollfd writable = {.fd = fd, .events = POLLOUT};
        if (errno != EINPROGRESS)
            return errno;
        int ready = poll(&writable, 1, CLIENT_CONNECT_S * 1000);
        if (ready == 0)
            return ETIMEDOUT;
        if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
            return errno;
        if (error)
            return error;
    }
    return fcntl(fd, F_SETFL, flags) == 0 ? 0 : errno;
}

static int connect_any(const struct client_url *url, struct buf *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int error = getaddrinfo(url->host, url->port, &hints, &found), fd = -1;
    if (error) {
        buf_addf(why, "%s: %s", url->host, gai_strerror(error));
        return -1;
    }
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        error = fd < 0 ? errno : connect_within(fd, at);
        if (error && fd >= 0) {
            close(fd);
            fd = -1;
        }
        if (error == EINTR)
            break;
    }
    freeaddrinfo(found);
    if (fd < 0)
        buf_addf(why, "%s port %s: %s", url->host, url->port, strerror(error));
    return fd;
}

static bool start_tls(struct client_net *net, const struct client_url *url, SSL_CTX *tls,
                      struct buf *why)
{
    net->ssl = SSL_new(tls);
    X509_VERIFY_PARAM *check = net->ssl ? SSL_get0_param(net->ssl) : NULL;
    bool named = check && (url->is_address ? X509_VERIFY_PARAM_set1_ip_asc(check, url->host)
                                           : X509_VERIFY_PARAM_set1_host(check, url->host, 0)) == 1;
    if (named && !url->is_address)
        named = SSL_set_tlsext_host_name(net->ssl, url->host) == 1;
    if (named && SSL_set_fd(net->ssl, net->fd) == 1 && SSL_connect(net->ssl) == 1)
        return true;
    long verified = net->ssl ? SSL_get_verify_result(net->ssl) : X509_V_OK;
    const char *reason = verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                                               : ERR_reason_error_string(ERR_peek_error());
    buf_addf(why, "%s port %s: TLS: %s", url->host, url->port, reason ? reason : "failed");
    ERR_clear_error();
    return false;
}

enum client_outcome client_net_open(struct client_net *net, const struct client_url *url,
                                    SSL_CTX *tls, int silence_s, struct buf *why)
{
    *net = (struct client_net){.fd = connect_any(url, why)};
    if (net->fd >= 0 && set_silence(net->fd, silence_s) &&
        (!url->tls || start_tls(net, url, tls, why)))
        return CLIENT_OK;
    client_net_close(net);
    return client_interrupted() ? CLIENT_INTERRUPTED : CLIENT_UNREACHABLE;
}

void client_net_close(struct client_net *net)
{
    SSL_free(net->ssl);
    if (net->fd >= 0)
        close(net->fd);
    *net = (struct client_net){.fd = -1};
}

bool client_net_write(struct client_net *net, const char *bytes, size_t size)
{
    while (size > 0) {
        size_t sent = 0;
        if (net->ssl) {
            if (SSL_write_ex(net->ssl, bytes, size, &sent) != 1)
                return false;
        } else {
            ssize_t got = send(net->fd, bytes, size, MSG_NOSIGNAL);
            if (got < 0)
                return false;
            sent = (size_t)got;
        }
        bytes += sent;
        size -= sent;
    }
    return true;
}

ssize_t client_net_read(struct client_net *net, char *bytes, size_t size)
{
    size_t got = 0;
    if (!net->ssl)
        return recv(net->fd, bytes, size, 0);
    if (SSL_read_ex(net->ssl, bytes, size, &got) == 1)
        return (ssize_t)got;
    return SSL_get_error(net->ssl, 0) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}
