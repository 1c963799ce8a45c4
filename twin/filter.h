/*
 * filter: the filter language of contract §5, compiled once, evaluated on typed values.
 *
 * The same language for lists, statistics, groups, live streams, command targets and the record. A
 * comparison on a missing value or between types is false, `!=` included. AND and OR at one level
 * need parentheses. An empty filter matches everything.
 *
 * A compiled filter may be evaluated by any number of threads; groups are looked up when it is
 * evaluated, so that a group that changes or goes away later takes effect.
 *
 * Limits: FILTER_MAX_BYTES of text, FILTER_MAX_TERMS terms, FILTER_MAX_DEPTH of nesting.
 */
#ifndef TWIN_FILTER_H
#define TWIN_FILTER_H

#include "twin/geo.h"
#include "twin/path.h"

enum { FILTER_MAX_BYTES = 4096, FILTER_MAX_TERMS = 64, FILTER_MAX_DEPTH = 64 };

struct filter;

/* What the filter knows of groups. */
struct filter_groups {
    void *closure;
    /* Whether a group of that name exists, asked when compiling. */
    bool (*exists)(void *closure, const char *name);
    /* Whether the twin is in it, asked when evaluating; a group that is gone holds nobody. */
    bool (*holds)(void *closure, const char *name, const struct subject_of_query *subject,
                  int64_t now_ns);
    /* Whether who is in it can change by time alone; NULL: it may. */
    bool (*depends_on_time)(void *closure, const char *name);
};

/* NULL with *error set: what the text alone shows to be senseless is refused here. `groups` may be
 * NULL: then every group is unknown; it must outlive the filter. error->detail is "out of memory"
 * where there is none. */
struct filter *filter_compile(enum path_kind kind, const char *text, size_t size,
                              const struct filter_groups *groups, struct text_error *error);
void filter_free(struct filter *filter);

/* `now_ns`: the broker's time, for age(). */
bool filter_matches(const struct filter *filter, const struct subject_of_query *subject,
                    int64_t now_ns);
/* The same step by step, for who wants to do something before a term looks at the subject: begin at
 * filter_first; as long as it is a term, i.e. below FILTER_ACCEPTS, ask it, and go on where it
 * says. */
enum { FILTER_ACCEPTS = FILTER_MAX_TERMS, FILTER_REJECTS };
size_t filter_first(const struct filter *filter);
size_t filter_ask(const struct filter *filter, size_t term, const struct subject_of_query *subject,
                  int64_t now_ns);
/* What a term looks at: up to two paths, NULL behind the last. */
const struct path *filter_term_path(const struct filter *filter, size_t term, size_t i);
/* Whether the outcome can change by time alone: an age of anything, or a group that does. */
bool filter_depends_on_time(const struct filter *filter);
/* The i-th path that the filter looks at, NULL behind the last; and the i-th group. A name may come
 * twice. For access: a filter on something denied is refused. */
const struct path *filter_path(const struct filter *filter, size_t i);
const char *filter_group(const struct filter *filter, size_t i);

/* ---- what every match fulfils ----
 *
 * Conditions on single paths, so that who looks for matches elsewhere, in a database, can leave out
 * what cannot be one. They say less than the filter does: what fulfils all of them still has to be
 * asked for. */

enum filter_relation {
    FILTER_ONE_OF, /* equal to one of the values */
    FILTER_BEGINS, /* a string that begins with the value */
    FILTER_NOT,    /* there, of the value's type, and not equal to it */
    FILTER_BELOW,
    FILTER_UP_TO,
    FILTER_ABOVE,
    FILTER_FROM,
};
struct filter_condition {
    const struct path *path; /* the filter's, as the values are */
    enum filter_relation relation;
    size_t value_count; /* 1, but for FILTER_ONE_OF */
    const struct value *values[FILTER_MAX_TERMS];
    struct value own; /* may be what values[0] points to: the struct is not to be copied */
};
/* The next one; *at is 0 at first. False: there are no more. An age is turned into an instant. */
bool filter_next_condition(const struct filter *filter, size_t *at, int64_t now_ns,
                           struct filter_condition *condition);

/* ---- order_by ---- */

enum { ORDER_MAX_KEYS = 8 };

/* `path [asc|desc], distance(path, lat, lon) [asc|desc], …`; an empty text has no keys. */
struct order;
struct order *order_compile(enum path_kind kind, const char *text, size_t size,
                            struct text_error *error);
void order_free(struct order *order);
size_t order_keys(const struct order *order);
const struct path *order_path(const struct order *order, size_t key);
bool order_descends(const struct order *order, size_t key);

/* The sort keys of one subject; strings borrow from it. Missing values, null, objects and arrays
 * are one kind, last in either direction. Numbers before strings before booleans. */
struct order_values {
    struct value key[ORDER_MAX_KEYS]; /* only the first order_keys() are set */
};
void order_take(const struct order *order, const struct subject_of_query *subject,
                struct order_values *values);
/* <0, 0, >0, directions included; 0 is left to the vid. */
int order_compare(const struct order *order, const struct order_values *a,
                  const struct order_values *b);
/* For page tokens: the values as bytes and back; strings then borrow from the bytes. Exact: what
 * is read back compares as what was written. order_read is false for bytes that are none of ours.
 */
void order_write(const struct order *order, const struct order_values *values, struct buf *out);
bool order_read(const struct order *order, const char *bytes, size_t size,
                struct order_values *values);

#endif
