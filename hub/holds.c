#include "hub/holds.h"

#include "twin/timestamp.h"

#include <stdio.h>
#include <string.h>

static void add_text(struct pg_params *params, const char *text)
{
    if (text)
        pg_add_text(params, text, strlen(text));
    else
        pg_add_null(params);
}

static void add_time(struct pg_params *params, int64_t ns)
{
    if (ns == TIMESTAMP_NONE)
        pg_add_null(params);
    else
        pg_add_timestamp_us(params, ns / 1000);
}

static int64_t time_at(const struct pg_result *rows, int row, int column)
{
    return pg_get_null(rows, row, column) ? TIMESTAMP_NONE
                                          : pg_get_timestamp_us(rows, row, column) * 1000;
}

static const char *text_at(const struct pg_result *rows, int row, int column)
{
    return pg_get_null(rows, row, column) ? NULL : pg_get_bytes(rows, row, column, NULL);
}

/* ---- changing ---- */

static void write_note(struct buf *data, const char *id, const struct hold *hold)
{
    buf_adds(data, "{\"hold\":");
    buf_json_cstr(data, id);
    buf_adds(data, ",\"vid\":");
    if (hold->vid)
        buf_json_cstr(data, hold->vid);
    else
        buf_adds(data, "null");
    buf_adds(data, ",\"start_time\":");
    buf_json_timestamp(data, hold->start_ns);
    buf_adds(data, ",\"end_time\":");
    buf_json_timestamp(data, hold->end_ns);
    buf_adds(data, ",\"reason\":");
    buf_json_cstr(data, hold->reason);
    buf_adds(data, ",\"host\":");
    buf_json_cstr(data, hold->host);
    buf_addc(data, '}');
}

static enum pg_status add_note(struct pg *pg, const char *type, const char *id,
                               const struct hold *hold, struct pg_error *error)
{
    static const struct pg_statement insert = {
        .sql = "INSERT INTO record_notes (type, vid, actor, data) "
               "VALUES ($1::text, $2::text, $3::text, $4::text)"};
    struct buf data = BUF_INIT;
    struct pg_params params;
    pg_params_init(&params);
    write_note(&data, id, hold);
    add_text(&params, type);
    add_text(&params, hold->vid);
    add_text(&params, hold->actor);
    pg_add_text(&params, data.data, data.size_bytes);
    enum pg_status status = PG_FAILED;
    if (data.failed)
        *error = (struct pg_error){.text = "no memory"};
    else
        status = pg_run(pg, &insert, &params, NULL, error);
    pg_params_done(&params);
    buf_done(&data);
    return status;
}

static enum pg_status end_transaction(struct pg *pg, enum pg_status status, struct pg_error *error)
{
    struct pg_error ignored;
    if (status == PG_OK)
        return pg_script(pg, "COMMIT", error);
    if (status != PG_LOST)
        pg_script(pg, "ROLLBACK", &ignored);
    return status;
}

enum pg_status hold_add(struct pg *pg, const struct hold *hold, char id[HOLD_ID_TEXT_BYTES],
                        struct pg_error *error)
{
    static const struct pg_statement insert = {
        .sql = "INSERT INTO holds (vid, start_time, end_time, reason, actor) VALUES ($1::text, "
               "$2::timestamptz, $3::timestamptz, $4::text, $5::text) RETURNING id::text"};
    struct pg_params params;
    struct pg_result *rows = NULL;
    enum pg_status status = pg_script(pg, "BEGIN", error);
    if (status != PG_OK)
        return status;
    pg_params_init(&params);
    add_text(&params, hold->vid);
    add_time(&params, hold->start_ns);
    add_time(&params, hold->end_ns);
    add_text(&params, hold->reason);
    add_text(&params, hold->actor);
    status = pg_run(pg, &insert, &params, &rows, error);
    if (status == PG_OK) {
        snprintf(id, HOLD_ID_TEXT_BYTES, "%s", pg_get_bytes(rows, 0, 0, NULL));
        status = add_note(pg, "hold_added", id, hold, error);
    }
    pg_result_free(rows);
    pg_params_done(&params);
    return end_transaction(pg, status, error);
}

