/* The lane's thread: what may be sent is published, what has taken too long ends, what is to be
 * verified is looked at. Recovery commands come first, and between two bursts of routine ones. */
#include "hub/command_impl.h"

#include "hub/clock.h"
#include "hub/failpoint.h"
#include "hub/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    TICK_MS = 20,         /* between two looks at the time and at the twins */
    BURST = 32,           /* routine publications between two looks for recovery commands */
    UNSURE_MS = 1000,     /* before a publication that was not answered is looked for */
    UNSURE_READ_MS = 300, /* by which TWIN_CMD must have been read behind that */
    GIVE_WAY_US = 20,
};

/* Deadlines wait no longer than that for TWIN_ACK to be read. */
#define LISTEN_MAX_NS (10 * NS_PER_S)

/* What one pass carries along. */
struct pass {
    struct command_lane *lane;
    int64_t now_ns, now_ms;
    struct buf text;
    unsigned burst;
    bool stop; /* the window is full, or NATS is away */
};

/* ---- publishing ---- */

static void write_message(struct buf *out, const struct delivery *delivery, int64_t now_ns)
{
    const struct command_spec *spec = &delivery->command->spec;
    buf_reset(out);
    buf_adds(out, "{\"vid\":");
    buf_json_cstr(out, delivery->vid);
    buf_adds(out, ",\"timestamp\":");
    buf_json_timestamp(out, now_ns);
    buf_addf(out, ",\"data\":{\"cmd_id\":\"%s.%s\",\"type\":", spec->id, delivery->vid);
    buf_json_cstr(out, spec->type);
    buf_adds(out, ",\"params\":");
    buf_adds(out, spec->params);
    buf_adds(out, ",\"issued_by\":");
    buf_json_cstr(out, spec->actor);
    buf_adds(out, ",\"issued_at\":");
    buf_json_timestamp(out, spec->created_ns);
    buf_adds(out, ",\"expires_at\":");
    buf_json_timestamp(out, spec->expires_ns);
    buf_adds(out, "}}");
}

/* False where nothing was sent: the window is full, or NATS is away. What has expired while others
 * were being sent is left to its deadline. */
static bool publish(struct pass *pass, struct delivery *delivery, uint32_t repetition)
{
    struct command_lane *lane = pass->lane;
    struct command *command = delivery->command;
    if (lane_now_ns(lane) >= command->spec.expires_ns)
        return true;
    char subject[STREAMS_SUBJECT_BYTES * 2], id[RECORD_ID_TEXT_BYTES + TOKEN_MAX_BYTES + 16];
    int size = snprintf(id, sizeof id, "%s.%s", command->spec.id, delivery->vid);
    if (repetition > 0)
        snprintf(id + size, sizeof id - (size_t)size, ".%u", repetition);
    snprintf(subject, sizeof subject, "fleet.%s.veh.%s.cmd.%s", lane->options.config->env,
             delivery->vid, command->spec.type);
    write_message(&pass->text, delivery, pass->now_ns);
    struct bus_store what = {.subject = subject,
                             .data = pass->text.data,
                             .size = pass->text.size_bytes,
                             .msg_id = id,
                             .expected_last_of_subject = BUS_ANY_SEQ};
    if (pass->text.failed)
        return false;
    failpoint_reached(FAILPOINT_COMMAND_PUBLISHING);
    delivery->publishing = true;
    command->publishing++;
    enum bus_status status =
        bus_outbox_store(command->spec.recovery ? lane->recovery : lane->routine, &what,
                         (uint64_t)(uintptr_t)delivery);
    if (status != BUS_OK) {
        delivery->publishing = false;
        command->publishing--;
        lane->window_full = status == BUS_FULL;
        if (status == BUS_ERROR)
            log_warn("command.not_published", "subject", subject);
        return false;
    }
    failpoint_reached(repetition > 0 ? FAILPOINT_COMMAND_REPEATED : FAILPOINT_COMMAND_PUBLISHED);
    delivery->repetition = repetition;
    delivery->due_ms = pass->now_ms + COMMAND_REPEAT_MS;
    metrics_inc(METRIC_COMMANDS_PUBLISHED,
                command->spec.recovery ? COMMAND_LABEL_RECOVERY : COMMAND_LABEL_ROUTINE);
    return true;
}

/* On a thread of the bus. */
void command_send_answered(void *closure, uint64_t tag, enum bus_status status, uint64_t seq)
{
    struct command_lane *lane = closure;
    struct delivery *delivery = (struct delivery *)(uintptr_t)tag;
    (void)seq;
    if (status == BUS_OK)
        failpoint_reached(FAILPOINT_COMMAND_ANSWERED);
    pthread_mutex_lock(&lane->lock);
    delivery->publishing = false;
    delivery->command->publishing--;
    if (status == BUS_OK) {
        if (command_apply(lane, delivery, EVENT_SENT, lane_now_ns(lane), NULL, DELIVERY_NO_CODE))
            failpoint_reached(FAILPOINT_COMMAND_SENT);
    } else { /* it may have been stored all the same: TWIN_CMD tells */
        delivery->unsure_ms = clock_mono_ms();
        delivery->due_ms = delivery->unsure_ms + UNSURE_MS;
    }
    if (lane->window_full && bus_outbox_pending(lane->routine) <= COMMAND_WINDOW / 2) {
        lane->window_full = false; /* half of it at a time, not one by one */
        command_wake(lane);
    }
    pthread_mutex_unlock(&lane->lock);
}

