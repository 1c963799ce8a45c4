/*
 * geo: metres on the ground to degrees, near enough for a few kilometres. Pure.
 */
#ifndef TOOLS_GEO_H
#define TOOLS_GEO_H

#include <math.h>

#define GEO_METRES_PER_DEGREE 111195.0797 /* on the sphere of contract §5: 6,371,008.8 m */
#define GEO_PI 3.14159265358979323846

static inline double geo_lat(double lat, double north_m)
{
    return lat + north_m / GEO_METRES_PER_DEGREE;
}

static inline double geo_lon(double lat, double lon, double east_m)
{
    double shrink = cos(lat * GEO_PI / 180);
    return lon + east_m / (GEO_METRES_PER_DEGREE * (shrink > 0.01 ? shrink : 0.01));
}

#endif
