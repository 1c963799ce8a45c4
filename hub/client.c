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

enum { PIECE_BYTES = 16 * 1024, CHUNK_LINE_BYTES = 256, HTTP_OK = 200 };

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

/* ---- the answer ---- */

struct reading {
    struct client_net net;
    struct client_answer *answer;
    bool (*take)(void *closure, const char *bytes, size_t size); /* NULL: into the answer */
    void *closure;
    char piece[PIECE_BYTES]; /* read, and up to `at` used */
    size_t at, size;
    bool chunked, left; /* left: `take` wants no more */
    bool broken;        /* it did not end, it broke */
    long long length;   /* -1: to the end */
};

/* The next byte, -1 at the end or where it broke. */
static int next_byte(struct reading *reading)
{
    if (reading->at == reading->size) {
        ssize_t got = client_net_read(&reading->net, reading->piece, sizeof reading->piece);
        reading->broken = got < 0;
        if (got <= 0)
            return -1;
        reading->at = 0;
        reading->size = (size_t)got;
    }
    return (unsigned char)reading->piece[reading->at++];
}

/* A line without its end; false where there is none, or it is longer. */
static bool read_line(struct reading *reading, char *line, size_t room)
{
    size_t size = 0;
    for (int c; (c = next_byte(reading)) != '\n';) {
        if (c < 0 || size + 1 >= room)
            return false;
        line[size++] = (char)c;
    }
    if (size > 0 && line[size - 1] == '\r')
        size--;
    line[size] = '\0';
    return true;
}

static const char *value_of(const char *line, const char *name)
{
    size_t size = strlen(name);
    if (strncasecmp(line, name, size) != 0 || line[size] != ':')
        return NULL;
    return line + size + 1 + strspn(line + size + 1, " \t");
}

static bool read_head(struct reading *reading)
{
    char line[CLIENT_HEAD_MAX_BYTES];
    size_t total = 0;
    int minor;
    reading->length = -1;
    reading->chunked = false;
    if (!read_line(reading, line, sizeof line) ||
        sscanf(line, "HTTP/1.%d %d", &minor, &reading->answer->status) != 2)
        return false;
    while (read_line(reading, line, sizeof line) && total < CLIENT_HEAD_MAX_BYTES) {
        const char *value;
        if (*line == '\0')
            return true;
        total += strlen(line);
        if ((value = value_of(line, "Content-Length")) != NULL)
            reading->length = strtoll(value, NULL, 10);
        else if ((value = value_of(line, "Transfer-Encoding")) != NULL)
            reading->chunked = strncasecmp(value, "chunked", 7) == 0;
        else if ((value = value_of(line, "Retry-After")) != NULL)
            reading->answer->retry_after_s = (int)strtol(value, NULL, 10);
    }
    return false;
}

/* False where the answer has become too large or there is no memory. */
static bool hand_on(struct reading *reading, const char *bytes, size_t size)
{
    struct buf *body = &reading->answer->body;
    if (reading->take && reading->answer->status == HTTP_OK) {
        reading->left = !reading->take(reading->closure, bytes, size);
        return true;
    }
    buf_add(body, bytes, size);
    return !body->failed && body->size_bytes <= CLIENT_BODY_MAX_BYTES;
}

/* `count` bytes, or all there are where it is below 0. */
static bool read_bytes(struct reading *reading, long long count)
{
    while (count != 0 && !reading->left) {
        if (reading->at == reading->size) {
            int first = next_byte(reading);
            if (first < 0)
                return count < 0 && !reading->broken;
            reading->at--;
        }
        size_t there = reading->size - reading->at;
        if (count > 0 && (unsigned long long)count < there)
            there = (size_t)count;
        if (!hand_on(reading, reading->piece + reading->at, there))
            return false;
        reading->at += there;
        if (count > 0)
            count -= (long long)there;
    }
    return true;
}

static bool read_chunks(struct reading *reading)
{
    char line[CHUNK_LINE_BYTES], *end;
    while (!reading->left) {
        if (!read_line(reading, line, sizeof line))
            return false;
        errno = 0;
        unsigned long long size = strtoull(line, &end, 16);
        if (end == line || errno || size > CLIENT_BODY_MAX_BYTES)
            return false;
        if (size == 0)
            return true;
        if (!read_bytes(reading, (long long)size) ||
            (!reading->left && !read_line(reading, line, sizeof line)))
            return false;
    }
    return true;
}

static bool read_answer(struct reading *reading)
{
    do {
        if (!read_head(reading))
            return false;
    } while (reading->answer->status < HTTP_OK); /* 100 Continue */
    return reading->chunked ? read_chunks(reading) : read_bytes(reading, reading->length);
}

enum client_outcome client_follow(struct client *client, const struct client_request *request,
                                  bool (*take)(void *closure, const char *bytes, size_t size),
                                  void *closure, struct client_answer *answer, struct buf *why)
{
    struct client_answer got = {.retry_after_s = -1};
    struct reading *reading = calloc(1, sizeof *reading);
    struct buf text = BUF_INIT;
    enum client_outcome outcome = CLIENT_UNREACHABLE;
    write_request(client, request, &text);
    if (!reading || text.failed) {
        buf_adds(why, "no memory");
        goto out;
    }
    reading->answer = &got;
    reading->take = take;
    reading->closure = closure;
    outcome = client_net_open(&reading->net, &client->url, client->tls,
                              take ? CLIENT_STREAM_SILENCE_S : CLIENT_SILENCE_S, why);
    if (outcome != CLIENT_OK)
        goto out;
    errno = 0;
    if (client_net_write(&reading->net, text.data, text.size_bytes) && read_answer(reading)) {
        *answer = got;
        got.body = (struct buf)BUF_INIT;
    } else if (client_interrupted()) {
        outcome = CLIENT_INTERRUPTED;
    } else {
        outcome = CLIENT_BROKEN;
        buf_addf(why, "%s: the connection ended before the answer%s%s", client->server,
                 errno ? ": " : "", errno ? strerror(errno) : "");
    }
    client_net_close(&reading->net);
out:
    client_answer_done(&got);
    buf_done(&text);
    free(reading);
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
