/* viewer: patterns of vehicles and parts, and what several scopes make visible (contract §6). */
#include "twin/viewer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The subject in a block of exactly its size: it is not NUL-terminated. */
static bool subject_matches(const char *pattern, const char *subject)
{
    size_t size = strlen(subject);
    char *exact = malloc(size ? size : 1);
    assert_non_null(exact);
    memcpy(exact, subject, size);
    bool matches = subject_pattern_matches(pattern, exact, size);
    free(exact);
    return matches;
}

static void subject_patterns_match_token_by_token(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *subject;
        bool matches;
    } table[] = {
        {"delta", "delta", true},
        {"delta", "delt", false},
        {"delta", "deltas", false},
        {"delta", "Delta", false},
        {"delta", "delta.a", false},
        {"delta.a", "delta", false},
        {"state.position", "state.position", true},
        {"state.position", "state.positions", false},
        {"state.position", "state", false},
        {"state.position", "state.position.x", false},
        {"state.*", "state.position", true},
        {"state.*", "state", false},
        {"state.*", "state.battery.cells", false},
        {"state.*", "desired.position", false},
        {"state.*.cells", "state.battery.cells", true},
        {"state.*.cells", "state.battery.low", false},
        {"state.*.cells", "state.cells", false},
        {"*.position", "state.position", true},
        {"*.position", "position", false},
        {"*.*", "state.position", true},
        {"*.*", "state", false},
        {"*", "state", true},
        {"*", "state.position", false},
        {"state.>", "state.position", true},
        {"state.>", "state.battery.cells.low.x", true},
        {"state.>", "state", false},
        {"state.>", "statement.x", false},
        {">", "state", true},
        {">", "state.position", true},
        {"*.>", "state.position", true},
        {"*.>", "state", false},
        {"state.battery.>", "state.battery", false},
        {"state.battery.>", "state.battery.cells", true},
        /* only a token of its own is a wildcard */
        {"state.pos*", "state.position", false},
        {"state.pos*", "state.pos*", true},
        {"state.>x", "state.position", false},
        {"state.**", "state.position", false},
        {"state.*", "state.*", true},
        {"state.position", "state.*", false},
        {"state.position", "state.>", false},
        /* names of JSON members may leave tokens empty */
        {"desired.*", "desired.", true},
        {"desired.>", "desired.", true},
        {"desired.>", "desired..", true},
        {"desired.>", "desired..a", true},
        {"desired.*", "desired..", false},
        {"desired.*", "desired.a.", false},
        {"desired.a", "desired.a.", false},
        {"desired.a.", "desired.a", false},
        {"desired.", "desired.", true},
        {"desired", "desired.", false},
        {"desired.*.a", "desired..a", true},
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
    };
    for (size_t i = 0; i < COUNT(table); i++)
        if (subject_matches(table[i].pattern, table[i].subject) != table[i].matches)
            fail_msg("%s %s %s", table[i].pattern, table[i].matches ? "misses" : "matches",
                     table[i].subject);
}

static void vehicle_patterns_may_end_in_a_star(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *vid;
        bool matches;
    } table[] = {
        {"VID-001", "VID-001", true},   {"VID-001", "VID-0010", false},
        {"VID-0010", "VID-001", false}, {"VID-001", "vid-001", false},
        {"CUST-*", "CUST-7", true},     {"CUST-*", "CUST-", true},
        {"CUST-*", "CUST", false},      {"CUST-*", "CUSTX-7", false},
        {"*", "VID-001", true},         {"*-001", "VID-001", false},
        {"V*1", "VID-001", false},      {"VID-001*", "VID-001", true},
        {"", "VID-001", false},         {"**", "VID-001", false},
    };
    for (size_t i = 0; i < COUNT(table); i++)
        if (vehicle_pattern_matches(table[i].pattern, table[i].vid) != table[i].matches)
            fail_msg("%s %s %s", table[i].pattern, table[i].matches ? "misses" : "matches",
                     table[i].vid);
}

/* ---- viewers ---- */

#define LIST(...)                                                                                  \
    {                                                                                              \
        true, (const char *const[]){__VA_ARGS__}, COUNT(((const char *const[]){__VA_ARGS__}))      \
    }
/* clang-format off */
#define ABSENT {false, NULL, 0}
#define NOTHING {true, NULL, 0}
/* clang-format on */

static bool sees(const struct viewer *viewer, const char *vid, const char *part, const char *rest)
{
    return viewer_sees_part(viewer, vid, part, rest, rest ? strlen(rest) : 0);
}

