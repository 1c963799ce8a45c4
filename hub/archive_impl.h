/*
 * archive_impl: what the files of the archive's reader share. Internal to hub/archive*.c.
 */
#ifndef HUB_ARCHIVE_IMPL_H
#define HUB_ARCHIVE_IMPL_H

#include "hub/archive.h"
#include "hub/pg.h"

struct archive_reader {
    struct pg_pool *pool;
};

/* A connection; to be given back. */
enum archive_status archive_take(struct archive_reader *reader, struct pg **pg,
                                 struct archive_error *error);
void archive_give(struct archive_reader *reader, struct pg *pg);
enum archive_status archive_status_of(enum pg_status status, const struct pg_error *failed,
                                      struct archive_error *error);

#endif
