/* What TWIN_CMD and TWIN_ACK say, while this hub runs the lane: TWIN_CMD what was sent and when,
 * by the broker's clock, TWIN_ACK what the vehicles answered. Both are read from the time of the
 * oldest open command when the lane is taken over, and on from there. What is read twice changes
 * nothing. */
#include "hub/command_impl.h"

#include "hub/clock.h"
#include "hub/failpoint.h"
#include "hub/log.h"

#include <string.h>

enum {
    NEXT_MS = 100,
    CATCH_UP_MS = 10, /* the same, until all that there was has been read */
    RETRY_MS = 100,
};

/* The delivery that an id names, if the subject is that vehicle's own. */
static struct delivery *find(struct command_lane *lane, const char *text, size_t size,
                             struct slice speaker, uint32_t *repetition)
{
    struct slice id, vid;
    if (!command_id_parse(text, size, &id, &vid, repetition) || vid.size != speaker.size ||
        memcmp(vid.at, speaker.at, vid.size) != 0)
        return NULL;
    struct command *command = command_by_id(lane, id.at, id.size);
    return command ? command_find(command, vid.at, vid.size) : NULL;
}

static void take_sent(struct command_lane *lane, const struct bus_msg *msg)
{
    const char *id = bus_msg_header(msg, "Nats-Msg-Id");
    struct subject subject;
    uint32_t repetition;
    if (!id || !subject_parse(msg->subject, strlen(msg->subject), &subject))
        return;
    pthread_mutex_lock(&lane->lock);
    struct delivery *delivery = find(lane, id, strlen(id), subject.vid, &repetition);
    if (delivery) {
        if (!delivery->stored || msg->received_ns < delivery->sent_ns)
            delivery->sent_ns = msg->received_ns;
        delivery->stored = true;
        delivery->unsure_ms = 0;
        if (repetition > delivery->repetition)
            delivery->repetition = repetition;
        if (command_apply(lane, delivery, EVENT_SENT, msg->received_ns, NULL, DELIVERY_NO_CODE))
            failpoint_reached(FAILPOINT_COMMAND_SENT); /* before the broker's answer said so */
    }
    pthread_mutex_unlock(&lane->lock);
}

static struct slice text_of(struct doc_ref object, const char *name)
{
    struct doc_ref member = doc_getz(object, name);
    struct slice text = {NULL, 0};
    if (doc_is(member, DOC_STRING))
        text.at = doc_string(member, &text.size);
    return text;
}

static void apply_report(struct command_lane *lane, struct delivery *delivery,
                         const struct envelope *envelope, int64_t received_ns)
{
    struct slice status = text_of(envelope->data, "status");
    struct slice error = text_of(envelope->data, "error");
    enum delivery_event event;
    int64_t code;
    if (!status.at || !delivery_report_parse(status.at, status.size, &event)) {
        metrics_inc(METRIC_COMMAND_ACKS, ACK_UNKNOWN_STATUS);
        return;
    }
    if (!doc_int(doc_getz(envelope->data, "code"), &code))
        code = DELIVERY_NO_CODE;
    command_advance(lane, delivery, received_ns); /* what came too late is too late */
    char *reason = error.at ? delivery_reason(error.at, error.size) : NULL;
    bool applied = command_apply(lane, delivery, event, received_ns, reason, code);
    metrics_inc(METRIC_COMMAND_ACKS, applied ? ACK_APPLIED : ACK_IGNORED);
    if (applied)
        failpoint_reached(event == EVENT_ACCEPTED ? FAILPOINT_COMMAND_ACCEPTED
                                                  : FAILPOINT_COMMAND_REPORTED);
}

