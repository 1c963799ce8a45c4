/* Reading commands and acting on them, by the hub that runs the lane. */
#include "hub/command_impl.h"

#include "hub/cursor.h"
#include "hub/failpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCOPE_BYTES = RECORD_ACTOR_MAX_BYTES + 256,
    WATCH_BYTES = 48 * 1024, /* of events in one answer */
    WATCH_ROOM_BYTES = 2048, /* of one event */
};

static void not_found(const struct command_ask *ask, struct command_answer *answer)
{
    command_answer_problem(answer, PROBLEM_NOT_FOUND, "There is no command %.64s.", ask->id);
}

static void not_readable(struct command_answer *answer, const struct bus_error *error)
{
    command_answer_problem(answer, PROBLEM_UNAVAILABLE, "The command cannot be read now: %s.",
                           error->text);
}

/* ---- what a viewer sees of a command: its vehicles, and a command only if it has some ---- */

static bool count_seen(const struct command *command, const struct viewer *viewer,
                       struct command_counts *counts)
{
    *counts = (struct command_counts){.of = {0}};
    for (uint32_t i = 0; i < command->spec.total; i++)
        if (command_sees(viewer, command->deliveries[i].vid, command->spec.type))
            counts->of[command->deliveries[i].state]++;
    return command_counts_total(counts) > 0;
}

/* Writes the command; false where the viewer sees nothing of it, or it is not there. Without the
 * lock. */
static bool write_seen(struct command_lane *lane, const struct command_ask *ask, const char *id,
                       struct buf *out, struct command_answer *answer)
{
    struct bus_error error = {""};
    struct command_counts counts;
    bool seen;
    if (viewer_sees_everything(ask->viewer)) {
        pthread_mutex_lock(&lane->lock);
        const struct command *command = command_by_id(lane, id, strlen(id));
        seen = command != NULL;
        if (seen)
            command_write(out, command, NULL);
        pthread_mutex_unlock(&lane->lock);
        if (seen)
            return true;
    }
    struct command *copy = command_copy(lane, id, &error);
    seen = copy && count_seen(copy, ask->viewer, &counts);
    if (seen)
        command_write(out, copy, &counts);
    if (!copy && answer && error.text[0])
        not_readable(answer, &error);
    command_free(copy);
    return seen;
}

static void answer_get(struct command_lane *lane, const struct command_ask *ask,
                       struct command_answer *answer)
{
    if (!write_seen(lane, ask, ask->id, &answer->body, answer) && answer->problem < 0)
        not_found(ask, answer);
}

/* ---- the list ---- */

/* A page's ids, newest first; one more than the page has, where there are more. */
static size_t take_ids(struct command_lane *lane, const struct command_ask *ask, const char *after,
                       char (*ids)[RECORD_ID_TEXT_BYTES], size_t max)
{
    size_t count = 0;
    pthread_mutex_lock(&lane->lock);
    const struct command *command = lane->newest;
    const struct command *last = after[0] ? command_by_id(lane, after, strlen(after)) : NULL;
    if (last)
        command = last->older;
    for (; command && count < max; command = command->older)
        if ((!ask->status || strcmp(command_status(command->state), ask->status) == 0) &&
            (!ask->type || strcmp(command->spec.type, ask->type) == 0) &&
            (last || !after[0] || strcmp(command->spec.id, after) < 0))
            memcpy(ids[count++], command->spec.id, RECORD_ID_TEXT_BYTES);
    pthread_mutex_unlock(&lane->lock);
    return count;
}

static void write_list(struct command_lane *lane, const struct command_ask *ask, const char *after,
                       const char *scope, struct command_answer *answer)
{
    char(*ids)[RECORD_ID_TEXT_BYTES] = calloc(ask->page_size + 1, sizeof *ids);
    char last[RECORD_ID_TEXT_BYTES] = "", from[RECORD_ID_TEXT_BYTES];
    size_t written = 0, count;
    bool more = true;
    snprintf(from, sizeof from, "%s", after);
    buf_adds(&answer->body, "{\"commands\":[");
    while (ids && more && (count = take_ids(lane, ask, from, ids, ask->page_size + 1)) > 0) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            struct buf text = BUF_INIT;
            if (written == ask->page_size) {
                cursor_write(&answer->next, scope, last, strlen(last));
                break;
            }
            if (write_seen(lane, ask, ids[i], &text, NULL)) {
                if (written++ > 0)
                    buf_addc(&answer->body, ',');
                buf_add(&answer->body, text.data, text.size_bytes);
                memcpy(last, ids[i], sizeof last);
            }
            buf_done(&text);
            memcpy(from, ids[i], sizeof from);
            more = i + 1 == count && count == ask->page_size + 1; /* some were not seen */
        }
    }
    buf_addc(&answer->body, ']');
    if (!ids)
        answer->body.failed = true;
    free(ids);
}

