#include "hub/record_batch_impl.h"

#include "hub/failpoint.h"
#include "hub/record_hash.h"
#include "hub/record_tree.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 256 * 1024, FIRST_ROWS = 128 };

/* The strings of the rows live in chunks, so that they stay where they are as more come. */
struct chunk {
    struct chunk *next;
    size_t used, size;
    char bytes[];
};

struct record_batch {
    char *region;
    struct record_row *rows;
    size_t count, capacity;
    size_t bytes;
    struct chunk *chunks; /* the newest first */
    struct pg_params params;
    struct buf scratch;
    struct record_tree *tree;
};

static void chunks_free(struct chunk *chunk)
{
    while (chunk) {
        struct chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void record_batch_free(struct record_batch *batch)
{
    if (!batch)
        return;
    chunks_free(batch->chunks);
    pg_params_done(&batch->params);
    buf_done(&batch->scratch);
    record_tree_free(batch->tree);
    free(batch->rows);
    free(batch->region);
    free(batch);
}

struct record_batch *record_batch_new(const char *region)
{
    struct record_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return NULL;
    batch->region = strdup(region);
    pg_params_init(&batch->params);
    batch->tree = record_tree_new();
    if (!batch->region || !batch->tree) {
        record_batch_free(batch);
        return NULL;
    }
    return batch;
}

struct record_tree *record_batch_tree(struct record_batch *batch)
{
    return batch->tree;
}

void record_batch_reset(struct record_batch *batch)
{
    batch->count = batch->bytes = 0;
    if (!batch->chunks)
        return;
    chunks_free(batch->chunks->next);
    batch->chunks->next = NULL;
    batch->chunks->used = 0;
    if (batch->chunks->size > CHUNK_BYTES) { /* made for one large record */
        free(batch->chunks);
        batch->chunks = NULL;
    }
}

/* ---- collecting ---- */

static char *room_for(struct record_batch *batch, size_t bytes)
{
    struct chunk *chunk = batch->chunks;
    if (!chunk || bytes > chunk->size - chunk->used) {
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        chunk = malloc(sizeof *chunk + size);
        if (!chunk)
            return NULL;
        *chunk = (struct chunk){.next = batch->chunks, .size = size};
        batch->chunks = chunk;
    }
    char *at = chunk->bytes + chunk->used;
    chunk->used += bytes;
    return at;
}

static void keep(struct slice *text, char **at)
{
    if (!text->at)
        return;
    memcpy(*at, text->at, text->size);
    text->at = *at;
    *at += text->size;
}

/* JSON allows line breaks between tokens only. As spaces they leave a record one line, and every
 * byte of what is kept is a byte that its hash covers (record_hash.h). */
static void unbreak(struct slice *data)
{
    char *at = (char *)(uintptr_t)data->at;
    for (size_t i = 0; i < data->size; i++) {
        if (at[i] == '\n' || at[i] == '\r')
            at[i] = ' ';
    }
}

bool record_batch_add(struct record_batch *batch, const struct record *record, int32_t day)
{
    if (batch->count == batch->capacity) {
        size_t capacity = batch->capacity ? batch->capacity * 2 : FIRST_ROWS;
        struct record_row *rows = realloc(batch->rows, capacity * sizeof *rows);
        if (!rows)
            return false;
        batch->rows = rows;
        batch->capacity = capacity;
    }
    size_t bytes = record->vid.size + record->type.size + record->actor.size +
                   record->request_id.size + record->boot.size + record->stream.size +
                   record->data.size;
    char *at = room_for(batch, bytes);
    if (!at)
        return false;
    struct record_row *row = &batch->rows[batch->count++];
    *row = (struct record_row){.record = *record, .day = day};
    struct slice *texts[] = {&row->record.vid,        &row->record.type, &row->record.actor,
                             &row->record.request_id, &row->record.boot, &row->record.stream,
                             &row->record.data};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        keep(texts[i], &at);
    unbreak(&row->record.data);
    row->record.region = (struct slice){batch->region, strlen(batch->region)};
    row->plain = !record_holds_nul(record->data);
    batch->bytes += bytes;
    return true;
}

size_t record_batch_count(const struct record_batch *batch)
{
    return batch->count;
}

bool record_batch_full(const struct record_batch *batch)
{
    return batch->count >= RECORD_BATCH_ROWS || batch->bytes >= RECORD_BATCH_BYTES;
}

/* ---- committing ---- */

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

static enum pg_status log_begin(struct record_batch *batch, struct pg *pg, int64_t writer,
                                struct log_end *end, bool *fenced, struct pg_error *error)
{
    struct pg_result *rows = NULL;
    enum pg_status status = pg_script(pg, "BEGIN", error);
    if (status != PG_OK)
        return status;
    pg_params_reset(&batch->params);
    pg_add_int8(&batch->params, writer);
    status = pg_run(pg, &begin_log, &batch->params, &rows, error);
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

/* Tells the digests of all rows that are not known to be duplicates, as if each were new, and marks
 * those that turn out not to be. Where that moves others to another place in the log than the
 * digests were told, *again: the transaction has to be made anew, knowing the duplicates (the
 * hub's role cannot change a digest). Then all of them are new: there is one writer. */
static enum pg_status dedupe(struct record_batch *batch, struct pg *pg, int64_t next_seq,
                             bool *again, struct pg_error *error)
{
    struct pg_result *inserted = NULL;
    int64_t seq = next_seq;
    for (size_t i = 0; i < batch->count; i++) {
        if (!batch->rows[i].duplicate)
            batch->rows[i].record.seq = seq++;
    }
    if (seq == next_seq)
        return PG_OK;
    enum pg_status status =
        record_rows_digests(pg, &batch->params, batch->rows, batch->count, &inserted, error);
    if (status != PG_OK)
        return status;
    int64_t taken = pg_rows(inserted);
    *again = taken > 0 && taken < seq - next_seq;
    if (taken < seq - next_seq)
        mark_duplicates(batch, inserted);
    pg_result_free(inserted);
    return PG_OK;
}

/* Gives the new rows what the archive adds to them. */
static enum pg_status seal(struct record_batch *batch, struct log_end *end, struct pg_error *error)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct record_row *row = &batch->rows[i];
        row->record.archived_ns = end->archived_ns; /* one of all rows, see record_rows_insert */
        if (row->duplicate)
            continue;
        row->record.seq = end->next_seq++;
        if (!record_hash(&row->record, &batch->scratch, row->record.hash)) {
            *error = (struct pg_error){.text = "no memory"};
            return PG_FAILED;
        }
    }
    return PG_OK;
}

/* The new records' hashes become leaves, and all of the tree that this changes is written. */
static enum pg_status grow(struct record_batch *batch, struct pg *pg, struct pg_error *error)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (!batch->rows[i].duplicate)
            record_tree_append(batch->tree, batch->rows[i].record.hash);
    }
    return record_tree_save(batch->tree, pg, &batch->params, error);
}

