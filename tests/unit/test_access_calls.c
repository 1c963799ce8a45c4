/* access, access_write, access_record, access_denied, access_http: who calls, when a stream is cut,
 * what is stored and recorded; and what each of them says when there is no memory, no NATS or no
 * room. */
#include "hub/access_denied.h"
#include "hub/access_http.h"
#include "hub/access_record.h"
#include "hub/app.h"
#include "hub/http_limits.h"
#include "hub/log.h"
#include "hub/metrics.h"
#include "tests/fake/fake_http.h"
#include "tests/unit/access_help.h"
#include "tests/unit/fault.h"
#include "twin/hash.h"

/* ---- issuers ---- */

static void an_issuer_whose_key_cannot_be_read_is_told_by_name(void **state)
{
    struct access_help *help = *state;
    char error[512] = "", *token = access_help_jwt(help, "ann", "viewer");
    char *good_file = help->issuers[0].key_file;
    help->issuers[0].key_file = key_folder;
    assert_null(access_new(&help->config, fake_bus(), error));
    assert_non_null(strstr(error, HELP_ISSUER));
    /* A reload that fails leaves in force what was. */
    assert_false(access_reload(help->access, error));
    principal_unref(access_help_resolve(help, token));
    help->issuers[0].key_file = good_file;
    assert_true(access_reload(help->access, error));
    principal_unref(access_help_resolve(help, token));
    free(token);
}

static void nobody_is_known_before_the_tokens_are_read(void **state)
{
    struct access_help *help = *state;
    struct principal *principal = NULL;
    const char *why = NULL;
    char *token = access_help_jwt(help, "ann", "viewer");
    static const struct http_route route = {.method = "GET", .pattern = "/v1/vehicles"};
    struct http_request request = fake_http_request(NULL, NULL);
    struct http_reply reply = {0};
    void *credential = NULL;
    struct access_http *gate = access_http_new(help->access, fake_recorder(), true);
    const struct http_auth *auth = access_http_auth(gate);
    atomic_store(&help->access->recovered, false);
    assert_int_equal(access_resolve(help->access, token, &principal, &why), ACCESS_STARTING);
    assert_false(auth->admit(auth->closure, &route, token, &request, &reply, &credential));
    assert_int_equal(reply.status, 503);
    assert_null(credential);
    fake_http_reply_done(&reply);
    /* And when they are, and there is no memory. */
    atomic_store(&help->access->recovered, true);
    fault_arm(1, FAULT_ONCE);
    assert_false(auth->admit(auth->closure, &route, token, &request, &reply, &credential));
    assert_true(fault_disarm());
    assert_int_equal(reply.status, 503);
    fake_http_reply_done(&reply);
    access_http_free(gate);
    free(token);
}

/* ---- a bucket that is made anew ---- */

struct anew {
    struct access_help *help;
    char *jwt;
    int asked;
};

static void end_lane(void *closure)
{
    const struct anew *anew = closure;
    atomic_store(&anew->help->access->stop, true);
}

/* Called where the lane waits for its first record, with the grant still to come. */
static void ask_meanwhile(void *closure)
{
    struct anew *anew = closure;
    struct principal *principal = NULL;
    const char *why;
    assert_null(access_set_find(&anew->help->access->set, ACCESS_GRANT, "g1"));
    assert_int_equal(access_resolve(anew->help->access, anew->jwt, &principal, &why),
                     ACCESS_STARTING);
    assert_int_equal(access_resolve(anew->help->access, "fh_t1_s", &principal, &why),
                     ACCESS_STARTING);
    assert_null(principal);
    anew->asked++;
    fake_recorder_refuses(0);
    fake_bus_when_idle(end_lane, anew);
}

