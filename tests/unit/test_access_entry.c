/* Tokens and grants as they are stored: what is refused and why, and how a set of them is kept. */
#include "hub/access_set.h"
#include "tests/unit/fault.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CREATED "\"created\":\"2026-01-01T00:00:00Z\","
#define BY "\"created_by\":\"x\","
#define HASH                                                                                       \
    "\"secret_sha256\":\"00000000000000000000000000000000000000000000000000000000000000aa\","
#define NAMED "\"name\":\"n\","
#define ROLE "\"role\":\"viewer\","
#define GOOD CREATED BY HASH NAMED
#define NOW_NS (INT64_C(1800000000) * NS_PER_S) /* 2027-01-15T08:00:00Z */

/* `members` ends with a comma or is the last one. */
static struct access_entry *read_entry(enum access_kind kind, const char *id, const char *members,
                                       char error[256])
{
    struct buf text = BUF_INIT;
    struct doc_ref value;
    struct doc_parser *parser = doc_parser_new();
    if (*members == '[')
        buf_adds(&text, members);
    else
        buf_addf(&text, "{%s\"z\":0}", members);
    assert_int_equal(doc_parse(parser, buf_cstr(&text), text.size_bytes,
                               (struct doc_limits){1 << 20, 8}, &value),
                     DOC_OK);
    struct access_entry *entry = access_entry_read(kind, id, value, error);
    doc_parser_free(parser);
    buf_done(&text);
    return entry;
}

static struct access_entry *good_entry(enum access_kind kind, const char *id, const char *members)
{
    char error[256];
    struct access_entry *entry = read_entry(kind, id, members, error);
    if (!entry)
        fail_msg("%s: %s", members, error);
    return entry;
}

static void assert_refused(enum access_kind kind, const char *members, const char *why)
{
    char error[256] = "";
    struct access_entry *entry = read_entry(kind, "t1", members, error);
    if (entry || !strstr(error, why))
        fail_msg("%.200s is %s: %s, and not because of %s", members, entry ? "taken" : "refused",
                 error, why);
}

/* ---- reading ---- */

