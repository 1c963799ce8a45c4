#include "hub/query_sight.h"

#include <stdlib.h>
#include <string.h>

/* Scopes are bits of a word; a viewer with more of them is judged by the slow way, which is right
 * for any number. */
enum { SCOPES_MAX = 64 };

struct vehicles {
    const char *text;
    size_t size; /* of what has to be the same */
    bool prefix; /* more may follow */
};

/* One thing that the query looks at: a part of the twin by its name. */
struct wanted {
    char *path;       /* as text; `rest` stands behind, in the same block */
    const char *part; /* a literal */
    struct slice rest;
    bool whole;      /* everything below `part` */
    bool denied;     /* by the denials, whatever the vehicle */
    uint64_t scopes; /* those that allow it */
};

struct query_sight {
    const struct viewer *viewer;
    bool everything; /* nothing at all is hidden from the viewer */
    bool slow;
    uint64_t unbounded; /* the scopes that hold every vehicle */
    size_t vehicle_count, wanted_count;
    struct vehicles *vehicles;
    uint64_t *vehicle_scopes; /* beside `vehicles` */
    struct wanted *wanted;
};

/* ---- the viewer ---- */

static void add_scope(struct query_sight *sight, size_t index)
{
    const struct viewer_patterns *patterns = &sight->viewer->scopes[index].vehicles;
    uint64_t bit = UINT64_C(1) << index;
    if (!patterns->given)
        sight->unbounded |= bit;
    for (size_t i = 0; patterns->given && i < patterns->count; i++) {
        const char *text = patterns->patterns[i];
        size_t size = strlen(text);
        bool prefix = size > 0 && text[size - 1] == '*';
        sight->vehicle_scopes[sight->vehicle_count] = bit;
        sight->vehicles[sight->vehicle_count++] =
            (struct vehicles){text, prefix ? size - 1 : size, prefix};
    }
}

struct query_sight *query_sight_new(const struct viewer *viewer)
{
    struct query_sight *sight = calloc(1, sizeof *sight);
    size_t patterns = 0;
    if (!sight)
        return NULL;
    sight->viewer = viewer;
    sight->everything = viewer_sees_everything(viewer);
    sight->slow = viewer->scope_count > SCOPES_MAX;
    if (sight->everything || sight->slow)
        return sight;
    for (size_t i = 0; i < viewer->scope_count; i++)
        patterns += viewer->scopes[i].vehicles.count;
    sight->vehicles = calloc(patterns + 1, sizeof *sight->vehicles);
    sight->vehicle_scopes = calloc(patterns + 1, sizeof *sight->vehicle_scopes);
    if (!sight->vehicles || !sight->vehicle_scopes) {
        query_sight_free(sight);
        return NULL;
    }
    for (size_t i = 0; i < viewer->scope_count; i++)
        add_scope(sight, i);
    return sight;
}

void query_sight_free(struct query_sight *sight)
{
    if (!sight)
        return;
    for (size_t i = 0; i < sight->wanted_count; i++)
        free(sight->wanted[i].path);
    free(sight->vehicles);
    free(sight->vehicle_scopes);
    free(sight->wanted);
    free(sight);
}

/* ---- the paths ---- */

bool query_pattern_reaches(const char *pattern, const char *part, bool all)
{
    size_t size = strcspn(pattern, ".");
    if (strcmp(pattern, ">") == 0)
        return true;
    bool same = size == strlen(part) && memcmp(pattern, part, size) == 0;
    if (!same && !(size == 1 && *pattern == '*'))
        return false;
    return all ? strcmp(pattern + size, ".>") == 0 : pattern[size] == '.';
}

static bool any_reaches(const struct viewer_patterns *patterns, const char *part, bool all)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (query_pattern_reaches(patterns->patterns[i], part, all))
            return true;
    return false;
}

static bool denials_cover(const struct viewer *viewer, const struct wanted *wanted)
{
    static const struct viewer_scope anything = {{false, NULL, 0}, {false, NULL, 0}};
    struct viewer only = {viewer->principal, &anything, 1, viewer->deny};
    if (wanted->whole && any_reaches(&viewer->deny, wanted->part, false))
        return true;
    return !viewer_sees_part(&only, "", wanted->part, wanted->rest.at, wanted->rest.size);
}

static bool scope_allows(const struct viewer_scope *scope, const struct wanted *wanted)
{
    struct viewer_scope here = {{false, NULL, 0}, scope->allow};
    struct viewer only = {"", &here, 1, {false, NULL, 0}};
    if (!scope->allow.given)
        return true;
    if (wanted->whole)
        return any_reaches(&scope->allow, wanted->part, true);
    return viewer_sees_part(&only, "", wanted->part, wanted->rest.at, wanted->rest.size);
}

