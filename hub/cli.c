#include "hub/cli.h"

#include "hub/build_info.h"
#include "hub/config_key.h"

#include <stdio.h>
#include <string.h>

enum {
    FLAG_COLUMN_BYTES = 44,
    COMMAND_COLUMN_BYTES = 44,
    OPTION_COLUMN_BYTES = 30,
    SUGGESTION_MAX_EDITS = 2
};

enum takes {
    TAKES_CONFIG = 1 << 0,  /* --config, and keys of the configuration */
    TAKES_FILE = 1 << 1,    /* one argument, the configuration's file */
    TAKES_MIGRATE = 1 << 2, /* --migrate */
    TAKES_TOPIC = 1 << 3,   /* the name of a command */
    TAKES_WORD = 1 << 4,    /* one word of its own */
};

struct command {
    const char *name; /* one word or two */
    const char *arguments;
    const char *help;
    unsigned takes;
    int (*run)(const struct cli_args *args);
    const struct cli_option *options; /* its own; NULL: none */
};

static int version(const struct cli_args *args);
static int help(const struct cli_args *args);

static const struct command commands[] = {
    {"run", "--config FILE [--migrate] [--key=value …]", "run the hub",
     TAKES_CONFIG | TAKES_MIGRATE, cli_run, NULL},
    {"migrate", "--config FILE [--key=value …]", "bring the database to this version's schema",
     TAKES_CONFIG, cli_migrate, NULL},
    {"config check", "[FILE] [--key=value …]", "say what is wrong in a configuration",
     TAKES_CONFIG | TAKES_FILE, cli_config_check, NULL},
    {"config show", "[FILE] [--key=value …]", "print what is in force, without passwords",
     TAKES_CONFIG | TAKES_FILE, cli_config_show, NULL},
    {"config example", "", "print a complete commented configuration", 0, cli_config_example, NULL},
    {"config schema", "", "print the JSON Schema of the configuration", 0, cli_config_schema, NULL},
    {"audit verify", "[FILE] [--key FILE] [--checkpoint FILE] [--config FILE]",
     "check the record for changes: 0 good, 1 bad, 2 unusable", TAKES_CONFIG | TAKES_WORD,
     cli_audit_verify, cli_audit_verify_options},
    {"audit export", "[--output FILE] [--vid VID] [--option …] [--config FILE]",
     "write records to a file that proves itself", TAKES_CONFIG, cli_audit_export,
     cli_audit_export_options},
    {"audit key", "[--output FILE] [--public] [--config FILE]",
     "make a key that signs checkpoints, or show its public part", TAKES_CONFIG, cli_audit_key,
     cli_audit_key_options},
    {"audit hold", "add|list|remove [--option …] --config FILE",
     "keep records from retention, and on record why", TAKES_CONFIG | TAKES_WORD, cli_hold,
     cli_hold_options},
    {"audit retention", "--config FILE", "say what retention would drop now, and drop nothing",
     TAKES_CONFIG, cli_retention, NULL},
    {"vehicles", "[--filter FILTER] [--fields PATH,…] [--option …]", "list the fleet", 0,
     cli_vehicles, cli_vehicles_options},
    {"watch", "[--filter FILTER] [--option …]", "follow the vehicles that match, as they change", 0,
     cli_watch, cli_watch_options},
    {"events", "[--vid VID] [--kind KIND] [--option …]", "list the record, the newest first", 0,
     cli_events, cli_events_options},
    {"send", "TYPE --filter FILTER | --vids … | --group … | --all [--option …]",
     "give a command to vehicles, and watch it to its end", TAKES_WORD, cli_send, cli_send_options},
    {"token create", "--role ROLE --name NAME …", "make a token; it alone is printed", TAKES_CONFIG,
     cli_token_create, cli_token_create_options},
    {"token list", "[--json]", "list the tokens", TAKES_CONFIG, cli_token_list,
     cli_token_list_options},
    {"token revoke", "ID", "take a token away", TAKES_CONFIG | TAKES_WORD, cli_token_revoke, NULL},
    {"version", "", "print the version", 0, version, NULL},
    {"help", "[COMMAND]", "explain a command", TAKES_TOPIC, help, NULL},
};
static const size_t command_count = sizeof commands / sizeof *commands;

