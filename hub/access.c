#include "hub/access_impl.h"

#include "hub/clock.h"
#include "hub/metrics.h"
#include "twin/hash.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_PREFIX "fh_"

/* ---- the beginning and the end ---- */

static void free_issuers(struct access_issuers *issuers)
{
    for (struct access_issuers *past; issuers; issuers = past) {
        past = issuers->past;
        for (size_t i = 0; i < issuers->count; i++)
            jwt_key_free((struct jwt_key *)(uintptr_t)issuers->issuers[i].key);
        free(issuers);
    }
}

/* The number of the issuer that it was already, else a new one. */
static uint64_t trust_in(struct access *access, const struct jwt_issuer *issuer)
{
    const struct access_issuers *now = atomic_load(&access->issuers);
    for (size_t i = 0; now && i < now->count; i++)
        if (jwt_issuer_same(&now->issuers[i], issuer))
            return now->issuers[i].trust;
    return ++access->trust;
}

/* Puts the configuration's issuers in force. */
static bool load_issuers(struct access *access, char error[512])
{
    const struct config *config = config_now(access->config);
    size_t count = config->auth.jwt_count;
    struct access_issuers *fresh = calloc(1, sizeof *fresh + count * sizeof *fresh->issuers);
    if (!fresh) {
        snprintf(error, 512, "there is no memory");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct config_jwt *from = &config->auth.jwt[i];
        char why[256];
        struct jwt_key *key = jwt_key_load(from->key_file, from->algorithm, why);
        if (!key) {
            snprintf(error, 512, "the key of issuer %s, %s, cannot be used: %s", from->issuer,
                     from->key_file, why);
            free_issuers(fresh);
            return false;
        }
        struct jwt_issuer *issuer = &fresh->issuers[fresh->count++];
        *issuer = (struct jwt_issuer){from->issuer, from->audience, from->algorithm, key, 0};
        issuer->trust = trust_in(access, issuer);
    }
    fresh->past = atomic_load(&access->issuers);
    atomic_store(&access->issuers, fresh);
    return true;
}

bool access_reload(struct access *access, char error[512])
{
    if (!load_issuers(access, error))
        return false;
    pthread_mutex_lock(&access->lock);
    access->version++; /* whoever was known by an issuer that is gone is known no more */
    access_judge_watches(access, clock_wall_ns(), true);
    pthread_mutex_unlock(&access->lock);
    return true;
}

struct access *access_new(const struct config *config, struct bus *bus, char error[512])
{
    struct access *access = calloc(1, sizeof *access);
    if (!access) {
        snprintf(error, 512, "there is no memory");
        return NULL;
    }
    access->config = config;
    access->bus = bus;
    access->parser = doc_parser_new();
    pthread_mutex_init(&access->lock, NULL);
    if (access->parser && load_issuers(access, error))
        return access;
    access_free(access);
    return NULL;
}

bool access_start(struct access *access, struct recorder *recorder, struct position vouched)
{
    access->recorder = recorder;
    access->vouched = vouched;
    access->running = pthread_create(&access->thread, NULL, access_run, access) == 0;
    return access->running;
}

bool access_recovered(struct access *access)
{
    return atomic_load(&access->recovered);
}

void access_stop(struct access *access)
{
    atomic_store(&access->stop, true);
    if (access->running)
        pthread_join(access->thread, NULL);
    access->running = false;
}

void access_free(struct access *access)
{
    if (!access)
        return;
    access_stop(access);
    for (size_t i = 0; i < ACCESS_CACHE_SLOTS; i++)
        principal_unref(access->cache[i].principal);
    free_issuers(atomic_load(&access->issuers));
    access_set_done(&access->set);
    doc_parser_free(access->parser);
    pthread_mutex_destroy(&access->lock);
    free(access);
}

/* ---- who calls ---- */

static struct access_cached *slot_of(struct access *access, const uint8_t digest[RECORD_HASH_BYTES])
{
    return &access->cache[(digest[0] | (unsigned)digest[1] << 8) % ACCESS_CACHE_SLOTS];
}

static struct principal *find_cached(struct access *access, const uint8_t digest[RECORD_HASH_BYTES],
                                     int64_t now_ns)
{
    const struct access_cached *slot = slot_of(access, digest);
    if (!slot->principal || slot->version != access->version ||
        slot->principal->next_ns <= now_ns || /* not later than it expires */
        CRYPTO_memcmp(slot->digest, digest, RECORD_HASH_BYTES) != 0)
        return NULL;
    principal_ref(slot->principal);
    return slot->principal;
}

