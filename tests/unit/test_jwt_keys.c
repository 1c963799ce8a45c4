/* The keys of JWT issuers as files, and what verification does when there is no memory. */
#include "hub/cursor.h"
#include "hub/jwt.h"
#include "tests/unit/fault.h"
#include "tests/unit/key_help.h"
#include "twin/timestamp.h"

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW_NS (INT64_C(1800000000) * NS_PER_S)
#define HEADER "{\"alg\":\"ES256\"}"
#define CLAIMS(sub) "{\"iss\":\"i\",\"sub\":\"" sub "\",\"aud\":\"fleethub\",\"exp\":1800000060}"

/* ---- files ---- */

static void a_key_is_read_from_its_file(void **state)
{
    (void)state;
    char error[256] = "";
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    char *pem = key_pem(pair);
    struct jwt_key *key = jwt_key_load(key_file(pem, strlen(pem)), JWT_EDDSA, error);
    assert_non_null(key);
    jwt_key_free(key);
    jwt_key_free(NULL);
    free(pem);
    EVP_PKEY_free(pair);
}

static void a_file_without_a_public_key_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"};
    char error[256];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        error[0] = '\0';
        assert_null(jwt_key_load(key_file(texts[i], strlen(texts[i])), JWT_EDDSA, error));
        assert_non_null(strstr(error, "no public key"));
    }
    assert_null(jwt_key_load(key_folder, JWT_EDDSA, error));
    assert_non_null(strstr(error, "cannot be read"));
}

/* A good key behind so much else that the file is no key file. */
static void a_file_that_is_far_too_large_is_refused(void **state)
{
    (void)state;
    enum { LARGE = 1 << 20 };
    char error[256] = "", *text = malloc(LARGE);
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    char *pem = key_pem(pair);
    memset(text, '\n', LARGE);
    memcpy(text, pem, strlen(pem));
    assert_null(jwt_key_load(key_file(text, LARGE), JWT_EDDSA, error));
    assert_non_null(strstr(error, "no public key"));
    free(text);
    free(pem);
    EVP_PKEY_free(pair);
}

static void a_key_for_an_algorithm_that_does_not_exist_is_none(void **state)
{
    (void)state;
    char error[256] = "";
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    char *pem = key_pem(pair);
    assert_null(jwt_key_read(pem, strlen(pem), (enum jwt_algorithm)(JWT_RS256 + 1), error));
    assert_string_equal(error, "unknown algorithm");
    free(pem);
    EVP_PKEY_free(pair);
}

/* ---- no memory ---- */

/* OpenSSL's allocations: the one after so many fails, and, with `on`, all after it. -1: none. */
static struct {
    int left;
    bool on;
} openssl = {-1, false};

/* Past fault.c, which counts the project's own allocations. */
void *__real_malloc(size_t size);
void *__real_realloc(void *block, size_t size);

static bool openssl_fails(void)
{
    if (openssl.left < 0)
        return false;
    if (openssl.left > 0) {
        openssl.left--;
        return false;
    }
    if (!openssl.on)
        openssl.left = -1;
    return true;
}

static void *openssl_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return openssl_fails() ? NULL : __real_malloc(size);
}

static void *openssl_realloc(void *block, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return openssl_fails() ? NULL : __real_realloc(block, size);
}

static void openssl_free(void *block, const char *file, int line)
{
    (void)file, (void)line;
    free(block);
}

struct signed_one {
    struct jwt_issuer issuer;
    struct buf good, forged;
    char *pem;
};

static void add_signed(struct buf *token, const char *claims, EVP_PKEY *pair)
{
    unsigned char der[128], both[64];
    size_t size = sizeof der;
    cursor_base64url(token, HEADER, strlen(HEADER));
    buf_addc(token, '.');
    cursor_base64url(token, claims, strlen(claims));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, pair), 1);
    assert_int_equal(
        EVP_DigestSign(context, der, &size, (const unsigned char *)token->data, token->size_bytes),
        1);
    EVP_MD_CTX_free(context);
    const unsigned char *at = der;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)size);
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), both, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), both + 32, 32);
    ECDSA_SIG_free(signature);
    buf_addc(token, '.');
    cursor_base64url(token, both, sizeof both);
}

