/* Idempotency-Key: the same key and the same JSON make one command, kept for 24 h (contract §5). */
#include "hub/command_impl.h"

#include "hub/failpoint.h"
#include "hub/record_hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX_BYTES = 255 };
#define KEY_KEPT_NS (24 * 3600 * NS_PER_S)

static void write_hash(const struct slice *pieces, size_t count, char out[COMMAND_HASH_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[RECORD_HASH_BYTES];
    record_sha256_of(pieces, count, hash);
    for (size_t i = 0; i < RECORD_HASH_BYTES; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[2 * RECORD_HASH_BYTES] = '\0';
}

static int by_member_name(const void *a, const void *b)
{
    const struct doc_ref *x = a, *y = b;
    size_t x_size, y_size;
    const char *x_name = doc_name(*x, &x_size), *y_name = doc_name(*y, &y_size);
    int order = memcmp(x_name, y_name, x_size < y_size ? x_size : y_size);
    return order != 0 ? order : (x_size > y_size) - (x_size < y_size);
}

/* 1, 1.0 and 10e-1 are one number. */
static void write_number(struct buf *out, struct doc_ref value)
{
    if (!doc_is(value, DOC_DECIMAL)) {
        doc_write(out, value);
        return;
    }
    int64_t mantissa = value.node->u.mantissa;
    int exponent = value.node->exponent;
    for (; mantissa != 0 && mantissa % 10 == 0; exponent++)
        mantissa /= 10;
    buf_addf(out, "%llde%d", (long long)mantissa, mantissa ? exponent : 0);
}

/* Equal JSON gives equal text: members in the order of their names, numbers by value. */
static void write_canonical(struct buf *out, struct doc_ref value)
{
    size_t count = doc_members(value), i = 0;
    if (doc_is(value, DOC_OBJECT)) {
        struct doc_ref *members = calloc(count + 1, sizeof *members);
        if (!members) {
            out->failed = true;
            return;
        }
        for (struct doc_ref m = doc_first(value); doc_exists(m); m = doc_next(value, m))
            members[i++] = m;
        qsort(members, count, sizeof *members, by_member_name);
        buf_addc(out, '{');
        for (i = 0; i < count; i++) {
            size_t size;
            const char *name = doc_name(members[i], &size);
            buf_json_string(out, name, size);
            buf_addc(out, ':');
            write_canonical(out, members[i]);
            buf_addc(out, ',');
        }
        buf_addc(out, '}');
        free(members);
    } else if (doc_is(value, DOC_ARRAY)) {
        buf_addc(out, '[');
        for (struct doc_ref m = doc_first(value); doc_exists(m); m = doc_next(value, m)) {
            write_canonical(out, m);
            buf_addc(out, ',');
        }
        buf_addc(out, ']');
    } else if (doc_is_number(value)) {
        write_number(out, value);
    } else {
        doc_write(out, value);
    }
}

bool command_key_read(const struct command_ask *ask, struct doc_ref body,
                      struct command_keyed *keyed, struct command_answer *answer)
{
    struct buf text = BUF_INIT;
    *keyed = (struct command_keyed){.given = ask->key != NULL};
    if (!keyed->given)
        return true;
    size_t size = strlen(ask->key);
    if (size == 0 || size > KEY_MAX_BYTES) {
        command_answer_problem(answer, PROBLEM_BAD_REQUEST,
                               "Idempotency-Key has 1 to %d characters.", KEY_MAX_BYTES);
        return false;
    }
    const struct slice entry[] = {{ask->principal, strlen(ask->principal) + 1}, {ask->key, size}};
    write_hash(entry, sizeof entry / sizeof *entry, keyed->entry);
    buf_addf(&text, "%d/%s/", (int)ask->verb, ask->id ? ask->id : "");
    write_canonical(&text, body);
    bool good = !text.failed;
    if (good)
        write_hash(&(struct slice){text.data, text.size_bytes}, 1, keyed->digest);
    buf_done(&text);
    if (!good)
        command_answer_problem(answer, PROBLEM_UNAVAILABLE, "There is no memory for it.");
    return good;
}

static bool member_is(struct doc_ref root, const char *name, const char *expected)
{
    struct doc_ref member = doc_getz(root, name);
    size_t size;
    if (!doc_is(member, DOC_STRING))
        return false;
    const char *text = doc_string(member, &size);
    return size == strlen(expected) && memcmp(text, expected, size) == 0;
}

bool command_key_find(struct command_lane *lane, struct command_keyed *keyed,
                      struct doc_parser *parser, struct command_answer *answer)
{
    char key[COMMAND_KEY_BYTES];
    struct bus_stored stored = {0};
    struct bus_error error;
    struct doc_limits limits = {DOC_MAX_BYTES, COMMAND_SPEC_DEPTH};
    struct doc_ref root;
    int64_t created_ns = 0;
    enum bus_status status =
        bus_get_last(lane->options.urgent_bus, streams_name(TWIN_COMMANDS),
                     command_key(key, "key", keyed->entry, -1), &stored, &error);
    if (status == BUS_NOT_FOUND)
        return true;
    if (status != BUS_OK) {
        command_answer_problem(answer, PROBLEM_UNAVAILABLE,
                               "NATS does not say whether this key was used before; nothing was "
                               "sent. Try again.");
        return false;
    }
    bool good = true;
    keyed->seq = stored.seq;
    if (doc_parse(parser, stored.data, stored.size, limits, &root) == DOC_OK &&
        doc_int(doc_getz(root, "created_ns"), &created_ns) &&
        created_ns > lane_now_ns(lane) - KEY_KEPT_NS) {
        struct doc_ref id = doc_getz(root, "id");
        size_t size = 0;
        const char *text = doc_is(id, DOC_STRING) ? doc_string(id, &size) : NULL;
        good = member_is(root, "digest", keyed->digest);
        if (text && size == RECORD_ID_TEXT_BYTES - 1)
            memcpy(keyed->id, text, size);
        if (!good)
            command_answer_problem(answer, PROBLEM_CONFLICT,
                                   "This Idempotency-Key was used for another request, which made "
                                   "command %s.",
                                   keyed->id);
    }
    bus_stored_done(&stored);
    return good;
}

bool command_key_store(struct command_lane *lane, const struct command_keyed *keyed,
                       const struct command *command)
{
    char key[COMMAND_KEY_BYTES];
    struct buf value = BUF_INIT;
    struct bus_error error;
    uint64_t seq;
    buf_addf(&value, "{\"id\":\"%s\",\"digest\":\"%s\",\"created_ns\":%lld}", command->spec.id,
             keyed->digest, (long long)command->spec.created_ns);
    struct bus_store what = {.subject = command_key(key, "key", keyed->entry, -1),
                             .data = value.data,
                             .size = value.size_bytes,
                             .expected_last_of_subject = keyed->seq};
    bool good = !value.failed && bus_store(lane->options.urgent_bus, &what, COMMAND_STORE_MS, &seq,
                                           &error) == BUS_OK;
    buf_done(&value);
    failpoint_reached(FAILPOINT_COMMAND_KEYED);
    return good;
}
