/*
 * api_events: reading the record over HTTP (contract §5). Both handlers block (ROUTE_BLOCKING).
 */
#ifndef HUB_API_EVENTS_H
#define HUB_API_EVENTS_H

#include "hub/http.h"

/* What GET /v1/events knows, for the table of routes. */
#define API_EVENTS_QUERY "vid kind type start_time end_time order_by page_size page_token"

void api_events(const struct http_request *request, struct http_reply *reply);
/* GET /v1/events/{id} */
void api_event(const struct http_request *request, struct http_reply *reply);

#endif
