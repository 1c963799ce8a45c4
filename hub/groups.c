#include "hub/groups_impl.h"

#include "hub/clock.h"
#include "hub/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEXT_MS = 100,
    RETRY_MS = 250,
    ROOM_STEP_MS = 5,
    VALUE_DEPTH = 4,
    VALUE_MAX_BYTES = 1024 * 1024,
};

/* ---- reading ---- */

size_t groups_enter(struct groups *groups)
{
    return epoch_enter(groups->epoch);
}

void groups_leave(struct groups *groups, size_t place)
{
    epoch_leave(groups->epoch, place);
}

const struct group *groups_find(struct groups *groups, const char *name)
{
    return groups_set_find(atomic_load(&groups->set), name);
}

const struct group *groups_next(struct groups *groups, const char *after)
{
    const struct groups_set *set = atomic_load(&groups->set);
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(set->groups[middle]->name, after) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low < set->count ? set->groups[low] : NULL;
}

uint64_t groups_version(const struct groups *groups)
{
    return atomic_load(&groups->version);
}

bool groups_changing(uint64_t version)
{
    return version & 1;
}

/* ---- changing the set, the thread alone ---- */

static void release_group(void *block)
{
    group_free(block);
}

/* Puts `fresh` in the place of the group of that name; NULL takes it away. False when there is no
 * memory. */
static bool replace(struct groups *groups, const char *name, struct group *fresh)
{
    struct groups_set *old = atomic_load(&groups->set);
    const struct group *was = groups_set_find(old, name);
    size_t count = old->count - (was != NULL) + (fresh != NULL), at = 0;
    struct groups_set *set = malloc(sizeof *set + (count + 1) * sizeof *set->groups);
    if (!set)
        return false;
    bool placed = fresh == NULL;
    for (size_t i = 0; i < old->count; i++) {
        if (!placed && strcmp(fresh->name, old->groups[i]->name) <= 0) {
            set->groups[at++] = fresh;
            placed = true;
        }
        if (old->groups[i] != was)
            set->groups[at++] = old->groups[i];
    }
    if (!placed)
        set->groups[at++] = fresh;
    set->count = at;
    atomic_fetch_add(&groups->version, 1);
    atomic_store(&groups->set, set);
    atomic_fetch_add(&groups->version, 1);
    epoch_retire(groups->epoch, old);
    epoch_retire_by(groups->epoch, (void *)(uintptr_t)was, release_group);
    epoch_reclaim(groups->epoch);
    return true;
}

/* ---- one message ---- */

struct group_message {
    char name[TOKEN_MAX_BYTES + 1];
    const char *actor;
    struct group *group; /* NULL: deleted */
};

static const char *name_of(const struct bus_msg *msg, char name[TOKEN_MAX_BYTES + 1])
{
    char prefix[STREAMS_SUBJECT_BYTES];
    size_t size = strlen(group_subject("", prefix));
    const char *at = msg->subject + size;
    if (strncmp(msg->subject, prefix, size) != 0 || !group_name_valid(at))
        return NULL;
    snprintf(name, TOKEN_MAX_BYTES + 1, "%s", at);
    return name;
}

/* Reads it. False where it says nothing: what was there stands. *again: for want of memory. */
static bool read_message(struct groups *groups, const struct bus_msg *msg,
                         struct group_message *message, bool *again)
{
    struct doc_limits limits = {VALUE_MAX_BYTES, VALUE_DEPTH};
    struct text_error error = {.offset = 0};
    struct doc_ref value;
    *again = false;
    *message = (struct group_message){.actor = bus_msg_header(msg, GROUP_HEADER_ACTOR)};
    if (!message->actor)
        message->actor = "unknown";
    if (!name_of(msg, message->name))
        return false;
    if (bus_msg_header(msg, "KV-Operation"))
        return true;
    if (doc_parse(groups->parser, msg->data, msg->size, limits, &value) == DOC_OK &&
        doc_is(value, DOC_OBJECT))
        message->group = group_new(message->name, value, &groups->inner, &error);
    *again = strcmp(error.detail, "out of memory") == 0;
    if (!message->group) {
        log_warn("groups.ignored", "name", message->name, "seq", LOG_INT(msg->stream_seq), "detail",
                 error.detail[0] ? error.detail : "it is no JSON object");
        return false;
    }
    message->group->revision = msg->stream_seq;
    message->group->updated_ns = msg->received_ns;
    message->group->updated_by = strdup(message->actor);
    *again = !message->group->updated_by;
    return !*again;
}

