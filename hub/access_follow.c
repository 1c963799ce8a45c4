/* Following TWIN_ACCESS: tokens and grants as they come, and their record (hub/access.h). */
#include "hub/access_impl.h"

#include "hub/clock.h"
#include "hub/log.h"

#include <stdio.h>
#include <string.h>

enum {
    RETRY_MS = 50,
    ROOM_STEP_MS = 10,
    VALUE_MAX_BYTES = 256 * 1024,
    VALUE_DEPTH = 8,
};

static const char *const kind_words[] = {[ACCESS_TOKEN] = "token", [ACCESS_GRANT] = "grant"};

const char *access_subject(enum access_kind kind, const char *id, char out[STREAMS_SUBJECT_BYTES])
{
    snprintf(out, STREAMS_SUBJECT_BYTES, "$KV.TWIN_ACCESS.auth.%s.%s", kind_words[kind], id);
    return out;
}

/* ---- one message ---- */

struct change {
    enum access_kind kind;
    const char *id; /* in the subject */
    bool removed;
    bool unread;                /* there is no memory to read it: it has to be read again */
    struct access_entry *entry; /* NULL: removed, or not readable */
};

/* Whose entry it is; false for none. */
static bool name_of(const char *subject, struct change *change)
{
    for (int kind = ACCESS_TOKEN; kind <= ACCESS_GRANT; kind++) {
        char prefix[STREAMS_SUBJECT_BYTES];
        size_t size = strlen(access_subject((enum access_kind)kind, "", prefix));
        if (strncmp(subject, prefix, size) != 0)
            continue;
        change->kind = (enum access_kind)kind;
        change->id = subject + size;
        return change->id[0] != '\0' && strlen(change->id) < ACCESS_ID_BYTES &&
               !strchr(change->id, '.');
    }
    return false;
}

/* False where it says nothing. A token that cannot be read is one that nobody holds: what was there
 * under its key does not stand. */
static bool read_message(struct access *access, const struct bus_msg *msg, struct change *change)
{
    struct doc_limits limits = {VALUE_MAX_BYTES, VALUE_DEPTH};
    struct doc_ref value = {NULL, NULL};
    char error[256] = "it is no JSON";
    *change = (struct change){.entry = NULL};
    if (!name_of(msg->subject, change))
        return false;
    change->removed = bus_msg_header(msg, "KV-Operation") != NULL;
    if (change->removed)
        return true;
    enum doc_error parsed = doc_parse(access->parser, msg->data, msg->size, limits, &value);
    if (parsed == DOC_OK)
        change->entry = access_entry_read(change->kind, change->id, value, error);
    change->unread =
        parsed == DOC_NO_MEMORY || (!change->entry && strcmp(error, RIGHTS_NO_MEMORY) == 0);
    if (change->entry)
        change->entry->revision = msg->stream_seq;
    else if (!change->unread)
        log_warn("access.unreadable", "kind", kind_words[change->kind], "id", change->id, "seq",
                 LOG_INT(msg->stream_seq), "detail", error);
    return true;
}

static void write_data(struct access *access, const struct change *change,
                       const struct bus_msg *msg, struct buf *data)
{
    const char *word = kind_words[change->kind];
    pthread_mutex_lock(&access->lock);
    const struct access_entry *was = access_set_find(&access->set, change->kind, change->id);
    buf_addf(data, "{\"%s\":", word);
    buf_json_cstr(data, change->id);
    buf_adds(data, ",\"before\":");
    if (was)
        access_entry_show(data, was, NULL);
    else
        buf_adds(data, "null");
    buf_adds(data, ",\"after\":");
    if (change->entry)
        access_entry_show(data, change->entry, NULL);
    else
        buf_adds(data, "null");
    buf_addf(data, ",\"revision\":%llu,\"remote\":", (unsigned long long)msg->stream_seq);
    buf_json_cstr(data, bus_msg_header(msg, ACCESS_HEADER_REMOTE));
    buf_addc(data, '}');
    pthread_mutex_unlock(&access->lock);
}

/* False: the hub stops; the message is read again by the next one. */
static bool put_record(struct access *access, const struct bus_msg *msg,
                       const struct change *change, const struct buf *data)
{
    char key[96], type[32];
    struct record record;
    uint64_t ticket;
    const char *actor = bus_msg_header(msg, ACCESS_HEADER_ACTOR);
    const char *request_id = bus_msg_header(msg, ACCESS_HEADER_REQUEST);
    int key_bytes = snprintf(key, sizeof key, "TWIN_ACCESS/%lld/%llu/%lld",
                             (long long)access->position.epoch_ns,
                             (unsigned long long)msg->stream_seq, (long long)msg->received_ns);
    snprintf(type, sizeof type, "%s_%s", kind_words[change->kind],
             change->removed ? "revoked" : "written");
    if (!actor)
        actor = "unknown";
    record_init(&record);
    record_id_of(RECORD_ACCESS, key, (size_t)key_bytes, record.id);
    record.kind = RECORD_ACCESS;
    record.severity = SEVERITY_NOTICE;
    record.type = (struct slice){type, strlen(type)};
    record.actor = (struct slice){actor, strlen(actor)};
    if (request_id)
        record.request_id = (struct slice){request_id, strlen(request_id)};
    record.received_ns = msg->received_ns;
    record.data = (struct slice){data->data, data->size_bytes};
    while (!recorder_put(access->recorder, &record, &ticket)) {
        if (atomic_load(&access->stop))
            return false;
        clock_pause_ms(ROOM_STEP_MS);
    }
    return true;
}

