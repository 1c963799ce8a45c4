#include "hub/hub_impl.h"

#include "hub/access_http.h"
#include "hub/api_commands.h"
#include "hub/app.h"
#include "hub/archive.h"
#include "hub/audit_runner.h"
#include "hub/clock.h"
#include "hub/command_lane.h"
#include "hub/events_export.h"
#include "hub/failpoint.h"
#include "hub/groups.h"
#include "hub/last.h"
#include "hub/live.h"
#include "hub/log.h"
#include "hub/migrate.h"
#include "hub/notify.h"
#include "hub/position_gate.h"
#include "hub/presence.h"
#include "hub/record_checkpoint.h"
#include "hub/record_follow.h"
#include "hub/record_keeper.h"
#include "hub/record_lane.h"
#include "hub/record_purge.h"
#include "hub/recorder.h"
#include "hub/registry.h"
#include "hub/routes.h"
#include "hub/shadow_lane.h"
#include "hub/shadow_settle.h"
#include "hub/shadow_write.h"
#include "hub/state_lane.h"
#include "hub/streams.h"
#include "hub/track.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    TICK_MS = 100,
    CONNECT_TIMEOUT_MS = 2000,
    DATABASE_RETRY_MS = 1000,
    STREAMS_LOOK_MS = 10000, /* between two looks at how full the streams are */
    HTTP_EVENT_THREADS = 2,
    HTTP_WORKERS = 4,
    HTTP_SCAN_WORKERS = 2,
    HTTP_NATS_WORKERS = 8, /* each waits for the broker most of its time */
    HTTP_QUEUE_MAX = 256,
    OTHER_FILES = 128, /* open, beside those of HTTP connections */
    HTTP_STOP_MS = 2000,
    LIVE_REST_SHARE = 16, /* one in so many connections is kept from live queries */
    S_MS = 1000,
    REGISTRY_WAIT_MS = 1000, /* the archive's, for TWIN_LAST to be read */
    RECORD_STOP_MS = 2000,
    RECORDER_STOP_MS = 1000,
    BUS_STOP_MS = 500,
    DRAIN_MAX_MS =
        9000, /* then the hub ends as after a crash, which it bears (contract §7: 10 s) */
};

/* ---- the start of the twins, on a thread of its own: it waits for NATS as long as it takes ----
 */

static void fail(struct hub *hub)
{
    uint64_t one = 1;
    if (write(hub->failed_fd, &one, sizeof one) != sizeof one)
        abort(); /* an eventfd takes one */
}

static bool wait_connected(struct hub *hub)
{
    while (!atomic_load(&hub->stop) && !bus_connected(hub->app.bus))
        clock_pause_ms(TICK_MS);
    return !atomic_load(&hub->stop);
}

static bool ensure_streams(struct hub *hub)
{
    while (wait_connected(hub)) {
        struct buf report = BUF_INIT;
        enum bus_status status = streams_ensure(hub->app.bus, hub->app.config, &report);
        bool later = status == BUS_DISCONNECTED || status == BUS_TIMEOUT;
        if (status != BUS_OK)
            log_write(later ? LOG_WARN : LOG_ERROR, "hub.streams_refused", "detail",
                      buf_cstr(&report), (char *)0);
        buf_done(&report);
        if (status == BUS_OK)
            return true;
        if (!later) {
            fail(hub);
            return false;
        }
        clock_pause_ms(TICK_MS);
    }
    return false;
}

/* Reading TWIN_SHADOW begins beside reading TWIN_LAST. False when there is no memory. */
static bool start_shadow_lane(struct hub *hub)
{
    struct app *app = &hub->app;
    struct mark mark;
    struct bus_error error;
    while (wait_connected(hub)) {
        enum bus_status status = last_read_mark_now(app->bus, &mark, &error);
        if (status == BUS_OK)
            break;
        clock_pause_ms(TICK_MS);
    }
    if (atomic_load(&hub->stop))
        return true;
    struct shadow_lane_options options = {
        .config = app->config,
        .bus = app->bus,
        .store = app->store,
        .recorder = hub->recorder,
        .vouched = mark.streams[STREAM_SHADOW],
    };
    hub->shadow = shadow_lane_start(&options);
    return hub->shadow != NULL;
}

