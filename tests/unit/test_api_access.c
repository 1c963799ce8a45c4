/* api_access, api_access_check: what making, revoking and asking answer where NATS, memory or the
 * caller's own rights do not reach. */
#include "hub/access_http.h"
#include "hub/api_access.h"
#include "hub/app.h"
#include "hub/log.h"
#include "tests/fake/fake_http.h"
#include "tests/unit/access_help.h"
#include "tests/unit/fault.h"

#define TOKEN_BODY "{\"name\":\"desk\",\"role\":\"viewer\"}"

static struct app app;
static struct http_reply reply;

/* A hub that is up: what is stored is at once in force. */
static int setup(void **state)
{
    access_help_setup(state);
    struct access_help *help = *state;
    app = (struct app){.config = &help->config, .bus = fake_bus(), .access = help->access};
    atomic_store(&app.recovered, true);
    atomic_store(&help->access->applied_seq, UINT64_MAX);
    fake_http_header(NULL, NULL);
    return 0;
}

static int teardown(void **state)
{
    fake_http_reply_done(&reply);
    return access_help_teardown(state);
}

/* Asks; the status, with 200 for none. */
static int ask(http_handler *handler, struct http_request *request)
{
    fake_http_reply_done(&reply);
    handler(request, &reply);
    return reply.status ? reply.status : 200;
}

static int ask_with(http_handler *handler, const char *body)
{
    struct http_request request = fake_http_request(&app, body);
    return ask(handler, &request);
}

static int take_away(http_handler *handler, const char *id, const struct principal *caller)
{
    struct http_request request = fake_http_request(&app, NULL);
    request.path_param[0] = id;
    if (caller) {
        request.caller = caller;
        request.viewer = &caller->viewers[CAN_ADMINISTER];
        request.principal = caller->name;
    }
    return ask(handler, &request);
}

/* ---- making ---- */

static void what_cannot_be_written_is_told_by_its_reason(void **state)
{
    static const struct {
        enum bus_status status;
        int http;
    } cases[] = {
        {BUS_OK, 201},       {BUS_TIMEOUT, 503}, {BUS_DISCONNECTED, 503},
        {BUS_CONFLICT, 503}, {BUS_FULL, 500},    {BUS_ERROR, 500},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_bus_stores(cases[i].status, false);
        assert_int_equal(ask_with(api_token_create, TOKEN_BODY), cases[i].http);
        assert_int_equal(fake_bus_stored(), 1); /* the first alone */
    }
}

