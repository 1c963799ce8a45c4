/* GET /v1/events over an archive that a record lane filled. */
#include "hub/api_events.h"
#include "hub/app.h"
#include "hub/archive.h"
#include "hub/recorder.h"
#include "tests/integration/record_help.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CONNECTIONS = 2, EVENTS = 25 };

static struct app app;
static struct http_reply reply;
static struct doc_parser *parser;

static int group_setup(void **state)
{
    record_help_servers(state);
    record_help_setup(state);
    record_help_start();
    record_help_events("V1", 1, EVENTS);
    record_help_events("V2", 1, 3);
    static const char odd[] =
        "{\"timestamp\":\"2262-04-11T23:47:16.854775807Z\",\"boot\":\"a\\u0000b\","
        "\"data\":{\"a\":\n1.50}}";
    record_help_store("fleet.t.veh.V3.evt.odd", odd, sizeof odd - 1);
    record_help_store("fleet.t.veh.V3.evt.odd", "bad", 3);
    record_help_wait("SELECT count(*) FROM records", EVENTS + 5);
    record_help_stop();
    app.config = &help.config;
    app.archive = archive_reader_new(help.postgres.dsn, CONNECTIONS);
    app.bus = help.bus;
    app.recorder = recorder_new(help.bus, help.config.env, help.config.region);
    app.store = store_new();
    if (app.store)
        broker_clock_init(&app.clock, app.store);
    parser = doc_parser_new();
    return app.archive && app.recorder && app.store && parser ? 0 : -1;
}

static int group_teardown(void **state)
{
    doc_parser_free(parser);
    archive_reader_free(app.archive);
    recorder_free(app.recorder, HELP_WAIT_MS);
    broker_clock_done(&app.clock);
    store_free(app.store);
    record_help_teardown(state);
    record_help_servers_done(state);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_done(&reply.body);
    buf_done(&reply.headers);
    return 0;
}

/* Asks with parameters in pairs, NULL at the end; the status is in `reply`, the body parsed. */
static struct doc_ref ask_as(const char *principal, const struct viewer *viewer, va_list pairs)
{
    struct http_request request = {.app = &app,
                                   .method = "GET",
                                   .path = "/v1/events",
                                   .accept = "",
                                   .remote = "",
                                   .request_id = "r",
                                   .viewer = viewer,
                                   .principal = principal};
    const char *name;
    while ((name = va_arg(pairs, const char *)) != NULL) {
        request.query[request.query_count].name = name;
        request.query[request.query_count++].value = va_arg(pairs, const char *);
    }
    buf_done(&reply.body);
    buf_done(&reply.headers);
    reply = (struct http_reply){.status = 200};
    api_events(&request, &reply);
    struct doc_ref root;
    struct doc_limits limits = {.max_bytes = DOC_MAX_BYTES, .max_depth = 40};
    if (doc_parse(parser, reply.body.data, reply.body.size_bytes, limits, &root) != DOC_OK)
        fail_msg("no JSON: %s", buf_cstr(&reply.body));
    return root;
}

static struct doc_ref ask(const char *first, ...)
{
    va_list pairs;
    va_start(pairs, first);
    (void)first; /* "" : there only so that the list may be empty */
    struct doc_ref root = ask_as("local", &viewer_all, pairs);
    va_end(pairs);
    return root;
}

static size_t count_of(struct doc_ref root)
{
    assert_int_equal(reply.status, 200);
    return doc_members(doc_getz(root, "events"));
}

static int64_t seq_of(struct doc_ref record)
{
    int64_t seq = -1;
    assert_true(doc_int(doc_getz(record, "seq"), &seq));
    return seq;
}

static void token_of(struct doc_ref root, char token[256])
{
    struct doc_ref value = doc_getz(root, "next_page_token");
    size_t size;
    token[0] = '\0';
    if (!doc_exists(value))
        return;
    const char *text = doc_string(value, &size);
    snprintf(token, 256, "%.*s", (int)size, text);
}

