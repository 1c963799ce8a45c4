/* How long it takes to verify a record, beside reading its rows alone.
 *
 *     bench_audit POSTGRES_DSN [RECORDS]       an empty database of the benchmark's own
 *
 * One JSON object a line. The limit is what the project asks for: 3 s for a million records. */
#include "hub/audit_db.h"
#include "hub/clock.h"
#include "hub/config.h"
#include "hub/log.h"
#include "hub/migrate.h"
#include "hub/record_batch.h"
#include "hub/record_checkpoint.h"
#include "hub/record_commit.h"
#include "hub/record_lease.h"
#include "hub/record_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { RECORDS_DEFAULT = 1000000, ROUNDS = 3, SETTLE_MS = 300 };
#define LIMIT_S_PER_MILLION 3.0

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_audit: %s: %s\n", what, why);
    exit(1);
}

static struct pg *open_pg(const char *dsn)
{
    struct pg_options options = {
        .dsn = dsn, .name = "bench", .connect_timeout_ms = 5000, .call_timeout_ms = 600000};
    struct pg_error error;
    struct pg *pg = NULL;
    if (pg_open(&options, &pg, &error) != PG_OK)
        die("connecting", error.text);
    return pg;
}

/* An event as vehicles send them, some 200 bytes of it data. */
static void add_event(struct record_batch *batch, int64_t i)
{
    char data[320], vid[32];
    struct record record;
    record_init(&record);
    int size = snprintf(data, sizeof data,
                        "{\"index\":%lld,\"severity\":\"info\",\"lat\":59.91%06lld,"
                        "\"lon\":10.75%06lld,\"alt\":%lld.25,\"mode\":\"AUTO\",\"mission\":"
                        "\"survey-2026-01-15\",\"text\":\"reached the next waypoint of the "
                        "mission\",\"satellites\":14}",
                        (long long)i, (long long)(i * 7919 % 1000000),
                        (long long)(i * 104729 % 1000000), (long long)(i % 120));
    int vid_size = snprintf(vid, sizeof vid, "VID-%04lld", (long long)(i % 1000));
    record_id_of(RECORD_EVENT, &i, sizeof i, record.id);
    record.kind = RECORD_EVENT;
    record.severity = SEVERITY_INFO;
    record.vid = (struct slice){vid, (size_t)vid_size};
    record.type = (struct slice){"waypoint", 8};
    record.boot = (struct slice){"b7", 2};
    record.vehicle_seq = i;
    record.timestamp_ns = (INT64_C(1768473000) * 1000 + i) * NS_PER_MS + i % 1000;
    record.received_ns = record.timestamp_ns + 3 * NS_PER_MS + 217;
    record.stream = (struct slice){"TWIN_EVENTS", 11};
    record.stream_seq = i + 1;
    record.data = (struct slice){data, (size_t)size};
    if (!record_batch_add(batch, &record, (int32_t)(record.timestamp_ns / NS_PER_S / 86400)))
        die("filling", "no memory");
}

static void fill(struct pg *pg, const struct config *config, const struct record_signers *signers,
                 int64_t records)
{
    static const struct record_progress nothing[RECORD_STREAMS];
    struct record_batch *batch = record_batch_new(config->region);
    struct record_commit *commit = record_commit_new();
    struct record_checkpoint *checkpoint = record_checkpoint_new(config, NULL, signers);
    struct record_outcome outcome;
    struct pg_error error;
    enum record_lease lease;
    int64_t writer;
    if (!batch || !commit || !checkpoint)
        die("filling", "no memory");
    if (record_lease_claim(pg, "bench/r", "bench", &lease, &writer, &error) != PG_OK ||
        lease != RECORD_LEASE_MINE)
        die("filling", "the database is somebody else's");
    record_batch_limit(batch, RECORD_BATCH_ROWS);
    record_tree_checkpoints(record_commit_tree(commit), checkpoint);
    if (record_checkpoint_begin(checkpoint, pg, batch, &error) != PG_OK)
        die("filling", error.text);
    for (int64_t i = 0; i < records;) {
        while (i < records && !record_batch_full(batch))
            add_event(batch, i++);
        if (record_commit_batch(commit, batch, pg, writer, nothing, &outcome, &error) != PG_OK ||
            outcome.fenced)
            die("filling", error.text);
        record_batch_reset(batch);
    }
    record_commit_free(commit);
    record_checkpoint_free(checkpoint);
    record_batch_free(batch);
}

