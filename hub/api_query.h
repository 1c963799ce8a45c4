/*
 * api_query: query parameters that several routes take, read the same way everywhere.
 *
 * Each returns false with the problem in the reply, where the value makes no sense.
 */
#ifndef HUB_API_QUERY_H
#define HUB_API_QUERY_H

#include "hub/fields.h"
#include "hub/formats.h"
#include "hub/http.h"
#include "hub/query.h"

enum { PAGE_SIZE_DEFAULT = 100, PAGE_SIZE_MAX = 1000 };

/* `page_size`: a whole number, clamped to 1..PAGE_SIZE_MAX. */
bool query_page_size(const struct http_request *request, struct http_reply *reply, size_t *size);
/* A parameter that is `true`, `false` or given without a value, which means true. */
bool query_flag(const struct http_request *request, struct http_reply *reply, const char *name,
                bool *value);
/* Appends a `Link: <…>; rel="next"` header: the request's own target with another page_token.
 * False where that would be longer than a header may be. */
bool query_link_next(const struct http_request *request, struct http_reply *reply,
                     const char *token);

/* `filter` and `order_by`, for the request's viewer, at the broker's time of now. */
bool query_read(const struct http_request *request, struct http_reply *reply, struct query *query);
/* Whether the request may ask for the groups that a filter over something else than twins names: a
 * stored filter is judged with the caller's rights, on every vehicle in view. */
bool query_may_ask_groups(const struct http_request *request, struct http_reply *reply,
                          const struct filter *filter);
/* The paths of groups that its filter names are looked at like its own. False: no memory. */
struct groups;
bool query_judge_groups(struct query *query, struct groups *groups);
/* `fields`: *fields is NULL where they were not given. */
bool query_read_fields(const struct http_request *request, struct http_reply *reply,
                       struct fields **fields);
/* `format`, or the header Accept: one of those in `offered`, a set of 1 << enum format. */
bool query_read_format(const struct http_request *request, struct http_reply *reply,
                       unsigned offered, enum format *format);
/* The reply for what query_scan and its like have not answered. */
void query_refuse(const struct http_request *request, struct http_reply *reply,
                  enum query_status status, const struct query_denial *denial);
/* The reply for a text that cannot be read, or for want of memory to read it. */
void query_refuse_text(const struct http_request *request, struct http_reply *reply,
                       const char *parameter, const struct text_error *error);

#endif
