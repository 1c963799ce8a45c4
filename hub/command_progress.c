/* Events applied to deliveries and commands: twin/command_life decides, and here is what follows
 * from it. All of it with the lane's lock. */
#include "hub/command_impl.h"

#include "hub/clock.h"
#include "hub/failpoint.h"
#include "hub/log.h"
#include "twin/hash.h"

#include <stdlib.h>
#include <string.h>

enum {
    SAVE_MS = 5000,  /* a summary is written that long after the first change it does not hold */
    KEEP_MS = 60000, /* deliveries of an ended command are kept in memory */
    FIRST_VEHICLES = 1024,
};

/* ---- the lists ---- */

static size_t bucket_of(const char *id, size_t size)
{
    return hash_of(id, size) % COMMAND_BUCKETS;
}

struct command *command_by_id(struct command_lane *lane, const char *id, size_t size)
{
    struct command *command = lane->by_id[bucket_of(id, size)];
    for (; command; command = command->next_by_id)
        if (strlen(command->spec.id) == size && memcmp(command->spec.id, id, size) == 0)
            return command;
    return NULL;
}

static bool make_vehicle_room(struct command_lane *lane, size_t last)
{
    size_t room = lane->vehicle_room ? lane->vehicle_room : FIRST_VEHICLES;
    if (last <= lane->vehicle_room)
        return true;
    while (room < last)
        room *= 2;
    struct delivery **vehicles = realloc(lane->vehicles, room * sizeof(struct delivery *));
    if (!vehicles)
        return false;
    memset(vehicles + lane->vehicle_room, 0,
           (room - lane->vehicle_room) * sizeof(struct delivery *));
    lane->vehicles = vehicles;
    lane->vehicle_room = room;
    return true;
}

static bool make_room(struct command_lane *lane, const struct command *command)
{
    uint32_t last = 0;
    if (lane->open_count == lane->open_room) {
        size_t room = lane->open_room ? lane->open_room * 2 : 16;
        struct command **open = realloc(lane->open, room * sizeof(struct command *));
        if (!open)
            return false;
        lane->open = open;
        lane->open_room = room;
    }
    for (uint32_t i = 0; command->deliveries && i < command->spec.total; i++)
        if (command->deliveries[i].vehicle != DELIVERY_NO_VEHICLE &&
            command->deliveries[i].vehicle >= last)
            last = command->deliveries[i].vehicle + 1;
    return make_vehicle_room(lane, last);
}

/* A command may know a vehicle that this hub has not heard of: its twins are younger. */
static void list_delivery(struct command_lane *lane, struct delivery *delivery)
{
    if (delivery->vehicle == DELIVERY_NO_VEHICLE)
        return;
    struct delivery **at = &lane->vehicles[delivery->vehicle];
    while (*at)
        at = &(*at)->next_of_vehicle;
    *at = delivery;
    delivery->next_of_vehicle = NULL;
    delivery->listed = true;
}

static void unlist_delivery(struct command_lane *lane, struct delivery *delivery)
{
    if (!delivery->listed)
        return;
    struct delivery **at = &lane->vehicles[delivery->vehicle];
    while (*at != delivery)
        at = &(*at)->next_of_vehicle;
    *at = delivery->next_of_vehicle;
    delivery->listed = false;
}

static bool is_older(const struct command *a, const struct command *b)
{
    if (a->spec.created_ns != b->spec.created_ns)
        return a->spec.created_ns < b->spec.created_ns;
    return strcmp(a->spec.id, b->spec.id) < 0;
}

/* Into the order of creation, where it mostly is the newest. */
void command_link(struct command_lane *lane, struct command *command)
{
    struct command *older = lane->newest;
    while (older && is_older(command, older))
        older = older->older;
    command->older = older;
    command->newer = older ? older->newer : lane->oldest;
    if (command->newer)
        command->newer->older = command;
    else
        lane->newest = command;
    if (older)
        older->newer = command;
    else
        lane->oldest = command;
    size_t bucket = bucket_of(command->spec.id, strlen(command->spec.id));
    command->next_by_id = lane->by_id[bucket];
    lane->by_id[bucket] = command;
    lane->count++;
}

