/* What a viewer sees of a query: beside the rules of viewer.h, applied one by one. */
#include "hub/query_sight.h"

#include "tests/unit/fault.h"
#include "tests/unit/fleet_help.h"
#include "tests/unit/random.h"

static struct path *path_of(const char *text)
{
    struct text_error error;
    struct path *path = path_compile(PATH_OF_TWIN, text, strlen(text), 0, &error);
    if (!path)
        fail_msg("%s: %s", text, error.detail);
    return path;
}

static enum sight sight_of(const struct viewer *viewer, const char *vid, const char *path_text_,
                           const char **denied)
{
    static char kept[128];
    struct query_sight *sight = query_sight_new(viewer);
    const char *path = "";
    assert_non_null(sight);
    if (path_text_) {
        struct path *wanted = path_of(path_text_);
        assert_true(query_sight_add(sight, wanted));
        path_free(wanted); /* the sight goes on without it */
    }
    enum sight seen = query_sight_of(sight, vid, &path);
    snprintf(kept, sizeof kept, "%s", path);
    if (denied)
        *denied = kept;
    query_sight_free(sight);
    return seen;
}

static void sight_of_who_sees_everything(void **state)
{
    (void)state;
    assert_int_equal(sight_of(&viewer_all, "V1", NULL, NULL), SIGHT_SEEN);
    assert_int_equal(sight_of(&viewer_all, "V1", "state.position.lat", NULL), SIGHT_SEEN);
}

static void sight_hides_what_no_scope_holds(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{PATTERNS("CUST-*", "X1"), ANYTHING}};
    struct viewer viewer = {"p", scopes, 1, ANYTHING};
    static const struct {
        const char *vid;
        enum sight sight;
    } table[] = {{"CUST-1", SIGHT_SEEN}, {"CUST-", SIGHT_SEEN},   {"CUST", SIGHT_HIDDEN},
                 {"X1", SIGHT_SEEN},     {"X12", SIGHT_HIDDEN},   {"X", SIGHT_HIDDEN},
                 {"", SIGHT_HIDDEN},     {"cust-1", SIGHT_HIDDEN}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(sight_of(&viewer, table[i].vid, NULL, NULL), table[i].sight);
    struct viewer_scope nothing[] = {{{true, NULL, 0}, ANYTHING}};
    struct viewer blind = {"p", nothing, 1, ANYTHING};
    assert_int_equal(sight_of(&blind, "V1", NULL, NULL), SIGHT_HIDDEN);
    struct viewer nobody = {"p", NULL, 0, ANYTHING};
    assert_int_equal(sight_of(&nobody, "V1", "vid", NULL), SIGHT_HIDDEN);
}

static void sight_denies_paths_as_the_parts_they_lie_in(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{ANYTHING, ANYTHING}};
    struct viewer viewer = {"p", scopes, 1, PATTERNS("state.position", "desired.secret", "meta.>")};
    static const struct {
        const char *path;
        enum sight sight;
    } table[] = {
        {"vid", SIGHT_SEEN},
        {"revision.meta", SIGHT_SEEN},
        {"presence.status", SIGHT_SEEN},
        {"state.battery.remaining", SIGHT_SEEN},
        {"state.position", SIGHT_DENIED},
        {"state.position.lat", SIGHT_DENIED},
        {"state", SIGHT_DENIED}, /* `state:"position"` would tell whether there is one */
        {"desired.mode", SIGHT_SEEN},
        {"desired.secret.x", SIGHT_DENIED},
        {"desired", SIGHT_DENIED},
        {"reported", SIGHT_SEEN},
        {"delta.mode", SIGHT_SEEN},
        {"delta.secret", SIGHT_DENIED}, /* what is desired shows in the delta */
        {"meta.site", SIGHT_DENIED},
        {"meta", SIGHT_DENIED},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *denied;
        assert_int_equal(sight_of(&viewer, "V1", table[i].path, &denied), table[i].sight);
        if (table[i].sight == SIGHT_DENIED)
            assert_string_equal(denied, table[i].path);
    }
}

