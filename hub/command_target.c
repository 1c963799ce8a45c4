/* The targets of a new command: found, frozen, and judged by the policy, vehicle by vehicle. */
#include "hub/command_impl.h"

#include "hub/api_query.h"
#include "hub/query_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The names on their way into a command; they borrow from the request, or from twins that stay as
 * long as the process. */
struct names {
    struct slice *of;
    size_t count;
};

bool command_sees(const struct viewer *viewer, const char *vid, const char *type)
{
    return viewer_sees_everything(viewer) ||
           (viewer_sees_vehicle(viewer, vid) &&
            viewer_sees_part(viewer, vid, "cmd", type, strlen(type)));
}

static int by_name(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    int order = memcmp(x->at, y->at, x->size < y->size ? x->size : y->size);
    if (order != 0)
        return order;
    return x->size < y->size ? -1 : x->size > y->size;
}

static bool no_memory(struct command_answer *answer)
{
    command_answer_problem(answer, PROBLEM_UNAVAILABLE, "There is no memory for it.");
    return false;
}

/* ---- who is meant ---- */

static bool is_name(struct slice text)
{
    bool good = text.size > 0 && text.size <= TOKEN_MAX_BYTES;
    for (size_t i = 0; good && i < text.size; i++)
        good = (unsigned char)text.at[i] >= 0x20 && text.at[i] != 0x7f;
    return good;
}

/* A list, in its order, each vehicle once. */
static bool names_of_list(struct doc_ref vids, struct names *names, struct command_answer *answer)
{
    size_t count = doc_members(vids), kept = 0;
    struct slice *sorted = calloc(count + 1, sizeof *sorted);
    names->of = calloc(count + 1, sizeof *names->of);
    if (!names->of || !sorted) {
        free(sorted);
        return no_memory(answer);
    }
    for (struct doc_ref m = doc_first(vids); doc_exists(m); m = doc_next(vids, m)) {
        struct slice text = {NULL, 0};
        if (doc_is(m, DOC_STRING))
            text.at = doc_string(m, &text.size);
        if (!text.at || !is_name(text)) {
            free(sorted);
            command_answer_problem(answer, PROBLEM_BAD_REQUEST,
                                   "target.vids holds texts of 1 to %d characters.",
                                   TOKEN_MAX_BYTES);
            return false;
        }
        sorted[kept] = names->of[kept] = text;
        kept++;
    }
    qsort(sorted, kept, sizeof *sorted, by_name);
    size_t unique = 0;
    for (size_t i = 0; i < kept; i++)
        if (unique == 0 || by_name(&sorted[unique - 1], &sorted[i]) != 0)
            sorted[unique++] = sorted[i];
    if (unique < kept) { /* said twice: in the order of their names, then */
        memcpy(names->of, sorted, unique * sizeof *sorted);
        kept = unique;
    }
    free(sorted);
    names->count = kept;
    return true;
}

/* Compiles a question with the caller's rights; false with the problem in the answer. */
static bool ask_fleet(struct command_lane *lane, const struct command_ask *ask, const char *text,
                      const char *parameter, struct query *query, struct command_answer *answer)
{
    struct text_error error;
    struct query_options options = {
        .viewer = ask->viewer,
        .region = lane->options.config->region,
        .now_ns = lane_now_ns(lane),
        .filter = text,
        .groups = groups_for_filters(lane->options.groups),
    };
    enum query_status status = query_init(query, &options, &error);
    if (status == QUERY_OK && query_judge_groups(query, lane->options.groups))
        return true;
    if (status == QUERY_OK)
        query_done(query);
    if (status == QUERY_BAD_FILTER)
        command_answer_text(answer, PROBLEM_BAD_FILTER, parameter, &error);
    else
        no_memory(answer);
    return false;
}

