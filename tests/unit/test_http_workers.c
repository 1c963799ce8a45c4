/* Blocking handlers, clients that go away, and stopping, over real sockets. */
#include "http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "hub/metrics.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A gate that blocking handlers wait at, and that tests open. */
static struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    int inside, passed;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void gate_set(bool open)
{
    pthread_mutex_lock(&gate.lock);
    gate.open = open;
    if (!open)
        gate.passed = 0;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

/* Waits until so many handlers are inside the gate, or have passed it. */
static void gate_await(const int *counter, int count)
{
    struct timespec until;
    int code = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLIENT_TIMEOUT_S;
    pthread_mutex_lock(&gate.lock);
    while (*counter < count && code == 0)
        code = pthread_cond_timedwait(&gate.changed, &gate.lock, &until);
    pthread_mutex_unlock(&gate.lock);
    assert_int_equal(code, 0);
}

static void waiting(const struct http_request *request, struct http_reply *reply)
{
    pthread_mutex_lock(&gate.lock);
    gate.inside++;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.open)
        pthread_cond_wait(&gate.changed, &gate.lock);
    gate.inside--;
    gate.passed++;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    fixture_echo(request, reply);
}

static const struct http_route routes[] = {
    {"GET", "/waiting", waiting, ROUTE_BLOCKING, ""},
    {"POST", "/waiting", waiting, ROUTE_BLOCKING | ROUTE_BODY_JSON, ""},
    {"GET", "/scan", fixture_echo, ROUTE_SCAN, ""},
    {"GET", "/nats", fixture_echo, ROUTE_NATS, ""},
    {"GET", "/fast", fixture_echo, 0, ""},
    {"PATCH", "/fast", fixture_echo, ROUTE_BODY_JSON, ""},
};

static int start(void **state)
{
    (void)state;
    gate_set(false);
    return fixture_start(routes, sizeof routes / sizeof routes[0]);
}

static int stop(void **state)
{
    gate_set(true);
    return fixture_stop(state);
}

static int send_waiting(void)
{
    int fd = client_connect(fixture_port);
    client_sends(fd, "GET /waiting HTTP/1.1\r\nHost: t\r\nX-Test: still here\r\n\r\n");
    return fd;
}

static void expect_echo(int fd)
{
    struct client_reply reply;
    client_read(fd, &reply, false);
    assert_int_equal(reply.status, 200);
    json_t *json = client_json(&reply);
    member_is(json, "path", "/waiting");
    json_decref(json);
    client_reply_done(&reply);
}

/* Polls for something that other threads bring about; the bound is the client's. */
/* MHD may hold the connection of a client that left in mid-request until its idle timeout, 30 s. */
enum { EVENTUALLY_S = 60 };

static bool eventually(bool (*condition)(void))
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < EVENTUALLY_S * 1000; i++) {
        if (condition())
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static bool no_connection_is_open(void)
{
    return metrics_get(METRIC_HTTP_OPEN, 0, 0) == 0;
}

/* ---- blocking handlers ---- */

static void blocking_handler_keeps_no_event_thread(void **state)
{
    struct client_reply reply;
    (void)state;
    int fd = send_waiting();
    gate_await(&gate.inside, 1);
    for (int i = 0; i < 8; i++) { /* more than there are event threads */
        client_get(fixture_port, "/fast", &reply);
        assert_int_equal(reply.status, 200);
        client_reply_done(&reply);
    }
    gate_set(true);
    expect_echo(fd);
    close(fd);
}

static void a_busy_pool_keeps_no_other_pool_busy(void **state)
{
    static const char *const others[] = {"/scan", "/nats"};
    (void)state;
    int fd = send_waiting();
    gate_await(&gate.inside, 1); /* the one worker of the first pool */
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct client_reply reply;
        client_get(fixture_port, others[i], &reply);
        assert_int_equal(reply.status, 200);
        client_reply_done(&reply);
    }
    gate_set(true);
    expect_echo(fd);
    close(fd);
}

static void connection_goes_on_after_a_blocking_answer(void **state)
{
    (void)state;
    gate_set(true);
    int fd = client_connect(fixture_port);
    for (int i = 0; i < 3; i++) {
        client_sends(fd, "GET /waiting HTTP/1.1\r\nHost: t\r\n\r\n");
        expect_echo(fd);
    }
    close(fd);
}