static void rights_that_are_wrong_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *members, *why;
    } wrong[] = {
        {GOOD "\"role\":5,", "`role` must be"},
        {GOOD "\"role\":\"boss\",", "`role` must be"},
        {GOOD ROLE "\"vehicles\":\"A-1\",", "`vehicles` must be a list"},
        {GOOD ROLE "\"vehicles\":[1],", "each of `vehicles`"},
        {GOOD ROLE "\"vehicles\":[\"A-1\",\"a.b\"],", "each of `vehicles`"},
        {GOOD ROLE "\"vehicles\":[\"A\\u0000\"],", "each of `vehicles`"},
        {GOOD ROLE "\"allow\":{},", "`allow` must be a list"},
        {GOOD ROLE "\"allow\":[\"state.\"],", "each of `allow`"},
        {GOOD ROLE "\"deny\":true,", "`deny` must be a list"},
        {GOOD ROLE "\"deny\":[\">.a\"],", "each of `deny`"},
        {GOOD ROLE "\"expires\":1800000000,", "`expires` must be a time"},
        {GOOD ROLE "\"expires\":\"tomorrow\",", "`expires` must be a time"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused(ACCESS_TOKEN, wrong[i].members, wrong[i].why);
}

static void lists_and_patterns_are_bounded(void **state)
{
    (void)state;
    char pattern[RIGHTS_PATTERN_MAX_BYTES + 2] = "";
    for (int extra = 0; extra < 2; extra++) {
        struct buf members = BUF_INIT;
        buf_adds(&members, GOOD ROLE "\"vehicles\":[");
        for (int i = 0; i < RIGHTS_PATTERNS_MAX + extra; i++)
            buf_addf(&members, "%s\"A-%d\"", i ? "," : "", i);
        buf_adds(&members, "],");
        if (extra) {
            assert_refused(ACCESS_TOKEN, buf_cstr(&members), "at most 256 patterns");
        } else {
            struct access_entry *entry = good_entry(ACCESS_TOKEN, "t1", buf_cstr(&members));
            assert_int_equal(entry->rights.vehicles.count, RIGHTS_PATTERNS_MAX);
            assert_string_equal(entry->rights.vehicles.patterns[255], "A-255");
            access_entry_free(entry);
        }
        buf_reset(&members);
        memset(pattern, 'a', (size_t)(RIGHTS_PATTERN_MAX_BYTES + extra));
        buf_addf(&members, GOOD ROLE "\"allow\":[\"%s\"],", pattern);
        if (extra)
            assert_refused(ACCESS_TOKEN, buf_cstr(&members), "each of `allow`");
        else
            access_entry_free(good_entry(ACCESS_TOKEN, "t1", buf_cstr(&members)));
        buf_done(&members);
        assert_int_equal(part_pattern_valid(pattern), !extra);
    }
}

static void a_list_that_is_null_is_as_if_it_were_not_there(void **state)
{
    (void)state;
    struct access_entry *entry =
        good_entry(ACCESS_TOKEN, "t1", GOOD ROLE "\"vehicles\":null,\"expires\":null,");
    assert_false(entry->rights.vehicles.given);
    assert_int_equal(entry->rights.expires_ns, RIGHTS_FOREVER);
    access_entry_free(entry);
}

static void entries_that_are_wrong_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        enum access_kind kind;
        const char *members, *why;
    } wrong[] = {
        {ACCESS_TOKEN, "[1]", "no JSON object"},
        {ACCESS_TOKEN, CREATED BY HASH ROLE, "`name` is missing"},
        {ACCESS_TOKEN, CREATED BY HASH ROLE "\"name\":7,", "`name` is missing"},
        {ACCESS_TOKEN, CREATED BY HASH ROLE "\"name\":\"\",", "`name` is missing"},
        {ACCESS_TOKEN, CREATED BY HASH ROLE "\"name\":\"a\\nb\",", "not plain text"},
        {ACCESS_TOKEN, CREATED BY HASH ROLE "\"name\":\"a\\u007f\",", "not plain text"},
        {ACCESS_TOKEN, GOOD, "`role` must be"},
        {ACCESS_TOKEN, CREATED BY NAMED ROLE, "`secret_sha256` must be"},
        {ACCESS_TOKEN, CREATED BY NAMED ROLE "\"secret_sha256\":\"00aa\",", "64 hexadecimal"},
        {ACCESS_TOKEN, HASH NAMED ROLE BY, "`created` or `created_by`"},
        {ACCESS_TOKEN, HASH NAMED ROLE BY "\"created\":\"then\",", "`created` or `created_by`"},
        {ACCESS_TOKEN, HASH NAMED ROLE CREATED, "`created` or `created_by`"},
        {ACCESS_GRANT, CREATED BY NAMED, "`subject` is missing"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused(wrong[i].kind, wrong[i].members, wrong[i].why);
}

static void a_hash_is_64_small_hexadecimal_digits(void **state)
{
    (void)state;
    static const char zeros[] = "00000000000000000000000000000000000000000000000000000000000000";
    static const char *const ends[] = {"0A", "0g", "0\\u0000"};
    char members[512];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(members, sizeof members, CREATED BY NAMED ROLE "\"secret_sha256\":\"%s%s\",",
                 zeros, ends[i]);
        assert_refused(ACCESS_TOKEN, members, "64 hexadecimal");
    }
    snprintf(members, sizeof members, CREATED BY NAMED ROLE "\"secret_sha256\":\"%s9f\",", zeros);
    struct access_entry *entry = good_entry(ACCESS_TOKEN, "t1", members);
    assert_int_equal(entry->secret_hash[RECORD_HASH_BYTES - 1], 0x9f);
    access_entry_free(entry);
}

static void ids_and_names_are_bounded(void **state)
{
    (void)state;
    char id[ACCESS_ID_BYTES + 1], name[ACCESS_NAME_MAX_BYTES + 2], members[1024], error[256];
    memset(id, 'i', sizeof id);
    id[ACCESS_ID_BYTES] = '\0';
    assert_null(read_entry(ACCESS_TOKEN, id, GOOD ROLE, error));
    id[ACCESS_ID_BYTES - 1] = '\0';
    access_entry_free(good_entry(ACCESS_TOKEN, id, GOOD ROLE));
    memset(name, 'n', sizeof name);
    name[ACCESS_NAME_MAX_BYTES + 1] = '\0';
    snprintf(members, sizeof members, CREATED BY HASH ROLE "\"name\":\"%s\",", name);
    assert_refused(ACCESS_TOKEN, members, "too long");
    name[ACCESS_NAME_MAX_BYTES] = '\0';
    snprintf(members, sizeof members, CREATED BY HASH ROLE "\"name\":\"%s\",", name);
    access_entry_free(good_entry(ACCESS_TOKEN, "t1", members));
}

