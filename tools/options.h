/*
 * options: one table per group of options, from which parsing, defaults and --help come.
 *
 * A table's row says where in the caller's struct the value lies. Texts point into argv or the
 * table and are not copied. Pure functions but for options_help, which prints to stdout.
 */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG,      /* bool: true where given */
    OPTION_TEXT,      /* const char * */
    OPTION_TEXTS,     /* struct option_texts: may be given several times */
    OPTION_INT,       /* int64_t */
    OPTION_REAL,      /* double */
    OPTION_MAYBE_INT, /* int64_t: 0 where given without a number */
};

struct option_spec {
    const char *name; /* without the dashes */
    const char *arg;  /* what the help calls the value, NULL for flags */
    const char *help;
    enum option_kind kind;
    size_t offset;     /* of the member in the target */
    const char *value; /* the default, as it would be given; NULL: none */
    double min, max;   /* of numbers; both 0: no bounds */
};

struct option_group {
    const char *title;
    const struct option_spec *specs;
    size_t count;
};

enum {
    OPTION_TEXTS_MAX = 16,
    OPTION_POSITIONALS_MAX = 64,
    OPTION_ERROR_BYTES = 200,
};

struct option_texts {
    const char *at[OPTION_TEXTS_MAX];
    size_t count;
};

struct option_args {
    const char *positionals[OPTION_POSITIONALS_MAX];
    size_t count;
    bool help; /* -h or --help was among them */
};

/* Sets the defaults in `target`, then what argv says. False, with `error` set, on a mistake. */
bool options_parse(const struct option_group *groups, size_t group_count, int argc, char **argv,
                   void *target, struct option_args *args, char error[OPTION_ERROR_BYTES]);
void options_help(const struct option_group *groups, size_t group_count);

#endif
