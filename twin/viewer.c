#include "twin/viewer.h"

#include <string.h>

enum { PART_NAME_MAX = 512 }; /* longer names match only patterns that end in `>` before that */

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
            return subject < end;
        const char *dot = subject < end ? memchr(subject, '.', (size_t)(end - subject)) : NULL;
        size_t token_size = (size_t)((dot ? dot : end) - subject);
        if (token_size == 0)
            return false;
        bool any = pattern_size == 1 && *pattern == '*';
        if (!any && (pattern_size != token_size || memcmp(pattern, subject, token_size) != 0))
            return false;
        if (!pattern_dot || !dot)
            return !pattern_dot && !dot;
        pattern = pattern_dot + 1;
        subject = dot + 1;
    }
}

static bool any_subject(const struct viewer_patterns *patterns, const char *name, size_t size)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (subject_pattern_matches(patterns->patterns[i], name, size))
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
    char name[PART_NAME_MAX];
    size_t size = strlen(part);
    memcpy(name, part, size);
    if (rest_size > 0) {
        name[size++] = '.';
        size_t room = sizeof name - size;
        size_t used = rest_size < room ? rest_size : room;
        memcpy(name + size, rest, used);
        size += used;
    }
    if (any_subject(&viewer->deny, name, size))
        return false;
    for (size_t i = 0; i < viewer->scope_count; i++) {
        const struct viewer_scope *scope = &viewer->scopes[i];
        if (scope_has_vehicle(scope, vid) &&
            (!scope->allow.given || any_subject(&scope->allow, name, size)))
            return true;
    }
    return false;
}
