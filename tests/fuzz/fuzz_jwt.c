/* JSON Web Tokens. An input that begins with `!` is a token as it is; any other is a header and,
 * behind a line break, claims, which are signed here, so that what lies behind the signature is
 * reached. */
#include "hub/cursor.h"
#include "hub/jwt.h"
#include "twin/timestamp.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define NOW_NS (INT64_C(1800000000) * NS_PER_S)

static EVP_PKEY *private_key;
static struct jwt_issuer issuer = {"i", "fleethub", JWT_EDDSA, NULL, 0};

static void make_keys(void)
{
    static const unsigned char seed[32] = "thirty-two bytes, and no secret";
    char *pem, error[256];
    BIO *bio = BIO_new(BIO_s_mem());
    private_key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
    if (!bio || !private_key || PEM_write_bio_PUBKEY(bio, private_key) != 1)
        abort();
    long size = BIO_get_mem_data(bio, &pem);
    issuer.key = jwt_key_read(pem, (size_t)size, JWT_EDDSA, error);
    BIO_free(bio);
    if (!issuer.key)
        abort();
}

static void sign(struct buf *token)
{
    unsigned char signature[64];
    size_t size = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (EVP_DigestSignInit(context, NULL, NULL, NULL, private_key) != 1 ||
        EVP_DigestSign(context, signature, &size, (const unsigned char *)token->data,
                       token->size_bytes) != 1)
        abort();
    EVP_MD_CTX_free(context);
    buf_addc(token, '.');
    cursor_base64url(token, signature, size);
}

/* Nothing is believed that a check of ours would have to refuse. */
static void verify(const char *token, size_t size)
{
    struct jwt_claims claims;
    enum jwt_status status = jwt_verify(&issuer, 1, token, size, NOW_NS, &claims);
    if (status < JWT_OK || status >= JWT_STATUSES || !jwt_status_text(status))
        abort();
    if (status == JWT_OK &&
        (claims.expires_ns <= NOW_NS || strncmp(claims.principal, "i#", 2) != 0 ||
         claims.principal[2] == '\0' || claims.role >= ROLES))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf token = BUF_INIT;
    const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
    if (!private_key)
        make_keys();
    if (size > 0 && data[0] == '!') {
        buf_add(&token, (const char *)data + 1, size - 1);
    } else if (line) {
        cursor_base64url(&token, data, (size_t)(line - data));
        buf_addc(&token, '.');
        cursor_base64url(&token, line + 1, size - (size_t)(line - data) - 1);
        sign(&token);
    }
    verify(buf_cstr(&token), token.size_bytes);
    buf_done(&token);
    return 0;
}
