/*
 * retention: records past record.retention_days go, a partition at a time (migrations/0003).
 *
 * A partition is one run of the log. Dropping it takes nothing from what proves the others: the
 * tree keeps every record's hash. What a hold exempts stays where it is, with its seq and its hash:
 * the partition is replaced by one with those rows alone. Each dropping leaves a note in its own
 * transaction, from which the hub that writes makes a `system` record of type `retention`.
 *
 * A partition from which somebody else has deleted is left alone, and so are those behind it: what
 * was deleted is not to be on record as dropped. That goes on record, type `retention_refused`.
 *
 * What takes long, counting and copying, locks nobody out; the swap itself takes milliseconds, is
 * fenced like every transaction of the archive, and gives up where it would have to wait for
 * somebody's long query.
 *
 * It needs the rights of the tables' owner (postgres.admin_dsn).
 *
 * Threads: as the connection.
 */
#ifndef HUB_RETENTION_H
#define HUB_RETENTION_H

#include "hub/pg.h"

struct retention {
    struct pg *pg;
    int64_t keep_s; /* 0: for ever */
    int64_t now_ns; /* this machine's clock: nothing is old by one clock alone */
};

/* Of record.retention_days. */
static inline int64_t retention_keep_s(int days)
{
    return (int64_t)days * 86400;
}

enum { RETENTION_REASON_BYTES = 160, RETENTION_NAME_BYTES = 128 };

struct retention_outcome {
    int partitions;        /* looked at */
    int64_t dropped, kept; /* records */
    bool fenced; /* another hub writes, or the holds changed meanwhile: nothing more was done */
    /* A partition that is not whole was left alone, and those behind it; "": none. */
    char refused[RETENTION_NAME_BYTES], reason[RETENTION_REASON_BYTES];
};

/* Drops what is due, as the writer of that number. PG_FAILED: the server refused, for example
 * because the role does not own the tables, or a query stood in the way; what was done before that
 * is done. */
enum pg_status retention_run(const struct retention *retention, int64_t writer,
                             struct retention_outcome *outcome, struct pg_error *error);

/* What retention_run would do now, a line for each partition, for people or as
 * JSON. */
enum pg_status retention_plan(const struct retention *retention, bool json, struct buf *out,
                              struct pg_error *error);

#endif
