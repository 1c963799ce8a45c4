#include "hub/record_batch_impl.h"

#include <string.h>

/* Microseconds of a time in nanoseconds, rounded down, and what is left of it. */
static int64_t us_of(int64_t ns, int16_t *rest_ns)
{
    bool before = ns % 1000 < 0; /* division rounds up there */
    *rest_ns = (int16_t)(before ? ns % 1000 + 1000 : ns % 1000);
    return ns / 1000 - before;
}

/* ---- the new rows as arrays ---- */

struct rows {
    const struct record_row *at;
    size_t count;
};

#define EACH_NEW(rows, row)                                                                        \
    for (const struct record_row *row = (rows).at; row < (rows).at + (rows).count; row++)          \
        if (!row->duplicate)

static void add_bytes(struct pg_params *params, struct rows rows, enum pg_type type, size_t offset,
                      size_t size)
{
    pg_array_begin(params, type);
    EACH_NEW(rows, row)
    pg_array_bytes(params, (const char *)&row->record + offset, size);
    pg_array_end(params);
}

static void add_ints(struct pg_params *params, struct rows rows, size_t offset, int64_t none)
{
    pg_array_begin(params, PG_INT8);
    EACH_NEW(rows, row)
    {
        int64_t value;
        memcpy(&value, (const char *)&row->record + offset, sizeof value);
        if (value == none)
            pg_array_null(params);
        else
            pg_array_int8(params, value);
    }
    pg_array_end(params);
}

/* ---- digests ---- */

static const struct pg_statement insert_digests = {
    .name = "record_digests",
    .sql = "INSERT INTO digests (id, day, seq) "
           "SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bigint[]) "
           "ON CONFLICT DO NOTHING RETURNING id"};

enum pg_status record_rows_digests(struct pg *pg, struct pg_params *params,
                                   const struct record_row *at, size_t count,
                                   struct pg_result **inserted, struct pg_error *error)
{
    struct rows rows = {at, count};
    pg_params_reset(params);
    add_bytes(params, rows, PG_UUID, offsetof(struct record, id), RECORD_ID_BYTES);
    pg_array_begin(params, PG_INT4);
    EACH_NEW(rows, row)
    pg_array_int4(params, row->day);
    pg_array_end(params);
    add_ints(params, rows, offsetof(struct record, seq), -1);
    return pg_run(pg, &insert_digests, params, inserted, error);
}

/* ---- records ---- */

/* `raw` crosses the wire once; the server makes the jsonb of it. */
static const struct pg_statement insert_records = {
    .name = "record_insert",
    .sql =
        "INSERT INTO records (seq, id, hash, kind, vid, region, type, severity, actor, request_id, "
        "boot, boot_raw, vehicle_seq, timestamp, timestamp_rest_ns, received, received_rest_ns, "
        "archived, stream, stream_seq, data, raw) "
        "SELECT seq, id, hash, kind, vid, $20::text, type, severity, actor, request_id, "
        "boot, boot_raw, vehicle_seq, timestamp, timestamp_rest_ns, received, received_rest_ns, "
        "$21::timestamptz, stream, stream_seq, "
        "CASE WHEN plain THEN convert_from(raw, 'UTF8')::jsonb END, raw "
        "FROM unnest($1::bigint[], $2::uuid[], $3::bytea[], $4::text[], $5::text[], $6::text[], "
        "$7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[], $12::bigint[], "
        "$13::timestamptz[], $14::smallint[], $15::timestamptz[], $16::smallint[], $17::text[], "
        "$18::bigint[], $19::boolean[], $22::bytea[]) "
        "AS u (seq, id, hash, kind, vid, type, severity, actor, request_id, boot, boot_raw, "
        "vehicle_seq, timestamp, timestamp_rest_ns, received, received_rest_ns, stream, "
        "stream_seq, plain, raw)"};

/* The columns that are one slice of the record, or text made of it; NULL at: null. */
enum text_column {
    COLUMN_KIND,
    COLUMN_VID,
    COLUMN_TYPE,
    COLUMN_SEVERITY,
    COLUMN_ACTOR,
    COLUMN_REQUEST_ID,
    COLUMN_BOOT,
    COLUMN_BOOT_RAW,
    COLUMN_STREAM,
    COLUMN_RAW
};