static void make_signed(struct signed_one *one)
{
    char error[256] = "";
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    *one = (struct signed_one){.good = BUF_INIT, .forged = BUF_INIT, .pem = key_pem(pair)};
    struct jwt_key *key = jwt_key_read(one->pem, strlen(one->pem), JWT_ES256, error);
    assert_non_null(key);
    one->issuer = (struct jwt_issuer){"i", "fleethub", JWT_ES256, key, 0};
    add_signed(&one->good, CLAIMS("ann"), pair);
    add_signed(&one->forged, CLAIMS("eve"), other);
    EVP_PKEY_free(pair);
    EVP_PKEY_free(other);
}

static void free_signed(struct signed_one *one)
{
    jwt_key_free((struct jwt_key *)(uintptr_t)one->issuer.key);
    buf_done(&one->good);
    buf_done(&one->forged);
    free(one->pem);
}

static enum jwt_status verdict(const struct signed_one *one, const struct buf *token)
{
    struct jwt_claims claims = {.role = ROLE_NONE};
    enum jwt_status status =
        jwt_verify(&one->issuer, 1, token->data, token->size_bytes, NOW_NS, &claims);
    if (status != JWT_OK)
        assert_string_equal(claims.principal, "");
    return status;
}

static bool verify_without_memory(void *context)
{
    const struct signed_one *one = context;
    enum jwt_status status = verdict(one, &one->good);
    assert_true(status == JWT_OK || status == JWT_NO_MEMORY); /* never: the token is bad */
    return status == JWT_OK;
}

static bool read_key_without_memory(void *context)
{
    const struct signed_one *one = context;
    char error[256] = "";
    struct jwt_key *key = jwt_key_read(one->pem, strlen(one->pem), JWT_ES256, error);
    assert_int_equal(key == NULL, error[0] != '\0');
    bool read = key != NULL;
    jwt_key_free(key);
    return read;
}

static void a_token_is_verified_whole_or_not_believed(void **state)
{
    (void)state;
    struct signed_one one;
    make_signed(&one);
    assert_true(fault_loop(verify_without_memory, &one) >= 2);
    assert_true(fault_loop(read_key_without_memory, &one) >= 1);
    free_signed(&one);
}

/* Each of OpenSSL's allocations fails in turn: whatever that does, nothing forged is believed, and
 * afterwards all is as before. */
static void openssl_without_memory_believes_nothing_that_is_forged(void **state)
{
    (void)state;
    enum { AT_LEAST = 10, AT_MOST = 5000 };
    struct signed_one one;
    make_signed(&one);
    assert_int_equal(verdict(&one, &one.good), JWT_OK);
    for (int on = 0; on < 2; on++) {
        int nth = 0, refused = 0;
        for (bool reached = true; reached; nth++) {
            assert_true(nth < AT_MOST);
            openssl.on = on;
            openssl.left = nth;
            refused += verdict(&one, &one.good) != JWT_OK;
            reached = openssl.on ? openssl.left == 0 : openssl.left < 0;
            openssl.left = nth;
            assert_int_not_equal(verdict(&one, &one.forged), JWT_OK);
            openssl.left = -1;
        }
        assert_true(nth > AT_LEAST && refused > 0);
        assert_int_equal(verdict(&one, &one.good), JWT_OK);
        assert_int_equal(verdict(&one, &one.forged), JWT_SIGNATURE);
    }
    free_signed(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_read_from_its_file),
        cmocka_unit_test(a_file_without_a_public_key_is_refused),
        cmocka_unit_test(a_file_that_is_far_too_large_is_refused),
        cmocka_unit_test(a_key_for_an_algorithm_that_does_not_exist_is_none),
        cmocka_unit_test(a_token_is_verified_whole_or_not_believed),
        cmocka_unit_test(openssl_without_memory_believes_nothing_that_is_forged),
    };
    /* Before OpenSSL has allocated anything. */
    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, key_folder_make, key_folder_remove);
}
