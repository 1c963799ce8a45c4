/*
 * metrics: every metric of the hub in one table, and the text that Prometheus reads.
 *
 * Counters and gauges are atomics, reachable by index and label index: no lookup by name, no lock,
 * any thread. Labels are fixed lists (enums), never what a client sent. Values that are only known
 * when asked (vehicles by presence, lag) are set by the hub's collector right before rendering;
 * what the process itself uses is read from /proc by the rendering.
 *
 * A counter is there from the start, with 0; a gauge from its first setting on, so that nothing is
 * claimed that nobody measured. Of the requests only the pairs that occurred are written.
 *
 * Ownership: none; all of it is static. Limits: METRICS_MAX_ROUTES routes, the statuses of
 * STATUS_TABLE; what lies beyond is counted as the last entry of its list.
 */
#ifndef HUB_METRICS_H
#define HUB_METRICS_H

#include "twin/buf.h"

#include <stddef.h>
#include <stdint.h>

/* The lists that a label's value comes from, and the label's name. */
#define LABEL_TABLE(X)                                                                             \
    X(NONE, "")                                                                                    \
    X(STREAM, "stream")                                                                            \
    X(OUTCOME, "outcome")   /* enum outcome_label */                                               \
    X(RESULT, "outcome")    /* enum result_label */                                                \
    X(REASON, "reason")     /* enum refusal */                                                     \
    X(PRESENCE, "presence") /* enum presence_status */                                             \
    X(KIND, "kind")         /* enum record_kind */                                                 \
    X(PEER, "peer")                                                                                \
    X(DENIED, "reason")    /* enum denied_label */                                                 \
    X(LIVE, "event")       /* enum live_label */                                                   \
    X(LANE, "lane")        /* enum command_label */                                                \
    X(STATUS_OF, "status") /* of an ended command, from COMMAND_STATE_SUCCEEDED on */              \
    X(DELIVERY, "state")   /* enum delivery_state */                                               \
    X(REPORT, "outcome")   /* enum ack_label */                                                    \
    X(QUEUE, "queue")      /* enum queue_label */                                                  \
    X(RUNNING, "status")   /* of an open command, enum running_label */                            \
    X(ROUTE, "route")      /* index into the table of routes; writes `method` too */               \
    X(STATUS, "status")

/* id, name without the prefix, type, its one or two label lists, help.
 * COUNTER counts up by metrics_add; GAUGE and TOTAL (a counter kept elsewhere) are set; HISTOGRAM,
 * LATENCY_HISTOGRAM and FINE_HISTOGRAM, which have one label at most, take values by
 * metrics_observe. */
