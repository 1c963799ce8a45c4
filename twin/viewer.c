#include "twin/viewer.h"

#include <stdlib.h>
#include <string.h>

static const struct viewer_scope scope_all = {{false, NULL, 0}, {false, NULL, 0}};
const struct viewer viewer_all = {"local", &scope_all, 1, {false, NULL, 0}};

bool vehicle_pattern_matches(const char *pattern, const char *vid)
{
    size_t size = strlen(pattern);
    if (size > 0 && pattern[size - 1] == '*')
        return strncmp(pattern, vid, size - 1) == 0;
    return strcmp(pattern, vid) == 0;
}

bool subject_pattern_matches(const char *pattern, const char *subject, size_t size)
{
    const char *end = subject + size;
    for (;;) {
        const char *pattern_dot = strchr(pattern, '.');
        size_t pattern_size = pattern_dot ? (size_t)(pattern_dot - pattern) : strlen(pattern);
        if (pattern_size == 1 && *pattern == '>')
            return true;
        const char *dot = memchr(subject, '.', (size_t)(end - subject));
        size_t token_size = (size_t)((dot ? dot : end) - subject);
        bool any = pattern_size == 1 && *pattern == '*';
        if (!any && (pattern_size != token_size || memcmp(pattern, subject, token_size) != 0))
            return false;
        if (!pattern_dot || !dot)
            return !pattern_dot && !dot;
        pattern = pattern_dot + 1;
        subject = dot + 1;
    }
}

/* The same for a part's name in its two pieces, so that a name of any length needs no room. */
static bool part_pattern_matches(const char *pattern, const char *part, const char *rest,
                                 size_t rest_size)
{
    if (!rest)
        return subject_pattern_matches(pattern, part, strlen(part));
    if (strcmp(pattern, ">") == 0)
        return true;
    const char *dot = strchr(pattern, '.');
    size_t first = dot ? (size_t)(dot - pattern) : 0;
    bool any = first == 1 && *pattern == '*';
    if (!dot || (!any && (strlen(part) != first || memcmp(pattern, part, first) != 0)))
        return false;
    return subject_pattern_matches(dot + 1, rest, rest_size);
}

static bool any_part(const struct viewer_patterns *patterns, const char *part, const char *rest,
                     size_t rest_size)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (part_pattern_matches(patterns->patterns[i], part, rest, rest_size))
            return true;
    return false;
}

static bool scope_has_vehicle(const struct viewer_scope *scope, const char *vid)
{
    if (!scope->vehicles.given)
        return true;
    for (size_t i = 0; i < scope->vehicles.count; i++)
        if (vehicle_pattern_matches(scope->vehicles.patterns[i], vid))
            return true;
    return false;
}

bool viewer_sees_everything(const struct viewer *viewer)
{
    if (viewer->deny.count > 0)
        return false;
    for (size_t i = 0; i < viewer->scope_count; i++)
        if (!viewer->scopes[i].vehicles.given && !viewer->scopes[i].allow.given)
            return true;
    return false;
}

bool viewer_sees_vehicle(const struct viewer *viewer, const char *vid)
{
    for (size_t i = 0; i < viewer->scope_count; i++)
        if (scope_has_vehicle(&viewer->scopes[i], vid))
            return true;
    return false;
}

bool viewer_sees_part(const struct viewer *viewer, const char *vid, const char *part,
                      const char *rest, size_t rest_size)
{
    if (any_part(&viewer->deny, part, rest, rest_size))
        return false;
    for (size_t i = 0; i < viewer->scope_count; i++) {
        const struct viewer_scope *scope = &viewer->scopes[i];
        if (scope_has_vehicle(scope, vid) &&
            (!scope->allow.given || any_part(&scope->allow, part, rest, rest_size)))
            return true;
    }
    return false;
}

/* ---- copying ---- */

/* Where the next things go: pointers from one end of the block on, texts behind all of them. */
struct copying {
    const char **pointers;
    char *texts;
};

static void measure(const struct viewer_patterns *patterns, size_t *pointers, size_t *bytes)
{
    *pointers += patterns->count;
    for (size_t i = 0; i < patterns->count; i++)
        *bytes += strlen(patterns->patterns[i]) + 1;
}

static const char *copy_text(struct copying *to, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(to->texts, text, size);
    to->texts += size;
    return copy;
}

static struct viewer_patterns copy_patterns(struct copying *to,
                                            const struct viewer_patterns *patterns)
{
    const char **list = to->pointers;
    to->pointers += patterns->count;
    for (size_t i = 0; i < patterns->count; i++)
        list[i] = copy_text(to, patterns->patterns[i]);
    return (struct viewer_patterns){patterns->given, list, patterns->count};
}

struct viewer *viewer_copy(const struct viewer *viewer)
{
    const char *principal = viewer->principal ? viewer->principal : "";
    size_t pointers = 0, bytes = strlen(principal) + 1;
    measure(&viewer->deny, &pointers, &bytes);
    for (size_t i = 0; i < viewer->scope_count; i++) {
        measure(&viewer->scopes[i].vehicles, &pointers, &bytes);
        measure(&viewer->scopes[i].allow, &pointers, &bytes);
    }
    struct viewer *copy = malloc(sizeof *copy + viewer->scope_count * sizeof *viewer->scopes +
                                 pointers * sizeof(char *) + bytes);
    if (!copy)
        return NULL;
    struct viewer_scope *scopes = (struct viewer_scope *)(copy + 1);
    struct copying to = {.pointers = (const char **)(scopes + viewer->scope_count)};
    to.texts = (char *)(to.pointers + pointers);
    for (size_t i = 0; i < viewer->scope_count; i++) {
        scopes[i].vehicles = copy_patterns(&to, &viewer->scopes[i].vehicles);
        scopes[i].allow = copy_patterns(&to, &viewer->scopes[i].allow);
    }
    *copy = (struct viewer){.scopes = scopes, .scope_count = viewer->scope_count};
    copy->deny = copy_patterns(&to, &viewer->deny);
    copy->principal = copy_text(&to, principal);
    return copy;
}
