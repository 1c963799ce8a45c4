#include "tests/integration/record_help.h"

#include "hub/clock.h"
#include "hub/log.h"
#include "hub/migrate.h"
#include "hub/tree_store.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { STOP_MS = 10000, STORE_MS = 10000, OUTBOX_MAX = 1000, LOOK_MS = 20 };

struct record_help help;

static void configure(struct config *config, char *dsn, char *url)
{
    static char env[] = "t", region[] = "r";
    *config = (struct config){.env = env, .region = region};
    config->postgres.dsn = config->postgres.admin_dsn = dsn;
    config->nats.url = url;
    config->record.checkpoint_s = 60;
    config->nats.limits.payload_bytes = ENVELOPE_MAX_BYTES_DEFAULT;
}

/* ---- servers, streams, connections ---- */

int record_help_servers(void **state)
{
    (void)state;
    log_setup(LOG_ERROR, false);
    bus_server_start(&help.nats, NULL, NULL);
    pg_server_start(&help.postgres);
    configure(&help.config, help.postgres.dsn, help.nats.url);
    return 0;
}

int record_help_servers_done(void **state)
{
    (void)state;
    bus_server_done(&help.nats);
    pg_server_done(&help.postgres);
    return 0;
}

void record_help_streams(void)
{
    help_stream(help.bus, "TWIN_EVENTS", "fleet.t.veh.*.evt.>");
    help_stream(help.bus, "TWIN_ACK", "fleet.t.veh.*.cmdack.>");
    help_stream(help.bus, "TWIN_RECORD", "fleet.t.hub.r.record.>");
    help_stream(help.bus, "TWIN_CHECKPOINTS", "fleet.t.hub.r.checkpoint");
    help_stream(help.bus, "ARCHIVED", "fleet.t.hub.r.archived");
}

static void streams_delete(void)
{
    static const char *const names[] = {"TWIN_EVENTS", "TWIN_ACK", "TWIN_RECORD",
                                        "TWIN_CHECKPOINTS", "ARCHIVED"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct bus_stream_info info;
        struct bus_error error;
        char call[64];
        snprintf(call, sizeof call, "STREAM.DELETE.%s", names[i]);
        if (bus_stream_info(help.bus, names[i], &info, &error) == BUS_OK)
            help_api(help.bus, call, NULL);
    }
}

void record_help_reconnect(void)
{
    pg_close(help.pg);
    int64_t until_ms = clock_mono_ms() + HELP_ARCHIVE_WAIT_MS;
    while (!(help.pg = pg_server_connect(&help.postgres))) {
        assert_true(clock_mono_ms() < until_ms);
        clock_pause_ms(LOOK_MS);
    }
    help_wait_connected(help.bus, true);
}

