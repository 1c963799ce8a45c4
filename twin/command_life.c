#include "twin/command_life.h"

#include <string.h>

/* ---- names ---- */

static bool is(const char *text, size_t size, const char *name)
{
    return strlen(name) == size && memcmp(name, text, size) == 0;
}

static const char *const delivery_names[DELIVERY_STATES] = {
#define X(id, name) [DELIVERY_##id] = name,
    DELIVERY_STATE_TABLE(X)
#undef X
};

static const char *const event_names[DELIVERY_EVENTS] = {
#define X(id, name) [EVENT_##id] = name,
    DELIVERY_EVENT_TABLE(X)
#undef X
};

static const char *const state_names[COMMAND_STATES] = {
#define X(id, name, shown) [COMMAND_STATE_##id] = name,
    COMMAND_STATE_TABLE(X)
#undef X
};

static const char *const status_names[COMMAND_STATES] = {
#define X(id, name, shown) [COMMAND_STATE_##id] = shown,
    COMMAND_STATE_TABLE(X)
#undef X
};

const char *delivery_state_name(enum delivery_state state)
{
    return delivery_names[state];
}

bool delivery_state_parse(const char *text, size_t size, enum delivery_state *state)
{
    for (int i = 0; i < DELIVERY_STATES; i++) {
        if (is(text, size, delivery_names[i])) {
            *state = (enum delivery_state)i;
            return true;
        }
    }
    return false;
}

bool delivery_report_parse(const char *text, size_t size, enum delivery_event *event)
{
    for (int i = 0; i < DELIVERY_REPORTS; i++) {
        if (is(text, size, event_names[i])) {
            *event = (enum delivery_event)i;
            return true;
        }
    }
    return false;
}

const char *command_state_name(enum command_state state)
{
    return state_names[state];
}

bool command_state_parse(const char *text, size_t size, enum command_state *state)
{
    for (int i = 0; i < COMMAND_STATES; i++) {
        if (is(text, size, state_names[i])) {
            *state = (enum command_state)i;
            return true;
        }
    }
    return false;
}

const char *command_status(enum command_state state)
{
    return status_names[state];
}

bool command_status_known(const char *status)
{
    for (int i = 0; i < COMMAND_STATES; i++)
        if (strcmp(status, status_names[i]) == 0)
            return true;
    return false;
}

/* ---- a delivery ---- */

/* What is not here is ignored; in one that has ended everything is. */
static const struct row {
    enum delivery_state state;
    enum delivery_event event;
    struct delivery_step step;
} delivery_table[] = {
#define ROW(state, event, next, effect)                                                            \
    {                                                                                              \
        DELIVERY_##state, EVENT_##event,                                                           \
        {                                                                                          \
            DELIVERY_##next, DELIVERY_##effect                                                     \
        }                                                                                          \
    }
    ROW(PENDING, SENT, SENT, ENTERED),
    ROW(PENDING, BLOCKED, BLOCKED, ENTERED),
    ROW(PENDING, ACCEPTED, ACCEPTED, ENTERED), /* `sent` may be skipped */
    ROW(PENDING, COMPLETED, COMPLETED, ENTERED),
    ROW(PENDING, REJECTED, REJECTED, ENTERED),
    ROW(PENDING, FAILED, FAILED, ENTERED),
    ROW(PENDING, TIMEOUT, TIMED_OUT, ENTERED),
    ROW(PENDING, DEADLINE, EXPIRED, DROPPED),
    ROW(PENDING, CANCEL, CANCELLED, DROPPED),
    ROW(PENDING, SUPERSEDE, CANCELLED, DROPPED),
    ROW(PENDING, REPLACE, CANCELLED, DROPPED),

    ROW(SENT, ACCEPTED, ACCEPTED, ENTERED),
    ROW(SENT, COMPLETED, COMPLETED, ENTERED),
    ROW(SENT, REJECTED, REJECTED, ENTERED),
    ROW(SENT, FAILED, FAILED, ENTERED),
    ROW(SENT, TIMEOUT, TIMED_OUT, ENTERED),
    ROW(SENT, MATCHED, VERIFIED, ENTERED), /* even if the acknowledgement was lost */
    ROW(SENT, DEADLINE, TIMED_OUT, DROPPED),
    ROW(SENT, REPLACE, CANCELLED, DROPPED),

    ROW(ACCEPTED, COMPLETED, COMPLETED, ENTERED),
    ROW(ACCEPTED, REJECTED, REJECTED, ENTERED),
    ROW(ACCEPTED, FAILED, FAILED, ENTERED),
    ROW(ACCEPTED, TIMEOUT, TIMED_OUT, ENTERED),
    ROW(ACCEPTED, MATCHED, VERIFIED, ENTERED),
    ROW(ACCEPTED, DEADLINE, TIMED_OUT, ENTERED),
    ROW(ACCEPTED, REPLACE, CANCELLED, ENTERED),

    /* the vehicle's own verdict has been given: what follows is the twin's */
    ROW(COMPLETED, MATCHED, VERIFIED, ENTERED),
    ROW(COMPLETED, DEADLINE, TIMED_OUT, ENTERED),
    ROW(COMPLETED, REPLACE, CANCELLED, ENTERED),
#undef ROW
};

