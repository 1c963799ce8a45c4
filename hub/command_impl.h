/*
 * command_impl: what the files of the command lane share. hub/command_lane.h says what it does.
 *
 *     command_lane.c      start and stop, asking, passing on
 *     command_lease.c     the lease
 *     command_keep.c      taking over
 *     command_load.c      reading the bucket
 *     command_save.c      summaries
 *     command_record.c    records
 *     command_progress.c  events applied to deliveries and commands
 *     command_send.c      the lane's thread: publishing, time limits, verification
 *     command_verify.c    what a verification looks at
 *     command_feed.c      TWIN_CMD and TWIN_ACK
 *     command_make.c      a POST's body to a command
 *     command_target.c    its targets and the policy
 *     command_create.c    persisting a new command
 *     command_key.c       Idempotency-Key
 *     command_answer.c    reading commands, and acting on them
 *
 * Lock: lane->lock guards all that is not said to be a thread's own. It is held for some
 * milliseconds at most, and never while waiting for NATS.
 */
#ifndef HUB_COMMAND_IMPL_H
#define HUB_COMMAND_IMPL_H

#include "hub/command.h"
#include "hub/command_lane.h"
#include "hub/streams.h"
#include "hub/workers.h"
#include "twin/command_policy.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    COMMAND_BUCKETS = 4096,
    COMMAND_KEPT_MAX = 20000, /* in memory; older ones are read from the bucket by their id */
    COMMAND_WINDOW = 32,      /* routine messages published and not answered */
    COMMAND_STORE_MS = 2000,  /* for one write to the bucket */
    COMMAND_KEY_BYTES = 160,
};

#define COMMAND_KEY_PREFIX "$KV.TWIN_COMMANDS."

enum lane_stage {
    LANE_IDLE,    /* another hub holds the lease, or nobody */
    LANE_LOADING, /* this one does, and reads what is there */
    LANE_ACTIVE,
};

/* What one feed reads, and how far. */
struct command_feed {
    struct command_lane *lane;
    enum twin_stream stream;
    pthread_t thread;
    bool running;
    /* under the lane's lock */
    bool wanted;
    int64_t from_ns;
    uint64_t generation; /* grows with each taking over */
    uint64_t caught_up;  /* the generation that has read all there was */
    int64_t caught_ms;   /* monotonic: when it had last */
    /* the thread's */
    struct bus_consumer *consumer;
    uint64_t opened; /* generation */
    struct doc_parser *parser;
};

/* Ids of commands that are being made here, so that the keeper takes them for no other hub's. */
struct command_making {
    char id[RECORD_ID_TEXT_BYTES];
    struct command_making *next;
};

/* A geofence that another took the place of. */
struct command_past_fence {
    struct geo_area *area;
    struct command_past_fence *next;
};

struct command_lane {
    struct command_lane_options options;
    _Atomic(struct geo_area *) geofence;
    struct command_past_fence *past_fences; /* somebody may still be judging by one */
    char hub_id[RECORD_ID_TEXT_BYTES];
    char subject[STREAMS_SUBJECT_BYTES]; /* that this hub answers requests of others on */
    _Atomic bool stop;
    _Atomic int64_t created_ns; /* the last command's time */

    /* the lease; `lease_until_ms` is monotonic: nothing is done beyond it */
    _Atomic int64_t lease_until_ms;
    pthread_mutex_t holder_lock;
    char holder_subject[STREAMS_SUBJECT_BYTES]; /* "" while nobody is known to hold it */
    uint64_t lease_seq;                         /* the lease thread's */
    int64_t lease_seen_ms, renewed_ms;

