/*
 * record_lane: TWIN_EVENTS, TWIN_ACK and TWIN_RECORD to PostgreSQL, each message on record exactly
 * once whatever is killed when.
 *
 * The lane reads each stream from the position that is committed in PostgreSQL, collects a batch,
 * and commits rows and positions in one transaction. Nothing is remembered beside that: whenever
 * anything fails it closes its consumers, forgets what it holds, connects anew and reads the
 * positions again, so that a COMMIT whose answer was lost is harmless. Several hubs may run it: one
 * writes (record_lease.h), the others stand by.
 *
 * Each second the writer publishes `fleet.<env>.hub.<region>.archived` (contract §1), and sets the
 * metrics of the archive. An epoch there is the stream's creation and a number that grows whenever
 * the hub was not watching the stream without a break: a broker may then have lost its tail and
 * given the same sequences to other messages, so that a gateway that finds another epoch than the
 * one it published in publishes again. The archive removes what comes twice.
 *
 * Threads: one of its own; record_lane_status from any. What it may wait for: the broker (seconds,
 * see bus_next), PostgreSQL (its deadlines below).
 * Memory: two batches (record_batch.h): one that is being committed, one that is taken meanwhile;
 *         and what the bus holds of three consumers.
 */
#ifndef HUB_RECORD_LANE_H
#define HUB_RECORD_LANE_H

#include "hub/bus.h"
#include "hub/config.h"
#include "hub/record_stream.h"

#include <stdbool.h>
#include <stdint.h>

struct record_lane;
struct record_signers;

struct record_lane_options {
    const struct config *config; /* outlives the lane */
    struct bus *bus;
    record_admits_fn *admits; /* record_make.h */
    void *admits_closure;
    const struct record_signers *signers; /* of checkpoints; NULL: unsigned */
};

/* Starts, with or without a broker and a database there. NULL: no memory, or no thread. */
struct record_lane *record_lane_start(const struct record_lane_options *options);
/* Commits the batch it is at, lets go of the lease and ends; after timeout_ms what is under way is
 * broken off, which costs nothing but reading it again. */
void record_lane_stop(struct record_lane *lane, int timeout_ms);

struct record_lane_status {
    bool postgres;         /* connected, and answering within RECORD_LANE_ANSWER_MS */
    bool writer;           /* this hub writes the archive; else it stands by */
    int64_t writer_number; /* the fence, while `writer` */
    struct {
        const char *name;
        enum stream_label label;
        bool open;
        int64_t created_ns;
        uint64_t archived_seq; /* committed */
        uint64_t pending;      /* messages behind it */
    } streams[RECORD_STREAMS];
    char error[256]; /* what went wrong last, "" while all is well */
};
enum { RECORD_LANE_ANSWER_MS = 5000 };

void record_lane_status(struct record_lane *lane, struct record_lane_status *status);

#endif