static void what_is_no_request_writes_nothing(void **state)
{
    static const struct {
        const char *body;
        int status;
    } cases[] = {
        {"", 400},
        {"[]", 400},
        {"{\"name\":\"n\",\"role\":\"viewer\",\"more\":1}", 400},
        {"{\"name\":\"n\"}", 400},
        {"{\"name\":\"n\",\"role\":\"viewer\",\"expires\":\"2020-01-01T00:00:00Z\"}", 400},
        {"{\"a\":[[[[[1]]]]]}", 400},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(ask_with(api_token_create, cases[i].body), cases[i].status);
    fake_http_header("Content-Type", "application/merge-patch+json");
    assert_int_equal(ask_with(api_token_create, TOKEN_BODY), 415);
    fake_http_header("Idempotency-Key", "");
    assert_int_equal(ask_with(api_token_create, TOKEN_BODY), 400);
    fake_http_header(NULL, NULL);
    fake_bus_connected(false);
    assert_int_equal(ask_with(api_token_create, TOKEN_BODY), 503);
    assert_int_equal(fake_bus_stored(), 0);
}

static void more_entries_than_a_hub_holds_are_not_made(void **state)
{
    struct access_help *help = *state;
    size_t count = help->access->set.count;
    help->access->set.count = ACCESS_ENTRIES_MAX; /* nobody looks at them here */
    assert_int_equal(ask_with(api_grant_create, "{\"subject\":\"s\",\"role\":\"viewer\"}"), 409);
    help->access->set.count = count;
    assert_int_equal(fake_bus_stored(), 0);
}

static void a_key_that_was_used_is_answered_by_what_it_made(void **state)
{
    struct buf stored = BUF_INIT;
    (void)state;
    fake_http_header("Idempotency-Key", "k");
    assert_int_equal(ask_with(api_token_create, TOKEN_BODY), 201);
    buf_adds(&stored, strchr(fake_bus_stored_text(), ' ') + 1);
    fake_bus_stores(BUS_CONFLICT, false);
    fake_bus_last(BUS_OK, buf_cstr(&stored));
    assert_int_equal(ask_with(api_token_create, TOKEN_BODY), 201);
    assert_non_null(strstr(buf_cstr(&reply.body), "\"replayed\":true"));
    assert_int_equal(ask_with(api_token_create, "{\"name\":\"desk\",\"role\":\"admin\"}"), 409);
    assert_int_equal(ask_with(api_token_create, "{\"name\":\"dusk\",\"role\":\"viewer\"}"), 409);
    fake_bus_last(BUS_OK, "");
    assert_int_equal(ask_with(api_token_create, TOKEN_BODY), 409);
    fake_bus_last(BUS_DISCONNECTED, NULL); /* and now nobody knows */
    assert_int_equal(ask_with(api_token_create, TOKEN_BODY), 503);
    buf_done(&stored);
}

/* Whichever allocation fails, the answer is that there is no memory, or the whole one. */
static bool create_without_memory(void *context)
{
    int status = ask_with(api_token_create, context);
    bool whole = status == 201 && !reply.body.failed && !reply.headers.failed;
    if (!whole && !reply.body.failed && !reply.headers.failed)
        assert_in_range(status, 500, 503);
    return whole;
}

static void want_of_memory_is_not_the_request_s_fault(void **state)
{
    struct buf stored = BUF_INIT;
    static char body[] = TOKEN_BODY;
    (void)state;
    fault_loop(create_without_memory, body);
    fake_http_header("Idempotency-Key", "k");
    assert_int_equal(ask_with(api_token_create, body), 201);
    buf_adds(&stored, strchr(fake_bus_stored_text(), ' ') + 1);
    fake_bus_stores(BUS_CONFLICT, false);
    fake_bus_last(BUS_OK, buf_cstr(&stored));
    fault_loop(create_without_memory, body);
    buf_done(&stored);
}

/* ---- revoking ---- */

static void nobody_takes_away_what_lies_beyond_his_own_scopes(void **state)
{
    struct access_help *help = *state;
    access_help_put(help, ACCESS_TOKEN, "t1", "s",
                    "\"name\":\"n\",\"role\":\"admin\",\"vehicles\":[\"A-*\"]");
    /* Sees the whole fleet as an auditor, and administers a part of it. */
    access_help_put(help, ACCESS_GRANT, "g1", "", "\"subject\":\"t1\",\"role\":\"auditor\"");
    access_help_put(help, ACCESS_GRANT, "g2", "",
                    "\"subject\":\"" HELP_ISSUER
                    "#ann\",\"role\":\"viewer\",\"vehicles\":[\"A-1\"]");
    access_help_put(help, ACCESS_GRANT, "g3", "",
                    "\"subject\":\"t9\",\"role\":\"viewer\",\"vehicles\":[\"B-1\"]");
    struct principal *one = access_help_resolve(help, "fh_t1_s");
    assert_int_equal(take_away(api_grant_revoke, "g3", one), 403);
    assert_non_null(strstr(buf_cstr(&reply.body), "more than your own scopes"));
    assert_int_equal(take_away(api_grant_revoke, "g2", one), 403);
    assert_non_null(strstr(buf_cstr(&reply.body), "bounds whom it is granted to"));
    assert_int_equal(fake_bus_stored(), 0);
    assert_int_equal(take_away(api_grant_revoke, "g2", NULL), 204);
    assert_int_equal(take_away(api_grant_revoke, "g9", NULL), 404);
    assert_int_equal(fake_bus_stored(), 1);
    principal_unref(one);
}

static void a_token_is_taken_away_with_all_that_it_was_granted(void **state)
{
    struct access_help *help = *state;
    static const char *const tokens[] = {"t1", "t2", "t3", "t4"};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        access_help_put(help, ACCESS_TOKEN, tokens[i], "s",
                        i == 3 ? "\"name\":\"n\",\"role\":\"viewer\",\"vehicles\":[\"A-1\"],"
                                 "\"expires\":\"2026-01-01T00:00:00Z\""
                               : "\"name\":\"n\",\"role\":\"admin\",\"vehicles\":[\"A-*\"]");
    access_help_put(help, ACCESS_GRANT, "g1", "", "\"subject\":\"t2\",\"role\":\"viewer\"");
    struct principal *one = access_help_resolve(help, "fh_t1_s");
    assert_int_equal(take_away(api_token_revoke, "t2", one), 403);
    assert_non_null(strstr(buf_cstr(&reply.body), "more than your own scopes"));
    assert_int_equal(fake_bus_stored(), 0);
    assert_int_equal(take_away(api_token_revoke, "t3", one), 204);
    assert_int_equal(take_away(api_token_revoke, "t4", one), 204); /* it has expired */
    assert_int_equal(take_away(api_token_revoke, "t2", NULL), 204);
    principal_unref(one);
}

static void who_is_bounded_grants_within_his_bounds_and_to_whom_he_covers(void **state)
{
    struct access_help *help = *state;
    static const struct {
        const char *body;
        int status;
    } cases[] = {
        {"{\"subject\":\"t2\",\"vehicles\":[\"A-1\"]}", 201},
        {"{\"subject\":\"t2\",\"vehicles\":[\"A-1\"],\"deny\":[\"state.>\"]}", 403},
        {"{\"subject\":\"t2\",\"vehicles\":[\"B-1\"]}", 403},
        {"{\"subject\":\"t3\",\"vehicles\":[\"A-1\"]}", 403},
        {"{\"subject\":\"t9\",\"vehicles\":[\"A-1\"]}", 403},
        {"{\"subject\":\"" HELP_ISSUER "#ann\",\"vehicles\":[\"A-1\"]}", 403},
    };
    access_help_put(help, ACCESS_TOKEN, "t1", "s",
                    "\"name\":\"n\",\"role\":\"admin\",\"vehicles\":[\"A-*\"]");
    access_help_put(help, ACCESS_TOKEN, "t2", "s",
                    "\"name\":\"n\",\"role\":\"viewer\",\"vehicles\":[\"A-2\"]");
    access_help_put(help, ACCESS_TOKEN, "t3", "s", "\"name\":\"n\",\"role\":\"admin\"");
    struct principal *bounded = access_help_resolve(help, "fh_t1_s");
    struct principal *whole = access_help_resolve(help, "fh_t3_s");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int all = 0; all < 2; all++) {
            struct http_request request = fake_http_request(&app, cases[i].body);
            request.caller = all ? whole : bounded;
            request.viewer = &request.caller->viewers[CAN_ADMINISTER];
            request.principal = request.caller->name;
            int status = ask(api_grant_create, &request);
            if (status != (all ? 201 : cases[i].status))
                fail_msg("%s: %d", cases[i].body, status);
        }
    principal_unref(bounded);
    principal_unref(whole);
}

