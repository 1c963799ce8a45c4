#include "hub/api_groups.h"

#include "hub/api_query.h"
#include "hub/api_vehicles.h"
#include "hub/api_write.h"
#include "hub/cursor.h"
#include "hub/groups.h"

#include <stdio.h>
#include <string.h>

enum {
    BODY_DEPTH = 4,
    PAGE_BYTES = 4 << 20, /* where a page ends before it is full: a list of vehicles may be long */
};

/* A hidden vehicle is in no list. */
static void write_vids(struct buf *out, const struct group *group, const struct viewer *viewer)
{
    bool first = true;
    buf_adds(out, ",\"vids\":[");
    for (size_t i = 0; i < group->vid_count; i++) {
        if (!viewer_sees_vehicle(viewer, group->vids[i]))
            continue;
        if (!first)
            buf_addc(out, ',');
        first = false;
        buf_json_cstr(out, group->vids[i]);
    }
    buf_addc(out, ']');
}

static void write_group(struct buf *out, const struct group *group, const struct viewer *viewer)
{
    buf_adds(out, "{\"name\":");
    buf_json_cstr(out, group->name);
    if (group->filter) { /* the definition is {"filter":"…"} */
        buf_addc(out, ',');
        buf_add(out, group->definition + 1, strlen(group->definition) - 2);
    } else {
        write_vids(out, group, viewer);
    }
    buf_adds(out, ",\"revision\":");
    buf_json_int(out, (int64_t)group->revision);
    buf_adds(out, ",\"updated\":");
    buf_json_timestamp(out, group->updated_ns);
    buf_adds(out, ",\"updated_by\":");
    buf_json_cstr(out, group->updated_by);
    buf_addc(out, '}');
}

static void set_etag(struct http_reply *reply, const struct group *group)
{
    snprintf(reply->etag, sizeof reply->etag, "\"%llu\"", (unsigned long long)group->revision);
}

/* ---- reading ---- */

void api_groups(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    const char *token = http_query(request, "page_token");
    char after[CURSOR_KEY_MAX_BYTES + 1] = "", scope[RECORD_ACTOR_MAX_BYTES + 16];
    size_t size, after_bytes, written = 0;
    if (!query_page_size(request, reply, &size))
        return;
    snprintf(scope, sizeof scope, "groups/%s", request->principal);
    if (token && !cursor_read(token, scope, after, &after_bytes)) {
        http_problem(request, reply, PROBLEM_BAD_PAGE_TOKEN,
                     "This page_token belongs to another list, or is none. Begin again without.");
        return;
    }
    api_position(app, reply);
    buf_adds(&reply->body, "{\"groups\":[");
    size_t place = groups_enter(app->groups);
    const struct group *group, *last = NULL;
    while ((group = groups_next(app->groups, last ? last->name : after)) && written < size &&
           reply->body.size_bytes < PAGE_BYTES) {
        if (written++ > 0)
            buf_addc(&reply->body, ',');
        write_group(&reply->body, group, request->viewer);
        last = group;
    }
    buf_addc(&reply->body, ']');
    if (group && last) {
        struct buf next = BUF_INIT;
        cursor_write(&next, scope, last->name, strlen(last->name));
        buf_json_name(&reply->body, "next_page_token");
        buf_json_cstr(&reply->body, buf_cstr(&next));
        query_link_next(request, reply, buf_cstr(&next));
        buf_done(&next);
    }
    groups_leave(app->groups, place);
    buf_addc(&reply->body, '}');
}

/* Answers with the group as it is now. */
static void answer(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    const char *name = request->path_param[0];
    size_t place = groups_enter(app->groups);
    const struct group *group = groups_find(app->groups, name);
    if (group) {
        api_position(app, reply);
        write_group(&reply->body, group, request->viewer);
        set_etag(reply, group);
    } else {
        http_problem(request, reply, PROBLEM_NOT_FOUND, "There is no group %s.", name);
    }
    groups_leave(app->groups, place);
}

static bool read_name(const struct http_request *request, struct http_reply *reply)
{
    if (group_name_valid(request->path_param[0]))
        return true;
    http_problem(request, reply, PROBLEM_BAD_REQUEST,
                 "A group's name is 1 to %d of the characters A-Z a-z 0-9 _ -.", TOKEN_MAX_BYTES);
    return false;
}

