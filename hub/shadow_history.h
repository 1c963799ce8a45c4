/*
 * shadow_history: the revisions of one shadow key that the bucket still has, and what the headers
 * of a value written by a hub say.
 *
 * A hub's own write names its request on record (Fleet-Record, and where that stands in
 * TWIN_RECORD) and who asked for it. A fence is a value written again as it was, so that a
 * compare-and-set that may still be under way is lost for certain (hub/shadow_settle.c).
 *
 * Threads: any. shadow_history_read waits for NATS, SHADOW_HISTORY_MS at most.
 */
#ifndef HUB_SHADOW_HISTORY_H
#define HUB_SHADOW_HISTORY_H

#include "hub/bus.h"
#include "hub/config.h"
#include "hub/record.h"
#include "twin/twin.h"

#define SHADOW_HEADER_RECORD "Fleet-Record"
#define SHADOW_HEADER_RECORD_SEQ "Fleet-Record-Seq"
#define SHADOW_HEADER_ACTOR "Fleet-Actor"
#define SHADOW_HEADER_FENCE "Fleet-Fence"
#define SHADOW_HEADER_CHANGE "Fleet-Change" /* of a delete marker: the vehicle was retired */
#define SHADOW_HEADER_KV "KV-Operation"

enum { SHADOW_DEPTH = 32, SHADOW_HISTORY_MAX = 64, SHADOW_HISTORY_MS = 5000 };

/* A value as it came: an object; `{}` for a delete marker, which leaves nothing but its revision.
 * False for anything else, which is to be ignored. Valid until the parser's next use. */
bool shadow_read_value(struct doc_parser *parser, const struct bus_msg *msg, bool *deleted,
                       struct doc_ref *value);
/* Who wrote it, for `updated_by`. `named`: its Fleet-Record is to be believed. */
const char *shadow_author(const struct bus_msg *msg, enum part_kind kind, bool named,
                          const char *vid);

struct shadow_revision {
    uint64_t revision;
    int64_t updated_ns;
    bool good;    /* an object, or deleted: the others are ignored everywhere */
    bool deleted; /* then the value is an empty object */
    bool fence;
    uint8_t record[RECORD_ID_BYTES];
    bool has_record;
    char actor[RECORD_ACTOR_MAX_BYTES + 1];
    struct doc *value; /* NULL where it is not good */
};
struct shadow_history {
    struct shadow_revision *revisions; /* oldest first */
    size_t count;
};
/* All that is there. */
enum bus_status shadow_history_read(const struct config *config, struct bus *bus, const char *vid,
                                    enum part_kind kind, struct shadow_history *history,
                                    struct bus_error *error);
void shadow_history_done(struct shadow_history *history);
/* The revision whose write carried out this request; NULL where none of them did. */
const struct shadow_revision *shadow_history_find(const struct shadow_history *history,
                                                  const uint8_t record[RECORD_ID_BYTES]);

#endif
