/*
 * access_help: an `access` on the fake bus with one JWT issuer, and tokens and JWTs for it.
 *
 * The key is that of RFC 8032, section 7.1, test 1; its public half lies in the folder of
 * key_help.h, which the group makes.
 */
#ifndef TESTS_UNIT_ACCESS_HELP_H
#define TESTS_UNIT_ACCESS_HELP_H

#include "hub/access_impl.h"
#include "hub/audit_key.h"
#include "hub/clock.h"
#include "hub/cursor.h"
#include "tests/fake/fake_bus.h"
#include "tests/unit/key_help.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HELP_ISSUER "https://id.example"
#define HELP_MADE "\"created\":\"2026-01-01T00:00:00Z\",\"created_by\":\"x\""

static const char help_private_pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";

struct access_help {
    struct audit_signer *signer;
    struct config_jwt issuers[1];
    struct config config;
    struct access *access;
};

/* An access that has read its (empty) bucket; `state` of cmocka is the struct. */
static inline int access_help_setup(void **state)
{
    struct access_help *help = calloc(1, sizeof *help);
    struct buf pem = BUF_INIT;
    char error[512] = "";
    assert_true(
        audit_signer_read(help_private_pem, strlen(help_private_pem), &help->signer, error));
    assert_true(audit_public_pem_write(&pem, audit_signer_public(help->signer)));
    help->issuers[0] =
        (struct config_jwt){.issuer = (char *)(uintptr_t)HELP_ISSUER,
                            .audience = (char *)(uintptr_t) "fleethub",
                            .key_file = (char *)(uintptr_t)key_file(pem.data, pem.size_bytes),
                            .algorithm = JWT_EDDSA};
    buf_done(&pem);
    help->config.auth.jwt = help->issuers;
    help->config.auth.jwt_count = 1;
    help->config.http.limits.requests_per_minute = 600;
    fake_bus_reset();
    help->access = access_new(&help->config, fake_bus(), error);
    assert_non_null(help->access);
    help->access->recorder = fake_recorder();
    atomic_store(&help->access->recovered, true);
    *state = help;
    return 0;
}

static inline int access_help_teardown(void **state)
{
    struct access_help *help = *state;
    access_free(help->access);
    audit_signer_free(help->signer);
    free(help);
    return 0;
}

/* Puts an entry in force, as if it had come; `members` begin without a comma. */
static inline void access_help_put(struct access_help *help, enum access_kind kind, const char *id,
                                   const char *secret, const char *members)
{
    char text[1024], hash_text[2 * RECORD_HASH_BYTES + 1], error[256];
    uint8_t hash[RECORD_HASH_BYTES];
    struct doc_parser *parser = doc_parser_new();
    struct doc_ref value;
    record_sha256(secret, strlen(secret), hash);
    for (size_t i = 0; i < sizeof hash; i++)
        snprintf(hash_text + 2 * i, 3, "%02x", hash[i]);
    snprintf(text, sizeof text, "{" HELP_MADE ",\"secret_sha256\":\"%s\",%s}", hash_text, members);
    assert_int_equal(doc_parse(parser, text, strlen(text), (struct doc_limits){4096, 8}, &value),
                     DOC_OK);
    struct access_entry *entry = access_entry_read(kind, id, value, error);
    if (!entry)
        fail_msg("%s: %s", text, error);
    assert_true(access_set_put(&help->access->set, entry));
    help->access->version++;
    doc_parser_free(parser);
}

/* A JWT of the issuer, which ends in an hour; to be freed. */
static inline char *access_help_jwt(const struct access_help *help, const char *sub,
                                    const char *role)
{
    char payload[512], *text;
    uint8_t signature[AUDIT_SIGNATURE_BYTES];
    struct buf token = BUF_INIT;
    snprintf(payload, sizeof payload,
             "{\"iss\":\"" HELP_ISSUER "\",\"aud\":\"fleethub\",\"sub\":\"%s\",\"fleet_role\":"
             "\"%s\",\"exp\":%lld}",
             sub, role, (long long)(clock_wall_ns() / NS_PER_S + 3600));
    cursor_base64url(&token, "{\"alg\":\"EdDSA\"}", strlen("{\"alg\":\"EdDSA\"}"));
    buf_addc(&token, '.');
    cursor_base64url(&token, payload, strlen(payload));
    assert_true(audit_sign(help->signer, token.data, token.size_bytes, signature));
    buf_addc(&token, '.');
    cursor_base64url(&token, signature, sizeof signature);
    text = strdup(buf_cstr(&token));
    buf_done(&token);
    return text;
}

static inline struct principal *access_help_resolve(struct access_help *help, const char *bearer)
{
    struct principal *principal = NULL;
    const char *why = "";
    enum access_verdict verdict = access_resolve(help->access, bearer, &principal, &why);
    if (verdict != ACCESS_OK)
        fail_msg("%s: %s", bearer, why);
    return principal;
}

#endif
