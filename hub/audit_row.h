/*
 * audit_row: a row of `records` as a verifier reads it: nothing in it may differ from what the hub
 * writes, also where a reader of the API would not see the difference.
 *
 * Ownership: the record borrows from the fields. Pure functions, any thread.
 */
#ifndef HUB_AUDIT_ROW_H
#define HUB_AUDIT_ROW_H

#include "hub/pg.h"
#include "hub/record.h"

enum { AUDIT_ROW_FIELDS = 22 };

/* A COPY of the rows with from < seq <= to, in the order of seq. The last field says whether `data`
 * is what `raw` says (null where `data` is); without `compare` it says whether `data` is there. */
void audit_row_query(struct buf *sql, int64_t from, int64_t to, bool compare);

/* NULL, and the record with its hash column; or what is wrong with the row, in English. */
const char *audit_row_read(const struct pg_field fields[AUDIT_ROW_FIELDS], struct record *record);
/* The last field: null, false, true. */
enum audit_row_data { AUDIT_DATA_NULL, AUDIT_DATA_DIFFERS, AUDIT_DATA_SAME };
enum audit_row_data audit_row_data(const struct pg_field fields[AUDIT_ROW_FIELDS]);

#endif
