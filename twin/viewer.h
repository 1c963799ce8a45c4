/*
 * viewer: which vehicles, and which parts of them, a caller may see (contract §6).
 *
 * A viewer holds scopes (role × vehicles × parts). Something is visible when one scope covers all
 * of it and no scope denies it. Every query takes a viewer from the first day; with access off it
 * is `viewer_all`. Visibility is decided before paging, counting and aggregating.
 *
 * Vehicle patterns may end in `*`. Part patterns are subject patterns: `*` is one token, a final
 * `>` the rest. Parts are named `state.<type>`, `desired.<key>`, `reported.<key>`, `meta.<key>`,
 * `config.<key>`, `delta`, `presence`.
 *
 * Pure functions over borrowed data, any thread.
 */
#ifndef TWIN_VIEWER_H
#define TWIN_VIEWER_H

#include <stdbool.h>
#include <stddef.h>

struct viewer_patterns {
    bool given; /* false: no restriction. True with count 0: nothing */
    const char *const *patterns;
    size_t count;
};

struct viewer_scope {
    struct viewer_patterns vehicles, allow;
};

struct viewer {
    const char *principal;
    const struct viewer_scope *scopes;
    size_t scope_count;
    struct viewer_patterns deny; /* of all scopes */
};

/* The same in a block of its own, to be freed; NULL when there is no memory. */
struct viewer *viewer_copy(const struct viewer *viewer);

/* Sees everything: the viewer of a hub whose access control is off. */
extern const struct viewer viewer_all;

/* True where nothing at all is hidden from it. */
bool viewer_sees_everything(const struct viewer *viewer);
bool viewer_sees_vehicle(const struct viewer *viewer, const char *vid);
/* Two pieces of a part's name, as if joined by a dot; `rest` NULL for a part without one. A
 * member's name may be empty or hold dots at its ends: each run between dots is a token, an empty
 * one too, so that no name slips past a pattern. */
bool viewer_sees_part(const struct viewer *viewer, const char *vid, const char *part,
                      const char *rest, size_t rest_size);

/* Building blocks, also of the access lane. A token may be empty: JSON names are not subjects. */
bool vehicle_pattern_matches(const char *pattern, const char *vid);
bool subject_pattern_matches(const char *pattern, const char *subject, size_t size);

#endif
