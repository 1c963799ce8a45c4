/*
 * record_tree: the tree's part in a batch of the archive. Within the transaction it goes: begin,
 * append for each new record, save; and committed once COMMIT has been answered.
 *
 * What this hub knows of the tree is true as long as nobody else has written, which the writer's
 * number tells: it is read anew under another number, and whenever a commit did not come back.
 *
 * Threads: one per tree.
 */
#ifndef HUB_RECORD_TREE_H
#define HUB_RECORD_TREE_H

#include "hub/pg.h"
#include "hub/record.h"

struct record_tree;
/* NULL when there is no memory. */
struct record_tree *record_tree_new(void);
void record_tree_free(struct record_tree *tree);

/* Makes a checkpoint within the transaction where one is due; NULL: never. */
struct record_checkpoint;
void record_tree_checkpoints(struct record_tree *tree, struct record_checkpoint *checkpoint);

/* `records`: how many the log has. PG_FAILED where the tree is not the log's. */
enum pg_status record_tree_begin(struct record_tree *tree, struct pg *pg, int64_t writer,
                                 int64_t records, struct pg_error *error);
/* Asks nothing of the server. May make a checkpoint, with the tree as it is then. False: no memory.
 */
bool record_tree_append(struct record_tree *tree, const uint8_t hash[RECORD_HASH_BYTES]);
enum pg_status record_tree_save(struct record_tree *tree, struct pg *pg, struct pg_params *params,
                                struct pg_error *error);
void record_tree_committed(struct record_tree *tree);

#endif