static void end_page(struct command_answer *answer)
{
    if (answer->next.size_bytes > 0) {
        buf_json_name(&answer->body, "next_page_token");
        buf_json_cstr(&answer->body, buf_cstr(&answer->next));
    }
    buf_addc(&answer->body, '}');
}

static bool read_token(const struct command_ask *ask, const char *scope,
                       char key[CURSOR_KEY_MAX_BYTES + 1], struct command_answer *answer)
{
    size_t size;
    key[0] = '\0';
    if (!ask->page_token || cursor_read(ask->page_token, scope, key, &size))
        return true;
    command_answer_problem(answer, PROBLEM_BAD_PAGE_TOKEN,
                           "This page_token belongs to another list, or is none. Begin again "
                           "without.");
    return false;
}

static void answer_list(struct command_lane *lane, const struct command_ask *ask,
                        struct command_answer *answer)
{
    char scope[SCOPE_BYTES], after[CURSOR_KEY_MAX_BYTES + 1];
    snprintf(scope, sizeof scope, "commands/%s/%.128s/%s", ask->status ? ask->status : "",
             ask->type ? ask->type : "", ask->principal);
    if (ask->status && !command_status_known(ask->status)) {
        command_answer_problem(answer, PROBLEM_BAD_PARAMETER,
                               "status is one of running, paused, succeeded, failed, partial, "
                               "aborted, cancelled.");
        return;
    }
    if (!read_token(ask, scope, after, answer))
        return;
    write_list(lane, ask, after, scope, answer);
    end_page(answer);
}

/* ---- its vehicles ---- */

static void write_vehicles(const struct command *command, const struct command_ask *ask, int state,
                           uint32_t from, const char *scope, struct command_answer *answer)
{
    size_t written = 0;
    buf_adds(&answer->body, "{\"vehicles\":[");
    for (uint32_t i = from; i < command->spec.total; i++) {
        const struct delivery *delivery = &command->deliveries[i];
        if ((state >= 0 && delivery->state != state) ||
            !command_sees(ask->viewer, delivery->vid, command->spec.type))
            continue;
        if (written == ask->page_size) {
            char at[16];
            int size = snprintf(at, sizeof at, "%u", i);
            cursor_write(&answer->next, scope, at, (size_t)size);
            break;
        }
        if (written++ > 0)
            buf_addc(&answer->body, ',');
        delivery_write(&answer->body, delivery);
    }
    buf_addc(&answer->body, ']');
    end_page(answer);
}

static void answer_vehicles(struct command_lane *lane, const struct command_ask *ask,
                            struct command_answer *answer)
{
    char scope[SCOPE_BYTES], after[CURSOR_KEY_MAX_BYTES + 1];
    enum delivery_state state = DELIVERY_PENDING;
    struct command_counts counts;
    struct bus_error error = {""};
    if (ask->state && !delivery_state_parse(ask->state, strlen(ask->state), &state)) {
        command_answer_problem(answer, PROBLEM_BAD_PARAMETER,
                               "state is one of the names that `counts` of a command has.");
        return;
    }
    snprintf(scope, sizeof scope, "command/%.64s/%s/%s", ask->id, ask->state ? ask->state : "",
             ask->principal);
    if (!read_token(ask, scope, after, answer))
        return;
    struct command *copy = command_copy(lane, ask->id, &error);
    if (copy && count_seen(copy, ask->viewer, &counts))
        write_vehicles(copy, ask, ask->state ? (int)state : -1, (uint32_t)strtoul(after, NULL, 10),
                       scope, answer);
    else if (copy || !error.text[0])
        not_found(ask, answer);
    else
        not_readable(answer, &error);
    command_free(copy);
}

/* ---- what changes, for /{id}/stream ---- */

static int by_change(const void *a, const void *b)
{
    const struct delivery *const *x = a, *const *y = b;
    return ((*x)->change > (*y)->change) - ((*x)->change < (*y)->change);
}

static void write_event(struct buf *out, const char *event, uint64_t change)
{
    buf_addf(out, "event: %s\nid: %llu\ndata: ", event, (unsigned long long)change);
}

/* Each vehicle that changed since, then the command as it is. What does not fit is told next time:
 * nobody is skipped, and whoever changes meanwhile is told once, as it is then. */
