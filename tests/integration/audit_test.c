/* Whatever is changed in the database, verification finds it, and says where first. */
#include "hub/audit_db.h"
#include "hub/clock.h"
#include "hub/record_checkpoint.h"
#include "tests/integration/audit_help.h"
#include "tests/integration/record_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RECORDS = 2100, SQL_BYTES = 1024, COLUMNS_MAX = 64 };

static struct record_signers signers;
static struct audit_keys keys;
static struct audit_report report;
static struct audit_note outside;
static char outside_text[AUDIT_NOTE_MAX_BYTES];
static size_t outside_count;

/* Of the records that the tests change. */
static int64_t event_seq, nul_seq, boot_seq;

/* ---- a record to tamper with ---- */

static void store(const char *subject, const char *payload)
{
    record_help_store(subject, payload, strlen(payload));
}

static void make_signers(void)
{
    struct buf pem = BUF_INIT;
    char error[AUDIT_ERROR_BYTES];
    struct audit_key key = {.name = ""};
    signers = (struct record_signers){NULL, NULL};
    assert_true(audit_key_make(&pem, error));
    assert_true(audit_signer_read(pem.data, pem.size_bytes, &signers.current, error));
    memcpy(key.public, audit_signer_public(signers.current), AUDIT_PUBLIC_BYTES);
    keys.count = 0;
    assert_true(audit_keys_add(&keys, &key));
    buf_done(&pem);
}

/* A log of some thousand records, with a copy of everything aside. */
static int setup_group(void **state)
{
    record_help_servers(state);
    record_help_setup(state);
    make_signers();
    help.signers = &signers;
    help.config.record.checkpoint_s = 1;
    record_help_start();
    record_help_events("V1", 1, RECORDS / 2);
    store("fleet.t.veh.V2.evt.odd", "{\"timestamp\":\"2026-01-15T10:30:00.123456789Z\",\"data\":"
                                    "{\"text\":\"\\u0000\",\n\"n\":1.50}}");
    store("fleet.t.veh.V2.evt.odd",
          "{\"timestamp\":\"2026-01-15T10:30:01Z\",\"boot\":\"b\\u00007\","
          "\"seq\":3,\"data\":{\"n\":1.50}}");
    store("fleet.t.veh.V2.evt.odd",
          "{\"timestamp\":\"2026-01-15T10:30:02Z\",\"data\":{\"z\":[1e3,1.50E-7,-0,-0.00,1e-30,0.0,"
          "123456789012345678901234567890.5,1.7e308,5e-324,9223372036854775807],"
          "\"\\u00e6\\\"\":\"\\ud83d\\ude80\\n\",\"\":{}}}");
    store("fleet.t.veh.V2.evt.odd", "not JSON");
    store("fleet.t.veh.V2.cmdack.rtl", "{\"cmd_id\":\"c.V2\",\"status\":\"accepted\"}");
    record_help_events("V1", RECORDS / 2 + 1, RECORDS / 2);
    record_help_wait("SELECT count(*) FROM records", RECORDS + 6);
    record_help_wait("SELECT max(size) FROM checkpoints", RECORDS + 6);
    record_help_stop();
    pg_server_script(help.pg, "CREATE SCHEMA kept; "
                              "CREATE TABLE kept.records AS SELECT * FROM records; "
                              "CREATE TABLE kept.tree_tiles AS SELECT * FROM tree_tiles; "
                              "CREATE TABLE kept.tree_edge AS SELECT * FROM tree_edge; "
                              "CREATE TABLE kept.log_head AS SELECT * FROM log_head; "
                              "CREATE TABLE kept.checkpoints AS SELECT * FROM checkpoints");
    event_seq = pg_server_int(help.pg, "SELECT max(seq) FROM records WHERE kind = 'event' AND "
                                       "vid = 'V1'") -
                100;
    nul_seq = pg_server_int(help.pg, "SELECT min(seq) FROM records WHERE data IS NULL");
    boot_seq = pg_server_int(help.pg, "SELECT seq FROM records WHERE boot_raw IS NOT NULL");
    assert_true(event_seq > 0 && nul_seq > 0 && boot_seq > 0);
    return 0;
}

static int teardown_group(void **state)
{
    record_help_teardown(state);
    record_signers_done(&signers);
    return record_help_servers_done(state);
}

