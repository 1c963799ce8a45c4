/* One value of the bucket into its twin: parts, delta, presence; what outsiders write, on record.
 */
#include "hub/shadow_impl.h"

#include "hub/clock.h"
#include "hub/presence.h"
#include "hub/shadow_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_STEP_MS = 5, VOID_CHUNK = 512 };

/* ---- the start of a divergence ---- */

static uint64_t revision_of(const struct twin *twin, enum part_kind kind)
{
    return twin->parts[kind] ? twin->parts[kind]->revision : 0;
}

/* What TWIN_LAST says of the start of a divergence holds for the two revisions it names; values are
 * applied in the bucket's order, so the twin comes to hold just these, or, where the bucket has let
 * go of one, later ones. */
static void adopt_since(struct shadow_lane *lane, uint32_t index, struct twin *twin)
{
    struct last_delta *saved = index < lane->delta_count ? &lane->deltas[index] : NULL;
    if (!saved || !saved->known || revision_of(twin, PART_DESIRED) < saved->desired ||
        revision_of(twin, PART_REPORTED) < saved->reported)
        return;
    if (twin->delta)
        twin->delta_since_ns = saved->since_ns;
    saved->known = false;
}

static void observe_convergence(const struct shadow_value *value, const struct twin *old,
                                const struct twin *twin)
{
    if (!value->news || value->kind != PART_REPORTED || !old->delta || twin->delta ||
        old->delta_since_ns == TIMESTAMP_NONE)
        return;
    double lasted_s = (double)(value->received_ns - old->delta_since_ns) / (double)NS_PER_S;
    metrics_observe(METRIC_DELTA_CONVERGENCE, lasted_s > 0 ? lasted_s : 0);
}

/* ---- applying ---- */

/* Its vehicle; made where it is new. With the lock held. */
static struct vehicle *vehicle_of(struct shadow_lane *lane, struct slice vid, bool *made)
{
    struct store *store = lane->options.store;
    struct vehicle *vehicle = store_lookup(store, vid.at, vid.size);
    *made = vehicle == NULL;
    return vehicle ? vehicle : store_vehicle(store, vid.at, vid.size);
}

/* The vehicle spoke: its writing `reported` is a sign of life like any message. False where there
 * is no place for the record of its return. */
static bool hear(struct shadow_lane *lane, const struct shadow_value *value, const struct twin *old,
                 struct twin *twin)
{
    if (value->kind != PART_REPORTED || value->deleted ||
        (!lane->open && !twin_registered_at(old, value->received_ns)))
        return true;
    twin->presence = presence_heard(old->presence, value->received_ns);
    twin->hidden = false;
    return presence_record_return(lane->options.recorder, twin->vid, &old->presence,
                                  &twin->presence);
}

bool shadow_apply_part(struct shadow_lane *lane, const struct shadow_value *value,
                       struct part *part)
{
    struct store *store = lane->options.store;
    struct part *unused = part; /* until the twin has it */
    const struct part *old_part = NULL;
    const struct doc *old_delta = NULL;
    struct twin *twin = NULL;
    bool done = false, made;

    store_lock(store);
    struct vehicle *vehicle = vehicle_of(lane, value->vid, &made);
    struct twin *old = vehicle ? store_current(vehicle) : NULL;
    if (!old)
        goto out;
    old_part = old->parts[value->kind];
    bool known = old_part && old_part->revision >= part->revision;
    if (known || twin_buries(old, value->received_ns)) { /* read again, or hidden: nothing new */
        done = true;
        goto out;
    }
    twin = twin_copy(old);
    if (!twin)
        goto out;
    twin->parts[value->kind] = part;
    if (made && !lane->open)
        twin->hidden = true; /* not admitted: known from its shadow alone */
    if (!hear(lane, value, old, twin))
        goto out;
    bool sides = value->kind == PART_DESIRED || value->kind == PART_REPORTED;
    if (sides && !twin_refresh_delta(twin, value->received_ns, &old_delta))
        goto out;
    if (sides) {
        adopt_since(lane, vehicle->index, twin);
        observe_convergence(value, old, twin);
    }
    /* What the mark vouches for is in the vehicle's entry already, and changes nothing of it. */
    bool kept = !value->news && vehicle->last_kv_seq > 0 && vehicle->persisted == vehicle->changed;
    store_hear(vehicle, STREAM_SHADOW, value->revision);
    store_put(store, vehicle, twin);
    if (kept)
        vehicle->persisted = vehicle->changed;
    store_retire(store, old_part);
    store_retire(store, old_delta);
    twin = NULL;
    unused = NULL;
    done = true;
out:
    store_unlock(store);
    free(twin);
    if (done)
        free(unused);
    return done;
}

