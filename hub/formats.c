#include "hub/formats.h"

#include "hub/formats_csv.h"

#include <string.h>

const struct accept_offer format_offers[FORMAT_COUNT] = {
#define X(id, media_type, name) {media_type, name},
    FORMAT_TABLE(X)
#undef X
};

const char *format_content_type(enum format format)
{
    return format == FORMAT_CSV ? "text/csv; charset=utf-8; header=present"
                                : format_offers[format].media_type;
}

static void write_twin(struct buf *out, const struct format_list *list, const struct twin *twin)
{
    if (list->fields)
        fields_write(out, list->fields, twin, &list->view);
    else
        twin_write(out, twin, &list->view);
}

/* ---- GeoJSON ---- */

/* Where the vehicle is, by its last position, as far as the viewer may see it. */
static void write_geometry(struct buf *out, const struct format_list *list, const struct twin *twin)
{
    static const struct slice type = {"position", sizeof "position" - 1};
    const struct viewer *viewer = list->view.viewer;
    const struct state *state = twin_state(twin, type);
    struct doc_ref data = doc_root(state ? state->data : NULL);
    struct doc_ref lat = doc_getz(data, "lat"), lon = doc_getz(data, "lon");
    struct doc_ref alt = doc_getz(data, "alt");
    if (!doc_is_number(lat) || !doc_is_number(lon) ||
        !viewer_sees_part(viewer, twin->vid, "state", type.at, type.size)) {
        buf_adds(out, "null");
        return;
    }
    buf_adds(out, "{\"type\":\"Point\",\"coordinates\":[");
    doc_write(out, lon);
    buf_addc(out, ',');
    doc_write(out, lat);
    if (doc_is_number(alt)) {
        buf_addc(out, ',');
        doc_write(out, alt);
    }
    buf_adds(out, "]}");
}

static void write_feature(struct buf *out, const struct format_list *list, const struct twin *twin)
{
    buf_adds(out, "{\"type\":\"Feature\",\"id\":");
    buf_json_cstr(out, twin->vid);
    buf_adds(out, ",\"geometry\":");
    write_geometry(out, list, twin);
    buf_adds(out, ",\"properties\":");
    write_twin(out, list, twin);
    buf_addc(out, '}');
}

/* ---- lists ---- */

void format_begin(struct buf *out, const struct format_list *list)
{
    switch (list->format) {
    case FORMAT_JSON:
        buf_adds(out, "{\"vehicles\":[");
        break;
    case FORMAT_GEOJSON:
        buf_adds(out, "{\"type\":\"FeatureCollection\",\"features\":[");
        break;
    case FORMAT_CSV:
        csv_header(out, list->fields);
        break;
    case FORMAT_NDJSON:
    case FORMAT_COUNT:
        break;
    }
}

void format_item(struct buf *out, const struct format_list *list, const struct twin *twin,
                 bool first)
{
    bool in_array = list->format == FORMAT_JSON || list->format == FORMAT_GEOJSON;
    if (in_array && !first)
        buf_addc(out, ',');
    switch (list->format) {
    case FORMAT_JSON:
        write_twin(out, list, twin);
        break;
    case FORMAT_GEOJSON:
        write_feature(out, list, twin);
        break;
    case FORMAT_CSV:
        csv_row(out, list->fields, twin, &list->view);
        break;
    case FORMAT_NDJSON:
        write_twin(out, list, twin);
        buf_addc(out, '\n');
        break;
    case FORMAT_COUNT:
        break;
    }
}

void format_end(struct buf *out, const struct format_list *list, const char *token,
                uint64_t total_size)
{
    if (list->format != FORMAT_JSON && list->format != FORMAT_GEOJSON)
        return;
    buf_addc(out, ']');
    if (*token) {
        buf_json_name(out, "next_page_token");
        buf_json_cstr(out, token);
    }
    buf_json_name(out, "total_size");
    buf_json_int(out, (int64_t)total_size);
    buf_addc(out, '}');
}