static void sight_allows_what_one_scope_covers_with_the_vehicle(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {
        {PATTERNS("A*"), PATTERNS("state.*", "delta")},
        {PATTERNS("*1"), PATTERNS("meta.>")}, /* `*` only ends a pattern: this is nobody */
        {PATTERNS("B*", "AB"), PATTERNS("state.>", "desired.>")},
    };
    struct viewer viewer = {"p", scopes, 3, ANYTHING};
    static const struct {
        const char *vid, *path;
        enum sight sight;
    } table[] = {
        {"A1", "state.mode", SIGHT_SEEN},
        {"A1", "state", SIGHT_DENIED},
        {"B1", "state", SIGHT_SEEN},
        {"A1", "state.\"battery.cells\"", SIGHT_DENIED},
        {"B1", "state.\"battery.cells\"", SIGHT_SEEN},
        {"A1", "meta.x", SIGHT_DENIED},
        {"A1", "desired.x", SIGHT_DENIED},
        {"AB", "desired.x", SIGHT_SEEN},
        {"A1", "delta", SIGHT_SEEN},
        {"A1", "delta.x", SIGHT_DENIED},
        {"AB", "delta.x", SIGHT_SEEN},
        {"B1", "delta", SIGHT_DENIED},
        {"A1", "presence.status", SIGHT_DENIED},
        {"A1", "vid", SIGHT_SEEN},
        {"C1", "state.mode", SIGHT_HIDDEN},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(sight_of(&viewer, table[i].vid, table[i].path, NULL), table[i].sight);
}

/* ---- beside the rules one by one ---- */

static const char *const vehicle_patterns[] = {"A*", "AB*", "B", "*", "AB1", "Z*"};
static const char *const part_patterns[] = {
    "state.*",  "state.position", "state.>", "desired.>", "desired.a",
    "meta.a.b", "presence",       "delta",   ">",         "*.a"};
static const char *const vids[] = {"A", "AB", "AB1", "B", "C"};
static const char *const paths[] = {
    "state.position.lat", "state.mode", "desired.a.x", "desired.b", "meta.a",
    "presence.since",     "delta",      "delta.a",     "vid",       "state.\"x.y\".z",
    "meta.\"a.b\".c",     "reported.a"};
#define PICK(random, list) (list)[random_below(random, sizeof(list) / sizeof *(list))]
enum { LISTS = 512, LIST_MAX = 3, MANY_SCOPES = 70 };

struct rights {
    const char *lists[LISTS][LIST_MAX];
    size_t used;
    struct viewer_scope scopes[MANY_SCOPES];
    struct viewer viewer;
};

static struct viewer_patterns random_patterns(struct random *random, struct rights *rights,
                                              const char *const *from, size_t count)
{
    struct viewer_patterns patterns = {true, rights->lists[rights->used], 0};
    if (random_below(random, 3) == 0)
        return (struct viewer_patterns)ANYTHING;
    patterns.count = random_below(random, LIST_MAX + 1);
    for (size_t i = 0; i < patterns.count; i++)
        rights->lists[rights->used][i] = from[random_below(random, (unsigned)count)];
    rights->used++;
    return patterns;
}

static void random_rights(struct random *random, struct rights *rights, size_t scope_count)
{
    rights->used = 0;
    for (size_t i = 0; i < scope_count; i++) {
        rights->scopes[i].vehicles = random_patterns(random, rights, vehicle_patterns, 6);
        rights->scopes[i].allow = random_patterns(random, rights, part_patterns, 10);
    }
    rights->viewer = (struct viewer){"p", rights->scopes, scope_count, ANYTHING};
    if (random_below(random, 2))
        rights->viewer.deny = random_patterns(random, rights, part_patterns, 10);
}

static enum sight by_the_rules(const struct viewer *viewer, const char *vid,
                               const struct path *path)
{
    const char *part;
    struct slice rest;
    if (!viewer_sees_vehicle(viewer, vid))
        return SIGHT_HIDDEN;
    path_part(path, &part, &rest);
    if (part && !viewer_sees_part(viewer, vid, part, rest.at, rest.size))
        return SIGHT_DENIED;
    path_second_part(path, &part, &rest);
    if (part && !viewer_sees_part(viewer, vid, part, rest.at, rest.size))
        return SIGHT_DENIED;
    return SIGHT_SEEN;
}

static void compare_with_rules(struct random *random, size_t scope_count, unsigned *outcomes)
{
    static struct rights rights;
    random_rights(random, &rights, scope_count);
    const char *text = PICK(random, paths), *vid = PICK(random, vids);
    struct path *path = path_of(text);
    enum sight expected = by_the_rules(&rights.viewer, vid, path);
    assert_int_equal(sight_of(&rights.viewer, vid, text, NULL), expected);
    outcomes[expected]++;
    path_free(path);
}

static void sight_is_what_the_rules_say_one_by_one(void **state)
{
    (void)state;
    struct random random = random_seeded("sight");
    unsigned outcomes[3] = {0};
    for (int i = 0; i < 20000; i++)
        compare_with_rules(&random, random_below(&random, 4), outcomes);
    for (int i = 0; i < 3; i++)
        assert_true(outcomes[i] > 1000);
}

static void sight_of_more_scopes_than_bits_is_the_same(void **state)
{
    (void)state;
    struct random random = random_seeded("many scopes");
    unsigned outcomes[3] = {0};
    for (int i = 0; i < 300; i++)
        compare_with_rules(&random, MANY_SCOPES, outcomes);
    assert_true(outcomes[SIGHT_SEEN] > 30);
}

/* ---- wholes, and lost memory ---- */

static void some_of_a_part_is_seen_where_not_all_is_denied(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{PATTERNS("A*"), PATTERNS("desired.mode", "state.>")}};
    struct viewer viewer = {"p", scopes, 1, PATTERNS("state.position", "meta.>")};
    assert_true(query_sees_some(&viewer, "A1", "desired"));
    assert_true(query_sees_some(&viewer, "A1", "state"));
    assert_false(query_sees_some(&viewer, "A1", "reported"));
    assert_false(query_sees_some(&viewer, "A1", "meta"));
    assert_false(query_sees_some(&viewer, "B1", "desired"));
    assert_true(query_sees_some(&viewer_all, "B1", "config"));
}