/* Paths may go before the sight does: those of a group's filter. */
static bool keep_names(struct wanted *wanted, const struct path *path)
{
    size_t size = strlen(path_text(path)) + 1;
    wanted->path = malloc(size + wanted->rest.size);
    if (!wanted->path)
        return false;
    memcpy(wanted->path, path_text(path), size);
    if (!wanted->rest.at)
        return true;
    memcpy(wanted->path + size, wanted->rest.at, wanted->rest.size);
    wanted->rest.at = wanted->path + size;
    return true;
}

static bool add_wanted(struct query_sight *sight, const struct path *path, const char *part,
                       struct slice rest)
{
    const struct viewer *viewer = sight->viewer;
    bool single = strcmp(part, "presence") == 0 || strcmp(part, "delta") == 0;
    struct wanted wanted = {NULL, part, rest, !rest.at && !single, false, 0};
    wanted.denied = denials_cover(viewer, &wanted);
    for (size_t i = 0; i < viewer->scope_count && i < SCOPES_MAX; i++)
        if (scope_allows(&viewer->scopes[i], &wanted))
            wanted.scopes |= UINT64_C(1) << i;
    struct wanted *more = realloc(sight->wanted, (sight->wanted_count + 1) * sizeof *sight->wanted);
    if (!more)
        return false;
    sight->wanted = more;
    if (!keep_names(&wanted, path))
        return false;
    sight->wanted[sight->wanted_count++] = wanted;
    return true;
}

bool query_sight_add(struct query_sight *sight, const struct path *path)
{
    const char *part;
    struct slice rest;
    if (sight->everything)
        return true;
    path_part(path, &part, &rest);
    if (part && !add_wanted(sight, path, part, rest))
        return false;
    path_second_part(path, &part, &rest);
    return !part || add_wanted(sight, path, part, rest);
}

/* ---- the vehicles ---- */

/* By hand: the patterns of a fleet mostly differ within some characters, and a call for each of
 * them and of a hundred thousand vehicles costs more than that. */
static bool vehicle_is(const struct vehicles *vehicles, const char *vid)
{
    for (size_t i = 0; i < vehicles->size; i++)
        if (vehicles->text[i] != vid[i]) /* an end of the id differs too */
            return false;
    return vehicles->prefix || vid[vehicles->size] == '\0';
}

/* By the scopes one by one, as many as there are. */
static enum sight slow_sight(const struct query_sight *sight, const char *vid, const char **path)
{
    const struct viewer *viewer = sight->viewer;
    if (!viewer_sees_vehicle(viewer, vid))
        return SIGHT_HIDDEN;
    for (size_t i = 0; i < sight->wanted_count; i++) {
        const struct wanted *wanted = &sight->wanted[i];
        bool allowed = false;
        for (size_t s = 0; s < viewer->scope_count && !allowed && !wanted->denied; s++) {
            struct viewer one = {viewer->principal, &viewer->scopes[s], 1, {false, NULL, 0}};
            allowed = viewer_sees_vehicle(&one, vid) && scope_allows(&viewer->scopes[s], wanted);
        }
        if (!allowed) {
            if (path)
                *path = wanted->path;
            return SIGHT_DENIED;
        }
    }
    return SIGHT_SEEN;
}

enum sight query_sight_of(const struct query_sight *sight, const char *vid, const char **path)
{
    if (sight->everything)
        return SIGHT_SEEN;
    if (sight->slow)
        return slow_sight(sight, vid, path);
    uint64_t scopes = sight->unbounded;
    for (size_t i = 0; i < sight->vehicle_count; i++)
        if (!(scopes & sight->vehicle_scopes[i]) && vehicle_is(&sight->vehicles[i], vid))
            scopes |= sight->vehicle_scopes[i];
    if (!scopes)
        return SIGHT_HIDDEN;
    for (size_t i = 0; i < sight->wanted_count; i++)
        if (sight->wanted[i].denied || !(sight->wanted[i].scopes & scopes)) {
            if (path)
                *path = sight->wanted[i].path;
            return SIGHT_DENIED;
        }
    return SIGHT_SEEN;
}

bool query_sees_some(const struct viewer *viewer, const char *vid, const char *part)
{
    if (any_reaches(&viewer->deny, part, true))
        return false;
    for (size_t i = 0; i < viewer->scope_count; i++) {
        const struct viewer_scope *scope = &viewer->scopes[i];
        struct viewer one = {viewer->principal, scope, 1, {false, NULL, 0}};
        if (viewer_sees_vehicle(&one, vid) &&
            (!scope->allow.given || any_reaches(&scope->allow, part, false)))
            return true;
    }
    return false;
}

bool query_sees_whole(const struct viewer *viewer, const char *vid, const char *part)
{
    const struct wanted whole = {.part = part, .whole = true};
    if (denials_cover(viewer, &whole))
        return false;
    for (size_t i = 0; i < viewer->scope_count; i++) {
        const struct viewer_scope *scope = &viewer->scopes[i];
        struct viewer one = {viewer->principal, scope, 1, {false, NULL, 0}};
        if (viewer_sees_vehicle(&one, vid) && scope_allows(scope, &whole))
            return true;
    }
    return false;
}
