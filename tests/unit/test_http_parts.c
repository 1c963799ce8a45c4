/* What the HTTP server is made of, without a server: routes, negotiation, worker pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hub/accept.h"
#include "hub/http_listen.h"
#include "hub/http_route.h"
#include "hub/workers.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- routes ---- */

static const struct http_route commands[] = {
    {"GET", "/c/{id}", NULL, 0, "a b"},       {"POST", "/c/{id}:cancel", NULL, 0, ""},
    {"GET", "/c/{id}/vehicles", NULL, 0, ""}, {"PUT", "/c/{id}", NULL, 0, ""},
    {"GET", "/c/stream", NULL, 0, ""},        {"GET", "/{a}/{b}/{c}", NULL, 0, ""},
};

/* Finds a path and leaves its first parameter in `param`. */
static int find(const char *method, const char *path, char param[64])
{
    char error[256], text[128], *segments[URI_MAX_SEGMENTS];
    size_t count;
    struct route_match match = {0};
    struct route_table *table =
        route_table_new(commands, sizeof commands / sizeof commands[0], error);
    assert_non_null(table);
    snprintf(text, sizeof text, "%s", path);
    assert_int_equal(uri_path(text, segments, &count), URI_OK);
    enum route_found found = route_find(table, method, segments, count, &match);
    snprintf(param, 64, "%s", match.path_param[0] ? match.path_param[0] : "");
    route_table_free(table);
    return found == ROUTE_FOUND ? (int)match.index : -(int)found;
}

static void route_most_specific_pattern_wins(void **state)
{
    char param[64];
    (void)state;
    assert_int_equal(find("GET", "/c/abc", param), 0);
    assert_string_equal(param, "abc");
    assert_int_equal(find("POST", "/c/abc:cancel", param), 1);
    assert_string_equal(param, "abc");
    assert_int_equal(find("GET", "/c/stream", param), 4);
    assert_string_equal(param, "");
    assert_int_equal(find("GET", "/c/abc/vehicles", param), 2);
    assert_int_equal(find("GET", "/c/abc/other", param), 5);
    assert_string_equal(param, "c");
    assert_int_equal(find("HEAD", "/c/abc", param), 0);
    assert_int_equal(find("PUT", "/c/abc", param), 3);
}

static void route_of_the_most_specific_pattern_decides_on_the_method(void **state)
{
    char param[64];
    (void)state;
    assert_int_equal(find("GET", "/c/abc:cancel", param), -ROUTE_NO_METHOD);
    assert_int_equal(find("PUT", "/c/stream", param), -ROUTE_NO_METHOD);
    assert_int_equal(find("get", "/c/abc", param), -ROUTE_NO_METHOD);
}

static void route_parameter_is_never_empty(void **state)
{
    char param[64];
    (void)state;
    assert_int_equal(find("GET", "/c/", param), -ROUTE_NO_PATH);
    assert_int_equal(find("GET", "/c//vehicles", param), -ROUTE_NO_PATH);
    /* Nothing before the suffix: then it is an id like any other. */
    assert_int_equal(find("GET", "/c/:cancel", param), 0);
    assert_string_equal(param, ":cancel");
}

static void route_tables_that_make_no_sense_are_refused(void **state)
{
    static const struct http_route bad[][2] = {
        {{"GET", "a", NULL, 0, ""}, {"GET", "/b", NULL, 0, ""}},
        {{"GET", "/a", NULL, 0, ""}, {"GET", "/a", NULL, 0, ""}},
        {{"GET", "/a", NULL, 0, ""}, {"GET", "/{a}/{b}/{c}/{d}", NULL, 0, ""}},
        {{"GET", "/a", NULL, 0, ""}, {"GET", "/x{a}", NULL, 0, ""}},
        {{"GET", "/a", NULL, 0, ""}, {"GET", "/1/2/3/4/5/6/7/8/9/10/11/12/13", NULL, 0, ""}},
    };
    char error[256];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        error[0] = '\0';
        assert_null(route_table_new(bad[i], 2, error));
        assert_non_null(strstr(error, "route GET"));
    }
}

