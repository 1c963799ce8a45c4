/*
 * twin: the digital twin of one vehicle, as an immutable value.
 *
 * A twin is a small struct that points to its parts: one `struct state` per state type, one
 * `struct part` per part of the shadow, the delta. All of them are immutable. A change makes a new
 * twin that shares every part it did not replace; what the old one had and the new one has not is
 * the caller's to free, once nobody reads the old one any more (the store does that by epochs).
 *
 * The rules are contract §4: newest wins, presence, delta. Time comes in as an argument, in
 * nanoseconds since 1970.
 *
 * Ownership: constructors return malloc'd blocks, one free() each; NULL when there is no memory.
 *            A twin borrows its parts and its vid.
 * Threads: immutable values, any number of readers.
 */
#ifndef TWIN_TWIN_H
#define TWIN_TWIN_H

#include "twin/buf.h"
#include "twin/doc.h"
#include "twin/envelope.h"
#include "twin/timestamp.h"
#include "twin/viewer.h"

/* ---- one state type ---- */

/* Kept per vehicle; beyond it the type received longest ago makes room. */
enum { TWIN_STATES_MAX = 256 };

struct state {
    int64_t timestamp_ns; /* the vehicle's clock, or the broker's where that was unbelievable */
    int64_t received_ns;  /* the broker's */
    int64_t seq;          /* SEQ_NONE: not given */
    uint64_t stream_seq;
    const struct doc *data;
    uint32_t boot_len;
    uint16_t type_len;
    bool has_boot;
    char text[]; /* the type, then the boot; the data stands behind, in the same block */
};
struct slice state_type(const struct state *state);
struct slice state_boot(const struct state *state); /* at NULL: not given */

/* What is compared to tell which of two messages is newer. */
struct version {
    struct slice boot; /* at NULL: not given */
    int64_t seq;       /* SEQ_NONE: not given */
    int64_t timestamp_ns;
};

struct state *state_new(struct slice type, const struct version *version, int64_t received_ns,
                        uint64_t stream_seq, struct doc_ref data);

enum outcome { OUTCOME_NEWER, OUTCOME_NOT_NEWER, OUTCOME_SAME };
/* Newest wins: within one known boot the higher seq; else the later timestamp, seq as the
 * tie-break. OUTCOME_SAME: boot, seq and timestamp are what is there. */
enum outcome version_judge(const struct state *have, const struct version *fresh);

/* The timestamp to go by: the vehicle's, or the broker's where the vehicle's lies before 2020 or
 * more than max_skew_ns ahead of it. */
int64_t clock_believed(int64_t timestamp_ns, int64_t received_ns, int64_t max_skew_ns,
                       bool *skewed);

/* ---- the shadow ---- */

#define PART_TABLE(X)                                                                              \
    X(DESIRED, "desired")                                                                          \
    X(REPORTED, "reported")                                                                        \
    X(CONFIG, "config")                                                                            \
    X(META, "meta")

enum part_kind {
#define X(id, name) PART_##id,
    PART_TABLE(X)
#undef X
        PART_COUNT
};
const char *part_name(enum part_kind kind);
bool part_of_name(const char *name, size_t size, enum part_kind *kind);

enum { PART_MAX_BYTES = 512 * 1024 };

struct part {
    uint64_t revision;  /* of the KV entry whose value this is */
    int64_t updated_ns; /* the broker's */
    const struct doc *value;
    char updated_by[]; /* NUL-terminated; the value stands behind, in the same block */
};
/* `value` is an object; its null members are dropped. */
struct part *part_new(uint64_t revision, int64_t updated_ns, const char *updated_by,
                      struct doc_ref value);

/* ---- presence ---- */

#define PRESENCE_TABLE(X)                                                                          \
    X(UNKNOWN, "unknown")                                                                          \
    X(ONLINE, "online")                                                                            \
    X(STALE, "stale")                                                                              \
    X(OFFLINE, "offline")

enum presence_status {
#define X(id, name) PRESENCE_##id,
    PRESENCE_TABLE(X)
#undef X
        PRESENCE_COUNT
};
const char *presence_name(enum presence_status status);

