#include "hub/record_redact.h"

#include "hub/query_sight.h"

#include <string.h>

/* Who asks, and about which vehicle. */
struct eye {
    const struct viewer *viewer;
    char vid[TOKEN_MAX_BYTES + 1]; /* "" where the record has none: only those who see all see it */
};

static bool sees(const struct eye *eye, const char *part, struct slice rest)
{
    return viewer_sees_part(eye->viewer, eye->vid, part, rest.at, rest.size);
}

/* Some scope holds the vehicle and all of its parts, those without a name too. */
static bool sees_unnamed(const struct eye *eye)
{
    for (size_t i = 0; i < eye->viewer->scope_count; i++) {
        const struct viewer_scope *scope = &eye->viewer->scopes[i];
        struct viewer one = {"", scope, 1, {false, NULL, 0}};
        if (!scope->allow.given && viewer_sees_vehicle(&one, eye->vid))
            return true;
    }
    return false;
}

static bool parse(struct doc_parser *parser, const struct record *record, struct doc_ref *data)
{
    struct doc_limits limits = {.max_bytes = RECORD_MAX_BYTES, .max_depth = RECORD_MAX_DEPTH};
    return doc_parse(parser, record->data.at, record->data.size, limits, data) == DOC_OK &&
           doc_is(*data, DOC_OBJECT);
}

/* ---- leaving out ---- */

static void write_name(struct buf *out, struct doc_ref member, bool first)
{
    size_t size;
    const char *name = doc_name(member, &size);
    buf_adds(out, first ? "" : ",");
    buf_json_string(out, name, size);
    buf_addc(out, ':');
}

/* Appends an object less the members that are denied; how many were left out. */
static size_t write_seen(const struct eye *eye, const char *part, struct doc_ref object,
                         struct buf *out)
{
    size_t denied = 0;
    bool first = true;
    buf_addc(out, '{');
    for (struct doc_ref m = doc_first(object); doc_exists(m); m = doc_next(object, m)) {
        struct slice name;
        name.at = doc_name(m, &name.size);
        if (!sees(eye, part, name)) {
            denied++;
            continue;
        }
        write_name(out, m, first);
        doc_write(out, m);
        first = false;
    }
    buf_addc(out, '}');
    return denied;
}

static bool is_named(struct doc_ref member, const char *text)
{
    size_t size;
    const char *name = doc_name(member, &size);
    return size == strlen(text) && memcmp(name, text, size) == 0;
}

/* Each state is a member, and `received` says of each when that was. */
static enum record_sight redact_track(const struct eye *eye, struct doc_ref data, struct buf *out)
{
    size_t kept = 0, denied = 0;
    buf_addc(out, '{');
    for (struct doc_ref m = doc_first(data); doc_exists(m); m = doc_next(data, m)) {
        struct slice name;
        bool times = is_named(m, "received") && doc_is(m, DOC_OBJECT);
        name.at = doc_name(m, &name.size);
        if (!times && !sees(eye, "state", name)) {
            denied++;
            continue;
        }
        write_name(out, m, out->size_bytes == 1);
        if (times)
            denied += write_seen(eye, "state", m, out);
        else
            doc_write(out, m);
        kept += !times;
    }
    buf_addc(out, '}');
    if (kept == 0 && denied > 0)
        return RECORD_HIDDEN;
    return denied > 0 ? RECORD_PARTLY : RECORD_WHOLE;
}

/* A change of a part of the shadow; an outcome names no part, and has nothing of it. */
static enum record_sight redact_shadow(const struct eye *eye, struct doc_ref data, struct buf *out)
{
    struct doc_ref part = doc_getz(data, "part");
    enum part_kind kind;
    size_t size, denied = 0;
    if (!doc_is(part, DOC_STRING))
        return RECORD_WHOLE;
    const char *text = doc_string(part, &size);
    if (!part_of_name(text, size, &kind) ||
        !query_sees_some(eye->viewer, eye->vid, part_name(kind)))
        return RECORD_HIDDEN;
    buf_addc(out, '{');
    for (struct doc_ref m = doc_first(data); doc_exists(m); m = doc_next(data, m)) {
        write_name(out, m, out->size_bytes == 1);
        if ((is_named(m, "before") || is_named(m, "after")) && doc_is(m, DOC_OBJECT))
            denied += write_seen(eye, part_name(kind), m, out);
        else
            doc_write(out, m);
    }
    buf_addc(out, '}');
    return denied > 0 ? RECORD_PARTLY : RECORD_WHOLE;
}

/* The refused message stands in the record, and so its part decides. */
static bool sees_refused(const struct eye *eye, struct doc_ref data)
{
    static const struct {
        enum category category;
        const char *part;
    } parts[] = {{CATEGORY_STATE, "state"},
                 {CATEGORY_EVENT, "evt"},
                 {CATEGORY_COMMAND, "cmd"},
                 {CATEGORY_ACK, "cmd"}};
    struct doc_ref text = doc_getz(data, "subject");
    struct subject subject;
    size_t size;
    if (!doc_exists(doc_getz(data, "payload"))) /* a count of many, none of which is in it */
        return true;
    const char *at = doc_is(text, DOC_STRING) ? doc_string(text, &size) : NULL;
    if (!at || !subject_parse(at, size, &subject))
        return eye->viewer->deny.count == 0 && sees_unnamed(eye);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].category == subject.category)
            return sees(eye, parts[i].part, subject.type);
    return false;
}

/* ---- the whole ---- */

static enum record_sight judge_data(const struct eye *eye, const struct record *record,
                                    struct doc_parser *parser, struct buf *out)
{
    struct doc_ref data;
    enum record_sight sight;
    if (!parse(parser, record, &data))
        return RECORD_HIDDEN; /* nobody can say what is in it */
    if (record->kind == RECORD_REJECTED)
        return sees_refused(eye, data) ? RECORD_WHOLE : RECORD_HIDDEN;
    buf_reset(out);
    sight =
        record->kind == RECORD_TRACK ? redact_track(eye, data, out) : redact_shadow(eye, data, out);
    return sight == RECORD_PARTLY && out->failed ? RECORD_NO_MEMORY : sight;
}

enum record_sight record_redact(const struct viewer *viewer, const struct record *record,
                                struct doc_parser *parser, struct buf *data)
{
    struct eye eye = {.viewer = viewer};
    bool seen = true;
    if (viewer_sees_everything(viewer))
        return RECORD_WHOLE;
    if (record->vid.size > TOKEN_MAX_BYTES)
        return RECORD_HIDDEN;
    if (record->vid.at)
        memcpy(eye.vid, record->vid.at, record->vid.size);
    if (!viewer_sees_vehicle(viewer, eye.vid))
        return RECORD_HIDDEN;
    switch (record->kind) {
    case RECORD_EVENT:
        seen = sees(&eye, "evt", record->type);
        break;
    case RECORD_ACK:
    case RECORD_COMMAND:
        seen = sees(&eye, "cmd", record->type);
        break;
    case RECORD_PRESENCE:
        seen = sees(&eye, "presence", (struct slice){NULL, 0});
        break;
    case RECORD_ACCESS:
        seen = sees_unnamed(&eye);
        break;
    case RECORD_TRACK:
    case RECORD_SHADOW:
    case RECORD_REJECTED:
        return judge_data(&eye, record, parser, data);
    default: /* RECORD_SYSTEM */
        break;
    }
    return seen ? RECORD_WHOLE : RECORD_HIDDEN;
}
