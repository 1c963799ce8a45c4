/* JSON Web Tokens: what is believed, and every way in which one is not. */
#include "hub/cursor.h"
#include "hub/jwt.h"
#include "tests/unit/key_help.h"
#include "twin/timestamp.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW_S 1800000000
#define ISSUER "https://id.example.org"

static EVP_PKEY *keys[3], *other_keys[3];
static struct jwt_issuer issuers[3];
static const char *const issuer_names[3] = {ISSUER "/ed", ISSUER "/es", ISSUER "/rs"};
static const char *const algorithms[3] = {"EdDSA", "ES256", "RS256"};

static EVP_PKEY *make_key(int algorithm)
{
    switch (algorithm) {
    case JWT_EDDSA:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case JWT_ES256:
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    default:
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    }
}

static int make_keys(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        char error[256] = "";
        keys[i] = make_key(i);
        other_keys[i] = make_key(i);
        char *pem = key_pem(keys[i]);
        const struct jwt_key *key = jwt_key_read(pem, strlen(pem), (enum jwt_algorithm)i, error);
        free(pem);
        assert_string_equal(error, "");
        assert_non_null(key);
        issuers[i] =
            (struct jwt_issuer){issuer_names[i], "fleethub", (enum jwt_algorithm)i, key, 0};
    }
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        EVP_PKEY_free(keys[i]);
        EVP_PKEY_free(other_keys[i]);
        jwt_key_free((struct jwt_key *)(uintptr_t)issuers[i].key);
    }
    return 0;
}

/* ---- an issuer ---- */

static void sign(struct buf *token, EVP_PKEY *key, bool digest)
{
    unsigned char bytes[1024];
    size_t size = sizeof bytes;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(context, NULL, digest ? EVP_sha256() : NULL, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(context, bytes, &size, (const unsigned char *)token->data,
                                    token->size_bytes),
                     1);
    EVP_MD_CTX_free(context);
    if (EVP_PKEY_is_a(key, "EC")) {
        const unsigned char *at = bytes;
        ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)size);
        BN_bn2binpad(ECDSA_SIG_get0_r(pair), bytes + 512, 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), bytes + 544, 32);
        memmove(bytes, bytes + 512, 64);
        ECDSA_SIG_free(pair);
        size = 64;
    }
    buf_addc(token, '.');
    cursor_base64url(token, bytes, size);
}

static void add_parts(struct buf *token, const char *header, const char *payload)
{
    cursor_base64url(token, header, strlen(header));
    buf_addc(token, '.');
    cursor_base64url(token, payload, strlen(payload));
}

static char *make_token(const char *header, const char *payload, EVP_PKEY *key)
{
    struct buf token = BUF_INIT;
    add_parts(&token, header, payload);
    sign(&token, key, !EVP_PKEY_is_a(key, "ED25519"));
    char *text = strdup(buf_cstr(&token));
    buf_done(&token);
    return text;
}

static char *good_header(int i, char text[64])
{
    snprintf(text, 64, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", algorithms[i]);
    return text;
}

/* Claims of issuer `i`: what is usual, with `rest` behind it. */
static char *claims_with(int i, const char *rest, char text[1024])
{
    snprintf(text, 1024, "{\"iss\":\"%s\"%s}", issuer_names[i], rest);
    return text;
}

#define USUAL ",\"sub\":\"ann\",\"aud\":\"fleethub\",\"exp\":1800000060"

static enum jwt_status verify(const char *token, struct jwt_claims *claims)
{
    return jwt_verify(issuers, 3, token, strlen(token), NOW_S * NS_PER_S, claims);
}

/* The verdict on claims that issuer `i` has signed. */
static enum jwt_status verdict(int i, const char *rest)
{
    char header[64], payload[1024];
    struct jwt_claims claims;
    char *token = make_token(good_header(i, header), claims_with(i, rest, payload), keys[i]);
    enum jwt_status status = verify(token, &claims);
    free(token);
    return status;
}

/* ---- what is believed ---- */

static void a_good_token_of_each_algorithm_names_its_principal(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        char header[64], payload[1024], principal[128];
        struct jwt_claims claims;
        char *token =
            make_token(good_header(i, header),
                       claims_with(i, USUAL ",\"fleet_role\":\"auditor\"", payload), keys[i]);
        assert_int_equal(verify(token, &claims), JWT_OK);
        snprintf(principal, sizeof principal, "%s#ann", issuer_names[i]);
        assert_string_equal(claims.principal, principal);
        assert_int_equal(claims.role, ROLE_AUDITOR);
        assert_int_equal(claims.expires_ns, 1800000060 * NS_PER_S);
        free(token);
    }
}

