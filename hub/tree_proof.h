/*
 * tree_proof: proofs of the record's tree: that a record is in it, and that a later tree only
 * appended to an earlier one (RFC 6962 §2.1.1 and §2.1.2), made and checked.
 *
 * Making one needs nodes, which come from wherever the caller keeps them, a tile at a time.
 *
 * Ownership: the caller's. Threads: any.
 * Limits: a proof has at most TREE_PROOF_MAX hashes.
 */
#ifndef HUB_TREE_PROOF_H
#define HUB_TREE_PROOF_H

#include "hub/tree.h"

struct tree_source {
    /* The first `count` nodes or more of a tile, valid until the next call; NULL where they cannot
     * be had, and the making of the proof ends. */
    const struct tree_hash *(*tile)(void *closure, int level, int64_t index, int count);
    void *closure;
};

enum { TREE_PROOF_MAX = 2 * TREE_HEIGHTS };
struct tree_proof {
    int count;
    struct tree_hash hashes[TREE_PROOF_MAX];
};

/* Each is false where the source had no nodes. */

/* The root of the first `size` leaves. */
bool tree_root_at(const struct tree_source *source, int64_t size, struct tree_hash *root);
/* The node over 2^height leaves from index × 2^height on. */
bool tree_node_at(const struct tree_source *source, int height, int64_t index,
                  struct tree_hash *node);
/* Of leaf `index` in the tree of `size` leaves; 0 <= index < size. */
bool tree_prove_inclusion(const struct tree_source *source, int64_t index, int64_t size,
                          struct tree_proof *proof);
/* Of the tree of `from` leaves in that of `to`; 0 < from <= to. */
bool tree_prove_consistency(const struct tree_source *source, int64_t from, int64_t to,
                            struct tree_proof *proof);

/* What a verifier does with them (RFC 9162 §2.1.3.2 and §2.1.4.2). */
bool tree_included(const struct tree_hash *leaf, int64_t index, int64_t size,
                   const struct tree_proof *proof, const struct tree_hash *root);
bool tree_consistent(int64_t from, const struct tree_hash *from_root, int64_t to,
                     const struct tree_hash *to_root, const struct tree_proof *proof);

#endif