static bool worth_recording(const struct access *access, const struct bus_msg *msg)
{
    const int64_t day_ns = ACCESS_RECORD_DAYS * INT64_C(86400) * NS_PER_S;
    return msg->stream_seq > access->vouched.seq || msg->received_ns > clock_wall_ns() - day_ns;
}

/* False: try again. */
static bool apply(struct access *access, struct change *change)
{
    bool done = true;
    pthread_mutex_lock(&access->lock);
    if (change->entry)
        done = access_set_put(&access->set, change->entry);
    else
        access_set_remove(&access->set, change->kind, change->id);
    if (done) {
        change->entry = NULL;
        access->version++;
        access_judge_watches(access, clock_wall_ns(), true);
    }
    pthread_mutex_unlock(&access->lock);
    return done;
}

/* In force first: a revocation does not wait for its record. False: try again. */
static bool take(struct access *access, const struct bus_msg *msg)
{
    struct change change;
    struct buf data = BUF_INIT;
    bool says = read_message(access, msg, &change), done = true;
    /* A grant that were passed over could be the one that bounds somebody. */
    if (change.unread)
        return false;
    if (says) {
        write_data(access, &change, msg, &data);
        done = !data.failed && apply(access, &change);
        access_entry_free(change.entry);
    }
    if (done && says && worth_recording(access, msg))
        done = put_record(access, msg, &change, &data);
    buf_done(&data);
    if (!done)
        return false;
    access->position.seq = msg->stream_seq;
    access->position.received_ns = msg->received_ns;
    atomic_store(&access->applied_seq, msg->stream_seq);
    return true;
}

/* ---- following ---- */

static void judge_mark(struct access *access, const struct bus_stream_info *info)
{
    if (access->vouched.epoch_ns != info->created_ns || access->vouched.seq > info->last_seq)
        access->vouched = (struct position){0};
}

/* All of them go: the bucket that they were in is no more. Until the new one is read nobody is let
 * in: a JWT whose grants are not read yet would have its role for the whole fleet. */
static void begin_anew(struct access *access, const struct bus_stream_info *info)
{
    log_warn("access.bucket_begins_anew", "last_seq", LOG_INT(info->last_seq));
    pthread_mutex_lock(&access->lock);
    atomic_store(&access->recovered, false);
    access_set_done(&access->set);
    access->version++;
    access_judge_watches(access, clock_wall_ns(), true);
    pthread_mutex_unlock(&access->lock);
    access->position = (struct position){.epoch_ns = info->created_ns};
    atomic_store(&access->applied_seq, 0);
}

static bool open_consumer(struct access *access)
{
    struct bus_consume what = {.stream = streams_name(TWIN_ACCESS),
                               .filter = "$KV.TWIN_ACCESS.auth.>",
                               .from = BUS_FROM_SEQ,
                               .seq = access->position.seq + 1,
                               .epoch_ns = access->position.epoch_ns,
                               .before_received_ns = access->position.received_ns};
    struct bus_stream_info info;
    struct bus_error error;
    enum bus_status status = bus_consume(access->bus, &what, &access->consumer, &info, &error);
    if (status == BUS_EPOCH)
        begin_anew(access, &info);
    if (status != BUS_OK)
        return false;
    if (access->position.seq == 0)
        judge_mark(access, &info);
    access->position.epoch_ns = info.created_ns;
    return true;
}

static void read_one(struct access *access)
{
    struct bus_msg msg;
    if (bus_caught_up(access->consumer))
        atomic_store(&access->recovered, true);
    switch (bus_next(access->consumer, ACCESS_LOOK_MS, &msg)) {
    case BUS_OK:
        while (!take(access, &msg) && !atomic_load(&access->stop))
            clock_pause_ms(RETRY_MS);
        bus_msg_done(&msg);
        return;
    case BUS_TIMEOUT:
        return;
    case BUS_DISCONNECTED:
        clock_pause_ms(RETRY_MS);
        return;
    default:
        bus_consumer_close(access->consumer);
        access->consumer = NULL;
    }
}

static void look(struct access *access)
{
    int64_t now_ms = clock_mono_ms();
    if (now_ms - access->looked_ms < ACCESS_LOOK_MS)
        return;
    access->looked_ms = now_ms;
    pthread_mutex_lock(&access->lock);
    access_judge_watches(access, clock_wall_ns(), false);
    pthread_mutex_unlock(&access->lock);
}

void *access_run(void *closure)
{
    struct access *access = closure;
    while (!atomic_load(&access->stop)) {
        if (access->consumer || open_consumer(access))
            read_one(access);
        else
            clock_pause_ms(RETRY_MS);
        look(access);
    }
    bus_consumer_close(access->consumer);
    access->consumer = NULL;
    return NULL;
}