static void route_knows_whole_words_only(void **state)
{
    static const char list[] = "filter  page_size";
    (void)state;
    assert_true(route_lists(list, "filter"));
    assert_true(route_lists(list, "page_size"));
    assert_false(route_lists(list, "page"));
    assert_false(route_lists(list, "filter "));
    assert_false(route_lists(list, ""));
}

/* ---- Accept ---- */

static const struct accept_offer offers[] = {
    {"application/json", "json"}, {"application/x-ndjson", "ndjson"}, {"text/csv", "csv"}};

static int choose(const char *header, const char *format)
{
    return accept_choose(header, format, offers, sizeof offers / sizeof offers[0]);
}

static void accept_takes_the_best_quality(void **state)
{
    (void)state;
    assert_int_equal(choose("", NULL), 0);
    assert_int_equal(choose("*/*", NULL), 0);
    assert_int_equal(choose("text/csv", NULL), 2);
    assert_int_equal(choose("TEXT/CSV;charset=utf-8", NULL), 2);
    assert_int_equal(choose("application/json;q=0.5, text/csv;q=0.51", NULL), 2);
    assert_int_equal(choose("text/*, application/json;q=0.999", NULL), 2);
    assert_int_equal(choose("text/csv , application/x-ndjson", NULL), 1);
}

static void accept_lets_the_closest_range_decide(void **state)
{
    (void)state;
    assert_int_equal(choose("*/*, application/json;q=0", NULL), 1);
    assert_int_equal(choose("application/*;q=0, */*;q=0.1", NULL), 2);
    assert_int_equal(choose("application/json;q=0, application/*", NULL), 1);
}

static void accept_of_nothing_on_offer_is_nothing(void **state)
{
    (void)state;
    assert_int_equal(choose("image/png", NULL), ACCEPT_NOTHING);
    assert_int_equal(choose("*/*;q=0", NULL), ACCEPT_NOTHING);
    assert_int_equal(choose("text/csv;q=2", NULL), ACCEPT_NOTHING);
    assert_int_equal(choose("text/csv;q=0.1234", NULL), ACCEPT_NOTHING);
    assert_int_equal(choose("text/csvx, text", NULL), ACCEPT_NOTHING);
}

static void accept_format_wins_over_the_header(void **state)
{
    (void)state;
    assert_int_equal(choose("image/png", "csv"), 2);
    assert_int_equal(choose("*/*", "CSV"), ACCEPT_BAD_FORMAT);
    assert_int_equal(choose("*/*", ""), ACCEPT_BAD_FORMAT);
}

static void accept_gzip_follows_the_qualities(void **state)
{
    static const struct {
        const char *header;
        bool gzip;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"gzip", true},
        {"GZIP", true},
        {"x-gzip", true},
        {"deflate, gzip;q=0.5", true},
        {"gzip;q=0", false},
        {"gzip;q=0.000", false},
        {"gzip; q=0.001", true},
        {"gzip ;\tq=1.000", true},
        {"*", true},
        {"*;q=0", false},
        {"gzip;q=0, *", false},
        {"*;q=0, gzip", true},
        {"identity", false},
        {"identity, gzip;q=0.5", false},
        {"identity;q=0.5, gzip;q=0.5", true},
        {"identity;q=0, *", true},
        {"gzip;q=1.5", false},
        {"gzip;q=", false},
        {"gzip;q", false},
        {"gzipped, ungzip", false},
        {",,; ,gzip", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (accept_gzip(cases[i].header) != cases[i].gzip)
            fail_msg("%s", cases[i].header ? cases[i].header : "(none)");
}

/* ---- listening ---- */

static void listen_takes_a_free_port_of_either_family(void **state)
{
    static const char *const addresses[] = {"127.0.0.1:0", "[::1]:0", "localhost:0"};
    char error[256];
    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        bool is_ipv6 = false;
        uint16_t port = 0;
        int fd = http_listen_open(addresses[i], &is_ipv6, &port, error);
        if (fd < 0 && i == 1 && access("/proc/net/if_inet6", R_OK) != 0)
            continue; /* no IPv6 on this machine */
        if (fd < 0)
            fail_msg("%s", error);
        assert_true(port > 0);
        assert_true(i != 1 || is_ipv6);
        close(fd);
    }
}

