#include "hub/record_lane.h"

#include "hub/clock.h"
#include "hub/failpoint.h"
#include "hub/log.h"
#include "hub/metrics.h"
#include "hub/migrate.h"
#include "hub/pg.h"
#include "hub/record_checkpoint.h"
#include "hub/record_commit.h"
#include "hub/record_gather.h"
#include "hub/record_lease.h"
#include "hub/record_notes.h"
#include "hub/record_partitions.h"
#include "hub/record_tree.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_TIMEOUT_MS = 5000,
    STATEMENT_TIMEOUT_MS = 15000, /* a batch takes milliseconds */
    CALL_TIMEOUT_MS = 20000,
    LOCK_TIMEOUT_MS = 3000,
    IDLE_IN_TRANSACTION_MS = 3000, /* how long a frozen hub may hold the lease's row */
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 2000,
    STANDBY_MS = 1000, /* how often a hub that stands by looks whether it is needed */
    BEAT_MS = 1000,
    PUBLISH_MS = 1000,
    BATCH_AGE_MS = 50, /* how long the first record of a batch waits for others */
    PAUSE_STEP_MS = 20,
    MINUTE_GRACE_MS = 30000, /* an idle stream's minute is over that long after its end */
    PARTITIONS_MS = 3600000, /* partitions are looked after that often; they are days long */
    NAME_BYTES = 300,
};

struct record_lane {
    const struct config *config;
    struct bus *bus;
    pthread_t thread;
    atomic_bool stop;      /* end after the batch */
    atomic_bool interrupt; /* end now */

    /* the thread's */
    struct pg *pg;
    bool writer;
    int64_t writer_number;
    struct record_stream streams[RECORD_STREAMS];
    struct record_maker *maker;
    struct record_batch *batch;
    struct record_batch *ahead; /* what is taken while `batch` is being committed */
    bool ahead_failed;
    struct record_commit *commit;
    struct record_checkpoint *checkpoint;
    int64_t batch_since_ms; /* when it got something to commit; 0: nothing */
    int64_t beat_ms, publish_ms, partitions_ms;
    uint64_t connects; /* of the bus, as of the last doubt */
    int backoff_ms;
    unsigned turn; /* which stream to wait for */
    bool asks;     /* NATS, who is registered */
    char scope[NAME_BYTES], holder[NAME_BYTES], subject[NAME_BYTES];

    /* shared */
    pthread_mutex_t lock;
    struct record_lane_status status;
    int64_t answered_ms; /* when PostgreSQL last answered */
};

/* ---- status ---- */

static void status_update(struct record_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    lane->status.postgres = lane->pg != NULL;
    lane->status.writer = lane->writer;
    lane->status.writer_number = lane->writer_number;
    for (int i = 0; i < RECORD_STREAMS; i++) {
        const struct record_stream *stream = &lane->streams[i];
        lane->status.streams[i].name = stream->name;
        lane->status.streams[i].label = stream->label;
        lane->status.streams[i].open = stream->consumer != NULL;
        lane->status.streams[i].created_ns = stream->committed.created_ns;
        lane->status.streams[i].archived_seq = stream->committed.seq;
        lane->status.streams[i].pending = stream->pending;
    }
    pthread_mutex_unlock(&lane->lock);
    metrics_set(METRIC_ARCHIVE_WRITER, 0, lane->writer ? 1 : 0);
    metrics_set(METRIC_CONNECTED, PEER_POSTGRES, lane->pg ? 1 : 0);
}

static void status_error(struct record_lane *lane, const char *text)
{
    pthread_mutex_lock(&lane->lock);
    snprintf(lane->status.error, sizeof lane->status.error, "%s", text);
    pthread_mutex_unlock(&lane->lock);
}

static void answered(struct record_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    lane->answered_ms = clock_mono_ms();
    pthread_mutex_unlock(&lane->lock);
}

void record_lane_status(struct record_lane *lane, struct record_lane_status *status)
{
    pthread_mutex_lock(&lane->lock);
    *status = lane->status;
    int64_t silent_ms = clock_mono_ms() - lane->answered_ms;
    pthread_mutex_unlock(&lane->lock);
    if (status->postgres && silent_ms > RECORD_LANE_ANSWER_MS) {
        status->postgres = false;
        snprintf(status->error, sizeof status->error, "PostgreSQL has not answered for %lld ms",
                 (long long)silent_ms);
    }
}

