/*
 * http_client: a raw socket to a server on 127.0.0.1 and just enough HTTP to read its replies.
 *
 * Everything waits for at most CLIENT_TIMEOUT_S and fails the test after it. One thread at a time
 * per connection.
 */
#ifndef TESTS_UNIT_HTTP_CLIENT_H
#define TESTS_UNIT_HTTP_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLIENT_TIMEOUT_S = 20, CLIENT_HEAD_BYTES = 16 * 1024 };

struct client_reply {
    int status;
    char head[CLIENT_HEAD_BYTES]; /* status line and fields */
    char *body;                   /* NUL-terminated, client_reply_done frees it */
    size_t body_bytes;
};

int client_connect(uint16_t port);
int client_try_connect(uint16_t port); /* -1 where nobody listens */
void client_send(int fd, const void *bytes, size_t size);
void client_sends(int fd, const char *text);
/* Reads one reply; `no_body` for the reply to a HEAD. */
void client_read(int fd, struct client_reply *reply, bool no_body);
/* Whether the server has closed the connection, or does so within the time. */
bool client_closed(int fd);
void client_reply_done(struct client_reply *reply);
/* The value of a header field, NULL where absent; valid until the next call. */
const char *client_header(const struct client_reply *reply, const char *name);

/* One request on a connection of its own: "GET", "/path", further fields ("A: b\r\n") or "", and a
 * body or NULL. */
void client_do(uint16_t port, const char *method, const char *target, const char *fields,
               const char *body, struct client_reply *reply);
void client_get(uint16_t port, const char *target, struct client_reply *reply);

/* The body as JSON; fails the test where it is none. The caller frees it. */
json_t *client_json(const struct client_reply *reply);

#endif
