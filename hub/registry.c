#include "hub/registry.h"

#include "hub/clock.h"
#include "hub/registry_impl.h"
#include "hub/streams.h"
#include "twin/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROOM_STEP_MS = 5,
    ROOM_WAIT_MS = 5000, /* for a place in the recorder's queue */
};

static const char *const change_names[REGISTRY_CHANGES] = {NULL,
#define X(id, name) name,
                                                           REGISTRY_CHANGE_TABLE(X)
#undef X
};

const char *registry_change_name(enum registry_change change)
{
    return change_names[change];
}

enum registry_change registry_change_of(const char *name)
{
    for (int i = 1; name && i < REGISTRY_CHANGES; i++)
        if (strcmp(name, change_names[i]) == 0)
            return (enum registry_change)i;
    return REGISTRY_NO_CHANGE;
}

/* ---- one message ---- */

static int64_t time_of(const char *text)
{
    int64_t ns;
    return text && timestamp_parse(text, strlen(text), &ns) ? ns : TIMESTAMP_NONE;
}

bool registry_entry_of(const struct bus_msg *msg, struct registry_entry *entry)
{
    *entry = (struct registry_entry){.seq = msg->stream_seq, .received_ns = msg->received_ns};
    if (!streams_last_parse(msg->subject, &entry->vid))
        return false;
    entry->registered_ns = time_of(bus_msg_header(msg, REGISTRY_HEADER_REGISTERED));
    entry->retired_ns = time_of(bus_msg_header(msg, REGISTRY_HEADER_RETIRED));
    entry->change = registry_change_of(bus_msg_header(msg, REGISTRY_HEADER_CHANGE));
    entry->actor = bus_msg_header(msg, REGISTRY_HEADER_ACTOR);
    entry->request_id = bus_msg_header(msg, REGISTRY_HEADER_REQUEST);
    entry->remote = bus_msg_header(msg, REGISTRY_HEADER_REMOTE);
    return true;
}

void registry_times_of(const struct twin *twin, struct registry_times *times)
{
    times->registered[0] = times->retired[0] = '\0';
    if (twin->registered_ns != TIMESTAMP_NONE)
        timestamp_format(twin->registered_ns, times->registered);
    if (twin->retired_ns != TIMESTAMP_NONE)
        timestamp_format(twin->retired_ns, times->retired);
}

void registry_times_add(const struct registry_times *times, struct bus_store *what)
{
    size_t i = 0;
    while (i < BUS_HEADERS_MAX - 2 && what->headers[i].name)
        i++;
    if (times->registered[0])
        what->headers[i++] = (struct bus_header){REGISTRY_HEADER_REGISTERED, times->registered};
    if (times->retired[0])
        what->headers[i] = (struct bus_header){REGISTRY_HEADER_RETIRED, times->retired};
}

bool registry_put_record(struct recorder *recorder, int64_t epoch_ns,
                         const struct registry_entry *entry)
{
    if (entry->change == REGISTRY_NO_CHANGE)
        return true;
    char key[96];
    struct buf data = BUF_INIT;
    struct record record;
    uint64_t ticket;
    const char *type = change_names[entry->change];
    int key_bytes = snprintf(key, sizeof key, "TWIN_LAST/%lld/%llu/%lld", (long long)epoch_ns,
                             (unsigned long long)entry->seq, (long long)entry->received_ns);
    buf_adds(&data, "{\"at\":");
    buf_json_timestamp(&data, entry->received_ns);
    buf_adds(&data, ",\"remote\":");
    buf_json_cstr(&data, entry->remote);
    buf_addc(&data, '}');
    record_init(&record);
    record_id_of(RECORD_SYSTEM, key, (size_t)key_bytes, record.id);
    record.kind = RECORD_SYSTEM;
    record.severity = SEVERITY_NOTICE;
    record.vid = entry->vid;
    record.type = (struct slice){type, strlen(type)};
    if (entry->actor)
        record.actor = (struct slice){entry->actor, strlen(entry->actor)};
    if (entry->request_id)
        record.request_id = (struct slice){entry->request_id, strlen(entry->request_id)};
    record.received_ns = entry->received_ns;
    record.data = (struct slice){data.data, data.size_bytes};
    bool put = false;
    for (int ms = 0; !data.failed && !put && ms <= ROOM_WAIT_MS; ms += ROOM_STEP_MS) {
        put = recorder_put(recorder, &record, &ticket);
        if (!put)
            clock_pause_ms(ROOM_STEP_MS);
    }
    buf_done(&data);
    return put;
}

/* What a twin let go of, kept until its successor is in place. */
struct dropped {
    const void *blocks[TWIN_STATES_MAX + PART_COUNT + 1];
    size_t count;
};

static void keep_dropped(void *closure, const void *block)
{
    struct dropped *dropped = closure;
    dropped->blocks[dropped->count++] = block;
}

/* `seq` is of the entry that says so. With the lock held. */
static bool put_facts(struct store *store, struct vehicle *vehicle, int64_t registered_ns,
                      int64_t retired_ns, uint64_t seq, bool open)
{
    struct twin *old = store_current(vehicle);
    if (registered_ns <= old->registered_ns && retired_ns <= old->retired_ns)
        return true;
    struct twin *twin = twin_with_registration(old, registered_ns, retired_ns, open);
    if (!twin)
        return false;
    struct dropped dropped = {.count = 0};
    twin_dropped(old, twin, keep_dropped, &dropped);
    store_hear(vehicle, STREAM_LAST, seq);
    store_put(store, vehicle, twin);
    for (size_t i = 0; i < dropped.count; i++)
        store_retire(store, dropped.blocks[i]);
    return true;
}

