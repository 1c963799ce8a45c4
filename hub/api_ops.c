#include "hub/api_ops.h"

#include "hub/api_query.h"
#include "hub/app.h"
#include "hub/build_info.h"
#include "hub/clock.h"
#include "hub/command_lane.h"
#include "hub/log.h"
#include "hub/metrics.h"
#include "hub/record_lane.h"
#include "hub/recorder.h"
#include "hub/state_lane.h"

#include <stdio.h>

void api_livez(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    buf_adds(&reply->body, "{\"status\":\"alive\"}");
}

/* ---- ready ---- */

enum check_id { CHECK_NATS, CHECK_POSTGRES, CHECK_TWINS, CHECK_STAYING, CHECKS };

struct check {
    const char *name;
    bool ok;
    char detail[320];
};

static void check_nats(const struct app *app, struct check *check)
{
    *check = (struct check){.name = "nats", .ok = bus_connected(app->bus)};
    snprintf(check->detail, sizeof check->detail, "%s",
             check->ok ? "connected" : "not connected; trying again all the time");
}

static void check_postgres(const struct app *app, struct check *check)
{
    struct record_lane_status status;
    record_lane_status(app->record, &status);
    *check = (struct check){.name = "postgres", .ok = status.postgres};
    if (status.postgres)
        snprintf(check->detail, sizeof check->detail, "connected, %s",
                 status.writer ? "writing the archive"
                               : "standing by: another hub writes the archive");
    else
        snprintf(check->detail, sizeof check->detail, "%s",
                 status.error[0] ? status.error : "not connected yet");
}

static void check_twins(const struct app *app, struct check *check)
{
    const char *starting = atomic_load(&app->starting);
    struct state_lane *state = atomic_load(&app->state);
    *check = (struct check){.name = "twins", .ok = atomic_load(&app->recovered)};
    if (!check->ok) {
        snprintf(check->detail, sizeof check->detail, "%s",
                 starting ? starting : "reading the streams");
        return;
    }
    unsigned long long lag = (unsigned long long)(state_lane_lag(state, STREAM_STATE) +
                                                  state_lane_lag(state, STREAM_EVENTS) +
                                                  state_lane_lag(state, STREAM_ACK));
    if (bus_connected(app->bus))
        snprintf(check->detail, sizeof check->detail, "%u vehicles, %llu messages behind",
                 store_count(app->store), lag);
    else
        snprintf(check->detail, sizeof check->detail, "%u vehicles, as of %lld s ago",
                 store_count(app->store),
                 (long long)(clock_mono_ms() - atomic_load(&app->heard_ms)) / 1000);
}

/* Told of only while it is so: a hub that stays is the rule. */
static void check_staying(const struct app *app, struct check *check)
{
    *check = (struct check){.name = "staying", .ok = !atomic_load(&app->draining)};
    snprintf(check->detail, sizeof check->detail, "draining: go to another hub of the region");
}

/* Once for each change that somebody sees, and not for each who asks. */
static void note_readiness(struct app *app, const char *status, bool worse)
{
    const char *was = atomic_exchange(&app->readiness, status);
    if (was != status)
        log_write(worse ? LOG_WARN : LOG_INFO, "hub.readiness", "status", status, "was",
                  was ? was : "not asked for yet", (char *)0);
}

void api_readyz(const struct http_request *request, struct http_reply *reply)
{
    static const char ready[] = "ready", degraded[] = "degraded", none[] = "unready";
    struct app *app = request->app;
    struct check checks[CHECKS];
    bool verbose;
    if (!query_flag(request, reply, "verbose", &verbose))
        return;
    check_nats(app, &checks[CHECK_NATS]);
    check_postgres(app, &checks[CHECK_POSTGRES]);
    check_twins(app, &checks[CHECK_TWINS]);
    check_staying(app, &checks[CHECK_STAYING]);
    bool unready = !checks[CHECK_NATS].ok || !checks[CHECK_TWINS].ok || !checks[CHECK_STAYING].ok;
    const char *status = unready ? none : checks[CHECK_POSTGRES].ok ? ready : degraded;
    note_readiness(app, status, status != ready);
    struct buf *out = &reply->body;
    reply->status = unready ? 503 : 200;
    buf_addf(out, "{\"status\":\"%s\",\"checks\":[", status);
    for (int i = 0; i < CHECKS; i++) {
        if (i == CHECK_STAYING && checks[i].ok)
            continue;
        buf_addf(out, "%s{\"name\":\"%s\",\"ok\":%s", i ? "," : "", checks[i].name,
                 checks[i].ok ? "true" : "false");
        /* Without `verbose` only what is wrong is explained. */
        if (verbose || !checks[i].ok) {
            buf_adds(out, ",\"detail\":");
            buf_json_cstr(out, checks[i].detail);
        }
        buf_addc(out, '}');
    }
    buf_adds(out, "]}");
}