static void what_cannot_be_revoked_now_is_not_said_to_be(void **state)
{
    struct access_help *help = *state;
    access_help_put(help, ACCESS_TOKEN, "t1", "s", "\"name\":\"n\",\"role\":\"viewer\"");
    fake_bus_stores(BUS_TIMEOUT, false);
    assert_int_equal(take_away(api_token_revoke, "t1", NULL), 503);
    fake_bus_connected(false);
    assert_int_equal(take_away(api_token_revoke, "t1", NULL), 503);
}

/* ---- asking ---- */

static void a_question_is_answered_with_the_rule_that_says_so(void **state)
{
    struct access_help *help = *state;
    static const struct {
        const char *body, *answer;
    } cases[] = {
        {"{\"action\":\"write\",\"vid\":\"A-1\",\"path\":\"desired.mode\"}", "role operator"},
        {"{\"action\":\"write\",\"vid\":\"A-1\",\"path\":\"desires.mode\"}", "no scope may"},
        {"{\"action\":\"write\",\"vid\":\"A-1\",\"path\":\"meta.name\"}", "no scope may"},
        {"{\"action\":\"command\",\"vid\":\"B-1\"}", "no scope may"},
    };
    access_help_put(help, ACCESS_TOKEN, "t1", "s",
                    "\"name\":\"n\",\"role\":\"operator\",\"vehicles\":[\"A-*\"]");
    struct principal *one = access_help_resolve(help, "fh_t1_s");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_request request = fake_http_request(&app, cases[i].body);
        request.caller = one;
        request.principal = one->name;
        assert_int_equal(ask(api_access_check, &request), 200);
        if (!strstr(buf_cstr(&reply.body), cases[i].answer))
            fail_msg("%s: %s", cases[i].body, buf_cstr(&reply.body));
    }
    /* With access off everybody may ask, and do, everything. */
    assert_int_equal(ask_with(api_access_check, cases[0].body), 200);
    assert_non_null(strstr(buf_cstr(&reply.body), "\"allowed\":true"));
    assert_int_equal(ask_with(api_access_check, "{\"action\":\"read\",\"subject\":\"t1\"}"), 200);
    assert_int_equal(ask_with(api_access_check, "{\"action\":\"read\",\"subject\":\"t2\"}"), 404);
    principal_unref(one);
}

