#include "tools/run.h"
#include "tools/run_crew.h"

#include "twin/timestamp.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define POLL_EVERY_NS (1 * NS_PER_MS) /* looking for what has come in */
#define TICK_EVERY_NS (5 * NS_PER_MS) /* time limits */
#define SLEEP_MAX_NS (5 * NS_PER_MS)
#define SLEEP_MIN_NS (50 * INT64_C(1000)) /* below it waiting costs more than it saves */
#define PROGRESS_EVERY_NS (1 * NS_PER_S)
#define FLUSH_MS INT64_C(5000)
#define STOPPED_FLUSH_MS INT64_C(1000)
enum { POLL_EVERY_MESSAGES = 32 };

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    if (stopped)
        _exit(EXIT_FAILED); /* the second one: at once */
    stopped = 1;
}

void run_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    run_crew_catch_signal();
    signal(SIGPIPE, SIG_IGN);
}

bool run_stopped(void)
{
    return stopped != 0;
}

struct sim_bus *run_connect(const struct run_options *options)
{
    struct sim_error error;
    struct sim_bus_options bus_options = {
        .url = options->url,
        .creds_file = options->creds,
        .tls_ca_file = options->tls_ca,
        .tls_cert_file = options->tls_cert,
        .tls_key_file = options->tls_key,
        .connect_timeout_ms = (int64_t)(options->connect_timeout_s * 1000),
        .stopped = run_stopped,
    };
    struct sim_bus *bus = sim_bus_open(&bus_options, &error);
    if (!bus)
        fprintf(stderr, "fleetsim: %s\n", error.text);
    return bus;
}

/* ---- opening ---- */

static bool send_kept(void *closure, const char *subject, const void *payload, size_t size,
                      const char *msg_id, uint64_t tag)
{
    struct sim_bus *bus = closure;
    struct sim_header header = {"Nats-Msg-Id", msg_id};
    return sim_bus_connected(bus) && sim_bus_store(bus, subject, payload, size, &header, 1, tag);
}

static bool open_gateway(struct run *run)
{
    struct sim_error error;
    char subject[3 * TOKEN_MAX_BYTES];
    struct gateway_config config = {
        .send = send_kept, .closure = run->bus, .until_archived = !run->options->no_gateway};

    run->gateway = gateway_new(&config);
    if (!run->gateway)
        return false;
    if (run->options->no_gateway)
        return true;
    snprintf(subject, sizeof subject, "fleet.%s.hub.%s.archived", run->options->env,
             run->options->region);
    run->archived = sim_sub_open(run->bus, subject, &error);
    if (!run->archived)
        fprintf(stderr, "fleetsim: %s\n", error.text);
    return run->archived != NULL;
}

static bool open_sender(struct run *run, const struct run_setup *setup)
{
    struct sender_config config = {
        .env = run->options->env,
        .roster = setup->roster,
        .bus = run->bus,
        .gateway = run->gateway,
        .report = &run->report,
        .faults = run->options->faults,
        .seed = (uint64_t)run->options->seed,
        .expected_total = setup->expected_total,
        .state_acks = run->options->state_acks,
        .drop_state = setup->live && !run->options->state_acks,
    };
    int64_t most = run->options->max_messages;
    if (most > 0 && (config.expected_total == 0 || config.expected_total > (uint64_t)most))
        config.expected_total = (uint64_t)most;
    run->sender = sender_new(&config);
    return run->sender != NULL;
}

static bool open_shadow(struct run *run, const struct run_setup *setup)
{
    struct sim_error error = {"no memory"};
    struct shadow_config config = {
        .env = run->options->env,
        .dots = run->options->dots,
        .roster = setup->roster,
        .bus = run->bus,
        .counts = &run->shadow_counts,
        .facts = setup->facts,
        .follow = setup->follow,
        .closure = setup->closure,
        .ignore_desired = run->options->ignore_desired,
        .follow_delay_ns = run->options->follow_delay_ms * NS_PER_MS,
        .known_keys = run->options->known_keys,
        .seed = (uint64_t)run->options->seed,
    };
    if (!setup->shadow)
        return true;
    run->shadow = shadow_new(&config, &error);
    if (!run->shadow)
        fprintf(stderr, "fleetsim: %s\n", error.text);
    return run->shadow != NULL;
}

