/* Reading what record.h writes: the JSON of TWIN_RECORD, and the text of one member. */
#include "hub/record.h"

#include <string.h>

/* ---- the text of a member ----
 * The text is known to be valid JSON: this only finds where things end. */

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* Behind the string whose opening quote is at `at`. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\')
            at++;
    }
    return at < end ? at + 1 : end;
}

static const char *skip_value(const char *at, const char *end)
{
    int depth = 0;
    while (at < end) {
        char c = *at;
        if (c == '"') {
            at = skip_string(at, end);
            if (depth == 0)
                return at;
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ' ' || c == '\t' || c == '\n' || c == '\r'))
            return at; /* behind a number or a name, which is an object's member */
        at++;
        if (c == '{' || c == '[')
            depth++;
        if ((c == '}' || c == ']') && --depth == 0)
            return at;
    }
    return at;
}

/* Of what is known to be a hexadecimal digit. */
static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Whether the name between `at` and `end`, escapes and all, is `name` (letters only). */
static bool name_is(const char *at, const char *end, const char *name)
{
    for (; *name; name++) {
        char c;
        if (at == end)
            return false;
        if (*at == '\\') {
            /* A letter's only escape is \u00xx. */
            if (end - at < 6 || at[1] != 'u' || at[2] != '0' || at[3] != '0')
                return false;
            c = (char)(hex_digit(at[4]) << 4 | hex_digit(at[5]));
            at += 6;
        } else {
            c = *at++;
        }
        if (c != *name)
            return false;
    }
    return at == end;
}

bool record_member_text(const char *text, size_t size, const char *name, struct slice *value)
{
    const char *end = text + size;
    const char *at = skip_space(text, end);
    if (at == end || *at != '{')
        return false;
    at = skip_space(at + 1, end);
    while (at < end && *at == '"') {
        const char *name_end = skip_string(at, end);
        bool wanted = name_is(at + 1, name_end - 1, name);
        at = skip_space(name_end, end);
        at = skip_space(at + 1, end); /* the colon */
        const char *value_end = skip_value(at, end);
        if (wanted) {
            *value = (struct slice){at, (size_t)(value_end - at)};
            return true;
        }
        at = skip_space(value_end, end);
        if (at == end || *at != ',')
            return false;
        at = skip_space(at + 1, end);
    }
    return false;
}

/* ---- members ---- */

/* A member that is a string, or null or missing. PostgreSQL's text holds no NUL, and nothing that
 * the hub itself writes needs control characters: only `boot` is a vehicle's. */
static bool read_text(struct doc_ref root, const char *name, size_t max_bytes, struct slice *out)
{
    struct doc_ref value = doc_getz(root, name);
    *out = (struct slice){NULL, 0};
    if (!doc_exists(value) || doc_is(value, DOC_NULL))
        return true;
    if (!doc_is(value, DOC_STRING))
        return false;
    out->at = doc_string(value, &out->size);
    if (out->size > max_bytes)
        return false;
    for (size_t i = 0; i < out->size; i++) {
        if ((unsigned char)out->at[i] < 0x20)
            return false;
    }
    return true;
}

static bool read_int(struct doc_ref root, const char *name, int64_t none, int64_t *out)
{
    struct doc_ref value = doc_getz(root, name);
    *out = none;
    if (!doc_exists(value) || doc_is(value, DOC_NULL))
        return true;
    return doc_is_number(value) && doc_int(value, out) && *out >= 0;
}

static bool read_time(struct doc_ref root, const char *name, int64_t *out)
{
    struct slice text;
    *out = TIMESTAMP_NONE;
    if (!read_text(root, name, TIMESTAMP_TEXT_BYTES, &text))
        return false;
    return !text.at || timestamp_parse(text.at, text.size, out);
}

static bool read_id_and_kind(struct doc_ref root, struct record *record)
{
    struct slice id, kind;
    return read_text(root, "id", 2 * RECORD_ID_BYTES, &id) && id.at &&
           record_id_parse(id.at, id.size, record->id) &&
           read_text(root, "kind", TOKEN_MAX_BYTES, &kind) && kind.at &&
           record_kind_parse(kind.at, kind.size, &record->kind);
}

static bool read_severity(struct doc_ref root, struct record *record)
{
    struct slice name;
    if (!read_text(root, "severity", TOKEN_MAX_BYTES, &name))
        return false;
    if (!name.at)
        return true;
    record->severity = record_severity_of(root);
    return record->severity != SEVERITY_NONE;
}

/* `boot` is whatever the vehicle said. */
static bool read_boot(struct doc_ref root, struct record *record)
{
    struct doc_ref value = doc_getz(root, "boot");
    if (!doc_exists(value) || doc_is(value, DOC_NULL))
        return true;
    if (!doc_is(value, DOC_STRING))
        return false;
    record->boot.at = doc_string(value, &record->boot.size);
    return true;
}

/* NULL, or the first member that is not as record.h says. */
static const char *read_members(struct doc_ref root, const char *text, size_t size,
                                struct record *record)
{
    if (!read_id_and_kind(root, record))
        return "id or kind";
    if (!read_text(root, "vid", TOKEN_MAX_BYTES, &record->vid) ||
        (record->vid.at && !vid_valid(record->vid.at, record->vid.size)))
        return "vid";
    if (!read_text(root, "type", TYPE_MAX_BYTES, &record->type) || record->type.size == 0)
        return "type";
    if (!read_severity(root, record))
        return "severity";
    if (!read_text(root, "actor", RECORD_ACTOR_MAX_BYTES, &record->actor))
        return "actor";
    if (!read_text(root, "request_id", RECORD_REQUEST_ID_MAX_BYTES, &record->request_id))
        return "request_id";
    if (!read_boot(root, record) || !read_int(root, "vehicle_seq", SEQ_NONE, &record->vehicle_seq))
        return "boot or vehicle_seq";
    if (!read_time(root, "timestamp", &record->timestamp_ns) ||
        !read_time(root, "received", &record->received_ns))
        return "timestamp or received";
    if (!read_text(root, "stream", RECORD_STREAM_MAX_BYTES, &record->stream) ||
        !read_int(root, "stream_seq", RECORD_STREAM_SEQ_NONE, &record->stream_seq))
        return "stream or stream_seq";
    if (!doc_is(doc_getz(root, "data"), DOC_OBJECT) ||
        !record_member_text(text, size, "data", &record->data))
        return "data";
    return NULL;
}

bool record_parse(struct doc_parser *parser, const char *text, size_t size, struct record *record,
                  const char **reason)
{
    struct doc_limits limits = {.max_bytes = RECORD_MAX_BYTES, .max_depth = RECORD_MAX_DEPTH};
    struct doc_ref root;
    record_init(record);
    if (doc_parse(parser, text, size, limits, &root) != DOC_OK) {
        *reason = doc_parser_reason(parser);
        return false;
    }
    if (!doc_is(root, DOC_OBJECT)) {
        *reason = "no object";
        return false;
    }
    *reason = read_members(root, text, size, record);
    return *reason == NULL;
}
