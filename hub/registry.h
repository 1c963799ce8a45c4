/*
 * registry: which vehicles are registered and which are retired, the same on every hub.
 *
 * A registration or retirement is one compare-and-set of the vehicle's entry in TWIN_LAST: the
 * entry as it was, with headers that say what changed and who asked for it. Its time is the
 * broker's time of that message, so every hub draws the line at the same place in every stream.
 * Every hub follows the bucket (headers alone: the bulk of a checkpoint costs little), applies the
 * change to its twins and puts it on record under an id that derives from the message; the entry
 * keeps these headers until a hub that has done so writes it anew. So a change that is in the
 * bucket is on record, whoever is killed when. The bucket keeps one message for each key, so every
 * entry also carries the times of the changes before it, for hubs that have not seen their
 * messages.
 *
 * Retiring also writes delete markers for the vehicle's shadow keys. That is finished by whoever
 * follows, where the hub that began it died.
 *
 * Threads: one of its own; every function from any thread. Those that ask NATS wait for it, with
 * deadlines.
 */
#ifndef HUB_REGISTRY_H
#define HUB_REGISTRY_H

#include "hub/bus.h"
#include "hub/config.h"
#include "hub/recorder.h"
#include "hub/store.h"

#define REGISTRY_CHANGE_TABLE(X)                                                                   \
    X(REGISTERED, "registered")                                                                    \
    X(RETIRED, "retired")

enum registry_change {
    REGISTRY_NO_CHANGE,
#define X(id, name) REGISTRY_##id,
    REGISTRY_CHANGE_TABLE(X)
#undef X
        REGISTRY_CHANGES
};

/* ---- one message of TWIN_LAST ---- */

struct registry_entry {
    struct slice vid;
    enum registry_change change;
    uint64_t seq;
    int64_t received_ns;
    int64_t registered_ns, retired_ns; /* earlier changes */
    const char *actor, *request_id;    /* NULL: not known */
    const char *remote;                /* likewise */
};
/* Reads subject and headers; false where it is no vehicle's. Borrows from the message. */
bool registry_entry_of(const struct bus_msg *msg, struct registry_entry *entry);
/* The headers that an entry of this twin carries, behind those that `what` has already; `times`
 * outlives it. */
struct registry_times {
    char registered[TIMESTAMP_TEXT_BYTES], retired[TIMESTAMP_TEXT_BYTES];
};
void registry_times_of(const struct twin *twin, struct registry_times *times);
void registry_times_add(const struct registry_times *times, struct bus_store *what);
/* Puts the change, if it is one, on record; waits a while for room. False: try again. */
bool registry_put_record(struct recorder *recorder, int64_t epoch_ns,
                         const struct registry_entry *entry);
/* Applies the change to the twin and notes the entry's sequence. False when there is no memory.
 * With the store's lock held. */
bool registry_apply(struct store *store, struct vehicle *vehicle,
                    const struct registry_entry *entry, bool open);

/* ---- the follower ---- */

struct registry;
/* Follows TWIN_LAST behind `from`. NULL when there is no memory. */
struct registry *registry_start(const struct config *config, struct bus *bus, struct store *store,
                                struct recorder *recorder, struct position from);
/* Ends the thread, and lets nobody use the recorder any more: what is asked afterwards gets no
 * answer. Then, once nobody can ask, frees it. NULL is nothing. */
void registry_stop(struct registry *registry);
void registry_free(struct registry *registry);

/* Asks NATS for the vehicle's entry and applies what it says. False: no answer now. */
bool registry_refresh(struct registry *registry, struct slice vid);

/* The same for a lane that is about to refuse a message because its vehicle is not registered: the
 * registration may just have happened on another hub. */
enum registry_recheck {
    REGISTRY_ASKED,  /* judge again */
    REGISTRY_RECENT, /* asked within REGISTRY_RECENT_MS: the refusal stands */
    REGISTRY_SILENT, /* no answer: try the message again later */
};
enum { REGISTRY_RECENT_MS = 100 };
enum registry_recheck registry_recheck(struct registry *registry, struct slice vid);

/* The same for the archive: whether a message received then was a registered vehicle's.
 * REGISTRY_SILENT in *asked: not known now. */
bool registry_admitted(struct registry *registry, struct slice vid, int64_t received_ns,
                       enum registry_recheck *asked);

/* ---- changing it ---- */

enum registry_status {
    REGISTRY_OK,
    REGISTRY_UNCHANGED,   /* it is so already */
    REGISTRY_UNAVAILABLE, /* NATS did not answer; it may or may not have happened */
    REGISTRY_BUSY,        /* others change the same entry all the time */
    REGISTRY_FAILED,      /* refused by NATS, or no memory; the text says */
};
struct registry_request {
    enum registry_change change;
    const char *vid; /* a valid one */
    const char *actor, *request_id, *remote;
};
/* Changes it, and waits until this hub's twins show it; a retirement also until the vehicle's keys
 * are deleted. */
enum registry_status registry_write(struct registry *registry,
                                    const struct registry_request *request,
                                    struct bus_error *error);

#endif
