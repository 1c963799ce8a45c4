/*
 * bench_archive: how fast the record lane takes a full TWIN_EVENTS into PostgreSQL (read, parse,
 * hash, insert, commit), beside COPY BINARY of the same rows into the same table.
 *
 *     bench_archive NATS_URL POSTGRES_DSN [EVENTS]
 *
 * Both servers are private ones: streams and tables of the hub are made anew. Prints one JSON
 * object a line.
 */
#include "hub/bus.h"
#include "hub/clock.h"
#include "hub/log.h"
#include "hub/migrate.h"
#include "hub/pg.h"
#include "hub/record_lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EVENTS_DEFAULT = 200000, OUTBOX_MAX = 2000, VEHICLES = 1000, WAIT_MS = 600000, COPIES = 3 };

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_archive: %s: %s\n", what, why);
    exit(1);
}

static void ignore(void *closure, uint64_t tag, enum bus_status status, uint64_t seq)
{
    (void)tag;
    (void)seq;
    if (status != BUS_OK)
        ++*(_Atomic int *)closure;
}

static void fill(struct bus *bus, int events)
{
    _Atomic int failed = 0;
    char subject[128], payload[256];
    struct bus_outbox *outbox = bus_outbox_new(bus, OUTBOX_MAX, ignore, &failed);
    for (int i = 0; outbox && i < events; i++) {
        /* Ten thousand a second, each up to a second on its way. */
        int ms = i / 10 + i % VEHICLES * 7919 % 1000;
        snprintf(subject, sizeof subject, "fleet.bench.veh.VID-%04d.evt.waypoint", i % VEHICLES);
        int size =
            snprintf(payload, sizeof payload,
                     "{\"timestamp\":\"2026-01-15T10:%02d:%02d.%03dZ\",\"boot\":\"b7\",\"seq\":%d,"
                     "\"data\":{\"index\":%d,\"lat\":59.9139,\"lon\":10.7522,\"alt\":120.5,"
                     "\"severity\":\"info\",\"text\":\"reached waypoint of the mission\"}}",
                     ms / 60000 % 60, ms / 1000 % 60, ms % 1000, i, i);
        struct bus_store what = {.subject = subject,
                                 .data = payload,
                                 .size = (size_t)size,
                                 .expected_last_of_subject = BUS_ANY_SEQ};
        while (bus_outbox_store(outbox, &what, (uint64_t)i) == BUS_FULL)
            bus_outbox_flush(outbox, WAIT_MS);
    }
    if (!outbox || !bus_outbox_flush(outbox, WAIT_MS) || failed)
        die("filling the stream", "not every message was stored");
    bus_outbox_free(outbox);
}

static void streams(struct bus *bus)
{
    static const char *const names[][2] = {{"TWIN_EVENTS", "fleet.bench.veh.*.evt.>"},
                                           {"TWIN_ACK", "fleet.bench.veh.*.cmdack.>"},
                                           {"TWIN_RECORD", "fleet.bench.hub.r.record.>"}};
    for (size_t i = 0; i < 3; i++) {
        struct bus_stream_spec spec = {.name = names[i][0], .subject = names[i][1], .replicas = 1};
        struct bus_error error;
        if (bus_stream_create(bus, &spec, &error) != BUS_OK)
            die(names[i][0], error.text);
    }
}