static bool is_open(const struct command *command, const struct delivery *delivery)
{
    return !delivery_ended((enum delivery_state)delivery->state, command->spec.goal);
}

static void begin_delivery(struct command_lane *lane, struct command *command,
                           struct delivery *delivery)
{
    enum delivery_state state = (enum delivery_state)delivery->state;
    delivery->change = ++lane->change;
    for (unsigned missing = delivery->entered & ~(unsigned)delivery->recorded; missing;
         missing &= missing - 1)
        command->unrecorded++;
    if (!is_open(command, delivery))
        return;
    if (delivery->deadline_ns == TIMESTAMP_NONE)
        delivery->deadline_ns = command->spec.expires_ns;
    command->lost += delivery->vehicle == DELIVERY_NO_VEHICLE;
    command->open++;
    command->unsent += state == DELIVERY_PENDING;
    command->watched += delivery_is_watched(state, command->spec.goal);
    list_delivery(lane, delivery);
}

bool command_begin(struct command_lane *lane, struct command *command)
{
    if (!make_room(lane, command))
        return false;
    for (uint32_t i = 0; command->deliveries && i < command->spec.total; i++)
        begin_delivery(lane, command, &command->deliveries[i]);
    command->change = lane->change;
    if (command_ended(command->state))
        return true;
    size_t at = lane->open_count++;
    for (; at > 0 && is_older(command, lane->open[at - 1]); at--)
        lane->open[at] = lane->open[at - 1];
    lane->open[at] = command;
    return true;
}

void command_find_lost(struct command_lane *lane, struct command *command)
{
    struct store *store = lane->options.store;
    /* First, so that no delivery has a vehicle that there is no place for. */
    if (!make_vehicle_room(lane, store_count(store)))
        return;
    store_lock(store);
    for (uint32_t i = 0; i < command->spec.total; i++) {
        struct delivery *delivery = &command->deliveries[i];
        const struct vehicle *vehicle = NULL;
        if (delivery->vehicle == DELIVERY_NO_VEHICLE && is_open(command, delivery))
            vehicle = store_lookup(store, delivery->vid, strlen(delivery->vid));
        if (!vehicle || vehicle->index >= lane->vehicle_room) /* it came just now: next time */
            continue;
        delivery->vehicle = vehicle->index;
        list_delivery(lane, delivery);
        command->lost--;
    }
    store_unlock(store);
}

static void close_command(struct command_lane *lane, const struct command *command)
{
    size_t kept = 0;
    for (size_t i = 0; i < lane->open_count; i++)
        if (lane->open[i] != command)
            lane->open[kept++] = lane->open[i];
    lane->open_count = kept;
}

void command_forget(struct command_lane *lane, struct command *command)
{
    struct command **at = &lane->by_id[bucket_of(command->spec.id, strlen(command->spec.id))];
    while (*at != command)
        at = &(*at)->next_by_id;
    *at = command->next_by_id;
    *(command->older ? &command->older->newer : &lane->oldest) = command->newer;
    *(command->newer ? &command->newer->older : &lane->newest) = command->older;
    lane->count--;
    command_free(command);
}

void command_forget_all(struct command_lane *lane)
{
    while (lane->newest) {
        struct command *command = lane->newest;
        lane->newest = command->older;
        command_free(command);
    }
    lane->oldest = NULL;
    lane->open_count = lane->count = 0;
    memset(lane->by_id, 0, sizeof lane->by_id);
    if (lane->vehicle_room > 0)
        memset(lane->vehicles, 0, lane->vehicle_room * sizeof(struct delivery *));
}

void command_wake(struct command_lane *lane)
{
    lane->hurry = true;
    pthread_cond_signal(&lane->work);
}

void command_save_soon(struct command_lane *lane, struct command *command, int64_t within_ms)
{
    int64_t at_ms = clock_mono_ms() + within_ms;
    if (!command->unsaved || command->save_after_ms > at_ms)
        command->save_after_ms = at_ms;
    command->unsaved = true;
    if (within_ms == 0)
        pthread_cond_signal(&lane->chore);
}