/* A part by its bare name: to read it is to see some of it, to write it is to replace all of it. */
static void a_question_about_a_whole_part_is_answered_as_the_handlers_do(void **state)
{
    struct access_help *help = *state;
    static const struct {
        const char *allow, *deny, *path;
        bool read, write;
    } cases[] = {
        {"desired.>", "state.mode", "desired", true, true},
        {"desired.mode", "state.mode", "desired", true, false},
        {"desired.*", "state.mode", "desired", true, false},
        {"desired", "state.mode", "desired", false, false},
        {">", "desired.mode", "desired", true, false},
        {">", "desired.>", "desired", false, false},
        {">", "desired", "desired", true, false},
        {">", "desired", "desired.mode", true, true},
        {"delta", "state.mode", "delta", true, true},
        {"state.mode", "meta.>", "state", true, false},
        {"state.>", "state.mode", "state.mode", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int writes = 0; writes < 2; writes++) {
            char members[256], body[128];
            snprintf(members, sizeof members,
                     "\"name\":\"n\",\"role\":\"admin\",\"allow\":[\"%s\"],\"deny\":[\"%s\"]",
                     cases[i].allow, cases[i].deny);
            snprintf(body, sizeof body, "{\"action\":\"%s\",\"path\":\"%s\"}",
                     writes ? "write" : "read", cases[i].path);
            access_help_put(help, ACCESS_TOKEN, "t1", "s", members);
            struct principal *one = access_help_resolve(help, "fh_t1_s");
            struct http_request request = fake_http_request(&app, body);
            request.caller = one;
            request.principal = one->name;
            assert_int_equal(ask(api_access_check, &request), 200);
            bool said = strstr(buf_cstr(&reply.body), "\"allowed\":true") != NULL;
            if (said != (writes ? cases[i].write : cases[i].read))
                fail_msg("allow %s deny %s %s: %s", cases[i].allow, cases[i].deny, body,
                         buf_cstr(&reply.body));
            principal_unref(one);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_written_is_told_by_its_reason),
        TEST(what_is_no_request_writes_nothing),
        TEST(more_entries_than_a_hub_holds_are_not_made),
        TEST(a_key_that_was_used_is_answered_by_what_it_made),
        TEST(want_of_memory_is_not_the_request_s_fault),
        TEST(nobody_takes_away_what_lies_beyond_his_own_scopes),
        TEST(a_token_is_taken_away_with_all_that_it_was_granted),
        TEST(who_is_bounded_grants_within_his_bounds_and_to_whom_he_covers),
        TEST(what_cannot_be_revoked_now_is_not_said_to_be),
        TEST(a_question_is_answered_with_the_rule_that_says_so),
        TEST(a_question_about_a_whole_part_is_answered_as_the_handlers_do),
    };
    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests(tests, key_folder_make, key_folder_remove);
}
