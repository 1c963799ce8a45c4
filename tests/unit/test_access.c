/* Rights, and what tokens, grants and JWTs amount to together. */
#include "hub/access_set.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MADE "\"created\":\"2026-01-01T00:00:00Z\",\"created_by\":\"x\""
#define HASH                                                                                       \
    "\"secret_sha256\":\"00000000000000000000000000000000000000000000000000000000000000aa\""
#define NOW_NS (INT64_C(1800000000) * NS_PER_S) /* 2027-01-15T08:00:00Z */

static struct access_entry *entry(enum access_kind kind, const char *id, const char *members)
{
    char text[1024], error[256];
    struct doc_ref value;
    struct doc_parser *parser = doc_parser_new();
    snprintf(text, sizeof text, "{" MADE "%s,%s}", kind == ACCESS_TOKEN ? "," HASH : "", members);
    assert_int_equal(doc_parse(parser, text, strlen(text), (struct doc_limits){4096, 8}, &value),
                     DOC_OK);
    struct access_entry *made = access_entry_read(kind, id, value, error);
    if (!made)
        print_message("%s: %s\n", text, error);
    doc_parser_free(parser);
    return made;
}

static void put(struct access_set *set, enum access_kind kind, const char *id, const char *members)
{
    struct access_entry *made = entry(kind, id, members);
    assert_non_null(made);
    assert_true(access_set_put(set, made));
}

static struct jwt_claims ann(enum role role)
{
    struct jwt_claims claims = {.role = role, .expires_ns = NOW_NS + NS_PER_S};
    strcpy(claims.principal, "https://id#ann");
    return claims;
}

static bool sees(const struct principal *principal, enum capability capability, const char *vid,
                 const char *part, const char *rest)
{
    const struct viewer *viewer = &principal->viewers[capability];
    return viewer_sees_vehicle(viewer, vid) &&
           viewer_sees_part(viewer, vid, part, rest, rest ? strlen(rest) : 0);
}

/* ---- patterns ---- */

static void patterns_of_vehicles_and_parts_are_judged(void **state)
{
    (void)state;
    static const char *const vehicles[] = {"A", "A-1", "CUST-*", "*", "a_b-c*"};
    char longest[TOKEN_MAX_BYTES + 2];
    memset(longest, 'A', sizeof longest);
    longest[TOKEN_MAX_BYTES + 1] = '\0';
    assert_false(vehicle_pattern_valid(longest));
    longest[TOKEN_MAX_BYTES] = '*';
    assert_true(vehicle_pattern_valid(longest));
    static const char *const no_vehicles[] = {"", "a*b", "**", "a.b", "a/b", "*a", "a >"};
    static const char *const parts[] = {"state.*", "evt.>", ">", "*", "*.position", "delta"};
    static const char *const no_parts[] = {"", ".", "a.", ".a", "a..b", ">.a", "a>", "a*", "a.b>"};
    for (size_t i = 0; i < sizeof vehicles / sizeof *vehicles; i++)
        assert_true(vehicle_pattern_valid(vehicles[i]));
    for (size_t i = 0; i < sizeof no_vehicles / sizeof *no_vehicles; i++)
        assert_false(vehicle_pattern_valid(no_vehicles[i]));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_true(part_pattern_valid(parts[i]));
    for (size_t i = 0; i < sizeof no_parts / sizeof *no_parts; i++)
        assert_false(part_pattern_valid(no_parts[i]));
}

