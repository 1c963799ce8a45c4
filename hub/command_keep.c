/* The keeper: takes the lane over, adopts what another hub persisted as it lost the lease, and sees
 * to records and summaries. */
#include "hub/command_impl.h"

#include "hub/clock.h"
#include "hub/failpoint.h"
#include "hub/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHORE_MS = 50,
    RECORD_MS = 100, /* records wait that long: sending goes first */
    RECORD_PAUSE_MS = 2,
    RETRY_MS = 200,
    READ_MS = 10,
    FLUSH_MS = 6000,              /* a publication is answered, or given up, within five seconds */
    BEHIND_NS_MS = 2000,          /* feeds begin that long before the oldest open command */
    RECENT_S = COMMAND_TTL_MAX_S, /* what is older has nothing pending that could be superseded */
};

static bool loading(struct command_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    bool still = lane->stage == LANE_LOADING && !atomic_load(&lane->stop);
    pthread_mutex_unlock(&lane->lock);
    return still;
}

/* Nothing of the lane's is under way any more, and nobody holds on to it. */
static void let_go(struct command_lane *lane)
{
    bus_consumer_close(lane->specs);
    lane->specs = NULL;
    pthread_mutex_lock(&lane->lock);
    lane->cmd_feed.wanted = lane->ack_feed.wanted = false;
    pthread_mutex_unlock(&lane->lock);
    while (!bus_outbox_flush(lane->recovery, FLUSH_MS) ||
           !bus_outbox_flush(lane->routine, FLUSH_MS))
        ;
    pthread_mutex_lock(&lane->lock);
    while (lane->claims > 0) {
        pthread_mutex_unlock(&lane->lock);
        clock_pause_ms(1);
        pthread_mutex_lock(&lane->lock);
    }
    command_forget_all(lane);
    pthread_mutex_unlock(&lane->lock);
}

/* ---- reading the bucket ---- */

/* A command that this hub does not know, or NULL. It is the caller's. */
static struct command *read_spec(struct command_lane *lane, const struct bus_msg *msg)
{
    struct doc_limits limits = {DOC_MAX_BYTES, COMMAND_SPEC_DEPTH};
    struct doc_ref root;
    struct command *command = command_new();
    bool good = command && msg->size > 0 &&
                doc_parse(lane->parser, msg->data, msg->size, limits, &root) == DOC_OK &&
                command_spec_read(root, &command->spec);
    if (good) {
        const char *id = command->spec.id;
        pthread_mutex_lock(&lane->lock);
        good = !command_by_id(lane, id, strlen(id));
        for (const struct command_making *m = lane->making; m; m = m->next)
            good = good && strcmp(m->id, id) != 0;
        pthread_mutex_unlock(&lane->lock);
    }
    if (good)
        return command;
    command_free(command);
    return NULL;
}

static void take_spec(struct command_lane *lane, const struct bus_msg *msg)
{
    struct command *command = read_spec(lane, msg);
    if (!command)
        return;
    pthread_mutex_lock(&lane->lock);
    command_link(lane, command);
    pthread_mutex_unlock(&lane->lock);
}

static void take_status(struct command_lane *lane, const struct bus_msg *msg)
{
    struct doc_limits limits = {DOC_MAX_BYTES, COMMAND_SPEC_DEPTH};
    struct doc_ref root;
    const char *id = msg->subject + sizeof(COMMAND_KEY_PREFIX "status.") - 1;
    if (doc_parse(lane->parser, msg->data, msg->size, limits, &root) != DOC_OK)
        return;
    pthread_mutex_lock(&lane->lock);
    struct command *command = command_by_id(lane, id, strlen(id));
    if (command && command_status_read(root, command)) {
        command->status_seq = msg->stream_seq;
        command->turns_recorded = command_ended(command->state) ? command->turn_count : 0;
    }
    pthread_mutex_unlock(&lane->lock);
}

