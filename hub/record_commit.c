#include "hub/record_commit.h"

#include "hub/failpoint.h"
#include "hub/record_batch_impl.h"
#include "hub/record_hash.h"

#include <stdlib.h>
#include <string.h>

/* A key that is there already: unique_violation. */
static const char taken_already[] = "23505";

struct record_commit {
    struct pg_params params;
    struct buf scratch;
    struct record_tree *tree;
    bool careful; /* the long way, see record_commit.h */
};

struct record_commit *record_commit_new(void)
{
    struct record_commit *commit = calloc(1, sizeof *commit);
    if (!commit)
        return NULL;
    pg_params_init(&commit->params);
    commit->careful = true;
    commit->tree = record_tree_new();
    if (!commit->tree) {
        record_commit_free(commit);
        return NULL;
    }
    return commit;
}

void record_commit_free(struct record_commit *commit)
{
    if (!commit)
        return;
    pg_params_done(&commit->params);
    buf_done(&commit->scratch);
    record_tree_free(commit->tree);
    free(commit);
}

struct record_tree *record_commit_tree(struct record_commit *commit)
{
    return commit->tree;
}

/* ---- the log ---- */

/* The fence. It locks the row until the end of the transaction, so that whoever takes over waits
 * for it, and finds its rows. */
static const struct pg_statement begin_log = {
    .name = "record_begin",
    .sql = "UPDATE log_head SET heartbeat = clock_timestamp(), "
           "archived = greatest(archived + interval '1 microsecond', clock_timestamp()) "
           "WHERE writer = $1::bigint RETURNING next_seq, archived"};

static const struct pg_statement end_log = {
    .name = "record_end",
    .sql = "UPDATE log_head SET heartbeat = clock_timestamp(), next_seq = $2::bigint "
           "WHERE writer = $1::bigint"};

struct log_end {
    int64_t next_seq;
    int64_t archived_ns;
};

static enum pg_status log_begin(struct record_commit *commit, struct pg *pg, int64_t writer,
                                struct log_end *end, bool *fenced, struct pg_error *error)
{
    struct pg_result *rows = NULL;
    enum pg_status status = pg_script(pg, "BEGIN", error);
    if (status != PG_OK)
        return status;
    pg_params_reset(&commit->params);
    pg_add_int8(&commit->params, writer);
    status = pg_run(pg, &begin_log, &commit->params, &rows, error);
    if (status != PG_OK)
        return status;
    *fenced = pg_rows(rows) == 0;
    if (!*fenced) {
        end->next_seq = pg_get_int(rows, 0, 0);
        end->archived_ns = pg_get_timestamp_us(rows, 0, 1) * 1000;
    }
    pg_result_free(rows);
    return PG_OK;
}

/* Marks the rows whose digest the server did not take. It answers in the order of the rows. */
static void mark_duplicates(struct record_batch *batch, const struct pg_result *inserted)
{
    size_t row = 0;
    for (size_t i = 0; i < batch->count; i++)
        batch->rows[i].duplicate = true;
    for (int i = 0; i < pg_rows(inserted); i++) {
        const char *id = pg_get_bytes(inserted, i, 0, NULL);
        size_t looked = 0;
        while (looked++ < batch->count && (!batch->rows[row].duplicate ||
                                           memcmp(batch->rows[row].record.id, id, RECORD_ID_BYTES)))
            row = (row + 1) % batch->count;
        batch->rows[row].duplicate = false;
        row = (row + 1) % batch->count;
    }
}

/* Numbers the rows that are not known to be duplicates, as if each were new. */
static int64_t number(struct record_batch *batch, int64_t next_seq)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (!batch->rows[i].duplicate)
            batch->rows[i].record.seq = next_seq++;
    }
    return next_seq;
}

/* Tells the digests of all rows that are not known to be duplicates, and marks those that turn out
 * to be. Where that moves others to another place in the log than the digests were told, *again:
 * the transaction has to be made anew, knowing the duplicates (the hub's role cannot change a
 * digest). Then all of them are new: there is one writer. */
