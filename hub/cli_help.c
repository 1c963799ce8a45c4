/* `help`, and `--help` of each subcommand. */
#include "hub/cli_table.h"

#include <stdio.h>

enum { NAME_COLUMN_BYTES = 20, FLAG_COLUMN_BYTES = 44, OPTION_COLUMN_BYTES = 34 };

/* Columns are characters, and `…` is one of three bytes. */
static void pad(struct buf *out, size_t start, size_t width)
{
    size_t characters = 0;
    for (size_t i = start; i < out->size_bytes; i++)
        characters += ((unsigned char)out->data[i] & 0xC0) != 0x80;
    for (; characters + 1 < width; characters++)
        buf_addc(out, ' ');
    buf_addc(out, ' ');
}

static void list_commands(struct buf *out, const char *group)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *command = &cli_commands[i];
        if (group && strncmp(command->name, group, strlen(group)) != 0)
            continue;
        size_t start = out->size_bytes;
        buf_addf(out, "  %s", command->name);
        pad(out, start, NAME_COLUMN_BYTES);
        buf_addf(out, "%s\n", command->help);
    }
}

void cli_overview(struct buf *out)
{
    buf_adds(out, "fleethub: the twins of a region's vehicles, from NATS, with their record in "
                  "PostgreSQL\n\nusage: fleethub COMMAND …\n\n");
    list_commands(out, NULL);
    buf_adds(out, "\n`fleethub help COMMAND` lists what a command takes, `fleethub man | man -l -` "
                  "is the manual. Every key of\nthe configuration is a flag too (`fleethub help "
                  "run`): flags win over the environment, and the\nenvironment over the file.\n");
}

static void list_keys(struct buf *out)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        size_t start = out->size_bytes;
        buf_addf(out, "  --%s=%s", key->name, cli_key_argument(key));
        pad(out, start, FLAG_COLUMN_BYTES);
        buf_adds(out, key->help);
        if (key->variable)
            buf_addf(out, " [%s]", key->variable);
        if (key->fallback && *key->fallback)
            buf_addf(out, " (default: %s)", key->fallback);
        buf_addc(out, '\n');
    }
}

static void list_option(struct buf *out, const struct cli_option *option)
{
    size_t start = out->size_bytes;
    buf_addf(out, "  --%s", option->name);
    if (option->argument)
        buf_addf(out, " %s", option->argument);
    pad(out, start, OPTION_COLUMN_BYTES);
    buf_addf(out, "%s\n", option->help);
}

void cli_explain(struct buf *out, const struct cli_command *command)
{
    buf_addf(out, "usage: fleethub %s%s%s\n\n%s\n\n", command->name, *command->arguments ? " " : "",
             command->arguments, command->help);
    if (command->word && strcmp(command->word, "TYPE") == 0) {
        buf_adds(out, "  TYPE: ");
        cli_write_choices(out, command->word);
        buf_adds(out, ", or one of commands.extra_types\n\n");
    }
    for (const struct cli_option *option = command->options; option && option->name; option++)
        list_option(out, option);
    if (command->takes & CLI_TAKES_CONFIG)
        list_option(out, &cli_config_option);
    list_option(out, &cli_help_option);
    if (command->takes & CLI_TAKES_CONFIG) {
        buf_adds(out, "\nKeys of the configuration, as flags:\n\n");
        list_keys(out);
    }
}

static int print(struct buf *text)
{
    int exit_code = cli_print(text);
    buf_done(text);
    return exit_code;
}

int cli_help(const struct cli_args *args)
{
    struct buf text = BUF_INIT;
    const struct cli_command *command = args->topic ? cli_find(args->topic, args->subtopic) : NULL;
    if (!args->topic)
        cli_overview(&text);
    else if (command)
        cli_explain(&text, command);
    else if (cli_is_group(args->topic) && !args->subtopic)
        list_commands(&text, args->topic);
    else
        return cli_unknown_command(args->topic, args->subtopic);
    return print(&text);
}