/* His role alone would be good for the whole fleet. */
static void whose_grants_are_not_read_again_yet_is_not_let_in(void **state)
{
#define GRANT_KEY "$KV.TWIN_ACCESS.auth.grant."
    struct access_help *help = *state;
    struct anew anew = {.help = help, .jwt = access_help_jwt(help, "ann", "admin")};
    static const char grant[] =
        "{" HELP_MADE ",\"subject\":\"" HELP_ISSUER "#ann\",\"vehicles\":[\"A-*\"]}";
    access_help_put(help, ACCESS_GRANT, "g1", "",
                    "\"subject\":\"" HELP_ISSUER "#ann\",\"vehicles\":[\"A-*\"]");
    access_help_put(help, ACCESS_TOKEN, "t1", "s", "\"name\":\"n\",\"role\":\"viewer\"");
    principal_unref(access_help_resolve(help, anew.jwt)); /* and is cached */
    fake_bus_opening(BUS_EPOCH, 78, 2);
    fake_bus_opening(BUS_OK, 78, 2);
    for (uint64_t seq = 1; seq <= 2; seq++)
        fake_bus_comes(&(struct fake_bus_msg){.subject = seq == 1 ? GRANT_KEY "g0" : GRANT_KEY "g1",
                                              .data = seq == 1 ? "{}" : grant,
                                              .seq = seq,
                                              .received_ns = clock_wall_ns()});
    fake_recorder_refuses(-1);
    fake_bus_when_idle(ask_meanwhile, &anew);
    access_run(help->access);
    assert_int_equal(anew.asked, 1);
    struct principal *ann = access_help_resolve(help, anew.jwt);
    assert_false(viewer_sees_vehicle(&ann->viewers[CAN_READ], "B-1"));
    assert_true(viewer_sees_vehicle(&ann->viewers[CAN_READ], "A-1"));
    principal_unref(ann);
    free(anew.jwt);
#undef GRANT_KEY
}

static void metrics_are_open_to_this_machine_alone(void **state)
{
    struct access_help *help = *state;
    static const struct http_route route = {
        .method = "GET", .pattern = "/metrics", .flags = ROUTE_METRICS};
    for (int local = 0; local < 2; local++) {
        struct http_request request = fake_http_request(NULL, NULL);
        struct http_reply reply = {0};
        void *credential = NULL;
        struct access_http *gate = access_http_new(help->access, fake_recorder(), local);
        const struct http_auth *auth = access_http_auth(gate);
        bool let_in = auth->admit(auth->closure, &route, NULL, &request, &reply, &credential);
        assert_int_equal(let_in, local);
        assert_int_equal(reply.status, local ? 0 : 401);
        fake_http_reply_done(&reply);
        access_http_free(gate);
    }
}

/* ---- who calls ---- */

static unsigned slot_of(const char *bearer)
{
    uint8_t digest[RECORD_HASH_BYTES];
    record_sha256(bearer, strlen(bearer), digest);
    return (digest[0] | (unsigned)digest[1] << 8) % ACCESS_CACHE_SLOTS;
}

static void two_bearers_in_one_place_of_the_cache_are_two_callers(void **state)
{
    struct access_help *help = *state;
    char other[64], secret[32];
    access_help_put(help, ACCESS_TOKEN, "t1", "s", "\"name\":\"n\",\"role\":\"admin\"");
    for (int i = 0;; i++) {
        snprintf(secret, sizeof secret, "s%d", i);
        snprintf(other, sizeof other, "fh_t2_%s", secret);
        if (slot_of(other) == slot_of("fh_t1_s"))
            break;
    }
    access_help_put(help, ACCESS_TOKEN, "t2", secret, "\"name\":\"n\",\"role\":\"viewer\"");
    for (int i = 0; i < 4; i++) {
        struct principal *one = access_help_resolve(help, "fh_t1_s");
        struct principal *two = access_help_resolve(help, other);
        assert_string_equal(one->name, "t1");
        assert_string_equal(two->name, "t2");
        principal_unref(one);
        principal_unref(two);
    }
}

struct caller {
    struct access_help *help;
    const char *bearer;
};

