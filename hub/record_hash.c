#include "hub/record_hash.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

enum { LEAF_PREFIX = 0x00 };

static const EVP_MD *sha256;

/* Looking an algorithm up costs more than hashing a record does. */
static void sha256_find(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

void record_sha256(const void *bytes, size_t size, uint8_t hash[RECORD_HASH_BYTES])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, sha256_find);
    /* Fails only without memory or without the algorithm: a record without its hash must not be. */
    if (!sha256 || !EVP_Digest(bytes, size, hash, NULL, sha256, NULL))
        abort();
}

bool record_hash(const struct record *record, struct buf *scratch, uint8_t hash[RECORD_HASH_BYTES])
{
    buf_reset(scratch);
    buf_addc(scratch, LEAF_PREFIX);
    record_write_public(scratch, record, false);
    if (scratch->failed)
        return false;
    record_sha256(scratch->data, scratch->size_bytes, hash);
    return true;
}
