/*
 * record_partitions: the partitions of the archive, made ahead of time by whoever writes it.
 *
 * A partition of `records` is one run of the log, of so many days of commits that about
 * RECORD_PARTITIONS_KEPT of them make up the time that records are kept: what is past retention is
 * dropped at most one partition late, and a question that has to ask each partition asks few.
 *
 * The database's function does the work (migrations/0001_record.sql), with the rights of its owner,
 * so that the hub's own role needs none on the tables themselves. Until it has, and whenever it
 * cannot, rows go to the default partitions and are given one of their own later.
 *
 * Threads: as the connection.
 */
#ifndef HUB_RECORD_PARTITIONS_H
#define HUB_RECORD_PARTITIONS_H

#include "hub/pg.h"

enum { RECORD_PARTITIONS_KEPT = 12 };

/* The width of the next partitions, in days. */
int record_partitions_width_days(int retention_days);
/* Makes what is missing ahead; *made: how many. */
enum pg_status record_partitions_ahead(struct pg *pg, int retention_days, int *made,
                                       struct pg_error *error);

#endif
