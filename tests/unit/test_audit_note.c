/* Keys, and checkpoints as signed notes. */
#include "hub/audit_note.h"
#include "hub/base64.h"
#include "hub/record_hash.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ORIGIN "fleethub/prod/eu-north"
#define LONG "0123456789012345678901234567890123456789" /* five are longer than an origin */
#define MADE_NS (INT64_C(1768473000123) * NS_PER_MS)

static const char root_text[] = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

static struct audit_signer *signer, *other;

static struct audit_signer *make_signer(void)
{
    struct audit_signer *made = NULL;
    struct buf pem = BUF_INIT;
    char error[AUDIT_ERROR_BYTES] = "";
    assert_true(audit_key_make(&pem, error));
    if (!audit_signer_read(pem.data, pem.size_bytes, &made, error))
        fail_msg("%s", error);
    buf_done(&pem);
    return made;
}

static int setup(void **state)
{
    (void)state;
    signer = make_signer();
    other = make_signer();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    audit_signer_free(signer);
    audit_signer_free(other);
    return 0;
}

static void write_note(struct buf *out, int64_t size)
{
    struct tree_hash root;
    tree_empty_root(&root);
    audit_note_write(out, ORIGIN, size, &root, MADE_NS);
}

static struct audit_keys keys_of(const struct audit_signer *of, const char *name)
{
    struct audit_keys keys = {.count = 0};
    struct audit_key key = {.name = ""};
    snprintf(key.name, sizeof key.name, "%s", name);
    memcpy(key.public, audit_signer_public(of), AUDIT_PUBLIC_BYTES);
    assert_true(audit_keys_add(&keys, &key));
    return keys;
}

static bool parse(const char *text, struct audit_note *note, size_t *used)
{
    const char *reason = NULL;
    bool good = audit_note_parse(text, strlen(text), note, used, &reason);
    assert_true(good == (reason == NULL));
    return good;
}

/* ---- notes ---- */

static void note_is_written_as_tlog_checkpoint_has_it(void **state)
{
    struct buf out = BUF_INIT;
    char wanted[256];
    (void)state;
    write_note(&out, 40213);
    snprintf(wanted, sizeof wanted, ORIGIN "\n40213\n%s\ntime 2026-01-15T10:30:00.123Z\n\n",
             root_text);
    assert_string_equal(buf_cstr(&out), wanted);
    assert_true(audit_note_sign(&out, ORIGIN, signer));
    const char *line = buf_cstr(&out) + strlen(wanted);
    assert_true(strncmp(line, "\xe2\x80\x94 " ORIGIN " ", 4 + strlen(ORIGIN " ")) == 0);
    assert_int_equal(strlen(line), 4 + strlen(ORIGIN " ") + 92 + 1);
    buf_done(&out);
}

static void note_comes_back_as_it_was_signed(void **state)
{
    struct buf out = BUF_INIT;
    struct audit_note note;
    size_t used;
    (void)state;
    write_note(&out, 7);
    assert_true(audit_note_sign(&out, ORIGIN, signer));
    assert_true(audit_note_sign(&out, ORIGIN, other));
    size_t size = out.size_bytes;
    buf_adds(&out, "\n\nnext");
    assert_true(parse(buf_cstr(&out), &note, &used));
    assert_int_equal(note.whole.size, size);
    assert_int_equal(used, size + 2);
    assert_int_equal(note.size, 7);
    assert_int_equal(note.time_ns, MADE_NS);
    assert_int_equal(note.origin.size, strlen(ORIGIN));
    assert_int_equal(note.signature_count, 2);
    struct tree_hash root;
    tree_empty_root(&root);
    assert_true(tree_same(&root, &note.root));
    for (int i = 0; i < 2; i++) {
        struct audit_keys keys = keys_of(i ? other : signer, i ? ORIGIN : "");
        assert_int_equal(audit_note_trust(&note, &keys), AUDIT_TRUSTED);
    }
    buf_done(&out);
}

