/* The pool of pg.h: a bounded number of connections that any worker may borrow. */
#include "hub/pg.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct pg_pool {
    struct pg_options options;
    char *dsn, *name;
    pthread_mutex_t lock;
    pthread_cond_t given_back;
    int connections_max, in_use;
    struct pg **idle; /* a stack of connections_max places */
    int idle_count;
    int64_t rest_until_ms; /* no attempt to connect before this */
    struct pg_error last_error;
};

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct pg_pool *pg_pool_new(const struct pg_options *options, int connections_max)
{
    pthread_condattr_t monotonic;
    struct pg_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->dsn = strdup(options->dsn);
    pool->name = strdup(options->name);
    pool->idle = calloc((size_t)connections_max, sizeof(struct pg *));
    if (!pool->dsn || !pool->name || !pool->idle) {
        free(pool->dsn);
        free(pool->name);
        free(pool->idle);
        free(pool);
        return NULL;
    }
    pool->options = *options;
    pool->options.dsn = pool->dsn;
    pool->options.name = pool->name;
    pool->connections_max = connections_max;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->given_back, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return pool;
}

void pg_pool_free(struct pg_pool *pool)
{
    if (!pool)
        return;
    for (int i = 0; i < pool->idle_count; i++)
        pg_close(pool->idle[i]);
    pthread_cond_destroy(&pool->given_back);
    pthread_mutex_destroy(&pool->lock);
    free(pool->idle);
    free(pool->dsn);
    free(pool->name);
    free(pool);
}

/* Takes a place, and an idle connection with it where there is one. Locked by the caller. */
static bool place_take(struct pg_pool *pool, int64_t deadline_ms, struct pg **idle)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                             .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    while (pool->in_use == pool->connections_max) {
        if (pthread_cond_timedwait(&pool->given_back, &pool->lock, &until) == ETIMEDOUT &&
            pool->in_use == pool->connections_max)
            return false;
    }
    pool->in_use++;
    *idle = pool->idle_count > 0 ? pool->idle[--pool->idle_count] : NULL;
    return true;
}

static void place_give(struct pg_pool *pool, struct pg *idle)
{
    pool->in_use--;
    if (idle)
        pool->idle[pool->idle_count++] = idle;
    pthread_cond_signal(&pool->given_back);
}

static enum pg_status connect_new(struct pg_pool *pool, struct pg **pg, struct pg_error *error)
{
    pthread_mutex_lock(&pool->lock);
    bool resting = now_ms() < pool->rest_until_ms;
    if (resting)
        *error = pool->last_error;
    pthread_mutex_unlock(&pool->lock);
    if (resting)
        return PG_LOST;

    enum pg_status status = pg_open(&pool->options, pg, error);
    if (status != PG_OK) {
        pthread_mutex_lock(&pool->lock);
        pool->rest_until_ms = now_ms() + PG_POOL_REST_MS;
        pool->last_error = *error;
        pthread_mutex_unlock(&pool->lock);
    }
    return status;
}

enum pg_status pg_pool_take(struct pg_pool *pool, int timeout_ms, struct pg **pg,
                            struct pg_error *error)
{
    struct pg *idle = NULL;
    enum pg_status status = PG_OK;

    pthread_mutex_lock(&pool->lock);
    bool placed = place_take(pool, now_ms() + timeout_ms, &idle);
    pthread_mutex_unlock(&pool->lock);
    if (!placed) {
        snprintf(error->text, sizeof error->text, "all %d connections are busy",
                 pool->connections_max);
        error->sqlstate[0] = '\0';
        return PG_LOST;
    }
    if (idle && !pg_alive(idle)) {
        pg_close(idle);
        idle = NULL;
    }
    if (!idle)
        status = connect_new(pool, &idle, error);
    if (status != PG_OK) {
        pthread_mutex_lock(&pool->lock);
        place_give(pool, NULL);
        pthread_mutex_unlock(&pool->lock);
        return status;
    }
    *pg = idle;
    return PG_OK;
}

void pg_pool_give(struct pg_pool *pool, struct pg *pg)
{
    if (!pg_alive(pg)) {
        pg_close(pg);
        pg = NULL;
    }
    pthread_mutex_lock(&pool->lock);
    place_give(pool, pg);
    pthread_mutex_unlock(&pool->lock);
}
