/*
 * envelope: a message of a vehicle, judged as contract §1 and §2 say.
 *
 * Order of judgement, the first that fails is the reason: subject, size, JSON and depth (whichever
 * comes first in the text), members, timestamp, vid. Registration is the caller's question.
 *
 * Ownership: an envelope points into the subject, the payload's parser and nothing else; it is
 *            valid until the parser's next use.
 * Threads: one per parser.
 */
#ifndef TWIN_ENVELOPE_H
#define TWIN_ENVELOPE_H

#include "twin/doc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum category { CATEGORY_STATE, CATEGORY_EVENT, CATEGORY_COMMAND, CATEGORY_ACK, CATEGORY_COUNT };

/* What became of a message. The refusals come first and carry the contract's names. */
#define REFUSAL_TABLE(X)                                                                           \
    X(NOT_JSON, "not_json")                                                                        \
    X(TOO_LARGE, "too_large")                                                                      \
    X(TOO_DEEP, "too_deep")                                                                        \
    X(BAD_ENVELOPE, "bad_envelope")                                                                \
    X(BAD_TIMESTAMP, "bad_timestamp")                                                              \
    X(VID_MISMATCH, "vid_mismatch")                                                                \
    X(BAD_SUBJECT, "bad_subject")                                                                  \
    X(NOT_REGISTERED, "not_registered")

enum refusal {
    REFUSAL_NONE,
#define X(id, name) REFUSAL_##id,
    REFUSAL_TABLE(X)
#undef X
        REFUSAL_NO_MEMORY, /* not a verdict on the message: try again */
};
enum { REFUSAL_COUNT = REFUSAL_NO_MEMORY }; /* REFUSAL_NONE included */
const char *refusal_name(enum refusal refusal);

enum {
    TOKEN_MAX_BYTES = 64,                     /* of env, vid and each token of a type */
    TYPE_MAX_BYTES = 4 * TOKEN_MAX_BYTES + 3, /* one to four tokens */
    ENVELOPE_MAX_BYTES_DEFAULT = 256 * 1024,
    ENVELOPE_MAX_DEPTH = 32, /* of `data` */
};

/* A piece of somebody else's bytes. */
struct slice {
    const char *at;
    size_t size;
};

/* fleet.<env>.veh.<vid>.<category>.<type> taken apart. `vid` is set wherever a valid one stands at
 * its place, also when the rest is wrong, so that a refusal can name the vehicle. */
struct subject {
    struct slice env, vid, type;
    enum category category;
};
/* False where the subject is none of contract §1. */
bool subject_parse(const char *text, size_t size, struct subject *subject);
/* One token [A-Za-z0-9_-]{1,64}; `stream` is no vehicle id. */
bool token_valid(const char *text, size_t size);
bool vid_valid(const char *text, size_t size);

#define SEQ_NONE INT64_C(-1)

struct envelope {
    struct subject subject;
    int64_t timestamp_ns; /* the vehicle's clock */
    struct slice boot;    /* at NULL: not given; may hold any UTF-8 */
    int64_t seq;          /* SEQ_NONE: not given */
    struct doc_ref data;  /* an object. For a bare acknowledgement: the whole top level */
    bool bare_ack;        /* the acknowledgement's fields stood at the top level */
};

/* Judges one message. `subject` is parsed first; on a refusal `envelope->subject` still holds what
 * could be read of it. `max_bytes` is the configured bound of a payload. */
enum refusal envelope_parse(struct doc_parser *parser, const char *subject, const char *payload,
                            size_t payload_bytes, size_t max_bytes, struct envelope *envelope);

#endif
