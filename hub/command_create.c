/* A new command: persisted once, before anything is sent. With the entry `spec` it exists; whatever
 * happens to this hub from there on, one of the region's hubs goes on with it. */
#include "hub/command_impl.h"

#include "hub/clock.h"
#include "hub/failpoint.h"
#include "hub/log.h"
#include "hub/record_hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_MAX_BYTES = 255,
    BODY_DEPTH = COMMAND_PARAMS_MAX_DEPTH + 2,
    STORE_TRIES = 3,
    HASH_TEXT_BYTES = 2 * RECORD_HASH_BYTES + 1,
};
#define KEY_KEPT_NS (24 * 3600 * NS_PER_S)

static void unavailable(struct command_answer *answer, const char *what)
{
    command_answer_problem(answer, PROBLEM_UNAVAILABLE,
                           "%s; nothing was sent, as far as is known. "
                           "Try again with the same Idempotency-Key.",
                           what);
}

/* ---- the same key and the same JSON ---- */

static void write_hash(const struct buf *text, char out[HASH_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[RECORD_HASH_BYTES];
    record_sha256(text->data ? text->data : "", text->size_bytes, hash);
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
        buf_addf(out, "%.17g", doc_number(value));
    } else {
        doc_write(out, value);
    }
}

/* What is known of an Idempotency-Key. */
struct keyed {
    bool given;
    char entry[HASH_TEXT_BYTES];   /* names its entry: principal and key */
    char digest[HASH_TEXT_BYTES];  /* of what is asked now */
    char id[RECORD_ID_TEXT_BYTES]; /* the command that it has made, "" for none */
    uint64_t seq;                  /* of the entry that is there, 0 for none */
};

