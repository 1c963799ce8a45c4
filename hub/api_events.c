#include "hub/api_events.h"

#include "hub/api_query.h"
#include "hub/app.h"
#include "hub/archive.h"
#include "hub/cursor.h"
#include "hub/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_AFTER_S = 2 };

static void answer_failure(const struct http_request *request, struct http_reply *reply,
                           enum archive_status status, const struct archive_error *error)
{
    if (status == ARCHIVE_UNAVAILABLE) {
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "The archive does not answer at present. Try again later.");
        http_reply_header(reply, "Retry-After", "%d", RETRY_AFTER_S);
        log_warn("events.unavailable", "request_id", request->request_id, "error", error->text);
        return;
    }
    http_problem(request, reply, PROBLEM_INTERNAL, "The archive could not be read.");
    log_error("events.failed", "request_id", request->request_id, "error", error->text);
}

/* ---- parameters ---- */

static bool read_vid(const struct http_request *request, struct http_reply *reply,
                     struct archive_query *query)
{
    if (query->vid) /* of the path */
        return true;
    query->vid = http_query(request, "vid");
    if (!query->vid || vid_valid(query->vid, strlen(query->vid)))
        return true;
    http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                 "vid is 1 to %d of the characters A-Z a-z 0-9 _ -.", TOKEN_MAX_BYTES);
    return false;
}

static bool read_type(const struct http_request *request, struct http_reply *reply,
                      struct archive_query *query)
{
    query->type = http_query(request, "type");
    if (!query->type)
        return true;
    size_t size = strlen(query->type);
    if (size > 0 && size <= TYPE_MAX_BYTES)
        return true;
    http_problem(request, reply, PROBLEM_BAD_PARAMETER, "type is 1 to %d characters.",
                 TYPE_MAX_BYTES);
    return false;
}

static bool read_kind(const struct http_request *request, struct http_reply *reply,
                      struct archive_query *query)
{
    static const char known[] =
#define X(id, name) " " name
        RECORD_KIND_TABLE(X)
#undef X
        ;
    const char *kind = http_query(request, "kind");
    if (!kind)
        return true;
    query->by_kind = record_kind_parse(kind, strlen(kind), &query->kind);
    if (!query->by_kind)
        http_problem(request, reply, PROBLEM_BAD_PARAMETER, "kind is one of:%s.", known);
    return query->by_kind;
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
                       struct archive_query *query)
{
    const char *order = http_query(request, "order_by");
    query->ascending = order && (strcmp(order, "seq") == 0 || strcmp(order, "seq asc") == 0);
    if (!order || query->ascending || strcmp(order, "seq desc") == 0)
        return true;
    http_problem(request, reply, PROBLEM_BAD_PARAMETER, "order_by is `seq` or `seq desc`.");
    return false;
}

/* ---- paging ---- */

/* All that a page token is bound to. */
static void scope_write(const struct http_request *request, const struct archive_query *query,
                        struct buf *scope)
{
    const char *type = query->type ? query->type : "";
    buf_addf(scope, "events/%s/%s/%s/%lld/%lld/%zu/%s/%s", query->ascending ? "asc" : "desc",
             query->vid ? query->vid : "", query->by_kind ? record_kind_name(query->kind) : "",
             (long long)query->start_ns, (long long)query->end_ns, strlen(type), type,
             request->principal);
}

static bool read_token(const struct http_request *request, struct http_reply *reply,
                       const char *scope, struct archive_query *query)
{
    const char *token = http_query(request, "page_token");
    char key[CURSOR_KEY_MAX_BYTES + 1], *end = key;
    size_t key_bytes;
    if (!token)
        return true;
    if (cursor_read(token, scope, key, &key_bytes) && key_bytes > 0)
        query->after_seq = strtoll(key, &end, 10);
    query->after_given = end != key && *end == '\0';
    if (!query->after_given)
        http_problem(request, reply, PROBLEM_BAD_PAGE_TOKEN,
                     "This page_token is for another filter, order or principal, or is none. "
                     "Begin again without.");
    return query->after_given;
}

