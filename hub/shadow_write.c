#include "hub/shadow_write.h"

#include "hub/clock.h"
#include "hub/failpoint.h"
#include "hub/if_match.h"
#include "hub/shadow_history.h"
#include "hub/streams.h"
#include "twin/hash.h"

#include <errno.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TURNS = 64,
    STORE_MS = 2000,
    RETRY_MS = 50,
    STEP_MS = 1,
    LOST_PAUSE_MS = 20,  /* at most, before the next try on what somebody else wrote */
    ROOM_WAIT_MS = 1000, /* for the outcome's place in the recorder's queue */
};

struct shadow_writer {
    const struct config *config;
    struct bus *bus;
    struct store *store;
    struct recorder *recorder;
    /* By vehicle the writers of this hub take turns. */
    pthread_mutex_t lock;
    pthread_cond_t turn_over;
    bool taken[TURNS];
};

struct shadow_writer *shadow_writer_new(const struct config *config, struct bus *bus,
                                        struct store *store, struct recorder *recorder)
{
    struct shadow_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return NULL;
    writer->config = config;
    writer->bus = bus;
    writer->store = store;
    writer->recorder = recorder;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->turn_over, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return writer;
}

void shadow_writer_free(struct shadow_writer *writer)
{
    if (!writer)
        return;
    pthread_cond_destroy(&writer->turn_over);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

/* ---- one attempt ---- */

enum step {
    STEP_DONE,  /* `status` says how */
    STEP_AGAIN, /* somebody else was first */
};

/* What one attempt is about to do. */
struct attempt {
    struct shadow_writer *writer;
    const struct shadow_change *change;
    struct shadow_result *result;
    enum shadow_status status;
    int64_t until_ms;
    char subject[STREAMS_SUBJECT_BYTES];
    uint64_t base_seq; /* the key's last sequence; the part's revision may be an older one */
    struct doc *after;
    struct buf before_text, after_text, data;
    struct record request;
    char id[RECORD_ID_TEXT_BYTES];
    uint64_t request_seq;
};

static enum step done(struct attempt *attempt, enum shadow_status status, const char *text)
{
    attempt->status = status;
    snprintf(attempt->result->text, sizeof attempt->result->text, "%s", text);
    return STEP_DONE;
}

static bool shown(const struct attempt *attempt, uint64_t seq, int64_t until_ms)
{
    while (store_position(attempt->writer->store, STREAM_SHADOW).seq < seq) {
        if (clock_mono_ms() >= until_ms)
            return false;
        clock_pause_ms(STEP_MS);
    }
    return true;
}

/* The key's last sequence, asked of NATS, and this hub's twins at least as far. */
static enum step find_base(struct attempt *attempt)
{
    struct bus_stored stored = {0};
    struct bus_error error;
    enum bus_status status = bus_get_last(attempt->writer->bus, streams_name(TWIN_SHADOW),
                                          attempt->subject, &stored, &error);
    attempt->base_seq = stored.seq;
    bus_stored_done(&stored);
    if (status != BUS_OK && status != BUS_NOT_FOUND)
        return done(attempt, SHADOW_UNAVAILABLE, "NATS does not answer. Nothing was written.");
    if (!shown(attempt, attempt->base_seq, attempt->until_ms))
        return done(attempt, SHADOW_UNAVAILABLE,
                    "This hub has not yet seen the part's last value. Nothing was written.");
    return STEP_AGAIN;
}

/* The part as it is to be; NULL when there is no memory. */
static struct doc *build(const struct shadow_change *change, struct doc_ref before)
{
    if (change->replace)
        return doc_without_nulls(change->value);
    struct doc *merged = doc_merge(before, change->value);
    struct doc *clean = merged ? doc_without_nulls(doc_root(merged)) : NULL;
    free(merged);
    return clean;
}

/* Judges the change on the part as it is. Inside store_enter. STEP_AGAIN: to be written. */
static enum step judge(struct attempt *attempt)
{
    const struct shadow_change *change = attempt->change;
    const struct twin *twin = store_find(attempt->writer->store, change->vid);
    if (!twin_visible(twin))
        return done(attempt, SHADOW_UNKNOWN_VEHICLE, "");
    const struct part *part = twin->parts[change->kind];
    char etag[32];
    attempt->result->revision = part ? part->revision : 0;
    snprintf(etag, sizeof etag, "\"%llu\"", (unsigned long long)attempt->result->revision);
    if (!if_match_allows(change->if_match, etag))
        return done(attempt, SHADOW_PRECONDITION, "");

    struct doc_ref before = doc_root(part ? part->value : NULL);
    attempt->after = build(change, before);
    if (!attempt->after)
        return done(attempt, SHADOW_UNAVAILABLE, "There is no memory for it.");
    struct doc_ref after = doc_root(attempt->after);
    bool same = doc_exists(before) ? doc_equal(before, after) : doc_members(after) == 0;
    if (same)
        return done(attempt, SHADOW_UNCHANGED, "");
    if (doc_exists(before))
        doc_write(&attempt->before_text, before);
    else
        buf_adds(&attempt->before_text, "{}");
    doc_write(&attempt->after_text, after);
    if (attempt->after_text.failed || attempt->before_text.failed)
        return done(attempt, SHADOW_UNAVAILABLE, "There is no memory for it.");
    if (attempt->after_text.size_bytes > PART_MAX_BYTES)
        return done(attempt, SHADOW_TOO_LARGE, "");
    return STEP_AGAIN;
}

/* Stores until there is an answer that says something. */
static enum bus_status store_until(struct attempt *attempt, const struct bus_store *what,
                                   uint64_t *seq, struct bus_error *error)
{
    for (;;) {
        enum bus_status status = bus_store(attempt->writer->bus, what, STORE_MS, seq, error);
        if (status != BUS_DISCONNECTED && status != BUS_TIMEOUT)
            return status;
        if (clock_mono_ms() >= attempt->until_ms)
            return BUS_DISCONNECTED;
        clock_pause_ms(RETRY_MS);
    }
}

static bool fill_request(struct attempt *attempt)
{
    const struct shadow_change *change = attempt->change;
    struct record *record = &attempt->request;
    shadow_record_data(&attempt->data, change->kind,
                       (struct slice){attempt->before_text.data, attempt->before_text.size_bytes},
                       (struct slice){attempt->after_text.data, attempt->after_text.size_bytes}, 0);
    record_init(record);
    if (attempt->data.failed || RAND_bytes(record->id, sizeof record->id) != 1)
        return false;
    record_id_format(record->id, attempt->id);
    record->kind = RECORD_SHADOW;
    record->type = (struct slice){"requested", 9};
    record->vid = (struct slice){change->vid, strlen(change->vid)};
    record->actor = (struct slice){change->actor, strlen(change->actor)};
    record->request_id = (struct slice){change->request_id, strlen(change->request_id)};
    record->data = (struct slice){attempt->data.data, attempt->data.size_bytes};
    return true;
}

/* The request goes on record. */
static enum step request(struct attempt *attempt)
{
    const struct config *config = attempt->writer->config;
    struct buf subject = BUF_INIT, text = BUF_INIT;
    struct bus_error error;
    char base[24];
    enum bus_status status = BUS_ERROR;
    bool filled = fill_request(attempt);
    if (filled) {
        record_subject(&subject, config->env, config->region, &attempt->request);
        record_write(&text, &attempt->request);
    }
    snprintf(base, sizeof base, "%llu", (unsigned long long)attempt->base_seq);
    filled = filled && !subject.failed && !text.failed;
    if (filled) {
        struct bus_store what = {.subject = buf_cstr(&subject),
                                 .data = text.data,
                                 .size = text.size_bytes,
                                 .msg_id = attempt->id,
                                 .expected_last_of_subject = BUS_ANY_SEQ,
                                 .headers = {{SHADOW_HEADER_BASE, base}}};
        status = store_until(attempt, &what, &attempt->request_seq, &error);
    }
    buf_done(&subject);
    buf_done(&text);
    if (!filled)
        return done(attempt, SHADOW_UNAVAILABLE, "There is no memory for it.");
    if (status == BUS_DISCONNECTED)
        return done(attempt, SHADOW_UNAVAILABLE, "NATS does not answer. Nothing was written.");
    return status == BUS_OK ? STEP_AGAIN : done(attempt, SHADOW_FAILED, error.text);
}

/* The outcome goes on record, in its own time: the recorder repeats it until it is stored. */
static void conclude(struct attempt *attempt, bool applied, uint64_t revision, const char *reason)
{
    struct buf text = BUF_INIT;
    struct record outcome;
    uint64_t ticket;
    bool put = false;
    if (shadow_outcome(&attempt->request, applied, revision, reason, &text, &outcome))
        for (int ms = 0; !put && ms < ROOM_WAIT_MS; ms += STEP_MS) {
            put = recorder_put(attempt->writer->recorder, &outcome, &ticket);
            if (!put) /* else it stays open, and is settled like what a crash leaves */
                clock_pause_ms(STEP_MS);
        }
    buf_done(&text);
}

/* A compare-and-set that missed, unless it was our own, whose answer had been lost. */
static enum step missed(struct attempt *attempt, uint64_t *revision)
{
    struct shadow_history history;
    struct bus_error error;
    if (shadow_history_read(attempt->writer->config, attempt->writer->bus, attempt->change->vid,
                            attempt->change->kind, &history, &error) != BUS_OK)
        return done(attempt, SHADOW_UNAVAILABLE,
                    "NATS did not say whether it was written. The record will; look at the part.");
    const struct shadow_revision *ours = shadow_history_find(&history, attempt->request.id);
    *revision = ours ? ours->revision : 0;
    shadow_history_done(&history);
    if (!ours)
        conclude(attempt, false, attempt->result->revision, "the part changed meanwhile");
    return STEP_AGAIN;
}

/* The value itself. *revision is 0 where somebody else was first. */
static enum step put_value(struct attempt *attempt, uint64_t *revision)
{
    char request_seq[24];
    struct bus_error error;
    snprintf(request_seq, sizeof request_seq, "%llu", (unsigned long long)attempt->request_seq);
    struct bus_store what = {.subject = attempt->subject,
                             .data = attempt->after_text.data,
                             .size = attempt->after_text.size_bytes,
                             .msg_id = attempt->id,
                             .expected_last_of_subject = attempt->base_seq,
                             .headers = {{SHADOW_HEADER_RECORD, attempt->id},
                                         {SHADOW_HEADER_RECORD_SEQ, request_seq},
                                         {SHADOW_HEADER_ACTOR, attempt->change->actor}}};
    *revision = 0;
    switch (store_until(attempt, &what, revision, &error)) {
    case BUS_OK:
        return STEP_AGAIN;
    case BUS_CONFLICT:
        return missed(attempt, revision);
    case BUS_DISCONNECTED:
        return done(attempt, SHADOW_UNAVAILABLE,
                    "NATS did not say whether it was written. The record will; look at the part.");
    default:
        conclude(attempt, false, attempt->result->revision, error.text);
        return done(attempt, SHADOW_FAILED, error.text);
    }
}

static enum step try_once(struct attempt *attempt)
{
    uint64_t revision;
    enum step step = find_base(attempt);
    if (step == STEP_DONE)
        return step;
    size_t place = store_enter(attempt->writer->store);
    step = judge(attempt);
    store_leave(attempt->writer->store, place);
    if (step == STEP_DONE)
        return step;
    if (attempt->result->revision > attempt->base_seq)
        return STEP_AGAIN; /* it changed since the last sequence was asked for */
    if (request(attempt) == STEP_DONE)
        return STEP_DONE;
    failpoint_reached(FAILPOINT_SHADOW_REQUESTED);
    if (put_value(attempt, &revision) == STEP_DONE)
        return STEP_DONE;
    if (revision == 0)
        return STEP_AGAIN;
    failpoint_reached(FAILPOINT_SHADOW_WRITTEN);
    conclude(attempt, true, revision, NULL);
    failpoint_reached(FAILPOINT_SHADOW_OUTCOME);
    attempt->result->revision = revision;
    if (!shown(attempt, revision, clock_mono_ms() + SHADOW_SHOW_MS))
        return done(attempt, SHADOW_UNAVAILABLE,
                    "It is written, and this hub does not show it yet.");
    return done(attempt, SHADOW_WRITTEN, "");
}

static void attempt_done(struct attempt *attempt)
{
    free(attempt->after);
    buf_done(&attempt->before_text);
    buf_done(&attempt->after_text);
    buf_done(&attempt->data);
}

/* ---- the whole ---- */

static bool *turn_of(struct shadow_writer *writer, const char *vid)
{
    return &writer->taken[hash_of_text(vid) % TURNS];
}

/* False where the turn did not come in time. */
static bool take_turn(struct shadow_writer *writer, bool *taken, int64_t until_ms)
{
    struct timespec until = {until_ms / 1000, (long)(until_ms % 1000 * NS_PER_MS)};
    int late = 0;
    pthread_mutex_lock(&writer->lock);
    while (*taken && late != ETIMEDOUT)
        late = pthread_cond_timedwait(&writer->turn_over, &writer->lock, &until);
    bool ours = !*taken;
    *taken = true;
    pthread_mutex_unlock(&writer->lock);
    return ours;
}

static void give_turn(struct shadow_writer *writer, bool *taken)
{
    pthread_mutex_lock(&writer->lock);
    *taken = false;
    pthread_cond_broadcast(&writer->turn_over);
    pthread_mutex_unlock(&writer->lock);
}

/* So that two hubs do not run into each other again and again. */
static void pause_after_loss(void)
{
    unsigned char random = 0;
    RAND_bytes(&random, 1);
    clock_pause_ms(1 + random % LOST_PAUSE_MS);
}

enum shadow_status shadow_write(struct shadow_writer *writer, const struct shadow_change *change,
                                struct shadow_result *result)
{
    int64_t until_ms = clock_mono_ms() + SHADOW_WRITE_MS;
    bool *turn = turn_of(writer, change->vid);
    enum shadow_status status = SHADOW_BUSY;
    *result = (struct shadow_result){0};
    if (!bus_connected(writer->bus)) {
        snprintf(result->text, sizeof result->text, "NATS is away. Nothing was written.");
        return SHADOW_UNAVAILABLE;
    }
    if (!take_turn(writer, turn, until_ms))
        return SHADOW_BUSY;
    for (int i = 0; i < SHADOW_TRIES_MAX && clock_mono_ms() < until_ms; i++) {
        struct attempt attempt = {
            .writer = writer, .change = change, .result = result, .until_ms = until_ms};
        streams_shadow_subject(writer->config->nats.shadow_key_style, writer->config->env,
                               (struct slice){change->vid, strlen(change->vid)}, change->kind,
                               attempt.subject);
        enum step step = try_once(&attempt);
        if (step == STEP_DONE) {
            status = attempt.status;
            if (status == SHADOW_WRITTEN || status == SHADOW_UNCHANGED) {
                result->value = attempt.after;
                attempt.after = NULL;
            }
        }
        attempt_done(&attempt);
        if (step == STEP_DONE)
            break;
        pause_after_loss();
    }
    give_turn(writer, turn);
    return status;
}
