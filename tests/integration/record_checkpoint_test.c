/* Checkpoints of the record: made in time, signed, published, and held against what was. */
#include "hub/audit_note.h"
#include "hub/clock.h"
#include "hub/record_checkpoint.h"
#include "hub/tree_store.h"
#include "tests/integration/pg_fault.h"
#include "tests/integration/record_help.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SUBJECT "fleet.t.hub.r.checkpoint"
#define COUNT "SELECT count(*) FROM records"
#define NEWEST "SELECT coalesce(max(size), 0) FROM checkpoints"

enum { LONG_S = 3600, SHORT_S = 1 };

static struct record_signers signers;
static struct audit_signer *kept;

static struct audit_signer *make_signer(void)
{
    struct audit_signer *made = NULL;
    struct buf pem = BUF_INIT;
    char error[AUDIT_ERROR_BYTES];
    assert_true(audit_key_make(&pem, error));
    assert_true(audit_signer_read(pem.data, pem.size_bytes, &made, error));
    buf_done(&pem);
    return made;
}

static int setup(void **state)
{
    int status = record_help_setup(state);
    signers = (struct record_signers){make_signer(), NULL};
    help.config.record.checkpoint_s = LONG_S;
    help.signers = &signers;
    return status;
}

static int teardown(void **state)
{
    int status = record_help_teardown(state);
    record_signers_done(&signers);
    audit_signer_free(kept);
    kept = NULL;
    help.signers = NULL;
    help.config.record.checkpoint_file = NULL;
    return status;
}

/* The checkpoint published last; the caller frees *stored. */
static void last_published(struct bus_stored *stored, struct audit_note *note)
{
    struct bus_error error;
    const char *reason;
    size_t used;
    if (bus_get_last(help.bus, "TWIN_CHECKPOINTS", SUBJECT, stored, &error) != BUS_OK)
        fail_msg("%s", error.text);
    if (!audit_note_parse(stored->data, stored->size, note, &used, &reason))
        fail_msg("%s", reason);
    assert_int_equal(used, stored->size);
}

/* 0 for none, -1 for something else. */
static int64_t published_size(void)
{
    struct bus_stored stored;
    struct bus_error error;
    struct audit_note note;
    const char *reason;
    size_t used;
    if (bus_get_last(help.bus, "TWIN_CHECKPOINTS", SUBJECT, &stored, &error) != BUS_OK)
        return 0;
    int64_t size =
        audit_note_parse(stored.data, stored.size, &note, &used, &reason) ? note.size : -1;
    bus_stored_done(&stored);
    return size;
}

static void wait_published(int64_t size)
{
    int64_t until_ms = clock_mono_ms() + HELP_ARCHIVE_WAIT_MS;
    while (published_size() != size) {
        if (clock_mono_ms() > until_ms)
            fail_msg("published up to %lld, not %lld", (long long)published_size(),
                     (long long)size);
        clock_pause_ms(50);
    }
}

static bool trusted(const struct audit_note *note, const struct audit_signer *signer)
{
    struct audit_keys keys = {.count = 0};
    struct audit_key key = {.name = "fleethub/t/r"};
    memcpy(key.public, audit_signer_public(signer), AUDIT_PUBLIC_BYTES);
    audit_keys_add(&keys, &key);
    return audit_note_trust(note, &keys) == AUDIT_TRUSTED;
}

/* ---- tests ---- */

static void first_records_and_every_thousand_get_one(void **state)
{
    (void)state;
    record_help_start();
    record_help_wait(NEWEST, 1); /* the record of the key itself */
    record_help_events("V1", 1, 2600);
    record_help_wait(COUNT, 2601);
    int64_t made = pg_server_int(help.pg, "SELECT count(*) FROM checkpoints");
    assert_true(made >= 2 && made <= 4);
    assert_true(pg_server_int(help.pg, NEWEST) >= 1001);
    assert_int_equal(
        pg_server_int(help.pg, "SELECT count(*) FROM (SELECT size - lag(size, 1, 0::bigint) OVER "
                               "(ORDER BY size) AS step FROM checkpoints) AS s WHERE step > 1500"),
        0);
    record_help_check_log();
}

