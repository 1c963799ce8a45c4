/*
 * api_fleet: what can be said of the fleet as a whole (contract §5). Both look at every vehicle and
 * run on a worker.
 */
#ifndef HUB_API_FLEET_H
#define HUB_API_FLEET_H

#include "hub/http.h"

http_handler api_fleet_stats;  /* GET /v1/fleet/stats */
http_handler api_fleet_fields; /* GET /v1/fleet/fields */

#endif
