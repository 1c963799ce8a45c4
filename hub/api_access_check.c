/* POST /v1/access:check: whether somebody may do something, and which rule says so. */
#include "hub/api_access.h"

#include "hub/access_http.h"
#include "hub/api_write.h"
#include "hub/query_sight.h"
#include "twin/twin.h"

#include <stdio.h>
#include <string.h>

enum { BODY_DEPTH = 2, PATH_ROOM_BYTES = 256, RULE_BYTES = 512 };

struct question {
    const struct principal *who; /* NULL: everything is allowed */
    const char *action;
    char vid[TOKEN_MAX_BYTES + 1]; /* "" for any */
    char path[PATH_ROOM_BYTES];    /* "" for no part in particular */
};

/* A member's text; "" where it is absent. False where it is something else, or too long. */
static bool read_text(struct doc_ref body, const char *name, char *out, size_t room)
{
    struct doc_ref value = doc_getz(body, name);
    size_t size = 0;
    const char *text = doc_is(value, DOC_STRING) ? doc_string(value, &size) : "";
    if ((doc_exists(value) && !doc_is(value, DOC_STRING)) || size >= room ||
        memchr(text, '\0', size))
        return false;
    memcpy(out, text, size);
    out[size] = '\0';
    return true;
}

/* What the action takes, by the part that it is about. */
static enum capability needed(const struct question *question)
{
    static const char *const recorded[] = {"evt", "cmd", "record"};
    size_t first = strcspn(question->path, ".");
    if (strcmp(question->action, "command") == 0)
        return CAN_OPERATE;
    if (strcmp(question->action, "write") == 0)
        return first == strlen("desired") && strncmp(question->path, "desired", first) == 0
                   ? CAN_OPERATE
                   : CAN_ADMINISTER;
    for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++)
        if (first == strlen(recorded[i]) && strncmp(question->path, recorded[i], first) == 0)
            return CAN_AUDIT;
    return CAN_READ;
}

/* Whether a pattern names the path. A part that is named as a whole (`desired`, say) is what the
 * handlers of reading and writing take it for: what is read so shows what may be seen of it, and
 * whoever writes it so replaces all of it. */
static bool names_path(const char *pattern, const char *path, bool denial, bool reads)
{
    enum part_kind kind;
    bool whole = strcmp(path, "state") == 0 || part_of_name(path, strlen(path), &kind);
    if (whole && query_pattern_reaches(pattern, path, denial == reads))
        return true;
    return (!whole || (denial && !reads)) && subject_pattern_matches(pattern, path, strlen(path));
}

static bool path_in(const struct viewer_patterns *patterns, const struct question *question,
                    bool denial, const char **rule)
{
    bool reads = strcmp(question->action, "read") == 0;
    for (size_t i = 0; i < patterns->count; i++)
        if (names_path(patterns->patterns[i], question->path, denial, reads)) {
            *rule = patterns->patterns[i];
            return true;
        }
    return false;
}

static bool vehicle_in(const struct viewer_patterns *patterns, const char *vid)
{
    if (!patterns->given || !*vid)
        return !patterns->given || patterns->count > 0;
    for (size_t i = 0; i < patterns->count; i++)
        if (vehicle_pattern_matches(patterns->patterns[i], vid))
            return true;
    return false;
}

static bool judge(const struct question *question, char rule[RULE_BYTES])
{
    const char *pattern = "";
    enum capability capability = needed(question);
    if (!question->who) {
        snprintf(rule, RULE_BYTES, "access is off");
        return true;
    }
    if (*question->path && path_in(&question->who->deny, question, true, &pattern)) {
        snprintf(rule, RULE_BYTES, "deny %s", pattern);
        return false;
    }
    for (size_t i = 0; i < question->who->held_count; i++) {
        const struct rights *held = &question->who->held[i];
        if (!role_can(held->role, capability) || !vehicle_in(&held->vehicles, question->vid))
            continue;
        if (*question->path && held->allow.given &&
            !path_in(&held->allow, question, false, &pattern))
            continue;
        snprintf(rule, RULE_BYTES, "role %s%s%s", role_name(held->role), *pattern ? ", allow " : "",
                 pattern);
        return true;
    }
    snprintf(rule, RULE_BYTES, "no scope may %s here", capability_text(capability));
    return false;
}

static bool read_question(const struct http_request *request, struct http_reply *reply,
                          struct doc_ref body, struct question *question,
                          char subject[JWT_PRINCIPAL_BYTES])
{
    static const char *const actions[] = {"read", "write", "command"};
    char action[16] = "";
    if (!write_members(request, reply, body, "subject action vid path"))
        return false;
    bool good = read_text(body, "action", action, sizeof action) &&
                read_text(body, "vid", question->vid, sizeof question->vid) &&
                read_text(body, "path", question->path, sizeof question->path) &&
                read_text(body, "subject", subject, JWT_PRINCIPAL_BYTES);
    for (size_t i = 0; good && i < sizeof actions / sizeof *actions; i++)
        if (strcmp(action, actions[i]) == 0)
            question->action = actions[i];
    if (question->action)
        return true;
    http_problem(request, reply, PROBLEM_BAD_REQUEST,
                 "`action` must be read, write or command; `subject`, `vid` and `path`, where they "
                 "are given, strings.");
    return false;
}

static void answer(struct http_reply *reply, const struct question *question)
{
    char rule[RULE_BYTES];
    bool allowed = judge(question, rule);
    buf_addf(&reply->body, "{\"allowed\":%s,\"rule\":", allowed ? "true" : "false");
    buf_json_cstr(&reply->body, rule);
    buf_addc(&reply->body, '}');
}

static void check(const struct http_request *request, struct http_reply *reply, struct doc_ref body)
{
    const struct app *app = request->app;
    char subject[JWT_PRINCIPAL_BYTES] = "";
    struct question question = {.who = request->caller};
    if (!read_question(request, reply, body, &question, subject))
        return;
    if (!*subject || strcmp(subject, request->principal) == 0) {
        answer(reply, &question);
        return;
    }
    if (request->caller && !principal_can(request->caller, CAN_AUDIT)) {
        http_problem(request, reply, PROBLEM_FORBIDDEN,
                     "What somebody else may do is for auditors and admins to ask.");
        return;
    }
    struct principal *other = access_look_up(app->access, subject);
    question.who = other;
    if (other)
        answer(reply, &question);
    else
        http_problem(
            request, reply, PROBLEM_NOT_FOUND,
            "There is no token with the id %s, and no grant to it. Of a JWT without grants "
            "only its role, which it carries itself, says what it may.",
            subject);
    principal_unref(other);
}

void api_access_check(const struct http_request *request, struct http_reply *reply)
{
    struct doc_ref body;
    struct doc_parser *parser = doc_parser_new();
    if (write_body(request, reply, parser, BODY_DEPTH, false, &body))
        check(request, reply, body);
    doc_parser_free(parser);
}
