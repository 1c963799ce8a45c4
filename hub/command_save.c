/* Summaries: what TWIN_CMD and TWIN_ACK will have forgotten. An entry vouches for records: it is
 * written only when those it says are on record are stored. */
#include "hub/command_impl.h"

#include "hub/clock.h"
#include "hub/failpoint.h"
#include "hub/log.h"

#include <stdlib.h>
#include <string.h>

enum {
    RECORDS_WAIT_MS = 2000,
    CLAIM_STEP_US = 500,
    AGAIN_MS = 500, /* after a write that failed */
};

void command_claim(struct command_lane *lane, struct command *command)
{
    lane->claims++;
    while (command->saving) {
        struct timespec rest = {.tv_nsec = CLAIM_STEP_US * 1000};
        pthread_mutex_unlock(&lane->lock);
        nanosleep(&rest, NULL);
        pthread_mutex_lock(&lane->lock);
    }
    command->saving = true;
}

void command_release(struct command_lane *lane, struct command *command)
{
    command->saving = false;
    lane->claims--;
}

enum bus_status command_status_store(struct command_lane *lane, const char *id,
                                     const struct buf *text, uint64_t expected, uint64_t *seq,
                                     struct bus_error *error)
{
    char key[COMMAND_KEY_BYTES];
    struct bus_store what = {.subject = command_key(key, "status", id, -1),
                             .data = text->data,
                             .size = text->size_bytes,
                             .expected_last_of_subject = expected};
    return text->failed ? BUS_ERROR
                        : bus_store(lane->options.urgent_bus, &what, COMMAND_STORE_MS, seq, error);
}

static bool chunk_changed(const struct command *command, uint32_t from)
{
    for (uint32_t i = from; i < command->spec.total && i < from + COMMAND_CHUNK; i++)
        if (command->deliveries[i].change > command->saved_change)
            return true;
    return false;
}

static enum bus_status store_chunk(struct command_lane *lane, const struct command *command,
                                   uint32_t from, const struct buf *text, struct bus_error *error)
{
    char key[COMMAND_KEY_BYTES];
    uint64_t seq;
    struct bus_store what = {
        .subject = command_key(key, "states", command->spec.id, (int)(from / COMMAND_CHUNK)),
        .data = text->data,
        .size = text->size_bytes,
        .expected_last_of_subject = BUS_ANY_SEQ};
    return text->failed ? BUS_ERROR
                        : bus_store(lane->options.bus, &what, COMMAND_STORE_MS, &seq, error);
}

/* What has changed of the deliveries. The lock is let go of while NATS is waited for. */
static enum bus_status save_chunks(struct command_lane *lane, struct command *command,
                                   uint64_t *change, struct bus_error *error)
{
    struct buf text = BUF_INIT;
    enum bus_status status = BUS_OK;
    *change = lane->change;
    for (uint32_t from = 0; from < command->spec.total && status == BUS_OK; from += COMMAND_CHUNK) {
        if (!chunk_changed(command, from))
            continue;
        buf_reset(&text);
        command_states_write(&text, command, from);
        uint64_t last = recorder_last(lane->options.recorder);
        pthread_mutex_unlock(&lane->lock);
        status = recorder_wait(lane->options.recorder, last, RECORDS_WAIT_MS)
                     ? store_chunk(lane, command, from, &text, error)
                     : BUS_TIMEOUT;
        failpoint_reached(FAILPOINT_COMMAND_CHUNK_SAVED);
        pthread_mutex_lock(&lane->lock);
    }
    buf_done(&text);
    return status;
}

/* With the lock and the claim. */
static bool save(struct command_lane *lane, struct command *command)
{
    struct buf text = BUF_INIT;
    struct bus_error error = {""};
    uint64_t change = 0, seq = 0, expected = command->status_seq;
    bool final = command_ended(command->state);
    command->unsaved = false; /* what changes from here on is another summary's */
    enum bus_status status = save_chunks(lane, command, &change, &error);
    if (status == BUS_OK && final == command_ended(command->state)) {
        command_status_write(&text, command);
        uint64_t last = recorder_last(lane->options.recorder);
        pthread_mutex_unlock(&lane->lock);
        if (final)
            failpoint_reached(FAILPOINT_COMMAND_ENDING);
        status = !final || recorder_wait(lane->options.recorder, last, RECORDS_WAIT_MS)
                     ? command_status_store(lane, command->spec.id, &text, expected, &seq, &error)
                     : BUS_TIMEOUT;
        if (status == BUS_OK)
            failpoint_reached(final ? FAILPOINT_COMMAND_ENDED : FAILPOINT_COMMAND_SAVED);
        pthread_mutex_lock(&lane->lock);
    }
    if (status == BUS_OK && seq > 0) {
        command->status_seq = seq;
        command->saved_change = change;
    } else if (status == BUS_OK) {
        command_save_soon(lane, command, 0); /* it ended meanwhile */
    } else {
        log_debug("command.not_saved", "id", command->spec.id, "error", error.text);
        command_save_soon(lane, command, AGAIN_MS);
    }
    buf_done(&text);
    return status == BUS_OK;
}

static bool is_due(const struct command *command, int64_t now_ms)
{
    if (!command->unsaved || command->saving || command->save_after_ms > now_ms ||
        !command->deliveries)
        return false;
    /* the last summary lets go of the command: everything is on record before */
    return !command_ended(command->state) ||
           (command->unrecorded == 0 && command->accepted_recorded &&
            command->turns_recorded == command->turn_count);
}

/* What has ended, is summed up, and was not looked at for a while. */
static void drop_old(struct command *command, int64_t now_ms)
{
    if (command->deliveries && command_ended(command->state) && !command->unsaved &&
        !command->saving && command->publishing == 0 && command->drop_after_ms <= now_ms &&
        command->unrecorded == 0)
        command_drop_deliveries(command);
}

/* The oldest ones, when there are too many: the bucket has them. */
static void forget_oldest(struct command_lane *lane)
{
    struct command *command = lane->oldest, *newer;
    for (; command && lane->count > COMMAND_KEPT_MAX; command = newer) {
        newer = command->newer;
        if (command_ended(command->state) && !command->deliveries && !command->unsaved &&
            lane->claims == 0)
            command_forget(lane, command);
    }
}

void command_save_due(struct command_lane *lane)
{
    int64_t now_ms = clock_mono_ms();
    pthread_mutex_lock(&lane->lock);
    for (struct command *command = lane->newest; command && lane_may_act(lane);
         command = command->older) {
        if (is_due(command, now_ms)) {
            command_claim(lane, command);
            save(lane, command);
            command_release(lane, command);
        }
        drop_old(command, now_ms);
    }
    forget_oldest(lane);
    pthread_mutex_unlock(&lane->lock);
}
