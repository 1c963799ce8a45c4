/* geo: areas out of GeoJSON. */
#include "tests/unit/fault.h"
#include "twin/geo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SQUARE "[[0,0],[10,0],[10,10],[0,10],[0,0]]"
#define HOLE "[[4,4],[6,4],[6,6],[4,6],[4,4]]"
#define FAR "[[20,0,55.5],[30,0,0],[30,10,1],[20,0,2]]"
#define POLYGON "{\"type\":\"Polygon\",\"coordinates\":[" SQUARE "," HOLE "]}"
#define FEATURE(geometry)                                                                          \
    "{\"type\":\"Feature\",\"properties\":{\"name\":\"n\"},\"geometry\":" geometry "}"

static struct geo_area *read_text(const char *text, struct text_error *error)
{
    size_t size = strlen(text);
    char *exact = malloc(size ? size : 1); /* so that a byte read beyond is seen */
    assert_non_null(exact);
    exact[0] = '\0';
    memcpy(exact, text, size);
    struct geo_area *area = geo_area_from_geojson(exact, size, error);
    free(exact);
    return area;
}

static void geojson_areas_are_all_of_their_polygons_less_the_holes(void **state)
{
    (void)state;
    static const char *const texts[] = {
        POLYGON,
        FEATURE(POLYGON),
        "{\"type\":\"FeatureCollection\",\"features\":[" FEATURE(POLYGON) "]}",
        "{\"type\":\"MultiPolygon\",\"coordinates\":[[" SQUARE "," HOLE "],[" FAR "]]}",
        "{\"type\":\"FeatureCollection\",\"features\":[" FEATURE(
            "{\"type\":\"Polygon\",\"coordinates\":[" FAR "]}") "," FEATURE(POLYGON) "]}",
        "{\"type\":\"Polygon\",\"coordinates\":[" SQUARE "," HOLE "],\"crs\":{\"type\":\"name\","
        "\"properties\":{\"name\":\"urn:ogc:def:crs:OGC:1.3:CRS84\"}}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct text_error error;
        struct geo_area *area = read_text(texts[i], &error);
        if (!area)
            fail_msg("%s: %s", texts[i], error.detail);
        assert_true(geo_area_holds(area, 1, 1));
        assert_true(geo_area_holds(area, 10, 10)); /* an edge is inside */
        assert_false(geo_area_holds(area, 5, 5));
        assert_false(geo_area_holds(area, 11, 5));
        assert_int_equal(geo_area_holds(area, 1, 25), i == 3 || i == 4);
        geo_area_free(area);
    }
}

static void geojson_that_is_no_area_is_refused_and_says_where(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "line 1: is no JSON: "},
        {"{\n\n  \"type\": }", "line 3: is no JSON: "},
        {"[]", "is no Polygon, MultiPolygon, Feature or FeatureCollection of GeoJSON"},
        {"{\"type\":\"Topology\"}",
         "is no Polygon, MultiPolygon, Feature or FeatureCollection of GeoJSON"},
        {"{\"type\":\"GeometryCollection\",\"geometries\":[" POLYGON "]}",
         "is no Polygon, MultiPolygon, Feature or FeatureCollection of GeoJSON"},
        {"{\"type\":\"FeatureCollection\",\"features\":[]}",
         "a FeatureCollection without features"},
        {"{\"type\":\"FeatureCollection\",\"features\":[" POLYGON "]}",
         "features[0]: is no Feature"},
        {"{\"type\":\"FeatureCollection\",\"features\":[" FEATURE(POLYGON) "," FEATURE(
             "{\"type\":\"Point\",\"coordinates\":[1,2]}") "]}",
         "features[1]: its geometry is no Polygon or MultiPolygon"},
        {FEATURE("null"), "its geometry is no Polygon or MultiPolygon"},
        {"{\"type\":\"MultiPolygon\",\"coordinates\":[]}", "a MultiPolygon without a polygon"},
        {"{\"type\":\"Polygon\"}", "coordinates[0]: a polygon must be an array of rings"},
        {"{\"type\":\"Polygon\",\"coordinates\":[]}",
         "coordinates[0]: a polygon must be an array of rings"},
        {"{\"type\":\"Polygon\",\"coordinates\":[" SQUARE ",[]]}",
         "coordinates[1]: a ring must be an array of positions"},
        {"{\"type\":\"Polygon\",\"coordinates\":[[0,0]]}",
         "coordinates[0]: a position must be an array of longitude and latitude"},
        {"{\"type\":\"Polygon\",\"coordinates\":[[[0]]]}",
         "coordinates[0]: a position must be an array of longitude and latitude"},
        {FEATURE("{\"type\":\"Polygon\",\"coordinates\":[[[0,\"1\"]]]}"),
         "geometry.coordinates[0]: a position must be two numbers, longitude and latitude"},
        {"{\"type\":\"Polygon\",\"coordinates\":[" SQUARE ",[[1,1],[2,1],[2,2],[1,3]]]}",
         "coordinates[1]: a ring of the polygon is not closed: its last point is not its first"},
        {"{\"type\":\"MultiPolygon\",\"coordinates\":[[" SQUARE "],[" SQUARE "," HOLE
         "],[[[1,1],[2,1],[1,1]]]]}",
         "coordinates[2][0]: a ring of the polygon has fewer than four points"},
        {"{\"type\":\"FeatureCollection\",\"features\":[" FEATURE(POLYGON) "," FEATURE(
             "{\"type\":\"Polygon\",\"coordinates\":[" SQUARE
             ",[[1,1],[2,1],[2,200],[1,1]]]}") "]}",
         "features[1].geometry.coordinates[1]: a latitude of the polygon is beyond 90"},
        {"{\"type\":\"Polygon\",\"coordinates\":[[[-179,0],[179,0],[179,1],[-179,0]]]}",
         "coordinates[0]: an edge of the polygon spans more than 180 degrees"},
        {"{\"type\":\"Polygon\",\"coordinates\":[" SQUARE
         "],\"crs\":{\"properties\":{\"name\":\"EPSG:3857\"}}}",
         "its `crs` is another than WGS 84 in degrees"},
        {"{\"type\":\"Polygon\",\"coordinates\":[" SQUARE "],\"crs\":7}",
         "its `crs` is another than WGS 84 in degrees"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text_error error = {.offset = 99};
        assert_null(read_text(cases[i][0], &error));
        if (strncmp(error.detail, cases[i][1], strlen(cases[i][1])) != 0)
            fail_msg("%s: \"%s\", not \"%s\"", cases[i][0], error.detail, cases[i][1]);
        assert_int_equal(error.offset, 0);
    }
}

static bool read_once(void)
{
    struct text_error error;
    struct geo_area *area = read_text(FEATURE(POLYGON), &error);
    if (!area) {
        assert_string_equal(error.detail, "out of memory");
        return false;
    }
    geo_area_free(area);
    return true;
}

static void geojson_without_memory_is_refused_as_such(void **state)
{
    (void)state;
    for (unsigned nth = 2;; nth++) { /* the first allocation is the test's own copy */
        fault_arm(nth, FAULT_ONCE);
        bool read = read_once();
        bool failed = fault_disarm();
        assert_int_equal(read, !failed);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geojson_areas_are_all_of_their_polygons_less_the_holes),
        cmocka_unit_test(geojson_that_is_no_area_is_refused_and_says_where),
        cmocka_unit_test(geojson_without_memory_is_refused_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