static struct slice of_cstr(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static struct slice column_of(const struct record_row *row, enum text_column column)
{
    const struct record *record = &row->record;
    const struct slice none = {NULL, 0};
    /* A NUL fits no text of PostgreSQL. */
    bool nul = record->boot.at && memchr(record->boot.at, '\0', record->boot.size);
    switch (column) {
    case COLUMN_KIND:
        return of_cstr(record_kind_name(record->kind));
    case COLUMN_VID:
        return record->vid;
    case COLUMN_TYPE:
        return record->type;
    case COLUMN_SEVERITY:
        return of_cstr(record_severity_name(record->severity));
    case COLUMN_ACTOR:
        return record->actor;
    case COLUMN_REQUEST_ID:
        return record->request_id;
    case COLUMN_BOOT:
        return nul ? none : record->boot;
    case COLUMN_BOOT_RAW:
        return nul ? record->boot : none;
    case COLUMN_STREAM:
        return record->stream;
    case COLUMN_RAW:
        return record->data;
    }
    return none;
}

static void add_texts(struct pg_params *params, struct rows rows, enum text_column column)
{
    bool bytes = column == COLUMN_BOOT_RAW || column == COLUMN_RAW;
    pg_array_begin(params, bytes ? PG_BYTEA : PG_TEXT);
    EACH_NEW(rows, row)
    {
        struct slice text = column_of(row, column);
        if (text.at)
            pg_array_bytes(params, text.at, text.size);
        else
            pg_array_null(params);
    }
    pg_array_end(params);
}

/* Two columns: the microsecond, and the nanoseconds beyond it. */
static void add_times(struct pg_params *params, struct rows rows, size_t offset)
{
    int64_t ns;
    int16_t rest_ns;
    pg_array_begin(params, PG_TIMESTAMPTZ);
    EACH_NEW(rows, row)
    {
        memcpy(&ns, (const char *)&row->record + offset, sizeof ns);
        if (ns == TIMESTAMP_NONE)
            pg_array_null(params);
        else
            pg_array_timestamp_us(params, us_of(ns, &rest_ns));
    }
    pg_array_end(params);
    pg_array_begin(params, PG_INT2);
    EACH_NEW(rows, row)
    {
        memcpy(&ns, (const char *)&row->record + offset, sizeof ns);
        rest_ns = 0;
        if (ns != TIMESTAMP_NONE)
            us_of(ns, &rest_ns);
        pg_array_int2(params, rest_ns);
    }
    pg_array_end(params);
}

static void add_plain(struct pg_params *params, struct rows rows)
{
    pg_array_begin(params, PG_BOOL);
    EACH_NEW(rows, row)
    pg_array_bool(params, row->plain);
    pg_array_end(params);
}

enum pg_status record_rows_insert(struct pg *pg, struct pg_params *params,
                                  const struct record_row *at, size_t count, struct pg_error *error)
{
    struct rows rows = {at, count};
    int16_t none_ns;
    pg_params_reset(params);
    add_ints(params, rows, offsetof(struct record, seq), -1);
    add_bytes(params, rows, PG_UUID, offsetof(struct record, id), RECORD_ID_BYTES);
    add_bytes(params, rows, PG_BYTEA, offsetof(struct record, hash), RECORD_HASH_BYTES);
    for (enum text_column column = COLUMN_KIND; column <= COLUMN_BOOT_RAW; column++)
        add_texts(params, rows, column);
    add_ints(params, rows, offsetof(struct record, vehicle_seq), SEQ_NONE);
    add_times(params, rows, offsetof(struct record, timestamp_ns));
    add_times(params, rows, offsetof(struct record, received_ns));
    add_texts(params, rows, COLUMN_STREAM);
    add_ints(params, rows, offsetof(struct record, stream_seq), RECORD_STREAM_SEQ_NONE);
    add_plain(params, rows);
    pg_add_text(params, at[0].record.region.at, at[0].record.region.size);
    pg_add_timestamp_us(params, us_of(at[0].record.archived_ns, &none_ns));
    add_texts(params, rows, COLUMN_RAW);
    return pg_run(pg, &insert_records, params, NULL, error);
}

enum pg_status record_rows_plain(struct pg *pg, struct pg_params *params, struct slice data,
                                 bool *plain, struct pg_error *error)
{
    static const struct pg_statement try_jsonb = {
        .name = "record_jsonb", .sql = "SELECT convert_from($1::bytea, 'UTF8')::jsonb IS NOT NULL"};
    pg_params_reset(params);
    pg_add_bytea(params, data.at, data.size);
    enum pg_status status = pg_run(pg, &try_jsonb, params, NULL, error);
    *plain = status == PG_OK;
    return status == PG_VALUE ? PG_OK : status;
}

/* ---- positions ---- */

static const struct pg_statement save_positions = {
    .name = "record_positions",
    .sql = "INSERT INTO stream_positions (stream, created_ns, generation, seq, received_ns) "
           "SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], "
           "$5::bigint[]) ON CONFLICT (stream) DO UPDATE SET created_ns = excluded.created_ns, "
           "generation = excluded.generation, seq = excluded.seq, "
           "received_ns = excluded.received_ns"};

static int64_t position_column(const struct record_position *position, int column)
{
    switch (column) {
    case 0:
        return position->created_ns;
    case 1:
        return position->generation;
    case 2:
        return (int64_t)position->seq;
    default:
        return position->received_ns;
    }
}

enum pg_status record_rows_positions(struct pg *pg, struct pg_params *params,
                                     const struct record_progress progress[RECORD_STREAMS],
                                     struct pg_error *error)
{
    pg_params_reset(params);
    pg_array_begin(params, PG_TEXT);
    for (int i = 0; i < RECORD_STREAMS; i++) {
        if (progress[i].stream)
            pg_array_bytes(params, progress[i].stream, strlen(progress[i].stream));
    }
    pg_array_end(params);
    for (int column = 0; column < 4; column++) {
        pg_array_begin(params, PG_INT8);
        for (int i = 0; i < RECORD_STREAMS; i++) {
            if (progress[i].stream)
                pg_array_int8(params, position_column(&progress[i].position, column));
        }
        pg_array_end(params);
    }
    return pg_run(pg, &save_positions, params, NULL, error);
}

/* ---- refusals ---- */

static const struct pg_statement forget_refusals = {
    .name = "record_refusals_forget",
    .sql = "DELETE FROM refusals WHERE stream = $1::text AND minute < $2::bigint"};

static const struct pg_statement save_refusals = {
    .name = "record_refusals_save",
    .sql = "INSERT INTO refusals (stream, vid, minute, recorded, suppressed, last_seq, last_ns, "
           "reasons) SELECT $1::text, vid, $2::bigint, recorded, suppressed, last_seq, last_ns, "
           "string_to_array(reasons, ' ')::bigint[] FROM unnest($3::text[], $4::bigint[], "
           "$5::bigint[], $6::bigint[], $7::bigint[], $8::text[]) AS u (vid, recorded, suppressed, "
           "last_seq, last_ns, reasons) ON CONFLICT (stream, vid) DO UPDATE SET "
           "minute = excluded.minute, recorded = excluded.recorded, "
           "suppressed = excluded.suppressed, last_seq = excluded.last_seq, "
           "last_ns = excluded.last_ns, reasons = excluded.reasons"};

#define EACH_CHANGED(throttle, entry)                                                              \
    for (size_t entry##_at = 0; (entry = record_throttle_at(throttle, entry##_at)) != NULL;        \
         entry##_at++)                                                                             \
        if (entry->changed)

static void add_counts(struct pg_params *params, const struct record_throttle *throttle,
                       size_t offset)
{
    const struct record_refusals *entry;
    pg_array_begin(params, PG_INT8);
    EACH_CHANGED(throttle, entry)
    {
        int64_t value;
        memcpy(&value, (const char *)entry + offset, sizeof value);
        pg_array_int8(params, value);
    }
    pg_array_end(params);
}

static void add_reasons(struct pg_params *params, const struct record_throttle *throttle)
{
    const struct record_refusals *entry;
    pg_array_begin(params, PG_TEXT);
    EACH_CHANGED(throttle, entry)
    {
        struct buf text = BUF_INIT;
        for (int reason = 0; reason < REFUSAL_COUNT; reason++)
            buf_addf(&text, reason ? " %lld" : "%lld", (long long)entry->reasons[reason]);
        pg_array_bytes(params, text.data, text.size_bytes);
        params->bytes.failed |= text.failed;
        buf_done(&text);
    }
    pg_array_end(params);
}

enum pg_status record_rows_refusals(struct pg *pg, struct pg_params *params,
                                    const struct record_progress *progress, struct pg_error *error)
{
    const struct record_throttle *throttle = progress->throttle;
    const struct record_refusals *entry;

    pg_params_reset(params);
    pg_add_text(params, progress->stream, strlen(progress->stream));
    pg_add_int8(params, record_throttle_minute(throttle));
    enum pg_status status = pg_run(pg, &forget_refusals, params, NULL, error);
    if (status != PG_OK)
        return status;

    pg_array_begin(params, PG_TEXT);
    EACH_CHANGED(throttle, entry)
    pg_array_bytes(params, entry->vid, strlen(entry->vid));
    pg_array_end(params);
    add_counts(params, throttle, offsetof(struct record_refusals, recorded));
    add_counts(params, throttle, offsetof(struct record_refusals, suppressed));
    add_counts(params, throttle, offsetof(struct record_refusals, last_seq));
    add_counts(params, throttle, offsetof(struct record_refusals, last_ns));
    add_reasons(params, throttle);
    return pg_run(pg, &save_refusals, params, NULL, error);
}