static void blocking_handler_gets_body_and_headers(void **state)
{
    struct client_reply reply;
    (void)state;
    gate_set(true);
    client_do(fixture_port, "POST", "/waiting", "Content-Type: application/json\r\nX-Test: yes\r\n",
              "{\"a\":1}", &reply);
    json_t *json = client_json(&reply);
    member_is(json, "body", "{\"a\":1}");
    member_is(json, "test", "yes");
    json_decref(json);
    client_reply_done(&reply);
}

/* One request runs and one waits for the worker. Of the two that are sent to wait the server
 * refuses one, whichever comes second, and only then it is sure that the other is in the queue. */
static void fill_queue(int *running, int *waits, struct client_reply *refusal)
{
    *running = send_waiting();
    gate_await(&gate.inside, 1);
    struct pollfd both[2] = {{.fd = send_waiting(), .events = POLLIN},
                             {.fd = send_waiting(), .events = POLLIN}};
    assert_int_equal(poll(both, 2, CLIENT_TIMEOUT_S * 1000), 1);
    int told = both[0].revents ? 0 : 1;
    client_read(both[told].fd, refusal, false);
    close(both[told].fd);
    *waits = both[1 - told].fd;
}

static void full_queue_is_a_503_to_try_again(void **state)
{
    struct client_reply reply;
    char detail[1024];
    int running, waits;
    (void)state;
    uint64_t refused = metrics_get(METRIC_HTTP_REFUSED, 0, 0);
    fill_queue(&running, &waits, &reply);
    assert_string_equal(header_of(&reply, "Retry-After"), "1");
    expect_problem(&reply, 503, "unavailable", detail);
    assert_int_equal(metrics_get(METRIC_HTTP_REFUSED, 0, 0), refused + 1);
    gate_set(true);
    expect_echo(running);
    expect_echo(waits);
    close(running);
    close(waits);
}

/* ---- clients that go away ---- */

static void client_that_leaves_during_a_blocking_request_is_harmless(void **state)
{
    (void)state;
    const struct linger reset = {.l_onoff = 1};
    int fd = send_waiting();
    gate_await(&gate.inside, 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    gate_set(true);
    gate_await(&gate.passed, 1);
    fd = send_waiting();
    expect_echo(fd);
    close(fd);
    assert_true(eventually(no_connection_is_open));
}

static void client_that_leaves_in_the_middle_of_a_request_is_harmless(void **state)
{
    static const char *const pieces[] = {
        "GET /fa", "GET /fast HTTP/1.1\r\n", "GET /fast HTTP/1.1\r\nHost: t\r\nX-Te",
        "PATCH /fast HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
        "Content-Length: 100\r\n\r\n{\"half",
        "PATCH /fast HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\nff\r\n{\"half"};
    struct client_reply reply;
    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        int fd = client_connect(fixture_port);
        client_sends(fd, pieces[i]);
        close(fd);
    }
    client_get(fixture_port, "/fast", &reply);
    assert_int_equal(reply.status, 200);
    client_reply_done(&reply);
    /* The library may notice only at its timeout that they are gone; stopping ends them all. */
    assert_true(http_stop(fixture_server, STOP_MS));
    fixture_server = NULL;
    assert_true(no_connection_is_open());
}

/* ---- stopping ---- */

struct stopper {
    pthread_t thread;
    int timeout_ms;
    bool result;
};

static void *stopper_run(void *argument)
{
    struct stopper *stopper = argument;
    stopper->result = http_stop(fixture_server, stopper->timeout_ms);
    return NULL;
}

