/* Hints: what somebody may have meant whose path begins with no root, or whose function is none.
 * They are guesses from the text and from what contract §2 lists; nothing depends on them. */
#include "twin/path_impl.h"

#include <string.h>

enum {
    COMPARED_MAX_BYTES = 24,
    FAR = 3, /* a guess is less than so many typing errors away */
    SHORT_MIN_BYTES = 3,
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many letters were lost, added, changed or swapped between the two; case does not count. */
static unsigned typing_errors(struct slice a, const char *b)
{
    unsigned rows[3][COMPARED_MAX_BYTES + 1];
    size_t b_size = strlen(b);
    if (a.size > COMPARED_MAX_BYTES || b_size > COMPARED_MAX_BYTES)
        return FAR;
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_size; j++)
        before[j] = last[j] = (unsigned)j;
    for (size_t i = 1; i <= a.size; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            bool same = lower(a.at[i - 1]) == b[j - 1];
            row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + !same);
            if (i > 1 && j > 1 && lower(a.at[i - 1]) == b[j - 2] && lower(a.at[i - 2]) == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *spare = before;
        before = last, last = row, row = spare;
    }
    return last[b_size];
}

/* Whether it is what somebody writes who shortens the name. */
static bool shortens(struct slice name, const char *whole)
{
    size_t size = strlen(whole);
    if (name.size < SHORT_MIN_BYTES || name.size >= size)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (lower(name.at[i]) != whole[i])
            return false;
    return true;
}

const char *hint_nearest(struct slice name, const char *const *candidates)
{
    const char *best = NULL, *longer = NULL;
    unsigned best_errors = FAR;
    for (; *candidates; candidates++) {
        unsigned errors = typing_errors(name, *candidates);
        /* Of a short name, few letters may be wrong. */
        if (errors < best_errors && errors < name.size && errors * 3 <= strlen(*candidates)) {
            best = *candidates;
            best_errors = errors;
        }
        if (!longer && shortens(name, *candidates))
            longer = *candidates;
    }
    return best ? best : longer;
}

/* What vehicles send (contract §2): the type, and the field most often asked for. */
static const struct {
    const char *type, *field;
} state_types[] = {{"position", NULL},
                   {"attitude", NULL},
                   {"battery", "remaining"},
                   {"mode", "mode"},
                   {"health", NULL}};

static const struct {
    const char *name, *path;
} fields[] = {
    {"lat", "state.position.lat"},
    {"lon", "state.position.lon"},
    {"alt", "state.position.alt"},
    {"rel_alt", "state.position.rel_alt"},
    {"heading", "state.position.heading"},
    {"vx", "state.position.vx"},
    {"vy", "state.position.vy"},
    {"vz", "state.position.vz"},
    {"roll", "state.attitude.roll"},
    {"pitch", "state.attitude.pitch"},
    {"yaw", "state.attitude.yaw"},
    {"voltage", "state.battery.voltage"},
    {"current", "state.battery.current"},
    {"remaining", "state.battery.remaining"},
    {"armed", "state.mode.armed"},
    {"cpu_load", "state.health.cpu_load"},
    {"errors", "state.health.errors"},
    {"sensors_ok", "state.health.sensors_ok"},
    {"gps_fix", "state.health.gps_fix"},
    {"satellites", "state.health.satellites"},
    {"status", "presence.status"},
    {"last_seen", "presence.last_seen"},
    {"since", "presence.since"},
    {"site", "meta.site"},
    {"id", "vid"},
    {"online", "presence.status = \"online\""},
    {"stale", "presence.status = \"stale\""},
    {"offline", "presence.status = \"offline\""},
};

static bool same_name(struct slice name, const char *known)
{
    return name.size == strlen(known) && typing_errors(name, known) == 0;
}

/* "did you mean <begin>.<the names from the i-th on>?" */
static void suggest(struct lex *lex, const char *begin, const struct slice *names, size_t i,
                    size_t count)
{
    struct buf path = BUF_INIT;
    buf_adds(&path, begin);
    for (; i < count; i++) {
        buf_addc(&path, '.');
        path_write_name(&path, names[i].at, names[i].size);
    }
    const char *text = buf_cstr(&path);
    if (*text)
        lex_hint(lex, "did you mean %s?", text);
    buf_done(&path);
}

/* `battery.remaining`, `battery`, `remaining`: somebody left out what stands before. */
static bool hint_of_twin(struct lex *lex, const struct slice *names, size_t count,
                         enum path_place place)
{
    for (size_t i = 0; i < sizeof state_types / sizeof *state_types; i++) {
        const char *type = state_types[i].type;
        if (!same_name(names[0], type))
            continue;
        struct slice path[2] = {{type, strlen(type)}, {state_types[i].field, 0}};
        bool field = count == 1 && path[1].at && place != PLACE_ARGUMENT;
        path[1].size = field ? strlen(path[1].at) : 0;
        if (count == 1) {
            suggest(lex, "state", path, 0, field ? 2 : 1);
            return true;
        }
        suggest(lex, "state", names, 0, count);
        return true;
    }
    for (size_t i = 0; count == 1 && i < sizeof fields / sizeof *fields; i++) {
        if (same_name(names[0], fields[i].name)) {
            lex_hint(lex, "did you mean %s?", fields[i].path);
            return true;
        }
    }
    return false;
}

static bool hint_of_keyword(struct lex *lex, struct slice name)
{
    static const char *const keywords[][2] = {{"not", "NOT"},     {"and", "AND"},
                                              {"or", "OR"},       {"true", "true"},
                                              {"false", "false"}, {"null", "null"}};
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (same_name(name, keywords[i][0]))
            return !lex_hint(lex, "did you mean %s?", keywords[i][1]);
    return false;
}

void hint_of_root(struct lex *lex, enum path_kind kind, const struct slice *names, size_t count,
                  enum path_place place)
{
    if (count == 1 && hint_of_keyword(lex, names[0]))
        return;
    if (count == 1 && place == PLACE_RIGHT) {
        lex_hint(lex, "did you mean \"%.*s\"? strings stand in double quotes", (int)names[0].size,
                 names[0].at);
        return;
    }
    if (kind == PATH_OF_TWIN && hint_of_twin(lex, names, count, place))
        return;
    const char *root = hint_nearest(names[0], path_roots(kind));
    if (root)
        suggest(lex, root, names, 1, count);
    else if (kind == PATH_OF_RECORD)
        suggest(lex, "data", names, 0, count);
    else
        lex_hint(lex, "a path begins with vid, region, presence, state, reported, desired, delta, "
                      "delta_since, config, meta or revision");
}

void hint_of_age(struct lex *lex, const struct path *path)
{
    struct buf name = BUF_INIT;
    struct slice type = path_name(path, 1);
    if (path->kind == PATH_OF_TWIN && path->root == ROOT_PRESENCE) {
        lex_hint(lex, "did you mean age(presence.last_seen)?");
    } else if (path->kind == PATH_OF_TWIN && path->root == ROOT_STATE && type.at) {
        path_write_name(&name, type.at, type.size);
        lex_hint(lex, "did you mean age(state.%s)?", buf_cstr(&name));
    }
    buf_done(&name);
}

void hint_of_function(struct lex *lex, struct slice name)
{
    static const char *const functions[] = {"distance", "age", "inside", "bbox", "group", NULL};
    const char *function = hint_nearest(name, functions);
    if (function)
        lex_hint(lex, "did you mean %s(…)?", function);
    else
        lex_hint(lex, "there are distance, age, inside, bbox and group");
}
