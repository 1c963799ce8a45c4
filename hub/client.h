/*
 * client: requests to a hub over HTTP/1.1, for the subcommands that talk to one (`send`,
 * `vehicles`, `events`, `watch`).
 *
 * One request, one connection. `https` is verified against the system's certificates and the
 * server's name. A token goes along as `Authorization: Bearer`; it comes from a file or the
 * environment, never from the command line.
 *
 * Ownership: client_free; an answer's body is the caller's, client_answer_done.
 * Threads: one. A signal that was asked for ends what waits (client_catch_signals).
 * Limits: a head of CLIENT_HEAD_MAX_BYTES, a body of CLIENT_BODY_MAX_BYTES, CLIENT_SILENCE_S
 * without a byte; a stream may be silent for CLIENT_STREAM_SILENCE_S.
 */
#ifndef HUB_CLIENT_H
#define HUB_CLIENT_H

#include "twin/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    CLIENT_HEAD_MAX_BYTES = 32 * 1024,
    CLIENT_BODY_MAX_BYTES = 256 << 20,
    CLIENT_CONNECT_S = 10,
    CLIENT_SILENCE_S = 30,
    CLIENT_STREAM_SILENCE_S = 45, /* a stream's heartbeat comes every 15 s */
    CLIENT_KEY_BYTES = 33,
};

enum client_outcome {
    CLIENT_OK,          /* there is an answer, whatever its status */
    CLIENT_UNREACHABLE, /* no connection; the request has not been made */
    CLIENT_BROKEN,      /* the connection ended before the answer: the request may have been made */
    CLIENT_INTERRUPTED,
};

struct client;

/* `server` is http://host[:port][/path] or https://…; `token` NULL for none. NULL, with `why`,
 * where that is no URL or there is no memory. */
struct client *client_new(const char *server, const char *token, struct buf *why);
void client_free(struct client *client);
/* The server's URL as it was given, without a `/` at its end. */
const char *client_server(const struct client *client);

struct client_request {
    const char *method, *target; /* "/v1/commands?status=running": encoded already */
    const char *accept;          /* NULL: application/json */
    const char *body;            /* JSON; NULL: none */
    const char *idempotency_key; /* NULL: none */
    const char *last_event_id;   /* of a stream that broke; NULL: none */
};

struct client_answer {
    int status;
    int retry_after_s; /* -1: not given */
    struct buf body;
};
void client_answer_done(struct client_answer *answer);

/* *answer is set with CLIENT_OK alone, and `why` without it. */
enum client_outcome client_ask(struct client *client, const struct client_request *request,
                               struct client_answer *answer, struct buf *why);
/* The same, where the body of a 200 is handed on as it comes, until it ends or `take` returns
 * false. Any other status has its body in the answer. */
enum client_outcome client_follow(struct client *client, const struct client_request *request,
                                  bool (*take)(void *closure, const char *bytes, size_t size),
                                  void *closure, struct client_answer *answer, struct buf *why);

/* What a problem+json says, in one line: its detail and its hint; else the status. */
void client_explain(const struct client_answer *answer, struct buf *out);
/* Appends `text` as the value of a query parameter. */
void client_encode(struct buf *out, const char *text);
/* 32 random hexadecimal digits. */
void client_new_key(char key[CLIENT_KEY_BYTES]);

/* From now on SIGINT and SIGTERM do not end the program; they end what waits. */
void client_catch_signals(void);
bool client_interrupted(void);
/* Waits; ends early on such a signal. */
void client_pause(unsigned ms);

#endif
