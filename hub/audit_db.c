#include "hub/audit_db.h"

#include "hub/audit_floor.h"
#include "hub/audit_marks.h"
#include "hub/tree_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_TIMEOUT_MS = 5000,
    LOCK_TIMEOUT_MS = 60000,
    CALL_TIMEOUT_MS = 120000, /* the first row of a unit on a disk that is cold */
    UPPER_LEVELS = TREE_LEVELS - AUDIT_UNIT_LEVELS,
};

struct verification {
    const struct audit_request *request;
    struct audit_report *report;
    struct tree_edge edge;
    struct audit_scope scope;
    int64_t units;
    struct audit_unit_result *results;
    int64_t noted_to;        /* retention says that it went up to here, but not on record yet */
    struct tree_tile *upper; /* the stored tiles above the units' */
    size_t upper_count;

    atomic_llong next_unit, worst_unit; /* no unit behind the worst has to be looked at */
    pthread_mutex_t lock;
    struct pg_error error; /* of the first worker that failed */
    bool failed;
};

static enum pg_status connect_to(const struct audit_request *request, struct pg **pg,
                                 struct pg_error *error)
{
    struct pg_options options = {.dsn = request->dsn,
                                 .name = "fleethub audit",
                                 .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                 .call_timeout_ms = CALL_TIMEOUT_MS,
                                 .statement_timeout_ms = CALL_TIMEOUT_MS,
                                 .lock_timeout_ms = LOCK_TIMEOUT_MS,
                                 .interrupt = request->interrupt};
    enum pg_status status = pg_open(&options, pg, error);
    /* The server looks whether we are still there: what nobody waits for, it ends. Before version
     * 14 it cannot, and its statement timeout has to do. */
    struct pg_error ignored;
    if (status == PG_OK &&
        pg_script(*pg, "SET client_connection_check_interval = 1000", &ignored) == PG_LOST) {
        *error = ignored;
        pg_close(*pg);
        *pg = NULL;
        status = PG_LOST;
    }
    return status;
}

static void unusable(struct audit_report *report, const char *text)
{
    report->verdict = AUDIT_UNUSABLE;
    snprintf(report->error, sizeof report->error, "%s", text);
}

/* ---- what there is ---- */

/* What the database has of the log at its two ends. */
struct head {
    int64_t records; /* as log_head has it */
    bool has_rows;
    int64_t first_row, last_row;
    int64_t last_checkpoint; /* 0: none */
};

/* The head of the log against its tree, its first and last rows, and its last checkpoint. */
static void judge_head(struct verification *v, const struct head *head, const char *tree_error)
{
    struct audit_finding *bad = &v->report->bad;
    int64_t records = head->records;
    if (tree_error) {
        audit_find(bad, records > 0 ? records : 1, "%s", tree_error);
        return;
    }
    if (v->edge.size != records)
        audit_find(bad, (v->edge.size < records ? v->edge.size : records) + 1,
                   "the log says that it has %lld records, and its tree has %lld",
                   (long long)records, (long long)v->edge.size);
    if (head->has_rows && head->first_row < 1)
        audit_find(bad, 1, "there is a record before the first of the log, with seq %lld",
                   (long long)head->first_row);
    if (head->last_row > v->edge.size)
        audit_find(bad, v->edge.size + 1,
                   "there is a record behind the end of the log, with seq %lld",
                   (long long)head->last_row);
    if (head->last_checkpoint > v->edge.size)
        audit_find(bad, v->edge.size + 1,
                   "there is a checkpoint of %lld records, and there are %lld: the end was cut "
                   "off, or the checkpoint was made up",
                   (long long)head->last_checkpoint, (long long)v->edge.size);
}

static enum pg_status load_upper(struct verification *v, struct pg *pg, struct pg_error *error)
{
    static const struct pg_statement tiles = {
        .sql = "SELECT level, tile, nodes FROM tree_tiles WHERE level >= 3 ORDER BY level, tile"};
    struct pg_result *rows = NULL;
    enum pg_status status = pg_run(pg, &tiles, NULL, &rows, error);
    if (status != PG_OK)
        return status;
    size_t count = (size_t)pg_rows(rows);
    v->upper = calloc(count ? count : 1, sizeof *v->upper);
    for (size_t i = 0; v->upper && i < count; i++) {
        size_t size;
        const char *nodes = pg_get_bytes(rows, (int)i, 2, &size);
        v->upper[i].level = (int)pg_get_int(rows, (int)i, 0);
        v->upper[i].index = pg_get_int(rows, (int)i, 1);
        if (size == TREE_TILE_BYTES)
            memcpy(v->upper[i].nodes, nodes, size);
    }
    v->upper_count = count;
    pg_result_free(rows);
    if (v->upper)
        return PG_OK;
    *error = (struct pg_error){.text = "no memory"};
    return PG_FAILED;
}

