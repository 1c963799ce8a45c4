/*
 * cli_client: what the subcommands that talk to a hub have in common: where it is, and with which
 * token.
 *
 * Threads: the main thread.
 */
#ifndef HUB_CLI_CLIENT_H
#define HUB_CLI_CLIENT_H

#include "hub/cli.h"
#include "hub/client.h"

/* For a subcommand's list of options. */
#define CLI_CLIENT_OPTIONS                                                                         \
    {"server", "URL", "the hub [FLEETHUB_SERVER] (default: http://127.0.0.1:8480)"},               \
    {                                                                                              \
        "token-file", "FILE", "file with the token [FLEETHUB_TOKEN_FILE, FLEETHUB_TOKEN]"          \
    }

/* The client that the options and the environment ask for; NULL, having said why. */
struct client *cli_client(const char *subcommand, const struct cli_args *args);

#endif
