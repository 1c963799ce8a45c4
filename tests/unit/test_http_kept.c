/* Answers that the server keeps (http_kept), over real sockets. */
#include "http_fixture.h"
#include "hub/http_shelf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LARGE_BYTES = 6 * 1024,
    PIPELINED = 2500,
    MORE_THAN_KEPT = 2 * SHELF_BYTES / LARGE_BYTES,
};

static atomic_int version, written, position;
static atomic_bool aged;

static void answer(const struct http_request *request, struct http_reply *reply, size_t filler)
{
    int now = atomic_load(&version);
    http_reply_header(reply, "Fleet-Position", "p%d", atomic_load(&position));
    if (atomic_load(&aged))
        http_reply_header_text(reply, "Age", "7");
    if (http_kept(request, reply, (uint64_t)now))
        return;
    atomic_fetch_add(&written, 1);
    buf_addf(&reply->body, "{\"version\":%d,\"filler\":\"", now);
    for (size_t i = 0; i < filler; i++)
        buf_addc(&reply->body, (char)('a' + i % 3));
    buf_adds(&reply->body, "\"}");
    snprintf(reply->etag, sizeof reply->etag, "\"v%d\"", now);
}

static void small(const struct http_request *request, struct http_reply *reply)
{
    answer(request, reply, 10);
}

static void large(const struct http_request *request, struct http_reply *reply)
{
    answer(request, reply, LARGE_BYTES);
}

static void huge(const struct http_request *request, struct http_reply *reply)
{
    answer(request, reply, 10 * LARGE_BYTES);
}

static const struct http_route routes[] = {
    {"GET", "/small", small, 0, ""},
    {"GET", "/large", large, 0, ""},
    {"GET", "/huge", huge, 0, ""},
};

static int start(void **state)
{
    (void)state;
    atomic_fetch_add(&version, 1);
    atomic_store(&written, 0);
    atomic_store(&aged, false);
    return fixture_start(routes, sizeof routes / sizeof routes[0]);
}

/* One request on a connection that stays, so that one thread answers all of a test. */
static void ask(int fd, const char *method, const char *target, const char *fields,
                struct client_reply *reply)
{
    char text[512];
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: t\r\n%s\r\n", method, target, fields);
    client_sends(fd, text);
    client_read(fd, reply, strcmp(method, "HEAD") == 0);
}

static void expect_version(const struct client_reply *reply, int wanted)
{
    char tag[16];
    snprintf(tag, sizeof tag, "\"v%d\"", wanted);
    assert_int_equal(reply->status, 200);
    assert_string_equal(header_of(reply, "ETag"), tag);
    json_t *json = client_json(reply);
    assert_int_equal(json_integer_value(json_object_get(json, "version")), wanted);
    json_decref(json);
}

static void what_is_asked_for_twice_is_kept_and_has_the_headers_of_each_request(void **state)
{
    struct client_reply reply;
    char ids[4][64];
    (void)state;
    int fd = client_connect(fixture_port);
    for (int i = 0; i < 4; i++) {
        char shown[16];
        atomic_store(&position, i);
        snprintf(shown, sizeof shown, "p%d", i);
        ask(fd, "GET", "/small", "", &reply);
        expect_version(&reply, atomic_load(&version));
        assert_string_equal(header_of(&reply, "Fleet-Position"), shown);
        assert_string_equal(header_of(&reply, "Cache-Control"), "no-cache");
        assert_string_equal(header_of(&reply, "X-Content-Type-Options"), "nosniff");
        assert_string_equal(header_of(&reply, "Content-Type"), "application/json");
        snprintf(ids[i], sizeof ids[i], "%s", header_of(&reply, "X-Request-Id"));
        client_reply_done(&reply);
    }
    assert_string_not_equal(ids[0], ids[1]);
    assert_string_not_equal(ids[1], ids[2]);
    assert_string_not_equal(ids[2], ids[3]);
    assert_int_equal(atomic_load(&written), 2);
    ask(fd, "GET", "/small", "X-Request-Id: mine\r\n", &reply);
    assert_string_equal(header_of(&reply, "X-Request-Id"), "mine");
    client_reply_done(&reply);
    ask(fd, "HEAD", "/small", "", &reply);
    assert_int_equal(reply.status, 200);
    client_reply_done(&reply);
    ask(fd, "GET", "/small", "", &reply);
    expect_version(&reply, atomic_load(&version));
    client_reply_done(&reply);
    assert_int_equal(atomic_load(&written), 2);
    close(fd);
}

static void another_mark_is_another_answer(void **state)
{
    struct client_reply reply;
    (void)state;
    int fd = client_connect(fixture_port);
    for (int i = 0; i < MORE_THAN_KEPT; i++) {
        int now = atomic_fetch_add(&version, 1) + 1;
        for (int again = 0; again < 3; again++) {
            ask(fd, "GET", "/large", "", &reply);
            expect_version(&reply, now);
            client_reply_done(&reply);
        }
    }
    assert_int_equal(atomic_load(&written), 2 * MORE_THAN_KEPT);
    close(fd);
}