static void viewer_of_a_hub_without_access_sees_everything(void **state)
{
    (void)state;
    assert_true(viewer_sees_everything(&viewer_all));
    assert_true(viewer_sees_vehicle(&viewer_all, "V1"));
    assert_true(sees(&viewer_all, "V1", "state", "position"));
    assert_true(sees(&viewer_all, "V1", "delta", NULL));
    assert_string_equal(viewer_all.principal, "local");
}

static void viewer_without_scopes_sees_nothing(void **state)
{
    (void)state;
    struct viewer none = {.principal = "nobody"};
    assert_false(viewer_sees_everything(&none));
    assert_false(viewer_sees_vehicle(&none, "V1"));
    assert_false(sees(&none, "V1", "presence", NULL));
}

static void viewer_with_an_empty_list_of_vehicles_sees_none(void **state)
{
    (void)state;
    struct viewer_scope scope = {.vehicles = NOTHING, .allow = ABSENT};
    struct viewer viewer = {"a", &scope, 1, ABSENT};
    assert_false(viewer_sees_everything(&viewer));
    assert_false(viewer_sees_vehicle(&viewer, "V1"));
    assert_false(sees(&viewer, "V1", "state", "position"));
}

static void viewer_with_an_empty_allow_sees_no_part(void **state)
{
    (void)state;
    struct viewer_scope scope = {.vehicles = ABSENT, .allow = NOTHING};
    struct viewer viewer = {"a", &scope, 1, ABSENT};
    assert_false(viewer_sees_everything(&viewer));
    assert_false(sees(&viewer, "V1", "state", "position"));
    assert_false(sees(&viewer, "V1", "presence", NULL));
}

static void viewer_with_an_empty_deny_is_denied_nothing(void **state)
{
    (void)state;
    struct viewer_scope scope = {.vehicles = ABSENT, .allow = ABSENT};
    struct viewer viewer = {"a", &scope, 1, NOTHING};
    assert_true(viewer_sees_everything(&viewer));
    assert_true(sees(&viewer, "V1", "state", "position"));
}

static void viewer_needs_one_scope_that_covers_all_of_it(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {
        {.vehicles = LIST("A-*"), .allow = LIST("state.*", "presence")},
        {.vehicles = LIST("B-*", "C-1"), .allow = LIST("desired.>")},
    };
    struct viewer viewer = {"a", scopes, 2, ABSENT};
    assert_false(viewer_sees_everything(&viewer));
    assert_true(viewer_sees_vehicle(&viewer, "A-1"));
    assert_true(viewer_sees_vehicle(&viewer, "C-1"));
    assert_false(viewer_sees_vehicle(&viewer, "C-2"));
    assert_true(sees(&viewer, "A-1", "state", "position"));
    assert_true(sees(&viewer, "A-1", "presence", NULL));
    assert_false(sees(&viewer, "A-1", "state", "battery.cells"));
    assert_true(sees(&viewer, "B-1", "desired", "mode"));
    /* the vehicle by one scope and the part by another are not enough */
    assert_false(sees(&viewer, "A-1", "desired", "mode"));
    assert_false(sees(&viewer, "B-1", "state", "position"));
    assert_false(sees(&viewer, "D-1", "state", "position"));
}

static void viewer_with_one_unbounded_scope_sees_everything(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{.vehicles = LIST("A-*"), .allow = NOTHING},
                                    {.vehicles = ABSENT, .allow = ABSENT}};
    struct viewer viewer = {"a", scopes, 2, ABSENT};
    assert_true(viewer_sees_everything(&viewer));
    viewer.scope_count = 1;
    assert_false(viewer_sees_everything(&viewer));
    struct viewer_scope halves[] = {{.vehicles = ABSENT, .allow = NOTHING},
                                    {.vehicles = NOTHING, .allow = ABSENT}};
    struct viewer half = {"a", halves, 2, ABSENT};
    assert_false(viewer_sees_everything(&half));
}

static void viewer_deny_spans_all_scopes(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {
        {.vehicles = LIST("A-*"), .allow = LIST("state.position")},
        {.vehicles = ABSENT, .allow = ABSENT},
    };
    struct viewer viewer = {"a", scopes, 2, LIST("state.position", "desired.>", "delta")};
    assert_false(viewer_sees_everything(&viewer));
    assert_true(viewer_sees_vehicle(&viewer, "A-1"));
    assert_false(sees(&viewer, "A-1", "state", "position"));
    assert_false(sees(&viewer, "B-1", "state", "position"));
    assert_true(sees(&viewer, "B-1", "state", "battery"));
    assert_false(sees(&viewer, "B-1", "desired", "mode"));
    assert_false(sees(&viewer, "B-1", "delta", NULL));
    assert_true(sees(&viewer, "B-1", "presence", NULL));
}

