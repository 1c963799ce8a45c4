/*
 * faults: what a bad fleet sends. Hostile messages of each kind, with the refusal that contract §2
 * prescribes for it, and clocks that are wrong. Pure functions.
 */
#ifndef TOOLS_FAULTS_H
#define TOOLS_FAULTS_H

#include "tools/message.h"

#include "twin/buf.h"
#include "twin/timestamp.h"

#include <stdint.h>

enum {
    HOSTILE_LARGE_BYTES = 300 * 1024,
    HOSTILE_DEPTH = 10000,
};

/* id, name, the reason it is refused for ("accepted": it is none of a refusal, only its clock is
 * wrong), and whether it is sent unless the kinds are named. */
#define HOSTILE_TABLE(X)                                                                           \
    X(NOT_JSON, "not_json", REFUSAL_NOT_JSON, true)                                                \
    X(TRUNCATED, "truncated", REFUSAL_NOT_JSON, true)                                              \
    X(TOO_LARGE, "too_large", REFUSAL_TOO_LARGE, true)                                             \
    X(TOO_DEEP, "too_deep", REFUSAL_TOO_DEEP, true)                                                \
    X(WRONG_VID, "wrong_vid", REFUSAL_VID_MISMATCH, true)                                          \
    X(NAN_NUMBER, "nan", REFUSAL_NOT_JSON, true)                                                   \
    X(NUL_BYTES, "nul_bytes", REFUSAL_NOT_JSON, true)                                              \
    X(DUPLICATE_NAME, "duplicate_name", REFUSAL_NOT_JSON, true)                                    \
    X(BAD_UTF8, "bad_utf8", REFUSAL_NOT_JSON, true)                                                \
    X(NEGATIVE_SEQ, "negative_seq", REFUSAL_BAD_ENVELOPE, true)                                    \
    X(CLOCK_1970, "clock_1970", REFUSAL_NONE, true)                                                \
    X(CLOCK_9999, "clock_9999", REFUSAL_NONE, true)                                                \
    X(ARRAY, "array", REFUSAL_BAD_ENVELOPE, false)                                                 \
    X(NO_DATA, "no_data", REFUSAL_BAD_ENVELOPE, false)                                             \
    X(BAD_TIMESTAMP, "bad_timestamp", REFUSAL_BAD_TIMESTAMP, false)                                \
    X(BAD_SUBJECT, "bad_subject", REFUSAL_BAD_SUBJECT, false)                                      \
    X(EMPTY, "empty", REFUSAL_NOT_JSON, false)

enum hostile {
#define X(id, name, refusal, usual) HOSTILE_##id,
    HOSTILE_TABLE(X)
#undef X
        HOSTILE_COUNT
};

const char *hostile_name(enum hostile kind);
enum refusal hostile_refusal(enum hostile kind);
/* "not_json", …, or "accepted" */
const char *hostile_expectation(enum hostile kind);
/* Reads "nan,too_deep", "all", or NULL for the usual ones. False where a name is unknown. */
bool hostile_kinds_parse(const char *text, bool kinds[HOSTILE_COUNT]);

/* The type hostile messages go under: an accepted one makes a part of its own. */
#define HOSTILE_TYPE "hostile"
const char *hostile_type(enum hostile kind);
/* Appends the payload. `good` is the message it is made from: vehicle, boot, seq, time. */
void hostile_write(struct buf *buf, enum hostile kind, const struct message *good);

/* Wrong clocks: of a good message with everything else as it should be. */
#define CLOCK_FAULT_TABLE(X)                                                                       \
    X(EPOCH, "1970")                                                                               \
    X(END, "9999")                                                                                 \
    X(AHEAD, "ahead")

enum clock_fault {
#define X(id, name) CLOCK_FAULT_##id,
    CLOCK_FAULT_TABLE(X)
#undef X
        CLOCK_FAULT_COUNT
};
#define CLOCK_AHEAD_NS (600 * NS_PER_S) /* beyond the hub's max_clock_skew_s of 300 s */

const char *clock_fault_name(enum clock_fault fault);
void clock_fault_text(enum clock_fault fault, int64_t now_real_ns, char text[TIMESTAMP_TEXT_BYTES]);

#endif
