/*
 * http_fixture: a server of its own for each test, on a free port of 127.0.0.1, and what tests of
 * it look at. It has one worker, and room for one request that waits for it.
 */
#ifndef TESTS_UNIT_HTTP_FIXTURE_H
#define TESTS_UNIT_HTTP_FIXTURE_H

#include "http_client.h"
#include "hub/http.h"
#include "hub/log.h"

enum { BODY_MAX_BYTES = 64 * 1024, HEADER_MAX_BYTES = 8 * 1024, STOP_MS = 5000 };

extern struct http *fixture_server;
extern uint16_t fixture_port;

/* A setup function's result: 0 when the server runs. */
int fixture_start(const struct http_route *routes, size_t count);
/* A teardown function. */
int fixture_stop(void **state);

/* A handler that answers with what it was asked. */
void fixture_echo(const struct http_request *request, struct http_reply *reply);

/* Fails unless the object's member is this string. */
void member_is(const json_t *object, const char *name, const char *value);
/* A header that must be there. */
const char *header_of(const struct client_reply *reply, const char *name);
/* Checks a problem's whole shape, copies its detail and releases the reply. */
void expect_problem(struct client_reply *reply, int status, const char *slug, char detail[1024]);

#endif
