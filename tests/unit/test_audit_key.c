/* Files of keys that sign the record, and of those that are trusted: what is taken, and what is
 * refused and why. */
#include "hub/audit_key.h"
#include "tests/unit/fault.h"
#include "tests/unit/key_help.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct audit_key make_key(const char *name)
{
    struct buf pem = BUF_INIT;
    char error[AUDIT_ERROR_BYTES];
    struct audit_signer *signer;
    struct audit_key key = {.name = ""};
    assert_true(audit_key_make(&pem, error));
    assert_true(audit_signer_read(pem.data, pem.size_bytes, &signer, error));
    memcpy(key.public, audit_signer_public(signer), AUDIT_PUBLIC_BYTES);
    strcpy(key.name, name);
    audit_signer_free(signer);
    audit_signer_free(NULL);
    buf_done(&pem);
    return key;
}

static void pem_of_another_kind(struct buf *out, bool private)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes;
    if (private)
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    else
        assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    long size = BIO_get_mem_data(bio, &bytes);
    buf_add(out, bytes, (size_t)size);
    BIO_free(bio);
    EVP_PKEY_free(key);
}

static void assert_refused(const char *text, size_t size, const char *why)
{
    struct audit_keys keys = {.count = 0};
    char error[AUDIT_ERROR_BYTES] = "";
    if (audit_keys_load(&keys, key_file(text, size), error) || !strstr(error, why))
        fail_msg("%.60s: %s, and not: %s", text, error, why);
}

/* ---- private keys ---- */

static void a_signing_key_is_ed25519_without_a_password(void **state)
{
    (void)state;
    struct buf pem = BUF_INIT;
    struct audit_signer *signer = NULL;
    char error[AUDIT_ERROR_BYTES] = "";
    assert_true(audit_key_make(&pem, error));
    assert_true(audit_signer_load(key_file(pem.data, pem.size_bytes), &signer, error));
    audit_signer_free(signer);
    assert_false(audit_signer_load(key_file("no key", 6), &signer, error));
    assert_non_null(strstr(error, "no private key"));
    buf_reset(&pem);
    pem_of_another_kind(&pem, true);
    assert_false(audit_signer_load(key_file(pem.data, pem.size_bytes), &signer, error));
    assert_non_null(strstr(error, "not an Ed25519 key"));
    assert_false(audit_signer_load("/nowhere/at/all", &signer, error));
    assert_non_null(strstr(error, "cannot be opened"));
    assert_false(audit_signer_load(key_folder, &signer, error));
    assert_non_null(strstr(error, "cannot be read"));
    buf_done(&pem);
}

static void a_file_that_is_far_too_large_is_no_key(void **state)
{
    (void)state;
    enum { LARGE = 2 * AUDIT_KEY_FILE_MAX_BYTES };
    struct buf pem = BUF_INIT;
    struct audit_signer *signer = NULL;
    struct audit_keys keys = {.count = 0};
    char error[AUDIT_ERROR_BYTES] = "";
    assert_true(audit_key_make(&pem, error));
    while (pem.size_bytes < LARGE)
        buf_addc(&pem, '\n');
    assert_false(audit_signer_load(key_file(pem.data, pem.size_bytes), &signer, error));
    assert_non_null(strstr(error, "too large"));
    assert_false(audit_signer_read(pem.data, pem.size_bytes, &signer, error));
    assert_refused(pem.data, pem.size_bytes, "too large");
    assert_false(audit_keys_parse(&keys, pem.data, pem.size_bytes, error));
    assert_non_null(strstr(error, "too large"));
    buf_done(&pem);
}

/* ---- files of public keys ---- */

static void a_file_of_keys_has_lines_pem_and_comments(void **state)
{
    (void)state;
    struct audit_key one = make_key("fleethub/a/b"), two = make_key(""), three = make_key("c");
    struct audit_keys keys = {.count = 0};
    struct buf text = BUF_INIT, private = BUF_INIT;
    char error[AUDIT_ERROR_BYTES] = "";
    buf_adds(&text, "# keys\r\n \t\r\n");
    audit_vkey_write(&text, one.name, one.public);
    buf_adds(&text, "\r\n\n");
    assert_true(audit_public_pem_write(&text, two.public));
    assert_true(audit_key_make(&private, error));
    buf_add(&text, private.data, private.size_bytes);
    audit_vkey_write(&text, one.name, one.public); /* again: it is there already */
    buf_addc(&text, '\n');
    audit_vkey_write(&text, three.name, one.public); /* the same key under another name */
    buf_adds(&text, "\n# the end, without a line feed");
    assert_true(audit_keys_load(&keys, key_file(text.data, text.size_bytes), error));
    assert_int_equal(keys.count, 4);
    assert_string_equal(keys.keys[0].name, one.name);
    assert_memory_equal(keys.keys[1].public, two.public, AUDIT_PUBLIC_BYTES);
    assert_string_equal(keys.keys[2].name, "");
    assert_string_equal(keys.keys[3].name, "c");
    /* A file without a key adds none, which is wrong only where there is none yet. */
    assert_true(audit_keys_load(&keys, key_file("# none\n", 7), error));
    assert_int_equal(keys.count, 4);
    buf_done(&text);
    buf_done(&private);
}