static int restore(void **state)
{
    (void)state;
    outside_count = 0;
    pg_server_script(help.pg, "TRUNCATE records, tree_tiles, tree_edge, log_head, checkpoints; "
                              "INSERT INTO records SELECT * FROM kept.records; "
                              "INSERT INTO tree_tiles SELECT * FROM kept.tree_tiles; "
                              "INSERT INTO tree_edge SELECT * FROM kept.tree_edge; "
                              "INSERT INTO log_head SELECT * FROM kept.log_head; "
                              "INSERT INTO checkpoints SELECT * FROM kept.checkpoints");
    return 0;
}

/* One record as it was; quicker than all of them. */
static void restore_record(int64_t seq)
{
    char sql[SQL_BYTES];
    snprintf(sql, sizeof sql,
             "DELETE FROM records WHERE seq = %lld OR seq > (SELECT max(seq) FROM kept.records); "
             "INSERT INTO records SELECT * FROM kept.records WHERE seq = %lld",
             (long long)seq, (long long)seq);
    pg_server_script(help.pg, sql);
}

static void tamper(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tamper(const char *format, ...)
{
    char sql[SQL_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    pg_server_script(help.pg, sql);
}

static void verify_with(const struct audit_keys *trusted)
{
    struct audit_request request = {.dsn = help.postgres.dsn,
                                    .keys = trusted,
                                    .outside = &outside,
                                    .outside_count = outside_count};
    audit_db_verify(&request, &report);
}

static void assert_good(void)
{
    verify_with(&keys);
    if (report.verdict != AUDIT_GOOD)
        fail_msg("verdict %d, record %lld: %s%s", (int)report.verdict, (long long)report.bad.seq,
                 report.bad.reason, report.error);
}

static void assert_bad(int64_t seq, const char *doing)
{
    verify_with(&keys);
    if (report.verdict != AUDIT_BAD || report.bad.seq != seq)
        fail_msg("%s: verdict %d, record %lld instead of %lld: %s%s", doing, (int)report.verdict,
                 (long long)report.bad.seq, (long long)seq, report.bad.reason, report.error);
}

/* A checkpoint as it was published, kept where the database's people cannot reach it. */
static void keep_checkpoint(const char *which)
{
    char sql[SQL_BYTES];
    const char *reason;
    size_t used;
    snprintf(sql, sizeof sql, "SELECT note FROM kept.checkpoints ORDER BY size %s LIMIT 1", which);
    pg_server_text(help.pg, sql, outside_text, sizeof outside_text);
    assert_true(audit_note_parse(outside_text, strlen(outside_text), &outside, &used, &reason));
    outside_count = 1;
}

/* ---- tests ---- */

static void untouched_record_is_good(void **state)
{
    (void)state;
    assert_good();
    assert_int_equal(report.records, RECORDS + 6);
    assert_int_equal(report.rows, RECORDS + 6);
    assert_int_equal(report.covered_to, RECORDS + 6);
    assert_true(report.trusted >= 2);
    assert_string_equal(report.origin, "fleethub/t/r");
    keep_checkpoint("DESC");
    assert_good();
}

/* What another value is, by a column's type. */
static const char *changed(const char *type)
{
    static const char *const table[][2] = {
        {"bigint", "coalesce(%s, 0) + 1000000"},
        {"smallint", "(%s + 1) %% 1000"},
        {"text", "coalesce(%s, '') || 'x'"},
        {"bytea", "set_byte(coalesce(nullif(%s, ''), '\\x00'), 0, "
                  "get_byte(coalesce(nullif(%s, ''), '\\x00'), 0) # 1)"},
        {"uuid", "md5(%s::text)::uuid"},
        {"jsonb", "coalesce(%s, '{}') || '{\"more\": 1}'"},
        {"timestamp with time zone", "coalesce(%s, now()) + interval '1 microsecond'"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i][0], type) == 0)
            return table[i][1];
    fail_msg("a column of type %s: how is it changed?", type);
    return NULL;
}

static void change_column(const char *column, const char *type, int64_t seq)
{
    char value[SQL_BYTES] = "", doing[2 * SQL_BYTES];
    const char *template = changed(type);
    for (const char *at = template; *at; at++) {
        size_t used = strlen(value);
        if (at[0] == '%' && at[1] == 's')
            snprintf(value + used, sizeof value - used, "\"%s\"", column), at++;
        else if (at[0] == '%' && at[1] == '%')
            value[used] = '%', value[used + 1] = '\0', at++;
        else
            value[used] = *at, value[used + 1] = '\0';
    }
    tamper("UPDATE records SET \"%s\" = %s WHERE seq = %lld", column, value, (long long)seq);
    snprintf(doing, sizeof doing, "%s of record %lld = %s", column, (long long)seq, value);
    assert_bad(seq, doing);
    restore_record(seq);
}

static void clear_column(const char *column, int64_t seq)
{
    char sql[SQL_BYTES], doing[SQL_BYTES];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM records WHERE seq = %lld AND \"%s\" IS NULL",
             (long long)seq, column);
    if (pg_server_int(help.pg, sql) == 1)
        return;
    tamper("UPDATE records SET \"%s\" = NULL WHERE seq = %lld", column, (long long)seq);
    snprintf(doing, sizeof doing, "%s of record %lld = NULL", column, (long long)seq);
    assert_bad(seq, doing);
    restore_record(seq);
}

