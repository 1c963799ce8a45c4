/*
 * shadow_seen: which requests on record were lately seen carried out, and by which revision.
 *
 * The bucket keeps few revisions of a key, and a request without an outcome is settled later: other
 * writes to the same part may have displaced the one that carried it out. Whoever watches the
 * bucket saw it pass.
 *
 * Bounded: the last SHADOW_SEEN_MAX; what is older is what the bucket still has, or not known.
 *
 * Threads: any.
 */
#ifndef HUB_SHADOW_SEEN_H
#define HUB_SHADOW_SEEN_H

#include "hub/record.h"

enum { SHADOW_SEEN_MAX = 16384 };

struct shadow_seen;
struct shadow_seen *shadow_seen_new(void);
void shadow_seen_free(struct shadow_seen *seen);
void shadow_seen_add(struct shadow_seen *seen, const uint8_t request[RECORD_ID_BYTES],
                     uint64_t revision);
/* False where it was not seen. */
bool shadow_seen_find(struct shadow_seen *seen, const uint8_t request[RECORD_ID_BYTES],
                      uint64_t *revision);

#endif