enum delivery_wait delivery_waits_for(enum delivery_state state, enum delivery_goal goal)
{
    bool verified = goal == GOAL_VERIFIED_ACCEPTED || goal == GOAL_VERIFIED_COMPLETED;
    switch (state) {
    case DELIVERY_PENDING:
        return WAIT_SENDING;
    case DELIVERY_SENT:
        return WAIT_ACCEPTANCE;
    case DELIVERY_ACCEPTED:
        if (goal == GOAL_ACCEPTED)
            return WAIT_NOTHING;
        return goal == GOAL_VERIFIED_ACCEPTED ? WAIT_VERIFICATION : WAIT_COMPLETION;
    case DELIVERY_COMPLETED:
        return verified ? WAIT_VERIFICATION : WAIT_NOTHING;
    default:
        return WAIT_NOTHING;
    }
}

bool delivery_ended(enum delivery_state state, enum delivery_goal goal)
{
    return delivery_waits_for(state, goal) == WAIT_NOTHING;
}

bool delivery_succeeded(enum delivery_state state, enum delivery_goal goal)
{
    return state <= DELIVERY_VERIFIED && delivery_ended(state, goal);
}

bool delivery_counts_as_failed(enum delivery_state state)
{
    return state == DELIVERY_REJECTED || state == DELIVERY_FAILED || state == DELIVERY_TIMED_OUT;
}

bool delivery_may_be_retried(enum delivery_state state)
{
    return delivery_counts_as_failed(state) || state == DELIVERY_EXPIRED;
}

bool delivery_is_watched(enum delivery_state state, enum delivery_goal goal)
{
    return (goal == GOAL_VERIFIED_ACCEPTED || goal == GOAL_VERIFIED_COMPLETED) &&
           state != DELIVERY_PENDING && !delivery_ended(state, goal);
}

struct delivery_step delivery_step(enum delivery_state state, enum delivery_event event,
                                   enum delivery_goal goal)
{
    struct delivery_step ignored = {state, DELIVERY_IGNORED};
    if (delivery_ended(state, goal) ||
        (event == EVENT_MATCHED && !delivery_is_watched(state, goal)))
        return ignored;
    for (size_t i = 0; i < sizeof delivery_table / sizeof *delivery_table; i++)
        if (delivery_table[i].state == state && delivery_table[i].event == event)
            return delivery_table[i].step;
    return ignored;
}

/* ---- a command ---- */

bool command_ended(enum command_state state)
{
    return state >= COMMAND_STATE_SUCCEEDED;
}

#define STAYS(state)                                                                               \
    {                                                                                              \
        COMMAND_STATE_##state, COMMAND_UNCHANGED                                                   \
    }
#define REFUSES(state)                                                                             \
    {                                                                                              \
        COMMAND_STATE_##state, COMMAND_REFUSED                                                     \
    }
#define TURNS(next, effect)                                                                        \
    {                                                                                              \
        COMMAND_STATE_##next, COMMAND_##effect                                                     \
    }
/* An ended command takes nothing more: an operator's wish is refused, anything else is late. */
#define ENDED(state)                                                                               \
    [COMMAND_STATE_##                                                                              \
        state] = {[COMMAND_PAUSE] = REFUSES(state),     [COMMAND_RESUME] = REFUSES(state),         \
                  [COMMAND_CANCEL] = REFUSES(state),    [COMMAND_ABORT] = STAYS(state),            \
                  [COMMAND_ALL_SUCCEED] = STAYS(state), [COMMAND_SOME_SUCCEED] = STAYS(state),     \
                  [COMMAND_NONE_SUCCEED] = STAYS(state)}

