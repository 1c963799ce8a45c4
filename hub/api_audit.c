#include "hub/api_audit.h"

#include "hub/api_events.h"
#include "hub/api_query.h"
#include "hub/app.h"
#include "hub/archive_audit.h"
#include "hub/audit_runner.h"
#include "hub/cursor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- checkpoints ---- */

static bool read_token(const struct http_request *request, struct http_reply *reply,
                       const char *scope, int64_t *before)
{
    const char *token = http_query(request, "page_token");
    char key[CURSOR_KEY_MAX_BYTES + 1], *end = key;
    size_t key_bytes;
    *before = INT64_MAX;
    if (!token)
        return true;
    if (cursor_read(token, scope, key, &key_bytes) && key_bytes > 0)
        *before = strtoll(key, &end, 10);
    if (end != key && *end == '\0')
        return true;
    http_problem(request, reply, PROBLEM_BAD_PAGE_TOKEN,
                 "This page_token is for another list or principal, or is none. Begin again "
                 "without.");
    return false;
}

static void write_token(const struct http_request *request, struct http_reply *reply,
                        const char *scope, int64_t last)
{
    char key[32];
    struct buf token = BUF_INIT;
    int key_bytes = snprintf(key, sizeof key, "%lld", (long long)last);
    cursor_write(&token, scope, key, (size_t)key_bytes);
    buf_json_name(&reply->body, "next_page_token");
    buf_json_cstr(&reply->body, buf_cstr(&token));
    query_link_next(request, reply, buf_cstr(&token));
    buf_done(&token);
}

void api_audit_checkpoints(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    struct archive_error error = {""};
    struct buf scope = BUF_INIT;
    size_t page_size;
    int64_t before, last = 0;
    bool more = false;
    buf_addf(&scope, "checkpoints/%s", request->principal);
    if (!query_page_size(request, reply, &page_size) ||
        !read_token(request, reply, buf_cstr(&scope), &before))
        goto out;
    buf_adds(&reply->body, "{\"checkpoints\":[");
    enum archive_status status =
        archive_checkpoints(app->archive, before, page_size, &reply->body, &more, &last, &error);
    if (status != ARCHIVE_OK) {
        api_events_failure(request, reply, status, &error);
        goto out;
    }
    buf_addc(&reply->body, ']');
    if (more)
        write_token(request, reply, buf_cstr(&scope), last);
    buf_addc(&reply->body, '}');
out:
    buf_done(&scope);
}

/* ---- consistency ---- */

/* A number of records, at least 1. */
static bool read_size(const struct http_request *request, struct http_reply *reply,
                      const char *name, int64_t *size)
{
    const char *text = http_query(request, name);
    char *end = NULL;
    if (!text)
        return true;
    errno = 0;
    *size = *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : 0;
    if (end && *end == '\0' && errno == 0 && *size >= 1)
        return true;
    http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                 "%s is a number of records, a whole number from 1.", name);
    return false;
}

void api_audit_consistency(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    struct archive_error error = {""};
    int64_t from = 0, to = 0, size = 0;
    if (!read_size(request, reply, "from", &from) || !read_size(request, reply, "to", &to))
        return;
    if (from == 0 || (to != 0 && from > to)) {
        http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                     "from is needed, the records of the earlier tree; to, those of the later, is "
                     "not less (without it: all there are).");
        return;
    }
    enum archive_status status =
        archive_consistency(app->archive, from, to, &size, &reply->body, &error);
    if (status == ARCHIVE_NOT_FOUND)
        http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                     "The record has %lld records so far, fewer than were asked for.",
                     (long long)size);
    else if (status != ARCHIVE_OK)
        api_events_failure(request, reply, status, &error);
}

/* ---- verify ---- */

void api_audit_verify(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    struct archive_error error = {""};
    int64_t first, last;
    /* A database that is not there is told as such, before the answer begins. */
    enum archive_status status = archive_bounds(app->archive, &first, &last, &error);
    if (status != ARCHIVE_OK) {
        api_events_failure(request, reply, status, &error);
        return;
    }
    reply->stream = audit_runner_stream(app->audit);
    if (!reply->stream)
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "%d verifications are under way or waiting. Try again later.",
                     AUDIT_RUNNER_MAX);
}
