#include "hub/jwt.h"

#include "hub/cursor.h"
#include "twin/doc.h"
#include "twin/timestamp.h"

#include <math.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIGNATURE_MAX_BYTES = 1024, /* RSA of 8,192 bits */
    PAIR_BYTES = 64,            /* of Ed25519, and of P-256 as r and s */
    KEY_FILE_MAX_BYTES = 64 * 1024,
    CLAIMS_DEPTH = 16,
    CLAIM_SECONDS_MAX = 253402300799, /* the end of the year 9999 */
};

struct jwt_key {
    EVP_PKEY *key;
};

const char *jwt_status_text(enum jwt_status status)
{
    static const char *const texts[JWT_STATUSES] = {
#define X(id, text) text,
        JWT_STATUS_TABLE(X)
#undef X
    };
    return texts[status];
}

/* ---- keys ---- */

/* NULL, or what is wrong with it. */
static const char *key_unfit(EVP_PKEY *key, enum jwt_algorithm algorithm)
{
    char curve[64] = "";
    switch (algorithm) {
    case JWT_EDDSA:
        return EVP_PKEY_is_a(key, "ED25519") ? NULL : "EdDSA needs an Ed25519 key";
    case JWT_ES256:
        EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL);
        return EVP_PKEY_is_a(key, "EC") && strcmp(curve, "prime256v1") == 0
                   ? NULL
                   : "ES256 needs a key on P-256";
    case JWT_RS256:
        return EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= JWT_RSA_MIN_BITS
                   ? NULL
                   : "RS256 needs an RSA key of 2048 bits at least";
    }
    return "unknown algorithm";
}

struct jwt_key *jwt_key_read(const char *pem, size_t size, enum jwt_algorithm algorithm,
                             char error[256])
{
    struct jwt_key *key = calloc(1, sizeof *key);
    BIO *bio = size <= KEY_FILE_MAX_BYTES ? BIO_new_mem_buf(pem, (int)size) : NULL;
    if (key && bio)
        key->key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    const char *unfit =
        key && key->key ? key_unfit(key->key, algorithm) : "there is no public key in PEM";
    if (!unfit)
        return key;
    snprintf(error, 256, "%s", unfit);
    jwt_key_free(key);
    return NULL;
}

struct jwt_key *jwt_key_load(const char *path, enum jwt_algorithm algorithm, char error[256])
{
    char pem[KEY_FILE_MAX_BYTES + 1];
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(error, 256, "it cannot be opened: %m");
        return NULL;
    }
    size_t size = fread(pem, 1, sizeof pem, file);
    bool whole = !ferror(file);
    fclose(file);
    if (whole)
        return jwt_key_read(pem, size, algorithm, error);
    snprintf(error, 256, "it cannot be read");
    return NULL;
}

void jwt_key_free(struct jwt_key *key)
{
    if (key)
        EVP_PKEY_free(key->key);
    free(key);
}

bool jwt_issuer_same(const struct jwt_issuer *a, const struct jwt_issuer *b)
{
    return a->algorithm == b->algorithm && strcmp(a->issuer, b->issuer) == 0 &&
           strcmp(a->audience, b->audience) == 0 && EVP_PKEY_eq(a->key->key, b->key->key) == 1;
}

/* ---- signatures ---- */

