/*
 * A geofence's file: whatever the bytes, reading ends with an area or an error in valid UTF-8,
 * and asking the area is safe anywhere.
 */
#include "twin/doc.h"
#include "twin/geo.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is told to a user has to pass as a JSON string. */
static void check_text(const char *text, size_t room)
{
    struct buf json = BUF_INIT;
    struct doc_parser *parser = doc_parser_new();
    struct doc_ref root;
    if (!memchr(text, '\0', room))
        abort();
    buf_json_cstr(&json, text);
    if (!parser ||
        doc_parse(parser, json.data, json.size_bytes,
                  (struct doc_limits){.max_bytes = 65536, .max_depth = 1}, &root) != DOC_OK)
        abort();
    doc_parser_free(parser);
    buf_done(&json);
}

static void ask(const struct geo_area *area)
{
    static const double degrees[] = {-180.5, -180, -90, -1e-12, 0, 1, 10, 89.9999999, 90, 180};
    enum { COUNT = sizeof degrees / sizeof *degrees };
    for (size_t lat = 0; lat < COUNT; lat++)
        for (size_t lon = 0; lon < COUNT; lon++)
            if (geo_area_holds(area, degrees[lat], degrees[lon]) &&
                (fabs(degrees[lat]) > 90 || fabs(degrees[lon]) > 180))
                abort();
    if (geo_area_holds(area, NAN, 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text_error error = {.offset = 1};
    struct geo_area *area = geo_area_from_geojson((const char *)data, size, &error);
    if (area) {
        ask(area);
        geo_area_free(area);
        return 0;
    }
    if (!*error.detail || error.offset != 0)
        abort();
    check_text(error.detail, sizeof error.detail);
    check_text(error.hint, sizeof error.hint);
    return 0;
}