static void write_token(const struct http_request *request, struct http_reply *reply,
                        const char *scope, int64_t last_seq)
{
    char key[32];
    struct buf token = BUF_INIT;
    int key_bytes = snprintf(key, sizeof key, "%lld", (long long)last_seq);
    cursor_write(&token, scope, key, (size_t)key_bytes);
    buf_json_name(&reply->body, "next_page_token");
    buf_json_cstr(&reply->body, buf_cstr(&token));
    query_link_next(request, reply, buf_cstr(&token));
    buf_done(&token);
}

/* ---- handlers ---- */

/* `vid` NULL: of all vehicles, unless the request says otherwise. */
static void answer_list(const struct http_request *request, struct http_reply *reply,
                        const char *vid)
{
    const struct app *app = request->app;
    struct archive_query query = {.viewer = request->viewer, .vid = vid};
    struct archive_page page;
    struct archive_error error = {""};
    struct buf scope = BUF_INIT;

    if (!read_vid(request, reply, &query) || !read_kind(request, reply, &query) ||
        !read_type(request, reply, &query) ||
        !read_time(request, reply, "start_time", &query.start_ns) ||
        !read_time(request, reply, "end_time", &query.end_ns) ||
        !read_order(request, reply, &query) || !query_page_size(request, reply, &query.limit))
        return;
    scope_write(request, &query, &scope);
    if (!read_token(request, reply, buf_cstr(&scope), &query))
        goto out;

    buf_adds(&reply->body, "{\"events\":[");
    enum archive_status status = archive_list(app->archive, &query, &reply->body, &page, &error);
    if (status != ARCHIVE_OK) {
        answer_failure(request, reply, status, &error);
        goto out;
    }
    buf_addc(&reply->body, ']');
    if (page.more)
        write_token(request, reply, buf_cstr(&scope), page.last_seq);
    buf_addc(&reply->body, '}');
out:
    buf_done(&scope);
}

void api_events(const struct http_request *request, struct http_reply *reply)
{
    answer_list(request, reply, NULL);
}

/* Whether there is a vehicle of that name, as far as the viewer may know: among the twins, or in
 * the record, which remembers the retired too. */
static bool knows_vehicle(const struct http_request *request, const char *vid,
                          enum archive_status *status, struct archive_error *error)
{
    const struct app *app = request->app;
    struct archive_query query = {.viewer = request->viewer,
                                  .vid = vid,
                                  .start_ns = TIMESTAMP_NONE,
                                  .end_ns = TIMESTAMP_NONE,
                                  .limit = 1};
    struct archive_page page = {0};
    struct buf found = BUF_INIT;
    *status = ARCHIVE_OK;
    if (!viewer_sees_vehicle(request->viewer, vid))
        return false;
    size_t place = store_enter(app->store);
    bool known = twin_visible(store_find(app->store, vid));
    store_leave(app->store, place);
    if (known)
        return true;
    *status = archive_list(app->archive, &query, &found, &page, error);
    buf_done(&found);
    return page.count > 0;
}

void api_timeline(const struct http_request *request, struct http_reply *reply)
{
    const char *vid = request->path_param[0];
    struct archive_error error = {""};
    enum archive_status status = ARCHIVE_OK;
    bool valid = vid_valid(vid, strlen(vid));
    if (valid && knows_vehicle(request, vid, &status, &error))
        answer_list(request, reply, vid);
    else if (status != ARCHIVE_OK)
        answer_failure(request, reply, status, &error);
    else
        http_problem(request, reply, PROBLEM_UNKNOWN_VEHICLE,
                     "No vehicle %s is known here, and none is on record.", vid);
}

void api_event(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    const char *text = request->path_param[0];
    uint8_t id[RECORD_ID_BYTES];
    struct archive_error error = {""};
    enum archive_status status = ARCHIVE_NOT_FOUND;

    if (record_id_parse(text, strlen(text), id))
        status = archive_get(app->archive, request->viewer, id, &reply->body, &error);
    if (status == ARCHIVE_NOT_FOUND)
        http_problem(request, reply, PROBLEM_NOT_FOUND, "There is no record of this id.");
    else if (status != ARCHIVE_OK)
        answer_failure(request, reply, status, &error);
    else /* the hash covers all that is served */
        snprintf(reply->etag, sizeof reply->etag, "\"%s\"", text);
}
