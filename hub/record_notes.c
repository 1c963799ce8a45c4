#include "hub/record_notes.h"

#include <string.h>

static const struct pg_statement tick_off = {
    .name = "record_notes_tick",
    .sql = "UPDATE record_notes n SET recorded = true FROM digests d "
           "WHERE NOT n.recorded AND d.id = n.id AND d.day = 0"};

/* What is noted there, and nothing else: whoever can write to the table has no other record of the
 * hub's own made in its name. */
#define TYPES "('retention', 'retention_refused', 'hold_added', 'hold_removed')"

static const struct pg_statement list = {
    .name = "record_notes_list",
    .sql = "SELECT id, type, vid, actor, data, created FROM record_notes WHERE NOT recorded "
           "AND type IN " TYPES " ORDER BY created LIMIT $1::bigint"};

static struct slice text_at(const struct pg_result *rows, int row, int column)
{
    struct slice text = {NULL, 0};
    if (!pg_get_null(rows, row, column))
        text.at = pg_get_bytes(rows, row, column, &text.size);
    return text;
}

static bool add_note(const struct pg_result *rows, int row, struct record_batch *batch)
{
    struct record record;
    struct slice id = text_at(rows, row, 0);
    record_init(&record);
    if (id.size != RECORD_ID_BYTES)
        return true;
    memcpy(record.id, id.at, RECORD_ID_BYTES);
    record.kind = RECORD_SYSTEM;
    record.severity = SEVERITY_NOTICE;
    record.type = text_at(rows, row, 1);
    record.vid = text_at(rows, row, 2);
    record.actor = text_at(rows, row, 3);
    record.data = text_at(rows, row, 4);
    record.received_ns = pg_get_timestamp_us(rows, row, 5) * 1000;
    return record_batch_add(batch, &record, 0);
}

enum pg_status record_notes_take(struct pg *pg, struct record_batch *batch, struct pg_error *error)
{
    struct pg_params params;
    struct pg_result *rows = NULL;
    enum pg_status status = pg_run(pg, &tick_off, NULL, NULL, error);
    if (status != PG_OK)
        return status;
    pg_params_init(&params);
    pg_add_int8(&params, RECORD_NOTES_AT_ONCE);
    status = pg_run(pg, &list, &params, &rows, error);
    for (int row = 0; status == PG_OK && row < pg_rows(rows); row++) {
        if (!add_note(rows, row, batch)) {
            *error = (struct pg_error){.text = "no memory"};
            status = PG_FAILED;
        }
    }
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}