bool run_open(struct run *run, const struct run_setup *setup)
{
    bool kinds[HOSTILE_COUNT];

    memset(run, 0, sizeof *run);
    run->setup = *setup;
    run->options = setup->options;
    run->progress = setup->options->progress || isatty(STDERR_FILENO);
    if (!hostile_kinds_parse(setup->options->faults.hostile_kinds, kinds)) {
        fprintf(stderr, "fleetsim: --hostile-kinds: no such kind in \"%s\"\n",
                setup->options->faults.hostile_kinds);
        return false;
    }
    run->bus = run_connect(setup->options);
    if (!run->bus)
        return false;
    if (!open_gateway(run) || !open_sender(run, setup) || !open_shadow(run, setup) ||
        !run_crew_open(run, setup)) {
        fprintf(stderr, "fleetsim: cannot start\n");
        return false;
    }
    run->report.command = setup->command;
    run->report.env = setup->options->env;
    run->report.seed = (uint64_t)setup->options->seed;
    run->report.vehicles = roster_count(setup->roster);
    run->report.until_archived = !setup->options->no_gateway;
    run->report.ended_by = "end";
    run->length_ns = setup->length_ns;
    return true;
}

void run_close(struct run *run)
{
    shadow_free(run->shadow);
    crew_free(run->crew);
    sender_free(run->sender);
    gateway_free(run->gateway);
    sim_sub_close(run->archived);
    sim_sub_close(run->commands);
    sim_bus_close(run->bus, 0);
    sim_bus_end();
}

void run_begin(struct run *run)
{
    run->report.started_mono_ns = pace_mono_ns();
    run->report.started_real_ns = pace_real_ns();
    pace_init(&run->pace, run->options->speed, run->length_ns, run->report.started_mono_ns,
              run->report.started_real_ns);
}

void run_boot(struct run *run, uint64_t pass)
{
    char boot[64];
    snprintf(boot, sizeof boot, "b%llx.%llx", (unsigned long long)run->report.started_real_ns,
             (unsigned long long)pass + 1);
    sender_boot(run->sender, boot);
    run->report.passes = pass + 1;
}

/* ---- what comes in ---- */

static void take_position(struct run *run, json_t *root, enum gateway_stream stream, int64_t now_ns)
{
    const char *epoch;
    json_int_t seq;
    if (json_unpack(root, "{s:{s:s, s:I}}", gateway_stream_name(stream), "epoch", &epoch, "seq",
                    &seq) == 0 &&
        seq >= 0)
        gateway_archived(run->gateway, stream, epoch, (uint64_t)seq, now_ns);
}

/* fleet.<env>.hub.<region>.archived */
static void take_archived(struct run *run, const struct sim_msg *msg, int64_t now_ns)
{
    const char *hub = strstr(msg->subject, ".hub.");
    const char *region = hub ? hub + strlen(".hub.") : "";
    size_t size = strcspn(region, ".");

    /* the vehicles' own region is the first that is heard; another's positions mean other streams
     */
    if (run->region[0] == '\0' && size > 0 && size < sizeof run->region)
        memcpy(run->region, region, size);
    if (strlen(run->region) != size || memcmp(run->region, region, size) != 0)
        return;
    json_t *root = json_loadb(msg->data, msg->size, 0, NULL);
    take_position(run, root, GATEWAY_EVENTS, now_ns);
    take_position(run, root, GATEWAY_ACKS, now_ns);
    json_decref(root);
}

static void take_acks(struct run *run, int64_t now_ns)
{
    struct sim_ack ack;
    while (sim_bus_next_ack(run->bus, &ack)) {
        bool stored = ack.outcome == SIM_ACK_STORED;
        if (!shadow_owns(ack.tag))
            gateway_answered(run->gateway, ack.tag, stored ? ack.seq : 0, ack.duplicate, now_ns);
        else if (run->shadow)
            shadow_answered(run->shadow, ack.tag, stored);
    }
}

