/*
 * record_batch: records on their way into the archive, and what goes with them; record_commit.h
 * takes them there.
 *
 * Ownership: a batch copies what is added to it.
 * Threads: one per batch.
 * Limits: RECORD_BATCH_ROWS and RECORD_BATCH_BYTES say when a batch is full; one record may go
 *         beyond the bytes.
 */
#ifndef HUB_RECORD_BATCH_H
#define HUB_RECORD_BATCH_H

#include "hub/pg.h"
#include "hub/record.h"
#include "hub/record_throttle.h"

enum {
    RECORD_BATCH_ROWS = 4096,
    RECORD_BATCH_BYTES = 4 * 1024 * 1024,
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
size_t record_batch_count(const struct record_batch *batch);
bool record_batch_full(const struct record_batch *batch);

/* What goes with the rows: the position of each stream that has moved (stream NULL: it has not),
 * and its throttle (NULL: nothing counted). */
struct record_progress {
    const char *stream;
    struct record_position position;
    const struct record_throttle *throttle;
};

#endif
