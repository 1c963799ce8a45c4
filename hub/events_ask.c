#include "hub/events_ask.h"

#include "hub/api_query.h"
#include "hub/app.h"
#include "hub/groups.h"

#include <stdlib.h>
#include <string.h>

/* ---- parameters ---- */

static bool read_vid(const struct http_request *request, struct http_reply *reply,
                     struct record_question *question)
{
    if (question->vid) /* of the path */
        return true;
    question->vid = http_query(request, "vid");
    if (!question->vid || vid_valid(question->vid, strlen(question->vid)))
        return true;
    http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                 "vid is 1 to %d of the characters A-Z a-z 0-9 _ -.", TOKEN_MAX_BYTES);
    return false;
}

static bool read_type(const struct http_request *request, struct http_reply *reply,
                      struct record_question *question)
{
    question->type = http_query(request, "type");
    if (!question->type)
        return true;
    size_t size = strlen(question->type);
    if (size > 0 && size <= TYPE_MAX_BYTES)
        return true;
    http_problem(request, reply, PROBLEM_BAD_PARAMETER, "type is 1 to %d characters.",
                 TYPE_MAX_BYTES);
    return false;
}

static bool read_kind(const struct http_request *request, struct http_reply *reply,
                      struct record_question *question)
{
    static const char known[] =
#define X(id, name) " " name
        RECORD_KIND_TABLE(X)
#undef X
        ;
    const char *kind = http_query(request, "kind");
    if (!kind)
        return true;
    question->by_kind = record_kind_parse(kind, strlen(kind), &question->kind);
    if (!question->by_kind)
        http_problem(request, reply, PROBLEM_BAD_PARAMETER, "kind is one of:%s.", known);
    return question->by_kind;
}

static bool read_time(const struct http_request *request, struct http_reply *reply,
                      const char *name, int64_t *ns)
{
    const char *text = http_query(request, name);
    *ns = TIMESTAMP_NONE;
    if (!text || timestamp_parse(text, strlen(text), ns))
        return true;
    http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                 "%s is an RFC 3339 timestamp, as 2026-01-15T10:30:00Z (a + in it is %%2B).", name);
    return false;
}

static bool read_order(const struct http_request *request, struct http_reply *reply,
                       struct events_asked *asked)
{
    const char *order = http_query(request, "order_by");
    asked->ascending = order && (strcmp(order, "seq") == 0 || strcmp(order, "seq asc") == 0);
    if (!order || asked->ascending || strcmp(order, "seq desc") == 0)
        return true;
    http_problem(request, reply, PROBLEM_BAD_PARAMETER, "order_by is `seq` or `seq desc`.");
    return false;
}

static bool read_filter(const struct http_request *request, struct http_reply *reply,
                        struct events_asked *asked)
{
    struct app *app = request->app;
    const char *text = http_query(request, "filter");
    struct text_error error;
    if (!text)
        return true;
    asked->filter =
        filter_compile(PATH_OF_RECORD, text, strlen(text), groups_for_filters(app->groups), &error);
    if (!asked->filter) {
        query_refuse_text(request, reply, "filter", &error);
        return false;
    }
    asked->question.filter = asked->filter;
    asked->question.now_ns = broker_clock_now(&app->clock, NULL);
    if (!groups_seal(&asked->question.seal, app->groups, asked->filter,
                     viewer_sees_everything(request->viewer))) {
        query_refuse(request, reply, QUERY_NO_MEMORY, NULL);
        return false;
    }
    return query_may_ask_groups(request, reply, asked->filter);
}

bool events_ask(const struct http_request *request, struct http_reply *reply, const char *vid,
                struct events_asked *asked)
{
    *asked = (struct events_asked){.filter = NULL};
    record_question_init(&asked->question, request->viewer);
    asked->question.vid = vid;
    if (read_vid(request, reply, &asked->question) && read_kind(request, reply, &asked->question) &&
        read_type(request, reply, &asked->question) &&
        read_time(request, reply, "start_time", &asked->question.start_ns) &&
        read_time(request, reply, "end_time", &asked->question.end_ns) &&
        read_order(request, reply, asked) && read_filter(request, reply, asked))
        return true;
    events_asked_done(asked);
    return false;
}

static bool keep_text(const char **text, char **kept)
{
    if (!*text)
        return true;
    *kept = strdup(*text);
    *text = *kept;
    return *kept != NULL;
}

bool events_asked_keep(struct events_asked *asked)
{
    struct record_question *question = &asked->question;
    asked->viewer = viewer_copy(question->viewer);
    question->viewer = asked->viewer;
    bool vid = keep_text(&question->vid, &asked->vid);
    bool type = keep_text(&question->type, &asked->type);
    return asked->viewer && vid && type;
}

void events_asked_done(struct events_asked *asked)
{
    filter_free(asked->filter);
    free(asked->viewer);
    free(asked->vid);
    free(asked->type);
    *asked = (struct events_asked){.filter = NULL};
}

/* ---- what a token is bound to ---- */

static void add_text(struct buf *scope, const char *text)
{
    buf_addf(scope, "/%zu:%s", text ? strlen(text) : 0, text ? text : "");
}

static void add_patterns(struct buf *scope, const struct viewer_patterns *patterns)
{
    buf_adds(scope, patterns->given ? "/given" : "/all");
    for (size_t i = 0; patterns->given && i < patterns->count; i++)
        add_text(scope, patterns->patterns[i]);
}

void events_asked_scope(const struct events_asked *asked, const struct http_request *request,
                        struct buf *scope)
{
    const struct record_question *question = &asked->question;
    buf_addf(scope, "events/%s/%s/%lld/%lld", asked->ascending ? "asc" : "desc",
             question->by_kind ? record_kind_name(question->kind) : "",
             (long long)question->start_ns, (long long)question->end_ns);
    add_text(scope, question->vid);
    add_text(scope, question->type);
    add_text(scope, http_query(request, "filter"));
    add_text(scope, request->principal);
    for (size_t i = 0; i < question->viewer->scope_count; i++) {
        add_patterns(scope, &question->viewer->scopes[i].vehicles);
        add_patterns(scope, &question->viewer->scopes[i].allow);
    }
    add_patterns(scope, &question->viewer->deny);
}
