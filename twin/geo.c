/* Distances and boxes. */
#include "twin/geo.h"

#include <math.h>

#define DEGREE (3.14159265358979323846 / 180.0)
#define NEVER 1e9 /* degrees: no difference is as large */

/* Half angles up to which the series below are used, in radians: an error of 1e-4 of the distance,
 * and so rarely in doubt. */
static const double series_limit = 0.05;

static double square(double x)
{
    return x * x;
}

static bool on_globe(double lat, double lon)
{
    return fabs(lat) <= GEO_MAX_LAT && fabs(lon) <= GEO_MAX_LON;
}

/* Degrees from one longitude to another the shorter way round, which keeps the digits of a short
 * distance across the antimeridian. */
static double lon_apart(double from, double to)
{
    double apart = to - from;
    if (apart > 180)
        return apart - 360;
    return apart < -180 ? apart + 360 : apart;
}

/* The one formula. The differences are taken in degrees, where they are exact. */
static double haversine_m(double lat_a, double lon_a, double cos_a, double lat_b, double lon_b)
{
    double h = square(sin((lat_b - lat_a) * DEGREE / 2)) +
               cos_a * cos(lat_b * DEGREE) * square(sin(lon_apart(lon_a, lon_b) * DEGREE / 2));
    return 2 * GEO_EARTH_RADIUS_M * asin(h < 0 ? 0 : h > 1 ? 1 : sqrt(h));
}

double geo_distance_m(double lat_a, double lon_a, double lat_b, double lon_b)
{
    return haversine_m(lat_a, lon_a, cos(lat_a * DEGREE), lat_b, lon_b);
}

void geo_circle_init(struct geo_circle *circle, double lat, double lon, double radius_m)
{
    double angle = radius_m / GEO_EARTH_RADIUS_M, angle_deg = angle / DEGREE;
    *circle = (struct geo_circle){.lat = lat,
                                  .lon = lon,
                                  .radius_m = radius_m,
                                  .cos_lat = cos(lat * DEGREE),
                                  .sin_lat = sin(lat * DEGREE),
                                  .far_lat = NEVER,
                                  .far_lon = NEVER,
                                  .near_h = -1,
                                  .far_h = NEVER};
    if (!(angle_deg < 180))
        return; /* the whole globe, or nearly */
    if (radius_m < 0) {
        circle->far_lat = -1;
        return;
    }
    /* A little outside of where the circle ends, so that rounding does not matter. */
    circle->far_lat = angle_deg * (1 + 1e-9) + 1e-9;
    if (fabs(lat) + angle_deg < 89.9)
        circle->far_lon = asin(sin(angle) / circle->cos_lat) / DEGREE * (1 + 1e-9) + 1e-9;
    double h = square(sin(angle / 2));
    circle->near_h = h * (1 - 1e-11);
    circle->far_h = h * (1 + 1e-11);
}

/* <0 surely nearer, >0 surely farther, 0 in doubt. Sines and cosines by the first terms of their
 * series, `doubt` bounds all that this leaves out. */
static int compare_by_series(const struct geo_circle *circle, double lat_apart, double apart_lon)
{
    double x = lat_apart * DEGREE / 2, y = apart_lon * DEGREE / 2;
    if (fabs(x) > series_limit || fabs(y) > series_limit)
        return 0;
    double x2 = x * x, y2 = y * y, turn = 2 * fabs(x);
    double sin2_x = x2 - x2 * x2 / 3, sin2_y = y2 - y2 * y2 / 3;
    double cos_b = circle->cos_lat * (1 - 2 * x2) - circle->sin_lat * 2 * x;
    double h = sin2_x + circle->cos_lat * cos_b * sin2_y;
    double doubt =
        x2 * x2 * x2 / 15 + circle->cos_lat * y2 * (turn * turn * turn / 6 + 2e-15 + y2 * y2 / 15);
    if (h + doubt < circle->near_h)
        return -1;
    return h - doubt > circle->far_h;
}

int geo_circle_compare(const struct geo_circle *circle, double lat, double lon)
{
    if (on_globe(lat, lon)) {
        double lat_apart = lat - circle->lat, apart_lon = lon_apart(circle->lon, lon);
        if (fabs(lat_apart) > circle->far_lat || fabs(apart_lon) > circle->far_lon)
            return 1;
        int order = compare_by_series(circle, lat_apart, apart_lon);
        if (order)
            return order;
    }
    double distance_m = haversine_m(circle->lat, circle->lon, circle->cos_lat, lat, lon);
    if (isnan(distance_m))
        return GEO_NOWHERE;
    return (distance_m > circle->radius_m) - (distance_m < circle->radius_m);
}

bool geo_box_holds(const struct geo_box *box, double lat, double lon)
{
    if (lat < box->min_lat || lat > box->max_lat)
        return false;
    if (box->min_lon <= box->max_lon)
        return lon >= box->min_lon && lon <= box->max_lon;
    return lon >= box->min_lon || lon <= box->max_lon;
}
