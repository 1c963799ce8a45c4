/* Retention and holds: what goes, what stays, what is said about it, and that proofs still work. */
#include "hub/retention.h"

#include "hub/audit_db.h"
#include "hub/clock.h"
#include "hub/record_keeper.h"
#include "hub/tree_store.h"
#include "tests/integration/audit_help.h"
#include "tests/integration/record_help.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { DAYS = 365, OLD_DAYS = 400, RECENT_DAYS = 100 };

/* Dates of everything in the partition that is written to, moved so many days back, and a new
 * partition for what comes. Whoever can do that owns the tables. */
static void age(int days)
{
    char sql[1600];
    snprintf(sql, sizeof sql,
             "DO $$ DECLARE p record_partitions; old date := current_date - %d; BEGIN "
             "SELECT * INTO STRICT p FROM record_partitions WHERE upper > now() ORDER BY upper "
             "LIMIT 1; "
             "EXECUTE format('ALTER TABLE records DETACH PARTITION %%I', p.name); "
             "EXECUTE format('ALTER TABLE %%I RENAME TO records_old_%d', p.name); "
             "UPDATE records_old_%d SET archived = archived - interval '%d days', "
             "received = received - interval '%d days'; "
             "EXECUTE format('ALTER TABLE records ATTACH PARTITION records_old_%d FOR VALUES FROM "
             "(%%s) TO (%%L)', CASE WHEN p.lower = '-infinity' THEN 'MINVALUE' "
             "ELSE quote_literal(p.lower) END, old + 1); "
             "UPDATE record_partitions SET name = 'records_old_%d', upper = old + 1 "
             "WHERE name = p.name; "
             "PERFORM record_partition_make((old + 1)::timestamptz, p.upper); END $$",
             days, days, days, days, days, days, days);
    pg_server_script(help.pg, sql);
}

/* Digests of the days up to OLD_DAYS ago in a partition of their own. */
static void age_digests(void)
{
    char sql[1024];
    snprintf(sql, sizeof sql,
             "DO $$ DECLARE p digest_partitions; old integer := current_date - date '1970-01-01' - "
             "%d; BEGIN CREATE TEMP TABLE kept AS SELECT * FROM digests WHERE day > 0; "
             "FOR p IN SELECT * FROM digest_partitions LOOP "
             "EXECUTE format('DROP TABLE %%I', p.name); END LOOP; "
             "DELETE FROM digest_partitions; "
             "PERFORM digest_partition_make(1, old + 1); "
             "PERFORM digest_partition_make(old + 1, old + 10000); "
             "INSERT INTO digests SELECT * FROM kept; DROP TABLE kept; END $$",
             OLD_DAYS);
    pg_server_script(help.pg, sql);
}

/* Events of a vehicle whose clock says so many days ago. */
static void events(const char *vid, int from, int count, int days_ago)
{
    char subject[96], payload[256], time[TIMESTAMP_TEXT_BYTES];
    int64_t today_ns = clock_wall_ns() / (86400 * NS_PER_S) * (86400 * NS_PER_S);
    timestamp_format(today_ns - days_ago * (86400 * NS_PER_S) + NS_PER_S, time);
    snprintf(subject, sizeof subject, "fleet.t.veh.%s.evt.waypoint", vid);
    for (int i = from; i < from + count; i++) {
        int size = snprintf(payload, sizeof payload,
                            "{\"timestamp\":\"%s\",\"boot\":\"b\",\"seq\":%d,\"data\":{\"i\":%d}}",
                            time, i, i);
        record_help_store(subject, payload, (size_t)size);
    }
}

static int64_t count(const char *where)
{
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM records WHERE %s", where);
    return pg_server_int(help.pg, sql);
}

static void wait_count(const char *where, int64_t wanted)
{
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM records WHERE %s", where);
    record_help_wait(sql, wanted);
}

