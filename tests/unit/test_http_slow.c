/* Clients that take their time, to send or to take, over real sockets: they are cut, and nobody
 * else is. */
#include "http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "hub/clock.h"
#include "hub/http_shares.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REQUEST_MS = 1000,
    REPLY_MS = 600,
    TRICKLE_MS = 50,
    SLOW_HANDLER_MS = 2 * REQUEST_MS,
    LARGE_BYTES = 24 << 20, /* more than two sockets hold */
    SMALL_ROOM_BYTES = 4096,
    CUT_WITHIN_MS = 30000,
    LIST_BYTES = 7 << 20, /* more than two sockets hold */
    LISTS_MAX = 16,       /* more of them than one principal may leave lying about */
};

static _Atomic int streams_alive, lists_made;

static void slow(const struct http_request *request, struct http_reply *reply)
{
    clock_pause_ms(SLOW_HANDLER_MS);
    fixture_echo(request, reply);
}

static void large(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    char *bytes = calloc(1, LARGE_BYTES);
    assert_non_null(bytes);
    buf_add(&reply->body, bytes, LARGE_BYTES);
    free(bytes);
    reply->content_type = "application/octet-stream";
}

static enum http_more zeros_next(struct http_stream *stream, struct buf *out)
{
    static const char zeros[16 * 1024];
    (void)stream;
    buf_add(out, zeros, sizeof zeros);
    return HTTP_MORE;
}

static void zeros_free(struct http_stream *stream)
{
    free(stream);
    atomic_fetch_sub(&streams_alive, 1);
}

static void endless(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    struct http_stream *stream = calloc(1, sizeof *stream);
    assert_non_null(stream);
    stream->next = zeros_next;
    stream->free = zeros_free;
    reply->stream = stream;
    reply->content_type = "application/octet-stream";
    atomic_fetch_add(&streams_alive, 1);
}

static void list(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    char *bytes = calloc(1, LIST_BYTES);
    assert_non_null(bytes);
    buf_add(&reply->body, bytes, LIST_BYTES);
    free(bytes);
    reply->content_type = "application/octet-stream";
    atomic_fetch_add(&lists_made, 1);
}

static const struct http_route routes[] = {
    {"GET", "/echo", fixture_echo, 0, ""},
    {"POST", "/echo", fixture_echo, ROUTE_BODY_JSON, ""},
    {"GET", "/slow", slow, ROUTE_BLOCKING, ""},
    {"GET", "/large", large, 0, ""},
    {"GET", "/endless", endless, 0, ""},
    {"GET", "/list", list, ROUTE_SCAN, "page_size"},
};

static void set_auth(const struct http_auth *auth)
{
    struct http_settings settings = {.connections_max = 256,
                                     .per_address_max = 256,
                                     .header_bytes_max = HEADER_MAX_BYTES,
                                     .body_bytes_max = BODY_MAX_BYTES,
                                     .request_ms = REQUEST_MS,
                                     .reply_ms = REPLY_MS,
                                     .auth = auth};
    http_set(fixture_server, &settings);
}

static int start(void **state)
{
    (void)state;
    int failed = fixture_start(routes, sizeof routes / sizeof routes[0]);
    if (!failed)
        set_auth(NULL);
    return failed;
}

/* Sends `text` again and again, a byte at a time, until the server has closed the connection; fails
 * when it does not. What it answers is read over. */
static void trickle_until_closed(int fd, const char *text)
{
    int64_t until_ms = clock_mono_ms() + CUT_WITHIN_MS;
    size_t at = 0;
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        char bytes[512];
        assert_true(clock_mono_ms() < until_ms);
        if (send(fd, text + at, 1, MSG_NOSIGNAL) != 1)
            return;
        at = text[at + 1] ? at + 1 : 0;
        if (poll(&wait, 1, TRICKLE_MS) == 1 && recv(fd, bytes, sizeof bytes, 0) <= 0)
            return;
    }
}

static void a_header_that_trickles_in_is_cut(void **state)
{
    (void)state;
    int fd = client_connect(fixture_port);
    client_sends(fd, "GET /echo HTTP/1.1\r\nHost: t\r\n");
    trickle_until_closed(fd, "X-Test: a\r\n");
    close(fd);
}

