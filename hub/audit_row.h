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

/* A COPY of the rows with from < seq <= to, in the order of seq; `more` is " AND …", or "". */
void audit_row_query(struct buf *sql, int64_t from, int64_t to, const char *more);

/* NULL, and the record with its hash column; or what is wrong with the row, in English. */
const char *audit_row_read(const struct pg_field fields[AUDIT_ROW_FIELDS], struct record *record);
/* The text of its jsonb, at NULL where there is none. False: it is in no form that is known. */
bool audit_row_data(const struct pg_field fields[AUDIT_ROW_FIELDS], struct slice *data);

#endif
