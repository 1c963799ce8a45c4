/* Replies as handlers write them: problems (RFC 9457) and headers. */
#include "hub/http.h"
#include "twin/geo.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct problem_kind {
    int status;
    const char *slug, *title;
} kinds[PROBLEM_COUNT] = {
#define X(id, status, slug, title) {status, slug, title},
    PROBLEM_TABLE(X)
#undef X
};

enum { DETAIL_MAX_BYTES = 2048 };
#define RETRY_AFTER_S 1 /* long enough for a queue to drain, short enough for a client to wait */

static void write_problem(struct buf *out, const struct problem_kind *kind, const char *detail,
                          const struct text_error *where, const char *request_id)
{
    buf_adds(out, "{\"type\":\"/problems/");
    buf_adds(out, kind->slug);
    buf_adds(out, "\",\"title\":");
    buf_json_cstr(out, kind->title);
    buf_adds(out, ",\"status\":");
    buf_json_int(out, kind->status);
    buf_adds(out, ",\"detail\":");
    buf_json_cstr(out, detail);
    if (where) {
        buf_adds(out, ",\"offset\":");
        buf_json_int(out, (int64_t)where->offset);
    }
    if (where && where->hint[0]) {
        buf_adds(out, ",\"hint\":");
        buf_json_cstr(out, where->hint);
    }
    buf_adds(out, ",\"request_id\":");
    buf_json_cstr(out, request_id);
    buf_addc(out, '}');
}

/* Takes back what a cut through the middle of a character has left at the end. */
static void trim_utf8(char *text, size_t size)
{
    size_t start = size;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start > 0 && (unsigned char)text[start - 1] >= 0xC0)
        text[start - 1] = '\0';
}

static void become_problem(const struct http_request *request, struct http_reply *reply,
                           enum problem problem, const char *detail, const struct text_error *where)
{
    const struct problem_kind *kind = &kinds[problem];
    if (reply->stream)
        reply->stream->free(reply->stream);
    reply->stream = NULL;
    buf_reset(&reply->body);
    buf_reset(&reply->headers);
    reply->header_count = 0;
    reply->etag[0] = '\0';
    reply->status = kind->status;
    reply->content_type = "application/problem+json";
    write_problem(&reply->body, kind, detail, where, request->request_id);
    if (problem == PROBLEM_UNAVAILABLE)
        http_reply_header(reply, "Retry-After", "%d", RETRY_AFTER_S);
}

void http_problem_text(const struct http_request *request, struct http_reply *reply,
                       enum problem problem, const char *parameter, const struct text_error *error)
{
    char text[DETAIL_MAX_BYTES];
    snprintf(text, sizeof text, "%s: %s", parameter, error->detail);
    become_problem(request, reply, problem, text, error);
}

void http_problem(const struct http_request *request, struct http_reply *reply,
                  enum problem problem, const char *detail, ...)
{
    char text[DETAIL_MAX_BYTES];
    va_list args;
    va_start(args, detail);
    int size = vsnprintf(text, sizeof text, detail, args);
    va_end(args);
    if (size < 0)
        text[0] = '\0';
    else if ((size_t)size >= sizeof text)
        trim_utf8(text, sizeof text - 1);
    become_problem(request, reply, problem, text, NULL);
}

/* ---- headers: name, NUL, value, NUL, one after the other ---- */

static void drop_header(struct http_reply *reply, const char *name)
{
    struct buf *headers = &reply->headers;
    for (size_t at = 0; at < headers->size_bytes;) {
        char *entry = headers->data + at;
        size_t name_size = strlen(entry) + 1;
        size_t size = name_size + strlen(entry + name_size) + 1;
        if (strcasecmp(entry, name) == 0) {
            memmove(entry, entry + size, headers->size_bytes - at - size);
            headers->size_bytes -= size;
            reply->header_count--;
            return;
        }
        at += size;
    }
}

void http_reply_header_text(struct http_reply *reply, const char *name, const char *text)
{
    struct buf *headers = &reply->headers;
    if (headers->failed)
        return;
    if (headers->size_bytes > 0)
        drop_header(reply, name);
    buf_add(headers, name, strlen(name) + 1);
    size_t value = headers->size_bytes;
    buf_add(headers, text, strlen(text) + 1);
    if (headers->size_bytes > HTTP_MAX_REPLY_HEADER_BYTES ||
        ++reply->header_count > HTTP_MAX_REPLY_HEADERS)
        headers->failed = true;
    if (headers->failed)
        return;
    for (char *c = headers->data + value; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            *c = ' ';
}

void http_reply_header(struct http_reply *reply, const char *name, const char *format, ...)
{
    char text[HTTP_MAX_REPLY_HEADER_BYTES];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof text)
        reply->headers.failed = true;
    else
        http_reply_header_text(reply, name, text);
}
