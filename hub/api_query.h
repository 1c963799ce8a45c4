/*
 * api_query: query parameters that several routes take, read the same way everywhere.
 *
 * Each returns false with the problem in the reply, where the value makes no sense.
 */
#ifndef HUB_API_QUERY_H
#define HUB_API_QUERY_H

#include "hub/http.h"

enum { PAGE_SIZE_DEFAULT = 100, PAGE_SIZE_MAX = 1000 };

/* `page_size`: a whole number, clamped to 1..PAGE_SIZE_MAX. */
bool query_page_size(const struct http_request *request, struct http_reply *reply, size_t *size);
/* A parameter that is `true`, `false` or given without a value, which means true. */
bool query_flag(const struct http_request *request, struct http_reply *reply, const char *name,
                bool *value);
/* Appends a `Link: <…>; rel="next"` header: the request's own target with another page_token. */
void query_link_next(const struct http_request *request, struct http_reply *reply,
                     const char *token);

#endif
