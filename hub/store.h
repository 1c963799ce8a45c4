/*
 * store: all twins of the region, in memory.
 *
 * Readers take no lock: between store_enter and store_leave they follow pointers to immutable twins
 * and find each vehicle's newest. Writers (the lanes) hold the store's one write lock for each
 * change, make a new twin and put it in place of the old one, which is freed when its last reader
 * has left (hub/epoch.h).
 *
 * Vehicles are never removed from memory, a retired one is only not visible; their order is the
 * order of their appearance, so an index names a vehicle for the life of the process.
 *
 * Positions: how far each stream has been applied. A position is published after the twin it made,
 * so a reader that takes the position first finds at least what it says.
 *
 * Changes: every put is numbered, and the vehicles of the last STORE_LOG of them stand in a ring
 * that followers read without a lock. A put is in the ring before its message's position is
 * published. A follower that fell behind the ring finds what changed by store_changed.
 */
#ifndef HUB_STORE_H
#define HUB_STORE_H

#include "hub/metrics.h"
#include "twin/twin.h"

#include <stdatomic.h>

struct store;

struct vehicle {
    _Atomic(struct twin *) *twin; /* the store's; never NULL once the vehicle can be found */
    uint32_t index;
    _Atomic uint64_t changed; /* the number of the last put; written under the write lock */
    /* The last sequence of each stream that was about this vehicle, as far as this hub has read it
     * since it started; 0: none. Noted before the put that it led to. */
    _Atomic uint64_t heard[STREAM_LABELS];
    /* under the write lock: */
    uint64_t persisted;   /* the value of `changed` that TWIN_LAST holds */
    uint64_t last_kv_seq; /* sequence of the vehicle's entry in TWIN_LAST, 0 for none */
    char vid[];
};

struct store *store_new(void);
void store_free(struct store *store);

/* ---- reading, any thread ---- */

size_t store_enter(struct store *store);
void store_leave(struct store *store, size_t place);
/* How many vehicles there are; store_at(0 … count-1) are all valid. */
uint32_t store_count(const struct store *store);
const struct twin *store_at(const struct store *store, uint32_t index);
/* store_at of those from `first` up to `end`, for looking at many, when waiting for memory is most
 * of what it costs: all of the twins are on their way. */
void store_batch(const struct store *store, uint32_t first, uint32_t end,
                 const struct twin **twins);
/* The newest twin of a vehicle, visible or not; NULL where the id is unknown. */
const struct twin *store_find(const struct store *store, const char *vid);
/* The same, and the number of a put that the twin is not older than. No two puts of all vehicles
 * share one; 0 before the vehicle's first. */
const struct twin *store_find_put(const struct store *store, const char *vid, uint64_t *put);

/* ---- positions ---- */

struct position {
    int64_t epoch_ns;    /* the stream's creation; 0: nothing known yet */
    uint64_t seq;        /* the last applied */
    int64_t received_ns; /* its broker time, 0 where not known: tells a lost tail (hub/bus.h) */
};
struct position store_position(const struct store *store, enum stream_label stream);
/* Where the positions of a stream may be compared, and where not. A stream that lost its tail and
 * was written on has two messages of one sequence: those that were received before `fork` and stand
 * at its sequence or behind are gone. seq 0: there was none that this hub knows of. */
struct position store_fork(const struct store *store, enum stream_label stream);
/* Where reading began: of what came up to there no vehicle's `heard` tells. `anew`: the stream
 * began anew while the hub was running, so that they may tell of what is gone. */
struct store_base {
    struct position position;
    bool anew;
};
struct store_base store_base(const struct store *store, enum stream_label stream);
/* The newest broker time among what was applied; TIMESTAMP_NONE before anything was. */
int64_t store_broker_time(const struct store *store);

/* ---- following the changes, any thread ---- */

enum { STORE_LOG = 1 << 16 };

/* The number of the last put. */
uint64_t store_changes(const struct store *store);
/* The vehicle's index of each put from `after` + 1 on, `max` at most, and how many. False where the
 * ring does not hold all of them any more. */
bool store_log(const struct store *store, uint64_t after, uint32_t *indices, size_t max,
               size_t *count);
/* The number of a vehicle's last put, 0 before the first. */
uint64_t store_changed(const struct store *store, uint32_t index);
/* The last sequence of a stream that was about the vehicle, see struct vehicle. */
uint64_t store_heard(const struct store *store, uint32_t index, enum stream_label stream);
/* Behind which sequence of the stream the hub knows of nothing that it accepted of the vehicle; one
 * that it does not know either may be anywhere up to where reading began. */
uint64_t store_heard_until(const struct store *store, const char *vid, enum stream_label stream);

/* Time that passes changes presence without a message: at `swept_ns` of the broker's time every
 * vehicle had been judged, silence counting from `hearing_ns`. swept_ns TIMESTAMP_NONE: never, or
 * it is being written. */
struct store_sweep {
    int64_t hearing_ns, swept_ns;
};
struct store_sweep store_sweep(const struct store *store);
/* By the presence lane alone. */
void store_set_sweep(struct store *store, struct store_sweep sweep);

/* What a follower that sleeps is woken by. It arms its bell, looks once more whether there is
 * something to do, and sleeps on the eventfd; the next writer that finds the bell armed writes to
 * it. A bell that is not armed costs the writer one load. */
enum store_bell { BELL_CHANGE, BELL_POSITION, BELLS };
/* Before anything arms it. */
void store_bell_set(struct store *store, enum store_bell bell, int event_fd);
void store_bell_arm(struct store *store, enum store_bell bell);

/* What made the fold pause longest: a wait for the lock, or one step of freeing what was replaced.
 * A query takes no lock; what it holds on to by reading long is freed later, a step at a time. */
int64_t store_longest_pause_ns(const struct store *store);

/* ---- writing, with the lock held ---- */

void store_lock(struct store *store);
/* The same for the fold, which others let go first: how long it waits all the same is measured. */
void store_lock_fold(struct store *store);
void store_unlock(struct store *store);
/* The vehicle, made if it is new (then with an empty twin). NULL when there is no memory. */
struct vehicle *store_vehicle(struct store *store, const char *vid, size_t vid_size);
/* The vehicle where it is known, else NULL. */
struct vehicle *store_lookup(struct store *store, const char *vid, size_t vid_size);
struct vehicle *store_vehicle_at(struct store *store, uint32_t index);
struct twin *store_current(struct vehicle *vehicle);
/* What is about to be put comes from this message; the put follows. */
void store_hear(struct vehicle *vehicle, enum stream_label stream, uint64_t seq);
/* Puts `twin` in place; the old struct is retired. Parts that the new one does not have any more
 * are retired by the caller, afterwards, with store_retire. */
void store_put(struct store *store, struct vehicle *vehicle, struct twin *twin);
void store_retire(struct store *store, const void *block);
/* Sets a stream's position without a message having been applied: at the start, or when the stream
 * begins anew. */
void store_reposition(struct store *store, enum stream_label stream, struct position position);
/* Moves a stream's position, and the broker's time, after the twin was put. */
void store_advance(struct store *store, enum stream_label stream, struct position position);

#endif