static int version(const struct cli_args *args)
{
    struct buf text = BUF_INIT;
    (void)args;
    buf_adds(&text, "fleethub " FLEETHUB_VERSION);
    if (FLEETHUB_COMMIT[0] != '\0')
        buf_adds(&text, " (" FLEETHUB_COMMIT ")");
    buf_addc(&text, '\n');
    int printed = cli_print(&text);
    buf_done(&text);
    return printed;
}

/* ---- help ---- */

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
    for (size_t i = 0; i < command_count; i++) {
        if (group && strncmp(commands[i].name, group, strlen(group)) != 0)
            continue;
        size_t start = out->size_bytes;
        buf_addf(out, "  %s%s%s", commands[i].name, *commands[i].arguments ? " " : "",
                 commands[i].arguments);
        pad(out, start, COMMAND_COLUMN_BYTES + 16);
        buf_addf(out, "%s\n", commands[i].help);
    }
}

static void overview(struct buf *out)
{
    buf_adds(out, "fleethub: the twins of a region's vehicles, from NATS, with their record in "
                  "PostgreSQL\n\nusage: fleethub COMMAND …\n\n");
    list_commands(out, NULL);
    buf_adds(out, "\nEvery key of the configuration is a flag too: `fleethub help run` lists them. "
                  "Flags win over the\nenvironment, and the environment over the file.\n");
}

static void list_flags(struct buf *out)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        size_t start = out->size_bytes;
        buf_addf(out, "  --%s=", key->name);
        buf_adds(out, key->choices ? key->choices : config_type_word(key));
        pad(out, start, FLAG_COLUMN_BYTES);
        buf_adds(out, key->help);
        if (key->variable)
            buf_addf(out, " [%s]", key->variable);
        if (key->fallback && *key->fallback)
            buf_addf(out, " (default: %s)", key->fallback);
        buf_addc(out, '\n');
    }
}

static void list_options(struct buf *out, const struct cli_option *options)
{
    for (const struct cli_option *option = options; option->name; option++) {
        size_t start = out->size_bytes;
        buf_addf(out, "  --%s", option->name);
        if (option->argument)
            buf_addf(out, " %s", option->argument);
        pad(out, start, OPTION_COLUMN_BYTES);
        buf_addf(out, "%s\n", option->help);
    }
}

static void explain(struct buf *out, const struct command *command)
{
    buf_addf(out, "fleethub %s %s\n\n%s\n", command->name, command->arguments, command->help);
    if (command->takes & TAKES_MIGRATE)
        buf_adds(out, "\n  --migrate    apply the database's migrations first\n");
    if (command->options) {
        buf_addc(out, '\n');
        list_options(out, command->options);
    }
    if (command->takes & TAKES_CONFIG) {
        buf_adds(out, "\nKeys of the configuration, as flags:\n\n");
        list_flags(out);
    }
}

static const struct command *find(const char *first, const char *second)
{
    char name[CONFIG_NAME_MAX_BYTES];
    snprintf(name, sizeof name, "%s %s", first, second ? second : "");
    for (size_t i = 0; i < command_count; i++) {
        bool two_words = strchr(commands[i].name, ' ') != NULL;
        if (strcmp(commands[i].name, two_words ? name : first) == 0)
            return &commands[i];
    }
    return NULL;
}

static bool is_group(const char *word)
{
    size_t size = strlen(word);
    for (size_t i = 0; i < command_count; i++)
        if (strncmp(commands[i].name, word, size) == 0 && commands[i].name[size] == ' ')
            return true;
    return false;
}

