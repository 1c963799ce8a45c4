#include "tools/sender.h"

#include "tools/hold.h"
#include "tools/pace.h"
#include "tools/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BOOT_BYTES = 64 };

/* A repeated message follows the first within this. */
#define DUPLICATE_WITHIN_NS (2 * NS_PER_S)

struct sender {
    struct sender_config config;
    struct rng rng;
    struct hold *hold;
    uint64_t *seqs;     /* by vehicle: the last one given */
    uint32_t *restarts; /* by vehicle: of this boot of all */
    bool *clocks_wrong; /* by vehicle */
    bool kinds[HOSTILE_COUNT];
    char boot[BOOT_BYTES], vehicle_boot[2 * BOOT_BYTES]; /* of all; scratch: of one */
    uint64_t good_sent, hostile_sent, hostile_turn;
    unsigned clock_turn;
    struct buf subject, msg_id, payload; /* scratch */
};

struct sender *sender_new(const struct sender_config *config)
{
    uint32_t vehicles = roster_count(config->roster);
    struct sender *sender = calloc(1, sizeof *sender);
    if (!sender)
        return NULL;
    sender->config = *config;
    rng_init(&sender->rng, config->seed);
    sender->hold = hold_new();
    sender->seqs = calloc(vehicles + 1, sizeof *sender->seqs);
    sender->restarts = calloc(vehicles + 1, sizeof *sender->restarts);
    sender->clocks_wrong = calloc(vehicles + 1, sizeof *sender->clocks_wrong);
    if (!sender->hold || !sender->seqs || !sender->restarts || !sender->clocks_wrong ||
        !hostile_kinds_parse(config->faults.hostile_kinds, sender->kinds)) {
        sender_free(sender);
        return NULL;
    }
    for (uint32_t i = 0; i < vehicles; i++)
        sender->clocks_wrong[i] =
            rng_percent(&sender->rng, config->faults.wrong_clock_vehicles_pct);
    return sender;
}

void sender_free(struct sender *sender)
{
    if (!sender)
        return;
    hold_free(sender->hold);
    free(sender->seqs);
    free(sender->restarts);
    free(sender->clocks_wrong);
    buf_done(&sender->subject);
    buf_done(&sender->msg_id);
    buf_done(&sender->payload);
    free(sender);
}

void sender_boot(struct sender *sender, const char *boot)
{
    snprintf(sender->boot, sizeof sender->boot, "%s", boot);
    memset(sender->seqs, 0, roster_count(sender->config.roster) * sizeof *sender->seqs);
    memset(sender->restarts, 0, roster_count(sender->config.roster) * sizeof *sender->restarts);
}

void sender_restart(struct sender *sender, uint32_t vehicle)
{
    sender->restarts[vehicle]++;
    sender->seqs[vehicle] = 0;
}

static const char *boot_of(struct sender *sender, uint32_t vehicle)
{
    if (sender->restarts[vehicle] == 0)
        return sender->boot;
    snprintf(sender->vehicle_boot, sizeof sender->vehicle_boot, "%s-%u", sender->boot,
             sender->restarts[vehicle]);
    return sender->vehicle_boot;
}

bool sender_ready(const struct sender *sender)
{
    bool way = sim_bus_connected(sender->config.bus) || sender->config.drop_state;
    return way && gateway_room(sender->config.gateway);
}

/* ---- out to the broker ---- */

static enum gateway_stream stream_of(enum category category)
{
    switch (category) {
    case CATEGORY_EVENT:
        return GATEWAY_EVENTS;
    case CATEGORY_ACK:
        return GATEWAY_ACKS;
    default:
        return GATEWAY_STATE;
    }
}

