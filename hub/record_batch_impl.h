/*
 * What record_batch.c (collecting and committing) and record_rows.c (a batch as parameters of
 * statements) share.
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

/* Each runs one statement over the rows that are no duplicates. */
enum pg_status record_rows_digests(struct pg *pg, struct pg_params *params,
                                   const struct record_row *rows, size_t count,
                                   struct pg_result **inserted, struct pg_error *error);
enum pg_status record_rows_insert(struct pg *pg, struct pg_params *params,
                                  const struct record_row *rows, size_t count,
                                  struct pg_error *error);
enum pg_status record_rows_positions(struct pg *pg, struct pg_params *params,
                                     const struct record_progress progress[RECORD_STREAMS],
                                     struct pg_error *error);
enum pg_status record_rows_refusals(struct pg *pg, struct pg_params *params,
                                    const struct record_progress *progress, struct pg_error *error);
/* Whether jsonb takes this text; asks the server. */
enum pg_status record_rows_plain(struct pg *pg, struct pg_params *params, struct slice data,
                                 bool *plain, struct pg_error *error);

#endif