static enum pg_status dedupe(struct record_commit *commit, struct record_batch *batch,
                             struct pg *pg, struct log_end *end, bool *again,
                             struct pg_error *error)
{
    struct pg_result *inserted = NULL;
    int64_t next_seq = number(batch, end->next_seq);
    int64_t told = next_seq - end->next_seq;
    if (told == 0)
        return PG_OK;
    enum pg_status status =
        record_rows_digests(pg, &commit->params, batch->rows, batch->count, &inserted, error);
    if (status != PG_OK)
        return status;
    int64_t taken = pg_rows(inserted);
    *again = taken > 0 && taken < told;
    if (taken < told)
        mark_duplicates(batch, inserted);
    pg_result_free(inserted);
    end->next_seq += taken;
    return PG_OK;
}

static enum pg_status load_digests(struct record_batch *batch, struct pg *pg, struct log_end *end,
                                   struct pg_error *error)
{
    struct pg_load load;
    int64_t next_seq = number(batch, end->next_seq);
    if (next_seq == end->next_seq)
        return PG_OK;
    end->next_seq = next_seq;
    enum pg_status status = record_rows_load_digests(pg, &load, batch->rows, batch->count, error);
    return status == PG_OK ? pg_load_result(&load, error) : status;
}

struct sealing {
    struct record_commit *commit;
    int64_t archived_ns;
};

/* Gives a new row what the archive adds to it, and the tree its leaf. */
static bool seal(void *closure, struct record_row *row)
{
    struct sealing *sealing = closure;
    row->record.archived_ns = sealing->archived_ns;
    return record_hash(&row->record, &sealing->commit->scratch, row->record.hash) &&
           record_tree_append(sealing->commit->tree, row->record.hash);
}

static enum pg_status log_finish(struct record_commit *commit, struct pg *pg, int64_t writer,
                                 const struct record_progress progress[RECORD_STREAMS],
                                 const struct log_end *end, struct pg_error *error)
{
    enum pg_status status = record_rows_positions(pg, &commit->params, progress, error);
    for (int i = 0; i < RECORD_STREAMS && status == PG_OK; i++) {
        if (progress[i].stream && progress[i].throttle)
            status = record_rows_refusals(pg, &commit->params, &progress[i], error);
    }
    if (status != PG_OK)
        return status;
    pg_params_reset(&commit->params);
    pg_add_int8(&commit->params, writer);
    pg_add_int8(&commit->params, end->next_seq);
    status = pg_run(pg, &end_log, &commit->params, NULL, error);
    if (status != PG_OK)
        return status;
    failpoint_reached(FAILPOINT_RECORD_POSITIONED);
    return pg_script(pg, "COMMIT", error);
}

struct attempt {
    bool careful;
    bool fenced, again; /* what came of it */
    int64_t head_seq;   /* of the log, where it was done */
};

static enum pg_status write_all(struct record_commit *commit, struct record_batch *batch,
                                struct pg *pg, int64_t writer,
                                const struct record_progress progress[RECORD_STREAMS],
                                struct log_end *end, struct attempt *attempt,
                                struct pg_error *error)
{
    int64_t first = end->next_seq;
    struct sealing sealing = {commit, end->archived_ns}; /* one time of all rows, see log_begin */
    enum pg_status status = attempt->careful
                                ? dedupe(commit, batch, pg, end, &attempt->again, error)
                                : load_digests(batch, pg, end, error);
    if (status != PG_OK || attempt->again)
        return status;
    failpoint_reached(FAILPOINT_RECORD_DIGESTED);
    status = record_tree_begin(commit->tree, pg, writer, first - 1, error);
    if (status == PG_OK && end->next_seq > first)
        status = record_rows_load(pg, batch->rows, batch->count, seal, &sealing, error);
    failpoint_reached(FAILPOINT_RECORD_INSERTED);
    if (status == PG_OK)
        status = record_tree_save(commit->tree, pg, &commit->params, error);
    failpoint_reached(FAILPOINT_RECORD_GROWN);
    if (status == PG_OK)
        status = log_finish(commit, pg, writer, progress, end, error);
    return status;
}