#define METRIC_TABLE(X)                                                                            \
    X(MESSAGES, "messages_total", COUNTER, STREAM, OUTCOME, "Messages judged, by outcome")         \
    X(REJECTED, "rejected_total", COUNTER, REASON, NONE, "Messages refused, by reason")            \
    X(CLOCK_SKEW, "clock_skew_total", COUNTER, NONE, NONE, "Timestamps replaced by the broker's")  \
    X(SHADOW_IGNORED, "shadow_ignored_total", COUNTER, NONE, NONE,                                 \
      "KV values ignored: no JSON object")                                                         \
    X(VEHICLES, "vehicles", GAUGE, PRESENCE, NONE, "Vehicles by presence")                         \
    X(LAG, "lag_messages", GAUGE, STREAM, NONE, "Messages in a stream not yet applied")            \
    X(APPLY_LATENCY, "apply_latency_seconds", LATENCY_HISTOGRAM, STREAM, NONE,                     \
      "From the broker's storing a message to its being in the twin; of TWIN_STATE a sample")      \
    X(RECORDS, "records_total", COUNTER, KIND, NONE, "Records committed to the archive")           \
    X(RECORDS_DUPLICATE, "records_duplicate_total", COUNTER, NONE, NONE,                           \
      "Messages already on record")                                                                \
    X(TRACKS_SKIPPED, "tracks_skipped_total", COUNTER, NONE, NONE,                                 \
      "Track records left out: TWIN_RECORD did not take them in time")                             \
    X(MESSAGE_IDS_REUSED, "message_ids_reused_total", COUNTER, STREAM, NONE,                       \
      "Messages under the Nats-Msg-Id of another one, each with a record of its own")              \
    X(PURGED, "purged_messages_total", COUNTER, STREAM, NONE,                                      \
      "Archived messages purged from a stream near its limit")                                     \
    X(BATCHES, "record_batches_total", COUNTER, RESULT, NONE, "Archive transactions, by outcome")  \
    X(COMMIT_SECONDS, "record_commit_seconds", LATENCY_HISTOGRAM, NONE, NONE,                      \
      "Archive transactions that committed, by how long they took")                                \
    X(COMMIT_LATENCY, "record_latency_seconds", LATENCY_HISTOGRAM, NONE, NONE,                     \
      "From the broker's storing of what is recorded to its being committed")                      \
    X(RECORD_HEAD, "record_head_seq", GAUGE, NONE, NONE, "Last record of the log")                 \
    X(ARCHIVE_LAG, "archive_lag_messages", GAUGE, STREAM, NONE,                                    \
      "Messages in a stream not yet archived, while this hub writes the archive")                  \
    X(ARCHIVED_SEQ, "archived_seq", GAUGE, STREAM, NONE, "Last sequence committed to the archive") \
    X(ARCHIVE_WRITER, "archive_writer", GAUGE, NONE, NONE, "1 while this hub writes the archive")  \
    X(RECORD_CHECKPOINTS, "record_checkpoints_total", COUNTER, RESULT, NONE,                       \
      "Publications of checkpoints of the record")                                                 \
    X(RECORD_CHECKPOINT_SIZE, "record_checkpoint_records", GAUGE, NONE, NONE,                      \
      "Records that the newest checkpoint covers")                                                 \
    X(RECORD_CHECKPOINT_TIME, "record_checkpoint_timestamp_seconds", GAUGE, NONE, NONE,            \
      "When the last checkpoint of the record was made, seconds since 1970")                       \
    X(RECORD_DIVERGED, "record_diverged", GAUGE, NONE, NONE,                                       \
      "1 when the archive is not what was published of it")                                        \
    X(RETENTION_REFUSED, "retention_refused", GAUGE, NONE, NONE,                                   \
      "1 while retention leaves records alone because others of theirs were deleted")              \
    X(STREAM_EPOCHS, "stream_epochs_total", COUNTER, STREAM, NONE, "Streams found to begin anew")  \
    X(STREAM_BYTES, "stream_bytes", GAUGE, STREAM, NONE, "Bytes that a stream holds")              \
    X(STREAM_BYTES_MAX, "stream_bytes_max", GAUGE, STREAM, NONE, "Bytes that it may hold")         \
    X(STREAM_LAST_SEQ, "stream_last_seq", GAUGE, STREAM, NONE, "Last sequence of a stream")        \
    X(CONNECTED, "connected", GAUGE, PEER, NONE, "1 while connected")                              \
    X(DELTA_CONVERGENCE, "delta_convergence_seconds", HISTOGRAM, NONE, NONE,                       \
      "How long reported took to match desired")                                                   \
    X(DELTA_VEHICLES, "delta_vehicles", GAUGE, NONE, NONE,                                         \
      "Vehicles whose reported does not match desired")                                            \
    X(DELTA_OLDEST, "delta_oldest_seconds", GAUGE, NONE, NONE,                                     \
      "Age of the oldest divergence of reported from desired, 0 without one")                      \
    X(FOLD_WAIT, "fold_wait_seconds", FINE_HISTOGRAM, NONE, NONE,                                  \
      "Waits of the fold for the lock on the twins")                                               \
    X(FOLD_PAUSE, "fold_longest_pause_seconds", GAUGE, NONE, NONE,                                 \
      "Longest wait of the fold for the twins, or longest freeing of what it replaced")            \
    X(CHECKPOINTS, "twin_checkpoints_total", COUNTER, RESULT, NONE, "Writings of TWIN_LAST")       \
    X(HTTP_REQUESTS, "http_requests_total", COUNTER, ROUTE, STATUS, "Requests answered")           \
    X(HTTP_SECONDS, "http_request_duration_seconds", LATENCY_HISTOGRAM, ROUTE, NONE,               \
      "From a request's header to its answer's beginning to be sent")                              \
    X(HTTP_OPEN, "http_connections", GAUGE, NONE, NONE, "Open HTTP connections")                   \
    X(HTTP_TURNED_AWAY, "http_connections_turned_away_total", COUNTER, NONE, NONE,                 \
      "Connections beyond http.limits, closed at once")                                            \
    X(HTTP_TOO_SLOW, "http_connections_too_slow_total", COUNTER, NONE, NONE,                       \
      "Connections cut because their client took too long to send or to take")                     \
    X(HTTP_REFUSED, "http_queue_refused_total", COUNTER, NONE, NONE,                               \
      "Requests refused: queue full")                                                              \
    X(QUEUE_DEPTH, "queue_depth", GAUGE, QUEUE, NONE, "What waits in a queue")                     \
    X(QUEUE_LIMIT, "queue_limit", GAUGE, QUEUE, NONE,                                              \
      "How much may wait in a queue before its producers are refused or wait")                     \
    X(ACCESS_ALLOWED, "access_allowed_total", COUNTER, NONE, NONE,                                 \
      "Requests whose credential has the right that their route asks for")                         \
    X(ACCESS_LIMITED, "access_limited_total", COUNTER, NONE, NONE,                                 \
      "Requests refused for being more than a principal may send a minute")                        \
    X(ACCESS_DENIED, "access_denied_total", COUNTER, DENIED, NONE,                                 \
      "Requests refused for want of a credential or of a right")                                   \
    X(ACCESS_UNRECORDED, "access_unrecorded_total", COUNTER, NONE, NONE,                           \
      "Refusals that could not be put on record")                                                  \
    X(EXPORTS, "record_exports", GAUGE, NONE, NONE, "Exports of the record under way")             \
    X(FOLLOWERS, "record_followers", GAUGE, NONE, NONE, "Open streams of the record")              \
    X(LIVE_CLIENTS, "live_clients", GAUGE, NONE, NONE, "Open live queries")                        \
    X(LIVE_EVENTS, "live_events_total", COUNTER, LIVE, NONE, "Events of live queries")             \
    X(LIVE_CONFLATED, "live_conflated_total", COUNTER, NONE, NONE,                                 \
      "Changes that a live query saw only in a later one of the vehicle")                          \
    X(LIVE_SCANS, "live_scans_total", COUNTER, NONE, NONE,                                         \
      "Passes of live queries over the whole fleet")                                               \
    X(COMMAND_LANE, "command_lane", GAUGE, NONE, NONE, "1 while this hub runs the command lane")   \
    X(COMMANDS_PUBLISHED, "commands_published_total", COUNTER, LANE, NONE,                         \
      "Messages to vehicles, repetitions included")                                                \
    X(COMMANDS_OPEN, "commands_open", GAUGE, RUNNING, NONE,                                        \
      "Commands that have not ended, while this hub runs the command lane")                        \
    X(COMMAND_STREAMS, "command_streams", GAUGE, NONE, NONE, "Open streams of commands")           \
    X(COMMANDS_ENDED, "commands_ended_total", COUNTER, STATUS_OF, NONE, "Commands that ended")     \
    X(DELIVERIES, "command_deliveries_total", COUNTER, DELIVERY, NONE,                             \
      "Changes of a vehicle's state in a command")                                                 \
    X(COMMAND_ACKS, "command_acks_total", COUNTER, REPORT, NONE, "Acknowledgements of commands")   \
    X(CPU_SECONDS, "process_cpu_seconds_total", TOTAL, NONE, NONE, "CPU time used")                \
    X(RESIDENT, "process_resident_memory_bytes", GAUGE, NONE, NONE, "Resident memory")             \
    X(OPEN_FDS, "process_open_fds", GAUGE, NONE, NONE, "Open file descriptors")                    \
    X(MAX_FDS, "process_max_fds", GAUGE, NONE, NONE, "File descriptors that may be open")          \
    X(THREADS, "process_threads", GAUGE, NONE, NONE, "Threads")                                    \
    X(START_TIME, "process_start_time_seconds", GAUGE, NONE, NONE, "Start, seconds since 1970")    \
    X(BUILD_INFO, "build_info", GAUGE, NONE, NONE, "What runs here; always 1")

