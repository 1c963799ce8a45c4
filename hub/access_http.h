/*
 * access_http: access control as the HTTP server asks for it: who calls, whether the route is his
 * to call, and what of his rights the route works with (contract §6).
 *
 * A route works with one viewer: the scopes whose roles have the capability that it asks for. A
 * vehicle that the caller may see, but not with that capability, is a 403; one that he may not see
 * is not there.
 *
 * Refusals go on record (kind `access`, type `denied`); those without a principal up to
 * ACCESS_DENIED_PER_MINUTE a minute of one address, beyond that as one counted record a minute.
 *
 * Threads: the server's; access_http_flush from the lane's.
 */
#ifndef HUB_ACCESS_HTTP_H
#define HUB_ACCESS_HTTP_H

#include "hub/access.h"
#include "hub/http.h"

enum { ACCESS_DENIED_PER_MINUTE = 10, ACCESS_DENIED_ADDRESSES = 1024 };

struct access_http;
/* `local`: the server listens on a loopback address, where /metrics needs no token. */
struct access_http *access_http_new(struct access *access, struct recorder *recorder, bool local);
void access_http_free(struct access_http *gate); /* NULL is nothing */
/* For http_start; lives as long as the gate. */
const struct http_auth *access_http_auth(struct access_http *gate);

/* Records the refusals that were only counted, of minutes that are over. */
void access_http_sweep(struct access_http *gate);

/* What a route asks for, by its flags. */
enum capability access_capability(unsigned flags);
/* The caller's viewer for a capability; with access off it is viewer_all. */
const struct viewer *access_viewer(const struct http_request *request, enum capability capability);

#endif