static double copy_s(struct pg *pg)
{
    struct pg_error error;
    int64_t from_ms = clock_mono_ms();
    if (pg_script(pg, "COPY (SELECT * FROM records) TO PROGRAM 'cat > /dev/null' (FORMAT binary)",
                  &error) != PG_OK)
        die("copying", error.text);
    return (double)(clock_mono_ms() - from_ms) / 1000;
}

/* CPU that this process has used; the server's is beside it. */
static double cpu_s(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* The same of all sessions of the server that have ended: its postmaster, on this machine, is their
 * parent and has waited for them. */
static double server_cpu_s(struct pg *pg)
{
    char path[64], text[1024];
    long parent = 0;
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pg_backend_pid(pg));
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(path, "r");
        size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
        if (file)
            fclose(file);
        text[size] = '\0';
        const char *at = strrchr(text, ')');
        if (!at || sscanf(at + 1, " %*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %lu %lu",
                          &parent, &user, &system) != 3)
            return 0;
        snprintf(path, sizeof path, "/proc/%ld/stat", parent);
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double verify_s(const struct audit_request *request, int64_t records)
{
    struct audit_report report;
    int64_t from_ms = clock_mono_ms();
    audit_db_verify(request, &report);
    if (report.verdict != AUDIT_GOOD || report.records < records)
        die("verifying", report.verdict == AUDIT_BAD ? report.bad.reason : report.error);
    return (double)(clock_mono_ms() - from_ms) / 1000;
}

static void show(const char *name, const char *unit, double value)
{
    printf("{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",\"limit\":null,\"ratio\":null}\n", name,
           value, unit);
}

int main(int argc, char **argv)
{
    static char env[] = "bench", region[] = "r";
    int64_t records = argc > 2 ? atoll(argv[2]) : RECORDS_DEFAULT;
    struct config config = {.env = env, .region = region};
    struct record_signers signers = {NULL, NULL};
    struct audit_keys keys = {.count = 1};
    struct buf report = BUF_INIT, pem = BUF_INIT;
    char error[AUDIT_ERROR_BYTES];
    struct pg_error pg_error;
    if (argc < 2 || records < 1)
        die("usage", "bench_audit POSTGRES_DSN [RECORDS]");
    log_setup(LOG_ERROR, false);
    config.record.checkpoint_s = 60;
    if (migrate_run(argv[1], NULL, &report) != MIGRATE_OK)
        die("migrating", buf_cstr(&report));
    if (!audit_key_make(&pem, error) ||
        !audit_signer_read(pem.data, pem.size_bytes, &signers.current, error))
        die("making a key", error);
    memcpy(keys.keys[0].public, audit_signer_public(signers.current), AUDIT_PUBLIC_BYTES);
    struct pg *pg = open_pg(argv[1]);
    fill(pg, &config, &signers, records);
    if (pg_script(pg, "VACUUM ANALYZE records", &pg_error) != PG_OK)
        die("vacuum", pg_error.text);

    struct audit_request request = {.dsn = argv[1], .keys = &keys};
    double copied = copy_s(pg), best = 0, limit = LIMIT_S_PER_MILLION * (double)records / 1e6;
    double cpu = cpu_s(), server_cpu = server_cpu_s(pg);
    for (int round = 0; round < ROUNDS; round++) {
        double took = verify_s(&request, records);
        best = round == 0 || took < best ? took : best;
        printf("{\"name\":\"audit_verify\",\"value\":%.3f,\"unit\":\"s\",\"limit\":%.3f,"
               "\"ratio\":%.3f}\n",
               took, limit, took / limit);
    }
    printf("{\"name\":\"audit_verify_against_copy\",\"value\":%.3f,\"unit\":\"s\",\"limit\":%.3f,"
           "\"ratio\":%.3f}\n",
           best, copied, best / copied);
    cpu = (cpu_s() - cpu) / ROUNDS;
    clock_pause_ms(SETTLE_MS); /* the last sessions end */
    server_cpu = (server_cpu_s(pg) - server_cpu) / ROUNDS;
    show("audit_verify_cpu_here", "us/record", cpu * 1e6 / (double)records);
    show("audit_verify_cpu_server", "us/record", server_cpu * 1e6 / (double)records);
    /* What it takes where it has two processors for itself, as it is made for. */
    double both = (cpu + server_cpu) / 2;
    printf("{\"name\":\"audit_verify_cpu_of_two\",\"value\":%.3f,\"unit\":\"s\",\"limit\":%.3f,"
           "\"ratio\":%.3f}\n",
           both, limit, both / limit);
    pg_close(pg);
    record_signers_done(&signers);
    buf_done(&report);
    buf_done(&pem);
    return 0;
}