static void every_column_of_every_sort_of_record_is_covered(void **state)
{
    int64_t seqs[] = {event_seq, nul_seq, boot_seq, 1};
    (void)state;
    int64_t columns = pg_server_int(help.pg, "SELECT count(*) FROM information_schema.columns "
                                             "WHERE table_schema = 'public' AND "
                                             "table_name = 'records'");
    assert_in_range(columns, 20, COLUMNS_MAX);
    for (int64_t i = 1; i <= columns; i++) {
        char sql[SQL_BYTES], column[128], type[128];
        int64_t nullable;
        const char *from = "information_schema.columns WHERE table_schema = 'public' AND "
                           "table_name = 'records'";
        snprintf(sql, sizeof sql, "SELECT column_name FROM %s AND ordinal_position = %lld", from,
                 (long long)i);
        pg_server_text(help.pg, sql, column, sizeof column);
        snprintf(sql, sizeof sql, "SELECT data_type FROM %s AND ordinal_position = %lld", from,
                 (long long)i);
        pg_server_text(help.pg, sql, type, sizeof type);
        snprintf(sql, sizeof sql,
                 "SELECT count(*) FROM %s AND ordinal_position = %lld AND is_nullable = 'YES'",
                 from, (long long)i);
        nullable = pg_server_int(help.pg, sql);
        for (size_t s = 0; s < sizeof seqs / sizeof *seqs; s++) {
            change_column(column, type, seqs[s]);
            if (nullable)
                clear_column(column, seqs[s]);
        }
    }
    assert_good();
}

static void what_the_hashed_bytes_do_not_show_is_found_too(void **state)
{
    static const char *const changes[] = {
        "boot = NULL, boot_raw = convert_to(boot, 'UTF8')", /* reads the same over HTTP */
        "severity = 'urgent'",
        "severity = NULL",
        "kind = 'gossip'",
        "raw = convert_to(replace(convert_from(raw, 'UTF8'), ' ', E'\\n'), 'UTF8')",
        "raw = convert_to('{', 'UTF8')",
        "raw = '\\xff'",
        "data = jsonb_set(data, '{index}', (data ->> 'index' || '.0')::jsonb)",
        "data = '{}'",
        "timestamp_rest_ns = timestamp_rest_ns + 1000, timestamp = timestamp - interval '1 us'",
        "vehicle_seq = -1",
        "stream_seq = -1",
        "archived = archived + interval '1 microsecond'",
    };
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        tamper("UPDATE records SET %s WHERE seq = %lld", changes[i], (long long)event_seq);
        assert_bad(event_seq, changes[i]);
        restore_record(event_seq);
    }
    tamper("UPDATE records SET data = '{\"text\": \"\"}' WHERE seq = %lld", (long long)nul_seq);
    assert_bad(nul_seq, "data where jsonb refuses it");
}

/* A reader of the row gives up before most of its columns; it is said of this record all the same,
 * and an earlier one stays the first. */
static void a_column_of_another_length_is_laid_at_its_own_record(void **state)
{
    static const char *const changes[] = {"hash = '\\x00'", "hash = hash || '\\x00'", "hash = ''"};
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        tamper("UPDATE records SET %s WHERE seq = %lld", changes[i], (long long)event_seq);
        assert_bad(event_seq, changes[i]);
        assert_true(report.bad.has_id);
        restore_record(event_seq);
    }
    tamper("UPDATE records SET vid = 'V9' WHERE seq = 17; "
           "UPDATE records SET hash = '\\x00' WHERE seq = %lld",
           (long long)event_seq);
    assert_bad(17, "an earlier record changed");
}

