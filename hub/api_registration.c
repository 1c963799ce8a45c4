#include "hub/api_registration.h"

#include "hub/api_query.h"
#include "hub/api_shadow.h"
#include "hub/api_vehicles.h"
#include "hub/api_write.h"
#include "hub/if_match.h"
#include "hub/query_sight.h"
#include "hub/registry.h"
#include "hub/shadow_history.h"
#include "hub/shadow_write.h"

#include <stdlib.h>
#include <string.h>

enum { BODY_DEPTH = SHADOW_DEPTH + 1 }; /* the part, in the member `meta` */

static bool answer_failure(const struct http_request *request, struct http_reply *reply,
                           enum registry_status status, const struct bus_error *error)
{
    switch (status) {
    case REGISTRY_OK:
    case REGISTRY_UNCHANGED:
        return true;
    case REGISTRY_UNAVAILABLE:
    case REGISTRY_BUSY:
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "Not done, as far as is known: %s.",
                     error->text);
        return false;
    case REGISTRY_FAILED:
        break;
    }
    http_problem(request, reply, PROBLEM_INTERNAL, "It could not be written: %s", error->text);
    return false;
}

/* What is there now. */
struct seen {
    bool visible, online;
    bool matches; /* If-Match allows a write over it */
};

static struct seen look(const struct http_request *request)
{
    const struct app *app = request->app;
    const char *if_match = http_header(request, "If-Match");
    struct twin_view view = {request->viewer, app->config->region, false};
    struct seen seen = {.matches = true};
    size_t place = store_enter(app->store);
    const struct twin *twin = store_find(app->store, request->path_param[0]);
    seen.visible = twin_visible(twin) && viewer_sees_vehicle(request->viewer, twin->vid);
    seen.online = seen.visible && twin->presence.status == PRESENCE_ONLINE;
    if (if_match && seen.visible) {
        struct http_reply shown = {0};
        twin_write(&shown.body, twin, &view);
        api_tag_by_content(&shown);
        seen.matches = if_match_allows(if_match, shown.etag);
        buf_done(&shown.body);
    } else if (if_match) {
        seen.matches = if_match_allows(if_match, "\"0\"") && !strchr(if_match, '*');
    }
    store_leave(app->store, place);
    return seen;
}

static bool matches(const struct http_request *request, struct http_reply *reply,
                    const struct seen *seen)
{
    if (!seen->matches)
        http_problem(request, reply, PROBLEM_PRECONDITION_FAILED, "%s is not as If-Match says.",
                     request->path_param[0]);
    return seen->matches;
}

static enum registry_status change(const struct http_request *request, enum registry_change what,
                                   struct bus_error *error)
{
    const struct app *app = request->app;
    struct registry_request registry_request = {.change = what,
                                                .vid = request->path_param[0],
                                                .actor = request->principal,
                                                .request_id = request->request_id,
                                                .remote = request->remote};
    return registry_write(atomic_load(&app->registry), &registry_request, error);
}

/* ---- registering ---- */

/* Writes the member `meta`, where there is one. False with the problem in the reply. */
static bool write_meta(const struct http_request *request, struct http_reply *reply,
                       struct doc_ref meta)
{
    const struct app *app = request->app;
    struct shadow_result result = {0};
    struct shadow_change meta_change = {.vid = request->path_param[0],
                                        .kind = PART_META,
                                        .replace = true,
                                        .value = meta,
                                        .actor = request->principal,
                                        .request_id = request->request_id};
    if (!doc_exists(meta))
        return true;
    enum shadow_status status = shadow_write(app->shadow, &meta_change, &result);
    bool written =
        api_shadow_answer_failure(request, reply, meta_change.vid, "meta", (int)status, &result);
    free(result.value);
    return written;
}

static void answer_twin(const struct http_request *request, struct http_reply *reply, bool created)
{
    const struct app *app = request->app;
    struct twin_view view = {request->viewer, app->config->region, false};
    size_t place = store_enter(app->store);
    const struct twin *twin = store_find(app->store, request->path_param[0]);
    api_position(app, reply);
    if (twin)
        twin_write(&reply->body, twin, &view);
    api_tag_by_content(reply);
    store_leave(app->store, place);
    if (!created)
        return;
    reply->status = 201;
    http_reply_header(reply, "Location", "/v1/vehicles/%s", request->path_param[0]);
}

static void register_vehicle(const struct http_request *request, struct http_reply *reply,
                             struct doc_ref body)
{
    struct doc_ref meta = doc_getz(body, "meta");
    struct seen seen = look(request);
    struct bus_error error = {""};
    if (!write_members(request, reply, body, "meta") || !matches(request, reply, &seen))
        return;
    if (doc_exists(meta) && !doc_is(meta, DOC_OBJECT)) {
        http_problem(request, reply, PROBLEM_BAD_REQUEST, "meta must be a JSON object.");
        return;
    }
    if (doc_exists(meta) &&
        !query_sees_whole(request->viewer, request->path_param[0], part_name(PART_META))) {
        http_problem(request, reply, PROBLEM_FORBIDDEN, "Your access does not cover meta of %s.",
                     request->path_param[0]);
        return;
    }
    enum registry_status status = change(request, REGISTRY_REGISTERED, &error);
    if (answer_failure(request, reply, status, &error) && write_meta(request, reply, meta))
        answer_twin(request, reply, !seen.visible);
}

void api_vehicle_register(const struct http_request *request, struct http_reply *reply)
{
    const char *vid = request->path_param[0];
    struct doc_parser *parser = NULL;
    struct doc_ref body;
    if (!vid_valid(vid, strlen(vid))) {
        http_problem(request, reply, PROBLEM_BAD_REQUEST,
                     "A vehicle id is 1 to %d of the characters A-Z a-z 0-9 _ -, and not `stream`.",
                     TOKEN_MAX_BYTES);
        return;
    }
    if (!viewer_sees_vehicle(request->viewer, vid)) {
        http_problem(request, reply, PROBLEM_FORBIDDEN, "Your access does not cover %s.", vid);
        return;
    }
    if (!write_no_patch(request, reply) || !write_ready(request, reply))
        return;
    parser = doc_parser_new();
    if (write_body(request, reply, parser, BODY_DEPTH, true, &body))
        register_vehicle(request, reply, body);
    doc_parser_free(parser);
}

/* ---- retiring ---- */

void api_vehicle_retire(const struct http_request *request, struct http_reply *reply)
{
    const char *vid = request->path_param[0];
    struct bus_error error = {""};
    bool force;
    if (!query_flag(request, reply, "force", &force) || !write_ready(request, reply))
        return;
    struct seen seen = look(request);
    if (!seen.visible) {
        http_problem(request, reply, PROBLEM_UNKNOWN_VEHICLE, "No vehicle %s is known here.", vid);
        return;
    }
    if (!matches(request, reply, &seen))
        return;
    if (seen.online && !force) {
        http_problem(request, reply, PROBLEM_CONFLICT,
                     "%s is online. With force=true it is retired all the same.", vid);
        return;
    }
    enum registry_status status = change(request, REGISTRY_RETIRED, &error);
    if (status == REGISTRY_UNCHANGED) { /* somebody else was first */
        http_problem(request, reply, PROBLEM_UNKNOWN_VEHICLE, "No vehicle %s is known here.", vid);
        return;
    }
    if (!answer_failure(request, reply, status, &error))
        return;
    api_position(request->app, reply);
    reply->status = 204;
}
