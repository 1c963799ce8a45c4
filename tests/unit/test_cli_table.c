/* What is made from the table of subcommands: help, the manual, three shells' completion. None of
 * them may leave anything out. */
#include "hub/access_role.h"
#include "hub/cli_completion.h"
#include "hub/record.h"
#include "hub/table.h"
#include "tests/unit/config_help.h"

#include <pty.h>
#include <stdio.h>
#include <unistd.h>

enum { NEEDLE_BYTES = 256 };

/* From `begin` up to the next `end`; fails where that is not there. */
static char *part_of(const char *text, const char *begin, const char *end)
{
    const char *at = strstr(text, begin);
    if (!at)
        fail_msg("there is no `%s`", begin);
    const char *over = strstr(at + strlen(begin), end);
    return strndup(at, over ? (size_t)(over - at) : strlen(at));
}

static void expect(const char *text, const char *needle, const char *where)
{
    if (!strstr(text, needle))
        fail_msg("%s: `%s` is missing", where, needle);
}

/* Calls back with each option that the subcommand takes, keys of the configuration left out. */
static void each_option(const struct cli_command *command,
                        void (*look)(const char *text, const char *where,
                                     const struct cli_option *option),
                        const char *text)
{
    for (const struct cli_option *option = command->options; option && option->name; option++)
        look(text, command->name, option);
    if (command->takes & CLI_TAKES_CONFIG)
        look(text, command->name, &cli_config_option);
}

/* As the manual has it: a dash that is no hyphen. */
static void roff_name(const char *name, char out[NEEDLE_BYTES])
{
    size_t at = 0;
    for (; *name && at + 2 < NEEDLE_BYTES; name++) {
        if (*name == '-')
            out[at++] = '\\';
        out[at++] = *name;
    }
    out[at] = '\0';
}

/* ---- help ---- */

static void in_help(const char *text, const char *where, const struct cli_option *option)
{
    char needle[NEEDLE_BYTES];
    snprintf(needle, sizeof needle, "\n  --%s%s%s ", option->name, option->argument ? " " : "",
             option->argument ? option->argument : "");
    expect(text, needle, where);
    expect(text, option->help, where);
}

static void help_has_every_command_and_every_option(void **state)
{
    (void)state;
    struct buf all = BUF_INIT, one = BUF_INIT;
    cli_overview(&all);
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *command = &cli_commands[i];
        char needle[NEEDLE_BYTES];
        snprintf(needle, sizeof needle, "\n  %s ", command->name);
        expect(buf_cstr(&all), needle, "help");
        expect(buf_cstr(&all), command->help, "help");
        buf_reset(&one);
        cli_explain(&one, command);
        expect(buf_cstr(&one), command->arguments, command->name);
        each_option(command, in_help, buf_cstr(&one));
        in_help(buf_cstr(&one), command->name, &cli_help_option);
    }
    buf_done(&all);
    buf_done(&one);
}

/* ---- the manual ---- */

static void in_manual(const char *text, const char *where, const struct cli_option *option)
{
    char name[NEEDLE_BYTES], needle[NEEDLE_BYTES + 32];
    roff_name(option->name, name);
    snprintf(needle, sizeof needle, "\n.TP\n\\fB\\-\\-%s\\fR%s", name,
             option->argument ? " \\fI" : "\n");
    expect(text, needle, where);
}

static void manual_has_every_command_option_and_key(void **state)
{
    (void)state;
    struct buf manual = BUF_INIT;
    cli_manual(&manual);
    for (size_t i = 0; i < cli_command_count; i++) {
        char needle[NEEDLE_BYTES];
        snprintf(needle, sizeof needle, "\n.SS \"%s%s", cli_commands[i].name,
                 *cli_commands[i].arguments ? " " : "\"");
        char *part = part_of(buf_cstr(&manual), needle, "\n.S");
        each_option(&cli_commands[i], in_manual, part);
        free(part);
    }
    char *keys = part_of(buf_cstr(&manual), "\n.SH \"CONFIGURATION\"", "\n.SH");
    for (size_t i = 0; i < config_key_count; i++) {
        char name[NEEDLE_BYTES], needle[NEEDLE_BYTES + 32];
        roff_name(config_keys[i].name, name);
        snprintf(needle, sizeof needle, "\n\\fB\\-\\-%s\\fR=\\fI", name);
        expect(keys, needle, "CONFIGURATION");
    }
    free(keys);
    buf_done(&manual);
}

