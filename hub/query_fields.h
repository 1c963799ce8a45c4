/*
 * query_fields: what there is to ask for: the paths of all leaves and arrays of the fleet's twins,
 * as filters write them, with their types, on how many vehicles they stand, and some examples
 * (contract §5).
 *
 * A path that has only ever been null is not listed, nor is what no filter can name (twin/path.h
 * has the limits).
 *
 * Ownership: query_fields_free. Threads: one at a time.
 * Limits: as below. A fleet with more paths has `"truncated": true` in its answer.
 */
#ifndef HUB_QUERY_FIELDS_H
#define HUB_QUERY_FIELDS_H

#include "hub/query.h"

enum {
    FLEET_FIELDS_MAX = 10000, /* paths, those on the way to a leaf too */
    FIELD_EXAMPLES_MAX = 3,
    FIELD_EXAMPLE_MAX_BYTES = 128, /* as JSON; a longer value is no example */
};

struct query_fields;
struct query_fields *query_fields_new(const struct query *query); /* NULL: no memory */
void query_fields_free(struct query_fields *fields);

/* Looks at the whole fleet, some hundred vehicles at a time in a stay of their own. */
enum query_status query_fields_run(struct query_fields *fields, struct store *store,
                                   struct query_denial *denial);
/* Appends the JSON answer, paths in the order of their bytes. */
void query_fields_write(struct query_fields *fields, struct buf *out);

#endif
