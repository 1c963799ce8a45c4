/*
 * live_groups: what the groups that a filter names are at the moment, as a part of what the ids of
 * a live query are bound to: an id that was given under other definitions does not say what its
 * client has.
 *
 * Threads: any.
 */
#ifndef HUB_LIVE_GROUPS_H
#define HUB_LIVE_GROUPS_H

#include "hub/groups.h"
#include "hub/live_id.h"

/* `digest` of the query's text and of all groups that it names, directly or through others. The
 * same as `base` where it names none. False when there is no memory. `groups` may be NULL. */
bool live_groups_digest(struct groups *groups, const struct filter *filter,
                        const uint8_t base[LIVE_DIGEST_BYTES], uint8_t digest[LIVE_DIGEST_BYTES]);

#endif