    pthread_mutex_t lock;
    pthread_cond_t work;  /* for the lane's thread */
    pthread_cond_t chore; /* for the keeper */
    _Atomic int urgent;   /* who waits for the lock with a recovery command */
    bool hurry;           /* something to send has come */
    bool window_full;     /* the lane waits for the outbox */
    enum lane_stage stage;
    uint64_t term; /* counts takings over by this hub */
    uint64_t change;
    struct command *by_id[COMMAND_BUCKETS];
    struct command *newest, *oldest;
    size_t count;          /* of all commands */
    struct command **open; /* those that have not ended, oldest first */
    size_t open_count, open_room;
    struct delivery **vehicles; /* by index: the first open delivery */
    size_t vehicle_room;
    struct command_rate *rate;
    pthread_mutex_t key_lock; /* one POST with an Idempotency-Key at a time; before `lock` */
    struct command_making *making;
    unsigned claims; /* who holds on to a command without the lock: none is freed meanwhile */
    struct command_feed cmd_feed, ack_feed;
    int64_t heard_ns; /* by the broker's clock: TWIN_ACK has been read up to then */
    bool listen;      /* what has to be known to have been read is later */

    struct bus_outbox *routine, *recovery; /* the lane's thread publishes */
    pthread_t lane_thread, lease_thread, keeper_thread;
    bool lane_running, lease_running, keeper_running;
    struct bus_service *service;
    struct workers *workers;

    /* the keeper's */
    struct doc_parser *parser;
    struct bus_consumer *specs;
    uint64_t loaded_term;
};

/* ---- command_lane.c ---- */
/* Whether this hub may act now: it runs the lane, and its lease has not run out. With the lock. */
bool lane_may_act(const struct command_lane *lane);
int64_t lane_now_ns(const struct command_lane *lane);
/* The time of a new command: that of now, and later than any other's of this hub. */
int64_t command_created_now(struct command_lane *lane);
const char *command_key(char out[COMMAND_KEY_BYTES], const char *kind, const char *id, int chunk);

/* ---- command_lease.c ---- */
void *command_lease_run(void *lane);
/* Gives it back, once its thread has ended: another hub takes over at once. */
void command_lease_return(struct command_lane *lane);
/* The subject of who holds the lease; false: nobody does. */
bool command_lease_holder(struct command_lane *lane, char subject[STREAMS_SUBJECT_BYTES]);

/* ---- command_keep.c, command_save.c ---- */
void *command_keeper_run(void *lane);
/* Writes the summaries that are due. */
void command_save_due(struct command_lane *lane);
/* Puts on record what is not; true where there is more to do, and no room. */
bool command_record_due(struct command_lane *lane);
/* Claims the summary of a command for one writer; waits for another one. With the lock, which is
 * let go of meanwhile. */
void command_claim(struct command_lane *lane, struct command *command);
void command_release(struct command_lane *lane, struct command *command);
/* Writes `status.<id>` over `expected`, BUS_ANY_SEQ for whatever is there. */
enum bus_status command_status_store(struct command_lane *lane, const char *id,
                                     const struct buf *text, uint64_t expected, uint64_t *seq,
                                     struct bus_error *error);
/* Reads targets, and states where there are some and they are wanted, into a command that has only
 * its spec. For one that is not the lane's yet, or that nobody else fills. */
enum bus_status command_load(struct command_lane *lane, struct command *command, bool states,
                             struct bus_error *error);

/* A command of the caller's own with its deliveries, out of memory or of the bucket; NULL where it
 * cannot be read now, or, with an empty error, is not known. */
struct command *command_copy(struct command_lane *lane, const char *id, struct bus_error *error);
/* Where its vehicles are in this hub's store. */
void command_find_vehicles(struct command_lane *lane, struct command *command);
bool command_compile_verify(struct command_lane *lane, struct command *command,
                            struct bus_error *error);

/* ---- command_progress.c, with the lock ---- */
struct command *command_by_id(struct command_lane *lane, const char *id, size_t size);
/* Into the order of all commands; it is the lane's then. */
void command_link(struct command_lane *lane, struct command *command);
/* Its deliveries begin, where it has not ended. False: no memory, and nothing has begun. */
bool command_begin(struct command_lane *lane, struct command *command);
/* Unsent routine deliveries of its vehicles are superseded, recovery ones in flight replaced. Of
 * the commands that are older than it. */