static void write_changes(const struct command *command, const struct command_ask *ask,
                          const struct command_counts *counts, struct command_answer *answer)
{
    const struct delivery **changed = calloc(command->spec.total + 1u, sizeof *changed);
    size_t count = 0, i = 0;
    struct buf *out = &answer->body;
    if (!changed) {
        out->failed = true;
        return;
    }
    for (uint32_t d = 0; d < command->spec.total; d++)
        if (command->deliveries[d].change > ask->since &&
            command_sees(ask->viewer, command->deliveries[d].vid, command->spec.type))
            changed[count++] = &command->deliveries[d];
    qsort(changed, count, sizeof *changed, by_change);
    answer->change = ask->since;
    for (; i < count && out->size_bytes + WATCH_ROOM_BYTES < WATCH_BYTES; i++) {
        answer->change = changed[i]->change;
        write_event(out, "vehicle", answer->change);
        delivery_write(out, changed[i]);
        buf_adds(out, "\n\n");
    }
    bool all = i == count;
    if (all && command->change > ask->since) {
        answer->change = command->change;
        write_event(out, "command", answer->change);
        command_write(out, command, counts);
        buf_adds(out, "\n\n");
    }
    answer->ended = all && command_ended(command->state);
    free(changed);
}

/* Nothing new is the most frequent answer, and costs no copy. */
static bool nothing_new(struct command_lane *lane, const struct command_ask *ask,
                        struct command_answer *answer)
{
    pthread_mutex_lock(&lane->lock);
    const struct command *command = command_by_id(lane, ask->id, strlen(ask->id));
    bool nothing = command && !command_ended(command->state) && command->change <= ask->since;
    pthread_mutex_unlock(&lane->lock);
    answer->change = ask->since;
    return nothing;
}

static void answer_watch(struct command_lane *lane, const struct command_ask *ask,
                         struct command_answer *answer)
{
    struct bus_error error = {""};
    struct command_counts counts;
    if (nothing_new(lane, ask, answer))
        return;
    struct command *copy = command_copy(lane, ask->id, &error);
    if (copy && count_seen(copy, ask->viewer, &counts))
        write_changes(copy, ask, &counts, answer);
    else if (copy || !error.text[0])
        not_found(ask, answer);
    else
        not_readable(answer, &error);
    command_free(copy);
}

/* ---- acting on one ---- */

static enum command_event event_of(enum command_verb verb)
{
    return verb == VERB_CANCEL  ? COMMAND_CANCEL
           : verb == VERB_PAUSE ? COMMAND_PAUSE
                                : COMMAND_RESUME;
}

static void refuse_act(const struct command *command, const char *what,
                       struct command_answer *answer)
{
    command_answer_problem(answer, PROBLEM_CONFLICT, "Command %s is %s; there is nothing to %s.",
                           command->spec.id,
                           command_ended(command->state) ? command_status(command->state)
                           : command->spec.recovery      ? "a recovery command, sent at once"
                                                         : "being withdrawn",
                           what);
}

/* What is asked for is in the bucket before it takes effect: a hub that takes over does not undo
 * it. With the lock and the claim. */
static bool persist_act(struct command_lane *lane, struct command *command,
                        const struct command_step *step, const struct command_ask *ask)
{
    struct buf text = BUF_INIT;
    struct bus_error error;
    enum command_state was = command->state;
    uint64_t expected = command->status_seq, seq = 0;
    if (!command_turn_add(command, step->next, lane_now_ns(lane), ask->principal, ask->request_id))
        return false;
    command->state = step->next;
    command_status_write(&text, command);
    command->state = was;
    command->turn_count--; /* it is added when it takes effect */
    free(command->turns[command->turn_count].actor);
    free(command->turns[command->turn_count].request_id);
    pthread_mutex_unlock(&lane->lock);
    enum bus_status status =
        command_status_store(lane, command->spec.id, &text, expected, &seq, &error);
    failpoint_reached(FAILPOINT_COMMAND_ACTED);
    pthread_mutex_lock(&lane->lock);
    if (status == BUS_OK)
        command->status_seq = seq;
    buf_done(&text);
    return status == BUS_OK;
}

