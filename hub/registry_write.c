/* Changing a registration: the entry as it is, with headers that say what changed, by
 * compare-and-set (hub/registry.h). */
#include "hub/registry_impl.h"

#include "hub/clock.h"
#include "hub/failpoint.h"
#include "hub/last.h"
#include "hub/streams.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

enum {
    DEADLINE_MS = 10000, /* for the whole of one change */
    STORE_MS = 2000,
    RETRY_MS = 100,
    SHOW_MS = 5000, /* until the shadow lane has seen the keys go */
    TRIES_MAX = 20,
    KEY_TRIES_MAX = 5,
    STEP_MS = 1,
};

/* ---- the keys of a retired vehicle ---- */

static enum bus_status delete_key(struct registry *registry, const char *subject,
                                  int64_t retired_ns, uint64_t *seq, struct bus_error *error)
{
    enum bus_status status = BUS_CONFLICT;
    for (int i = 0; status == BUS_CONFLICT && i < KEY_TRIES_MAX; i++) {
        struct bus_stored stored;
        char operation[16];
        status = bus_get_last(registry->bus, streams_name(TWIN_SHADOW), subject, &stored, error);
        if (status == BUS_NOT_FOUND)
            return BUS_OK;
        if (status != BUS_OK)
            return status;
        bool gone = bus_stored_header(&stored, "KV-Operation", operation, sizeof operation);
        bool newer = stored.received_ns > retired_ns;
        struct bus_store what = {
            .subject = subject,
            .data = "",
            .expected_last_of_subject = stored.seq,
            .headers = {{"KV-Operation", "DEL"},
                        {REGISTRY_HEADER_CHANGE, registry_change_name(REGISTRY_RETIRED)}}};
        bus_stored_done(&stored);
        if (gone || newer)
            return BUS_OK;
        status = bus_store(registry->bus, &what, STORE_MS, seq, error);
    }
    return status;
}

enum bus_status registry_delete_keys(struct registry *registry, const char *vid, int64_t retired_ns,
                                     uint64_t *last_seq, struct bus_error *error)
{
    const struct config *config = registry->config;
    enum bus_status status = BUS_OK;
    *last_seq = 0;
    for (int i = 0; i < PART_COUNT && status == BUS_OK; i++) {
        char subject[STREAMS_SUBJECT_BYTES];
        uint64_t seq = 0;
        streams_shadow_subject(config->nats.shadow_key_style, config->env,
                               (struct slice){vid, strlen(vid)}, (enum part_kind)i, subject);
        status = delete_key(registry, subject, retired_ns, &seq, error);
        *last_seq = seq > *last_seq ? seq : *last_seq;
    }
    return status;
}

/* ---- the entry ---- */

struct known {
    bool registered, visible;
    int64_t retired_ns;
    struct registry_times times;
};

static struct known look(struct registry *registry, const char *vid)
{
    size_t place = store_enter(registry->store);
    const struct twin *twin = store_find(registry->store, vid);
    struct known known = {.registered = twin && twin->registered,
                          .visible = twin_visible(twin),
                          .retired_ns = twin ? twin->retired_ns : TIMESTAMP_NONE};
    if (twin)
        registry_times_of(twin, &known.times);
    store_leave(registry->store, place);
    return known;
}

static bool is_so(const struct known *known, enum registry_change change)
{
    return change == REGISTRY_REGISTERED ? known->registered : !known->visible;
}

/* The entry of a vehicle that has none: nothing is known of it. */
static void write_empty(struct buf *out)
{
    struct twin *twin = twin_new("");
    if (twin)
        last_write_twin(out, twin);
    else
        out->failed = true;
    last_free_twin(twin);
}

/* The vehicle's entry as it is; seq 0 where there is none, and then an empty one. What it says is
 * applied and, before it is written over, on record. */
static enum bus_status read_entry(struct registry *registry, struct slice vid, const char *subject,
                                  struct buf *body, uint64_t *seq, struct bus_error *error)
{
    struct bus_stored stored = {0};
    enum bus_status status =
        bus_get_last(registry->bus, streams_name(TWIN_LAST), subject, &stored, error);
    bool good = status == BUS_OK || status == BUS_NOT_FOUND;
    *seq = stored.seq;
    if (status == BUS_OK) {
        buf_add(body, stored.data, stored.size);
        good = registry_take_stored(registry, vid, &stored) &&
               recorder_wait(registry->recorder, recorder_last(registry->recorder), STORE_MS);
        if (!good) {
            snprintf(error->text, sizeof error->text, "the record does not take what was before");
            status = BUS_DISCONNECTED;
        }
    }
    if (good && body->size_bytes == 0)
        write_empty(body);
    if (good && body->failed) {
        snprintf(error->text, sizeof error->text, "out of memory");
        status = BUS_ERROR;
    }
    bus_stored_done(&stored);
    return good && status != BUS_ERROR ? BUS_OK : status;
}

