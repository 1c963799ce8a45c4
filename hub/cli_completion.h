/*
 * cli_completion: `completion bash|zsh|fish`, scripts that make a shell complete subcommands,
 * options and those values that are known. All is in the script: completing asks no hub, runs no
 * program.
 *
 * Threads: pure functions.
 */
#ifndef HUB_CLI_COMPLETION_H
#define HUB_CLI_COMPLETION_H

#include "hub/cli_table.h"

void cli_completion_bash(struct buf *out); /* bash 4.4 or newer; without bash-completion, too */
void cli_completion_zsh(struct buf *out);  /* a file `_fleethub` in $fpath */
void cli_completion_fish(struct buf *out);

#endif
