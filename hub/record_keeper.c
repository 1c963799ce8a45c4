#include "hub/record_keeper.h"

#include "hub/clock.h"
#include "hub/log.h"
#include "hub/metrics.h"
#include "hub/record_purge.h"
#include "hub/retention.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    TICK_MS = 100,
    PURGE_EVERY_MS = 5000,
    RETENTION_EVERY_MS = 3600000,
    RETENTION_RETRY_MS = 60000, /* a query stood in the way, or another hub took over */
    CONNECT_TIMEOUT_MS = 5000,
    STATEMENT_TIMEOUT_MS = 60 * 60 * 1000, /* a large partition is counted and copied in that */
    LOCK_TIMEOUT_MS =
        1000, /* the writer waits behind this one, and bears less than three seconds */
};

struct record_keeper {
    struct record_keeper_options options;
    int64_t purge_ms, retention_ms; /* when next */
    atomic_bool stop;
    pthread_t thread;
};

/* ---- room in the streams ---- */

/* The time before which a message is old; false while nobody knows what time the broker has. */
static bool old_before(struct record_keeper *keeper, int64_t *before_ns)
{
    bool known = true;
    int64_t now_ns =
        keeper->options.clock ? broker_clock_now(keeper->options.clock, &known) : clock_wall_ns();
    *before_ns = now_ns - keeper->options.purge_age_s * NS_PER_S;
    return known;
}

static void purge_all(struct record_keeper *keeper, const struct record_lane_status *status)
{
    struct bus_error error;
    int64_t before_ns;
    if (!bus_connected(keeper->options.bus) || !old_before(keeper, &before_ns))
        return;
    for (int i = 0; i < RECORD_STREAMS; i++) {
        struct record_purge what = {.stream = status->streams[i].name,
                                    .created_ns = status->streams[i].created_ns,
                                    .archived_seq = status->streams[i].archived_seq,
                                    .before_ns = before_ns};
        uint64_t purged = 0;
        if (!status->streams[i].open || what.archived_seq == 0)
            continue;
        enum bus_status done = record_purge(keeper->options.bus, &what, &purged, &error);
        if (purged > 0) {
            metrics_add(METRIC_PURGED, status->streams[i].label, 0, purged);
            log_info("record.purged", "stream", what.stream, "messages", LOG_INT(purged), "detail",
                     "archived and old; the stream is near its limit");
        }
        if (done != BUS_OK && done != BUS_EPOCH)
            log_warn("record.not_purged", "stream", what.stream, "error", error.text);
    }
}

/* ---- retention ---- */

static void retain(struct record_keeper *keeper, int64_t writer)
{
    const struct config *config = keeper->options.config;
    struct pg_options options = {.dsn = config->postgres.admin_dsn,
                                 .name = "fleethub retention",
                                 .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                 .call_timeout_ms = STATEMENT_TIMEOUT_MS,
                                 .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                 .lock_timeout_ms = LOCK_TIMEOUT_MS,
                                 .interrupt = &keeper->stop};
    struct retention_outcome outcome = {0};
    struct pg *pg = NULL;
    struct pg_error error;
    keeper->retention_ms = clock_mono_ms() + RETENTION_RETRY_MS;
    enum pg_status status = pg_open(&options, &pg, &error);
    if (status == PG_OK) {
        struct retention retention = {.pg = pg,
                                      .keep_s = retention_keep_s(config->record.retention_days),
                                      .now_ns = clock_wall_ns()};
        status = retention_run(&retention, writer, &outcome, &error);
    }
    pg_close(pg);
    if (outcome.dropped > 0)
        log_info("record.retention", "dropped", LOG_INT(outcome.dropped), "kept",
                 LOG_INT(outcome.kept), "partitions", LOG_INT(outcome.partitions));
    if (status == PG_OK && !outcome.fenced)
        metrics_set(METRIC_RETENTION_REFUSED, 0, outcome.refused[0] != '\0');
    if (outcome.refused[0])
        log_error("record.retention_refused", "partition", outcome.refused, "reason",
                  outcome.reason, "detail",
                  "nothing is dropped from here on: somebody else deleted from the record; see "
                  "`fleethub audit verify`");
    if (status != PG_OK && !atomic_load(&keeper->stop))
        log_warn("record.no_retention", "error", error.text, "detail",
                 "old records stay for now; postgres.admin_dsn has to be the tables' owner");
    if (status == PG_OK && !outcome.fenced)
        keeper->retention_ms = clock_mono_ms() + RETENTION_EVERY_MS;
}

/* ---- the thread ---- */

static void *run(void *closure)
{
    struct record_keeper *keeper = closure;
    while (!atomic_load(&keeper->stop)) {
        struct record_lane_status status;
        record_lane_status(keeper->options.lane, &status);
        int64_t now_ms = clock_mono_ms();
        if (status.writer && now_ms >= keeper->purge_ms) {
            purge_all(keeper, &status);
            keeper->purge_ms = clock_mono_ms() + PURGE_EVERY_MS;
        }
        if (status.writer && now_ms >= keeper->retention_ms)
            retain(keeper, status.writer_number);
        clock_pause_ms(TICK_MS);
    }
    return NULL;
}

struct record_keeper *record_keeper_start(const struct record_keeper_options *options)
{
    struct record_keeper *keeper = calloc(1, sizeof *keeper);
    if (!keeper)
        return NULL;
    keeper->options = *options;
    keeper->purge_ms = keeper->retention_ms = clock_mono_ms();
    if (pthread_create(&keeper->thread, NULL, run, keeper) != 0) {
        free(keeper);
        return NULL;
    }
    return keeper;
}

void record_keeper_stop(struct record_keeper *keeper)
{
    if (!keeper)
        return;
    atomic_store(&keeper->stop, true);
    pthread_join(keeper->thread, NULL);
    free(keeper);
}
