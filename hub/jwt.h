/*
 * jwt: verifies the JSON Web Tokens of configured issuers (RFC 7519, RFC 7515 compact form) with
 * OpenSSL (contract §6).
 *
 * Each issuer has one algorithm and one public key, and the token has no say in either: its header
 * must name exactly the issuer's algorithm, so that a public key never serves as the secret of an
 * HMAC and `none` is never one (RFC 8725, 3.1). EdDSA is Ed25519 (RFC 8037), ES256 ECDSA on P-256
 * with SHA-256, RS256 RSASSA-PKCS1-v1_5 with SHA-256 and a modulus of 2,048 bits at least
 * (RFC 7518, 3.3 and 3.4). `exp`, `iss`, `aud` and `sub` are required. `exp` has no leeway, `nbf`
 * JWT_LEEWAY_S. A header with `crit` is refused: nothing critical is understood here.
 *
 * Total over any bytes. Time comes in as an argument.
 * Threads: a key is immutable and may be used by any number of threads.
 */
#ifndef HUB_JWT_H
#define HUB_JWT_H

#include "hub/access_role.h"
#include "hub/config.h"

#include <stdint.h>

enum {
    JWT_MAX_BYTES = 8192, /* a longer one is refused unread */
    JWT_LEEWAY_S = 5,     /* of `nbf` */
    JWT_PRINCIPAL_BYTES = 512,
    JWT_RSA_MIN_BITS = 2048,
};

struct jwt_key;
/* The public key in a PEM file (SubjectPublicKeyInfo), if it is one for this algorithm. NULL, and
 * text in `error`, where it is not. */
struct jwt_key *jwt_key_load(const char *path, enum jwt_algorithm algorithm, char error[256]);
/* The same out of the text itself. */
struct jwt_key *jwt_key_read(const char *pem, size_t size, enum jwt_algorithm algorithm,
                             char error[256]);
void jwt_key_free(struct jwt_key *key);

struct jwt_issuer {
    const char *issuer, *audience;
    enum jwt_algorithm algorithm;
    const struct jwt_key *key;
    uint64_t trust; /* another number where any of these is another one: goes to the claims */
};
/* Whether both believe the same tokens. */
bool jwt_issuer_same(const struct jwt_issuer *a, const struct jwt_issuer *b);

#define JWT_STATUS_TABLE(X)                                                                        \
    X(OK, "good")                                                                                  \
    X(MALFORMED, "it is no JWT")                                                                   \
    X(TOO_LARGE, "it is too long")                                                                 \
    X(ISSUER, "its issuer is not known here")                                                      \
    X(ALGORITHM, "its algorithm is not the issuer's")                                              \
    X(SIGNATURE, "its signature is not the issuer's")                                              \
    X(CLAIMS, "exp, iss, aud or sub is missing or senseless")                                      \
    X(AUDIENCE, "it is for another audience")                                                      \
    X(EXPIRED, "it has expired")                                                                   \
    X(NOT_YET, "it is not valid yet")                                                              \
    X(NO_MEMORY, "there is no memory")

enum jwt_status {
#define X(id, text) JWT_##id,
    JWT_STATUS_TABLE(X)
#undef X
        JWT_STATUSES
};
const char *jwt_status_text(enum jwt_status status);

struct jwt_claims {
    char principal[JWT_PRINCIPAL_BYTES]; /* "<iss>#<sub>" */
    enum role role;                      /* of `fleet_role`; ROLE_NONE without one that is known */
    int64_t expires_ns;                  /* since 1970 */
    uint64_t trust;                      /* its issuer's */
};

/* `now_ns` since 1970. *claims is written on JWT_OK alone. */
enum jwt_status jwt_verify(const struct jwt_issuer *issuers, size_t issuer_count, const char *token,
                           size_t size, int64_t now_ns, struct jwt_claims *claims);

#endif