static bool names_of_query(struct command_lane *lane, const struct command_ask *ask,
                           const char *text, const char *parameter, struct names *names,
                           struct command_answer *answer)
{
    struct query query = {.filter = NULL};
    struct query_denial denial = {.path = NULL};
    struct store *store = lane->options.store;
    uint32_t *indices = NULL;
    size_t count = 0;
    if (!ask_fleet(lane, ask, text, parameter, &query, answer))
        return false;
    size_t place = store_enter(store);
    enum query_status status = query_all(&query, store, &indices, &count, &denial);
    names->of = status == QUERY_OK ? calloc(count + 1, sizeof *names->of) : NULL;
    for (size_t i = 0; names->of && i < count; i++) {
        const char *vid = store_at(store, indices[i])->vid; /* the vehicle's: it stays */
        names->of[i] = (struct slice){vid, strlen(vid)};
    }
    if (names->of) {
        names->count = count;
        qsort(names->of, count, sizeof *names->of, by_name);
    } else if (status == QUERY_DENIED) {
        command_answer_problem(answer, PROBLEM_FORBIDDEN,
                               "Your access does not cover %s of %s, which is among the vehicles "
                               "that you see: ask for something else.",
                               denial.path, denial.vid);
    } else if (status == QUERY_CHANGED) {
        command_answer_problem(answer, PROBLEM_UNAVAILABLE,
                               "A group that the filter names was defined anew meanwhile; nothing "
                               "was sent. Ask again.");
    } else {
        no_memory(answer);
    }
    store_leave(store, place);
    free(indices);
    query_done(&query);
    return names->of != NULL;
}

static bool names_of_retry(const struct command *old, const struct viewer *viewer,
                           struct names *names, struct command_answer *answer)
{
    names->of = calloc((size_t)old->spec.total + 1, sizeof *names->of);
    if (!names->of)
        return no_memory(answer);
    for (uint32_t i = 0; i < old->spec.total; i++) {
        const struct delivery *delivery = &old->deliveries[i];
        if (delivery_may_be_retried((enum delivery_state)delivery->state) &&
            command_sees(viewer, delivery->vid, old->spec.type))
            names->of[names->count++] = (struct slice){delivery->vid, strlen(delivery->vid)};
    }
    return true;
}

static bool find_names(struct command_lane *lane, const struct command_ask *ask,
                       const struct command_wish *wish, const struct command *retry_of,
                       struct names *names, struct command_answer *answer)
{
    struct doc_ref vids = doc_getz(wish->target, "vids"), group, filter;
    struct buf text = BUF_INIT;
    size_t size;
    bool good = false;
    if (retry_of)
        return names_of_retry(retry_of, ask->viewer, names, answer);
    if (doc_exists(vids))
        return names_of_list(vids, names, answer);
    group = doc_getz(wish->target, "group");
    filter = doc_getz(wish->target, "filter");
    const char *parameter = doc_exists(group) ? "target.group" : "target.filter";
    if (doc_exists(group)) {
        const char *name = doc_string(group, &size);
        buf_adds(&text, "group(");
        buf_json_string(&text, name, size);
        buf_addc(&text, ')');
    } else if (doc_exists(filter)) {
        const char *at = doc_string(filter, &size);
        buf_add(&text, at, size);
        if (memchr(at, 0, size)) {
            command_answer_problem(answer, PROBLEM_BAD_FILTER, "target.filter holds a NUL.");
            buf_done(&text);
            return false;
        }
    }
    if (text.failed)
        no_memory(answer);
    else
        good = names_of_query(lane, ask, buf_cstr(&text), parameter, names, answer);
    buf_done(&text);
    return good;
}

static struct command *freeze(struct command_lane *lane, const struct names *names,
                              struct command_answer *answer)
{
    struct command *command = command_new();
    size_t bytes = 0, used = 0;
    if (names->count == 0) {
        command_answer_problem(answer, PROBLEM_NO_TARGETS,
                               "No vehicle that you see is meant by the target; nothing was sent.");
        goto fail;
    }
    if (names->count > COMMAND_TARGETS_MAX) {
        command_answer_problem(answer, PROBLEM_BAD_REQUEST, "A command has at most %d targets.",
                               COMMAND_TARGETS_MAX);
        goto fail;
    }
    for (size_t i = 0; i < names->count; i++)
        bytes += names->of[i].size + 1;
    if (!command || !command_fill(command, (uint32_t)names->count, bytes)) {
        no_memory(answer);
        goto fail;
    }
    for (size_t i = 0; i < names->count; i++)
        command_set_vid(command, (uint32_t)i, names->of[i].at, names->of[i].size, &used);
    if (!command_index(command)) {
        no_memory(answer);
        goto fail;
    }
    command_find_vehicles(lane, command);
    return command;
fail:
    command_free(command);
    return NULL;
}

/* ---- whether they may ---- */

static void block(struct command *command, struct delivery *delivery, enum command_rule rule)
{
    const char *name = command_rule_name(rule);
    delivery->state = DELIVERY_BLOCKED;
    delivery->entered |= 1u << DELIVERY_BLOCKED;
    delivery->reason = delivery_reason(name, strlen(name));
    delivery->updated_ns = command->spec.created_ns;
    command->counts.of[DELIVERY_PENDING]--;
    command->counts.of[DELIVERY_BLOCKED]++;
}

