/*
 * archive_sql: what the database can sort out of a question to the record by itself.
 *
 * The conditions let through whatever the question asks for, and more: times are compared by the
 * microsecond, and of a filter only what its matches all fulfil (filter_next_condition) and what a
 * column can say. hub/record_judge.h decides.
 *
 * Pure functions, any thread.
 */
#ifndef HUB_ARCHIVE_SQL_H
#define HUB_ARCHIVE_SQL_H

#include "hub/record_judge.h"

struct archive_conditions {
    struct buf sql; /* " AND …" for each; empty for all records */
    int64_t first_seq, last_seq;
    /* An index finds them in the order of seq: there is nothing else to be asked of a row. */
    bool by_index;
};

/* False when there is no memory. */
bool archive_conditions_init(struct archive_conditions *conditions,
                             const struct record_question *question);
void archive_conditions_done(struct archive_conditions *conditions);

#endif
