/*
 * Folding TWIN_STATE from a stream that is already full, beside an ordered consumer of nats.c that
 * reads the same stream and does nothing. Interleaved runs, medians, one JSON object a line.
 *
 *     bench_stream URL [VEHICLES [MESSAGES [RUNS]]]
 *
 * The server at URL is empty and has JetStream; tests/bench/stream.py starts one and calls this.
 */
#include "hub/bus.h"
#include "hub/clock.h"
#include "hub/config.h"
#include "hub/log.h"
#include "hub/recorder.h"
#include "hub/state_lane.h"
#include "hub/store.h"
#include "hub/streams.h"

#include <inttypes.h>
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
    PENDING_MAX = 10000000,
    RUNS_MAX = 31,
    RUN_MAX_MS = 120000,
    MESSAGE_BYTES = 512,
    CONNECT_MAX_MS = 10000
};

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_stream: %s\n", what);
    exit(1);
}

/* ---- the stream ---- */

/* What vehicles say, in the shares of 22 messages a second. */
static int message(char *out, char *subject, int vehicle, uint64_t seq)
{
    static const char types[] = "papapapapapapapapapab."; /* '.': mode and health in turn */
    char kind = types[seq % 22], time[TIMESTAMP_TEXT_BYTES], data[256];
    const char *type = "position";
    double wave = (double)(seq % 1000) / 1000;
    timestamp_format(clock_wall_ns(), time);
    switch (kind) {
    case 'p':
        snprintf(
            data, sizeof data,
            "{\"lat\":%.7f,\"lon\":%.7f,\"alt\":%.2f,\"rel_alt\":%.2f,\"vx\":%.2f,\"vy\":-0.53,"
            "\"vz\":0.02,\"heading\":%.2f}",
            59.9 + wave / 100, 10.7 + wave / 90, 120 + wave, 40 + wave, 5 * wave, 360 * wave);
        break;
    case 'a':
        type = "attitude";
        snprintf(data, sizeof data, "{\"roll\":%.5f,\"pitch\":-0.01244,\"yaw\":%.5f}", wave / 10,
                 wave * 3);
        break;
    case 'b':
        type = "battery";
        snprintf(data, sizeof data, "{\"voltage\":15.812,\"current\":18.07,\"remaining\":%.3f}",
                 1 - wave);
        break;
    default:
        type = seq % 44 < 22 ? "mode" : "health";
        snprintf(data, sizeof data, "%s",
                 seq % 44 < 22
                     ? "{\"mode\":\"AUTO\",\"armed\":true}"
                     : "{\"cpu_load\":0.352,\"errors\":0,\"sensors_ok\":true,\"gps_fix\":3,"
                       "\"satellites\":17}");
    }
    snprintf(subject, 96, "fleet.bench.veh.VID-%06d.state.%s", vehicle, type);
    return snprintf(out, MESSAGE_BYTES,
                    "{\"vid\":\"VID-%06d\",\"timestamp\":\"%s\",\"boot\":\"b7\",\"seq\":%" PRIu64
                    ",\"data\":%s}",
                    vehicle, time, seq, data);
}

static void fill(natsConnection *nc, struct bus *bus, int vehicles, uint64_t messages)
{
    char text[MESSAGE_BYTES], subject[96];
    struct bus_stream_info info = {0};
    struct bus_error error;
    for (uint64_t i = 0; i < messages; i++) {
        int size = message(text, subject, (int)(i % (uint64_t)vehicles), i / (uint64_t)vehicles);
        if (natsConnection_Publish(nc, subject, text, size) != NATS_OK)
            die("cannot publish");
        if (i % 20000 == 0 && natsConnection_FlushTimeout(nc, 30000) != NATS_OK)
            die("cannot flush");
    }
    natsConnection_FlushTimeout(nc, 30000);
    int64_t until_ms = clock_mono_ms() + RUN_MAX_MS;
    while (info.last_seq < messages && clock_mono_ms() < until_ms)
        if (bus_stream_info(bus, "TWIN_STATE", &info, &error) != BUS_OK)
            die(error.text);
    if (info.last_seq < messages)
        die("the stream did not fill");
}

/* ---- the two readers ---- */

static _Atomic uint64_t counted;

static void count(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
    (void)nc, (void)sub, (void)closure;
    atomic_fetch_add_explicit(&counted, 1, memory_order_relaxed);
    natsMsg_Destroy(msg);
}

struct measured {
    double rate, cpu_us;
};

static struct measured measured(uint64_t messages, int64_t began_ms, double began_cpu)
{
    double ms = (double)(clock_mono_ms() - began_ms);
    return (struct measured){(double)messages * 1000 / ms,
                             (cpu_s() - began_cpu) * 1e6 / (double)messages};
}

static void await(const char *what, uint64_t (*reached)(void *), void *closure, uint64_t messages)
{
    int64_t until_ms = clock_mono_ms() + RUN_MAX_MS;
    while (reached(closure) < messages) {
        if (clock_mono_ms() > until_ms)
            die(what);
        clock_pause_ms(1);
    }
}

/* A consumer that does nothing keeps up all the same; one that is dropped from has no rate. */
static bool connect_unbounded(natsConnection **nc, const char *url)
{
    natsOptions *options = NULL;
    bool good = natsOptions_Create(&options) == NATS_OK &&
                natsOptions_SetURL(options, url) == NATS_OK &&
                natsOptions_SetMaxPendingMsgs(options, PENDING_MAX) == NATS_OK &&
                natsConnection_Connect(nc, options) == NATS_OK;
    natsOptions_Destroy(options);
    return good;
}

