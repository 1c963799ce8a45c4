/*
 * audit_key: the Ed25519 keys of checkpoints: making one, signing, and what a verifier trusts.
 *
 * A private key is a file in PKCS 8 PEM. A public key is 32 bytes; under a name (the origin of the
 * checkpoints, see audit_note.h) it has an id, and is written as C2SP signed-note writes it, which
 * we call a vkey: `<name>+<id in hex>+<base64 of a byte 1 and the key>`.
 *
 * Ownership: a signer is freed by who loaded it.
 * Threads: any.
 * Errors: false, and one line in the caller's buffer.
 * Limits: AUDIT_KEYS_MAX keys in a set, a file of AUDIT_KEY_FILE_MAX_BYTES.
 */
#ifndef HUB_AUDIT_KEY_H
#define HUB_AUDIT_KEY_H

#include "twin/buf.h"

enum {
    AUDIT_PUBLIC_BYTES = 32,
    AUDIT_SIGNATURE_BYTES = 64,
    AUDIT_KEY_ID_BYTES = 4,
    AUDIT_NAME_BYTES = 192, /* of an origin, NUL included */
    AUDIT_KEYS_MAX = 64,
    AUDIT_KEY_FILE_MAX_BYTES = 64 * 1024,
    AUDIT_ERROR_BYTES = 256,
};

/* A new private key, as PKCS 8 PEM. */
bool audit_key_make(struct buf *pem, char error[AUDIT_ERROR_BYTES]);

struct audit_signer;
bool audit_signer_load(const char *path, struct audit_signer **signer,
                       char error[AUDIT_ERROR_BYTES]);
bool audit_signer_read(const char *pem, size_t size, struct audit_signer **signer,
                       char error[AUDIT_ERROR_BYTES]);
void audit_signer_free(struct audit_signer *signer);
const uint8_t *audit_signer_public(const struct audit_signer *signer);
bool audit_sign(const struct audit_signer *signer, const void *bytes, size_t size,
                uint8_t signature[AUDIT_SIGNATURE_BYTES]);

/* ---- public keys ---- */

struct audit_key {
    uint8_t public[AUDIT_PUBLIC_BYTES];
    char name[AUDIT_NAME_BYTES]; /* "": whatever a note says */
};
struct audit_keys {
    struct audit_key keys[AUDIT_KEYS_MAX];
    int count;
};

/* The first 4 bytes of SHA-256 over name, line feed, 1 and key. */
void audit_key_id(const char *name, size_t name_size, const uint8_t public[AUDIT_PUBLIC_BYTES],
                  uint8_t id[AUDIT_KEY_ID_BYTES]);
void audit_vkey_write(struct buf *out, const char *name, const uint8_t public[AUDIT_PUBLIC_BYTES]);
bool audit_vkey_read(const char *text, size_t size, struct audit_key *key);
/* As SubjectPublicKeyInfo in PEM, which other tools read. */
bool audit_public_pem_write(struct buf *out, const uint8_t public[AUDIT_PUBLIC_BYTES]);

/* Adds the keys of a text: vkeys, one a line, and PEM of public or private keys; empty lines and
 * those that begin with # are passed over. */
bool audit_keys_parse(struct audit_keys *keys, const char *text, size_t size,
                      char error[AUDIT_ERROR_BYTES]);
bool audit_keys_load(struct audit_keys *keys, const char *path, char error[AUDIT_ERROR_BYTES]);
/* False when the set is full. A key that is there already is not added again. */
bool audit_keys_add(struct audit_keys *keys, const struct audit_key *key);

bool audit_verify_signature(const uint8_t public[AUDIT_PUBLIC_BYTES], const void *bytes,
                            size_t size, const uint8_t signature[AUDIT_SIGNATURE_BYTES]);

/* The whole of a file of at most `max` bytes. */
bool audit_file_read(const char *path, size_t max, struct buf *out, char error[AUDIT_ERROR_BYTES]);

#endif