static void cache(struct access *access, const uint8_t digest[RECORD_HASH_BYTES],
                  struct principal *principal)
{
    struct access_cached *slot = slot_of(access, digest);
    principal_unref(slot->principal);
    principal_ref(principal);
    memcpy(slot->digest, digest, RECORD_HASH_BYTES);
    slot->principal = principal;
    slot->version = access->version;
}

/* Takes a token made here apart. False where it is none. */
static bool split_token(const char *bearer, char id[ACCESS_ID_BYTES], const char **secret)
{
    const char *at = bearer + strlen(TOKEN_PREFIX);
    size_t size = strcspn(at, "_");
    if (size == 0 || size >= ACCESS_ID_BYTES || at[size] == '\0')
        return false;
    memcpy(id, at, size);
    id[size] = '\0';
    *secret = at + size + 1;
    return true;
}

/* With the lock held. The same answer for an id that is not there and a secret that is wrong. */
static enum access_verdict resolve_token(struct access *access, const char *bearer, int64_t now_ns,
                                         struct principal **principal, const char **why)
{
    char id[ACCESS_ID_BYTES];
    const char *secret;
    uint8_t hash[RECORD_HASH_BYTES];
    bool known = false;
    *why = "the token is not known here, or was revoked";
    if (!split_token(bearer, id, &secret))
        return ACCESS_BAD;
    record_sha256(secret, strlen(secret), hash);
    const struct access_entry *entry = access_set_find(&access->set, ACCESS_TOKEN, id);
    if (!entry || CRYPTO_memcmp(entry->secret_hash, hash, sizeof hash) != 0)
        return ACCESS_BAD;
    *principal = access_set_token(&access->set, id, now_ns, &known);
    if (!known)
        *why = "the token has expired";
    return *principal ? ACCESS_OK : known ? ACCESS_NO_MEMORY : ACCESS_BAD;
}

enum access_verdict access_resolve(struct access *access, const char *bearer,
                                   struct principal **principal, const char **why)
{
    uint8_t digest[RECORD_HASH_BYTES];
    int64_t now_ns = clock_wall_ns();
    size_t size = strlen(bearer);
    bool own = strncmp(bearer, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) == 0;
    struct jwt_claims claims;
    enum access_verdict verdict;
    *why = "";
    if (size > JWT_MAX_BYTES) {
        *why = "the token is too long";
        return ACCESS_BAD;
    }
    record_sha256(bearer, size, digest);
    pthread_mutex_lock(&access->lock);
    *principal = find_cached(access, digest, now_ns);
    pthread_mutex_unlock(&access->lock);
    if (*principal)
        return ACCESS_OK;
    if (!own) {
        const struct access_issuers *issuers = atomic_load(&access->issuers);
        enum jwt_status status =
            jwt_verify(issuers->issuers, issuers->count, bearer, size, now_ns, &claims);
        *why = jwt_status_text(status);
        if (status != JWT_OK)
            return status == JWT_NO_MEMORY ? ACCESS_NO_MEMORY : ACCESS_BAD;
    }
    pthread_mutex_lock(&access->lock);
    /* Under the lock, and not before: a bucket that begins anew empties the set in between. */
    if (!access_recovered(access)) {
        verdict = ACCESS_STARTING;
    } else if (own) {
        verdict = resolve_token(access, bearer, now_ns, principal, why);
    } else {
        *principal = access_set_jwt(&access->set, &claims, now_ns);
        verdict = *principal ? ACCESS_OK : ACCESS_NO_MEMORY;
    }
    if (verdict == ACCESS_OK)
        cache(access, digest, *principal);
    pthread_mutex_unlock(&access->lock);
    return verdict;
}

struct principal *access_look_up(struct access *access, const char *name)
{
    bool known = false;
    struct jwt_claims claims = {.role = ROLE_NONE, .expires_ns = RIGHTS_FOREVER};
    pthread_mutex_lock(&access->lock);
    struct principal *principal = access_set_token(&access->set, name, clock_wall_ns(), &known);
    if (!known && strlen(name) < sizeof claims.principal &&
        access_set_grants_to(&access->set, name) > 0) {
        strcpy(claims.principal, name);
        principal = access_set_jwt(&access->set, &claims, clock_wall_ns());
    }
    pthread_mutex_unlock(&access->lock);
    return principal;
}

/* ---- watching ---- */

