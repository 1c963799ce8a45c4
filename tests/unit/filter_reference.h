/*
 * filter_reference: filters evaluated slowly and obviously, to test twin/filter against.
 *
 * A filter is a tree, made at random, that can be written as text (what is tested reads it) and
 * be asked about the JSON of a twin with its metadata (contract §4). Nothing of twin/filter is
 * used for that: each sentence of contract §5 is done anew, the way it is said.
 *
 * Ownership: a tree is one allocation per node; reference_free.
 */
#ifndef TESTS_UNIT_FILTER_REFERENCE_H
#define TESTS_UNIT_FILTER_REFERENCE_H

#include "tests/unit/random.h"
#include "twin/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { CHILDREN_MAX = 4, POINTS_MAX = 12 };

enum kind { AND, OR, NOT, COMPARE, HAS_ANY, HAS, INSIDE, BBOX, GROUP };
enum operand_kind { LITERAL, DURATION, PATH, DISTANCE, AGE };

struct operand {
    enum operand_kind kind;
    const char *path; /* names with | between, as no name here holds one */
    const char *json; /* LITERAL: its text; DURATION: number and unit */
    double lat, lon;
};

struct ring {
    int count;
    double lon[POINTS_MAX], lat[POINTS_MAX];
};

struct reference {
    enum kind kind;
    struct reference *children[CHILDREN_MAX];
    int child_count;
    struct operand left, right;
    const char *comparison, *group;
    struct ring outer, hole; /* hole.count may be 0 */
    double box[4];
};

/* Whether a path is one of the twin's own timestamps. */
bool reference_is_time(const char *path);

/* A filter of a few terms over the names and values that reference_twin uses. */
struct reference *reference_filter(struct random *random);
void reference_free(struct reference *filter);
/* One of the many ways to write it. */
void reference_write(struct random *random, struct buf *out, const struct reference *filter);
/* Whether the twin matches. `now_ns` is the broker's time. */
bool reference_matches(const struct reference *filter, json_t *twin, int64_t now_ns);

/* The text of a random twin, as tests/unit/filter_help.h reads it. */
void reference_twin(struct random *random, struct buf *out, unsigned number);

#endif