/* ---- deliveries ---- */

static int64_t deadline_of(const struct command *command, const struct delivery *delivery,
                           enum delivery_state was, int64_t at_ns)
{
    const struct command_spec *spec = &command->spec;
    switch (delivery_waits_for((enum delivery_state)delivery->state, spec->goal)) {
    case WAIT_SENDING:
    case WAIT_ACCEPTANCE:
        return spec->expires_ns;
    case WAIT_COMPLETION:
        return at_ns + spec->complete_within_ns;
    case WAIT_VERIFICATION:
        /* where the time runs from acceptance, completion does not begin it anew */
        if (spec->goal == GOAL_VERIFIED_ACCEPTED && was == DELIVERY_ACCEPTED)
            return delivery->deadline_ns;
        return at_ns + spec->verify_within_ns;
    case WAIT_NOTHING:
        break;
    }
    return TIMESTAMP_NONE;
}

static void enter(struct command_lane *lane, struct delivery *delivery, enum delivery_state next,
                  int64_t at_ns)
{
    struct command *command = delivery->command;
    enum delivery_state was = (enum delivery_state)delivery->state;
    enum delivery_goal goal = command->spec.goal;
    command->counts.of[was]--;
    command->counts.of[next]++;
    command->unsent -= was == DELIVERY_PENDING;
    command->watched -= delivery_is_watched(was, goal);
    command->watched += delivery_is_watched(next, goal);
    delivery->state = (uint8_t)next;
    delivery->entered |= (uint16_t)(1u << next);
    command->unrecorded++;
    delivery->updated_ns = at_ns;
    delivery->deadline_ns = deadline_of(command, delivery, was, at_ns);
    delivery->change = command->change = ++lane->change;
    metrics_inc(METRIC_DELIVERIES, next);
    command_save_soon(lane, command, SAVE_MS);
    if (!is_open(command, delivery)) {
        bool another = delivery->listed && lane->vehicles[delivery->vehicle] == delivery &&
                       delivery->next_of_vehicle;
        unlist_delivery(lane, delivery);
        command->open--;
        if (another) /* the next of its vehicle may go */
            command_wake(lane);
    }
}

bool command_apply(struct command_lane *lane, struct delivery *delivery, enum delivery_event event,
                   int64_t at_ns, char *reason, int64_t code)
{
    struct command *command = delivery->command;
    struct delivery_step step =
        delivery_step((enum delivery_state)delivery->state, event, command->spec.goal);
    if (event == EVENT_SENT && (delivery->sent_ns == TIMESTAMP_NONE || at_ns < delivery->sent_ns))
        delivery->sent_ns = at_ns;
    if (step.effect == DELIVERY_IGNORED) {
        free(reason);
        return false;
    }
    free(delivery->reason);
    delivery->reason = reason;
    delivery->code = code;
    enter(lane, delivery, step.next, at_ns);
    command_settle(lane, command);
    return true;
}

static char *text_of(const char *text)
{
    return delivery_reason(text, strlen(text));
}

/* Why a delivery was not sent, for who asks afterwards. */
static const char *why_unsent(const struct command_lane *lane, const struct delivery *delivery)
{
    const struct command *command = delivery->command;
    const char *why = "not_sent";
    size_t place = store_enter(lane->options.store);
    if (command->state == COMMAND_STATE_PAUSED)
        why = "paused";
    else if (delivery->vehicle == DELIVERY_NO_VEHICLE ||
             store_at(lane->options.store, delivery->vehicle)->presence.status != PRESENCE_ONLINE)
        why = "not_online";
    else if (lane->vehicles[delivery->vehicle] != delivery)
        why = "another_in_flight";
    store_leave(lane->options.store, place);
    return why;
}

static const char *why_late(const struct command_lane *lane, const struct delivery *delivery)
{
    switch (
        delivery_waits_for((enum delivery_state)delivery->state, delivery->command->spec.goal)) {
    case WAIT_SENDING:
        return why_unsent(lane, delivery);
    case WAIT_ACCEPTANCE:
        return "not_accepted";
    case WAIT_COMPLETION:
        return "not_completed";
    default:
        return "not_verified";
    }
}

