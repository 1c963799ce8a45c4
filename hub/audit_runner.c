#include "hub/audit_runner.h"

#include "hub/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct audit_runner {
    char *dsn;
    struct audit_keys keys;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int taken;
    bool busy; /* one is at work */
};

/* One verification; belongs to its stream and its ticker, the last of which frees it. */
struct job {
    struct http_stream stream; /* first: a stream is its job */
    struct audit_runner *runner;
    pthread_t worker;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int owners;
    bool over;   /* the report is there */
    bool freed;  /* nobody reads the stream any more */
    bool ticked; /* a blank is due */
    bool told;
    atomic_bool interrupt;
    struct audit_report report;
};

struct audit_runner *audit_runner_new(const char *dsn, const struct audit_keys *keys)
{
    struct audit_runner *runner = calloc(1, sizeof *runner);
    if (!runner)
        return NULL;
    runner->dsn = strdup(dsn);
    runner->keys = *keys;
    pthread_mutex_init(&runner->lock, NULL);
    pthread_cond_init(&runner->changed, NULL);
    if (runner->dsn)
        return runner;
    free(runner);
    return NULL;
}

void audit_runner_free(struct audit_runner *runner)
{
    if (!runner)
        return;
    pthread_mutex_lock(&runner->lock);
    while (runner->taken > 0)
        pthread_cond_wait(&runner->changed, &runner->lock);
    pthread_mutex_unlock(&runner->lock);
    pthread_cond_destroy(&runner->changed);
    pthread_mutex_destroy(&runner->lock);
    free(runner->dsn);
    free(runner);
}

/* ---- the answer ---- */

static void write_hex(struct buf *out, const uint8_t *bytes, size_t size)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < size; i++)
        buf_addf(out, "%02x", bytes[i]);
    buf_addc(out, '"');
}

void audit_report_write(struct buf *out, const struct audit_report *report)
{
    if (report->verdict == AUDIT_GOOD) {
        buf_addf(out, "{\"ok\":true,\"records\":%lld,\"head\":", (long long)report->records);
        write_hex(out, report->head.bytes, TREE_HASH_BYTES);
        buf_addc(out, '}');
        return;
    }
    buf_addf(out, "{\"ok\":false,\"first_bad\":{\"seq\":%lld,\"id\":", (long long)report->bad.seq);
    if (report->bad.has_id)
        write_hex(out, report->bad.id, RECORD_ID_BYTES);
    else
        buf_adds(out, "null");
    buf_json_name(out, "reason");
    buf_json_cstr(out, report->bad.reason);
    buf_adds(out, "}}");
}

/* ---- a job ---- */

static void job_drop(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    bool last = --job->owners == 0;
    pthread_mutex_unlock(&job->lock);
    if (!last)
        return;
    pthread_cond_destroy(&job->changed);
    pthread_mutex_destroy(&job->lock);
    free(job);
}

static void *work(void *closure)
{
    struct job *job = closure;
    struct audit_runner *runner = job->runner;
    struct audit_request request = {
        .dsn = runner->dsn, .keys = &runner->keys, .interrupt = &job->interrupt};
    pthread_mutex_lock(&runner->lock);
    while (runner->busy && !atomic_load(&job->interrupt))
        pthread_cond_wait(&runner->changed, &runner->lock);
    bool mine = !runner->busy && !atomic_load(&job->interrupt);
    runner->busy |= mine;
    pthread_mutex_unlock(&runner->lock);
    if (mine) {
        audit_db_verify(&request, &job->report);
        pthread_mutex_lock(&runner->lock);
        runner->busy = false;
        pthread_cond_broadcast(&runner->changed);
        pthread_mutex_unlock(&runner->lock);
    }
    pthread_mutex_lock(&job->lock);
    job->over = true;
    pthread_cond_signal(&job->changed);
    pthread_mutex_unlock(&job->lock);
    return NULL;
}

static void wait_tick(struct job *job)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += AUDIT_RUNNER_TICK_MS / 1000;
    while (!job->over && !job->freed &&
           pthread_cond_timedwait(&job->changed, &job->lock, &until) != ETIMEDOUT)
        ;
}

/* Wakes the stream each second, and when the work is done. */
static void *tick(void *closure)
{
    struct job *job = closure;
    struct audit_runner *runner = job->runner;
    bool over = false;
    while (!over) {
        pthread_mutex_lock(&job->lock);
        wait_tick(job);
        over = job->over || job->freed;
        job->ticked = true;
        if (!job->freed)
            http_stream_wake(&job->stream);
        pthread_mutex_unlock(&job->lock);
    }
    pthread_join(job->worker, NULL);
    job_drop(job);
    pthread_mutex_lock(&runner->lock);
    runner->taken--;
    pthread_cond_broadcast(&runner->changed);
    pthread_mutex_unlock(&runner->lock);
    return NULL;
}

static enum http_more next(struct http_stream *stream, struct buf *out)
{
    struct job *job = (struct job *)stream; /* its first member */
    enum http_more more = HTTP_WAIT;
    pthread_mutex_lock(&job->lock);
    if (job->told) {
        more = HTTP_END;
    } else if (job->over && job->report.verdict == AUDIT_UNUSABLE) {
        log_warn("audit.not_verified", "error", job->report.error);
        more = HTTP_FAILED;
    } else if (job->over) {
        audit_report_write(out, &job->report);
        job->told = true;
        more = HTTP_MORE;
    } else if (job->ticked) {
        job->ticked = false;
        buf_addc(out, ' ');
        more = HTTP_MORE;
    }
    pthread_mutex_unlock(&job->lock);
    return more;
}

static void free_stream(struct http_stream *stream)
{
    struct job *job = (struct job *)stream; /* its first member */
    struct audit_runner *runner = job->runner;
    atomic_store(&job->interrupt, true);
    pthread_mutex_lock(&runner->lock);
    pthread_cond_broadcast(&runner->changed); /* it may be waiting for its turn */
    pthread_mutex_unlock(&runner->lock);
    pthread_mutex_lock(&job->lock);
    job->freed = true;
    pthread_cond_signal(&job->changed);
    pthread_mutex_unlock(&job->lock);
    job_drop(job);
}

/* Both threads, or none. */
static bool start(struct job *job)
{
    pthread_t ticker;
    if (pthread_create(&job->worker, NULL, work, job) != 0)
        return false;
    if (pthread_create(&ticker, NULL, tick, job) == 0) {
        pthread_detach(ticker);
        return true;
    }
    atomic_store(&job->interrupt, true);
    pthread_join(job->worker, NULL);
    return false;
}

struct http_stream *audit_runner_stream(struct audit_runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    bool room = runner->taken < AUDIT_RUNNER_MAX;
    runner->taken += room;
    pthread_mutex_unlock(&runner->lock);
    struct job *job = room ? calloc(1, sizeof *job) : NULL;
    if (job) {
        job->stream = (struct http_stream){.next = next, .free = free_stream, .waits = true};
        job->runner = runner;
        job->owners = 2;
        pthread_mutex_init(&job->lock, NULL);
        pthread_cond_init(&job->changed, NULL);
        if (start(job))
            return &job->stream;
        free(job);
    }
    pthread_mutex_lock(&runner->lock);
    runner->taken -= room;
    pthread_cond_broadcast(&runner->changed);
    pthread_mutex_unlock(&runner->lock);
    return NULL;
}
