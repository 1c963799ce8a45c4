/*
 * http_route: the table of routes, compiled once, and the search for the route of a request.
 *
 * A pattern is a path of segments: literals, `{name}`, or `{name}` with a literal behind it
 * (`{id}:cancel`). A parameter is never empty. Where several patterns fit, the first segment in
 * which they differ decides: a literal before `{name}:suffix` before `{name}`.
 *
 * Ownership: the compiled table points into the table of routes, which outlives it. Immutable
 * after route_table_new; any thread.
 */
#ifndef HUB_HTTP_ROUTE_H
#define HUB_HTTP_ROUTE_H

#include "hub/http.h"
#include "hub/http_uri.h"

#include <stdbool.h>
#include <stddef.h>

enum { ROUTE_MAX_METHODS = 8, ROUTE_ALLOW_BYTES = 80 };

struct route_table;

/* NULL, and text in `error`, for a pattern that makes no sense or stands there twice. */
struct route_table *route_table_new(const struct http_route *routes, size_t count, char error[256]);
void route_table_free(struct route_table *table);

enum route_found { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };
struct route_match {
    const struct http_route *route; /* set for ROUTE_FOUND */
    size_t index;                   /* of the route in the table of routes */
    const char *allow;              /* the methods of the path, unless ROUTE_NO_PATH */
    const char *path_param[HTTP_MAX_PATH_PARAMS];
};
/* `segments` are decoded; those of a `{name}:suffix` lose the suffix. A HEAD finds the GET. */
enum route_found route_find(const struct route_table *table, const char *method, char **segments,
                            size_t count, struct route_match *match);

/* Whether a list of query parameters, blank separated, holds this one. */
bool route_lists(const char *list, const char *parameter);

#endif
