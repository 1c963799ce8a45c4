/*
 * run_crew: the part of a run that answers commands. Internal to run*.c.
 */
#ifndef TOOLS_RUN_CREW_H
#define TOOLS_RUN_CREW_H

#include "tools/run.h"

/* Without `act` in the setup, with --no-commands, or as fast as possible, nobody answers. False,
 * having said why on stderr. */
bool run_crew_open(struct run *run, const struct run_setup *setup);
/* Hears and does what there is. */
void run_crew_pump(struct run *run, int64_t now_ns);
/* Writes the account where one is asked for; false where that fails. */
bool run_crew_tell(struct run *run);
/* From SIGUSR1 on the account is written within the next milliseconds. */
void run_crew_catch_signal(void);

#endif