/* Whatever the inner one matches of these, the outer one matches. */
static void a_pattern_within_another_matches_nothing_more(void **state)
{
    (void)state;
    static const char *const patterns[] = {">",   "*",   "a",   "a.*",   "a.>",   "*.b",
                                           "a.b", "*.*", "*.>", "a.b.c", "a.*.c", "a.b.>"};
    static const char *const subjects[] = {"a",     "b",     "a.b",   "a.c",   "b.b",
                                           "a.b.c", "a.c.c", "b.b.c", "a.b.d", "a.b.c.d"};
    size_t count = sizeof patterns / sizeof *patterns, within = 0, without = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            bool all = true;
            for (size_t k = 0; k < sizeof subjects / sizeof *subjects; k++) {
                size_t size = strlen(subjects[k]);
                all = all && (!subject_pattern_matches(patterns[i], subjects[k], size) ||
                              subject_pattern_matches(patterns[j], subjects[k], size));
            }
            bool says = part_pattern_within(patterns[i], patterns[j]);
            if (says && !all)
                fail_msg("%s is not within %s", patterns[i], patterns[j]);
            if (!says && all && strcmp(patterns[i], patterns[j]) == 0)
                fail_msg("%s is within itself", patterns[i]);
            within += says;
            without += !says;
        }
    assert_true(within > count && without > count);
    assert_true(vehicle_pattern_within("CUST-1", "CUST-*"));
    assert_true(vehicle_pattern_within("CUST-1*", "CUST-*"));
    assert_true(vehicle_pattern_within("*", "*"));
    assert_false(vehicle_pattern_within("*", "CUST-*"));
    assert_false(vehicle_pattern_within("CUST*", "CUST-*"));
    assert_false(vehicle_pattern_within("CUST-1*", "CUST-1"));
    assert_false(vehicle_pattern_within("CUST-1", "")); /* which is no pattern */
}

/* ---- principals ---- */

static void a_token_is_one_scope(void **state)
{
    (void)state;
    struct access_set set = {NULL, 0, 0};
    bool known;
    put(&set, ACCESS_TOKEN, "t1",
        "\"name\":\"desk\",\"role\":\"operator\",\"vehicles\":[\"CUST-*\"],"
        "\"allow\":[\"state.*\"],\"deny\":[\"state.position\"]");
    struct principal *desk = access_set_token(&set, "t1", NOW_NS, &known);
    assert_true(known);
    assert_string_equal(desk->name, "t1");
    assert_true(principal_can(desk, CAN_READ) && principal_can(desk, CAN_OPERATE));
    assert_false(principal_can(desk, CAN_AUDIT) || principal_can(desk, CAN_ADMINISTER));
    assert_true(sees(desk, CAN_READ, "CUST-1", "state", "battery"));
    assert_false(sees(desk, CAN_READ, "CUST-1", "state", "position"));
    assert_false(sees(desk, CAN_READ, "CUST-1", "meta", NULL));
    assert_false(sees(desk, CAN_READ, "OTHER", "state", "battery"));
    assert_false(sees(desk, CAN_ADMINISTER, "CUST-1", "state", "battery"));
    principal_unref(desk);
    assert_null(access_set_token(&set, "t2", NOW_NS, &known));
    assert_false(known);
    access_set_done(&set);
}

static void something_is_allowed_if_one_scope_covers_all_of_it(void **state)
{
    (void)state;
    struct access_set set = {NULL, 0, 0};
    bool known;
    put(&set, ACCESS_TOKEN, "t1", "\"name\":\"n\",\"role\":\"viewer\",\"vehicles\":[\"A-*\"]");
    put(&set, ACCESS_GRANT, "g1",
        "\"subject\":\"t1\",\"role\":\"operator\",\"vehicles\":[\"B-*\"],\"allow\":[\"cmd.>\"]");
    put(&set, ACCESS_GRANT, "g2", "\"subject\":\"t9\",\"role\":\"admin\"");
    struct principal *one = access_set_token(&set, "t1", NOW_NS, &known);
    assert_true(sees(one, CAN_READ, "A-1", "state", "position"));
    assert_false(sees(one, CAN_OPERATE, "A-1", "cmd", "rtl")); /* no scope has both */
    assert_true(sees(one, CAN_OPERATE, "B-1", "cmd", "rtl"));
    assert_false(sees(one, CAN_READ, "B-1", "state", "position"));
    assert_false(principal_can(one, CAN_ADMINISTER));
    principal_unref(one);
    access_set_done(&set);
}