/* What one member would tell, tried with names of every form. */
static bool sees_each_name(const struct viewer *viewer, const char *vid, const char *part)
{
    static const char *const names[] = {"", "a", "x", "b.c", ".", "a.b.c"};
    bool all = viewer_sees_vehicle(viewer, vid);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        all = all && viewer_sees_part(viewer, vid, part, names[i], strlen(names[i]));
    return all;
}

static void who_sees_a_whole_part_sees_each_member_of_it(void **state)
{
    (void)state;
    static const char *const parts[] = {"desired", "meta"};
    static struct rights rights;
    struct random random = random_seeded("wholes");
    unsigned seen = 0, not_seen = 0;
    for (int i = 0; i < 20000; i++) {
        random_rights(&random, &rights, random_below(&random, 4));
        const char *vid = PICK(&random, vids), *part = PICK(&random, parts);
        bool whole = query_sees_whole(&rights.viewer, vid, part);
        if (whole && !sees_each_name(&rights.viewer, vid, part))
            fail_msg("%s of %s is not whole", part, vid);
        assert_true(!whole || query_sees_some(&rights.viewer, vid, part));
        seen += whole;
        not_seen += !whole;
    }
    assert_true(seen > 1000 && not_seen > 1000);
}

static void a_whole_part_takes_one_scope_and_no_denial_in_it(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{PATTERNS("A*"), PATTERNS("desired.mode", "meta.>")},
                                    {PATTERNS("B*"), PATTERNS("desired.>", "config.*")}};
    struct viewer viewer = {"p", scopes, 2, PATTERNS("state.position")};
    assert_true(query_sees_whole(&viewer, "A1", "meta"));
    assert_true(query_sees_whole(&viewer, "B1", "desired"));
    assert_false(query_sees_whole(&viewer, "A1", "desired")); /* some of it alone */
    assert_false(query_sees_whole(&viewer, "B1", "config"));  /* but `config.a.b` */
    assert_false(query_sees_whole(&viewer, "B1", "meta"));    /* that scope has other vehicles */
    assert_false(query_sees_whole(&viewer, "C1", "desired"));
    static const char *const denials[] = {"meta.>", "meta.a", "*.a", ">", "meta", "*"};
    for (size_t i = 0; i < sizeof denials / sizeof *denials; i++) {
        viewer.deny = (struct viewer_patterns){true, &denials[i], 1};
        if (query_sees_whole(&viewer, "A1", "meta"))
            fail_msg("in spite of %s", denials[i]);
    }
}

static bool build(void *context)
{
    struct path **wanted = context;
    struct viewer_scope scopes[] = {{PATTERNS("A*"), PATTERNS("desired.>")}};
    struct viewer viewer = {"p", scopes, 1, ANYTHING};
    struct query_sight *sight = query_sight_new(&viewer);
    bool ok = sight && query_sight_add(sight, wanted[0]) && query_sight_add(sight, wanted[1]);
    query_sight_free(sight);
    return ok;
}

static void sight_without_memory_is_refused(void **state)
{
    (void)state;
    struct path *wanted[] = {path_of("desired.mode"), path_of("delta.x")};
    assert_true(fault_loop(build, wanted) >= 3);
    path_free(wanted[0]);
    path_free(wanted[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sight_of_who_sees_everything),
        cmocka_unit_test(sight_hides_what_no_scope_holds),
        cmocka_unit_test(sight_denies_paths_as_the_parts_they_lie_in),
        cmocka_unit_test(sight_allows_what_one_scope_covers_with_the_vehicle),
        cmocka_unit_test(sight_is_what_the_rules_say_one_by_one),
        cmocka_unit_test(sight_of_more_scopes_than_bits_is_the_same),
        cmocka_unit_test(some_of_a_part_is_seen_where_not_all_is_denied),
        cmocka_unit_test(who_sees_a_whole_part_sees_each_member_of_it),
        cmocka_unit_test(a_whole_part_takes_one_scope_and_no_denial_in_it),
        cmocka_unit_test(sight_without_memory_is_refused),
    };
    return cmocka_run_group_tests_name("query_sight", tests, NULL, NULL);
}
