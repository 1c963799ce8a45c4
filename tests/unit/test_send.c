/* send: the request that the options make, and how what a hub answers is shown. */
#include "hub/client_net.h"
#include "hub/send.h"
#include "tests/unit/doc_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* The options as `name=value`, `name` alone for one that takes no value. */
static struct cli_args args_of(const char *word, const char *const *options)
{
    struct cli_args args = {.word = word, .options = cli_send_options};
    for (; options && *options; options++) {
        size_t size = strcspn(*options, "="), i = 0;
        while (cli_send_options[i].name && (strlen(cli_send_options[i].name) != size ||
                                            memcmp(cli_send_options[i].name, *options, size) != 0))
            i++;
        assert_non_null(cli_send_options[i].name);
        assert_int_equal((*options)[size] == '=', cli_send_options[i].argument != NULL);
        args.values[i] = (*options)[size] ? *options + size + 1 : "";
    }
    return args;
}

static void send_body_says_what_the_options_say(void **state)
{
    (void)state;
    static const struct {
        const char *word, *options[10], *body;
    } cases[] = {
        {"rtl", {"all"}, "{\"type\":\"rtl\",\"target\":{\"all\":true}}"},
        {"rtl",
         {"vids=A,B-2", "reason=a \"wind\""},
         "{\"type\":\"rtl\",\"target\":{\"vids\":[\"A\",\"B-2\"]},\"reason\":\"a \\\"wind\\\"\"}"},
        {"goto",
         {"group=g", "lat=59.91", "lon=-10.5", "alt=30", "confirm=7", "dry-run"},
         "{\"type\":\"goto\",\"params\":{\"alt\":30,\"lat\":59.91,\"lon\":-10.5},\"target\":{"
         "\"group\":\"g\"},\"confirm\":7,\"dry_run\":true}"},
        {"disarm",
         {"filter=vid = \"A\"", "force", "wait=accepted", "ttl=5", "within=9"},
         "{\"type\":\"disarm\",\"params\":{\"force\":true},\"target\":{\"filter\":\"vid = "
         "\\\"A\\\"\"},\"ttl_s\":5,\"complete_within_s\":9,\"wait\":\"accepted\"}"},
        {"spray",
         {"all", "params={\"a\": [1, 2]}", "batch=50", "interval-ms=1000", "abort-failed=10",
          "abort-min=20", "verify=state.mode.mode = \"RTL\"", "verify-within=2.5"},
         "{\"type\":\"spray\",\"params\":{\"a\":[1,2]},\"target\":{\"all\":true},\"rollout\":{"
         "\"batch\":50,\"interval_ms\":1000,\"abort_failed_pct\":10,\"abort_min\":20},\"verify\":{"
         "\"filter\":\"state.mode.mode = \\\"RTL\\\"\",\"within_s\":2.5}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cli_args args = args_of(cases[i].word, cases[i].options);
        struct buf body = BUF_INIT, why = BUF_INIT;
        if (!send_body(&args, &body, &why))
            fail_msg("%s", buf_cstr(&why));
        assert_string_equal(buf_cstr(&body), cases[i].body);
        struct doc *doc = doc_of(buf_cstr(&body));
        assert_non_null(doc);
        free(doc);
        buf_done(&body);
        buf_done(&why);
    }
}

static void send_body_of_what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *word, *options[10], *why;
    } cases[] = {
        {NULL, {"all"}, "say which command: rtl, land, hold, goto, …"},
        {"rtl", {NULL}, "say which vehicles by one of --filter, --vids, --group and --all"},
        {"rtl",
         {"all", "vids=A"},
         "say which vehicles by one of --filter, --vids, --group and --all"},
        {"rtl", {"all", "confirm=lots"}, "--confirm: `lots` is no number"},
        {"rtl", {"all", "confirm=1}"}, "--confirm: `1}` is no number"},
        {"rtl", {"all", "ttl="}, "--ttl: `` is no number"},
        {"takeoff", {"all", "alt=\"3\""}, "--alt: `\"3\"` is no number"},
        {"takeoff", {"all", "params=[]"}, "--params must be a JSON object such as '{\"alt\": 30}'"},
        {"takeoff", {"all", "params={"}, "--params must be a JSON object such as '{\"alt\": 30}'"},
        {"takeoff",
         {"all", "params={}", "alt=3"},
         "--params says all of them: no --alt, --lat, --lon, --mode or --force beside it"},
        {"rtl", {"all", "verify-within=2"}, "--verify-within makes no sense without --verify"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cli_args args = args_of(cases[i].word, cases[i].options);
        struct buf body = BUF_INIT, why = BUF_INIT;
        assert_false(send_body(&args, &body, &why));
        assert_string_equal(buf_cstr(&why), cases[i].why);
        buf_done(&body);
        buf_done(&why);
    }
}

static struct send_status status_of(const char *text)
{
    struct doc *doc = doc_of(text);
    struct send_status status;
    assert_non_null(doc);
    assert_true(send_status_read(doc_root(doc), &status));
    free(doc);
    return status;
}