/* ---- failing ---- */

static void pause_ms(struct record_lane *lane, int ms)
{
    int64_t until_ms = clock_mono_ms() + ms;
    while (!atomic_load(&lane->stop) && clock_mono_ms() < until_ms)
        clock_pause_ms(PAUSE_STEP_MS);
}

/* Forgets all that is not committed. */
static void forget(struct record_lane *lane)
{
    record_streams_close(lane->streams);
    record_batch_reset(lane->batch);
    record_batch_reset(lane->ahead);
    lane->batch_since_ms = 0;
    lane->writer = false;
}

/* Whatever failed: PostgreSQL knows what is true, and is asked again after a pause that grows. */
static void fail(struct record_lane *lane, const char *doing, const char *text)
{
    log_warn("record.failed", "doing", doing, "error", text);
    status_error(lane, text);
    forget(lane);
    pg_close(lane->pg);
    lane->pg = NULL;
    status_update(lane);
    pause_ms(lane, lane->backoff_ms);
    lane->backoff_ms *= 2;
    if (lane->backoff_ms > BACKOFF_MAX_MS)
        lane->backoff_ms = BACKOFF_MAX_MS;
}

static void stand_by(struct record_lane *lane, const char *why)
{
    if (lane->writer)
        log_warn("record.standby", "why", why);
    forget(lane);
    status_update(lane);
}

/* ---- connecting, and becoming the writer ---- */

static void connect_to(struct record_lane *lane)
{
    struct pg_options options = {.dsn = lane->config->postgres.dsn,
                                 .name = "fleethub record lane",
                                 .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                 .call_timeout_ms = CALL_TIMEOUT_MS,
                                 .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                 .lock_timeout_ms = LOCK_TIMEOUT_MS,
                                 .idle_in_transaction_ms = IDLE_IN_TRANSACTION_MS,
                                 .interrupt = &lane->interrupt};
    struct pg_error error;
    struct buf report = BUF_INIT;

    if (pg_open(&options, &lane->pg, &error) != PG_OK) {
        fail(lane, "connecting to PostgreSQL", error.text);
        return;
    }
    if (migrate_check(options.dsn, &report) != MIGRATE_OK) {
        if (report.size_bytes > 0)
            report.size_bytes--; /* its line break */
        fail(lane, "checking the database's version", buf_cstr(&report));
    } else {
        log_info("record.connected", "backend", LOG_INT(pg_backend_pid(lane->pg)));
        answered(lane);
        status_update(lane);
    }
    buf_done(&report);
}

/* Partitions ahead of time. Without them the default partitions take what comes, so that a refusal
 * is no reason to stop. False when the connection is lost. */
static bool look_after_partitions(struct record_lane *lane)
{
    struct pg_error error;
    int made = 0;
    lane->partitions_ms = clock_mono_ms();
    enum pg_status status =
        record_partitions_ahead(lane->pg, lane->config->record.retention_days, &made, &error);
    if (status == PG_OK && made > 0)
        log_info("record.partitions", "made", LOG_INT(made));
    if (status != PG_OK)
        log_warn("record.no_partitions", "error", error.text, "detail",
                 "the default partition takes what comes; tried again in an hour");
    return status != PG_LOST;
}

static void become_writer(struct record_lane *lane)
{
    struct pg_error error;
    failpoint_reached(FAILPOINT_RECORD_CLAIMED);
    if (!look_after_partitions(lane)) {
        fail(lane, "making partitions", "the connection was lost");
        return;
    }
    if (record_streams_load(lane->streams, lane->pg, &error) != PG_OK) {
        fail(lane, "reading the positions", error.text);
        return;
    }
    if (record_checkpoint_begin(lane->checkpoint, lane->pg, lane->batch, &error) != PG_OK) {
        fail(lane, "reading the checkpoints", error.text);
        return;
    }
    lane->writer = true;
    lane->backoff_ms = BACKOFF_FIRST_MS;
    lane->connects = bus_connects(lane->bus);
    lane->beat_ms = clock_mono_ms();
    lane->publish_ms = 0;
    log_info("record.writer", "number", LOG_INT(lane->writer_number), "scope", lane->scope);
    status_error(lane, "");
    status_update(lane);
}

