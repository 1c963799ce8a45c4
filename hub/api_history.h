/*
 * api_history: what was: past states of a vehicle out of TWIN_STATE, and the revisions of its
 * desired part that the bucket keeps (contract §5). On a worker: both read from NATS.
 *
 * Limits: those of hub/state_history.h for one page of states.
 */
#ifndef HUB_API_HISTORY_H
#define HUB_API_HISTORY_H

#include "hub/http.h"

#define API_HISTORY_QUERY "type start_time end_time page_size page_token"

http_handler api_vehicle_history; /* GET /v1/vehicles/{vid}/history */
http_handler api_desired_history; /* GET /v1/vehicles/{vid}/desired/history */

#endif
