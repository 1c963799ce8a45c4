/* A new command: persisted once, before anything is sent. With the entry `spec` it exists; whatever
 * happens to this hub from there on, one of the region's hubs goes on with it. */
#include "hub/command_impl.h"

#include "hub/clock.h"
#include "hub/failpoint.h"
#include "hub/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BODY_DEPTH = COMMAND_PARAMS_MAX_DEPTH + 2,
    STORE_TRIES = 3,
};

static void unavailable(struct command_answer *answer, const char *what)
{
    command_answer_problem(answer, PROBLEM_UNAVAILABLE,
                           "%s; nothing was sent, as far as is known. "
                           "Try again with the same Idempotency-Key.",
                           what);
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
            command_answer_problem(answer, PROBLEM_UNAVAILABLE, "There is no memory to send it.");
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

static void make(struct command_lane *lane, const struct command_keyed *keyed,
                 struct command *command, struct command_answer *answer)
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
    else if (keyed->given && !command_key_store(lane, keyed, command))
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
static bool answer_replayed(struct command_lane *lane, const struct command_keyed *keyed,
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
                           const struct command_keyed *keyed, struct command_wish *wish,
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
    struct command_keyed keyed;
    struct doc_parser *key_parser = doc_parser_new();
    (void)parser;
    if (!key_parser) {
        command_answer_problem(answer, PROBLEM_UNAVAILABLE, "There is no memory for it.");
        return;
    }
    if (command_key_read(ask, body, &keyed, answer) &&
        (!keyed.given || command_key_find(lane, &keyed, key_parser, answer)) &&
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
        command_answer_problem(answer, PROBLEM_UNAVAILABLE, "There is no memory for it.");
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
    struct command_keyed keyed;
    struct doc_limits limits = {DOC_MAX_BYTES, COMMAND_SPEC_DEPTH};
    struct doc_parser *key_parser = doc_parser_new();
    struct command *old = NULL;
    if (doc_members(body) > 0) {
        command_answer_problem(answer, PROBLEM_BAD_REQUEST,
                               ":retry takes no members: it sends the same command again.");
        goto out;
    }
    if (!key_parser || !command_key_read(ask, body, &keyed, answer) ||
        (keyed.given && !command_key_find(lane, &keyed, key_parser, answer)) ||
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
        command_answer_problem(answer, PROBLEM_UNAVAILABLE, "There is no memory for it.");
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
