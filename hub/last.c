#include "hub/last.h"

#include "hub/log.h"
#include "hub/registry.h"
#include "hub/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOAD_NEXT_MS = 1000,
    ENTRY_MAX_BYTES = 4 * 1024 * 1024,
    ENTRY_DEPTH = 40, /* a state's data, in its entry */
};

/* Which streams the mark speaks of, and by what name. `folded`: the feeds go on from there. */
static const struct {
    enum stream_label label;
    const char *name;
    bool folded;
} mark_streams[] = {{STREAM_STATE, "TWIN_STATE", true},    {STREAM_EVENTS, "TWIN_EVENTS", true},
                    {STREAM_ACK, "TWIN_ACK", true},        {STREAM_RECORD, "TWIN_RECORD", false},
                    {STREAM_SHADOW, "TWIN_SHADOW", false}, {STREAM_ACCESS, "TWIN_ACCESS", false}};
enum { MARK_STREAMS = sizeof mark_streams / sizeof *mark_streams };

/* ---- writing ---- */

static void write_state(struct buf *out, const struct state *state)
{
    struct slice boot = state_boot(state);
    buf_adds(out, "{\"timestamp\":");
    buf_json_timestamp(out, state->timestamp_ns);
    if (boot.at) {
        buf_adds(out, ",\"boot\":");
        buf_json_string(out, boot.at, boot.size);
    }
    if (state->seq != SEQ_NONE) {
        buf_adds(out, ",\"seq\":");
        buf_json_int(out, state->seq);
    }
    buf_adds(out, ",\"received\":");
    buf_json_timestamp(out, state->received_ns);
    buf_adds(out, ",\"stream_seq\":");
    buf_json_int(out, (int64_t)state->stream_seq);
    buf_adds(out, ",\"data\":");
    doc_write(out, doc_root(state->data));
    buf_addc(out, '}');
}

static void write_revision(struct buf *out, const char *name, const struct part *part)
{
    buf_adds(out, name);
    buf_json_int(out, part ? (int64_t)part->revision : 0);
}

void last_write_twin(struct buf *out, const struct twin *twin)
{
    buf_adds(out, "{\"registered\":");
    buf_adds(out, twin->registered ? "true" : "false");
    buf_adds(out, ",\"registered_at\":");
    buf_json_timestamp(out, twin->registered_ns);
    buf_adds(out, ",\"retired\":");
    buf_json_timestamp(out, twin->retired_ns);
    buf_adds(out, twin->hidden ? ",\"hidden\":true" : ",\"hidden\":false");
    buf_adds(out, ",\"presence\":{\"status\":");
    buf_json_cstr(out, presence_name(twin->presence.status));
    buf_adds(out, ",\"last_seen\":");
    buf_json_timestamp(out, twin->presence.last_seen_ns);
    buf_adds(out, ",\"since\":");
    buf_json_timestamp(out, twin->presence.since_ns);
    buf_adds(out, "},\"delta_since\":");
    buf_json_timestamp(out, twin->delta_since_ns);
    write_revision(out, ",\"desired\":", twin->parts[PART_DESIRED]);
    write_revision(out, ",\"reported\":", twin->parts[PART_REPORTED]);
    buf_adds(out, ",\"states\":{");
    for (size_t i = 0; i < twin->state_count; i++) {
        struct slice type = state_type(twin->states[i]);
        if (i > 0)
            buf_addc(out, ',');
        buf_json_string(out, type.at, type.size);
        buf_addc(out, ':');
        write_state(out, twin->states[i]);
    }
    buf_adds(out, "}}");
}

void last_write_mark(struct buf *out, const struct mark *mark)
{
    buf_adds(out, "{\"by\":");
    buf_json_cstr(out, mark->by);
    buf_adds(out, ",\"streams\":{");
    for (size_t i = 0; i < MARK_STREAMS; i++) {
        const struct position *position = &mark->streams[mark_streams[i].label];
        buf_json_name(out, mark_streams[i].name);
        buf_adds(out, "{\"epoch\":");
        buf_json_timestamp(out, position->epoch_ns);
        buf_adds(out, ",\"seq\":");
        buf_json_int(out, (int64_t)position->seq);
        buf_adds(out, ",\"received\":");
        buf_json_timestamp(out, position->received_ns);
        buf_addc(out, '}');
    }
    buf_adds(out, "}}");
}