static void take_ack(struct command_feed *feed, const struct bus_msg *msg)
{
    struct command_lane *lane = feed->lane;
    struct envelope envelope;
    uint32_t repetition;
    size_t max_bytes = (size_t)lane->options.config->nats.limits.payload_bytes;
    if (envelope_parse(feed->parser, msg->subject, msg->data, msg->size, max_bytes, &envelope) !=
        REFUSAL_NONE)
        return; /* the record lane puts it on record */
    struct slice id = text_of(envelope.data, "cmd_id");
    failpoint_reached(FAILPOINT_COMMAND_ACK_READ);
    pthread_mutex_lock(&lane->lock);
    if (msg->received_ns > lane->heard_ns)
        lane->heard_ns = msg->received_ns;
    struct delivery *delivery =
        id.at ? find(lane, id.at, id.size, envelope.subject.vid, &repetition) : NULL;
    if (delivery)
        apply_report(lane, delivery, &envelope, msg->received_ns);
    else
        metrics_inc(METRIC_COMMAND_ACKS, ACK_FOR_NOBODY);
    pthread_mutex_unlock(&lane->lock);
}

/* ---- reading ---- */

static void close_consumer(struct command_feed *feed)
{
    bus_consumer_close(feed->consumer);
    feed->consumer = NULL;
}

static bool open_consumer(struct command_feed *feed, int64_t from_ns)
{
    struct bus_error error;
    struct bus_consume what = {.stream = streams_name(feed->stream),
                               .from = BUS_FROM_TIME,
                               .time_ns = from_ns,
                               .headers_only = feed->stream == TWIN_CMD};
    return bus_consume(feed->lane->options.bus, &what, &feed->consumer, NULL, &error) == BUS_OK;
}

static void note_caught_up(struct command_feed *feed)
{
    pthread_mutex_lock(&feed->lane->lock);
    bool news = feed->caught_up != feed->opened;
    feed->caught_up = feed->opened;
    feed->caught_ms = clock_mono_ms();
    if (news)
        pthread_cond_signal(&feed->lane->chore);
    pthread_mutex_unlock(&feed->lane->lock);
}

/* Somebody wants to know that no vehicle has answered in time. That nothing comes does not say so:
 * the link may stand still. */
static void listen(struct command_feed *feed)
{
    struct command_lane *lane = feed->lane;
    pthread_mutex_lock(&lane->lock);
    bool wanted = feed == &lane->ack_feed && lane->listen;
    int64_t now_ns = lane_now_ns(lane);
    pthread_mutex_unlock(&lane->lock);
    if (!wanted || !bus_caught_up_now(feed->consumer))
        return;
    pthread_mutex_lock(&lane->lock);
    lane->listen = false;
    if (now_ns > lane->heard_ns)
        lane->heard_ns = now_ns;
    pthread_mutex_unlock(&lane->lock);
}

static void read_one(struct command_feed *feed)
{
    struct bus_msg msg;
    /* written by this thread alone */
    int wait_ms = feed->caught_up == feed->opened ? NEXT_MS : CATCH_UP_MS;
    switch (bus_next(feed->consumer, wait_ms, &msg)) {
    case BUS_OK: {
        bool last = msg.pending == 0;
        if (feed->stream == TWIN_CMD)
            take_sent(feed->lane, &msg);
        else
            take_ack(feed, &msg);
        bus_msg_done(&msg);
        if (last)
            note_caught_up(feed);
        return;
    }
    case BUS_TIMEOUT:
        if (bus_caught_up(feed->consumer))
            note_caught_up(feed);
        listen(feed);
        return;
    case BUS_DISCONNECTED:
        return;
    default:
        close_consumer(feed); /* it began anew: what it holds is read from the same time on */
    }
}

void *command_feed_run(void *closure)
{
    struct command_feed *feed = closure;
    struct command_lane *lane = feed->lane;
    while (!atomic_load(&lane->stop)) {
        pthread_mutex_lock(&lane->lock);
        bool wanted = feed->wanted;
        int64_t from_ns = feed->from_ns;
        uint64_t generation = feed->generation;
        pthread_mutex_unlock(&lane->lock);
        if (feed->consumer && (!wanted || generation != feed->opened))
            close_consumer(feed);
        if (!wanted) {
            clock_pause_ms(NEXT_MS / 10);
        } else if (feed->consumer) {
            read_one(feed);
        } else {
            feed->opened = generation;
            if (!open_consumer(feed, from_ns))
                clock_pause_ms(RETRY_MS);
        }
    }
    close_consumer(feed);
    return NULL;
}