/* A message that must arrive is kept by the gateway; the rest is one publish. */
static void dispatch(struct sender *sender, enum category category, bool repeat,
                     const char *subject, const char *msg_id, const char *payload, size_t size)
{
    const struct sender_config *config = &sender->config;
    bool state = category == CATEGORY_STATE;
    bool sent;

    if (!repeat && (!state || config->state_acks))
        sent = gateway_keep(config->gateway, stream_of(category), subject, payload, size, msg_id,
                            pace_mono_ns());
    else
        sent = (sim_bus_connected(config->bus) || !config->drop_state) &&
               sim_bus_publish(config->bus, subject, payload, size, state ? NULL : msg_id);
    if (!sent && !repeat)
        config->report->state_dropped++;
}

static void hold_or_dispatch(struct sender *sender, int64_t at_ns, enum category category,
                             bool repeat)
{
    const char *subject = buf_cstr(&sender->subject), *msg_id = buf_cstr(&sender->msg_id);
    struct held *held = held_new(at_ns, category, repeat, subject, msg_id, sender->payload.data,
                                 sender->payload.size_bytes);
    if (held && hold_put(sender->hold, held))
        return;
    free(held);
    dispatch(sender, category, repeat, subject, msg_id, sender->payload.data,
             sender->payload.size_bytes);
}

int64_t sender_held_next_ns(const struct sender *sender)
{
    return hold_next_ns(sender->hold);
}

void sender_held_send(struct sender *sender)
{
    struct held *held = hold_take(sender->hold);
    if (!held)
        return;
    dispatch(sender, held->category, held->repeat, held->subject, held->msg_id, held->payload,
             held->payload_bytes);
    free(held);
}

/* ---- hostile messages ---- */

static bool next_hostile(struct sender *sender, enum hostile *kind, enum category *category)
{
    /* all kinds into one stream, then all into the other */
    for (int tries = 0; tries < HOSTILE_COUNT; tries++) {
        uint64_t turn = sender->hostile_turn++;
        *kind = (enum hostile)(turn % HOSTILE_COUNT);
        *category = turn / HOSTILE_COUNT % 2 ? CATEGORY_EVENT : CATEGORY_STATE;
        if (sender->kinds[*kind])
            return true;
    }
    return false;
}

/* Published once and not kept: a repetition would be one more refused message. */
static void send_hostile(struct sender *sender, uint32_t vehicle, const char *timestamp)
{
    const struct sender_config *config = &sender->config;
    enum hostile kind;
    enum category category;

    if (!next_hostile(sender, &kind, &category))
        return;
    const char *vid = roster_vid(config->roster, vehicle);
    struct message good = {.vid = vid,
                           .timestamp = timestamp,
                           .boot = boot_of(sender, vehicle),
                           .seq = ++sender->seqs[vehicle],
                           .data = "{\"hostile\":true}",
                           .data_bytes = strlen("{\"hostile\":true}")};
    buf_reset(&sender->subject);
    message_subject(&sender->subject, config->env, vid, category, hostile_type(kind));
    buf_reset(&sender->payload);
    hostile_write(&sender->payload, kind, &good);
    if (sim_bus_publish(config->bus, buf_cstr(&sender->subject), buf_cstr(&sender->payload),
                        sender->payload.size_bytes, NULL))
        config->report->hostile[kind][category]++;
}

static uint64_t hostile_owed(const struct sender *sender)
{
    uint64_t all = (uint64_t)sender->config.faults.hostile, total = sender->config.expected_total;
    if (total == 0 || sender->good_sent >= total)
        return all < sender->good_sent ? all : sender->good_sent;
    return (uint64_t)((double)all * (double)sender->good_sent / (double)total);
}

static void send_hostiles(struct sender *sender, uint32_t vehicle, const char *timestamp)
{
    uint64_t owed = hostile_owed(sender);
    if (sender->config.faults.hostile > 0)
        for (; sender->hostile_sent < owed; sender->hostile_sent++)
            send_hostile(sender, vehicle, timestamp);
    if (rng_percent(&sender->rng, sender->config.faults.refused_pct))
        send_hostile(sender, vehicle, timestamp);
}

