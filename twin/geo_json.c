/* Areas out of GeoJSON: its polygons are written as one MULTIPOLYGON, which geo_area.c judges. */
#include "twin/doc.h"
#include "twin/geo.h"

#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 64, PLACE_BYTES = 80, NO_FEATURE = -1 };

struct writing {
    struct buf wkt;
    struct text_error *error;
    /* Where it is: features[feature].geometry.coordinates[polygon][ring] */
    long feature;
    size_t polygon, ring;
    bool in_feature, many; /* many: of a MultiPolygon */
    /* Second round, after the polygons were refused: where what stands at this offset came from. */
    bool looking;
    size_t wanted;
    char place[PLACE_BYTES];
};

static void write_place(const struct writing *writing, bool coordinates, char place[PLACE_BYTES])
{
    size_t used = 0;
    place[0] = '\0';
    if (writing->feature != NO_FEATURE)
        used += (size_t)snprintf(place, PLACE_BYTES, "features[%ld]", writing->feature);
    if (!coordinates)
        return;
    used += (size_t)snprintf(place + used, PLACE_BYTES - used, "%s%scoordinates",
                             writing->feature != NO_FEATURE ? "." : "",
                             writing->in_feature ? "geometry." : "");
    if (writing->many)
        used += (size_t)snprintf(place + used, PLACE_BYTES - used, "[%zu]", writing->polygon);
    snprintf(place + used, PLACE_BYTES - used, "[%zu]", writing->ring);
}

static bool refuse(const struct writing *writing, bool coordinates, const char *detail)
{
    char place[PLACE_BYTES];
    write_place(writing, coordinates, place);
    *writing->error = (struct text_error){0};
    snprintf(writing->error->detail, sizeof writing->error->detail, "%s%s%s", place,
             *place ? ": " : "", detail);
    return false;
}

static bool write_position(struct writing *writing, struct doc_ref position)
{
    struct doc_ref lon = doc_first(position);
    if (!doc_is(position, DOC_ARRAY) || doc_members(position) < 2)
        return refuse(writing, true, "a position must be an array of longitude and latitude");
    struct doc_ref lat = doc_next(position, lon);
    if (!doc_is_number(lon) || !doc_is_number(lat))
        return refuse(writing, true, "a position must be two numbers, longitude and latitude");
    doc_write(&writing->wkt, lon);
    buf_addc(&writing->wkt, ' ');
    doc_write(&writing->wkt, lat);
    return true;
}

static bool write_ring(struct writing *writing, struct doc_ref ring)
{
    if (!doc_is(ring, DOC_ARRAY) || doc_members(ring) == 0)
        return refuse(writing, true, "a ring must be an array of positions");
    if (writing->looking && writing->wkt.size_bytes <= writing->wanted)
        write_place(writing, true, writing->place);
    buf_addc(&writing->wkt, '(');
    bool first = true;
    for (struct doc_ref p = doc_first(ring); doc_exists(p); p = doc_next(ring, p)) {
        if (!first)
            buf_addc(&writing->wkt, ',');
        first = false;
        if (!write_position(writing, p))
            return false;
    }
    buf_addc(&writing->wkt, ')');
    return true;
}

static bool write_polygon(struct writing *writing, struct doc_ref rings)
{
    writing->ring = 0;
    if (!doc_is(rings, DOC_ARRAY) || doc_members(rings) == 0)
        return refuse(writing, true, "a polygon must be an array of rings");
    buf_adds(&writing->wkt, writing->wkt.size_bytes ? ",(" : "MULTIPOLYGON((");
    for (struct doc_ref r = doc_first(rings); doc_exists(r); r = doc_next(rings, r)) {
        if (writing->ring > 0)
            buf_addc(&writing->wkt, ',');
        if (!write_ring(writing, r))
            return false;
        writing->ring++;
    }
    buf_addc(&writing->wkt, ')');
    return true;
}

static bool is_text(struct doc_ref value, const char *text)
{
    size_t size;
    const char *at = doc_is(value, DOC_STRING) ? doc_string(value, &size) : NULL;
    return at && size == strlen(text) && memcmp(at, text, size) == 0;
}

static bool write_geometry(struct writing *writing, struct doc_ref geometry)
{
    struct doc_ref type = doc_getz(geometry, "type");
    struct doc_ref coordinates = doc_getz(geometry, "coordinates");
    writing->polygon = writing->ring = 0;
    writing->many = is_text(type, "MultiPolygon");
    if (!writing->many && !is_text(type, "Polygon"))
        return refuse(writing, false,
                      writing->in_feature ? "its geometry is no Polygon or MultiPolygon"
                                          : "is no Polygon, MultiPolygon, Feature or "
                                            "FeatureCollection of GeoJSON");
    if (!writing->many)
        return write_polygon(writing, coordinates);
    if (!doc_is(coordinates, DOC_ARRAY) || doc_members(coordinates) == 0)
        return refuse(writing, false, "a MultiPolygon without a polygon");
    for (struct doc_ref p = doc_first(coordinates); doc_exists(p); p = doc_next(coordinates, p)) {
        if (!write_polygon(writing, p))
            return false;
        writing->polygon++;
    }
    return true;
}