static void send_status_is_read_and_shown_as_a_bar(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct send_status status =
        status_of("{\"id\":\"c-1\",\"status\":\"running\",\"total\":10,\"counts\":{\"pending\":2,"
                  "\"sent\":1,\"accepted\":2,\"completed\":4,\"rejected\":1}}");
    assert_false(status.ended);
    assert_int_equal(send_pending(&status), 5);
    send_write_bar(&out, &status, 10);
    assert_string_equal(buf_cstr(&out), "[#####.....] 5/10 2 pending, 1 sent, 2 accepted, 4 "
                                        "completed, 1 rejected");
    status = status_of("{\"id\":\"c-1\",\"status\":\"partial\",\"total\":2,\"counts\":{"
                       "\"accepted\":1,\"failed\":1}}");
    assert_true(status.ended);
    assert_false(status.succeeded);
    buf_reset(&out);
    send_write_bar(&out, &status, 4);
    assert_string_equal(buf_cstr(&out), "[####] 2/2 1 accepted, 1 failed");
    status = status_of("{\"id\":\"c\",\"status\":\"succeeded\",\"total\":0,\"counts\":{}}");
    assert_true(status.ended && status.succeeded);
    buf_reset(&out);
    send_write_bar(&out, &status, 4);
    assert_string_equal(buf_cstr(&out), "[....] 0/0 ");
    struct doc *doc = doc_of("{\"status\":\"running\",\"counts\":{}}");
    assert_false(send_status_read(doc_root(doc), &status));
    free(doc);
    buf_done(&out);
}

static void send_vehicles_are_lines_without_control_characters(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct doc *doc =
        doc_of("[{\"vid\":\"VID-001\",\"state\":\"rejected\",\"reason\":\"not "
               "\\u001b[2Jarmed\",\"code\":4},"
               "{\"vid\":\"VID-002\",\"state\":\"completed\",\"reason\":null,\"code\":null}]");
    assert_non_null(doc);
    struct doc_ref all = doc_root(doc), first = doc_first(all);
    send_write_vehicle(&out, first, false);
    send_write_vehicle(&out, doc_next(all, first), false);
    assert_string_equal(buf_cstr(&out), "VID-001              rejected   not  [2Jarmed (code 4)\n"
                                        "VID-002              completed\n");
    free(doc);
    buf_done(&out);
}

static void send_dry_run_tells_how_many_who_and_who_not(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct doc *doc = doc_of("{\"total\":3,\"vids\":[\"A\",\"B\"],\"blocked\":[{\"vid\":\"Z\","
                             "\"reason\":\"unknown_vehicle\"}]}");
    assert_true(send_write_dry_run(&out, doc_root(doc)));
    assert_string_equal(buf_cstr(&out), "3 vehicles, of which 1 blocked\n  A\n  B\n  … and 1 more\n"
                                        "blocked: Z                    unknown_vehicle\n");
    free(doc);
    doc = doc_of("{\"total\":1,\"vids\":[\"Z\"],\"blocked\":[{\"vid\":\"Z\",\"reason\":\"x\"}]}");
    buf_reset(&out);
    assert_false(send_write_dry_run(&out, doc_root(doc)));
    free(doc);
    buf_done(&out);
}

static void client_urls_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *port, *path;
        bool tls, is_address;
    } cases[] = {
        {"http://127.0.0.1:8480", "127.0.0.1", "8480", "", false, true},
        {"https://hub.example.org", "hub.example.org", "443", "", true, false},
        {"HTTP://h/fleet", "h", "80", "/fleet", false, false},
        {"http://[::1]:8480", "::1", "8480", "", false, true},
        {"http://[::1]", "::1", "80", "", false, true},
    };
    static const char *const bad[] = {"",
                                      "127.0.0.1:8480",
                                      "ftp://h",
                                      "http://",
                                      "http://:80",
                                      "http://h:",
                                      "http://h:x",
                                      "http://h:123456789",
                                      "http://u:p@h",
                                      "http://[::1",
                                      "http://h?x=1",
                                      "http://[]:80"};
    struct client_url url;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(client_url_parse(cases[i].text, &url));
        assert_string_equal(url.host, cases[i].host);
        assert_string_equal(url.port, cases[i].port);
        assert_string_equal(url.path, cases[i].path);
        assert_int_equal(url.tls, cases[i].tls);
        assert_int_equal(url.is_address, cases[i].is_address);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (client_url_parse(bad[i], &url))
            fail_msg("%s is taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(send_body_says_what_the_options_say),
        cmocka_unit_test(send_body_of_what_makes_no_sense_is_refused),
        cmocka_unit_test(send_status_is_read_and_shown_as_a_bar),
        cmocka_unit_test(send_vehicles_are_lines_without_control_characters),
        cmocka_unit_test(send_dry_run_tells_how_many_who_and_who_not),
        cmocka_unit_test(client_urls_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
