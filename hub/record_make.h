/*
 * record_make: from a message of TWIN_EVENTS, TWIN_ACK or TWIN_RECORD to the record that it
 * becomes. Total: every message becomes a record; one that is refused becomes the record of its
 * refusal.
 *
 * Ids: an event's or acknowledgement's derives from vid, category, type, boot, seq, timestamp and
 * data as a value (white space and escapes aside), so that the same one published again is the
 * same record (contract §5); a refused message's from its place in the stream; a record of the
 * hub's own has the one that its producer gave it.
 *
 * Ownership: a made record borrows from the message and from the maker, until its next use.
 * Threads: one per maker.
 */
#ifndef HUB_RECORD_MAKE_H
#define HUB_RECORD_MAKE_H

#include "hub/bus.h"
#include "hub/record.h"

struct record_maker;
/* `payload_bytes_max`: the configured bound of an envelope. NULL when there is no memory. */
struct record_maker *record_maker_new(size_t payload_bytes_max);
void record_maker_free(struct record_maker *maker);

/* Who is admitted, where vehicles must be registered first. It may wait for NATS. */
enum record_admission { RECORD_ADMITTED, RECORD_NOT_ADMITTED, RECORD_NOT_KNOWN_NOW };
typedef enum record_admission record_admits_fn(void *closure, struct slice vid,
                                               int64_t received_ns);
/* NULL, as at first: everybody is. */
void record_maker_admission(struct record_maker *maker, record_admits_fn *admits, void *closure);

struct record_source {
    const char *stream;
    int64_t created_ns;
    bool own; /* TWIN_RECORD: the hub's own records; else vehicles' envelopes */
};

struct record_made {
    struct record record;
    enum refusal refusal; /* why it is a record of kind `rejected`, or REFUSAL_NONE */
    int32_t day;          /* for the table of digests: of the vehicle's timestamp, 0 without one */
};

/* False only where there is no memory, or admission cannot be judged now. */
bool record_make(struct record_maker *maker, const struct record_source *source,
                 const struct bus_msg *msg, struct record_made *made);

#endif