/* ---- completion ---- */

static void in_bash(const char *text, const char *where, const struct cli_option *option)
{
    char needle[NEEDLE_BYTES];
    char *options = part_of(text, "options='", "'\n");
    snprintf(needle, sizeof needle, " --%s", option->name);
    expect(options, needle, where);
    snprintf(needle, sizeof needle, "        --%s) ", option->name);
    if (option->argument)
        expect(text, needle, where);
    free(options);
}

static void in_zsh(const char *text, const char *where, const struct cli_option *option)
{
    char needle[NEEDLE_BYTES];
    snprintf(needle, sizeof needle, "'--%s%s[", option->name, option->argument ? "=" : "");
    expect(text, needle, where);
}

static void in_fish(const char *text, const char *where, const struct cli_option *option)
{
    char needle[NEEDLE_BYTES];
    snprintf(needle, sizeof needle, "\ncomplete -c fleethub -n '__fleethub_in %s' -l %s ", where,
             option->name);
    expect(text, needle, where);
}

static void completion_has_every_command_option_and_key(void **state)
{
    (void)state;
    struct buf bash = BUF_INIT, zsh = BUF_INIT, fish = BUF_INIT;
    cli_completion_bash(&bash);
    cli_completion_zsh(&zsh);
    cli_completion_fish(&fish);
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *command = &cli_commands[i];
        char needle[NEEDLE_BYTES];
        snprintf(needle, sizeof needle, "\n    '%s')\n", command->name);
        char *part = part_of(buf_cstr(&bash), needle, "        ;;\n");
        each_option(command, in_bash, part);
        assert_int_equal(strstr(part, "takes_keys=1") != NULL,
                         (command->takes & CLI_TAKES_CONFIG) != 0);
        free(part);
        part = part_of(buf_cstr(&zsh), needle, "        ;;\n");
        each_option(command, in_zsh, part);
        assert_int_equal(strstr(part, " $keys") != NULL, (command->takes & CLI_TAKES_CONFIG) != 0);
        free(part);
        each_option(command, in_fish, buf_cstr(&fish));
    }
    for (size_t i = 0; i < config_key_count; i++) {
        char needle[NEEDLE_BYTES];
        snprintf(needle, sizeof needle, "    --%s) ", config_keys[i].name);
        expect(buf_cstr(&bash), needle, "bash");
        snprintf(needle, sizeof needle, "'--%s=[", config_keys[i].name);
        expect(buf_cstr(&zsh), needle, "zsh");
        snprintf(needle, sizeof needle, " -l %s ", config_keys[i].name);
        expect(buf_cstr(&fish), needle, "fish");
    }
    buf_done(&bash);
    buf_done(&zsh);
    buf_done(&fish);
}

/* ---- the table itself ---- */

static void options_are_no_more_than_are_kept_and_none_hides_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *command = &cli_commands[i];
        const struct cli_option *options = command->options;
        size_t count = 0;
        for (; options && options[count].name; count++) {
            const char *name = options[count].name;
            assert_string_not_equal(name, cli_help_option.name);
            for (size_t k = 0; k < count; k++)
                assert_string_not_equal(name, options[k].name);
            if (!(command->takes & CLI_TAKES_CONFIG))
                continue;
            assert_string_not_equal(name, cli_config_option.name);
            assert_null(config_key_find(name, strlen(name)));
        }
        assert_true(count <= CLI_OPTIONS_MAX);
        assert_ptr_equal(cli_find(command->name, NULL),
                         strchr(command->name, ' ') ? NULL : command);
    }
}

