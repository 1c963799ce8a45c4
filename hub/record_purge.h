/*
 * record_purge: room in a stream that is near its limit (contract §3). Above RECORD_PURGE_PERCENT
 * of its bytes it lets go of what is archived and older than RECORD_PURGE_AGE_S, by the broker's
 * own times, and of nothing else. What is young stays for those who still follow it; what is not
 * archived stays until it is.
 *
 * Threads: any; a call asks the broker a few questions, with deadlines.
 */
#ifndef HUB_RECORD_PURGE_H
#define HUB_RECORD_PURGE_H

#include "hub/bus.h"

enum { RECORD_PURGE_PERCENT = 70, RECORD_PURGE_AGE_S = 600 };

struct record_purge {
    const char *stream;
    int64_t created_ns;    /* of the stream that archived_seq is about; another one is left alone */
    uint64_t archived_seq; /* committed up to here */
    int64_t before_ns;     /* received before that: it is old */
};

/* *purged: how many messages went. BUS_EPOCH: it is another stream. */
enum bus_status record_purge(struct bus *bus, const struct record_purge *what, uint64_t *purged,
                             struct bus_error *error);

#endif
