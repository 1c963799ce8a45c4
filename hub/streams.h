/*
 * streams: the JetStream resources of contract §3 in one table, and the names, subjects and keys
 * that come from it.
 *
 * Ownership: texts are written into the caller's arrays; nothing is kept.
 * Threads: any; streams_ensure waits for the server.
 */
#ifndef HUB_STREAMS_H
#define HUB_STREAMS_H

#include "hub/bus.h"
#include "hub/config.h"
#include "twin/buf.h"
#include "twin/envelope.h"
#include "twin/twin.h"

/* The order is that of contract §3; buckets come last. */
#define TWIN_STREAM_TABLE(X)                                                                       \
    X(STATE, "TWIN_STATE")                                                                         \
    X(EVENTS, "TWIN_EVENTS")                                                                       \
    X(CMD, "TWIN_CMD")                                                                             \
    X(ACK, "TWIN_ACK")                                                                             \
    X(RECORD, "TWIN_RECORD")                                                                       \
    X(CHECKPOINTS, "TWIN_CHECKPOINTS")                                                             \
    X(SHADOW, "KV_TWIN_SHADOW")                                                                    \
    X(LAST, "KV_TWIN_LAST")                                                                        \
    X(COMMANDS, "KV_TWIN_COMMANDS")                                                                \
    X(ACCESS, "KV_TWIN_ACCESS")

enum twin_stream {
#define X(id, name) TWIN_##id,
    TWIN_STREAM_TABLE(X)
#undef X
        TWIN_STREAMS
};

/* With tokens of TOKEN_MAX_BYTES each the longest subject here stays well below. */
enum { STREAMS_SUBJECT_BYTES = 256 };

/* The stream's name on the server; a bucket's begins with KV_. */
const char *streams_name(enum twin_stream stream);
/* The subject the stream takes: `fleet.<env>.veh.*.state.>`, `$KV.TWIN_LAST.>`. Returns `out`. */
const char *streams_subject(enum twin_stream stream, const char *env, const char *region,
                            char out[STREAMS_SUBJECT_BYTES]);
/* The whole of what is to be created: sizes and ages as configured. `spec->subject` points into
 * `subject`. */
void streams_spec(enum twin_stream stream, const struct config *config,
                  struct bus_stream_spec *spec, char subject[STREAMS_SUBJECT_BYTES]);

/* Looks at every stream. What is missing is created, its sizes scaled down where the server has not
 * as much to reserve (a warning names both figures); sizes and ages of existing ones are theirs.
 *
 * BUS_OK; BUS_DISCONNECTED: ask again when the server is back (what was created stays);
 * BUS_CONFLICT: existing ones contradict contract §3; BUS_NOT_FOUND: `nats.streams` is `verify` and
 * some are missing; BUS_FULL: not even small ones fit; BUS_ERROR. `report` then says, a line each,
 * which stream, which field, what it is and what it must be. */
enum bus_status streams_ensure(struct bus *bus, const struct config *config, struct buf *report);

/* Sets the metrics that say how full the streams are. Asks the broker, with deadlines. */
void streams_measure(struct bus *bus);

/* Appends a line for each contradiction of an existing stream; false where there is any. */
bool streams_check(enum twin_stream stream, const struct config *config,
                   const struct bus_stream_info *info, struct buf *report);

/* ---- keys ---- */

/* The subject of one part of a vehicle's shadow, `$KV.TWIN_SHADOW.fleet/<env>/veh/<vid>/<part>`,
 * or with dots. Returns `out`. */
const char *streams_shadow_subject(enum key_style style, const char *env, struct slice vid,
                                   enum part_kind part, char out[STREAMS_SUBJECT_BYTES]);
/* The inverse; false where the subject is no key of this style and environment. `vid` points into
 * `subject`. */
bool streams_shadow_parse(enum key_style style, const char *env, const char *subject,
                          struct slice *vid, enum part_kind *part);

/* TWIN_LAST: a vehicle's key is its id. `mark` is the position that the vehicles vouch for; the
 * vehicle of that name, a valid one, is kept under `=mark`. Returns `out`. */
const char *streams_last_subject(struct slice vid, char out[STREAMS_SUBJECT_BYTES]);
const char *streams_mark_subject(void);
/* Whose entry is this? False for none, which includes the mark. `vid` points into `subject`. */
bool streams_last_parse(const char *subject, struct slice *vid);

#endif
