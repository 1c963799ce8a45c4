/*
 * command: one group command in memory, its deliveries, and what of both is kept in TWIN_COMMANDS.
 *
 * What an operator asked for (struct command_spec) is fixed when the command is accepted and is
 * written once, with the frozen targets, before anything is sent. Progress is not: it is made again
 * from TWIN_CMD and TWIN_ACK. Now and then, and when all has ended, a summary is written, so that a
 * command stays answerable when those streams have forgotten it.
 *
 * Keys of the bucket:
 *
 *     lease                 who runs the lane (hub/command_lease.h)
 *     spec.<id>             what was asked for; with it the command exists
 *     targets.<id>.<n>      the frozen vehicles, COMMAND_CHUNK of them, written before it
 *     status.<id>           state and counts
 *     states.<id>.<n>       the deliveries of one chunk
 *     key.<digest>          an Idempotency-Key and the command it made
 *
 * Ownership: a command owns its texts, its filter and its deliveries.
 * Threads: under the lane's lock, but for a spec, which nobody changes.
 */
#ifndef HUB_COMMAND_H
#define HUB_COMMAND_H

#include "hub/record.h"
#include "hub/store.h"
#include "twin/command_life.h"
#include "twin/filter.h"

enum {
    COMMAND_CHUNK = 1024, /* deliveries in one entry: at their longest they fit a message */
    COMMAND_REASON_MAX_BYTES = 256, /* of what a vehicle gives as its error */
    COMMAND_TEXT_MAX = 1024,        /* of an operator's reason */
    COMMAND_TARGETS_MAX = 200000,
    COMMAND_TTL_MAX_S = 300,
    COMMAND_WITHIN_MAX_S = 86400,
    COMMAND_COMPLETE_WITHIN_S = 120, /* where the request does not say */
    COMMAND_VERIFY_WITHIN_S = 10,
    COMMAND_SPEC_DEPTH = 40,
};

#define DELIVERY_NO_VEHICLE UINT32_MAX /* not one of the store's: blocked as unknown */
#define DELIVERY_NO_CODE INT64_MIN

struct command;

/* One vehicle's part. */
struct delivery {
    struct command *command;
    const char *vid;  /* the command's */
    uint32_t vehicle; /* index in the store */
    uint8_t state;    /* enum delivery_state */
    bool publishing;  /* under way, and not answered */
    bool superseded;  /* while it was under way; it counts if it turns out not to be stored */
    bool listed;      /* among the open ones of its vehicle */
    bool stored;      /* TWIN_CMD has it, so `sent_ns` is the broker's time */
    uint16_t entered, recorded; /* sets of states: it has been in, and are on record */
    uint32_t repetition;        /* of the last publication */
    int64_t code;               /* the autopilot's */
    char *reason;               /* NULL: none */
    int64_t sent_ns, updated_ns, deadline_ns; /* the broker's clock; TIMESTAMP_NONE: not */
    int64_t due_ms;                           /* monotonic: not to be published before */
    int64_t unsure_ms; /* monotonic: a publication was not answered; 0: none */
    uint64_t change;   /* the lane's number of the last change */
    uint64_t looked;   /* the store's number of the vehicle's change that was verified last */
    struct delivery *next_of_vehicle; /* in the order of arrival */
};

struct command_rollout {
    uint32_t batch; /* 0: all at once */
    int64_t interval_ms;
    bool aborts;
    double abort_failed_pct;
    uint32_t abort_min;
};

/* What was asked for. */
struct command_spec {
    char id[RECORD_ID_TEXT_BYTES];
    char *type, *params; /* params: JSON */
    char *actor, *request_id;
    char *reason;   /* NULL: none */
    char *target;   /* JSON, as given; a list of vehicles is left out, the targets are it */
    char *retry_of; /* the command that this one tries again; NULL: none */
    bool recovery;
    int64_t created_ns, expires_ns;
    int64_t complete_within_ns;
    enum delivery_goal goal;
    char *verify; /* a filter; NULL: none */
    int64_t verify_within_ns;
    struct command_rollout rollout;
    uint32_t total;
};

/* A change of the command's state, and who made it; NULL: the hub itself. */
struct command_turn {
    enum command_state from, to;
    int64_t at_ns;
    char *actor, *request_id;
};
enum { COMMAND_TURNS_MAX = 256 };

