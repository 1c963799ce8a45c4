/*
 * command_life: the life of a command and of its delivery to each vehicle, as tables of state,
 * event, next state and effect each (contract §5, "Group commands").
 *
 * A delivery, one vehicle's part in a command, only ever moves forward: pending, sent, accepted,
 * completed, verified; or it ends aside. How far it has to come is its goal, which the command sets
 * for all of them (`wait`, `verify`). One that has reached its goal, or ended aside, has ended: no
 * event moves it any more. What it waits for follows from its state and its goal alone.
 *
 * Threads: pure functions over static tables.
 */
#ifndef TWIN_COMMAND_LIFE_H
#define TWIN_COMMAND_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- a delivery ---- */

/* In the order of the contract's counts; the first five are the way forward. */
#define DELIVERY_STATE_TABLE(X)                                                                    \
    X(PENDING, "pending")                                                                          \
    X(SENT, "sent")                                                                                \
    X(ACCEPTED, "accepted")                                                                        \
    X(COMPLETED, "completed")                                                                      \
    X(VERIFIED, "verified")                                                                        \
    X(BLOCKED, "blocked")                                                                          \
    X(REJECTED, "rejected")                                                                        \
    X(FAILED, "failed")                                                                            \
    X(TIMED_OUT, "timed_out")                                                                      \
    X(EXPIRED, "expired")                                                                          \
    X(CANCELLED, "cancelled")

enum delivery_state {
#define X(id, name) DELIVERY_##id,
    DELIVERY_STATE_TABLE(X)
#undef X
        DELIVERY_STATES
};
const char *delivery_state_name(enum delivery_state state);
bool delivery_state_parse(const char *text, size_t size, enum delivery_state *state);

/* What happens to one. The first five are what a vehicle reports. */
#define DELIVERY_EVENT_TABLE(X)                                                                    \
    X(ACCEPTED, "accepted")                                                                        \
    X(REJECTED, "rejected")                                                                        \
    X(COMPLETED, "completed")                                                                      \
    X(FAILED, "failed")                                                                            \
    X(TIMEOUT, "timeout")                                                                          \
    X(SENT, "sent")           /* the stream has acknowledged the publication */                    \
    X(BLOCKED, "blocked")     /* the policy refuses it */                                          \
    X(MATCHED, "matched")     /* the twin shows what was to be verified */                         \
    X(DEADLINE, "deadline")   /* what it waits for has not come in time */                         \
    X(CANCEL, "cancel")       /* by the operator, or because the rollout is aborted */             \
    X(SUPERSEDE, "supersede") /* a recovery command takes over: what is unsent is not sent */      \
    X(REPLACE, "replace")     /* the same, of a recovery command in flight */

enum delivery_event {
#define X(id, name) EVENT_##id,
    DELIVERY_EVENT_TABLE(X)
#undef X
        DELIVERY_EVENTS
};
enum { DELIVERY_REPORTS = EVENT_TIMEOUT + 1 };
/* The report that an acknowledgement's `status` names; false for an unknown one. */
bool delivery_report_parse(const char *text, size_t size, enum delivery_event *event);

/* How far it has to come. */
enum delivery_goal {
    GOAL_ACCEPTED,           /* `wait` is `accepted`, nothing to verify */
    GOAL_COMPLETED,          /* the default */
    GOAL_VERIFIED_ACCEPTED,  /* verified, and the time for it runs from acceptance */
    GOAL_VERIFIED_COMPLETED, /* verified, and the time for it runs from completion */
    DELIVERY_GOALS
};