static bool resolve_without_memory(void *context)
{
    struct caller *caller = context;
    struct principal *principal = NULL;
    const char *why = NULL;
    caller->help->access->version++; /* nobody is known from before */
    enum access_verdict verdict =
        access_resolve(caller->help->access, caller->bearer, &principal, &why);
    if (verdict != ACCESS_OK)
        assert_int_equal(verdict, ACCESS_NO_MEMORY); /* never: the token is bad */
    principal_unref(principal);
    return verdict == ACCESS_OK;
}

static void want_of_memory_is_never_laid_at_a_token_s_door(void **state)
{
    struct access_help *help = *state;
    char *token = access_help_jwt(help, "ann", "viewer");
    access_help_put(help, ACCESS_TOKEN, "t1", "s", "\"name\":\"n\",\"role\":\"admin\"");
    fault_loop(resolve_without_memory, &(struct caller){help, "fh_t1_s"});
    fault_loop(resolve_without_memory, &(struct caller){help, token});
    free(token);
}

static void only_who_has_a_token_or_a_grant_is_known_by_name(void **state)
{
    struct access_help *help = *state;
    char too_long[JWT_PRINCIPAL_BYTES + 1];
    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    access_help_put(help, ACCESS_GRANT, "g1", "",
                    "\"subject\":\"" HELP_ISSUER "#ann\",\"role\":\"viewer\"");
    struct principal *ann = access_look_up(help->access, HELP_ISSUER "#ann");
    assert_non_null(ann);
    assert_true(principal_can(ann, CAN_READ));
    principal_unref(ann);
    assert_null(access_look_up(help->access, HELP_ISSUER "#bob"));
    assert_null(access_look_up(help->access, too_long));
}

/* ---- watching ---- */

static void count_cut(void *closure)
{
    ++*(int *)closure;
}

static void whoever_was_known_by_an_issuer_that_is_gone_is_cut_once(void **state)
{
    struct access_help *help = *state;
    char error[512], *token = access_help_jwt(help, "ann", "viewer");
    static char longer[] = HELP_ISSUER ".org", other[] = "https://other";
    char *const issuers[] = {longer, other};
    for (size_t i = 0; i < 2; i++) {
        int cuts = 0;
        help->issuers[0].issuer = (char *)(uintptr_t)HELP_ISSUER;
        assert_true(access_reload(help->access, error));
        struct principal *ann = access_help_resolve(help, token);
        struct access_watch *watch = access_watch(help->access, ann, count_cut, &cuts);
        access_judge_watches(help->access, clock_wall_ns(), true);
        assert_int_equal(cuts, 0);
        help->issuers[0].issuer = issuers[i];
        assert_true(access_reload(help->access, error));
        assert_true(access_reload(help->access, error));
        assert_int_equal(cuts, 1);
        access_unwatch(help->access, watch);
        principal_unref(ann);
    }
    /* An issuer whose name is the beginning of another's is not that one. */
    static char shorter[] = "https://id";
    int cuts = 0;
    help->issuers[0].issuer = (char *)(uintptr_t)HELP_ISSUER;
    assert_true(access_reload(help->access, error));
    struct principal *ann = access_help_resolve(help, token);
    struct access_watch *watch = access_watch(help->access, ann, count_cut, &cuts);
    help->issuers[0].issuer = shorter;
    assert_true(access_reload(help->access, error));
    assert_int_equal(cuts, 1);
    access_unwatch(help->access, watch);
    principal_unref(ann);
    free(token);
}

/* How many watches of who came by this token a reload cuts. */
static int cuts_of_reload(struct access_help *help, const char *token)
{
    char error[512];
    int cuts = 0;
    struct principal *ann = access_help_resolve(help, token);
    assert_non_null(ann);
    struct access_watch *watch = access_watch(help->access, ann, count_cut, &cuts);
    assert_true(access_reload(help->access, error));
    access_unwatch(help->access, watch);
    principal_unref(ann);
    return cuts;
}

