/*
 * record_batch: records on their way into the archive, and what goes with them; record_commit.h
 * takes them there.
 *
 * Ownership: a batch copies what is added to it.
 * Threads: one per batch.
 * Limits: RECORD_BATCH_ROWS (or fewer, see record_batch_limit) and RECORD_BATCH_BYTES say when a
 *         batch is full; one record may go beyond the bytes.
 */
#ifndef HUB_RECORD_BATCH_H
#define HUB_RECORD_BATCH_H

#include "hub/pg.h"
#include "hub/record.h"
#include "hub/record_throttle.h"

enum {
    RECORD_BATCH_ROWS = 16384,
    RECORD_BATCH_ROWS_MIN = 1024,
    RECORD_BATCH_BYTES = 8 * 1024 * 1024,
    RECORD_STREAMS = 3, /* TWIN_EVENTS, TWIN_ACK, TWIN_RECORD */
};

/* How far a stream has been read. */
struct record_position {
    int64_t created_ns; /* the stream's creation; 0: it was never read */
    int64_t generation; /* grows whenever the stream may have lost its tail unseen */
    uint64_t seq;
    int64_t received_ns; /* the broker's time of the message `seq`, 0 where not known */
};

struct record_batch;
/* NULL when there is no memory. */
struct record_batch *record_batch_new(const char *region);
void record_batch_free(struct record_batch *batch);
void record_batch_reset(struct record_batch *batch);

/* Adds a record; `day` for the table of digests. False: no memory, nothing was added. */
bool record_batch_add(struct record_batch *batch, const struct record *record, int32_t day);
/* The broker's time of the record at `index`, which is below the count. */
int64_t record_batch_received_ns(const struct record_batch *batch, size_t index);
size_t record_batch_count(const struct record_batch *batch);
bool record_batch_full(const struct record_batch *batch);
/* How many rows fill it from now on, within RECORD_BATCH_ROWS_MIN and RECORD_BATCH_ROWS. */
void record_batch_limit(struct record_batch *batch, size_t rows);
/* `done` took so long to commit: sets both to as many rows as the server takes in a fraction of a
 * second, `next` only where that does not make it wait for more. What a batch costs beside its rows
 * then counts for little, and the heartbeat that comes with its commit is never late. */
void record_batch_adapt(struct record_batch *done, struct record_batch *next, int64_t took_ms);

/* What goes with the rows: the position of each stream that has moved (stream NULL: it has not),
 * and its throttle (NULL: nothing counted). */
struct record_progress {
    const char *stream;
    struct record_position position;
    const struct record_throttle *throttle;
};

#endif
