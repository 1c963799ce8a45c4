/* HTTP/1.1 as far as a hub speaks it: a head, then a body by its length, in chunks, or to the end.
 */
#include "hub/client.h"

#include "hub/client_net.h"
#include "twin/doc.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

struct client {
    char *server, *token;
    struct client_url url;
    SSL_CTX *tls;
};

/* ---- signals ---- */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

void client_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: what waits is to end */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    interrupted = 0;
}

bool client_interrupted(void)
{
    return interrupted != 0;
}

void client_pause(unsigned ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    if (!interrupted)
        nanosleep(&left, NULL);
}

/* ---- life ---- */

static SSL_CTX *new_tls(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (!tls)
        return NULL;
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_default_verify_paths(tls) == 1)
        return tls;
    SSL_CTX_free(tls);
    return NULL;
}

struct client *client_new(const char *server, const char *token, struct buf *why)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        goto no_memory;
    client->server = strdup(server);
    client->token = token ? strdup(token) : NULL;
    if (!client->server || (token && !client->token))
        goto no_memory;
    for (size_t size = strlen(client->server); size > 0 && client->server[size - 1] == '/'; size--)
        client->server[size - 1] = '\0';
    if (!client_url_parse(client->server, &client->url)) {
        buf_addf(why, "`%.128s` is no URL such as http://127.0.0.1:8480", server);
        goto out;
    }
    client->tls = client->url.tls ? new_tls() : NULL;
    if (client->url.tls && !client->tls)
        goto no_memory;
    return client;
no_memory:
    buf_adds(why, "no memory");
out:
    client_free(client);
    return NULL;
}

void client_free(struct client *client)
{
    if (!client)
        return;
    SSL_CTX_free(client->tls);
    free(client->server);
    free(client->token);
    free(client);
}

const char *client_server(const struct client *client)
{
    return client->server;
}

void client_answer_done(struct client_answer *answer)
{
    buf_done(&answer->body);
}

/* ---- the request ---- */

static void write_request(const struct client *client, const struct client_request *request,
                          struct buf *out)
{
    const struct client_url *url = &client->url;
    bool six = strchr(url->host, ':') != NULL;
    buf_addf(out, "%s %s%s HTTP/1.1\r\n", request->method, url->path, request->target);
    buf_addf(out, "Host: %s%s%s:%s\r\n", six ? "[" : "", url->host, six ? "]" : "", url->port);
    buf_addf(out, "Connection: close\r\nUser-Agent: fleethub\r\nAccept: %s\r\n",
             request->accept ? request->accept : "application/json");
    if (client->token)
        buf_addf(out, "Authorization: Bearer %s\r\n", client->token);
    if (request->idempotency_key)
        buf_addf(out, "Idempotency-Key: %s\r\n", request->idempotency_key);
    if (request->last_event_id)
        buf_addf(out, "Last-Event-ID: %s\r\n", request->last_event_id);
    if (request->body)
        buf_addf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                 strlen(request->body));
    else if (strcmp(request->method, "POST") == 0)
        buf_adds(out, "Content-Length: 0\r\n");
    buf_adds(out, "\r\n");
    if (request->body)
        buf_adds(out, request->body);
}

enum client_outcome client_follow(struct client *client, const struct client_request *request,
                                  bool (*take)(void *closure, const char *bytes, size_t size),
                                  void *closure, struct client_answer *answer, struct buf *why)
{
    struct client_answer got = {.retry_after_s = -1};
    struct client_net net = {.fd = -1};
    struct buf text = BUF_INIT;
    enum client_outcome outcome = CLIENT_UNREACHABLE;
    write_request(client, request, &text);
    if (text.failed) {
        buf_adds(why, "no memory");
        goto out;
    }
    outcome = client_net_open(&net, &client->url, client->tls,
                              take ? CLIENT_STREAM_SILENCE_S : CLIENT_SILENCE_S, why);
    if (outcome != CLIENT_OK)
        goto out;
    errno = 0;
    if (client_net_write(&net, text.data, text.size_bytes) &&
        client_answer_read(&net, take, closure, &got)) {
        *answer = got;
        got.body = (struct buf)BUF_INIT;
    } else if (client_interrupted()) {
        outcome = CLIENT_INTERRUPTED;
    } else {
        outcome = CLIENT_BROKEN;
        buf_addf(why, "%s: the connection ended before the answer%s%s", client->server,
                 errno ? ": " : "", errno ? strerror(errno) : "");
    }
    client_net_close(&net);
out:
    client_answer_done(&got);
    buf_done(&text);
    return outcome;
}

enum client_outcome client_ask(struct client *client, const struct client_request *request,
                               struct client_answer *answer, struct buf *why)
{
    return client_follow(client, request, NULL, NULL, answer, why);
}

/* ---- small things ---- */

static bool add_member(struct doc_ref problem, const char *name, const char *before,
                       const char *behind, struct buf *out)
{
    struct doc_ref value = doc_getz(problem, name);
    size_t size;
    const char *text = doc_is(value, DOC_STRING) ? doc_string(value, &size) : NULL;
    if (!text || size == 0)
        return false;
    buf_adds(out, before);
    for (size_t i = 0; i < size; i++) /* it goes to a terminal */
        buf_addc(out, iscntrl((unsigned char)text[i]) ? ' ' : text[i]);
    buf_adds(out, behind);
    return true;
}

void client_explain(const struct client_answer *answer, struct buf *out)
{
    static const struct doc_limits limits = {.max_bytes = 1 << 20, .max_depth = 32};
    struct doc_parser *parser = doc_parser_new();
    struct doc_ref problem = {NULL, NULL};
    if (parser && answer->body.size_bytes > 0 &&
        doc_parse(parser, answer->body.data, answer->body.size_bytes, limits, &problem) != DOC_OK)
        problem = (struct doc_ref){NULL, NULL};
    if (add_member(problem, "detail", "", "", out) || add_member(problem, "title", "", "", out))
        add_member(problem, "hint", " (", ")", out);
    else
        buf_addf(out, "the server answers %d", answer->status);
    doc_parser_free(parser);
}

void client_encode(struct buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (isalnum(c) || strchr("-._~", c))
            buf_addc(out, (char)c);
        else
            buf_addf(out, "%%%02X", c);
    }
}

void client_new_key(char key[CLIENT_KEY_BYTES])
{
    unsigned char random[CLIENT_KEY_BYTES / 2];
    if (RAND_bytes(random, sizeof random) != 1)
        abort(); /* without a random number nothing here is safe */
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(key + 2 * i, 3, "%02x", random[i]);
}
