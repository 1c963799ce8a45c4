#include "hub/api_vehicles.h"

#include "hub/api_query.h"
#include "hub/app.h"
#include "hub/clock.h"
#include "hub/cursor.h"
#include "hub/position.h"
#include "hub/record_hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what every answer here has in common ---- */

/* The position, taken before the twins are read; and, while the hub hears nothing, how old the
 * twins are, as the age of any stored answer is told (RFC 9111 §5.1). */
static void add_position(const struct app *app, struct http_reply *reply)
{
    struct fleet_position position;
    char token[POSITION_TOKEN_BYTES];
    position_take(app->store, &position);
    position_write(&position, token);
    http_reply_header(reply, "Fleet-Position", "%s", token);
    if (!bus_connected(app->bus)) {
        int64_t heard_ms = atomic_load(&app->heard_ms);
        http_reply_header(reply, "Age", "%lld",
                          (long long)(heard_ms ? (clock_mono_ms() - heard_ms) / 1000 : 0));
    }
}

/* A strong ETag out of the answer itself, so that it is the same on every hub. */
static void tag_by_content(struct http_reply *reply)
{
    enum { TAG_BYTES = 12 };
    uint8_t digest[RECORD_HASH_BYTES];
    char *at = reply->etag;
    record_sha256(reply->body.data, reply->body.size_bytes, digest);
    *at++ = '"';
    for (int i = 0; i < TAG_BYTES; i++)
        at += snprintf(at, 3, "%02x", digest[i]);
    *at++ = '"';
    *at = '\0';
}

/* The twin that a path names; NULL with the problem in the reply. What a viewer may not see is not
 * there. Inside store_enter. */
static const struct twin *find_twin(const struct app *app, const struct http_request *request,
                                    struct http_reply *reply)
{
    const char *vid = request->path_param[0];
    const struct twin *twin = store_find(app->store, vid);
    if (twin_visible(twin) && viewer_sees_vehicle(request->viewer, vid))
        return twin;
    http_problem(request, reply, PROBLEM_UNKNOWN_VEHICLE,
                 "No vehicle %s is known here. Vehicles appear with their first message; "
                 "/v1/vehicles lists them.",
                 vid);
    return NULL;
}

static bool may_see(const struct http_request *request, struct http_reply *reply,
                    const struct twin *twin, const char *part, const char *rest)
{
    if (viewer_sees_part(request->viewer, twin->vid, part, rest, rest ? strlen(rest) : 0))
        return true;
    http_problem(request, reply, PROBLEM_FORBIDDEN, "Your access does not cover %s of %s.", part,
                 twin->vid);
    return false;
}

/* ---- the list ---- */

/* The smallest ids behind the token's, kept in a heap with the largest on top. */
struct page {
    const struct twin **twins;
    size_t count, room;
};

static void sink(struct page *page, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1, largest = at;
        for (size_t i = child; i < child + 2 && i < page->count; i++)
            if (strcmp(page->twins[i]->vid, page->twins[largest]->vid) > 0)
                largest = i;
        if (largest == at)
            return;
        const struct twin *swap = page->twins[at];
        page->twins[at] = page->twins[largest];
        page->twins[largest] = swap;
        at = largest;
    }
}

static void rise(struct page *page, size_t at)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (strcmp(page->twins[at]->vid, page->twins[parent]->vid) <= 0)
            return;
        const struct twin *swap = page->twins[at];
        page->twins[at] = page->twins[parent];
        page->twins[parent] = swap;
        at = parent;
    }
}

static void offer(struct page *page, const struct twin *twin)
{
    if (page->count < page->room) {
        page->twins[page->count] = twin;
        rise(page, page->count++);
    } else if (strcmp(twin->vid, page->twins[0]->vid) < 0) {
        page->twins[0] = twin;
        sink(page, 0);
    }
}

static int by_vid(const void *a, const void *b)
{
    const struct twin *const *x = a, *const *y = b;
    return strcmp((*x)->vid, (*y)->vid);
}