static void deleted_added_and_exchanged_records_are_found(void **state)
{
    (void)state;
    tamper("DELETE FROM records WHERE seq = %lld", (long long)event_seq);
    assert_bad(event_seq, "a record deleted");
    restore_record(event_seq);

    tamper("DELETE FROM records WHERE seq IN (1, 2, %lld)", (long long)event_seq);
    assert_bad(1, "the first deleted");
    restore(NULL);

    tamper("UPDATE records SET seq = 1000000 WHERE seq = %lld; "
           "UPDATE records SET seq = %lld WHERE seq = %lld; "
           "UPDATE records SET seq = %lld WHERE seq = 1000000",
           (long long)event_seq, (long long)event_seq, (long long)event_seq + 1,
           (long long)event_seq + 1);
    assert_bad(event_seq, "two exchanged");
}

static void a_record_behind_the_end_is_found(void **state)
{
    (void)state;
    tamper("CREATE TEMP TABLE one AS SELECT * FROM records WHERE seq = 5; "
           "UPDATE one SET seq = %d; INSERT INTO records SELECT * FROM one; DROP TABLE one",
           RECORDS + 7);
    assert_bad(RECORDS + 7, "a record more");
}

/* Rows beside the log are in no tree: neither are they records, nor do they prove anything. */
static void a_record_before_the_first_is_found(void **state)
{
    static const char *const seqs[] = {"0", "-1", "-9223372036854775808"};
    (void)state;
    for (size_t i = 0; i < sizeof seqs / sizeof *seqs; i++) {
        tamper("CREATE TEMP TABLE one AS SELECT * FROM records WHERE seq = 5; "
               "UPDATE one SET seq = %s; INSERT INTO records SELECT * FROM one; DROP TABLE one",
               seqs[i]);
        assert_bad(1, seqs[i]);
        tamper("DELETE FROM records WHERE seq < 1");
    }
    assert_good();
}

/* What says that retention did it has to be on record itself, by the hub, as retention says it. */
static void deletion_is_not_excused_by_what_is_no_record_of_retention(void **state)
{
    static const char *const sets[] = {
        "seq = 0, kind = 'system'",       /* beside the log */
        "seq = 1000000, kind = 'system'", /* behind its end */
        "seq = 5, kind = 'event'",        /* a vehicle's */
        "seq = 5, kind = 'system'",       /* published to the hub's own stream */
    };
    (void)state;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        tamper("CREATE TEMP TABLE one AS SELECT * FROM records WHERE seq = 5; "
               "UPDATE one SET %s, type = 'retention', data = '{\"floor_seq\": 2000}'%s; "
               "DELETE FROM records WHERE seq BETWEEN 3 AND 1999; "
               "INSERT INTO records SELECT * FROM one; DROP TABLE one",
               sets[i], strstr(sets[i], "seq = 5") ? "" : ", stream = NULL, stream_seq = NULL");
        verify_with(&keys);
        if (report.verdict != AUDIT_BAD || report.bad.seq > 3)
            fail_msg("%s: verdict %d, record %lld: %s", sets[i], (int)report.verdict,
                     (long long)report.bad.seq, report.bad.reason);
        restore(NULL);
    }
}

static void a_record_rewritten_with_its_hash_is_found(void **state)
{
    (void)state;
    tamper("UPDATE records SET vid = 'V9', hash = hash WHERE seq = %lld", (long long)event_seq);
    audit_help_rehash(event_seq);
    assert_bad(event_seq, "record and hash");

    /* With its leaf, too: now the tile's own hash does not fit. */
    tamper("UPDATE tree_tiles SET nodes = overlay(nodes PLACING (SELECT hash FROM records WHERE "
           "seq = %lld) FROM ((%lld - 1) %% 32 * 32 + 1)::integer FOR 32) "
           "WHERE level = 0 AND tile = (%lld - 1) / 32",
           (long long)event_seq, (long long)event_seq, (long long)event_seq);
    assert_bad((event_seq - 1) / 32 * 32 + 1, "record, hash and leaf");
}

