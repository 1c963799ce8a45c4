#include "hub/cli.h"

#include "hub/build_info.h"
#include "hub/cli_table.h"

#include <stdio.h>
#include <string.h>

enum { SUGGESTION_MAX_EDITS = 2 };

const struct cli_option cli_version_options[] = {
    {"json", NULL, "as a JSON object"},
    {NULL, NULL, NULL},
};

int cli_version(const struct cli_args *args)
{
    struct buf text = BUF_INIT;
    if (cli_value(args, "json")) {
        buf_adds(&text, "{\"version\":\"" FLEETHUB_VERSION "\",\"commit\":\"" FLEETHUB_COMMIT
                        "\",\"date\":\"" FLEETHUB_DATE "\"}\n");
    } else {
        buf_adds(&text, "fleethub " FLEETHUB_VERSION);
        if (FLEETHUB_COMMIT[0] != '\0')
            buf_adds(&text, " (" FLEETHUB_COMMIT ")");
        buf_addc(&text, '\n');
    }
    int printed = cli_print(&text);
    buf_done(&text);
    return printed;
}

int cli_unknown_command(const char *first, const char *second)
{
    char name[2 * CONFIG_NAME_MAX_BYTES];
    const char *closest = NULL;
    size_t best = SUGGESTION_MAX_EDITS + 1;
    bool group = cli_is_group(first);
    snprintf(name, sizeof name, "%s %s", first, second ? second : "");
    for (size_t i = 0; i < cli_command_count; i++) {
        bool two_words = strchr(cli_commands[i].name, ' ') != NULL;
        size_t edits = config_distance(name, two_words ? strlen(name) : strlen(first),
                                       cli_commands[i].name, strlen(cli_commands[i].name));
        if (edits < best) {
            best = edits;
            closest = cli_commands[i].name;
        }
    }
    const char *blank = group && second ? " " : "";
    if (!group || !second)
        second = "";
    if (group && !*second)
        fprintf(stderr, "fleethub: `%s` is not complete; see `fleethub help %s`\n", first, first);
    else if (closest)
        fprintf(stderr, "fleethub: unknown command `%s%s%s`, did you mean `%s`?\n", first, blank,
                second, closest);
    else
        fprintf(stderr, "fleethub: unknown command `%s%s%s`; see `fleethub help`\n", first, blank,
                second);
    return CLI_USAGE;
}

/* ---- arguments ---- */

static int usage(const struct cli_command *command, const char *problem, const char *what)
{
    fprintf(stderr, "fleethub %s: %s `%s`; see `fleethub help %s`\n", command->name, problem, what,
            command->name);
    return CLI_USAGE;
}

static int unknown_flag(const struct cli_command *command, const char *name, size_t size)
{
    char suggestion[CONFIG_NAME_MAX_BYTES];
    const char *meant =
        command->takes & CLI_TAKES_CONFIG ? config_suggest(name, size, suggestion) : NULL;
    size_t best = SUGGESTION_MAX_EDITS + 1;
    for (const struct cli_option *option = command->options; option && option->name; option++) {
        size_t edits = config_distance(name, size, option->name, strlen(option->name));
        if (edits >= best)
            continue;
        best = edits;
        meant = option->name;
    }
    if (meant)
        fprintf(stderr, "fleethub %s: unknown flag `--%.*s`, did you mean `--%s`?\n", command->name,
                (int)size, name, meant);
    else
        fprintf(stderr, "fleethub %s: unknown flag `--%.*s`; see `fleethub help %s`\n",
                command->name, (int)size, name, command->name);
    return CLI_USAGE;
}

static bool is_named(const char *name, size_t size, const char *wanted)
{
    return strlen(wanted) == size && memcmp(name, wanted, size) == 0;
}

