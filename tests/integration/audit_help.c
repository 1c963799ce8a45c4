#include "tests/integration/audit_help.h"

#include "hub/audit_export.h"
#include "hub/audit_file.h"
#include "hub/audit_note.h"
#include "hub/audit_row.h"
#include "hub/record_hash.h"
#include "hub/tree_store.h"
#include "tests/integration/record_help.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ORIGIN "fleethub/t/r"

static void run(const struct pg_statement *statement, const struct pg_params *params,
                struct pg_result **rows)
{
    struct pg_error error;
    if (pg_run(help.pg, statement, params, rows, &error) != PG_OK)
        fail_msg("%s: %s", statement->sql, error.text);
}

void audit_help_rehash(int64_t seq)
{
    static const struct pg_statement update = {
        .sql = "UPDATE records SET hash = $2::bytea WHERE seq = $1::bigint"};
    struct pg_field fields[AUDIT_ROW_FIELDS];
    struct buf sql = BUF_INIT, scratch = BUF_INIT;
    struct record record;
    struct pg_error error;
    struct pg_params params;
    bool over;
    uint8_t hash[RECORD_HASH_BYTES];
    audit_row_query(&sql, seq - 1, seq, "");
    assert_int_equal(pg_copy_begin(help.pg, buf_cstr(&sql), &error), PG_OK);
    assert_int_equal(pg_copy_next(help.pg, fields, AUDIT_ROW_FIELDS, &over, &error), PG_OK);
    assert_false(over);
    assert_null(audit_row_read(fields, &record));
    assert_true(record_hash(&record, &scratch, hash));
    assert_int_equal(pg_copy_next(help.pg, fields, AUDIT_ROW_FIELDS, &over, &error), PG_OK);
    assert_true(over);
    pg_params_init(&params);
    pg_add_int8(&params, seq);
    pg_add_bytea(&params, hash, sizeof hash);
    run(&update, &params, NULL);
    pg_params_done(&params);
    buf_done(&sql);
    buf_done(&scratch);
}

void audit_help_rebuild(void)
{
    static struct tree_growth growth;
    static struct tree_edge empty;
    struct pg_params params;
    struct pg_error error;
    int64_t records = pg_server_int(help.pg, "SELECT count(*) FROM records");
    pg_params_init(&params);
    tree_edge_init(&empty);
    pg_server_script(help.pg, "TRUNCATE tree_tiles, tree_edge");
    tree_growth_begin(&growth, &empty);
    if (tree_growth_catch_up(&growth, help.pg, records, &error) != PG_OK ||
        tree_growth_save(&growth, help.pg, &params, &error) != PG_OK)
        fail_msg("%s", error.text);
    tree_growth_done(&growth);
    pg_params_done(&params);
}

static void replace(int64_t size, const struct buf *note)
{
    static const struct pg_statement update = {
        .sql = "UPDATE checkpoints SET note = $2::text WHERE size = $1::bigint"};
    struct pg_params params;
    pg_params_init(&params);
    pg_add_int8(&params, size);
    pg_add_text(&params, note->data, note->size_bytes);
    run(&update, &params, NULL);
    pg_params_done(&params);
}

static void each_checkpoint(const struct audit_signer *signer, const struct tree_source *source)
{
    static const struct pg_statement all = {.sql =
                                                "SELECT size, note FROM checkpoints ORDER BY size"};
    struct pg_result *rows = NULL;
    run(&all, NULL, &rows);
    for (int row = 0; row < pg_rows(rows); row++) {
        struct audit_note note;
        struct buf out = BUF_INIT;
        const char *reason;
        size_t size, used;
        const char *text = pg_get_bytes(rows, row, 1, &size);
        assert_true(audit_note_parse(text, size, &note, &used, &reason));
        if (source)
            assert_true(tree_root_at(source, note.size, &note.root));
        audit_note_write(&out, ORIGIN, note.size, &note.root, note.time_ns);
        assert_true(audit_note_sign(&out, ORIGIN, signer));
        replace(note.size, &out);
        buf_done(&out);
    }
    pg_result_free(rows);
}

void audit_help_resign(const struct audit_signer *signer)
{
    each_checkpoint(signer, NULL);
}

void audit_help_remake(const struct audit_signer *signer)
{
    static struct tree_reader reader;
    struct pg_error error;
    assert_int_equal(tree_reader_open(&reader, help.pg, &error), PG_OK);
    each_checkpoint(signer, &reader.source);
}

bool audit_help_export(int64_t from_seq, struct buf *text, char error[AUDIT_ERROR_BYTES])
{
    char *bytes = NULL;
    size_t size = 0;
    struct audit_export_report report;
    struct audit_export_request request = {
        .dsn = help.postgres.dsn,
        .selection = {.start_ns = TIMESTAMP_NONE, .end_ns = TIMESTAMP_NONE, .from_seq = from_seq},
        .out = open_memstream(&bytes, &size)};
    bool done = audit_export(&request, &report, error);
    fclose(request.out);
    buf_reset(text);
    buf_add(text, bytes, size);
    free(bytes);
    return done;
}

void audit_help_export_is_good(struct buf *text)
{
    static const struct audit_keys no_keys;
    struct audit_request request = {.keys = &no_keys};
    struct audit_report report;
    struct audit_file *file = audit_file_new(&request, &report);
    assert_non_null(file);
    for (const char *at = buf_cstr(text), *end; (end = strchr(at, '\n')); at = end + 1)
        audit_file_line(file, at, (size_t)(end - at));
    audit_file_end(file);
    if (report.verdict != AUDIT_GOOD)
        fail_msg("%lld: %s %s", (long long)report.bad.seq, report.bad.reason, report.error);
}

void audit_help_no_export(int64_t from_seq, struct buf *text, const char *why)
{
    char error[AUDIT_ERROR_BYTES] = "";
    assert_false(audit_help_export(from_seq, text, error));
    if (!strstr(error, why))
        fail_msg("%s", error);
}