static void write_data(struct groups *groups, const struct bus_msg *msg,
                       const struct group_message *message, struct buf *data)
{
    const struct group *was = groups_set_find(atomic_load(&groups->set), message->name);
    buf_addf(data, "{\"group\":\"%s\",\"before\":", message->name);
    buf_adds(data, was ? was->definition : "null");
    buf_adds(data, ",\"after\":");
    buf_adds(data, message->group ? message->group->definition : "null");
    buf_addf(data, ",\"revision\":%llu,\"remote\":", (unsigned long long)msg->stream_seq);
    buf_json_cstr(data, bus_msg_header(msg, GROUP_HEADER_REMOTE));
    buf_addc(data, '}');
}

/* False: try again. */
static bool put_record(struct groups *groups, const struct bus_msg *msg,
                       const struct group_message *message)
{
    char key[96];
    struct buf data = BUF_INIT;
    struct record record;
    uint64_t ticket;
    const char *type = message->group ? "group_written" : "group_deleted";
    const char *request_id = bus_msg_header(msg, GROUP_HEADER_REQUEST);
    int key_bytes = snprintf(key, sizeof key, "TWIN_ACCESS/%lld/%llu/%lld",
                             (long long)groups->position.epoch_ns,
                             (unsigned long long)msg->stream_seq, (long long)msg->received_ns);
    write_data(groups, msg, message, &data);
    record_init(&record);
    record_id_of(RECORD_ACCESS, key, (size_t)key_bytes, record.id);
    record.kind = RECORD_ACCESS;
    record.severity = SEVERITY_NOTICE;
    record.type = (struct slice){type, strlen(type)};
    record.actor = (struct slice){message->actor, strlen(message->actor)};
    if (request_id)
        record.request_id = (struct slice){request_id, strlen(request_id)};
    record.received_ns = msg->received_ns;
    record.data = (struct slice){data.data, data.size_bytes};
    bool put = !data.failed;
    while (put && !recorder_put(groups->recorder, &record, &ticket)) {
        put = !atomic_load(&groups->stop);
        clock_pause_ms(ROOM_STEP_MS);
    }
    buf_done(&data);
    return put;
}

static void advance(struct groups *groups, struct position position)
{
    groups->position = position;
    store_lock(groups->store);
    store_advance(groups->store, STREAM_ACCESS, position);
    store_unlock(groups->store);
}

/* False: try again. */
static bool take(struct groups *groups, const struct bus_msg *msg)
{
    struct group_message message;
    bool again, done = true;
    bool known = read_message(groups, msg, &message, &again);
    if (known && msg->stream_seq > groups->vouched.seq)
        done = put_record(groups, msg, &message);
    if (known && done)
        done = replace(groups, message.name, message.group);
    if (!known || !done)
        group_free(message.group);
    if (again || !done)
        return false;
    advance(groups,
            (struct position){groups->position.epoch_ns, msg->stream_seq, msg->received_ns});
    return true;
}

/* ---- following ---- */

/* The mark speaks of a bucket; of another one, or one that lost its tail, it says nothing. */
static void judge_mark(struct groups *groups, const struct bus_stream_info *info)
{
    if (groups->vouched.epoch_ns != info->created_ns || groups->vouched.seq > info->last_seq)
        groups->vouched = (struct position){0};
}

