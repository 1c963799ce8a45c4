#include "hub/audit_chain.h"

#include "hub/base64.h"

#include <string.h>

/* A first line that is no origin: it can be taken for no checkpoint, and no checkpoint for it. */
#define SIGNED_FORMAT "fleethub-signing-key/1\n"

static void write_signed(struct buf *out, const char *vkey, size_t size)
{
    buf_adds(out, SIGNED_FORMAT);
    buf_add(out, vkey, size);
    buf_addc(out, '\n');
}

bool audit_chain_sign(struct buf *out, const char *origin, const struct audit_signer *previous,
                      const char *vkey)
{
    uint8_t bytes[AUDIT_KEY_ID_BYTES + AUDIT_SIGNATURE_BYTES];
    struct buf text = BUF_INIT;
    write_signed(&text, vkey, strlen(vkey));
    bool good = !text.failed &&
                audit_sign(previous, text.data, text.size_bytes, bytes + AUDIT_KEY_ID_BYTES);
    buf_done(&text);
    if (!good)
        return false;
    audit_key_id(origin, strlen(origin), audit_signer_public(previous), bytes);
    base64_write(out, bytes, sizeof bytes);
    return !out->failed;
}

/* Whether `by`, under the name of the key that it speaks of, has signed. */
static bool signed_by(const struct audit_key *by, const char *name, const struct buf *text,
                      const uint8_t bytes[AUDIT_KEY_ID_BYTES + AUDIT_SIGNATURE_BYTES])
{
    uint8_t id[AUDIT_KEY_ID_BYTES];
    if (by->name[0] && strcmp(by->name, name) != 0)
        return false;
    audit_key_id(name, strlen(name), by->public, id);
    return memcmp(id, bytes, sizeof id) == 0 &&
           audit_verify_signature(by->public, text->data, text->size_bytes,
                                  bytes + AUDIT_KEY_ID_BYTES);
}

static bool is_vouched_for(const struct audit_chain *chain, const struct audit_keys *trusted,
                           const struct audit_key *key, struct slice vkey, struct slice signature)
{
    uint8_t bytes[AUDIT_KEY_ID_BYTES + AUDIT_SIGNATURE_BYTES];
    struct buf text = BUF_INIT;
    bool good = false;
    if (!signature.at || !base64_read(signature.at, signature.size, bytes, sizeof bytes))
        return false;
    write_signed(&text, vkey.at, vkey.size);
    for (int i = 0; !text.failed && !good && i < trusted->count; i++)
        good = signed_by(&trusted->keys[i], key->name, &text, bytes);
    for (size_t i = 0; !text.failed && !good && i < chain->count; i++)
        good = signed_by(&chain->introduced[i].key, key->name, &text, bytes);
    buf_done(&text);
    return good;
}

static bool is_known(const struct audit_chain *chain, const struct audit_key *key)
{
    for (size_t i = 0; i < chain->count; i++) {
        const struct audit_key *known = &chain->introduced[i].key;
        if (memcmp(known->public, key->public, sizeof key->public) == 0 &&
            strcmp(known->name, key->name) == 0)
            return true;
    }
    return false;
}

void audit_chain_take(struct audit_chain *chain, const struct audit_keys *trusted, int64_t seq,
                      struct slice vkey, struct slice signature)
{
    struct audit_introduced *introduced = &chain->introduced[chain->count];
    if (chain->count == AUDIT_KEYS_MAX || !audit_vkey_read(vkey.at, vkey.size, &introduced->key) ||
        is_known(chain, &introduced->key) ||
        (trusted->count > 0 && !is_vouched_for(chain, trusted, &introduced->key, vkey, signature)))
        return;
    introduced->seq = seq;
    chain->count++;
}

void audit_chain_judge(const struct audit_chain *chain, const struct audit_note *note,
                       enum audit_trust *trust, int64_t *introduced_by)
{
    for (size_t i = 0; i < chain->count && *trust == AUDIT_OTHER_KEY; i++) {
        struct audit_keys one = {.count = 1};
        one.keys[0] = chain->introduced[i].key;
        enum audit_trust by_this = audit_note_trust(note, &one);
        if (by_this == AUDIT_FORGED)
            *trust = by_this;
        else if (by_this == AUDIT_TRUSTED && *introduced_by == 0)
            *introduced_by = chain->introduced[i].seq;
    }
}
