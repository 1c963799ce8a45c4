#include "tests/unit/key_help.h"

#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

char key_folder[] = "/tmp/fleethub-key-XXXXXX";
static char path[sizeof key_folder + 8];

int key_folder_make(void **state)
{
    (void)state;
    if (!mkdtemp(key_folder))
        return -1;
    snprintf(path, sizeof path, "%s/key", key_folder);
    return 0;
}

int key_folder_remove(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(key_folder);
}

const char *key_file(const char *text, size_t size)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

char *key_pem(EVP_PKEY *key)
{
    char *bytes;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    long size = BIO_get_mem_data(bio, &bytes);
    char *text = strndup(bytes, (size_t)size);
    BIO_free(bio);
    return text;
}
