/* What of group commands goes on record: each command with its targets, each change of its status,
 * each change of a delivery. Ids derive from what happened, so that whichever hub comes to say it,
 * it is one record. Nothing is queued here: what is not on record yet is seen in the command, and
 * put there when the recorder has room. */
#include "hub/command_impl.h"

#include "hub/failpoint.h"

#include <stdio.h>
#include <string.h>

enum {
    TARGETS_OF_A_RECORD = 4096, /* at their longest they fit a message */
    RECORDS_A_HOLD = 64,        /* of the lock */
};

static struct slice slice_of(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static bool is_bad(enum delivery_state state)
{
    return delivery_counts_as_failed(state) || state == DELIVERY_EXPIRED;
}

/* Puts one record; `data` is the text of its data. */
static bool put(struct command_lane *lane, const struct command_spec *spec, const char *key,
                const char *vid, const char *actor, const char *request_id, bool bad,
                const struct buf *data)
{
    struct record record;
    uint64_t ticket;
    if (data->failed || !recorder_has_room(lane->options.recorder))
        return false;
    record_init(&record);
    record_id_of(RECORD_COMMAND, key, strlen(key), record.id);
    record.kind = RECORD_COMMAND;
    record.severity = bad ? SEVERITY_WARNING : SEVERITY_INFO;
    record.type = slice_of(spec->type);
    record.vid = slice_of(vid);
    record.actor = slice_of(actor);
    record.request_id = slice_of(request_id);
    record.data = (struct slice){data->data, data->size_bytes};
    bool good = recorder_put(lane->options.recorder, &record, &ticket);
    if (good)
        failpoint_reached(FAILPOINT_COMMAND_RECORDED);
    return good;
}

static void begin_data(struct buf *out, const struct command_spec *spec, const char *vid,
                       const char *from, const char *to, const char *reason)
{
    buf_reset(out);
    buf_addf(out, "{\"command_id\":\"%s\",\"cmd_id\":", spec->id);
    if (vid)
        buf_addf(out, "\"%s.%s\"", spec->id, vid);
    else
        buf_adds(out, "null");
    buf_adds(out, ",\"from\":");
    buf_json_cstr(out, from);
    buf_adds(out, ",\"to\":");
    buf_json_cstr(out, to);
    buf_adds(out, ",\"reason\":");
    buf_json_cstr(out, reason);
}

/* ---- a command ---- */

/* With all of its targets, in as many records as that takes. */
static bool record_acceptance(struct command_lane *lane, struct command *command)
{
    struct buf data = BUF_INIT;
    const struct command_spec *spec = &command->spec;
    bool good = true;
    while (good && !command->accepted_recorded) {
        uint32_t from = command->targets_recorded, end = from + TARGETS_OF_A_RECORD;
        char key[RECORD_ID_TEXT_BYTES + 32];
        end = end < spec->total ? end : spec->total;
        begin_data(&data, spec, NULL, NULL, command_status(COMMAND_STATE_RUNNING), spec->reason);
        buf_adds(&data, ",\"code\":null,\"command\":");
        command_spec_write(&data, spec);
        buf_addf(&data, ",\"targets_from\":%u,\"targets\":[", from);
        for (uint32_t i = from; command->deliveries && i < end; i++) {
            if (i > from)
                buf_addc(&data, ',');
            buf_json_cstr(&data, command->deliveries[i].vid);
        }
        buf_adds(&data, "]}");
        snprintf(key, sizeof key, "%s/accepted/%u", spec->id, from);
        good = put(lane, spec, key, NULL, spec->actor, spec->request_id, false, &data);
        if (good) {
            command->targets_recorded = end;
            command->accepted_recorded = end == spec->total;
        }
    }
    buf_done(&data);
    return good;
}

static bool record_turns(struct command_lane *lane, struct command *command)
{
    struct buf data = BUF_INIT;
    bool good = true;
    while (good && command->turns_recorded < command->turn_count) {
        const struct command_turn *turn = &command->turns[command->turns_recorded];
        char key[RECORD_ID_TEXT_BYTES + 32];
        begin_data(&data, &command->spec, NULL, command_status(turn->from),
                   command_state_name(turn->to), NULL);
        buf_adds(&data, ",\"code\":null,\"counts\":{");
        for (int i = 0; i < DELIVERY_STATES; i++)
            buf_addf(&data, "%s\"%s\":%u", i > 0 ? "," : "",
                     delivery_state_name((enum delivery_state)i), command->counts.of[i]);
        buf_adds(&data, "}}");
        snprintf(key, sizeof key, "%s/turn/%u", command->spec.id, command->turns_recorded);
        good = put(lane, &command->spec, key, NULL, turn->actor, turn->request_id, false, &data);
        command->turns_recorded += good;
    }
    buf_done(&data);
    return good;
}

/* ---- deliveries ---- */

/* The state that was left for `state`: the furthest on the way that has been entered. */
static enum delivery_state came_from(const struct delivery *delivery, enum delivery_state state)
{
    int from = state <= DELIVERY_VERIFIED ? (int)state - 1 : DELIVERY_COMPLETED;
    while (from > 0 && !(delivery->entered & 1u << from))
        from--;
    return (enum delivery_state)from;
}

static bool record_delivery(struct command_lane *lane, struct delivery *delivery, struct buf *data)
{
    struct command *command = delivery->command;
    const struct command_spec *spec = &command->spec;
    unsigned missing = delivery->entered & ~(unsigned)delivery->recorded;
    for (int i = 0; i < DELIVERY_STATES; i++) {
        enum delivery_state to = (enum delivery_state)i;
        bool last = delivery->state == to; /* what was said with an earlier state is forgotten */
        char key[RECORD_ID_TEXT_BYTES + TOKEN_MAX_BYTES + 32];
        if (!(missing & 1u << i))
            continue;
        bool known = delivery->vehicle != DELIVERY_NO_VEHICLE ||
                     vid_valid(delivery->vid, strlen(delivery->vid));
        if (known) { /* what is no id is no vehicle's, and stands among the targets */
            begin_data(data, spec, delivery->vid, delivery_state_name(came_from(delivery, to)),
                       delivery_state_name(to), last ? delivery->reason : NULL);
            if (last && delivery->code != DELIVERY_NO_CODE)
                buf_addf(data, ",\"code\":%lld}", (long long)delivery->code);
            else
                buf_adds(data, ",\"code\":null}");
            snprintf(key, sizeof key, "%s/%s/%s", spec->id, delivery->vid, delivery_state_name(to));
            if (!put(lane, spec, key, delivery->vid, spec->actor, spec->request_id, is_bad(to),
                     data))
                return false;
        }
        delivery->recorded |= (uint16_t)(1u << i);
        command->unrecorded--;
    }
    return true;
}

static bool record_deliveries(struct command_lane *lane, struct command *command, unsigned *budget,
                              struct buf *data)
{
    for (uint32_t i = 0; command->unrecorded > 0 && i < command->spec.total; i++) {
        struct delivery *delivery = &command->deliveries[i];
        if (delivery->entered == delivery->recorded)
            continue;
        if (*budget == 0 || !record_delivery(lane, delivery, data))
            return false;
        --*budget;
    }
    return true;
}

static bool is_due(const struct command *command)
{
    return command->deliveries && (!command->accepted_recorded || command->unrecorded > 0 ||
                                   command->turns_recorded < command->turn_count);
}

bool command_record_due(struct command_lane *lane)
{
    struct buf data = BUF_INIT;
    unsigned budget = RECORDS_A_HOLD;
    bool more = false;
    pthread_mutex_lock(&lane->lock);
    for (struct command *command = lane->oldest; command && !more; command = command->newer)
        if (is_due(command))
            more = !record_acceptance(lane, command) ||
                   !record_deliveries(lane, command, &budget, &data) ||
                   !record_turns(lane, command);
    pthread_mutex_unlock(&lane->lock);
    buf_done(&data);
    return more;
}