static bool load_last(struct hub *hub)
{
    while (wait_connected(hub)) {
        struct buf report = BUF_INIT;
        int64_t began_ms = clock_mono_ms();
        enum bus_status status =
            last_load(hub->app.bus, hub->app.store, hub->recorder,
                      hub->app.config->vehicles.admission == ADMISSION_OPEN, &hub->found, &report);
        if (status == BUS_OK)
            log_info("hub.twins_loaded", "found", buf_cstr(&report), "ms",
                     LOG_INT(clock_mono_ms() - began_ms));
        else
            log_warn("hub.twins_not_loaded", "detail", buf_cstr(&report));
        buf_done(&report);
        if (status == BUS_OK)
            return true;
        clock_pause_ms(TICK_MS);
    }
    return false;
}

static bool wait_recovered(struct hub *hub)
{
    while (!atomic_load(&hub->stop)) {
        if (presence_lane_recovered(hub->presence) && shadow_lane_recovered(hub->shadow) &&
            groups_recovered(hub->app.groups) && access_recovered(hub->app.access))
            return true;
        clock_pause_ms(TICK_MS / 10);
    }
    return false;
}

/* What follows TWIN_LAST, TWIN_SHADOW and TWIN_ACCESS. False when there is no memory. */
static bool start_shadows(struct hub *hub)
{
    struct app *app = &hub->app;
    struct registry *registry =
        registry_start(app->config, app->bus, app->store, hub->recorder, hub->found.end);
    if (!registry)
        return false;
    atomic_store(&app->registry, registry);
    shadow_lane_go(hub->shadow, registry, &hub->found);
    app->shadow = shadow_writer_new(app->config, app->bus, app->store, hub->recorder);
    return app->shadow &&
           groups_start(app->groups, hub->recorder, hub->found.mark.streams[STREAM_ACCESS]) &&
           access_start(app->access, hub->recorder, hub->found.mark.streams[STREAM_ACCESS]);
}

/* Targets and policy look at the twins, so the lane begins when they are there. */
static bool start_commands(struct hub *hub)
{
    struct app *app = &hub->app;
    struct command_lane_options options = {
        .config = app->config,
        .bus = app->bus,
        .urgent_bus = hub->urgent_bus,
        .store = app->store,
        .clock = &app->clock,
        .recorder = hub->recorder,
        .groups = app->groups,
    };
    struct command_lane *lane = command_lane_start(&options);
    atomic_store(&app->commands, lane);
    return lane != NULL;
}

static bool start_twins(struct hub *hub)
{
    struct app *app = &hub->app;
    atomic_store(&app->starting, "waiting for NATS");
    if (!wait_connected(hub))
        return true;
    atomic_store(&app->starting, "making sure of the streams");
    if (!ensure_streams(hub))
        return true;
    atomic_store(&app->starting, "reading TWIN_LAST");
    if (!start_shadow_lane(hub))
        return false;
    if (!load_last(hub))
        return true;

    atomic_store(&app->starting, "reading TWIN_SHADOW");
    hub->presence =
        presence_lane_start(app->config, app->bus, app->store, &app->clock, hub->recorder);
    if (!hub->presence || !start_shadows(hub))
        return false;
    if (!wait_recovered(hub))
        return true;

    atomic_store(&app->starting, "folding TWIN_STATE");
    struct registry *registry = atomic_load(&app->registry);
    struct state_lane *state =
        state_lane_start(app->config, app->bus, app->store, hub->recorder, registry);
    if (!state)
        return false;
    atomic_store(&app->state, state);
    presence_lane_listen(hub->presence, state);
    while (!atomic_load(&hub->stop) && !(state_lane_recovered(state) && state_lane_hearing(state)))
        clock_pause_ms(TICK_MS / 10);
    if (atomic_load(&hub->stop))
        return true;
    hub->settler = shadow_settler_start(app->config, app->bus, app->store, hub->recorder,
                                        hub->shadow, hub->found.mark.streams[STREAM_RECORD]);
    hub->checkpoint = checkpoint_lane_start(app->bus, app->store, hub->recorder, registry,
                                            app->config->twins.checkpoint_s * 1000);
    hub->track = track_lane_start(app->config, app->store, &app->clock, state, hub->recorder);
    if (!hub->settler || !hub->checkpoint || !hub->track)
        return false;
    if (!start_commands(hub))
        return false;
    atomic_store(&app->heard_ms, clock_mono_ms());
    atomic_store(&app->recovered, true);
    atomic_store(&app->starting, NULL);
    log_info("hub.ready", "vehicles", LOG_INT(store_count(app->store)));
    return true;
}

