/*
 * record_stream: one of the streams that the record lane reads: where it stands, how it is opened
 * where it was left, and what is noticed on the way: a stream that was made anew or lost its tail
 * (a `system` record of type `epoch`), messages that are gone before they were archived (`gap`).
 *
 * The position has two halves: `read`, which runs ahead with the messages taken into the batch,
 * and `committed`, which follows with the commit. Only the second is ever shown.
 *
 * Threads: the record lane's.
 */
#ifndef HUB_RECORD_STREAM_H
#define HUB_RECORD_STREAM_H

#include "hub/bus.h"
#include "hub/metrics.h"
#include "hub/record_batch.h"
#include "hub/record_make.h"

struct record_stream {
    const char *name;
    enum stream_label label;
    bool own; /* TWIN_RECORD */

    struct bus_consumer *consumer;
    int64_t retry_at_ms;
    uint64_t pending; /* messages behind the last one read */
    struct record_position read, committed;
    bool moved; /* `read` is not `committed` */
    struct record_throttle *throttle;
    struct record_reuse *reuse; /* of message ids; NULL for the hub's own */
    bool complained;            /* that it cannot be opened */
};

/* The three of them. False: no memory. */
bool record_streams_init(struct record_stream streams[RECORD_STREAMS]);
void record_streams_done(struct record_stream streams[RECORD_STREAMS]);

/* Forgets everything that is not committed, and closes the consumers. */
void record_streams_close(struct record_stream streams[RECORD_STREAMS]);
/* Reads positions and counts as they were committed. */
enum pg_status record_streams_load(struct record_stream streams[RECORD_STREAMS], struct pg *pg,
                                   struct pg_error *error);

enum record_open {
    RECORD_OPENED,
    RECORD_NOT_YET, /* no connection, no such stream: tried again by itself */
    RECORD_NO_MEMORY,
};
/* Opens the consumer behind what was read, where it is time to. What was noticed goes into the
 * batch. `complaint` gets a text where it cannot be opened. */
enum record_open record_stream_open(struct record_stream *stream, struct bus *bus,
                                    struct record_batch *batch, int64_t now_ms,
                                    struct bus_error *complaint);
/* The stream may have lost its tail unseen: its positions get another epoch (hub/record_lane.h). */
void record_stream_doubt(struct record_stream *stream);

/* Takes one message into the batch. False: no memory, nothing was taken. */
bool record_stream_take(struct record_stream *stream, struct record_maker *maker,
                        const struct bus_msg *msg, struct record_batch *batch);
/* Puts what a minute that is over has to say into the batch. False: no memory. */
bool record_stream_minute(struct record_stream *stream, int64_t now_ns, struct record_batch *batch);

/* What is to be committed, and that it was; more may have been taken meanwhile. */
void record_streams_progress(const struct record_stream streams[RECORD_STREAMS],
                             struct record_progress progress[RECORD_STREAMS]);
void record_streams_committed(struct record_stream streams[RECORD_STREAMS],
                              const struct record_progress progress[RECORD_STREAMS]);
bool record_streams_moved(const struct record_stream streams[RECORD_STREAMS]);

/* The epoch as `archived` shows it: the stream's creation and the generation. */
enum { RECORD_EPOCH_TEXT_BYTES = TIMESTAMP_TEXT_BYTES + 24 };
void record_epoch_format(const struct record_position *position,
                         char text[RECORD_EPOCH_TEXT_BYTES]);

#endif