static void listen_on_a_taken_port_says_so(void **state)
{
    char error[256], address[64];
    bool is_ipv6;
    uint16_t port, again;
    (void)state;
    int fd = http_listen_open("127.0.0.1:0", &is_ipv6, &port, error);
    assert_true(fd >= 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    assert_int_equal(http_listen_open(address, &is_ipv6, &again, error), -1);
    assert_non_null(strstr(error, "in use"));
    close(fd);
}

static void listen_refuses_what_is_no_address(void **state)
{
    static const char *const addresses[] = {
        "",      "127.0.0.1",   ":80",           "127.0.0.1:",   "[::1]",           "::1:80",
        "[]:80", "127.0.0.1:x", "1.2.3.4:65536", "127.0.0.1:-1", "127.0.0.1:080000"};
    char error[256];
    bool is_ipv6;
    uint16_t port;
    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        error[0] = '\0';
        assert_int_equal(http_listen_open(addresses[i], &is_ipv6, &port, error), -1);
        assert_non_null(strstr(error, "is not an address"));
    }
}

/* ---- workers ---- */

/* Jobs that wait at a door, and what became of them. */
static struct door {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    int entered, ran, dropped;
} door = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void door_run(struct worker_job *job)
{
    (void)job;
    pthread_mutex_lock(&door.lock);
    door.entered++;
    pthread_cond_broadcast(&door.changed);
    while (!door.open)
        pthread_cond_wait(&door.changed, &door.lock);
    door.ran++;
    pthread_mutex_unlock(&door.lock);
}

static void door_drop(struct worker_job *job)
{
    (void)job;
    door.dropped++; /* by workers_stop alone, in the test's own thread */
}

static void door_await_entered(int count)
{
    struct timespec until;
    int code = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&door.lock);
    while (door.entered < count && code == 0)
        code = pthread_cond_timedwait(&door.changed, &door.lock, &until);
    pthread_mutex_unlock(&door.lock);
    assert_int_equal(code, 0);
}

static void workers_take_what_runs_and_what_may_wait(void **state)
{
    enum { THREADS = 2, QUEUE = 3, JOBS = THREADS + QUEUE };
    struct worker_job jobs[JOBS + 1];
    struct workers *workers = workers_new(THREADS, QUEUE);
    (void)state;
    assert_non_null(workers);
    for (int i = 0; i <= JOBS; i++) {
        jobs[i] = (struct worker_job){.run = door_run, .drop = door_drop};
        assert_int_equal(workers_submit(workers, &jobs[i]), i < JOBS);
    }
    door_await_entered(THREADS);
    assert_false(workers_submit(workers, &jobs[JOBS]));
    assert_false(workers_stop(workers, 20)); /* the running ones wait at the door */
    assert_int_equal(door.dropped, QUEUE);
    assert_false(workers_submit(workers, &jobs[JOBS]));
    pthread_mutex_lock(&door.lock);
    door.open = true;
    pthread_cond_broadcast(&door.changed);
    pthread_mutex_unlock(&door.lock);
    assert_true(workers_stop(workers, 20000));
    workers_free(workers);
    assert_int_equal(door.ran, THREADS);
    assert_int_equal(door.dropped, QUEUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route_most_specific_pattern_wins),
        cmocka_unit_test(route_of_the_most_specific_pattern_decides_on_the_method),
        cmocka_unit_test(route_parameter_is_never_empty),
        cmocka_unit_test(route_tables_that_make_no_sense_are_refused),
        cmocka_unit_test(route_knows_whole_words_only),
        cmocka_unit_test(accept_takes_the_best_quality),
        cmocka_unit_test(accept_lets_the_closest_range_decide),
        cmocka_unit_test(accept_of_nothing_on_offer_is_nothing),
        cmocka_unit_test(accept_format_wins_over_the_header),
        cmocka_unit_test(accept_gzip_follows_the_qualities),
        cmocka_unit_test(listen_takes_a_free_port_of_either_family),
        cmocka_unit_test(listen_on_a_taken_port_says_so),
        cmocka_unit_test(listen_refuses_what_is_no_address),
        cmocka_unit_test(workers_take_what_runs_and_what_may_wait),
    };
    return cmocka_run_group_tests_name("http_parts", tests, NULL, NULL);
}
