#include "hub/store.h"

#include "hub/clock.h"
#include "hub/epoch.h"
#include "twin/hash.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK_VEHICLES = 1024,
    CHUNKS_MAX = 4096, /* four million vehicles */
    FIRST_BUCKETS = 1024,
    YIELDS_MAX = 1000, /* of a lane to the fold; it goes on then, whatever keeps the fold */
};

/* An open-addressed table of vehicles by id. It only grows; a larger one replaces it. */
struct table {
    size_t mask;
    _Atomic(struct vehicle *) buckets[];
};

/* A position that others read while it is written. */
struct published {
    _Atomic uint32_t version; /* odd while the writer is at it */
    _Atomic int64_t epoch_ns;
    _Atomic uint64_t seq;
    _Atomic int64_t received_ns;
};

/* Vehicles by their index. Twins lie side by side: who looks at the whole fleet needs no vehicle.
 */
struct chunk {
    _Atomic(struct twin *) twins[CHUNK_VEHICLES];
    _Atomic(struct vehicle *) vehicles[CHUNK_VEHICLES];
};

struct store {
    struct epoch *epoch;
    _Atomic(struct table *) table;
    _Atomic(struct chunk *) chunks[CHUNKS_MAX];
    _Atomic uint32_t count;
    pthread_mutex_t lock;
    _Atomic int folds_waiting;
    _Atomic int64_t longest_wait_ns;
    _Atomic uint64_t changes;
    _Atomic uint32_t log[STORE_LOG]; /* the vehicle of put n at n % STORE_LOG */
    struct published positions[STREAM_LABELS], forks[STREAM_LABELS], bases[STREAM_LABELS];
    int64_t lost_after_ns[STREAM_LABELS]; /* the tail of the stream, 0: it is whole */
    _Atomic bool anew[STREAM_LABELS];
    _Atomic int64_t broker_time_ns;
    _Atomic int64_t hearing_ns, swept_ns;
    _Atomic unsigned armed; /* a set of 1 << enum store_bell */
    int bell_fds[BELLS];
};

static struct table *table_new(size_t buckets)
{
    struct table *table = calloc(1, sizeof *table + buckets * sizeof *table->buckets);
    if (table)
        table->mask = buckets - 1;
    return table;
}

struct store *store_new(void)
{
    struct store *store = calloc(1, sizeof *store);
    if (!store)
        return NULL;
    store->epoch = epoch_new();
    atomic_store(&store->table, table_new(FIRST_BUCKETS));
    atomic_store(&store->broker_time_ns, TIMESTAMP_NONE);
    atomic_store(&store->hearing_ns, TIMESTAMP_NONE);
    atomic_store(&store->swept_ns, TIMESTAMP_NONE);
    for (int i = 0; i < BELLS; i++)
        store->bell_fds[i] = -1;
    pthread_mutex_init(&store->lock, NULL);
    if (!store->epoch || !atomic_load(&store->table)) {
        store_free(store);
        return NULL;
    }
    return store;
}

static void vehicle_free(struct vehicle *vehicle)
{
    struct twin *twin = atomic_load(vehicle->twin);
    if (twin) {
        for (size_t i = 0; i < twin->state_count; i++)
            free((void *)(uintptr_t)twin->states[i]);
        for (size_t i = 0; i < PART_COUNT; i++)
            free((void *)(uintptr_t)twin->parts[i]);
        free((void *)(uintptr_t)twin->delta);
        free(twin);
    }
    free(vehicle);
}

