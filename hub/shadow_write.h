/*
 * shadow_write: changes to a vehicle's desired, config and meta that are made through a hub.
 *
 * A change and its record are two writes. First the request goes on record (`requested`, with what
 * was before and what is to be), then the value is written by compare-and-set on the key's last
 * sequence and names the request, then the outcome goes on record (`applied` or `refused`). What a
 * crash leaves open between is settled by shadow_settle.
 *
 * Simultaneous writers never lose an update: one that finds the key changed begins anew on what is
 * there, with a request of its own; the lost one is `refused`. The writers of one hub take turns by
 * key, so that this happens between hubs alone, and is bounded by SHADOW_TRIES_MAX.
 *
 * An answer that did not come (the link, the broker) is asked for again under the same
 * Nats-Msg-Id until SHADOW_WRITE_MS is over; then the change stays open and shadow_settle decides.
 *
 * Threads: any; a call waits for NATS, SHADOW_WRITE_MS at most.
 */
#ifndef HUB_SHADOW_WRITE_H
#define HUB_SHADOW_WRITE_H

#include "hub/bus.h"
#include "hub/config.h"
#include "hub/recorder.h"
#include "hub/store.h"

enum {
    SHADOW_TRIES_MAX = 32,
    SHADOW_WRITE_MS = 10000,
    SHADOW_SHOW_MS = 5000, /* for this hub's twins to show what was written */
};

struct shadow_writer;
struct shadow_writer *shadow_writer_new(const struct config *config, struct bus *bus,
                                        struct store *store, struct recorder *recorder);
void shadow_writer_free(struct shadow_writer *writer);

struct shadow_change {
    const char *vid;
    enum part_kind kind; /* not PART_REPORTED: that is the vehicle's */
    bool replace;        /* the whole part; else merged as RFC 7396 says */
    struct doc_ref value;
    const char *if_match; /* NULL: whatever is there */
    const char *actor, *request_id;
};

enum shadow_status {
    SHADOW_WRITTEN,
    SHADOW_UNCHANGED, /* it is so already: no new revision */
    SHADOW_UNKNOWN_VEHICLE,
    SHADOW_PRECONDITION,
    SHADOW_TOO_LARGE,   /* the result, beyond PART_MAX_BYTES */
    SHADOW_UNAVAILABLE, /* NATS does not answer, or no memory; `text` says what became of it */
    SHADOW_BUSY,        /* others write the same key all the time */
    SHADOW_FAILED,      /* refused by NATS */
};
struct shadow_result {
    uint64_t revision; /* of the part, also for SHADOW_UNCHANGED and SHADOW_PRECONDITION */
    struct doc *value; /* the whole part, malloc'd; for WRITTEN and UNCHANGED */
    char text[256];
};
enum shadow_status shadow_write(struct shadow_writer *writer, const struct shadow_change *change,
                                struct shadow_result *result);

/* ---- for the lanes that look at such writes ---- */

/* The header of a `requested` record in TWIN_RECORD: the key's last sequence that it builds on. */
#define SHADOW_HEADER_BASE "Fleet-Base"

/* Whether a value in the bucket is what a request on record asked for. `record` and `record_seq`
 * are its headers, NULL where it has none. */
enum shadow_named { SHADOW_NAMED, SHADOW_NOT_NAMED, SHADOW_NAME_NOT_KNOWN_NOW };
enum shadow_named shadow_named(struct bus *bus, struct slice vid, enum part_kind kind,
                               const char *record, const char *record_seq, struct doc_ref value);

/* Makes the record of a request's outcome. `text` holds its data. False when there is no memory. */
bool shadow_outcome(const struct record *request, bool applied, uint64_t revision,
                    const char *reason, struct buf *text, struct record *outcome);
/* The data of a shadow record: {"part","before","after"} and, where it is not 0, "revision". Before
 * is left out (null) where both would be more than the broker takes in one message. */
void shadow_record_data(struct buf *out, enum part_kind kind, struct slice before,
                        struct slice after, uint64_t revision);

#endif