/* What it waits for, each with a time limit of its own. */
enum delivery_wait {
    WAIT_NOTHING,      /* it has ended */
    WAIT_SENDING,      /* to be sent; until the command expires */
    WAIT_ACCEPTANCE,   /* until the command expires */
    WAIT_COMPLETION,   /* `complete_within_s` from acceptance */
    WAIT_VERIFICATION, /* `verify.within_s` from acceptance or completion */
};
enum delivery_wait delivery_waits_for(enum delivery_state state, enum delivery_goal goal);
bool delivery_ended(enum delivery_state state, enum delivery_goal goal);
/* Whether it ended as the command wanted. */
bool delivery_succeeded(enum delivery_state state, enum delivery_goal goal);
/* Whether it ended in one of the ways that an aborting rollout counts. */
bool delivery_counts_as_failed(enum delivery_state state);
/* Whether `:retry` sends to it again. */
bool delivery_may_be_retried(enum delivery_state state);
/* Whether the twin is watched for what is to be verified: from sending on. */
bool delivery_is_watched(enum delivery_state state, enum delivery_goal goal);

enum delivery_effect {
    DELIVERY_IGNORED, /* nothing changes: it comes twice, late, or does not concern it */
    DELIVERY_ENTERED, /* a new state: counted, on record, its time limit begins */
    DELIVERY_DROPPED, /* the same, and what waits to be sent to the vehicle is taken back */
};

struct delivery_step {
    enum delivery_state next; /* the same state where the effect is DELIVERY_IGNORED */
    enum delivery_effect effect;
};
struct delivery_step delivery_step(enum delivery_state state, enum delivery_event event,
                                   enum delivery_goal goal);

/* ---- a command ---- */

/* The states as the world sees them; `cancelling` and `aborting` are shown as `running`, until
 * what has been sent has ended. */
#define COMMAND_STATE_TABLE(X)                                                                     \
    X(RUNNING, "running", "running")                                                               \
    X(PAUSED, "paused", "paused")                                                                  \
    X(CANCELLING, "cancelling", "running")                                                         \
    X(ABORTING, "aborting", "running")                                                             \
    X(SUCCEEDED, "succeeded", "succeeded")                                                         \
    X(FAILED, "failed", "failed")                                                                  \
    X(PARTIAL, "partial", "partial")                                                               \
    X(ABORTED, "aborted", "aborted")                                                               \
    X(CANCELLED, "cancelled", "cancelled")

enum command_state {
#define X(id, name, shown) COMMAND_STATE_##id,
    COMMAND_STATE_TABLE(X)
#undef X
        COMMAND_STATES
};
const char *command_state_name(enum command_state state);
bool command_state_parse(const char *text, size_t size, enum command_state *state);
/* The contract's `status`. */
const char *command_status(enum command_state state);
bool command_status_known(const char *status);
bool command_ended(enum command_state state);

enum command_event {
    COMMAND_PAUSE,
    COMMAND_RESUME,
    COMMAND_CANCEL,
    COMMAND_ABORT,       /* too many of its vehicles failed */
    COMMAND_ALL_SUCCEED, /* every delivery has ended: all as wanted, */
    COMMAND_SOME_SUCCEED,
    COMMAND_NONE_SUCCEED,
    COMMAND_EVENTS
};

enum command_effect {
    COMMAND_UNCHANGED, /* it is so already */
    COMMAND_REFUSED,   /* it cannot be done to a command in this state */
    COMMAND_CHANGED,   /* a new state */
    COMMAND_WITHDRAWN, /* a new state, and what is unsent is cancelled */
    COMMAND_SETTLED,   /* a new state, and the last */
};

struct command_step {
    enum command_state next;
    enum command_effect effect;
};
struct command_step command_step(enum command_state state, enum command_event event);

/* How many deliveries are in each state; they sum to the command's total. */
struct command_counts {
    uint32_t of[DELIVERY_STATES];
};
uint32_t command_counts_total(const struct command_counts *counts);
uint32_t command_counts_ended(const struct command_counts *counts, enum delivery_goal goal);
/* The event that the end of the last delivery is. Only where all have ended. */
enum command_event command_counts_outcome(const struct command_counts *counts,
                                          enum delivery_goal goal);
/* Whether a rollout is to be aborted: more than `failed_pct` percent of those that ended are
 * rejected, failed or timed out, once `min_ended` have ended. */
bool command_counts_abort(const struct command_counts *counts, enum delivery_goal goal,
                          double failed_pct, uint32_t min_ended);

#endif
