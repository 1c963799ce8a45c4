/* fleetsim: a fleet of vehicles without vehicles, for trying, testing and loading a hub. */
#include "tools/commands.h"
#include "tools/run.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *help;
    int (*main)(int argc, char **argv);
} COMMANDS[] = {
    {"replay", "publish recorded flights as if they were flown now", replay_main},
    {"fly", "simulate a fleet", fly_main},
    {"pub", "publish one raw message", pub_main},
};
enum { COMMAND_COUNT = sizeof COMMANDS / sizeof *COMMANDS };

static void usage(FILE *out)
{
    fprintf(out, "usage: fleetsim COMMAND [options]\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-8s %s\n", COMMANDS[i].name, COMMANDS[i].help);
    fprintf(out, "\n\"fleetsim COMMAND --help\" tells more.\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return EXIT_OK;
    }
    run_catch_signals();
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], COMMANDS[i].name) == 0)
            return COMMANDS[i].main(argc - 2, argv + 2);
    fprintf(stderr, "fleetsim: no command \"%s\"\n", argv[1]);
    usage(stderr);
    return EXIT_USAGE;
}