/* One of the subcommand's own options; false where it is none of them. */
static bool take_option(const struct cli_command *command, char **argv, int *at,
                        struct cli_args *args, int *exit_code)
{
    const char *name = argv[*at] + 2;
    size_t size = strcspn(name, "="), i = 0;
    const char *value = name[size] == '=' ? name + size + 1 : NULL;
    const struct cli_option *options = command->options;
    while (options && options[i].name && !is_named(name, size, options[i].name))
        i++;
    if (!options || !options[i].name)
        return false;
    *exit_code = CLI_OK;
    if (args->values[i])
        *exit_code = usage(command, "stands here twice:", argv[*at]);
    else if (!options[i].argument && value)
        *exit_code = usage(command, "takes no value:", argv[*at]);
    else if (!options[i].argument)
        value = "";
    else if (!value && argv[*at + 1])
        value = argv[++*at];
    else if (!value)
        *exit_code = usage(command, "a value is missing behind", argv[*at]);
    args->values[i] = value;
    return true;
}

/* One flag at argv[*at], and its value behind `=` or in the next word. */
static int take_flag(const struct cli_command *command, char **argv, int *at, struct cli_args *args)
{
    const char *name = argv[*at] + 2;
    size_t size = strcspn(name, "=");
    const char *value = name[size] == '=' ? name + size + 1 : NULL;
    bool config = is_named(name, size, "config");
    int exit_code;
    if (take_option(command, argv, at, args, &exit_code))
        return exit_code;
    if (!(command->takes & CLI_TAKES_CONFIG) || (!config && !config_key_find(name, size)))
        return unknown_flag(command, name, size);
    if (!value && argv[*at + 1] && strncmp(argv[*at + 1], "--", 2) != 0)
        value = argv[++*at];
    if (!value)
        return usage(command, "a value is missing behind", argv[*at]);
    if (config && args->file)
        return usage(command, "a second file:", value);
    if (config) {
        args->file = value;
        return CLI_OK;
    }
    if (args->flag_count == CLI_FLAGS_MAX)
        return usage(command, "too many flags from here on:", argv[*at]);
    args->flags[args->flag_count++] = (struct config_flag){name, size, value};
    return CLI_OK;
}

static int take_word(const struct cli_command *command, const char *word, struct cli_args *args)
{
    if ((command->takes & CLI_TAKES_FILE) && !args->file)
        args->file = word;
    else if ((command->takes & CLI_TAKES_TOPIC) && !args->topic)
        args->topic = word;
    else if ((command->takes & CLI_TAKES_TOPIC) && !args->subtopic)
        args->subtopic = word;
    else if (command->word && !(command->takes & (CLI_TAKES_FILE | CLI_TAKES_TOPIC)) && !args->word)
        args->word = word;
    else
        return usage(command, "what is meant by", word);
    return CLI_OK;
}

static int parse(const struct cli_command *command, char **argv, struct cli_args *args)
{
    for (int i = 0; argv[i]; i++) {
        int exit_code;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            args->help = true;
            return CLI_OK;
        }
        if (strncmp(argv[i], "--", 2) == 0)
            exit_code = take_flag(command, argv, &i, args);
        else if (argv[i][0] == '-' && argv[i][1] != '\0')
            exit_code = usage(command, "unknown flag", argv[i]);
        else
            exit_code = take_word(command, argv[i], args);
        if (exit_code != CLI_OK)
            return exit_code;
    }
    return CLI_OK;
}

const char *cli_value(const struct cli_args *args, const char *name)
{
    for (size_t i = 0; args->options && args->options[i].name; i++)
        if (strcmp(args->options[i].name, name) == 0)
            return args->values[i];
    return NULL;
}

int cli_main(int argc, char **argv)
{
    struct cli_args args = {0};
    if (argc < 2) {
        struct buf text = BUF_INIT;
        cli_overview(&text);
        fputs(buf_cstr(&text), stderr);
        buf_done(&text);
        return CLI_USAGE;
    }
    const char *first = argv[1], *second = argv[2];
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0)
        return cli_help(&args);
    if (strcmp(first, "--version") == 0)
        return cli_version(&args);
    const struct cli_command *command = cli_find(first, second);
    if (!command)
        return cli_unknown_command(first, second);
    args.options = command->options;
    int exit_code = parse(command, argv + (strchr(command->name, ' ') ? 3 : 2), &args);
    if (exit_code != CLI_OK)
        return exit_code;
    if (!args.help)
        return command->run(&args);
    struct buf text = BUF_INIT;
    cli_explain(&text, command);
    exit_code = cli_print(&text);
    buf_done(&text);
    return exit_code;
}