static double cpu_s(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* What a process has used so far: of a server's backend, which runs on this machine. Its resolution
 * is a tick, ten milliseconds. */
static double process_cpu_s(int64_t pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *file = fopen(path, "r");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[size] = '\0';
    const char *at = strrchr(text, ')');
    if (!at ||
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static int64_t number(struct pg *pg, const char *sql)
{
    struct pg_statement statement = {.sql = sql};
    struct pg_result *rows = NULL;
    struct pg_error error;
    if (pg_run(pg, &statement, NULL, &rows, &error) != PG_OK)
        die(sql, error.text);
    int64_t value = pg_rows(rows) == 1 ? pg_get_int(rows, 0, 0) : 0;
    pg_result_free(rows);
    return value;
}

/* Rows a second of the lane, from its start to the last commit. */
static double lane_rate(struct config *config, struct bus *bus, struct pg *pg, int events,
                        double *cpu_us, double *server_cpu_us)
{
    struct record_lane_options options = {.config = config, .bus = bus};
    struct record_lane_status status;
    double cpu = cpu_s();
    int64_t from_ms = clock_mono_ms();
    struct record_lane *lane = record_lane_start(&options);
    do {
        clock_pause_ms(5);
        record_lane_status(lane, &status);
        if (clock_mono_ms() - from_ms > WAIT_MS)
            die("archiving", status.error);
    } while (status.streams[0].archived_seq < (uint64_t)events);
    int64_t took_ms = clock_mono_ms() - from_ms;
    *cpu_us = (cpu_s() - cpu) * 1e6 / events;
    *server_cpu_us = process_cpu_s(number(pg, "SELECT backend_pid FROM log_head")) * 1e6 / events;
    record_lane_stop(lane, WAIT_MS);
    return events * 1000.0 / (double)took_ms;
}

static void script(struct pg *pg, const char *sql)
{
    struct pg_error error;
    if (pg_script(pg, sql, &error) != PG_OK)
        die(sql, error.text);
}

struct cost {
    double ms;
    double cpu_us; /* of the server, each row */
};

static int by_ms(const void *a, const void *b)
{
    double one = ((const struct cost *)a)->ms, two = ((const struct cost *)b)->ms;
    return (one > two) - (one < two);
}

/* The limit: the server copies the same rows, with the same indexes, from a file of its own. The
 * median of COPIES. */
static struct cost copy_cost(struct pg *pg, const char *table, int events)
{
    char sql[256], file[128];
    struct cost costs[COPIES];
    snprintf(file, sizeof file, "/tmp/fleethub-bench-%lld.copy", (long long)clock_wall_ns());
    snprintf(sql, sizeof sql, "COPY (SELECT * FROM %s ORDER BY seq) TO '%s' (FORMAT binary)", table,
             file);
    script(pg, sql);
    for (int i = 0; i < COPIES; i++) {
        snprintf(sql, sizeof sql, "TRUNCATE %s", table);
        script(pg, sql);
        snprintf(sql, sizeof sql, "COPY %s FROM '%s' (FORMAT binary)", table, file);
        double cpu = process_cpu_s(pg_backend_pid(pg));
        int64_t from_ms = clock_mono_ms();
        script(pg, sql);
        costs[i].ms = (double)(clock_mono_ms() - from_ms);
        costs[i].cpu_us = (process_cpu_s(pg_backend_pid(pg)) - cpu) * 1e6 / events;
    }
    remove(file);
    qsort(costs, COPIES, sizeof *costs, by_ms);
    return costs[COPIES / 2];
}

static void show(const char *name, const char *unit, double value, double limit, double ratio)
{
    printf(
        "{\"name\":\"archive.%s\",\"value\":%.1f,\"unit\":\"%s\",\"limit\":%.1f,\"ratio\":%.2f}\n",
        name, value, unit, limit, ratio);
}

int main(int argc, char **argv)
{
    static char env[] = "bench", region[] = "r";
    int events = argc > 3 ? atoi(argv[3]) : EVENTS_DEFAULT;
    struct buf report = BUF_INIT;
    struct bus_error bus_error;
    struct pg_error pg_error;
    struct bus *bus = NULL;
    struct pg *pg = NULL;
    double cpu_us, lane_cpu_us;

    if (argc < 3 || events < 1)
        die("usage", "bench_archive NATS_URL POSTGRES_DSN [EVENTS]");
    log_setup(LOG_WARN, false);
    struct config config = {.env = env, .region = region};
    config.postgres.dsn = config.postgres.admin_dsn = argv[2];
    config.nats.limits.payload_bytes = ENVELOPE_MAX_BYTES_DEFAULT;
    struct bus_options bus_options = {.url = argv[1], .name = "bench"};
    struct pg_options pg_options = {
        .dsn = argv[2], .name = "bench", .connect_timeout_ms = 5000, .call_timeout_ms = WAIT_MS};
    if (bus_open(&bus_options, &bus, &bus_error) != BUS_OK)
        die(argv[1], bus_error.text);
    if (pg_open(&pg_options, &pg, &pg_error) != PG_OK)
        die(argv[2], pg_error.text);
    while (!bus_connected(bus))
        clock_pause_ms(10);
    if (migrate_run(argv[2], NULL, &report) != MIGRATE_OK)
        die("migrating", buf_cstr(&report));
    streams(bus);
    fill(bus, events);

    double lane = lane_rate(&config, bus, pg, events, &cpu_us, &lane_cpu_us);
    struct cost records = copy_cost(pg, "records", events);
    struct cost digests = copy_cost(pg, "digests", events);
    double copy = events * 1000.0 / records.ms;
    double both = events * 1000.0 / (records.ms + digests.ms);
    show("lane", "rows/s", lane, copy, lane / copy);
    /* The lane also writes the digests, by which it knows what came twice. */
    show("lane_with_digests", "rows/s", lane, both, lane / both);
    /* Of one processor's time, whatever else the machine is doing. */
    show("postgres_cpu", "us/row", lane_cpu_us, records.cpu_us, records.cpu_us / lane_cpu_us);
    show("postgres_cpu_with_digests", "us/row", lane_cpu_us, records.cpu_us + digests.cpu_us,
         (records.cpu_us + digests.cpu_us) / lane_cpu_us);
    printf("{\"name\":\"archive.hub_cpu\",\"value\":%.1f,\"unit\":\"us/row\"}\n", cpu_us);
    buf_done(&report);
    pg_close(pg);
    bus_close(bus, 1000);
    return 0;
}