struct presence {
    enum presence_status status;
    int64_t last_seen_ns; /* TIMESTAMP_NONE: never */
    int64_t since_ns;     /* of the status; TIMESTAMP_NONE: never anything else */
};
struct presence_limits {
    int64_t stale_after_ns, offline_after_ns;
};
/* A message of the vehicle was accepted at `received_ns`. One received no later than the last that
 * is known changes nothing: it is read late, or read again. */
struct presence presence_heard(struct presence was, int64_t received_ns);
/* Time passes. Silence counts only from `hearing_since_ns` on: the instant from which the hub is
 * connected and up to date; TIMESTAMP_NONE while it is not (then nothing ages). */
struct presence presence_aged(struct presence was, int64_t now_ns, int64_t hearing_since_ns,
                              const struct presence_limits *limits);

/* ---- the twin ---- */

struct twin {
    int64_t registered_ns; /* the last registration, the broker's time; TIMESTAMP_NONE: never */
    int64_t retired_ns;    /* the last retirement, likewise: what came no later is buried */
    const struct part *parts[PART_COUNT];
    const struct doc *delta; /* NULL: reported matches desired */
    int64_t delta_since_ns;  /* TIMESTAMP_NONE without a delta */
    /* From here on what nearly every question asks for, side by side: TWIN_HOT_BYTES of it. */
    const char *vid;
    struct presence presence;
    bool registered; /* since registered_ns, and not retired since */
    bool hidden;     /* not there for the world: retired, or never admitted */
    uint16_t state_count;
    const struct state *states[]; /* in the order of their types' bytes */
};

/* Up to the state_count, and five states: two lines of memory, wherever the allocator puts it. */
enum { TWIN_HOT_BYTES = 80 };
/* A twin of which nothing is known but its id, which it borrows. */
struct twin *twin_new(const char *vid);
/* A shallow copy, to be changed before anybody else sees it. */
struct twin *twin_copy(const struct twin *twin);
/* The same with `fresh` in its type's place; *replaced is the state it displaces, or NULL. */
struct twin *twin_with_state(const struct twin *twin, const struct state *fresh,
                             const struct state **replaced);
/* A copy with these states in place of its own, TWIN_STATES_MAX at most, in any order, each of
 * another type. */
struct twin *twin_with_states(const struct twin *twin, const struct state *const *states,
                              size_t count);
const struct state *twin_state(const struct twin *twin, struct slice type);

/* Whether a twin is there for the world: known and not retired. NULL is not. */
bool twin_visible(const struct twin *twin);

/* The twin, knowing of a registration and a retirement (TIMESTAMP_NONE: of none); the newest of
 * each counts, so that the order in which they are learned does not matter. A retirement that is
 * news takes away all that was received no later: states, parts, presence. `open`: any message
 * admits a vehicle, so one that was heard after its retirement is back. A new twin that shares what
 * stayed; twin_dropped tells what did not. NULL when there is no memory. */
struct twin *twin_with_registration(const struct twin *twin, int64_t registered_ns,
                                    int64_t retired_ns, bool open);
/* Calls `drop` for every block that `old` has and `fresh` has not. */
void twin_dropped(const struct twin *old, const struct twin *fresh,
                  void (*drop)(void *closure, const void *block), void *closure);
/* Whether something received then was wiped out by a retirement. */
bool twin_buries(const struct twin *twin, int64_t received_ns);
/* Whether the vehicle was registered at that time, as far as its last registration and its last
 * retirement tell. NULL was not. */
bool twin_registered_at(const struct twin *twin, int64_t received_ns);

/* Sets twin->delta anew from desired and reported, at the time of the write that changed one of
 * them; *replaced is the old delta. The start of an unbroken divergence is kept. False when there
 * is no memory, and then nothing changed. For a twin that nobody else sees yet. */
bool twin_refresh_delta(struct twin *twin, int64_t written_ns, const struct doc **replaced);

/* ---- as JSON ---- */

struct twin_view {
    const struct viewer *viewer;
    const char *region;
    bool metadata;
};
/* Appends the twin as contract §4 shows it, less what the viewer may not see. */
void twin_write(struct buf *out, const struct twin *twin, const struct twin_view *view);
/* One part of the shadow, `{}` where there is none, less what the viewer may not see. */
void twin_write_part(struct buf *out, const struct twin *twin, enum part_kind kind,
                     const struct viewer *viewer);
void twin_write_delta(struct buf *out, const struct twin *twin, const struct viewer *viewer);

#endif