static void events_are_newest_first_with_every_member(void **state)
{
    (void)state;
    static const char *const members[] = {
        "id",        "seq",      "hash",     "kind",       "vid",        "region",
        "type",      "severity", "actor",    "request_id", "boot",       "vehicle_seq",
        "timestamp", "received", "archived", "stream",     "stream_seq", "data"};
    struct doc_ref root = ask("", NULL);
    assert_int_equal(count_of(root), EVENTS + 5);
    int64_t before = INT64_MAX;
    struct doc_ref events = doc_getz(root, "events");
    for (struct doc_ref e = doc_first(events); doc_exists(e); e = doc_next(events, e)) {
        assert_true(seq_of(e) < before);
        before = seq_of(e);
        assert_int_equal(doc_members(e), sizeof members / sizeof *members);
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            assert_true(doc_exists(doc_getz(e, members[i])));
    }
    assert_int_equal(before, 1);
    assert_false(doc_exists(doc_getz(root, "next_page_token")));
}

static void events_give_back_what_the_vehicle_said(void **state)
{
    (void)state;
    ask("", "type", "odd", NULL);
    const char *body = buf_cstr(&reply.body);
    assert_non_null(strstr(body, "\"boot\":\"a\\u0000b\""));
    assert_non_null(strstr(body, "\"timestamp\":\"2262-04-11T23:47:16.854775807Z\""));
    assert_non_null(strstr(body, "\"data\":{\"a\": 1.50}"));
}

static void events_are_chosen_by_vid_kind_and_type(void **state)
{
    (void)state;
    assert_int_equal(count_of(ask("", "vid", "V2", NULL)), 3);
    assert_int_equal(count_of(ask("", "vid", "V9", NULL)), 0);
    assert_int_equal(count_of(ask("", "kind", "event", NULL)), EVENTS + 4);
    assert_int_equal(count_of(ask("", "kind", "rejected", NULL)), 1);
    assert_int_equal(count_of(ask("", "type", "waypoint", "vid", "V1", NULL)), EVENTS);
    assert_int_equal(count_of(ask("", "type", "not_json", "kind", "rejected", "vid", "V3", NULL)),
                     1);
    assert_int_equal(count_of(ask("", "type", "x' OR '1'='1", NULL)), 0);
}

static void events_are_chosen_by_time_half_open_to_the_nanosecond(void **state)
{
    (void)state;
    char received[64], later[64];
    int64_t ns;
    struct doc_ref root = ask("", "order_by", "seq", "page_size", "3", NULL);
    struct doc_ref events = doc_getz(root, "events");
    struct doc_ref second = doc_next(events, doc_first(events));
    size_t size;
    const char *text = doc_string(doc_getz(second, "received"), &size);
    snprintf(received, sizeof received, "%.*s", (int)size, text);
    assert_true(timestamp_parse(received, size, &ns));
    timestamp_format(ns + 1, later);

    root = ask("", "start_time", received, "end_time", later, NULL);
    assert_int_equal(count_of(root), 1);
    assert_int_equal(seq_of(doc_first(doc_getz(root, "events"))), 2);
    assert_int_equal(count_of(ask("", "start_time", received, "end_time", received, NULL)), 0);
    assert_int_equal(count_of(ask("", "end_time", received, NULL)), 1);
    assert_int_equal(count_of(ask("", "start_time", later, NULL)), EVENTS + 5 - 2);
    assert_int_equal(count_of(ask("", "end_time", "1970-01-01T00:00:00Z", NULL)), 0);
    assert_int_equal(count_of(ask("", "start_time", "0001-01-01T00:00:00Z", "end_time",
                                  "9999-12-31T23:59:59Z", NULL)),
                     EVENTS + 5);
}

/* Every page is full but the last, and together they are the list. */
static void events_page_without_a_gap_either_way(void **state)
{
    (void)state;
    static const char *const orders[] = {"seq", "seq desc"};
    for (int o = 0; o < 2; o++) {
        char token[256] = "";
        int64_t expected = o == 0 ? 1 : EVENTS;
        size_t pages = 0, seen = 0;
        do {
            struct doc_ref root =
                token[0] ? ask("", "vid", "V1", "order_by", orders[o], "page_size", "5",
                               "page_token", token, NULL)
                         : ask("", "vid", "V1", "order_by", orders[o], "page_size", "5", NULL);
            assert_int_equal(count_of(root), 5);
            struct doc_ref events = doc_getz(root, "events");
            for (struct doc_ref e = doc_first(events); doc_exists(e); e = doc_next(events, e)) {
                assert_int_equal(seq_of(e), expected);
                expected += o == 0 ? 1 : -1;
                seen++;
            }
            token_of(root, token);
            pages++;
        } while (token[0]);
        assert_int_equal(pages, 5); /* 25 in fives: the last is full, and knows it is the last */
        assert_int_equal(seen, EVENTS);
    }
}