/* JWS has r and s side by side (RFC 7518, 3.4), OpenSSL wants them in DER. */
static unsigned char *der_of_pair(const unsigned char pair[PAIR_BYTES], int *size)
{
    enum { HALF = PAIR_BYTES / 2 };
    unsigned char *der = NULL;
    ECDSA_SIG *both = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(pair, HALF, NULL), *s = BN_bin2bn(pair + HALF, HALF, NULL);
    if (both && r && s && ECDSA_SIG_set0(both, r, s) == 1) {
        r = s = NULL;
        *size = i2d_ECDSA_SIG(both, &der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(both);
    return der;
}

static enum jwt_status judge_signature(const struct jwt_issuer *issuer, const char *text,
                                       size_t text_size, const unsigned char *signature,
                                       size_t size)
{
    bool pair = issuer->algorithm != JWT_RS256;
    if (pair && size != PAIR_BYTES)
        return JWT_SIGNATURE;
    unsigned char *der = NULL;
    int der_size = 0;
    if (issuer->algorithm == JWT_ES256) {
        der = der_of_pair(signature, &der_size);
        if (!der)
            return JWT_NO_MEMORY;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const EVP_MD *digest = issuer->algorithm == JWT_EDDSA ? NULL : EVP_sha256();
    enum jwt_status status = JWT_NO_MEMORY;
    if (context && EVP_DigestVerifyInit(context, NULL, digest, NULL, issuer->key->key) == 1)
        status = EVP_DigestVerify(context, der ? der : signature, der ? (size_t)der_size : size,
                                  (const unsigned char *)text, text_size) == 1
                     ? JWT_OK
                     : JWT_SIGNATURE;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    return status;
}

/* ---- one token ---- */

/* Its pieces: text until a dot. */
struct pieces {
    const char *header, *payload, *signature;
    size_t header_size, payload_size, signature_size;
};

static bool split(const char *token, size_t size, struct pieces *pieces)
{
    const char *end = token + size;
    const char *first = memchr(token, '.', size);
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    if (!second || memchr(second + 1, '.', (size_t)(end - second - 1)))
        return false;
    *pieces = (struct pieces){
        .header = token,
        .payload = first + 1,
        .signature = second + 1,
        .header_size = (size_t)(first - token),
        .payload_size = (size_t)(second - first - 1),
        .signature_size = (size_t)(end - second - 1),
    };
    return true;
}

static enum jwt_status read_object(struct doc_parser *parser, const char *text, size_t text_size,
                                   struct doc_ref *object)
{
    char json[JWT_MAX_BYTES];
    size_t size;
    struct doc_limits limits = {JWT_MAX_BYTES, CLAIMS_DEPTH};
    if (!cursor_from_base64url(text, text_size, json, sizeof json, &size))
        return JWT_MALFORMED;
    enum doc_error error = doc_parse(parser, json, size, limits, object);
    if (error == DOC_NO_MEMORY)
        return JWT_NO_MEMORY;
    return error == DOC_OK && doc_is(*object, DOC_OBJECT) ? JWT_OK : JWT_MALFORMED;
}

static bool is_text(struct doc_ref value, const char *text)
{
    size_t size;
    if (!doc_is(value, DOC_STRING))
        return false;
    const char *string = doc_string(value, &size);
    return strlen(text) == size && memcmp(string, text, size) == 0;
}

static bool has_audience(struct doc_ref value, const char *audience)
{
    if (!doc_is(value, DOC_ARRAY))
        return is_text(value, audience);
    for (struct doc_ref item = doc_first(value); doc_exists(item); item = doc_next(value, item))
        if (is_text(item, audience))
            return true;
    return false;
}

/* A NumericDate in nanoseconds; false for what is none. */
static bool read_time(struct doc_ref value, int64_t *ns)
{
    if (!doc_is_number(value))
        return false;
    double seconds = doc_number(value);
    if (!(seconds >= 0 && seconds <= (double)CLAIM_SECONDS_MAX))
        return false;
    double whole = floor(seconds);
    *ns = seconds >= (double)(INT64_MAX / NS_PER_S)
              ? INT64_MAX
              : (int64_t)whole * NS_PER_S + (int64_t)((seconds - whole) * (double)NS_PER_S);
    return true;
}

/* A name that can stand in records, logs and keys. */
static bool printable(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return size > 0;
}

static enum jwt_status judge_claims(const struct jwt_issuer *issuer, struct doc_ref payload,
                                    int64_t now_ns, struct jwt_claims *claims)
{
    struct doc_ref sub = doc_getz(payload, "sub"), nbf = doc_getz(payload, "nbf");
    struct doc_ref role = doc_getz(payload, "fleet_role");
    int64_t expires_ns, from_ns = 0;
    size_t sub_size = 0, role_size = 0;
    const char *subject = doc_is(sub, DOC_STRING) ? doc_string(sub, &sub_size) : NULL;
    if (!subject || !printable(subject, sub_size) || !doc_exists(doc_getz(payload, "aud")) ||
        strlen(issuer->issuer) + 1 + sub_size >= JWT_PRINCIPAL_BYTES ||
        !read_time(doc_getz(payload, "exp"), &expires_ns) ||
        (doc_exists(nbf) && !read_time(nbf, &from_ns)))
        return JWT_CLAIMS;
    if (!has_audience(doc_getz(payload, "aud"), issuer->audience))
        return JWT_AUDIENCE;
    if (expires_ns <= now_ns)
        return JWT_EXPIRED;
    if (from_ns - JWT_LEEWAY_S * NS_PER_S > now_ns)
        return JWT_NOT_YET;
    snprintf(claims->principal, sizeof claims->principal, "%s#%.*s", issuer->issuer, (int)sub_size,
             subject);
    const char *name = doc_is(role, DOC_STRING) ? doc_string(role, &role_size) : "";
    claims->role = role_of(name, role_size);
    claims->expires_ns = expires_ns;
    claims->trust = issuer->trust;
    return JWT_OK;
}

/* The issuer that the payload names, before anything of it is believed. */
static const struct jwt_issuer *find_issuer(const struct jwt_issuer *issuers, size_t count,
                                            struct doc_ref payload)
{
    for (size_t i = 0; i < count; i++)
        if (is_text(doc_getz(payload, "iss"), issuers[i].issuer))
            return &issuers[i];
    return NULL;
}

static const char *algorithm_name(enum jwt_algorithm algorithm)
{
    return algorithm == JWT_EDDSA ? "EdDSA" : algorithm == JWT_ES256 ? "ES256" : "RS256";
}

static enum jwt_status judge(const struct jwt_issuer *issuers, size_t count, const char *token,
                             const struct pieces *pieces, struct doc_parser *parsers[2],
                             int64_t now_ns, struct jwt_claims *claims)
{
    struct doc_ref header, payload;
    unsigned char signature[SIGNATURE_MAX_BYTES];
    size_t signature_size;
    enum jwt_status status = read_object(parsers[0], pieces->header, pieces->header_size, &header);
    if (status == JWT_OK)
        status = read_object(parsers[1], pieces->payload, pieces->payload_size, &payload);
    if (status != JWT_OK)
        return status;
    if (!cursor_from_base64url(pieces->signature, pieces->signature_size, signature,
                               sizeof signature, &signature_size) ||
        doc_exists(doc_getz(header, "crit")))
        return JWT_MALFORMED;
    const struct jwt_issuer *issuer = find_issuer(issuers, count, payload);
    if (!issuer)
        return JWT_ISSUER;
    if (!is_text(doc_getz(header, "alg"), algorithm_name(issuer->algorithm)))
        return JWT_ALGORITHM;
    size_t signed_size = pieces->header_size + 1 + pieces->payload_size;
    status = judge_signature(issuer, token, signed_size, signature, signature_size);
    return status == JWT_OK ? judge_claims(issuer, payload, now_ns, claims) : status;
}

enum jwt_status jwt_verify(const struct jwt_issuer *issuers, size_t issuer_count, const char *token,
                           size_t size, int64_t now_ns, struct jwt_claims *claims)
{
    struct pieces pieces;
    struct jwt_claims found = {.role = ROLE_NONE};
    if (size > JWT_MAX_BYTES)
        return JWT_TOO_LARGE;
    if (!split(token, size, &pieces))
        return JWT_MALFORMED;
    struct doc_parser *parsers[2] = {doc_parser_new(), doc_parser_new()};
    enum jwt_status status = JWT_NO_MEMORY;
    if (parsers[0] && parsers[1])
        status = judge(issuers, issuer_count, token, &pieces, parsers, now_ns, &found);
    doc_parser_free(parsers[0]);
    doc_parser_free(parsers[1]);
    if (status == JWT_OK)
        *claims = found;
    return status;
}
