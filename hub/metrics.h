/*
 * metrics: every metric of the hub in one table, and the text that Prometheus reads.
 *
 * Counters and gauges are atomics, reachable by index and label index: no lookup by name, no lock,
 * any thread. Labels are fixed lists (enums), never what a client sent. Values that are only known
 * when asked (vehicles by presence, lag) are set by the hub's collector right before rendering.
 */
#ifndef HUB_METRICS_H
#define HUB_METRICS_H

#include "twin/buf.h"

#include <stddef.h>
#include <stdint.h>

/* id, name without the prefix, type, label names (comma separated), value lists for them, help.
 * Label lists: each is the name of a static table in metrics.c. */
#define METRIC_TABLE(X)                                                                            \
    X(MESSAGES, "messages_total", COUNTER, "stream,outcome", "Messages judged, by outcome")        \
    X(REJECTED, "rejected_total", COUNTER, "reason", "Messages refused, by reason")                \
    X(CLOCK_SKEW, "clock_skew_total", COUNTER, "", "Timestamps replaced by the broker's")          \
    X(SHADOW_IGNORED, "shadow_ignored_total", COUNTER, "", "KV values ignored: no JSON object")    \
    X(VEHICLES, "vehicles", GAUGE, "presence", "Vehicles by presence")                             \
    X(LAG, "lag_messages", GAUGE, "stream", "Messages in a stream not yet applied")                \
    X(RECORDS, "records_total", COUNTER, "kind", "Records committed to the archive")               \
    X(RECORDS_DUPLICATE, "records_duplicate_total", COUNTER, "", "Messages already on record")     \
    X(BATCHES, "record_batches_total", COUNTER, "outcome", "Archive transactions, by outcome")     \
    X(ARCHIVED_SEQ, "archived_seq", GAUGE, "stream", "Last sequence committed to the archive")     \
    X(ARCHIVE_WRITER, "archive_writer", GAUGE, "", "1 while this hub writes the archive")          \
    X(STREAM_EPOCHS, "stream_epochs_total", COUNTER, "stream", "Streams found to begin anew")      \
    X(CONNECTED, "connected", GAUGE, "peer", "1 while connected")                                  \
    X(CHECKPOINTS, "twin_checkpoints_total", COUNTER, "outcome", "Writings of TWIN_LAST")          \
    X(HTTP_REQUESTS, "http_requests_total", COUNTER, "route,status", "Requests answered")          \
    X(HTTP_OPEN, "http_connections", GAUGE, "", "Open HTTP connections")                           \
    X(HTTP_REFUSED, "http_queue_refused_total", COUNTER, "", "Requests refused: queue full")       \
    X(CPU_SECONDS, "process_cpu_seconds_total", COUNTER, "", "CPU time used")                      \
    X(RESIDENT, "process_resident_memory_bytes", GAUGE, "", "Resident memory")                     \
    X(START_TIME, "process_start_time_seconds", GAUGE, "", "Start, seconds since 1970")            \
    X(BUILD_INFO, "build_info", GAUGE, "version", "Always 1")

enum metric {
#define X(id, name, type, labels, help) METRIC_##id,
    METRIC_TABLE(X)
#undef X
        METRIC_COUNT
};

/* Label values that are lists of the hub's own. */
enum stream_label { STREAM_STATE, STREAM_EVENTS, STREAM_ACK, STREAM_RECORD, STREAM_SHADOW,
                    STREAM_LABELS };
enum outcome_label { OUTCOME_APPLIED, OUTCOME_STALE, OUTCOME_DUPLICATE, OUTCOME_REJECTED,
                     OUTCOME_LABELS };

void metrics_add(enum metric metric, size_t label_a, size_t label_b, uint64_t n);
static inline void metrics_inc(enum metric metric, size_t label)
{
    metrics_add(metric, label, 0, 1);
}
void metrics_set(enum metric metric, size_t label, double value);
uint64_t metrics_get(enum metric metric, size_t label_a, size_t label_b);

/* The routes become the label `route`, before the first request. */
struct http_route;
void metrics_routes(const struct http_route *routes, size_t count);

/* Everything in Prometheus' text format 0.0.4. */
void metrics_render(struct buf *out);

#endif
