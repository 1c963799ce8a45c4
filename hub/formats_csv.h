/*
 * formats_csv: twins as rows of a table (RFC 4180), fit for a spreadsheet: a text that one would
 * take for a formula gets an apostrophe before it.
 *
 * Pure functions over immutable values, any thread.
 */
#ifndef HUB_FORMATS_CSV_H
#define HUB_FORMATS_CSV_H

#include "hub/fields.h"

/* The names of the fields as they were asked for. */
void csv_header(struct buf *out, const struct fields *fields);
/* A cell is empty where the field is missing or null; objects and arrays are JSON. */
void csv_row(struct buf *out, const struct fields *fields, const struct twin *twin,
             const struct twin_view *view);
/* One cell out of a text. */
void csv_text(struct buf *out, const char *text, size_t size);

#endif
