/*
 * workers: a pool of threads with a bounded queue, for what must not block an event thread.
 *
 * Jobs have owners, who take turns: whoever has many jobs waiting keeps another's one waiting for
 * one of them, and not for all. No owner has more than half of the queue, nor the last idle thread
 * while another has asked lately (WORKERS_LATELY_MS): that one finds it idle.
 *
 * Ownership: a job is a member of something of the submitter's, which lives until `run` or `drop`
 *            was called; exactly one of them is, for every job taken.
 * Threads: workers_submit may be called by any thread, workers_stop by one at a time. `run` is
 *          called on a worker, `drop` by workers_stop.
 */
#ifndef HUB_WORKERS_H
#define HUB_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct workers;

struct worker_job {
    void (*run)(struct worker_job *job);
    void (*drop)(struct worker_job *job); /* it will not run: the pool is stopping */
    uint64_t owner;                       /* 0: nobody's; they take their turns as one */
    uint64_t round;                       /* the pool's */
    struct worker_job *next;              /* the pool's */
};

enum { WORKERS_MAX_THREADS = 64, WORKERS_LATELY_MS = 10000 };

/* At least one thread; `queue_max` jobs may wait beside those that run. NULL when the threads
 * cannot be made. */
struct workers *workers_new(unsigned threads, size_t queue_max);
/* False, and the job not taken, when the queue, or its owner's half, is full or the pool is
 * stopping. */
bool workers_submit(struct workers *workers, struct worker_job *job);
/* How many jobs wait. */
size_t workers_waiting(struct workers *workers);
/* Takes no more jobs, drops those that wait and gives those that run timeout_ms. False when one
 * still runs; call again. Submitting stays allowed, and is refused, until the pool is freed. */
bool workers_stop(struct workers *workers, int timeout_ms);
/* Only after workers_stop was true. */
void workers_free(struct workers *workers);

#endif
