/*
 * audit_note: checkpoints of the record: C2SP tlog-checkpoint in a signed-note.
 *
 *     fleethub/prod/eu-north                          the origin: which log
 *     40213                                           its size
 *     2bBUdTrMYGvvBaD8WVn50hRiVs6Bt9SMCO2ZLwEq5bo=    the root of its tree, in base64
 *     time 2026-01-15T10:30:00.123Z                   when it was made, by the hub's clock
 *                                                     an empty line ends what is signed
 *     — fleethub/prod/eu-north Az3grlgtzPICa5OS…      a line for each signature: origin, and
 *                                                     base64 of key id and Ed25519 signature
 *
 * Without a key there is no signature. Signatures of other algorithms or keys are passed over.
 *
 * Ownership: a parsed note borrows from its text. Pure functions, any thread.
 * Limits: AUDIT_NOTE_MAX_BYTES, AUDIT_SIGNATURES_MAX signatures looked at.
 */
#ifndef HUB_AUDIT_NOTE_H
#define HUB_AUDIT_NOTE_H

#include "hub/audit_key.h"
#include "hub/tree.h"
#include "twin/envelope.h"

enum { AUDIT_NOTE_MAX_BYTES = 16 * 1024, AUDIT_SIGNATURES_MAX = 16 };

struct audit_signature {
    struct slice name;
    uint8_t id[AUDIT_KEY_ID_BYTES];
    uint8_t bytes[AUDIT_SIGNATURE_BYTES];
};
struct audit_note {
    struct slice whole; /* with its signatures */
    struct slice signed_text;
    struct slice origin;
    int64_t size;
    struct tree_hash root;
    int64_t time_ns; /* TIMESTAMP_NONE where it does not say */
    struct audit_signature signatures[AUDIT_SIGNATURES_MAX];
    int signature_count;
};

/* fleethub/<env>/<region> */
void audit_origin(const char *env, const char *region, char origin[AUDIT_NAME_BYTES]);

/* The text of a note without signatures, then a signature each. */
void audit_note_write(struct buf *out, const char *origin, int64_t size,
                      const struct tree_hash *root, int64_t time_ns);
bool audit_note_sign(struct buf *out, const char *origin, const struct audit_signer *signer);

/* Reads the note at the beginning of `text`; *used is where it ends, empty lines behind it
 * included. False, and why, for anything else. */
bool audit_note_parse(const char *text, size_t size, struct audit_note *note, size_t *used,
                      const char **reason);

enum audit_trust {
    AUDIT_TRUSTED,   /* signed by one of the keys, and by none of them wrongly */
    AUDIT_UNSIGNED,  /* no signature at all */
    AUDIT_OTHER_KEY, /* signed, but by none of the keys */
    AUDIT_FORGED,    /* a signature that says it is of one of the keys, and is not */
};
enum audit_trust audit_note_trust(const struct audit_note *note, const struct audit_keys *keys);

#endif