static void a_denial_spans_all_scopes_and_ends_with_its_grant(void **state)
{
    (void)state;
    struct access_set set = {NULL, 0, 0};
    bool known;
    put(&set, ACCESS_TOKEN, "t1", "\"name\":\"n\",\"role\":\"viewer\"");
    put(&set, ACCESS_GRANT, "g1",
        "\"subject\":\"t1\",\"vehicles\":[\"B-*\"],\"deny\":[\"state.position\"],"
        "\"expires\":\"2027-01-15T08:00:01Z\"");
    struct principal *before = access_set_token(&set, "t1", NOW_NS, &known);
    struct principal *after = access_set_token(&set, "t1", NOW_NS + NS_PER_S, &known);
    assert_false(sees(before, CAN_READ, "A-1", "state", "position"));
    assert_true(sees(before, CAN_READ, "A-1", "state", "battery"));
    assert_true(sees(after, CAN_READ, "A-1", "state", "position"));
    assert_false(principal_same(before, after));
    assert_int_equal(before->next_ns, NOW_NS + NS_PER_S);
    assert_int_equal(after->next_ns, RIGHTS_FOREVER);
    principal_unref(before);
    principal_unref(after);
    access_set_done(&set);
}

static void a_token_that_has_expired_is_none(void **state)
{
    (void)state;
    struct access_set set = {NULL, 0, 0};
    bool known;
    put(&set, ACCESS_TOKEN, "t1",
        "\"name\":\"n\",\"role\":\"viewer\",\"expires\":\"2027-01-15T08:00:00Z\"");
    assert_null(access_set_token(&set, "t1", NOW_NS, &known));
    assert_false(known);
    struct principal *before = access_set_token(&set, "t1", NOW_NS - 1, &known);
    assert_true(known);
    assert_int_equal(before->expires_ns, NOW_NS);
    principal_unref(before);
    access_set_done(&set);
}

static void an_empty_list_allows_nothing(void **state)
{
    (void)state;
    struct access_set set = {NULL, 0, 0};
    bool known;
    put(&set, ACCESS_TOKEN, "t1", "\"name\":\"n\",\"role\":\"admin\",\"vehicles\":[]");
    put(&set, ACCESS_TOKEN, "t2", "\"name\":\"n\",\"role\":\"admin\",\"allow\":[]");
    struct principal *one = access_set_token(&set, "t1", NOW_NS, &known);
    struct principal *two = access_set_token(&set, "t2", NOW_NS, &known);
    assert_false(viewer_sees_vehicle(&one->viewers[CAN_READ], "A"));
    assert_true(viewer_sees_vehicle(&two->viewers[CAN_READ], "A"));
    assert_false(sees(two, CAN_READ, "A", "presence", NULL));
    principal_unref(one);
    principal_unref(two);
    access_set_done(&set);
}

static void a_jwt_has_its_role_alone_and_grants_bound_it(void **state)
{
    (void)state;
    struct access_set set = {NULL, 0, 0};
    struct jwt_claims operator_claims = ann(ROLE_OPERATOR), no_claims = ann(ROLE_NONE);
    struct principal *free_one = access_set_jwt(&set, &operator_claims, NOW_NS);
    assert_true(sees(free_one, CAN_OPERATE, "A", "cmd", "rtl"));
    principal_unref(free_one);
    struct principal *nobody = access_set_jwt(&set, &no_claims, NOW_NS);
    assert_false(principal_can(nobody, CAN_READ));
    principal_unref(nobody);

    put(&set, ACCESS_GRANT, "g1",
        "\"subject\":\"https://id#ann\",\"vehicles\":[\"B-*\"],"
        "\"expires\":\"2027-01-15T08:00:01Z\"");
    struct principal *bounded = access_set_jwt(&set, &operator_claims, NOW_NS);
    assert_true(sees(bounded, CAN_OPERATE, "B-1", "cmd", "rtl"));
    assert_false(sees(bounded, CAN_OPERATE, "A", "cmd", "rtl"));
    principal_unref(bounded);
    struct principal *later = access_set_jwt(&set, &operator_claims, NOW_NS + NS_PER_S);
    assert_false(principal_can(later, CAN_READ)); /* not: everything */
    principal_unref(later);
    access_set_remove(&set, ACCESS_GRANT, "g1");
    assert_int_equal(access_set_grants_to(&set, "https://id#ann"), 0);
    access_set_done(&set);
}

/* ---- giving away ---- */

static bool may_give(const struct principal *giver, const char *members)
{
    struct access_entry *made = entry(ACCESS_GRANT, "g", members);
    assert_non_null(made);
    bool within = rights_within(&made->rights, &giver->viewers[CAN_ADMINISTER]);
    access_entry_free(made);
    return within;
}