/* Twenty old records (ten of V1, ten of V2), ten of V1 that are recent, ten new ones. */
static void history(void)
{
    record_help_start();
    events("V1", 1, 10, OLD_DAYS);
    events("V2", 1, 10, OLD_DAYS);
    wait_count("true", 20);
    age(OLD_DAYS);
    events("V1", 101, 10, RECENT_DAYS);
    wait_count("true", 30);
    age(RECENT_DAYS);
    events("V1", 201, 10, 0);
    wait_count("true", 40);
    age_digests();
}

static struct retention_outcome run_as(int64_t writer)
{
    struct retention retention = {
        .pg = help.pg, .keep_s = retention_keep_s(DAYS), .now_ns = clock_wall_ns()};
    struct retention_outcome outcome;
    struct pg_error error = {.text = ""};
    if (retention_run(&retention, writer, &outcome, &error) != PG_OK)
        fail_msg("%s", error.text);
    return outcome;
}

static struct retention_outcome run(void)
{
    return run_as(pg_server_int(help.pg, "SELECT writer FROM log_head"));
}

static void hold(const char *columns, const char *values)
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "INSERT INTO holds (reason, actor, %s) VALUES ('accident', 'test', %s)", columns,
             values);
    pg_server_script(help.pg, sql);
}

static void retention_drops_what_is_past_it_and_says_so(void **state)
{
    (void)state;
    char text[512];
    history();
    struct retention_outcome outcome = run();
    assert_int_equal(outcome.dropped, 20);
    assert_int_equal(outcome.kept, 0);
    assert_int_equal(count("seq <= 20"), 0);
    assert_int_equal(count("seq BETWEEN 21 AND 40"), 20);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM pg_class WHERE relname LIKE "
                                            "'records_old_400%'"),
                     0);
    wait_count("kind = 'system' AND type = 'retention'", 1);
    pg_server_text(help.pg,
                   "SELECT concat_ws(' ', seq, data->>'first_seq', data->>'last_seq', "
                   "data->>'dropped', data->>'kept', data->>'floor_seq', data->>'retention_days', "
                   "data->'tree'->>'size', length(data->'tree'->>'root')) FROM records "
                   "WHERE type = 'retention'",
                   text, sizeof text);
    assert_string_equal(text, "41 1 20 20 0 21 365 20 64");
    assert_int_equal(pg_server_int(help.pg, "SELECT last_seq FROM retention_runs"), 20);

    outcome = run();
    assert_int_equal(outcome.partitions, 0);
    assert_int_equal(outcome.dropped, 0);
    record_help_wait("SELECT count(*) FROM record_notes WHERE NOT recorded", 0);
    assert_int_equal(count("type = 'retention'"), 1);
}

/* The original is not retained: published again, it is a record again; the others are not. */
static void retention_takes_the_digests_of_what_it_dropped(void **state)
{
    (void)state;
    history();
    run();
    wait_count("type = 'retention'", 1);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM digests WHERE seq <= 20"), 0);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM digests WHERE seq > 20"), 21);
    events("V1", 1, 1, OLD_DAYS);
    events("V1", 101, 1, RECENT_DAYS);
    events("V1", 202, 1, 0);
    events("V3", 1, 1, 0);
    wait_count("vid = 'V3'", 1);
    assert_int_equal(count("vid = 'V1' AND data->>'i' = '1'"), 1);
    assert_int_equal(count("vid = 'V1' AND data->>'i' = '101'"), 1);
    assert_int_equal(count("vid = 'V1' AND data->>'i' = '202'"), 1);
}

/* A message that lay in a gateway for a year has an old day and a new record. */
static void retention_keeps_digests_of_old_messages_that_came_late(void **state)
{
    (void)state;
    history();
    events("V9", 1, 3, OLD_DAYS);
    wait_count("vid = 'V9'", 3);
    run();
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM digests WHERE seq <= 20"), 0);
    events("V9", 1, 3, OLD_DAYS);
    events("V9", 4, 1, OLD_DAYS);
    wait_count("vid = 'V9' AND data->>'i' = '4'", 1);
    assert_int_equal(count("vid = 'V9'"), 4);
}