/* Reads the last of each key of one kind. *consumer, where not NULL, is left open behind them. */
static bool read_kind(struct command_lane *lane, const char *kind, bool statuses,
                      struct bus_consumer **left)
{
    char filter[COMMAND_KEY_BYTES];
    struct bus_consumer *consumer = NULL;
    struct bus_error error;
    struct bus_msg msg;
    bool done = false;
    snprintf(filter, sizeof filter, COMMAND_KEY_PREFIX "%s.>", kind);
    struct bus_consume what = {
        .stream = streams_name(TWIN_COMMANDS), .filter = filter, .from = BUS_FROM_LAST_PER};
    if (bus_consume(lane->options.bus, &what, &consumer, NULL, &error) != BUS_OK)
        return false;
    while (!done && loading(lane)) {
        enum bus_status status = bus_next(consumer, READ_MS, &msg);
        if (status == BUS_OK) {
            done = msg.pending == 0;
            if (statuses)
                take_status(lane, &msg);
            else
                take_spec(lane, &msg);
            bus_msg_done(&msg);
        } else if (status == BUS_TIMEOUT) {
            done = bus_caught_up(consumer);
        } else if (status != BUS_DISCONNECTED) {
            break;
        }
    }
    if (done && left)
        *left = consumer;
    else
        bus_consumer_close(consumer);
    return done;
}

/* ---- taking over ---- */

/* Writes the status anew: a hub that held the lease before fails to write over it. */
static bool fence(struct command_lane *lane, struct command *command)
{
    struct buf text = BUF_INIT;
    struct bus_error error;
    command_status_write(&text, command);
    enum bus_status status = command_status_store(
        lane, command->spec.id, &text, command->status_seq, &command->status_seq, &error);
    if (status == BUS_CONFLICT) /* it wrote after we read: read again */
        log_info("command.status_moved", "id", command->spec.id);
    buf_done(&text);
    return status == BUS_OK;
}

/* What was sent of a rollout has been released. */
static void resume_rollout(struct command *command)
{
    for (uint32_t i = command->spec.total; i > command->released; i--)
        if (command->deliveries[i - 1].entered & 1u << DELIVERY_SENT)
            command->released = i;
    if (command->released > 0)
        command->next_batch_ms = clock_mono_ms() + command->spec.rollout.interval_ms;
}

static bool is_recent(const struct command_lane *lane, const struct command *command)
{
    return command->spec.created_ns > lane_now_ns(lane) - RECENT_S * NS_PER_S;
}

static void note_rates(struct command_lane *lane, const struct command *command)
{
    for (uint32_t i = 0; !command->spec.recovery && i < command->spec.total; i++) {
        const struct delivery *delivery = &command->deliveries[i];
        if (delivery->vehicle != DELIVERY_NO_VEHICLE && delivery->state != DELIVERY_BLOCKED)
            command_rate_note(lane->rate, delivery->vehicle, command->spec.created_ns);
    }
}

/* The deliveries of those that are open, and the vehicles of those that are young. *oldest_ns: the
 * creation of the oldest open one. */
static bool load_open(struct command_lane *lane, int64_t *oldest_ns)
{
    *oldest_ns = lane_now_ns(lane);
    for (struct command *command = lane->oldest; command; command = command->newer) {
        struct bus_error error = {""};
        bool open = !command_ended(command->state);
        if (!open && !is_recent(lane, command))
            continue;
        enum bus_status status = command_load(lane, command, true, &error);
        if (status == BUS_ERROR || status == BUS_NOT_FOUND) {
            log_error("command.unreadable", "id", command->spec.id, "error", error.text);
            continue; /* it stays listed, and does nothing */
        }
        if (status != BUS_OK || !loading(lane) || (open && !fence(lane, command)))
            return false;
        if (open && command->spec.created_ns < *oldest_ns)
            *oldest_ns = command->spec.created_ns;
        note_rates(lane, command);
    }
    return true;
}

static bool begin_open(struct command_lane *lane)
{
    bool good = true;
    pthread_mutex_lock(&lane->lock);
    for (struct command *command = lane->oldest; command && good; command = command->newer) {
        if (command_ended(command->state) || !command->deliveries) {
            command->accepted_recorded = true;
            continue;
        }
        resume_rollout(command);
        good = command_begin(lane, command);
    }
    pthread_mutex_unlock(&lane->lock);
    return good;
}

/* Starts one feed and waits until it has read all there is. */
static bool catch_up(struct command_lane *lane, struct command_feed *feed, int64_t from_ns)
{
    pthread_mutex_lock(&lane->lock);
    feed->from_ns = from_ns;
    feed->generation++;
    feed->wanted = true;
    while (feed->caught_up != feed->generation && lane->stage == LANE_LOADING &&
           !atomic_load(&lane->stop)) {
        pthread_mutex_unlock(&lane->lock);
        clock_pause_ms(1);
        pthread_mutex_lock(&lane->lock);
    }
    bool good = feed->caught_up == feed->generation;
    pthread_mutex_unlock(&lane->lock);
    return good;
}

