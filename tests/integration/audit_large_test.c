/* A log of more than a million records, of which retention has taken all but the last 3,036: what
 * is changed far from its beginning is found too, in the rows, in every level of the tree, and in a
 * file exported from there. */
#include "hub/audit_db.h"
#include "hub/audit_export.h"
#include "hub/audit_file.h"
#include "hub/record_checkpoint.h"
#include "hub/record_commit.h"
#include "hub/record_lease.h"
#include "hub/tree_store.h"
#include "tests/integration/audit_help.h"
#include "tests/integration/record_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    /* Where a tile of the units' roots is full: the lowest that verification itself puts together.
     */
    BOUNDARY = TREE_TILE_NODES * AUDIT_UNIT_RECORDS,
    DROPPED = BOUNDARY - 48 * TREE_TILE_NODES,
    LIVE = 48 * TREE_TILE_NODES + 1500,
    SAVE_RECORDS = 1 << 15,
    SQL_BYTES = 512,
};

static struct record_signers signers;
static struct audit_keys keys;
static struct audit_report report;

/* ---- the log ---- */

static void make_signers(void)
{
    struct buf pem = BUF_INIT;
    char error[AUDIT_ERROR_BYTES];
    assert_true(audit_key_make(&pem, error));
    assert_true(audit_signer_read(pem.data, pem.size_bytes, &signers.current, error));
    memcpy(keys.keys[0].public, audit_signer_public(signers.current), AUDIT_PUBLIC_BYTES);
    keys.count = 1;
    buf_done(&pem);
}

/* Of what was dropped the tree is all that is left: any leaves will do. */
static void make_dropped(void)
{
    static struct tree_growth growth;
    static struct tree_edge empty;
    struct tree_hash leaf = {{0}};
    struct pg_params params;
    struct pg_error error;
    char sql[SQL_BYTES];
    pg_params_init(&params);
    tree_edge_init(&empty);
    tree_growth_begin(&growth, &empty);
    for (int64_t seq = 1; seq <= DROPPED; seq++) {
        memcpy(leaf.bytes, &seq, sizeof seq);
        tree_growth_append(&growth, &leaf);
        if ((seq % SAVE_RECORDS == 0 || seq == DROPPED) &&
            tree_growth_save(&growth, help.pg, &params, &error) != PG_OK)
            fail_msg("%s", error.text);
    }
    tree_growth_done(&growth);
    pg_params_done(&params);
    snprintf(sql, sizeof sql, "UPDATE log_head SET next_seq = %d", DROPPED + 1);
    pg_server_script(help.pg, sql);
}

static void add_record(struct record_batch *batch, int i)
{
    char data[64];
    struct record record;
    record_init(&record);
    record.kind = i == 0 ? RECORD_SYSTEM : RECORD_EVENT;
    record.type = i == 0 ? (struct slice){"retention", 9} : (struct slice){"waypoint", 8};
    if (i > 0) { /* what the hub itself says came by no stream */
        record.vid = (struct slice){"V1", 2};
        record.stream = (struct slice){"TWIN_EVENTS", 11};
        record.stream_seq = i;
    }
    int size = i == 0 ? snprintf(data, sizeof data, "{\"floor_seq\":%d}", DROPPED + 1)
                      : snprintf(data, sizeof data, "{\"i\":%d}", i);
    record.data = (struct slice){data, (size_t)size};
    record.received_ns = i;
    record_id_of(record.kind, &i, sizeof i, record.id);
    assert_true(record_batch_add(batch, &record, 1));
}

