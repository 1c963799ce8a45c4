/*
 * api_vehicles: /v1/vehicles and the parts of a twin (contract §5). Everything is answered from
 * memory, on an event thread, under no lock.
 */
#ifndef HUB_API_VEHICLES_H
#define HUB_API_VEHICLES_H

#include "hub/http.h"

http_handler api_vehicles;         /* GET /v1/vehicles */
http_handler api_vehicle;          /* GET /v1/vehicles/{vid} */
http_handler api_vehicle_desired;  /* GET /v1/vehicles/{vid}/desired */
http_handler api_vehicle_reported; /* GET /v1/vehicles/{vid}/reported */
http_handler api_vehicle_config;   /* GET /v1/vehicles/{vid}/config */
http_handler api_vehicle_meta;     /* GET /v1/vehicles/{vid}/meta */
http_handler api_vehicle_delta;    /* GET /v1/vehicles/{vid}/delta */
http_handler api_vehicle_state;    /* GET /v1/vehicles/{vid}/state/{type} */

#endif
