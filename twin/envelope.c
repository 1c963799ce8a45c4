#include "twin/envelope.h"

#include "twin/timestamp.h"

#include <string.h>

const char *refusal_name(enum refusal refusal)
{
    static const char *const names[] = {
        [REFUSAL_NONE] = "none",
#define X(id, name) [REFUSAL_##id] = name,
        REFUSAL_TABLE(X)
#undef X
            [REFUSAL_NO_MEMORY] = "no_memory",
    };
    return names[refusal];
}

/* ---- subjects ---- */

static const bool token_byte[256] = {
    ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['0' ... '9'] = true, ['_'] = true, ['-'] = true};

bool token_valid(const char *text, size_t size)
{
    if (size < 1 || size > TOKEN_MAX_BYTES)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!token_byte[(unsigned char)text[i]])
            return false;
    return true;
}

static bool slice_is(struct slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.at, text, slice.size) == 0;
}

bool vid_valid(const char *text, size_t size)
{
    return token_valid(text, size) && !slice_is((struct slice){text, size}, "stream");
}

/* The token at the start of *rest, which moves behind its dot; an empty *rest has none left. */
static struct slice next_token(struct slice *rest)
{
    const char *dot = rest->size ? memchr(rest->at, '.', rest->size) : NULL;
    struct slice token = {rest->at, dot ? (size_t)(dot - rest->at) : rest->size};
    size_t used = dot ? token.size + 1 : token.size;
    rest->at += used;
    rest->size -= used;
    /* "a." has an empty token behind its dot: keep it visible as an invalid one. */
    if (dot && rest->size == 0)
        *rest = (struct slice){".", 1};
    return token;
}

static bool type_valid(struct slice type)
{
    enum { MAX_TOKENS = 4 };
    int tokens = 0;
    if (type.size == 0)
        return false;
    while (type.size > 0) {
        struct slice token = next_token(&type);
        if (!token_valid(token.at, token.size) || ++tokens > MAX_TOKENS)
            return false;
    }
    return true;
}

static bool category_of(struct slice token, enum category *category)
{
    static const char *const names[CATEGORY_COUNT] = {"state", "evt", "cmd", "cmdack"};
    for (int i = 0; i < CATEGORY_COUNT; i++) {
        if (slice_is(token, names[i])) {
            *category = (enum category)i;
            return true;
        }
    }
    return false;
}

bool subject_parse(const char *text, size_t size, struct subject *subject)
{
    struct slice rest = {text, size};
    *subject = (struct subject){.env = {text, 0}, .vid = {NULL, 0}, .type = {text, 0}};

    struct slice fleet = next_token(&rest);
    subject->env = next_token(&rest);
    struct slice veh = next_token(&rest);
    struct slice vid = next_token(&rest);
    if (!slice_is(fleet, "fleet") || !slice_is(veh, "veh") || !vid_valid(vid.at, vid.size))
        return false;
    subject->vid = vid;
    if (!token_valid(subject->env.at, subject->env.size))
        return false;
    struct slice category = next_token(&rest);
    if (!category_of(category, &subject->category) || !type_valid(rest))
        return false;
    subject->type = rest;
    return true;
}

/* ---- envelopes ---- */

static bool text_of(struct doc_ref value, struct slice *out)
{
    if (!doc_is(value, DOC_STRING))
        return false;
    out->at = doc_string(value, &out->size);
    return true;
}

/* The known members of the top level, in one pass. */
struct members {
    struct doc_ref timestamp, data, boot, seq, vid, cmd_id;
};

static void find_members(struct doc_ref root, struct members *found)
{
    *found = (struct members){0};
    for (struct doc_ref m = doc_first(root); doc_exists(m); m = doc_next(root, m)) {
        struct slice name;
        name.at = doc_name(m, &name.size);
        if (slice_is(name, "timestamp"))
            found->timestamp = m;
        else if (slice_is(name, "data"))
            found->data = m;
        else if (slice_is(name, "boot"))
            found->boot = m;
        else if (slice_is(name, "seq"))
            found->seq = m;
        else if (slice_is(name, "vid"))
            found->vid = m;
        else if (slice_is(name, "cmd_id"))
            found->cmd_id = m;
    }
}

static enum refusal judge_members(struct doc_ref root, struct envelope *envelope)
{
    struct members found;
    struct slice timestamp, vid = {NULL, 0};
    if (!doc_is(root, DOC_OBJECT))
        return REFUSAL_BAD_ENVELOPE;
    find_members(root, &found);

    envelope->data = found.data;
    if (!doc_exists(found.data) && envelope->subject.category == CATEGORY_ACK &&
        doc_is(found.cmd_id, DOC_STRING)) {
        envelope->data = root;
        envelope->bare_ack = true;
    }
    if (!doc_is(envelope->data, DOC_OBJECT) || !text_of(found.timestamp, &timestamp))
        return REFUSAL_BAD_ENVELOPE;
    if (doc_exists(found.boot) && !text_of(found.boot, &envelope->boot))
        return REFUSAL_BAD_ENVELOPE;
    if (doc_exists(found.vid) && !text_of(found.vid, &vid))
        return REFUSAL_BAD_ENVELOPE;
    if (doc_exists(found.seq) && (!doc_int(found.seq, &envelope->seq) || envelope->seq < 0))
        return REFUSAL_BAD_ENVELOPE;

    if (!timestamp_parse(timestamp.at, timestamp.size, &envelope->timestamp_ns))
        return REFUSAL_BAD_TIMESTAMP;
    if (vid.at && (vid.size != envelope->subject.vid.size ||
                   memcmp(vid.at, envelope->subject.vid.at, vid.size) != 0))
        return REFUSAL_VID_MISMATCH;
    return REFUSAL_NONE;
}

enum refusal envelope_parse(struct doc_parser *parser, const char *subject, const char *payload,
                            size_t payload_bytes, size_t max_bytes, struct envelope *envelope)
{
    struct doc_ref root;
    *envelope = (struct envelope){.seq = SEQ_NONE};

    if (!subject_parse(subject, strlen(subject), &envelope->subject))
        return REFUSAL_BAD_SUBJECT;
    /* `data` lies one level below the top. */
    struct doc_limits limits = {.max_bytes = max_bytes, .max_depth = ENVELOPE_MAX_DEPTH + 1};
    switch (doc_parse(parser, payload, payload_bytes, limits, &root)) {
    case DOC_OK:
        return judge_members(root, envelope);
    case DOC_BAD_JSON:
        return REFUSAL_NOT_JSON;
    case DOC_TOO_DEEP:
        return REFUSAL_TOO_DEEP;
    case DOC_TOO_LARGE:
        return REFUSAL_TOO_LARGE;
    case DOC_NO_MEMORY:
        break;
    }
    return REFUSAL_NO_MEMORY;
}