/* ---- reading ---- */

/* A timestamp member; null or missing is TIMESTAMP_NONE. False where it is something else. */
static bool read_time(struct doc_ref object, const char *name, int64_t *timestamp_ns)
{
    struct doc_ref value = doc_getz(object, name);
    *timestamp_ns = TIMESTAMP_NONE;
    if (!doc_exists(value) || doc_is(value, DOC_NULL))
        return true;
    if (!doc_is(value, DOC_STRING))
        return false;
    size_t size;
    const char *text = doc_string(value, &size);
    return timestamp_parse(text, size, timestamp_ns);
}

static bool read_seq(struct doc_ref object, const char *name, int64_t absent, int64_t *seq)
{
    struct doc_ref value = doc_getz(object, name);
    *seq = absent;
    return !doc_exists(value) || (doc_int(value, seq) && *seq >= 0);
}

static struct state *read_state(struct doc_ref member)
{
    struct version version = {.seq = SEQ_NONE};
    struct slice type;
    int64_t received_ns, stream_seq;
    struct doc_ref boot = doc_getz(member, "boot"), data = doc_getz(member, "data");
    type.at = doc_name(member, &type.size);
    if (!doc_is(data, DOC_OBJECT) || !read_time(member, "timestamp", &version.timestamp_ns) ||
        !read_time(member, "received", &received_ns) ||
        !read_seq(member, "seq", SEQ_NONE, &version.seq) ||
        !read_seq(member, "stream_seq", 0, &stream_seq))
        return NULL;
    if (doc_is(boot, DOC_STRING))
        version.boot.at = doc_string(boot, &version.boot.size);
    return state_new(type, &version, received_ns, (uint64_t)stream_seq, data);
}

static bool read_presence(struct doc_ref entry, struct presence *presence)
{
    struct doc_ref value = doc_getz(entry, "presence"), status = doc_getz(value, "status");
    if (!doc_is(status, DOC_STRING) || !read_time(value, "last_seen", &presence->last_seen_ns) ||
        !read_time(value, "since", &presence->since_ns))
        return false;
    size_t size;
    const char *text = doc_string(status, &size);
    for (int i = 0; i < PRESENCE_COUNT; i++) {
        const char *name = presence_name((enum presence_status)i);
        if (strlen(name) == size && memcmp(name, text, size) == 0) {
            presence->status = (enum presence_status)i;
            return true;
        }
    }
    return false;
}

void last_free_twin(struct twin *twin)
{
    if (!twin)
        return;
    for (size_t i = 0; i < twin->state_count; i++)
        free((void *)(uintptr_t)twin->states[i]);
    for (size_t i = 0; i < PART_COUNT; i++)
        free((void *)(uintptr_t)twin->parts[i]);
    free((void *)(uintptr_t)twin->delta);
    free(twin);
}

/* `twin` with one more state; NULL, and the twin freed, when there is no memory. */
static struct twin *with_state(struct twin *twin, struct state *state)
{
    const struct state *replaced = NULL;
    struct twin *more = state ? twin_with_state(twin, state, &replaced) : NULL;
    if (!more) {
        free(state);
        last_free_twin(twin);
        return NULL;
    }
    free((void *)(uintptr_t)replaced);
    free(twin);
    return more;
}

/* `twin`, which has none, with these states; NULL, and the twin freed, where they make no sense, or
 * there is no memory. As many as a twin keeps are put there at once. */
static struct twin *with_states(struct twin *twin, struct doc_ref object)
{
    const struct state *states[TWIN_STATES_MAX];
    struct twin *more = NULL;
    size_t count = 0;
    struct doc_ref m = doc_first(object);
    for (; doc_exists(m) && count < TWIN_STATES_MAX; m = doc_next(object, m)) {
        states[count] = read_state(m);
        if (!states[count])
            goto out;
        count++;
    }
    more = twin_with_states(twin, states, count);
out:
    for (size_t i = 0; !more && i < count; i++)
        free((void *)(uintptr_t)states[i]);
    free(twin);
    for (; more && doc_exists(m); m = doc_next(object, m))
        more = with_state(more, read_state(m));
    return more;
}

