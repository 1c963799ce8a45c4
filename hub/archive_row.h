/*
 * archive_row: a row of the table `records` as a record.
 *
 * The record borrows from the row. Pure functions, any thread.
 */
#ifndef HUB_ARCHIVE_ROW_H
#define HUB_ARCHIVE_ROW_H

#include "hub/pg.h"
#include "hub/record.h"

/* The columns that a row must have, in this order: "seq, id, …". */
extern const char *const archive_row_columns;

enum { ARCHIVE_ROW_FIELDS = 21 };

/* False where the row is none that the hub wrote. */
bool archive_row_read(const struct pg_field fields[ARCHIVE_ROW_FIELDS], struct record *record);

#endif
