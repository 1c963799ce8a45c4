#include "hub/api_commands.h"

#include "hub/api_query.h"
#include "hub/api_vehicles.h"
#include "hub/api_write.h"
#include "hub/command_lane.h"

#include <string.h>

/* The answer as a reply; false where it is a problem. */
static bool reply_with(const struct http_request *request, struct http_reply *reply,
                       struct command_answer *answer)
{
    if (answer->problem >= 0 && answer->has_text_error)
        http_problem_text(request, reply, (enum problem)answer->problem, answer->detail,
                          &answer->text_error);
    else if (answer->problem >= 0)
        http_problem(request, reply, (enum problem)answer->problem, "%s", answer->detail);
    if (answer->problem >= 0)
        return false;
    reply->status = answer->status;
    if (answer->location[0])
        http_reply_header(reply, "Location", "%s", answer->location);
    if (answer->next.size_bytes > 0)
        query_link_next(request, reply, buf_cstr(&answer->next));
    buf_done(&reply->body);
    reply->body = answer->body;
    buf_init(&answer->body);
    return true;
}

static void ask(const struct http_request *request, struct http_reply *reply,
                struct command_ask *what)
{
    const struct app *app = request->app;
    struct command_lane *lane = atomic_load(&app->commands);
    struct command_answer answer;
    what->principal = request->principal;
    what->request_id = request->request_id;
    what->viewer = request->viewer;
    if (!write_ready(request, reply))
        return;
    if (!lane) {
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "The hub is starting; try again later.");
        return;
    }
    command_answer_init(&answer);
    command_lane_ask(lane, what, &answer);
    if (reply_with(request, reply, &answer) && what->verb == VERB_GET)
        api_tag_by_content(reply);
    command_answer_done(&answer);
}

void api_command_create(const struct http_request *request, struct http_reply *reply)
{
    struct command_ask what = {.verb = VERB_CREATE,
                               .key = http_header(request, "Idempotency-Key"),
                               .body = request->body,
                               .body_bytes = request->body_bytes};
    if (write_no_patch(request, reply))
        ask(request, reply, &what);
}

void api_commands(const struct http_request *request, struct http_reply *reply)
{
    struct command_ask what = {.verb = VERB_LIST,
                               .page_token = http_query(request, "page_token"),
                               .status = http_query(request, "status"),
                               .type = http_query(request, "type")};
    if (query_page_size(request, reply, &what.page_size))
        ask(request, reply, &what);
}

void api_command(const struct http_request *request, struct http_reply *reply)
{
    struct command_ask what = {.verb = VERB_GET, .id = request->path_param[0]};
    ask(request, reply, &what);
}

void api_command_vehicles(const struct http_request *request, struct http_reply *reply)
{
    struct command_ask what = {.verb = VERB_VEHICLES,
                               .id = request->path_param[0],
                               .page_token = http_query(request, "page_token"),
                               .state = http_query(request, "state")};
    if (query_page_size(request, reply, &what.page_size))
        ask(request, reply, &what);
}

static void act(const struct http_request *request, struct http_reply *reply,
                enum command_verb verb)
{
    struct command_ask what = {.verb = verb,
                               .id = request->path_param[0],
                               .key = http_header(request, "Idempotency-Key"),
                               .body = request->body,
                               .body_bytes = request->body_bytes};
    ask(request, reply, &what);
}

void api_command_cancel(const struct http_request *request, struct http_reply *reply)
{
    act(request, reply, VERB_CANCEL);
}

void api_command_pause(const struct http_request *request, struct http_reply *reply)
{
    act(request, reply, VERB_PAUSE);
}

void api_command_resume(const struct http_request *request, struct http_reply *reply)
{
    act(request, reply, VERB_RESUME);
}

void api_command_retry(const struct http_request *request, struct http_reply *reply)
{
    act(request, reply, VERB_RETRY);
}
