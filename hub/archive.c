#include "hub/archive_impl.h"

#include "hub/archive_row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_TIMEOUT_MS = 2000,
    TAKE_TIMEOUT_MS = 2000,
    LOCK_TIMEOUT_MS = 2000,
    CLIENT_CHECK_MS = 500, /* a statement that nobody reads any more ends within that */
    GET_SQL_BYTES = 1024,
};

struct archive_reader *archive_reader_new(const char *dsn, int connections_max)
{
    struct pg_options options = {.dsn = dsn,
                                 .name = "fleethub reader",
                                 .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                 .call_timeout_ms = ARCHIVE_CALL_TIMEOUT_MS,
                                 .statement_timeout_ms = ARCHIVE_STATEMENT_TIMEOUT_MS,
                                 .lock_timeout_ms = LOCK_TIMEOUT_MS,
                                 .client_check_ms = CLIENT_CHECK_MS};
    struct archive_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return NULL;
    reader->pool = pg_pool_new(&options, connections_max);
    if (!reader->pool) {
        free(reader);
        return NULL;
    }
    return reader;
}

void archive_reader_free(struct archive_reader *reader)
{
    if (!reader)
        return;
    pg_pool_free(reader->pool);
    free(reader);
}

/* ---- asking ---- */

enum archive_status archive_status_of(enum pg_status status, const struct pg_error *failed,
                                      struct archive_error *error)
{
    if (status == PG_OK)
        return ARCHIVE_OK;
    snprintf(error->text, sizeof error->text, "%s", failed->text);
    /* 57014: the statement's time was up. 42P01: there is no table yet. */
    if (status == PG_LOST || strcmp(failed->sqlstate, "57014") == 0 ||
        strcmp(failed->sqlstate, "42P01") == 0)
        return ARCHIVE_UNAVAILABLE;
    return ARCHIVE_FAILED;
}

enum archive_status archive_take(struct archive_reader *reader, struct pg **pg,
                                 struct archive_error *error)
{
    struct pg_error failed;
    enum pg_status status = pg_pool_take(reader->pool, TAKE_TIMEOUT_MS, pg, &failed);
    return archive_status_of(status, &failed, error);
}

void archive_give(struct archive_reader *reader, struct pg *pg)
{
    pg_pool_give(reader->pool, pg);
}

static enum archive_status ask(struct archive_reader *reader, const char *sql,
                               const struct pg_params *params, struct pg_result **rows,
                               struct archive_error *error)
{
    struct pg_statement statement = {.sql = sql};
    struct pg_error failed;
    struct pg *pg = NULL;
    enum archive_status status = archive_take(reader, &pg, error);
    if (status != ARCHIVE_OK)
        return status;
    enum pg_status asked = pg_run(pg, &statement, params, rows, &failed);
    archive_give(reader, pg);
    return archive_status_of(asked, &failed, error);
}

/* ---- one record ---- */

static enum archive_status judge_one(const struct viewer *viewer, const struct pg_result *rows,
                                     void (*take)(void *closure, const struct record *record),
                                     void *closure, struct archive_error *error)
{
    struct record_question question;
    struct record_judge judge;
    struct record record;
    struct pg_field fields[ARCHIVE_ROW_FIELDS];
    enum archive_status status = ARCHIVE_NOT_FOUND;
    if (pg_rows(rows) == 0)
        return ARCHIVE_NOT_FOUND;
    for (int i = 0; i < ARCHIVE_ROW_FIELDS; i++)
        fields[i] = pg_get_field(rows, 0, i);
    record_question_init(&question, viewer);
    if (!archive_row_read(fields, &record)) {
        snprintf(error->text, sizeof error->text, "a row of records is malformed");
        return ARCHIVE_FAILED;
    }
    enum record_verdict verdict = RECORD_NOT_JUDGED;
    if (record_judge_init(&judge, &question))
        verdict = record_judge_ask(&judge, &record);
    if (verdict == RECORD_YES) {
        take(closure, &record);
        status = ARCHIVE_OK;
    } else if (verdict == RECORD_NOT_JUDGED) {
        snprintf(error->text, sizeof error->text, "no memory");
        status = ARCHIVE_FAILED;
    }
    record_judge_done(&judge);
    return status;
}

enum archive_status archive_get(struct archive_reader *reader, const struct viewer *viewer,
                                const uint8_t id[RECORD_ID_BYTES],
                                void (*take)(void *closure, const struct record *record),
                                void *closure, struct archive_error *error)
{
    struct pg_params params;
    struct pg_result *rows = NULL;
    char sql[GET_SQL_BYTES];

    /* The digests know the seq of an id. */
    snprintf(sql, sizeof sql,
             "SELECT %s FROM records WHERE seq IN (SELECT d.seq FROM digests d WHERE d.id = "
             "encode($1::bytea, 'hex')::uuid) AND records.id = encode($1::bytea, 'hex')::uuid "
             "ORDER BY seq LIMIT 1",
             archive_row_columns);
    pg_params_init(&params);
    pg_add_bytea(&params, id, RECORD_ID_BYTES);
    enum archive_status status = ask(reader, sql, &params, &rows, error);
    if (status == ARCHIVE_OK)
        status = judge_one(viewer, rows, take, closure, error);
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}

/* ---- how far it is ---- */

enum archive_status archive_positions(struct archive_reader *reader,
                                      struct position positions[STREAM_LABELS],
                                      struct archive_error *error)
{
    static const struct {
        const char *name;
        enum stream_label label;
    } streams[] = {
        {"TWIN_EVENTS", STREAM_EVENTS}, {"TWIN_ACK", STREAM_ACK}, {"TWIN_RECORD", STREAM_RECORD}};
    struct pg_result *rows = NULL;
    enum archive_status status =
        ask(reader, "SELECT stream, created_ns, seq, received_ns FROM stream_positions", NULL,
            &rows, error);
    memset(positions, 0, STREAM_LABELS * sizeof *positions);
    for (int row = 0; status == ARCHIVE_OK && row < pg_rows(rows); row++)
        for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
            if (strcmp(pg_get_bytes(rows, row, 0, NULL), streams[i].name) == 0)
                positions[streams[i].label] =
                    (struct position){pg_get_int(rows, row, 1), (uint64_t)pg_get_int(rows, row, 2),
                                      pg_get_int(rows, row, 3)};
    pg_result_free(rows);
    return status;
}

enum archive_status archive_bounds(struct archive_reader *reader, int64_t *first, int64_t *last,
                                   struct archive_error *error)
{
    struct pg_result *rows = NULL;
    enum archive_status status =
        ask(reader, "SELECT min(seq), max(seq) FROM records", NULL, &rows, error);
    if (status == ARCHIVE_OK) {
        *first = pg_get_int(rows, 0, 0); /* null is 0 */
        *last = pg_get_int(rows, 0, 1);
    }
    pg_result_free(rows);
    return status;
}