static enum pg_status log_finish(struct record_batch *batch, struct pg *pg, int64_t writer,
                                 const struct record_progress progress[RECORD_STREAMS],
                                 const struct log_end *end, struct pg_error *error)
{
    enum pg_status status = record_rows_positions(pg, &batch->params, progress, error);
    for (int i = 0; i < RECORD_STREAMS && status == PG_OK; i++) {
        if (progress[i].stream && progress[i].throttle)
            status = record_rows_refusals(pg, &batch->params, &progress[i], error);
    }
    if (status != PG_OK)
        return status;
    pg_params_reset(&batch->params);
    pg_add_int8(&batch->params, writer);
    pg_add_int8(&batch->params, end->next_seq);
    status = pg_run(pg, &end_log, &batch->params, NULL, error);
    if (status != PG_OK)
        return status;
    failpoint_reached(FAILPOINT_RECORD_POSITIONED);
    return pg_script(pg, "COMMIT", error);
}

static enum pg_status commit_once(struct record_batch *batch, struct pg *pg, int64_t writer,
                                  const struct record_progress progress[RECORD_STREAMS],
                                  bool *fenced, bool *again, struct pg_error *error)
{
    struct log_end end = {0};
    struct pg_error ignored;
    enum pg_status status = log_begin(batch, pg, writer, &end, fenced, error);
    *again = false;
    if (status == PG_OK && !*fenced)
        failpoint_reached(FAILPOINT_RECORD_BEGUN);
    if (status == PG_OK && !*fenced)
        status = dedupe(batch, pg, end.next_seq, again, error);
    if (status == PG_OK && !*fenced && !*again) {
        int64_t first = end.next_seq;
        failpoint_reached(FAILPOINT_RECORD_DIGESTED);
        status = seal(batch, &end, error);
        if (status == PG_OK)
            status = record_tree_begin(batch->tree, pg, writer, first - 1, error);
        if (status == PG_OK && end.next_seq > first)
            status = record_rows_insert(pg, &batch->params, batch->rows, batch->count, error);
        failpoint_reached(FAILPOINT_RECORD_INSERTED);
        if (status == PG_OK)
            status = grow(batch, pg, error);
        failpoint_reached(FAILPOINT_RECORD_GROWN);
        if (status == PG_OK)
            status = log_finish(batch, pg, writer, progress, &end, error);
    }
    if ((status != PG_OK && status != PG_LOST) || (status == PG_OK && (*fenced || *again)))
        pg_script(pg, "ROLLBACK", &ignored);
    if (status == PG_OK && !*fenced && !*again)
        record_tree_committed(batch->tree);
    return status;
}

/* Twice where new rows and duplicates are mixed, and not a third time. */
static enum pg_status commit_deduped(struct record_batch *batch, struct pg *pg, int64_t writer,
                                     const struct record_progress progress[RECORD_STREAMS],
                                     bool *fenced, struct pg_error *error)
{
    bool again;
    for (size_t i = 0; i < batch->count; i++)
        batch->rows[i].duplicate = false;
    enum pg_status status = commit_once(batch, pg, writer, progress, fenced, &again, error);
    if (status == PG_OK && again)
        status = commit_once(batch, pg, writer, progress, fenced, &again, error);
    if (status == PG_OK && again) {
        *error = (struct pg_error){.text = "somebody else writes to the table of digests"};
        status = PG_FAILED;
    }
    return status;
}

/* The server refused a value and does not say of which row: asks about each. */
static enum pg_status find_refused(struct record_batch *batch, struct pg *pg,
                                   struct pg_error *error)
{
    enum pg_status status = PG_OK;
    for (size_t i = 0; i < batch->count && status == PG_OK; i++) {
        struct record_row *row = &batch->rows[i];
        if (row->plain)
            status = record_rows_plain(pg, &batch->params, row->record.data, &row->plain, error);
    }
    return status;
}

enum pg_status record_batch_commit(struct record_batch *batch, struct pg *pg, int64_t writer,
                                   const struct record_progress progress[RECORD_STREAMS],
                                   struct record_outcome *outcome, struct pg_error *error)
{
    *outcome = (struct record_outcome){0};
    enum pg_status status = commit_deduped(batch, pg, writer, progress, &outcome->fenced, error);
    if (status == PG_VALUE) {
        status = find_refused(batch, pg, error);
        if (status == PG_OK)
            status = commit_deduped(batch, pg, writer, progress, &outcome->fenced, error);
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