static void viewer_joins_a_parts_pieces_by_a_dot(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *part, *rest;
        bool matches;
    } table[] = {
        {"state.position", "state", "position", true},
        {"state.position", "state", "positions", false},
        {"stat.position", "state", "position", false},
        {"states.position", "state", "position", false},
        {"state.battery.cells", "state", "battery.cells", true},
        {"state.battery", "state", "battery.cells", false},
        {"state.battery.*", "state", "battery.cells", true},
        {"*.position", "state", "position", true},
        {"*.>", "state", "position", true},
        {">", "state", "position", true},
        {">", "delta", NULL, true},
        {"*", "state", "position", false},
        {"*", "delta", NULL, true},
        {"state", "state", "position", false},
        {"state", "state", NULL, true},
        {"delta.>", "delta", NULL, false},
        {"state.>", "state", NULL, false},
        /* a member whose name is empty is a member, not the part itself */
        {"desired", "desired", "", false},
        {"desired.>", "desired", "", true},
        {"desired.*", "desired", "", true},
        {"desired.>", "desired", ".", true},
        {"desired.>", "desired", "a.", true},
        {"desired.a", "desired", "a.", false},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct viewer_scope all = {.vehicles = ABSENT, .allow = ABSENT};
        struct viewer_scope one = {.vehicles = ABSENT, .allow = {true, &table[i].pattern, 1}};
        struct viewer allowed = {"a", &one, 1, ABSENT};
        struct viewer denied = {"a", &all, 1, {true, &table[i].pattern, 1}};
        bool allow = sees(&allowed, "V1", table[i].part, table[i].rest);
        bool deny = !sees(&denied, "V1", table[i].part, table[i].rest);
        if (allow != table[i].matches || deny != table[i].matches)
            fail_msg("%s on %s.%s: allow %d, deny %d", table[i].pattern, table[i].part,
                     table[i].rest ? table[i].rest : "(none)", allow, deny);
    }
}

/* Member names may have 65,535 bytes; what is denied stays so to the last of them. */
static void viewer_judges_long_names_to_their_end(void **state)
{
    (void)state;
    enum { LONG = 60000, HEAD = sizeof "desired." - 1 };
    char *pattern = malloc(HEAD + LONG + 1);
    assert_non_null(pattern);
    memcpy(pattern, "desired.", HEAD);
    memset(pattern + HEAD, 'k', LONG);
    pattern[HEAD + LONG] = '\0';
    const char *const list[] = {pattern};
    struct viewer_scope all = {.vehicles = ABSENT, .allow = ABSENT};
    struct viewer_scope one = {.vehicles = ABSENT, .allow = {true, list, 1}};
    struct viewer denied = {"a", &all, 1, {true, list, 1}}, allowed = {"a", &one, 1, ABSENT};
    char *name = malloc(LONG);
    assert_non_null(name);
    memset(name, 'k', LONG);
    assert_false(viewer_sees_part(&denied, "V1", "desired", name, LONG));
    assert_true(viewer_sees_part(&allowed, "V1", "desired", name, LONG));
    assert_true(viewer_sees_part(&denied, "V1", "desired", name, LONG - 1));
    assert_false(viewer_sees_part(&allowed, "V1", "desired", name, LONG - 1));
    name[LONG - 1] = 'x';
    assert_true(viewer_sees_part(&denied, "V1", "desired", name, LONG));
    assert_false(viewer_sees_part(&allowed, "V1", "desired", name, LONG));
    free(name);
    free(pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subject_patterns_match_token_by_token),
        cmocka_unit_test(vehicle_patterns_may_end_in_a_star),
        cmocka_unit_test(viewer_of_a_hub_without_access_sees_everything),
        cmocka_unit_test(viewer_without_scopes_sees_nothing),
        cmocka_unit_test(viewer_with_an_empty_list_of_vehicles_sees_none),
        cmocka_unit_test(viewer_with_an_empty_allow_sees_no_part),
        cmocka_unit_test(viewer_with_an_empty_deny_is_denied_nothing),
        cmocka_unit_test(viewer_needs_one_scope_that_covers_all_of_it),
        cmocka_unit_test(viewer_with_one_unbounded_scope_sees_everything),
        cmocka_unit_test(viewer_deny_spans_all_scopes),
        cmocka_unit_test(viewer_joins_a_parts_pieces_by_a_dot),
        cmocka_unit_test(viewer_judges_long_names_to_their_end),
    };
    return cmocka_run_group_tests_name("viewer", tests, NULL, NULL);
}
