/*
 * fake_http: requests for handlers that are called without a server.
 *
 * A test that calls a function of this header is linked with this instead of hub/http.c and
 * hub/http_stream.c.
 *
 * Threads: the test's; http_stream_wake any.
 */
#ifndef TESTS_FAKE_HTTP_H
#define TESTS_FAKE_HTTP_H

#include "hub/http.h"

/* A request of `local`, who may do everything, with this body. */
struct http_request fake_http_request(void *app, const char *body);
/* The one header that every request has from now on; NULL: none. */
void fake_http_header(const char *name, const char *value);
/* How often a stream was woken. */
int fake_http_wakes(void);
void fake_http_reply_done(struct http_reply *reply);

#endif
