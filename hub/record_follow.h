/*
 * record_follow: the record as it grows, to any number of clients (contract §5): each record that a
 * client asked for once, in the order of `seq`, from any hub, for as long as the client listens.
 *
 * One thread follows the archive for all: it looks every FOLLOW_LOOK_MS where the log ends, reads
 * what is new once, and keeps the last FOLLOW_KEPT records. Each client has a number, the last
 * `seq` that was looked at for it, and a buffer of FOLLOW_OUT_BYTES of events on their way; one
 * record may exceed it. A client that is further behind than what is kept, because it resumes or is
 * slow, is brought up to there by a scan of its own, on one of FOLLOW_READERS threads, as fast as
 * it takes what it is sent. Nothing is ever skipped.
 *
 * While the database is away nothing comes, and afterwards everything does.
 *
 * Threads: those above; follow_open from any. Ownership: a client belongs to its connection and to
 * whoever serves it, and goes with the last. Limits: FOLLOW_CLIENTS_MAX.
 */
#ifndef HUB_RECORD_FOLLOW_H
#define HUB_RECORD_FOLLOW_H

#include "hub/events_ask.h"
#include "hub/http.h"

enum {
    FOLLOW_CLIENTS_MAX = 2048,
    FOLLOW_READERS = 2,
    FOLLOW_LOOK_MS = 100,
    FOLLOW_RETRY_MS = 1000, /* where the database did not answer */
    FOLLOW_KEPT = 4096,
    FOLLOW_KEPT_BYTES = 16 << 20,
    FOLLOW_OUT_BYTES = 64 * 1024,
    FOLLOW_HEARTBEAT_MS = 15000,
};

struct record_follow;
/* NULL: no memory, or no thread. */
struct record_follow *record_follow_new(const char *dsn);
/* Ends all streams, and refuses new ones. Before http_stop. NULL is nothing. */
void record_follow_drain(struct record_follow *follow);
/* After http_stop. NULL is nothing. */
void record_follow_free(struct record_follow *follow);

/* Where a client begins. */
struct follow_start {
    int64_t after_seq; /* behind this one */
    const char *reset; /* why not where it said, a literal; NULL: there */
};
enum follow_status { FOLLOW_OK, FOLLOW_FULL, FOLLOW_STOPPING, FOLLOW_NO_MEMORY };
/* What was asked is taken over. */
enum follow_status record_follow_open(struct record_follow *follow, struct events_asked *asked,
                                      const struct follow_start *start,
                                      struct http_stream **stream);

#endif
