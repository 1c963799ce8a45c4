#include "hub/cli_table.h"

#include "hub/cli_completion.h"
#include "twin/command_params.h"

#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 2 * CONFIG_NAME_MAX_BYTES };

const struct cli_command cli_commands[] = {
    {"run", "--config FILE [--migrate] [--key=value …]", "run the hub", CLI_TAKES_CONFIG, NULL,
     cli_run, cli_run_options},
    {"migrate", "--config FILE [--key=value …]", "bring the database to this version's schema",
     CLI_TAKES_CONFIG, NULL, cli_migrate, NULL},
    {"config check", "[FILE] [--key=value …]", "say what is wrong in a configuration",
     CLI_TAKES_CONFIG | CLI_TAKES_FILE, "FILE", cli_config_check, NULL},
    {"config show", "[FILE] [--key=value …]", "print what is in force, without passwords",
     CLI_TAKES_CONFIG | CLI_TAKES_FILE, "FILE", cli_config_show, NULL},
    {"config example", "", "print a complete commented configuration", 0, NULL, cli_config_example,
     NULL},
    {"config schema", "", "print the JSON Schema of the configuration", 0, NULL, cli_config_schema,
     NULL},
    {"audit verify", "[FILE] [--key FILE] [--checkpoint FILE] [--config FILE]",
     "check the record for changes: 0 good, 1 bad, 2 unusable", CLI_TAKES_CONFIG, "FILE",
     cli_audit_verify, cli_audit_verify_options},
    {"audit export", "[--output FILE] [--vid VID] [--option …] [--config FILE]",
     "write records to a file that proves itself", CLI_TAKES_CONFIG, NULL, cli_audit_export,
     cli_audit_export_options},
    {"audit key", "[--output FILE] [--public] [--config FILE]",
     "make a key that signs checkpoints, or show its public part", CLI_TAKES_CONFIG, NULL,
     cli_audit_key, cli_audit_key_options},
    {"audit hold", "add|list|remove [--option …] --config FILE",
     "keep records from retention, and on record why", CLI_TAKES_CONFIG, "add|list|remove",
     cli_hold, cli_hold_options},
    {"audit retention", "[--json] --config FILE",
     "say what retention would drop now, and drop nothing", CLI_TAKES_CONFIG, NULL, cli_retention,
     cli_retention_options},
    {"vehicles", "[--filter FILTER] [--fields PATH,…] [--option …]", "list the fleet", 0, NULL,
     cli_vehicles, cli_vehicles_options},
    {"watch", "[--filter FILTER] [--option …]", "follow the vehicles that match, as they change", 0,
     NULL, cli_watch, cli_watch_options},
    {"events", "[--vid VID] [--kind KIND] [--option …]", "list the record, the newest first", 0,
     NULL, cli_events, cli_events_options},
    {"send", "TYPE --filter FILTER | --vids … | --group … | --all [--option …]",
     "give a command to vehicles, and watch it to its end", 0, "TYPE", cli_send, cli_send_options},
    {"token create", "--role ROLE --name NAME [--option …]", "make a token; it alone is printed",
     CLI_TAKES_CONFIG, NULL, cli_token_create, cli_token_create_options},
    {"token list", "[--json]", "list the tokens", CLI_TAKES_CONFIG, NULL, cli_token_list,
     cli_token_list_options},
    {"token revoke", "ID", "take a token away", CLI_TAKES_CONFIG, "ID", cli_token_revoke, NULL},
    {"completion", "bash|zsh|fish", "print what makes the shell complete all this", 0,
     "bash|zsh|fish", cli_completion, NULL},
    {"man", "", "print the manual page: `fleethub man | man -l -`", 0, NULL, cli_man, NULL},
    {"version", "[--json]", "print the version", 0, NULL, cli_version, cli_version_options},
    {"help", "[COMMAND]", "explain a command", CLI_TAKES_TOPIC, "COMMAND", cli_help, NULL},
};
const size_t cli_command_count = sizeof cli_commands / sizeof *cli_commands;

const struct cli_option cli_help_option = {"help", NULL, "explain the command, and do nothing"};
const struct cli_option cli_config_option = {"config", "FILE", "the configuration"};

const struct cli_command *cli_find(const char *first, const char *second)
{
    char name[NAME_MAX_BYTES];
    snprintf(name, sizeof name, "%s %s", first, second ? second : "");
    for (size_t i = 0; i < cli_command_count; i++) {
        bool two_words = strchr(cli_commands[i].name, ' ') != NULL;
        if (strcmp(cli_commands[i].name, two_words ? name : first) == 0)
            return &cli_commands[i];
    }
    return NULL;
}

bool cli_is_group(const char *word)
{
    size_t size = strlen(word);
    for (size_t i = 0; i < cli_command_count; i++)
        if (strncmp(cli_commands[i].name, word, size) == 0 && cli_commands[i].name[size] == ' ')
            return true;
    return false;
}

size_t cli_first_word(const struct cli_command *command)
{
    return strcspn(command->name, " ");
}

bool cli_repeats_group(const struct cli_command *command)
{
    size_t size = cli_first_word(command);
    for (const struct cli_command *other = cli_commands; other < command; other++)
        if (cli_first_word(other) == size && strncmp(other->name, command->name, size) == 0)
            return true;
    return false;
}

void cli_write_groups(struct buf *out, const char *between)
{
    const char *before = "";
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *command = &cli_commands[i];
        size_t first = cli_first_word(command);
        if (command->name[first] == '\0' || cli_repeats_group(command))
            continue;
        buf_addf(out, "%s%.*s", before, (int)first, command->name);
        before = between;
    }
}

enum cli_value_kind cli_value_kind(const char *argument)
{
    if (strchr(argument, '|') || strcmp(argument, "TYPE") == 0)
        return CLI_VALUE_CHOICE;
    if (strcmp(argument, "FILE") == 0)
        return CLI_VALUE_FILE;
    return strcmp(argument, "COMMAND") == 0 ? CLI_VALUE_COMMAND : CLI_VALUE_TEXT;
}

void cli_write_choices(struct buf *out, const char *argument)
{
    if (strcmp(argument, "TYPE") == 0) {
        for (size_t i = 0; i < command_type_count; i++)
            buf_addf(out, "%s%s", i ? " " : "", command_types[i].name);
        return;
    }
    for (; *argument; argument++)
        buf_addc(out, *argument == '|' ? ' ' : *argument);
}

const char *cli_key_argument(const struct config_key *key)
{
    if (key->choices)
        return key->choices;
    return key->type == CONFIG_FILE ? "FILE" : config_type_word(key);
}
