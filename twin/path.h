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
 * Threads: a compiled path may be used by any number of threads.
 * Limits: PATH_MAX_NAMES names, PATH_MAX_BYTES of names.
 */
#ifndef TWIN_PATH_H
#define TWIN_PATH_H

#include "twin/doc.h"
#include "twin/geo.h"
#include "twin/twin.h"

enum { PATH_MAX_NAMES = 34, PATH_MAX_BYTES = 1024 };

/* ---- values ---- */

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

/* How much is known of a number beside the nearest double. */
enum number_form {
    NUMBER_DOUBLE,  /* no more: it was computed */
    NUMBER_DECIMAL, /* it is exactly mantissa × 10^exponent */
    NUMBER_DIGITS,  /* it is exactly what the digits of `string` say */
};

struct value {
    uint8_t type; /* enum value_type */
    uint8_t form; /* VALUE_NUMBER: enum number_form */
    int8_t exponent;
    bool boolean;
    double number; /* VALUE_NUMBER: the nearest double */
    union {
        int64_t mantissa;    /* NUMBER_DECIMAL */
        int64_t ns;          /* VALUE_TIME, VALUE_DURATION */
        struct slice string; /* VALUE_STRING, NUMBER_DIGITS */
        size_t members;      /* VALUE_OBJECT, VALUE_ARRAY */
    };
    struct doc_ref doc; /* where it stands in a document, if it does */
};

struct value value_of_doc(struct doc_ref ref); /* of no value: VALUE_MISSING */
struct value value_of_int(int64_t number);
struct value value_of_double(double number);
struct value value_of_time(int64_t timestamp_ns); /* TIMESTAMP_NONE: null */
struct value value_of_string(const char *at, size_t size);

/* Two of one type that has an order: numbers by value, exactly where both are; strings by bytes;
 * instants and durations by time; false before true. */
int value_compare(const struct value *a, const struct value *b);

/* ---- paths ---- */

/* What paths are looked up in: exactly one of the two is set. */
struct record_view; /* twin/record_view.h: the members of a record */
struct subject_of_query {
    const struct twin *twin;
    const char *region;
    const struct record_view *record;
};

enum path_kind { PATH_OF_TWIN, PATH_OF_RECORD };

struct path;

/* NULL with *error set. `base` is the offset in code points at which `text` stands in what the user
 * wrote. error->detail is "out of memory" where there is none. */
struct path *path_compile(enum path_kind kind, const char *text, size_t size, size_t base,
                          struct text_error *error);
/* The same for a list with commas, such as fields: reads one path from *at on and moves *at behind
 * it and the comma that follows; at the end of the text *at is `size`. An empty item is an error.
 */
struct path *path_next(enum path_kind kind, const char *text, size_t size, size_t *at,
                       struct text_error *error);
void path_free(struct path *path);
/* As written canonically, names quoted where they must be; NUL-terminated. */
const char *path_text(const struct path *path);
/* Its names one by one; at NULL behind the last. */
struct slice path_name(const struct path *path, size_t i);
/* Appends a name as it is written in a path: quoted where it must be. */
void path_write_name(struct buf *out, const char *name, size_t size);

/* The part a viewer must be allowed to see for this path (contract §6), as viewer_sees_part takes
 * it. *part is NULL where there is nothing to be allowed: `vid`, `region`, `revision` and whatever
 * stands in a record, which is visible as a whole or not. rest->at is NULL where the path names
 * the whole of `state` or of a part of the shadow, and for `presence`, `delta` and `delta_since`.
 * What stands in `delta` is the desired value too: `delta.mode` needs to see `desired.mode`
 * besides, which the second call tells (*part NULL for every other path). */
void path_part(const struct path *path, const char **part, struct slice *rest);
void path_second_part(const struct path *path, const char **part, struct slice *rest);

struct value path_value(const struct path *path, const struct subject_of_query *subject);
/* `lat` and `lon` of the object at the path; false where it has not both as numbers. */
bool path_position(const struct path *path, const struct subject_of_query *subject, double *lat,
                   double *lon);

#endif