static void claim(struct record_lane *lane)
{
    enum record_lease lease;
    struct pg_error error;
    enum pg_status status = record_lease_claim(lane->pg, lane->scope, lane->holder, &lease,
                                               &lane->writer_number, &error);
    /* A lock timeout: the present writer's transaction takes long, which is a sign of life. */
    if (status != PG_OK && strcmp(error.sqlstate, "55P03") != 0) {
        fail(lane, "asking for the lease", error.text);
        return;
    }
    answered(lane);
    if (status == PG_OK && lease == RECORD_LEASE_MINE) {
        become_writer(lane);
        return;
    }
    status_error(lane, status == PG_OK && lease == RECORD_LEASE_FOREIGN
                           ? "the database holds the record of another env or region"
                           : "");
    if (status == PG_OK) /* else it has waited for the lock */
        pause_ms(lane, STANDBY_MS);
}

/* ---- the writer's work ---- */

static void has_work(struct record_lane *lane)
{
    if (lane->batch_since_ms == 0 &&
        (record_batch_count(lane->batch) > 0 || record_streams_moved(lane->streams)))
        lane->batch_since_ms = clock_mono_ms();
}

/* Opens what is closed. False: no memory. */
static bool open_streams(struct record_lane *lane, int64_t now_ms)
{
    struct bus_error complaint;
    uint64_t connects = bus_connects(lane->bus);
    bool again = connects != lane->connects;
    lane->connects = connects;
    for (int i = 0; i < RECORD_STREAMS; i++) {
        struct record_stream *stream = &lane->streams[i];
        if (stream->consumer && again)
            record_stream_doubt(stream);
        if (!stream->consumer && record_stream_open(stream, lane->bus, lane->batch, now_ms,
                                                    &complaint) == RECORD_NO_MEMORY)
            return false;
    }
    has_work(lane);
    return true;
}

static void count(const struct record_batch *batch, const struct record_outcome *outcome)
{
    int64_t now_ns = clock_wall_ns();
    for (size_t i = 0; i < record_batch_count(batch); i++)
        metrics_observe(METRIC_COMMIT_LATENCY,
                        (double)(now_ns - record_batch_received_ns(batch, i)) / (double)NS_PER_S);
    metrics_set(METRIC_RECORD_HEAD, 0, (double)outcome->head_seq);
    metrics_inc(METRIC_BATCHES, RESULT_OK);
    metrics_add(METRIC_RECORDS_DUPLICATE, 0, 0, outcome->duplicates);
    for (int kind = 0; kind < RECORD_KIND_COUNT; kind++)
        metrics_add(METRIC_RECORDS, (size_t)kind, 0, outcome->records[kind]);
}

/* While PostgreSQL is at one batch, the next is taken. */
static bool take_ahead(void *closure)
{
    struct record_lane *lane = closure;
    if (lane->ahead_failed)
        return false;
    enum record_gathered gathered =
        record_gather_ahead(lane->streams, lane->maker, lane->ahead, &lane->turn);
    lane->ahead_failed = gathered == RECORD_GATHERED_NO_MEMORY;
    return gathered == RECORD_GATHERED_SOME;
}

/* Not while refusals are being counted: the counts that are committed are those of the batch. Nor
 * where it may take asking NATS who is registered. */
static bool may_take_ahead(const struct record_lane *lane,
                           const struct record_progress progress[RECORD_STREAMS])
{
    for (int i = 0; i < RECORD_STREAMS; i++) {
        if (progress[i].throttle)
            return false;
    }
    return !lane->asks;
}

/* The batch is on record. */
static void committed(struct record_lane *lane,
                      const struct record_progress progress[RECORD_STREAMS],
                      const struct record_outcome *outcome)
{
    struct record_batch *done = lane->batch;
    record_streams_committed(lane->streams, progress);
    count(done, outcome);
    record_batch_reset(done);
    lane->batch = lane->ahead;
    lane->ahead = done;
    lane->batch_since_ms = 0;
    has_work(lane);
    lane->beat_ms = clock_mono_ms();
    lane->backoff_ms = BACKOFF_FIRST_MS;
}

