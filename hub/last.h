/*
 * last: TWIN_LAST, what the twins were when the hub last wrote them down.
 *
 * One entry per vehicle (registration, presence, states, start of the delta's divergence and the
 * revisions that it belongs to) and the mark: the positions of the streams that all entries
 * together vouch for. At start the hub reads both and folds on from the mark; whatever the entries
 * hold beyond the mark is folded again, which changes nothing (newest wins).
 *
 * Registrations and retirements are written at once, by any hub, as the entry that was there with a
 * header that says so (hub/registry.h); the next checkpoint writes them into the entry.
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

struct mark {
    char by[RECORD_ID_TEXT_BYTES]; /* the hub that wrote it; "" where the lease is free */
    struct position streams[STREAM_LABELS];
};

/* Since when a vehicle diverged, and at which revisions of the two sides that held. */
struct last_delta {
    bool known;
    int64_t since_ns;
    uint64_t desired, reported;
};

/* What last_load found beside the twins. Zero-initialised; last_found_done. */
struct last_found {
    struct mark mark;
    struct position end;       /* of TWIN_LAST: the registry goes on behind it */
    struct last_delta *deltas; /* by the vehicle's index */
    size_t delta_count;
};
void last_found_done(struct last_found *found);

/* Fills the store, and its positions of what is folded. `report` says what was found. What changed
 * a registration and is not in its entry yet goes on record (again). `open`: the admission. Called
 * again after BUS_DISCONNECTED it goes on. */
enum bus_status last_load(struct bus *bus, struct store *store, struct recorder *recorder,
                          bool open, struct last_found *found, struct buf *report);

/* The mark alone, as it stands in the bucket now; zero where there is none. */
enum bus_status last_read_mark_now(struct bus *bus, struct mark *mark, struct bus_error *error);

struct registry;
struct checkpoint_lane;
struct checkpoint_lane *checkpoint_lane_start(struct bus *bus, struct store *store,
                                              struct recorder *recorder, struct registry *registry,
                                              int interval_ms);
/* Writes what changed once more, gives the lease back, ends. */
void checkpoint_lane_stop(struct checkpoint_lane *lane);

/* ---- the form of entries, for the two sides of it and for tests ---- */

void last_write_twin(struct buf *out, const struct twin *twin);
/* A twin with its states; the caller owns all of it. NULL where the entry makes no sense, or there
 * is no memory. `vid` is borrowed. */
struct twin *last_read_twin(struct doc_ref entry, const char *vid);
/* Frees a twin that nobody else has seen, with all its parts. */
void last_free_twin(struct twin *twin);

void last_write_mark(struct buf *out, const struct mark *mark);
bool last_read_mark(struct doc_ref entry, struct mark *mark);

#endif
