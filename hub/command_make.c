/* The body of POST /v1/commands, judged as far as its text alone says (contract §5). */
#include "hub/command_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROLLOUT_BATCH_MAX = COMMAND_TARGETS_MAX,
    ROLLOUT_INTERVAL_MAX_MS = 3600 * 1000,
    MESSAGE_RESERVE_BYTES = 4096, /* of a command's message, beside its parameters */
};

static bool refuse(struct command_answer *answer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool refuse(struct command_answer *answer, const char *format, ...)
{
    char text[COMMAND_DETAIL_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    command_answer_problem(answer, PROBLEM_BAD_REQUEST, "%s", text);
    return false;
}

static bool known_members(struct doc_ref object, const char *where, const char *known,
                          struct command_answer *answer)
{
    for (struct doc_ref m = doc_first(object); doc_exists(m); m = doc_next(object, m)) {
        size_t size;
        const char *name = doc_name(m, &size);
        bool good = false;
        for (const char *at = known; *at && !good;) {
            size_t length = strcspn(at, " ");
            good = length == size && memcmp(at, name, size) == 0;
            at += length;
            at += strspn(at, " ");
        }
        if (good)
            continue;
        struct buf shown = BUF_INIT;
        buf_json_string(&shown, name, size);
        refuse(answer, "%s has an unknown member %.100s; known: %s.", where, buf_cstr(&shown),
               known);
        buf_done(&shown);
        return false;
    }
    return true;
}

static struct slice text_of(struct doc_ref value)
{
    struct slice text = {NULL, 0};
    if (doc_is(value, DOC_STRING))
        text.at = doc_string(value, &text.size);
    return text;
}

static bool copy_text(struct slice text, char **out)
{
    *out = malloc(text.size + 1);
    if (*out) {
        memcpy(*out, text.at, text.size);
        (*out)[text.size] = '\0';
    }
    return *out != NULL;
}

static bool copy_json(struct doc_ref value, const char *otherwise, char **out)
{
    struct buf text = BUF_INIT;
    if (doc_exists(value))
        doc_write(&text, value);
    else
        buf_adds(&text, otherwise);
    *out = buf_take(&text, NULL);
    return *out != NULL;
}

/* A whole number in a range; *value keeps what it has where the member is missing. */
static bool read_int(struct doc_ref object, const char *name, int64_t min, int64_t max,
                     int64_t *value, struct command_answer *answer)
{
    struct doc_ref member = doc_getz(object, name);
    int64_t read;
    if (!doc_exists(member))
        return true;
    if (!doc_int(member, &read) || read < min || read > max)
        return refuse(answer, "%s is a whole number from %lld to %lld.", name, (long long)min,
                      (long long)max);
    *value = read;
    return true;
}

static bool read_bool(struct doc_ref object, const char *name, bool *value,
                      struct command_answer *answer)
{
    struct doc_ref member = doc_getz(object, name);
    *value = doc_is(member, DOC_TRUE);
    if (doc_exists(member) && !*value && !doc_is(member, DOC_FALSE))
        return refuse(answer, "%s is true or false.", name);
    return true;
}

/* ---- the parts ---- */

static bool read_type(const struct command_lane *lane, struct doc_ref body,
                      struct command_wish *wish, struct command_answer *answer)
{
    const char *const *extra =
        (const char *const *)config_now(lane->options.config)->commands.extra_types;
    struct slice type = text_of(doc_getz(body, "type"));
    struct text_error error = {.detail = ""};
    wish->params = doc_getz(body, "params");
    if (!type.at)
        return refuse(answer, "type is the command's type, such as \"rtl\".");
    if (!command_type_check(type, extra, &error) ||
        !command_params_check(type, wish->params, extra, &error)) {
        command_answer_text(answer, PROBLEM_BAD_REQUEST,
                            command_type_check(type, extra, &error) ? "params" : "type", &error);
        return false;
    }
    wish->spec.recovery = command_type_is_recovery(type);
    if (!copy_text(type, &wish->spec.type) || !copy_json(wish->params, "{}", &wish->spec.params))
        return refuse(answer, "There is no memory for it.");
    if (strlen(wish->spec.params) + MESSAGE_RESERVE_BYTES >
        (size_t)lane->options.config->nats.limits.payload_bytes)
        return refuse(answer,
                      "params are too large for one message to a vehicle, which has at "
                      "most %lld bytes.",
                      (long long)lane->options.config->nats.limits.payload_bytes);
    return true;
}

static bool read_reason(struct doc_ref body, struct command_wish *wish,
                        struct command_answer *answer)
{
    struct doc_ref member = doc_getz(body, "reason");
    struct slice reason = text_of(member);
    if (!doc_exists(member))
        return true;
    if (!reason.at || reason.size > COMMAND_TEXT_MAX || memchr(reason.at, 0, reason.size))
        return refuse(answer, "reason is a text of at most %d bytes.", COMMAND_TEXT_MAX);
    return copy_text(reason, &wish->spec.reason);
}

/* A list of vehicles is left out of what is kept: the frozen targets are it. */
static bool read_target(struct doc_ref body, struct command_wish *wish,
                        struct command_answer *answer)
{
    struct doc_ref target = doc_getz(body, "target");
    if (!doc_is(target, DOC_OBJECT) || doc_members(target) != 1)
        return refuse(answer, "target is one of {\"vids\": […]}, {\"filter\": \"…\"}, "
                              "{\"group\": \"…\"} and {\"all\": true}.");
    if (!known_members(target, "target", "vids filter group all", answer))
        return false;
    struct doc_ref vids = doc_getz(target, "vids"), all = doc_getz(target, "all");
    if (doc_exists(vids) && !doc_is(vids, DOC_ARRAY))
        return refuse(answer, "target.vids is a list of vehicle ids.");
    if (doc_exists(all) && !doc_is(all, DOC_TRUE))
        return refuse(answer, "target.all can only be true.");
    if (doc_exists(doc_getz(target, "filter")) && !text_of(doc_getz(target, "filter")).at)
        return refuse(answer, "target.filter is a text in the filter language.");
    if (doc_exists(doc_getz(target, "group")) && !text_of(doc_getz(target, "group")).at)
        return refuse(answer, "target.group is a group's name.");
    wish->target = target;
    struct doc_ref none = {NULL, NULL};
    return copy_json(doc_exists(vids) ? none : target, "{\"vids\":[]}", &wish->spec.target);
}

static bool read_rollout(struct doc_ref body, struct command_wish *wish,
                         struct command_answer *answer)
{
    struct doc_ref rollout = doc_getz(body, "rollout"), pct;
    int64_t batch = 0, interval_ms = 1000, abort_min = 1;
    if (!doc_exists(rollout))
        return true;
    if (!doc_is(rollout, DOC_OBJECT))
        return refuse(answer, "rollout is an object.");
    if (!known_members(rollout, "rollout", "batch interval_ms abort_failed_pct abort_min",
                       answer) ||
        !read_int(rollout, "batch", 1, ROLLOUT_BATCH_MAX, &batch, answer) ||
        !read_int(rollout, "interval_ms", 0, ROLLOUT_INTERVAL_MAX_MS, &interval_ms, answer) ||
        !read_int(rollout, "abort_min", 1, COMMAND_TARGETS_MAX, &abort_min, answer))
        return false;
    pct = doc_getz(rollout, "abort_failed_pct");
    if (doc_exists(pct) && (!doc_is_number(pct) || doc_number(pct) < 0 || doc_number(pct) > 100))
        return refuse(answer, "rollout.abort_failed_pct is a number from 0 to 100.");
    wish->spec.rollout = (struct command_rollout){
        .batch = (uint32_t)batch,
        .interval_ms = interval_ms,
        .aborts = doc_exists(pct),
        .abort_failed_pct = doc_exists(pct) ? doc_number(pct) : 0,
        .abort_min = (uint32_t)abort_min,
    };
    return true;
}

static bool read_verify(const struct command_lane *lane, struct doc_ref body,
                        struct command_wish *wish, struct command_answer *answer)
{
    struct doc_ref verify = doc_getz(body, "verify");
    struct text_error error;
    int64_t within_s = COMMAND_VERIFY_WITHIN_S;
    if (!doc_exists(verify))
        return true;
    struct slice text = text_of(doc_getz(verify, "filter"));
    if (!doc_is(verify, DOC_OBJECT) || !text.at)
        return refuse(answer, "verify is {\"filter\": \"…\", \"within_s\": 5}.");
    if (!known_members(verify, "verify", "filter within_s", answer) ||
        !read_int(verify, "within_s", 1, COMMAND_WITHIN_MAX_S, &within_s, answer))
        return false;
    struct filter *filter = filter_compile(PATH_OF_TWIN, text.at, text.size,
                                           groups_for_filters(lane->options.groups), &error);
    if (!filter) {
        command_answer_text(answer, PROBLEM_BAD_FILTER, "verify.filter", &error);
        return false;
    }
    bool looks = filter_path(filter, 0) || filter_group(filter, 0);
    filter_free(filter);
    if (!looks)
        return refuse(answer, "verify.filter names nothing of the vehicle, so it proves nothing.");
    wish->spec.verify_within_ns = within_s * NS_PER_S;
    return copy_text(text, &wish->spec.verify);
}

static bool read_goal(struct doc_ref body, struct command_wish *wish, struct command_answer *answer)
{
    struct doc_ref member = doc_getz(body, "wait");
    struct slice wait = text_of(member);
    bool accepted = wait.size == 8 && memcmp(wait.at, "accepted", 8) == 0;
    bool completed = wait.size == 9 && memcmp(wait.at, "completed", 9) == 0;
    if (doc_exists(member) && !accepted && !completed)
        return refuse(answer, "wait is \"completed\" or \"accepted\".");
    if (wish->spec.verify)
        wish->spec.goal = accepted ? GOAL_VERIFIED_ACCEPTED : GOAL_VERIFIED_COMPLETED;
    else
        wish->spec.goal = accepted ? GOAL_ACCEPTED : GOAL_COMPLETED;
    return true;
}

static bool read_times(struct command_lane *lane, struct doc_ref body, struct command_wish *wish,
                       struct command_answer *answer)
{
    int64_t ttl_s = config_now(lane->options.config)->commands.default_ttl_s;
    int64_t complete_s = COMMAND_COMPLETE_WITHIN_S, confirm = 0;
    if (!read_int(body, "ttl_s", 1, COMMAND_TTL_MAX_S, &ttl_s, answer) ||
        !read_int(body, "complete_within_s", 1, COMMAND_WITHIN_MAX_S, &complete_s, answer) ||
        !read_int(body, "confirm", 1, UINT32_MAX, &confirm, answer))
        return false;
    wish->confirm = (uint32_t)confirm;
    wish->spec.created_ns = command_created_now(lane);
    wish->spec.expires_ns = wish->spec.created_ns + ttl_s * NS_PER_S;
    wish->spec.complete_within_ns = complete_s * NS_PER_S;
    return true;
}

bool command_wish_read(struct command_lane *lane, const struct command_ask *ask,
                       struct doc_ref body, struct command_wish *wish,
                       struct command_answer *answer)
{
    if (!known_members(body, "The body",
                       "type params reason target ttl_s complete_within_s wait dry_run confirm "
                       "rollout verify",
                       answer))
        return false;
    wish->spec.actor = strdup(ask->principal);
    wish->spec.request_id = strdup(ask->request_id);
    return read_type(lane, body, wish, answer) && read_reason(body, wish, answer) &&
           read_target(body, wish, answer) && read_rollout(body, wish, answer) &&
           read_verify(lane, body, wish, answer) && read_goal(body, wish, answer) &&
           read_times(lane, body, wish, answer) &&
           read_bool(body, "dry_run", &wish->dry_run, answer);
}
