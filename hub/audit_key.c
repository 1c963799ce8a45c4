#include "hub/audit_key.h"

#include "hub/base64.h"
#include "hub/record_hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALGORITHM_ED25519 = 1 }; /* signed-note's number of it */

struct audit_signer {
    EVP_PKEY *key;
    uint8_t public[AUDIT_PUBLIC_BYTES];
};

static bool refuse(char error[AUDIT_ERROR_BYTES], const char *text)
{
    snprintf(error, AUDIT_ERROR_BYTES, "%s", text);
    return false;
}

/* ---- private keys ---- */

static void bio_take(BIO *bio, struct buf *out)
{
    char *bytes;
    long size = BIO_get_mem_data(bio, &bytes); /* there is a PEM in it */
    buf_add(out, bytes, (size_t)size);
}

bool audit_key_make(struct buf *pem, char error[AUDIT_ERROR_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    BIO *bio = BIO_new(BIO_s_mem());
    bool good = key && bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    if (good)
        bio_take(bio, pem);
    BIO_free(bio);
    EVP_PKEY_free(key);
    if (good && !pem->failed)
        return true;
    return refuse(error, "no key could be made");
}

/* A key that asks for a password is of no use to a service. */
static int no_password(char *text, int size, int writing, void *closure)
{
    (void)text;
    (void)size;
    (void)writing;
    (void)closure;
    return -1;
}

bool audit_signer_read(const char *pem, size_t size, struct audit_signer **out,
                       char error[AUDIT_ERROR_BYTES])
{
    BIO *bio = size <= AUDIT_KEY_FILE_MAX_BYTES ? BIO_new_mem_buf(pem, (int)size) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    struct audit_signer *signer = NULL;
    size_t public_size = AUDIT_PUBLIC_BYTES;
    BIO_free(bio);
    if (!key)
        return refuse(error, "it holds no private key in PKCS 8 PEM without a password");
    if (EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
        EVP_PKEY_free(key);
        return refuse(error, "its key is not an Ed25519 key; `fleethub audit key` makes one");
    }
    signer = calloc(1, sizeof *signer);
    if (!signer || !EVP_PKEY_get_raw_public_key(key, signer->public, &public_size)) {
        free(signer);
        EVP_PKEY_free(key);
        return refuse(error, "no memory");
    }
    signer->key = key;
    *out = signer;
    return true;
}

bool audit_signer_load(const char *path, struct audit_signer **signer,
                       char error[AUDIT_ERROR_BYTES])
{
    struct buf pem = BUF_INIT;
    bool good = audit_file_read(path, AUDIT_KEY_FILE_MAX_BYTES, &pem, error) &&
                audit_signer_read(buf_cstr(&pem), pem.size_bytes, signer, error);
    if (pem.data)
        OPENSSL_cleanse(pem.data, pem.capacity_bytes);
    buf_done(&pem);
    return good;
}

void audit_signer_free(struct audit_signer *signer)
{
    if (!signer)
        return;
    EVP_PKEY_free(signer->key);
    free(signer);
}

const uint8_t *audit_signer_public(const struct audit_signer *signer)
{
    return signer->public;
}

bool audit_sign(const struct audit_signer *signer, const void *bytes, size_t size,
                uint8_t signature[AUDIT_SIGNATURE_BYTES])
{
    size_t made = AUDIT_SIGNATURE_BYTES; /* as all of Ed25519's */
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestSignInit(context, NULL, NULL, NULL, signer->key) == 1 &&
                EVP_DigestSign(context, signature, &made, bytes, size) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

/* ---- public keys ---- */

void audit_key_id(const char *name, size_t name_size, const uint8_t public[AUDIT_PUBLIC_BYTES],
                  uint8_t id[AUDIT_KEY_ID_BYTES])
{
    static const char between[] = {'\n', ALGORITHM_ED25519};
    uint8_t hash[RECORD_HASH_BYTES];
    const struct slice pieces[] = {
        {name, name_size}, {between, sizeof between}, {(const char *)public, AUDIT_PUBLIC_BYTES}};
    record_sha256_of(pieces, sizeof pieces / sizeof *pieces, hash);
    memcpy(id, hash, AUDIT_KEY_ID_BYTES);
}

void audit_vkey_write(struct buf *out, const char *name, const uint8_t public[AUDIT_PUBLIC_BYTES])
{
    uint8_t id[AUDIT_KEY_ID_BYTES], key[1 + AUDIT_PUBLIC_BYTES] = {ALGORITHM_ED25519};
    audit_key_id(name, strlen(name), public, id);
    memcpy(key + 1, public, AUDIT_PUBLIC_BYTES);
    buf_addf(out, "%s+%02x%02x%02x%02x+", name, id[0], id[1], id[2], id[3]);
    base64_write(out, key, sizeof key);
}

bool audit_vkey_read(const char *text, size_t size, struct audit_key *key)
{
    uint8_t bytes[1 + AUDIT_PUBLIC_BYTES], id[AUDIT_KEY_ID_BYTES];
    char hex[2 * AUDIT_KEY_ID_BYTES + 1];
    const char *plus = memchr(text, '+', size);
    size_t name_size = plus ? (size_t)(plus - text) : 0;
    if (name_size == 0 || name_size >= AUDIT_NAME_BYTES || memchr(text, ' ', name_size))
        return false;
    size_t left = size - name_size - 1;
    if (left < sizeof hex || plus[sizeof hex] != '+' ||
        !base64_read(plus + 1 + sizeof hex, left - sizeof hex, bytes, sizeof bytes) ||
        bytes[0] != ALGORITHM_ED25519)
        return false;
    audit_key_id(text, name_size, bytes + 1, id);
    snprintf(hex, sizeof hex, "%02x%02x%02x%02x", id[0], id[1], id[2], id[3]);
    if (memcmp(plus + 1, hex, sizeof hex - 1) != 0)
        return false;
    memcpy(key->public, bytes + 1, AUDIT_PUBLIC_BYTES);
    memcpy(key->name, text, name_size);
    key->name[name_size] = '\0';
    return true;
}

bool audit_public_pem_write(struct buf *out, const uint8_t public[AUDIT_PUBLIC_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public, AUDIT_PUBLIC_BYTES);
    BIO *bio = BIO_new(BIO_s_mem());
    bool good = key && bio && PEM_write_bio_PUBKEY(bio, key);
    if (good)
        bio_take(bio, out);
    BIO_free(bio);
    EVP_PKEY_free(key);
    return good && !out->failed;
}

/* ---- sets of keys ---- */

bool audit_keys_add(struct audit_keys *keys, const struct audit_key *key)
{
    for (int i = 0; i < keys->count; i++) {
        if (memcmp(keys->keys[i].public, key->public, AUDIT_PUBLIC_BYTES) == 0 &&
            strcmp(keys->keys[i].name, key->name) == 0)
            return true;
    }
    if (keys->count == AUDIT_KEYS_MAX)
        return false;
    keys->keys[keys->count++] = *key;
    return true;
}

static bool read_public_pem(const char *pem, size_t size, struct audit_key *key,
                            char error[AUDIT_ERROR_BYTES])
{
    BIO *bio = BIO_new_mem_buf(pem, (int)size);
    EVP_PKEY *found = bio ? PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL) : NULL;
    size_t public_size = AUDIT_PUBLIC_BYTES;
    bool good = found && EVP_PKEY_get_id(found) == EVP_PKEY_ED25519 &&
                EVP_PKEY_get_raw_public_key(found, key->public, &public_size);
    EVP_PKEY_free(found);
    BIO_free(bio);
    if (!good)
        refuse(error, "its PEM holds no Ed25519 public key");
    return good;
}

static bool read_pem(const char *pem, size_t size, struct audit_key *key,
                     char error[AUDIT_ERROR_BYTES])
{
    struct audit_signer *signer;
    *key = (struct audit_key){.name = ""};
    if (!memmem(pem, size, "PRIVATE KEY", strlen("PRIVATE KEY")))
        return read_public_pem(pem, size, key, error);
    if (!audit_signer_read(pem, size, &signer, error))
        return false;
    memcpy(key->public, signer->public, AUDIT_PUBLIC_BYTES);
    audit_signer_free(signer);
    return true;
}

/* One key at the beginning of `at`; returns where it ends, NULL where it is none. */
static const char *read_key(const char *at, const char *end, struct audit_key *key,
                            char error[AUDIT_ERROR_BYTES])
{
    static const char begin[] = "-----BEGIN ", finish[] = "-----END ";
    const char *line_end = memchr(at, '\n', (size_t)(end - at));
    if (!line_end)
        line_end = end;
    size_t line = (size_t)(line_end - at);
    if (line < strlen(begin) || memcmp(at, begin, strlen(begin)) != 0) {
        if (at[line - 1] == '\r') /* it is not empty: blanks were passed over */
            line--;
        if (audit_vkey_read(at, line, key))
            return line_end;
        refuse(error, "a line of it is neither a key nor the beginning of one in PEM");
        return NULL;
    }
    const char *last = memmem(at, (size_t)(end - at), finish, strlen(finish));
    if (!last) {
        refuse(error, "its PEM has no end");
        return NULL;
    }
    line_end = memchr(last, '\n', (size_t)(end - last));
    line_end = line_end ? line_end : end;
    return read_pem(at, (size_t)(line_end - at), key, error) ? line_end : NULL;
}

bool audit_keys_parse(struct audit_keys *keys, const char *text, size_t size,
                      char error[AUDIT_ERROR_BYTES])
{
    const char *at = text, *end = text + size;
    if (size > AUDIT_KEY_FILE_MAX_BYTES)
        return refuse(error, "it is too large for a file of keys");
    while (at < end) {
        struct audit_key key;
        if (*at == '\n' || *at == '\r' || *at == ' ' || *at == '\t') {
            at++;
            continue;
        }
        if (*at == '#') {
            at = memchr(at, '\n', (size_t)(end - at));
            if (!at)
                break;
            continue;
        }
        at = read_key(at, end, &key, error);
        if (!at)
            return false;
        if (!audit_keys_add(keys, &key))
            return refuse(error, "it holds too many keys");
    }
    return true;
}

bool audit_keys_load(struct audit_keys *keys, const char *path, char error[AUDIT_ERROR_BYTES])
{
    struct buf text = BUF_INIT;
    int before = keys->count;
    bool good = audit_file_read(path, AUDIT_KEY_FILE_MAX_BYTES, &text, error) &&
                audit_keys_parse(keys, buf_cstr(&text), text.size_bytes, error);
    if (good && keys->count == before && before == 0)
        good = refuse(error, "it holds no key");
    if (text.data)
        OPENSSL_cleanse(text.data, text.capacity_bytes);
    buf_done(&text);
    return good;
}

bool audit_verify_signature(const uint8_t public[AUDIT_PUBLIC_BYTES], const void *bytes,
                            size_t size, const uint8_t signature[AUDIT_SIGNATURE_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public, AUDIT_PUBLIC_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, AUDIT_SIGNATURE_BYTES, bytes, size) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return good;
}

/* ---- files ---- */

bool audit_file_read(const char *path, size_t max, struct buf *out, char error[AUDIT_ERROR_BYTES])
{
    char piece[4096];
    size_t got;
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(error, AUDIT_ERROR_BYTES, "it cannot be opened: %s", strerror(errno));
        return false;
    }
    while (out->size_bytes <= max && (got = fread(piece, 1, sizeof piece, file)) > 0)
        buf_add(out, piece, got);
    bool good = !ferror(file);
    fclose(file);
    OPENSSL_cleanse(piece, sizeof piece);
    if (!good || out->failed)
        return refuse(error, good ? "no memory" : "it cannot be read");
    if (out->size_bytes > max)
        return refuse(error, "it is too large");
    return true;
}