static void trust_needs_the_right_key_and_every_byte(void **state)
{
    struct buf out = BUF_INIT;
    struct audit_note note;
    struct audit_keys keys = keys_of(signer, ORIGIN), others = keys_of(other, "");
    struct audit_keys renamed = keys_of(signer, "fleethub/prod/eu-south");
    size_t used;
    (void)state;
    write_note(&out, 7);
    assert_true(parse(buf_cstr(&out), &note, &used));
    assert_int_equal(audit_note_trust(&note, &keys), AUDIT_UNSIGNED);
    assert_true(audit_note_sign(&out, ORIGIN, signer));
    assert_true(parse(buf_cstr(&out), &note, &used));
    assert_int_equal(audit_note_trust(&note, &keys), AUDIT_TRUSTED);
    assert_int_equal(audit_note_trust(&note, &others), AUDIT_OTHER_KEY);
    assert_int_equal(audit_note_trust(&note, &renamed), AUDIT_OTHER_KEY);
    for (size_t i = 0; i < note.signed_text.size - 1; i++) {
        char kept = out.data[i];
        out.data[i] = kept == '1' ? '2' : '1';
        if (parse(buf_cstr(&out), &note, &used))
            assert_int_not_equal(audit_note_trust(&note, &keys), AUDIT_TRUSTED);
        out.data[i] = kept;
    }
    char *last = strrchr(out.data, ' ') + 20;
    *last = *last == 'A' ? 'B' : 'A';
    assert_true(parse(buf_cstr(&out), &note, &used));
    assert_int_equal(audit_note_trust(&note, &keys), AUDIT_FORGED);
    buf_done(&out);
}

static void signatures_of_other_kinds_are_passed_over(void **state)
{
    struct buf out = BUF_INIT;
    struct audit_note note;
    struct audit_keys keys = keys_of(signer, "");
    size_t used;
    (void)state;
    write_note(&out, 7);
    buf_adds(&out, "\xe2\x80\x94 witness.example AAAA\n\xe2\x80\x94 somebody not-base64\n");
    assert_true(audit_note_sign(&out, ORIGIN, signer));
    assert_true(parse(buf_cstr(&out), &note, &used));
    assert_int_equal(note.signature_count, 1);
    assert_int_equal(audit_note_trust(&note, &keys), AUDIT_TRUSTED);
    buf_done(&out);
}

/* More signatures than are looked at, names that are longer than any key's or none, a second time.
 */
static void what_a_note_may_hold_beyond_ours_does_no_harm(void **state)
{
    struct buf out = BUF_INIT;
    struct audit_note note;
    size_t used;
    char name[AUDIT_NAME_BYTES + 8];
    struct audit_keys ours = keys_of(signer, ""), named = keys_of(signer, ORIGIN "/more");
    (void)state;
    assert_false(audit_note_sign(&out, ORIGIN, signer)); /* there is no text yet */
    write_note(&out, 7);
    out.size_bytes--;
    buf_adds(&out, "time nonsense\n\n"); /* the first counts */
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_true(audit_note_sign(&out, name, other));
    for (int i = 0; i < AUDIT_SIGNATURES_MAX + 2; i++)
        assert_true(audit_note_sign(&out, ORIGIN, other));
    assert_true(audit_note_sign(&out, ORIGIN, signer));
    buf_adds(&out, "\r\n");
    assert_true(parse(buf_cstr(&out), &note, &used));
    assert_int_equal(used, out.size_bytes);
    assert_int_equal(note.time_ns, MADE_NS);
    assert_int_equal(note.signature_count, AUDIT_SIGNATURES_MAX);
    assert_int_equal(audit_note_trust(&note, &ours), AUDIT_OTHER_KEY);
    assert_int_equal(audit_note_trust(&note, &named), AUDIT_OTHER_KEY);
    buf_done(&out);
}

static void what_is_no_checkpoint_is_refused(void **state)
{
    static const char *const bad[] = {
        "o\n\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n",                   /* no number */
        "o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\xe2\x80\x94  x\n", /* no name */
        LONG LONG LONG LONG LONG "\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n",
        "",
        "\n",
        "x",
        "origin\n",
        "origin\n5\n",
        "origin\n5\nAAAA\n\n",
        "origin\n-5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n",
        "origin\n05\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n",
        "origin\n5x\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n",
        "origin\n9999999999999999999\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n",
        "origin\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n\n",
        "origin\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "origin\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\ntime soon\n\n",
        "origin\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\xe2\x80\x94 nameless\n",
        "\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n",
    };
    struct audit_note note;
    size_t used;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(parse(bad[i], &note, &used));
    assert_true(parse("origin\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nany other line\n\n",
                      &note, &used));
    assert_int_equal(note.time_ns, TIMESTAMP_NONE);
}

/* ---- keys ---- */