static bool commit(struct record_lane *lane)
{
    struct record_progress progress[RECORD_STREAMS];
    struct record_outcome outcome;
    struct pg_error error;

    int64_t from_ms = clock_mono_ms();

    record_streams_progress(lane->streams, progress);
    failpoint_reached(FAILPOINT_RECORD_GATHERED);
    lane->ahead_failed = false;
    int64_t began_ns = clock_mono_ns();
    pg_meanwhile(lane->pg, may_take_ahead(lane, progress) ? take_ahead : NULL, lane);
    enum pg_status status = record_commit_batch(lane->commit, lane->batch, lane->pg,
                                                lane->writer_number, progress, &outcome, &error);
    pg_meanwhile(lane->pg, NULL, NULL);
    if (status != PG_OK) {
        metrics_inc(METRIC_BATCHES, RESULT_FAILED);
        fail(lane, "committing a batch", error.text);
        return false;
    }
    answered(lane);
    if (outcome.fenced) {
        stand_by(lane, "another hub has taken over");
        return false;
    }
    metrics_observe(METRIC_COMMIT_SECONDS, (double)(clock_mono_ns() - began_ns) / (double)NS_PER_S);
    failpoint_reached(FAILPOINT_RECORD_COMMITTED);
    record_batch_adapt(lane->batch, lane->ahead, clock_mono_ms() - from_ms);
    committed(lane, progress, &outcome);
    if (lane->ahead_failed)
        fail(lane, "reading", "no memory");
    return !lane->ahead_failed;
}

static bool beat(struct record_lane *lane)
{
    bool mine = false;
    struct pg_error error;
    if (record_lease_beat(lane->pg, lane->writer_number, &mine, &error) != PG_OK) {
        fail(lane, "renewing the lease", error.text);
        return false;
    }
    answered(lane);
    lane->beat_ms = clock_mono_ms();
    if (!mine)
        stand_by(lane, "another hub has taken over");
    return mine;
}

/* What is committed of the streams that vehicles publish to (contract §1). */
static void publish(struct record_lane *lane)
{
    struct buf text = BUF_INIT;
    char epoch[RECORD_EPOCH_TEXT_BYTES];

    buf_addc(&text, '{');
    for (int i = 0; i < RECORD_STREAMS; i++) {
        const struct record_stream *stream = &lane->streams[i];
        /* Not while it is being looked into: the epoch may be about to change. */
        if (stream->own || !stream->consumer || stream->committed.created_ns == 0)
            continue;
        record_epoch_format(&stream->committed, epoch);
        buf_json_name(&text, stream->name);
        buf_addf(&text, "{\"epoch\":\"%s\",\"seq\":%llu}", epoch,
                 (unsigned long long)stream->committed.seq);
    }
    buf_addc(&text, '}');
    failpoint_reached(FAILPOINT_RECORD_PUBLISHING);
    if (!text.failed && text.size_bytes > 2 && bus_connects(lane->bus) == lane->connects)
        bus_publish(lane->bus, lane->subject, text.data, text.size_bytes);
    failpoint_reached(FAILPOINT_RECORD_PUBLISHED);
    buf_done(&text);
    lane->publish_ms = clock_mono_ms();
}

/* Refusals of a minute long over, on streams that have fallen silent. */
static bool end_minutes(struct record_lane *lane)
{
    int64_t now_ns = clock_wall_ns() - MINUTE_GRACE_MS * NS_PER_MS;
    for (int i = 0; i < RECORD_STREAMS; i++) {
        struct record_stream *stream = &lane->streams[i];
        if (stream->consumer && bus_caught_up(stream->consumer) &&
            !record_stream_minute(stream, now_ns, lane->batch))
            return false;
    }
    has_work(lane);
    return true;
}

/* What was changed in the database itself. */
static bool take_notes(struct record_lane *lane)
{
    struct pg_error error;
    if (record_notes_take(lane->pg, lane->batch, &error) == PG_OK) {
        has_work(lane);
        return true;
    }
    fail(lane, "reading the notes", error.text);
    return false;
}

/* Once a second: positions, checkpoints, what is counted, what was noted. */
static bool tell(struct record_lane *lane)
{
    struct pg_error error;
    publish(lane);
    if (record_checkpoint_publish(lane->checkpoint, lane->pg, lane->batch, &error) != PG_OK) {
        fail(lane, "publishing checkpoints", error.text);
        return false;
    }
    if (!end_minutes(lane)) {
        fail(lane, "counting refusals", "no memory");
        return false;
    }
    return take_notes(lane);
}