/* All groups go: the bucket that they were in is no more. */
static void begin_anew(struct groups *groups, const struct bus_stream_info *info)
{
    const struct group *group;
    log_warn("groups.bucket_begins_anew", "last_seq", LOG_INT(info->last_seq));
    while ((group = groups_next(groups, "")))
        if (!replace(groups, group->name, NULL))
            return; /* tried again at the next opening */
    groups->position = (struct position){.epoch_ns = info->created_ns};
    store_lock(groups->store);
    store_reposition(groups->store, STREAM_ACCESS, groups->position);
    store_unlock(groups->store);
}

static bool open_consumer(struct groups *groups)
{
    char filter[STREAMS_SUBJECT_BYTES];
    struct bus_consume what = {.stream = streams_name(TWIN_ACCESS),
                               .filter = group_subject(">", filter),
                               .from = BUS_FROM_SEQ,
                               .seq = groups->position.seq + 1,
                               .epoch_ns = groups->position.epoch_ns,
                               .before_received_ns = groups->position.received_ns};
    struct bus_stream_info info;
    struct bus_error error;
    enum bus_status status = bus_consume(groups->bus, &what, &groups->consumer, &info, &error);
    if (status == BUS_EPOCH)
        begin_anew(groups, &info);
    if (status != BUS_OK)
        return false;
    if (groups->position.seq == 0)
        judge_mark(groups, &info);
    groups->position.epoch_ns = info.created_ns;
    return true;
}

static void read_one(struct groups *groups)
{
    struct bus_msg msg;
    if (bus_caught_up(groups->consumer))
        atomic_store(&groups->recovered, true);
    switch (bus_next(groups->consumer, NEXT_MS, &msg)) {
    case BUS_OK:
        while (!take(groups, &msg) && !atomic_load(&groups->stop))
            clock_pause_ms(RETRY_MS);
        bus_msg_done(&msg);
        return;
    case BUS_TIMEOUT:
    case BUS_DISCONNECTED:
        return;
    default:
        bus_consumer_close(groups->consumer);
        groups->consumer = NULL;
    }
}

static void *run(void *closure)
{
    struct groups *groups = closure;
    while (!atomic_load(&groups->stop)) {
        if (groups->consumer || open_consumer(groups))
            read_one(groups);
        else
            clock_pause_ms(RETRY_MS);
    }
    bus_consumer_close(groups->consumer);
    return NULL;
}

/* ---- starting and stopping ---- */

struct groups *groups_new(const struct config *config, struct bus *bus, struct store *store)
{
    struct groups *groups = calloc(1, sizeof *groups);
    if (!groups)
        return NULL;
    groups->config = config;
    groups->bus = bus;
    groups->store = store;
    groups->epoch = epoch_new();
    groups->parser = doc_parser_new();
    atomic_store(&groups->set, calloc(1, sizeof(struct groups_set)));
    groups_filters_init(groups);
    if (!groups->epoch || !groups->parser || !atomic_load(&groups->set)) {
        groups_free(groups);
        return NULL;
    }
    return groups;
}

bool groups_start(struct groups *groups, struct recorder *recorder, struct position vouched)
{
    groups->recorder = recorder;
    groups->vouched = vouched;
    groups->running = pthread_create(&groups->thread, NULL, run, groups) == 0;
    return groups->running;
}

bool groups_recovered(struct groups *groups)
{
    return atomic_load(&groups->recovered);
}

void groups_stop(struct groups *groups)
{
    if (!groups || !groups->running)
        return;
    atomic_store(&groups->stop, true);
    pthread_join(groups->thread, NULL);
    groups->running = false;
}

void groups_free(struct groups *groups)
{
    if (!groups)
        return;
    struct groups_set *set = atomic_load(&groups->set);
    for (size_t i = 0; set && i < set->count; i++)
        group_free((struct group *)(uintptr_t)set->groups[i]);
    free(set);
    epoch_free(groups->epoch);
    doc_parser_free(groups->parser);
    free(groups);
}
