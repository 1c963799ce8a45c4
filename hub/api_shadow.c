#include "hub/api_shadow.h"

#include "hub/api_vehicles.h"
#include "hub/api_write.h"
#include "hub/query_sight.h"
#include "hub/shadow_history.h"
#include "hub/shadow_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(const struct http_request *request, struct http_reply *reply,
                   enum part_kind kind)
{
    http_problem(request, reply, PROBLEM_FORBIDDEN, "Your access does not cover %s of %s.",
                 part_name(kind), request->path_param[0]);
    return false;
}

/* What a viewer may not see is not there. To replace a part takes sight of all of it, or what is
 * denied would be wiped out, and an unchanged ETag would tell that it had been guessed. */
static bool may_write(const struct http_request *request, struct http_reply *reply,
                      enum part_kind kind, bool replace)
{
    const struct app *app = request->app;
    const char *vid = request->path_param[0];
    size_t place = store_enter(app->store);
    bool there =
        twin_visible(store_find(app->store, vid)) && viewer_sees_vehicle(request->viewer, vid);
    store_leave(app->store, place);
    if (!there) {
        http_problem(request, reply, PROBLEM_UNKNOWN_VEHICLE,
                     "No vehicle %s is known here. PUT /v1/vehicles/{vid} registers one.", vid);
        return false;
    }
    bool may = replace ? query_sees_whole(request->viewer, vid, part_name(kind))
                       : query_sees_some(request->viewer, vid, part_name(kind));
    return may || refuse(request, reply, kind);
}

/* Each member that a patch names, to set it or to remove it, has to be seen. */
static bool may_patch(const struct http_request *request, struct http_reply *reply,
                      enum part_kind kind, struct doc_ref patch)
{
    for (struct doc_ref m = doc_first(patch); doc_exists(m); m = doc_next(patch, m)) {
        size_t size;
        const char *name = doc_name(m, &size);
        if (!viewer_sees_part(request->viewer, request->path_param[0], part_name(kind), name, size))
            return refuse(request, reply, kind);
    }
    return true;
}

bool api_shadow_answer_failure(const struct http_request *request, struct http_reply *reply,
                               const char *vid, const char *part, int status,
                               const struct shadow_result *result)
{
    switch ((enum shadow_status)status) {
    case SHADOW_WRITTEN:
    case SHADOW_UNCHANGED:
        return true;
    case SHADOW_UNKNOWN_VEHICLE:
        http_problem(request, reply, PROBLEM_UNKNOWN_VEHICLE, "No vehicle %s is known here.", vid);
        return false;
    case SHADOW_PRECONDITION:
        http_problem(request, reply, PROBLEM_PRECONDITION_FAILED,
                     "%s of %s is at revision %llu, which If-Match does not name.", part, vid,
                     (unsigned long long)result->revision);
        return false;
    case SHADOW_TOO_LARGE:
        http_problem(request, reply, PROBLEM_BODY_TOO_LARGE,
                     "%s of %s would have more than %d bytes; nothing was written.", part, vid,
                     PART_MAX_BYTES);
        return false;
    case SHADOW_UNAVAILABLE:
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "%s", result->text);
        return false;
    case SHADOW_BUSY:
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "Others write %s of %s all the time; nothing was written. Try again.", part,
                     vid);
        return false;
    case SHADOW_FAILED:
        break;
    }
    http_problem(request, reply, PROBLEM_INTERNAL, "It could not be written: %s", result->text);
    return false;
}

/* The whole part as it was written, less what the caller may not see. */
static void answer(const struct http_request *request, struct http_reply *reply,
                   enum part_kind kind, const struct shadow_result *result)
{
    struct part *part = part_new(result->revision, 0, request->principal, doc_root(result->value));
    struct twin *twin = twin_new(request->path_param[0]);
    if (!part || !twin) {
        http_problem(request, reply, PROBLEM_INTERNAL,
                     "It is written, and there is no memory to show it.");
    } else {
        twin->parts[kind] = part;
        twin_write_part(&reply->body, twin, kind, request->viewer);
        api_position(request->app, reply);
        snprintf(reply->etag, sizeof reply->etag, "\"%llu\"", (unsigned long long)result->revision);
    }
    free(part);
    free(twin);
}

static void write_part(const struct http_request *request, struct http_reply *reply,
                       enum part_kind kind, bool replace)
{
    const struct app *app = request->app;
    struct doc_parser *parser = NULL;
    struct shadow_result result = {0};
    struct shadow_change change = {.vid = request->path_param[0],
                                   .kind = kind,
                                   .replace = replace,
                                   .if_match = http_header(request, "If-Match"),
                                   .actor = request->principal,
                                   .request_id = request->request_id};
    if ((replace && !write_no_patch(request, reply)) || !write_ready(request, reply) ||
        !may_write(request, reply, kind, replace))
        return;
    parser = doc_parser_new();
    if (request->body_bytes > PART_MAX_BYTES)
        http_problem(request, reply, PROBLEM_BODY_TOO_LARGE, "%s has at most %d bytes.",
                     part_name(kind), PART_MAX_BYTES);
    else if (write_body(request, reply, parser, SHADOW_DEPTH, false, &change.value) &&
             (replace || may_patch(request, reply, kind, change.value))) {
        enum shadow_status status = shadow_write(app->shadow, &change, &result);
        if (api_shadow_answer_failure(request, reply, change.vid, part_name(kind), (int)status,
                                      &result))
            answer(request, reply, kind, &result);
    }
    free(result.value);
    doc_parser_free(parser);
}

void api_desired_patch(const struct http_request *request, struct http_reply *reply)
{
    write_part(request, reply, PART_DESIRED, false);
}

void api_desired_put(const struct http_request *request, struct http_reply *reply)
{
    write_part(request, reply, PART_DESIRED, true);
}

void api_meta_patch(const struct http_request *request, struct http_reply *reply)
{
    write_part(request, reply, PART_META, false);
}

void api_meta_put(const struct http_request *request, struct http_reply *reply)
{
    write_part(request, reply, PART_META, true);
}

void api_config_patch(const struct http_request *request, struct http_reply *reply)
{
    write_part(request, reply, PART_CONFIG, false);
}

void api_config_put(const struct http_request *request, struct http_reply *reply)
{
    write_part(request, reply, PART_CONFIG, true);
}
