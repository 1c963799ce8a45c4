/*
 * registry_impl: what registry.c (one message), registry_follow.c (following the bucket) and
 * registry_write.c (changing it) share.
 */
#ifndef HUB_REGISTRY_IMPL_H
#define HUB_REGISTRY_IMPL_H

#include "hub/registry.h"

#include <pthread.h>
#include <stdatomic.h>

enum { REMOTE_MAX_BYTES = 64 }; /* an address, as text */

#define REGISTRY_HEADER_CHANGE "Fleet-Change"
#define REGISTRY_HEADER_ACTOR "Fleet-Actor"
#define REGISTRY_HEADER_REQUEST "Fleet-Request-Id"
#define REGISTRY_HEADER_REMOTE "Fleet-Remote"
#define REGISTRY_HEADER_REGISTERED "Fleet-Registered-At"
#define REGISTRY_HEADER_RETIRED "Fleet-Retired-At"

enum { REGISTRY_ASKED_MAX = 1024 }; /* places for vehicles that were asked for lately */

/* A vehicle whose keys may have been left behind. */
struct sweep {
    struct sweep *next;
    int64_t due_ms, retired_ns;
    char vid[TOKEN_MAX_BYTES + 1];
};

struct registry {
    const struct config *config;
    bool open; /* the admission */
    struct bus *bus;
    struct store *store;
    struct recorder *recorder;

    /* the thread's; epoch_ns is read by others */
    struct bus_consumer *consumer;
    _Atomic int64_t epoch_ns;
    uint64_t next_seq;
    struct sweep *sweeps, **sweeps_end;
    _Atomic bool stop;
    _Atomic int users; /* inside registry_refresh */
    pthread_t thread;

    pthread_mutex_t lock;
    struct asked {
        uint64_t hash;
        int64_t at_ms;
    } asked[REGISTRY_ASKED_MAX];
};

const char *registry_change_name(enum registry_change change);
enum registry_change registry_change_of(const char *name);

/* Records and applies one message. False: try again. */
bool registry_take(struct registry *registry, const struct registry_entry *entry);
/* The same for what a vehicle's last entry says. */
bool registry_take_stored(struct registry *registry, struct slice vid,
                          const struct bus_stored *stored);

/* Writes a delete marker over each of the vehicle's shadow keys whose last value was received by
 * `retired_ns`. *last_seq: of the last marker, 0 for none. */
enum bus_status registry_delete_keys(struct registry *registry, const char *vid, int64_t retired_ns,
                                     uint64_t *last_seq, struct bus_error *error);

#endif
