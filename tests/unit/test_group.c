/* group: what is a definition of a group, and what is none. */
#include "hub/groups.h"

#include "tests/unit/fault.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool exists(void *closure, const char *name)
{
    (void)closure;
    return strcmp(name, "known") == 0;
}

static const struct filter_groups groups = {.exists = exists};

static struct group *read_group(const char *text, struct text_error *error)
{
    struct doc *doc = doc_of(text);
    assert_non_null(doc);
    struct group *group = group_new("g", doc_root(doc), &groups, error);
    free(doc);
    return group;
}

static void a_list_is_sorted_and_holds_none_twice(void **state)
{
    (void)state;
    struct text_error error;
    struct group *group = read_group("{\"vids\":[\"b\",\"a\",\"b\",\"a-1\",\"a\"]}", &error);
    assert_non_null(group);
    assert_string_equal(group->name, "g");
    assert_null(group->filter);
    assert_int_equal(group->vid_count, 3);
    assert_string_equal(group->vids[0], "a");
    assert_string_equal(group->vids[1], "a-1");
    assert_string_equal(group->vids[2], "b");
    assert_string_equal(group->definition, "{\"vids\":[\"a\",\"a-1\",\"b\"]}");
    group_free(group);
    group = read_group("{\"vids\":[]}", &error);
    assert_non_null(group);
    assert_string_equal(group->definition, "{\"vids\":[]}");
    group_free(group);
}

static void a_filter_is_compiled(void **state)
{
    (void)state;
    struct text_error error;
    struct group *group =
        read_group("{\"filter\":\"group(\\\"known\\\") OR vid = \\\"a\\\"\"}", &error);
    assert_non_null(group);
    assert_string_equal(filter_group(group->filter, 0), "known");
    assert_string_equal(group->definition,
                        "{\"filter\":\"group(\\\"known\\\") OR vid = \\\"a\\\"\"}");
    group_free(group);
}

static void anything_else_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"vids\":null}",
        "{\"vids\":[1]}",
        "{\"vids\":[\"a.b\"]}",
        "{\"vids\":[\"\"]}",
        "{\"vids\":[\"stream\"]}",
        "{\"filter\":null}",
        "{\"filter\":\"vid =\"}",
        "{\"filter\":\"group(\\\"unknown\\\")\"}",
        "{\"vids\":[],\"filter\":\"\"}",
        "{\"vids\":[],\"more\":1}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct text_error error = {.offset = 99};
        if (read_group(bad[i], &error))
            fail_msg("taken: %s", bad[i]);
        assert_true(error.detail[0] != '\0');
    }
}

static void a_list_beyond_its_bound_is_refused(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct text_error error;
    buf_adds(&text, "{\"vids\":[\"a\"");
    for (int i = 0; text.size_bytes <= GROUP_MAX_BYTES; i++)
        buf_addf(&text, ",\"vehicle-%d\"", i);
    buf_adds(&text, "]}");
    assert_null(read_group(buf_cstr(&text), &error));
    buf_done(&text);
}

static bool read_without_memory(void *context)
{
    struct text_error error = {.offset = 0};
    struct group *group = group_new("g", doc_root(context), &groups, &error);
    if (!group)
        assert_string_equal(error.detail, "out of memory");
    group_free(group);
    return group != NULL;
}

static void without_memory_there_is_no_group_and_no_leak(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"vids\":[\"b\",\"a\"]}",
                                        "{\"filter\":\"meta.a = 1 AND group(\\\"known\\\")\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct doc *doc = doc_of(texts[i]);
        assert_true(fault_loop(read_without_memory, doc) >= 3);
        free(doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_sorted_and_holds_none_twice),
        cmocka_unit_test(a_filter_is_compiled),
        cmocka_unit_test(anything_else_is_refused_with_a_reason),
        cmocka_unit_test(a_list_beyond_its_bound_is_refused),
        cmocka_unit_test(without_memory_there_is_no_group_and_no_leak),
    };
    return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