bool shadow_apply(struct shadow_lane *lane, const struct shadow_value *value)
{
    struct part *part = part_new(value->revision, value->received_ns, value->author, value->value);
    if (part && shadow_apply_part(lane, value, part))
        return true;
    free(part);
    return false;
}

/* ---- from outside ---- */

/* What was there before, as text. False when there is no memory. */
static bool write_before(struct shadow_lane *lane, const struct shadow_value *value,
                         struct buf *before, uint64_t *revision)
{
    struct store *store = lane->options.store;
    char vid[TOKEN_MAX_BYTES + 1];
    memcpy(vid, value->vid.at, value->vid.size);
    vid[value->vid.size] = '\0';
    size_t place = store_enter(store);
    const struct twin *twin = store_find(store, vid);
    const struct part *part = twin ? twin->parts[value->kind] : NULL;
    *revision = part ? part->revision : 0;
    if (part)
        doc_write(before, doc_root(part->value));
    else
        buf_adds(before, "{}");
    store_leave(store, place);
    return !before->failed;
}

static bool make_outside(struct shadow_lane *lane, const struct shadow_value *value,
                         const struct buf *before, struct buf *after, struct buf *data,
                         struct record *record)
{
    char key[96];
    int key_bytes =
        snprintf(key, sizeof key, "TWIN_SHADOW/%lld/%llu/%lld", (long long)lane->epoch_ns,
                 (unsigned long long)value->revision, (long long)value->received_ns);
    doc_write(after, value->value);
    shadow_record_data(data, value->kind, (struct slice){before->data, before->size_bytes},
                       (struct slice){after->data, after->size_bytes}, value->revision);
    record_init(record);
    record_id_of(RECORD_SHADOW, key, (size_t)key_bytes, record->id);
    record->kind = RECORD_SHADOW;
    record->type = (struct slice){"outside", 7};
    record->vid = value->vid;
    record->actor = (struct slice){"unknown", 7};
    record->received_ns = value->received_ns;
    record->data = (struct slice){data->data, data->size_bytes};
    return !after->failed && !data->failed;
}

bool shadow_record_outside(struct shadow_lane *lane, const struct shadow_value *value)
{
    struct buf before = BUF_INIT, after = BUF_INIT, data = BUF_INIT;
    struct record record;
    uint64_t ticket, revision = 0;
    bool put = write_before(lane, value, &before, &revision);
    /* Seen already; or the empty marker of a retirement, over nothing. */
    bool nothing =
        put && (revision >= value->revision || (value->deleted && before.size_bytes == 2));
    if (put && !nothing) {
        put = make_outside(lane, value, &before, &after, &data, &record);
        while (put && !recorder_put(lane->options.recorder, &record, &ticket)) {
            put = !atomic_load(&lane->stop);
            clock_pause_ms(ROOM_STEP_MS);
        }
    }
    buf_done(&before);
    buf_done(&after);
    buf_done(&data);
    return put;
}

/* ---- a bucket that begins anew ---- */

static void void_vehicle(struct store *store, struct vehicle *vehicle)
{
    const struct part *parts[PART_COUNT];
    const struct doc *old_delta;
    struct twin *twin = twin_copy(store_current(vehicle));
    if (!twin)
        return; /* its next values replace them */
    memcpy(parts, twin->parts, sizeof parts);
    memset(twin->parts, 0, sizeof twin->parts);
    old_delta = twin->delta;
    twin->delta = NULL;
    twin->delta_since_ns = TIMESTAMP_NONE;
    store_put(store, vehicle, twin);
    for (int i = 0; i < PART_COUNT; i++)
        store_retire(store, parts[i]);
    store_retire(store, old_delta);
}

void shadow_void(struct shadow_lane *lane)
{
    struct store *store = lane->options.store;
    uint32_t count = store_count(store);
    for (uint32_t from = 0; from < count; from += VOID_CHUNK) {
        store_lock(store);
        for (uint32_t i = from; i < count && i < from + VOID_CHUNK; i++)
            void_vehicle(store, store_vehicle_at(store, i));
        store_unlock(store);
    }
}
