#include "hub/routes.h"

#include "hub/api_access.h"
#include "hub/api_audit.h"
#include "hub/api_commands.h"
#include "hub/api_events.h"
#include "hub/api_fleet.h"
#include "hub/api_groups.h"
#include "hub/api_history.h"
#include "hub/api_live.h"
#include "hub/api_openapi.h"
#include "hub/api_ops.h"
#include "hub/api_registration.h"
#include "hub/api_shadow.h"
#include "hub/api_vehicles.h"

enum { RECORD = ROUTE_POSITION | ROUTE_ARCHIVE | ROUTE_AUDIT };
enum { WRITE = ROUTE_NATS | ROUTE_BODY_JSON };

/* clang-format off */
const struct http_route routes[] = {
    {"GET", "/v1/vehicles", api_vehicles, ROUTE_SCAN | ROUTE_POSITION,
     "filter order_by fields page_size page_token metadata format"},
    {"GET", "/v1/vehicles/stream", api_vehicles_stream, ROUTE_POSITION | ROUTE_SSE, API_LIVE_QUERY},
    {"GET", "/v1/vehicles/{vid}", api_vehicle, ROUTE_POSITION, "fields metadata"},
    {"PUT", "/v1/vehicles/{vid}", api_vehicle_register, WRITE | ROUTE_ADMIN, ""},
    {"DELETE", "/v1/vehicles/{vid}", api_vehicle_retire, ROUTE_NATS | ROUTE_ADMIN, "force"},
    {"GET", "/v1/vehicles/{vid}/desired", api_vehicle_desired, ROUTE_POSITION, ""},
    {"PATCH", "/v1/vehicles/{vid}/desired", api_desired_patch, WRITE | ROUTE_OPERATE, ""},
    {"PUT", "/v1/vehicles/{vid}/desired", api_desired_put, WRITE | ROUTE_OPERATE, ""},
    {"GET", "/v1/vehicles/{vid}/reported", api_vehicle_reported, ROUTE_POSITION, ""},
    {"GET", "/v1/vehicles/{vid}/config", api_vehicle_config, ROUTE_POSITION, ""},
    {"PATCH", "/v1/vehicles/{vid}/config", api_config_patch, WRITE | ROUTE_ADMIN, ""},
    {"PUT", "/v1/vehicles/{vid}/config", api_config_put, WRITE | ROUTE_ADMIN, ""},
    {"GET", "/v1/vehicles/{vid}/meta", api_vehicle_meta, ROUTE_POSITION, ""},
    {"PATCH", "/v1/vehicles/{vid}/meta", api_meta_patch, WRITE | ROUTE_ADMIN, ""},
    {"PUT", "/v1/vehicles/{vid}/meta", api_meta_put, WRITE | ROUTE_ADMIN, ""},
    {"GET", "/v1/vehicles/{vid}/delta", api_vehicle_delta, ROUTE_POSITION, ""},
    {"GET", "/v1/vehicles/{vid}/history", api_vehicle_history, ROUTE_NATS | ROUTE_POSITION,
     API_HISTORY_QUERY},
    {"GET", "/v1/vehicles/{vid}/desired/history", api_desired_history,
     ROUTE_NATS | ROUTE_POSITION, ""},
    {"GET", "/v1/vehicles/{vid}/timeline", api_timeline, ROUTE_BLOCKING | RECORD,
     API_TIMELINE_QUERY},
    {"GET", "/v1/vehicles/{vid}/state/{type}", api_vehicle_state, ROUTE_POSITION, ""},

    {"GET", "/v1/fleet/stats", api_fleet_stats, ROUTE_SCAN | ROUTE_POSITION, "filter group_by stats"},
    {"GET", "/v1/fleet/fields", api_fleet_fields, ROUTE_SCAN | ROUTE_POSITION, ""},

    {"GET", "/v1/groups", api_groups, ROUTE_SCAN | ROUTE_POSITION, "page_size page_token"},
    {"GET", "/v1/groups/{name}", api_group, ROUTE_POSITION, ""},
    {"PUT", "/v1/groups/{name}", api_group_put, WRITE | ROUTE_OPERATE, ""},
    {"DELETE", "/v1/groups/{name}", api_group_delete, ROUTE_NATS | ROUTE_OPERATE, ""},

    {"POST", "/v1/commands", api_command_create, WRITE | ROUTE_OPERATE, ""},
    {"GET", "/v1/commands", api_commands, ROUTE_NATS, "page_size page_token status type"},
    {"GET", "/v1/commands/{id}", api_command, ROUTE_NATS, ""},
    {"GET", "/v1/commands/{id}/vehicles", api_command_vehicles, ROUTE_NATS,
     "page_size page_token state"},
    {"GET", "/v1/commands/{id}/stream", api_command_stream, ROUTE_NATS | ROUTE_SSE, ""},
    {"POST", "/v1/commands/{id}:cancel", api_command_cancel, WRITE | ROUTE_OPERATE, ""},
    {"POST", "/v1/commands/{id}:pause", api_command_pause, WRITE | ROUTE_OPERATE, ""},
    {"POST", "/v1/commands/{id}:resume", api_command_resume, WRITE | ROUTE_OPERATE, ""},
    {"POST", "/v1/commands/{id}:retry", api_command_retry, WRITE | ROUTE_OPERATE, ""},

    {"GET", "/v1/events", api_events, ROUTE_BLOCKING | RECORD, API_EVENTS_QUERY},
    {"GET", "/v1/events/stream", api_events_stream, ROUTE_BLOCKING | RECORD | ROUTE_SSE,
     API_EVENTS_STREAM_QUERY},
    {"GET", "/v1/events/{id}", api_event, ROUTE_BLOCKING | RECORD, ""},

    {"GET", "/v1/audit/checkpoints", api_audit_checkpoints, ROUTE_BLOCKING | ROUTE_AUDIT,
     "page_size page_token"},
    {"GET", "/v1/audit/consistency", api_audit_consistency, ROUTE_BLOCKING | ROUTE_AUDIT, "from to"},
    {"GET", "/v1/audit/verify", api_audit_verify, ROUTE_BLOCKING | ROUTE_AUDIT, ""},

    {"GET", "/v1/tokens", api_tokens, ROUTE_SCAN | ROUTE_AUDIT, "page_size page_token"},
    {"POST", "/v1/tokens", api_token_create, WRITE | ROUTE_ADMIN, ""},
    {"DELETE", "/v1/tokens/{id}", api_token_revoke, ROUTE_NATS | ROUTE_ADMIN, ""},
    {"GET", "/v1/grants", api_grants, ROUTE_SCAN | ROUTE_AUDIT, "page_size page_token"},
    {"POST", "/v1/grants", api_grant_create, WRITE | ROUTE_ADMIN, ""},
    {"DELETE", "/v1/grants/{id}", api_grant_revoke, ROUTE_NATS | ROUTE_ADMIN, ""},
    {"POST", "/v1/access:check", api_access_check, ROUTE_BODY_JSON, ""},

    {"GET", "/livez", api_livez, ROUTE_OPEN, ""},
    {"GET", "/readyz", api_readyz, ROUTE_OPEN | ROUTE_PROBE, "verbose"},
    {"GET", "/metrics", api_metrics, ROUTE_METRICS, ""},
    {"GET", "/version", api_version, ROUTE_OPEN, ""},
    {"GET", "/openapi.json", api_openapi, ROUTE_OPEN, ""},
};
/* clang-format on */
const size_t route_count = sizeof routes / sizeof *routes;