void command_advance(struct command_lane *lane, struct delivery *delivery, int64_t now_ns)
{
    struct command *command = delivery->command;
    while (is_open(command, delivery) && delivery->deadline_ns <= now_ns) {
        if (delivery->state == DELIVERY_PENDING && delivery->publishing)
            return; /* whether it was sent is known when that is answered */
        command_apply(lane, delivery, EVENT_DEADLINE, delivery->deadline_ns,
                      text_of(why_late(lane, delivery)), DELIVERY_NO_CODE);
    }
}

void command_supersede(struct command_lane *lane, struct command *command)
{
    int64_t now_ns = lane_now_ns(lane);
    for (uint32_t i = 0; command->deliveries && i < command->spec.total; i++) {
        struct delivery *mine = &command->deliveries[i], *next;
        if (mine->vehicle == DELIVERY_NO_VEHICLE || mine->state == DELIVERY_BLOCKED ||
            mine->vehicle >= lane->vehicle_room)
            continue;
        for (struct delivery *other = lane->vehicles[mine->vehicle]; other; other = next) {
            next = other->next_of_vehicle;
            if (!is_older(other->command, command))
                continue;
            if (!other->command->spec.recovery && other->publishing)
                other->superseded = true;
            else
                command_apply(lane, other,
                              other->command->spec.recovery ? EVENT_REPLACE : EVENT_SUPERSEDE,
                              now_ns, text_of("superseded"), DELIVERY_NO_CODE);
        }
    }
}

/* ---- commands ---- */

/* What is unsent is not sent any more; what is under way is known when it is answered. */
static void withdraw(struct command_lane *lane, struct command *command)
{
    int64_t now_ns = lane_now_ns(lane);
    const char *reason = command->state == COMMAND_STATE_ABORTING ? "aborted" : "cancelled";
    for (uint32_t i = 0; command->deliveries && i < command->spec.total; i++) {
        struct delivery *delivery = &command->deliveries[i];
        if (delivery->state == DELIVERY_PENDING && !delivery->publishing)
            command_apply(lane, delivery, EVENT_CANCEL, now_ns, text_of(reason), DELIVERY_NO_CODE);
    }
}

enum command_effect command_act(struct command_lane *lane, struct command *command,
                                enum command_event event, const char *actor, const char *request_id)
{
    struct command_step step = command_step(command->state, event);
    if (step.effect == COMMAND_UNCHANGED || step.effect == COMMAND_REFUSED)
        return step.effect;
    if (!command_turn_add(command, step.next, lane_now_ns(lane), actor, request_id))
        log_warn("command.turn_not_recorded", "id", command->spec.id);
    command->state = step.next;
    command->change = ++lane->change;
    command_save_soon(lane, command, 0);
    if (step.effect == COMMAND_WITHDRAWN)
        withdraw(lane, command);
    if (step.effect == COMMAND_SETTLED) {
        command->ended_ns = lane_now_ns(lane);
        command->drop_after_ms = clock_mono_ms() + KEEP_MS;
        close_command(lane, command);
        metrics_inc(METRIC_COMMANDS_ENDED, (size_t)(step.next - COMMAND_STATE_SUCCEEDED));
        log_info("command.ended", "id", command->spec.id, "type", command->spec.type, "status",
                 command_status(step.next));
    } else {
        command_settle(lane, command);
        command_wake(lane);
    }
    return step.effect;
}

void command_settle(struct command_lane *lane, struct command *command)
{
    const struct command_rollout *rollout = &command->spec.rollout;
    if (command_ended(command->state))
        return;
    if (command->open == 0)
        command_act(lane, command, command_counts_outcome(&command->counts, command->spec.goal),
                    NULL, NULL);
    else if (rollout->aborts && !command->spec.recovery &&
             (command->state == COMMAND_STATE_RUNNING || command->state == COMMAND_STATE_PAUSED) &&
             command_counts_abort(&command->counts, command->spec.goal, rollout->abort_failed_pct,
                                  rollout->abort_min))
        command_act(lane, command, COMMAND_ABORT, NULL, NULL);
}