void api_group(const struct http_request *request, struct http_reply *reply)
{
    if (read_name(request, reply))
        answer(request, reply);
}

/* ---- writing ---- */

/* Answers what went wrong; true where nothing did. */
static bool answer_failure(const struct http_request *request, struct http_reply *reply,
                           enum groups_status status, const struct bus_error *error)
{
    const char *name = request->path_param[0];
    switch (status) {
    case GROUPS_WRITTEN:
    case GROUPS_CREATED:
    case GROUPS_UNCHANGED:
        return true;
    case GROUPS_UNKNOWN:
        http_problem(request, reply, PROBLEM_NOT_FOUND, "There is no group %s.", name);
        return false;
    case GROUPS_HIDDEN:
        http_problem(
            request, reply, PROBLEM_FORBIDDEN,
            "Group %s is a list of vehicles of which your access does not cover all, as it "
            "is or as you want it; make a group of your own vehicles.",
            name);
        return false;
    case GROUPS_PRECONDITION:
        http_problem(request, reply, PROBLEM_PRECONDITION_FAILED,
                     "Group %s is not at the revision that If-Match names.", name);
        return false;
    case GROUPS_CYCLE:
        http_problem(request, reply, PROBLEM_BAD_REQUEST,
                     "Group %s would, through the groups that its filter names, hold itself, or "
                     "take more than %d groups to look at.",
                     name, GROUP_WORK_MAX);
        return false;
    case GROUPS_TOO_MANY:
        http_problem(request, reply, PROBLEM_CONFLICT, "There are %d groups already.", GROUPS_MAX);
        return false;
    case GROUPS_UNAVAILABLE:
    case GROUPS_BUSY:
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "Not done, as far as is known: %s.",
                     error->text);
        return false;
    case GROUPS_FAILED:
        break;
    }
    http_problem(request, reply, PROBLEM_INTERNAL, "It could not be written: %s", error->text);
    return false;
}

static enum groups_status write_change(const struct http_request *request,
                                       const struct group *group, struct bus_error *error)
{
    const struct app *app = request->app;
    struct groups_change change = {.name = request->path_param[0],
                                   .group = group,
                                   .viewer = request->viewer,
                                   .if_match = http_header(request, "If-Match"),
                                   .actor = request->principal,
                                   .request_id = request->request_id,
                                   .remote = request->remote};
    return groups_write(app->groups, &change, error);
}

static void put_group(const struct http_request *request, struct http_reply *reply,
                      struct doc_ref body)
{
    const struct app *app = request->app;
    const char *name = request->path_param[0];
    struct text_error text_error = {.offset = 0};
    struct bus_error error = {""};
    if (!write_members(request, reply, body, "vids filter"))
        return;
    bool by_filter = doc_exists(doc_getz(body, "filter"));
    struct group *group = group_new(name, body, groups_for_filters(app->groups), &text_error);
    if (!group) {
        if (by_filter && doc_is(doc_getz(body, "filter"), DOC_STRING) && doc_members(body) == 1)
            http_problem_text(request, reply, PROBLEM_BAD_FILTER, "filter", &text_error);
        else
            http_problem(request, reply, PROBLEM_BAD_REQUEST, "%s.", text_error.detail);
        return;
    }
    enum groups_status status = write_change(request, group, &error);
    if (answer_failure(request, reply, status, &error))
        answer(request, reply);
    if (status == GROUPS_CREATED && reply->status == 200) {
        reply->status = 201;
        http_reply_header(reply, "Location", "/v1/groups/%s", name);
    }
    group_free(group);
}

void api_group_put(const struct http_request *request, struct http_reply *reply)
{
    struct doc_parser *parser;
    struct doc_ref body;
    if (!read_name(request, reply) || !write_no_patch(request, reply) ||
        !write_ready(request, reply))
        return;
    parser = doc_parser_new();
    if (write_body(request, reply, parser, BODY_DEPTH, false, &body))
        put_group(request, reply, body);
    doc_parser_free(parser);
}

void api_group_delete(const struct http_request *request, struct http_reply *reply)
{
    struct bus_error error = {""};
    if (!read_name(request, reply) || !write_ready(request, reply))
        return;
    enum groups_status status = write_change(request, NULL, &error);
    if (!answer_failure(request, reply, status, &error))
        return;
    api_position(request->app, reply);
    reply->status = 204;
}
