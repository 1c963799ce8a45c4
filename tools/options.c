#include "tools/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *member_of(void *target, const struct option_spec *spec)
{
    return (char *)target + spec->offset;
}

static bool in_bounds(const struct option_spec *spec, double value)
{
    return (spec->min == 0 && spec->max == 0) || (value >= spec->min && value <= spec->max);
}

static bool read_int(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0)
        return false;
    *value = number;
    return true;
}

static bool read_real(const char *text, double *value)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(number))
        return false;
    *value = number;
    return true;
}

static bool set_value(const struct option_spec *spec, const char *text, void *target,
                      char error[OPTION_ERROR_BYTES])
{
    void *member = member_of(target, spec);
    int64_t whole;
    double real;

    switch (spec->kind) {
    case OPTION_FLAG:
        *(bool *)member = true;
        return true;
    case OPTION_TEXT:
        *(const char **)member = text;
        return true;
    case OPTION_TEXTS: {
        struct option_texts *texts = member;
        if (texts->count == OPTION_TEXTS_MAX) {
            snprintf(error, OPTION_ERROR_BYTES, "--%s: at most %d times", spec->name,
                     OPTION_TEXTS_MAX);
            return false;
        }
        texts->at[texts->count++] = text;
        return true;
    }
    case OPTION_INT:
    case OPTION_MAYBE_INT:
        if (!read_int(text, &whole) || !in_bounds(spec, (double)whole))
            break;
        *(int64_t *)member = whole;
        return true;
    case OPTION_REAL:
        if (!read_real(text, &real) || !in_bounds(spec, real))
            break;
        *(double *)member = real;
        return true;
    }
    if (spec->min == 0 && spec->max == 0)
        snprintf(error, OPTION_ERROR_BYTES, "--%s: \"%s\" is no number", spec->name, text);
    else
        snprintf(error, OPTION_ERROR_BYTES, "--%s: \"%s\" is no number from %.15g to %.15g",
                 spec->name, text, spec->min, spec->max);
    return false;
}

static const struct option_spec *find_spec(const struct option_group *groups, size_t group_count,
                                           const char *name, size_t size)
{
    for (size_t g = 0; g < group_count; g++)
        for (size_t i = 0; i < groups[g].count; i++)
            if (strlen(groups[g].specs[i].name) == size &&
                memcmp(groups[g].specs[i].name, name, size) == 0)
                return &groups[g].specs[i];
    return NULL;
}

static bool set_defaults(const struct option_group *groups, size_t group_count, void *target,
                         char error[OPTION_ERROR_BYTES])
{
    for (size_t g = 0; g < group_count; g++)
        for (size_t i = 0; i < groups[g].count; i++)
            if (groups[g].specs[i].value &&
                !set_value(&groups[g].specs[i], groups[g].specs[i].value, target, error))
                return false;
    return true;
}

/* Takes the option at argv[*i], and its value where that stands in the next argument. */
static bool take_option(const struct option_group *groups, size_t group_count, int argc,
                        char **argv, int *i, void *target, char error[OPTION_ERROR_BYTES])
{
    const char *name = argv[*i] + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    const struct option_spec *spec = find_spec(groups, group_count, name, size);
    int64_t ignored;

    if (!spec) {
        snprintf(error, OPTION_ERROR_BYTES, "no option --%.*s", (int)size, name);
        return false;
    }
    if (spec->kind == OPTION_FLAG) {
        if (equals)
            snprintf(error, OPTION_ERROR_BYTES, "--%s takes no value", spec->name);
        return !equals && set_value(spec, "", target, error);
    }
    if (equals)
        return set_value(spec, equals + 1, target, error);
    bool more = *i + 1 < argc;
    if (spec->kind == OPTION_MAYBE_INT && !(more && read_int(argv[*i + 1], &ignored))) {
        *(int64_t *)member_of(target, spec) = 0;
        return true;
    }
    if (!more) {
        snprintf(error, OPTION_ERROR_BYTES, "--%s needs a value", spec->name);
        return false;
    }
    return set_value(spec, argv[++*i], target, error);
}

bool options_parse(const struct option_group *groups, size_t group_count, int argc, char **argv,
                   void *target, struct option_args *args, char error[OPTION_ERROR_BYTES])
{
    bool only_positionals = false;

    *args = (struct option_args){.count = 0};
    if (!set_defaults(groups, group_count, target, error))
        return false;
    for (int i = 0; i < argc; i++) {
        bool option = !only_positionals && argv[i][0] == '-' && argv[i][1] != '\0';
        if (option && strcmp(argv[i], "--") == 0) {
            only_positionals = true;
        } else if (option && (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)) {
            args->help = true;
        } else if (option && argv[i][1] == '-') {
            if (!take_option(groups, group_count, argc, argv, &i, target, error))
                return false;
        } else if (option) {
            snprintf(error, OPTION_ERROR_BYTES, "no option %s", argv[i]);
            return false;
        } else if (args->count == OPTION_POSITIONALS_MAX) {
            snprintf(error, OPTION_ERROR_BYTES, "at most %d arguments", OPTION_POSITIONALS_MAX);
            return false;
        } else {
            args->positionals[args->count++] = argv[i];
        }
    }
    return true;
}

void options_help(const struct option_group *groups, size_t group_count)
{
    for (size_t g = 0; g < group_count; g++) {
        printf("\n%s:\n", groups[g].title);
        for (size_t i = 0; i < groups[g].count; i++) {
            const struct option_spec *spec = &groups[g].specs[i];
            char left[48];
            snprintf(left, sizeof left, "--%s%s%s", spec->name, spec->arg ? " " : "",
                     spec->arg ? spec->arg : "");
            printf("  %-24s %s", left, spec->help);
            if (spec->value)
                printf(" [%s]", spec->value);
            printf("\n");
        }
    }
}
