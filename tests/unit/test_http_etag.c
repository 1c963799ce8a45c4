/* ETag, If-None-Match and gzip, over real sockets. */
#include "http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static void tagged(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    snprintf(reply->etag, sizeof reply->etag, "\"v1\"");
    buf_adds(&reply->body, "{\"a\":1}");
    http_reply_header(reply, "Fleet-Position", "%s", "p1");
}

static void large(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    snprintf(reply->etag, sizeof reply->etag, "\"v1\"");
    buf_addc(&reply->body, '[');
    for (int i = 0; i < 1000; i++)
        buf_addf(&reply->body, "%s{\"n\":%d}", i ? "," : "", i);
    buf_addc(&reply->body, ']');
}

static const struct http_route routes[] = {
    {"GET", "/tagged", tagged, 0, ""},
    {"GET", "/large", large, 0, ""},
};

static int start(void **state)
{
    (void)state;
    return fixture_start(routes, sizeof routes / sizeof routes[0]);
}

/* ---- ETag and gzip ---- */

static void known_etag_is_a_304(void **state)
{
    static const char *const fields[] = {
        "If-None-Match: \"v1\"\r\n", "If-None-Match: \"v0\" , W/\"v1\"\r\n",
        "If-None-Match: \"a,b\",\"v1\"\r\n", "If-None-Match: *\r\n"};
    struct client_reply reply;
    (void)state;
    int fd = client_connect(fixture_port);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        client_sends(fd, "GET /tagged HTTP/1.1\r\nHost: t\r\n");
        client_sends(fd, fields[i]);
        client_sends(fd, "\r\n");
        client_read(fd, &reply, false);
        assert_int_equal(reply.status, 304);
        assert_string_equal(header_of(&reply, "ETag"), "\"v1\"");
        assert_string_equal(header_of(&reply, "Cache-Control"), "no-cache");
        assert_string_equal(header_of(&reply, "Fleet-Position"), "p1");
        assert_string_equal(header_of(&reply, "Vary"), "Accept-Encoding");
        client_reply_done(&reply);
    }
    close(fd);
}

static void other_etag_is_the_whole_answer(void **state)
{
    static const char *const fields[] = {"If-None-Match: \"v2\"\r\n",   "If-None-Match: v1\r\n",
                                         "If-None-Match: \"v1\r\n",     "If-None-Match: \"v\"\r\n",
                                         "If-None-Match: \"v1-g\"\r\n", "If-None-Match: \r\n"};
    struct client_reply reply;
    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        client_do(fixture_port, "GET", "/tagged", fields[i], NULL, &reply);
        assert_int_equal(reply.status, 200);
        assert_string_equal(reply.body, "{\"a\":1}");
        assert_string_equal(header_of(&reply, "ETag"), "\"v1\"");
        client_reply_done(&reply);
    }
}

static void inflate_reply(struct client_reply *reply)
{
    enum { ROOM = 64 * 1024 };
    char *plain = calloc(1, ROOM);
    assert_non_null(plain);
    z_stream stream = {.next_in = (Bytef *)reply->body,
                       .avail_in = (uInt)reply->body_bytes,
                       .next_out = (Bytef *)plain,
                       .avail_out = ROOM - 1};
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.avail_in, 0);
    free(reply->body);
    reply->body = plain;
    reply->body_bytes = stream.total_out;
    inflateEnd(&stream);
}

static void large_body_is_packed_for_those_who_take_it(void **state)
{
    struct client_reply plain, packed;
    (void)state;
    client_get(fixture_port, "/large", &plain);
    assert_null(client_header(&plain, "Content-Encoding"));
    assert_string_equal(header_of(&plain, "ETag"), "\"v1\"");
    client_do(fixture_port, "GET", "/large", "Accept-Encoding: br, gzip;q=0.8\r\n", NULL, &packed);
    assert_string_equal(header_of(&packed, "Content-Encoding"), "gzip");
    assert_string_equal(header_of(&packed, "ETag"), "\"v1-gz\"");
    assert_string_equal(header_of(&packed, "Vary"), "Accept-Encoding");
    assert_true(packed.body_bytes < plain.body_bytes / 2);
    inflate_reply(&packed);
    assert_int_equal(packed.body_bytes, plain.body_bytes);
    assert_memory_equal(packed.body, plain.body, plain.body_bytes);
    client_reply_done(&packed);
    client_reply_done(&plain);
}

static void small_body_is_never_packed(void **state)
{
    struct client_reply reply;
    (void)state;
    client_do(fixture_port, "GET", "/tagged", "Accept-Encoding: gzip\r\n", NULL, &reply);
    assert_null(client_header(&reply, "Content-Encoding"));
    assert_string_equal(header_of(&reply, "ETag"), "\"v1\"");
    client_reply_done(&reply);
}

static void body_is_not_packed_for_those_who_refuse_it(void **state)
{
    struct client_reply reply;
    (void)state;
    client_do(fixture_port, "GET", "/large", "Accept-Encoding: gzip;q=0, *\r\n", NULL, &reply);
    assert_null(client_header(&reply, "Content-Encoding"));
    client_reply_done(&reply);
}

static void both_forms_of_an_etag_are_known(void **state)
{
    struct client_reply reply;
    (void)state;
    client_do(fixture_port, "GET", "/large",
              "If-None-Match: \"v1-gz\"\r\nAccept-Encoding: gzip\r\n", NULL, &reply);
    assert_int_equal(reply.status, 304);
    assert_string_equal(header_of(&reply, "ETag"), "\"v1-gz\"");
    client_reply_done(&reply);
    client_do(fixture_port, "GET", "/large", "If-None-Match: \"v1\"\r\nAccept-Encoding: gzip\r\n",
              NULL, &reply);
    assert_int_equal(reply.status, 304);
    assert_string_equal(header_of(&reply, "ETag"), "\"v1\"");
    client_reply_done(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, fixture_stop)
        TEST(known_etag_is_a_304),
        TEST(other_etag_is_the_whole_answer),
        TEST(large_body_is_packed_for_those_who_take_it),
        TEST(small_body_is_never_packed),
        TEST(body_is_not_packed_for_those_who_refuse_it),
        TEST(both_forms_of_an_etag_are_known),
    };
    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests_name("http_etag", tests, NULL, NULL);
}
