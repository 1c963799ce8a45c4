/*
 * api_openapi: the description of this interface, schema/openapi.yaml as one JSON document
 * (contract §5). It is part of the program: cmake/OpenApi.cmake.
 */
#ifndef HUB_API_OPENAPI_H
#define HUB_API_OPENAPI_H

#include "hub/http.h"

http_handler api_openapi; /* GET /openapi.json */

/* Generated; NUL-terminated, the size without. */
extern const char openapi_json[];
extern const size_t openapi_json_bytes;

#endif
