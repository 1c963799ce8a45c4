#include "hub/api_write.h"

#include <string.h>
#include <strings.h>

bool write_ready(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    if (atomic_load(&app->recovered) && bus_connected(app->bus))
        return true;
    http_problem(request, reply, PROBLEM_UNAVAILABLE,
                 "%s, so nothing can be put on record and nothing was written. Try again later.",
                 bus_connected(app->bus) ? "The twins are still being read" : "NATS is away");
    return false;
}

bool write_body(const struct http_request *request, struct http_reply *reply,
                struct doc_parser *parser, unsigned max_depth, bool empty, struct doc_ref *root)
{
    bool none = empty && request->body_bytes == 0;
    struct doc_limits limits = {DOC_MAX_BYTES, max_depth};
    if (!parser) {
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "There is no memory for it.");
        return false;
    }
    switch (doc_parse(parser, none ? "{}" : request->body, none ? 2 : request->body_bytes, limits,
                      root)) {
    case DOC_OK:
        if (doc_is(*root, DOC_OBJECT))
            return true;
        http_problem(request, reply, PROBLEM_BAD_REQUEST, "The body must be a JSON object.");
        return false;
    case DOC_TOO_DEEP:
        http_problem(request, reply, PROBLEM_BAD_REQUEST,
                     "The body is nested deeper than %u levels.", max_depth);
        return false;
    case DOC_NO_MEMORY:
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "There is no memory for it.");
        return false;
    default:
        http_problem(request, reply, PROBLEM_BAD_REQUEST,
                     "The body must be a JSON object; at byte %zu: %s.", doc_parser_offset(parser),
                     doc_parser_reason(parser));
        return false;
    }
}

static bool is_known(const char *known, const char *name, size_t size)
{
    while (*known) {
        size_t length = strcspn(known, " ");
        if (length == size && memcmp(known, name, size) == 0)
            return true;
        known += length;
        known += strspn(known, " ");
    }
    return false;
}

bool write_members(const struct http_request *request, struct http_reply *reply,
                   struct doc_ref object, const char *known)
{
    for (struct doc_ref m = doc_first(object); doc_exists(m); m = doc_next(object, m)) {
        size_t size;
        const char *name = doc_name(m, &size);
        if (is_known(known, name, size))
            continue;
        struct buf shown = BUF_INIT;
        buf_json_string(&shown, name, size);
        http_problem(request, reply, PROBLEM_BAD_REQUEST,
                     "The body has an unknown member %s; known: %s.", buf_cstr(&shown), known);
        buf_done(&shown);
        return false;
    }
    return true;
}

bool write_no_patch(const struct http_request *request, struct http_reply *reply)
{
    const char *type = http_header(request, "Content-Type");
    if (!type || strncasecmp(type, "application/merge-patch+json", 28) != 0)
        return true;
    http_problem(request, reply, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                 "A PUT takes the whole as application/json; PATCH takes a merge patch.");
    return false;
}
