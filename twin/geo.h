/*
 * geo: distances, boxes and areas on the globe, as contract §5 defines them.
 *
 * Degrees WGS 84 throughout. Distances are haversines on a sphere. Boxes and areas are planar in
 * degrees. Areas are decided exactly on coordinates rounded to GEO_UNITS_PER_DEGREE, which is a
 * tenth of a micrometre: a point that lies on an edge by its decimal digits is on that edge,
 * whatever binary fractions make of it.
 *
 * Ownership: an area is one block, geo_area_free. Everything else is a plain value.
 * Threads: pure functions over immutable values.
 * Limits: an area has as many points as GEO_WKT_MAX_BYTES of text can hold; GeoJSON may be longer
 *         by what else it says.
 */
#ifndef TWIN_GEO_H
#define TWIN_GEO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GEO_WKT_MAX_BYTES = 1 << 20, GEO_JSON_MAX_BYTES = 4 << 20 };
#define GEO_EARTH_RADIUS_M 6371008.8
#define GEO_UNITS_PER_DEGREE 1e12
#define GEO_MAX_LAT 90.0
#define GEO_MAX_LON 180.0

/* An error in a text of ours (filter, order_by, fields, …): for problem+json. Both texts are valid
 * UTF-8 where what they quote is. */
struct text_error {
    size_t offset; /* in code points, of the first character of the offending token */
    char detail[200];
    char hint[200]; /* "" for none: "did you mean state.battery.remaining?" */
};

/* ---- distance ---- */

/* Metres on a sphere of GEO_EARTH_RADIUS_M (haversine). Not a number where the arguments are so
 * large that they are no angles. */
double geo_distance_m(double lat_a, double lon_a, double lat_b, double lon_b);

/* One place, and how far is near: answers `is it nearer than radius_m` mostly without
 * trigonometry, and always as geo_distance_m would. */
struct geo_circle {
    double lat, lon, radius_m;
    double cos_lat, sin_lat;
    double far_lat, far_lon; /* beyond these differences, in degrees, all is farther */
    double near_h, far_h;    /* haversines surely below and surely above the radius' */
};
void geo_circle_init(struct geo_circle *circle, double lat, double lon, double radius_m);
/* <0: nearer than the radius, >0: farther, 0: just there. GEO_NOWHERE where the distance is not a
 * number. */
enum { GEO_NOWHERE = 2 };
int geo_circle_compare(const struct geo_circle *circle, double lat, double lon);

/* ---- boxes and areas ---- */

struct geo_box {
    double min_lon, min_lat, max_lon, max_lat;
};
/* Borders included; crosses the antimeridian where min_lon > max_lon. */
bool geo_box_holds(const struct geo_box *box, double lat, double lon);

/* POLYGON or MULTIPOLYGON, planar in degrees, lon lat, holes; edges are inside. */
struct geo_area;
/* NULL with *error set; the offset is that of the offending part of the text. Refused are rings
 * that are not closed or have fewer than four points, coordinates off the globe, and edges that
 * span more than 180 degrees. error->detail is "out of memory" where there is none. */
struct geo_area *geo_area_from_wkt(const char *text, size_t size, struct text_error *error);
/* The same out of GeoJSON (RFC 7946): a Polygon or MultiPolygon, a Feature or FeatureCollection of
 * such; all of their polygons together. Any other geometry is refused rather than passed over, as
 * are none at all and coordinates of another reference system than WGS 84. error->detail says where
 * in the text it went wrong, error->offset is 0. */
struct geo_area *geo_area_from_geojson(const char *text, size_t size, struct text_error *error);
bool geo_area_holds(const struct geo_area *area, double lat, double lon);
void geo_area_free(struct geo_area *area);

#endif
