/*
 * record_commit: the one transaction that takes a batch into the archive: the fence, the digests
 * that tell which records are new, the rows with their hashes, the tree that grows by them, the
 * stream positions up to which they were read, the end of the log.
 *
 * There are two ways through it. The short one loads the digests as it loads the rows, and a digest
 * that is there already ends the transaction; nearly all batches have none. The long one has the
 * server say which are new. It is taken first, after any failure, and from a batch with a duplicate
 * on until one without has come by.
 *
 * Ownership: it owns the tree.
 * Threads: one.
 */
#ifndef HUB_RECORD_COMMIT_H
#define HUB_RECORD_COMMIT_H

#include "hub/record_batch.h"
#include "hub/record_tree.h"

struct record_commit;
/* NULL when there is no memory. */
struct record_commit *record_commit_new(void);
void record_commit_free(struct record_commit *commit);
/* The log's tree, which grows with what is committed. */
struct record_tree *record_commit_tree(struct record_commit *commit);

struct record_outcome {
    bool fenced; /* another hub writes; nothing was written */
    size_t records[RECORD_KIND_COUNT], duplicates;
    int64_t head_seq; /* the log's last record, 0 while it has none */
};

/* Commits. On PG_OK and not fenced all of it is on record. On PG_LOST nobody knows; what is true
 * stands in the positions. The batch keeps its records; the caller resets it. */
enum pg_status record_commit_batch(struct record_commit *commit, struct record_batch *batch,
                                   struct pg *pg, int64_t writer,
                                   const struct record_progress progress[RECORD_STREAMS],
                                   struct record_outcome *outcome, struct pg_error *error);

#endif
