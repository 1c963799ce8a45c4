/* The script for zsh: `_arguments` for each subcommand, `_describe` for their names. */
#include "hub/cli_completion.h"

/* Within single quotes, where brackets and colons mean something to _arguments and _describe. */
static void add_quoted(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'') {
            buf_adds(out, "'\\''");
            continue;
        }
        if (strchr("[]:\\", *text))
            buf_addc(out, '\\');
        buf_addc(out, *text);
    }
}

/* `:what it is:what does it`. */
static void add_value(struct buf *out, const char *argument)
{
    enum cli_value_kind kind = cli_value_kind(argument);
    buf_addc(out, ':');
    add_quoted(out, argument);
    buf_addc(out, ':');
    if (kind == CLI_VALUE_FILE) {
        buf_adds(out, "_files");
    } else if (kind == CLI_VALUE_CHOICE) {
        buf_addc(out, '(');
        cli_write_choices(out, argument);
        buf_addc(out, ')');
    } else {
        buf_addc(out, ' ');
    }
}

static void add_option(struct buf *out, const char *name, const char *argument, const char *help)
{
    buf_addf(out, " \\\n            '--%s%s[", name, argument ? "=" : "");
    add_quoted(out, help);
    buf_addc(out, ']');
    if (argument)
        add_value(out, argument);
    buf_addc(out, '\'');
}

static void add_command(struct buf *out, const struct cli_command *command)
{
    buf_addf(out, "    '%s')\n        _arguments", command->name);
    add_option(out, cli_help_option.name, NULL, cli_help_option.help);
    for (const struct cli_option *option = command->options; option && option->name; option++)
        add_option(out, option->name, option->argument, option->help);
    if (command->takes & CLI_TAKES_CONFIG) {
        add_option(out, cli_config_option.name, cli_config_option.argument, cli_config_option.help);
        buf_adds(out, " \\\n            $keys");
    }
    if (command->word && cli_value_kind(command->word) == CLI_VALUE_COMMAND) {
        buf_adds(out, " \\\n            '1:COMMAND:_fleethub_names' "
                      "'2:COMMAND: _fleethub_second $words[2]'");
    } else if (command->word) {
        buf_adds(out, " \\\n            '1");
        add_value(out, command->word);
        buf_addc(out, '\'');
    }
    buf_adds(out, "\n        ;;\n");
}

/* `'name:help'`; of a group `'name:its commands'`, once. */
static void add_names(struct buf *out)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *command = &cli_commands[i];
        size_t first = cli_first_word(command);
        if (cli_repeats_group(command))
            continue;
        buf_addf(out, "        '%.*s:", (int)first, command->name);
        if (command->name[first] == '\0')
            add_quoted(out, command->help);
        for (size_t k = i; command->name[first] && k < cli_command_count; k++)
            if (strncmp(cli_commands[k].name, command->name, first + 1) == 0)
                buf_addf(out, "%s%s", k > i ? ", " : "", cli_commands[k].name + first + 1);
        buf_adds(out, "'\n");
    }
}

static void add_groups(struct buf *out)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *command = &cli_commands[i];
        size_t first = cli_first_word(command);
        if (command->name[first] == '\0' || cli_repeats_group(command))
            continue;
        buf_addf(out, "    %.*s) names=(\n", (int)first, command->name);
        for (size_t k = i; k < cli_command_count; k++) {
            if (strncmp(cli_commands[k].name, command->name, first + 1) != 0)
                continue;
            buf_addf(out, "        '%s:", cli_commands[k].name + first + 1);
            add_quoted(out, cli_commands[k].help);
            buf_adds(out, "'\n");
        }
        buf_adds(out, "        ) ;;\n");
    }
}

void cli_completion_zsh(struct buf *out)
{
    buf_adds(out, "#compdef fleethub\n"
                  "# zsh completion for fleethub, made by `fleethub completion zsh`.\n\n"
                  "_fleethub_names() {\n    local -a names=(\n");
    add_names(out);
    buf_adds(out, "    )\n    _describe -t commands command names\n}\n\n"
                  "_fleethub_second() {\n    local -a names=()\n    case $1 in\n");
    add_groups(out);
    buf_adds(out, "    esac\n    (( $#names )) && _describe -t commands command names\n}\n\n"
                  "_fleethub() {\n    local command=$words[2]\n    local -a keys=(");
    for (size_t i = 0; i < config_key_count; i++)
        add_option(out, config_keys[i].name, cli_key_argument(&config_keys[i]),
                   config_keys[i].help);
    buf_adds(out, "\n    )\n"
                  "    if (( CURRENT == 2 )); then\n"
                  "        _fleethub_names\n"
                  "        return\n"
                  "    fi\n"
                  "    case $command in\n    ");
    cli_write_groups(out, "|");
    buf_adds(out, ")\n"
                  "        if (( CURRENT == 3 )); then\n"
                  "            _fleethub_second $command\n"
                  "            return\n"
                  "        fi\n"
                  "        command=\"$words[2] $words[3]\"\n"
                  "        shift words\n"
                  "        (( CURRENT -= 1 ))\n"
                  "        ;;\n"
                  "    esac\n"
                  "    shift words\n"
                  "    (( CURRENT -= 1 ))\n"
                  "    case $command in\n");
    for (size_t i = 0; i < cli_command_count; i++)
        add_command(out, &cli_commands[i]);
    buf_adds(out, "    esac\n}\n\n"
                  "# In $fpath this file is the function; sourced, it only defines it.\n"
                  "if [[ $funcstack[1] == _fleethub ]]; then\n"
                  "    _fleethub \"$@\"\n"
                  "else\n"
                  "    compdef _fleethub fleethub\n"
                  "fi\n");
}
