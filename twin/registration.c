/* Registration and retirement (contract §4): facts with the broker's times, in any order. */
#include "twin/twin.h"

#include <stdlib.h>

/* TIMESTAMP_NONE is before everything. */
static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

bool twin_buries(const struct twin *twin, int64_t received_ns)
{
    return twin->retired_ns != TIMESTAMP_NONE && received_ns <= twin->retired_ns;
}

bool twin_registered_at(const struct twin *twin, int64_t received_ns)
{
    if (!twin || twin->registered_ns == TIMESTAMP_NONE)
        return false;
    if (twin->registered_ns > twin->retired_ns) /* before it was retired it was registered, too */
        return received_ns > twin->registered_ns || twin_buries(twin, received_ns);
    return received_ns > twin->registered_ns && received_ns <= twin->retired_ns;
}

/* Takes away what a retirement buries. False when there is no memory. */
static bool bury(struct twin *twin)
{
    const struct doc *replaced;
    bool parts_gone = false;
    uint16_t kept = 0;
    for (uint16_t i = 0; i < twin->state_count; i++)
        if (!twin_buries(twin, twin->states[i]->received_ns))
            twin->states[kept++] = twin->states[i];
    twin->state_count = kept;
    for (int i = 0; i < PART_COUNT; i++) {
        if (twin->parts[i] && twin_buries(twin, twin->parts[i]->updated_ns)) {
            twin->parts[i] = NULL;
            parts_gone = true;
        }
    }
    if (twin->presence.last_seen_ns != TIMESTAMP_NONE &&
        twin_buries(twin, twin->presence.last_seen_ns))
        twin->presence = (struct presence){PRESENCE_UNKNOWN, TIMESTAMP_NONE, TIMESTAMP_NONE};
    if (!parts_gone)
        return true;
    twin->delta_since_ns = TIMESTAMP_NONE;
    const struct part *desired = twin->parts[PART_DESIRED];
    return twin_refresh_delta(twin, desired ? desired->updated_ns : twin->retired_ns, &replaced);
}

struct twin *twin_with_registration(const struct twin *twin, int64_t registered_ns,
                                    int64_t retired_ns, bool open)
{
    struct twin *copy = twin_copy(twin);
    if (!copy)
        return NULL;
    bool retired = retired_ns > copy->retired_ns;
    copy->registered_ns = later(copy->registered_ns, registered_ns);
    copy->retired_ns = later(copy->retired_ns, retired_ns);
    copy->registered = copy->registered_ns > copy->retired_ns;
    if (retired && !bury(copy)) {
        free(copy);
        return NULL;
    }
    if (copy->registered)
        copy->hidden = false;
    else if (retired)
        copy->hidden = !open || copy->presence.last_seen_ns == TIMESTAMP_NONE;
    return copy;
}

static bool has_state(const struct twin *twin, const struct state *state)
{
    return twin_state(twin, state_type(state)) == state;
}

void twin_dropped(const struct twin *old, const struct twin *fresh,
                  void (*drop)(void *closure, const void *block), void *closure)
{
    for (size_t i = 0; i < old->state_count; i++)
        if (!has_state(fresh, old->states[i]))
            drop(closure, old->states[i]);
    for (int i = 0; i < PART_COUNT; i++)
        if (old->parts[i] && old->parts[i] != fresh->parts[i])
            drop(closure, old->parts[i]);
    if (old->delta && old->delta != fresh->delta)
        drop(closure, old->delta);
}
