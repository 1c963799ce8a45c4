#include "hub/record_batch_impl.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_BYTES = 256 * 1024,
    FIRST_ROWS = 128,
    GROWTH = 4,     /* at once, where all of it would still be quick */
    QUICK_MS = 400, /* a full batch that takes less may be larger, */
    SLOW_MS = 1500, /* and one that takes more is too large: far below the lease's silence */
};

/* The strings of the rows live in chunks, so that they stay where they are as more come. */
struct record_chunk {
    struct record_chunk *next;
    size_t used, size;
    char bytes[];
};

static void chunks_free(struct record_chunk *chunk)
{
    while (chunk) {
        struct record_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void record_batch_free(struct record_batch *batch)
{
    if (!batch)
        return;
    chunks_free(batch->chunks);
    free(batch->rows);
    free(batch->region);
    free(batch);
}

struct record_batch *record_batch_new(const char *region)
{
    struct record_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return NULL;
    batch->limit = RECORD_BATCH_ROWS_MIN;
    batch->region = strdup(region);
    if (!batch->region) {
        record_batch_free(batch);
        return NULL;
    }
    return batch;
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
    struct record_chunk *chunk = batch->chunks;
    if (!chunk || bytes > chunk->size - chunk->used) {
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        chunk = malloc(sizeof *chunk + size);
        if (!chunk)
            return NULL;
        *chunk = (struct record_chunk){.next = batch->chunks, .size = size};
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

int64_t record_batch_received_ns(const struct record_batch *batch, size_t index)
{
    return batch->rows[index].record.received_ns;
}

size_t record_batch_count(const struct record_batch *batch)
{
    return batch->count;
}

bool record_batch_full(const struct record_batch *batch)
{
    return batch->count >= batch->limit || batch->bytes >= RECORD_BATCH_BYTES;
}

void record_batch_limit(struct record_batch *batch, size_t rows)
{
    rows = rows > RECORD_BATCH_ROWS_MIN ? rows : RECORD_BATCH_ROWS_MIN;
    batch->limit = rows < RECORD_BATCH_ROWS ? rows : RECORD_BATCH_ROWS;
}

void record_batch_adapt(struct record_batch *done, struct record_batch *next, int64_t took_ms)
{
    if (record_batch_full(done) && took_ms < QUICK_MS)
        record_batch_limit(done, done->limit * (took_ms * GROWTH < QUICK_MS ? GROWTH : 2));
    else if (took_ms > SLOW_MS)
        record_batch_limit(done, done->limit / 2);
    /* A full one is ready: the server would wait while it became larger. */
    if (!record_batch_full(next) || next->limit > done->limit)
        next->limit = done->limit;
}
