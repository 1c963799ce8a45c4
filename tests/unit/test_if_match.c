/* if_match: which writes a header allows. */
#include "hub/if_match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_write_is_allowed_over_what_was_named(void **state)
{
    (void)state;
    static const char *const allowed[] = {
        "\"7\"",        "\"7-gz\"",       "*",       " * ",
        "\"1\", \"7\"", "\"1\",,\t\"7\"", ", \"7\"", "W/\"7\", \"7\"",
    };
    assert_true(if_match_allows(NULL, "\"7\""));
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (!if_match_allows(allowed[i], "\"7\""))
            fail_msg("not allowed: %s", allowed[i]);
}

static void a_write_is_refused_over_anything_else(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        " ",
        "7",
        "\"\"",
        "\"71\"",
        "\"17\"",
        "\"7",
        "\"7-gzip\"",
        "\"7-g\"",
        "W/\"7\"",
        "W/\"7-gz\"",
        "\"1\" \"7",
        "nonsense \"7\"",
        "\"6\", \"8\"",
        "\"7-gz",
        "\"-gz\"",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (if_match_allows(refused[i], "\"7\""))
            fail_msg("allowed: %s", refused[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_allowed_over_what_was_named),
        cmocka_unit_test(a_write_is_refused_over_anything_else),
    };
    return cmocka_run_group_tests_name("if_match", tests, NULL, NULL);
}
