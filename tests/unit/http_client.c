#include "http_client.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

int client_try_connect(uint16_t port)
{
    const struct timeval limit = {.tv_sec = CLIENT_TIMEOUT_S};
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

int client_connect(uint16_t port)
{
    int fd = client_try_connect(port);
    assert_true(fd >= 0);
    return fd;
}

void client_send(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        assert_true(sent > 0);
        at += sent;
        size -= (size_t)sent;
    }
}

void client_sends(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

static void read_head(int fd, struct client_reply *reply)
{
    size_t size = 0;
    do {
        assert_true(size < sizeof reply->head - 1);
        ssize_t got = recv(fd, reply->head + size, 1, 0);
        assert_int_equal(got, 1);
        reply->head[++size] = '\0';
    } while (size < 4 || memcmp(reply->head + size - 4, "\r\n\r\n", 4) != 0);
    assert_int_equal(sscanf(reply->head, "HTTP/1.1 %d ", &reply->status), 1);
}

void client_read(int fd, struct client_reply *reply, bool no_body)
{
    reply->body = NULL;
    do {
        read_head(fd, reply);
    } while (reply->status == 100);
    const char *length = client_header(reply, "Content-Length");
    bool empty = no_body || reply->status == 204 || reply->status == 304;
    if (!empty)
        assert_non_null(length);
    reply->body_bytes = empty ? 0 : strtoul(length, NULL, 10);
    reply->body = calloc(1, reply->body_bytes + 1);
    assert_non_null(reply->body);
    for (size_t at = 0; at < reply->body_bytes;) {
        ssize_t got = recv(fd, reply->body + at, reply->body_bytes - at, 0);
        assert_true(got > 0);
        at += (size_t)got;
    }
}

bool client_closed(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0) <= 0;
}

void client_reply_done(struct client_reply *reply)
{
    free(reply->body);
    reply->body = NULL;
}

const char *client_header(const struct client_reply *reply, const char *name)
{
    static _Thread_local char value[CLIENT_HEAD_BYTES];
    size_t size = strlen(name);
    for (const char *line = strstr(reply->head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        const char *at = line + 2;
        if (strncasecmp(at, name, size) != 0 || at[size] != ':')
            continue;
        at += size + 1;
        at += strspn(at, " ");
        size_t length = strcspn(at, "\r");
        memcpy(value, at, length);
        value[length] = '\0';
        return value;
    }
    return NULL;
}

void client_do(uint16_t port, const char *method, const char *target, const char *fields,
               const char *body, struct client_reply *reply)
{
    int fd = client_connect(port);
    char length[64] = "";
    if (body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    const char *const parts[] = {method, " ",    target, " HTTP/1.1\r\nHost: test\r\n",
                                 fields, length, "\r\n", body ? body : ""};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        client_sends(fd, parts[i]);
    client_read(fd, reply, strcmp(method, "HEAD") == 0);
    close(fd);
}

void client_get(uint16_t port, const char *target, struct client_reply *reply)
{
    client_do(port, "GET", target, "", NULL, reply);
}

json_t *client_json(const struct client_reply *reply)
{
    json_error_t error;
    json_t *json = json_loadb(reply->body, reply->body_bytes, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail_msg("no JSON: %s: %s", error.text, reply->body);
    return json;
}
