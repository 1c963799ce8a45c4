/*
 * state_history: the messages of one subject filter in TWIN_STATE, oldest first, from a place on.
 *
 * A consumer would be the plain way, but the broker counts what is pending for it before it gives
 * out the first message: all that the stream holds from there on, seconds of its time on a stream
 * of tens of millions, in which it answers nobody else on that connection. So a consumer reads
 * where little is behind the place. Where there is much each message is asked for by itself, which
 * costs what lies up to the next one, and reading ends early rather than late.
 *
 * Threads: any that may wait for NATS; nothing is kept.
 * Limits: STATE_HISTORY_MS, then BUS_DISCONNECTED; one by one STATE_HISTORY_SINGLY_MS, then it
 * ends.
 */
#ifndef HUB_STATE_HISTORY_H
#define HUB_STATE_HISTORY_H

#include "hub/bus.h"

enum {
    STATE_HISTORY_MS = 8000,
    STATE_HISTORY_SINGLY_MS = 2000,
    STATE_HISTORY_COUNTED_MAX = 200000, /* messages behind the place, for a consumer */
};

struct state_history {
    const char *filter;
    uint64_t from_seq; /* 0: from start_ns */
    int64_t start_ns;  /* received then or later; TIMESTAMP_NONE: from the first */
    uint64_t last_seq; /* nothing that is wanted stands behind it: it is not looked for there */
    uint64_t counted_max;
    bool (*take)(void *closure, const struct bus_msg *msg); /* false: it was the last wanted */
    void *closure;
};

/* Hands the messages to `take`. BUS_OK: that said enough, there are no more, or *next_seq, not 0,
 * is where to go on. */
enum bus_status state_history_read(struct bus *bus, const struct state_history *what,
                                   uint64_t *next_seq, struct bus_error *error);

#endif
