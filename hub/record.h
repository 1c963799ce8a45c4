/*
 * record: one entry of the record (contract §5), and the form in which the hub's lanes hand one
 * over on TWIN_RECORD.
 *
 * A producer publishes `record_write`'s JSON on `record_subject`. Its `id` is the producer's and
 * deterministic: whoever comes to record the same thing, another hub or this one after a restart,
 * derives the same id, and the archive keeps one. Members: id, kind, vid, type, severity, actor,
 * request_id, boot, vehicle_seq, timestamp, received, stream, stream_seq, data; all but id, kind,
 * type and data may be null or missing. `received` missing means the broker's time of the message
 * on TWIN_RECORD, `stream` missing that message itself.
 *
 * Ownership: a record borrows its strings from whoever filled it in.
 * Threads: any; a parser and a buffer by one thread at a time.
 * Limits: the RECORD_*_MAX_BYTES below; depth RECORD_MAX_DEPTH.
 */
#ifndef HUB_RECORD_H
#define HUB_RECORD_H

#include "hub/bus.h"
#include "twin/buf.h"
#include "twin/doc.h"
#include "twin/envelope.h"
#include "twin/timestamp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order of the metric's label. */
#define RECORD_KIND_TABLE(X)                                                                       \
    X(EVENT, "event")                                                                              \
    X(ACK, "ack")                                                                                  \
    X(COMMAND, "command")                                                                          \
    X(SHADOW, "shadow")                                                                            \
    X(PRESENCE, "presence")                                                                        \
    X(ACCESS, "access")                                                                            \
    X(REJECTED, "rejected")                                                                        \
    X(TRACK, "track")                                                                              \
    X(SYSTEM, "system")

enum record_kind {
#define X(id, name) RECORD_##id,
    RECORD_KIND_TABLE(X)
#undef X
        RECORD_KIND_COUNT
};
const char *record_kind_name(enum record_kind kind);
bool record_kind_parse(const char *text, size_t size, enum record_kind *kind);

#define RECORD_SEVERITY_TABLE(X)                                                                   \
    X(DEBUG, "debug")                                                                              \
    X(INFO, "info")                                                                                \
    X(NOTICE, "notice")                                                                            \
    X(WARNING, "warning")                                                                          \
    X(ERROR, "error")                                                                              \
    X(CRITICAL, "critical")

enum record_severity {
    SEVERITY_NONE,
#define X(id, name) SEVERITY_##id,
    RECORD_SEVERITY_TABLE(X)
#undef X
        SEVERITY_COUNT
};
/* NULL for SEVERITY_NONE. */
const char *record_severity_name(enum record_severity severity);
/* Of `data.severity`: a name, or a syslog number 0..7 (contract §2); anything else is none. */
enum record_severity record_severity_of(struct doc_ref data);

enum {
    RECORD_ID_BYTES = 16,
    RECORD_ID_TEXT_BYTES = 2 * RECORD_ID_BYTES + 1,
    RECORD_HASH_BYTES = 32,
    RECORD_ACTOR_MAX_BYTES = 512,
    RECORD_REQUEST_ID_MAX_BYTES = 128,
    RECORD_STREAM_MAX_BYTES = 64,
    RECORD_MAX_DEPTH = 72, /* before and after of a shadow, in their wrapping */
    RECORD_MAX_BYTES = 8 * 1024 * 1024,
    RECORD_REJECTED_PAYLOAD_BYTES = 4096, /* kept of a refused message (contract §2) */
};

#define RECORD_STREAM_SEQ_NONE INT64_C(-1)

struct record {
    uint8_t id[RECORD_ID_BYTES];
    enum record_kind kind;
    enum record_severity severity;
    struct slice vid, type, actor, request_id, boot; /* at NULL: null; boot may hold any UTF-8 */
    int64_t vehicle_seq;                             /* SEQ_NONE */
    int64_t timestamp_ns, received_ns;               /* TIMESTAMP_NONE */
    struct slice stream;
    int64_t stream_seq; /* RECORD_STREAM_SEQ_NONE */
    struct slice data;  /* the text of a JSON object, as it came */

    /* what the archive adds */
    struct slice region;
    int64_t seq;
    int64_t archived_ns;
    uint8_t hash[RECORD_HASH_BYTES];

    /* Parts of `data` were left out for a reader who may not see them. Its hash would let him try
     * what they were, and is left out too. */
    bool redacted;
};
/* Nothing set: every member null. */
void record_init(struct record *record);

/* The id of what `key` names, deterministic: 128 bits of SHA-256 over kind and key. The key says
 * all that tells this record from any other of its kind, e.g. "VID-001/offline/1767225600000". */
void record_id_of(enum record_kind kind, const void *key, size_t key_bytes,
                  uint8_t id[RECORD_ID_BYTES]);
/* The same of what there is much of: first the milliseconds of a time that the key says too (48
 * bits, since 1970, what does not fit is cut to what does), then 80 bits of the hash. Such ids sort
 * by time, so what is new goes to one end of the archive's index rather than all over it. */
void record_id_of_time(enum record_kind kind, int64_t time_ns, const void *key, size_t key_bytes,
                       uint8_t id[RECORD_ID_BYTES]);
/* 32 lower-case hex digits. */
void record_id_format(const uint8_t id[RECORD_ID_BYTES], char text[RECORD_ID_TEXT_BYTES]);
bool record_id_parse(const char *text, size_t size, uint8_t id[RECORD_ID_BYTES]);

/* ---- producers ---- */

/* fleet.<env>.hub.<region>.record.<kind>.<token>; `token` is a vid, or "hub" where there is none.
 */
void record_subject(struct buf *out, const char *env, const char *region,
                    const struct record *record);
/* The JSON for TWIN_RECORD. */
void record_write(struct buf *out, const struct record *record);
/* Its reverse; false, and a reason in English, for anything else. The record borrows from the
 * parser and from `text`. */
bool record_parse(struct doc_parser *parser, const char *text, size_t size, struct record *record,
                  const char **reason);

/* Where a record made here keeps the text of its data. Zero-initialised; the record borrows it. */
struct record_scratch {
    struct buf data;
};
void record_scratch_done(struct record_scratch *scratch);

/* The record of kind `rejected` that contract §2 asks for, with an id that is the same on every
 * hub and after every restart. `created_ns` is the stream's creation, `vid` the subject's, at NULL
 * where there is no valid one. The record borrows from all of them. False: no memory. */
bool record_of_refused(struct record_scratch *scratch, const char *stream, int64_t created_ns,
                       const struct bus_msg *msg, enum refusal refusal, struct slice vid,
                       struct record *record);

/* ---- readers ---- */

/* The record as the API serves it (contract §5). Without the member `hash` these are the bytes
 * that the hash covers, see record_hash.h. */
void record_write_public(struct buf *out, const struct record *record, bool with_hash);

/* Whether a JSON text holds an escaped NUL, which jsonb refuses (a backslash before it that is
 * escaped itself would make it text). */
bool record_holds_nul(struct slice json);

/* The text of a member of the JSON object in `text`, which is known to be valid and to have it
 * once. False where it has none of that name. */
bool record_member_text(const char *text, size_t size, const char *name, struct slice *value);

#endif
