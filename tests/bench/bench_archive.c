/*
 * bench_archive: how fast the record lane takes a full TWIN_EVENTS into PostgreSQL (read, parse,
 * hash, insert, commit), beside COPY BINARY of the same rows into the same table.
 *
 *     bench_archive NATS_URL POSTGRES_DSN [EVENTS]
 *
 * Both servers are private ones: streams and tables of the hub are made anew. They take turns, each
 * time with empty tables, and what counts is the median of ROUNDS:
 *
 *   lane    from when its stream is open until all of it is committed
 *   stream  the same rows, ready in memory, by COPY FROM STDIN in binary over a connection as the
 *           lane's, a transaction each COPY_ROWS: as many as the lane takes into one
 *   file    the same rows by one COPY from a file of the server's own, in one transaction: what
 *           nobody can do who is not on the server's machine
 *
 * Prints one JSON object a line.
 */
#include "hub/bus.h"
#include "hub/clock.h"
#include "hub/log.h"
#include "hub/migrate.h"
#include "hub/pg.h"
#include "hub/record_batch.h"
#include "hub/record_lane.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    EVENTS_DEFAULT = 200000,
    OUTBOX_MAX = 2000,
    VEHICLES = 1000,
    WAIT_MS = 600000,
    ROUNDS = 5,
    COPY_ROWS = RECORD_BATCH_ROWS,
};

/* In the order in which the lane loads them. */
#define RECORD_COLUMNS                                                                             \
    "seq, id, hash, kind, vid, type, severity, actor, request_id, boot, boot_raw, vehicle_seq, "   \
    "timestamp, timestamp_rest_ns, received, received_rest_ns, stream, stream_seq, region, "       \
    "archived, data, raw"
enum { RECORD_COLUMNS_MAX = 22 };

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
                                           {"TWIN_RECORD", "fleet.bench.hub.r.record.>"},
                                           {"TWIN_CHECKPOINTS", "fleet.bench.hub.r.checkpoint"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct bus_stream_spec spec = {.name = names[i][0], .subject = names[i][1], .replicas = 1};
        struct bus_error error;
        if (bus_stream_create(bus, &spec, &error) != BUS_OK)
            die(names[i][0], error.text);
    }
}