static void keys_and_signatures_are_those_of_other_tools(void **state)
{
    /* The example of golang.org/x/mod/sumdb/note, which C2SP signed-note comes from. */
    static const char vkey[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    static const char text[] = "If you think cryptography is the answer to your problem,\n"
                               "then you don't know what your problem is.\n";
    static const char signature[] = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZ"
                                    "SNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
    struct audit_key key;
    struct buf out = BUF_INIT;
    uint8_t bytes[AUDIT_KEY_ID_BYTES + AUDIT_SIGNATURE_BYTES], id[AUDIT_KEY_ID_BYTES];
    (void)state;
    assert_true(audit_vkey_read(vkey, strlen(vkey), &key));
    assert_string_equal(key.name, "PeterNeumann");
    audit_vkey_write(&out, key.name, key.public);
    assert_string_equal(buf_cstr(&out), vkey);
    assert_true(base64_read(signature, strlen(signature), bytes, sizeof bytes));
    audit_key_id(key.name, strlen(key.name), key.public, id);
    assert_memory_equal(bytes, id, sizeof id);
    assert_true(audit_verify_signature(key.public, text, strlen(text), bytes + AUDIT_KEY_ID_BYTES));
    assert_false(
        audit_verify_signature(key.public, text, strlen(text) - 1, bytes + AUDIT_KEY_ID_BYTES));
    buf_done(&out);
}

static void a_file_of_keys_may_hold_every_form(void **state)
{
    struct buf text = BUF_INIT;
    struct audit_keys keys = {.count = 0};
    char error[AUDIT_ERROR_BYTES];
    (void)state;
    buf_adds(&text, "# the auditor's keys\n\n");
    audit_vkey_write(&text, ORIGIN, audit_signer_public(signer));
    buf_adds(&text, "\r\n");
    assert_true(audit_public_pem_write(&text, audit_signer_public(other)));
    assert_true(audit_key_make(&text, error));
    if (!audit_keys_parse(&keys, text.data, text.size_bytes, error))
        fail_msg("%s", error);
    assert_int_equal(keys.count, 3);
    assert_string_equal(keys.keys[0].name, ORIGIN);
    assert_memory_equal(keys.keys[0].public, audit_signer_public(signer), AUDIT_PUBLIC_BYTES);
    assert_string_equal(keys.keys[1].name, "");
    assert_memory_equal(keys.keys[1].public, audit_signer_public(other), AUDIT_PUBLIC_BYTES);
    assert_true(audit_keys_parse(&keys, text.data, text.size_bytes, error));
    assert_int_equal(keys.count, 3);
    buf_done(&text);
}

static void what_is_no_key_is_refused(void **state)
{
    static const char rsa[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALKkzL1a6kUyEpeoDzvhkBsgPsQb5J0u\n"
                              "-----END PUBLIC KEY-----\n";
    static const char *const bad[] = {
        "nonsense",
        "name+00000000+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
        "PeterNeumann+c74f20a3",
        "PeterNeumann+",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n",
        rsa,
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct audit_keys keys = {.count = 0};
        char error[AUDIT_ERROR_BYTES] = "";
        assert_false(audit_keys_parse(&keys, bad[i], strlen(bad[i]), error));
        assert_string_not_equal(error, "");
    }
    struct audit_signer *none;
    char error[AUDIT_ERROR_BYTES];
    assert_false(audit_signer_read(rsa, strlen(rsa), &none, error));
    assert_false(audit_signer_load("/nonexistent/key", &none, error));
}

static void base64_reads_only_what_it_writes(void **state)
{
    uint8_t bytes[3];
    (void)state;
    assert_true(base64_read("", 0, bytes, 0));
    assert_true(base64_read("AQ==", 4, bytes, 1));
    assert_int_equal(bytes[0], 1);
    assert_false(base64_read("AR==", 4, bytes, 1));
    assert_false(base64_read("AQ=", 3, bytes, 1));
    assert_false(base64_read("AQA=", 4, bytes, 1));
    assert_false(base64_read("A===", 4, bytes, 1));
    assert_false(base64_read("AQ-_", 4, bytes, 3));
    assert_false(base64_read("A\nQ=", 4, bytes, 1));
    assert_true(base64_read("/+8=", 4, bytes, 2));
    assert_int_equal(bytes[0], 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(note_is_written_as_tlog_checkpoint_has_it),
        cmocka_unit_test(note_comes_back_as_it_was_signed),
        cmocka_unit_test(trust_needs_the_right_key_and_every_byte),
        cmocka_unit_test(signatures_of_other_kinds_are_passed_over),
        cmocka_unit_test(what_a_note_may_hold_beyond_ours_does_no_harm),
        cmocka_unit_test(what_is_no_checkpoint_is_refused),
        cmocka_unit_test(keys_and_signatures_are_those_of_other_tools),
        cmocka_unit_test(a_file_of_keys_may_hold_every_form),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(base64_reads_only_what_it_writes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