/* Those that came after the copy, and before it takes the partition's place. */
static void retention_keeps_digests_that_come_while_it_copies(void **state)
{
    (void)state;
    char copy[256], swap[512];
    snprintf(copy, sizeof copy,
             "SELECT retention_digests_copy(name, 21, now() - interval '%d days') "
             "FROM digest_partitions ORDER BY upper LIMIT 1",
             DAYS);
    history();
    events("V8", 1, 2, OLD_DAYS);
    wait_count("vid = 'V8'", 2);
    int64_t upto = pg_server_int(help.pg, copy);
    events("V9", 1, 3, OLD_DAYS);
    events("V9", 4, 1, 0);
    wait_count("vid = 'V9'", 4);
    snprintf(swap, sizeof swap,
             "SELECT retention_digests_swap(writer, name, hold_mark(), 21, %lld)::integer "
             "FROM log_head, digest_partitions ORDER BY upper LIMIT 1",
             (long long)upto);
    assert_int_equal(pg_server_int(help.pg, swap), 1);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records r JOIN digests d "
                                            "USING (id, seq) WHERE r.vid IN ('V8', 'V9')"),
                     6);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM digests"), 46);
    events("V9", 1, 3, OLD_DAYS);
    events("V9", 5, 1, OLD_DAYS);
    wait_count("vid = 'V9' AND data->>'i' = '5'", 1);
    assert_int_equal(count("vid = 'V9'"), 5);
}

static void hold_keeps_a_vehicle_as_it_was(void **state)
{
    (void)state;
    char before[64], after[64];
    static const char digest_of_rows[] =
        "SELECT md5(string_agg(r::text, ',' ORDER BY seq)) FROM records r WHERE vid = 'V2'";
    history();
    hold("vid", "'V2'");
    pg_server_text(help.pg, digest_of_rows, before, sizeof before);
    struct retention_outcome outcome = run();
    assert_int_equal(outcome.dropped, 10);
    assert_int_equal(outcome.kept, 10);
    assert_int_equal(count("vid = 'V1' AND seq <= 20"), 0);
    pg_server_text(help.pg, digest_of_rows, after, sizeof after);
    assert_string_equal(before, after);
    wait_count("type = 'retention' AND data->>'kept' = '10'", 1);

    /* Still known: published again it is no other record. */
    events("V2", 1, 10, OLD_DAYS);
    events("V2", 11, 1, OLD_DAYS);
    wait_count("vid = 'V2' AND data->>'i' = '11'", 1);
    assert_int_equal(count("vid = 'V2'"), 11);
    assert_int_equal(run().dropped, 0);

    pg_server_script(help.pg, "UPDATE holds SET removed = now()");
    outcome = run();
    assert_int_equal(outcome.dropped, 10);
    assert_int_equal(count("vid = 'V2'"), 1);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM digests WHERE seq <= 20"), 0);
    wait_count("type = 'retention'", 2);
}

static void hold_keeps_a_period_of_all_vehicles(void **state)
{
    (void)state;
    history();
    hold("start_time, end_time", "now() - interval '401 days', now() - interval '399 days'");
    struct retention_outcome outcome = run();
    assert_int_equal(outcome.dropped, 0);
    assert_int_equal(outcome.kept, 20);
    assert_int_equal(count("seq <= 20"), 20);
    wait_count("type = 'retention' AND data->>'kept' = '20' AND data->>'first_seq' IS NULL", 1);
    assert_int_equal(run().partitions, 0); /* until the holds are others */
    pg_server_script(help.pg, "UPDATE holds SET removed = now()");
    assert_int_equal(run().dropped, 20);
}

