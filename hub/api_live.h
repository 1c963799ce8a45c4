/*
 * api_live: GET /v1/vehicles/stream, a live query as Server-Sent Events (contract §5).
 */
#ifndef HUB_API_LIVE_H
#define HUB_API_LIVE_H

#include "hub/http.h"

#define API_LIVE_QUERY "filter fields max_hz"

http_handler api_vehicles_stream;

#endif
