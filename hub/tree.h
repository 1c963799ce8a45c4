/*
 * tree: the Merkle tree of the record: RFC 6962 §2.1 over the records' leaf hashes in the order of
 * `seq` (record seq is leaf seq - 1), so that one root hash stands for all of them.
 *
 * The tree is kept in tiles: node n of level L is the root of the 32^L leaves from n × 32^L on (a
 * leaf at level 0), and tile t of a level its nodes 32 t to 32 t + 31. A full tile never changes.
 * The edge is what is not in a full tile yet: at most 31 nodes of each level. Any root and any
 * proof, of any size that the tree ever had, comes from tiles and edge, without the records.
 *
 * Ownership: everything is the caller's; nothing is allocated.
 * Threads: any; an edge or a spine by one at a time.
 * Limits: TREE_SIZE_MAX leaves.
 */
#ifndef HUB_TREE_H
#define HUB_TREE_H

#include "hub/record.h"

enum {
    TREE_HASH_BYTES = RECORD_HASH_BYTES,
    TREE_TILE_LOG2 = 5,
    TREE_TILE_NODES = 1 << TREE_TILE_LOG2,
    TREE_TILE_BYTES = TREE_TILE_NODES * TREE_HASH_BYTES,
    TREE_LEVELS = 12,
    TREE_HEIGHTS = TREE_LEVELS * TREE_TILE_LOG2,
};
#define TREE_SIZE_MAX ((INT64_C(1) << TREE_HEIGHTS) - 1)

struct tree_hash {
    uint8_t bytes[TREE_HASH_BYTES];
};

/* The parent of two nodes: SHA-256 of a byte 1 and both. */
void tree_parent(const struct tree_hash *left, const struct tree_hash *right,
                 struct tree_hash *parent);
bool tree_same(const struct tree_hash *a, const struct tree_hash *b);
/* The root of a tree without a leaf. */
void tree_empty_root(struct tree_hash *root);
/* The root over `count` neighbours of one level, of which the first is the first of a larger tree,
 * and `rest`, the root of what comes behind them (NULL: nothing does). At least one of the two. */
void tree_fold(const struct tree_hash *nodes, int count, const struct tree_hash *rest,
               struct tree_hash *root);

/* The height of the largest complete subtree that begins behind `at` leaves and ends at `to` or
 * before; at < to. Where leaves are left out, nodes of these heights stand for them. */
int tree_skip_height(int64_t at, int64_t to);

/* ---- the edge ---- */

struct tree_edge {
    int64_t size; /* leaves */
    struct tree_hash nodes[TREE_LEVELS][TREE_TILE_NODES];
};
void tree_edge_init(struct tree_edge *edge);
/* Nodes of that level which are in no full tile. */
int tree_edge_count(int64_t size, int level);
/* The full tiles of that level. */
int64_t tree_tiles(int64_t size, int level);

/* Told of each tile that fills, lower levels first; the nodes are only read during the call. */
typedef void tree_tile_fn(void *closure, int level, int64_t index, const struct tree_hash *nodes);
/* Appends a leaf. `tile` NULL: nobody wants to know. */
void tree_edge_append(struct tree_edge *edge, const struct tree_hash *leaf, tree_tile_fn *tile,
                      void *closure);
void tree_edge_root(const struct tree_edge *edge, struct tree_hash *root);

/* ---- the spine: a tree of which only the root is asked for ---- */

/* The roots of the complete subtrees that the tree consists of; [h] is one of 2^h leaves, there
 * where bit h of the size is set. */
struct tree_spine {
    int64_t size;
    struct tree_hash nodes[TREE_HEIGHTS];
};
void tree_spine_init(struct tree_spine *spine);
/* Appends a complete subtree of 2^height leaves. False, and nothing done, where the size is no
 * multiple of that or would grow beyond TREE_SIZE_MAX. */
bool tree_spine_append(struct tree_spine *spine, int height, const struct tree_hash *node);
void tree_spine_root(const struct tree_spine *spine, struct tree_hash *root);
/* The root of that tree and what comes behind it, of which `rest` is the root; NULL: nothing. */
void tree_spine_root_with(const struct tree_spine *spine, const struct tree_hash *rest,
                          struct tree_hash *root);

#endif
