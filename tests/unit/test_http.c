/* What the HTTP server makes of request lines and headers, over real sockets. */
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

static void no_memory(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    buf_adds(&reply->body, "half an ans");
    reply->body.failed = true;
}

static void wordy(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    for (int i = 0; i < HTTP_MAX_REPLY_HEADERS + 1; i++) {
        static const char *const names[] = {"A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9"};
        http_reply_header(reply, names[i], "x");
    }
}

static void injecting(const struct http_request *request, struct http_reply *reply)
{
    http_reply_header(reply, "Link", "%s", "first");
    http_reply_header(reply, "link", "%s", http_query(request, "filter"));
    buf_adds(&reply->body, "{}");
}

static void unavailable(const struct http_request *request, struct http_reply *reply)
{
    buf_adds(&reply->body, "something else");
    http_problem(request, reply, PROBLEM_UNAVAILABLE, "No %s, \"wait\".", "database");
}

static const struct http_route routes[] = {
    {"GET", "/", fixture_echo, 0, ""},
    {"GET", "/v1/things/{thing}", fixture_echo, 0, "filter verbose"},
    {"PATCH", "/v1/things/{thing}", fixture_echo, ROUTE_BODY_JSON, ""},
    {"DELETE", "/v1/things/{thing}", fixture_echo, 0, ""},
    {"GET", "/v1/things/stream", tagged, 0, ""},
    {"GET", "/v1/things/{thing}/state/{type}", fixture_echo, 0, ""},
    {"POST", "/v1/things/{thing}:cancel", fixture_echo, ROUTE_BODY_JSON, ""},
    {"GET", "/tagged", tagged, 0, ""},
    {"GET", "/no-memory", no_memory, 0, ""},
    {"GET", "/wordy", wordy, 0, ""},
    {"GET", "/injecting", injecting, 0, "filter"},
    {"GET", "/unavailable", unavailable, 0, ""},
};

static int start(void **state)
{
    (void)state;
    return fixture_start(routes, sizeof routes / sizeof routes[0]);
}

static void get_problem(const char *target, int status, const char *slug, char detail[1024])
{
    struct client_reply reply;
    client_get(fixture_port, target, &reply);
    expect_problem(&reply, status, slug, detail);
}

static json_t *get_json(const char *target)
{
    struct client_reply reply;
    client_get(fixture_port, target, &reply);
    assert_int_equal(reply.status, 200);
    json_t *json = client_json(&reply);
    client_reply_done(&reply);
    return json;
}

/* ---- dispatch ---- */

static void route_gets_its_path_parameters_decoded(void **state)
{
    (void)state;
    json_t *json = get_json("/v1/things/a%20b%C3%A9/state/battery.low");
    member_is(json, "first", "a b\xC3\xA9");
    member_is(json, "second", "battery.low");
    member_is(json, "path", "/v1/things/a b\xC3\xA9/state/battery.low");
    member_is(json, "method", "GET");
    member_is(json, "remote", "127.0.0.1");
    member_is(json, "body", "");
    json_decref(json);
}

static void literal_segment_wins_over_a_parameter(void **state)
{
    struct client_reply reply;
    (void)state;
    client_get(fixture_port, "/v1/things/stream", &reply);
    assert_string_equal(reply.body, "{\"a\":1}");
    client_reply_done(&reply);
}

static void suffix_verb_is_a_route_of_its_own(void **state)
{
    struct client_reply reply;
    (void)state;
    client_do(fixture_port, "POST", "/v1/things/c-7:cancel", "Content-Type: application/json\r\n",
              "{}", &reply);
    json_t *json = client_json(&reply);
    member_is(json, "first", "c-7");
    member_is(json, "path", "/v1/things/c-7:cancel");
    member_is(json, "body", "{}");
    json_decref(json);
    client_reply_done(&reply);
}

static void absolute_target_is_taken_as_its_path(void **state)
{
    (void)state;
    json_t *json = get_json("http://hub.example:80/v1/things/x?filter=1");
    member_is(json, "first", "x");
    member_is(json, "filter", "1");
    json_decref(json);
}

static void unknown_path_is_a_404(void **state)
{
    static const char *const paths[] = {
        "/v2",           "/v1/things",       "/v1/things/", "/v1//things/x",
        "/v1/things/x/", "/v1/things/a%2Fb", "//",          "/1/2/3/4/5/6/7/8/9/10/11/12/13/14"};
    char detail[1024];
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        get_problem(paths[i], 404, "not-found", detail);
}

static void undecodable_path_is_a_400(void **state)
{
    static const char *const paths[] = {"/v1/things/%",   "/v1/things/%4",       "/v1/things/%zz",
                                        "/v1/things/%00", "/v1/things/a%00b",    "/v1/things/%ff",
                                        "/v1/things/%c3", "/v1/things/%ed%a0%80"};
    char detail[1024];
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        get_problem(paths[i], 400, "bad-request", detail);
}