/* Some are not: two marks may share a place in what remembers those that were asked for. */
static void most_answers_that_are_asked_for_by_turns_are_kept(void **state)
{
    enum { TURNS = 10, ANSWERS = 200, FIRST = 1000000 };
    struct client_reply reply;
    (void)state;
    int fd = client_connect(fixture_port);
    for (int i = 0; i < TURNS * ANSWERS; i++) {
        atomic_store(&version, FIRST + i % ANSWERS);
        ask(fd, "GET", "/small", "", &reply);
        expect_version(&reply, FIRST + i % ANSWERS);
        client_reply_done(&reply);
    }
    assert_in_range(atomic_load(&written), 2 * ANSWERS, TURNS * ANSWERS / 2);
    close(fd);
}

static void header_that_comes_and_goes_is_on_the_answers_that_it_belongs_to(void **state)
{
    struct client_reply reply;
    (void)state;
    int fd = client_connect(fixture_port);
    for (int i = 0; i < 12; i++) {
        atomic_store(&aged, i / 3 % 2 == 1);
        ask(fd, "GET", "/small", "", &reply);
        expect_version(&reply, atomic_load(&version));
        if (i / 3 % 2 == 1)
            assert_string_equal(header_of(&reply, "Age"), "7");
        else
            assert_null(client_header(&reply, "Age"));
        client_reply_done(&reply);
    }
    close(fd);
}

static void known_etag_is_a_304_of_a_kept_answer_too(void **state)
{
    struct client_reply reply;
    char tag[16], condition[64];
    (void)state;
    snprintf(tag, sizeof tag, "\"v%d\"", atomic_load(&version));
    snprintf(condition, sizeof condition, "If-None-Match: %s\r\n", tag);
    int fd = client_connect(fixture_port);
    for (int i = 0; i < 4; i++) {
        ask(fd, "GET", "/small", "", &reply);
        expect_version(&reply, atomic_load(&version));
        client_reply_done(&reply);
        ask(fd, "GET", "/small", condition, &reply);
        assert_int_equal(reply.status, 304);
        assert_int_equal(reply.body_bytes, 0);
        assert_string_equal(header_of(&reply, "ETag"), tag);
        client_reply_done(&reply);
    }
    close(fd);
}

static void packed_and_plain_are_kept_side_by_side(void **state)
{
    struct client_reply reply;
    (void)state;
    int fd = client_connect(fixture_port);
    for (int i = 0; i < 6; i++) {
        ask(fd, "GET", "/large", "Accept-Encoding: gzip\r\n", &reply);
        assert_string_equal(header_of(&reply, "Content-Encoding"), "gzip");
        assert_true(reply.body_bytes < LARGE_BYTES / 2);
        client_reply_done(&reply);
        ask(fd, "GET", "/large", "", &reply);
        assert_null(client_header(&reply, "Content-Encoding"));
        expect_version(&reply, atomic_load(&version));
        client_reply_done(&reply);
    }
    assert_int_equal(atomic_load(&written), 4);
    close(fd);
}

static void large_answer_is_not_kept(void **state)
{
    struct client_reply reply;
    (void)state;
    int fd = client_connect(fixture_port);
    for (int i = 0; i < 3; i++) {
        ask(fd, "GET", "/huge", "", &reply);
        expect_version(&reply, atomic_load(&version));
        client_reply_done(&reply);
    }
    assert_int_equal(atomic_load(&written), 3);
    close(fd);
}

static void *send_many(void *closure)
{
    static const char request[] = "GET /large HTTP/1.1\r\nHost: t\r\n\r\n";
    int fd = *(int *)closure;
    for (int i = 0; i < PIPELINED; i++)
        if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != sizeof request - 1)
            return closure;
    return NULL;
}

/* One that does not read holds a kept answer half sent. The others get theirs meanwhile, and he
 * gets all of his in the end. */
static void answer_on_its_way_to_a_slow_client_is_nobody_elses(void **state)
{
    struct client_reply reply;
    pthread_t sender;
    void *failed;
    (void)state;
    int slow = client_connect(fixture_port);
    assert_int_equal(pthread_create(&sender, NULL, send_many, &slow), 0);
    for (int i = 0; i < 50; i++) {
        char shown[16];
        atomic_store(&position, i);
        snprintf(shown, sizeof shown, "p%d", i);
        client_get(fixture_port, "/large", &reply);
        expect_version(&reply, atomic_load(&version));
        assert_string_equal(header_of(&reply, "Fleet-Position"), shown);
        client_reply_done(&reply);
    }
    for (int i = 0; i < PIPELINED; i++) {
        client_read(slow, &reply, false);
        expect_version(&reply, atomic_load(&version));
        client_reply_done(&reply);
    }
    pthread_join(sender, &failed);
    assert_null(failed);
    close(slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, fixture_stop)
        TEST(what_is_asked_for_twice_is_kept_and_has_the_headers_of_each_request),
        TEST(another_mark_is_another_answer),
        TEST(most_answers_that_are_asked_for_by_turns_are_kept),
        TEST(header_that_comes_and_goes_is_on_the_answers_that_it_belongs_to),
        TEST(known_etag_is_a_304_of_a_kept_answer_too),
        TEST(packed_and_plain_are_kept_side_by_side),
        TEST(large_answer_is_not_kept),
        TEST(answer_on_its_way_to_a_slow_client_is_nobody_elses),
    };
    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests_name("http_kept", tests, NULL, NULL);
}
