#include "hub/formats_csv.h"

#include <string.h>

#define END_OF_LINE "\r\n"

/* A cell as it is, quoted where it must be. */
static void add_cell(struct buf *out, const char *text, size_t size)
{
    bool quoted = false;
    for (size_t i = 0; i < size && !quoted; i++)
        quoted = text[i] == '"' || text[i] == ',' || text[i] == '\r' || text[i] == '\n';
    if (!quoted) {
        buf_add(out, text, size);
        return;
    }
    buf_addc(out, '"');
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"')
            buf_addc(out, '"');
        buf_addc(out, text[i]);
    }
    buf_addc(out, '"');
}

void csv_text(struct buf *out, const char *text, size_t size)
{
    bool formula = size > 0 && text[0] && strchr("=+-@\t\r", text[0]);
    if (!formula) {
        add_cell(out, text, size);
        return;
    }
    struct buf safe = BUF_INIT;
    buf_addc(&safe, '\'');
    buf_add(&safe, text, size);
    if (safe.failed)
        out->failed = true;
    else
        add_cell(out, safe.data, safe.size_bytes);
    buf_done(&safe);
}

void csv_header(struct buf *out, const struct fields *fields)
{
    for (size_t i = 0; i < fields_count(fields); i++) {
        struct slice label = fields_label(fields, i);
        if (i > 0)
            buf_addc(out, ',');
        add_cell(out, label.at, label.size);
    }
    buf_adds(out, END_OF_LINE);
}

static void add_json(struct buf *out, const struct fields *fields, size_t i,
                     const struct twin *twin, const struct twin_view *view)
{
    struct buf json = BUF_INIT;
    fields_write_value(&json, fields, i, twin, view);
    if (json.failed)
        out->failed = true;
    else
        add_cell(out, json.data, json.size_bytes);
    buf_done(&json);
}

void csv_row(struct buf *out, const struct fields *fields, const struct twin *twin,
             const struct twin_view *view)
{
    size_t begin = out->size_bytes;
    for (size_t i = 0; i < fields_count(fields); i++) {
        struct value value = fields_value(fields, i, twin, view);
        if (i > 0)
            buf_addc(out, ',');
        switch ((enum value_type)value.type) {
        case VALUE_MISSING:
        case VALUE_NULL:
            break;
        case VALUE_STRING:
            csv_text(out, value.string.at, value.string.size);
            break;
        case VALUE_OBJECT:
        case VALUE_ARRAY:
            add_json(out, fields, i, twin, view);
            break;
        case VALUE_TIME: {
            char text[TIMESTAMP_TEXT_BYTES];
            buf_add(out, text, timestamp_format(value.ns, text));
            break;
        }
        default:
            fields_write_scalar(out, &value);
        }
    }
    if (out->size_bytes == begin) /* an empty line would be no row to most readers */
        buf_adds(out, "\"\"");
    buf_adds(out, END_OF_LINE);
}
