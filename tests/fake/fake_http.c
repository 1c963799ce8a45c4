#include "tests/fake/fake_http.h"

#include "twin/viewer.h"

#include <stdatomic.h>
#include <string.h>

static const char *header_name, *header_value;
static atomic_int wakes;

struct http_request fake_http_request(void *app, const char *body)
{
    return (struct http_request){.app = app,
                                 .method = "POST",
                                 .path = "/v1/test",
                                 .path_param = {"", ""},
                                 .body = body,
                                 .body_bytes = body ? strlen(body) : 0,
                                 .accept = "",
                                 .request_id = "r1",
                                 .remote = "192.0.2.1",
                                 .viewer = &viewer_all,
                                 .principal = "local"};
}

void fake_http_header(const char *name, const char *value)
{
    header_name = name;
    header_value = value;
}

int fake_http_wakes(void)
{
    return atomic_load(&wakes);
}

void fake_http_reply_done(struct http_reply *reply)
{
    buf_done(&reply->body);
    buf_done(&reply->headers);
    *reply = (struct http_reply){.status = 0};
}

const char *http_header(const struct http_request *request, const char *name)
{
    (void)request;
    return header_name && strcmp(name, header_name) == 0 ? header_value : NULL;
}

const char *http_query(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->query_count; i++)
        if (strcmp(request->query[i].name, name) == 0)
            return request->query[i].value;
    return NULL;
}

bool http_gone(const struct http_request *request)
{
    (void)request;
    return false;
}

bool http_kept(const struct http_request *request, struct http_reply *reply, uint64_t mark)
{
    (void)request, (void)reply, (void)mark;
    return false;
}

void http_stream_wake(struct http_stream *stream)
{
    (void)stream;
    atomic_fetch_add(&wakes, 1);
}