void command_supersede(struct command_lane *lane, struct command *command);
/* False: it was ignored. `reason` is taken over. */
bool command_apply(struct command_lane *lane, struct delivery *delivery, enum delivery_event event,
                   int64_t at_ns, char *reason, int64_t code);
/* Applies what the time has decided by `now_ns`. */
void command_advance(struct command_lane *lane, struct delivery *delivery, int64_t now_ns);
enum command_effect command_act(struct command_lane *lane, struct command *command,
                                enum command_event event, const char *actor,
                                const char *request_id);
/* Ends the command where all has ended; aborts a rollout where too many failed. */
void command_settle(struct command_lane *lane, struct command *command);
/* Looks for vehicles that were not in the store when the command began. */
void command_find_lost(struct command_lane *lane, struct command *command);
void command_forget(struct command_lane *lane, struct command *command);
void command_forget_all(struct command_lane *lane);
void command_wake(struct command_lane *lane);
void command_save_soon(struct command_lane *lane, struct command *command, int64_t within_ms);

/* ---- command_send.c ---- */
void *command_send_run(void *lane);
void command_send_answered(void *lane, uint64_t tag, enum bus_status status, uint64_t seq);

/* ---- command_verify.c ---- */
/* Whether the twin shows what is to be verified, by what was received after sending. */
bool command_verified(const struct command_lane *lane, const struct command *command,
                      const struct delivery *delivery, int64_t now_ns);

/* ---- command_feed.c ---- */
void *command_feed_run(void *feed);

/* ---- command_make.c, command_target.c, command_create.c, command_answer.c ---- */

/* A POST, read and judged as far as its text says. */
struct command_wish {
    struct command_spec spec;
    bool dry_run;
    uint32_t confirm; /* 0: not given */
    struct doc_ref params, target;
};
/* False with the problem in the answer. The wish borrows from `body`. */
bool command_wish_read(struct command_lane *lane, const struct command_ask *ask,
                       struct doc_ref body, struct command_wish *wish,
                       struct command_answer *answer);
/* The frozen targets, judged by the policy. NULL with the problem in the answer. */
struct command *command_targets(struct command_lane *lane, const struct command_ask *ask,
                                struct command_wish *wish, const struct command *retry_of,
                                struct command_answer *answer);
enum { COMMAND_HASH_BYTES = 2 * RECORD_HASH_BYTES + 1 };
/* What is known of an Idempotency-Key. */
struct command_keyed {
    bool given;
    char entry[COMMAND_HASH_BYTES];  /* names its entry: principal and key */
    char digest[COMMAND_HASH_BYTES]; /* of what is asked now */
    char id[RECORD_ID_TEXT_BYTES];   /* the command that it has made, "" for none */
    uint64_t seq;                    /* of the entry that is there, 0 for none */
};
/* What the request says of its key. False with the problem in the answer. */
bool command_key_read(const struct command_ask *ask, struct doc_ref body,
                      struct command_keyed *keyed, struct command_answer *answer);
/* Looks up what the key has made. False with the problem in the answer. */
bool command_key_find(struct command_lane *lane, struct command_keyed *keyed,
                      struct doc_parser *parser, struct command_answer *answer);
bool command_key_store(struct command_lane *lane, const struct command_keyed *keyed,
                       const struct command *command);
void command_create(struct command_lane *lane, const struct command_ask *ask,
                    struct command_answer *answer);
void command_retry(struct command_lane *lane, const struct command_ask *ask,
                   struct command_answer *answer);
/* Anything that can be asked, by who holds the lease. */
void command_answer_here(struct command_lane *lane, const struct command_ask *ask,
                         struct command_answer *answer);
bool command_sees(const struct viewer *viewer, const char *vid, const char *type);

#endif
