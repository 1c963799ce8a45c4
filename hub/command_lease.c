/* The lease of the command lane: an entry in TWIN_COMMANDS, taken and kept by compare-and-set. A
 * holder acts only while less than COMMAND_LEASE_MS have passed since it began to renew; the others
 * wait that long after they saw the entry change last. */
#include "hub/command_impl.h"

#include "hub/clock.h"
#include "hub/failpoint.h"
#include "hub/log.h"

#include <stdio.h>
#include <string.h>

enum {
    RENEW_MS = 750,
    LOOK_MS = 250,
    MARGIN_MS = 250, /* that a holder stops early: two clocks need not run alike */
    RENEW_WAIT_MS = 1000,
    LEASE_DEPTH = 4,
    LEASE_MAX_BYTES = 4096,
};

static void set_holder(struct command_lane *lane, const char *subject)
{
    pthread_mutex_lock(&lane->holder_lock);
    snprintf(lane->holder_subject, sizeof lane->holder_subject, "%s", subject);
    pthread_mutex_unlock(&lane->holder_lock);
}

bool command_lease_holder(struct command_lane *lane, char subject[STREAMS_SUBJECT_BYTES])
{
    pthread_mutex_lock(&lane->holder_lock);
    snprintf(subject, STREAMS_SUBJECT_BYTES, "%s", lane->holder_subject);
    pthread_mutex_unlock(&lane->holder_lock);
    return subject[0] != '\0';
}

/* Writes the lease; `subject` "" gives it back. */
static enum bus_status put(struct command_lane *lane, const char *subject)
{
    char key[COMMAND_KEY_BYTES];
    struct buf value = BUF_INIT;
    struct bus_error error;
    uint64_t seq;
    buf_adds(&value, "{\"hub\":");
    buf_json_cstr(&value, lane->hub_id);
    buf_adds(&value, ",\"subject\":");
    buf_json_cstr(&value, subject);
    buf_addc(&value, '}');
    struct bus_store what = {.subject = command_key(key, "lease", NULL, -1),
                             .data = value.data,
                             .size = value.size_bytes,
                             .expected_last_of_subject = lane->lease_seq};
    enum bus_status status =
        value.failed ? BUS_ERROR
                     : bus_store(lane->options.urgent_bus, &what, RENEW_WAIT_MS, &seq, &error);
    buf_done(&value);
    if (status == BUS_OK)
        lane->lease_seq = seq;
    return status;
}

static void lose(struct command_lane *lane, const char *why)
{
    atomic_store(&lane->lease_until_ms, 0);
    set_holder(lane, "");
    pthread_mutex_lock(&lane->lock);
    bool held = lane->stage != LANE_IDLE;
    lane->stage = LANE_IDLE;
    pthread_cond_signal(&lane->chore);
    pthread_mutex_unlock(&lane->lock);
    metrics_set(METRIC_COMMAND_LANE, 0, 0);
    lane->lease_seen_ms = clock_mono_ms();
    if (held)
        log_warn("command.lease_lost", "detail", why);
}

static void keep(struct command_lane *lane)
{
    int64_t began_ms = clock_mono_ms();
    if (began_ms - lane->renewed_ms < RENEW_MS)
        return;
    switch (put(lane, lane->subject)) {
    case BUS_OK:
        lane->renewed_ms = began_ms;
        atomic_store(&lane->lease_until_ms, began_ms + COMMAND_LEASE_MS - MARGIN_MS);
        return;
    case BUS_CONFLICT: /* another took it, or our last renewal was stored and not answered */
        lose(lane, "it changed hands");
        return;
    default:
        return; /* not known now: it runs out by itself, and comes back with the connection */
    }
}

/* Reads who holds it. False: not known now. *free: nobody does. */
static bool look(struct command_lane *lane, bool *free)
{
    struct bus_stored stored = {0};
    struct bus_error error;
    char key[COMMAND_KEY_BYTES], subject[STREAMS_SUBJECT_BYTES] = "";
    bool known;
    struct doc_limits limits = {LEASE_MAX_BYTES, LEASE_DEPTH};
    struct doc_ref root;
    int64_t now_ns = broker_clock_now(lane->options.clock, &known);
    enum bus_status status = bus_get_last(lane->options.urgent_bus, streams_name(TWIN_COMMANDS),
                                          command_key(key, "lease", NULL, -1), &stored, &error);
    if (status == BUS_NOT_FOUND) {
        lane->lease_seq = 0;
        *free = true;
        set_holder(lane, "");
        return true;
    }
    if (status != BUS_OK)
        return false;
    if (stored.seq != lane->lease_seq) {
        lane->lease_seq = stored.seq;
        lane->lease_seen_ms = clock_mono_ms();
    }
    struct doc_parser *parser = doc_parser_new();
    if (parser && doc_parse(parser, stored.data, stored.size, limits, &root) == DOC_OK) {
        struct doc_ref member = doc_getz(root, "subject");
        size_t size;
        const char *text = doc_is(member, DOC_STRING) ? doc_string(member, &size) : NULL;
        if (text && size < sizeof subject) {
            memcpy(subject, text, size);
            subject[size] = '\0';
        }
    }
    doc_parser_free(parser);
    /* By the broker's own times where they are known: a hub that starts after a crash need not
     * watch the old lease run out once more. */
    bool old = known && now_ns - stored.received_ns > (COMMAND_LEASE_MS + MARGIN_MS) * NS_PER_MS;
    bool silent = clock_mono_ms() - lane->lease_seen_ms > COMMAND_LEASE_MS;
    bool own = strcmp(subject, lane->subject) == 0; /* a renewal of ours that was not answered */
    *free = subject[0] == '\0' || silent || old || own;
    set_holder(lane, *free ? "" : subject);
    bus_stored_done(&stored);
    return true;
}

static void take(struct command_lane *lane)
{
    int64_t began_ms = clock_mono_ms();
    if (put(lane, lane->subject) != BUS_OK)
        return;
    failpoint_reached(FAILPOINT_COMMAND_LEASED);
    lane->renewed_ms = began_ms;
    atomic_store(&lane->lease_until_ms, began_ms + COMMAND_LEASE_MS - MARGIN_MS);
    set_holder(lane, "");
    pthread_mutex_lock(&lane->lock);
    lane->stage = LANE_LOADING;
    lane->term++;
    pthread_cond_signal(&lane->chore);
    pthread_mutex_unlock(&lane->lock);
    metrics_set(METRIC_COMMAND_LANE, 0, 1);
    log_info("command.lease_taken", "hub", lane->hub_id);
}

void *command_lease_run(void *closure)
{
    struct command_lane *lane = closure;
    bool none;
    while (!atomic_load(&lane->stop)) {
        pthread_mutex_lock(&lane->lock);
        bool held = lane->stage != LANE_IDLE;
        pthread_mutex_unlock(&lane->lock);
        if (held)
            keep(lane);
        else if (look(lane, &none) && none)
            take(lane);
        clock_pause_ms(held ? LOOK_MS / 2 : LOOK_MS);
    }
    return NULL;
}

void command_lease_return(struct command_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    bool held = lane->stage != LANE_IDLE;
    lane->stage = LANE_IDLE;
    pthread_mutex_unlock(&lane->lock);
    atomic_store(&lane->lease_until_ms, 0);
    if (held)
        put(lane, "");
}