static void published_checkpoint_is_signed_and_of_the_tree(void **state)
{
    struct bus_stored stored;
    struct audit_note note;
    static struct tree_reader reader;
    struct tree_hash root;
    struct pg_error error;
    (void)state;
    help.config.record.checkpoint_s = SHORT_S;
    record_help_start();
    record_help_events("V1", 1, 40);
    wait_published(41);
    last_published(&stored, &note);
    assert_int_equal(note.origin.size, strlen("fleethub/t/r"));
    assert_memory_equal(note.origin.at, "fleethub/t/r", note.origin.size);
    assert_true(trusted(&note, signers.current));
    assert_int_equal(tree_reader_open(&reader, help.pg, &error), PG_OK);
    assert_true(tree_root_at(&reader.source, 41, &root));
    assert_true(tree_same(&root, &note.root));
    assert_int_equal(pg_server_int(help.pg,
                                   "SELECT count(*) FROM records WHERE kind = 'system' AND "
                                   "type = 'signing_key' AND data ->> 'key' = "
                                   "(SELECT vkey FROM signing_keys) AND seq = 1"),
                     1);
    bus_stored_done(&stored);
}

static void nothing_new_gets_no_checkpoint(void **state)
{
    (void)state;
    help.config.record.checkpoint_s = SHORT_S;
    record_help_start();
    record_help_events("V1", 1, 5);
    wait_published(6);
    int64_t made = pg_server_int(help.pg, "SELECT count(*) FROM checkpoints");
    /* Some intervals in which one would have been due, were it for time alone. */
    clock_pause_ms(3 * SHORT_S * 1000);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM checkpoints"), made);
}

static void what_a_dead_writer_left_is_published_by_the_next(void **state)
{
    (void)state;
    record_help_start();
    record_help_wait(NEWEST, 1);
    record_help_events("V1", 1, 30);
    record_help_wait(COUNT, 31);
    record_help_stop();
    assert_int_equal(pg_server_int(help.pg, NEWEST), 1);
    record_help_start(); /* what waits without a checkpoint has waited long enough */
    wait_published(31);
    record_help_check_log();
}

static void file_holds_the_newest_whole(void **state)
{
    static char path[] = "/tmp/fleethub-checkpoint-XXXXXX";
    char text[4096] = "", error[AUDIT_ERROR_BYTES];
    struct buf file = BUF_INIT;
    (void)state;
    close(mkstemp(path));
    help.config.record.checkpoint_file = path;
    help.config.record.checkpoint_s = SHORT_S;
    record_help_start();
    record_help_events("V1", 1, 5);
    wait_published(6);
    pg_server_text(help.pg, "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1", text,
                   sizeof text);
    int64_t until_ms = clock_mono_ms() + HELP_ARCHIVE_WAIT_MS;
    do {
        clock_pause_ms(20);
        buf_reset(&file);
        assert_true(audit_file_read(path, sizeof text, &file, error));
    } while (strcmp(buf_cstr(&file), text) != 0 && clock_mono_ms() < until_ms);
    assert_string_equal(buf_cstr(&file), text);
    buf_done(&file);
    unlink(path);
}

static void a_new_key_is_named_and_both_sign_for_a_while(void **state)
{
    struct bus_stored stored;
    struct audit_note note;
    (void)state;
    help.config.record.checkpoint_s = SHORT_S;
    record_help_start();
    record_help_events("V1", 1, 5);
    wait_published(6);
    record_help_stop();
    signers.previous = signers.current;
    signers.current = make_signer();
    record_help_start();
    wait_published(7);
    last_published(&stored, &note);
    assert_true(trusted(&note, signers.current));
    assert_true(trusted(&note, signers.previous));
    bus_stored_done(&stored);
    assert_int_equal(
        pg_server_int(help.pg,
                      "SELECT count(*) FROM records WHERE type = 'signing_key' AND seq = 7 "
                      "AND data ->> 'replaces' = (SELECT vkey FROM signing_keys WHERE "
                      "first_size = 1 OR first_size = 6 ORDER BY first_size LIMIT 1)"),
        1);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM signing_keys"), 2);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE type = "
                                            "'signing_key' AND length(data ->> 'signature') = 92"),
                     1);
    record_help_stop();
    record_help_start(); /* it is said once */
    record_help_events("V1", 6, 1);
    wait_published(8);
    record_help_stop();
    kept = signers.previous;
    signers.previous = NULL;
    record_help_start();
    record_help_events("V1", 7, 1);
    wait_published(9);
    last_published(&stored, &note);
    assert_true(trusted(&note, signers.current));
    assert_false(trusted(&note, kept));
    bus_stored_done(&stored);
}

