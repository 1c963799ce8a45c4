#include "hub/record_batch_impl.h"

#include "hub/failpoint.h"

#include <stdlib.h>
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

static const char load_digests[] = "COPY digests (id, day, seq) FROM STDIN (FORMAT binary)";
enum { DIGEST_COLUMNS = 3 };

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

/* A row in the order of the index, without a look at the row itself: what its id begins with, the
 * highest byte first, says nearly always which of two comes first. */
struct place {
    uint64_t beginning;
    const struct record_row *row;
};

static struct place place_of(const struct record_row *row)
{
    uint64_t beginning = 0;
    for (size_t i = 0; i < sizeof beginning; i++)
        beginning = beginning << 8 | row->record.id[i];
    return (struct place){beginning, row};
}

static int by_id(const void *a, const void *b)
{
    const struct place *one = a, *two = b;
    if (one->beginning != two->beginning)
        return one->beginning < two->beginning ? -1 : 1;
    return memcmp(one->row->record.id, two->row->record.id, RECORD_ID_BYTES);
}

static enum pg_status load_sorted(struct pg_load *load, const struct place *sorted, size_t count,
                                  struct pg_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const struct record_row *row = sorted[i].row;
        enum pg_status status = pg_load_row(load, DIGEST_COLUMNS, error);
        if (status != PG_OK)
            return status;
        pg_load_bytes(load, row->record.id, RECORD_ID_BYTES);
        pg_load_int4(load, row->day);
        pg_load_int8(load, row->record.seq);
    }
    return pg_load_end(load, error);
}

enum pg_status record_rows_load_digests(struct pg *pg, struct pg_load *load,
                                        const struct record_row *at, size_t count,
                                        struct pg_error *error)
{
    struct rows rows = {at, count};
    size_t sorted_count = 0;
    /* In the order of the index, whose pages are visited once then. */
    struct place *sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted) {
        *error = (struct pg_error){.text = "no memory"};
        return PG_FAILED;
    }
    EACH_NEW(rows, row)
    sorted[sorted_count++] = place_of(row);
    qsort(sorted, sorted_count, sizeof *sorted, by_id);
    enum pg_status status = pg_load_begin(load, pg, load_digests, error);
    if (status == PG_OK)
        status = load_sorted(load, sorted, sorted_count, error);
    free(sorted);
    return status;
}

/* ---- records ---- */

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
    }
    return none;
}

static void load_text(struct pg_load *load, struct slice text)
{
    if (text.at)
        pg_load_bytes(load, text.at, text.size);
    else
        pg_load_null(load);
}

static void load_int(struct pg_load *load, int64_t value, int64_t none)
{
    if (value == none)
        pg_load_null(load);
    else
        pg_load_int8(load, value);
}

/* Two columns: the microsecond, and the nanoseconds beyond it. */
static void load_time(struct pg_load *load, int64_t ns)
{
    int16_t rest_ns = 0;
    if (ns == TIMESTAMP_NONE)
        pg_load_null(load);
    else
        pg_load_timestamp_us(load, us_of(ns, &rest_ns));
    pg_load_int2(load, rest_ns);
}

static const char load_records[] =
    "COPY records (seq, id, hash, kind, vid, type, severity, actor, request_id, boot, boot_raw, "
    "vehicle_seq, timestamp, timestamp_rest_ns, received, received_rest_ns, stream, stream_seq, "
    "region, archived, data, raw) FROM STDIN (FORMAT binary)";
enum { RECORD_COLUMNS = 22 };

static void load_row(struct pg_load *load, const struct record_row *row)
{
    const struct record *record = &row->record;
    int16_t none_ns;
    pg_load_int8(load, record->seq);
    pg_load_bytes(load, record->id, RECORD_ID_BYTES);
    pg_load_bytes(load, record->hash, RECORD_HASH_BYTES);
    for (enum text_column column = COLUMN_KIND; column <= COLUMN_BOOT_RAW; column++)
        load_text(load, column_of(row, column));
    load_int(load, record->vehicle_seq, SEQ_NONE);
    load_time(load, record->timestamp_ns);
    load_time(load, record->received_ns);
    load_text(load, record->stream);
    load_int(load, record->stream_seq, RECORD_STREAM_SEQ_NONE);
    load_text(load, record->region);
    pg_load_timestamp_us(load, us_of(record->archived_ns, &none_ns));
    if (row->plain)
        pg_load_jsonb(load, record->data.at, record->data.size);
    else
        pg_load_null(load);
    pg_load_bytes(load, record->data.at, record->data.size);
}

enum pg_status record_rows_load(struct pg *pg, struct record_row *rows, size_t count,
                                record_rows_seal_fn *seal, void *closure, struct pg_error *error)
{
    struct pg_load load;
    enum pg_status status = pg_load_begin(&load, pg, load_records, error);
    if (status != PG_OK)
        return status;
    for (struct record_row *row = rows; row < rows + count; row++) {
        if (row->duplicate)
            continue;
        if (!seal(closure, row)) {
            load.bytes.failed = true; /* no memory: the session cannot go on within these rows */
            return pg_load_end(&load, error);
        }
        status = pg_load_row(&load, RECORD_COLUMNS, error);
        if (status != PG_OK)
            return status;
        load_row(&load, row);
        failpoint_reached(FAILPOINT_RECORD_LOADING);
    }
    status = pg_load_end(&load, error);
    return status == PG_OK ? pg_load_result(&load, error) : status;
}

enum pg_status record_rows_plain(struct pg *pg, struct pg_params *params,
                                 const struct record_row *rows, size_t count, bool *plain,
                                 struct pg_error *error)
{
    static const struct pg_statement try_jsonb = {
        .name = "record_jsonb",
        .sql =
            "SELECT count(convert_from(raw, 'UTF8')::jsonb) FROM unnest($1::bytea[]) AS u (raw)"};
    pg_params_reset(params);
    pg_array_begin(params, PG_BYTEA);
    for (const struct record_row *row = rows; row < rows + count; row++) {
        if (row->plain)
            pg_array_bytes(params, row->record.data.at, row->record.data.size);
    }
    pg_array_end(params);
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
