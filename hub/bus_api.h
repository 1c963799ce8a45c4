/*
 * bus_api: requests to JetStream's API as JSON, for bus_*.c and for tests. Raw requests know every
 * field of every server; the structs of nats.c know those of their own age.
 *
 * Ownership: `request` is taken over; `*reply` is the caller's (json_decref), set on BUS_OK alone.
 * Threads: any. The call waits for the answer, BUS_API_TIMEOUT_MS at most.
 */
#ifndef HUB_BUS_API_H
#define HUB_BUS_API_H

#include "hub/bus.h"

#include <jansson.h>

enum { BUS_API_TIMEOUT_MS = 3000, BUS_API_SUBJECT_BYTES = 640 };

/* Asks `$JS.API.<call>`. No answer is BUS_DISCONNECTED. `request` and `reply` may be NULL. */
enum bus_status bus_api(struct bus *bus, const char *call, json_t *request, json_t **reply,
                        struct bus_error *error);

/* Reads a JetStream answer, a publish acknowledgement included: BUS_OK, or what its "error" means.
 * `*root` is the caller's where it is BUS_OK. */
enum bus_status bus_api_answer(const char *text, size_t size, json_t **root,
                               struct bus_error *error);

/* The broker's time of one message of a stream; BUS_NOT_FOUND where it is no longer there. */
enum bus_status bus_api_msg_time(struct bus *bus, const char *stream, uint64_t seq,
                                 int64_t *received_ns, struct bus_error *error);

#endif
