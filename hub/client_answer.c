/* client: reading an answer, whatever a server sends. */
#include "hub/client_net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PIECE_BYTES = 16 * 1024, CHUNK_LINE_BYTES = 256, HTTP_OK = 200, INTERIM_MAX = 8 };

struct reading {
    struct client_net *net;
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
        ssize_t got = client_net_read(reading->net, reading->piece, sizeof reading->piece);
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

bool client_answer_read(struct client_net *net,
                        bool (*take)(void *closure, const char *bytes, size_t size), void *closure,
                        struct client_answer *answer)
{
    struct reading *reading = calloc(1, sizeof *reading);
    bool good = reading != NULL;
    if (!reading)
        return false;
    reading->net = net;
    reading->answer = answer;
    reading->take = take;
    reading->closure = closure;
    /* 100 Continue and its kin come before the answer. */
    for (int interim = 0; good && answer->status < HTTP_OK; interim++)
        good = interim < INTERIM_MAX && read_head(reading);
    if (good)
        good = reading->chunked ? read_chunks(reading) : read_bytes(reading, reading->length);
    free(reading);
    return good;
}
