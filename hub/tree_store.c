#include "hub/tree_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct pg_statement read_edge = {
    .name = "tree_edge_read", .sql = "SELECT level, tile, nodes FROM tree_edge ORDER BY level"};

/* One statement, one way to the server and back. */
static const struct pg_statement save = {
    .name = "tree_save",
    .sql = "WITH full_tiles AS (INSERT INTO tree_tiles (level, tile, nodes) "
           "SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])) "
           "INSERT INTO tree_edge (level, tile, nodes) "
           "SELECT * FROM unnest($4::smallint[], $5::bigint[], $6::bytea[]) "
           "ON CONFLICT (level) DO UPDATE SET tile = excluded.tile, nodes = excluded.nodes"};

static const struct pg_statement read_leaves = {
    .name = "tree_leaves",
    .sql = "SELECT seq, hash FROM records WHERE seq > $1::bigint ORDER BY seq LIMIT 8192"};

static const struct pg_statement read_tile = {
    .name = "tree_tile_read",
    .sql = "SELECT nodes FROM tree_tiles WHERE level = $1::bigint AND tile = $2::bigint"};

/* ---- the edge ---- */

/* One level of what is to be an edge; the size comes from level 0, which is read first. */
static bool take_level(const struct pg_result *rows, int row, struct tree_edge *edge)
{
    size_t size;
    int64_t level = pg_get_int(rows, row, 0), tile = pg_get_int(rows, row, 1);
    const char *nodes = pg_get_bytes(rows, row, 2, &size);
    if (level != row || level >= TREE_LEVELS || size % TREE_HASH_BYTES != 0 ||
        size >= TREE_TILE_BYTES || tile < 0 || tile > TREE_SIZE_MAX / TREE_TILE_NODES)
        return false;
    int count = (int)(size / TREE_HASH_BYTES);
    if (level == 0)
        edge->size = tile * TREE_TILE_NODES + count;
    memcpy(edge->nodes[level], nodes, size);
    return tile == tree_tiles(edge->size, (int)level) &&
           count == tree_edge_count(edge->size, (int)level);
}

enum pg_status tree_store_load(struct pg *pg, struct tree_edge *edge, struct pg_error *error)
{
    struct pg_result *rows = NULL;
    enum pg_status status = pg_run(pg, &read_edge, NULL, &rows, error);
    if (status != PG_OK)
        return status;
    tree_edge_init(edge);
    bool good = true;
    int levels = pg_rows(rows);
    for (int row = 0; row < levels && good; row++)
        good = take_level(rows, row, edge);
    pg_result_free(rows);
    /* Levels that are not there have never held a node. */
    if (good && edge->size >> (levels * TREE_TILE_LOG2) == 0)
        return PG_OK;
    *error = (struct pg_error){.text = "tree_edge is not as a hub leaves it: run `fleethub audit "
                                       "verify`, and restore the table from a backup"};
    return PG_FAILED;
}

/* ---- growing ---- */

void tree_growth_begin(struct tree_growth *growth, const struct tree_edge *edge)
{
    growth->edge = *edge;
    growth->saved_size = edge->size;
    growth->count = 0;
    growth->failed = false;
}

void tree_growth_done(struct tree_growth *growth)
{
    free(growth->tiles);
    growth->tiles = NULL;
    growth->capacity = 0;
}

static void keep_tile(void *closure, int level, int64_t index, const struct tree_hash *nodes)
{
    struct tree_growth *growth = closure;
    if (growth->count == growth->capacity) {
        size_t capacity = growth->capacity ? 2 * growth->capacity : TREE_TILE_NODES;
        struct tree_tile *tiles = realloc(growth->tiles, capacity * sizeof *tiles);
        if (!tiles) {
            growth->failed = true;
            return;
        }
        growth->tiles = tiles;
        growth->capacity = capacity;
    }
    struct tree_tile *tile = &growth->tiles[growth->count++];
    tile->level = level;
    tile->index = index;
    memcpy(tile->nodes, nodes, sizeof tile->nodes);
}

void tree_growth_append(struct tree_growth *growth, const struct tree_hash *leaf)
{
    tree_edge_append(&growth->edge, leaf, keep_tile, growth);
}

enum pg_status tree_growth_catch_up(struct tree_growth *growth, struct pg *pg, int64_t records,
                                    struct pg_error *error)
{
    struct pg_params params;
    enum pg_status status = PG_OK;
    bool whole = true;
    pg_params_init(&params);
    while (status == PG_OK && whole && growth->edge.size < records) {
        struct pg_result *rows = NULL;
        pg_params_reset(&params);
        pg_add_int8(&params, growth->edge.size);
        status = pg_run(pg, &read_leaves, &params, &rows, error);
        whole = status == PG_OK && pg_rows(rows) > 0;
        for (int row = 0; whole && row < pg_rows(rows); row++) {
            struct tree_hash leaf;
            size_t size;
            const char *hash = pg_get_bytes(rows, row, 1, &size);
            whole = size == sizeof leaf.bytes && pg_get_int(rows, row, 0) == growth->edge.size + 1;
            if (!whole)
                break;
            memcpy(leaf.bytes, hash, sizeof leaf.bytes);
            tree_growth_append(growth, &leaf);
        }
        pg_result_free(rows);
    }
    pg_params_done(&params);
    if (status != PG_OK || whole)
        return status;
    *error = (struct pg_error){.text = ""};
    snprintf(error->text, sizeof error->text, "record %lld is missing or malformed",
             (long long)growth->edge.size + 1);
    return PG_FAILED;
}