void store_free(struct store *store)
{
    if (!store)
        return;
    uint32_t count = atomic_load(&store->count);
    for (uint32_t i = 0; i < count; i++)
        vehicle_free(store_vehicle_at(store, i));
    for (size_t i = 0; i < CHUNKS_MAX; i++)
        free(atomic_load(&store->chunks[i]));
    free(atomic_load(&store->table));
    epoch_free(store->epoch);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

/* ---- reading ---- */

size_t store_enter(struct store *store)
{
    return epoch_enter(store->epoch);
}

void store_leave(struct store *store, size_t place)
{
    epoch_leave(store->epoch, place);
}

uint32_t store_count(const struct store *store)
{
    return atomic_load(&store->count);
}

static struct vehicle *vehicle_at(const struct store *store, uint32_t index)
{
    struct chunk *chunk = atomic_load(&store->chunks[index / CHUNK_VEHICLES]);
    return atomic_load(&chunk->vehicles[index % CHUNK_VEHICLES]);
}

const struct twin *store_at(const struct store *store, uint32_t index)
{
    struct chunk *chunk = atomic_load(&store->chunks[index / CHUNK_VEHICLES]);
    return atomic_load(&chunk->twins[index % CHUNK_VEHICLES]);
}

void store_batch(const struct store *store, uint32_t first, uint32_t end, const struct twin **twins)
{
    for (uint32_t i = first; i < end; i++) {
        const struct twin *twin = store_at(store, i);
        const char *hot = (const char *)&twin->vid;
        __builtin_prefetch(hot);
        __builtin_prefetch(hot + TWIN_HOT_BYTES - 1);
        twins[i - first] = twin;
    }
}

static struct vehicle *find(const struct store *store, const char *vid, size_t size)
{
    struct table *table = atomic_load(&store->table);
    for (size_t i = hash_slot(hash_of(vid, size));; i++) {
        struct vehicle *vehicle = atomic_load(&table->buckets[i & table->mask]);
        if (!vehicle || (strncmp(vehicle->vid, vid, size) == 0 && vehicle->vid[size] == '\0'))
            return vehicle;
    }
}

const struct twin *store_find_put(const struct store *store, const char *vid, uint64_t *put)
{
    size_t size = strlen(vid);
    struct vehicle *vehicle = size <= TOKEN_MAX_BYTES ? find(store, vid, size) : NULL;
    if (!vehicle)
        return NULL;
    *put = atomic_load(&vehicle->changed); /* before the twin, which is put in place first */
    return atomic_load(vehicle->twin);
}

const struct twin *store_find(const struct store *store, const char *vid)
{
    uint64_t put;
    return store_find_put(store, vid, &put);
}

/* ---- positions ---- */

static struct position published_read(const struct published *published)
{
    struct position position;
    uint32_t version;
    do { /* read until it stood still around the three */
        version = atomic_load(&published->version);
        position.epoch_ns = atomic_load(&published->epoch_ns);
        position.seq = atomic_load(&published->seq);
        position.received_ns = atomic_load(&published->received_ns);
    } while (version % 2 != 0 || version != atomic_load(&published->version));
    return position;
}

static void published_write(struct published *published, struct position position)
{
    /* Release order is enough on the way in: a reader that sees the new version sees the rest. */
    atomic_fetch_add(&published->version, 1);
    atomic_store_explicit(&published->epoch_ns, position.epoch_ns, memory_order_release);
    atomic_store_explicit(&published->seq, position.seq, memory_order_release);
    atomic_store_explicit(&published->received_ns, position.received_ns, memory_order_release);
    atomic_fetch_add(&published->version, 1);
}

struct position store_position(const struct store *store, enum stream_label stream)
{
    return published_read(&store->positions[stream]);
}

struct position store_fork(const struct store *store, enum stream_label stream)
{
    return published_read(&store->forks[stream]);
}

struct store_base store_base(const struct store *store, enum stream_label stream)
{
    return (struct store_base){published_read(&store->bases[stream]),
                               atomic_load(&store->anew[stream])};
}

int64_t store_broker_time(const struct store *store)
{
    return atomic_load(&store->broker_time_ns);
}

static void ring(struct store *store, enum store_bell bell)
{
    unsigned bit = 1u << bell;
    if (!(atomic_load(&store->armed) & bit) || !(atomic_fetch_and(&store->armed, ~bit) & bit))
        return;
    uint64_t one = 1;
    if (write(store->bell_fds[bell], &one, sizeof one) != sizeof one)
        abort(); /* an eventfd takes one */
}

/* What was heard of a stream that is no more, or of its lost tail, counts as heard at the beginning
 * of what there is. */
static void forget_heard(struct store *store, enum stream_label stream, uint64_t seq)
{
    uint64_t most = seq > 0 ? seq : 1; /* 0: not heard by this hub */
    uint32_t count = store_count(store);
    for (uint32_t i = 0; i < count; i++) {
        _Atomic uint64_t *heard = &vehicle_at(store, i)->heard[stream];
        if (atomic_load_explicit(heard, memory_order_relaxed) > most)
            atomic_store_explicit(heard, most, memory_order_relaxed);
    }
}

void store_reposition(struct store *store, enum stream_label stream, struct position position)
{
    struct position was = store_position(store, stream);
    if (was.epoch_ns == position.epoch_ns && was.seq > position.seq)
        store->lost_after_ns[stream] = was.received_ns;
    if (was.epoch_ns != 0)
        atomic_store(&store->anew[stream], true);
    bool another = was.epoch_ns != 0 && was.epoch_ns != position.epoch_ns;
    if (stream != STREAM_RECORD &&
        (another || position.seq < was.seq)) /* no vehicle is heard there */
        forget_heard(store, stream, position.seq);
    published_write(&store->bases[stream], position);
    published_write(&store->positions[stream], position);
    ring(store, BELL_POSITION);
}

void store_advance(struct store *store, enum stream_label stream, struct position position)
{
    if (store->lost_after_ns[stream] != 0 && position.received_ns > store->lost_after_ns[stream]) {
        /* The first message behind what is left of the stream that was known. */
        published_write(&store->forks[stream], position);
        store->lost_after_ns[stream] = 0;
    }
    published_write(&store->positions[stream], position);
    if (position.received_ns > atomic_load_explicit(&store->broker_time_ns, memory_order_relaxed))
        atomic_store_explicit(&store->broker_time_ns, position.received_ns, memory_order_release);
    ring(store, BELL_POSITION);
}

/* ---- following ---- */

uint64_t store_changes(const struct store *store)
{
    return atomic_load(&store->changes);
}

bool store_log(const struct store *store, uint64_t after, uint32_t *indices, size_t max,
               size_t *count)
{
    uint64_t last = atomic_load(&store->changes);
    size_t size = last - after < max ? (size_t)(last - after) : max;
    for (size_t i = 0; i < size; i++)
        indices[i] = atomic_load(&store->log[(after + 1 + i) % STORE_LOG]);
    *count = size;
    /* Put n + STORE_LOG writes over n before it is counted. */
    return size == 0 || after + STORE_LOG > atomic_load(&store->changes);
}

uint64_t store_changed(const struct store *store, uint32_t index)
{
    return atomic_load(&vehicle_at(store, index)->changed);
}

uint64_t store_heard(const struct store *store, uint32_t index, enum stream_label stream)
{
    return atomic_load(&vehicle_at(store, index)->heard[stream]);
}

uint64_t store_heard_until(const struct store *store, const char *vid, enum stream_label stream)
{
    const struct vehicle *vehicle = find(store, vid, strlen(vid));
    uint64_t seq = vehicle ? atomic_load(&vehicle->heard[stream]) : 0;
    return seq > 0 ? seq : store_base(store, stream).position.seq;
}

struct store_sweep store_sweep(const struct store *store)
{
    struct store_sweep sweep = {.swept_ns = atomic_load(&store->swept_ns)};
    sweep.hearing_ns = atomic_load(&store->hearing_ns);
    if (atomic_load(&store->swept_ns) != sweep.swept_ns) /* each sweep has a time of its own */
        sweep.swept_ns = TIMESTAMP_NONE;
    return sweep;
}

void store_set_sweep(struct store *store, struct store_sweep sweep)
{
    atomic_store(&store->swept_ns, TIMESTAMP_NONE);
    atomic_store(&store->hearing_ns, sweep.hearing_ns);
    atomic_store(&store->swept_ns, sweep.swept_ns);
}

void store_bell_set(struct store *store, enum store_bell bell, int event_fd)
{
    store->bell_fds[bell] = event_fd;
}

void store_bell_arm(struct store *store, enum store_bell bell)
{
    atomic_fetch_or(&store->armed, 1u << bell);
}

/* ---- writing ---- */

/* A lane that goes over the fleet unlocks and locks again at once, and would have the lock back
 * before a waiting thread has woken up: all but the fold let the fold go first. */
void store_lock(struct store *store)
{
    for (int i = 0; i < YIELDS_MAX && atomic_load(&store->folds_waiting) > 0; i++)
        sched_yield();
    pthread_mutex_lock(&store->lock);
}

/* The clock is read only where there is something to measure. */
void store_lock_fold(struct store *store)
{
    if (pthread_mutex_trylock(&store->lock) == 0)
        return;
    int64_t began_ns = clock_mono_ns();
    atomic_fetch_add(&store->folds_waiting, 1);
    pthread_mutex_lock(&store->lock);
    atomic_fetch_sub(&store->folds_waiting, 1);
    int64_t waited_ns = clock_mono_ns() - began_ns;
    metrics_observe(METRIC_FOLD_WAIT, (double)waited_ns / (double)NS_PER_S);
    if (waited_ns > atomic_load_explicit(&store->longest_wait_ns, memory_order_relaxed))
        atomic_store_explicit(&store->longest_wait_ns, waited_ns, memory_order_relaxed);
}

int64_t store_longest_pause_ns(const struct store *store)
{
    int64_t wait_ns = atomic_load_explicit(&store->longest_wait_ns, memory_order_relaxed);
    int64_t step_ns = epoch_longest_step_ns(store->epoch);
    return wait_ns > step_ns ? wait_ns : step_ns;
}

void store_unlock(struct store *store)
{
    pthread_mutex_unlock(&store->lock);
}

struct vehicle *store_vehicle_at(struct store *store, uint32_t index)
{
    return vehicle_at(store, index);
}

struct twin *store_current(struct vehicle *vehicle)
{
    return atomic_load_explicit(vehicle->twin, memory_order_relaxed);
}

static void insert(struct table *table, struct vehicle *vehicle)
{
    size_t i = hash_slot(hash_of_text(vehicle->vid));
    while (atomic_load(&table->buckets[i & table->mask]))
        i++;
    atomic_store(&table->buckets[i & table->mask], vehicle);
}

/* Keeps the table at most half full. */
static bool grow(struct store *store)
{
    struct table *old = atomic_load(&store->table);
    uint32_t count = atomic_load(&store->count);
    if (count < (old->mask + 1) / 2)
        return true;
    struct table *table = table_new((old->mask + 1) * 2);
    if (!table)
        return false;
    for (uint32_t i = 0; i < count; i++)
        insert(table, vehicle_at(store, i));
    atomic_store(&store->table, table);
    epoch_retire(store->epoch, old);
    return true;
}

static bool place_in_chunk(struct store *store, struct vehicle *vehicle, struct twin *twin)
{
    size_t at = vehicle->index / CHUNK_VEHICLES;
    if (at >= CHUNKS_MAX)
        return false;
    struct chunk *chunk = atomic_load(&store->chunks[at]);
    if (!chunk) {
        chunk = calloc(1, sizeof *chunk);
        if (!chunk)
            return false;
        atomic_store(&store->chunks[at], chunk);
    }
    vehicle->twin = &chunk->twins[vehicle->index % CHUNK_VEHICLES];
    atomic_store(vehicle->twin, twin);
    atomic_store(&chunk->vehicles[vehicle->index % CHUNK_VEHICLES], vehicle);
    return true;
}

struct vehicle *store_vehicle(struct store *store, const char *vid, size_t vid_size)
{
    struct vehicle *vehicle = find(store, vid, vid_size);
    if (vehicle || !grow(store))
        return vehicle;
    vehicle = calloc(1, sizeof *vehicle + vid_size + 1);
    if (!vehicle)
        return NULL;
    memcpy(vehicle->vid, vid, vid_size);
    vehicle->index = atomic_load(&store->count);
    struct twin *twin = twin_new(vehicle->vid);
    if (!twin || !place_in_chunk(store, vehicle, twin)) {
        free(twin);
        free(vehicle);
        return NULL;
    }
    insert(atomic_load(&store->table), vehicle);
    atomic_store(&store->count, vehicle->index + 1);
    return vehicle;
}

struct vehicle *store_lookup(struct store *store, const char *vid, size_t vid_size)
{
    return find(store, vid, vid_size);
}

void store_hear(struct vehicle *vehicle, enum stream_label stream, uint64_t seq)
{
    atomic_store_explicit(&vehicle->heard[stream], seq, memory_order_relaxed);
}

void store_put(struct store *store, struct vehicle *vehicle, struct twin *twin)
{
    struct twin *old = atomic_exchange(vehicle->twin, twin);
    uint64_t change = atomic_load_explicit(&store->changes, memory_order_relaxed) + 1;
    atomic_store_explicit(&vehicle->changed, change, memory_order_release);
    /* Over put `change` - STORE_LOG, of which store_log must not say that it is there: who reads
     * the new entry sees at least the put before it. */
    atomic_store_explicit(&store->log[change % STORE_LOG], vehicle->index, memory_order_release);
    atomic_store(&store->changes, change);
    ring(store, BELL_CHANGE);
    epoch_retire(store->epoch, old);
}

void store_retire(struct store *store, const void *block)
{
    epoch_retire(store->epoch, block);
}