static void tell_progress(struct run *run, int64_t now_ns)
{
    if (!run->progress || now_ns - run->told_ns < PROGRESS_EVERY_NS)
        return;
    run->told_ns = now_ns;
    fprintf(stderr, "fleetsim: %6.1f s  %llu sent  %zu unacknowledged  %zu kept%s\n",
            (double)(now_ns - run->report.started_mono_ns) / (double)NS_PER_S,
            (unsigned long long)report_sent(&run->report), gateway_unacknowledged(run->gateway),
            gateway_kept(run->gateway), sim_bus_connected(run->bus) ? "" : "  (no connection)");
}

static void pump(struct run *run, int64_t now_ns)
{
    struct sim_msg msg;

    run->polled_ns = now_ns;
    run->since_poll = 0;
    take_acks(run, now_ns); /* those of the connection that was, before the new one is looked at */
    unsigned reconnects = sim_bus_reconnects(run->bus);
    if (reconnects != run->reconnects) {
        run->reconnects = reconnects;
        gateway_reconnected(run->gateway, now_ns);
        if (run->shadow)
            shadow_reconnected(run->shadow);
    }
    while (run->archived && sim_sub_next(run->archived, &msg)) {
        take_archived(run, &msg, now_ns);
        sim_msg_done(&msg);
    }
    run_crew_pump(run, now_ns);
    if (now_ns - run->ticked_ns < TICK_EVERY_NS)
        return;
    run->ticked_ns = now_ns;
    gateway_tick(run->gateway, now_ns);
    if (run->shadow)
        shadow_tick(run->shadow, now_ns);
    tell_progress(run, now_ns);
}

static bool ended(struct run *run)
{
    if (run_stopped())
        run->report.ended_by = "signal";
    else if (run->full)
        run->report.ended_by = "max_messages";
    return run_stopped() || run->full;
}

int64_t run_schedule_ns(const struct run *run)
{
    return pace_schedule(&run->pace, pace_mono_ns());
}

/* ---- sending ---- */

static bool wait_due(struct run *run, int64_t schedule_ns)
{
    int64_t due_ns = pace_due(&run->pace, schedule_ns);

    if (due_ns == INT64_MIN)
        return true;
    for (;;) {
        int64_t now_ns = pace_mono_ns();
        if (now_ns - run->polled_ns >= POLL_EVERY_NS)
            pump(run, now_ns);
        if (due_ns - now_ns <= SLEEP_MIN_NS)
            return true;
        if (ended(run))
            return false;
        pace_sleep(due_ns - now_ns < SLEEP_MAX_NS ? due_ns - now_ns : SLEEP_MAX_NS);
    }
}

/* Waits for a connection and for room in the gateway. */
static bool wait_ready(struct run *run)
{
    if (++run->since_poll >= POLL_EVERY_MESSAGES)
        pump(run, pace_mono_ns());
    while (!ended(run)) {
        if (sender_ready(run->sender))
            return true;
        pace_sleep(SLEEP_MAX_NS);
        pump(run, pace_mono_ns());
    }
    return false;
}

bool run_until(struct run *run, int64_t schedule_ns)
{
    int64_t held_ns;
    while ((held_ns = sender_held_next_ns(run->sender)) <= schedule_ns) {
        if (!wait_due(run, held_ns) || !wait_ready(run))
            return false;
        sender_held_send(run->sender);
    }
    return wait_due(run, schedule_ns) && !ended(run);
}

bool run_send(struct run *run, uint32_t vehicle, int type, const char *data, size_t data_bytes,
              int64_t schedule_ns)
{
    if (!wait_ready(run))
        return false;
    sender_send(run->sender, vehicle, type, data, data_bytes, schedule_ns,
                pace_timestamp(&run->pace, schedule_ns, pace_real_ns()));
    run->full = run->options->max_messages > 0 &&
                report_sent(&run->report) >= (uint64_t)run->options->max_messages;
    return true;
}