static void *starter_run(void *closure)
{
    struct hub *hub = closure;
    int64_t looked_ms = clock_mono_ms() - STREAMS_LOOK_MS;
    if (!start_twins(hub)) {
        log_error("hub.not_started", "detail", "out of memory");
        fail(hub);
        return NULL;
    }
    while (!atomic_load(&hub->stop)) {
        struct state_lane *state = atomic_load(&hub->app.state);
        if (state && state_lane_hearing(state))
            atomic_store(&hub->app.heard_ms, clock_mono_ms());
        if (hub->access)
            access_http_sweep(hub->access);
        if (clock_mono_ms() - looked_ms >= STREAMS_LOOK_MS) {
            streams_measure(hub->app.bus);
            looked_ms = clock_mono_ms();
        }
        clock_pause_ms(TICK_MS);
    }
    return NULL;
}

/* ---- the whole ---- */

static bool open_bus(const struct hub *hub, const char *name, struct bus **bus)
{
    const struct config *config = hub->app.config;
    struct bus_options options = {
        .url = config->nats.url,
        .name = name,
        .creds_file = config->nats.creds,
        .tls_ca_file = config->nats.tls.ca,
        .tls_cert_file = config->nats.tls.cert,
        .tls_key_file = config->nats.tls.key,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
    };
    struct bus_error error;
    if (bus_open(&options, bus, &error) == BUS_OK)
        return true;
    log_error("hub.nats_unusable", "error", error.text);
    return false;
}

/* A database at another version is a refusal, and so is one that cannot be migrated. One that is
 * not there is not: the hub works without, and the record lane waits for it. */
static enum migrate_status look_at_database(const struct hub *hub, bool first)
{
    const struct config *config = hub->app.config;
    struct buf report = BUF_INIT;
    enum migrate_status status =
        hub->migrate ? migrate_run(config->postgres.admin_dsn, config->postgres.dsn, &report)
                     : migrate_check(config->postgres.dsn, &report);
    if (status == MIGRATE_REFUSED)
        log_error("hub.database_refused", "detail", buf_cstr(&report));
    else if (status == MIGRATE_UNREACHABLE && first)
        log_warn("hub.database_unreachable", "detail", buf_cstr(&report));
    else if (status == MIGRATE_OK && hub->migrate)
        log_info("hub.migrated", "detail", buf_cstr(&report));
    buf_done(&report);
    return status;
}

/* On a thread of its own, when the database was not there at the start. */
static void *database_run(void *closure)
{
    struct hub *hub = closure;
    enum migrate_status status = MIGRATE_UNREACHABLE;
    while (!atomic_load(&hub->stop) && status == MIGRATE_UNREACHABLE) {
        for (int ms = 0; ms < DATABASE_RETRY_MS && !atomic_load(&hub->stop); ms += TICK_MS)
            clock_pause_ms(TICK_MS);
        status = look_at_database(hub, false);
    }
    if (status == MIGRATE_REFUSED)
        fail(hub);
    return NULL;
}

static bool check_database(struct hub *hub)
{
    enum migrate_status status = look_at_database(hub, true);
    if (status == MIGRATE_UNREACHABLE)
        hub->database_running = pthread_create(&hub->database, NULL, database_run, hub) == 0;
    return status == MIGRATE_OK || hub->database_running;
}

/* As many as the system lets it: the usual soft limit of 1,024 is kept for programs that use
 * select(). */
static void raise_open_files(const struct config *config)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < (rlim_t)config->http.limits.connections + OTHER_FILES)
        log_warn("hub.few_open_files", "limit", LOG_INT(files.rlim_max), "detail",
                 "less than http.limits.connections needs; raise the hard limit (LimitNOFILE)");
}

struct http_settings hub_http_settings(const struct hub *hub)
{
    const struct config *config = config_now(hub->app.config);
    bool open = config->auth.mode == AUTH_OFF;
    return (struct http_settings){
        .connections_max = (unsigned)config->http.limits.connections,
        .per_address_max = (unsigned)config->http.limits.per_address,
        .header_bytes_max = (size_t)config->http.limits.header_bytes,
        .body_bytes_max = (size_t)config->http.limits.body_bytes,
        .request_ms = (unsigned)config->http.limits.request_s * S_MS,
        .reply_ms = (unsigned)config->http.limits.reply_s * S_MS,
        .streams_per_principal = (unsigned)config->http.limits.streams_per_principal,
        .exports_per_principal = (unsigned)config->http.limits.exports_per_principal,
        .cors_origins = config->http.cors_origins,
        .open_at = open ? hub->app.config->http.listen : NULL,
        .auth = open ? NULL : access_http_auth(hub->access),
    };
}