static void a_body_that_trickles_in_is_cut(void **state)
{
    (void)state;
    int fd = client_connect(fixture_port);
    client_sends(fd, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
                     "Content-Length: 60000\r\n\r\n");
    trickle_until_closed(fd, "    ");
    close(fd);
}

static void a_refused_body_that_trickles_in_is_cut(void **state)
{
    (void)state;
    int fd = client_connect(fixture_port);
    client_sends(fd, "POST /nothing HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\n");
    trickle_until_closed(fd, "    ");
    close(fd);
}

/* With as little room for what it does not read as the system gives. */
static int connect_narrow(void)
{
    int fd = client_connect(fixture_port), room = SMALL_ROOM_BYTES;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    return fd;
}

static void a_stream_that_is_sipped_is_cut(void **state)
{
    int64_t until_ms = clock_mono_ms() + CUT_WITHIN_MS;
    char bytes[64];
    (void)state;
    int fd = connect_narrow();
    client_sends(fd, "GET /endless HTTP/1.1\r\nHost: t\r\n\r\n");
    do {
        assert_true(clock_mono_ms() < until_ms);
        assert_true(recv(fd, bytes, sizeof bytes, 0) > 0);
        clock_pause_ms(TRICKLE_MS);
    } while (atomic_load(&streams_alive) > 0);
    close(fd);
}

/* So long that it may take a while: its time grows with its size. */
static void a_long_reply_may_take_longer_than_a_short_one(void **state)
{
    struct client_reply reply;
    (void)state;
    int fd = client_connect(fixture_port);
    client_sends(fd, "GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
    clock_pause_ms(2 * REPLY_MS);
    client_read(fd, &reply, false);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body_bytes, LARGE_BYTES);
    client_reply_done(&reply);
    close(fd);
}

static void a_handler_that_takes_longer_than_its_client_may_is_waited_for(void **state)
{
    struct client_reply reply;
    (void)state;
    client_get(fixture_port, "/slow", &reply);
    assert_int_equal(reply.status, 200);
    client_reply_done(&reply);
}

static void each_request_of_a_connection_has_its_own_time(void **state)
{
    struct client_reply reply;
    (void)state;
    int fd = client_connect(fixture_port);
    for (int64_t until_ms = clock_mono_ms() + 3 * REQUEST_MS; clock_mono_ms() < until_ms;) {
        client_sends(fd, "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n");
        client_read(fd, &reply, false);
        assert_int_equal(reply.status, 200);
        client_reply_done(&reply);
        clock_pause_ms(REQUEST_MS / 4);
    }
    close(fd);
}

static void a_client_that_is_cut_keeps_nobody_else_from_being_served(void **state)
{
    struct client_reply reply;
    int fds[32];
    (void)state;
    for (int i = 0; i < 32; i++) {
        fds[i] = connect_narrow();
        client_sends(fds[i], i % 2 ? "GET /endless HTTP/1.1\r\nHost: t\r\n\r\n"
                                   : "GET /echo HTTP/1.1\r\nHost:");
    }
    for (int i = 0; i < 20; i++) {
        client_get(fixture_port, "/echo", &reply);
        assert_int_equal(reply.status, 200);
        client_reply_done(&reply);
    }
    for (int i = 0; i < 32; i++)
        close(fds[i]);
}

/* ---- lists that nobody reads ---- */

/* Everybody is whom his token names. */
static bool admit(void *closure, const struct http_route *route, const char *bearer,
                  struct http_request *request, struct http_reply *reply, void **credential)
{
    static char any;
    (void)closure, (void)route, (void)reply;
    request->principal = bearer && strcmp(bearer, "ann") == 0 ? "ann" : "bob";
    *credential = &any;
    return true;
}

static void release(void *credential)
{
    (void)credential;
}

static const struct http_auth by_name = {.admit = admit, .release = release};

#define OF(name) "HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer " name "\r\n\r\n"