static void a_record_rewritten_with_all_of_the_tree_is_found_by_checkpoints(void **state)
{
    char sql[SQL_BYTES];
    (void)state;
    tamper("UPDATE records SET vid = 'V9' WHERE seq = %lld", (long long)event_seq);
    audit_help_rehash(event_seq);
    audit_help_rebuild();
    snprintf(sql, sizeof sql,
             "SELECT coalesce(max(size), 0) + 1 FROM checkpoints WHERE size < %lld",
             (long long)event_seq);
    assert_bad(pg_server_int(help.pg, sql), "record, hash and tree");
    /* Without checkpoints there is nothing to go by but that there are none. */
    tamper("DELETE FROM checkpoints");
    assert_bad(1, "record, hash and tree, and no checkpoint left");
    verify_with(&(struct audit_keys){.count = 0});
    assert_int_equal(report.verdict, AUDIT_GOOD);
    assert_int_equal(report.covered_to, 0);
    keep_checkpoint("DESC");
    assert_bad(1, "a checkpoint from elsewhere");
}

static void tree_and_head_are_part_of_it(void **state)
{
    static const char *const changes[] = {
        "DELETE FROM tree_tiles WHERE level = 0 AND tile = 5",
        "DELETE FROM tree_tiles WHERE level = 1",
        "UPDATE tree_tiles SET nodes = overlay(nodes PLACING '\\x00' FROM 40) WHERE level = 1 AND "
        "tile = 1",
        "UPDATE tree_edge SET nodes = overlay(nodes PLACING '\\x00' FROM 40) WHERE level = 0",
        "UPDATE tree_edge SET nodes = '' WHERE level = 0",
        "DELETE FROM tree_edge",
        "UPDATE log_head SET next_seq = next_seq - 1",
        "UPDATE log_head SET next_seq = next_seq + 1",
        "INSERT INTO tree_tiles SELECT level, 1000, nodes FROM tree_tiles WHERE level = 0 AND "
        "tile = 0",
    };
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        tamper("%s", changes[i]);
        verify_with(&keys);
        if (report.verdict != AUDIT_BAD)
            fail_msg("%s: verdict %d: %s", changes[i], (int)report.verdict, report.error);
        restore(NULL);
    }
}

static void checkpoints_are_part_of_it(void **state)
{
    (void)state;
    tamper("UPDATE checkpoints SET note = replace(note, 'time 20', 'time 19')");
    verify_with(&keys);
    assert_int_equal(report.verdict, AUDIT_BAD);
    restore(NULL);
    tamper(
        "WITH o AS (SELECT array_agg(note ORDER BY size) AS n, array_agg(size ORDER BY size) AS s "
        "FROM checkpoints) UPDATE checkpoints SET note = CASE WHEN size = s[1] THEN n[2] ELSE "
        "n[1] END FROM o WHERE size IN (s[1], s[2])");
    assert_bad(pg_server_int(help.pg, "SELECT min(size) FROM checkpoints"), "two exchanged");
    restore(NULL);
    /* Signed by a key that somebody made. */
    struct audit_signer *kept = signers.current;
    struct audit_keys kept_keys = keys;
    make_signers();
    struct audit_signer *forger = signers.current;
    audit_help_resign(forger);
    signers.current = kept;
    keys = kept_keys;
    audit_signer_free(forger);
    assert_bad(1, "all checkpoints signed by another key");
}

/* Somebody had the hub put on record that a key of his signs now: the record is genuine, and a
 * checkpoint of the hub's covers it, but the key before says nothing of his. */
static void a_key_that_is_only_on_record_is_not_trusted(void **state)
{
    struct audit_signer *hub = signers.current;
    struct audit_keys kept_keys = keys;
    struct buf vkey = BUF_INIT;
    (void)state;
    make_signers();
    struct audit_signer *rogue = signers.current;
    signers.current = hub;
    keys = kept_keys;
    audit_vkey_write(&vkey, "fleethub/t/r", audit_signer_public(rogue));
    tamper("UPDATE records SET kind = 'system', type = 'signing_key', vid = NULL, stream = NULL, "
           "stream_seq = NULL, data = '{\"key\": \"%s\"}', "
           "raw = convert_to('{\"key\": \"%s\"}', 'UTF8') WHERE seq = 5",
           buf_cstr(&vkey), buf_cstr(&vkey));
    audit_help_rehash(5);
    audit_help_rebuild();
    audit_help_remake(hub);
    assert_good();
    tamper("CREATE TEMP TABLE hubs AS SELECT * FROM checkpoints WHERE size < %lld",
           (long long)event_seq);
    int64_t covered = pg_server_int(help.pg, "SELECT max(size) FROM hubs");
    audit_help_resign(rogue);
    tamper("UPDATE checkpoints c SET note = h.note FROM hubs h WHERE c.size = h.size; "
           "DROP TABLE hubs");
    assert_true(covered >= 5);
    assert_bad(covered + 1, "a key that nobody vouches for");
    audit_signer_free(rogue);
    buf_done(&vkey);
}