static int unknown_command(const char *first, const char *second)
{
    char name[2 * CONFIG_NAME_MAX_BYTES];
    const char *closest = NULL;
    size_t best = SUGGESTION_MAX_EDITS + 1;
    bool group = is_group(first);
    snprintf(name, sizeof name, "%s %s", first, second ? second : "");
    for (size_t i = 0; i < command_count; i++) {
        bool two_words = strchr(commands[i].name, ' ') != NULL;
        size_t edits = config_distance(name, two_words ? strlen(name) : strlen(first),
                                       commands[i].name, strlen(commands[i].name));
        if (edits < best) {
            best = edits;
            closest = commands[i].name;
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

static int help(const struct cli_args *args)
{
    struct buf text = BUF_INIT;
    const struct command *command = args->topic ? find(args->topic, args->subtopic) : NULL;
    int exit_code;
    if (!args->topic)
        overview(&text);
    else if (command)
        explain(&text, command);
    else if (is_group(args->topic) && !args->subtopic)
        list_commands(&text, args->topic);
    else
        return unknown_command(args->topic, args->subtopic);
    exit_code = cli_print(&text);
    buf_done(&text);
    return exit_code;
}

/* ---- arguments ---- */

static int usage(const struct command *command, const char *problem, const char *what)
{
    fprintf(stderr, "fleethub %s: %s `%s`; see `fleethub help %s`\n", command->name, problem, what,
            command->name);
    return CLI_USAGE;
}

static int unknown_flag(const struct command *command, const char *name, size_t size)
{
    char suggestion[CONFIG_NAME_MAX_BYTES];
    const char *meant =
        command->takes & TAKES_CONFIG ? config_suggest(name, size, suggestion) : NULL;
    size_t best = SUGGESTION_MAX_EDITS + 1;
    for (const struct cli_option *option = command->options; option && option->name; option++) {
        size_t edits = config_distance(name, size, option->name, strlen(option->name));
        if (edits >= best)
            continue;
        best = edits;
        meant = option->name;
    }
    if ((command->takes & TAKES_MIGRATE) &&
        config_distance(name, size, "migrate", 7) <= SUGGESTION_MAX_EDITS)
        meant = "migrate";
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
static bool take_option(const struct command *command, char **argv, int *at, struct cli_args *args,
                        int *exit_code)
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
static int take_flag(const struct command *command, char **argv, int *at, struct cli_args *args)
{
    const char *name = argv[*at] + 2;
    size_t size = strcspn(name, "=");
    const char *value = name[size] == '=' ? name + size + 1 : NULL;
    bool config = is_named(name, size, "config");
    int exit_code;
    if (take_option(command, argv, at, args, &exit_code))
        return exit_code;
    if ((command->takes & TAKES_MIGRATE) && !value && is_named(name, size, "migrate")) {
        args->migrate = true;
        return CLI_OK;
    }
    if (!(command->takes & TAKES_CONFIG) || (!config && !config_key_find(name, size)))
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

static int take_word(const struct command *command, const char *word, struct cli_args *args)
{
    if ((command->takes & TAKES_FILE) && !args->file)
        args->file = word;
    else if ((command->takes & TAKES_TOPIC) && !args->topic)
        args->topic = word;
    else if ((command->takes & TAKES_TOPIC) && !args->subtopic)
        args->subtopic = word;
    else if ((command->takes & TAKES_WORD) && !args->word)
        args->word = word;
    else
        return usage(command, "what is meant by", word);
    return CLI_OK;
}

static int parse(const struct command *command, char **argv, struct cli_args *args)
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
        overview(&text);
        fputs(buf_cstr(&text), stderr);
        buf_done(&text);
        return CLI_USAGE;
    }
    const char *first = argv[1], *second = argv[2];
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0)
        return help(&args);
    if (strcmp(first, "--version") == 0)
        return version(&args);
    const struct command *command = find(first, second);
    if (!command)
        return unknown_command(first, second);
    args.options = command->options;
    int exit_code = parse(command, argv + (strchr(command->name, ' ') ? 3 : 2), &args);
    if (exit_code != CLI_OK)
        return exit_code;
    if (!args.help)
        return command->run(&args);
    struct buf text = BUF_INIT;
    explain(&text, command);
    exit_code = cli_print(&text);
    buf_done(&text);
    return exit_code;
}