/* ---- recovery commands ---- */

static void send_recovery(struct pass *pass, struct command *command)
{
    if (command->state != COMMAND_STATE_RUNNING)
        return; /* withdrawn: nothing is repeated */
    for (uint32_t i = 0; i < command->spec.total && !pass->stop; i++) {
        struct delivery *delivery = &command->deliveries[i];
        bool waits = delivery->state == DELIVERY_PENDING || delivery->state == DELIVERY_SENT;
        if (!waits || delivery->publishing || delivery->due_ms > pass->now_ms ||
            pass->now_ns >= command->spec.expires_ns)
            continue;
        bool first = delivery->due_ms == 0 && !delivery->stored;
        pass->stop = !publish(pass, delivery, first ? 0 : delivery->repetition + 1);
    }
}

/* ---- routine commands ---- */

/* One in flight per vehicle and type: whether it is the first of its type. What is paused does not
 * stand in the way. */
static bool is_first(const struct command_lane *lane, const struct delivery *delivery)
{
    const char *type = delivery->command->spec.type;
    const struct delivery *other = lane->vehicles[delivery->vehicle];
    for (; other != delivery; other = other->next_of_vehicle) {
        bool held = other->command->state == COMMAND_STATE_PAUSED &&
                    other->state == DELIVERY_PENDING && !other->publishing;
        if (!held && strcmp(other->command->spec.type, type) == 0)
            return false;
    }
    return true;
}

static bool is_online(const struct command_lane *lane, const struct delivery *delivery)
{
    const struct twin *twin = store_at(lane->options.store, delivery->vehicle);
    return twin_visible(twin) && twin->presence.status == PRESENCE_ONLINE;
}

/* A publication that was not answered is sent again only after TWIN_CMD has been read far enough
 * to know that it is not there. */
static bool is_sure(const struct pass *pass, const struct delivery *delivery)
{
    return delivery->unsure_ms == 0 ||
           pass->lane->cmd_feed.caught_ms > delivery->unsure_ms + UNSURE_READ_MS;
}

static bool may_send(const struct pass *pass, const struct delivery *delivery)
{
    return delivery->state == DELIVERY_PENDING && !delivery->publishing &&
           delivery->vehicle != DELIVERY_NO_VEHICLE && delivery->due_ms <= pass->now_ms &&
           is_online(pass->lane, delivery) && is_first(pass->lane, delivery) &&
           is_sure(pass, delivery);
}

/* Recovery commands wait for no burst: somebody who brings one gets the lock. */
static void give_way(struct pass *pass)
{
    struct command_lane *lane = pass->lane;
    pass->burst = 0;
    if (atomic_load(&lane->urgent) == 0 && !lane->hurry)
        return;
    pass->stop = true; /* and begin anew, with what is urgent first */
    lane->hurry = true;
}

/* The next batch of a rollout, when it is due. */
static void release_batch(struct pass *pass, struct command *command)
{
    const struct command_rollout *rollout = &command->spec.rollout;
    if (rollout->batch == 0) {
        command->released = command->spec.total;
    } else if (command->released < command->spec.total && pass->now_ms >= command->next_batch_ms) {
        uint32_t left = command->spec.total - command->released;
        command->released += rollout->batch < left ? rollout->batch : left;
        command->next_batch_ms = pass->now_ms + rollout->interval_ms;
    }
}

static void send_routine(struct pass *pass, struct command *command)
{
    if (command->state != COMMAND_STATE_RUNNING || command->unsent == 0 ||
        pass->now_ns >= command->spec.expires_ns)
        return;
    release_batch(pass, command);
    size_t place = store_enter(pass->lane->options.store);
    while (command->first_pending < command->spec.total &&
           command->deliveries[command->first_pending].state != DELIVERY_PENDING)
        command->first_pending++;
    for (uint32_t i = command->first_pending; i < command->released && !pass->stop; i++) {
        struct delivery *delivery = &command->deliveries[i];
        if (!may_send(pass, delivery))
            continue;
        pass->stop = !publish(pass, delivery, 0);
        if (++pass->burst >= BURST)
            give_way(pass);
    }
    store_leave(pass->lane->options.store, place);
}

/* ---- time and twins ---- */