/* ---- metrics and version ---- */

static void collect_vehicles(const struct app *app)
{
    double count[PRESENCE_COUNT] = {0}, diverged = 0;
    int64_t now_ns = clock_wall_ns(), since_ns = now_ns;
    size_t place = store_enter(app->store);
    uint32_t vehicles = store_count(app->store);
    for (uint32_t i = 0; i < vehicles; i++) {
        const struct twin *twin = store_at(app->store, i);
        if (!twin_visible(twin))
            continue;
        count[twin->presence.status]++;
        if (twin->delta_since_ns == TIMESTAMP_NONE)
            continue;
        diverged++;
        since_ns = twin->delta_since_ns < since_ns ? twin->delta_since_ns : since_ns;
    }
    store_leave(app->store, place);
    for (size_t i = 0; i < PRESENCE_COUNT; i++)
        metrics_set(METRIC_VEHICLES, i, count[i]);
    metrics_set(METRIC_DELTA_VEHICLES, 0, diverged);
    metrics_set(METRIC_DELTA_OLDEST, 0, (double)(now_ns - since_ns) / (double)NS_PER_S);
}

static void collect_lag(const struct app *app)
{
    static const enum stream_label streams[] = {STREAM_STATE, STREAM_EVENTS, STREAM_ACK};
    struct state_lane *state = atomic_load(&app->state);
    for (size_t i = 0; state && i < sizeof streams / sizeof *streams; i++)
        metrics_set(METRIC_LAG, streams[i], (double)state_lane_lag(state, streams[i]));
    struct record_lane_status status;
    record_lane_status(app->record, &status);
    for (size_t i = 0; status.writer && i < RECORD_STREAMS; i++)
        metrics_set(METRIC_ARCHIVE_LAG, status.streams[i].label, (double)status.streams[i].pending);
}

static void collect_commands(const struct app *app)
{
    struct command_lane *lane = atomic_load(&app->commands);
    size_t open = 0, paused = 0;
    if (lane)
        command_lane_open(lane, &open, &paused);
    metrics_set(METRIC_COMMANDS_OPEN, RUNNING_RUNNING, (double)(open - paused));
    metrics_set(METRIC_COMMANDS_OPEN, RUNNING_PAUSED, (double)paused);
}

static void collect_queues(const struct app *app)
{
    metrics_set(METRIC_QUEUE_DEPTH, QUEUE_RECORDER, (double)recorder_queued(app->recorder));
    metrics_set(METRIC_QUEUE_LIMIT, QUEUE_RECORDER, RECORDER_QUEUE_MAX);
}

void api_metrics(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    collect_vehicles(app);
    collect_lag(app);
    collect_commands(app);
    collect_queues(app);
    metrics_set(METRIC_CONNECTED, PEER_NATS, bus_connected(app->bus));
    metrics_set(METRIC_FOLD_PAUSE, 0,
                (double)store_longest_pause_ns(app->store) / (double)NS_PER_S);
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_render(&reply->body);
}

void api_version(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    struct buf *out = &reply->body;
    buf_addc(out, '{');
    buf_json_name(out, "version");
    buf_json_cstr(out, FLEETHUB_VERSION);
    buf_json_name(out, "commit");
    buf_json_cstr(out, FLEETHUB_COMMIT);
    buf_json_name(out, "nats_c");
    buf_json_cstr(out, bus_library_version());
    buf_addc(out, '}');
}