static void a_file_without_a_good_key_is_refused(void **state)
{
    (void)state;
    static const char half[] = "-----BEGIN PUBLIC KEY-----\nMCow";
    static const char broken[] = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----";
    static const char damaged[] = "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----";
    struct buf pem = BUF_INIT;
    assert_refused("", 0, "no key");
    assert_refused("# none", 6, "no key");
    assert_refused("what", 4, "neither a key nor");
    assert_refused(half, sizeof half - 1, "no end");
    assert_refused(broken, sizeof broken - 1, "no Ed25519 public key");
    assert_refused(damaged, sizeof damaged - 1, "no private key");
    pem_of_another_kind(&pem, false);
    assert_refused(pem.data, pem.size_bytes, "no Ed25519 public key");
    buf_done(&pem);
}

static void a_key_s_line_is_read_exactly(void **state)
{
    (void)state;
    struct audit_key key = make_key("fleethub/t/r"), read;
    struct buf line = BUF_INIT;
    char name[512];
    audit_vkey_write(&line, key.name, key.public);
    assert_true(audit_vkey_read(line.data, line.size_bytes, &read));
    assert_string_equal(read.name, key.name);
    assert_memory_equal(read.public, key.public, AUDIT_PUBLIC_BYTES);
    for (size_t size = 0; size < line.size_bytes; size++)
        assert_false(audit_vkey_read(line.data, size, &read));
    for (size_t at = 0; at < line.size_bytes; at++) {
        char was = line.data[at];
        line.data[at] = was == 'x' ? 'y' : 'x';
        assert_false(audit_vkey_read(line.data, line.size_bytes, &read));
        line.data[at] = was;
    }
    static const char *const names[] = {"", "with a blank"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        buf_reset(&line);
        audit_vkey_write(&line, names[i], key.public);
        assert_false(audit_vkey_read(line.data, line.size_bytes, &read));
    }
    memset(name, 'n', AUDIT_NAME_BYTES);
    for (int more = 0; more < 2; more++) {
        name[AUDIT_NAME_BYTES - 1 + more] = '\0';
        buf_reset(&line);
        audit_vkey_write(&line, name, key.public);
        assert_int_equal(audit_vkey_read(line.data, line.size_bytes, &read), !more);
        name[AUDIT_NAME_BYTES - 1] = 'n';
    }
    buf_done(&line);
}

/* The example of signed-note's specification (golang.org/x/mod/sumdb/note). */
static void a_key_s_id_is_signed_note_s_and_takes_no_memory(void **state)
{
    (void)state;
    static const char line[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    static const uint8_t known[AUDIT_KEY_ID_BYTES] = {0xc7, 0x4f, 0x20, 0xa3};
    struct audit_key key;
    uint8_t id[AUDIT_KEY_ID_BYTES];
    assert_true(audit_vkey_read(line, strlen(line), &key));
    fault_arm(1, FAULT_FROM_THEN);
    audit_key_id(key.name, strlen(key.name), key.public, id);
    assert_false(fault_disarm());
    assert_memory_equal(id, known, sizeof id);
}

static void a_set_of_keys_is_bounded(void **state)
{
    (void)state;
    struct audit_key key = make_key("");
    struct audit_keys keys = {.count = 0};
    struct buf text = BUF_INIT;
    char error[AUDIT_ERROR_BYTES] = "", name[16];
    for (int i = 0; i <= AUDIT_KEYS_MAX; i++) {
        snprintf(name, sizeof name, "n%d", i);
        audit_vkey_write(&text, name, key.public);
        buf_addc(&text, '\n');
    }
    assert_false(audit_keys_parse(&keys, text.data, text.size_bytes, error));
    assert_non_null(strstr(error, "too many keys"));
    assert_int_equal(keys.count, AUDIT_KEYS_MAX);
    buf_done(&text);
}

static void a_file_that_there_is_no_memory_for_is_not_called_wrong(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    char error[AUDIT_ERROR_BYTES] = "";
    const char *path = key_file("# a comment", 11);
    fault_arm(1, FAULT_ONCE);
    assert_false(audit_file_read(path, 1024, &text, error));
    assert_true(fault_disarm());
    assert_string_equal(error, "no memory");
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signing_key_is_ed25519_without_a_password),
        cmocka_unit_test(a_file_that_is_far_too_large_is_no_key),
        cmocka_unit_test(a_file_of_keys_has_lines_pem_and_comments),
        cmocka_unit_test(a_file_without_a_good_key_is_refused),
        cmocka_unit_test(a_key_s_line_is_read_exactly),
        cmocka_unit_test(a_key_s_id_is_signed_note_s_and_takes_no_memory),
        cmocka_unit_test(a_set_of_keys_is_bounded),
        cmocka_unit_test(a_file_that_there_is_no_memory_for_is_not_called_wrong),
    };
    return cmocka_run_group_tests(tests, key_folder_make, key_folder_remove);
}