/* Tiles of what is not in the tree would stop the writer when it gets there. */
static enum pg_status check_excess(struct verification *v, struct pg *pg, struct pg_error *error)
{
    static const struct pg_statement ends = {
        .sql = "SELECT level, max(tile) FROM tree_tiles GROUP BY level ORDER BY level"};
    struct pg_result *rows = NULL;
    enum pg_status status = pg_run(pg, &ends, NULL, &rows, error);
    for (int row = 0; status == PG_OK && row < pg_rows(rows); row++) {
        int64_t level = pg_get_int(rows, row, 0), tile = pg_get_int(rows, row, 1);
        if (level < 0 || level >= TREE_LEVELS || tile >= tree_tiles(v->edge.size, (int)level))
            audit_find(&v->report->bad, v->edge.size + 1,
                       "the tree has a tile for records behind its end (level %lld, tile %lld)",
                       (long long)level, (long long)tile);
    }
    pg_result_free(rows);
    return status;
}

static enum pg_status load_dropped(struct verification *v, struct pg *pg, int64_t size,
                                   struct pg_error *error)
{
    struct audit_floor floor;
    enum pg_status status = audit_floor_read(pg, size, &floor, error);
    if (status == PG_OK) {
        v->scope.dropped_to = floor.dropped_to;
        v->noted_to = floor.noted_to;
    }
    return status;
}

/* A question of the log as far as it is verified, which is $1. */
static enum pg_status run_sized(const struct verification *v, struct pg *pg,
                                const struct pg_statement *statement, struct pg_result **rows,
                                struct pg_error *error)
{
    struct pg_params params;
    pg_params_init(&params);
    pg_add_int8(&params, v->edge.size);
    enum pg_status status = pg_run(pg, statement, &params, rows, error);
    pg_params_done(&params);
    return status;
}

/* Retention says what holds kept: that is all there, and nothing else. Of each partition what was
 * said last holds. */
static enum pg_status check_kept(struct verification *v, struct pg *pg, struct pg_error *error)
{
    static const struct pg_statement compare = {
        .sql =
            "SELECT s.first, s.kept, there.count FROM (SELECT DISTINCT ON (upper) "
            "coalesce((data->>'kept_first_seq')::bigint, 1) AS first, "
            "(data->>'kept')::bigint AS kept, data->>'kept_hash' AS hash, "
            "coalesce((data->>'archived_from')::timestamptz, '-infinity') AS lower, "
            "(data->>'archived_to')::timestamptz AS upper FROM (SELECT seq, data FROM records "
            "WHERE " AUDIT_FLOOR_RECORDS " AND seq BETWEEN 1 AND $1::bigint UNION ALL "
            "SELECT 9223372036854775807, data::jsonb FROM record_notes "
            "WHERE type = 'retention' AND NOT recorded) AS r "
            "CROSS JOIN LATERAL (SELECT (data->>'archived_to')::timestamptz AS upper) AS u "
            "ORDER BY upper, seq DESC) AS s CROSS JOIN LATERAL (SELECT count(*), "
            "encode(sha256(string_agg(int8send(seq) || records.hash, NULL ORDER BY seq)), 'hex') "
            "AS hash FROM records "
            "WHERE archived >= s.lower AND archived < s.upper) AS there "
            "WHERE s.kept > 0 AND (there.count <> s.kept OR there.hash IS DISTINCT FROM s.hash)"};
    struct pg_result *rows = NULL;
    enum pg_status status = run_sized(v, pg, &compare, &rows, error);
    for (int row = 0; status == PG_OK && row < pg_rows(rows); row++)
        audit_find(&v->report->bad, pg_get_int(rows, row, 0),
                   "of the records that a hold keeps from here on, %lld when retention came, there "
                   "are %lld: one was deleted, or changed",
                   (long long)pg_get_int(rows, row, 1), (long long)pg_get_int(rows, row, 2));
    pg_result_free(rows);
    return status;
}