static bool start_http(struct hub *hub)
{
    const struct config *config = hub->app.config;
    raise_open_files(config);
    char error[256];
    struct http_options options = {
        .listen = config->http.listen,
        .settings = hub_http_settings(hub),
        .event_threads = HTTP_EVENT_THREADS,
        .workers = HTTP_WORKERS,
        .scan_workers = HTTP_SCAN_WORKERS,
        .nats_workers = HTTP_NATS_WORKERS,
        .queue_max = HTTP_QUEUE_MAX,
        .routes = routes,
        .route_count = route_count,
        .app = &hub->app,
        .viewer = &viewer_all,
        .gate = position_gate_http(hub->gate),
        .tls_certificate_file = config->http.tls.cert,
        .tls_key_file = config->http.tls.key,
    };
    metrics_routes(routes, route_count);
    metrics_build_label("nats_c", bus_library_version());
    hub->http = http_start(&options, error);
    if (!hub->http) {
        log_error("hub.http_not_started", "listen", config->http.listen, "error", error);
        return false;
    }
    notify_say("READY=1");
    log_info("hub.listening", "listen", config->http.listen, "port", LOG_INT(http_port(hub->http)));
    return true;
}

/* For the archive, in a fleet whose vehicles must be registered first. */
static enum record_admission admits(void *closure, struct slice vid, int64_t received_ns)
{
    struct app *app = closure;
    enum registry_recheck asked;
    struct registry *registry = atomic_load(&app->registry);
    for (int ms = 0; !registry && ms < REGISTRY_WAIT_MS; ms += TICK_MS) {
        clock_pause_ms(TICK_MS);
        registry = atomic_load(&app->registry);
    }
    if (!registry)
        return RECORD_NOT_KNOWN_NOW;
    if (registry_admitted(registry, vid, received_ns, &asked))
        return RECORD_ADMITTED;
    return asked == REGISTRY_SILENT ? RECORD_NOT_KNOWN_NOW : RECORD_NOT_ADMITTED;
}

/* Of all connections; the others are for those who ask once. */
static size_t live_clients_max(const struct config *config)
{
    size_t connections = (size_t)config->http.limits.connections;
    return connections - connections / LIVE_REST_SHARE;
}

static struct live *start_live(struct app *app)
{
    struct live_options options = {
        .store = app->store,
        .clock = &app->clock,
        .groups = app->groups,
        .region = app->config->region,
        .presence = presence_limits_of(app->config),
        .clients_max = live_clients_max(app->config),
    };
    return live_new(&options);
}

/* Tokens and grants are kept also while access is off, so that it can be prepared. */
static bool start_access(struct hub *hub)
{
    struct app *app = &hub->app;
    char error[512];
    app->access = access_new(app->config, app->bus, error);
    if (!app->access) {
        log_error("hub.access_not_started", "error", error);
        return false;
    }
    hub->access =
        access_http_new(app->access, hub->recorder, config_listens_on_loopback(app->config));
    return hub->access != NULL;
}

static bool start(struct hub *hub)
{
    struct app *app = &hub->app;
    app->store = store_new();
    if (app->store)
        broker_clock_init(&app->clock, app->store);
    if (!app->store || !open_bus(hub, "fleethub", &app->bus) ||
        !open_bus(hub, "fleethub-urgent", &hub->urgent_bus) || !check_database(hub))
        return false;
    bool registered = app->config->vehicles.admission == ADMISSION_REGISTERED;
    app->groups = groups_new(app->config, app->bus, app->store);
    hub->recorder = recorder_new(app->bus, app->config->env, app->config->region);
    char error[AUDIT_ERROR_BYTES];
    if (!record_signers_load(app->config, &hub->signers, error)) {
        log_error("hub.signing_key_unusable", "error", error);
        return false;
    }
    app->record =
        record_lane_start(&(struct record_lane_options){.config = app->config,
                                                        .bus = app->bus,
                                                        .admits = registered ? admits : NULL,
                                                        .admits_closure = app,
                                                        .signers = &hub->signers});
    if (app->record)
        hub->keeper =
            record_keeper_start(&(struct record_keeper_options){.config = app->config,
                                                                .bus = app->bus,
                                                                .lane = app->record,
                                                                .clock = &app->clock,
                                                                .purge_age_s = RECORD_PURGE_AGE_S});
    app->recorder = hub->recorder;
    app->archive = archive_reader_new(app->config->postgres.dsn, HTTP_WORKERS);
    struct audit_keys keys;
    record_signers_keys(&hub->signers, &keys);
    app->audit = audit_runner_new(app->config->postgres.dsn, &keys);
    app->exports = exports_new(app->config->postgres.dsn);
    app->follow = record_follow_new(app->config->postgres.dsn);
    app->live = app->groups ? start_live(app) : NULL;
    app->command_watch = command_watch_new(app);
    hub->gate = app->archive ? position_gate_new(app->store, app->archive) : NULL;
    if (!app->live || !app->exports || !app->follow || !app->command_watch || !hub->recorder ||
        !hub->keeper || !app->audit || !hub->gate || !start_access(hub) || !start_http(hub))
        return false;
    hub->starter_running = pthread_create(&hub->starter, NULL, starter_run, hub) == 0;
    return hub->starter_running;
}

