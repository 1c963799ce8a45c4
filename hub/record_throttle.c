#include "hub/record_throttle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_SLOTS = 2 * RECORD_THROTTLE_VEHICLES }; /* a power of two, never more than half full */

struct record_throttle {
    struct record_refusals *entries; /* in order of first refusal */
    size_t count, capacity;
    size_t due; /* how far record_throttle_due has come */
    int64_t minute;
    bool changed;
    uint16_t slots[TABLE_SLOTS]; /* index into entries, plus one */
};

_Static_assert(RECORD_THROTTLE_VEHICLES + 1 < UINT16_MAX, "slots hold an index");

struct record_throttle *record_throttle_new(void)
{
    return calloc(1, sizeof(struct record_throttle));
}

void record_throttle_free(struct record_throttle *throttle)
{
    if (!throttle)
        return;
    free(throttle->entries);
    free(throttle);
}

static void clear(struct record_throttle *throttle)
{
    if (throttle->count > 0)
        memset(throttle->slots, 0, sizeof throttle->slots);
    throttle->count = throttle->due = 0;
}

void record_throttle_reset(struct record_throttle *throttle)
{
    clear(throttle);
    throttle->minute = 0;
    throttle->changed = false;
}

/* FNV-1a: the table is bounded and cleared every minute, so that crowding it gains little. */
static size_t slot_of(const char *vid, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)vid[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ hash >> 32) & (TABLE_SLOTS - 1);
}

/* The vehicle's entry, made if it is new and there is room; NULL: no memory, or no room. */
static struct record_refusals *entry_of(struct record_throttle *throttle, struct slice vid,
                                        bool *full)
{
    size_t slot = slot_of(vid.at, vid.size);
    *full = false;
    for (; throttle->slots[slot]; slot = (slot + 1) & (TABLE_SLOTS - 1)) {
        struct record_refusals *entry = &throttle->entries[throttle->slots[slot] - 1];
        if (strlen(entry->vid) == vid.size && memcmp(entry->vid, vid.at, vid.size) == 0)
            return entry;
    }
    /* The last place is kept for those that share one. */
    if (throttle->count >= RECORD_THROTTLE_VEHICLES && vid.size > 0) {
        *full = true;
        return NULL;
    }
    if (throttle->count == throttle->capacity) {
        size_t capacity = throttle->capacity ? throttle->capacity * 2 : 16;
        struct record_refusals *grown =
            realloc(throttle->entries, capacity * sizeof *throttle->entries);
        if (!grown)
            return NULL;
        throttle->entries = grown;
        throttle->capacity = capacity;
    }
    struct record_refusals *entry = &throttle->entries[throttle->count++];
    *entry = (struct record_refusals){.minute = throttle->minute};
    memcpy(entry->vid, vid.at, vid.size);
    throttle->slots[slot] = (uint16_t)throttle->count;
    return entry;
}

bool record_throttle_restore(struct record_throttle *throttle,
                             const struct record_refusals *refusals)
{
    bool full;
    if (refusals->minute > throttle->minute) {
        clear(throttle);
        throttle->minute = refusals->minute;
    }
    struct record_refusals *entry =
        entry_of(throttle, (struct slice){refusals->vid, strlen(refusals->vid)}, &full);
    if (!entry)
        return false;
    *entry = *refusals;
    entry->changed = false;
    return true;
}

const struct record_refusals *record_throttle_due(struct record_throttle *throttle, int64_t now_ns)
{
    int64_t minute = now_ns / RECORD_MINUTE_NS;
    if (minute <= throttle->minute)
        return NULL;
    while (throttle->due < throttle->count) {
        const struct record_refusals *entry = &throttle->entries[throttle->due++];
        if (entry->suppressed > 0)
            return entry;
    }
    throttle->changed |= throttle->count > 0;
    clear(throttle);
    throttle->minute = minute;
    return NULL;
}

bool record_throttle_admit(struct record_throttle *throttle, struct slice vid, enum refusal refusal,
                           const struct bus_msg *msg, bool *admitted)
{
    bool full;
    if (!vid.at)
        vid = (struct slice){"", 0};
    struct record_refusals *entry = entry_of(throttle, vid, &full);
    if (!entry && full)
        entry = entry_of(throttle, (struct slice){"", 0}, &full);
    if (!entry)
        return false;
    *admitted = entry->recorded < RECORD_REFUSED_PER_MINUTE;
    if (*admitted) {
        entry->recorded++;
    } else {
        entry->suppressed++;
        entry->last_seq = (int64_t)msg->stream_seq;
        entry->last_ns = msg->received_ns;
        entry->reasons[refusal]++;
    }
    entry->changed = true;
    throttle->changed = true;
    return true;
}

const struct record_refusals *record_throttle_at(const struct record_throttle *throttle, size_t i)
{
    return i < throttle->count ? &throttle->entries[i] : NULL;
}

int64_t record_throttle_minute(const struct record_throttle *throttle)
{
    return throttle->minute;
}

void record_throttle_saved(struct record_throttle *throttle)
{
    for (size_t i = 0; i < throttle->count; i++)
        throttle->entries[i].changed = false;
    throttle->changed = false;
}

bool record_throttle_changed(const struct record_throttle *throttle)
{
    return throttle->changed;
}

bool record_of_throttled(struct record_scratch *scratch, const char *stream,
                         const struct record_refusals *refusals, struct record *record)
{
    char key[RECORD_STREAM_MAX_BYTES + TOKEN_MAX_BYTES + 64];
    int most = 1;
    for (int reason = 1; reason < REFUSAL_COUNT; reason++) {
        if (refusals->reasons[reason] > refusals->reasons[most])
            most = reason;
    }
    const char *type = refusal_name((enum refusal)most);

    struct buf *data = &scratch->data;
    buf_reset(data);
    buf_addf(data, "{\"reason\":\"%s\",\"count\":%lld,\"recorded\":%lld,\"minute\":", type,
             (long long)refusals->suppressed, (long long)refusals->recorded);
    buf_json_timestamp(data, refusals->minute * RECORD_MINUTE_NS);
    buf_adds(data, ",\"reasons\":{");
    for (int reason = 1; reason < REFUSAL_COUNT; reason++) {
        if (refusals->reasons[reason] == 0)
            continue;
        buf_json_name(data, refusal_name((enum refusal)reason));
        buf_json_int(data, refusals->reasons[reason]);
    }
    buf_adds(data, "}}");
    if (data->failed)
        return false;

    record_init(record);
    record->kind = RECORD_REJECTED;
    record->type = (struct slice){type, strlen(type)};
    if (refusals->vid[0])
        record->vid = (struct slice){refusals->vid, strlen(refusals->vid)};
    record->received_ns = refusals->last_ns;
    record->stream = (struct slice){stream, strlen(stream)};
    record->stream_seq = refusals->last_seq;
    record->data = (struct slice){data->data, data->size_bytes};
    int key_bytes = snprintf(key, sizeof key, "counted/%s/%s/%lld/%lld", stream, refusals->vid,
                             (long long)refusals->minute, (long long)refusals->last_seq);
    record_id_of(RECORD_REJECTED, key, (size_t)key_bytes, record->id);
    return true;
}