static bool nobody_listens(void)
{
    int fd = client_try_connect(fixture_port);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static void stop_lets_running_requests_finish(void **state)
{
    struct stopper stopper = {.timeout_ms = STOP_MS};
    struct client_reply reply;
    int running, waits;
    (void)state;
    int kept = client_connect(fixture_port);
    client_sends(kept, "GET /fast HTTP/1.1\r\nHost: t\r\n\r\n");
    client_read(kept, &reply, false);
    client_reply_done(&reply);
    fill_queue(&running, &waits, &reply);
    client_reply_done(&reply);

    assert_int_equal(pthread_create(&stopper.thread, NULL, stopper_run, &stopper), 0);
    assert_true(eventually(nobody_listens));
    /* A connection that is there already is still answered, for the last time. */
    client_sends(kept, "GET /fast HTTP/1.1\r\nHost: t\r\n\r\n");
    client_read(kept, &reply, false);
    assert_int_equal(reply.status, 200);
    assert_string_equal(header_of(&reply, "Connection"), "close");
    client_reply_done(&reply);
    gate_set(true);
    expect_echo(running);
    expect_echo(waits);
    assert_true(client_closed(kept));
    assert_int_equal(pthread_join(stopper.thread, NULL), 0);
    assert_true(stopper.result);
    fixture_server = NULL;
    close(kept);
    close(running);
    close(waits);
}

static void stop_refuses_what_waits_and_reports_what_still_runs(void **state)
{
    struct client_reply reply;
    char detail[1024];
    int running, waits;
    (void)state;
    int kept = client_connect(fixture_port);
    client_sends(kept, "GET /fast HTTP/1.1\r\nHost: t\r\n\r\n");
    client_read(kept, &reply, false);
    client_reply_done(&reply);
    fill_queue(&running, &waits, &reply);
    client_reply_done(&reply);
    assert_false(http_stop(fixture_server, 50));
    client_read(waits, &reply, false);
    expect_problem(&reply, 503, "unavailable", detail);
    assert_non_null(strstr(detail, "stopping"));
    /* No handler is called any more: what they use may be gone. */
    client_sends(kept, "GET /fast HTTP/1.1\r\nHost: t\r\n\r\n");
    client_read(kept, &reply, false);
    expect_problem(&reply, 503, "unavailable", detail);

    gate_set(true);
    assert_true(http_stop(fixture_server, STOP_MS));
    fixture_server = NULL;
    expect_echo(running);
    close(kept);
    close(running);
    close(waits);
}

static void stop_ends_connections_that_ask_for_nothing(void **state)
{
    (void)state;
    int idle = client_connect(fixture_port);
    int half = client_connect(fixture_port);
    client_sends(half, "GET /fast HTTP/1.1\r\nHost: t\r\n");
    assert_true(http_stop(fixture_server, 0));
    fixture_server = NULL;
    assert_true(client_closed(idle));
    assert_true(client_closed(half));
    close(idle);
    close(half);
}

/* ---- many at once ---- */

static void *ask_often(void *argument)
{
    static const char *const requests[] = {"GET /waiting HTTP/1.1\r\nHost: t\r\n\r\n",
                                           "GET /fast HTTP/1.1\r\nHost: t\r\n\r\n"};
    struct client_reply reply;
    int *bad = argument;
    int fd = client_connect(fixture_port);
    for (int i = 0; i < 200; i++) {
        client_sends(fd, requests[i % 2]);
        client_read(fd, &reply, false);
        *bad += reply.status != 200 && reply.status != 503;
        client_reply_done(&reply);
    }
    close(fd);
    return NULL;
}

static void many_clients_at_once_are_all_answered(void **state)
{
    enum { CLIENTS = 8 };
    pthread_t threads[CLIENTS];
    int bad[CLIENTS] = {0};
    (void)state;
    gate_set(true);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &bad[i]), 0);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(bad[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
        TEST(blocking_handler_keeps_no_event_thread),
        TEST(a_busy_pool_keeps_no_other_pool_busy),
        TEST(connection_goes_on_after_a_blocking_answer),
        TEST(blocking_handler_gets_body_and_headers),
        TEST(full_queue_is_a_503_to_try_again),
        TEST(client_that_leaves_during_a_blocking_request_is_harmless),
        TEST(client_that_leaves_in_the_middle_of_a_request_is_harmless),
        TEST(stop_lets_running_requests_finish),
        TEST(stop_refuses_what_waits_and_reports_what_still_runs),
        TEST(stop_ends_connections_that_ask_for_nothing),
        TEST(many_clients_at_once_are_all_answered),
    };
    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests_name("http_workers", tests, NULL, NULL);
}
