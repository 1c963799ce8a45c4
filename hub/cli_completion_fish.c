/* The script for fish: one `complete` for each subcommand, option and word. */
#include "hub/cli_completion.h"

#include <stdio.h>

static void add_quoted(struct buf *out, const char *text)
{
    buf_addc(out, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            buf_addc(out, '\\');
        buf_addc(out, *text);
    }
    buf_addc(out, '\'');
}

static void begin(struct buf *out, const char *condition, const char *name)
{
    buf_addf(out, "complete -c fleethub -n '%s %s'", condition, name);
}

static void add_value(struct buf *out, const char *argument)
{
    enum cli_value_kind kind = cli_value_kind(argument);
    if (kind == CLI_VALUE_FILE) {
        buf_adds(out, " -F");
    } else if (kind == CLI_VALUE_CHOICE) {
        buf_adds(out, " -a '");
        cli_write_choices(out, argument);
        buf_addc(out, '\'');
    }
}

static void add_option(struct buf *out, const char *condition, const char *command,
                       const struct cli_option *option)
{
    begin(out, condition, command);
    buf_addf(out, " -l %s", option->name);
    if (option->argument) {
        /* -x: nothing but what is named here, -r: files */
        buf_adds(out, cli_value_kind(option->argument) == CLI_VALUE_FILE ? " -r" : " -x");
        add_value(out, option->argument);
    }
    buf_adds(out, " -d ");
    add_quoted(out, option->help);
    buf_addc(out, '\n');
}

static void add_name(struct buf *out, const char *condition, const char *behind, const char *name,
                     size_t size, const char *help)
{
    begin(out, condition, behind);
    buf_addf(out, " -a %.*s -d ", (int)size, name);
    add_quoted(out, help);
    buf_addc(out, '\n');
}

static void add_command(struct buf *out, const struct cli_command *command)
{
    size_t first = cli_first_word(command);
    char group[32];
    buf_addf(out, "\n# %s\n", command->name);
    if (command->name[first] == '\0') {
        add_name(out, "__fleethub_behind", "", command->name, first, command->help);
        add_name(out, "__fleethub_behind", "help", command->name, first, command->help);
    } else {
        if (!cli_repeats_group(command)) {
            add_name(out, "__fleethub_behind", "", command->name, first, "commands of two words");
            add_name(out, "__fleethub_behind", "help", command->name, first,
                     "commands of two words");
        }
        const char *second = command->name + first + 1;
        snprintf(group, sizeof group, "%.*s", (int)first, command->name);
        add_name(out, "__fleethub_behind", group, second, strlen(second), command->help);
        snprintf(group, sizeof group, "help %.*s", (int)first, command->name);
        add_name(out, "__fleethub_behind", group, second, strlen(second), command->help);
    }
    if (command->word && cli_value_kind(command->word) != CLI_VALUE_COMMAND) {
        begin(out, "__fleethub_behind", command->name);
        add_value(out, command->word);
        buf_addc(out, '\n');
    }
    add_option(out, "__fleethub_in", command->name, &cli_help_option);
    for (const struct cli_option *option = command->options; option && option->name; option++)
        add_option(out, "__fleethub_in", command->name, option);
    if (command->takes & CLI_TAKES_CONFIG)
        add_option(out, "__fleethub_in", command->name, &cli_config_option);
}

static const char fish_head[] =
    "# fish completion for fleethub, made by `fleethub completion fish`.\n"
    "\n"
    "# The words before the cursor, options and their values left out, are these and no more.\n"
    "function __fleethub_behind\n"
    "    set -l words (commandline -opc)\n"
    "    set -l plain\n"
    "    for word in $words[2..-1]\n"
    "        string match -q -- '--*' $word; and break\n"
    "        set -a plain $word\n"
    "    end\n"
    "    test \"$plain\" = \"$argv\"\n"
    "end\n"
    "\n"
    "# The words before the cursor begin with one of these subcommands.\n"
    "function __fleethub_in\n"
    "    set -l words (commandline -opc)\n"
    "    test \"$words[2..\"(math (count $argv) + 1)\"]\" = \"$argv\"\n"
    "end\n"
    "function __fleethub_configured\n"
    "    for name in $argv\n"
    "        __fleethub_in (string split ' ' $name); and return 0\n"
    "    end\n"
    "    return 1\n"
    "end\n"
    "\n"
    "complete -c fleethub -f\n";

void cli_completion_fish(struct buf *out)
{
    struct buf configured = BUF_INIT;
    buf_adds(out, fish_head);
    for (size_t i = 0; i < cli_command_count; i++) {
        add_command(out, &cli_commands[i]);
        if (cli_commands[i].takes & CLI_TAKES_CONFIG)
            buf_addf(&configured, " \"%s\"", cli_commands[i].name);
    }
    buf_adds(out, "\n# Keys of the configuration\n");
    for (size_t i = 0; i < config_key_count; i++) {
        struct cli_option key = {config_keys[i].name, cli_key_argument(&config_keys[i]),
                                 config_keys[i].help};
        add_option(out, "__fleethub_configured", buf_cstr(&configured) + 1, &key);
    }
    out->failed = out->failed || configured.failed;
    buf_done(&configured);
}
