#include "hub/record_tree.h"

#include "hub/record_checkpoint.h"
#include "hub/tree_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record_tree {
    struct tree_edge edge; /* as this hub committed it last */
    int64_t edge_writer;   /* the number that it was committed under; 0: it is not known */
    int64_t writer;        /* of the batch under way */
    struct tree_growth growth;
    struct record_checkpoint *checkpoint;
};

struct record_tree *record_tree_new(void)
{
    return calloc(1, sizeof(struct record_tree));
}

void record_tree_free(struct record_tree *tree)
{
    if (!tree)
        return;
    tree_growth_done(&tree->growth);
    free(tree);
}

void record_tree_checkpoints(struct record_tree *tree, struct record_checkpoint *checkpoint)
{
    tree->checkpoint = checkpoint;
}

enum pg_status record_tree_begin(struct record_tree *tree, struct pg *pg, int64_t writer,
                                 int64_t records, struct pg_error *error)
{
    enum pg_status status = PG_OK;
    if (tree->edge_writer != writer)
        status = tree_store_load(pg, &tree->edge, error);
    tree->edge_writer = 0; /* until this batch is committed */
    tree->writer = writer;
    if (tree->checkpoint)
        record_checkpoint_batch(tree->checkpoint);
    if (status != PG_OK)
        return status;
    tree_growth_begin(&tree->growth, &tree->edge);
    if (tree->edge.size == 0 && records > 0)
        status = tree_growth_catch_up(&tree->growth, pg, records, error);
    if (status == PG_OK && tree->growth.edge.size != records) {
        *error = (struct pg_error){.text = ""};
        snprintf(error->text, sizeof error->text,
                 "the log has %lld records and its tree %lld: run `fleethub audit verify`",
                 (long long)records, (long long)tree->edge.size);
        status = PG_FAILED;
    }
    return status;
}

bool record_tree_append(struct record_tree *tree, const uint8_t hash[RECORD_HASH_BYTES])
{
    struct tree_hash leaf;
    memcpy(leaf.bytes, hash, sizeof leaf.bytes);
    tree_growth_append(&tree->growth, &leaf);
    /* A large batch gets several. */
    if (!tree->checkpoint || !record_checkpoint_full(tree->checkpoint, tree->growth.edge.size))
        return true;
    return record_checkpoint_make(tree->checkpoint, &tree->growth.edge);
}

enum pg_status record_tree_save(struct record_tree *tree, struct pg *pg, struct pg_params *params,
                                struct pg_error *error)
{
    enum pg_status status = tree_growth_save(&tree->growth, pg, params, error);
    if (status != PG_OK || !tree->checkpoint)
        return status;
    if (record_checkpoint_due(tree->checkpoint, tree->growth.edge.size) &&
        !record_checkpoint_make(tree->checkpoint, &tree->growth.edge)) {
        *error = (struct pg_error){.text = "no memory"};
        return PG_FAILED;
    }
    return record_checkpoint_save(tree->checkpoint, pg, params, error);
}

void record_tree_committed(struct record_tree *tree)
{
    tree->edge = tree->growth.edge;
    tree->edge_writer = tree->writer;
    if (tree->checkpoint)
        record_checkpoint_committed(tree->checkpoint, tree->edge.size);
}