static double own_cpu_us(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

/* Of a process on this machine: how long it has run, and how long it could have run and had no
 * processor. */
struct ran {
    double cpu_us, kept_us;
};

static struct ran ran(int64_t pid)
{
    char path[64];
    double cpu_ns = 0, kept_ns = 0;
    snprintf(path, sizeof path, "/proc/%lld/schedstat", (long long)pid);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%lf %lf", &cpu_ns, &kept_ns) != 2)
        die(path, "cannot be read");
    fclose(file);
    return (struct ran){cpu_ns / 1e3, kept_ns / 1e3};
}

/* What a row costs, in microseconds. */
struct cost {
    double wall_us;
    double server_us; /* of the backend's processor time */
    double idle_us;   /* the backend had nothing to do */
    double hub_us;    /* of the lane's process */
};

static struct cost cost_of(int rows, double took_us, struct ran before, struct ran after)
{
    double cpu_us = after.cpu_us - before.cpu_us, kept_us = after.kept_us - before.kept_us;
    return (struct cost){took_us / rows, cpu_us / rows, (took_us - cpu_us - kept_us) / rows, 0};
}

static double now_us(void)
{
    return (double)clock_mono_ns() / 1e3;
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

static void script(struct pg *pg, const char *sql)
{
    struct pg_error error;
    if (pg_script(pg, sql, &error) != PG_OK)
        die(sql, error.text);
}

/* As a database in which nothing has been archived yet. */
static void empty(struct pg *pg)
{
    script(pg, "TRUNCATE records, digests, tree_tiles, tree_edge, checkpoints, stream_positions; "
               "UPDATE log_head SET next_seq = 1");
}

/* And in which no checkpoint was ever published. */
static void forget_checkpoints(struct bus *bus)
{
    struct bus_stream_info info;
    struct bus_error error;
    if (bus_stream_info(bus, "TWIN_CHECKPOINTS", &info, &error) != BUS_OK ||
        bus_stream_purge(bus, "TWIN_CHECKPOINTS", info.last_seq + 1, NULL, &error) != BUS_OK)
        die("TWIN_CHECKPOINTS", error.text);
}

static void lane_wait(struct record_lane *lane, struct record_lane_status *status,
                      int64_t archived_seq)
{
    int64_t from_ms = clock_mono_ms();
    do {
        clock_pause_ms(1);
        record_lane_status(lane, status);
        if (clock_mono_ms() - from_ms > WAIT_MS)
            die("archiving", status->error);
    } while (!status->streams[0].open || (int64_t)status->streams[0].archived_seq < archived_seq);
}

static struct cost lane_cost(struct config *config, struct bus *bus, struct pg *pg, int events)
{
    struct record_lane_options options = {.config = config, .bus = bus};
    struct record_lane_status status;
    empty(pg);
    forget_checkpoints(bus);
    struct record_lane *lane = record_lane_start(&options);
    lane_wait(lane, &status, 0);
    int64_t backend = number(pg, "SELECT backend_pid FROM log_head");
    double hub_us = own_cpu_us(), from_us = now_us();
    struct ran before = ran(backend);
    lane_wait(lane, &status, events);
    struct cost cost = cost_of(events, now_us() - from_us, before, ran(backend));
    cost.hub_us = (own_cpu_us() - hub_us) / events;
    record_lane_stop(lane, WAIT_MS);
    return cost;
}

/* ---- the same rows again ---- */

/* Each field as its size (four bytes, -1: null) and its bytes, in the order of seq. */
struct table {
    const char *name;
    const char *columns;
    int column_count;
    struct buf fields;
};

static void read_rows(struct pg *pg, struct table *table)
{
    char sql[512];
    struct pg_field fields[RECORD_COLUMNS_MAX];
    struct pg_error error;
    bool over = false;
    snprintf(sql, sizeof sql, "COPY (SELECT %s FROM %s ORDER BY seq) TO STDOUT (FORMAT binary)",
             table->columns, table->name);
    if (pg_copy_begin(pg, sql, &error) != PG_OK)
        die(sql, error.text);
    while (!over) {
        if (pg_copy_next(pg, fields, table->column_count, &over, &error) != PG_OK)
            die(sql, error.text);
        for (int i = 0; !over && i < table->column_count; i++) {
            int32_t size = fields[i].at ? (int32_t)fields[i].size : -1;
            buf_add(&table->fields, &size, sizeof size);
            buf_add(&table->fields, fields[i].at ? fields[i].at : "", fields[i].size);
        }
    }
    if (table->fields.failed)
        die(sql, "no memory");
}

/* Loads `rows` rows and says what follows them. */
static const char *load_rows(struct pg *pg, const struct table *table, const char *at, int rows)
{
    char sql[512];
    struct pg_load load;
    struct pg_error error;
    snprintf(sql, sizeof sql, "COPY %s (%s) FROM STDIN (FORMAT binary)", table->name,
             table->columns);
    if (pg_load_begin(&load, pg, sql, &error) != PG_OK)
        die(sql, error.text);
    for (; rows > 0; rows--) {
        if (pg_load_row(&load, table->column_count, &error) != PG_OK)
            die(sql, error.text);
        for (int i = 0; i < table->column_count; i++) {
            int32_t size;
            memcpy(&size, at, sizeof size);
            at += sizeof size;
            if (size < 0) {
                pg_load_null(&load);
                continue;
            }
            pg_load_bytes(&load, at, (size_t)size);
            at += size;
        }
    }
    if (pg_load_end(&load, &error) != PG_OK || pg_load_result(&load, &error) != PG_OK)
        die(sql, error.text);
    return at;
}

static struct cost stream_cost(struct pg *pg, const struct table *table, int rows)
{
    const char *at = table->fields.data;
    empty(pg);
    struct ran before = ran(pg_backend_pid(pg));
    double from_us = now_us();
    for (int left = rows; left > 0; left -= COPY_ROWS)
        at = load_rows(pg, table, at, left < COPY_ROWS ? left : COPY_ROWS);
    return cost_of(rows, now_us() - from_us, before, ran(pg_backend_pid(pg)));
}

/* A file of the server's own, in a place that both may write to. */
static void write_file(struct pg *pg, const char *file)
{
    char sql[256];
    snprintf(sql, sizeof sql, "COPY (SELECT * FROM records ORDER BY seq) TO '%s' (FORMAT binary)",
             file);
    script(pg, sql);
}

static struct cost file_cost(struct pg *pg, const char *file, int rows)
{
    char sql[256];
    empty(pg);
    snprintf(sql, sizeof sql, "COPY records FROM '%s' (FORMAT binary)", file);
    struct ran before = ran(pg_backend_pid(pg));
    double from_us = now_us();
    script(pg, sql);
    return cost_of(rows, now_us() - from_us, before, ran(pg_backend_pid(pg)));
}

/* ---- what came out ---- */

static int by_value(const void *a, const void *b)
{
    double one = *(const double *)a, two = *(const double *)b;
    return (one > two) - (one < two);
}

/* The median of one member of what a row cost. */
static double median(const struct cost costs[ROUNDS], size_t offset)
{
    double values[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        memcpy(&values[i], (const char *)&costs[i] + offset, sizeof values[i]);
    qsort(values, ROUNDS, sizeof *values, by_value);
    return values[ROUNDS / 2];
}
#define MEDIAN(costs, member) median(costs, offsetof(struct cost, member))

static void show(const char *name, const char *unit, double value, double limit, double ratio)
{
    printf(
        "{\"name\":\"archive.%s\",\"value\":%.2f,\"unit\":\"%s\",\"limit\":%.2f,\"ratio\":%.3f}\n",
        name, value, unit, limit, ratio);
}

static void show_rate(const char *name, const struct cost lane[ROUNDS],
                      const struct cost limit[ROUNDS])
{
    double of_lane = 1e6 / MEDIAN(lane, wall_us), of_limit = 1e6 / MEDIAN(limit, wall_us);
    show(name, "rows/s", of_lane, of_limit, of_lane / of_limit);
}

static void show_server(const char *name, const struct cost lane[ROUNDS],
                        const struct cost limit[ROUNDS])
{
    double of_lane = MEDIAN(lane, server_us), of_limit = MEDIAN(limit, server_us);
    show(name, "us/row", of_lane, of_limit, of_limit / of_lane);
}

static void compare(struct config *config, struct bus *bus, struct pg *pg, int events)
{
    static struct table records = {
        .name = "records", .columns = RECORD_COLUMNS, .column_count = RECORD_COLUMNS_MAX};
    static struct table digests = {.name = "digests", .columns = "id, day, seq", .column_count = 3};
    struct cost lane[ROUNDS], stream[ROUNDS], both[ROUNDS], file[ROUNDS];
    char path[128];
    snprintf(path, sizeof path, "/tmp/fleethub-bench-%lld.copy", (long long)clock_wall_ns());
    for (int i = 0; i < ROUNDS; i++) {
        lane[i] = lane_cost(config, bus, pg, events);
        if (i == 0) {
            read_rows(pg, &records);
            read_rows(pg, &digests);
            write_file(pg, path);
        }
        stream[i] = stream_cost(pg, &records, events);
        struct cost of_digests = stream_cost(pg, &digests, events);
        both[i] = stream[i];
        both[i].wall_us += of_digests.wall_us;
        both[i].server_us += of_digests.server_us;
        file[i] = file_cost(pg, path, events);
    }
    remove(path);
    buf_done(&records.fields);
    buf_done(&digests.fields);
    show_rate("lane", lane, stream);
    /* The lane also writes the digests, by which it knows what came twice. */
    show_rate("lane_with_digests", lane, both);
    show_rate("lane_beside_file", lane, file);
    /* Of one processor's time, whatever else the machine is doing. */
    show_server("postgres_cpu", lane, stream);
    show_server("postgres_cpu_with_digests", lane, both);
    show_server("postgres_cpu_beside_file", lane, file);
    show("postgres_idle", "us/row", MEDIAN(lane, idle_us), MEDIAN(stream, idle_us),
         MEDIAN(stream, idle_us) / MEDIAN(lane, idle_us));
    printf("{\"name\":\"archive.hub_cpu\",\"value\":%.2f,\"unit\":\"us/row\"}\n",
           MEDIAN(lane, hub_us));
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
    compare(&config, bus, pg, events);
    buf_done(&report);
    pg_close(pg);
    bus_close(bus, 1000);
    return 0;
}