enum metric {
#define X(id, name, type, label_a, label_b, help) METRIC_##id,
    METRIC_TABLE(X)
#undef X
        METRIC_COUNT
};

/* Label values that are lists of the hub's own. */
enum stream_label {
    STREAM_STATE,
    STREAM_EVENTS,
    STREAM_ACK,
    STREAM_RECORD,
    STREAM_SHADOW,
    STREAM_ACCESS,
    STREAM_LAST,
    STREAM_LABELS
};
enum outcome_label {
    OUTCOME_APPLIED,
    OUTCOME_STALE,
    OUTCOME_DUPLICATE,
    OUTCOME_REJECTED,
    OUTCOME_LABELS
};
enum result_label { RESULT_OK, RESULT_FAILED, RESULT_LABELS };
enum peer_label { PEER_NATS, PEER_POSTGRES, PEER_LABELS };
enum denied_label { DENIED_UNKNOWN, DENIED_FORBIDDEN, DENIED_LABELS };
enum command_label { COMMAND_LABEL_ROUTINE, COMMAND_LABEL_RECOVERY, COMMAND_LABELS };
enum running_label { RUNNING_RUNNING, RUNNING_PAUSED, RUNNING_LABELS };
/* The recorder's, and those of the HTTP workers: for the record, for scans, for NATS. */
enum queue_label {
    QUEUE_RECORDER,
    QUEUE_HTTP_RECORD,
    QUEUE_HTTP_SCAN,
    QUEUE_HTTP_NATS,
    QUEUE_LABELS
};
enum ack_label { ACK_APPLIED, ACK_IGNORED, ACK_UNKNOWN_STATUS, ACK_FOR_NOBODY, ACK_LABELS };
enum live_label { LIVE_ENTER, LIVE_UPDATE, LIVE_LEAVE, LIVE_READY, LIVE_RESET, LIVE_LABELS };

