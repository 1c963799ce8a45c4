/*
 * record_ring: the last records of the log, in memory: a run of `seq` without a gap, bounded in
 * number and in bytes.
 *
 * Ownership: what record_ring_at gives lives until the next record_ring_add. Threads: one at a
 * time.
 */
#ifndef HUB_RECORD_RING_H
#define HUB_RECORD_RING_H

#include "hub/record.h"

struct record_ring;
/* NULL when there is no memory. */
struct record_ring *record_ring_new(size_t records_max, size_t bytes_max);
void record_ring_free(struct record_ring *ring);

/* Adds the one behind the last; the oldest go where there is no room. Any other begins the ring
 * anew. False when there is no memory; nothing is changed then. */
bool record_ring_add(struct record_ring *ring, const struct record *record);
/* NULL where it is not, or not any more, in there. */
const struct record *record_ring_at(const struct record_ring *ring, int64_t seq);
/* The first one that is in there; what is behind the last where there is none. */
int64_t record_ring_first(const struct record_ring *ring);

#endif
