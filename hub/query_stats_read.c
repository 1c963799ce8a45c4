/* What statistics are asked for. */
#include "hub/query_stats.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BLANKS " \t\r\n"

static size_t code_points(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

__attribute__((format(printf, 4, 5))) static bool fail(struct text_error *error, const char *text,
                                                       size_t at, const char *format, ...)
{
    va_list args;
    *error = (struct text_error){.offset = code_points(text, at)};
    va_start(args, format);
    vsnprintf(error->detail, sizeof error->detail, format, args);
    va_end(args);
    return false;
}

static bool same(struct slice a, struct slice b)
{
    return a.size == b.size && memcmp(a.at, b.at, a.size) == 0;
}

static struct slice trim(const char *text, size_t from, size_t end)
{
    while (end > from && strchr(BLANKS ",", text[end - 1]))
        end--;
    while (from < end && strchr(BLANKS, text[from]))
        from++;
    return (struct slice){text + from, end - from};
}

/* ---- group_by ---- */

static bool has_key(const struct stats_spec *spec, struct slice label)
{
    for (size_t i = 0; i < spec->key_count; i++)
        if (same(spec->key_labels[i], label))
            return true;
    return false;
}

static bool read_keys(struct stats_spec *spec, const char *text, struct text_error *error)
{
    size_t size = strlen(text), at = 0;
    do {
        size_t from = at;
        struct path *path = path_next(PATH_OF_TWIN, text, size, &at, error);
        if (!path)
            return false;
        struct slice label = trim(text, from, at);
        if (has_key(spec, label)) { /* asked for twice, shown once */
            path_free(path);
            continue;
        }
        if (spec->key_count == STATS_KEYS_MAX) {
            path_free(path);
            return fail(error, text, from, "more than %d paths to group by", STATS_KEYS_MAX);
        }
        spec->key_labels[spec->key_count] = label;
        spec->keys[spec->key_count++] = path;
    } while (at < size);
    return true;
}

/* ---- stats ---- */

static const struct slice names[] = {
#define X(id, name) {name, sizeof name - 1},
    STAT_TABLE(X)
#undef X
};

static bool find_kind(struct slice name, struct stat_asked *asked)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (same(name, names[i])) {
            asked->kind = (enum stat_kind)i;
            return true;
        }
    if (name.size < 2 || name.size > 3 || name.at[0] != 'p' || name.at[1] == '0')
        return false;
    asked->kind = STAT_RANK;
    for (size_t i = 1; i < name.size; i++) {
        if (name.at[i] < '0' || name.at[i] > '9')
            return false;
        asked->percent = asked->percent * 10 + (unsigned)(name.at[i] - '0');
    }
    return true;
}

/* Behind the parenthesis that closes the one before `at`; the text's size where none does. */
static size_t behind_paren(const char *text, size_t size, size_t at)
{
    for (bool quoted = false; at < size; at++) {
        if (quoted && text[at] == '\\')
            at++;
        else if (text[at] == '"')
            quoted = !quoted;
        else if (text[at] == ')' && !quoted)
            return at + 1;
    }
    return size;
}

/* The column of the path, a new one where there is none. Takes the path. */
static size_t column_of(struct stats_spec *spec, struct path *path, bool ranked)
{
    size_t i = 0;
    while (i < spec->column_count && strcmp(path_text(spec->columns[i].path), path_text(path)) != 0)
        i++;
    if (i < spec->column_count)
        path_free(path);
    else
        spec->columns[spec->column_count++] = (struct stat_column){path, false};
    spec->columns[i].ranked = spec->columns[i].ranked || ranked;
    return i;
}

static bool has_stat(const struct stats_spec *spec, struct slice label)
{
    for (size_t i = 0; i < spec->stat_count; i++)
        if (same(spec->stats[i].label, label))
            return true;
    return false;
}

/* One statistic from *at on; *at moves behind it. */
static bool read_stat(struct stats_spec *spec, const char *text, size_t size, size_t *at,
                      struct text_error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    struct stat_asked asked = {.kind = STAT_COUNT};
    size_t from = *at, end = from + strspn(text + from, letters);
    if (!find_kind((struct slice){text + from, end - from}, &asked)) {
        fail(error, text, from, "no statistic is called so");
        snprintf(error->hint, sizeof error->hint,
                 "count, avg(path), min(path), max(path), sum(path), p50(path), p95(path)");
        return false;
    }
    *at = end;
    if (asked.kind != STAT_COUNT) {
        if (text[end] != '(')
            return fail(error, text, end, "%.*s needs a path in parentheses", (int)(end - from),
                        text + from);
        *at = behind_paren(text, size, end + 1);
        if (text[*at - 1] != ')' || *at == end + 1)
            return fail(error, text, size, "a closing parenthesis is missing");
    }
    asked.label = (struct slice){text + from, *at - from};
    if (has_stat(spec, asked.label))
        return true;
    if (spec->stat_count == STATS_MAX)
        return fail(error, text, from, "more than %d statistics", STATS_MAX);
    if (asked.kind != STAT_COUNT) {
        struct path *path = path_compile(PATH_OF_TWIN, text + end + 1, *at - end - 2,
                                         code_points(text, end + 1), error);
        if (!path)
            return false;
        asked.column = column_of(spec, path, asked.kind == STAT_RANK);
    }
    spec->stats[spec->stat_count++] = asked;
    return true;
}

static bool read_stats(struct stats_spec *spec, const char *text, struct text_error *error)
{
    size_t size = strlen(text), at = strspn(text, BLANKS);
    for (;;) {
        if (!read_stat(spec, text, size, &at, error))
            return false;
        at += strspn(text + at, BLANKS);
        if (at == size)
            return true;
        if (text[at] != ',')
            return fail(error, text, at, "a comma is missing");
        at++;
        at += strspn(text + at, BLANKS);
    }
}

/* ---- both ---- */

bool stats_spec_init(struct stats_spec *spec, const char *group_by, const char *stats,
                     const char **parameter, struct text_error *error)
{
    *spec = (struct stats_spec){.key_count = 0};
    *error = (struct text_error){.offset = 0};
    bool ok = true;
    *parameter = "group_by";
    if (group_by && strlen(group_by) > STATS_TEXT_MAX_BYTES)
        ok = fail(error, group_by, 0, "more than %d bytes", STATS_TEXT_MAX_BYTES);
    else if (group_by)
        ok = read_keys(spec, group_by, error);
    if (ok) {
        *parameter = "stats";
        if (!stats)
            stats = "count";
        ok = strlen(stats) > STATS_TEXT_MAX_BYTES
                 ? fail(error, stats, 0, "more than %d bytes", STATS_TEXT_MAX_BYTES)
                 : read_stats(spec, stats, error);
    }
    if (!ok)
        stats_spec_done(spec);
    return ok;
}

void stats_spec_done(struct stats_spec *spec)
{
    for (size_t i = 0; i < spec->key_count; i++)
        path_free(spec->keys[i]);
    for (size_t i = 0; i < spec->column_count; i++)
        path_free(spec->columns[i].path);
    spec->key_count = spec->column_count = 0;
}