struct access_watch *access_watch(struct access *access, struct principal *principal,
                                  void (*cut)(void *closure), void *closure)
{
    struct access_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    principal_ref(principal);
    *watch = (struct access_watch){.principal = principal, .cut = cut, .closure = closure};
    pthread_mutex_lock(&access->lock);
    /* Judged at the next look: what changed since the request was let in is not missed. */
    watch->here = &access->watches;
    watch->next = access->watches;
    if (watch->next)
        watch->next->here = &watch->next;
    access->watches = watch;
    pthread_mutex_unlock(&access->lock);
    return watch;
}

void access_unwatch(struct access *access, struct access_watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&access->lock);
    *watch->here = watch->next;
    if (watch->next)
        watch->next->here = watch->here;
    pthread_mutex_unlock(&access->lock);
    principal_unref(watch->principal);
    free(watch);
}

/* Whether the issuer by which the principal was let in is still in force, with the same key. */
static bool is_believed(const struct access *access, const struct principal *principal)
{
    const struct access_issuers *issuers = atomic_load(&access->issuers);
    for (size_t i = 0; i < issuers->count; i++)
        if (issuers->issuers[i].trust == principal->jwt_trust)
            return true;
    return false;
}

/* What the same principal may do now; NULL where it is no more, or there is no memory to tell. */
static struct principal *made_anew(const struct access *access, const struct principal *was,
                                   int64_t now_ns)
{
    bool known;
    struct jwt_claims claims = {
        .role = was->jwt_role, .expires_ns = was->expires_ns, .trust = was->jwt_trust};
    if (!was->is_jwt)
        return access_set_token(&access->set, was->name, now_ns, &known);
    if (was->expires_ns <= now_ns || !is_believed(access, was))
        return NULL;
    snprintf(claims.principal, sizeof claims.principal, "%s", was->name);
    return access_set_jwt(&access->set, &claims, now_ns);
}

void access_judge_watches(struct access *access, int64_t now_ns, bool changed)
{
    for (struct access_watch *watch = access->watches; watch; watch = watch->next) {
        if (!watch->cut || (!changed && watch->next_ns > now_ns))
            continue;
        struct principal *now = made_anew(access, watch->principal, now_ns);
        if (now && principal_same(now, watch->principal)) {
            watch->next_ns = now->next_ns;
        } else {
            watch->cut(watch->closure);
            watch->cut = NULL;
        }
        principal_unref(now);
    }
}

/* ---- rate ---- */

enum { MINUTE_MS = 60000 };

/* A bucket that refills evenly. Two principals in one slot push each other out, full again: a
 * limit against floods may err to that side. */
int access_take_request(struct access *access, const struct principal *principal)
{
    double most = config_now(access->config)->http.limits.requests_per_minute;
    uint64_t key = hash_of_text(principal->name);
    int64_t now_ms = clock_mono_ms();
    int wait_s = 0;
    pthread_mutex_lock(&access->lock);
    struct access_bucket *bucket = &access->buckets[key % ACCESS_RATE_SLOTS];
    if (bucket->key != key)
        *bucket = (struct access_bucket){key, most, now_ms};
    bucket->left += (double)(now_ms - bucket->seen_ms) * most / MINUTE_MS;
    if (bucket->left > most)
        bucket->left = most;
    bucket->seen_ms = now_ms;
    if (bucket->left >= 1)
        bucket->left -= 1;
    else
        wait_s = 1 + (int)((1 - bucket->left) * 60 / most);
    pthread_mutex_unlock(&access->lock);
    return wait_s;
}

/* ---- looking ---- */

bool access_list(struct access *access, enum access_kind kind, const char *after, size_t count,
                 const struct buf *written, access_show_fn *fn, void *closure)
{
    size_t shown = 0;
    bool more = false;
    pthread_mutex_lock(&access->lock);
    for (size_t i = 0; i < access->set.count && !more; i++) {
        const struct access_entry *entry = access->set.entries[i];
        if (entry->kind != kind || strcmp(entry->id, after) <= 0)
            continue;
        more = shown == count || (shown > 0 && written->size_bytes >= ACCESS_PAGE_BYTES);
        if (!more)
            shown += fn(closure, entry);
    }
    pthread_mutex_unlock(&access->lock);
    return more;
}

bool access_with(struct access *access, enum access_kind kind, const char *id, access_show_fn *fn,
                 void *closure)
{
    pthread_mutex_lock(&access->lock);
    const struct access_entry *entry = access_set_find(&access->set, kind, id);
    if (entry)
        fn(closure, entry);
    pthread_mutex_unlock(&access->lock);
    return entry != NULL;
}

size_t access_count(struct access *access)
{
    pthread_mutex_lock(&access->lock);
    size_t count = access->set.count;
    pthread_mutex_unlock(&access->lock);
    return count;
}