int record_help_setup(void **state)
{
    (void)state;
    struct buf report = BUF_INIT;
    help.bus = help_open(&help.nats, true);
    help.pg = pg_server_connect(&help.postgres);
    assert_non_null(help.pg);
    streams_delete();
    record_help_streams();
    pg_server_script(help.pg, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    if (migrate_run(help.postgres.dsn, NULL, &report) != MIGRATE_OK)
        fail_msg("%s", buf_cstr(&report));
    buf_done(&report);
    return 0;
}

int record_help_teardown(void **state)
{
    (void)state;
    record_help_stop();
    pg_close(help.pg);
    help.pg = NULL;
    bus_close(help.bus, STOP_MS);
    help.bus = NULL;
    return 0;
}

/* ---- lanes ---- */

void record_help_start(void)
{
    struct record_lane_options options = {
        .config = &help.config, .bus = help.bus, .signers = help.signers};
    help.lane = record_lane_start(&options);
    assert_non_null(help.lane);
}

void record_help_stop(void)
{
    record_lane_stop(help.lane, STOP_MS);
    help.lane = NULL;
}

static void child_main(char *dsn, char *url)
{
    struct config config;
    struct bus *bus = NULL;
    struct bus_error error;
    struct bus_options bus_options = {.url = url, .name = "lane"};
    sigset_t ends;
    int signal;

    log_setup(getenv("RECORD_TEST_LOG") ? LOG_DEBUG : LOG_ERROR, false);
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    configure(&config, dsn, url);
    if (bus_open(&bus_options, &bus, &error) != BUS_OK)
        exit(2);
    struct record_lane_options options = {.config = &config, .bus = bus};
    struct record_lane *lane = record_lane_start(&options);
    if (!lane)
        exit(2);
    sigwait(&ends, &signal);
    record_lane_stop(lane, STOP_MS);
    bus_close(bus, STOP_MS);
    exit(0);
}

void record_help_child(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--lane") == 0)
        child_main(argv[2], argv[3]);
}

pid_t record_help_spawn(void)
{
    pid_t parent = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    execl("/proc/self/exe", "record_test", "--lane", help.postgres.dsn, help.nats.url,
          (char *)NULL);
    _exit(127);
}

void record_help_signal(pid_t pid, int signal)
{
    int status;
    assert_int_equal(kill(pid, signal), 0);
    if (signal == SIGSTOP || signal == SIGCONT)
        return;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (signal == SIGTERM)
        assert_int_equal(status, 0);
}

/* ---- publishing ---- */

static void count_stored(void *closure, uint64_t tag, enum bus_status status, uint64_t seq)
{
    (void)tag;
    (void)seq;
    if (status == BUS_OK)
        atomic_fetch_add((atomic_int *)closure, 1);
}

void record_help_events(const char *vid, int from, int count)
{
    char subject[128], payload[256];
    atomic_int stored = 0;
    struct bus_outbox *outbox = bus_outbox_new(help.bus, OUTBOX_MAX, count_stored, &stored);
    assert_non_null(outbox);
    snprintf(subject, sizeof subject, "fleet.t.veh.%s.evt.waypoint", vid);
    for (int i = from; i < from + count; i++) {
        int size = snprintf(payload, sizeof payload,
                            "{\"timestamp\":\"2026-01-15T10:30:00.123Z\",\"boot\":\"b7\","
                            "\"seq\":%d,\"data\":{\"index\":%d,\"severity\":\"info\","
                            "\"text\":\"reached the next waypoint of the mission\"}}",
                            i, i);
        struct bus_store what = {.subject = subject,
                                 .data = payload,
                                 .size = (size_t)size,
                                 .expected_last_of_subject = BUS_ANY_SEQ};
        enum bus_status status;
        while ((status = bus_outbox_store(outbox, &what, (uint64_t)i)) == BUS_FULL)
            assert_true(bus_outbox_flush(outbox, STORE_MS));
        assert_int_equal(status, BUS_OK);
    }
    assert_true(bus_outbox_flush(outbox, STORE_MS));
    bus_outbox_free(outbox);
    assert_int_equal(atomic_load(&stored), count);
}

uint64_t record_help_store(const char *subject, const void *payload, size_t size)
{
    struct bus_store what = {
        .subject = subject, .data = payload, .size = size, .expected_last_of_subject = BUS_ANY_SEQ};
    struct bus_error error = {""};
    uint64_t seq = 0;
    if (bus_store(help.bus, &what, STORE_MS, &seq, &error) != BUS_OK)
        fail_msg("%s: %s", subject, error.text);
    return seq;
}

/* ---- looking ---- */

void record_help_wait(const char *sql, int64_t wanted)
{
    int64_t until_ms = clock_mono_ms() + HELP_ARCHIVE_WAIT_MS, value;
    while ((value = pg_server_int(help.pg, sql)) != wanted) {
        if (clock_mono_ms() > until_ms) {
            struct record_lane_status status = {.error = ""};
            if (help.lane)
                record_lane_status(help.lane, &status);
            fail_msg("%s: %lld instead of %lld (lane: %s)", sql, (long long)value,
                     (long long)wanted, status.error);
        }
        clock_pause_ms(LOOK_MS);
    }
}

/* The tree is that of the records: its root, from tiles and edge, is the one of all their hashes.
 */
static void check_tree(int64_t records)
{
    static const struct pg_statement hashes = {.sql = "SELECT hash FROM records ORDER BY seq"};
    static struct tree_reader reader;
    struct tree_spine spine;
    struct tree_hash wanted, found;
    struct pg_result *rows = NULL;
    struct pg_error error;

    if (pg_run(help.pg, &hashes, NULL, &rows, &error) != PG_OK ||
        tree_reader_open(&reader, help.pg, &error) != PG_OK)
        fail_msg("%s", error.text);
    tree_spine_init(&spine);
    for (int row = 0; row < pg_rows(rows); row++) {
        struct tree_hash leaf;
        memcpy(leaf.bytes, pg_get_bytes(rows, row, 0, NULL), sizeof leaf.bytes);
        tree_spine_append(&spine, 0, &leaf);
    }
    pg_result_free(rows);
    assert_int_equal(reader.edge.size, records);
    tree_spine_root(&spine, &wanted);
    tree_edge_root(&reader.edge, &found);
    assert_memory_equal(found.bytes, wanted.bytes, sizeof found.bytes);
    if (!tree_root_at(&reader.source, records, &found))
        fail_msg("%s", reader.error.text);
    assert_memory_equal(found.bytes, wanted.bytes, sizeof found.bytes);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM tree_tiles WHERE level = 0"),
                     records / TREE_TILE_NODES);
}

void record_help_check_log(void)
{
    int64_t count = pg_server_int(help.pg, "SELECT count(*) FROM records");
    assert_int_equal(pg_server_int(help.pg, "SELECT coalesce(max(seq), 0) FROM records"), count);
    assert_int_equal(pg_server_int(help.pg, "SELECT coalesce(min(seq), 1) FROM records"), 1);
    assert_int_equal(pg_server_int(help.pg, "SELECT next_seq FROM log_head"), count + 1);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(DISTINCT id) FROM records"), count);
    assert_int_equal(
        pg_server_int(help.pg, "SELECT count(*) FROM records r JOIN digests d USING (id, seq)"),
        count);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM digests"), count);
    assert_int_equal(pg_server_int(help.pg,
                                   "SELECT count(*) FROM (SELECT archived < lag(archived) "
                                   "OVER (ORDER BY seq) AS back FROM records) AS a WHERE back"),
                     0);
    check_tree(count);
}