static void go(struct command_lane *lane)
{
    size_t commands = 0;
    pthread_mutex_lock(&lane->lock);
    for (struct command *command = lane->oldest; command; command = command->newer) {
        commands++;
        if (command->spec.recovery && command->deliveries && is_recent(lane, command))
            command_supersede(lane, command);
    }
    for (struct command *command = lane->oldest; command; command = command->newer)
        if (command->deliveries)
            command_settle(lane, command);
    if (lane->stage == LANE_LOADING)
        lane->stage = LANE_ACTIVE;
    size_t open = lane->open_count;
    command_wake(lane);
    pthread_mutex_unlock(&lane->lock);
    log_info("command.lane_running", "commands", LOG_INT(commands), "open", LOG_INT(open));
}

static void load(struct command_lane *lane)
{
    int64_t oldest_ns;
    let_go(lane);
    bool good = read_kind(lane, "spec", false, &lane->specs) &&
                read_kind(lane, "status", true, NULL) && load_open(lane, &oldest_ns) &&
                begin_open(lane);
    if (good)
        failpoint_reached(FAILPOINT_COMMAND_LOADED);
    int64_t from_ns = good ? oldest_ns - BEHIND_NS_MS * NS_PER_MS : 0;
    /* What was sent is known before what came back is judged. */
    good = good && catch_up(lane, &lane->cmd_feed, from_ns) &&
           catch_up(lane, &lane->ack_feed, from_ns);
    if (good) {
        failpoint_reached(FAILPOINT_COMMAND_CAUGHT_UP);
        go(lane);
    } else {
        clock_pause_ms(RETRY_MS);
    }
}

/* ---- while it runs ---- */

/* A command that another hub persisted when it had lost the lease already. */
static void adopt_one(struct command_lane *lane, const struct bus_msg *msg)
{
    struct bus_error error = {""};
    struct command *command = read_spec(lane, msg);
    if (!command)
        return;
    if (command_load(lane, command, true, &error) != BUS_OK) {
        log_error("command.unreadable", "id", command->spec.id, "error", error.text);
        command_free(command);
        return;
    }
    pthread_mutex_lock(&lane->lock);
    command_link(lane, command);
    if (command_begin(lane, command)) {
        if (command->spec.recovery)
            command_supersede(lane, command);
        command_settle(lane, command);
        command_wake(lane);
    }
    pthread_mutex_unlock(&lane->lock);
    log_info("command.adopted", "id", command->spec.id);
}

static void adopt(struct command_lane *lane)
{
    struct bus_msg msg;
    enum bus_status status;
    while ((status = bus_next(lane->specs, 0, &msg)) == BUS_OK) {
        adopt_one(lane, &msg);
        bus_msg_done(&msg);
    }
    if (status == BUS_TIMEOUT || status == BUS_DISCONNECTED)
        return;
    pthread_mutex_lock(&lane->lock);
    if (lane->stage == LANE_ACTIVE) /* the bucket began anew: all of it is read again */
        lane->stage = LANE_LOADING;
    pthread_mutex_unlock(&lane->lock);
}

static void wait_for_chores(struct command_lane *lane)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += CHORE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lane->lock);
    if (!atomic_load(&lane->stop))
        pthread_cond_timedwait(&lane->chore, &lane->lock, &until);
    pthread_mutex_unlock(&lane->lock);
}

void *command_keeper_run(void *closure)
{
    struct command_lane *lane = closure;
    int64_t recorded_ms = 0;
    while (!atomic_load(&lane->stop)) {
        pthread_mutex_lock(&lane->lock);
        enum lane_stage stage = lane->stage;
        bool some = lane->newest != NULL;
        pthread_mutex_unlock(&lane->lock);
        if (stage == LANE_LOADING) {
            load(lane);
        } else if (stage == LANE_IDLE) {
            if (some || lane->specs)
                let_go(lane);
            wait_for_chores(lane);
        } else {
            adopt(lane);
            if (clock_mono_ms() - recorded_ms >= RECORD_MS) {
                if (command_record_due(lane)) {
                    clock_pause_ms(RECORD_PAUSE_MS);
                    continue;
                }
                recorded_ms = clock_mono_ms();
            }
            command_save_due(lane);
            wait_for_chores(lane);
        }
    }
    return NULL;
}