static void retention_of_another_writer_does_nothing(void **state)
{
    (void)state;
    history();
    int64_t writer = pg_server_int(help.pg, "SELECT writer FROM log_head");
    struct retention_outcome outcome = run_as(writer - 1);
    assert_true(outcome.fenced);
    assert_int_equal(outcome.dropped, 0);
    assert_int_equal(count("true"), 40);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM record_notes"), 0);
}

/* An export that runs for hours: retention waits for its end, and nobody waits for retention. */
static void retention_gives_up_where_a_query_is_in_the_way(void **state)
{
    (void)state;
    history();
    struct pg *reader = pg_server_connect(&help.postgres);
    assert_non_null(reader);
    pg_server_script(reader, "BEGIN");
    assert_int_equal(pg_server_int(reader, "SELECT count(*) FROM records"), 40);

    struct retention retention = {
        .pg = help.pg, .keep_s = retention_keep_s(DAYS), .now_ns = clock_wall_ns()};
    struct retention_outcome outcome;
    struct pg_error error;
    pg_server_script(help.pg, "SET lock_timeout = '200ms'");
    assert_int_equal(retention_run(&retention,
                                   pg_server_int(help.pg, "SELECT writer FROM log_head"), &outcome,
                                   &error),
                     PG_FAILED);
    assert_string_equal(error.sqlstate, "55P03");
    events("V4", 1, 1, 0);
    wait_count("vid = 'V4'", 1);
    assert_int_equal(pg_server_int(reader, "SELECT count(*) FROM records WHERE seq <= 20"), 20);
    pg_server_script(reader, "COMMIT");
    pg_close(reader);
    assert_int_equal(run().dropped, 20);
}

/* Killed between the copy and the swap. */
static void retention_broken_off_is_begun_again(void **state)
{
    (void)state;
    history();
    hold("vid", "'V2'");
    pg_server_script(help.pg, "SELECT retention_copy('records_old_400')");
    assert_int_equal(count("true"), 40);
    hold("vid", "'V1'");
    pg_server_script(help.pg, "UPDATE holds SET removed = now() WHERE vid = 'V2'");
    struct retention_outcome outcome = run();
    assert_int_equal(outcome.dropped, 10);
    assert_int_equal(count("vid = 'V2'"), 0);
    assert_int_equal(count("vid = 'V1' AND seq <= 10"), 10);
}

/* Either clock alone may be wrong; and where the log has not gone on, nothing has passed. */
static void retention_by_one_wrong_clock_drops_nothing(void **state)
{
    (void)state;
    history();
    struct retention retention = {.pg = help.pg,
                                  .keep_s = retention_keep_s(DAYS),
                                  .now_ns = clock_wall_ns() - 200 * (86400 * NS_PER_S)};
    struct retention_outcome outcome;
    struct pg_error error;
    int64_t writer = pg_server_int(help.pg, "SELECT writer FROM log_head");
    assert_int_equal(retention_run(&retention, writer, &outcome, &error), PG_OK);
    assert_int_equal(outcome.partitions, 0);
    retention.now_ns = clock_wall_ns() + 1000 * (86400 * NS_PER_S);
    assert_int_equal(retention_run(&retention, writer, &outcome, &error), PG_OK);
    assert_int_equal(outcome.dropped, 20); /* by the server's clock */
}

static void plan_says_what_would_go(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct pg_error error;
    struct retention retention = {
        .pg = help.pg, .keep_s = retention_keep_s(DAYS), .now_ns = clock_wall_ns()};
    history();
    hold("vid", "'V2'");
    assert_int_equal(retention_plan(&retention, false, &text, &error), PG_OK);
    assert_non_null(strstr(buf_cstr(&text), "10 records go (seq 1 to 10), 10 stay under a hold"));
    assert_int_equal(count("true"), 40);
    buf_done(&text);
}

/* ---- what others delete ---- */

