#include "hub/record_hash.h"

#include "hub/clock.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

enum { LEAF_PREFIX = 0x00, CONTEXT_TRIES = 500, CONTEXT_PAUSE_MS = 10 };

/* One context a thread, with the algorithm found: looking it up, and making a context, both cost
 * more than hashing a node of the tree does. */
static pthread_key_t context_key;
static EVP_MD *sha256;

static void context_free(void *context)
{
    EVP_MD_CTX_free(context);
}

static void sha256_find(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!sha256 || pthread_key_create(&context_key, context_free) != 0)
        abort();
}

static EVP_MD_CTX *context_new(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context && EVP_DigestInit_ex(context, sha256, NULL) &&
        pthread_setspecific(context_key, context) == 0)
        return context;
    EVP_MD_CTX_free(context);
    return NULL;
}

static EVP_MD_CTX *context_get(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, sha256_find);
    EVP_MD_CTX *context = pthread_getspecific(context_key);
    if (context)
        return context;
    for (int tries = 0; !(context = context_new()); tries++) { /* there is no memory just now */
        if (tries == CONTEXT_TRIES)
            abort();
        clock_pause_ms(CONTEXT_PAUSE_MS);
    }
    return context;
}

void record_sha256_of(const struct slice *pieces, size_t count, uint8_t hash[RECORD_HASH_BYTES])
{
    EVP_MD_CTX *context = context_get();
    /* Fails only without memory or without the algorithm: a record without its hash must not be. */
    bool good = EVP_DigestInit_ex(context, NULL, NULL);
    for (size_t i = 0; i < count; i++)
        good = good && EVP_DigestUpdate(context, pieces[i].at, pieces[i].size);
    if (!good || !EVP_DigestFinal_ex(context, hash, NULL))
        abort();
}

void record_sha256(const void *bytes, size_t size, uint8_t hash[RECORD_HASH_BYTES])
{
    record_sha256_of(&(struct slice){bytes, size}, 1, hash);
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
