/*
 * position_gate: `min_position` and `wait_ms` of every read (contract §5): a request waits until
 * the twins, or on ROUTE_ARCHIVE the record, have come at least that far. Else it is a 504; a
 * position of another epoch is a 410, what is no position a 400.
 *
 * A request that waits is a suspended connection and a ticket in a queue, looked at whenever the
 * twins have come further, at most once a millisecond; while nobody waits the lanes pay one load
 * per message. Those that wait for the record are looked at every GATE_ARCHIVE_MS, by a question to
 * PostgreSQL for all of them together.
 *
 * Ownership: the gate outlives the HTTP server. Threads: two of its own, one for each queue; the
 * hooks are called by the server. Limits: GATE_WAITING_MAX requests in each queue; one more is a
 * 503.
 */
#ifndef HUB_POSITION_GATE_H
#define HUB_POSITION_GATE_H

#include "hub/archive.h"
#include "hub/http.h"
#include "hub/store.h"

enum {
    GATE_WAIT_MS = 1000, /* unless wait_ms says otherwise */
    GATE_WAIT_MAX_MS = 5000,
    GATE_WAITING_MAX = 4096,
    GATE_ARCHIVE_MS = 50,
};

struct position_gate;

/* NULL: no memory, or no threads. */
struct position_gate *position_gate_new(struct store *store, struct archive_reader *archive);
const struct http_gate *position_gate_http(struct position_gate *gate);
/* Whoever waits is refused at once, and so is whoever comes. Before http_stop, which can only end
 * connections that do not wait. */
void position_gate_stop(struct position_gate *gate);
/* After http_stop, and when nobody writes to the store any more. NULL is nothing. */
void position_gate_free(struct position_gate *gate);

#endif
