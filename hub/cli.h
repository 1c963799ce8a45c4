/*
 * cli: the command line. All subcommands stand in one table (hub/cli_table.h): name, arguments,
 * help, function, options. Flags are a subcommand's own options, `--config FILE`, and every key of
 * the configuration as `--a.b.c=value` or `--a.b.c value`.
 *
 * Exit codes: 0 good, 1 failed, 2 the command line makes no sense.
 * Threads: the main thread, before any other.
 */
#ifndef HUB_CLI_H
#define HUB_CLI_H

#include "hub/config.h"

#include <stdbool.h>
#include <stddef.h>

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };
enum { CLI_FLAGS_MAX = 128, CLI_OPTIONS_MAX = 40 };
enum { CLI_INTERRUPTED = 130 }; /* as shells say it: by Ctrl-C */

/* An option of one subcommand. A subcommand's options are a list, ended by one without a name. */
struct cli_option {
    const char *name;     /* without the dashes */
    const char *argument; /* what its value is; NULL: it has none */
    const char *help;
};

/* A command line taken apart; everything points into argv. */
struct cli_args {
    const char *file;  /* --config, or the argument of `config check|show`; NULL: none */
    const char *topic; /* the words behind `help` */
    const char *subtopic;
    bool help;
    const struct cli_option *options;    /* the subcommand's; NULL: none */
    const char *values[CLI_OPTIONS_MAX]; /* one for each of them: NULL where it was not given */
    const char *word;                    /* the one word that is no option; NULL: none */
    struct config_flag flags[CLI_FLAGS_MAX];
    size_t flag_count;
};

struct cli_command; /* hub/cli_table.h */

int cli_main(int argc, char **argv);

/* What `man` prints (cli_man.c), and what `help` says of all and of one (cli_help.c). */
void cli_manual(struct buf *out);
void cli_overview(struct buf *out);
void cli_explain(struct buf *out, const struct cli_command *command);
/* Says on standard error what may have been meant; CLI_USAGE. */
int cli_unknown_command(const char *first, const char *second);

/* The subcommands: enum cli_exit. */
int cli_run(const struct cli_args *args);            /* cli_run.c */
int cli_migrate(const struct cli_args *args);        /* cli_run.c */
int cli_config_check(const struct cli_args *args);   /* cli_config.c */
int cli_config_show(const struct cli_args *args);    /* cli_config.c */
int cli_config_example(const struct cli_args *args); /* cli_config.c */
int cli_config_schema(const struct cli_args *args);  /* cli_config.c */

int cli_version(const struct cli_args *args);    /* cli.c */
int cli_help(const struct cli_args *args);       /* cli_help.c */
int cli_man(const struct cli_args *args);        /* cli_man.c */
int cli_completion(const struct cli_args *args); /* cli_completion.c */

int cli_hold(const struct cli_args *args);      /* cli_hold.c */
int cli_retention(const struct cli_args *args); /* cli_hold.c */
extern const struct cli_option cli_run_options[], cli_version_options[], cli_hold_options[],
    cli_retention_options[];

int cli_send(const struct cli_args *args);         /* cli_send.c */
int cli_vehicles(const struct cli_args *args);     /* cli_list.c */
int cli_events(const struct cli_args *args);       /* cli_list.c */
int cli_watch(const struct cli_args *args);        /* cli_watch.c */
int cli_token_create(const struct cli_args *args); /* cli_token.c */
int cli_token_list(const struct cli_args *args);   /* cli_token.c */
int cli_token_revoke(const struct cli_args *args); /* cli_token.c */
int cli_audit_verify(const struct cli_args *args); /* cli_audit.c */
int cli_audit_key(const struct cli_args *args);    /* cli_audit.c */
int cli_audit_export(const struct cli_args *args); /* cli_audit_file.c */
extern const struct cli_option cli_audit_verify_options[], cli_audit_key_options[],
    cli_audit_export_options[];
extern const struct cli_option cli_send_options[], cli_vehicles_options[], cli_events_options[],
    cli_watch_options[], cli_token_create_options[], cli_token_list_options[];

/* The value of an option, "" of one that takes none; NULL where it was not given. */
const char *cli_value(const struct cli_args *args, const char *name);
/* How the configuration is read that the command line asks for. */
struct config_request cli_request(const struct cli_args *args, const char *required);
/* The configuration that the command line asks for; false after its errors went to standard
 * error. `required` as in struct config_request. */
bool cli_load(const struct cli_args *args, const char *required, struct config *config);
/* Writes to standard output; CLI_FAILED where that is not possible. */
int cli_print(const struct buf *text);

#endif