struct twin *last_read_twin(struct doc_ref entry, const char *vid)
{
    struct doc_ref states = doc_getz(entry, "states");
    struct twin *twin = twin_new(vid);
    if (!twin)
        return NULL;
    twin->registered = doc_is(doc_getz(entry, "registered"), DOC_TRUE);
    twin->hidden = doc_is(doc_getz(entry, "hidden"), DOC_TRUE);
    if (!doc_is(states, DOC_OBJECT) || !read_presence(entry, &twin->presence) ||
        !read_time(entry, "registered_at", &twin->registered_ns) ||
        !read_time(entry, "retired", &twin->retired_ns) ||
        !read_time(entry, "delta_since", &twin->delta_since_ns)) {
        last_free_twin(twin);
        return NULL;
    }
    return with_states(twin, states);
}

bool last_read_mark(struct doc_ref entry, struct mark *mark)
{
    struct doc_ref by = doc_getz(entry, "by"), streams = doc_getz(entry, "streams");
    struct mark read = {0};
    if (!doc_is(by, DOC_STRING) || !doc_is(streams, DOC_OBJECT))
        return false;
    size_t size;
    const char *text = doc_string(by, &size);
    if (size >= sizeof read.by)
        return false;
    memcpy(read.by, text, size);
    for (size_t i = 0; i < MARK_STREAMS; i++) {
        struct doc_ref stream = doc_getz(streams, mark_streams[i].name);
        struct position *position = &read.streams[mark_streams[i].label];
        int64_t seq;
        if (!read_time(stream, "epoch", &position->epoch_ns) ||
            !read_time(stream, "received", &position->received_ns) ||
            !read_seq(stream, "seq", 0, &seq))
            return false;
        if (position->epoch_ns == TIMESTAMP_NONE)
            position->epoch_ns = 0;
        if (position->received_ns == TIMESTAMP_NONE)
            position->received_ns = 0;
        position->seq = (uint64_t)seq;
    }
    *mark = read;
    return true;
}

/* ---- loading ---- */

enum bus_status last_read_mark_now(struct bus *bus, struct mark *mark, struct bus_error *error)
{
    struct doc_limits limits = {ENTRY_MAX_BYTES, ENTRY_DEPTH};
    struct doc_parser *parser = doc_parser_new();
    struct bus_stored stored = {0};
    struct doc_ref entry;
    enum bus_status status = BUS_ERROR;
    *mark = (struct mark){0};
    if (!parser)
        goto out;
    status = bus_get_last(bus, streams_name(TWIN_LAST), streams_mark_subject(), &stored, error);
    if (status == BUS_OK && doc_parse(parser, stored.data, stored.size, limits, &entry) == DOC_OK)
        last_read_mark(entry, mark);
    if (status == BUS_OK)
        bus_stored_done(&stored);
    if (status == BUS_NOT_FOUND)
        status = BUS_OK;
out:
    doc_parser_free(parser);
    return status;
}

struct load {
    struct store *store;
    struct recorder *recorder;
    bool open;
    struct doc_parser *parser;
    struct last_found *found;
    int64_t epoch_ns; /* of TWIN_LAST */
    size_t vehicles, bad;
};

void last_found_done(struct last_found *found)
{
    free(found->deltas);
    *found = (struct last_found){0};
}

/* Keeps what the entry says of the divergence, which means something once the two sides of it are
 * there. False when there is no memory. */
static bool keep_delta(struct last_found *found, uint32_t index, struct twin *twin,
                       struct doc_ref entry)
{
    enum { ROOM_STEP = 1024 };
    int64_t desired, reported;
    int64_t since_ns = twin->delta_since_ns;
    twin->delta_since_ns = TIMESTAMP_NONE;
    if (index >= found->delta_count) {
        size_t count = (size_t)index + ROOM_STEP + found->delta_count / 2;
        struct last_delta *more = realloc(found->deltas, count * sizeof *more);
        if (!more)
            return false;
        memset(more + found->delta_count, 0, (count - found->delta_count) * sizeof *more);
        found->deltas = more;
        found->delta_count = count;
    }
    found->deltas[index] = (struct last_delta){0};
    if (since_ns != TIMESTAMP_NONE && read_seq(entry, "desired", 0, &desired) &&
        read_seq(entry, "reported", 0, &reported))
        found->deltas[index] =
            (struct last_delta){true, since_ns, (uint64_t)desired, (uint64_t)reported};
    return true;
}