static enum pg_status commit_once(struct record_commit *commit, struct record_batch *batch,
                                  struct pg *pg, int64_t writer,
                                  const struct record_progress progress[RECORD_STREAMS],
                                  struct attempt *attempt, struct pg_error *error)
{
    struct log_end end = {0};
    struct pg_error ignored;
    attempt->fenced = attempt->again = false;
    enum pg_status status = log_begin(commit, pg, writer, &end, &attempt->fenced, error);
    if (status == PG_OK && !attempt->fenced) {
        failpoint_reached(FAILPOINT_RECORD_BEGUN);
        status = write_all(commit, batch, pg, writer, progress, &end, attempt, error);
    }
    bool done = status == PG_OK && !attempt->fenced && !attempt->again;
    attempt->head_seq = end.next_seq - 1;
    if (done)
        record_tree_committed(commit->tree);
    else if (status != PG_LOST)
        pg_script(pg, "ROLLBACK", &ignored);
    return status;
}

static bool has_duplicate(const struct record_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->rows[i].duplicate)
            return true;
    }
    return false;
}

/* The short way, or the long one: that twice where new rows and duplicates are mixed, and not a
 * third time. */
static enum pg_status commit_deduped(struct record_commit *commit, struct record_batch *batch,
                                     struct pg *pg, int64_t writer,
                                     const struct record_progress progress[RECORD_STREAMS],
                                     struct record_outcome *outcome, struct pg_error *error)
{
    struct attempt attempt = {.careful = commit->careful};
    for (size_t i = 0; i < batch->count; i++)
        batch->rows[i].duplicate = false;
    enum pg_status status = commit_once(commit, batch, pg, writer, progress, &attempt, error);
    commit->careful = true;
    if (status == PG_FAILED && !attempt.careful && strcmp(error->sqlstate, taken_already) == 0) {
        attempt.careful = true;
        status = commit_once(commit, batch, pg, writer, progress, &attempt, error);
    }
    if (status == PG_OK && attempt.again)
        status = commit_once(commit, batch, pg, writer, progress, &attempt, error);
    if (status == PG_OK && attempt.again) {
        *error = (struct pg_error){.text = "somebody else writes to the table of digests"};
        status = PG_FAILED;
    }
    outcome->fenced = attempt.fenced;
    outcome->head_seq = attempt.head_seq;
    if (status == PG_OK && !outcome->fenced)
        commit->careful = has_duplicate(batch);
    return status;
}

/* The server refused a value and does not say of which row: asks about all of them, and about
 * halves of what it does not take. */
static enum pg_status find_refused(struct record_commit *commit, struct record_row *rows,
                                   size_t count, struct pg *pg, struct pg_error *error)
{
    bool plain;
    size_t half = count / 2;
    enum pg_status status = record_rows_plain(pg, &commit->params, rows, count, &plain, error);
    if (status != PG_OK || plain)
        return status;
    if (count == 1) {
        rows->plain = false;
        return PG_OK;
    }
    status = find_refused(commit, rows, half, pg, error);
    return status == PG_OK ? find_refused(commit, rows + half, count - half, pg, error) : status;
}

enum pg_status record_commit_batch(struct record_commit *commit, struct record_batch *batch,
                                   struct pg *pg, int64_t writer,
                                   const struct record_progress progress[RECORD_STREAMS],
                                   struct record_outcome *outcome, struct pg_error *error)
{
    *outcome = (struct record_outcome){0};
    enum pg_status status = commit_deduped(commit, batch, pg, writer, progress, outcome, error);
    if (status == PG_VALUE) {
        status = find_refused(commit, batch->rows, batch->count, pg, error);
        if (status == PG_OK)
            status = commit_deduped(commit, batch, pg, writer, progress, outcome, error);
    }
    if (status != PG_OK || outcome->fenced)
        return status;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->rows[i].duplicate)
            outcome->duplicates++;
        else
            outcome->records[batch->rows[i].record.kind]++;
    }
    return PG_OK;
}
