#include "hub/tree_proof.h"

#include <string.h>

bool tree_root_at(const struct tree_source *source, int64_t size, struct tree_hash *root)
{
    const struct tree_hash *rest = NULL;
    struct tree_hash found;
    tree_empty_root(&found);
    for (int level = 0; level < TREE_LEVELS; level++) {
        int count = tree_edge_count(size, level);
        if (count == 0)
            continue;
        const struct tree_hash *nodes =
            source->tile(source->closure, level, tree_tiles(size, level), count);
        if (!nodes)
            return false;
        tree_fold(nodes, count, rest, &found);
        rest = &found;
    }
    *root = found;
    return true;
}

bool tree_node_at(const struct tree_source *source, int height, int64_t index,
                  struct tree_hash *node)
{
    int level = height / TREE_TILE_LOG2, count = 1 << (height % TREE_TILE_LOG2);
    int64_t first = index * count;
    int offset = (int)(first % TREE_TILE_NODES);
    const struct tree_hash *nodes =
        source->tile(source->closure, level, first / TREE_TILE_NODES, offset + count);
    if (!nodes)
        return false;
    tree_fold(nodes + offset, count, NULL, node);
    return true;
}

/* The root over leaves `from` to `to` - 1, of which the first is the first of a subtree that
 * could hold all of them. */
static bool root_over(const struct tree_source *source, int64_t from, int64_t to,
                      struct tree_hash *root)
{
    bool have = false;
    while (to > from) {
        int height = __builtin_ctzll((unsigned long long)to);
        while (INT64_C(1) << height > to - from)
            height--;
        struct tree_hash left;
        if (!tree_node_at(source, height, (to >> height) - 1, &left))
            return false;
        if (have)
            tree_parent(&left, root, root);
        else
            *root = left;
        have = true;
        to -= INT64_C(1) << height;
    }
    return have;
}

/* The largest power of two below `count`, which is at least 2: where RFC 6962 divides a tree. */
static int64_t half(int64_t count)
{
    return INT64_C(1) << (63 - __builtin_clzll((unsigned long long)count - 1));
}

/* Appends the root over those leaves; proofs are made from the root down, and have one hash for
 * each bit of a size and one more, which is fewer than TREE_PROOF_MAX. */
static bool add(struct tree_proof *proof, const struct tree_source *source, int64_t from,
                int64_t to)
{
    return root_over(source, from, to, &proof->hashes[proof->count++]);
}

static void reverse(struct tree_proof *proof)
{
    for (int i = 0, k = proof->count - 1; i < k; i++, k--) {
        struct tree_hash kept = proof->hashes[i];
        proof->hashes[i] = proof->hashes[k];
        proof->hashes[k] = kept;
    }
}

bool tree_prove_inclusion(const struct tree_source *source, int64_t index, int64_t size,
                          struct tree_proof *proof)
{
    int64_t from = 0, to = size;
    proof->count = 0;
    if (index < 0 || index >= size)
        return false;
    while (to - from > 1) {
        int64_t middle = from + half(to - from);
        bool left = index < middle;
        if (!(left ? add(proof, source, middle, to) : add(proof, source, from, middle)))
            return false;
        if (left)
            to = middle;
        else
            from = middle;
    }
    reverse(proof);
    return true;
}

bool tree_prove_consistency(const struct tree_source *source, int64_t size, int64_t of,
                            struct tree_proof *proof)
{
    int64_t from = 0, to = of;
    bool known = true; /* the verifier has the hash of what is left: it is the earlier root */
    proof->count = 0;
    if (size < 1 || size > of)
        return false;
    while (size != to) {
        int64_t middle = from + half(to - from);
        bool left = size <= middle;
        if (!(left ? add(proof, source, middle, to) : add(proof, source, from, middle)))
            return false;
        if (left) {
            to = middle;
        } else {
            from = middle;
            known = false;
        }
    }
    if (!known && !add(proof, source, from, to))
        return false;
    reverse(proof);
    return true;
}

/* ---- checking ---- */

bool tree_included(const struct tree_hash *leaf, int64_t index, int64_t size,
                   const struct tree_proof *proof, const struct tree_hash *root)
{
    if (index < 0 || index >= size)
        return false;
    struct tree_hash node = *leaf;
    int64_t at = index, last = size - 1;
    for (int i = 0; i < proof->count; i++, at >>= 1, last >>= 1) {
        if (last == 0)
            return false;
        if (!(at & 1) && at != last) {
            tree_parent(&node, &proof->hashes[i], &node);
            continue;
        }
        tree_parent(&proof->hashes[i], &node, &node);
        while (!(at & 1)) { /* at == last here, which is not 0 */
            at >>= 1;
            last >>= 1;
        }
    }
    return last == 0 && tree_same(&node, root);
}

bool tree_consistent(int64_t from, const struct tree_hash *from_root, int64_t to,
                     const struct tree_hash *to_root, const struct tree_proof *proof)
{
    if (from < 1 || from > to)
        return false;
    if (from == to)
        return proof->count == 0 && tree_same(from_root, to_root);
    int64_t at = from - 1, last = to - 1;
    int next = 0;
    while (at & 1) {
        at >>= 1;
        last >>= 1;
    }
    /* at 0: the earlier tree is one complete subtree of the later. */
    if (at != 0 && proof->count == 0)
        return false;
    struct tree_hash old = at == 0 ? *from_root : proof->hashes[next++], new = old;
    for (; next < proof->count; next++, at >>= 1, last >>= 1) {
        const struct tree_hash *hash = &proof->hashes[next];
        if (last == 0)
            return false;
        if (!(at & 1) && at != last) {
            tree_parent(&new, hash, &new);
            continue;
        }
        tree_parent(hash, &old, &old);
        tree_parent(hash, &new, &new);
        while (!(at & 1)) { /* at == last here, which is not 0 */
            at >>= 1;
            last >>= 1;
        }
    }
    return last == 0 && tree_same(&old, from_root) && tree_same(&new, to_root);
}