void run_say(struct run *run, uint32_t vehicle, int type, const char *data, size_t data_bytes)
{
    int64_t schedule_ns = run_schedule_ns(run);
    sender_send(run->sender, vehicle, type, data, data_bytes, schedule_ns,
                pace_timestamp(&run->pace, schedule_ns, pace_real_ns()));
}

/* ---- the end ---- */

static bool all_acknowledged(struct run *run)
{
    return gateway_unacknowledged(run->gateway) == 0 &&
           (!run->shadow || shadow_settled(run->shadow));
}

static bool all_archived(struct run *run)
{
    return gateway_kept(run->gateway) == 0;
}

static bool wait_for(struct run *run, bool (*done)(struct run *), double timeout_s)
{
    int64_t deadline_ns = pace_mono_ns() + (int64_t)(timeout_s * (double)NS_PER_S);
    for (;;) {
        int64_t now_ns = pace_mono_ns();
        pump(run, now_ns);
        if (done(run))
            return true;
        if (now_ns >= deadline_ns || run_stopped())
            return false;
        pace_sleep(SLEEP_MAX_NS);
    }
}

static bool tell_report(struct run *run)
{
    struct buf text = BUF_INIT;
    bool ok = true;

    report_write(&text, &run->report, run->gateway, run->shadow ? &run->shadow_counts : NULL,
                 run->crew ? crew_counts(run->crew) : NULL, sim_bus_reconnects(run->bus));
    buf_addc(&text, '\n');
    fputs(buf_cstr(&text), stdout);
    if (fflush(stdout) != 0 || text.failed)
        ok = false;
    if (run->options->report_file) {
        FILE *file = fopen(run->options->report_file, "w");
        ok = file && fputs(buf_cstr(&text), file) >= 0 && ok;
        if ((file && fclose(file) != 0) || !ok) {
            fprintf(stderr, "fleetsim: %s: %s\n", run->options->report_file, strerror(errno));
            ok = false;
        }
    }
    buf_done(&text);
    return ok;
}

static void tell_shortcomings(struct run *run, bool archived)
{
    if (gateway_unacknowledged(run->gateway) > 0)
        fprintf(stderr, "fleetsim: %zu messages were acknowledged by no stream\n",
                gateway_unacknowledged(run->gateway));
    if (run->shadow && !shadow_settled(run->shadow))
        fprintf(stderr, "fleetsim: not all of reported was acknowledged by KV_TWIN_SHADOW\n");
    if (!archived)
        fprintf(stderr, "fleetsim: %zu events are not archived\n", gateway_kept(run->gateway));
}

int run_end(struct run *run)
{
    bool acknowledged, archived = true;

    /* what is still held back goes at its time, or at once where the run was cut short */
    while (!ended(run) && sender_held_next_ns(run->sender) != INT64_MAX)
        run_until(run, sender_held_next_ns(run->sender));
    while (sender_held_next_ns(run->sender) != INT64_MAX)
        sender_held_send(run->sender);
    if (!ended(run) || run->full)
        sender_finish(run->sender);
    bool taken = sim_bus_flush(run->bus, run_stopped() ? STOPPED_FLUSH_MS : FLUSH_MS);
    run->report.published_mono_ns = pace_mono_ns();
    acknowledged = wait_for(run, all_acknowledged, run_stopped() ? 0 : run->options->wait_acks_s);
    if (!taken) /* there was no connection then; the wait may have brought it back */
        taken = sim_bus_flush(run->bus, STOPPED_FLUSH_MS);
    if (run->options->wait_archived_s > 0 && !run->options->no_gateway)
        archived = wait_for(run, all_archived, run->options->wait_archived_s);
    run->report.ended_mono_ns = pace_mono_ns();
    ended(run);
    tell_shortcomings(run, archived);
    if (!tell_report(run) || !run_crew_tell(run))
        return EXIT_FAILED;
    if (!archived)
        return EXIT_NOT_ARCHIVED;
    return (acknowledged && taken) || run_stopped() ? EXIT_OK : EXIT_FAILED;
}
