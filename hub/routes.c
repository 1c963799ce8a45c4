#include "hub/routes.h"

#include "hub/api_events.h"
#include "hub/api_fleet.h"
#include "hub/api_ops.h"
#include "hub/api_vehicles.h"

/* clang-format off */
const struct http_route routes[] = {
    {"GET", "/v1/vehicles", api_vehicles, ROUTE_SCAN,
     "filter order_by fields page_size page_token metadata format"},
    {"GET", "/v1/vehicles/{vid}", api_vehicle, 0, "fields metadata"},
    {"GET", "/v1/vehicles/{vid}/desired", api_vehicle_desired, 0, ""},
    {"GET", "/v1/vehicles/{vid}/reported", api_vehicle_reported, 0, ""},
    {"GET", "/v1/vehicles/{vid}/config", api_vehicle_config, 0, ""},
    {"GET", "/v1/vehicles/{vid}/meta", api_vehicle_meta, 0, ""},
    {"GET", "/v1/vehicles/{vid}/delta", api_vehicle_delta, 0, ""},
    {"GET", "/v1/vehicles/{vid}/state/{type}", api_vehicle_state, 0, ""},

    {"GET", "/v1/fleet/stats", api_fleet_stats, ROUTE_SCAN, "filter group_by stats"},
    {"GET", "/v1/fleet/fields", api_fleet_fields, ROUTE_SCAN, ""},

    {"GET", "/v1/events", api_events, ROUTE_BLOCKING, API_EVENTS_QUERY},
    {"GET", "/v1/events/{id}", api_event, ROUTE_BLOCKING, ""},

    {"GET", "/livez", api_livez, ROUTE_OPEN, ""},
    {"GET", "/readyz", api_readyz, ROUTE_OPEN, "verbose"},
    {"GET", "/metrics", api_metrics, ROUTE_METRICS, ""},
    {"GET", "/version", api_version, ROUTE_OPEN, ""},
};
/* clang-format on */
const size_t route_count = sizeof routes / sizeof *routes;
