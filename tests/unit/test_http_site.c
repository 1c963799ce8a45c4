/* While access is off: what pages of browsers may not do to a hub on this machine. */
#include "http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "hub/http_site.h"

#include <string.h>
#include <unistd.h>

#define ALLOWED "https://ops.example.org"

static const struct http_route routes[] = {
    {"GET", "/read", fixture_echo, 0, ""},
    {"POST", "/write", fixture_echo, ROUTE_BODY_JSON, ""},
    {"DELETE", "/write", fixture_echo, 0, ""},
    {"GET", "/livez", fixture_echo, ROUTE_OPEN, ""},
};

static void set(const char *open_at)
{
    static char allowed[] = ALLOWED;
    static char *const origins[] = {allowed, NULL};
    struct http_settings settings = {.connections_max = 256,
                                     .per_address_max = 256,
                                     .header_bytes_max = HEADER_MAX_BYTES,
                                     .body_bytes_max = BODY_MAX_BYTES,
                                     .cors_origins = origins,
                                     .open_at = open_at};
    http_set(fixture_server, &settings);
}

static int start(void **state)
{
    (void)state;
    int failed = fixture_start(routes, sizeof routes / sizeof routes[0]);
    if (!failed)
        set("127.0.0.1:8480");
    return failed;
}

/* The status of the reply to a request of this head, without the empty line behind it. */
static int status_of(const char *head)
{
    struct client_reply reply;
    int fd = client_connect(fixture_port);
    client_sends(fd, head);
    client_sends(fd, "\r\n");
    client_read(fd, &reply, false);
    int status = reply.status;
    client_reply_done(&reply);
    close(fd);
    return status;
}

static void refused(const char *head, const char *what_to_do)
{
    struct client_reply reply;
    char detail[1024];
    int fd = client_connect(fixture_port);
    client_sends(fd, head);
    client_sends(fd, "\r\n");
    client_read(fd, &reply, false);
    expect_problem(&reply, 403, "forbidden", detail);
    assert_non_null(strstr(detail, what_to_do));
    close(fd);
}

static void a_host_of_this_machine_is_ours_whatever_its_port(void **state)
{
    static const char *const ours[] = {"localhost",      "LOCALHOST:8480", "localhost:1",
                                       "127.0.0.1",      "127.0.0.1:9",    "127.9.8.7:8480",
                                       "[::1]",          "[::1]:8480",     "[0:0:0:0:0:0:0:1]:2",
                                       "hub.local:8480", "Hub.Local",      "localhost:"};
    (void)state;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (!site_host_is_ours(ours[i], "hub.local:8480"))
            fail_msg("%s", ours[i]);
    assert_true(site_host_is_ours(NULL, "127.0.0.1:8480")); /* HTTP/1.0 */
}

static void any_other_host_is_not(void **state)
{
    static const char *const others[] = {"evil.example.org",
                                         "evil.example.org:8480",
                                         "localhost.evil.org",
                                         "localhost.",
                                         "127.0.0.1.evil.org",
                                         "127.1",
                                         "2130706433",
                                         "10.0.0.1:8480",
                                         "127.0.0.1@evil.org",
                                         "localhost:8480.evil",
                                         "localhost:80:80",
                                         "[::2]",
                                         "[::1].evil.org",
                                         "[::1",
                                         "[]",
                                         "[",
                                         "[::1]evil",
                                         "::1",
                                         "",
                                         ":8480",
                                         "hub.local.evil.org:1",
                                         " localhost",
                                         "0.0.0.0:8480",
                                         "[::ffff:10.0.0.1]"};
    char longest[600];
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (site_host_is_ours(others[i], "hub.local:8480"))
            fail_msg("%s", others[i]);
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_false(site_host_is_ours(longest, "hub.local:8480"));
}

static void an_origin_is_the_host_or_it_is_another(void **state)
{
    (void)state;
    assert_true(site_origin_is_host("http://localhost:8480", "localhost:8480"));
    assert_true(site_origin_is_host("https://HUB.local", "hub.local"));
    assert_false(site_origin_is_host("http://localhost:3000", "localhost:8480"));
    assert_false(site_origin_is_host("http://localhost", "localhost:8480"));
    assert_false(site_origin_is_host("null", "localhost:8480"));
    assert_false(site_origin_is_host("", "localhost:8480"));
    assert_false(site_origin_is_host("localhost:8480", "localhost:8480"));
    assert_false(site_origin_is_host("file://localhost:8480", "localhost:8480"));
    assert_false(site_origin_is_host("http://localhost:8480", NULL));
}

static void a_name_that_was_rebound_reads_nothing(void **state)
{
    (void)state;
    refused("GET /read HTTP/1.1\r\nHost: evil.example.org:8480\r\n", "localhost");
    refused("DELETE /write HTTP/1.1\r\nHost: evil.example.org\r\n", "auth.mode");
    assert_int_equal(status_of("GET /read HTTP/1.1\r\nHost: localhost:8480\r\n"), 200);
    assert_int_equal(status_of("GET /livez HTTP/1.1\r\nHost: evil.example.org\r\n"), 200);
    assert_int_equal(status_of("GET /none HTTP/1.1\r\nHost: evil.example.org\r\n"), 404);
}

static void two_hosts_are_refused(void **state)
{
    (void)state;
    assert_int_equal(status_of("GET /read HTTP/1.1\r\nHost: localhost\r\nHost: evil.org\r\n"), 400);
    assert_int_equal(status_of("GET /read HTTP/1.1\r\nHost: evil.org\r\nHost: localhost\r\n"), 400);
}

static void a_page_of_another_origin_changes_nothing(void **state)
{
    (void)state;
    refused("POST /write HTTP/1.1\r\nHost: localhost:8480\r\nOrigin: http://evil.org\r\n"
            "Content-Length: 0\r\n",
            "http.cors_origins");
    refused("DELETE /write HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\n",
            "http.cors_origins");
    refused("DELETE /write HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n", "auth.mode");
    assert_int_equal(status_of("DELETE /write HTTP/1.1\r\nHost: localhost:8480\r\n"
                               "Origin: http://localhost:8480\r\n"),
                     200);
    assert_int_equal(
        status_of("DELETE /write HTTP/1.1\r\nHost: localhost\r\nOrigin: " ALLOWED "\r\n"), 200);
    assert_int_equal(status_of("DELETE /write HTTP/1.1\r\nHost: localhost\r\n"), 200);
    assert_int_equal(
        status_of("GET /read HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.org\r\n"), 200);
}

static void with_access_on_neither_matters(void **state)
{
    (void)state;
    set(NULL);
    assert_int_equal(status_of("DELETE /write HTTP/1.1\r\nHost: hub.example.org\r\n"
                               "Origin: https://pages.example.org\r\n"),
                     200);
    set("127.0.0.1:8480");
}

int main(void)
{
    log_setup(LOG_ERROR, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_of_this_machine_is_ours_whatever_its_port),
        cmocka_unit_test(any_other_host_is_not),
        cmocka_unit_test(an_origin_is_the_host_or_it_is_another),
        cmocka_unit_test(a_name_that_was_rebound_reads_nothing),
        cmocka_unit_test(two_hosts_are_refused),
        cmocka_unit_test(a_page_of_another_origin_changes_nothing),
        cmocka_unit_test(with_access_on_neither_matters),
    };
    return cmocka_run_group_tests_name("http_site", tests, start, fixture_stop);
}
