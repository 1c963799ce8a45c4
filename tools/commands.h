/*
 * commands: the subcommands of fleetsim, one file each. They take what stands behind their name,
 * and return the program's exit code.
 */
#ifndef TOOLS_COMMANDS_H
#define TOOLS_COMMANDS_H

int replay_main(int argc, char **argv);
int fly_main(int argc, char **argv);
int pub_main(int argc, char **argv);

#endif