/* What the viewer may not command is refused as a whole; what it does not see is unknown. */
static bool judge(struct command_lane *lane, const struct command_ask *ask, struct doc_ref params,
                  struct command *command, struct command_answer *answer)
{
    const struct config *config = config_now(lane->options.config);
    const struct command_spec *spec = &command->spec;
    struct slice type = {spec->type, strlen(spec->type)};
    struct command_policy policy = {.max_alt_m = config->commands.policy.max_alt_m,
                                    .min_battery = config->commands.policy.min_battery,
                                    .geofence = atomic_load(&lane->geofence)};
    bool good = true;
    size_t place = store_enter(lane->options.store);
    for (uint32_t i = 0; i < spec->total && good; i++) {
        struct delivery *delivery = &command->deliveries[i];
        const struct twin *twin = delivery->vehicle == DELIVERY_NO_VEHICLE
                                      ? NULL
                                      : store_at(lane->options.store, delivery->vehicle);
        if (!viewer_sees_vehicle(ask->viewer, delivery->vid))
            twin = NULL;
        enum command_rule rule = command_policy_judge(&policy, type, params, spec->reason, twin);
        if (rule == RULE_UNKNOWN_VEHICLE)
            delivery->vehicle = DELIVERY_NO_VEHICLE;
        else if (!command_sees(ask->viewer, delivery->vid, spec->type))
            good = false;
        if (rule != RULE_NONE)
            block(command, delivery, rule);
        if (!good)
            command_answer_problem(answer, PROBLEM_FORBIDDEN,
                                   "Your access does not cover cmd.%s of %s; nothing was sent.",
                                   spec->type, delivery->vid);
    }
    store_leave(lane->options.store, place);
    return good;
}

static void judge_rate(struct command_lane *lane, struct command *command)
{
    unsigned limit =
        (unsigned)config_now(lane->options.config)->commands.policy.rate_per_vehicle_per_min;
    int64_t now_ns = command->spec.created_ns;
    pthread_mutex_lock(&lane->lock);
    for (uint32_t i = 0; !command->spec.recovery && i < command->spec.total; i++) {
        struct delivery *delivery = &command->deliveries[i];
        if (delivery->state == DELIVERY_PENDING &&
            !command_rate_allows(lane->rate, delivery->vehicle, now_ns, limit))
            block(command, delivery, RULE_RATE);
    }
    pthread_mutex_unlock(&lane->lock);
}

/* A filter to be verified is judged with the caller's rights. */
static bool judge_verify(struct command_lane *lane, const struct command_ask *ask,
                         const struct command *command, struct command_answer *answer)
{
    struct query query = {.filter = NULL};
    const char *path = NULL;
    bool good = true;
    if (!command->spec.verify || viewer_sees_everything(ask->viewer))
        return true;
    if (!ask_fleet(lane, ask, command->spec.verify, "verify.filter", &query, answer))
        return false;
    if (filter_group(query.filter, 0)) { /* it is asked later, when the group may be another one */
        command_answer_problem(answer, PROBLEM_FORBIDDEN,
                               "verify.filter names a group, whose definition may change until it "
                               "is asked: where your access does not cover everything, write out "
                               "what the group says.");
        good = false;
    }
    for (uint32_t i = 0; i < command->spec.total && good; i++) {
        const char *vid = command->deliveries[i].vid;
        good = query_sight_of(query.sight, vid, &path) != SIGHT_DENIED;
        if (!good)
            command_answer_problem(answer, PROBLEM_FORBIDDEN,
                                   "Your access does not cover %s of %s, which verify.filter asks "
                                   "for.",
                                   path, vid);
    }
    query_done(&query);
    return good;
}

struct command *command_targets(struct command_lane *lane, const struct command_ask *ask,
                                struct command_wish *wish, const struct command *retry_of,
                                struct command_answer *answer)
{
    struct names names = {.of = NULL};
    struct bus_error error;
    struct command *command = NULL;
    if (find_names(lane, ask, wish, retry_of, &names, answer))
        command = freeze(lane, &names, answer);
    free(names.of);
    if (!command)
        return NULL;
    uint32_t total = command->spec.total;
    command->spec = wish->spec;
    command->spec.total = total;
    wish->spec = (struct command_spec){.total = 0};
    if (!judge(lane, ask, wish->params, command, answer) ||
        !judge_verify(lane, ask, command, answer) ||
        !command_compile_verify(lane, command, &error)) {
        command_free(command);
        return NULL;
    }
    judge_rate(lane, command);
    return command;
}
