/*
 * audit_chain: keys that the record itself names. A key is introduced by a `system` record of type
 * `signing_key` that came by no stream, whose data has the key and, in `signature`, what the key
 * before it says of it (docs/record-format.md): so trust in one key leads to the next, and nobody
 * who can only have a record made leads it elsewhere.
 *
 * Ownership: the caller's; what is read borrows nothing. Pure functions, any thread.
 * Limits: AUDIT_KEYS_MAX keys; what is introduced beyond them is not trusted.
 */
#ifndef HUB_AUDIT_CHAIN_H
#define HUB_AUDIT_CHAIN_H

#include "hub/audit_note.h"

#define AUDIT_CHAIN_TYPE "signing_key"

struct audit_chain {
    struct audit_introduced {
        int64_t seq; /* of the record that names it */
        struct audit_key key;
    } introduced[AUDIT_KEYS_MAX]; /* in the order of seq */
    size_t count;
};

/* What the key before says of a key: base64 of its id and its signature. False: no memory. */
bool audit_chain_sign(struct buf *out, const char *origin, const struct audit_signer *previous,
                      const char *vkey);

/* A record names a key. It is taken where one that is trusted, or introduced before, says so; and
 * where none is trusted at all, because then nothing follows from it. `signature` may be absent. */
void audit_chain_take(struct audit_chain *chain, const struct audit_keys *trusted, int64_t seq,
                      struct slice vkey, struct slice signature);

/* Which of these keys signed a note that none of the trusted ones did: completes `trust`, and
 * `introduced_by` is the seq of the record that names the key, or 0. */
void audit_chain_judge(const struct audit_chain *chain, const struct audit_note *note,
                       enum audit_trust *trust, int64_t *introduced_by);

#endif
