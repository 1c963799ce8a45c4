#include "hub/audit_unit.h"

#include "hub/audit_data.h"
#include "hub/audit_row.h"
#include "hub/record_hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNIT_TILES_0 = AUDIT_UNIT_RECORDS / TREE_TILE_NODES,
    UNIT_TILES_1 = UNIT_TILES_0 / TREE_TILE_NODES,
    DOUBTS_MAX = AUDIT_UNIT_RECORDS,
};

struct audit_unit {
    const struct audit_scope *scope;
    struct pg *pg;
    int64_t base;  /* records before the unit */
    int64_t count; /* records of the unit */
    /* As the database has them: nodes of level 0, 1 and 2, and which of their tiles are there. */
    struct tree_hash leaves[AUDIT_UNIT_RECORDS];
    struct tree_hash nodes1[UNIT_TILES_0];
    struct tree_hash nodes2[UNIT_TILES_1];
    bool have[AUDIT_UNIT_LEVELS][UNIT_TILES_0];
    int64_t doubts[DOUBTS_MAX]; /* rows whose `data` has to be asked about */
    int doubt_count;
    struct audit_comparer *comparer;
    struct buf scratch;
    struct pg_params params;
};

struct audit_unit *audit_unit_new(void)
{
    struct audit_unit *unit = calloc(1, sizeof *unit);
    if (!unit)
        return NULL;
    unit->comparer = audit_comparer_new();
    if (unit->comparer)
        return unit;
    free(unit);
    return NULL;
}

void audit_unit_free(struct audit_unit *unit)
{
    if (!unit)
        return;
    buf_done(&unit->scratch);
    pg_params_done(&unit->params);
    audit_comparer_free(unit->comparer);
    free(unit);
}

void audit_find(struct audit_finding *first, int64_t seq, const char *format, ...)
{
    va_list args;
    if (seq < 1)
        seq = 1; /* 0 would be no finding, and would undo the one that is there */
    if (first->seq != 0 && first->seq <= seq)
        return;
    first->seq = seq;
    first->has_id = false;
    va_start(args, format);
    vsnprintf(first->reason, sizeof first->reason, format, args);
    va_end(args);
}

/* ---- tiles ---- */

static struct tree_hash *level_nodes(struct audit_unit *unit, int level)
{
    return level == 0 ? unit->leaves : level == 1 ? unit->nodes1 : unit->nodes2;
}

/* Nodes of that level within the unit. */
static int64_t level_count(const struct audit_unit *unit, int level)
{
    return unit->count >> (level * TREE_TILE_LOG2);
}

/* The edge's nodes of a level that lie in this unit, the last one: others are full at each level.
 */
static void take_edge(struct audit_unit *unit, int level)
{
    const struct tree_edge *edge = unit->scope->edge;
    int64_t full = level_count(unit, level) / TREE_TILE_NODES;
    int count = (int)(level_count(unit, level) % TREE_TILE_NODES);
    if (count == 0)
        return;
    memcpy(level_nodes(unit, level) + full * TREE_TILE_NODES, edge->nodes[level],
           (size_t)count * sizeof *edge->nodes[level]);
}

static enum pg_status load_tiles(struct audit_unit *unit, int level, struct pg_error *error)
{
    static const struct pg_statement tiles = {
        .name = "audit_tiles",
        .sql = "SELECT tile, nodes FROM tree_tiles WHERE level = $1::bigint AND tile >= $2::bigint "
               "AND tile < $3::bigint ORDER BY tile"};
    struct pg_result *rows = NULL;
    int64_t full = level_count(unit, level) / TREE_TILE_NODES;
    int64_t first = unit->base >> ((level + 1) * TREE_TILE_LOG2);
    pg_params_reset(&unit->params);
    pg_add_int8(&unit->params, level);
    pg_add_int8(&unit->params, first);
    pg_add_int8(&unit->params, first + full);
    enum pg_status status = pg_run(unit->pg, &tiles, &unit->params, &rows, error);
    memset(unit->have[level], 0, sizeof unit->have[level]);
    for (int row = 0; status == PG_OK && row < pg_rows(rows); row++) {
        size_t size;
        int64_t tile = pg_get_int(rows, row, 0) - first;
        const char *nodes = pg_get_bytes(rows, row, 1, &size);
        if (tile < 0 || tile >= full || size != TREE_TILE_BYTES)
            continue;
        memcpy(level_nodes(unit, level) + tile * TREE_TILE_NODES, nodes, size);
        unit->have[level][tile] = true;
    }
    pg_result_free(rows);
    take_edge(unit, level);
    return status;
}