/* The argument of an option, as its choices. */
static void choices_of(const char *command, const char *second, const char *option,
                       struct buf *choices)
{
    const struct cli_option *at = cli_find(command, second)->options;
    while (strcmp(at->name, option) != 0)
        at++;
    buf_reset(choices);
    cli_write_choices(choices, at->argument);
}

static void choices_are_those_of_the_tables_that_judge_them(void **state)
{
    (void)state;
    struct buf choices = BUF_INIT, expected = BUF_INIT;
    choices_of("events", NULL, "kind", &choices);
    for (int kind = 0; kind < RECORD_KIND_COUNT; kind++)
        buf_addf(&expected, "%s%s", kind ? " " : "", record_kind_name((enum record_kind)kind));
    assert_string_equal(buf_cstr(&choices), buf_cstr(&expected));
    choices_of("token", "create", "role", &choices);
    buf_reset(&expected);
    for (int role = ROLE_NONE + 1; role < ROLES; role++)
        buf_addf(&expected, "%s%s", role > ROLE_NONE + 1 ? " " : "", role_name((enum role)role));
    assert_string_equal(buf_cstr(&choices), buf_cstr(&expected));
    buf_done(&choices);
    buf_done(&expected);
}

/* ---- colours ---- */

static void colours_are_for_terminals_that_want_them(void **state)
{
    (void)state;
    int controller, terminal, ends[2];
    assert_int_equal(openpty(&controller, &terminal, NULL, NULL, NULL), 0);
    assert_int_equal(pipe(ends), 0);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    assert_true(term_has_colours(terminal));
    assert_false(term_has_colours(ends[1]));
    setenv("NO_COLOR", "", 1);
    assert_true(term_has_colours(terminal));
    setenv("NO_COLOR", "1", 1);
    assert_false(term_has_colours(terminal));
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    assert_false(term_has_colours(terminal));
    unsetenv("TERM");
    assert_false(term_has_colours(terminal));
    close(controller);
    close(terminal);
    close(ends[0]);
    close(ends[1]);
}

static void fill(struct table *table, bool coloured, struct buf *out)
{
    table_init(table, 2);
    table->coloured = coloured;
    table_title(table, "VID");
    table_title(table, "PRESENCE");
    table_cell(table, "V-1", 3);
    table_status(table, "offline", 7);
    table_cell(table,
               "offline\xc2\x9b"
               "31m\033",
               13); /* a control sequence, as a vehicle may send */
    table_status(table, "unheard of", 10);
    buf_reset(out);
    table_write(table, out);
    table_done(table);
}

static void tables_are_coloured_by_what_they_say_and_stay_aligned(void **state)
{
    (void)state;
    struct table table;
    struct buf out = BUF_INIT;
    fill(&table, false, &out);
    assert_string_equal(buf_cstr(&out), "VID           PRESENCE\n"
                                        "V-1           offline\n"
                                        "offline 31m   unheard of\n");
    fill(&table, true, &out);
    assert_string_equal(buf_cstr(&out), "\033[1mVID\033[0m           \033[1mPRESENCE\033[0m\n"
                                        "V-1           \033[31moffline\033[0m\n"
                                        "offline 31m   unheard of\n");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_has_every_command_and_every_option),
        cmocka_unit_test(manual_has_every_command_option_and_key),
        cmocka_unit_test(completion_has_every_command_option_and_key),
        cmocka_unit_test(options_are_no_more_than_are_kept_and_none_hides_another),
        cmocka_unit_test(choices_are_those_of_the_tables_that_judge_them),
        cmocka_unit_test(colours_are_for_terminals_that_want_them),
        cmocka_unit_test(tables_are_coloured_by_what_they_say_and_stay_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
