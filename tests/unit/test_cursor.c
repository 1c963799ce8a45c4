/* cursor: tokens that say where a list goes on, bound to what was asked. */
#include "hub/cursor.h"

#include "tests/unit/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* free() */
static char *token_of(const char *scope, const void *key, size_t key_bytes)
{
    struct buf out = BUF_INIT;
    size_t size;
    cursor_write(&out, scope, key, key_bytes);
    char *token = buf_take(&out, &size);
    assert_non_null(token);
    return token;
}

static char *base64url_of(const void *bytes, size_t size)
{
    struct buf out = BUF_INIT;
    size_t text_size;
    cursor_base64url(&out, bytes, size);
    char *text = buf_take(&out, &text_size);
    assert_non_null(text);
    return text;
}

/* ---- base64url ---- */

static void base64url_is_that_of_rfc_4648(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *text;
    } table[] = {{"f", "Zg"},         {"fo", "Zm8"},           {"foo", "Zm9v"},
                 {"foob", "Zm9vYg"},  {"fooba", "Zm9vYmE"},    {"foobar", "Zm9vYmFy"},
                 {"\xfb\xff", "-_8"}, {"\xff\xff\xfe", "___-"}};
    char back[16];
    size_t size;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char *text = base64url_of(table[i].bytes, strlen(table[i].bytes));
        assert_string_equal(text, table[i].text);
        assert_true(cursor_from_base64url(text, strlen(text), back, sizeof back, &size));
        assert_int_equal(size, strlen(table[i].bytes));
        assert_memory_equal(back, table[i].bytes, size);
        free(text);
    }
    assert_true(cursor_from_base64url("", 0, back, 0, &size));
    assert_int_equal(size, 0);
}

static void base64url_refuses_what_it_would_not_write(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
    } bad[] = {{"A", 1},    {"Zm9vY", 5}, {"Zg==", 4},   {"Zm8=", 4},  {"Zm+v", 4},
               {"Zm/v", 4}, {"Zm 9", 4},  {"Zm9\n", 4},  {"Zm9\0", 4}, {"\0\0", 2},
               {"Zh", 2},   {"Zv", 2},    {"Zm9vYh", 6}, {"Zm9", 3},   {"\xff\xff", 2}};
    char back[16];
    size_t size = 77;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (cursor_from_base64url(bad[i].text, bad[i].size, back, sizeof back, &size))
            fail_msg("taken: %s", bad[i].text);
    assert_int_equal(size, 77); /* written only on success */
}

static void base64url_writes_into_no_more_than_its_room(void **state)
{
    (void)state;
    unsigned char bytes[40];
    size_t size;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 37 + 200);
    for (size_t length = 1; length <= sizeof bytes; length++) {
        char *text = base64url_of(bytes, length);
        unsigned char *room = malloc(length); /* the sanitizer sees one byte more */
        assert_non_null(room);
        assert_false(cursor_from_base64url(text, strlen(text), room, length - 1, &size));
        assert_true(cursor_from_base64url(text, strlen(text), room, length, &size));
        assert_int_equal(size, length);
        assert_memory_equal(room, bytes, length);
        free(room);
        free(text);
    }
}

/* ---- tokens ---- */

static void cursor_reads_back_the_key_that_was_written(void **state)
{
    (void)state;
    char key[CURSOR_KEY_MAX_BYTES], read[CURSOR_KEY_MAX_BYTES + 1];
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (char)(i * 31);
    for (size_t length = 0; length <= sizeof key; length++) {
        size_t size = SIZE_MAX;
        char *token = token_of("filter|order|principal", key, length);
        assert_true(cursor_read(token, "filter|order|principal", read, &size));
        assert_int_equal(size, length);
        assert_memory_equal(read, key, length);
        assert_int_equal(read[length], '\0');
        free(token);
    }
}

static void cursor_token_is_fit_for_a_url(void **state)
{
    (void)state;
    char *token = token_of("scope", "VID-001", 7);
    assert_int_equal(strspn(token, alphabet), strlen(token));
    free(token);
}

static void cursor_refuses_a_key_that_is_too_long(void **state)
{
    (void)state;
    char key[CURSOR_KEY_MAX_BYTES + 1] = {0};
    struct buf out = BUF_INIT;
    cursor_write(&out, "scope", key, sizeof key);
    assert_true(out.failed);
    buf_done(&out);
}

