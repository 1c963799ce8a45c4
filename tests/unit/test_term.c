/* term: what others wrote reaches a terminal as text, and as nothing else. */
#include "hub/term.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void control_characters_are_spaces_and_all_else_is_as_it_was(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"", ""},
        {"{\"name\": \"plain\"}", "{\"name\": \"plain\"}"},
        {"\033[2J\a\r\t\x7f", " [2J    "},
        {"a\xc2\x9b"
         "2Jb\xc2\x80\xc2\x9f",
         "a 2Jb  "}, /* C1, which some take for ESC [ */
        {"\xc2\xa0\xc3\x9b\xe2\x82\xac", "\xc2\xa0\xc3\x9b\xe2\x82\xac"}, /* as far as letters go */
        {"\xc2", "\xc2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = BUF_INIT;
        term_add(&out, cases[i].text);
        assert_string_equal(buf_cstr(&out), cases[i].shown);
        buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_are_spaces_and_all_else_is_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