/* The key's holder signed a longer log than there is. */
static void the_end_cut_off_is_shown_by_the_checkpoints_left_in_place(void **state)
{
    (void)state;
    tamper("DELETE FROM records WHERE seq > 2000; UPDATE log_head SET next_seq = 2001");
    audit_help_rebuild();
    assert_bad(2001, "the end cut off, its checkpoints left");
    verify_with(&(struct audit_keys){.count = 0});
    assert_int_equal(report.verdict, AUDIT_BAD);
    assert_int_equal(report.bad.seq, 2001);
}

static void checkpoint_from_elsewhere_shows_what_is_cut_off(void **state)
{
    (void)state;
    tamper("DELETE FROM records WHERE seq > 2000; DELETE FROM checkpoints WHERE size > 2000; "
           "UPDATE log_head SET next_seq = 2001");
    audit_help_rebuild();
    assert_good(); /* nothing here can tell */
    keep_checkpoint("DESC");
    assert_bad(2001, "the end cut off");
    keep_checkpoint("ASC");
    assert_good();
}

static void holder_of_the_key_is_found_out_by_what_was_published(void **state)
{
    (void)state;
    tamper("UPDATE records SET vid = 'V9' WHERE seq = %lld", (long long)event_seq);
    audit_help_rehash(event_seq);
    audit_help_rebuild();
    audit_help_remake(signers.current);
    assert_good(); /* nothing here can tell */
    keep_checkpoint("DESC");
    verify_with(&keys);
    assert_int_equal(report.verdict, AUDIT_BAD);
    assert_true(report.bad.seq <= event_seq);
}

static void checkpoint_of_another_log_or_key_is_no_evidence(void **state)
{
    (void)state;
    keep_checkpoint("DESC");
    char *origin = strstr(outside_text, "fleethub/t/r");
    origin[strlen("fleethub/t/")] = 'q';
    verify_with(&keys);
    assert_int_equal(report.verdict, AUDIT_UNUSABLE);
    keep_checkpoint("DESC");
    strstr(outside_text, "time 2")[5] = '1';
    verify_with(&keys);
    assert_int_equal(report.verdict, AUDIT_UNUSABLE);
}

static void a_database_that_is_not_there_is_unusable(void **state)
{
    struct audit_keys none = {.count = 0};
    struct audit_request request = {.dsn = "host=127.0.0.1 port=1 dbname=none", .keys = &none};
    (void)state;
    audit_db_verify(&request, &report);
    assert_int_equal(report.verdict, AUDIT_UNUSABLE);
    assert_string_not_equal(report.error, "");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(untouched_record_is_good),
        cmocka_unit_test_setup(every_column_of_every_sort_of_record_is_covered, restore),
        cmocka_unit_test_setup(what_the_hashed_bytes_do_not_show_is_found_too, restore),
        cmocka_unit_test_setup(a_column_of_another_length_is_laid_at_its_own_record, restore),
        cmocka_unit_test_setup(deleted_added_and_exchanged_records_are_found, restore),
        cmocka_unit_test_setup(a_record_behind_the_end_is_found, restore),
        cmocka_unit_test_setup(a_record_before_the_first_is_found, restore),
        cmocka_unit_test_setup(deletion_is_not_excused_by_what_is_no_record_of_retention, restore),
        cmocka_unit_test_setup(a_record_rewritten_with_its_hash_is_found, restore),
        cmocka_unit_test_setup(a_record_rewritten_with_all_of_the_tree_is_found_by_checkpoints,
                               restore),
        cmocka_unit_test_setup(tree_and_head_are_part_of_it, restore),
        cmocka_unit_test_setup(checkpoints_are_part_of_it, restore),
        cmocka_unit_test_setup(a_key_that_is_only_on_record_is_not_trusted, restore),
        cmocka_unit_test_setup(the_end_cut_off_is_shown_by_the_checkpoints_left_in_place, restore),
        cmocka_unit_test_setup(checkpoint_from_elsewhere_shows_what_is_cut_off, restore),
        cmocka_unit_test_setup(holder_of_the_key_is_found_out_by_what_was_published, restore),
        cmocka_unit_test_setup(checkpoint_of_another_log_or_key_is_no_evidence, restore),
        cmocka_unit_test_setup(a_database_that_is_not_there_is_unusable, restore),
    };
    record_help_child(argc, argv);
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
