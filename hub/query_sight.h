/*
 * query_sight: which vehicles a viewer sees, and whether it may ask for what a query asks (contract
 * §6): a filter, an order or a stat on something that is denied on any vehicle in view is refused,
 * or its outcome would tell what may not be told.
 *
 * The viewer's patterns are judged against the query's paths once; what is left for each vehicle
 * is to compare its id with the vehicle patterns.
 *
 * Ownership: query_sight_free; borrows the viewer, and keeps of a path what it needs.
 * Threads: once built, any number of threads.
 */
#ifndef HUB_QUERY_SIGHT_H
#define HUB_QUERY_SIGHT_H

#include "twin/path.h"
#include "twin/viewer.h"

struct query_sight;

enum sight { SIGHT_HIDDEN, SIGHT_SEEN, SIGHT_DENIED };

struct query_sight *query_sight_new(const struct viewer *viewer); /* NULL: no memory */
void query_sight_free(struct query_sight *sight);
/* The query looks at what stands at the path. False when there is no memory. */
bool query_sight_add(struct query_sight *sight, const struct path *path);
/* Denied: it sees the vehicle, and *path, if not NULL, is the text of one it may not ask for. */
enum sight query_sight_of(const struct query_sight *sight, const char *vid, const char **path);

/* Whether the viewer may see anything below `state` or a part of the shadow of a vehicle: read as a
 * whole, it then holds what may be seen. */
bool query_sees_some(const struct viewer *viewer, const char *vid, const char *part);
/* Whether it may see all of it, whatever its members are called: one scope holds the vehicle and
 * all of the part, and nothing of the part is denied. Whoever replaces a part decides of all of it.
 */
bool query_sees_whole(const struct viewer *viewer, const char *vid, const char *part);
/* Whether a pattern may cover something below the part, or (`all`) certainly covers everything. */
bool query_pattern_reaches(const char *pattern, const char *part, bool all);

#endif
