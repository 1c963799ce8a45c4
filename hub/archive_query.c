#include "hub/archive.h"

#include "hub/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_TIMEOUT_MS = 2000, TAKE_TIMEOUT_MS = 2000, LOCK_TIMEOUT_MS = 2000 };

struct archive_reader {
    struct pg_pool *pool;
};

struct archive_reader *archive_reader_new(const char *dsn, int connections_max)
{
    struct pg_options options = {.dsn = dsn,
                                 .name = "fleethub reader",
                                 .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                 .call_timeout_ms = ARCHIVE_CALL_TIMEOUT_MS,
                                 .statement_timeout_ms = ARCHIVE_STATEMENT_TIMEOUT_MS,
                                 .lock_timeout_ms = LOCK_TIMEOUT_MS};
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

/* ---- rows to records ---- */

#define COLUMN_TABLE(X)                                                                            \
    X(SEQ, "seq")                                                                                  \
    X(ID, "id")                                                                                    \
    X(HASH, "hash")                                                                                \
    X(KIND, "kind")                                                                                \
    X(VID, "vid")                                                                                  \
    X(REGION, "region")                                                                            \
    X(TYPE, "type")                                                                                \
    X(SEVERITY, "severity")                                                                        \
    X(ACTOR, "actor")                                                                              \
    X(REQUEST_ID, "request_id")                                                                    \
    X(BOOT, "boot")                                                                                \
    X(BOOT_RAW, "boot_raw")                                                                        \
    X(VEHICLE_SEQ, "vehicle_seq")                                                                  \
    X(TIMESTAMP, "timestamp")                                                                      \
    X(TIMESTAMP_REST, "timestamp_rest_ns")                                                         \
    X(RECEIVED, "received")                                                                        \
    X(RECEIVED_REST, "received_rest_ns")                                                           \
    X(ARCHIVED, "archived")                                                                        \
    X(STREAM, "stream")                                                                            \
    X(STREAM_SEQ, "stream_seq")                                                                    \
    X(RAW, "raw")

enum column {
#define X(id, name) COLUMN_##id,
    COLUMN_TABLE(X)
#undef X
};

/* ", a, b" of the table; `select_columns + 2` is the list. */
static const char select_columns[] =
#define X(id, name) ", " name
    COLUMN_TABLE(X)
#undef X
    ;

static struct slice text_at(const struct pg_result *rows, int row, enum column column)
{
    struct slice text = {NULL, 0};
    if (!pg_get_null(rows, row, (int)column))
        text.at = pg_get_bytes(rows, row, (int)column, &text.size);
    return text;
}

static int64_t int_at(const struct pg_result *rows, int row, enum column column, int64_t none)
{
    return pg_get_null(rows, row, (int)column) ? none : pg_get_int(rows, row, (int)column);
}

/* A microsecond of PostgreSQL's and the nanoseconds beyond it. */
static int64_t time_at(const struct pg_result *rows, int row, enum column column, int64_t rest_ns)
{
    if (pg_get_null(rows, row, (int)column))
        return TIMESTAMP_NONE;
    /* Rounded down, the first microsecond of what 64 bits hold lies just outside. */
    __int128 ns = (__int128)pg_get_timestamp_us(rows, row, (int)column) * 1000 + rest_ns;
    if (ns < TIMESTAMP_MIN || ns > TIMESTAMP_MAX)
        return ns < 0 ? TIMESTAMP_MIN : TIMESTAMP_MAX;
    return (int64_t)ns;
}

static void severity_read(struct slice name, struct record *record)
{
    for (int i = 1; i < SEVERITY_COUNT; i++) {
        const char *known = record_severity_name((enum record_severity)i);
        if (name.at && strcmp(known, name.at) == 0)
            record->severity = (enum record_severity)i;
    }
}

/* The record borrows from the rows. False where the row is none that the hub wrote. */
static bool row_read(const struct pg_result *rows, int row, struct record *record)
{
    record_init(record);
    struct slice id = text_at(rows, row, COLUMN_ID), hash = text_at(rows, row, COLUMN_HASH);
    struct slice kind = text_at(rows, row, COLUMN_KIND);
    if (id.size != RECORD_ID_BYTES || hash.size != RECORD_HASH_BYTES ||
        !record_kind_parse(kind.at, kind.size, &record->kind))
        return false;
    memcpy(record->id, id.at, RECORD_ID_BYTES);
    memcpy(record->hash, hash.at, RECORD_HASH_BYTES);
    severity_read(text_at(rows, row, COLUMN_SEVERITY), record);
    record->seq = int_at(rows, row, COLUMN_SEQ, 0);
    record->vid = text_at(rows, row, COLUMN_VID);
    record->region = text_at(rows, row, COLUMN_REGION);
    record->type = text_at(rows, row, COLUMN_TYPE);
    record->actor = text_at(rows, row, COLUMN_ACTOR);
    record->request_id = text_at(rows, row, COLUMN_REQUEST_ID);
    record->boot = text_at(rows, row, COLUMN_BOOT);
    if (!record->boot.at)
        record->boot = text_at(rows, row, COLUMN_BOOT_RAW);
    record->vehicle_seq = int_at(rows, row, COLUMN_VEHICLE_SEQ, SEQ_NONE);
    record->timestamp_ns =
        time_at(rows, row, COLUMN_TIMESTAMP, int_at(rows, row, COLUMN_TIMESTAMP_REST, 0));
    record->received_ns =
        time_at(rows, row, COLUMN_RECEIVED, int_at(rows, row, COLUMN_RECEIVED_REST, 0));
    record->archived_ns = time_at(rows, row, COLUMN_ARCHIVED, 0);
    record->stream = text_at(rows, row, COLUMN_STREAM);
    record->stream_seq = int_at(rows, row, COLUMN_STREAM_SEQ, RECORD_STREAM_SEQ_NONE);
    record->data = text_at(rows, row, COLUMN_RAW);
    return true;
}

/* A record without a vehicle is for those from whom nothing is hidden. */
static bool may_see(const struct viewer *viewer, const struct record *record)
{
    char vid[TOKEN_MAX_BYTES + 1];
    if (viewer_sees_everything(viewer))
        return true;
    if (!record->vid.at || record->vid.size > TOKEN_MAX_BYTES)
        return false;
    memcpy(vid, record->vid.at, record->vid.size);
    vid[record->vid.size] = '\0';
    return viewer_sees_vehicle(viewer, vid) &&
           viewer_sees_part(viewer, vid, record->kind == RECORD_EVENT ? "evt" : "record",
                            record->type.at, record->type.size);
}

/* ---- asking ---- */

static enum archive_status status_of(enum pg_status status, const struct pg_error *failed,
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

static enum archive_status ask(struct archive_reader *reader, const char *sql,
                               const struct pg_params *params, struct pg_result **rows,
                               struct archive_error *error)
{
    struct pg_statement statement = {.sql = sql};
    struct pg_error failed;
    struct pg *pg = NULL;
    enum pg_status status = pg_pool_take(reader->pool, TAKE_TIMEOUT_MS, &pg, &failed);
    if (status == PG_OK) {
        status = pg_run(pg, &statement, params, rows, &failed);
        pg_pool_give(reader->pool, pg);
    }
    return status_of(status, &failed, error);
}

/* A bound of `received`, which lies in two columns: the index serves the first comparison. */
static void add_bound(struct buf *sql, struct pg_params *params, int64_t ns, char compare)
{
    bool before = ns % 1000 < 0; /* division rounds up there */
    pg_add_timestamp_us(params, ns / 1000 - before);
    pg_add_int8(params, before ? ns % 1000 + 1000 : ns % 1000);
    int time = params->count - 1, rest_at = params->count;
    buf_addf(sql,
             " AND received %c= $%d::timestamptz AND (received %c $%d::timestamptz OR "
             "received_rest_ns %s $%d::bigint)",
             compare, time, compare, time, compare == '>' ? ">=" : "<", rest_at);
}

static void add_text(struct buf *sql, struct pg_params *params, const char *column,
                     const char *value)
{
    if (!value)
        return;
    pg_add_text(params, value, strlen(value));
    buf_addf(sql, " AND %s = $%d::text", column, params->count);
}

/* `after_seq` and `limit` are given apart: a viewer's page may take several rounds. */
static void query_write(const struct archive_query *query, bool after_given, int64_t after_seq,
                        size_t limit, struct buf *sql, struct pg_params *params)
{
    buf_addf(sql, "SELECT %s FROM records WHERE true", select_columns + 2);
    add_text(sql, params, "vid", query->vid);
    add_text(sql, params, "type", query->type);
    add_text(sql, params, "kind", query->by_kind ? record_kind_name(query->kind) : NULL);
    /* The index by kind has no events in it; the planner has to know that none are wanted. */
    if (query->by_kind && query->kind != RECORD_EVENT)
        buf_adds(sql, " AND kind <> 'event'");
    if (query->start_ns != TIMESTAMP_NONE)
        add_bound(sql, params, query->start_ns, '>');
    if (query->end_ns != TIMESTAMP_NONE)
        add_bound(sql, params, query->end_ns, '<');
    if (after_given) {
        pg_add_int8(params, after_seq);
        buf_addf(sql, " AND seq %c $%d::bigint", query->ascending ? '>' : '<', params->count);
    }
    pg_add_int8(params, (int64_t)limit);
    buf_addf(sql, " ORDER BY seq %s LIMIT $%d::bigint", query->ascending ? "ASC" : "DESC",
             params->count);
}

/* Writes what may be seen of the rows, until the page is full. False: a row is none of ours. */
static bool rows_write(const struct pg_result *rows, const struct archive_query *query,
                       struct buf *out, struct archive_page *page, int64_t *last_looked)
{
    for (int row = 0; row < pg_rows(rows) && !page->more; row++) {
        struct record record;
        if (!row_read(rows, row, &record))
            return false;
        *last_looked = record.seq;
        if (!may_see(query->viewer, &record))
            continue;
        if (page->count == query->limit) {
            page->more = true;
            continue;
        }
        if (page->count++ > 0)
            buf_addc(out, ',');
        record_write_public(out, &record, true);
        page->last_seq = record.seq;
    }
    return true;
}

enum archive_status archive_list(struct archive_reader *reader, const struct archive_query *query,
                                 struct buf *out, struct archive_page *page,
                                 struct archive_error *error)
{
    struct pg_params params;
    struct buf sql = BUF_INIT;
    bool after_given = query->after_given, end = false;
    int64_t after_seq = query->after_seq;
    enum archive_status status = ARCHIVE_OK;

    *page = (struct archive_page){0};
    pg_params_init(&params);
    while (status == ARCHIVE_OK && !end && !page->more) {
        struct pg_result *rows = NULL;
        size_t limit = query->limit + 1; /* one more tells whether this is the last page */
        pg_params_reset(&params);
        buf_reset(&sql);
        query_write(query, after_given, after_seq, limit, &sql, &params);
        status = ask(reader, buf_cstr(&sql), &params, &rows, error);
        if (status != ARCHIVE_OK)
            break;
        end = (size_t)pg_rows(rows) < limit;
        if (!rows_write(rows, query, out, page, &after_seq)) {
            snprintf(error->text, sizeof error->text, "a row of records is malformed");
            status = ARCHIVE_FAILED;
        }
        after_given = true;
        pg_result_free(rows);
    }
    if (status == ARCHIVE_OK && out->failed)
        status = ARCHIVE_FAILED;
    buf_done(&sql);
    pg_params_done(&params);
    return status;
}

enum archive_status archive_get(struct archive_reader *reader, const struct viewer *viewer,
                                const uint8_t id[RECORD_ID_BYTES], struct buf *out,
                                struct archive_error *error)
{
    struct pg_params params;
    struct pg_result *rows = NULL;
    struct record record;
    char sql[1024];

    /* The digests know the seq of an id. */
    snprintf(sql, sizeof sql,
             "SELECT %s FROM records WHERE seq IN (SELECT d.seq FROM digests d WHERE d.id = "
             "encode($1::bytea, 'hex')::uuid) AND records.id = encode($1::bytea, 'hex')::uuid "
             "ORDER BY seq LIMIT 1",
             select_columns + 2);
    pg_params_init(&params);
    pg_add_bytea(&params, id, RECORD_ID_BYTES);
    enum archive_status status = ask(reader, sql, &params, &rows, error);
    if (status == ARCHIVE_OK &&
        (pg_rows(rows) == 0 || !row_read(rows, 0, &record) || !may_see(viewer, &record)))
        status = ARCHIVE_NOT_FOUND;
    if (status == ARCHIVE_OK)
        record_write_public(out, &record, true);
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}

enum archive_status archive_positions(struct archive_reader *reader,
                                      struct position positions[STREAM_LABELS],
                                      struct archive_error *error)
{
    static const struct {
        const char *name;
        enum stream_label label;
    } streams[] = {
        {"TWIN_EVENTS", STREAM_EVENTS}, {"TWIN_ACK", STREAM_ACK}, {"TWIN_RECORD", STREAM_RECORD}};
    struct pg_params none;
    struct pg_result *rows = NULL;
    pg_params_init(&none);
    enum archive_status status =
        ask(reader, "SELECT stream, created_ns, seq, received_ns FROM stream_positions", &none,
            &rows, error);
    memset(positions, 0, STREAM_LABELS * sizeof *positions);
    for (int row = 0; status == ARCHIVE_OK && row < pg_rows(rows); row++)
        for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
            if (strcmp(pg_get_bytes(rows, row, 0, NULL), streams[i].name) == 0)
                positions[streams[i].label] =
                    (struct position){pg_get_int(rows, row, 1), (uint64_t)pg_get_int(rows, row, 2),
                                      pg_get_int(rows, row, 3)};
    pg_result_free(rows);
    pg_params_done(&none);
    return status;
}