static struct doc_ref ask_other(const char *principal, ...)
{
    va_list pairs;
    va_start(pairs, principal);
    struct doc_ref root = ask_as(principal, &viewer_all, pairs);
    va_end(pairs);
    return root;
}

static void page_token_is_bound_to_filter_order_and_principal(void **state)
{
    (void)state;
    char token[256];
    token_of(ask("", "vid", "V1", "page_size", "5", NULL), token);
    assert_true(token[0]);
    static const char next[] = "rel=\"next\"";
    assert_non_null(memmem(reply.headers.data, reply.headers.size_bytes, next, sizeof next - 1));
    ask("", "vid", "V1", "page_size", "7", "page_token", token, NULL);
    assert_int_equal(reply.status, 200);
    ask("", "vid", "V2", "page_token", token, NULL);
    assert_int_equal(reply.status, 400);
    assert_non_null(strstr(buf_cstr(&reply.body), "bad-page-token"));
    ask("", "vid", "V1", "order_by", "seq", "page_token", token, NULL);
    assert_int_equal(reply.status, 400);
    ask("", "vid", "V1", "page_token", "nonsense", NULL);
    assert_int_equal(reply.status, 400);
    ask_other("somebody", "vid", "V1", "page_token", token, NULL);
    assert_int_equal(reply.status, 400);
}

static void parameters_that_make_no_sense_are_a_400(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"vid", "a b"},     {"vid", ""},         {"kind", "nonsense"},  {"kind", ""},
        {"type", ""},       {"order_by", "vid"}, {"start_time", "now"}, {"end_time", ""},
        {"page_size", "a"}, {"page_token", ""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ask("", bad[i][0], bad[i][1], NULL);
        assert_int_equal(reply.status, 400);
        assert_non_null(strstr(buf_cstr(&reply.body), bad[i][0]));
    }
    assert_int_equal(count_of(ask("", "page_size", "-5", NULL)), 1);
    assert_int_equal(count_of(ask("", "page_size", "100000", NULL)), EVENTS + 5);
}

static void records_of_hidden_vehicles_are_not_there(void **state)
{
    (void)state;
    static const char *const patterns[] = {"V2", "V3"};
    const struct viewer_scope scope = {.vehicles = {true, patterns, 2}};
    const struct viewer viewer = {.principal = "local", .scopes = &scope, .scope_count = 1};
    char token[256] = "";
    size_t seen = 0;
    do {
        struct http_request request = {.app = &app,
                                       .path = "/v1/events",
                                       .accept = "",
                                       .remote = "",
                                       .request_id = "r",
                                       .viewer = &viewer,
                                       .principal = "local",
                                       .query = {{"page_size", "2"}, {"page_token", token}},
                                       .query_count = token[0] ? 2 : 1};
        struct doc_ref root;
        struct doc_limits limits = {.max_bytes = DOC_MAX_BYTES, .max_depth = 40};
        buf_done(&reply.body);
        buf_done(&reply.headers);
        reply = (struct http_reply){.status = 200};
        api_events(&request, &reply);
        assert_int_equal(doc_parse(parser, reply.body.data, reply.body.size_bytes, limits, &root),
                         DOC_OK);
        assert_null(strstr(buf_cstr(&reply.body), "\"vid\":\"V1\""));
        seen += count_of(root);
        token_of(root, token);
        assert_true(!token[0] || count_of(root) == 2);
    } while (token[0]);
    assert_int_equal(seen, 5);
}

static struct doc_ref timeline(const char *vid, const struct viewer *viewer)
{
    struct http_request request = {.app = &app,
                                   .path = "/v1/vehicles/x/timeline",
                                   .accept = "",
                                   .remote = "",
                                   .path_param = {vid},
                                   .request_id = "r",
                                   .viewer = viewer,
                                   .principal = "local"};
    struct doc_ref root;
    struct doc_limits limits = {.max_bytes = DOC_MAX_BYTES, .max_depth = 40};
    buf_done(&reply.body);
    buf_done(&reply.headers);
    reply = (struct http_reply){.status = 200};
    api_timeline(&request, &reply);
    assert_int_equal(doc_parse(parser, reply.body.data, reply.body.size_bytes, limits, &root),
                     DOC_OK);
    return root;
}

