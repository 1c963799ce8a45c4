/*
 * last: TWIN_LAST, what the twins were when the hub last wrote them down.
 *
 * One entry per vehicle (registration, presence, states, start of the delta's divergence) and the
 * mark: the positions of the streams that all entries together vouch for. At start the hub reads
 * both and folds on from the mark; whatever the entries hold beyond the mark is folded again, which
 * changes nothing (newest wins).
 *
 * One hub of the region writes at a time. The mark is the lease: it names its writer, each writing
 * ends with a compare-and-set of it, and a mark that stood still for CHECKPOINT_TAKEOVER intervals
 * may be taken over. Entries are compare-and-set too, so a writer that froze and thaws cannot put
 * an old entry over a newer one; and a hub whose own positions are behind the mark's writes
 * nothing.
 *
 * Entries and mark are written only after every record that was made on the way to them is stored.
 *
 * Threads: last_load before the lanes start; the checkpoint lane has a thread of its own.
 */
#ifndef HUB_LAST_H
#define HUB_LAST_H

#include "hub/bus.h"
#include "hub/config.h"
#include "hub/recorder.h"
#include "hub/store.h"

enum { CHECKPOINT_TAKEOVER = 3 };

/* Fills the store and its positions. `report` says what was found. Called again after
 * BUS_DISCONNECTED it goes on. */
enum bus_status last_load(struct bus *bus, struct store *store, struct buf *report);

struct checkpoint_lane;
struct checkpoint_lane *checkpoint_lane_start(struct bus *bus, struct store *store,
                                              struct recorder *recorder, int interval_ms);
/* Writes what changed once more, gives the lease back, ends. */
void checkpoint_lane_stop(struct checkpoint_lane *lane);

/* ---- the form of entries, for the two sides of it and for tests ---- */

void last_write_twin(struct buf *out, const struct twin *twin);
/* A twin with its states; the caller owns all of it. NULL where the entry makes no sense, or there
 * is no memory. `vid` is borrowed. */
struct twin *last_read_twin(struct doc_ref entry, const char *vid);
/* Frees a twin that nobody else has seen, with all its parts. */
void last_free_twin(struct twin *twin);

struct mark {
    char by[RECORD_ID_TEXT_BYTES]; /* the hub that wrote it; "" where the lease is free */
    struct position streams[STREAM_LABELS];
};
void last_write_mark(struct buf *out, const struct mark *mark);
bool last_read_mark(struct doc_ref entry, struct mark *mark);

#endif
