/*
 * geofence: the file of the configuration's `commands.policy.geofence`, read into an area.
 *
 * Ownership: the area is the caller's, geo_area_free.
 * Threads: any. Reads a file, which may block as files do.
 * Limits: a regular file of at most GEO_JSON_MAX_BYTES.
 */
#ifndef HUB_GEOFENCE_H
#define HUB_GEOFENCE_H

#include "hub/config.h"
#include "twin/geo.h"

/* The configured geofence. True with *area, NULL where none is configured; else false, and why in
 * one line without its end: "FILE: reason". */
bool geofence_load(const struct config *config, struct geo_area **area, struct buf *why);

#endif
