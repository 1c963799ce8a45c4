#include "hub/audit_export.h"

#include "hub/audit_floor.h"
#include "hub/audit_row.h"
#include "hub/clock.h"
#include "hub/tree_store.h"
#include "twin/timestamp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_TIMEOUT_MS = 5000,
    CALL_TIMEOUT_MS = 600000, /* the first row of what an index does not serve */
    CHUNK_RECORDS = 32768,
    WRITE_BYTES = 64 * 1024,
    CONDITION_BYTES = 512,
};

/* A place in the record that the file shows the tree at, and the checkpoint that is of it. */
struct stop {
    int64_t size;
    char *note; /* NULL: none of the table's */
};

struct exporting {
    const struct audit_export_request *request;
    struct audit_export_report *report;
    struct pg *rows, *pg; /* one streams rows, the other is asked in between */
    struct tree_reader *tree;
    struct buf out;
    int64_t at; /* records that the file stands for so far */
    struct stop *stops;
    size_t stop_count, next_stop;
    char origin[AUDIT_NAME_BYTES];
    bool whole;      /* no condition: every checkpoint goes with it */
    bool dense;      /* no condition but on seq: every record from `wanted` on goes with it */
    int64_t wanted;  /* the next one that does */
    int64_t gone_to; /* retention has it on record that it went up to here */
    char *error;
};

static bool fail(struct exporting *exporting, const char *text)
{
    snprintf(exporting->error, AUDIT_ERROR_BYTES, "%s", text);
    return false;
}

/* ---- writing ---- */

static bool flush(struct exporting *exporting)
{
    struct buf *out = &exporting->out;
    if (out->failed)
        return fail(exporting, "no memory");
    if (fwrite(out->data, 1, out->size_bytes, exporting->request->out) != out->size_bytes)
        return fail(exporting, strerror(errno));
    buf_reset(out);
    return true;
}

static void write_hex(struct buf *out, const struct tree_hash *hash)
{
    static const char digits[] = "0123456789abcdef";
    buf_addc(out, '"');
    for (int i = 0; i < TREE_HASH_BYTES; i++) {
        buf_addc(out, digits[hash->bytes[i] >> 4]);
        buf_addc(out, digits[hash->bytes[i] & 15]);
    }
    buf_addc(out, '"');
}

/* What is not in the file up to a place: the fewest nodes that stand for it, the first first. */
static bool skip_to(struct exporting *exporting, int64_t to)
{
    struct buf *out = &exporting->out;
    if (exporting->at >= to)
        return true;
    buf_addf(out, "{\"skip\":%lld,\"nodes\":[", (long long)(to - exporting->at));
    for (bool first = true; exporting->at < to; first = false) {
        struct tree_hash node;
        int height = tree_skip_height(exporting->at, to);
        if (!tree_node_at(&exporting->tree->source, height, exporting->at >> height, &node))
            return fail(exporting, exporting->tree->error.text);
        if (!first)
            buf_addc(out, ',');
        write_hex(out, &node);
        exporting->at += INT64_C(1) << height;
    }
    buf_adds(out, "]}\n");
    return true;
}

/* The checkpoints up to a place. */
static bool stop_to(struct exporting *exporting, int64_t to)
{
    while (exporting->next_stop < exporting->stop_count &&
           exporting->stops[exporting->next_stop].size <= to) {
        const struct stop *stop = &exporting->stops[exporting->next_stop++];
        if (!skip_to(exporting, stop->size))
            return false;
        if (stop->note) {
            buf_adds(&exporting->out, "{\"checkpoint\":");
            buf_json_cstr(&exporting->out, stop->note);
            buf_adds(&exporting->out, "}\n");
        }
    }
    return true;
}

/* Up to there are no more rows: a gap is retention's, or this is no export of what was asked for.
 */
static bool check_gap(struct exporting *exporting, int64_t to)
{
    struct audit_floor floor;
    struct pg_error error;
    if (!exporting->dense || exporting->wanted > to || to <= exporting->gone_to)
        return true;
    if (audit_floor_read(exporting->pg, exporting->tree->edge.size, &floor, &error) != PG_OK)
        return fail(exporting, error.text);
    exporting->gone_to = floor.dropped_to;
    if (to <= exporting->gone_to)
        return true;
    snprintf(exporting->error, AUDIT_ERROR_BYTES,
             "record %lld is missing, and there is no record that retention dropped it: run "
             "`fleethub audit verify`, or export again where retention is at work",
             (long long)(exporting->wanted > exporting->gone_to ? exporting->wanted
                                                                : exporting->gone_to + 1));
    return false;
}

