/*
 * What record_batch.c (collecting), record_commit.c (committing) and record_rows.c (a batch as what
 * the server is sent) share.
 */
#ifndef HUB_RECORD_BATCH_IMPL_H
#define HUB_RECORD_BATCH_IMPL_H

#include "hub/record_batch.h"

struct record_row {
    struct record record;
    int32_t day;
    bool duplicate; /* on record already, or before in this batch */
    bool plain;     /* jsonb takes its data */
};

struct record_chunk;
struct record_batch {
    char *region;
    struct record_row *rows;
    size_t count, capacity, limit;
    size_t bytes;
    struct record_chunk *chunks; /* the newest first */
};

/* Of the rows that are no duplicates. `inserted` gets the ids of those that were new. */
enum pg_status record_rows_digests(struct pg *pg, struct pg_params *params,
                                   const struct record_row *rows, size_t count,
                                   struct pg_result **inserted, struct pg_error *error);
/* All of them are taken for new: what the server makes of it is left to pg_load_result. */
enum pg_status record_rows_load_digests(struct pg *pg, struct pg_load *load,
                                        const struct record_row *rows, size_t count,
                                        struct pg_error *error);
/* Those that are no duplicates, each as `seal` has completed it: called in their order, while the
 * server is at the rows before. False: no memory. */
typedef bool record_rows_seal_fn(void *closure, struct record_row *row);
enum pg_status record_rows_load(struct pg *pg, struct record_row *rows, size_t count,
                                record_rows_seal_fn *seal, void *closure, struct pg_error *error);
enum pg_status record_rows_positions(struct pg *pg, struct pg_params *params,
                                     const struct record_progress progress[RECORD_STREAMS],
                                     struct pg_error *error);
enum pg_status record_rows_refusals(struct pg *pg, struct pg_params *params,
                                    const struct record_progress *progress, struct pg_error *error);
/* Whether jsonb takes the data of those rows that are thought plain; asks the server. */
enum pg_status record_rows_plain(struct pg *pg, struct pg_params *params,
                                 const struct record_row *rows, size_t count, bool *plain,
                                 struct pg_error *error);

#endif