static bool write_features(struct writing *writing, struct doc_ref features)
{
    writing->in_feature = true;
    if (!doc_is(features, DOC_ARRAY) || doc_members(features) == 0)
        return refuse(writing, false, "a FeatureCollection without features");
    writing->feature = 0;
    for (struct doc_ref f = doc_first(features); doc_exists(f); f = doc_next(features, f)) {
        if (!is_text(doc_getz(f, "type"), "Feature"))
            return refuse(writing, false, "is no Feature");
        if (!write_geometry(writing, doc_getz(f, "geometry")))
            return false;
        writing->feature++;
    }
    return true;
}

/* The standard of 2008 let a file name its reference system, and some programs still write that of
 * RFC 7946 there. */
static bool is_wgs84(struct doc_ref root)
{
    static const char *const endings[] = {"CRS84", "EPSG::4326", "EPSG:4326"};
    struct doc_ref crs = doc_getz(root, "crs");
    struct doc_ref name = doc_getz(doc_getz(crs, "properties"), "name");
    size_t size;
    if (!doc_exists(crs) || doc_is(crs, DOC_NULL))
        return true;
    const char *at = doc_is(name, DOC_STRING) ? doc_string(name, &size) : NULL;
    for (size_t i = 0; at && i < sizeof endings / sizeof *endings; i++) {
        size_t ending = strlen(endings[i]);
        if (size >= ending && memcmp(at + size - ending, endings[i], ending) == 0)
            return true;
    }
    return false;
}

static bool write_all(struct writing *writing, struct doc_ref root)
{
    struct doc_ref type = doc_getz(root, "type");
    buf_reset(&writing->wkt);
    writing->feature = NO_FEATURE;
    writing->in_feature = is_text(type, "Feature");
    bool written =
        is_text(type, "FeatureCollection")
            ? write_features(writing, doc_getz(root, "features"))
            : write_geometry(writing, writing->in_feature ? doc_getz(root, "geometry") : root);
    buf_addc(&writing->wkt, ')');
    return written;
}

/* The polygons were refused as WKT: says where in the GeoJSON that was. */
static void translate(struct writing *writing, struct doc_ref root, const struct text_error *found)
{
    struct text_error *error = writing->error;
    writing->looking = true;
    writing->wanted = found->offset;
    write_all(writing, root);
    *error = (struct text_error){0};
    snprintf(error->hint, sizeof error->hint, "%s", found->hint);
    snprintf(error->detail, sizeof error->detail, "%s%s%.100s", writing->place,
             *writing->place ? ": " : "", found->detail);
}

static struct geo_area *area_of(struct doc_ref root, struct text_error *error)
{
    struct writing writing = {.wkt = BUF_INIT, .error = error};
    struct geo_area *area = NULL;
    if (!is_wgs84(root)) {
        *error = (struct text_error){.detail = "its `crs` is another than WGS 84 in degrees"};
        return NULL;
    }
    if (!write_all(&writing, root))
        goto out;
    if (writing.wkt.failed) {
        *error = (struct text_error){.detail = "out of memory"};
        goto out;
    }
    struct text_error found;
    area = geo_area_from_wkt(writing.wkt.data, writing.wkt.size_bytes, &found);
    if (!area)
        translate(&writing, root, &found);
out:
    buf_done(&writing.wkt);
    return area;
}

static void tell_json(const struct doc_parser *parser, enum doc_error why, const char *text,
                      struct text_error *error)
{
    size_t line = 1, end = doc_parser_offset(parser);
    for (size_t i = 0; i < end; i++)
        line += text[i] == '\n';
    *error = (struct text_error){0};
    if (why == DOC_NO_MEMORY)
        snprintf(error->detail, sizeof error->detail, "out of memory");
    else if (why == DOC_TOO_LARGE)
        snprintf(error->detail, sizeof error->detail, "is larger than %d MiB",
                 GEO_JSON_MAX_BYTES >> 20);
    else
        snprintf(error->detail, sizeof error->detail, "line %zu: is no JSON: %s", line,
                 doc_parser_reason(parser));
}

struct geo_area *geo_area_from_geojson(const char *text, size_t size, struct text_error *error)
{
    static const struct doc_limits limits = {.max_bytes = GEO_JSON_MAX_BYTES,
                                             .max_depth = MAX_DEPTH};
    struct doc_parser *parser = doc_parser_new();
    struct geo_area *area = NULL;
    struct doc_ref root;
    *error = (struct text_error){0};
    enum doc_error why = parser ? doc_parse(parser, text, size, limits, &root) : DOC_NO_MEMORY;
    if (why == DOC_OK)
        area = area_of(root, error);
    else if (parser)
        tell_json(parser, why, text, error);
    else
        snprintf(error->detail, sizeof error->detail, "out of memory");
    doc_parser_free(parser);
    return area;
}