static void whoever_came_by_a_key_that_was_replaced_is_cut(void **state)
{
    static char elsewhere[] = "elsewhere";
    struct access_help *help = *state;
    char error[512], *token = access_help_jwt(help, "ann", "viewer");
    char *audience = help->issuers[0].audience;
    assert_int_equal(cuts_of_reload(help, token), 0);
    help->issuers[0].audience = elsewhere;
    struct principal *ann = access_help_resolve(help, token); /* not read again yet */
    assert_non_null(ann);
    principal_unref(ann);
    assert_int_equal(cuts_of_reload(help, token), 1);
    help->issuers[0].audience = audience;
    assert_true(access_reload(help->access, error));
    assert_int_equal(cuts_of_reload(help, token), 0);
    EVP_PKEY *another = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    char *pem = key_pem(another);
    key_file(pem, strlen(pem));
    assert_int_equal(cuts_of_reload(help, token), 1);
    free(pem);
    EVP_PKEY_free(another);
    free(token);
}

/* ---- writing ---- */

static const struct access_by by = {"ann", "r1", "192.0.2.1"};

static struct access_entry *new_entry(void)
{
    struct access_entry *entry = calloc(1, sizeof *entry);
    entry->kind = ACCESS_TOKEN;
    entry->name = strdup("n");
    entry->created_by = strdup("ann");
    entry->rights.role = ROLE_VIEWER;
    entry->rights.expires_ns = RIGHTS_FOREVER;
    return entry;
}

struct minting {
    struct access_entry *entry;
    const char *key;
};

static bool mint(void *context)
{
    struct minting *minting = context;
    char token[ACCESS_TOKEN_BYTES];
    return access_mint(minting->entry, "ann", minting->key, token);
}

static void a_token_is_minted_whole_or_not_at_all(void **state)
{
    (void)state;
    struct minting minting = {new_entry(), NULL};
    assert_true(fault_loop(mint, &minting) > 0);
    minting.key = "a key";
    assert_true(fault_loop(mint, &minting) > 1);
    access_entry_free(minting.entry);
}

static void what_is_written_is_waited_for_until_it_is_in_force_here(void **state)
{
    struct access_help *help = *state;
    struct access_entry *entry = new_entry();
    struct bus_error error = {""};
    strcpy(entry->id, "t1");
    /* Nobody follows the bucket here: it is stored, and that is all that can be said. */
    assert_int_equal(access_write(help->access, fake_bus(), entry, false, &by, &error),
                     BUS_TIMEOUT);
    assert_string_equal(error.text, "it is written, and not in force here yet");
    assert_int_equal(fake_bus_stored(), 1);
    atomic_store(&help->access->applied_seq, 2);
    assert_int_equal(access_write(help->access, fake_bus(), entry, true, &by, &error), BUS_OK);
    fake_bus_stores(BUS_DISCONNECTED, false);
    assert_int_equal(access_write(help->access, fake_bus(), entry, false, &by, &error),
                     BUS_DISCONNECTED);
    access_entry_free(entry);
}

struct writing {
    struct access_help *help;
    struct access_entry *entry;
};

static bool write_without_memory(void *context)
{
    struct writing *writing = context;
    struct bus_error error = {""};
    struct access_by nobody = {.actor = "ann"};
    enum bus_status status = access_write(NULL, fake_bus(), writing->entry, false, &nobody, &error);
    if (status != BUS_OK) {
        assert_int_equal(status, BUS_TIMEOUT); /* not: an error of its own */
        assert_string_equal(error.text, RIGHTS_NO_MEMORY);
    }
    return status == BUS_OK;
}

static bool read_without_memory(void *context)
{
    struct writing *writing = context;
    struct access_entry *stored = NULL;
    struct bus_error error = {""};
    enum bus_status status = access_stored(fake_bus(), writing->entry, &stored, &error);
    if (status == BUS_OK)
        assert_non_null(stored); /* never: it was taken away */
    access_entry_free(stored);
    return status == BUS_OK;
}