/* Refused as often as it is tried, on record once, and done when the record is as it was. */
static void assert_refused(const char *deleted, const char *reason)
{
    char sql[256], on_record[256];
    snprintf(on_record, sizeof on_record,
             "type = 'retention_refused' AND data ->> 'reason' LIKE '%%%s%%'", reason);
    snprintf(sql, sizeof sql, "CREATE TABLE aside AS SELECT * FROM records WHERE %s", deleted);
    pg_server_script(help.pg, sql);
    snprintf(sql, sizeof sql, "DELETE FROM records WHERE %s", deleted);
    pg_server_script(help.pg, sql);
    int64_t there = count("type <> 'retention_refused'");
    for (int i = 0; i < 2; i++) {
        struct retention_outcome outcome = run();
        assert_string_not_equal(outcome.refused, "");
        if (!strstr(outcome.reason, reason))
            fail_msg("%s: %s", deleted, outcome.reason);
        assert_int_equal(outcome.dropped, 0);
        wait_count(on_record, 1);
    }
    assert_int_equal(count("type <> 'retention_refused'"), there);
    pg_server_script(help.pg, "INSERT INTO records SELECT * FROM aside; DROP TABLE aside");
}

/* The first, one between, the last before the next partition, and all of it. */
static void retention_takes_nothing_from_where_somebody_else_took(void **state)
{
    (void)state;
    history();
    hold("vid", "'V2'");
    assert_refused("seq = 1", "record 1 is missing");
    assert_refused("seq IN (15, 17)", "record 15 is missing"); /* of the held ones */
    assert_refused("seq = 20", "record 20 is missing");
    assert_refused("seq <= 20", "record 1 is missing");
    struct retention_outcome outcome = run();
    assert_string_equal(outcome.refused, "");
    assert_int_equal(outcome.dropped, 10);
    assert_int_equal(outcome.kept, 10);
}

/* Later it is held against what was kept, and the next partition against where the first ended. */
static void what_a_hold_kept_is_looked_at_before_it_goes(void **state)
{
    (void)state;
    history();
    hold("vid", "'V2'");
    assert_int_equal(run().kept, 10);
    wait_count("type = 'retention'", 1);
    pg_server_script(help.pg, "UPDATE holds SET removed = now()");
    assert_refused("seq = 11", "a hold kept 10 records of it, and there are 9");
    assert_int_equal(run().dropped, 10);
    struct retention retention = {
        .pg = help.pg, .keep_s = retention_keep_s(RECENT_DAYS / 2), .now_ns = clock_wall_ns()};
    struct retention_outcome outcome;
    struct pg_error error;
    int64_t writer = pg_server_int(help.pg, "SELECT writer FROM log_head");
    pg_server_script(help.pg, "CREATE TABLE aside AS SELECT * FROM records WHERE seq = 21; "
                              "DELETE FROM records WHERE seq = 21");
    assert_int_equal(retention_run(&retention, writer, &outcome, &error), PG_OK);
    assert_string_equal(outcome.reason, "record 21 is missing: it was deleted");
    pg_server_script(help.pg, "INSERT INTO records SELECT * FROM aside; DROP TABLE aside");
    assert_int_equal(retention_run(&retention, writer, &outcome, &error), PG_OK);
    assert_int_equal(outcome.dropped, 10);
}

/* ---- proofs ---- */

static void hash_of(int64_t seq, struct tree_hash *hash)
{
    char sql[96], text[2 * TREE_HASH_BYTES + 1];
    snprintf(sql, sizeof sql, "SELECT encode(hash, 'hex') FROM records WHERE seq = %lld",
             (long long)seq);
    pg_server_text(help.pg, sql, text, sizeof text);
    assert_int_equal(strlen(text), 2 * TREE_HASH_BYTES);
    for (size_t i = 0; i < TREE_HASH_BYTES; i++)
        assert_int_equal(sscanf(text + 2 * i, "%2hhx", &hash->bytes[i]), 1);
}

