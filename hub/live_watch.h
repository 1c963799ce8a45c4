/*
 * live_watch: what of a twin a live query looks at, by its filter or by its fields, and whether
 * that may have changed since a position. It may say yes where nothing did, never the other way
 * round.
 *
 * The pieces of a twin know their messages: a state its sequence, a part of the shadow its
 * revision; the store knows the last message of each stream that was about a vehicle. Presence also
 * changes by time alone, groups by what is written of them: who looks at those is always told yes.
 *
 * Ownership: live_watch_done. Threads: once made, any.
 */
#ifndef HUB_LIVE_WATCH_H
#define HUB_LIVE_WATCH_H

#include "hub/fields.h"
#include "hub/position.h"
#include "twin/filter.h"

struct live_watch {
    bool always; /* something of which no position tells */
    bool states; /* the whole of `state` */
    bool shadow; /* the revisions */
    bool parts[PART_COUNT];
    char *types; /* state types, each NUL-terminated, an empty one at the end; NULL: none */
};

/* Zeroed at first. False when there is no memory. */
bool live_watch_filter(struct live_watch *watch, const struct filter *filter);
bool live_watch_fields(struct live_watch *watch, const struct fields *fields);
void live_watch_done(struct live_watch *watch);

/* A position as far as it can be compared with what vehicles were heard of. */
struct live_seen {
    struct position streams[STREAM_LABELS]; /* seq 0: nothing is sure */
    bool early[STREAM_LABELS];              /* it lies before what this hub has read itself */
};
/* Of the position, on the streams as they are now. */
struct live_seen live_seen_of(const struct store *store, const struct fleet_position *position);
/* Whether the stream may have said something about the vehicle since. `vehicle` is its index. */
bool live_heard_since(const struct store *store, uint32_t vehicle, const struct twin *twin,
                      enum stream_label stream, const struct live_seen *seen);

bool live_watch_touched(const struct live_watch *watch, const struct store *store, uint32_t vehicle,
                        const struct twin *twin, const struct live_seen *seen);

#endif