static uint64_t count_reached(void *closure)
{
    (void)closure;
    return atomic_load(&counted);
}

static struct measured run_limit(natsConnection *nc, uint64_t messages)
{
    jsCtx *js = NULL;
    jsSubOptions options;
    natsSubscription *sub = NULL;
    jsErrCode code;
    atomic_store(&counted, 0);
    jsSubOptions_Init(&options);
    options.Stream = "TWIN_STATE";
    options.Ordered = true;
    if (natsConnection_JetStream(&js, nc, NULL) != NATS_OK)
        die("no JetStream");
    int64_t began_ms = clock_mono_ms();
    double began_cpu = cpu_s();
    if (js_Subscribe(&sub, js, "fleet.bench.veh.*.state.>", count, NULL, NULL, &options, &code) !=
        NATS_OK)
        die("cannot subscribe");
    await("the limit did not end", count_reached, NULL, messages);
    struct measured result = measured(messages, began_ms, began_cpu);
    natsSubscription_Unsubscribe(sub);
    natsSubscription_Destroy(sub);
    jsCtx_Destroy(js);
    return result;
}

static uint64_t fold_reached(void *closure)
{
    return store_position(closure, STREAM_STATE).seq;
}

static struct measured run_fold(const struct config *config, struct bus *bus, uint64_t messages,
                                int vehicles)
{
    struct store *store = store_new();
    struct recorder *recorder = recorder_new(bus, config->env, config->region);
    if (!store || !recorder)
        die("out of memory");
    uint64_t before = metrics_get(METRIC_MESSAGES, STREAM_STATE, OUTCOME_APPLIED);
    int64_t began_ms = clock_mono_ms();
    double began_cpu = cpu_s();
    struct state_lane *lane = state_lane_start(config, bus, store, recorder, NULL);
    if (!lane)
        die("no lane");
    await("the fold did not end", fold_reached, store, messages);
    struct measured result = measured(messages, began_ms, began_cpu);
    state_lane_stop(lane);
    if (metrics_get(METRIC_MESSAGES, STREAM_STATE, OUTCOME_APPLIED) - before != messages ||
        store_count(store) != (uint32_t)vehicles)
        die("not every message was applied");
    recorder_free(recorder, 1000);
    store_free(store);
    return result;
}

/* ---- the whole ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count_)
{
    qsort(values, (size_t)count_, sizeof *values, by_value);
    return values[count_ / 2];
}

int main(int argc, char **argv)
{
    const char *url = argc > 1 ? argv[1] : NULL;
    int vehicles = argc > 2 ? atoi(argv[2]) : 1000, runs = argc > 4 ? atoi(argv[4]) : 5;
    uint64_t messages = argc > 3 ? strtoull(argv[3], NULL, 10) : 500000;
    if (!url || vehicles < 1 || runs < 1 || runs > RUNS_MAX)
        die("usage: bench_stream URL [VEHICLES [MESSAGES [RUNS]]]");
    log_setup(LOG_WARN, false);

    struct config config = {.env = (char *)"bench", .region = (char *)"bench"};
    config.nats.limits.payload_bytes = ENVELOPE_MAX_BYTES_DEFAULT;
    config.nats.limits.state_bytes = 4ll << 30;
    config.nats.limits.events_bytes = config.nats.limits.ack_bytes =
        config.nats.limits.record_bytes = 64 << 20;
    config.nats.limits.state_age_s = 86400;
    config.nats.replicas = 1;
    config.vehicles.max_clock_skew_s = 300;

    struct bus *bus;
    struct bus_error error;
    struct buf report = BUF_INIT;
    natsConnection *nc = NULL;
    if (bus_open(&(struct bus_options){.url = url, .name = "bench", .connect_timeout_ms = 2000},
                 &bus, &error) != BUS_OK ||
        !connect_unbounded(&nc, url))
        die("cannot connect");
    int64_t until_ms = clock_mono_ms() + CONNECT_MAX_MS;
    while (!bus_connected(bus) && clock_mono_ms() < until_ms)
        clock_pause_ms(10);
    if (streams_ensure(bus, &config, &report) != BUS_OK)
        die(buf_cstr(&report));
    fill(nc, bus, vehicles, messages);

    double limit[RUNS_MAX], fold[RUNS_MAX], ratio[RUNS_MAX], cpu[RUNS_MAX], limit_cpu[RUNS_MAX];
    for (int i = -1; i < runs; i++) { /* the first pair warms up */
        struct measured a = run_limit(nc, messages);
        struct measured b = run_fold(&config, bus, messages, vehicles);
        if (i < 0)
            continue;
        limit[i] = a.rate, fold[i] = b.rate, ratio[i] = b.rate / a.rate;
        cpu[i] = b.cpu_us, limit_cpu[i] = a.cpu_us;
    }
    printf("{\"name\":\"stream.fold.%d\",\"value\":%.0f,\"unit\":\"messages/s\",\"limit\":%.0f,"
           "\"ratio\":%.3f}\n",
           vehicles, median(fold, runs), median(limit, runs), median(ratio, runs));
    double cpu_limit = median(limit_cpu, runs), cpu_fold = median(cpu, runs);
    printf("{\"name\":\"stream.cpu.%d\",\"value\":%.3f,\"unit\":\"us/message\",\"limit\":%.3f,"
           "\"ratio\":%.3f}\n",
           vehicles, cpu_fold, cpu_limit, cpu_fold / cpu_limit);
    natsConnection_Destroy(nc);
    bus_close(bus, 1000);
    buf_done(&report);
    return 0;
}
