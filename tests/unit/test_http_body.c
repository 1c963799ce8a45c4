/* Bodies of requests: taken, refused, and never read as something else; over real sockets. */
#include "http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void tagged(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    snprintf(reply->etag, sizeof reply->etag, "\"v1\"");
    buf_adds(&reply->body, "{\"a\":1}");
    http_reply_header(reply, "Fleet-Position", "%s", "p1");
}

static void gone(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    reply->status = 204;
}

static const struct http_route routes[] = {
    {"GET", "/v1/things/{thing}", fixture_echo, 0, ""},
    {"PATCH", "/v1/things/{thing}", fixture_echo, ROUTE_BODY_JSON, ""},
    {"DELETE", "/v1/things/{thing}", gone, 0, ""},
    {"POST", "/v1/things/{thing}:cancel", fixture_echo, ROUTE_BODY_JSON, ""},
    {"GET", "/tagged", tagged, 0, ""},
};

static int start(void **state)
{
    (void)state;
    return fixture_start(routes, sizeof routes / sizeof routes[0]);
}

/* ---- bodies ---- */

#define JSON_TYPE "Content-Type: application/json\r\n"

static void body_reaches_its_handler(void **state)
{
    static const char *const types[] = {
        JSON_TYPE, "Content-Type: Application/JSON ; charset=utf-8\r\n",
        "Content-Type: application/merge-patch+json\r\n", JSON_TYPE "Expect: 100-continue\r\n"};
    struct client_reply reply;
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        client_do(fixture_port, "PATCH", "/v1/things/x", types[i], "{\"a\": null}", &reply);
        json_t *json = client_json(&reply);
        member_is(json, "body", "{\"a\": null}");
        member_is(json, "method", "PATCH");
        json_decref(json);
        client_reply_done(&reply);
    }
}

static void body_in_pieces_reaches_its_handler(void **state)
{
    struct client_reply reply;
    (void)state;
    int fd = client_connect(fixture_port);
    for (int i = 0; i < 2; i++) {
        client_sends(fd, "PATCH /v1/things/x HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
                         "Transfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n");
        client_sends(fd, "4\r\n\":1}\r\n0\r\n\r\n");
        client_read(fd, &reply, false);
        json_t *json = client_json(&reply);
        member_is(json, "body", "{\"a\":1}");
        json_decref(json);
        client_reply_done(&reply);
    }
    close(fd);
}

static void body_of_another_type_is_a_415(void **state)
{
    static const char *const types[] = {"", "Content-Type: text/plain\r\n",
                                        "Content-Type: application/jsonp\r\n"};
    struct client_reply reply;
    char detail[1024];
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        client_do(fixture_port, "PATCH", "/v1/things/x", types[i], "{}", &reply);
        expect_problem(&reply, 415, "unsupported-media-type", detail);
    }
}

/* After a refusal the connection goes on with the next request, not with the rest of the body. */
static void refused_body_is_not_read_as_a_request(void **state)
{
    static const char smuggled[] = "GET /tagged HTTP/1.1\r\nHost: t\r\n\r\n";
    static const char *const lines[] = {"PATCH /v1/things/x", "POST /v1/things/x:cancel",
                                        "PUT /v1/things/x",   "DELETE /nothing",
                                        "GET /nothing",       "FROB /v1/things/x"};
    struct client_reply reply;
    char request[512];
    (void)state;
    int fd = client_connect(fixture_port);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n%s",
                 lines[i], sizeof smuggled - 1, smuggled);
        client_sends(fd, request);
        client_sends(fd, "GET /v1/things/next HTTP/1.1\r\nHost: t\r\n\r\n");
        client_read(fd, &reply, false);
        assert_true(reply.status >= 400 && reply.status < 500);
        client_reply_done(&reply);
        client_read(fd, &reply, false);
        assert_int_equal(reply.status, 200);
        json_t *json = client_json(&reply);
        member_is(json, "first", "next");
        json_decref(json);
        client_reply_done(&reply);
    }
    close(fd);
}

