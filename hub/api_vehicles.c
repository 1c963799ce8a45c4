#include "hub/api_vehicles.h"

#include "hub/api_query.h"
#include "hub/app.h"
#include "hub/etag.h"

#include <stdio.h>
#include <string.h>

/* ---- what every answer here has in common ---- */

void api_tag_by_content(struct http_reply *reply)
{
    _Static_assert((int)ETAG_TEXT_BYTES <= (int)HTTP_ETAG_BYTES, "a tag fits into a reply");
    etag_of(reply->body.data, reply->body.size_bytes, reply->etag);
}

/* The twin that a path names, and the put that made it; NULL with the problem in the reply. What a
 * viewer may not see is not there. Inside store_enter. */
static const struct twin *find_put(const struct app *app, const struct http_request *request,
                                   struct http_reply *reply, uint64_t *put)
{
    const char *vid = request->path_param[0];
    const struct twin *twin = store_find_put(app->store, vid, put);
    if (twin_visible(twin) && viewer_sees_vehicle(request->viewer, vid))
        return twin;
    http_problem(request, reply, PROBLEM_UNKNOWN_VEHICLE,
                 "No vehicle %s is known here. Vehicles appear with their first message; "
                 "/v1/vehicles lists them.",
                 vid);
    return NULL;
}

static const struct twin *find_twin(const struct app *app, const struct http_request *request,
                                    struct http_reply *reply)
{
    uint64_t put;
    return find_put(app, request, reply, &put);
}

static void refuse_part(const struct http_request *request, struct http_reply *reply,
                        const struct twin *twin, const char *part)
{
    http_problem(request, reply, PROBLEM_FORBIDDEN, "Your access does not cover %s of %s.", part,
                 twin->vid);
}

static bool may_see_some(const struct http_request *request, struct http_reply *reply,
                         const struct twin *twin, const char *part)
{
    if (query_sees_some(request->viewer, twin->vid, part))
        return true;
    refuse_part(request, reply, twin, part);
    return false;
}

static bool may_see(const struct http_request *request, struct http_reply *reply,
                    const struct twin *twin, const char *part, const char *rest)
{
    if (viewer_sees_part(request->viewer, twin->vid, part, rest, rest ? strlen(rest) : 0))
        return true;
    refuse_part(request, reply, twin, part);
    return false;
}

/* ---- one twin and its parts ---- */

enum { TWIN_USUAL_BYTES = 2048 }; /* as JSON */

/* The whole of a twin, for those who see all of it, is the same until the next put. */
static bool kept_whole(const struct http_request *request, struct http_reply *reply, uint64_t put,
                       bool metadata)
{
    return put != 0 && viewer_sees_everything(request->viewer) &&
           http_kept(request, reply, put << 1 | metadata);
}

static void write_whole(const struct http_request *request, struct http_reply *reply,
                        const struct twin *twin, const struct fields *fields, bool metadata)
{
    const struct app *app = request->app;
    struct twin_view view = {request->viewer, app->config->region, metadata};
    buf_reserve(&reply->body, TWIN_USUAL_BYTES);
    if (fields)
        fields_write(&reply->body, fields, twin, &view);
    else
        twin_write(&reply->body, twin, &view);
    api_tag_by_content(reply);
}

void api_vehicle(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    struct fields *fields;
    bool metadata;
    if (!query_flag(request, reply, "metadata", &metadata) ||
        !query_read_fields(request, reply, &fields))
        return;
    uint64_t put;
    size_t place = store_enter(app->store);
    api_position(app, reply);
    const struct twin *twin = find_put(app, request, reply, &put);
    if (twin && (fields || !kept_whole(request, reply, put, metadata)))
        write_whole(request, reply, twin, fields, metadata);
    store_leave(app->store, place);
    fields_free(fields);
}

static void answer_part(const struct http_request *request, struct http_reply *reply,
                        enum part_kind kind)
{
    const struct app *app = request->app;
    size_t place = store_enter(app->store);
    api_position(app, reply);
    const struct twin *twin = find_twin(app, request, reply);
    if (twin && may_see_some(request, reply, twin, part_name(kind))) {
        const struct part *part = twin->parts[kind];
        twin_write_part(&reply->body, twin, kind, request->viewer);
        snprintf(reply->etag, sizeof reply->etag, "\"%llu\"",
                 (unsigned long long)(part ? part->revision : 0));
    }
    store_leave(app->store, place);
}

void api_vehicle_desired(const struct http_request *request, struct http_reply *reply)
{
    answer_part(request, reply, PART_DESIRED);
}

void api_vehicle_reported(const struct http_request *request, struct http_reply *reply)
{
    answer_part(request, reply, PART_REPORTED);
}

void api_vehicle_config(const struct http_request *request, struct http_reply *reply)
{
    answer_part(request, reply, PART_CONFIG);
}

void api_vehicle_meta(const struct http_request *request, struct http_reply *reply)
{
    answer_part(request, reply, PART_META);
}

void api_vehicle_delta(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    size_t place = store_enter(app->store);
    api_position(app, reply);
    const struct twin *twin = find_twin(app, request, reply);
    if (twin && may_see(request, reply, twin, "delta", NULL)) {
        twin_write_delta(&reply->body, twin, request->viewer);
        api_tag_by_content(reply);
    }
    store_leave(app->store, place);
}

void api_vehicle_state(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    const char *type = request->path_param[1];
    size_t place = store_enter(app->store);
    api_position(app, reply);
    const struct twin *twin = find_twin(app, request, reply);
    if (twin && may_see(request, reply, twin, "state", type)) {
        const struct state *state = twin_state(twin, (struct slice){type, strlen(type)});
        if (state) {
            doc_write(&reply->body, doc_root(state->data));
            api_tag_by_content(reply);
        } else {
            http_problem(request, reply, PROBLEM_NOT_FOUND,
                         "%s has not reported a state of type %s.", twin->vid, type);
        }
    }
    store_leave(app->store, place);
}