static void a_grant_shows_all_that_it_says_and_a_new_token_its_secret_once(void **state)
{
    (void)state;
    struct buf shown = BUF_INIT;
    struct access_entry *grant =
        good_entry(ACCESS_GRANT, "g1",
                   CREATED BY "\"subject\":\"t1\",\"vehicles\":[\"A-*\",\"B\"],"
                              "\"reason\":\"the \\\"festival\\\"\",");
    access_entry_show(&shown, grant, NULL);
    assert_string_equal(buf_cstr(&shown),
                        "{\"id\":\"g1\",\"subject\":\"t1\",\"vehicles\":[\"A-*\",\"B\"],"
                        "\"reason\":\"the \\\"festival\\\"\","
                        "\"created\":\"2026-01-01T00:00:00.000Z\",\"created_by\":\"x\"}");
    buf_reset(&shown);
    access_entry_write(&shown, grant);
    assert_null(strstr(buf_cstr(&shown), "secret"));
    buf_reset(&shown);
    struct access_entry *token = good_entry(ACCESS_TOKEN, "t1", GOOD ROLE);
    access_entry_show(&shown, token, "fh_t1_abc");
    assert_non_null(strstr(buf_cstr(&shown), "{\"id\":\"t1\",\"token\":\"fh_t1_abc\",\"name\""));
    buf_done(&shown);
    access_entry_free(grant);
    access_entry_free(token);
    access_entry_free(NULL);
}

/* ---- the set ---- */

static void a_set_finds_each_of_many_by_kind_and_id(void **state)
{
    (void)state;
    enum { MANY = 40 };
    struct access_set set = {NULL, 0, 0};
    char id[8];
    for (int i = 0; i < MANY; i++) { /* neither in their order nor in its reverse */
        snprintf(id, sizeof id, "i%02d", i * 7 % MANY);
        assert_true(access_set_put(&set, good_entry(ACCESS_TOKEN, id, GOOD ROLE)));
        assert_true(
            access_set_put(&set, good_entry(ACCESS_GRANT, id, CREATED BY "\"subject\":\"i01\",")));
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof id, "i%02d", i);
        assert_string_equal(access_set_find(&set, ACCESS_TOKEN, id)->id, id);
        assert_int_equal(access_set_find(&set, ACCESS_GRANT, id)->kind, ACCESS_GRANT);
    }
    assert_null(access_set_find(&set, ACCESS_TOKEN, "i99"));
    assert_null(access_set_find(&set, ACCESS_GRANT, "i99"));
    assert_int_equal(access_set_grants_to(&set, "i01"), MANY);
    access_set_remove(&set, ACCESS_GRANT, "i99");
    assert_int_equal(set.count, 2 * MANY);
    access_set_remove(&set, ACCESS_GRANT, "i07");
    assert_null(access_set_find(&set, ACCESS_GRANT, "i07"));
    assert_non_null(access_set_find(&set, ACCESS_TOKEN, "i07"));
    access_set_done(&set);
}

static void what_is_put_again_takes_the_others_place(void **state)
{
    (void)state;
    struct access_set set = {NULL, 0, 0};
    assert_true(access_set_put(&set, good_entry(ACCESS_TOKEN, "t1", GOOD ROLE)));
    assert_true(access_set_put(&set, good_entry(ACCESS_TOKEN, "t1", GOOD "\"role\":\"admin\",")));
    assert_int_equal(set.count, 1);
    assert_int_equal(access_set_find(&set, ACCESS_TOKEN, "t1")->rights.role, ROLE_ADMIN);
    access_set_done(&set);
}

/* How many are made is bounded elsewhere: one too many that is there all the same is in force, and
 * so is what comes behind it. */
static void a_set_takes_whatever_is_there(void **state)
{
    (void)state;
    struct access_set set = {NULL, 0, 0};
    char id[16];
    for (int i = 0; i < ACCESS_ENTRIES_MAX; i++) {
        struct access_entry *entry = calloc(1, sizeof *entry);
        snprintf(id, sizeof id, "%08d", i);
        strcpy(entry->id, id);
        assert_true(access_set_put(&set, entry));
    }
    assert_true(access_set_put(&set, good_entry(ACCESS_TOKEN, "t1", GOOD ROLE)));
    assert_int_equal(set.count, ACCESS_ENTRIES_MAX + 1);
    access_set_remove(&set, ACCESS_TOKEN, "00000007");
    assert_null(access_set_find(&set, ACCESS_TOKEN, "00000007"));
    access_set_done(&set);
}