static void what_is_stored_is_counted_less_what_was_taken_away(void **state)
{
    struct bus_error error = {""};
    size_t count = 7;
    (void)state;
    assert_int_equal(access_count_stored(fake_bus(), 0, &count, &error), BUS_OK);
    assert_int_equal(count, 0);
    fake_bus_opening(BUS_NOT_FOUND, 0, 0);
    assert_int_equal(access_count_stored(fake_bus(), 0, &count, &error), BUS_NOT_FOUND);
    fake_bus_says(BUS_TIMEOUT);
    for (uint64_t seq = 1; seq <= 3; seq++)
        fake_bus_comes(&(struct fake_bus_msg){
            .subject = "$KV.TWIN_ACCESS.auth.token.t",
            .data = "{}",
            .seq = seq,
            .headers = {{seq == 2 ? "KV-Operation" : ACCESS_HEADER_ACTOR, "DEL"}}});
    assert_int_equal(access_count_stored(fake_bus(), 0, &count, &error), BUS_TIMEOUT);
    assert_non_null(strstr(error.text, "not read within"));
    assert_int_equal(access_count_stored(fake_bus(), 60000, &count, &error), BUS_OK);
    assert_int_equal(count, 2);
    assert_int_equal(fake_bus_opened().from, BUS_FROM_LAST_PER);
}

static void want_of_memory_is_told_from_an_entry_that_is_gone(void **state)
{
    struct writing writing = {*state, new_entry()};
    struct access_entry *stored = NULL;
    struct bus_error error = {""};
    struct buf text = BUF_INIT;
    strcpy(writing.entry->id, "t1");
    assert_true(fault_loop(write_without_memory, &writing) > 0);
    access_entry_write(&text, writing.entry);
    fake_bus_last(BUS_OK, buf_cstr(&text));
    assert_true(fault_loop(read_without_memory, &writing) > 1);
    /* What was taken away, and what cannot be read, is none. */
    static const char *const others[] = {"", "{", "{}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        fake_bus_last(BUS_OK, others[i]);
        assert_int_equal(access_stored(fake_bus(), writing.entry, &stored, &error), BUS_OK);
        assert_null(stored);
    }
    fake_bus_last(BUS_TIMEOUT, NULL);
    assert_int_equal(access_stored(fake_bus(), writing.entry, &stored, &error), BUS_TIMEOUT);
    buf_done(&text);
    access_entry_free(writing.entry);
}

/* ---- records ---- */

static void what_cannot_be_recorded_is_not_read(void **state)
{
    struct app app = {.bus = fake_bus(), .recorder = fake_recorder()};
    struct http_request request = fake_http_request(&app, NULL);
    struct http_reply reply = {0};
    (void)state;
    request.query[0] = (struct http_param){"access_token", "fh_secret"};
    request.query[1] = (struct http_param){"filter", "seq > 5"};
    request.query[2] = (struct http_param){"limit", "7"};
    request.query_count = 3;
    assert_true(access_record_reading(&request, &reply, ACCESS_READ));
    assert_non_null(strstr(fake_recorder_last(), "access record_read local {"));
    assert_non_null(
        strstr(fake_recorder_last(), "\"query\":{\"filter\":\"seq > 5\",\"limit\":\"7\"}"));
    assert_null(strstr(fake_recorder_last(), "secret"));
    for (int i = 0; i < 5; i++) {
        fake_bus_reset();
        app.recorder = i == 0 ? NULL : fake_recorder();
        fake_bus_connected(i != 1);
        fake_recorder_refuses(i == 2 ? -1 : 0);
        fake_recorder_stores(i != 3);
        if (i == 4)
            fault_arm(1, FAULT_FROM_THEN);
        bool recorded = access_record_reading(&request, &reply, ACCESS_READ);
        fault_disarm();
        assert_false(recorded);
        assert_int_equal(reply.status, 503);
    }
    fake_http_reply_done(&reply);
}

/* As in hub/access_denied.c. */
static size_t place_of(const char *remote)
{
    return hash_of_text(remote) % ACCESS_DENIED_ADDRESSES;
}