/* Configured too late, the key before vouches for the new one all the same. */
static void a_key_is_vouched_for_once_the_one_before_is_configured(void **state)
{
    (void)state;
    help.config.record.checkpoint_s = SHORT_S;
    record_help_start();
    wait_published(1);
    record_help_stop();
    struct audit_signer *before = signers.current;
    signers.current = make_signer();
    record_help_start();
    wait_published(2);
    record_help_stop();
    signers.previous = before;
    record_help_start();
    wait_published(3);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE type = "
                                            "'signing_key' AND data ->> 'signature' IS NULL"),
                     2);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE type = "
                                            "'signing_key' AND length(data ->> 'signature') = 92"),
                     1);
    record_help_stop();
}

/* Whoever can write to the table of notes has only that put on record which is noted there. */
static void a_note_names_no_key(void **state)
{
    (void)state;
    record_help_start();
    record_help_wait(COUNT, 1);
    pg_server_script(help.pg, "INSERT INTO record_notes (type, data) VALUES ('signing_key', "
                              "'{\"key\": \"k\"}'); "
                              "INSERT INTO record_notes (type, data) VALUES ('hold_added', '{}')");
    record_help_wait("SELECT count(*) FROM records WHERE type = 'hold_added'", 1);
    assert_int_equal(
        pg_server_int(help.pg, "SELECT count(*) FROM records WHERE type = 'signing_key'"), 1);
}

static void without_a_key_checkpoints_are_unsigned(void **state)
{
    struct bus_stored stored;
    struct audit_note note;
    (void)state;
    help.signers = NULL;
    help.config.record.checkpoint_s = SHORT_S;
    record_help_start();
    record_help_events("V1", 1, 5);
    wait_published(5);
    last_published(&stored, &note);
    assert_int_equal(note.signature_count, 0);
    bus_stored_done(&stored);
}

static void database_of_before_is_noticed(void **state)
{
    (void)state;
    help.config.record.checkpoint_s = SHORT_S;
    record_help_start();
    record_help_events("V1", 1, 5);
    wait_published(6);
    record_help_stop();
    pg_server_script(help.pg, "CREATE SCHEMA backup; "
                              "CREATE TABLE backup.records AS SELECT * FROM records; "
                              "CREATE TABLE backup.digests AS SELECT * FROM digests; "
                              "CREATE TABLE backup.positions AS SELECT * FROM stream_positions; "
                              "CREATE TABLE backup.head AS SELECT * FROM log_head; "
                              "CREATE TABLE backup.edge AS SELECT * FROM tree_edge; "
                              "CREATE TABLE backup.checkpoints AS SELECT * FROM checkpoints");
    record_help_start();
    record_help_events("V1", 6, 5);
    wait_published(11);
    record_help_stop();
    pg_server_script(
        help.pg, "TRUNCATE records, digests, stream_positions, log_head, tree_edge, checkpoints; "
                 "INSERT INTO records SELECT * FROM backup.records; "
                 "INSERT INTO digests SELECT * FROM backup.digests; "
                 "INSERT INTO stream_positions SELECT * FROM backup.positions; "
                 "INSERT INTO log_head SELECT * FROM backup.head; "
                 "INSERT INTO tree_edge SELECT * FROM backup.edge; "
                 "INSERT INTO checkpoints SELECT * FROM backup.checkpoints; "
                 "DROP SCHEMA backup CASCADE");
    record_help_start();
    record_help_wait("SELECT count(*) FROM records WHERE kind = 'system' AND type = 'diverged' AND "
                     "severity = 'critical' AND data -> 'published' ->> 'size' = '11'",
                     1);
    /* Recording goes on, and so does publishing. */
    record_help_wait("SELECT count(*) FROM records WHERE kind = 'event'", 10);
    record_help_events("V1", 11, 1);
    record_help_wait("SELECT count(*) FROM records WHERE kind = 'event'", 11);
    wait_published(13);
    record_help_check_log();
}

/* The first record has a checkpoint, which is published; then come so many more that the root of
 * then has to be read from the tree. */
static void begin_log(int64_t records)
{
    record_help_start();
    record_help_wait(NEWEST, 1);
    wait_published(1);
    record_help_events("V1", 1, (int)records - 1);
    record_help_wait(COUNT, records);
    record_help_stop();
    assert_int_equal(pg_server_int(help.pg, NEWEST), 1);
}