/* A drain that hangs on a peer ends like a crash, and loses as little: nothing. */
static void *drain_watch(void *closure)
{
    (void)closure;
    clock_pause_ms(DRAIN_MAX_MS);
    log_error("hub.drain_cut_short", "after_ms", LOG_INT(DRAIN_MAX_MS), "detail",
              "what was not written is made again from the streams at the next start");
    _exit(0);
}

static void stop(struct hub *hub)
{
    struct app *app = &hub->app;
    pthread_t watch;
    if (pthread_create(&watch, NULL, drain_watch, NULL) == 0)
        pthread_detach(watch);
    atomic_store(&hub->stop, true);
    if (hub->starter_running)
        pthread_join(hub->starter, NULL);
    if (hub->database_running)
        pthread_join(hub->database, NULL);
    live_drain(app->live);
    command_watch_drain(app->command_watch);
    exports_drain(app->exports);
    record_follow_drain(app->follow);
    position_gate_stop(hub->gate);
    while (!http_stop(hub->http, HTTP_STOP_MS))
        ; /* a handler still waits for PostgreSQL, which has its deadlines; drain_watch has ours */
    while (!exports_stop(app->exports, HTTP_STOP_MS))
        ;
    exports_free(app->exports);
    command_watch_free(app->command_watch);
    command_lane_stop(atomic_load(&app->commands));
    record_follow_free(app->follow);
    archive_reader_free(app->archive);
    audit_runner_free(app->audit);
    track_lane_stop(hub->track);
    presence_lane_stop(hub->presence); /* before the feeds: it asks them whether they hear */
    state_lane_stop(atomic_load(&app->state));
    shadow_settler_stop(hub->settler); /* before the lane: it asks it what it saw */
    shadow_lane_stop(hub->shadow);
    checkpoint_lane_stop(hub->checkpoint);
    groups_stop(app->groups);
    if (app->access)
        access_stop(app->access);
    access_http_free(hub->access); /* its last counts go to the recorder */
    registry_stop(atomic_load(&app->registry));
    recorder_free(hub->recorder, RECORDER_STOP_MS);
    record_keeper_stop(hub->keeper);
    record_lane_stop(app->record, RECORD_STOP_MS);
    record_signers_done(&hub->signers);
    registry_free(atomic_load(&app->registry));
    shadow_writer_free(app->shadow);
    position_gate_free(hub->gate);
    live_free(app->live);
    groups_free(app->groups);
    access_free(app->access);
    last_found_done(&hub->found);
    bus_close(hub->urgent_bus, BUS_STOP_MS);
    bus_close(app->bus, BUS_STOP_MS);
    if (app->store)
        broker_clock_done(&app->clock);
    store_free(app->store);
}

int hub_run(const struct hub_run_options *options)
{
    struct hub *hub = calloc(1, sizeof *hub);
    int result = -1;
    if (!hub)
        return -1;
    hub->app.config = options->config;
    hub->migrate = options->migrate;
    hub->failed_fd = eventfd(0, EFD_CLOEXEC);
    if (!failpoint_init())
        log_warn("hub.no_such_failpoint", "detail", "FLEETHUB_FAILPOINT names none; ignored");
    if (hub->failed_fd >= 0 && start(hub)) {
        result = hub_wait(hub, options) ? 0 : -1;
        log_info("hub.stopping");
    }
    stop(hub);
    if (hub->failed_fd >= 0)
        close(hub->failed_fd);
    free(hub);
    log_info("hub.stopped");
    return result;
}