static void ambiguous_length_ends_the_connection(void **state)
{
    static const char *const fields[] = {
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 36\r\n\r\n",
    };
    struct client_reply reply;
    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        int fd = client_connect(fixture_port);
        client_sends(fd, "PATCH /v1/things/x HTTP/1.1\r\nHost: t\r\n" JSON_TYPE);
        client_sends(fd, fields[i]);
        client_sends(fd, "GET /tagged HTTP/1.1\r\nHost: t\r\n\r\n");
        client_read(fd, &reply, false);
        assert_int_equal(reply.status, 400);
        client_reply_done(&reply);
        assert_true(client_closed(fd));
        close(fd);
    }
}

static void body_beyond_the_bound_is_a_413(void **state)
{
    struct client_reply reply;
    char detail[1024], chunk[64];
    (void)state;
    char *body = calloc(1, BODY_MAX_BYTES + 2);
    assert_non_null(body);
    memset(body, ' ', BODY_MAX_BYTES);
    client_do(fixture_port, "PATCH", "/v1/things/x", JSON_TYPE, body, &reply);
    assert_int_equal(reply.status, 200);
    client_reply_done(&reply);
    body[BODY_MAX_BYTES] = ' ';
    client_do(fixture_port, "PATCH", "/v1/things/x", JSON_TYPE, body, &reply);
    expect_problem(&reply, 413, "body-too-large", detail);
    client_do(fixture_port, "GET", "/v1/things/x", "", body, &reply);
    expect_problem(&reply, 413, "body-too-large", detail);

    int fd = client_connect(fixture_port);
    client_sends(fd, "PATCH /v1/things/x HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
                     "Transfer-Encoding: chunked\r\n\r\n");
    snprintf(chunk, sizeof chunk, "%x\r\n", BODY_MAX_BYTES + 1);
    client_sends(fd, chunk);
    client_send(fd, body, BODY_MAX_BYTES + 1);
    client_sends(fd, "\r\n0\r\n\r\n");
    client_read(fd, &reply, false);
    expect_problem(&reply, 413, "body-too-large", detail);
    close(fd);
    free(body);
}

/* Somebody who asks first, or announces too much, is told before sending. */
static void body_far_beyond_the_bound_is_refused_unread(void **state)
{
    static const char *const fields[] = {
        "PATCH /v1/things/x HTTP/1.1\r\nContent-Length: 70000\r\nExpect: 100-continue\r\n",
        "PATCH /v1/things/x HTTP/1.1\r\nContent-Length: 99999999999\r\n",
        "GET /v1/things/x HTTP/1.1\r\nContent-Length: 99999999999\r\n"};
    struct client_reply reply;
    char detail[1024];
    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        int fd = client_connect(fixture_port);
        client_sends(fd, fields[i]);
        client_sends(fd, "Host: t\r\n" JSON_TYPE "\r\n");
        client_read(fd, &reply, false);
        assert_string_equal(header_of(&reply, "Connection"), "close");
        expect_problem(&reply, 413, "body-too-large", detail);
        close(fd);
    }
}

static void body_where_none_is_wanted_is_ignored(void **state)
{
    struct client_reply reply;
    (void)state;
    client_do(fixture_port, "GET", "/v1/things/x", "", "{\"a\":1}", &reply);
    json_t *json = client_json(&reply);
    member_is(json, "body", "");
    json_decref(json);
    client_reply_done(&reply);
}

static void delete_answers_204_and_keeps_the_connection(void **state)
{
    struct client_reply reply;
    (void)state;
    int fd = client_connect(fixture_port);
    for (int i = 0; i < 2; i++) {
        client_sends(fd, "DELETE /v1/things/x HTTP/1.1\r\nHost: t\r\n\r\n");
        client_read(fd, &reply, false);
        assert_int_equal(reply.status, 204);
        assert_null(client_header(&reply, "Content-Type"));
        client_reply_done(&reply);
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, fixture_stop)
        TEST(body_reaches_its_handler),
        TEST(body_in_pieces_reaches_its_handler),
        TEST(body_of_another_type_is_a_415),
        TEST(refused_body_is_not_read_as_a_request),
        TEST(ambiguous_length_ends_the_connection),
        TEST(body_beyond_the_bound_is_a_413),
        TEST(body_far_beyond_the_bound_is_refused_unread),
        TEST(body_where_none_is_wanted_is_ignored),
        TEST(delete_answers_204_and_keeps_the_connection),
    };
    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests_name("http_body", tests, NULL, NULL);
}
