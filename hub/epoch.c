#include "hub/epoch.h"

#include "hub/clock.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    CACHE_LINE = 64,
    RECLAIM_EVERY = 256, /* retirements between two looks at the readers */
    FIRST_RETIRED = 1024,
};

struct place {
    _Alignas(
        CACHE_LINE) _Atomic uint64_t inside; /* 0: free; else the epoch its reader entered in */
};

struct retired {
    void *block;
    void (*release)(void *block);
    uint64_t epoch;
};

struct epoch {
    struct place places[EPOCH_READERS_MAX];
    _Atomic uint64_t now; /* from 1 */
    /* the writer's: a queue in order of epochs */
    struct retired *retired;
    size_t first, count, capacity;
    size_t since_reclaim;
    _Atomic int64_t longest_step_ns;
};

struct epoch *epoch_new(void)
{
    struct epoch *epoch = aligned_alloc(CACHE_LINE, sizeof *epoch);
    if (!epoch)
        return NULL;
    *epoch = (struct epoch){.now = 1, .capacity = FIRST_RETIRED};
    epoch->retired = malloc(FIRST_RETIRED * sizeof *epoch->retired);
    if (!epoch->retired) {
        free(epoch);
        return NULL;
    }
    return epoch;
}

static void release(const struct retired *retired)
{
    retired->release(retired->block);
}

void epoch_free(struct epoch *epoch)
{
    if (!epoch)
        return;
    for (size_t i = 0; i < epoch->count; i++)
        release(&epoch->retired[epoch->first + i]);
    free(epoch->retired);
    free(epoch);
}

size_t epoch_enter(struct epoch *epoch)
{
    static _Thread_local size_t hint;
    for (size_t i = hint;; i = (i + 1) % EPOCH_READERS_MAX) {
        uint64_t none = 0;
        /* An epoch that is old by the time it is announced only makes the writer wait longer. */
        if (atomic_compare_exchange_strong(&epoch->places[i].inside, &none,
                                           atomic_load(&epoch->now))) {
            hint = i;
            return i;
        }
        if (i == (hint + EPOCH_READERS_MAX - 1) % EPOCH_READERS_MAX)
            sched_yield();
    }
}

void epoch_leave(struct epoch *epoch, size_t place)
{
    atomic_store(&epoch->places[place].inside, 0);
}

static void move_to_front(struct epoch *epoch)
{
    for (size_t i = 0; i < epoch->count; i++)
        epoch->retired[i] = epoch->retired[epoch->first + i];
    epoch->first = 0;
}

/* Room for one more at the end of the queue. */
static int make_room(struct epoch *epoch)
{
    if (epoch->first + epoch->count < epoch->capacity)
        return 1;
    if (epoch->first > epoch->capacity / 2) {
        move_to_front(epoch);
        return 1;
    }
    size_t capacity = epoch->capacity * 2;
    struct retired *retired = realloc(epoch->retired, capacity * sizeof *retired);
    if (retired) {
        epoch->retired = retired;
        epoch->capacity = capacity;
    } else if (epoch->first > 0) { /* no memory: what little room there is at the front */
        move_to_front(epoch);
    }
    return epoch->first + epoch->count < epoch->capacity;
}

void epoch_retire(struct epoch *epoch, const void *block)
{
    epoch_retire_by(epoch, (void *)(uintptr_t)block, free);
}

/* Frees what nobody can be reading any more, `max` blocks at most. */
static void reclaim(struct epoch *epoch, size_t max)
{
    uint64_t oldest = UINT64_MAX;
    epoch->since_reclaim = 0;
    for (size_t i = 0; i < EPOCH_READERS_MAX; i++) {
        uint64_t inside = atomic_load(&epoch->places[i].inside);
        if (inside != 0 && inside < oldest)
            oldest = inside;
    }
    for (size_t i = 0; i < max && epoch->count > 0 && epoch->retired[epoch->first].epoch < oldest;
         i++) {
        release(&epoch->retired[epoch->first]);
        epoch->first++;
        epoch->count--;
    }
    if (epoch->count == 0)
        epoch->first = 0;
}

static void reclaim_step(struct epoch *epoch)
{
    int64_t began_ns = clock_mono_ns();
    reclaim(epoch, EPOCH_STEP_MAX);
    int64_t took_ns = clock_mono_ns() - began_ns;
    if (took_ns > atomic_load_explicit(&epoch->longest_step_ns, memory_order_relaxed))
        atomic_store_explicit(&epoch->longest_step_ns, took_ns, memory_order_relaxed);
}

void epoch_retire_by(struct epoch *epoch, void *block, void (*release_block)(void *block))
{
    if (!block)
        return;
    while (!make_room(epoch)) { /* no memory: wait for readers to leave, which they do soon */
        epoch_reclaim(epoch);
        sched_yield();
    }
    /* The block was unlinked before: a reader that enters from now on, in a later epoch, cannot
     * find it. */
    epoch->retired[epoch->first + epoch->count++] =
        (struct retired){block, release_block, atomic_fetch_add(&epoch->now, 1)};
    if (++epoch->since_reclaim >= RECLAIM_EVERY)
        reclaim_step(epoch);
}

void epoch_reclaim(struct epoch *epoch)
{
    reclaim(epoch, SIZE_MAX);
}

int64_t epoch_longest_step_ns(const struct epoch *epoch)
{
    return atomic_load_explicit(&epoch->longest_step_ns, memory_order_relaxed);
}
size_t epoch_retired(const struct epoch *epoch)
{
    return epoch->count;
}