/* A statement that PostgreSQL cancels says nothing about the archive: only what was read and is
 * another makes a record of it, which stays for ever. */
static void what_cannot_be_compared_has_not_diverged(void **state)
{
    static const enum pg_status statuses[] = {PG_LOST, PG_FAILED};
    (void)state;
    begin_log(TREE_TILE_NODES + 8);
    struct record_batch *batch = record_batch_new("r");
    struct record_checkpoint *checkpoint =
        record_checkpoint_new(&help.config, help.bus, help.signers);
    assert_non_null(batch);
    assert_non_null(checkpoint);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        unsigned hits = 0;
        for (bool hit = true; hit; hits += hit) {
            struct pg_error error;
            assert_int_equal(record_checkpoint_begin(checkpoint, help.pg, batch, &error), PG_OK);
            pg_fault_arm(hits + 1, statuses[i], PG_FAULT_ANYWHERE);
            enum pg_status status = record_checkpoint_publish(checkpoint, help.pg, batch, &error);
            hit = pg_fault_disarm();
            assert_int_equal(status, hit ? statuses[i] : PG_OK);
            assert_int_equal(record_batch_count(batch), 0);
        }
        assert_true(hits >= 2); /* the edge, and a tile */
    }
    record_checkpoint_free(checkpoint);
    record_batch_free(batch);
}

/* What somebody else put on the subject makes nobody publish everything once more: one checkpoint
 * follows it, and the log is held against the last one that was ours. */
static void a_foreign_checkpoint_is_followed_by_the_newest_alone(void **state)
{
    enum { OTHERS = 3 };
    (void)state;
    help.config.record.checkpoint_s = SHORT_S;
    record_help_start();
    for (int size = 2; size <= 4; size++) {
        record_help_events("V1", size - 1, 1);
        wait_published(size);
    }
    record_help_stop();
    uint64_t before = help_info(help.bus, "TWIN_CHECKPOINTS").messages;
    assert_int_equal(before, pg_server_int(help.pg, "SELECT count(*) FROM checkpoints"));
    for (int i = 0; i < OTHERS; i++)
        record_help_store(SUBJECT, "fleethub/t/r\n9\n", 15);
    record_help_start();
    wait_published(4);
    record_help_events("V1", 4, 1);
    wait_published(5);
    record_help_stop();
    assert_int_equal(help_info(help.bus, "TWIN_CHECKPOINTS").messages, before + OTHERS + 2);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE type = 'diverged'"),
                     0);
    /* The archive is another one now, and the foreign messages do not hide that. */
    record_help_store(SUBJECT, "nothing", 7);
    pg_server_script(help.pg, "UPDATE tree_edge SET nodes = "
                              "set_byte(nodes, 0, get_byte(nodes, 0) # 1) WHERE level = 0");
    record_help_start();
    record_help_wait("SELECT count(*) FROM records WHERE type = 'diverged'", 1);
}

static void a_log_begun_before_it_had_a_tree_gets_one(void **state)
{
    (void)state;
    record_help_start();
    record_help_events("V1", 1, 1500);
    record_help_wait(COUNT, 1501);
    record_help_stop();
    pg_server_script(help.pg, "TRUNCATE tree_tiles, tree_edge, checkpoints");
    record_help_start();
    record_help_events("V1", 1501, 10);
    record_help_wait(COUNT, 1511);
    record_help_check_log();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(first_records_and_every_thousand_get_one, setup, teardown),
        cmocka_unit_test_setup_teardown(published_checkpoint_is_signed_and_of_the_tree, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nothing_new_gets_no_checkpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_dead_writer_left_is_published_by_the_next, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(file_holds_the_newest_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_key_is_named_and_both_sign_for_a_while, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_key_is_vouched_for_once_the_one_before_is_configured,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_note_names_no_key, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_key_checkpoints_are_unsigned, setup, teardown),
        cmocka_unit_test_setup_teardown(database_of_before_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_compared_has_not_diverged, setup, teardown),
        cmocka_unit_test_setup_teardown(a_foreign_checkpoint_is_followed_by_the_newest_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_log_begun_before_it_had_a_tree_gets_one, setup, teardown),
    };
    record_help_child(argc, argv);
    return cmocka_run_group_tests(tests, record_help_servers, record_help_servers_done);
}
