/*
 * tree_store: the tree's tiles and edge in PostgreSQL (migrations/0002_tree.sql): reading the edge,
 * growing it with a batch, and reading tiles for proofs.
 *
 * Ownership: a growth copies what it is told; the caller's otherwise.
 * Threads: as the connection.
 */
#ifndef HUB_TREE_STORE_H
#define HUB_TREE_STORE_H

#include "hub/pg.h"
#include "hub/tree.h"
#include "hub/tree_proof.h"

/* Reads the edge as it is in the present transaction. PG_FAILED where what is there is no edge. */
enum pg_status tree_store_load(struct pg *pg, struct tree_edge *edge, struct pg_error *error);

/* An edge and the tiles that have filled since it was saved. */
struct tree_tile {
    int level;
    int64_t index;
    struct tree_hash nodes[TREE_TILE_NODES];
};
struct tree_growth {
    struct tree_edge edge;
    int64_t saved_size;
    struct tree_tile *tiles;
    size_t count, capacity;
    bool failed; /* no memory */
};
void tree_growth_begin(struct tree_growth *growth, const struct tree_edge *edge);
void tree_growth_done(struct tree_growth *growth);
void tree_growth_append(struct tree_growth *growth, const struct tree_hash *leaf);
/* Takes in the records that a log has from before it had a tree; the edge is empty. */
enum pg_status tree_growth_catch_up(struct tree_growth *growth, struct pg *pg, int64_t records,
                                    struct pg_error *error);
/* Writes what is new, in the present transaction. */
enum pg_status tree_growth_save(struct tree_growth *growth, struct pg *pg, struct pg_params *params,
                                struct pg_error *error);

/* ---- nodes for proofs ---- */

/* Tiles as they are asked for, the last one of each level kept. */
struct tree_reader {
    struct pg *pg;
    struct tree_edge edge; /* the tree's end, as it was when the reader was opened */
    struct tree_source source;
    struct tree_tile kept[TREE_LEVELS];
    bool have[TREE_LEVELS];
    enum pg_status status; /* why the source had no nodes */
    struct pg_error error;
    bool missing; /* the server says that the tile is not there, or not whole */
};
/* Reads the edge. The reader borrows the connection, and stays where it is. */
enum pg_status tree_reader_open(struct tree_reader *reader, struct pg *pg, struct pg_error *error);
/* Whether nodes could not be read just now, which says nothing about the tree. */
bool tree_reader_unread(const struct tree_reader *reader);

#endif
