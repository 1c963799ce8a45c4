/*
 * api_registration: PUT and DELETE of /v1/vehicles/{vid} (contract §5). On a worker: both wait for
 * NATS (hub/registry.h).
 */
#ifndef HUB_API_REGISTRATION_H
#define HUB_API_REGISTRATION_H

#include "hub/http.h"

http_handler api_vehicle_register; /* PUT /v1/vehicles/{vid} */
http_handler api_vehicle_retire;   /* DELETE /v1/vehicles/{vid} */

#endif
