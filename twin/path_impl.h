/*
 * path_impl: what the files of paths and filters share beside path.h. Internal to twin/.
 */
#ifndef TWIN_PATH_IMPL_H
#define TWIN_PATH_IMPL_H

#include "twin/filter_lex.h"
#include "twin/path.h"
#include "twin/record_view.h"

#include <stdatomic.h>

#define TWIN_ROOT_TABLE(X)                                                                         \
    X(VID, "vid")                                                                                  \
    X(REGION, "region")                                                                            \
    X(PRESENCE, "presence")                                                                        \
    X(STATE, "state")                                                                              \
    X(REPORTED, "reported")                                                                        \
    X(DESIRED, "desired")                                                                          \
    X(DELTA, "delta")                                                                              \
    X(DELTA_SINCE, "delta_since")                                                                  \
    X(CONFIG, "config")                                                                            \
    X(META, "meta")                                                                                \
    X(REVISION, "revision")

enum twin_root {
#define X(id, name) ROOT_##id,
    TWIN_ROOT_TABLE(X)
#undef X
        TWIN_ROOT_COUNT
};

enum record_root {
#define X(name, kept) RECORD_ROOT_##name,
    RECORD_VIEW_TABLE(X)
#undef X
        RECORD_ROOT_COUNT
};

/* What is fixed below `presence`. */
enum presence_field { PRESENCE_NOTHING, PRESENCE_STATUS, PRESENCE_LAST_SEEN, PRESENCE_SINCE };

struct path {
    uint8_t kind;  /* enum path_kind */
    uint8_t root;  /* enum twin_root or enum record_root */
    uint8_t field; /* of presence: enum presence_field; of revision: enum part_kind */
    uint8_t count; /* names, the root included */
    const char *text;
    /* Where the state stood among the twin's states when it was last looked for: most vehicles of
     * a fleet have the same. A guess that any thread may better. */
    _Atomic(uint16_t) *guess;
    _Atomic(uint16_t) guess_room;
    struct slice names[];
};

/* The names of the roots, NULL behind the last. */
const char *const *path_roots(enum path_kind kind);

/* Where a path stands in a text; a hint depends on it. */
enum path_place { PLACE_LEFT, PLACE_RIGHT, PLACE_ARGUMENT, PLACE_ALONE };
/* Reads the path that is next. NULL with the error set. */
struct path *path_read(enum path_kind kind, struct lex *lex, enum path_place place);
/* The path with one more name. NULL when there is no memory. */
struct path *path_child(const struct path *path, struct slice name);

/* Whether it is one of the timestamps of the twin's or the record's own. */
bool path_is_time(const struct path *path);
/* Whether it names a root that always is an object. */
bool path_is_object(const struct path *path);
/* Whether age() takes it: state.<type>, delta, or a timestamp. */
bool path_has_age(const struct path *path);
/* The instant since which it has its age; TIMESTAMP_NONE for none. */
int64_t path_since_ns(const struct path *path, const struct subject_of_query *subject);

/* Whether all that it can lead to stands in documents, so that the two below say all of it. */
bool path_in_document(const struct path *path);
struct doc_ref path_document(const struct path *path, const struct subject_of_query *subject);
/* <0, 0, >0 as value_compare of two of one type; NEVER_COMPARES for other types or no value. */
enum { NEVER_COMPARES = 2 };
int document_compare(struct doc_ref ref, const struct value *literal);

/* Hints for a path whose first name is no root, for one that has no age, for an unknown
 * function. */
void hint_of_root(struct lex *lex, enum path_kind kind, const struct slice *names, size_t count,
                  enum path_place place);
void hint_of_age(struct lex *lex, const struct path *path);
void hint_of_function(struct lex *lex, struct slice name);
/* The one of the lower-case names, NULL behind the last, that somebody who wrote `name` may have
 * meant; NULL: no idea. */
const char *hint_nearest(struct slice name, const char *const *candidates);

#endif