void sender_finish(struct sender *sender)
{
    char timestamp[TIMESTAMP_TEXT_BYTES];
    uint32_t vehicles = roster_count(sender->config.roster);

    timestamp_format(pace_real_ns(), timestamp);
    if (vehicles == 0 || sender->config.faults.hostile <= 0)
        return;
    for (; sender->hostile_sent < (uint64_t)sender->config.faults.hostile; sender->hostile_sent++)
        send_hostile(sender, (uint32_t)(sender->hostile_sent % vehicles), timestamp);
}

/* ---- good messages ---- */

static bool clock_is_wrong(struct sender *sender, uint32_t vehicle)
{
    return sender->clocks_wrong[vehicle] ||
           rng_percent(&sender->rng, sender->config.faults.wrong_clock_pct);
}

static void compose(struct sender *sender, uint32_t vehicle, const struct report_type *type,
                    const char *data, size_t data_bytes, const char *timestamp)
{
    const char *vid = roster_vid(sender->config.roster, vehicle);
    struct message message = {.vid = vid,
                              .timestamp = timestamp,
                              .boot = boot_of(sender, vehicle),
                              .seq = ++sender->seqs[vehicle],
                              .data = data,
                              .data_bytes = data_bytes};
    buf_reset(&sender->subject);
    message_subject(&sender->subject, sender->config.env, vid, type->category, type->name);
    buf_reset(&sender->msg_id);
    buf_adds(&sender->msg_id, vid);
    buf_addc(&sender->msg_id, ':');
    buf_adds(&sender->msg_id, message.boot);
    buf_addc(&sender->msg_id, ':');
    buf_json_int(&sender->msg_id, (int64_t)message.seq);
    buf_reset(&sender->payload);
    message_write(&sender->payload, &message);
}

/* How long the message is held back, 0 for not at all. */
static int64_t delay_of(struct sender *sender, enum category category)
{
    const struct fault_options *faults = &sender->config.faults;
    struct report *report = sender->config.report;

    if (rng_percent(&sender->rng, faults->late_pct)) {
        report->late[category]++;
        return (int64_t)(rng_between(&sender->rng, 0.1, 1) * faults->late_s * (double)NS_PER_S);
    }
    if (faults->shuffle_ms <= 0)
        return 0;
    report->shuffled[category]++;
    return (int64_t)(rng_unit(&sender->rng) * faults->shuffle_ms * (double)NS_PER_MS);
}

void sender_send(struct sender *sender, uint32_t vehicle, int type_at, const char *data,
                 size_t data_bytes, int64_t schedule_ns, int64_t timestamp_ns)
{
    struct report *report = sender->config.report;
    struct report_type *type = &report->types[type_at];
    enum category category = type->category;
    char good_time[TIMESTAMP_TEXT_BYTES], wrong_time[TIMESTAMP_TEXT_BYTES];
    const char *timestamp = good_time;

    timestamp_format(timestamp_ns, good_time);
    if (clock_is_wrong(sender, vehicle)) {
        enum clock_fault fault = (enum clock_fault)(sender->clock_turn++ % CLOCK_FAULT_COUNT);
        clock_fault_text(fault, pace_real_ns(), wrong_time);
        timestamp = wrong_time;
        report->wrong_clock[fault][category]++;
    }
    compose(sender, vehicle, type, data, data_bytes, timestamp);
    type->sent++;
    report->sent[category]++;
    report->sent_bytes += sender->payload.size_bytes;
    sender->good_sent++;

    int64_t delay_ns = delay_of(sender, category);
    if (delay_ns > 0)
        hold_or_dispatch(sender, schedule_ns + delay_ns, category, false);
    else
        dispatch(sender, category, false, buf_cstr(&sender->subject), buf_cstr(&sender->msg_id),
                 sender->payload.data, sender->payload.size_bytes);
    if (rng_percent(&sender->rng, sender->config.faults.duplicates_pct)) {
        report->duplicates[category]++;
        int64_t after_ns = (int64_t)(rng_unit(&sender->rng) * (double)DUPLICATE_WITHIN_NS);
        hold_or_dispatch(sender, schedule_ns + delay_ns + after_ns, category, true);
    }
    send_hostiles(sender, vehicle, good_time);
}