/* What became of a publication that was under way when the delivery was taken back. */
static void settle_unsent(struct pass *pass, struct delivery *delivery)
{
    if (delivery->state != DELIVERY_PENDING || delivery->publishing || !is_sure(pass, delivery))
        return;
    if (delivery->superseded)
        command_apply(pass->lane, delivery, EVENT_SUPERSEDE, pass->now_ns,
                      delivery_reason("superseded", 10), DELIVERY_NO_CODE);
    else if (delivery->command->state == COMMAND_STATE_CANCELLING ||
             delivery->command->state == COMMAND_STATE_ABORTING)
        command_apply(pass->lane, delivery, EVENT_CANCEL, pass->now_ns, NULL, DELIVERY_NO_CODE);
}

static void look_at_twin(struct pass *pass, struct delivery *delivery)
{
    struct command *command = delivery->command;
    uint64_t changed = store_changed(pass->lane->options.store, delivery->vehicle);
    if (changed == delivery->looked && !filter_depends_on_time(command->verify))
        return;
    delivery->looked = changed;
    if (!command_verified(pass->lane, command, delivery, pass->now_ns))
        return;
    failpoint_reached(FAILPOINT_COMMAND_MATCHED);
    command_apply(pass->lane, delivery, EVENT_MATCHED, pass->now_ns, NULL, DELIVERY_NO_CODE);
}

/* By when a delivery's deadline is over. What has been sent may have been answered in time although
 * it has not been read yet: a report counts from when the broker had it. */
static int64_t over_by(const struct pass *pass, const struct delivery *delivery)
{
    struct command_lane *lane = pass->lane;
    if (delivery->state == DELIVERY_PENDING || delivery->deadline_ns > pass->now_ns)
        return pass->now_ns;
    if (delivery->deadline_ns > lane->heard_ns)
        lane->listen = true;
    int64_t by_ns = lane->heard_ns < pass->now_ns ? lane->heard_ns : pass->now_ns;
    return by_ns > pass->now_ns - LISTEN_MAX_NS ? by_ns : pass->now_ns - LISTEN_MAX_NS;
}

static void pass_time(struct pass *pass, struct command *command)
{
    enum delivery_goal goal = command->spec.goal;
    if (command->lost > 0)
        command_find_lost(pass->lane, command);
    for (uint32_t i = 0; i < command->spec.total && command->open > 0; i++) {
        struct delivery *delivery = &command->deliveries[i];
        enum delivery_state state = (enum delivery_state)delivery->state;
        if (delivery_ended(state, goal))
            continue;
        if (command->watched > 0 && delivery->stored && delivery_is_watched(state, goal) &&
            delivery->vehicle != DELIVERY_NO_VEHICLE)
            look_at_twin(pass, delivery);
        command_advance(pass->lane, delivery, over_by(pass, delivery));
        settle_unsent(pass, delivery);
    }
}

/* ---- the thread ---- */

/* Calls `act` for the open commands, oldest first. Some may end meanwhile. */
static void for_open(struct pass *pass, int recovery,
                     void (*act)(struct pass *pass, struct command *command))
{
    struct command_lane *lane = pass->lane;
    for (size_t i = 0; i < lane->open_count && !pass->stop;) {
        struct command *command = lane->open[i];
        if (recovery < 0 || command->spec.recovery == (recovery > 0))
            act(pass, command);
        i += i < lane->open_count && lane->open[i] == command;
    }
}

static void run_pass(struct pass *pass, int64_t *ticked_ms)
{
    struct command_lane *lane = pass->lane;
    pass->now_ms = clock_mono_ms();
    pass->now_ns = lane_now_ns(lane);
    pass->stop = false;
    pass->burst = 0;
    lane->hurry = false;
    if (!lane_may_act(lane))
        return;
    for_open(pass, 1, send_recovery);
    pass->stop = false;
    if (pass->now_ms - *ticked_ms >= TICK_MS) {
        *ticked_ms = pass->now_ms;
        for_open(pass, -1, pass_time);
    }
    if (!lane->window_full)
        for_open(pass, 0, send_routine);
}

static void wait_for_work(struct command_lane *lane)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!lane->hurry && !atomic_load(&lane->stop))
        if (pthread_cond_timedwait(&lane->work, &lane->lock, &until) == ETIMEDOUT)
            return;
}

void *command_send_run(void *closure)
{
    struct command_lane *lane = closure;
    struct pass pass = {.lane = lane};
    int64_t ticked_ms = 0;
    pthread_mutex_lock(&lane->lock);
    while (!atomic_load(&lane->stop)) {
        run_pass(&pass, &ticked_ms);
        if (atomic_load(&lane->urgent) > 0) { /* a mutex alone is fair to nobody */
            struct timespec rest = {.tv_nsec = GIVE_WAY_US * 1000};
            pthread_mutex_unlock(&lane->lock);
            nanosleep(&rest, NULL);
            pthread_mutex_lock(&lane->lock);
        }
        if (!lane->hurry)
            wait_for_work(lane);
    }
    pthread_mutex_unlock(&lane->lock);
    buf_done(&pass.text);
    return NULL;
}