static void a_role_is_one_known_string_or_none(void **state)
{
    (void)state;
    static const struct {
        const char *claim;
        enum role role;
    } cases[] = {
        {"", ROLE_NONE},
        {",\"fleet_role\":\"admin\"", ROLE_ADMIN},
        {",\"fleet_role\":\"Admin\"", ROLE_NONE},
        {",\"fleet_role\":\"root\"", ROLE_NONE},
        {",\"fleet_role\":[\"admin\"]", ROLE_NONE},
        {",\"fleet_role\":\"none\"", ROLE_NONE},
        {",\"fleet_role\":\"\"", ROLE_NONE},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char header[64], payload[1024], rest[256];
        struct jwt_claims claims;
        snprintf(rest, sizeof rest, USUAL "%s", cases[k].claim);
        char *token = make_token(good_header(0, header), claims_with(0, rest, payload), keys[0]);
        assert_int_equal(verify(token, &claims), JWT_OK);
        assert_int_equal(claims.role, cases[k].role);
        free(token);
    }
}

/* ---- times ---- */

static void expiry_has_no_leeway_and_not_before_has_five_seconds(void **state)
{
    (void)state;
#define OF(exp, nbf) ",\"sub\":\"ann\",\"aud\":\"fleethub\",\"exp\":" exp nbf
    assert_int_equal(verdict(0, OF("1800000000", "")), JWT_EXPIRED);
    assert_int_equal(verdict(0, OF("1800000000.5", "")), JWT_OK);
    assert_int_equal(verdict(0, OF("1799999999.9", "")), JWT_EXPIRED);
    assert_int_equal(verdict(0, OF("1800000001", ",\"nbf\":1800000005")), JWT_OK);
    assert_int_equal(verdict(0, OF("1800000001", ",\"nbf\":1800000006")), JWT_NOT_YET);
    assert_int_equal(verdict(0, OF("\"1800000060\"", "")), JWT_CLAIMS);
    assert_int_equal(verdict(0, OF("1e300", "")), JWT_CLAIMS);
    assert_int_equal(verdict(0, OF("253402300799", "")), JWT_OK);
    assert_int_equal(verdict(0, OF("-1", "")), JWT_CLAIMS);
    assert_int_equal(verdict(0, OF("1800000060", ",\"nbf\":\"soon\"")), JWT_CLAIMS);
#undef OF
}

/* ---- claims ---- */

static void what_is_required_has_to_be_there(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(verdict(i, USUAL), JWT_OK);
        assert_int_equal(verdict(i, ",\"sub\":\"a\",\"aud\":\"fleethub\""), JWT_CLAIMS);
        assert_int_equal(verdict(i, ",\"sub\":\"a\",\"exp\":1800000060"), JWT_CLAIMS);
        assert_int_equal(verdict(i, ",\"aud\":\"fleethub\",\"exp\":1800000060"), JWT_CLAIMS);
    }
    assert_int_equal(verdict(0, ",\"sub\":\"\",\"aud\":\"fleethub\",\"exp\":1800000060"),
                     JWT_CLAIMS);
    assert_int_equal(verdict(0, ",\"sub\":\"a\\u0000b\",\"aud\":\"fleethub\",\"exp\":1800000060"),
                     JWT_CLAIMS);
    assert_int_equal(verdict(0, ",\"sub\":\"a\\nb\",\"aud\":\"fleethub\",\"exp\":1800000060"),
                     JWT_CLAIMS);
    assert_int_equal(verdict(0, ",\"sub\":\"a\x7f\",\"aud\":\"fleethub\",\"exp\":1800000060"),
                     JWT_CLAIMS);
    assert_int_equal(verdict(0, ",\"sub\":7,\"aud\":\"fleethub\",\"exp\":1800000060"), JWT_CLAIMS);
}

