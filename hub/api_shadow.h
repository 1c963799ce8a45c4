/*
 * api_shadow: writing a vehicle's desired, meta and config (contract §5). Reading them is
 * hub/api_vehicles.h. On a worker: a write waits for NATS (hub/shadow_write.h).
 */
#ifndef HUB_API_SHADOW_H
#define HUB_API_SHADOW_H

#include "hub/http.h"

http_handler api_desired_patch; /* PATCH /v1/vehicles/{vid}/desired */
http_handler api_desired_put;   /* PUT */
http_handler api_meta_patch;    /* PATCH /v1/vehicles/{vid}/meta */
http_handler api_meta_put;      /* PUT */
http_handler api_config_patch;  /* PATCH /v1/vehicles/{vid}/config */
http_handler api_config_put;    /* PUT */

/* For the routes that write a part as a piece of something else: answers what went wrong, and
 * returns true where nothing did. */
struct shadow_result;
bool api_shadow_answer_failure(const struct http_request *request, struct http_reply *reply,
                               const char *vid, const char *part, int status,
                               const struct shadow_result *result);

#endif
