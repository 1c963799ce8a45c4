/*
 * api_events: reading the record over HTTP (contract §5). All handlers block (ROUTE_BLOCKING).
 *
 * A page is read by keyset, so records that come meanwhile move nothing. Where few records match,
 * one could look for a page for hours: after API_EVENTS_SCAN_MS the answer is a 504 that says what
 * to do. NDJSON and CSV without page_size are exports (hub/events_export.h).
 */
#ifndef HUB_API_EVENTS_H
#define HUB_API_EVENTS_H

#include "hub/archive.h"
#include "hub/http.h"

enum {
    API_EVENTS_SCAN_MS = 6000,
    API_EVENTS_PAGE_MAX_BYTES = 64 << 20,
};

/* What the routes know, for their table. */
#define API_TIMELINE_QUERY                                                                         \
    "filter kind type start_time end_time order_by page_size page_token format"
#define API_EVENTS_QUERY "vid " API_TIMELINE_QUERY

#define API_EVENTS_STREAM_QUERY "filter vid kind type"

http_handler api_events;        /* GET /v1/events */
http_handler api_event;         /* GET /v1/events/{id} */
http_handler api_events_stream; /* GET /v1/events/stream */
http_handler api_timeline;      /* GET /v1/vehicles/{vid}/timeline */

/* The reply for what the archive did not answer. */
void api_events_failure(const struct http_request *request, struct http_reply *reply,
                        enum archive_status status, const struct archive_error *error);

#endif