static void the_audience_is_ours_or_has_us_among_it(void **state)
{
    (void)state;
#define FOR(aud) ",\"sub\":\"ann\",\"exp\":1800000060,\"aud\":" aud
    assert_int_equal(verdict(0, FOR("\"fleethub\"")), JWT_OK);
    assert_int_equal(verdict(0, FOR("[\"x\",\"fleethub\"]")), JWT_OK);
    assert_int_equal(verdict(0, FOR("\"fleethub2\"")), JWT_AUDIENCE);
    assert_int_equal(verdict(0, FOR("\"fleet\"")), JWT_AUDIENCE);
    assert_int_equal(verdict(0, FOR("[]")), JWT_AUDIENCE);
    assert_int_equal(verdict(0, FOR("{\"fleethub\":1}")), JWT_AUDIENCE);
    assert_int_equal(verdict(0, FOR("null")), JWT_AUDIENCE);
#undef FOR
}

static void a_subject_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char rest[1024], name[600];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(rest, sizeof rest, ",\"sub\":\"%s\",\"aud\":\"fleethub\",\"exp\":1800000060", name);
    assert_int_equal(verdict(0, rest), JWT_CLAIMS);
}

/* ---- algorithms and signatures ---- */

static void the_header_names_the_issuers_algorithm_and_no_other(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "{\"alg\":\"none\"}",  "{\"alg\":\"None\"}",  "{\"alg\":\"HS256\"}", "{}",
        "{\"alg\":\"eddsa\"}", "{\"alg\":\"RS512\"}", "{\"alg\":null}",
    };
    char header[64], payload[1024];
    struct jwt_claims claims;
    for (int i = 0; i < 3; i++) {
        claims_with(i, USUAL, payload);
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
            char *token = make_token(wrong[k], payload, keys[i]);
            assert_int_equal(verify(token, &claims), JWT_ALGORITHM);
            free(token);
        }
        char *token = make_token(good_header((i + 1) % 3, header), payload, keys[i]);
        assert_int_equal(verify(token, &claims), JWT_ALGORITHM);
        free(token);
    }
}

static void a_public_key_is_no_secret_of_an_hmac(void **state)
{
    (void)state;
    char payload[1024];
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned size;
    static const char *const headers[] = {"{\"alg\":\"HS256\"}", "{\"alg\":\"RS256\"}"};
    static const enum jwt_status expected[] = {JWT_ALGORITHM, JWT_SIGNATURE};
    char *pem = key_pem(keys[JWT_RS256]);
    for (int i = 0; i < 2; i++) {
        struct buf token = BUF_INIT;
        struct jwt_claims claims;
        add_parts(&token, headers[i], claims_with(JWT_RS256, USUAL, payload));
        HMAC(EVP_sha256(), pem, (int)strlen(pem), (const unsigned char *)token.data,
             token.size_bytes, mac, &size);
        buf_addc(&token, '.');
        cursor_base64url(&token, mac, size);
        assert_int_equal(verify(buf_cstr(&token), &claims), expected[i]);
        buf_done(&token);
    }
    free(pem);
}

