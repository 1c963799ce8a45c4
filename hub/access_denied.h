/*
 * access_denied: refusals on record (contract §6).
 *
 * Whoever has a principal gets a record for each refusal; his rate of requests bounds them. Without
 * one, ACCESS_DENIED_PER_MINUTE of an address (of IPv6: of a /64, hub/http_limits.h) within a
 * minute get a record each, and the rest of that minute one that counts them, when the address is
 * heard of again or access_denied_sweep comes by. Where the recorder is full, a refusal is counted
 * (fleethub_access_unrecorded_total) and not waited for.
 *
 * Threads: any.
 */
#ifndef HUB_ACCESS_DENIED_H
#define HUB_ACCESS_DENIED_H

#include "hub/http.h"
#include "hub/recorder.h"

struct access_denied;
struct access_denied *access_denied_new(struct recorder *recorder);
/* Records what is still only counted. NULL is nothing. */
void access_denied_free(struct access_denied *denied);
void access_denied_put(struct access_denied *denied, const struct http_request *request,
                       int status);
/* Records the counts of minutes that are over. */
void access_denied_sweep(struct access_denied *denied);

#endif