static const struct command_step command_table[COMMAND_STATES][COMMAND_EVENTS] = {
    [COMMAND_STATE_RUNNING] = {[COMMAND_PAUSE] = TURNS(PAUSED, CHANGED),
                               [COMMAND_RESUME] = STAYS(RUNNING),
                               [COMMAND_CANCEL] = TURNS(CANCELLING, WITHDRAWN),
                               [COMMAND_ABORT] = TURNS(ABORTING, WITHDRAWN),
                               [COMMAND_ALL_SUCCEED] = TURNS(SUCCEEDED, SETTLED),
                               [COMMAND_SOME_SUCCEED] = TURNS(PARTIAL, SETTLED),
                               [COMMAND_NONE_SUCCEED] = TURNS(FAILED, SETTLED)},
    [COMMAND_STATE_PAUSED] = {[COMMAND_PAUSE] = STAYS(PAUSED),
                              [COMMAND_RESUME] = TURNS(RUNNING, CHANGED),
                              [COMMAND_CANCEL] = TURNS(CANCELLING, WITHDRAWN),
                              [COMMAND_ABORT] = TURNS(ABORTING, WITHDRAWN),
                              [COMMAND_ALL_SUCCEED] = TURNS(SUCCEEDED, SETTLED),
                              [COMMAND_SOME_SUCCEED] = TURNS(PARTIAL, SETTLED),
                              [COMMAND_NONE_SUCCEED] = TURNS(FAILED, SETTLED)},
    [COMMAND_STATE_CANCELLING] = {[COMMAND_PAUSE] = REFUSES(CANCELLING),
                                  [COMMAND_RESUME] = REFUSES(CANCELLING),
                                  [COMMAND_CANCEL] = STAYS(CANCELLING),
                                  [COMMAND_ABORT] = STAYS(CANCELLING),
                                  [COMMAND_ALL_SUCCEED] = TURNS(CANCELLED, SETTLED),
                                  [COMMAND_SOME_SUCCEED] = TURNS(CANCELLED, SETTLED),
                                  [COMMAND_NONE_SUCCEED] = TURNS(CANCELLED, SETTLED)},
    [COMMAND_STATE_ABORTING] = {[COMMAND_PAUSE] = REFUSES(ABORTING),
                                [COMMAND_RESUME] = REFUSES(ABORTING),
                                [COMMAND_CANCEL] = STAYS(ABORTING), /* it is being withdrawn */
                                [COMMAND_ABORT] = STAYS(ABORTING),
                                [COMMAND_ALL_SUCCEED] = TURNS(ABORTED, SETTLED),
                                [COMMAND_SOME_SUCCEED] = TURNS(ABORTED, SETTLED),
                                [COMMAND_NONE_SUCCEED] = TURNS(ABORTED, SETTLED)},
    ENDED(SUCCEEDED),
    ENDED(FAILED),
    ENDED(PARTIAL),
    ENDED(ABORTED),
    ENDED(CANCELLED),
};

struct command_step command_step(enum command_state state, enum command_event event)
{
    return command_table[state][event];
}

uint32_t command_counts_total(const struct command_counts *counts)
{
    uint32_t total = 0;
    for (int i = 0; i < DELIVERY_STATES; i++)
        total += counts->of[i];
    return total;
}

uint32_t command_counts_ended(const struct command_counts *counts, enum delivery_goal goal)
{
    uint32_t ended = 0;
    for (int i = 0; i < DELIVERY_STATES; i++)
        if (delivery_ended((enum delivery_state)i, goal))
            ended += counts->of[i];
    return ended;
}

enum command_event command_counts_outcome(const struct command_counts *counts,
                                          enum delivery_goal goal)
{
    uint32_t wanted = 0;
    for (int i = 0; i < DELIVERY_STATES; i++)
        if (delivery_succeeded((enum delivery_state)i, goal))
            wanted += counts->of[i];
    if (wanted == 0)
        return COMMAND_NONE_SUCCEED;
    return wanted == command_counts_total(counts) ? COMMAND_ALL_SUCCEED : COMMAND_SOME_SUCCEED;
}

bool command_counts_abort(const struct command_counts *counts, enum delivery_goal goal,
                          double failed_pct, uint32_t min_ended)
{
    uint32_t failed = 0, ended = command_counts_ended(counts, goal);
    for (int i = 0; i < DELIVERY_STATES; i++)
        if (delivery_counts_as_failed((enum delivery_state)i))
            failed += counts->of[i];
    return ended > 0 && ended >= min_ended && failed * 100.0 > failed_pct * ended;
}