enum pg_status hold_remove(struct pg *pg, const char *id, const struct hold *hold, bool *found,
                           struct pg_error *error)
{
    static const struct pg_statement update = {
        .sql = "UPDATE holds SET removed = clock_timestamp(), removed_by = $2::text, "
               "removed_reason = $3::text WHERE id::text = lower($1::text) AND removed IS NULL "
               "RETURNING vid, start_time, end_time, id::text"};
    struct pg_params params;
    struct pg_result *rows = NULL;
    enum pg_status status = pg_script(pg, "BEGIN", error);
    if (status != PG_OK)
        return status;
    pg_params_init(&params);
    add_text(&params, id);
    add_text(&params, hold->actor);
    add_text(&params, hold->reason);
    status = pg_run(pg, &update, &params, &rows, error);
    *found = status == PG_OK && pg_rows(rows) == 1;
    if (*found) {
        struct hold was = *hold;
        was.vid = text_at(rows, 0, 0);
        was.start_ns = time_at(rows, 0, 1);
        was.end_ns = time_at(rows, 0, 2);
        status = add_note(pg, "hold_removed", text_at(rows, 0, 3), &was, error);
    }
    pg_result_free(rows);
    pg_params_done(&params);
    return end_transaction(pg, status, error);
}

/* ---- listing ---- */

static void write_time(struct buf *out, int64_t ns)
{
    char text[TIMESTAMP_TEXT_BYTES] = "-";
    if (ns != TIMESTAMP_NONE)
        timestamp_format(ns, text);
    buf_adds(out, text);
}

static void list_json(const struct pg_result *rows, int row, struct buf *out)
{
    static const struct {
        const char *name;
        bool time;
    } members[] = {
        {"id", false},         {"vid", false},           {"from", true},    {"until", true},
        {"actor", false},      {"created", true},        {"reason", false}, {"removed", true},
        {"removed_by", false}, {"removed_reason", false}};
    buf_addc(out, '{');
    for (int i = 0; i < (int)(sizeof members / sizeof *members); i++) {
        buf_json_name(out, members[i].name);
        if (members[i].time)
            buf_json_timestamp(out, time_at(rows, row, i));
        else
            buf_json_cstr(out, text_at(rows, row, i));
    }
    buf_adds(out, "}\n");
}

enum pg_status hold_list(struct pg *pg, bool all, bool json, struct buf *out,
                         struct pg_error *error)
{
    static const struct pg_statement select = {
        .sql = "SELECT id::text, vid, start_time, end_time, actor, created, reason, removed, "
               "removed_by, removed_reason FROM holds WHERE $1::bigint > 0 OR removed IS NULL "
               "ORDER BY created, id"};
    struct pg_params params;
    struct pg_result *rows = NULL;
    pg_params_init(&params);
    pg_add_int8(&params, all ? 1 : 0);
    enum pg_status status = pg_run(pg, &select, &params, &rows, error);
    for (int row = 0; status == PG_OK && row < pg_rows(rows); row++) {
        const char *vid = text_at(rows, row, 1);
        if (json) {
            list_json(rows, row, out);
            continue;
        }
        buf_addf(out, "%s  vehicle %s  from ", text_at(rows, row, 0), vid ? vid : "*");
        write_time(out, time_at(rows, row, 2));
        buf_adds(out, " until ");
        write_time(out, time_at(rows, row, 3));
        buf_addf(out, "  by %s on ", text_at(rows, row, 4));
        write_time(out, time_at(rows, row, 5));
        buf_addf(out, ": %s", text_at(rows, row, 6));
        if (!pg_get_null(rows, row, 7)) {
            buf_addf(out, "  (removed by %s on ", text_at(rows, row, 8));
            write_time(out, time_at(rows, row, 7));
            buf_addf(out, ": %s)", text_at(rows, row, 9));
        }
        buf_addc(out, '\n');
    }
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}
