#include "hub/api_query.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool query_page_size(const struct http_request *request, struct http_reply *reply, size_t *size)
{
    const char *text = http_query(request, "page_size");
    *size = PAGE_SIZE_DEFAULT;
    if (!text)
        return true;
    char *end;
    long value = strtol(text, &end, 10); /* beyond its range it saturates, which the clamp bears */
    if (end == text || *end != '\0' || isspace((unsigned char)*text)) {
        http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                     "page_size is a whole number from 1 to %d; this is none.", PAGE_SIZE_MAX);
        return false;
    }
    *size = value < 1 ? 1 : value > PAGE_SIZE_MAX ? PAGE_SIZE_MAX : (size_t)value;
    return true;
}

bool query_flag(const struct http_request *request, struct http_reply *reply, const char *name,
                bool *value)
{
    const char *text = http_query(request, name);
    *value = text && (*text == '\0' || strcmp(text, "true") == 0);
    if (text && !*value && strcmp(text, "false") != 0) {
        http_problem(request, reply, PROBLEM_BAD_PARAMETER, "%s is `true` or `false`.", name);
        return false;
    }
    return true;
}

static void add_escaped(struct buf *out, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (isalnum(c) || strchr("-._~", c)) {
            buf_addc(out, (char)c);
        } else {
            buf_addc(out, '%');
            buf_addc(out, hex[c >> 4]);
            buf_addc(out, hex[c & 15]);
        }
    }
}

void query_link_next(const struct http_request *request, struct http_reply *reply,
                     const char *token)
{
    struct buf target = BUF_INIT;
    buf_adds(&target, request->path);
    buf_addc(&target, '?');
    for (size_t i = 0; i < request->query_count; i++) {
        if (strcmp(request->query[i].name, "page_token") == 0)
            continue;
        add_escaped(&target, request->query[i].name);
        buf_addc(&target, '=');
        add_escaped(&target, request->query[i].value);
        buf_addc(&target, '&');
    }
    buf_adds(&target, "page_token=");
    buf_adds(&target, token);
    http_reply_header(reply, "Link", "<%s>; rel=\"next\"", buf_cstr(&target));
    buf_done(&target);
}
