/*
 * api_write: what the routes that write have in common.
 *
 * Functions that return bool return false with the problem in the reply.
 */
#ifndef HUB_API_WRITE_H
#define HUB_API_WRITE_H

#include "hub/app.h"
#include "twin/doc.h"

/* Whether the hub can write now: NATS is there, the twins are read. Else a 503. */
bool write_ready(const struct http_request *request, struct http_reply *reply);
/* The body as a JSON object of at most `max_depth`; else a 400. *root borrows from the parser.
 * `empty`: no body at all is an empty object. */
bool write_body(const struct http_request *request, struct http_reply *reply,
                struct doc_parser *parser, unsigned max_depth, bool empty, struct doc_ref *root);
/* Whether the object has no member but the named ones, blank separated; else a 400. */
bool write_members(const struct http_request *request, struct http_reply *reply,
                   struct doc_ref object, const char *known);
/* A PUT replaces: a merge patch as its body would say something else. */
bool write_no_patch(const struct http_request *request, struct http_reply *reply);

#endif