static bool write_record(struct exporting *exporting, const struct pg_field *fields)
{
    struct record record;
    const char *reason = audit_row_read(fields, &record);
    if (reason || record.seq <= exporting->at) {
        snprintf(exporting->error, AUDIT_ERROR_BYTES,
                 "record %lld cannot be exported (%s): run `fleethub audit verify`",
                 (long long)record.seq, reason ? reason : "its seq is there twice");
        return false;
    }
    if (!check_gap(exporting, record.seq - 1))
        return false;
    exporting->wanted = record.seq + 1;
    if (!stop_to(exporting, record.seq - 1) || !skip_to(exporting, record.seq - 1))
        return false;
    record_write_public(&exporting->out, &record, true);
    buf_addc(&exporting->out, '\n');
    exporting->at = record.seq;
    exporting->report->records++;
    return exporting->out.size_bytes < WRITE_BYTES || flush(exporting);
}

/* ---- what is asked for ---- */

static void add_time(char *text, size_t size, const char *column, const char *compare, int64_t ns)
{
    size_t used = strlen(text);
    bool before = ns % 1000 < 0; /* division rounds up there */
    if (ns != TIMESTAMP_NONE)
        snprintf(text + used, size - used,
                 " AND (%s, %s_rest_ns) %s ('epoch'::timestamptz + interval '%lld microseconds', "
                 "%lld)",
                 column, column, compare, (long long)(ns / 1000 - before),
                 (long long)(ns % 1000 + (before ? 1000 : 0)));
}

/* The vid is a valid one: letters, digits, _ and -. */
static void write_condition(const struct audit_selection *selection, char text[CONDITION_BYTES])
{
    *text = '\0';
    if (selection->vid)
        snprintf(text, CONDITION_BYTES, " AND vid = '%.64s'", selection->vid);
    add_time(text, CONDITION_BYTES, "received", ">=", selection->start_ns);
    add_time(text, CONDITION_BYTES, "received", "<", selection->end_ns);
}

static bool export_chunk(struct exporting *exporting, int64_t from, int64_t to,
                         const char *condition)
{
    struct pg_field fields[AUDIT_ROW_FIELDS];
    struct pg_error error;
    struct buf sql = BUF_INIT;
    bool over = false, good = true;
    audit_row_query(&sql, from, to, condition);
    enum pg_status status = pg_copy_begin(exporting->rows, buf_cstr(&sql), &error);
    while (status == PG_OK && good && !over) {
        status = pg_copy_next(exporting->rows, fields, AUDIT_ROW_FIELDS, &over, &error);
        if (status == PG_OK && !over)
            good = write_record(exporting, fields);
    }
    buf_done(&sql);
    if (status != PG_OK)
        return fail(exporting, error.text);
    return good;
}

static bool export_rows(struct exporting *exporting)
{
    const struct audit_selection *selection = &exporting->request->selection;
    char condition[CONDITION_BYTES];
    int64_t from = selection->from_seq > 0 ? selection->from_seq - 1 : 0;
    int64_t to = exporting->tree->edge.size;
    if (selection->to_seq > 0 && selection->to_seq < to)
        to = selection->to_seq;
    write_condition(selection, condition);
    exporting->dense = condition[0] == '\0';
    exporting->wanted = from + 1;
    for (; from < to; from += CHUNK_RECORDS) {
        int64_t end = from + CHUNK_RECORDS < to ? from + CHUNK_RECORDS : to;
        if (!export_chunk(exporting, from, end, condition))
            return false;
    }
    return check_gap(exporting, to);
}

/* ---- what goes around it ---- */

static bool ask(struct exporting *exporting, const struct pg_statement *statement,
                struct pg_result **rows)
{
    struct pg_error error;
    if (pg_run(exporting->pg, statement, NULL, rows, &error) == PG_OK)
        return true;
    return fail(exporting, error.text);
}

static int by_size(const void *a, const void *b)
{
    const struct stop *left = a, *right = b;
    return (left->size > right->size) - (left->size < right->size);
}