static void act(struct command_lane *lane, const struct command_ask *ask, struct command *command,
                struct command_answer *answer)
{
    enum command_event event = event_of(ask->verb);
    command_claim(lane, command);
    struct command_step step = command_step(command->state, event);
    bool senseless = command->spec.recovery && event != COMMAND_CANCEL;
    if (step.effect == COMMAND_REFUSED || senseless) {
        refuse_act(command,
                   ask->verb == VERB_CANCEL  ? "cancel"
                   : ask->verb == VERB_PAUSE ? "pause"
                                             : "resume",
                   answer);
    } else if (step.effect != COMMAND_UNCHANGED && !command_may_turn(command, event)) {
        command_answer_problem(answer, PROBLEM_CONFLICT,
                               "Command %s was paused and resumed too often to be once more. It "
                               "can be cancelled; what is left can be given as a new command.",
                               command->spec.id);
    } else if (step.effect != COMMAND_UNCHANGED && !persist_act(lane, command, &step, ask)) {
        command_answer_problem(answer, PROBLEM_UNAVAILABLE,
                               "It could not be persisted, and may or may not come about.");
    } else if (command_act(lane, command, event, ask->principal, ask->request_id) ==
               COMMAND_REFUSED) {
        refuse_act(command, "do", answer); /* it ended meanwhile */
    }
    command_release(lane, command);
}

static bool sees_some(struct command_lane *lane, const struct command_ask *ask,
                      struct command_answer *answer)
{
    struct buf none = BUF_INIT;
    bool seen = write_seen(lane, ask, ask->id, &none, answer);
    buf_done(&none);
    if (!seen && answer->problem < 0)
        not_found(ask, answer);
    return seen;
}

static bool sees_open(const struct command *command, const struct viewer *viewer)
{
    for (uint32_t i = 0; i < command->spec.total; i++) {
        const struct delivery *delivery = &command->deliveries[i];
        if (!delivery_ended((enum delivery_state)delivery->state, command->spec.goal) &&
            !command_sees(viewer, delivery->vid, command->spec.type))
            return false;
    }
    return true;
}

/* A command is acted on as a whole, so all of its vehicles that have not ended have to be the
 * caller's to command. What has ended stays as it is; targets are frozen: no lock is needed. */
static bool may_act(struct command_lane *lane, const struct command_ask *ask,
                    struct command_answer *answer)
{
    struct bus_error error = {""};
    struct command_counts counts;
    if (viewer_sees_everything(ask->viewer))
        return sees_some(lane, ask, answer);
    struct command *copy = command_copy(lane, ask->id, &error);
    bool seen = copy && count_seen(copy, ask->viewer, &counts);
    bool may = seen && sees_open(copy, ask->viewer);
    if (!copy && error.text[0])
        not_readable(answer, &error);
    else if (!seen)
        not_found(ask, answer);
    else if (!may)
        command_answer_problem(answer, PROBLEM_FORBIDDEN,
                               "It goes on for vehicles that your access does not cover, and is "
                               "acted on as a whole. Ask whoever gave it.");
    command_free(copy);
    return may;
}

static void answer_act(struct command_lane *lane, const struct command_ask *ask,
                       struct command_answer *answer)
{
    if (ask->body_bytes > 0 && strspn(ask->body, "{} \t\r\n") < ask->body_bytes) {
        command_answer_problem(answer, PROBLEM_BAD_REQUEST, "It takes no members.");
        return;
    }
    if (!may_act(lane, ask, answer))
        return;
    pthread_mutex_lock(&lane->lock);
    struct command *command = command_by_id(lane, ask->id, strlen(ask->id));
    if (command && lane_may_act(lane))
        act(lane, ask, command, answer);
    else
        command_answer_problem(answer, PROBLEM_UNAVAILABLE,
                               "This hub has just lost the lease of the command lane.");
    pthread_mutex_unlock(&lane->lock);
    if (answer->problem < 0)
        answer_get(lane, ask, answer);
}

void command_answer_here(struct command_lane *lane, const struct command_ask *ask,
                         struct command_answer *answer)
{
    switch (ask->verb) {
    case VERB_CREATE:
        command_create(lane, ask, answer);
        return;
    case VERB_LIST:
        answer_list(lane, ask, answer);
        return;
    case VERB_GET:
        answer_get(lane, ask, answer);
        return;
    case VERB_VEHICLES:
        answer_vehicles(lane, ask, answer);
        return;
    case VERB_WATCH:
        answer_watch(lane, ask, answer);
        return;
    case VERB_RETRY:
        if (sees_some(lane, ask, answer))
            command_retry(lane, ask, answer);
        return;
    case VERB_CANCEL:
    case VERB_PAUSE:
    case VERB_RESUME:
        answer_act(lane, ask, answer);
        return;
    case COMMAND_VERBS:
        break;
    }
    command_answer_problem(answer, PROBLEM_INTERNAL, "There is no such question.");
}
