/*
 * gateway: the duty of a vehicle's gateway (contract §1). An event or acknowledgement is kept until
 * the archive covers the sequence of its publish acknowledgement, and otherwise published again
 * under the same Nats-Msg-Id.
 *
 * A kept message is
 *
 *     queued ──send──▶ sent ──stored──▶ stored ──archived covers it──▶ gone
 *        ▲              │ no answer        │ reconnect, new epoch, stream stepped back,
 *        │              │ refused          │ or the archive stands still below it
 *        └───delayed◀───┘                  │
 *        └─────────────────────────────────┘
 *
 * and is published again, each counted by its reason:
 *   - no answer to the publish within GATEWAY_ACK_TIMEOUT_NS, or a refusal (after a pause);
 *   - after a reconnect, even if it was acknowledged: acknowledged is not yet fsynced;
 *   - when the archive names another epoch of the stream than the acknowledgement belonged to, or
 *     its first one long after the acknowledgement;
 *   - when the broker hands out a sequence a second time: it has lost its tail or more;
 *   - when the archive's position is heard but has not moved for GATEWAY_ARCHIVE_TIMEOUT_NS and
 *     does not cover it (a silent hub is down: repeating would only fill the stream). Each further
 *     time takes twice as long, up to GATEWAY_ARCHIVE_TIMEOUT_MAX_NS.
 * A publish made twice has two sequences (the streams' duplicate window is 100 ms): the later one
 * counts.
 *
 * Pure but for the `send` it is given: time comes in as an argument, so all of it can be tested.
 * Ownership: messages are copied in. Threads: one.
 */
#ifndef TOOLS_GATEWAY_H
#define TOOLS_GATEWAY_H

#include "twin/timestamp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATEWAY_ACK_TIMEOUT_NS (3 * NS_PER_S)
#define GATEWAY_REFUSED_PAUSE_NS (1 * NS_PER_S)
#define GATEWAY_ARCHIVE_TIMEOUT_NS (10 * NS_PER_S)
#define GATEWAY_ARCHIVE_TIMEOUT_MAX_NS (80 * NS_PER_S)
#define GATEWAY_SILENT_NS                                                                          \
    (5 * NS_PER_S) /* `archived` comes every second; after this it is gone                         \
                    */
enum {
    GATEWAY_KEPT_MAX = 1000000, /* beyond it gateway_room is false */
    GATEWAY_WINDOW = 2048,      /* unanswered at a time; the rest is queued */
    GATEWAY_EPOCH_BYTES = 128,
};

/* Streams whose positions the hub publishes; the last one is only acknowledged. */
enum gateway_stream { GATEWAY_EVENTS, GATEWAY_ACKS, GATEWAY_STATE, GATEWAY_STREAM_COUNT };
const char *gateway_stream_name(enum gateway_stream stream);

/* Why a message was published again. */
#define GATEWAY_RETRY_TABLE(X)                                                                     \
    X(NO_ANSWER, "no_answer")                                                                      \
    X(REFUSED, "refused")                                                                          \
    X(RECONNECT, "reconnect")                                                                      \
    X(NEW_EPOCH, "new_epoch")                                                                      \
    X(STEP_BACK, "step_back")                                                                      \
    X(NOT_ARCHIVED, "not_archived")

enum gateway_retry {
#define X(id, name) GATEWAY_RETRY_##id,
    GATEWAY_RETRY_TABLE(X)
#undef X
        GATEWAY_RETRY_COUNT
};
const char *gateway_retry_name(enum gateway_retry retry);

/* Puts one publish on the wire. False: not now (no connection); it is tried again. */
typedef bool gateway_send_fn(void *closure, const char *subject, const void *payload, size_t size,
                             const char *msg_id, uint64_t tag);

struct gateway_config {
    gateway_send_fn *send;
    void *closure;
    bool until_archived; /* false: a message is gone once it is acknowledged */
};

struct gateway_counts {
    uint64_t kept[GATEWAY_STREAM_COUNT];         /* messages handed in */
    uint64_t acknowledged[GATEWAY_STREAM_COUNT]; /* of them, stored at least once */
    uint64_t archived[GATEWAY_STREAM_COUNT];
    uint64_t retried[GATEWAY_RETRY_COUNT];
    uint64_t sends;     /* publishes, the first of each included */
    uint64_t refused;   /* answers that were refusals */
    uint64_t positions; /* of streams, heard from the hub */
};

struct gateway;

struct gateway *gateway_new(const struct gateway_config *config);
void gateway_free(struct gateway *gateway);

/* Whether gateway_keep takes one more. */
bool gateway_room(const struct gateway *gateway);
/* Keeps a message and sends it as soon as the window allows. False: no room or no memory. */
bool gateway_keep(struct gateway *gateway, enum gateway_stream stream, const char *subject,
                  const void *payload, size_t size, const char *msg_id, int64_t now_ns);
/* The broker's answer to the publish with `tag`: stored under `seq`, or refused (seq 0). */
void gateway_answered(struct gateway *gateway, uint64_t tag, uint64_t seq, bool duplicate,
                      int64_t now_ns);
/* The hub's word: what is up to `seq` of `epoch` of this stream is in the archive. */
void gateway_archived(struct gateway *gateway, enum gateway_stream stream, const char *epoch,
                      uint64_t seq, int64_t now_ns);
void gateway_reconnected(struct gateway *gateway, int64_t now_ns);
/* Time limits, and sending. To be called every few milliseconds. */
void gateway_tick(struct gateway *gateway, int64_t now_ns);

/* Messages kept, and those among them that no stream has acknowledged yet. */
size_t gateway_kept(const struct gateway *gateway);
size_t gateway_unacknowledged(const struct gateway *gateway);
const struct gateway_counts *gateway_counts(const struct gateway *gateway);

#endif
