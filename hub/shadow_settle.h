/*
 * shadow_settle: requests on record that have no outcome get one.
 *
 * A hub that dies between a request and its outcome leaves open whether the value was written. Each
 * hub follows the region's shadow records; what was open already when it began, and whatever stays
 * open for SHADOW_OPEN_MS later (another hub died, or an answer never came), is settled by looking:
 * a revision of the key that names the request means `applied`, also where it is gone from the
 * bucket by now and the shadow lane saw it pass. Otherwise it is `refused`; but where the key is
 * still as the request found it, the write may yet arrive (a frozen hub, a link that stands still),
 * so first the value is written again as it is, a fence: its sequence makes that compare-and-set
 * fail for certain.
 *
 * An outcome's id derives from the request's, so however many hubs settle it, it is one.
 *
 * How far everything is settled is the store's position of TWIN_RECORD, and part of the mark of
 * TWIN_LAST: the next start goes on from there.
 *
 * Threads: one of its own.
 */
#ifndef HUB_SHADOW_SETTLE_H
#define HUB_SHADOW_SETTLE_H

#include "hub/bus.h"
#include "hub/config.h"
#include "hub/recorder.h"
#include "hub/shadow_lane.h"
#include "hub/store.h"

/* Beyond SHADOW_OPEN_MAX at once the rest waits for the next start. */
enum { SHADOW_OPEN_MS = 30000, SHADOW_OPEN_MAX = 16384 };

struct shadow_settler;
/* `from`: the mark's position of TWIN_RECORD. Started once the shadows are recovered, and stopped
 * before their lane. */
struct shadow_settler *shadow_settler_start(const struct config *config, struct bus *bus,
                                            struct store *store, struct recorder *recorder,
                                            struct shadow_lane *shadows, struct position from);
void shadow_settler_stop(struct shadow_settler *settler);

#endif
