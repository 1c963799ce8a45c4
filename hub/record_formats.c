#include "hub/record_formats.h"

#include "hub/formats_csv.h"
#include "twin/record_view.h"

#include <string.h>

#define END_OF_LINE "\r\n"

/* ---- CSV ---- */

static void add_text(struct buf *out, struct slice text)
{
    if (text.at)
        csv_text(out, text.at, text.size);
}

static void add_cstr(struct buf *out, const char *text)
{
    if (text)
        csv_text(out, text, strlen(text));
}

static void add_number(struct buf *out, int64_t number)
{
    if (number >= 0)
        buf_json_int(out, number);
}

static void add_time(struct buf *out, int64_t ns)
{
    char text[TIMESTAMP_TEXT_BYTES];
    if (ns != TIMESTAMP_NONE)
        buf_add(out, text, timestamp_format(ns, text));
}

static void add_hash(struct buf *out, const struct record *record)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * RECORD_HASH_BYTES];
    if (record->redacted)
        return;
    for (int i = 0; i < RECORD_HASH_BYTES; i++) {
        text[2 * i] = digits[record->hash[i] >> 4];
        text[2 * i + 1] = digits[record->hash[i] & 15];
    }
    buf_add(out, text, sizeof text);
}

static void add_id(struct buf *out, const struct record *record)
{
    char id[RECORD_ID_TEXT_BYTES];
    record_id_format(record->id, id);
    buf_adds(out, id);
}

/* One for each member, by its name: a member without one does not build. */
#define CELL_id add_id(out, record)
#define CELL_seq add_number(out, record->seq)
#define CELL_hash add_hash(out, record)
#define CELL_kind buf_adds(out, record_kind_name(record->kind))
#define CELL_vid add_text(out, record->vid)
#define CELL_region add_text(out, record->region)
#define CELL_type add_text(out, record->type)
#define CELL_severity add_cstr(out, record_severity_name(record->severity))
#define CELL_actor add_text(out, record->actor)
#define CELL_request_id add_text(out, record->request_id)
#define CELL_boot add_text(out, record->boot)
#define CELL_vehicle_seq add_number(out, record->vehicle_seq)
#define CELL_timestamp add_time(out, record->timestamp_ns)
#define CELL_received add_time(out, record->received_ns)
#define CELL_archived add_time(out, record->archived_ns)
#define CELL_stream add_text(out, record->stream)
#define CELL_stream_seq add_number(out, record->stream_seq)
#define CELL_data add_text(out, record->data)

static void write_row(struct buf *out, const struct record *record)
{
    size_t begin = out->size_bytes;
#define X(name, kept)                                                                              \
    if (out->size_bytes > begin)                                                                   \
        buf_addc(out, ',');                                                                        \
    CELL_##name;
    RECORD_VIEW_TABLE(X)
#undef X
    buf_adds(out, END_OF_LINE);
}

static const char header[] =
#define X(name, kept) "," #name
    RECORD_VIEW_TABLE(X)
#undef X
        END_OF_LINE;

/* ---- all of them ---- */

void record_format_begin(struct buf *out, enum format format)
{
    if (format == FORMAT_JSON)
        buf_adds(out, "{\"events\":[");
    else if (format == FORMAT_CSV)
        buf_adds(out, header + 1);
}

void record_format_item(struct buf *out, enum format format, const struct record *record,
                        bool first)
{
    if (format == FORMAT_CSV) {
        write_row(out, record);
        return;
    }
    if (format == FORMAT_JSON && !first)
        buf_addc(out, ',');
    record_write_public(out, record, true);
    if (format == FORMAT_NDJSON)
        buf_addc(out, '\n');
}

void record_format_end(struct buf *out, enum format format, const char *token)
{
    if (format != FORMAT_JSON)
        return;
    buf_addc(out, ']');
    if (*token) {
        buf_json_name(out, "next_page_token");
        buf_json_cstr(out, token);
    }
    buf_addc(out, '}');
}
