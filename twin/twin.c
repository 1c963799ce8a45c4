#include "twin/twin.h"

#include <stdlib.h>
#include <string.h>

/* ---- parts ---- */

static const char *const part_names[PART_COUNT] = {
#define X(id, name) [PART_##id] = name,
    PART_TABLE(X)
#undef X
};

const char *part_name(enum part_kind kind)
{
    return part_names[kind];
}

bool part_of_name(const char *name, size_t size, enum part_kind *kind)
{
    for (int i = 0; i < PART_COUNT; i++) {
        if (strlen(part_names[i]) == size && memcmp(part_names[i], name, size) == 0) {
            *kind = (enum part_kind)i;
            return true;
        }
    }
    return false;
}

struct part *part_new(uint64_t revision, int64_t updated_ns, const char *updated_by,
                      struct doc_ref value)
{
    enum { ALIGN = 16 };
    size_t by_bytes = strlen(updated_by) + 1;
    size_t header = (sizeof(struct part) + by_bytes + ALIGN - 1) / ALIGN * ALIGN;
    struct doc *clean = doc_without_nulls(value), *doc;
    if (!clean)
        return NULL;
    struct part *part = doc_copy_behind(doc_root(clean), header, &doc);
    free(clean);
    if (!part)
        return NULL;
    *part = (struct part){.revision = revision, .updated_ns = updated_ns, .value = doc};
    memcpy(part->updated_by, updated_by, by_bytes);
    return part;
}

/* ---- twins ---- */

static size_t twin_bytes(size_t states)
{
    return sizeof(struct twin) + states * sizeof(struct state *);
}

struct twin *twin_new(const char *vid)
{
    struct twin *twin = calloc(1, twin_bytes(0));
    if (!twin)
        return NULL;
    twin->vid = vid;
    twin->presence.last_seen_ns = TIMESTAMP_NONE;
    twin->presence.since_ns = TIMESTAMP_NONE;
    twin->registered_ns = TIMESTAMP_NONE;
    twin->retired_ns = TIMESTAMP_NONE;
    twin->delta_since_ns = TIMESTAMP_NONE;
    return twin;
}

struct twin *twin_copy(const struct twin *twin)
{
    size_t bytes = twin_bytes(twin->state_count);
    struct twin *copy = malloc(bytes);
    if (copy)
        memcpy(copy, twin, bytes);
    return copy;
}

static int type_order(struct slice a, struct slice b)
{
    int order = memcmp(a.at, b.at, a.size < b.size ? a.size : b.size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* The place of `type`, or where it would stand. */
static size_t place_of(const struct twin *twin, struct slice type, bool *found)
{
    size_t low = 0, high = twin->state_count;
    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = type_order(type, state_type(twin->states[middle]));
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

const struct state *twin_state(const struct twin *twin, struct slice type)
{
    bool found;
    size_t place = place_of(twin, type, &found);
    return found ? twin->states[place] : NULL;
}

static size_t oldest_state(const struct twin *twin)
{
    size_t oldest = 0;
    for (size_t i = 1; i < twin->state_count; i++)
        if (twin->states[i]->received_ns < twin->states[oldest]->received_ns)
            oldest = i;
    return oldest;
}

struct twin *twin_with_state(const struct twin *twin, const struct state *fresh,
                             const struct state **replaced)
{
    bool found;
    size_t place = place_of(twin, state_type(fresh), &found), count = twin->state_count;
    if (found) {
        struct twin *copy = twin_copy(twin);
        if (copy) {
            *replaced = copy->states[place];
            copy->states[place] = fresh;
        }
        return copy;
    }
    struct twin *copy = malloc(twin_bytes(count + 1));
    if (!copy)
        return NULL;
    memcpy(copy, twin, twin_bytes(place));
    copy->states[place] = fresh;
    memcpy(copy->states + place + 1, twin->states + place, (count - place) * sizeof *twin->states);
    copy->state_count = (uint16_t)(count + 1);
    *replaced = NULL;
    if (count == TWIN_STATES_MAX) {
        size_t oldest = oldest_state(copy);
        *replaced = copy->states[oldest];
        memmove(copy->states + oldest, copy->states + oldest + 1,
                (count - oldest) * sizeof *copy->states);
        copy->state_count = TWIN_STATES_MAX;
    }
    return copy;
}

struct twin *twin_with_states(const struct twin *twin, const struct state *const *states,
                              size_t count)
{
    struct twin *copy = malloc(twin_bytes(count));
    if (!copy)
        return NULL;
    memcpy(copy, twin, twin_bytes(0));
    for (size_t i = 0; i < count; i++) { /* mostly they are in order already */
        size_t at = i;
        for (; at > 0 && type_order(state_type(states[i]), state_type(copy->states[at - 1])) < 0;
             at--)
            copy->states[at] = copy->states[at - 1];
        copy->states[at] = states[i];
    }
    copy->state_count = (uint16_t)count;
    return copy;
}

bool twin_visible(const struct twin *twin)
{
    return twin && !twin->hidden;
}

bool twin_refresh_delta(struct twin *twin, int64_t written_ns, const struct doc **replaced)
{
    const struct part *desired = twin->parts[PART_DESIRED], *reported = twin->parts[PART_REPORTED];
    struct doc *delta = NULL;
    if (desired) {
        delta = doc_delta(doc_root(desired->value), doc_root(reported ? reported->value : NULL));
        if (!delta)
            return false;
        if (doc_members(doc_root(delta)) == 0) {
            free(delta);
            delta = NULL;
        }
    }
    *replaced = twin->delta;
    twin->delta = delta;
    if (!delta)
        twin->delta_since_ns = TIMESTAMP_NONE;
    else if (twin->delta_since_ns == TIMESTAMP_NONE)
        twin->delta_since_ns = written_ns;
    return true;
}
