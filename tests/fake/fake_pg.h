/*
 * fake_pg: stands in for PostgreSQL, so that a test says what the server answers to each statement:
 * rows that no table would hold, and failures in the middle.
 *
 * A test that calls a function of this header is linked with this instead of hub/pg.c and
 * hub/pg_copy.c; parameters and the pool are the hub's own.
 *
 * Threads: answers are given by the test's thread while nobody asks; any thread asks.
 * Limits: FAKE_PG_CELLS_MAX cells in a row.
 */
#ifndef TESTS_FAKE_PG_H
#define TESTS_FAKE_PG_H

#include "hub/pg.h"

enum { FAKE_PG_CELLS_MAX = 24, FAKE_PG_ANSWERS_MAX = 64 };

/* A connection, for what takes one; pg_open makes others. */
struct pg *fake_pg(void);

/* Forgets all answers. What has none is PG_OK, without a row. */
void fake_pg_reset(void);
/* The answer to a statement that holds `sql`; "connect" is that of pg_open. Of several that fit
 * each serves once, in their order, and the last one from then on. A failure has the SQLSTATE
 * XX000. */
void fake_pg_answer(const char *sql, enum pg_status status);
/* The same, and behind its rows the reading fails with `status`. */
void fake_pg_broken_answer(const char *sql, enum pg_status status);
/* A row of the answer given last, and its cells. */
void fake_pg_row(void);
void fake_pg_null(void);
void fake_pg_bool(bool value);
void fake_pg_int(int64_t value);
void fake_pg_int2(int16_t value);
void fake_pg_bytes(const void *bytes, size_t size);
void fake_pg_text(const char *text);
/* How many statements that hold `sql` were run since fake_pg_reset. */
int fake_pg_asked(const char *sql);

#endif
