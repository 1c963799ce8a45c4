/*
 * cli_table: all subcommands as one table. Parsing (cli.c), help (cli_help.c), the manual
 * (cli_man.c) and the shells' completion (cli_completion*.c) are made from it.
 *
 * What a value may be stands in its name: words with `|` between them are all there are, FILE is a
 * file's path, TYPE a type of command (twin/command_params.h), COMMAND a subcommand; anything else
 * is free text.
 *
 * Ownership: the table is static. Threads: pure functions on it.
 */
#ifndef HUB_CLI_TABLE_H
#define HUB_CLI_TABLE_H

#include "hub/cli.h"
#include "hub/config_key.h"

enum cli_takes {
    CLI_TAKES_CONFIG = 1 << 0, /* --config, and keys of the configuration */
    CLI_TAKES_FILE = 1 << 1,   /* its word is the configuration's file */
    CLI_TAKES_TOPIC = 1 << 2,  /* its words are the name of a subcommand */
};

struct cli_command {
    const char *name;      /* one word or two */
    const char *arguments; /* the usage, behind the name */
    const char *help;
    unsigned takes;
    const char *word; /* what its argument is that is no option; NULL: it has none */
    int (*run)(const struct cli_args *args);
    const struct cli_option *options; /* its own; NULL: none */
};

extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;

/* The options that every subcommand has, and that of those that take the configuration. */
extern const struct cli_option cli_help_option, cli_config_option;

/* The subcommand of these words; `second` may be NULL. NULL where there is none. */
const struct cli_command *cli_find(const char *first, const char *second);
/* Whether subcommands of two words begin with this one. */
bool cli_is_group(const char *word);
/* How many bytes of the name are its first word. */
size_t cli_first_word(const struct cli_command *command);
/* Whether the table has another subcommand with the same first word before this one. */
bool cli_repeats_group(const struct cli_command *command);
/* Appends the first words of the subcommands of two, each once, with `between` between them. */
void cli_write_groups(struct buf *out, const char *between);

enum cli_value_kind { CLI_VALUE_TEXT, CLI_VALUE_CHOICE, CLI_VALUE_FILE, CLI_VALUE_COMMAND };
/* Of an option's argument, or a subcommand's word; not NULL. */
enum cli_value_kind cli_value_kind(const char *argument);
/* Appends the choices, a blank between them. */
void cli_write_choices(struct buf *out, const char *argument);

/* What a key of the configuration takes, as an option's argument: FILE, or its choices, or what
 * it is. */
const char *cli_key_argument(const struct config_key *key);

#endif
