/*
 * key_help: keys as files of a folder of the test's, and as text.
 *
 * Threads: one.
 */
#ifndef TESTS_UNIT_KEY_HELP_H
#define TESTS_UNIT_KEY_HELP_H

#include <openssl/evp.h>
#include <stddef.h>

/* The folder; group setup and teardown of cmocka make and remove it. */
extern char key_folder[];
int key_folder_make(void **state);
int key_folder_remove(void **state);

/* A file there with this text, in the place of the one before; its path stays valid. */
const char *key_file(const char *text, size_t size);
/* The public key as PEM; the caller frees it. */
char *key_pem(EVP_PKEY *key);

#endif
