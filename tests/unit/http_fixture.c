#include "http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

struct http *fixture_server;
uint16_t fixture_port;

int fixture_start(const struct http_route *routes, size_t count)
{
    struct http_options options = {
        .listen = "127.0.0.1:0",
        .settings = {.connections_max = 256,
                     .per_address_max = 256,
                     .header_bytes_max = HEADER_MAX_BYTES,
                     .body_bytes_max = BODY_MAX_BYTES},
        .event_threads = 2,
        .workers = 1,
        .scan_workers = 1,
        .nats_workers = 1,
        .queue_max = 1,
        .routes = routes,
        .route_count = count,
    };
    char error[256];
    fixture_server = http_start(&options, error);
    if (!fixture_server) {
        print_error("%s\n", error);
        return -1;
    }
    fixture_port = http_port(fixture_server);
    return 0;
}

int fixture_stop(void **state)
{
    (void)state;
    bool stopped = http_stop(fixture_server, STOP_MS);
    fixture_server = NULL;
    return stopped ? 0 : -1;
}

void fixture_echo(const struct http_request *request, struct http_reply *reply)
{
    struct buf *out = &reply->body;
    buf_adds(out, "{\"method\":");
    buf_json_cstr(out, request->method);
    buf_adds(out, ",\"path\":");
    buf_json_cstr(out, request->path);
    buf_adds(out, ",\"first\":");
    buf_json_cstr(out, request->path_param[0]);
    buf_adds(out, ",\"second\":");
    buf_json_cstr(out, request->path_param[1]);
    buf_adds(out, ",\"filter\":");
    buf_json_cstr(out, http_query(request, "filter"));
    buf_adds(out, ",\"verbose\":");
    buf_json_cstr(out, http_query(request, "verbose"));
    buf_adds(out, ",\"test\":");
    buf_json_cstr(out, http_header(request, "X-Test"));
    buf_adds(out, ",\"accept\":");
    buf_json_cstr(out, request->accept);
    buf_adds(out, ",\"remote\":");
    buf_json_cstr(out, request->remote);
    buf_adds(out, ",\"request_id\":");
    buf_json_cstr(out, request->request_id);
    buf_adds(out, ",\"body\":");
    buf_json_string(out, request->body, request->body_bytes);
    buf_addc(out, '}');
}

void member_is(const json_t *object, const char *name, const char *value)
{
    const char *is = json_string_value(json_object_get(object, name));
    assert_non_null(is);
    assert_string_equal(is, value);
}

const char *header_of(const struct client_reply *reply, const char *name)
{
    const char *value = client_header(reply, name);
    if (!value)
        fail_msg("no %s in:\n%s", name, reply->head);
    return value;
}

/* Checks a problem's whole shape and leaves its detail in `detail`. */
void expect_problem(struct client_reply *reply, int status, const char *slug, char detail[1024])
{
    char type[128], id[64];
    assert_int_equal(reply->status, status);
    assert_string_equal(header_of(reply, "Content-Type"), "application/problem+json");
    snprintf(id, sizeof id, "%s", header_of(reply, "X-Request-Id"));
    json_t *problem = client_json(reply);
    snprintf(type, sizeof type, "/problems/%s", slug);
    member_is(problem, "type", type);
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), status);
    assert_true(json_string_length(json_object_get(problem, "title")) > 0);
    member_is(problem, "request_id", id);
    assert_true(json_string_length(json_object_get(problem, "detail")) > 0);
    snprintf(detail, 1024, "%s", json_string_value(json_object_get(problem, "detail")));
    assert_int_equal(json_object_size(problem), 5);
    json_decref(problem);
    client_reply_done(reply);
}