static void cursor_of_another_scope_is_not_read(void **state)
{
    (void)state;
    static const char *const scopes[] = {"",
                                         "a",
                                         "b",
                                         "ab",
                                         "a b",
                                         "vehicles|mode = \"A\"|vid|local",
                                         "vehicles|mode = \"B\"|vid|local",
                                         "vehicles|mode = \"A\"|vid|other"};
    enum { SCOPES = sizeof scopes / sizeof *scopes };
    char key[CURSOR_KEY_MAX_BYTES + 1];
    size_t size;
    for (size_t i = 0; i < SCOPES; i++) {
        char *token = token_of(scopes[i], "VID-001", 7);
        for (size_t k = 0; k < SCOPES; k++)
            assert_int_equal(cursor_read(token, scopes[k], key, &size), i == k);
        free(token);
    }
}

static void cursor_refuses_what_is_no_token(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "A",
                                      "AAAA",
                                      "not a token",
                                      "====",
                                      "\xc3\xa9",
                                      "AAAAAAAAAAAAAAAA",
                                      "AAAAAAAAAAAAAAAAAAAAAAAA"};
    char key[CURSOR_KEY_MAX_BYTES + 1];
    size_t size;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(cursor_read(bad[i], "scope", key, &size));
    char longer[4 * CURSOR_KEY_MAX_BYTES];
    memset(longer, 'A', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_false(cursor_read(longer, "scope", key, &size));
}

/* What is taken says one thing only: written anew it is the token that was read. */
static void assert_refused_or_itself(const char *text, const char *original_key)
{
    char key[CURSOR_KEY_MAX_BYTES + 1];
    size_t size;
    if (!cursor_read(text, "scope", key, &size))
        return;
    char *again = token_of("scope", key, size);
    assert_string_equal(again, text);
    assert_true(size != strlen(original_key) || memcmp(key, original_key, size) != 0);
    free(again);
}

static void cursor_mutated_anywhere_is_refused_or_another_token(void **state)
{
    (void)state;
    static const char *const keys[] = {"VID-001", "VID-01", "VID-1", ""};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        char *token = token_of("scope", keys[k], strlen(keys[k]));
        size_t length = strlen(token);
        char *mutant = malloc(length + 2);
        assert_non_null(mutant);
        for (size_t at = 0; at < length; at++) {
            for (int c = 1; c < 256; c++) {
                memcpy(mutant, token, length + 1);
                mutant[at] = (char)c;
                if (mutant[at] != token[at])
                    assert_refused_or_itself(mutant, keys[k]);
            }
            memcpy(mutant, token, at); /* one character less */
            memcpy(mutant + at, token + at + 1, length - at);
            if (strcmp(mutant, token) != 0)
                assert_refused_or_itself(mutant, keys[k]);
            memcpy(mutant, token, at); /* one more */
            mutant[at] = 'A';
            memcpy(mutant + at + 1, token + at, length - at + 1);
            assert_refused_or_itself(mutant, keys[k]);
        }
        free(mutant);
        free(token);
    }
}

/* The scope's digest comes first: no change of it is taken. */
static void cursor_with_a_mutated_scope_is_refused(void **state)
{
    (void)state;
    enum { SCOPE_CHARS = 16 };
    char key[CURSOR_KEY_MAX_BYTES + 1];
    size_t size;
    char *token = token_of("scope", "VID-001", 7);
    for (size_t at = 0; at < SCOPE_CHARS; at++) {
        char was = token[at];
        for (const char *c = alphabet; *c; c++) {
            token[at] = *c;
            assert_int_equal(cursor_read(token, "scope", key, &size), *c == was);
        }
        token[at] = was;
    }
    free(token);
}

static bool write_token(void *context)
{
    struct buf out = BUF_INIT;
    cursor_write(&out, context, "VID-001", 7);
    bool written = !out.failed;
    buf_done(&out);
    return written;
}

static void cursor_without_memory_is_a_failed_buffer(void **state)
{
    (void)state;
    char scope[] = "scope";
    assert_true(fault_loop(write_token, scope) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64url_is_that_of_rfc_4648),
        cmocka_unit_test(base64url_refuses_what_it_would_not_write),
        cmocka_unit_test(base64url_writes_into_no_more_than_its_room),
        cmocka_unit_test(cursor_reads_back_the_key_that_was_written),
        cmocka_unit_test(cursor_token_is_fit_for_a_url),
        cmocka_unit_test(cursor_refuses_a_key_that_is_too_long),
        cmocka_unit_test(cursor_of_another_scope_is_not_read),
        cmocka_unit_test(cursor_refuses_what_is_no_token),
        cmocka_unit_test(cursor_mutated_anywhere_is_refused_or_another_token),
        cmocka_unit_test(cursor_with_a_mutated_scope_is_refused),
        cmocka_unit_test(cursor_without_memory_is_a_failed_buffer),
    };
    return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
