#include "hub/workers.h"

#include "hub/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

/* Who asked, and when last. */
struct asker {
    uint64_t owner;
    int64_t at_ms; /* 0: never */
};

struct workers {
    pthread_mutex_t lock;     /* guards all below */
    pthread_cond_t work;      /* a job waits, or the pool is stopping */
    pthread_cond_t ended;     /* a thread has left */
    struct worker_job *first; /* by round, then as they came */
    uint64_t round;           /* of the job that was taken last */
    size_t waiting, queue_max;
    unsigned running, alive, started;
    struct asker newest, other;               /* the two who asked last */
    uint64_t running_of[WORKERS_MAX_THREADS]; /* the owner whose job a thread runs */
    bool runs[WORKERS_MAX_THREADS];
    bool stopping;
    unsigned thread_count;
    pthread_t threads[WORKERS_MAX_THREADS];
};

static void note_asker(struct workers *workers, uint64_t owner)
{
    if (workers->newest.owner != owner)
        workers->other = workers->newest;
    workers->newest = (struct asker){owner, clock_mono_ms()};
}

/* Whether the idle thread is the last one, all the others are at the owner's jobs, and somebody
 * else has asked lately. */
static bool keeps_idle(const struct workers *workers, uint64_t owner)
{
    if (workers->thread_count < 2 || workers->running + 1 < workers->thread_count)
        return false;
    for (unsigned i = 0; i < workers->thread_count; i++)
        if (workers->runs[i] && workers->running_of[i] != owner)
            return false;
    int64_t at_ms = workers->newest.owner == owner ? workers->other.at_ms : workers->newest.at_ms;
    return at_ms > 0 && clock_mono_ms() - at_ms < WORKERS_LATELY_MS;
}

/* The first that may run now; NULL where there is none. */
static struct worker_job *take_job(struct workers *workers)
{
    struct worker_job **at = &workers->first;
    while (*at && keeps_idle(workers, (*at)->owner))
        at = &(*at)->next;
    struct worker_job *job = *at;
    if (!job)
        return NULL;
    *at = job->next;
    workers->round = job->round > workers->round ? job->round : workers->round;
    workers->waiting--;
    return job;
}

static void *work(void *argument)
{
    struct workers *workers = argument;
    pthread_mutex_lock(&workers->lock);
    unsigned self = workers->started++;
    while (!workers->stopping) {
        struct worker_job *job = take_job(workers);
        if (!job) {
            pthread_cond_wait(&workers->work, &workers->lock);
            continue;
        }
        workers->running++;
        workers->runs[self] = true;
        workers->running_of[self] = job->owner;
        pthread_mutex_unlock(&workers->lock);
        job->run(job);
        pthread_mutex_lock(&workers->lock);
        workers->runs[self] = false;
        workers->running--;
    }
    workers->alive--;
    pthread_cond_signal(&workers->ended);
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

static bool start_threads(struct workers *workers, unsigned threads)
{
    sigset_t all, before;
    sigfillset(&all); /* signals belong to the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&workers->lock);
    while (workers->thread_count < threads &&
           pthread_create(&workers->threads[workers->thread_count], NULL, work, workers) == 0) {
        pthread_setname_np(workers->threads[workers->thread_count++], "http-worker");
        workers->alive++;
    }
    pthread_mutex_unlock(&workers->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return workers->thread_count == threads;
}

struct workers *workers_new(unsigned threads, size_t queue_max)
{
    struct workers *workers = calloc(1, sizeof *workers);
    if (!workers)
        return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work, NULL);
    pthread_cond_init(&workers->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    workers->queue_max = queue_max;
    if (threads == 0)
        threads = 1;
    if (!start_threads(workers, threads < WORKERS_MAX_THREADS ? threads : WORKERS_MAX_THREADS)) {
        workers_stop(workers, 0);
        workers_free(workers);
        return NULL;
    }
    return workers;
}

/* Each job of an owner is of a later round than the one before it; a newcomer's is of the present
 * one. How many of the owner's wait already. */
static size_t find_round(const struct workers *workers, struct worker_job *job)
{
    size_t waiting = 0;
    job->round = workers->round;
    for (const struct worker_job *at = workers->first; at; at = at->next)
        if (at->owner == job->owner) {
            waiting++;
            job->round = at->round + 1;
        }
    return waiting;
}

static void insert(struct workers *workers, struct worker_job *job)
{
    struct worker_job **at = &workers->first;
    while (*at && (*at)->round <= job->round)
        at = &(*at)->next;
    job->next = *at;
    *at = job;
    workers->waiting++;
}

bool workers_submit(struct workers *workers, struct worker_job *job)
{
    pthread_mutex_lock(&workers->lock);
    /* A job that an idle worker is about to take does not wait. */
    size_t idle = workers->alive - workers->running;
    size_t share = job->owner ? (workers->queue_max + 1) / 2 : workers->queue_max;
    bool taken = !workers->stopping && find_round(workers, job) < share + idle &&
                 workers->waiting < workers->queue_max + idle;
    if (taken) {
        note_asker(workers, job->owner);
        insert(workers, job);
        pthread_cond_signal(&workers->work);
    }
    pthread_mutex_unlock(&workers->lock);
    return taken;
}

size_t workers_waiting(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    size_t waiting = workers->waiting;
    pthread_mutex_unlock(&workers->lock);
    return waiting;
}

static bool wait_for_threads(struct workers *workers, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    /* Idle threads leave at once, so that they are waited for whatever the time is. */
    while (workers->alive > 0) {
        if (workers->alive > workers->running)
            pthread_cond_wait(&workers->ended, &workers->lock);
        else if (pthread_cond_timedwait(&workers->ended, &workers->lock, &until) == ETIMEDOUT)
            break;
    }
    return workers->alive == 0;
}

bool workers_stop(struct workers *workers, int timeout_ms)
{
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    struct worker_job *dropped = workers->first;
    workers->first = NULL;
    workers->waiting = 0;
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->lock);
    while (dropped) {
        struct worker_job *job = dropped;
        dropped = job->next;
        job->drop(job);
    }
    pthread_mutex_lock(&workers->lock);
    bool ended = wait_for_threads(workers, timeout_ms);
    pthread_mutex_unlock(&workers->lock);
    return ended;
}

void workers_free(struct workers *workers)
{
    if (!workers)
        return;
    for (unsigned i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->ended);
    pthread_cond_destroy(&workers->work);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}