static void add_tiles(struct pg_params *params, const struct tree_growth *growth)
{
    pg_array_begin(params, PG_INT2);
    for (size_t i = 0; i < growth->count; i++)
        pg_array_int2(params, (int16_t)growth->tiles[i].level);
    pg_array_end(params);
    pg_array_begin(params, PG_INT8);
    for (size_t i = 0; i < growth->count; i++)
        pg_array_int8(params, growth->tiles[i].index);
    pg_array_end(params);
    pg_array_begin(params, PG_BYTEA);
    for (size_t i = 0; i < growth->count; i++)
        pg_array_bytes(params, growth->tiles[i].nodes, TREE_TILE_BYTES);
    pg_array_end(params);
}

/* The levels from 0 on that have got a node: no tile fills without the levels below it. */
static int levels_changed(const struct tree_growth *growth)
{
    int levels = 0;
    while (levels < TREE_LEVELS && growth->edge.size >> (levels * TREE_TILE_LOG2) !=
                                       growth->saved_size >> (levels * TREE_TILE_LOG2))
        levels++;
    return levels;
}

static void add_edge(struct pg_params *params, const struct tree_edge *edge, int levels)
{
    pg_array_begin(params, PG_INT2);
    for (int level = 0; level < levels; level++)
        pg_array_int2(params, (int16_t)level);
    pg_array_end(params);
    pg_array_begin(params, PG_INT8);
    for (int level = 0; level < levels; level++)
        pg_array_int8(params, tree_tiles(edge->size, level));
    pg_array_end(params);
    pg_array_begin(params, PG_BYTEA);
    for (int level = 0; level < levels; level++)
        pg_array_bytes(params, edge->nodes[level],
                       (size_t)tree_edge_count(edge->size, level) * TREE_HASH_BYTES);
    pg_array_end(params);
}

enum pg_status tree_growth_save(struct tree_growth *growth, struct pg *pg, struct pg_params *params,
                                struct pg_error *error)
{
    if (growth->failed) {
        *error = (struct pg_error){.text = "no memory"};
        return PG_FAILED;
    }
    if (growth->edge.size == growth->saved_size)
        return PG_OK;
    pg_params_reset(params);
    add_tiles(params, growth);
    add_edge(params, &growth->edge, levels_changed(growth));
    enum pg_status status = pg_run(pg, &save, params, NULL, error);
    if (status == PG_OK) {
        growth->saved_size = growth->edge.size;
        growth->count = 0;
    }
    return status;
}

/* ---- nodes for proofs ---- */

static const struct tree_hash *find_tile(void *closure, int level, int64_t index, int count)
{
    struct tree_reader *reader = closure;
    struct tree_tile *kept = &reader->kept[level];
    if (index == tree_tiles(reader->edge.size, level))
        return count <= tree_edge_count(reader->edge.size, level) ? reader->edge.nodes[level]
                                                                  : NULL;
    if (reader->have[level] && kept->index == index)
        return kept->nodes;
    struct pg_params params;
    struct pg_result *rows = NULL;
    size_t size = 0;
    pg_params_init(&params);
    pg_add_int8(&params, level);
    pg_add_int8(&params, index);
    reader->status = pg_run(reader->pg, &read_tile, &params, &rows, &reader->error);
    pg_params_done(&params);
    const char *nodes = NULL;
    if (reader->status == PG_OK && pg_rows(rows) == 1)
        nodes = pg_get_bytes(rows, 0, 0, &size);
    reader->have[level] = size == TREE_TILE_BYTES;
    if (reader->have[level]) {
        memcpy(kept->nodes, nodes, TREE_TILE_BYTES);
        kept->index = index;
    } else if (reader->status == PG_OK) {
        reader->status = PG_FAILED;
        reader->missing = true;
        snprintf(reader->error.text, sizeof reader->error.text,
                 "tile %lld of level %d of the tree is missing", (long long)index, level);
    }
    pg_result_free(rows);
    return reader->have[level] ? kept->nodes : NULL;
}

enum pg_status tree_reader_open(struct tree_reader *reader, struct pg *pg, struct pg_error *error)
{
    reader->pg = pg;
    reader->source = (struct tree_source){find_tile, reader};
    reader->status = PG_OK;
    reader->error = (struct pg_error){.text = ""};
    reader->missing = false;
    memset(reader->have, 0, sizeof reader->have);
    return tree_store_load(pg, &reader->edge, error);
}

bool tree_reader_unread(const struct tree_reader *reader)
{
    return reader->status != PG_OK && !reader->missing;
}