static void timeline_has_every_kind_of_one_vehicle(void **state)
{
    (void)state;
    struct doc_ref root = timeline("V3", &viewer_all);
    assert_int_equal(count_of(root), 2);
    assert_non_null(strstr(buf_cstr(&reply.body), "\"kind\":\"rejected\""));
    assert_non_null(strstr(buf_cstr(&reply.body), "\"kind\":\"event\""));
    assert_int_equal(count_of(timeline("V2", &viewer_all)), 3);
}

static void timeline_of_an_unknown_or_hidden_vehicle_is_a_404(void **state)
{
    (void)state;
    static const char *const patterns[] = {"V2"}, *const strangers[] = {"V9", "a b", "", "V*"};
    const struct viewer_scope scope = {.vehicles = {true, patterns, 1}};
    const struct viewer viewer = {.principal = "local", .scopes = &scope, .scope_count = 1};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        timeline(strangers[i], &viewer_all);
        assert_int_equal(reply.status, 404);
    }
    timeline("V1", &viewer);
    assert_int_equal(reply.status, 404);
    assert_int_equal(count_of(timeline("V2", &viewer)), 3);
}

static void get_one(const char *id)
{
    struct http_request request = {.app = &app,
                                   .path = "/v1/events/x",
                                   .accept = "",
                                   .remote = "",
                                   .path_param = {id},
                                   .request_id = "r",
                                   .viewer = &viewer_all,
                                   .principal = "local"};
    buf_done(&reply.body);
    buf_done(&reply.headers);
    reply = (struct http_reply){.status = 200};
    api_event(&request, &reply);
}

static void event_is_found_by_its_id(void **state)
{
    (void)state;
    char id[64], etag[HTTP_ETAG_BYTES];
    pg_server_text(help.pg, "SELECT replace(id::text, '-', '') FROM records WHERE seq = 7", id,
                   sizeof id);
    get_one(id);
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(buf_cstr(&reply.body), "\"seq\":7,"));
    memcpy(etag, reply.etag, sizeof etag);
    get_one(id);
    assert_true(etag[0]);
    assert_string_equal(reply.etag, etag);
    static const char *const unknown[] = {"00000000000000000000000000000000", "x", ""};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        get_one(unknown[i]);
        assert_int_equal(reply.status, 404);
    }
}

static void events_without_the_database_are_a_503_and_come_back(void **state)
{
    (void)state;
    assert_int_equal(count_of(ask("", "vid", "V2", NULL)),
                     3); /* a connection is idle in the pool */
    pg_server_stop(&help.postgres, SIGINT);
    ask("", "vid", "V2", NULL);
    assert_int_equal(reply.status, 503);
    assert_non_null(strstr(buf_cstr(&reply.headers), "Retry-After"));
    pg_server_again(&help.postgres);
    record_help_reconnect();
    int64_t until_ms = help_now_ms() + HELP_WAIT_MS;
    do {
        assert_true(help_now_ms() < until_ms);
        help_nap();
        ask("", "vid", "V2", NULL);
    } while (reply.status == 503);
    assert_int_equal(reply.status, 200);
}

int main(int argc, char **argv)
{
    record_help_child(argc, argv);
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
    const struct CMUnitTest tests[] = {
        TEST(events_are_newest_first_with_every_member),
        TEST(events_give_back_what_the_vehicle_said),
        TEST(events_are_chosen_by_vid_kind_and_type),
        TEST(events_are_chosen_by_time_half_open_to_the_nanosecond),
        TEST(events_page_without_a_gap_either_way),
        TEST(page_token_is_bound_to_filter_order_and_principal),
        TEST(parameters_that_make_no_sense_are_a_400),
        TEST(records_of_hidden_vehicles_are_not_there),
        TEST(timeline_has_every_kind_of_one_vehicle),
        TEST(timeline_of_an_unknown_or_hidden_vehicle_is_a_404),
        TEST(event_is_found_by_its_id),
        TEST(events_without_the_database_are_a_503_and_come_back),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