static enum pg_status look(struct verification *v, struct pg *pg, struct pg_error *error)
{
    static const struct pg_statement head = {
        .sql = "SELECT next_seq - 1, scope, (SELECT min(seq) FROM records), "
               "coalesce((SELECT max(seq) FROM records), 0), "
               "coalesce((SELECT max(size) FROM checkpoints), 0) FROM log_head"};
    struct pg_result *rows = NULL;
    struct head found;
    struct pg_error tree_error = {.text = ""};
    enum pg_status status =
        pg_script(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", error);
    if (status == PG_OK)
        status = pg_run(pg, &head, NULL, &rows, error);
    if (status != PG_OK)
        return status;
    if (pg_rows(rows) != 1) {
        pg_result_free(rows);
        *error = (struct pg_error){.text = "log_head has not one row: this is no record"};
        return PG_FAILED;
    }
    found.records = pg_get_int(rows, 0, 0);
    found.has_rows = !pg_get_null(rows, 0, 2);
    found.first_row = found.has_rows ? pg_get_int(rows, 0, 2) : 0;
    found.last_row = pg_get_int(rows, 0, 3);
    found.last_checkpoint = pg_get_int(rows, 0, 4);
    snprintf(v->report->origin, sizeof v->report->origin, "fleethub/%s",
             pg_get_bytes(rows, 0, 1, NULL));
    pg_result_free(rows);
    status = tree_store_load(pg, &v->edge, &tree_error);
    bool tree_bad = status == PG_FAILED && tree_error.sqlstate[0] == '\0';
    if (status != PG_OK && !tree_bad) {
        *error = tree_error;
        return status;
    }
    judge_head(v, &found, tree_bad ? tree_error.text : NULL);
    if (tree_bad)
        v->edge.size = 0;
    status = check_excess(v, pg, error);
    if (status == PG_OK)
        status = load_upper(v, pg, error);
    if (status == PG_OK)
        status = load_dropped(v, pg, v->edge.size, error);
    if (status == PG_OK)
        status = check_kept(v, pg, error);
    if (status == PG_OK)
        status = pg_script(pg, "COMMIT", error);
    return status;
}

/* ---- workers ---- */

static void worker_failed(struct verification *v, const struct pg_error *error)
{
    pthread_mutex_lock(&v->lock);
    if (!v->failed)
        v->error = *error;
    v->failed = true;
    pthread_mutex_unlock(&v->lock);
    atomic_store(&v->worst_unit, -1);
}

static void *work(void *closure)
{
    struct verification *v = closure;
    struct pg *pg = NULL;
    struct pg_error error = {.text = "no memory"};
    struct audit_unit *unit = audit_unit_new();
    enum pg_status status = unit ? connect_to(v->request, &pg, &error) : PG_FAILED;
    while (status == PG_OK) {
        long long index = atomic_fetch_add(&v->next_unit, 1);
        if (index >= v->units || index > atomic_load(&v->worst_unit))
            break;
        struct audit_unit_result *result = &v->results[index];
        status = audit_unit_verify(unit, pg, &v->scope, index, result, &error);
        long long worst = atomic_load(&v->worst_unit);
        while (status == PG_OK && result->bad.seq != 0 && index < worst &&
               !atomic_compare_exchange_weak(&v->worst_unit, &worst, index))
            ;
    }
    if (status != PG_OK)
        worker_failed(v, &error);
    pg_close(pg);
    audit_unit_free(unit);
    return NULL;
}

static bool run_workers(struct verification *v)
{
    pthread_t threads[AUDIT_DB_THREADS];
    int started = 0, wanted = v->units < AUDIT_DB_THREADS ? (int)v->units : AUDIT_DB_THREADS;
    while (started < wanted && pthread_create(&threads[started], NULL, work, v) == 0)
        started++;
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (started == 0 && wanted > 0)
        worker_failed(v, &(struct pg_error){.text = "no thread could be made"});
    return !v->failed;
}

/* ---- putting it together ---- */

struct upper_check {
    struct verification *v;
    int64_t records; /* that the units so far cover */
};

static void check_upper_tile(void *closure, int level, int64_t index, const struct tree_hash *nodes)
{
    struct upper_check *check = closure;
    struct verification *v = check->v;
    int stored_level = level + AUDIT_UNIT_LEVELS;
    for (size_t i = 0; i < v->upper_count; i++) {
        const struct tree_tile *tile = &v->upper[i];
        if (tile->level == stored_level && tile->index == index &&
            memcmp(tile->nodes, nodes, TREE_TILE_BYTES) == 0)
            return;
    }
    int64_t records = INT64_C(1) << ((stored_level + 1) * TREE_TILE_LOG2);
    /* What was found among these records is why, and says better where. */
    if (v->report->bad.seq > index * records && v->report->bad.seq <= (index + 1) * records)
        return;
    audit_find(&v->report->bad, index * records + 1,
               "the tree's tile for records %lld to %lld (level %d) is missing or not theirs",
               (long long)(index * records + 1), (long long)((index + 1) * records), stored_level);
}

static void check_upper_edge(struct verification *v, const struct tree_edge *upper)
{
    for (int level = 0; level < UPPER_LEVELS; level++) {
        int count = tree_edge_count(upper->size, level);
        if (count > 0 && memcmp(upper->nodes[level], v->edge.nodes[level + AUDIT_UNIT_LEVELS],
                                (size_t)count * sizeof **upper->nodes) != 0)
            audit_find(&v->report->bad, upper->size * AUDIT_UNIT_RECORDS,
                       "the edge of the tree (level %d) is not that of the records",
                       level + AUDIT_UNIT_LEVELS);
    }
}

static void put_together(struct verification *v)
{
    struct audit_report *report = v->report;
    struct tree_spine spine;
    struct audit_marks marks = {
        .report = report, .keys_given = v->request->keys->count > 0, .size = v->edge.size};
    struct tree_edge *upper = malloc(sizeof *upper);
    struct upper_check check = {v, 0};
    if (!upper) {
        unusable(report, "no memory");
        return;
    }
    tree_spine_init(&spine);
    tree_edge_init(upper);
    for (int64_t i = 0; i < v->units && v->results[i].done; i++) {
        struct audit_unit_result *result = &v->results[i];
        report->rows += result->rows;
        if (result->bad.seq != 0 && (report->bad.seq == 0 || result->bad.seq < report->bad.seq))
            report->bad = result->bad;
        for (size_t m = 0; m < result->mark_count; m++) {
            const struct audit_mark *mark = &result->marks[m];
            struct tree_hash root;
            tree_spine_root_with(&spine, &mark->rest, &root);
            audit_marks_judge(&marks, mark, tree_same(&root, &mark->root));
        }
        if ((i + 1) * AUDIT_UNIT_RECORDS > v->edge.size)
            break; /* the last one, which is not full */
        tree_spine_append(&spine, AUDIT_UNIT_LOG2, &result->root);
        tree_edge_append(upper, &result->root, check_upper_tile, &check);
    }
    check_upper_edge(v, upper);
    audit_marks_end(&marks);
    free(upper);
}

/* ---- what is given ---- */

/* Checkpoints from elsewhere are evidence only where they are of this log, and signed where keys
 * are trusted. */
static bool judge_given(struct verification *v)
{
    const struct audit_request *request = v->request;
    struct audit_report *report = v->report;
    for (size_t i = 0; i < request->outside_count; i++) {
        const struct audit_note *note = &request->outside[i];
        struct audit_mark mark = {.trust = audit_note_trust(note, request->keys)};
        if (note->origin.size != strlen(report->origin) ||
            memcmp(note->origin.at, report->origin, note->origin.size) != 0) {
            unusable(report, "the checkpoint given is of another record than this database");
            return false;
        }
        audit_chain_judge(&v->scope.chain, note, &mark.trust, &mark.introduced_by);
        if (mark.trust == AUDIT_FORGED ||
            (request->keys->count > 0 && mark.trust != AUDIT_TRUSTED && mark.introduced_by < 1)) {
            unusable(report, "the checkpoint given is not signed by a key that is trusted");
            return false;
        }
        report->outside++;
        if (note->size > v->edge.size)
            audit_find(&report->bad, v->edge.size + 1,
                       "the checkpoint given is of %lld records, and there are %lld: the end was "
                       "cut off, or the database was restored from a backup",
                       (long long)note->size, (long long)v->edge.size);
    }
    return true;
}

/* The keys that the record names; whether those records are genuine is seen with all others. */
static enum pg_status load_introduced(struct verification *v, struct pg *pg, struct pg_error *error)
{
    static const struct pg_statement named = {
        .sql = "SELECT seq, data ->> 'key', CASE WHEN jsonb_typeof(data -> 'signature') = 'string' "
               "THEN data ->> 'signature' END FROM records WHERE type = '" AUDIT_CHAIN_TYPE
               "' AND kind = 'system' AND stream IS NULL AND "
               "jsonb_typeof(data -> 'key') = 'string' "
               "AND seq BETWEEN 1 AND $1::bigint ORDER BY seq"};
    struct pg_result *rows = NULL;
    enum pg_status status = run_sized(v, pg, &named, &rows, error);
    for (int row = 0; status == PG_OK && row < pg_rows(rows); row++) {
        struct slice vkey, signature = {NULL, 0};
        vkey.at = pg_get_bytes(rows, row, 1, &vkey.size);
        if (!pg_get_null(rows, row, 2))
            signature.at = pg_get_bytes(rows, row, 2, &signature.size);
        audit_chain_take(&v->scope.chain, v->request->keys, pg_get_int(rows, row, 0), vkey,
                         signature);
    }
    pg_result_free(rows);
    return status;
}

/* ---- the whole ---- */

/* Retention may have taken, meanwhile, what was looked for; that is a reason to look again, not to
 * find the record good. */
static void excuse_retention(struct verification *v)
{
    struct pg *pg = NULL;
    struct pg_error error;
    int64_t seq = v->report->bad.seq, before = v->scope.dropped_to;
    if (connect_to(v->request, &pg, &error) == PG_OK &&
        load_dropped(v, pg, INT64_MAX, &error) == PG_OK && seq > before &&
        (seq <= v->scope.dropped_to || seq <= v->noted_to))
        unusable(v->report, "retention is dropping records, or somebody says so: it was not on "
                            "record yet. Verify again, while the hub runs");
    pg_close(pg);
}

static void verify(struct verification *v)
{
    struct audit_report *report = v->report;
    struct pg *pg = NULL;
    struct pg_error error;
    enum pg_status status = connect_to(v->request, &pg, &error);
    if (status == PG_OK)
        status = look(v, pg, &error);
    if (status == PG_OK)
        status = load_introduced(v, pg, &error);
    pg_close(pg);
    if (status != PG_OK) {
        unusable(report, error.text);
        return;
    }
    report->records = v->edge.size;
    tree_edge_root(&v->edge, &report->head);
    v->scope.origin = report->origin;
    v->scope.edge = &v->edge;
    v->scope.keys = v->request->keys;
    v->scope.outside = v->request->outside;
    v->scope.outside_count = v->request->outside_count;
    if (!judge_given(v))
        return;
    v->units = (v->edge.size + AUDIT_UNIT_RECORDS - 1) / AUDIT_UNIT_RECORDS;
    v->results = calloc(v->units ? (size_t)v->units : 1, sizeof *v->results);
    if (!v->results || !run_workers(v)) {
        unusable(report, v->results ? v->error.text : "no memory");
        return;
    }
    put_together(v);
    if (report->verdict == AUDIT_GOOD && report->bad.seq != 0)
        report->verdict = AUDIT_BAD;
    if (report->verdict == AUDIT_BAD)
        excuse_retention(v);
}

void audit_db_verify(const struct audit_request *request, struct audit_report *report)
{
    struct verification *v = calloc(1, sizeof *v);
    *report = (struct audit_report){.verdict = AUDIT_GOOD};
    if (!v) {
        unusable(report, "no memory");
        return;
    }
    v->request = request;
    v->report = report;
    atomic_init(&v->worst_unit, INT64_MAX);
    pthread_mutex_init(&v->lock, NULL);
    verify(v);
    pthread_mutex_destroy(&v->lock);
    for (int64_t i = 0; v->results && i < v->units; i++)
        free(v->results[i].marks);
    free(v->results);
    free(v->upper);
    free(v);
}
