/* groups_seal: what was judged by one definition of a group is not told by another. */
#include "hub/api_query.h"
#include "hub/groups_impl.h"
#include "hub/groups_seal.h"
#include "hub/query.h"
#include "hub/record_judge.h"

#include "tests/unit/fault.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { DEFINED_MAX = 4 };

/* The set as the groups' thread would make it; `text` NULL: the group is deleted. */
static void define(struct groups *groups, const char *name, const char *text, uint64_t revision)
{
    struct groups_set *old = atomic_load(&groups->set);
    struct groups_set *set = calloc(1, sizeof *set + DEFINED_MAX * sizeof *set->groups);
    struct group *fresh = NULL;
    struct text_error error;
    assert_non_null(set);
    if (text) {
        struct doc *doc = doc_of(text);
        assert_non_null(doc);
        fresh = group_new(name, doc_root(doc), &groups->inner, &error);
        free(doc);
        assert_non_null(fresh);
        fresh->revision = revision;
    }
    for (size_t i = 0; i < old->count; i++) {
        const struct group *group = old->groups[i];
        int order = strcmp(group->name, name);
        if (order > 0 && fresh) {
            set->groups[set->count++] = fresh;
            fresh = NULL;
        }
        if (order != 0)
            set->groups[set->count++] = group;
        else
            group_free((struct group *)(uintptr_t)group);
    }
    if (fresh)
        set->groups[set->count++] = fresh;
    assert_in_range(set->count, 0, DEFINED_MAX);
    atomic_fetch_add(&groups->version, 1);
    atomic_store(&groups->set, set);
    atomic_fetch_add(&groups->version, 1);
    free(old);
}

static struct groups *some_groups(void)
{
    struct groups *groups = groups_new(NULL, NULL, NULL);
    assert_non_null(groups);
    define(groups, "inner", "{\"vids\":[\"A\"]}", 1);
    define(groups, "outer", "{\"filter\":\"group(\\\"inner\\\")\"}", 2);
    define(groups, "other", "{\"vids\":[]}", 3);
    return groups;
}

static struct filter *filter_of(struct groups *groups, const char *text)
{
    struct text_error error;
    struct filter *filter =
        filter_compile(PATH_OF_TWIN, text, strlen(text), groups_for_filters(groups), &error);
    assert_non_null(filter);
    return filter;
}

static void it_holds_while_the_definitions_stand(void **state)
{
    (void)state;
    struct groups *groups = some_groups();
    struct filter *filter = filter_of(groups, "group(\"outer\")");
    struct groups_seal seal;
    assert_true(groups_seal(&seal, groups, filter, false));
    assert_true(groups_seal_holds(&seal));
    define(groups, "other", "{\"vids\":[\"A\"]}", 4);
    define(groups, "further", "{\"vids\":[\"A\"]}", 5);
    assert_true(groups_seal_holds(&seal));
    filter_free(filter);
    groups_free(groups);
}