/* The connection on which the list has begun to arrive; -1: it was refused, and not made. */
static int ask_for_list(void)
{
    struct client_reply reply;
    char status[12];
    int fd = connect_narrow(), before = atomic_load(&lists_made);
    client_sends(fd, "GET /list " OF("ann"));
    assert_int_equal(recv(fd, status, sizeof status, MSG_PEEK | MSG_WAITALL), sizeof status);
    if (memcmp(status, "HTTP/1.1 200", sizeof status) == 0)
        return fd;
    client_read(fd, &reply, false);
    assert_int_equal(reply.status, 429);
    assert_true(atoi(header_of(&reply, "Retry-After")) >= 1);
    assert_int_equal(atomic_load(&lists_made), before);
    client_reply_done(&reply);
    close(fd);
    return -1;
}

static int status_of(const char *request)
{
    struct client_reply reply;
    int fd = client_connect(fixture_port);
    client_sends(fd, request);
    client_read(fd, &reply, false);
    int status = reply.status;
    client_reply_done(&reply);
    close(fd);
    return status;
}

static void a_list_for_which_its_principal_has_no_room_is_not_made(void **state)
{
    int fds[LISTS_MAX], count = 0;
    (void)state;
    set_auth(&by_name);
    while (count < LISTS_MAX && (fds[count] = ask_for_list()) >= 0)
        count++;
    assert_in_range(count, 2, LISTS_MAX - 1);
    assert_int_equal(ask_for_list(), -1);
    assert_int_equal(status_of("GET /list " OF("bob")), 200);
    assert_int_equal(status_of("GET /echo " OF("ann")), 200);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    int64_t until_ms = clock_mono_ms() + CUT_WITHIN_MS;
    while (status_of("GET /list " OF("ann")) != 200)
        assert_true(clock_mono_ms() < until_ms);
    set_auth(NULL);
}

static void shares_are_each_principals_own_and_come_back(void **state)
{
    (void)state;
    struct http_shares *shares = http_shares_new();
    assert_non_null(shares);
    assert_true(http_shares_take(shares, "ann", SHARE_STREAMS, 1, 2));
    assert_true(http_shares_take(shares, "ann", SHARE_STREAMS, 1, 2));
    assert_false(http_shares_take(shares, "ann", SHARE_STREAMS, 1, 2));
    assert_true(http_shares_take(shares, "ann", SHARE_EXPORTS, 1, 2));
    assert_true(http_shares_take(shares, "bob", SHARE_STREAMS, 1, 2));
    assert_false(http_shares_take(shares, "eve", SHARE_BYTES, 101, 100));
    assert_int_equal(http_shares_of(shares, "eve", SHARE_BYTES), 0);
    http_shares_give(shares, "ann", SHARE_STREAMS, 1);
    assert_int_equal(http_shares_of(shares, "ann", SHARE_STREAMS), 1);
    assert_true(http_shares_take(shares, "ann", SHARE_STREAMS, 1, 2));
    assert_false(http_shares_take(shares, "ann", SHARE_STREAMS, 1, 1)); /* it was lowered */
    http_shares_give(shares, "ann", SHARE_STREAMS, 2);
    assert_int_equal(http_shares_of(shares, "ann", SHARE_STREAMS), 0);
    assert_int_equal(http_shares_of(shares, "ann", SHARE_EXPORTS), 1);
    http_shares_free(shares);
}

int main(void)
{
    log_setup(LOG_ERROR, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_that_trickles_in_is_cut),
        cmocka_unit_test(a_body_that_trickles_in_is_cut),
        cmocka_unit_test(a_refused_body_that_trickles_in_is_cut),
        cmocka_unit_test(a_stream_that_is_sipped_is_cut),
        cmocka_unit_test(a_long_reply_may_take_longer_than_a_short_one),
        cmocka_unit_test(a_handler_that_takes_longer_than_its_client_may_is_waited_for),
        cmocka_unit_test(each_request_of_a_connection_has_its_own_time),
        cmocka_unit_test(a_client_that_is_cut_keeps_nobody_else_from_being_served),
        cmocka_unit_test(a_list_for_which_its_principal_has_no_room_is_not_made),
        cmocka_unit_test(shares_are_each_principals_own_and_come_back),
    };
    return cmocka_run_group_tests_name("http_slow", tests, start, fixture_stop);
}