/* What a header says of keys is a stranger's word: the issuer's one key decides. */
static void a_key_that_comes_with_the_token_is_not_used(void **state)
{
    (void)state;
    static const char *const members[] = {
        "\"kid\":\"../../../../dev/null\"",
        "\"kid\":\"' UNION SELECT 'x\"",
        "\"jku\":\"https://evil.example.org/keys\"",
        "\"x5u\":\"https://evil.example.org/cert\"",
        "\"x5c\":[\"MIIB\"]",
        ("\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
         "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"),
    };
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < sizeof members / sizeof *members; k++) {
            char header[512], payload[1024];
            struct jwt_claims claims;
            snprintf(header, sizeof header, "{\"alg\":\"%s\",%s}", algorithms[i], members[k]);
            claims_with(i, USUAL, payload);
            char *forged = make_token(header, payload, other_keys[i]);
            assert_int_equal(verify(forged, &claims), JWT_SIGNATURE);
            free(forged);
            char *good = make_token(header, payload, keys[i]);
            assert_int_equal(verify(good, &claims), JWT_OK);
            free(good);
        }
}

static void signatures_of_zeros_or_of_another_form_are_none(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 32, 63, 64, 65, 70, 255, 256, 257, 512};
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
            for (int fill = 0; fill < 256; fill += 255) {
                char header[64], payload[1024], bytes[512];
                struct jwt_claims claims;
                struct buf token = BUF_INIT;
                memset(bytes, fill, sizeof bytes);
                add_parts(&token, good_header(i, header), claims_with(i, USUAL, payload));
                buf_addc(&token, '.');
                cursor_base64url(&token, bytes, sizes[k]);
                assert_int_not_equal(verify(buf_cstr(&token), &claims), JWT_OK);
                buf_done(&token);
            }
    /* An ES256 signature as ASN.1 (SEQUENCE of r and s), as OpenSSL writes it. */
    char header[64], payload[1024];
    unsigned char der[256];
    size_t der_bytes = sizeof der;
    struct jwt_claims claims;
    struct buf token = BUF_INIT;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    add_parts(&token, good_header(JWT_ES256, header), claims_with(JWT_ES256, USUAL, payload));
    assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, keys[JWT_ES256]), 1);
    assert_int_equal(EVP_DigestSign(context, der, &der_bytes, (const unsigned char *)token.data,
                                    token.size_bytes),
                     1);
    buf_addc(&token, '.');
    cursor_base64url(&token, der, der_bytes);
    assert_int_not_equal(verify(buf_cstr(&token), &claims), JWT_OK);
    EVP_MD_CTX_free(context);
    buf_done(&token);
}

static void another_key_of_the_same_kind_signs_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        char header[64], payload[1024];
        struct jwt_claims claims;
        char *token =
            make_token(good_header(i, header), claims_with(i, USUAL, payload), other_keys[i]);
        assert_int_equal(verify(token, &claims), JWT_SIGNATURE);
        free(token);
    }
}

static void one_changed_character_anywhere_is_noticed(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        char header[64], payload[1024];
        struct jwt_claims claims;
        char *token = make_token(good_header(i, header), claims_with(i, USUAL, payload), keys[i]);
        size_t size = strlen(token);
        for (size_t at = 0; at < size; at += 3) {
            char was = token[at];
            token[at] = was == 'A' ? 'B' : 'A';
            assert_int_not_equal(verify(token, &claims), JWT_OK);
            token[at] = was;
        }
        for (size_t cut = 0; cut < size; cut += 7)
            assert_int_not_equal(jwt_verify(issuers, 3, token, cut, NOW_S * NS_PER_S, &claims),
                                 JWT_OK);
        free(token);
    }
}

static void an_issuer_is_known_by_its_whole_name(void **state)
{
    (void)state;
    char header[64];
    struct jwt_claims claims;
    static const char *const payloads[] = {
        "{\"sub\":\"a\",\"aud\":\"fleethub\",\"exp\":1800000060}",
        "{\"iss\":\"" ISSUER "\",\"sub\":\"a\",\"aud\":\"fleethub\",\"exp\":1800000060}",
        "{\"iss\":\"" ISSUER "/ed/\",\"sub\":\"a\",\"aud\":\"fleethub\",\"exp\":1800000060}",
        "{\"iss\":[\"" ISSUER "/ed\"],\"sub\":\"a\",\"aud\":\"fleethub\",\"exp\":1800000060}",
    };
    for (size_t k = 0; k < sizeof payloads / sizeof *payloads; k++) {
        char *token = make_token(good_header(0, header), payloads[k], keys[0]);
        assert_int_equal(verify(token, &claims), JWT_ISSUER);
        free(token);
    }
}