/* All checkpoints with all of the record; the last one with a part of it. */
static bool load_stops(struct exporting *exporting)
{
    static const struct pg_statement all = {.sql =
                                                "SELECT size, note FROM checkpoints ORDER BY size"};
    static const struct pg_statement last = {
        .sql = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1"};
    struct pg_result *rows = NULL;
    const struct audit_export_request *request = exporting->request;
    if (!ask(exporting, exporting->whole ? &all : &last, &rows))
        return false;
    size_t count = (size_t)pg_rows(rows);
    exporting->stops = calloc(count + request->outside_count + 1, sizeof *exporting->stops);
    for (size_t i = 0; exporting->stops && i < count; i++) {
        struct stop stop = {pg_get_int(rows, (int)i, 0), NULL};
        if (stop.size < 1 || stop.size > exporting->tree->edge.size)
            continue; /* made after the tree's end was read */
        stop.note = strdup(pg_get_bytes(rows, (int)i, 1, NULL));
        exporting->stops[exporting->stop_count++] = stop;
    }
    for (size_t i = 0; exporting->stops && i < request->outside_count; i++)
        if (request->outside[i].size <= exporting->tree->edge.size)
            exporting->stops[exporting->stop_count++] = (struct stop){request->outside[i].size, 0};
    pg_result_free(rows);
    if (!exporting->stops)
        return fail(exporting, "no memory");
    qsort(exporting->stops, exporting->stop_count, sizeof *exporting->stops, by_size);
    return true;
}

static void write_selection(struct buf *out, const struct audit_selection *selection)
{
    buf_json_name(out, "selection");
    buf_addc(out, '{');
    buf_json_name(out, "vid");
    buf_json_cstr(out, selection->vid);
    buf_json_name(out, "start_time");
    buf_json_timestamp(out, selection->start_ns);
    buf_json_name(out, "end_time");
    buf_json_timestamp(out, selection->end_ns);
    buf_addf(out, ",\"from_seq\":%lld,\"to_seq\":%lld}", (long long)selection->from_seq,
             (long long)selection->to_seq);
}

static bool write_header(struct exporting *exporting)
{
    static const struct pg_statement keys = {
        .sql = "SELECT vkey FROM signing_keys ORDER BY first_size"};
    struct buf *out = &exporting->out;
    struct pg_result *rows = NULL;
    struct tree_hash root;
    if (!ask(exporting, &keys, &rows))
        return false;
    tree_edge_root(&exporting->tree->edge, &root);
    buf_adds(out, "{\"export\":\"" AUDIT_EXPORT_FORMAT "\"");
    buf_json_name(out, "origin");
    buf_json_cstr(out, exporting->origin);
    buf_json_name(out, "made");
    buf_json_timestamp(out, clock_wall_ns() / NS_PER_MS * NS_PER_MS);
    buf_addf(out, ",\"size\":%lld,\"root\":", (long long)exporting->tree->edge.size);
    write_hex(out, &root);
    buf_json_name(out, "keys");
    buf_addc(out, '[');
    for (int row = 0; row < pg_rows(rows); row++) {
        if (row > 0)
            buf_addc(out, ',');
        buf_json_cstr(out, pg_get_bytes(rows, row, 0, NULL));
    }
    buf_addc(out, ']');
    write_selection(out, &exporting->request->selection);
    buf_adds(out, "}\n");
    pg_result_free(rows);
    return true;
}

static bool open_all(struct exporting *exporting)
{
    static const struct pg_statement head = {.sql = "SELECT scope FROM log_head"};
    struct pg_options options = {.dsn = exporting->request->dsn,
                                 .name = "fleethub audit export",
                                 .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                 .call_timeout_ms = CALL_TIMEOUT_MS};
    struct pg_error error;
    struct pg_result *rows = NULL;
    if (pg_open(&options, &exporting->rows, &error) != PG_OK ||
        pg_open(&options, &exporting->pg, &error) != PG_OK)
        return fail(exporting, error.text);
    exporting->tree = malloc(sizeof *exporting->tree);
    if (!exporting->tree)
        return fail(exporting, "no memory");
    if (tree_reader_open(exporting->tree, exporting->pg, &error) != PG_OK)
        return fail(exporting, error.text);
    if (!ask(exporting, &head, &rows))
        return false;
    if (pg_rows(rows) == 1)
        snprintf(exporting->origin, sizeof exporting->origin, "fleethub/%s",
                 pg_get_bytes(rows, 0, 0, NULL));
    pg_result_free(rows);
    return true;
}

static bool export_all(struct exporting *exporting)
{
    int64_t size = exporting->tree->edge.size;
    if (!load_stops(exporting) || !write_header(exporting) || !export_rows(exporting) ||
        !stop_to(exporting, size) || !skip_to(exporting, size))
        return false;
    buf_addf(&exporting->out, "{\"end\":true,\"records\":%lld}\n",
             (long long)exporting->report->records);
    exporting->report->size = size;
    return flush(exporting);
}

bool audit_export(const struct audit_export_request *request, struct audit_export_report *report,
                  char error[AUDIT_ERROR_BYTES])
{
    const struct audit_selection *selection = &request->selection;
    struct exporting exporting = {.request = request, .report = report, .error = error};
    *report = (struct audit_export_report){0};
    exporting.whole = !selection->vid && selection->start_ns == TIMESTAMP_NONE &&
                      selection->end_ns == TIMESTAMP_NONE && selection->from_seq == 0 &&
                      selection->to_seq == 0;
    bool good = open_all(&exporting) && export_all(&exporting);
    for (size_t i = 0; i < exporting.stop_count; i++)
        free(exporting.stops[i].note);
    free(exporting.stops);
    free(exporting.tree);
    buf_done(&exporting.out);
    pg_close(exporting.rows);
    pg_close(exporting.pg);
    return good;
}