/* As the record lane does it; the first batch also says which key signs. */
static void make_live(void)
{
    static const struct record_progress nothing[RECORD_STREAMS];
    struct record_batch *batch = record_batch_new("r");
    struct record_commit *commit = record_commit_new();
    struct record_checkpoint *checkpoint = record_checkpoint_new(&help.config, NULL, &signers);
    struct record_outcome outcome;
    struct pg_error error = {.text = ""};
    enum record_lease lease;
    int64_t writer;
    assert_true(batch && commit && checkpoint);
    assert_int_equal(record_lease_claim(help.pg, "t/r", "test", &lease, &writer, &error), PG_OK);
    record_tree_checkpoints(record_commit_tree(commit), checkpoint);
    assert_int_equal(record_checkpoint_begin(checkpoint, help.pg, batch, &error), PG_OK);
    for (int i = 0, rows = 0; rows < LIVE;) {
        while (rows + (int)record_batch_count(batch) < LIVE && !record_batch_full(batch))
            add_record(batch, i++);
        rows += (int)record_batch_count(batch);
        if (record_commit_batch(commit, batch, help.pg, writer, nothing, &outcome, &error) != PG_OK)
            fail_msg("%s", error.text);
        record_batch_reset(batch);
    }
    assert_int_equal(outcome.head_seq, DROPPED + LIVE);
    record_commit_free(commit);
    record_checkpoint_free(checkpoint);
    record_batch_free(batch);
}

static int setup_group(void **state)
{
    record_help_servers(state);
    record_help_setup(state);
    make_signers();
    make_dropped();
    make_live();
    pg_server_script(help.pg, "CREATE SCHEMA kept; "
                              "CREATE TABLE kept.records AS SELECT * FROM records; "
                              "CREATE TABLE kept.tree_tiles AS SELECT * FROM tree_tiles; "
                              "CREATE TABLE kept.tree_edge AS SELECT * FROM tree_edge");
    return 0;
}

static int teardown_group(void **state)
{
    record_help_teardown(state);
    record_signers_done(&signers);
    return record_help_servers_done(state);
}

/* ---- what is changed ---- */

/* Rows of a table, for as long as it takes to verify. */
static void change(const char *sql)
{
    pg_server_script(help.pg, sql);
}

static void restore(const char *table, const char *where)
{
    char sql[SQL_BYTES];
    snprintf(sql, sizeof sql,
             "DELETE FROM %s WHERE %s; INSERT INTO %s SELECT * FROM kept.%s "
             "WHERE %s",
             table, where, table, table, where);
    pg_server_script(help.pg, sql);
}

static void verify(void)
{
    struct audit_request request = {.dsn = help.postgres.dsn, .keys = &keys};
    audit_db_verify(&request, &report);
}

static void assert_bad(const char *doing, int64_t seq)
{
    if (report.verdict != AUDIT_BAD || report.bad.seq != seq)
        fail_msg("%s: verdict %d, record %lld instead of %lld: %s%s", doing, (int)report.verdict,
                 (long long)report.bad.seq, (long long)seq, report.bad.reason, report.error);
}

/* One byte of a tile's node; `seq` is where the records begin that do not fit it any more. */
static void node_is_missed(int level, int64_t tile, int node, int64_t seq)
{
    char where[SQL_BYTES / 4], sql[SQL_BYTES];
    snprintf(where, sizeof where, "level = %d AND tile = %lld", level, (long long)tile);
    snprintf(sql, sizeof sql,
             "UPDATE tree_tiles SET nodes = set_byte(nodes, %d, get_byte(nodes, %d) # 1) WHERE %s",
             node * TREE_HASH_BYTES + 9, node * TREE_HASH_BYTES + 9, where);
    change(sql);
    verify();
    assert_bad(sql, seq);
    restore("tree_tiles", where);
}

static void tile_is_missed(int level, int64_t tile, int64_t seq)
{
    char where[SQL_BYTES / 4], sql[SQL_BYTES];
    snprintf(where, sizeof where, "level = %d AND tile = %lld", level, (long long)tile);
    snprintf(sql, sizeof sql, "DELETE FROM tree_tiles WHERE %s", where);
    change(sql);
    verify();
    assert_bad(sql, seq);
    restore("tree_tiles", where);
}

/* ---- tests ---- */