/* ---- principals ---- */

static struct principal *principal_of(const char *grant)
{
    struct access_set set = {NULL, 0, 0};
    char members[512];
    bool known;
    assert_true(access_set_put(&set, good_entry(ACCESS_TOKEN, "t1", GOOD ROLE)));
    if (*grant) {
        snprintf(members, sizeof members, CREATED BY "\"subject\":\"t1\",%s", grant);
        assert_true(access_set_put(&set, good_entry(ACCESS_GRANT, "g1", members)));
    }
    struct principal *principal = access_set_token(&set, "t1", NOW_NS, &known);
    assert_non_null(principal);
    access_set_done(&set); /* the principal outlives what it was made of */
    return principal;
}

static void principals_differ_by_each_thing_that_they_may_do(void **state)
{
    (void)state;
    static const char *const grants[] = {
        "",
        "\"vehicles\":[\"A\"],",
        "\"vehicles\":[\"B\"],",
        "\"vehicles\":[\"A\",\"B\"],",
        "\"vehicles\":[],",
        "\"allow\":[\"state.>\"],",
        "\"allow\":[\"evt.>\"],",
        "\"role\":\"admin\",",
        "\"role\":\"auditor\",",
        "\"deny\":[\"state.position\"],",
        "\"deny\":[\"state.battery\"],",
    };
    size_t count = sizeof grants / sizeof *grants;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            struct principal *a = principal_of(grants[i]), *b = principal_of(grants[j]);
            if (principal_same(a, b) != (i == j))
                fail_msg("%s and %s", grants[i], grants[j]);
            principal_unref(a);
            principal_unref(b);
        }
    principal_unref(NULL);
}

static void principals_of_different_names_differ(void **state)
{
    (void)state;
    struct access_set set = {NULL, 0, 0};
    bool known;
    assert_true(access_set_put(&set, good_entry(ACCESS_TOKEN, "t1", GOOD ROLE)));
    assert_true(access_set_put(&set, good_entry(ACCESS_TOKEN, "t2", GOOD ROLE)));
    struct principal *one = access_set_token(&set, "t1", NOW_NS, &known);
    struct principal *two = access_set_token(&set, "t2", NOW_NS, &known);
    assert_false(principal_same(one, two));
    principal_unref(one);
    principal_unref(two);
    access_set_done(&set);
}

static void a_token_s_own_end_counts_where_it_comes_before_its_grants(void **state)
{
    (void)state;
    struct access_set set = {NULL, 0, 0};
    struct jwt_claims claims = {.role = ROLE_VIEWER, .expires_ns = NOW_NS + 5 * NS_PER_S};
    bool known;
    strcpy(claims.principal, "i#a");
    assert_true(access_set_put(
        &set, good_entry(ACCESS_TOKEN, "t1", GOOD ROLE "\"expires\":\"2027-01-15T08:00:05Z\",")));
    static const struct {
        const char *expires;
        int64_t next_s;
    } cases[] = {{"2027-01-15T08:00:09Z", 5}, {"2027-01-15T08:00:03Z", 3}};
    for (size_t i = 0; i < 2; i++) {
        char members[256];
        for (int jwt = 0; jwt < 2; jwt++) {
            snprintf(members, sizeof members, CREATED BY "\"subject\":\"%s\",\"expires\":\"%s\",",
                     jwt ? "i#a" : "t1", cases[i].expires);
            assert_true(access_set_put(&set, good_entry(ACCESS_GRANT, jwt ? "g2" : "g1", members)));
        }
        struct principal *token = access_set_token(&set, "t1", NOW_NS, &known);
        struct principal *jwt = access_set_jwt(&set, &claims, NOW_NS);
        assert_int_equal(token->next_ns, NOW_NS + cases[i].next_s * NS_PER_S);
        assert_int_equal(jwt->next_ns, NOW_NS + cases[i].next_s * NS_PER_S);
        principal_unref(token);
        principal_unref(jwt);
    }
    access_set_done(&set);
}

