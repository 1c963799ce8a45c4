/*
 * api_events: reading the record over HTTP (contract §5). All handlers block (ROUTE_BLOCKING).
 */
#ifndef HUB_API_EVENTS_H
#define HUB_API_EVENTS_H

#include "hub/http.h"

/* What the routes know, for their table. */
#define API_TIMELINE_QUERY "kind type start_time end_time order_by page_size page_token"
#define API_EVENTS_QUERY "vid " API_TIMELINE_QUERY

http_handler api_events;   /* GET /v1/events */
http_handler api_event;    /* GET /v1/events/{id} */
http_handler api_timeline; /* GET /v1/vehicles/{vid}/timeline */

#endif