static void untouched_it_is_good(void **state)
{
    (void)state;
    verify();
    if (report.verdict != AUDIT_GOOD)
        fail_msg("record %lld: %s%s", (long long)report.bad.seq, report.bad.reason, report.error);
    assert_int_equal(report.records, DROPPED + LIVE);
    assert_int_equal(report.rows, LIVE);
    assert_true(report.covered_to > BOUNDARY);
    assert_true(report.trusted >= 2);
}

static void tiles_of_the_units_roots_are_part_of_it(void **state)
{
    (void)state;
    node_is_missed(3, 0, 0, 1);
    node_is_missed(3, 0, TREE_TILE_NODES - 1, 1);
    tile_is_missed(3, 0, 1);
    change("UPDATE tree_edge SET nodes = set_byte(nodes, 9, get_byte(nodes, 9) # 1) "
           "WHERE level = 4");
    verify();
    assert_bad("the edge", BOUNDARY);
    restore("tree_edge", "level = 4");
}

/* Far from the first unit, where the records are there and where they are gone. */
static void tiles_below_them_are_part_of_it(void **state)
{
    const int64_t tile_1 = BOUNDARY / (TREE_TILE_NODES * TREE_TILE_NODES) - 1;
    const int64_t gone = 20 * INT64_C(1024) + 7, there = BOUNDARY / TREE_TILE_NODES - 2;
    (void)state;
    node_is_missed(2, TREE_TILE_NODES - 1, TREE_TILE_NODES - 1, tile_1 * 1024 + 1);
    node_is_missed(1, tile_1 - 3, 5, (tile_1 - 3) * 1024 + 1);
    node_is_missed(0, gone, 3, gone * TREE_TILE_NODES + 1);
    tile_is_missed(1, gone / TREE_TILE_NODES, gone / TREE_TILE_NODES * 1024 + 1);
    node_is_missed(0, there, 4, there * TREE_TILE_NODES + 1);
    node_is_missed(0, BOUNDARY / TREE_TILE_NODES + 3, 0, BOUNDARY + 3 * TREE_TILE_NODES + 1);
}

static void row_is_missed(const char *sql, int64_t seq)
{
    char where[SQL_BYTES / 4];
    snprintf(where, sizeof where, "seq BETWEEN %lld AND %lld", (long long)seq, (long long)seq + 1);
    change(sql);
    verify();
    assert_bad(sql, seq);
    restore("records", where);
}

static void rows_are_part_of_it(void **state)
{
    static const struct {
        const char *before;
        int64_t seq;
    } cases[] = {
        {"UPDATE records SET vid = 'V9' WHERE seq =", BOUNDARY - 7},
        {"UPDATE records SET raw = '{\"i\":0}', data = '{\"i\":0}' WHERE seq =", BOUNDARY + 700},
        {"DELETE FROM records WHERE seq =", BOUNDARY},
        {"DELETE FROM records WHERE seq =", BOUNDARY + 1},
    };
    const long long first = BOUNDARY + 40;
    char sql[SQL_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(sql, sizeof sql, "%s %lld", cases[i].before, (long long)cases[i].seq);
        row_is_missed(sql, cases[i].seq);
    }
    snprintf(sql, sizeof sql,
             "UPDATE records SET seq = 0 WHERE seq = %lld; "
             "UPDATE records SET seq = %lld WHERE seq = %lld; "
             "UPDATE records SET seq = %lld WHERE seq = 0",
             first, first, first + 1, first + 1);
    row_is_missed(sql, first);
}