/* One round: read, commit when it is time, show a sign of life. */
static void work(struct record_lane *lane)
{
    int64_t now_ms = clock_mono_ms();
    bool good = open_streams(lane, now_ms) &&
                record_gather(lane->streams, lane->maker, lane->batch, &lane->turn) !=
                    RECORD_GATHERED_NO_MEMORY;
    has_work(lane);
    if (!good) {
        fail(lane, "reading", "no memory, or NATS does not say who is registered");
        return;
    }
    now_ms = clock_mono_ms();
    bool due = lane->batch_since_ms && now_ms - lane->batch_since_ms >= BATCH_AGE_MS;
    if ((due || record_checkpoint_waiting(lane->checkpoint) || record_batch_full(lane->batch)) &&
        !commit(lane))
        return;
    if (now_ms - lane->beat_ms >= BEAT_MS && !beat(lane))
        return;
    if (now_ms - lane->partitions_ms >= PARTITIONS_MS && !look_after_partitions(lane)) {
        fail(lane, "making partitions", "the connection was lost");
        return;
    }
    if (now_ms - lane->publish_ms >= PUBLISH_MS && !tell(lane))
        return;
    status_update(lane);
}

/* ---- the thread ---- */

static void finish(struct record_lane *lane)
{
    struct pg_error error;
    if (lane->writer && lane->batch_since_ms && !atomic_load(&lane->interrupt))
        commit(lane);
    if (lane->writer) {
        publish(lane);
        if (!atomic_load(&lane->interrupt))
            record_checkpoint_publish(lane->checkpoint, lane->pg, lane->batch, &error);
        record_lease_release(lane->pg, lane->writer_number, &error);
    }
    forget(lane);
    pg_close(lane->pg);
    lane->pg = NULL;
    status_update(lane);
}

static void *run(void *closure)
{
    struct record_lane *lane = closure;
    while (!atomic_load(&lane->stop)) {
        if (!lane->pg)
            connect_to(lane);
        else if (!lane->writer)
            claim(lane);
        else
            work(lane);
    }
    finish(lane);
    return NULL;
}

/* ---- starting and stopping ---- */

static void lane_free(struct record_lane *lane)
{
    record_streams_done(lane->streams);
    record_maker_free(lane->maker);
    record_checkpoint_free(lane->checkpoint);
    record_batch_free(lane->batch);
    record_batch_free(lane->ahead);
    record_commit_free(lane->commit);
    pthread_mutex_destroy(&lane->lock);
    free(lane);
}

static void name_all(struct record_lane *lane)
{
    char host[128] = "";
    const struct config *config = lane->config;
    gethostname(host, sizeof host - 1);
    snprintf(lane->scope, sizeof lane->scope, "%s/%s", config->env, config->region);
    snprintf(lane->holder, sizeof lane->holder, "%s/%ld", host, (long)getpid());
    snprintf(lane->subject, sizeof lane->subject, "fleet.%s.hub.%s.archived", config->env,
             config->region);
}

struct record_lane *record_lane_start(const struct record_lane_options *options)
{
    struct record_lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->config = options->config;
    lane->bus = options->bus;
    lane->backoff_ms = BACKOFF_FIRST_MS;
    pthread_mutex_init(&lane->lock, NULL);
    lane->maker = record_maker_new((size_t)lane->config->nats.limits.payload_bytes);
    lane->batch = record_batch_new(lane->config->region);
    lane->ahead = record_batch_new(lane->config->region);
    lane->commit = record_commit_new();
    lane->asks = options->admits != NULL;
    lane->checkpoint = record_checkpoint_new(lane->config, lane->bus, options->signers);
    if (lane->commit)
        record_tree_checkpoints(record_commit_tree(lane->commit), lane->checkpoint);
    if (lane->maker)
        record_maker_admission(lane->maker, options->admits, options->admits_closure);
    name_all(lane);
    if (!record_streams_init(lane->streams) || !lane->maker || !lane->batch || !lane->ahead ||
        !lane->commit || !lane->checkpoint || pthread_create(&lane->thread, NULL, run, lane) != 0) {
        lane_free(lane);
        return NULL;
    }
    return lane;
}

void record_lane_stop(struct record_lane *lane, int timeout_ms)
{
    if (!lane)
        return;
    atomic_store(&lane->stop, true);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t until_ns = (int64_t)until.tv_sec * NS_PER_S + until.tv_nsec + timeout_ms * NS_PER_MS;
    until = (struct timespec){(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    if (pthread_timedjoin_np(lane->thread, NULL, &until) != 0) {
        atomic_store(&lane->interrupt, true);
        pthread_join(lane->thread, NULL);
    }
    lane_free(lane);
}