static void two_addresses_in_one_place_are_not_counted_together(void **state)
{
    struct http_request request = fake_http_request(NULL, NULL);
    char other[32];
    (void)state;
    struct access_denied *denied = access_denied_new(fake_recorder());
    for (int i = 0;; i++) {
        snprintf(other, sizeof other, "198.51.100.%d", i);
        if (place_of(other) == place_of(request.remote))
            break;
    }
    for (int i = 0; i < ACCESS_DENIED_PER_MINUTE + 3; i++)
        access_denied_put(denied, &request, 401);
    request.remote = other;
    access_denied_put(denied, &request, 401);
    access_denied_free(denied);
    /* Each counted one has its record, or is in one that says how many; a minute that ends
     * meanwhile begins the count anew. */
    assert_in_range(fake_recorder_count(), ACCESS_DENIED_PER_MINUTE + 1,
                    ACCESS_DENIED_PER_MINUTE + 4);
    assert_non_null(strstr(fake_recorder_last(), "\"remote\":\"198.51.100."));
}

/* One machine mostly has all of them. */
static void the_addresses_of_one_network_are_counted_together(void **state)
{
    struct http_request request = fake_http_request(NULL, NULL);
    char remote[HTTP_NETWORK_BYTES];
    (void)state;
    struct access_denied *denied = access_denied_new(fake_recorder());
    request.remote = remote;
    for (int i = 0; i < ACCESS_DENIED_PER_MINUTE + 3; i++) {
        snprintf(remote, sizeof remote, "2001:db8::%x", i + 1);
        access_denied_put(denied, &request, 401);
    }
    access_denied_free(denied);
    assert_in_range(fake_recorder_count(), ACCESS_DENIED_PER_MINUTE + 1,
                    ACCESS_DENIED_PER_MINUTE + 3);
    if (fake_recorder_count() == ACCESS_DENIED_PER_MINUTE + 1) /* else a minute has ended */
        assert_non_null(strstr(fake_recorder_last(), "\"remote\":\"2001:db8::/64\",\"count\":3"));
}

static void a_refusal_that_cannot_be_recorded_is_counted(void **state)
{
    struct http_request request = fake_http_request(NULL, NULL);
    (void)state;
    struct access_denied *denied = access_denied_new(fake_recorder());
    uint64_t before = metrics_get(METRIC_ACCESS_UNRECORDED, 0, 0);
    fake_recorder_refuses(-1);
    access_denied_put(denied, &request, 401);
    assert_int_equal(metrics_get(METRIC_ACCESS_UNRECORDED, 0, 0), before + 1);
    access_denied_free(denied);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, access_help_setup, access_help_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_issuer_whose_key_cannot_be_read_is_told_by_name),
        TEST(nobody_is_known_before_the_tokens_are_read),
        TEST(whose_grants_are_not_read_again_yet_is_not_let_in),
        TEST(metrics_are_open_to_this_machine_alone),
        TEST(two_bearers_in_one_place_of_the_cache_are_two_callers),
        TEST(want_of_memory_is_never_laid_at_a_token_s_door),
        TEST(only_who_has_a_token_or_a_grant_is_known_by_name),
        TEST(whoever_was_known_by_an_issuer_that_is_gone_is_cut_once),
        TEST(whoever_came_by_a_key_that_was_replaced_is_cut),
        TEST(a_token_is_minted_whole_or_not_at_all),
        TEST(what_is_written_is_waited_for_until_it_is_in_force_here),
        TEST(what_is_stored_is_counted_less_what_was_taken_away),
        TEST(want_of_memory_is_told_from_an_entry_that_is_gone),
        TEST(what_cannot_be_recorded_is_not_read),
        TEST(two_addresses_in_one_place_are_not_counted_together),
        TEST(the_addresses_of_one_network_are_counted_together),
        TEST(a_refusal_that_cannot_be_recorded_is_counted),
    };
    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests(tests, key_folder_make, key_folder_remove);
}