static void other_method_is_a_405_that_names_those_allowed(void **state)
{
    static const char *const methods[] = {"PUT", "OPTIONS", "FROB"};
    struct client_reply reply;
    char detail[1024];
    (void)state;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        client_do(fixture_port, methods[i], "/v1/things/x", "", NULL, &reply);
        assert_string_equal(header_of(&reply, "Allow"), "GET, HEAD, PATCH, DELETE");
        expect_problem(&reply, 405, "method-not-allowed", detail);
        assert_non_null(strstr(detail, "PATCH"));
    }
}

static void head_is_a_get_without_its_body(void **state)
{
    struct client_reply reply, whole;
    (void)state;
    client_get(fixture_port, "/tagged", &whole);
    int fd = client_connect(fixture_port);
    /* A body would be read as the beginning of the second reply. */
    for (int i = 0; i < 2; i++) {
        client_sends(fd, "HEAD /tagged HTTP/1.1\r\nHost: t\r\n\r\n");
        client_read(fd, &reply, true);
        assert_int_equal(reply.status, 200);
        assert_string_equal(header_of(&reply, "ETag"), "\"v1\"");
        assert_int_equal(atoi(header_of(&reply, "Content-Length")), whole.body_bytes);
        client_reply_done(&reply);
    }
    close(fd);
    client_reply_done(&whole);
}

/* ---- query parameters ---- */

static void query_is_decoded(void **state)
{
    (void)state;
    json_t *json = get_json("/v1/things/x?filter=a%26b%3D%2B+%C3%A9&&verbose");
    member_is(json, "filter", "a&b=+ \xC3\xA9");
    member_is(json, "verbose", "");
    json_decref(json);
    json = get_json("/v1/things/x?f%69lter==%3D");
    member_is(json, "filter", "==");
    assert_true(json_is_null(json_object_get(json, "verbose")));
    json_decref(json);
}

static void unknown_parameters_are_named(void **state)
{
    char detail[1024];
    (void)state;
    get_problem("/v1/things/x?fliter=1&filter=2&%22x%22", 400, "unknown-parameter", detail);
    assert_string_equal(detail, "Unknown query parameter \"fliter\", \"\"x\"\"; this path knows: "
                                "filter verbose.");
    get_problem("/tagged?a=1", 400, "unknown-parameter", detail);
    assert_non_null(strstr(detail, "knows none"));
}

static void repeated_parameter_is_refused(void **state)
{
    char detail[1024];
    (void)state;
    get_problem("/v1/things/x?filter=1&verbose&filter=1", 400, "bad-parameter", detail);
    assert_non_null(strstr(detail, "\"filter\" is given more than once"));
}

static void undecodable_query_is_refused(void **state)
{
    static const char *const queries[] = {"filter=%",   "filter=%g0", "filter=a%00",
                                          "filter=%fe", "%00=1",      "filter=%f5%80%80%80"};
    char detail[1024], target[128];
    (void)state;
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        snprintf(target, sizeof target, "/v1/things/x?%s", queries[i]);
        get_problem(target, 400, "bad-parameter", detail);
    }
}

static void too_many_parameters_are_refused(void **state)
{
    char detail[1024], target[512] = "/v1/things/x?";
    (void)state;
    for (int i = 0; i <= HTTP_MAX_QUERY_PARAMS; i++)
        snprintf(target + strlen(target), sizeof target - strlen(target), "&p%d=1", i);
    get_problem(target, 400, "bad-parameter", detail);
    assert_non_null(strstr(detail, "more than 32"));
}

/* ---- headers of requests and replies ---- */

static void request_id_of_the_client_is_kept(void **state)
{
    struct client_reply reply;
    char detail[1024];
    (void)state;
    client_do(fixture_port, "GET", "/nothing", "X-Request-Id: Aa0_.-\r\n", NULL, &reply);
    assert_string_equal(header_of(&reply, "X-Request-Id"), "Aa0_.-");
    expect_problem(&reply, 404, "not-found", detail);
}

static void other_request_ids_are_replaced_by_random_ones(void **state)
{
    static const char *const fields[] = {"", "X-Request-Id: \r\n", "X-Request-Id: a b\r\n",
                                         "X-Request-Id: 012345678901234567890123456789012\r\n"};
    struct client_reply reply;
    char last[64] = "";
    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        client_do(fixture_port, "GET", "/tagged", fields[i], NULL, &reply);
        const char *id = header_of(&reply, "X-Request-Id");
        assert_int_equal(strspn(id, "0123456789abcdef"), 32);
        assert_int_equal(strlen(id), 32);
        assert_string_not_equal(id, last);
        snprintf(last, sizeof last, "%s", id);
        client_reply_done(&reply);
    }
}

