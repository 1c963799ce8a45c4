#include "hub/live_watch.h"

#include <stdlib.h>
#include <string.h>

/* ---- making ---- */

static bool is(struct slice name, const char *text)
{
    return name.at && name.size == strlen(text) && memcmp(name.at, text, name.size) == 0;
}

static size_t types_bytes(const char *types)
{
    const char *at = types;
    while (at && *at)
        at += strlen(at) + 1;
    return (size_t)(at - types);
}

static bool add_type(struct live_watch *watch, struct slice type)
{
    if (type.size == 0 || memchr(type.at, '\0', type.size)) {
        watch->states = true; /* no such type can be told apart in the list */
        return true;
    }
    size_t used = types_bytes(watch->types);
    char *types = realloc(watch->types, used + type.size + 2);
    if (!types)
        return false;
    memcpy(types + used, type.at, type.size);
    types[used + type.size] = '\0';
    types[used + type.size + 1] = '\0';
    watch->types = types;
    return true;
}

static bool add_path(struct live_watch *watch, const struct path *path)
{
    struct slice root = path_name(path, 0), next = path_name(path, 1);
    enum part_kind kind;
    if (is(root, "vid") || is(root, "region"))
        return true;
    if (is(root, "state") && next.at)
        return add_type(watch, next);
    if (is(root, "state")) {
        watch->states = true;
    } else if (is(root, "delta") || is(root, "delta_since")) {
        watch->parts[PART_DESIRED] = true;
        watch->parts[PART_REPORTED] = true;
    } else if (is(root, "revision")) {
        watch->shadow = true;
    } else if (root.at && part_of_name(root.at, root.size, &kind)) {
        watch->parts[kind] = true;
    } else {
        watch->always = true;
    }
    return true;
}

bool live_watch_filter(struct live_watch *watch, const struct filter *filter)
{
    const struct path *path;
    watch->always = watch->always || filter_group(filter, 0) || filter_depends_on_time(filter);
    for (size_t i = 0; (path = filter_path(filter, i)) != NULL; i++)
        if (!add_path(watch, path))
            return false;
    return true;
}

bool live_watch_fields(struct live_watch *watch, const struct fields *fields)
{
    for (size_t i = 0; i < fields_count(fields); i++) {
        struct slice label = fields_label(fields, i);
        struct text_error error;
        struct path *path = path_compile(PATH_OF_TWIN, label.at, label.size, 0, &error);
        bool added = path && add_path(watch, path);
        path_free(path);
        if (!added)
            return false;
    }
    return true;
}

void live_watch_done(struct live_watch *watch)
{
    free(watch->types);
    *watch = (struct live_watch){0};
}

/* ---- asking ---- */

struct live_seen live_seen_of(const struct store *store, const struct fleet_position *position)
{
    struct live_seen seen = {.early = {false}};
    for (size_t i = 0; position_stream(i) != STREAM_LABELS; i++) {
        enum stream_label stream = position_stream(i);
        struct position now = store_position(store, stream);
        struct store_base base = store_base(store, stream);
        const struct position *then = &position->streams[stream];
        /* Positions that were read from a token hold whole milliseconds. */
        bool same = now.epoch_ns / NS_PER_MS == then->epoch_ns / NS_PER_MS;
        if (same && !base.anew)
            seen.streams[stream] = *then;
        seen.early[stream] = seen.streams[stream].seq < base.position.seq || base.anew;
    }
    return seen;
}

/* What came before this hub has read by itself is known by its times alone: whether the vehicle was
 * heard, or its registration changed, after the position's message. */
static bool later_than(const struct twin *twin, enum stream_label stream,
                       const struct position *seen)
{
    int64_t last_ns = twin->presence.last_seen_ns;
    if (stream == STREAM_LAST)
        last_ns = twin->registered_ns > twin->retired_ns ? twin->registered_ns : twin->retired_ns;
    if (last_ns == TIMESTAMP_NONE) /* there was nothing to hear */
        return false;
    return seen->seq == 0 || seen->received_ns == 0 ||
           last_ns + POSITION_SLACK_MS * NS_PER_MS >= seen->received_ns;
}

bool live_heard_since(const struct store *store, uint32_t vehicle, const struct twin *twin,
                      enum stream_label stream, const struct live_seen *seen)
{
    uint64_t heard = store_heard(store, vehicle, stream);
    if (heard == 0)
        return seen->early[stream] && later_than(twin, stream, &seen->streams[stream]);
    return heard > seen->streams[stream].seq;
}

static bool state_touched(const struct store *store, uint32_t vehicle, const struct twin *twin,
                          struct slice type, const struct live_seen *seen)
{
    const struct state *state = twin_state(twin, type);
    if (state)
        return state->stream_seq > seen->streams[STREAM_STATE].seq;
    /* Not there, or not any more: another one has taken its place. */
    return live_heard_since(store, vehicle, twin, STREAM_STATE, seen);
}

bool live_watch_touched(const struct live_watch *watch, const struct store *store, uint32_t vehicle,
                        const struct twin *twin, const struct live_seen *seen)
{
    if (watch->always || live_heard_since(store, vehicle, twin, STREAM_LAST, seen))
        return true;
    if (watch->states && live_heard_since(store, vehicle, twin, STREAM_STATE, seen))
        return true;
    if (watch->shadow && live_heard_since(store, vehicle, twin, STREAM_SHADOW, seen))
        return true;
    for (int i = 0; i < PART_COUNT; i++)
        if (watch->parts[i] && twin->parts[i] &&
            twin->parts[i]->revision > seen->streams[STREAM_SHADOW].seq)
            return true;
    for (const char *type = watch->types; type && *type; type += strlen(type) + 1)
        if (state_touched(store, vehicle, twin, (struct slice){type, strlen(type)}, seen))
            return true;
    return false;
}
