/*
 * routes: the one table of what the hub answers over HTTP.
 */
#ifndef HUB_ROUTES_H
#define HUB_ROUTES_H

#include "hub/http.h"

extern const struct http_route routes[];
extern const size_t route_count;

#endif