static void nobody_gives_more_than_he_has(void **state)
{
    (void)state;
#define TO "\"subject\":\"s\","
    struct access_set set = {NULL, 0, 0};
    bool known;
    put(&set, ACCESS_TOKEN, "t1",
        "\"name\":\"n\",\"role\":\"admin\",\"vehicles\":[\"A-*\",\"B-1\"],"
        "\"allow\":[\"state.*\",\"cmd.>\"],\"deny\":[\"state.position\"]");
    put(&set, ACCESS_TOKEN, "t2", "\"name\":\"n\",\"role\":\"operator\"");
    struct principal *giver = access_set_token(&set, "t1", NOW_NS, &known);
    struct principal *operator_one = access_set_token(&set, "t2", NOW_NS, &known);
    assert_true(may_give(giver, TO "\"vehicles\":[\"A-7\",\"B-1\"],\"allow\":[\"state.battery\"],"
                                   "\"deny\":[\"state.position\"]"));
    assert_true(may_give(giver, TO "\"vehicles\":[],\"allow\":[],\"deny\":[\">\"]"));
    assert_true(
        may_give(giver, TO "\"vehicles\":[],\"allow\":[],\"deny\":[\"state.*\",\"cmd.arm\"]"));
    assert_false(may_give(giver, TO "\"vehicles\":[\"A-7\"],\"allow\":[\"state.battery\"]"));
    assert_false(may_give(giver, TO "\"allow\":[\"state.*\"],\"deny\":[\"state.position\"]"));
    assert_false(may_give(giver, TO "\"vehicles\":[\"B-*\"],\"allow\":[\"state.*\"],"
                                    "\"deny\":[\"state.position\"]"));
    assert_false(may_give(giver, TO "\"vehicles\":[\"A-7\"],\"allow\":[\"state.>\"],"
                                    "\"deny\":[\"state.position\"]"));
    assert_false(may_give(operator_one, TO "\"vehicles\":[\"A-7\"]"));
    principal_unref(giver);
    principal_unref(operator_one);
    access_set_done(&set);
#undef TO
}

static void what_is_stored_is_read_again_and_what_is_shown_has_no_hash(void **state)
{
    (void)state;
    struct buf stored = BUF_INIT, again = BUF_INIT, shown = BUF_INIT;
    struct access_entry *made =
        entry(ACCESS_TOKEN, "t1",
              "\"name\":\"d \\\"q\\\"\",\"role\":\"auditor\",\"vehicles\":[],\"deny\":[\"a.>\"],"
              "\"expires\":\"2027-01-15T08:00:00Z\"");
    struct doc_parser *parser = doc_parser_new();
    struct doc_ref value;
    char error[256];
    access_entry_write(&stored, made);
    assert_int_equal(
        doc_parse(parser, stored.data, stored.size_bytes, (struct doc_limits){4096, 8}, &value),
        DOC_OK);
    struct access_entry *read = access_entry_read(ACCESS_TOKEN, "t1", value, error);
    assert_non_null(read);
    access_entry_write(&again, read);
    assert_string_equal(buf_cstr(&stored), buf_cstr(&again));
    access_entry_show(&shown, read, NULL);
    assert_null(strstr(buf_cstr(&shown), "sha256"));
    assert_non_null(strstr(buf_cstr(&stored), "0000aa"));
    access_entry_free(made);
    access_entry_free(read);
    doc_parser_free(parser);
    buf_done(&stored);
    buf_done(&again);
    buf_done(&shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_of_vehicles_and_parts_are_judged),
        cmocka_unit_test(a_pattern_within_another_matches_nothing_more),
        cmocka_unit_test(a_token_is_one_scope),
        cmocka_unit_test(something_is_allowed_if_one_scope_covers_all_of_it),
        cmocka_unit_test(a_denial_spans_all_scopes_and_ends_with_its_grant),
        cmocka_unit_test(a_token_that_has_expired_is_none),
        cmocka_unit_test(an_empty_list_allows_nothing),
        cmocka_unit_test(a_jwt_has_its_role_alone_and_grants_bound_it),
        cmocka_unit_test(nobody_gives_more_than_he_has),
        cmocka_unit_test(what_is_stored_is_read_again_and_what_is_shown_has_no_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
