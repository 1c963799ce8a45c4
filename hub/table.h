/*
 * table: rows of cells as aligned text for people.
 *
 * Cells are text for a terminal: control characters become blanks, a long cell is cut. Columns are
 * as wide as their widest cell; widths count characters. On a terminal a table may be coloured:
 * titles are bold, and words of a cell that says how something is have its colour.
 *
 * Ownership: table_done. Threads: one.
 * Limits: TABLE_COLUMNS_MAX columns, TABLE_CELL_MAX_BYTES of a cell.
 */
#ifndef HUB_TABLE_H
#define HUB_TABLE_H

#include "hub/term.h"
#include "twin/doc.h"

enum { TABLE_COLUMNS_MAX = 32, TABLE_CELL_MAX_BYTES = 120 };

struct table {
    struct buf cells; /* each: its colour in a byte, its text, a NUL */
    size_t count, columns;
    size_t widths[TABLE_COLUMNS_MAX];
    bool coloured; /* set by the caller, see hub/term.h */
};

void table_init(struct table *table, size_t columns);
void table_done(struct table *table);
/* The next cell; a row is complete with its last column's. */
void table_cell(struct table *table, const char *text, size_t size);
/* A column's title: as a cell, in bold where the table is coloured. */
void table_title(struct table *table, const char *text);
/* A cell that says how something is. */
void table_status(struct table *table, const char *text, size_t size);
/* The same of a JSON value: strings as they are, nothing for null or no value, else as JSON. */
void table_value(struct table *table, struct doc_ref value);
void table_status_value(struct table *table, struct doc_ref value);
/* Appends the rows and forgets them; the widths stay, so that what follows is aligned with it. */
void table_write(struct table *table, struct buf *out);

#endif