/* Its own hash and its leaf fit; the node above does not. */
static void a_record_rewritten_with_its_leaf_is_found(void **state)
{
    const int64_t seq = BOUNDARY - 70, tile = (seq - 1) / TREE_TILE_NODES;
    char sql[SQL_BYTES], where[SQL_BYTES / 4];
    (void)state;
    snprintf(where, sizeof where, "seq = %lld", (long long)seq);
    snprintf(sql, sizeof sql, "UPDATE records SET vid = 'V9' WHERE %s", where);
    change(sql);
    audit_help_rehash(seq);
    snprintf(sql, sizeof sql,
             "UPDATE tree_tiles SET nodes = overlay(nodes PLACING (SELECT hash FROM records WHERE "
             "%s) FROM %d) WHERE level = 0 AND tile = %lld",
             where, (int)((seq - 1) % TREE_TILE_NODES) * TREE_HASH_BYTES + 1, (long long)tile);
    change(sql);
    verify();
    assert_bad("rewritten with its leaf", tile * TREE_TILE_NODES + 1);
    restore("records", where);
    snprintf(where, sizeof where, "level = 0 AND tile = %lld", (long long)tile);
    restore("tree_tiles", where);
}

/* ---- a file from there ---- */

static void verify_file(const char *text, size_t size)
{
    struct audit_request request = {.keys = &keys};
    struct audit_file *file = audit_file_new(&request, &report);
    assert_non_null(file);
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t line = end ? (size_t)(end - text) : size;
        if (!audit_file_line(file, text, line))
            break;
        text += line + (end != NULL);
        size -= line + (end != NULL);
    }
    audit_file_end(file);
}

/* Each line but the header and checkpoints (of which a file may have fewer): changed, and left
 * out. */
static void spoil_lines(char *text, size_t size)
{
    char *without = malloc(size);
    int spoiled = 0;
    assert_non_null(without);
    char *line = (char *)memchr(text, '\n', size) + 1;
    while (line < text + size) {
        char *end = (char *)memchr(line, '\n', (size_t)(text + size - line)) + 1;
        char *middle = line + (end - line) / 2;
        if (strncmp(line, "{\"checkpoint\"", 13) != 0) {
            char kept = *middle;
            *middle = kept == '0' ? '1' : '0';
            verify_file(text, size);
            if (report.verdict == AUDIT_GOOD)
                fail_msg("byte %td of %.*s", middle - line, (int)(end - line), line);
            *middle = kept;
            memcpy(without, text, (size_t)(line - text));
            memcpy(without + (line - text), end, (size_t)(text + size - end));
            verify_file(without, size - (size_t)(end - line));
            if (report.verdict == AUDIT_GOOD)
                fail_msg("without %.*s", (int)(end - line), line);
            spoiled++;
        }
        line = end;
    }
    assert_true(spoiled >= 43); /* the records, and what stands before and behind them */
    free(without);
}

static void a_file_from_there_proves_itself(void **state)
{
    char *text = NULL, error[AUDIT_ERROR_BYTES] = "";
    size_t size = 0;
    (void)state;
    struct audit_export_report exported;
    struct audit_export_request request = {.dsn = help.postgres.dsn,
                                           .selection = {.start_ns = TIMESTAMP_NONE,
                                                         .end_ns = TIMESTAMP_NONE,
                                                         .from_seq = BOUNDARY - 20,
                                                         .to_seq = BOUNDARY + 20},
                                           .out = open_memstream(&text, &size)};
    assert_non_null(request.out);
    if (!audit_export(&request, &exported, error))
        fail_msg("%s", error);
    fclose(request.out);
    assert_int_equal(exported.records, 41);
    verify_file(text, size);
    if (report.verdict != AUDIT_GOOD)
        fail_msg("record %lld: %s%s", (long long)report.bad.seq, report.bad.reason, report.error);
    assert_int_equal(report.rows, 41);
    assert_true(report.covered_to > BOUNDARY);
    spoil_lines(text, size);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(untouched_it_is_good),
        cmocka_unit_test(tiles_of_the_units_roots_are_part_of_it),
        cmocka_unit_test(tiles_below_them_are_part_of_it),
        cmocka_unit_test(rows_are_part_of_it),
        cmocka_unit_test(a_record_rewritten_with_its_leaf_is_found),
        cmocka_unit_test(a_file_from_there_proves_itself),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