static void what_stays_is_proved_after_what_went(void **state)
{
    (void)state;
    enum { SIZE = 40 };
    struct tree_reader reader;
    struct tree_hash before, after, leaf;
    struct tree_proof proof;
    struct pg_error error;
    history();
    hold("vid", "'V2'");
    assert_int_equal(tree_reader_open(&reader, help.pg, &error), PG_OK);
    assert_true(tree_root_at(&reader.source, SIZE, &before));
    assert_int_equal(run().dropped, 10);
    assert_int_equal(tree_reader_open(&reader, help.pg, &error), PG_OK);
    assert_true(tree_root_at(&reader.source, SIZE, &after));
    assert_true(tree_same(&before, &after));
    static const int64_t staying[] = {11, 20, 21, SIZE};
    for (size_t i = 0; i < sizeof staying / sizeof *staying; i++) {
        hash_of(staying[i], &leaf);
        assert_true(tree_prove_inclusion(&reader.source, staying[i] - 1, SIZE, &proof));
        assert_true(tree_included(&leaf, staying[i] - 1, SIZE, &proof, &before));
    }
}

/* The partition that is written to ends now; what is there keeps every column, and so its hash. */
static void cut(void)
{
    pg_server_script(
        help.pg, "DO $$ DECLARE p record_partitions; now timestamptz; BEGIN "
                 "SELECT * INTO STRICT p FROM record_partitions WHERE upper > now() ORDER BY upper "
                 "LIMIT 1; LOCK TABLE log_head; SELECT archived + interval '1 us' INTO now "
                 "FROM log_head; "
                 "EXECUTE format('ALTER TABLE records DETACH PARTITION %I', p.name); "
                 "EXECUTE format('ALTER TABLE %I RENAME TO records_cut', p.name); "
                 "EXECUTE format('ALTER TABLE records ATTACH PARTITION records_cut FOR VALUES FROM "
                 "(MINVALUE) TO (%L)', now); "
                 "UPDATE record_partitions SET name = 'records_cut', upper = now "
                 "WHERE name = p.name; PERFORM record_partition_make(now, p.upper); END $$");
}

static struct audit_report verify(void)
{
    static const struct audit_keys no_keys;
    struct audit_request request = {.dsn = help.postgres.dsn, .keys = &no_keys};
    struct audit_report report;
    audit_db_verify(&request, &report);
    return report;
}

