/*
 * fuzz_envelope: any subject and payload through the judgement of messages.
 *
 * The input is a subject, a byte 0x0a, and the payload; without that byte, all of it is the payload
 * on a subject of each category. What is accepted must be what the contract's sections 1 and 2
 * describe, as jansson sees it; what is refused must be refused for a reason that is there.
 */
#include "tests/unit/doc_reference.h"
#include "twin/envelope.h"
#include "twin/timestamp.h"

#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void check_subject(const char *text, const struct subject *subject, bool accepted)
{
    require(!subject->vid.at || vid_valid(subject->vid.at, subject->vid.size),
            "a vehicle's id is valid");
    if (!accepted)
        return;
    static const char *const categories[CATEGORY_COUNT] = {"state", "evt", "cmd", "cmdack"};
    char again[1024];
    int written =
        snprintf(again, sizeof again, "fleet.%.*s.veh.%.*s.%s.%.*s", (int)subject->env.size,
                 subject->env.at, (int)subject->vid.size, subject->vid.at,
                 categories[subject->category], (int)subject->type.size, subject->type.at);
    require(written > 0 && (size_t)written < sizeof again && strcmp(again, text) == 0,
            "a subject is the sum of its parts");
    require(token_valid(subject->env.at, subject->env.size), "an environment is valid");
    require(subject->type.size <= TYPE_MAX_BYTES, "a type is bounded");
    int tokens = 1;
    for (size_t i = 0; i < subject->type.size; i++)
        tokens += subject->type.at[i] == '.';
    require(tokens <= 4, "a type has at most four tokens");
}