static void another_definition_breaks_it(void **state)
{
    static const struct {
        const char *name, *text;
    } changes[] = {{"outer", "{\"filter\":\"state.position.lat > 0\"}"},
                   {"outer", "{\"filter\":\"group(\\\"inner\\\")\"}"}, /* the same, written again */
                   {"outer", NULL},
                   {"inner", "{\"filter\":\"state.position.lat > 0\"}"},
                   {"inner", NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct groups *groups = some_groups();
        struct filter *filter = filter_of(groups, "vid = \"A\" OR group(\"outer\")");
        struct groups_seal seal;
        assert_true(groups_seal(&seal, groups, filter, false));
        define(groups, changes[i].name, changes[i].text, 7);
        assert_false(groups_seal_holds(&seal));
        define(groups, "other", NULL, 0);
        assert_false(groups_seal_holds(&seal));
        filter_free(filter);
        groups_free(groups);
    }
}

/* The number has grown once: whether the new set is there is not known, so the set is looked at. */
static void a_change_that_is_under_way_is_looked_at(void **state)
{
    (void)state;
    struct groups *groups = some_groups();
    struct filter *filter = filter_of(groups, "group(\"inner\")");
    struct groups_seal seal;
    atomic_fetch_add(&groups->version, 1);
    assert_true(groups_seal(&seal, groups, filter, false));
    assert_true(groups_seal_holds(&seal));
    atomic_fetch_sub(&groups->version, 1);
    define(groups, "inner", NULL, 0);
    atomic_fetch_sub(&groups->version, 1); /* as it was when it was sealed */
    assert_false(groups_seal_holds(&seal));
    filter_free(filter);
    groups_free(groups);
}

static void nothing_is_sealed_for_who_sees_everything(void **state)
{
    (void)state;
    struct groups *groups = some_groups();
    struct filter *named = filter_of(groups, "group(\"inner\")"),
                  *plain = filter_of(groups, "vid:*");
    struct groups_seal seals[4];
    assert_true(groups_seal(&seals[0], groups, named, true));
    assert_true(groups_seal(&seals[1], groups, plain, false));
    assert_true(groups_seal(&seals[2], groups, NULL, false));
    assert_true(groups_seal(&seals[3], NULL, plain, false));
    define(groups, "inner", NULL, 0);
    for (size_t i = 0; i < 4; i++)
        assert_true(groups_seal_holds(&seals[i]));
    filter_free(named);
    filter_free(plain);
    groups_free(groups);
}

static void without_memory_it_does_not_hold(void **state)
{
    (void)state;
    struct groups *groups = some_groups();
    struct filter *filter = filter_of(groups, "group(\"inner\")");
    struct groups_seal seal;
    fault_arm(1, FAULT_FROM_THEN);
    bool sealed = groups_seal(&seal, groups, filter, false);
    fault_disarm();
    assert_false(sealed);
    assert_true(groups_seal(&seal, groups, filter, false));
    define(groups, "other", NULL, 0);
    fault_arm(1, FAULT_FROM_THEN);
    bool holds = groups_seal_holds(&seal);
    fault_disarm();
    assert_false(holds);
    filter_free(filter);
    groups_free(groups);
}

/* ---- who asks by it ---- */

static const char *const denied[] = {"state.position"};
static const struct viewer_scope scope = {.vehicles = {false, NULL, 0}};
static const struct viewer careful = {
    .principal = "p", .scopes = &scope, .scope_count = 1, .deny = {true, denied, 1}};

static void a_query_is_not_answered_by_another_definition(void **state)
{
    (void)state;
    struct groups *groups = some_groups();
    struct query_options options = {.viewer = &careful,
                                    .region = "r",
                                    .filter = "group(\"inner\")",
                                    .groups = groups_for_filters(groups)};
    struct text_error error;
    struct query_denial denial;
    struct query query;
    assert_int_equal(query_init(&query, &options, &error), QUERY_OK);
    assert_true(query_judge_groups(&query, groups));
    assert_int_equal(query_scan(&query, NULL, 0, 0, NULL, NULL, &denial), QUERY_OK);
    define(groups, "inner", "{\"filter\":\"state.position.lat > 0\"}", 9);
    assert_int_equal(query_scan(&query, NULL, 0, 0, NULL, NULL, &denial), QUERY_CHANGED);
    query_done(&query);
    groups_free(groups);
}

static void a_record_is_not_told_by_another_definition(void **state)
{
    static const char text[] = "kind = \"event\" OR group(\"inner\")";
    (void)state;
    struct groups *groups = some_groups();
    struct record record = {.kind = RECORD_EVENT, .data = {"{}", 2}};
    struct record_question question;
    struct record_judge judge;
    struct text_error error;
    struct filter *filter =
        filter_compile(PATH_OF_RECORD, text, strlen(text), groups_for_filters(groups), &error);
    assert_non_null(filter);
    record_question_init(&question, &careful);
    question.filter = filter;
    assert_true(groups_seal(&question.seal, groups, filter, false));
    assert_true(record_judge_init(&judge, &question));
    assert_int_equal(record_judge_ask(&judge, &record), RECORD_YES);
    define(groups, "inner", "{\"filter\":\"state.position.lat > 0\"}", 9);
    assert_int_equal(record_judge_ask(&judge, &record), RECORD_CHANGED);
    record_judge_done(&judge);
    filter_free(filter);
    groups_free(groups);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_while_the_definitions_stand),
        cmocka_unit_test(another_definition_breaks_it),
        cmocka_unit_test(a_change_that_is_under_way_is_looked_at),
        cmocka_unit_test(nothing_is_sealed_for_who_sees_everything),
        cmocka_unit_test(without_memory_it_does_not_hold),
        cmocka_unit_test(a_query_is_not_answered_by_another_definition),
        cmocka_unit_test(a_record_is_not_told_by_another_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