static void replies_carry_the_security_headers(void **state)
{
    struct client_reply reply;
    (void)state;
    client_get(fixture_port, "/v1/things/x", &reply);
    assert_string_equal(header_of(&reply, "X-Content-Type-Options"), "nosniff");
    assert_string_equal(header_of(&reply, "Referrer-Policy"), "no-referrer");
    assert_string_equal(header_of(&reply, "Cache-Control"), "no-store");
    assert_string_equal(header_of(&reply, "Vary"), "Accept-Encoding");
    assert_string_equal(header_of(&reply, "Content-Type"), "application/json");
    assert_memory_equal(header_of(&reply, "Content-Security-Policy"), "default-src 'none'", 18);
    assert_non_null(client_header(&reply, "Date"));
    assert_null(client_header(&reply, "Server"));
    client_reply_done(&reply);
}

static void header_beyond_the_bound_is_a_431(void **state)
{
    struct client_reply reply;
    char field[HEADER_MAX_BYTES + 64], detail[1024];
    (void)state;
    int size = snprintf(field, sizeof field, "X-Test: ");
    memset(field + size, 'x', HEADER_MAX_BYTES - 200);
    strcpy(field + size + HEADER_MAX_BYTES - 200, "\r\n");
    client_do(fixture_port, "GET", "/v1/things/x", field, NULL, &reply);
    assert_int_equal(reply.status, 200);
    client_reply_done(&reply);
    memset(field + size, 'x', HEADER_MAX_BYTES);
    strcpy(field + size + HEADER_MAX_BYTES, "\r\n");
    client_do(fixture_port, "GET", "/v1/things/x", field, NULL, &reply);
    expect_problem(&reply, 431, "headers-too-large", detail);
}

static void header_beyond_all_memory_is_refused(void **state)
{
    enum { FIELD_BYTES = 4 * HEADER_MAX_BYTES };
    static char request[FIELD_BYTES + 1] = "GET /v1/things/x HTTP/1.1\r\nX-Test: ";
    struct client_reply reply;
    (void)state;
    size_t size = strlen(request);
    memset(request + size, 'x', FIELD_BYTES - size);
    int fd = client_connect(fixture_port);
    client_send(fd, request, FIELD_BYTES); /* at once: the server will not read all of it */
    client_read(fd, &reply, false);
    assert_int_equal(reply.status, 431);
    client_reply_done(&reply);
    close(fd);
}

static void value_of_a_reply_header_cannot_break_out(void **state)
{
    struct client_reply reply;
    (void)state;
    client_get(fixture_port, "/injecting?filter=a%0D%0AEvil:%20b", &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(header_of(&reply, "Link"), "a  Evil: b"); /* and `first` was replaced */
    assert_null(client_header(&reply, "Evil"));
    client_reply_done(&reply);
}

static void too_many_reply_headers_are_a_500(void **state)
{
    char detail[1024];
    (void)state;
    get_problem("/wordy", 500, "internal", detail);
}

static void reply_without_memory_is_a_503_that_tells_nothing(void **state)
{
    char detail[1024];
    (void)state;
    get_problem("/no-memory", 503, "unavailable", detail);
    assert_string_equal(detail, "There is no memory for the answer. Try again shortly.");
}

static void problem_replaces_what_was_written(void **state)
{
    struct client_reply reply;
    char detail[1024];
    (void)state;
    client_get(fixture_port, "/unavailable", &reply);
    assert_string_equal(header_of(&reply, "Retry-After"), "1");
    expect_problem(&reply, 503, "unavailable", detail);
    assert_string_equal(detail, "No database, \"wait\".");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, fixture_stop)
        TEST(route_gets_its_path_parameters_decoded),
        TEST(literal_segment_wins_over_a_parameter),
        TEST(suffix_verb_is_a_route_of_its_own),
        TEST(absolute_target_is_taken_as_its_path),
        TEST(unknown_path_is_a_404),
        TEST(undecodable_path_is_a_400),
        TEST(other_method_is_a_405_that_names_those_allowed),
        TEST(head_is_a_get_without_its_body),
        TEST(query_is_decoded),
        TEST(unknown_parameters_are_named),
        TEST(repeated_parameter_is_refused),
        TEST(undecodable_query_is_refused),
        TEST(too_many_parameters_are_refused),
        TEST(request_id_of_the_client_is_kept),
        TEST(other_request_ids_are_replaced_by_random_ones),
        TEST(replies_carry_the_security_headers),
        TEST(header_beyond_the_bound_is_a_431),
        TEST(header_beyond_all_memory_is_refused),
        TEST(value_of_a_reply_header_cannot_break_out),
        TEST(too_many_reply_headers_are_a_500),
        TEST(reply_without_memory_is_a_503_that_tells_nothing),
        TEST(problem_replaces_what_was_written),
    };
    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
