/*
 * path: a name of something in a twin or a record, and the typed value that stands there.
 *
 *     state.battery.remaining   presence.status   meta.site   state."battery.cells".lowest
 *
 * path = name { "." name }; name = ASCII letters, digits, "_", "-", or a quoted string with JSON
 * escapes (contract §5). The first name is a root; an unknown root is an error with a hint, an
 * unknown name below one is simply missing. `state` is keyed by the whole type. A path does not
 * descend into the elements of an array; digits are plain keys.
 *
 * A path is compiled once and evaluated without allocation: a value borrows from the twin or
 * record it was taken from.
 *
 * Threads: a compiled path is immutable.
 * Limits: PATH_MAX_NAMES names, PATH_MAX_BYTES of text.
 */
#ifndef TWIN_PATH_H
#define TWIN_PATH_H

#include "twin/doc.h"
#include "twin/twin.h"

enum { PATH_MAX_NAMES = 34, PATH_MAX_BYTES = 1024 };

enum value_type {
    VALUE_MISSING,
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_NUMBER,
    VALUE_STRING,
    VALUE_TIME,     /* one of the twin's or record's own timestamps */
    VALUE_DURATION, /* age(…) and duration literals; nanoseconds */
    VALUE_OBJECT,
    VALUE_ARRAY,
};

struct value {
    enum value_type type;
    bool boolean;
    double number;       /* VALUE_NUMBER */
    int64_t ns;          /* VALUE_TIME, VALUE_DURATION */
    struct slice string; /* VALUE_STRING */
    struct doc_ref doc;  /* where the value stands in a document; for exact numbers and containers */
};

/* What paths are looked up in: exactly one of the two is set. */
struct record_view; /* twin/record_view.h: the members of a record */
struct subject_of_query {
    const struct twin *twin;
    const char *region;
    const struct record_view *record;
};

enum path_kind { PATH_OF_TWIN, PATH_OF_RECORD };

struct path;

/* An error in a text of ours (filter, order_by, fields, …): for problem+json. */
struct text_error {
    size_t offset;   /* in code points, of the first character of the offending token */
    char detail[200];
    char hint[200]; /* "" for none: "did you mean state.battery.remaining?" */
};

/* NULL with *error set. `base` is the offset in code points at which `text` stands in what the user
 * wrote. error->detail "out of memory" where there is none. */
struct path *path_compile(enum path_kind kind, const char *text, size_t size, size_t base,
                          struct text_error *error);
void path_free(struct path *path);
/* As written canonically, names quoted where they must be; NUL-terminated. */
const char *path_text(const struct path *path);
/* The part a viewer must be allowed to see for this path (contract §6): "state", "<type>" …;
 * see viewer_sees_part. `rest` is empty for a whole root. */
void path_part(const struct path *path, const char **part, struct slice *rest);

struct value path_value(const struct path *path, const struct subject_of_query *subject);

#endif
