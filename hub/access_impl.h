/*
 * access_impl: what access.c (who calls), access_follow.c (the bucket) and access_write.c share.
 */
#ifndef HUB_ACCESS_IMPL_H
#define HUB_ACCESS_IMPL_H

#include "hub/access.h"
#include "hub/streams.h"

#include <pthread.h>
#include <stdatomic.h>

#define ACCESS_HEADER_ACTOR "Fleet-Actor"
#define ACCESS_HEADER_REQUEST "Fleet-Request-Id"
#define ACCESS_HEADER_REMOTE "Fleet-Remote"

enum {
    ACCESS_CACHE_SLOTS = 4096, /* of bearers that were seen lately */
    ACCESS_RATE_SLOTS = 16384, /* of principals that called within the minute */
};

struct access_cached {
    uint8_t digest[RECORD_HASH_BYTES]; /* of the bearer */
    struct principal *principal;
    uint64_t version;
};

/* The issuers that are believed. Others that took their place lie in front of them, because
 * somebody may still be reading; they are freed at the end. */
struct access_issuers {
    struct access_issuers *past;
    size_t count;
    struct jwt_issuer issuers[];
};

struct access_bucket {
    uint64_t key;
    double left;
    int64_t seen_ms;
};

struct access_watch {
    struct principal *principal;
    int64_t next_ns;
    void (*cut)(void *closure);
    void *closure;
    struct access_watch *next, **here; /* in access->watches */
};

struct access {
    const struct config *config;
    struct bus *bus;
    struct recorder *recorder;
    _Atomic(struct access_issuers *) issuers;
    uint64_t trust; /* the last number that an issuer was given; of who reads the configuration */

    pthread_mutex_t lock; /* of what follows; never held while something waits */
    struct access_set set;
    uint64_t version; /* grows with every change of the set */
    struct access_watch *watches;
    struct access_cached cache[ACCESS_CACHE_SLOTS];
    struct access_bucket buckets[ACCESS_RATE_SLOTS];

    /* the thread's */
    struct bus_consumer *consumer;
    struct doc_parser *parser;
    struct position position, vouched;
    int64_t looked_ms;
    _Atomic uint64_t applied_seq;
    _Atomic bool stop, recovered;
    bool running;
    pthread_t thread;
};

/* `$KV.TWIN_ACCESS.auth.token.<id>`. Returns `out`. */
const char *access_subject(enum access_kind kind, const char *id, char out[STREAMS_SUBJECT_BYTES]);
/* Tells the watches whose principal is not what it was. With the lock held. */
void access_judge_watches(struct access *access, int64_t now_ns, bool changed);
/* The thread that follows the bucket. */
void *access_run(void *closure);

#endif
