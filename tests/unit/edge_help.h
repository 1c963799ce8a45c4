/*
 * edge_help: the edge of a tree, as PostgreSQL has it, for the fake one to answer with.
 *
 * Threads: one.
 */
#ifndef TESTS_UNIT_EDGE_HELP_H
#define TESTS_UNIT_EDGE_HELP_H

#include "hub/tree.h"
#include "tests/fake/fake_pg.h"

#define EDGE "FROM tree_edge" /* in the statement that reads it */

static inline void answer_edge(const struct tree_edge *edge)
{
    fake_pg_answer(EDGE, PG_OK);
    for (int level = 0; edge->size >> (level * TREE_TILE_LOG2) > 0; level++) {
        fake_pg_row();
        fake_pg_int(level);
        fake_pg_int(tree_tiles(edge->size, level));
        fake_pg_bytes(edge->nodes[level],
                      (size_t)tree_edge_count(edge->size, level) * TREE_HASH_BYTES);
    }
}

#endif