static bool read_keyed(struct command_lane *lane, const struct command_ask *ask,
                       struct doc_ref body, struct keyed *keyed, struct command_answer *answer)
{
    struct buf text = BUF_INIT;
    *keyed = (struct keyed){.given = ask->key != NULL};
    (void)lane;
    if (!keyed->given)
        return true;
    size_t size = strlen(ask->key);
    if (size == 0 || size > KEY_MAX_BYTES) {
        command_answer_problem(answer, PROBLEM_BAD_REQUEST,
                               "Idempotency-Key has 1 to %d characters.", KEY_MAX_BYTES);
        return false;
    }
    buf_add(&text, ask->principal, strlen(ask->principal) + 1);
    buf_add(&text, ask->key, size);
    write_hash(&text, keyed->entry);
    buf_reset(&text);
    buf_addf(&text, "%d/%s/", (int)ask->verb, ask->id ? ask->id : "");
    write_canonical(&text, body);
    write_hash(&text, keyed->digest);
    bool good = !text.failed;
    buf_done(&text);
    if (!good)
        command_answer_problem(answer, PROBLEM_INTERNAL, "There is no memory for it.");
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

/* Looks up what the key has made. False with the problem in the answer. */
static bool find_keyed(struct command_lane *lane, struct keyed *keyed, struct doc_parser *parser,
                       struct command_answer *answer)
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
        unavailable(answer, "NATS does not say whether this key was used before");
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

static bool store_key(struct command_lane *lane, const struct keyed *keyed,
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

/* ---- persisting ---- */

static enum bus_status store_entry(struct command_lane *lane, const char *kind, const char *id,
                                   int chunk, const struct buf *text, uint64_t expected)
{
    char key[COMMAND_KEY_BYTES];
    struct bus_error error = {""};
    uint64_t seq;
    struct bus_store what = {.subject = command_key(key, kind, id, chunk),
                             .data = text->data,
                             .size = text->size_bytes,
                             .expected_last_of_subject = expected};
    enum bus_status status =
        text->failed ? BUS_ERROR
                     : bus_store(lane->options.urgent_bus, &what, COMMAND_STORE_MS, &seq, &error);
    if (status != BUS_OK)
        log_warn("command.not_persisted", "key", key, "error", error.text);
    return status;
}

/* Whether the spec is there although its answer did not come. */
static bool is_stored(struct command_lane *lane, const char *id, bool *known)
{
    char key[COMMAND_KEY_BYTES];
    *known = false;
    for (int tries = 0; tries < STORE_TRIES && !*known; tries++) {
        struct bus_stored stored = {0};
        struct bus_error error;
        enum bus_status status = bus_get_last(lane->options.urgent_bus, streams_name(TWIN_COMMANDS),
                                              command_key(key, "spec", id, -1), &stored, &error);
        bus_stored_done(&stored);
        *known = status == BUS_OK || status == BUS_NOT_FOUND;
        if (status == BUS_OK)
            return true;
        if (!*known)
            clock_pause_ms(COMMAND_STORE_MS / 10);
    }
    return false;
}

static bool persist(struct command_lane *lane, const struct command *command)
{
    struct buf text = BUF_INIT;
    const char *id = command->spec.id;
    enum bus_status status = BUS_OK;
    for (uint32_t from = 0; from < command->spec.total && status == BUS_OK; from += COMMAND_CHUNK) {
        buf_reset(&text);
        command_targets_write(&text, command, from);
        status = store_entry(lane, "targets", id, (int)(from / COMMAND_CHUNK), &text, BUS_ANY_SEQ);
    }
    failpoint_reached(FAILPOINT_COMMAND_FROZEN);
    bool known = true, there = false;
    if (status == BUS_OK) {
        buf_reset(&text);
        command_spec_write(&text, &command->spec);
        status = store_entry(lane, "spec", id, -1, &text, 0);
        there = status == BUS_OK;
        if (!there && status != BUS_ERROR)
            there = is_stored(lane, id, &known);
    }
    if (!known) { /* should it be there after all, reading all anew finds it */
        pthread_mutex_lock(&lane->lock);
        if (lane->stage == LANE_ACTIVE)
            lane->stage = LANE_LOADING;
        pthread_mutex_unlock(&lane->lock);
    }
    buf_done(&text);
    if (there)
        failpoint_reached(FAILPOINT_COMMAND_PERSISTED);
    return there;
}

static void answer_command(struct command_lane *lane, const struct command *command, bool replayed,
                           struct command_answer *answer)
{
    (void)lane;
    answer->status = 202;
    snprintf(answer->location, sizeof answer->location, "/v1/commands/%s", command->spec.id);
    command_write(&answer->body, command, NULL);
    if (replayed && answer->body.size_bytes > 0) {
        answer->body.size_bytes--; /* the closing brace */
        buf_adds(&answer->body, ",\"replayed\":true}");
    }
}

/* Into the lane, which sends it at once. */
static void insert(struct command_lane *lane, struct command *command,
                   struct command_answer *answer)
{
    bool recovery = command->spec.recovery;
    if (recovery)
        atomic_fetch_add(&lane->urgent, 1);
    pthread_mutex_lock(&lane->lock);
    if (recovery)
        atomic_fetch_sub(&lane->urgent, 1);
    if (!lane_may_act(lane)) { /* whoever has the lease now reads it from the bucket */
        unavailable(answer, "This hub has just lost the lease of the command lane");
        command_free(command);
    } else {
        command_link(lane, command);
        if (!command_begin(lane, command)) {
            command_answer_problem(answer, PROBLEM_INTERNAL, "There is no memory to send it.");
        } else {
            for (uint32_t i = 0; !recovery && i < command->spec.total; i++)
                if (command->deliveries[i].state == DELIVERY_PENDING)
                    command_rate_note(lane->rate, command->deliveries[i].vehicle,
                                      command->spec.created_ns);
            if (recovery)
                command_supersede(lane, command);
            failpoint_reached(FAILPOINT_COMMAND_SUPERSEDED);
            command_settle(lane, command);
            command_save_soon(lane, command, COMMAND_STORE_MS);
            command_wake(lane);
            pthread_cond_signal(&lane->chore);
            answer_command(lane, command, false, answer);
        }
    }
    pthread_mutex_unlock(&lane->lock);
}

static void make(struct command_lane *lane, const struct keyed *keyed, struct command *command,
                 struct command_answer *answer)
{
    struct command_making making = {.next = NULL};
    if (keyed->given && keyed->id[0] != '\0')
        memcpy(command->spec.id, keyed->id, sizeof command->spec.id);
    else if (!command_id_make(command->spec.created_ns, command->spec.id)) {
        command_answer_problem(answer, PROBLEM_INTERNAL, "There are no random numbers.");
        command_free(command);
        return;
    }
    memcpy(making.id, command->spec.id, sizeof making.id);
    pthread_mutex_lock(&lane->lock);
    making.next = lane->making;
    lane->making = &making;
    size_t open = lane->open_count;
    pthread_mutex_unlock(&lane->lock);
    if (open >= COMMAND_OPEN_MAX)
        command_answer_problem(answer, PROBLEM_UNAVAILABLE,
                               "%d commands are open already; try again when one has ended.",
                               COMMAND_OPEN_MAX);
    else if (keyed->given && !store_key(lane, keyed, command))
        unavailable(answer, "The key could not be persisted");
    else if (!persist(lane, command))
        unavailable(answer, "It could not be persisted");
    else {
        insert(lane, command, answer);
        command = NULL;
    }
    pthread_mutex_lock(&lane->lock);
    struct command_making **at = &lane->making;
    while (*at != &making)
        at = &(*at)->next;
    *at = making.next;
    pthread_mutex_unlock(&lane->lock);
    command_free(command);
}

/* ---- judging before ---- */

static void answer_dry_run(const struct command *command, struct command_answer *answer)
{
    enum { SAMPLE = 20 };
    struct buf *out = &answer->body;
    bool first = true;
    buf_addf(out, "{\"total\":%u,\"vids\":[", command->spec.total);
    for (uint32_t i = 0; i < command->spec.total && i < SAMPLE; i++) {
        if (i > 0)
            buf_addc(out, ',');
        buf_json_cstr(out, command->deliveries[i].vid);
    }
    buf_adds(out, "],\"blocked\":[");
    for (uint32_t i = 0; i < command->spec.total; i++) {
        const struct delivery *delivery = &command->deliveries[i];
        if (delivery->state != DELIVERY_BLOCKED)
            continue;
        buf_adds(out, first ? "{\"vid\":" : ",{\"vid\":");
        buf_json_cstr(out, delivery->vid);
        buf_adds(out, ",\"reason\":");
        buf_json_cstr(out, delivery->reason);
        buf_addc(out, '}');
        first = false;
    }
    buf_adds(out, "]}");
    answer->status = 200;
}

static bool is_confirmed(const struct command_lane *lane, const struct command *command,
                         uint32_t confirm, struct command_answer *answer)
{
    uint32_t above = (uint32_t)config_now(lane->options.config)->commands.confirm_above;
    uint32_t total = command->spec.total;
    if (confirm == 0 && total > above)
        command_answer_problem(answer, PROBLEM_CONFLICT,
                               "This would go to %u vehicles. More than %u need `confirm`, an "
                               "upper bound: \"confirm\": %u.",
                               total, above, total);
    else if (confirm > 0 && total > confirm)
        command_answer_problem(answer, PROBLEM_CONFLICT,
                               "This would go to %u vehicles, and `confirm` says %u at most.",
                               total, confirm);
    else
        return true;
    return false;
}

/* Answers with what the key has made already; false where it has made nothing. */
static bool answer_replayed(struct command_lane *lane, const struct keyed *keyed,
                            struct command_answer *answer)
{
    bool there = false;
    if (!keyed->given || keyed->id[0] == '\0')
        return false;
    pthread_mutex_lock(&lane->lock);
    const struct command *command = command_by_id(lane, keyed->id, strlen(keyed->id));
    there = command != NULL;
    if (there)
        answer_command(lane, command, true, answer);
    pthread_mutex_unlock(&lane->lock);
    return there;
}

static void judge_and_make(struct command_lane *lane, const struct command_ask *ask,
                           const struct keyed *keyed, struct command_wish *wish,
                           const struct command *retry_of, struct command_answer *answer)
{
    struct command *command = command_targets(lane, ask, wish, retry_of, answer);
    if (!command)
        return;
    if (wish->dry_run)
        answer_dry_run(command, answer);
    else if (retry_of || is_confirmed(lane, command, wish->confirm, answer)) {
        make(lane, keyed, command, answer);
        return;
    }
    command_free(command);
}

static void create(struct command_lane *lane, const struct command_ask *ask,
                   struct doc_parser *parser, struct doc_ref body, struct command_answer *answer)
{
    struct command_wish wish = {.dry_run = false};
    struct keyed keyed;
    struct doc_parser *key_parser = doc_parser_new();
    (void)parser;
    if (!key_parser) {
        command_answer_problem(answer, PROBLEM_INTERNAL, "There is no memory for it.");
        return;
    }
    if (read_keyed(lane, ask, body, &keyed, answer) &&
        (!keyed.given || find_keyed(lane, &keyed, key_parser, answer)) &&
        !answer_replayed(lane, &keyed, answer) && command_wish_read(lane, ask, body, &wish, answer))
        judge_and_make(lane, ask, &keyed, &wish, NULL, answer);
    command_spec_done(&wish.spec);
    doc_parser_free(key_parser);
}

/* Parses the body, and keeps others with a key out meanwhile. */
static void with_body(struct command_lane *lane, const struct command_ask *ask,
                      void (*act)(struct command_lane *lane, const struct command_ask *ask,
                                  struct doc_parser *parser, struct doc_ref body,
                                  struct command_answer *answer),
                      struct command_answer *answer)
{
    struct doc_parser *parser = doc_parser_new();
    struct doc_limits limits = {DOC_MAX_BYTES, BODY_DEPTH};
    struct doc_ref body;
    bool empty = ask->body_bytes == 0 && ask->verb == VERB_RETRY;
    if (!parser) {
        command_answer_problem(answer, PROBLEM_INTERNAL, "There is no memory for it.");
        return;
    }
    enum doc_error error =
        doc_parse(parser, empty ? "{}" : ask->body, empty ? 2 : ask->body_bytes, limits, &body);
    if (error != DOC_OK || !doc_is(body, DOC_OBJECT)) {
        command_answer_problem(answer, PROBLEM_BAD_REQUEST,
                               "The body must be a JSON object of at most %d levels%s%s.",
                               BODY_DEPTH, error == DOC_OK ? "" : "; it is not: ",
                               error == DOC_OK ? "" : doc_parser_reason(parser));
    } else {
        if (ask->key)
            pthread_mutex_lock(&lane->key_lock);
        act(lane, ask, parser, body, answer);
        if (ask->key)
            pthread_mutex_unlock(&lane->key_lock);
    }
    doc_parser_free(parser);
}

void command_create(struct command_lane *lane, const struct command_ask *ask,
                    struct command_answer *answer)
{
    with_body(lane, ask, create, answer);
}

/* ---- once more ---- */

static char *copy_of(const char *text)
{
    return text ? strdup(text) : NULL;
}

/* A new command as the old one was, at the time of now. */
static void wish_again(struct command_lane *lane, const struct command_ask *ask,
                       const struct command_spec *old, struct command_spec *spec)
{
    *spec = (struct command_spec){
        .type = copy_of(old->type),
        .params = copy_of(old->params),
        .actor = copy_of(ask->principal),
        .request_id = copy_of(ask->request_id),
        .reason = copy_of(old->reason),
        .target = copy_of("{\"vids\":[]}"),
        .retry_of = copy_of(old->id),
        .verify = copy_of(old->verify),
        .recovery = old->recovery,
        .created_ns = command_created_now(lane),
        .complete_within_ns = old->complete_within_ns,
        .goal = old->goal,
        .verify_within_ns = old->verify_within_ns,
        .rollout = old->rollout,
    };
    spec->expires_ns = spec->created_ns + (old->expires_ns - old->created_ns);
}

static void retry(struct command_lane *lane, const struct command_ask *ask,
                  struct doc_parser *parser, struct doc_ref body, struct command_answer *answer)
{
    struct command_wish wish = {.dry_run = false};
    struct bus_error error = {""};
    struct keyed keyed;
    struct doc_limits limits = {DOC_MAX_BYTES, COMMAND_SPEC_DEPTH};
    struct doc_parser *key_parser = doc_parser_new();
    struct command *old = NULL;
    if (doc_members(body) > 0) {
        command_answer_problem(answer, PROBLEM_BAD_REQUEST,
                               ":retry takes no members: it sends the same command again.");
        goto out;
    }
    if (!key_parser || !read_keyed(lane, ask, body, &keyed, answer) ||
        (keyed.given && !find_keyed(lane, &keyed, key_parser, answer)) ||
        answer_replayed(lane, &keyed, answer))
        goto out;
    old = command_copy(lane, ask->id, &error);
    if (!old) {
        unavailable(answer, "The command that is to be tried again cannot be read now");
        goto out;
    }
    wish_again(lane, ask, &old->spec, &wish.spec);
    if (!wish.spec.params || doc_parse(parser, wish.spec.params, strlen(wish.spec.params), limits,
                                       &wish.params) != DOC_OK) {
        command_answer_problem(answer, PROBLEM_INTERNAL, "There is no memory for it.");
        goto out;
    }
    judge_and_make(lane, ask, &keyed, &wish, old, answer);
out:
    command_free(old);
    command_spec_done(&wish.spec);
    doc_parser_free(key_parser);
}

void command_retry(struct command_lane *lane, const struct command_ask *ask,
                   struct command_answer *answer)
{
    with_body(lane, ask, retry, answer);
}