static void what_is_no_token_is_malformed(void **state)
{
    (void)state;
    struct jwt_claims claims;
    static const char *const texts[] = {"",           ".",           "..",         "...",
                                        "a.b.c",      "e30.e30.",    "e30.",       ".e30.",
                                        "W10.W10.AA", "e30.e30.A A", "e30=.e30.AA"};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        enum jwt_status status = verify(texts[k], &claims);
        assert_true(status == JWT_MALFORMED || status == JWT_ISSUER);
    }
    char header[64], payload[1024];
    char *token = make_token("{\"alg\":\"EdDSA\",\"crit\":[\"exp\"]}",
                             claims_with(0, USUAL, payload), keys[0]);
    assert_int_equal(verify(token, &claims), JWT_MALFORMED);
    free(token);
    token = make_token(good_header(0, header), claims_with(0, USUAL ",\"exp\":1900000000", payload),
                       keys[0]);
    assert_int_equal(verify(token, &claims), JWT_MALFORMED); /* a name twice */
    free(token);
}

static void an_oversized_token_is_not_read(void **state)
{
    (void)state;
    static char huge[JWT_MAX_BYTES + 2];
    struct jwt_claims claims;
    memset(huge, 'A', sizeof huge - 1);
    assert_int_equal(verify(huge, &claims), JWT_TOO_LARGE);
}

/* ---- keys ---- */

static void a_key_serves_its_own_algorithm_alone(void **state)
{
    (void)state;
    for (int made = 0; made < 3; made++) {
        char *pem = key_pem(keys[made]);
        for (int asked = 0; asked < 3; asked++) {
            char error[256] = "";
            struct jwt_key *key = jwt_key_read(pem, strlen(pem), (enum jwt_algorithm)asked, error);
            assert_int_equal(key != NULL, made == asked);
            assert_int_equal(error[0] != '\0', made != asked);
            jwt_key_free(key);
        }
        free(pem);
    }
    EVP_PKEY *weak = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    EVP_PKEY *other_curve = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
    char error[256];
    char *pem = key_pem(weak);
    assert_null(jwt_key_read(pem, strlen(pem), JWT_RS256, error));
    free(pem);
    pem = key_pem(other_curve);
    assert_null(jwt_key_read(pem, strlen(pem), JWT_ES256, error));
    free(pem);
    EVP_PKEY_free(weak);
    EVP_PKEY_free(other_curve);
    assert_null(jwt_key_load("/nowhere/at/all.pem", JWT_EDDSA, error));
    assert_non_null(strstr(error, "cannot be opened"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_token_of_each_algorithm_names_its_principal),
        cmocka_unit_test(a_role_is_one_known_string_or_none),
        cmocka_unit_test(expiry_has_no_leeway_and_not_before_has_five_seconds),
        cmocka_unit_test(what_is_required_has_to_be_there),
        cmocka_unit_test(the_audience_is_ours_or_has_us_among_it),
        cmocka_unit_test(a_subject_that_is_too_long_is_refused),
        cmocka_unit_test(the_header_names_the_issuers_algorithm_and_no_other),
        cmocka_unit_test(a_public_key_is_no_secret_of_an_hmac),
        cmocka_unit_test(another_key_of_the_same_kind_signs_nothing),
        cmocka_unit_test(a_key_that_comes_with_the_token_is_not_used),
        cmocka_unit_test(signatures_of_zeros_or_of_another_form_are_none),
        cmocka_unit_test(one_changed_character_anywhere_is_noticed),
        cmocka_unit_test(an_issuer_is_known_by_its_whole_name),
        cmocka_unit_test(what_is_no_token_is_malformed),
        cmocka_unit_test(an_oversized_token_is_not_read),
        cmocka_unit_test(a_key_serves_its_own_algorithm_alone),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