/* One compare-and-set. BUS_CONFLICT: somebody else was first. *so: it is so already. */
static enum bus_status write_entry(struct registry *registry,
                                   const struct registry_request *request, const char *msg_id,
                                   bool *so, uint64_t *written, struct bus_error *error)
{
    char subject[STREAMS_SUBJECT_BYTES];
    struct slice vid = {request->vid, strlen(request->vid)};
    struct buf body = BUF_INIT;
    uint64_t seq;
    streams_last_subject(vid, subject);
    enum bus_status status = read_entry(registry, vid, subject, &body, &seq, error);
    struct known known = look(registry, request->vid);
    *written = seq; /* where it is so already, by the entry that was read */
    *so = status == BUS_OK && is_so(&known, request->change);
    if (status == BUS_OK && !*so) {
        struct bus_store what = {
            .subject = subject,
            .data = body.data,
            .size = body.size_bytes,
            .msg_id = msg_id,
            .expected_last_of_subject = seq,
            .headers = {{REGISTRY_HEADER_CHANGE, registry_change_name(request->change)},
                        {REGISTRY_HEADER_ACTOR, request->actor},
                        {REGISTRY_HEADER_REQUEST, request->request_id},
                        {REGISTRY_HEADER_REMOTE, request->remote}}};
        registry_times_add(&known.times, &what);
        status = bus_store(registry->bus, &what, STORE_MS, written, error);
    }
    buf_done(&body);
    return status;
}

static bool make_msg_id(char id[RECORD_ID_TEXT_BYTES])
{
    uint8_t random[RECORD_ID_BYTES];
    if (RAND_bytes(random, sizeof random) != 1)
        return false;
    record_id_format(random, id);
    return true;
}

/* Waits until this hub's twins show what a stream has at `seq`. */
static bool shown(struct registry *registry, enum stream_label stream, uint64_t seq)
{
    for (int ms = 0; store_position(registry->store, stream).seq < seq; ms += STEP_MS) {
        if (ms >= SHOW_MS)
            return false;
        clock_pause_ms(STEP_MS);
    }
    return true;
}

static enum registry_status finish(struct registry *registry,
                                   const struct registry_request *request, uint64_t seq,
                                   struct bus_error *error)
{
    uint64_t last_seq;
    failpoint_reached(FAILPOINT_REGISTRY_WRITTEN);
    if (!shown(registry, STREAM_LAST, seq)) {
        snprintf(error->text, sizeof error->text, "the change is made, and not shown here yet");
        return REGISTRY_UNAVAILABLE;
    }
    if (request->change != REGISTRY_RETIRED)
        return REGISTRY_OK;
    failpoint_reached(FAILPOINT_REGISTRY_HIDDEN);
    if (registry_delete_keys(registry, request->vid, look(registry, request->vid).retired_ns,
                             &last_seq, error) != BUS_OK)
        return REGISTRY_OK; /* the follower finishes it */
    shown(registry, STREAM_SHADOW, last_seq);
    return REGISTRY_OK;
}

enum registry_status registry_write(struct registry *registry,
                                    const struct registry_request *request, struct bus_error *error)
{
    int64_t until_ms = clock_mono_ms() + DEADLINE_MS;
    char msg_id[RECORD_ID_TEXT_BYTES];
    enum bus_status status = BUS_CONFLICT;
    bool so, unknown = false; /* whether an attempt was stored */
    uint64_t seq;
    if (!make_msg_id(msg_id)) {
        snprintf(error->text, sizeof error->text, "no random numbers");
        return REGISTRY_FAILED;
    }
    for (int tries = 0; tries < TRIES_MAX && clock_mono_ms() < until_ms; tries++) {
        status = write_entry(registry, request, msg_id, &so, &seq, error);
        if (status == BUS_OK && so && !unknown)
            return REGISTRY_UNCHANGED;
        if (status == BUS_OK)
            return finish(registry, request, seq, error);
        if (status == BUS_FULL || status == BUS_ERROR)
            return REGISTRY_FAILED;
        if (status != BUS_CONFLICT) {
            unknown = true;
            clock_pause_ms(RETRY_MS);
        }
    }
    if (status == BUS_CONFLICT)
        snprintf(error->text, sizeof error->text, "others change the same vehicle all the time");
    return status == BUS_CONFLICT ? REGISTRY_BUSY : REGISTRY_UNAVAILABLE;
}
