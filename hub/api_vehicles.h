/*
 * api_vehicles: /v1/vehicles and the parts of a twin (contract §5). Everything is answered from
 * memory, under no lock: one vehicle on an event thread, the list (hub/api_list.c) on a worker.
 */
#ifndef HUB_API_VEHICLES_H
#define HUB_API_VEHICLES_H

#include "hub/http.h"

struct app;
/* The headers of every answer that reads twins: the position, taken before they are read; and,
 * while the hub hears nothing, how old they are, as the age of any stored answer is told (RFC 9111
 * §5.1). */
void api_position(const struct app *app, struct http_reply *reply);

/* A strong ETag out of the answer itself, so that it is the same on every hub. */
void api_tag_by_content(struct http_reply *reply);

http_handler api_vehicles;         /* GET /v1/vehicles */
http_handler api_vehicle;          /* GET /v1/vehicles/{vid} */
http_handler api_vehicle_desired;  /* GET /v1/vehicles/{vid}/desired */
http_handler api_vehicle_reported; /* GET /v1/vehicles/{vid}/reported */
http_handler api_vehicle_config;   /* GET /v1/vehicles/{vid}/config */
http_handler api_vehicle_meta;     /* GET /v1/vehicles/{vid}/meta */
http_handler api_vehicle_delta;    /* GET /v1/vehicles/{vid}/delta */
http_handler api_vehicle_state;    /* GET /v1/vehicles/{vid}/state/{type} */

#endif