static unsigned depth_of(struct doc_ref value)
{
    unsigned deepest = 0;
    if (!doc_is(value, DOC_OBJECT) && !doc_is(value, DOC_ARRAY))
        return 0;
    for (struct doc_ref m = doc_first(value); doc_exists(m); m = doc_next(value, m)) {
        unsigned depth = depth_of(m);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

static void check_timestamp(const struct envelope *envelope, json_t *timestamp)
{
    int64_t instant;
    char text[TIMESTAMP_TEXT_BYTES];
    require(
        timestamp_parse(json_string_value(timestamp), json_string_length(timestamp), &instant) &&
            instant == envelope->timestamp_ns && instant != TIMESTAMP_NONE,
        "the timestamp is the message's");
    size_t size = timestamp_format(instant, text);
    require(size < sizeof text && timestamp_parse(text, size, &instant) &&
                instant == envelope->timestamp_ns,
            "a timestamp survives being written");
}

/* `root` is NULL where jansson cannot read what we can: then there is less to compare. */
static void check_accepted(const struct envelope *envelope, json_t *root)
{
    require(doc_is(envelope->data, DOC_OBJECT), "data is an object");
    require(depth_of(envelope->data) <= ENVELOPE_MAX_DEPTH + (envelope->bare_ack ? 1 : 0),
            "data is not too deep");
    require(envelope->seq >= SEQ_NONE, "seq is not negative");
    require(!envelope->bare_ack || envelope->subject.category == CATEGORY_ACK,
            "only acknowledgements are bare");
    if (!root)
        return;
    json_t *timestamp = json_object_get(root, "timestamp"), *data = json_object_get(root, "data");
    json_t *boot = json_object_get(root, "boot"), *seq = json_object_get(root, "seq");
    json_t *vid = json_object_get(root, "vid");
    require(json_is_string(timestamp), "timestamp is a string");
    check_timestamp(envelope, timestamp);
    require(envelope->bare_ack ? !data && json_is_string(json_object_get(root, "cmd_id"))
                               : json_is_object(data),
            "data is given, or bare");
    require(reference_same(envelope->data, envelope->bare_ack ? root : data), "data is the data");
    require(!boot == !envelope->boot.at, "boot is given or not");
    if (boot)
        require(json_is_string(boot) && json_string_length(boot) == envelope->boot.size &&
                    memcmp(json_string_value(boot), envelope->boot.at, envelope->boot.size) == 0,
                "boot is the message's");
    require(!seq == (envelope->seq == SEQ_NONE), "seq is given or not");
    if (seq)
        require(json_is_integer(seq) ? json_integer_value(seq) == envelope->seq
                                     : json_real_value(seq) == (double)envelope->seq,
                "seq is the message's");
    if (vid)
        require(json_string_length(vid) == envelope->subject.vid.size &&
                    memcmp(json_string_value(vid), envelope->subject.vid.at,
                           envelope->subject.vid.size) == 0,
                "a message speaks for its own vehicle");
}

static void check_refused(enum refusal refusal, const struct envelope *envelope, size_t size,
                          json_t *root)
{
    json_t *vid = root ? json_object_get(root, "vid") : NULL;
    switch (refusal) {
    case REFUSAL_TOO_LARGE: /* or a member's name is */
        require(size > DOC_MAX_NAME_BYTES, "what is too large is large");
        break;
    case REFUSAL_TOO_DEEP:
        require(size > ENVELOPE_MAX_DEPTH, "what is too deep has so many brackets");
        break;
    case REFUSAL_BAD_TIMESTAMP:
        require(!root || json_is_string(json_object_get(root, "timestamp")),
                "a bad timestamp is a string");
        break;
    case REFUSAL_VID_MISMATCH:
        require(!root || (json_is_string(vid) &&
                          (json_string_length(vid) != envelope->subject.vid.size ||
                           memcmp(json_string_value(vid), envelope->subject.vid.at,
                                  envelope->subject.vid.size) != 0)),
                "a mismatch is one");
        break;
    default:
        require((int)refusal < (int)REFUSAL_COUNT && refusal != REFUSAL_NOT_REGISTERED,
                "a refusal is one of the envelope's");
    }
}

static void judge(struct doc_parser *parser, const char *subject, const char *payload, size_t size)
{
    struct envelope envelope;
    json_error_t error;
    enum refusal refusal =
        envelope_parse(parser, subject, payload, size, ENVELOPE_MAX_BYTES_DEFAULT, &envelope);
    json_t *root = json_loadb(payload, size, REFERENCE_FLAGS, &error);
    bool raw_nul = size && memchr(payload, '\0', size);
    check_subject(subject, &envelope.subject, refusal != REFUSAL_BAD_SUBJECT);
    if (refusal == REFUSAL_NONE)
        check_accepted(&envelope, root);
    else
        check_refused(refusal, &envelope, size, root);
    if (refusal == REFUSAL_NOT_JSON)
        require(!root || raw_nul, "what is not JSON is not jansson's either");
    else if (refusal != REFUSAL_BAD_SUBJECT && refusal != REFUSAL_TOO_LARGE &&
             refusal != REFUSAL_TOO_DEEP)
        require(!raw_nul && (root || reference_may_refuse(&error)),
                "what is JSON is jansson's as well");
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const subjects[] = {
        "fleet.prod.veh.VID-001.state.position", "fleet.prod.veh.VID-001.evt.battery.low",
        "fleet.prod.veh.VID-001.cmd.rtl", "fleet.prod.veh.VID-001.cmdack.rtl"};
    struct doc_parser *parser = doc_parser_new();
    require(parser != NULL, "memory");
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    size_t before = line ? (size_t)(line - data) : 0, used = line ? before + 1 : 0;
    /* The payload in a block of its own: the sanitizer sees what is read beyond it. */
    char *payload = malloc(size > used ? size - used : 1);
    require(payload != NULL, "memory");
    memcpy(payload, data + used, size - used);
    if (line) {
        char *subject = malloc(before + 1);
        require(subject != NULL, "memory");
        memcpy(subject, data, before);
        subject[before] = '\0';
        judge(parser, subject, payload, size - used);
        free(subject);
    } else {
        for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++)
            judge(parser, subjects[i], payload, size);
    }
    free(payload);
    doc_parser_free(parser);
    return 0;
}