/* Puts what an entry holds in place. False when there is no memory. With the lock held. */
static bool load_vehicle(struct load *load, struct vehicle *vehicle, struct doc_ref entry,
                         const struct registry_entry *change)
{
    struct twin *twin = last_read_twin(entry, vehicle->vid);
    if (!twin) {
        load->bad++;
        log_warn("last.entry_ignored", "vid", vehicle->vid, "seq", LOG_INT(change->seq), "detail",
                 "not readable; what the streams still hold is folded again");
    } else {
        if (!keep_delta(load->found, vehicle->index, twin, entry)) {
            last_free_twin(twin);
            return false;
        }
        /* Nothing was here but an empty twin, or an earlier entry of an interrupted reading. */
        struct twin *old = store_current(vehicle);
        for (size_t i = 0; i < old->state_count; i++)
            store_retire(load->store, old->states[i]);
        store_put(load->store, vehicle, twin);
        vehicle->persisted = vehicle->changed;
        load->vehicles++;
    }
    return registry_apply(load->store, vehicle, change, load->open);
}

/* False when there is no memory. */
static bool load_entry(struct load *load, const struct bus_msg *msg)
{
    struct doc_limits limits = {ENTRY_MAX_BYTES, ENTRY_DEPTH};
    struct doc_ref entry;
    struct registry_entry change;
    bool done = true;
    if (bus_msg_header(msg, "KV-Operation") ||
        doc_parse(load->parser, msg->data, msg->size, limits, &entry) != DOC_OK)
        return true;
    if (strcmp(msg->subject, streams_mark_subject()) == 0) {
        last_read_mark(entry, &load->found->mark);
        return true;
    }
    if (!registry_entry_of(msg, &change))
        return true;
    if (!registry_put_record(load->recorder, load->epoch_ns, &change))
        return false;
    store_lock(load->store);
    struct vehicle *vehicle = store_vehicle(load->store, change.vid.at, change.vid.size);
    if (!vehicle)
        done = false;
    else if (vehicle->last_kv_seq < msg->stream_seq)
        done = load_vehicle(load, vehicle, entry, &change);
    store_unlock(load->store);
    return done;
}

static enum bus_status read_entries(struct load *load, struct bus_consumer *consumer)
{
    for (;;) {
        struct bus_msg msg;
        enum bus_status status = bus_next(consumer, LOAD_NEXT_MS, &msg);
        if (status == BUS_TIMEOUT && bus_caught_up(consumer))
            return BUS_OK;
        if (status == BUS_TIMEOUT)
            continue;
        if (status != BUS_OK)
            return status;
        bool last = msg.pending == 0, loaded = load_entry(load, &msg);
        bus_msg_done(&msg);
        if (!loaded)
            return BUS_ERROR;
        if (last)
            return BUS_OK;
    }
}

enum bus_status last_load(struct bus *bus, struct store *store, struct recorder *recorder,
                          bool open, struct last_found *found, struct buf *report)
{
    /* The bucket keeps one message a key; asked for the last of each, the server would look for
     * them first. Where somebody lets it keep more, the newest of a key comes last. */
    struct bus_consume what = {
        .stream = streams_name(TWIN_LAST), .from = BUS_FROM_SEQ, .own_line = true};
    struct load load = {.store = store,
                        .recorder = recorder,
                        .open = open,
                        .parser = doc_parser_new(),
                        .found = found};
    struct bus_consumer *consumer = NULL;
    struct bus_stream_info info;
    struct bus_error error;
    enum bus_status status = BUS_ERROR;
    if (!load.parser)
        goto out;
    status = bus_consume(bus, &what, &consumer, &info, &error);
    if (status != BUS_OK) {
        buf_adds(report, error.text);
        goto out;
    }
    load.epoch_ns = info.created_ns;
    found->end = (struct position){.epoch_ns = info.created_ns, .seq = info.last_seq};
    if (info.messages > 0)
        status = read_entries(&load, consumer);
    if (status != BUS_OK)
        goto out;
    store_lock(store);
    for (size_t i = 0; i < MARK_STREAMS; i++)
        if (mark_streams[i].folded)
            store_reposition(store, mark_streams[i].label,
                             found->mark.streams[mark_streams[i].label]);
    store_unlock(store);
    buf_addf(report, "%zu vehicles, %zu entries not readable", load.vehicles, load.bad);
out:
    bus_consumer_close(consumer);
    doc_parser_free(load.parser);
    return status;
}