/* clang-format off */
#define STATUS_TABLE(X) \
    X(200) X(201) X(202) X(204) X(304) X(400) X(401) X(403) X(404) X(405) X(406) X(409) \
    X(410) X(412) X(413) X(415) X(422) X(429) X(431) X(500) X(503) X(504)
/* clang-format on */

enum { METRICS_MAX_ROUTES = 128 };

/* A label index beyond its list is taken for the list's last entry: a mistake is then seen in the
 * numbers and never writes elsewhere. */
void metrics_add(enum metric metric, size_t label_a, size_t label_b, uint64_t n);
static inline void metrics_inc(enum metric metric, size_t label)
{
    metrics_add(metric, label, 0, 1);
}
/* The upper bounds of every HISTOGRAM's buckets, of every LATENCY_HISTOGRAM's and of every
 * FINE_HISTOGRAM's, as many of each; one without a bound follows. */
#define METRICS_BUCKET_TABLE(X)                                                                    \
    X(0.1) X(0.5) X(1) X(2) X(5) X(10) X(30) X(60) X(300) X(900) X(3600) X(21600) X(86400)
/* clang-format off */
#define METRICS_LATENCY_BUCKET_TABLE(X) \
    X(0.001) X(0.002) X(0.005) X(0.01) X(0.02) X(0.05) X(0.1) X(0.25) X(0.5) X(1) X(5) X(30) X(300)
#define METRICS_FINE_BUCKET_TABLE(X) \
    X(0.00001) X(0.00002) X(0.00005) X(0.0001) X(0.0002) X(0.0005) X(0.001) X(0.002) X(0.005) \
    X(0.01) X(0.02) X(0.1) X(1)
/* clang-format on */
/* One value of a histogram; what is below 0 is taken for 0 (two clocks that differ). */
void metrics_observe_of(enum metric metric, size_t label, double value);
static inline void metrics_observe(enum metric metric, double value)
{
    metrics_observe_of(metric, 0, value);
}
/* For a GAUGE or TOTAL. */
void metrics_set(enum metric metric, size_t label, double value);
/* Moves a GAUGE up or down from what it is (0 at first). */
void metrics_move(enum metric metric, size_t label, double by);
uint64_t metrics_get(enum metric metric, size_t label_a, size_t label_b);

/* The routes become the label `route`, before the first request. Requests that met no route are
 * counted at index `count`. The table must outlive the metrics. */
struct http_route;
void metrics_routes(const struct http_route *routes, size_t count);
/* The index of an HTTP status in the list of the label `status`. */
size_t metrics_status(int status);
/* One more label of build_info, e.g. "nats_c" and its version; both literals. At most
 * METRICS_MAX_BUILD_LABELS, before the first rendering. `version` is there already. */
enum { METRICS_MAX_BUILD_LABELS = 8 };
void metrics_build_label(const char *name, const char *value);

/* Everything in Prometheus' text format 0.0.4. */
void metrics_render(struct buf *out);

#endif