/* What retention took is not missing; what somebody else took is. */
static void verification_tells_retention_from_deletion(void **state)
{
    (void)state;
    enum { GONE = 50, HELD = 10, STAYING = 60 };
    record_help_start();
    events("V1", 1, GONE, 0);
    events("V2", 1, HELD, 0);
    wait_count("true", GONE + HELD);
    hold("vid", "'V2'");
    cut();
    events("V1", GONE + 1, STAYING, 0);
    wait_count("true", GONE + HELD + STAYING);
    struct retention retention = {.pg = help.pg, .keep_s = 1, .now_ns = clock_wall_ns()};
    struct retention_outcome outcome = {0};
    struct pg_error error;
    int64_t writer = pg_server_int(help.pg, "SELECT writer FROM log_head");
    int64_t until_ms = clock_mono_ms() + HELP_ARCHIVE_WAIT_MS;
    while (outcome.dropped == 0) {
        assert_true(clock_mono_ms() < until_ms);
        retention.now_ns = clock_wall_ns();
        if (retention_run(&retention, writer, &outcome, &error) != PG_OK)
            fail_msg("%s", error.text);
    }
    assert_int_equal(outcome.dropped, GONE);
    wait_count("type = 'retention'", 1);
    record_help_stop();

    struct audit_report report = verify();
    if (report.verdict != AUDIT_GOOD)
        fail_msg("%lld: %s %s", (long long)report.bad.seq, report.bad.reason, report.error);
    assert_int_equal(report.rows, HELD + STAYING + 1);
    assert_int_equal(report.records, GONE + HELD + STAYING + 1);

    struct buf text = BUF_INIT;
    char why[AUDIT_ERROR_BYTES];
    assert_true(audit_help_export(0, &text, why));
    audit_help_export_is_good(&text);

    pg_server_script(help.pg, "CREATE TABLE aside AS SELECT * FROM records");
    pg_server_script(help.pg, "DELETE FROM records WHERE seq = 61");
    report = verify();
    assert_int_equal(report.verdict, AUDIT_BAD);
    assert_int_equal(report.bad.seq, GONE + HELD + 1);
    audit_help_no_export(0, &text, "record 61 is missing");
    audit_help_no_export(61, &text, "record 61 is missing");
    assert_true(audit_help_export(62, &text, why));
    audit_help_export_is_good(&text);
    pg_server_script(help.pg,
                     "DELETE FROM records WHERE seq = 121"); /* the last one, by retention */
    audit_help_no_export(62, &text, "record 121 is missing");
    pg_server_script(help.pg, "INSERT INTO records SELECT * FROM aside WHERE seq = 121");
    /* Somebody who says that it was retention, where the hub did not. */
    pg_server_script(help.pg, "UPDATE retention_runs SET last_seq = 100");
    assert_int_equal(verify().verdict, AUDIT_BAD);

    /* What a hold keeps is not for others to delete either. */
    pg_server_script(help.pg, "INSERT INTO records SELECT * FROM aside WHERE seq = 61");
    assert_int_equal(verify().verdict, AUDIT_GOOD);
    pg_server_script(help.pg, "DELETE FROM records WHERE seq = 55");
    report = verify();
    assert_int_equal(report.verdict, AUDIT_BAD);
    assert_int_equal(report.bad.seq, GONE + 1);
    assert_non_null(strstr(report.bad.reason, "of the records that a hold keeps"));
    buf_done(&text);
}

/* ---- the keeper ---- */

static void keeper_of_the_writer_looks_after_retention(void **state)
{
    (void)state;
    history();
    help.config.record.retention_days = DAYS;
    struct record_keeper_options options = {
        .config = &help.config, .bus = help.bus, .lane = help.lane, .purge_age_s = 600};
    struct record_keeper *keeper = record_keeper_start(&options);
    assert_non_null(keeper);
    wait_count("kind = 'system' AND type = 'retention'", 1);
    assert_int_equal(count("seq <= 20"), 0);
    record_keeper_stop(keeper);
    help.config.record.retention_days = 0;
}

int main(int argc, char **argv)
{
    record_help_child(argc, argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, record_help_setup, record_help_teardown)
    const struct CMUnitTest tests[] = {
        TEST(retention_drops_what_is_past_it_and_says_so),
        TEST(retention_takes_the_digests_of_what_it_dropped),
        TEST(retention_keeps_digests_of_old_messages_that_came_late),
        TEST(retention_keeps_digests_that_come_while_it_copies),
        TEST(hold_keeps_a_vehicle_as_it_was),
        TEST(hold_keeps_a_period_of_all_vehicles),
        TEST(retention_of_another_writer_does_nothing),
        TEST(retention_gives_up_where_a_query_is_in_the_way),
        TEST(retention_broken_off_is_begun_again),
        TEST(retention_by_one_wrong_clock_drops_nothing),
        TEST(plan_says_what_would_go),
        TEST(retention_takes_nothing_from_where_somebody_else_took),
        TEST(what_a_hold_kept_is_looked_at_before_it_goes),
        TEST(what_stays_is_proved_after_what_went),
        TEST(verification_tells_retention_from_deletion),
        TEST(keeper_of_the_writer_looks_after_retention),
    };
    return cmocka_run_group_tests(tests, record_help_servers, record_help_servers_done);
}