/* Each full tile's root is a node of the level above. */
static void check_tiles(struct audit_unit *unit, int level, struct audit_unit_result *result)
{
    struct tree_hash *nodes = level_nodes(unit, level), root;
    int64_t full = level_count(unit, level) / TREE_TILE_NODES;
    int64_t records = INT64_C(1) << ((level + 1) * TREE_TILE_LOG2);
    for (int64_t tile = 0; tile < full; tile++) {
        int64_t before = unit->base + tile * records;
        if (!unit->have[level][tile]) {
            audit_find(&result->bad, before + 1,
                       "the tree has no tile for records %lld to %lld (level %d): it was deleted",
                       (long long)before + 1, (long long)(before + records), level);
            return;
        }
        tree_fold(nodes + tile * TREE_TILE_NODES, TREE_TILE_NODES, NULL, &root);
        if (level + 1 == AUDIT_UNIT_LEVELS) {
            result->root = root;
        } else if (!tree_same(&root, &level_nodes(unit, level + 1)[tile])) {
            audit_find(&result->bad, before + 1,
                       "records %lld to %lld do not have the hash that the tree has of them "
                       "together: one of them was rewritten with its hash and its leaf, or the "
                       "tree was changed (level %d)",
                       (long long)before + 1, (long long)(before + records), level + 1);
            return;
        }
    }
}

/* ---- rows ---- */

static void find_row(struct audit_unit_result *result, const struct record *record,
                     const char *reason)
{
    if (result->bad.seq != 0) /* which is before: rows come in order */
        return;
    audit_find(&result->bad, record->seq, "%s", reason);
    result->bad.has_id = true;
    memcpy(result->bad.id, record->id, RECORD_ID_BYTES);
}

/* The row's own hash, its column and its leaf, of which each may have been changed. */
static const char *judge_hashes(const struct audit_unit *unit, const struct record *record,
                                const uint8_t hash[RECORD_HASH_BYTES])
{
    int64_t at = record->seq - unit->base - 1;
    bool full = at / TREE_TILE_NODES < unit->count / TREE_TILE_NODES;
    bool known = !full || unit->have[0][at / TREE_TILE_NODES];
    bool column = memcmp(hash, record->hash, RECORD_HASH_BYTES) == 0;
    bool leaf = known && memcmp(hash, unit->leaves[at].bytes, RECORD_HASH_BYTES) == 0;
    if (column && (leaf || !known))
        return NULL;
    if (column)
        return "it has a hash of its own, but the tree has another for it: it was rewritten with "
               "its hash, or another record stands in its place";
    return leaf ? "its column `hash` is not the hash of the record, which the tree has"
                : "it was changed: what it says does not have the hash that was committed";
}

static const char *judge_data(struct audit_unit *unit, const struct pg_field *fields,
                              const struct record *record)
{
    static const char differs[] = "its column `data` is not what its column `raw` says";
    struct slice data;
    if (!audit_row_data(fields, &data))
        return differs;
    bool nul = record_holds_nul(record->data); /* which jsonb refuses */
    if (nul)
        return data.at ? differs : NULL;
    enum audit_sameness same =
        data.at ? audit_compare(unit->comparer, record->data, data) : AUDIT_UNSURE;
    if (same == AUDIT_UNSURE)
        unit->doubts[unit->doubt_count++] = record->seq;
    return same == AUDIT_DIFFERENT ? differs : NULL;
}