bool registry_apply(struct store *store, struct vehicle *vehicle,
                    const struct registry_entry *entry, bool open)
{
    int64_t registered_ns =
        entry->change == REGISTRY_REGISTERED ? entry->received_ns : entry->registered_ns;
    int64_t retired_ns = entry->change == REGISTRY_RETIRED ? entry->received_ns : entry->retired_ns;
    if (!put_facts(store, vehicle, registered_ns, retired_ns, entry->seq, open))
        return false;
    if (vehicle->last_kv_seq < entry->seq)
        vehicle->last_kv_seq = entry->seq;
    return true;
}

static bool known_already(struct registry *registry, const struct registry_entry *entry)
{
    store_lock(registry->store);
    struct vehicle *vehicle = store_lookup(registry->store, entry->vid.at, entry->vid.size);
    bool says_something = entry->change != REGISTRY_NO_CHANGE ||
                          entry->registered_ns != TIMESTAMP_NONE ||
                          entry->retired_ns != TIMESTAMP_NONE;
    bool known = vehicle ? vehicle->last_kv_seq >= entry->seq : !says_something;
    store_unlock(registry->store);
    return known;
}

bool registry_take(struct registry *registry, const struct registry_entry *entry)
{
    if (known_already(registry, entry))
        return true;
    if (!registry_put_record(registry->recorder, registry->epoch_ns, entry))
        return false;
    store_lock(registry->store);
    struct vehicle *vehicle = store_vehicle(registry->store, entry->vid.at, entry->vid.size);
    bool done = vehicle && registry_apply(registry->store, vehicle, entry, registry->open);
    store_unlock(registry->store);
    return done;
}

/* ---- asking ---- */

bool registry_take_stored(struct registry *registry, struct slice vid,
                          const struct bus_stored *stored)
{
    char change[16], registered[TIMESTAMP_TEXT_BYTES], retired[TIMESTAMP_TEXT_BYTES];
    char actor[RECORD_ACTOR_MAX_BYTES + 1], request[RECORD_REQUEST_ID_MAX_BYTES + 1];
    char remote[REMOTE_MAX_BYTES + 1];
    struct registry_entry entry = {.vid = vid,
                                   .seq = stored->seq,
                                   .received_ns = stored->received_ns,
                                   .registered_ns = TIMESTAMP_NONE,
                                   .retired_ns = TIMESTAMP_NONE};
    if (bus_stored_header(stored, REGISTRY_HEADER_CHANGE, change, sizeof change))
        entry.change = registry_change_of(change);
    if (bus_stored_header(stored, REGISTRY_HEADER_REGISTERED, registered, sizeof registered))
        entry.registered_ns = time_of(registered);
    if (bus_stored_header(stored, REGISTRY_HEADER_RETIRED, retired, sizeof retired))
        entry.retired_ns = time_of(retired);
    if (bus_stored_header(stored, REGISTRY_HEADER_ACTOR, actor, sizeof actor))
        entry.actor = actor;
    if (bus_stored_header(stored, REGISTRY_HEADER_REQUEST, request, sizeof request))
        entry.request_id = request;
    if (bus_stored_header(stored, REGISTRY_HEADER_REMOTE, remote, sizeof remote))
        entry.remote = remote;
    return registry_take(registry, &entry);
}

static bool refresh(struct registry *registry, struct slice vid)
{
    char subject[STREAMS_SUBJECT_BYTES];
    struct bus_stored stored;
    struct bus_error error;
    enum bus_status status = bus_get_last(registry->bus, streams_name(TWIN_LAST),
                                          streams_last_subject(vid, subject), &stored, &error);
    if (status != BUS_OK)
        return status == BUS_NOT_FOUND;
    bool done = registry_take_stored(registry, vid, &stored);
    bus_stored_done(&stored);
    return done;
}

bool registry_refresh(struct registry *registry, struct slice vid)
{
    atomic_fetch_add(&registry->users, 1);
    bool done = !atomic_load(&registry->stop) && refresh(registry, vid);
    atomic_fetch_sub(&registry->users, 1);
    return done;
}

enum registry_recheck registry_recheck(struct registry *registry, struct slice vid)
{
    uint64_t hash = hash_of(vid.at, vid.size) | 1; /* never that of an empty place */
    struct asked *asked = &registry->asked[hash % REGISTRY_ASKED_MAX];
    int64_t now_ms = clock_mono_ms();
    pthread_mutex_lock(&registry->lock);
    bool recent = asked->hash == hash && now_ms - asked->at_ms < REGISTRY_RECENT_MS;
    pthread_mutex_unlock(&registry->lock);
    if (recent)
        return REGISTRY_RECENT;
    if (!registry_refresh(registry, vid))
        return REGISTRY_SILENT;
    pthread_mutex_lock(&registry->lock);
    *asked = (struct asked){hash, now_ms};
    pthread_mutex_unlock(&registry->lock);
    return REGISTRY_ASKED;
}

static bool admitted(struct registry *registry, struct slice vid, int64_t received_ns)
{
    store_lock(registry->store);
    struct vehicle *vehicle = store_lookup(registry->store, vid.at, vid.size);
    bool was = vehicle && twin_registered_at(store_current(vehicle), received_ns);
    store_unlock(registry->store);
    return was;
}

bool registry_admitted(struct registry *registry, struct slice vid, int64_t received_ns,
                       enum registry_recheck *asked)
{
    *asked = REGISTRY_RECENT;
    if (admitted(registry, vid, received_ns))
        return true;
    *asked = registry_recheck(registry, vid);
    return *asked == REGISTRY_ASKED && admitted(registry, vid, received_ns);
}
