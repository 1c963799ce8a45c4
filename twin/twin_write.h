/*
 * twin_write: the pieces of a twin's JSON, for what shows only some of them (hub/fields.h). The
 * whole is twin_write of twin/twin.h.
 *
 * Threads: pure functions over immutable values.
 */
#ifndef TWIN_TWIN_WRITE_H
#define TWIN_TWIN_WRITE_H

#include "twin/twin.h"

bool twin_sees_state(const struct viewer *viewer, const struct twin *twin,
                     const struct state *state);
/* Each appends one JSON value, less what the viewer may not see. */
void twin_write_presence(struct buf *out, const struct twin *twin);
void twin_write_states(struct buf *out, const struct twin *twin, const struct viewer *viewer);
void twin_write_revision(struct buf *out, const struct twin *twin);
void twin_write_metadata(struct buf *out, const struct twin *twin, const struct viewer *viewer);

#endif