static enum pg_status check_row(struct audit_unit *unit, const struct pg_field *fields,
                                int64_t *last, struct audit_unit_result *result,
                                struct pg_error *error)
{
    struct record record;
    uint8_t hash[RECORD_HASH_BYTES];
    const char *reason = audit_row_read(fields, &record);
    if (record.seq == *last) {
        audit_find(&result->bad, record.seq, "there are two records with this seq");
        return PG_OK;
    }
    if (record.seq != *last + 1 && record.seq - 1 > unit->scope->dropped_to)
        audit_find(&result->bad,
                   *last < unit->scope->dropped_to ? unit->scope->dropped_to + 1 : *last + 1,
                   "it is missing: it was deleted, or given another seq");
    *last = record.seq;
    result->rows++;
    if (!reason && !record_hash(&record, &unit->scratch, hash)) {
        *error = (struct pg_error){.text = "no memory"};
        return PG_FAILED;
    }
    if (!reason)
        reason = judge_hashes(unit, &record, hash);
    if (!reason)
        reason = judge_data(unit, fields, &record);
    if (reason)
        find_row(result, &record, reason);
    return PG_OK;
}

static enum pg_status check_rows(struct audit_unit *unit, struct audit_unit_result *result,
                                 struct pg_error *error)
{
    struct pg_field fields[AUDIT_ROW_FIELDS];
    int64_t last = unit->base, end = unit->base + unit->count;
    bool over = false;
    buf_reset(&unit->scratch);
    unit->doubt_count = 0;
    result->rows = 0;
    audit_row_query(&unit->scratch, last, end, "");
    enum pg_status status = pg_copy_begin(unit->pg, buf_cstr(&unit->scratch), error);
    while (status == PG_OK && !over) {
        status = pg_copy_next(unit->pg, fields, AUDIT_ROW_FIELDS, &over, error);
        if (status == PG_OK && !over)
            status = check_row(unit, fields, &last, result, error);
    }
    if (status == PG_OK && last < end && end > unit->scope->dropped_to)
        audit_find(&result->bad,
                   last < unit->scope->dropped_to ? unit->scope->dropped_to + 1 : last + 1,
                   "it is missing: it was deleted, or given another seq");
    return status;
}

/* Rows of which only the server can say whether `data` is as it should be. */
static enum pg_status check_doubts(struct audit_unit *unit, struct audit_unit_result *result,
                                   struct pg_error *error)
{
    static const struct pg_statement compare = {
        .name = "audit_data",
        .sql = "SELECT record_image_eq(ROW(data), ROW(convert_from(raw, 'UTF8')::jsonb)) "
               "FROM records WHERE seq = $1::bigint"};
    static const struct pg_statement is_null = {
        .name = "audit_data_null",
        .sql = "SELECT data IS NULL FROM records WHERE seq = $1::bigint"};
    enum pg_status status = PG_OK;
    for (int i = 0; i < unit->doubt_count && status == PG_OK; i++) {
        struct pg_result *rows = NULL;
        if (result->bad.seq != 0 && result->bad.seq <= unit->doubts[i])
            break;
        pg_params_reset(&unit->params);
        pg_add_int8(&unit->params, unit->doubts[i]);
        status = pg_run(unit->pg, &compare, &unit->params, &rows, error);
        if (status == PG_VALUE) /* what jsonb refuses is null */
            status = pg_run(unit->pg, &is_null, &unit->params, &rows, error);
        if (status == PG_OK && pg_rows(rows) == 1 && !pg_get_bool(rows, 0, 0))
            audit_find(&result->bad, unit->doubts[i],
                       "its column `data` is not what its column `raw` says");
        pg_result_free(rows);
    }
    return status;
}

/* ---- checkpoints ---- */

/* The root over the unit's first records, which end somewhere within it. */
static void rest_of(struct audit_unit *unit, int64_t count, struct tree_hash *rest)
{
    const struct tree_hash *right = NULL;
    for (int level = 0; level < AUDIT_UNIT_LEVELS; level++) {
        int nodes = tree_edge_count(count, level);
        int64_t tile = tree_tiles(count, level);
        if (nodes == 0)
            continue;
        tree_fold(level_nodes(unit, level) + tile * TREE_TILE_NODES, nodes, right, rest);
        right = rest;
    }
}