struct command {
    struct command_spec spec;
    struct filter *verify;
    enum command_state state;
    struct command_counts counts;
    struct delivery *deliveries; /* NULL once the summary holds them */
    char *vids;                  /* one after the other, NUL-terminated */
    uint32_t *by_vid;            /* hash of vid to index + 1 */
    uint32_t by_vid_mask;
    uint32_t open;          /* deliveries that have not ended */
    uint32_t publishing;    /* of them under way */
    uint32_t unrecorded;    /* states entered and not on record */
    uint32_t watched;       /* deliveries whose twins are watched */
    uint32_t lost;          /* of the open ones, those that were not in the store when they began */
    uint32_t unsent;        /* pending ones */
    uint32_t first_pending; /* none before it is */
    uint32_t released;      /* of a rollout: the first so many may be sent */
    int64_t next_batch_ms;
    int64_t ended_ns; /* TIMESTAMP_NONE: not yet */
    uint64_t change;
    struct command_turn *turns;
    uint32_t turn_count, turns_recorded;
    uint32_t targets_recorded; /* the record of its acceptance holds so many, by and by */
    bool accepted_recorded;
    bool unsaved; /* the summary is older than the command */
    bool saving;  /* somebody writes it, and nobody else does */
    int64_t save_after_ms, drop_after_ms;
    uint64_t saved_change; /* deliveries changed since are not in their chunk's entry */
    uint64_t status_seq;   /* of its entry `status`, 0: none */
    struct command *next_by_id;
    struct command *older, *newer; /* of all, by time of creation */
};

void command_spec_done(struct command_spec *spec);
struct command *command_new(void);
/* Room for `total` deliveries and `vids_bytes` of their names. False: no memory. */
bool command_fill(struct command *command, uint32_t total, size_t vids_bytes);
void command_free(struct command *command);
/* One of its own, with all that can be shown and sent again; NULL: no memory. It has deliveries. */
struct command *command_clone(const struct command *command);
/* False: no memory, or COMMAND_TURNS_MAX. */
bool command_turn_add(struct command *command, enum command_state to, int64_t at_ns,
                      const char *actor, const char *request_id);
/* Whether there is a place for the turn that this event makes, and for those that have to be
 * possible afterwards: whatever is paused can be resumed, and all can be withdrawn, and ends. */
bool command_may_turn(const struct command *command, enum command_event event);
/* Lets go of the deliveries; the counts stay. */
void command_drop_deliveries(struct command *command);
/* Sets delivery `i`'s name, at `*used` of the command's names; all of them in order. */
void command_set_vid(struct command *command, uint32_t i, const char *vid, size_t size,
                     size_t *used);
/* Once all names are set. False: no memory. */
bool command_index(struct command *command);
struct delivery *command_find(const struct command *command, const char *vid, size_t size);

/* `<id>.<vid>` or `<id>.<vid>.<n>`, taken apart; false for anything else. n is 0 without one. */
bool command_id_parse(const char *text, size_t size, struct slice *id, struct slice *vid,
                      uint32_t *repetition);
/* A new id; later ones are greater. False: no random numbers. */
bool command_id_make(int64_t now_ns, char id[RECORD_ID_TEXT_BYTES]);

/* A bounded copy of what a vehicle says, on one line. NULL for nothing, or no memory. */
char *delivery_reason(const char *text, size_t size);

/* ---- their JSON ---- */

/* The API's command (contract §5). `counts`: NULL for the command's own. */
void command_write(struct buf *out, const struct command *command,
                   const struct command_counts *counts);
void delivery_write(struct buf *out, const struct delivery *delivery);

/* For the bucket, and back; reading is false for what was not written here, or no memory. */
void command_spec_write(struct buf *out, const struct command_spec *spec);
bool command_spec_read(struct doc_ref root, struct command_spec *spec);
void command_targets_write(struct buf *out, const struct command *command, uint32_t from);
bool command_targets_read(struct doc_ref root, struct command *command, uint32_t from,
                          size_t *vids_used);
size_t command_targets_bytes(struct doc_ref root); /* of names in it, with their ends */
void command_status_write(struct buf *out, const struct command *command);
bool command_status_read(struct doc_ref root, struct command *command);
void command_states_write(struct buf *out, const struct command *command, uint32_t from);
bool command_states_read(struct doc_ref root, struct command *command, uint32_t from);

#endif
