#include "hub/tree.h"

#include "hub/record_hash.h"

#include <string.h>

enum { NODE_PREFIX = 0x01 };

void tree_parent(const struct tree_hash *left, const struct tree_hash *right,
                 struct tree_hash *parent)
{
    uint8_t bytes[1 + 2 * TREE_HASH_BYTES];
    bytes[0] = NODE_PREFIX;
    memcpy(bytes + 1, left->bytes, TREE_HASH_BYTES);
    memcpy(bytes + 1 + TREE_HASH_BYTES, right->bytes, TREE_HASH_BYTES);
    record_sha256(bytes, sizeof bytes, parent->bytes);
}

bool tree_same(const struct tree_hash *a, const struct tree_hash *b)
{
    return memcmp(a->bytes, b->bytes, TREE_HASH_BYTES) == 0;
}

void tree_empty_root(struct tree_hash *root)
{
    record_sha256("", 0, root->bytes);
}

/* The root over 2^n neighbours. */
static void complete(const struct tree_hash *nodes, int count, struct tree_hash *root)
{
    struct tree_hash work[TREE_TILE_NODES];
    memcpy(work, nodes, (size_t)count * sizeof *nodes);
    for (; count > 1; count /= 2) {
        for (int i = 0; i < count / 2; i++)
            tree_parent(&work[2 * i], &work[2 * i + 1], &work[i]);
    }
    *root = work[0];
}

void tree_fold(const struct tree_hash *nodes, int count, const struct tree_hash *rest,
               struct tree_hash *root)
{
    struct tree_hash left, right = {{0}};
    bool have = rest != NULL;
    if (have)
        right = *rest;
    /* The complete subtrees of `count` nodes, the last and smallest first. */
    while (count > 0) {
        int size = count & -count;
        count -= size;
        complete(nodes + count, size, &left);
        if (have)
            tree_parent(&left, &right, &right);
        else
            right = left;
        have = true;
    }
    *root = right;
}

int tree_skip_height(int64_t at, int64_t to)
{
    int height = 63 - __builtin_clzll((unsigned long long)(to - at));
    if (at != 0 && __builtin_ctzll((unsigned long long)at) < height)
        height = __builtin_ctzll((unsigned long long)at);
    return height;
}

/* ---- the edge ---- */

void tree_edge_init(struct tree_edge *edge)
{
    edge->size = 0;
}

int tree_edge_count(int64_t size, int level)
{
    return (int)(size >> (level * TREE_TILE_LOG2) & (TREE_TILE_NODES - 1));
}

int64_t tree_tiles(int64_t size, int level)
{
    return size >> ((level + 1) * TREE_TILE_LOG2);
}

void tree_edge_append(struct tree_edge *edge, const struct tree_hash *leaf, tree_tile_fn *tile,
                      void *closure)
{
    struct tree_hash node = *leaf;
    for (int level = 0; level < TREE_LEVELS; level++) {
        int count = tree_edge_count(edge->size, level);
        edge->nodes[level][count] = node;
        if (count + 1 < TREE_TILE_NODES)
            break;
        if (tile)
            tile(closure, level, tree_tiles(edge->size, level), edge->nodes[level]);
        complete(edge->nodes[level], TREE_TILE_NODES, &node);
    }
    edge->size++;
}

void tree_edge_root(const struct tree_edge *edge, struct tree_hash *root)
{
    const struct tree_hash *rest = NULL;
    tree_empty_root(root);
    for (int level = 0; level < TREE_LEVELS; level++) {
        int count = tree_edge_count(edge->size, level);
        if (count == 0)
            continue;
        tree_fold(edge->nodes[level], count, rest, root);
        rest = root;
    }
}

/* ---- the spine ---- */

void tree_spine_init(struct tree_spine *spine)
{
    spine->size = 0;
}

bool tree_spine_append(struct tree_spine *spine, int height, const struct tree_hash *node)
{
    if (height < 0 || height >= TREE_HEIGHTS)
        return false;
    int64_t leaves = INT64_C(1) << height;
    if (spine->size % leaves != 0 || leaves > TREE_SIZE_MAX - spine->size)
        return false;
    struct tree_hash carried = *node;
    for (; spine->size >> height & 1; height++)
        tree_parent(&spine->nodes[height], &carried, &carried);
    spine->nodes[height] = carried;
    spine->size += leaves;
    return true;
}

void tree_spine_root_with(const struct tree_spine *spine, const struct tree_hash *rest,
                          struct tree_hash *root)
{
    bool have = rest != NULL;
    if (have)
        *root = *rest;
    else
        tree_empty_root(root);
    for (int height = 0; height < TREE_HEIGHTS; height++) {
        if (!(spine->size >> height & 1))
            continue;
        if (have)
            tree_parent(&spine->nodes[height], root, root);
        else
            *root = spine->nodes[height];
        have = true;
    }
}

void tree_spine_root(const struct tree_spine *spine, struct tree_hash *root)
{
    tree_spine_root_with(spine, NULL, root);
}