/* ---- bounding others ---- */

static void nobody_bounds_whom_he_does_not_cover(void **state)
{
    (void)state;
    static const char *const own[] = {"A-*"}, *const denied[] = {"state.position", "meta.>"};
    struct viewer_scope scope = {{true, own, 1}, {false, NULL, 0}};
    struct viewer bounded = {"p", &scope, 1, {false, NULL, 0}};
    struct viewer careful = {"p", &scope, 1, {true, denied, 2}};
    static const struct {
        const char *grant;
        bool bounded, careful; /* whether each covers whoever has it, and that alone */
    } cases[] = {
        {"\"vehicles\":[\"A-1\"],", true, false},
        {"\"vehicles\":[\"A-1\"],\"deny\":[\"meta.>\",\"state.*\"],", true, true},
        {"\"vehicles\":[\"A-1\"],\"deny\":[\"meta.>\"],", true, false},
        {"\"vehicles\":[\"A-1\",\"B\"],\"deny\":[\">\"],", false, false},
        {"\"deny\":[\">\"],", false, false},
        {"\"vehicles\":[],\"allow\":[],", true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct access_set set = {NULL, 0, 0};
        struct jwt_claims claims = {.role = ROLE_ADMIN, .expires_ns = NOW_NS + NS_PER_S};
        char members[512];
        strcpy(claims.principal, "i#a");
        snprintf(members, sizeof members, CREATED BY "\"subject\":\"i#a\",%s", cases[i].grant);
        assert_true(access_set_put(&set, good_entry(ACCESS_GRANT, "g1", members)));
        struct principal *subject = access_set_jwt(&set, &claims, NOW_NS);
        assert_int_equal(principal_within(subject, &bounded), cases[i].bounded);
        assert_int_equal(principal_within(subject, &careful), cases[i].careful);
        principal_unref(subject);
        access_set_done(&set);
    }
}

static void a_denial_spans_scopes_also_where_it_is_asked_who_covers_them(void **state)
{
    (void)state;
    static const char *const denied[] = {"state.position"};
    struct viewer_scope all = {{false, NULL, 0}, {false, NULL, 0}};
    struct viewer careful = {"p", &all, 1, {true, denied, 1}};
    struct principal *one = principal_of("\"vehicles\":[\"A\"],\"deny\":[\"state.position\"],");
    struct principal *other = principal_of("\"vehicles\":[\"A\"],");
    assert_true(principal_within(one, &careful)); /* of its two scopes one alone says so */
    assert_false(principal_within(other, &careful));
    principal_unref(one);
    principal_unref(other);
}

static void who_is_bounded_denies_no_more_than_he_is_denied(void **state)
{
    (void)state;
    static const char *const denied[] = {"state.*", "meta.secret"};
    struct viewer_scope all = {{false, NULL, 0}, {false, NULL, 0}};
    struct viewer careful = {"p", &all, 1, {true, denied, 2}}, other = {"p", &all, 1, {0}};
    static const struct {
        const char *deny;
        bool careful, other;
    } cases[] = {{"", true, true},
                 {"\"deny\":[],", true, true},
                 {"\"deny\":[\"state.position\",\"meta.secret\"],", true, false},
                 {"\"deny\":[\"state.*\",\"meta.site\"],", false, false},
                 {"\"deny\":[\"state.>\"],", false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char members[256];
        snprintf(members, sizeof members, CREATED BY "\"subject\":\"t1\",%s", cases[i].deny);
        struct access_entry *grant = good_entry(ACCESS_GRANT, "g1", members);
        assert_int_equal(rights_deny_no_more(&grant->rights, &careful), cases[i].careful);
        assert_int_equal(rights_deny_no_more(&grant->rights, &other), cases[i].other);
        access_entry_free(grant);
    }
}

/* ---- no memory ---- */

struct without_memory {
    struct access_set set;
    struct doc_ref value;
};

static bool read_without_memory(void *context)
{
    const struct without_memory *w = context;
    char error[256] = "";
    struct access_entry *entry = access_entry_read(ACCESS_TOKEN, "t1", w->value, error);
    if (!entry)
        assert_string_equal(error, RIGHTS_NO_MEMORY);
    bool whole = entry && entry->rights.vehicles.count == 1 && entry->reason;
    access_entry_free(entry);
    return whole;
}

static void an_entry_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    static const char text[] = "{" GOOD ROLE "\"vehicles\":[\"A\"],\"allow\":[\"state.>\"],"
                               "\"deny\":[\"state.position\"],\"reason\":\"r\"}";
    struct without_memory w = {.set = {NULL, 0, 0}};
    struct doc_parser *parser = doc_parser_new();
    assert_int_equal(
        doc_parse(parser, text, sizeof text - 1, (struct doc_limits){4096, 8}, &w.value), DOC_OK);
    assert_true(fault_loop(read_without_memory, &w) >= 6);
    doc_parser_free(parser);
}

static bool make_principal_without_memory(void *context)
{
    struct without_memory *w = context;
    struct jwt_claims claims = {.role = ROLE_VIEWER, .expires_ns = NOW_NS + NS_PER_S};
    bool known = false;
    strcpy(claims.principal, "t1");
    struct principal *token = access_set_token(&w->set, "t1", NOW_NS, &known);
    assert_true(known); /* it is there, whether there is memory or not */
    struct principal *jwt = token ? access_set_jwt(&w->set, &claims, NOW_NS) : NULL;
    bool made = token && jwt;
    if (token) /* whoever is made is denied what he is to be denied */
        assert_false(viewer_sees_part(&token->viewers[CAN_READ], "A", "state", "position", 8));
    if (jwt)
        assert_false(viewer_sees_part(&jwt->viewers[CAN_READ], "A", "state", "position", 8));
    principal_unref(token);
    principal_unref(jwt);
    return made;
}

static void no_memory_gives_nobody_more_than_he_has(void **state)
{
    (void)state;
    struct without_memory w = {.set = {NULL, 0, 0}};
    assert_true(
        access_set_put(&w.set, good_entry(ACCESS_TOKEN, "t1", GOOD ROLE "\"vehicles\":[\"A\"],")));
    assert_true(access_set_put(
        &w.set, good_entry(ACCESS_GRANT, "g1",
                           CREATED BY "\"subject\":\"t1\",\"vehicles\":[\"A\"],"
                                      "\"allow\":[\"state.>\"],\"deny\":[\"state.position\"],")));
    assert_true(fault_loop(make_principal_without_memory, &w) >= 10);
    access_set_done(&w.set);
}

static void a_set_without_memory_stays_as_it_is(void **state)
{
    (void)state;
    struct access_set set = {NULL, 0, 0};
    struct access_entry *entry = good_entry(ACCESS_TOKEN, "t1", GOOD ROLE);
    fault_arm(1, FAULT_ONCE);
    assert_false(access_set_put(&set, entry));
    assert_true(fault_disarm());
    assert_int_equal(set.count, 0);
    assert_true(access_set_put(&set, entry)); /* the entry was the caller's all the time */
    assert_int_equal(set.count, 1);
    access_set_done(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rights_that_are_wrong_are_refused_by_name),
        cmocka_unit_test(lists_and_patterns_are_bounded),
        cmocka_unit_test(a_list_that_is_null_is_as_if_it_were_not_there),
        cmocka_unit_test(entries_that_are_wrong_are_refused_by_name),
        cmocka_unit_test(a_hash_is_64_small_hexadecimal_digits),
        cmocka_unit_test(ids_and_names_are_bounded),
        cmocka_unit_test(a_grant_shows_all_that_it_says_and_a_new_token_its_secret_once),
        cmocka_unit_test(a_set_finds_each_of_many_by_kind_and_id),
        cmocka_unit_test(what_is_put_again_takes_the_others_place),
        cmocka_unit_test(a_set_takes_whatever_is_there),
        cmocka_unit_test(principals_differ_by_each_thing_that_they_may_do),
        cmocka_unit_test(principals_of_different_names_differ),
        cmocka_unit_test(a_token_s_own_end_counts_where_it_comes_before_its_grants),
        cmocka_unit_test(nobody_bounds_whom_he_does_not_cover),
        cmocka_unit_test(a_denial_spans_scopes_also_where_it_is_asked_who_covers_them),
        cmocka_unit_test(who_is_bounded_denies_no_more_than_he_is_denied),
        cmocka_unit_test(an_entry_is_read_whole_or_not_at_all),
        cmocka_unit_test(no_memory_gives_nobody_more_than_he_has),
        cmocka_unit_test(a_set_without_memory_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
