#include "hub/http_deadline.h"

#include "hub/clock.h"
#include "hub/metrics.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

struct http_deadlines {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    bool stop;
    struct http_deadline *first;
};

/* What was not taken yet is dropped: else the system would keep it for a client that takes it byte
 * by byte. */
static void cut(int socket)
{
    const struct linger none = {.l_onoff = 1};
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    shutdown(socket, SHUT_RDWR);
}

/* With the lock held, so that none of the sockets is closed meanwhile, and its number another's. */
static void cut_late(struct http_deadlines *deadlines, int64_t now_ms)
{
    for (struct http_deadline *at = deadlines->first; at; at = at->next) {
        int64_t at_ms = atomic_load(&at->at_ms);
        if (at_ms == 0 || at_ms > now_ms)
            continue;
        cut(at->socket);
        atomic_store(&at->at_ms, 0);
        metrics_inc(METRIC_HTTP_TOO_SLOW, 0);
    }
}

static void *run(void *closure)
{
    struct http_deadlines *deadlines = closure;
    pthread_mutex_lock(&deadlines->lock);
    while (!deadlines->stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += DEADLINE_LOOK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        if (pthread_cond_timedwait(&deadlines->stopped, &deadlines->lock, &until) == ETIMEDOUT)
            cut_late(deadlines, clock_mono_ms());
    }
    pthread_mutex_unlock(&deadlines->lock);
    return NULL;
}

struct http_deadlines *http_deadlines_new(void)
{
    struct http_deadlines *deadlines = calloc(1, sizeof *deadlines);
    if (!deadlines)
        return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&deadlines->lock, NULL);
    pthread_cond_init(&deadlines->stopped, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigset_t all, before;
    sigfillset(&all); /* signals belong to the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool running = pthread_create(&deadlines->thread, NULL, run, deadlines) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (running)
        return deadlines;
    pthread_cond_destroy(&deadlines->stopped);
    pthread_mutex_destroy(&deadlines->lock);
    free(deadlines);
    return NULL;
}

void http_deadlines_free(struct http_deadlines *deadlines)
{
    if (!deadlines)
        return;
    pthread_mutex_lock(&deadlines->lock);
    deadlines->stop = true;
    pthread_cond_signal(&deadlines->stopped);
    pthread_mutex_unlock(&deadlines->lock);
    pthread_join(deadlines->thread, NULL);
    pthread_cond_destroy(&deadlines->stopped);
    pthread_mutex_destroy(&deadlines->lock);
    free(deadlines);
}

void http_deadline_add(struct http_deadlines *deadlines, struct http_deadline *deadline, int socket)
{
    atomic_store(&deadline->at_ms, 0);
    deadline->socket = socket;
    pthread_mutex_lock(&deadlines->lock);
    deadline->next = deadlines->first;
    deadline->here = &deadlines->first;
    if (deadline->next)
        deadline->next->here = &deadline->next;
    deadlines->first = deadline;
    pthread_mutex_unlock(&deadlines->lock);
}

void http_deadline_remove(struct http_deadlines *deadlines, struct http_deadline *deadline)
{
    pthread_mutex_lock(&deadlines->lock);
    *deadline->here = deadline->next;
    if (deadline->next)
        deadline->next->here = deadline->here;
    pthread_mutex_unlock(&deadlines->lock);
}

void http_deadline_set(struct http_deadline *deadline, int64_t in_ms)
{
    if (deadline)
        atomic_store(&deadline->at_ms, in_ms > 0 ? clock_mono_ms() + in_ms : 0);
}