static bool add_mark(struct audit_unit *unit, struct audit_unit_result *result,
                     const struct audit_mark *mark)
{
    struct audit_mark *marks =
        realloc(result->marks, (result->mark_count + 1) * sizeof *result->marks);
    if (!marks)
        return false;
    result->marks = marks;
    marks[result->mark_count] = *mark;
    rest_of(unit, mark->size - unit->base, &marks[result->mark_count].rest);
    result->mark_count++;
    return true;
}

static bool mark_note(struct audit_unit *unit, struct audit_unit_result *result, int64_t size,
                      const struct audit_note *note, bool outside)
{
    const struct audit_scope *scope = unit->scope;
    struct audit_mark mark = {.size = size, .outside = outside, .malformed = !note};
    if (note) {
        mark.root = note->root;
        mark.trust = audit_note_trust(note, scope->keys);
        audit_chain_judge(&scope->chain, note, &mark.trust, &mark.introduced_by);
        mark.malformed = note->size != size || note->origin.size != strlen(scope->origin) ||
                         memcmp(note->origin.at, scope->origin, note->origin.size) != 0;
    }
    return add_mark(unit, result, &mark);
}

static int by_size(const void *a, const void *b)
{
    const struct audit_mark *left = a, *right = b;
    if (left->size != right->size)
        return left->size < right->size ? -1 : 1;
    return left->outside - right->outside;
}

static enum pg_status load_checkpoints(struct audit_unit *unit, struct audit_unit_result *result,
                                       struct pg_error *error)
{
    static const struct pg_statement checkpoints = {
        .name = "audit_checkpoints",
        .sql = "SELECT size, note FROM checkpoints WHERE size > $1::bigint AND size <= $2::bigint "
               "ORDER BY size"};
    struct pg_result *rows = NULL;
    bool added = true;
    pg_params_reset(&unit->params);
    pg_add_int8(&unit->params, unit->base);
    pg_add_int8(&unit->params, unit->base + unit->count);
    enum pg_status status = pg_run(unit->pg, &checkpoints, &unit->params, &rows, error);
    for (int row = 0; status == PG_OK && added && row < pg_rows(rows); row++) {
        struct audit_note note;
        const char *reason;
        size_t size, used;
        const char *text = pg_get_bytes(rows, row, 1, &size);
        bool good = audit_note_parse(text, size, &note, &used, &reason) && used == size;
        added = mark_note(unit, result, pg_get_int(rows, row, 0), good ? &note : NULL, false);
    }
    pg_result_free(rows);
    for (size_t i = 0; status == PG_OK && added && i < unit->scope->outside_count; i++) {
        const struct audit_note *note = &unit->scope->outside[i];
        if (note->size > unit->base && note->size <= unit->base + unit->count)
            added = mark_note(unit, result, note->size, note, true);
    }
    if (result->mark_count > 1)
        qsort(result->marks, result->mark_count, sizeof *result->marks, by_size);
    if (added)
        return status;
    *error = (struct pg_error){.text = "no memory"};
    return PG_FAILED;
}

enum pg_status audit_unit_verify(struct audit_unit *unit, struct pg *pg,
                                 const struct audit_scope *scope, int64_t index,
                                 struct audit_unit_result *result, struct pg_error *error)
{
    unit->scope = scope;
    unit->pg = pg;
    unit->base = index * AUDIT_UNIT_RECORDS;
    unit->count = scope->edge->size - unit->base;
    if (unit->count > AUDIT_UNIT_RECORDS)
        unit->count = AUDIT_UNIT_RECORDS;
    enum pg_status status = PG_OK;
    for (int level = 0; level < AUDIT_UNIT_LEVELS && status == PG_OK; level++)
        status = load_tiles(unit, level, error);
    if (status == PG_OK)
        status = check_rows(unit, result, error);
    if (status == PG_OK)
        status = check_doubts(unit, result, error);
    for (int level = 0; level < AUDIT_UNIT_LEVELS && status == PG_OK; level++)
        check_tiles(unit, level, result);
    if (status == PG_OK)
        status = load_checkpoints(unit, result, error);
    result->done = status == PG_OK;
    return status;
}
