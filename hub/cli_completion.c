/* `completion`, and the script for bash. */
#include "hub/cli_completion.h"

#include <stdio.h>

static const struct {
    const char *shell;
    void (*write)(struct buf *out);
} shells[] = {
    {"bash", cli_completion_bash}, {"zsh", cli_completion_zsh}, {"fish", cli_completion_fish}};

int cli_completion(const struct cli_args *args)
{
    struct buf text = BUF_INIT;
    for (size_t i = 0; args->word && i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(args->word, shells[i].shell) != 0)
            continue;
        shells[i].write(&text);
        int printed = cli_print(&text);
        buf_done(&text);
        return printed;
    }
    fputs("fleethub completion: say `bash`, `zsh` or `fish`\n", stderr);
    return CLI_USAGE;
}

/* ---- bash ---- */

/* What a value may be, as a statement. */
static void add_values(struct buf *out, const char *argument)
{
    enum cli_value_kind kind = cli_value_kind(argument);
    if (kind == CLI_VALUE_FILE) {
        buf_adds(out, "_fleethub_files");
    } else if (kind == CLI_VALUE_CHOICE) {
        buf_adds(out, "_fleethub_words '");
        cli_write_choices(out, argument);
        buf_addc(out, '\'');
    } else {
        buf_addc(out, ':'); /* free text: nothing to offer */
    }
}

static void add_option_case(struct buf *out, const struct cli_option *option)
{
    if (!option->argument)
        return;
    buf_addf(out, "        --%s) ", option->name);
    add_values(out, option->argument);
    buf_adds(out, "; return ;;\n");
}

static void add_command_case(struct buf *out, const struct cli_command *command)
{
    bool config = (command->takes & CLI_TAKES_CONFIG) != 0;
    buf_addf(out, "    '%s')\n        case $option in\n", command->name);
    for (const struct cli_option *option = command->options; option && option->name; option++)
        add_option_case(out, option);
    if (config)
        add_option_case(out, &cli_config_option);
    buf_adds(out, "        esac\n        options='--help");
    for (const struct cli_option *option = command->options; option && option->name; option++)
        buf_addf(out, " --%s", option->name);
    buf_adds(out, config ? " --config'\n        takes_keys=1\n" : "'\n");
    if (command->word && cli_value_kind(command->word) == CLI_VALUE_COMMAND) {
        buf_adds(out, "        _fleethub_commands \"${words[2]:-}\" $((count - 2))\n");
    } else if (command->word) {
        buf_adds(out, "        [[ $current == -* ]] || ");
        add_values(out, command->word);
        buf_addc(out, '\n');
    }
    buf_adds(out, "        ;;\n");
}

/* The first words of all subcommands, or the second ones of a group. */
static void add_names(struct buf *out, const struct cli_command *group)
{
    size_t size = group ? cli_first_word(group) : 0;
    const char *blank = "";
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *command = &cli_commands[i];
        size_t first = cli_first_word(command);
        if (!group && cli_repeats_group(command))
            continue;
        if (group && (first != size || strncmp(command->name, group->name, size) != 0))
            continue;
        const char *name = group ? command->name + size + 1 : command->name;
        buf_addf(out, "%s%.*s", blank, (int)(group ? strlen(name) : first), name);
        blank = " ";
    }
}

static void add_groups(struct buf *out)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *command = &cli_commands[i];
        if (command->name[cli_first_word(command)] == '\0' || cli_repeats_group(command))
            continue;
        buf_addf(out, "    1:%.*s) _fleethub_words '", (int)cli_first_word(command), command->name);
        add_names(out, command);
        buf_adds(out, "' ;;\n");
    }
}

static void add_keys(struct buf *out)
{
    buf_adds(out, "_fleethub_key_values() {\n    case $option in\n");
    for (size_t i = 0; i < config_key_count; i++) {
        buf_addf(out, "    --%s) ", config_keys[i].name);
        add_values(out, cli_key_argument(&config_keys[i]));
        buf_adds(out, " ;;\n");
    }
    buf_adds(out, "    *) return 1 ;;\n    esac\n}\n\n_fleethub_keys='");
    for (size_t i = 0; i < config_key_count; i++)
        buf_addf(out, "%s--%s", i ? " " : "", config_keys[i].name);
    buf_adds(out, "'\n\n");
}

/* `--name=value` is three words to bash, because `=` ends one: they are put together again. */
static const char bash_head[] =
    "# bash completion for fleethub, made by `fleethub completion bash`.\n"
    "\n"
    "_fleethub_words() {\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$current\")\n"
    "}\n"
    "\n"
    "_fleethub_files() {\n"
    "    compopt -o filenames 2>/dev/null || :\n"
    "    mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
    "}\n"
    "\n";
static const char bash_body[] =
    "_fleethub() {\n"
    "    local current=${COMP_WORDS[COMP_CWORD]} option='' command='' options='' takes_keys=''\n"
    "    local words=() count i=0\n"
    "    COMPREPLY=()\n"
    "    while ((i < COMP_CWORD)); do\n"
    "        if [[ ${COMP_WORDS[i]} == --* && ${COMP_WORDS[i + 1]} == '=' ]]; then\n"
    "            if ((i + 2 >= COMP_CWORD)); then\n"
    "                option=${COMP_WORDS[i]}\n"
    "                ((i + 1 < COMP_CWORD)) || current=''\n"
    "            fi\n"
    "            ((i += 2))\n"
    "        else\n"
    "            words+=(\"${COMP_WORDS[i]}\")\n"
    "        fi\n"
    "        ((i += 1))\n"
    "    done\n"
    "    count=${#words[@]}\n"
    "    if [[ -z $option && ${words[count - 1]} == --* ]]; then option=${words[count - 1]}; fi\n"
    "    if ((count == 1)); then\n"
    "        _fleethub_commands '' 0\n"
    "        return\n"
    "    fi\n"
    "    case ${words[1]} in\n";

void cli_completion_bash(struct buf *out)
{
    buf_adds(out, bash_head);
    buf_adds(out, "# The subcommands, by the words that stand already.\n"
                  "_fleethub_commands() {\n    case $2:$1 in\n    0:*) _fleethub_words '");
    add_names(out, NULL);
    buf_adds(out, "' ;;\n");
    add_groups(out);
    buf_adds(out, "    esac\n}\n\n");
    add_keys(out);
    buf_adds(out, bash_body);
    buf_adds(out, "    ");
    cli_write_groups(out, " | ");
    buf_adds(out, ")\n"
                  "        if ((count == 2)); then\n"
                  "            _fleethub_commands \"${words[1]}\" 1\n"
                  "            return\n"
                  "        fi\n"
                  "        command=\"${words[1]} ${words[2]}\"\n"
                  "        ;;\n"
                  "    *) command=${words[1]} ;;\n"
                  "    esac\n"
                  "    case $command in\n");
    for (size_t i = 0; i < cli_command_count; i++)
        add_command_case(out, &cli_commands[i]);
    buf_adds(out, "    esac\n"
                  "    if [[ $takes_keys ]]; then\n"
                  "        if _fleethub_key_values; then return; fi\n"
                  "        options+=\" $_fleethub_keys\"\n"
                  "    fi\n"
                  "    if [[ $current == -* ]]; then _fleethub_words \"$options\"; fi\n"
                  "}\n"
                  "\n"
                  "complete -F _fleethub fleethub\n");
}