/* All that the viewer may see, counted; the page of those behind `after`. */
static size_t select_page(const struct app *app, const struct viewer *viewer, const char *after,
                          struct page *page)
{
    size_t total = 0;
    uint32_t count = store_count(app->store);
    for (uint32_t i = 0; i < count; i++) {
        const struct twin *twin = store_at(app->store, i);
        if (!twin_visible(twin) || !viewer_sees_vehicle(viewer, twin->vid))
            continue;
        total++;
        if (strcmp(twin->vid, after) > 0)
            offer(page, twin);
    }
    qsort(page->twins, page->count, sizeof *page->twins, by_vid);
    return total;
}

static void write_list(const struct app *app, const struct http_request *request,
                       struct http_reply *reply, const struct page *page, size_t size, size_t total,
                       bool metadata, const char *scope)
{
    struct buf *out = &reply->body;
    struct twin_view view = {request->viewer, app->config->region, metadata};
    size_t shown = page->count < size ? page->count : size;
    buf_adds(out, "{\"vehicles\":[");
    for (size_t i = 0; i < shown; i++) {
        if (i > 0)
            buf_addc(out, ',');
        twin_write(out, page->twins[i], &view);
    }
    buf_addc(out, ']');
    if (page->count > size) {
        struct buf token = BUF_INIT;
        const char *last = page->twins[size - 1]->vid;
        cursor_write(&token, scope, last, strlen(last));
        buf_json_name(out, "next_page_token");
        buf_json_cstr(out, buf_cstr(&token));
        query_link_next(request, reply, buf_cstr(&token));
        buf_done(&token);
    }
    buf_json_name(out, "total_size");
    buf_json_int(out, (int64_t)total);
    buf_addc(out, '}');
}

void api_vehicles(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    const struct twin *twins[PAGE_SIZE_MAX + 1];
    char after[CURSOR_KEY_MAX_BYTES + 1] = "", scope[128];
    const char *token = http_query(request, "page_token");
    size_t size, after_bytes;
    bool metadata;

    if (!query_page_size(request, reply, &size) ||
        !query_flag(request, reply, "metadata", &metadata))
        return;
    snprintf(scope, sizeof scope, "vehicles/%s", request->principal);
    if (token && !cursor_read(token, scope, after, &after_bytes)) {
        http_problem(request, reply, PROBLEM_BAD_PAGE_TOKEN,
                     "This page_token belongs to another list, or is none. Begin again without.");
        return;
    }
    struct page page = {.twins = twins, .room = size + 1};
    size_t place = store_enter(app->store);
    add_position(app, reply);
    size_t total = select_page(app, request->viewer, after, &page);
    write_list(app, request, reply, &page, size, total, metadata, scope);
    store_leave(app->store, place);
}

/* ---- one twin and its parts ---- */

void api_vehicle(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    bool metadata;
    if (!query_flag(request, reply, "metadata", &metadata))
        return;
    size_t place = store_enter(app->store);
    add_position(app, reply);
    const struct twin *twin = find_twin(app, request, reply);
    if (twin) {
        struct twin_view view = {request->viewer, app->config->region, metadata};
        twin_write(&reply->body, twin, &view);
        tag_by_content(reply);
    }
    store_leave(app->store, place);
}

static void answer_part(const struct http_request *request, struct http_reply *reply,
                        enum part_kind kind)
{
    const struct app *app = request->app;
    size_t place = store_enter(app->store);
    add_position(app, reply);
    const struct twin *twin = find_twin(app, request, reply);
    if (twin && may_see(request, reply, twin, part_name(kind), NULL)) {
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
    add_position(app, reply);
    const struct twin *twin = find_twin(app, request, reply);
    if (twin && may_see(request, reply, twin, "delta", NULL)) {
        twin_write_delta(&reply->body, twin, request->viewer);
        tag_by_content(reply);
    }
    store_leave(app->store, place);
}

void api_vehicle_state(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    const char *type = request->path_param[1];
    size_t place = store_enter(app->store);
    add_position(app, reply);
    const struct twin *twin = find_twin(app, request, reply);
    if (twin && may_see(request, reply, twin, "state", type)) {
        const struct state *state = twin_state(twin, (struct slice){type, strlen(type)});
        if (state) {
            doc_write(&reply->body, doc_root(state->data));
            tag_by_content(reply);
        } else {
            http_problem(request, reply, PROBLEM_NOT_FOUND,
                         "%s has not reported a state of type %s.", twin->vid, type);
        }
    }
    store_leave(app->store, place);
}
