/* The twin as JSON (contract §4). Written straight from the immutable parts when asked; what a
 * viewer may not see is left out here, in one place. */
#include "twin/twin_write.h"

void twin_write_presence(struct buf *out, const struct twin *twin)
{
    const struct presence *presence = &twin->presence;
    buf_adds(out, "{\"status\":");
    buf_json_cstr(out, presence_name(presence->status));
    buf_adds(out, ",\"last_seen\":");
    buf_json_timestamp(out, presence->last_seen_ns);
    buf_adds(out, ",\"since\":");
    buf_json_timestamp(out, presence->since_ns);
    buf_addc(out, '}');
}

static void comma(struct buf *out, bool *first)
{
    if (!*first)
        buf_addc(out, ',');
    *first = false;
}

bool twin_sees_state(const struct viewer *viewer, const struct twin *twin,
                     const struct state *state)
{
    struct slice type = state_type(state);
    return viewer_sees_part(viewer, twin->vid, "state", type.at, type.size);
}

void twin_write_states(struct buf *out, const struct twin *twin, const struct viewer *viewer)
{
    bool first = true, all = viewer_sees_everything(viewer);
    buf_addc(out, '{');
    for (size_t i = 0; i < twin->state_count; i++) {
        const struct state *state = twin->states[i];
        if (!all && !twin_sees_state(viewer, twin, state))
            continue;
        comma(out, &first);
        buf_json_string(out, state_type(state).at, state_type(state).size);
        buf_addc(out, ':');
        doc_write(out, doc_root(state->data));
    }
    buf_addc(out, '}');
}

/* The members of an object that the viewer may see under `part`. */
static void write_members(struct buf *out, const char *vid, const char *part, struct doc_ref object,
                          const struct viewer *viewer)
{
    bool first = true;
    buf_addc(out, '{');
    for (struct doc_ref m = doc_first(object); doc_exists(m); m = doc_next(object, m)) {
        size_t size;
        const char *name = doc_name(m, &size);
        if (!viewer_sees_part(viewer, vid, part, name, size))
            continue;
        comma(out, &first);
        buf_json_string(out, name, size);
        buf_addc(out, ':');
        doc_write(out, m);
    }
    buf_addc(out, '}');
}

void twin_write_part(struct buf *out, const struct twin *twin, enum part_kind kind,
                     const struct viewer *viewer)
{
    const struct part *part = twin->parts[kind];
    if (!part)
        buf_adds(out, "{}");
    else if (viewer_sees_everything(viewer))
        doc_write(out, doc_root(part->value));
    else
        write_members(out, twin->vid, part_name(kind), doc_root(part->value), viewer);
}

void twin_write_delta(struct buf *out, const struct twin *twin, const struct viewer *viewer)
{
    if (!twin->delta)
        buf_adds(out, "{}");
    else if (viewer_sees_everything(viewer))
        doc_write(out, doc_root(twin->delta));
    else /* what is desired shows in the delta: whoever may not see the one does not see the other
          */
        write_members(out, twin->vid, part_name(PART_DESIRED), doc_root(twin->delta), viewer);
}

void twin_write_revision(struct buf *out, const struct twin *twin)
{
    static const enum part_kind order[] = {PART_DESIRED, PART_REPORTED, PART_CONFIG, PART_META};
    buf_addc(out, '{');
    for (size_t i = 0; i < PART_COUNT; i++) {
        const struct part *part = twin->parts[order[i]];
        buf_json_name(out, part_name(order[i]));
        buf_json_int(out, part ? (int64_t)part->revision : 0);
    }
    buf_addc(out, '}');
}

void twin_write_metadata(struct buf *out, const struct twin *twin, const struct viewer *viewer)
{
    bool first = true, all = viewer_sees_everything(viewer);
    buf_adds(out, "{\"state\":{");
    for (size_t i = 0; i < twin->state_count; i++) {
        const struct state *state = twin->states[i];
        struct slice boot = state_boot(state);
        if (!all && !twin_sees_state(viewer, twin, state))
            continue;
        comma(out, &first);
        buf_json_string(out, state_type(state).at, state_type(state).size);
        buf_adds(out, ":{\"timestamp\":");
        buf_json_timestamp(out, state->timestamp_ns);
        buf_adds(out, ",\"boot\":");
        if (boot.at)
            buf_json_string(out, boot.at, boot.size);
        else
            buf_adds(out, "null");
        buf_adds(out, ",\"seq\":");
        if (state->seq != SEQ_NONE)
            buf_json_int(out, state->seq);
        else
            buf_adds(out, "null");
        buf_adds(out, ",\"received\":");
        buf_json_timestamp(out, state->received_ns);
        buf_adds(out, ",\"stream_seq\":");
        buf_json_int(out, (int64_t)state->stream_seq);
        buf_addc(out, '}');
    }
    buf_addc(out, '}');
    for (int i = 0; i < PART_COUNT; i++) {
        const struct part *part = twin->parts[i];
        if (!part)
            continue;
        buf_json_name(out, part_name((enum part_kind)i));
        buf_adds(out, "{\"updated\":");
        buf_json_timestamp(out, part->updated_ns);
        buf_adds(out, ",\"updated_by\":");
        buf_json_cstr(out, part->updated_by);
        buf_addc(out, '}');
    }
    buf_addc(out, '}');
}

void twin_write(struct buf *out, const struct twin *twin, const struct twin_view *view)
{
    const struct viewer *viewer = view->viewer;
    bool all = viewer_sees_everything(viewer);

    buf_adds(out, "{\"vid\":");
    buf_json_cstr(out, twin->vid);
    buf_adds(out, ",\"region\":");
    buf_json_cstr(out, view->region);
    if (all || viewer_sees_part(viewer, twin->vid, "presence", NULL, 0)) {
        buf_adds(out, ",\"presence\":");
        twin_write_presence(out, twin);
    }
    buf_adds(out, ",\"state\":");
    twin_write_states(out, twin, viewer);
    buf_adds(out, ",\"reported\":");
    twin_write_part(out, twin, PART_REPORTED, viewer);
    buf_adds(out, ",\"desired\":");
    twin_write_part(out, twin, PART_DESIRED, viewer);
    if (all || viewer_sees_part(viewer, twin->vid, "delta", NULL, 0)) {
        buf_adds(out, ",\"delta\":");
        twin_write_delta(out, twin, viewer);
        buf_adds(out, ",\"delta_since\":");
        buf_json_timestamp(out, twin->delta_since_ns);
    }
    buf_adds(out, ",\"config\":");
    twin_write_part(out, twin, PART_CONFIG, viewer);
    buf_adds(out, ",\"meta\":");
    twin_write_part(out, twin, PART_META, viewer);
    buf_adds(out, ",\"revision\":");
    twin_write_revision(out, twin);
    if (view->metadata) {
        buf_adds(out, ",\"metadata\":");
        twin_write_metadata(out, twin, viewer);
    }
    buf_addc(out, '}');
}
