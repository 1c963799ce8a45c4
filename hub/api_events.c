#include "hub/api_events.h"

#include "hub/access_record.h"
#include "hub/api_query.h"
#include "hub/api_vehicles.h"
#include "hub/app.h"
#include "hub/archive.h"
#include "hub/archive_audit.h"
#include "hub/clock.h"
#include "hub/cursor.h"
#include "hub/events_ask.h"
#include "hub/events_export.h"
#include "hub/log.h"
#include "hub/record_formats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_AFTER_S = 2 };

void api_events_failure(const struct http_request *request, struct http_reply *reply,
                        enum archive_status status, const struct archive_error *error)
{
    switch (status) {
    case ARCHIVE_TOO_SLOW:
        http_problem(request, reply, PROBLEM_TOO_BROAD,
                     "The page was not full after %d s of looking: too few of the records match. "
                     "Narrow the question (start_time, end_time, vid, kind, type), or take the "
                     "export, format=ndjson or csv, which may take as long as it needs.",
                     API_EVENTS_SCAN_MS / 1000);
        break;
    case ARCHIVE_GIVEN_UP: /* nobody hears this */
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "The client has left.");
        break;
    case ARCHIVE_CHANGED:
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "A group that the filter names was defined anew meanwhile; ask again.");
        break;
    case ARCHIVE_UNAVAILABLE:
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "The archive does not answer at present. Try again later.");
        http_reply_header(reply, "Retry-After", "%d", RETRY_AFTER_S);
        log_warn("events.unavailable", "request_id", request->request_id, "error", error->text);
        break;
    default:
        http_problem(request, reply, PROBLEM_INTERNAL, "The archive could not be read.");
        log_error("events.failed", "request_id", request->request_id, "error", error->text);
    }
}

/* ---- a page ---- */

struct page {
    const struct http_request *request;
    struct http_reply *reply;
    struct events_asked *asked;
    enum format format;
    size_t size, count;
    int64_t last_seq; /* of the last one written */
    bool more;        /* there are others behind it */
    bool too_large;
};

static bool take(void *closure, const struct record *record)
{
    struct page *page = closure;
    struct buf *body = &page->reply->body;
    if (page->count == page->size) {
        page->more = true;
        return false;
    }
    record_format_item(body, page->format, record, page->count == 0);
    page->count++;
    page->last_seq = record->seq;
    page->too_large = body->size_bytes > API_EVENTS_PAGE_MAX_BYTES;
    return !page->too_large && !body->failed;
}

static bool is_gone(void *closure)
{
    const struct page *page = closure;
    return http_gone(page->request);
}

static bool read_token(const struct http_request *request, struct http_reply *reply,
                       const char *scope, struct archive_scan *scan)
{
    const char *token = http_query(request, "page_token");
    char key[CURSOR_KEY_MAX_BYTES + 1], *end = key;
    size_t key_bytes;
    if (!token)
        return true;
    if (cursor_read(token, scope, key, &key_bytes) && key_bytes > 0)
        archive_scan_after(scan, strtoll(key, &end, 10));
    if (end != key && *end == '\0')
        return true;
    http_problem(request, reply, PROBLEM_BAD_PAGE_TOKEN,
                 "This page_token is for another filter, order or principal, or is none. "
                 "Begin again without.");
    return false;
}

/* Until the page is full, or there is nothing more. */
static enum archive_status fill(struct page *page, struct archive_scan *scan,
                                struct archive_error *error)
{
    const struct app *app = page->request->app;
    int64_t until_ms = clock_mono_ms() + API_EVENTS_SCAN_MS;
    struct archive_turn turn = {.want = page->size + 1, /* one more tells whether it is the last */
                                .take = take,
                                .given_up = is_gone,
                                .closure = page};
    while (!archive_scan_ended(scan) && !page->more && !page->too_large) {
        int64_t left_ms = until_ms - clock_mono_ms();
        if (left_ms <= 0)
            return ARCHIVE_TOO_SLOW;
        turn.timeout_ms = (int)left_ms;
        enum archive_status status = archive_scan_turn(scan, app->archive, &turn, error);
        if (status == ARCHIVE_UNAVAILABLE && clock_mono_ms() >= until_ms)
            return ARCHIVE_TOO_SLOW;
        if (status != ARCHIVE_OK)
            return status;
        if (page->reply->body.failed)
            return ARCHIVE_OK; /* the server says so */
    }
    return ARCHIVE_OK;
}

static void end_page(struct page *page, const char *scope)
{
    char key[32];
    struct buf token = BUF_INIT;
    if (page->more) {
        int key_bytes = snprintf(key, sizeof key, "%lld", (long long)page->last_seq);
        cursor_write(&token, scope, key, (size_t)key_bytes);
        bool linked = query_link_next(page->request, page->reply, buf_cstr(&token));
        if (!linked && page->format != FORMAT_JSON) /* nothing else would tell of it */
            http_problem(page->request, page->reply, PROBLEM_BAD_PARAMETER,
                         "The filter is too long for the Link header that leads through pages of "
                         "this format: leave page_size out, and all is sent.");
    }
    if (page->reply->status == 200)
        record_format_end(&page->reply->body, page->format, buf_cstr(&token));
    buf_done(&token);
}

static void answer_page(struct page *page)
{
    const struct http_request *request = page->request;
    struct http_reply *reply = page->reply;
    struct archive_error error = {""};
    struct buf scope = BUF_INIT;
    struct archive_scan *scan = archive_scan_new(&page->asked->question, page->asked->ascending);
    events_asked_scope(page->asked, request, &scope);
    if (!scan || scope.failed) {
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "There is no memory to answer this.");
        goto out;
    }
    if (!read_token(request, reply, buf_cstr(&scope), scan) ||
        !access_record_reading(request, reply, ACCESS_READ))
        goto out;
    record_format_begin(&reply->body, page->format);
    enum archive_status status = fill(page, scan, &error);
    if (page->too_large)
        http_problem(request, reply, PROBLEM_TOO_BROAD,
                     "The page would have more than %d MiB: ask for a smaller page_size, or take "
                     "the export, format=ndjson.",
                     API_EVENTS_PAGE_MAX_BYTES >> 20);
    else if (status != ARCHIVE_OK)
        api_events_failure(request, reply, status, &error);
    else
        end_page(page, buf_cstr(&scope));
out:
    archive_scan_free(scan);
    buf_done(&scope);
}

/* ---- all of them ---- */

static void answer_all(struct page *page)
{
    const struct http_request *request = page->request;
    const struct app *app = request->app;
    if (!access_record_reading(request, page->reply, ACCESS_EXPORTED))
        return;
    switch (exports_open(app->exports, request, page->asked, page->format, &page->reply->stream)) {
    case EXPORT_OK:
        break;
    case EXPORT_FULL:
        http_problem(request, page->reply, PROBLEM_UNAVAILABLE,
                     "%d exports are under way already; try again when one has ended.",
                     EXPORTS_MAX);
        http_reply_header(page->reply, "Retry-After", "%d", EXPORT_RETRY_AFTER_S);
        break;
    case EXPORT_STOPPING:
        http_problem(request, page->reply, PROBLEM_UNAVAILABLE, "The hub is stopping.");
        break;
    case EXPORT_NO_MEMORY:
        http_problem(request, page->reply, PROBLEM_UNAVAILABLE,
                     "There is no memory to answer this.");
        break;
    }
}

/* `vid` NULL: of all vehicles, unless the request says otherwise. */
static void answer_list(const struct http_request *request, struct http_reply *reply,
                        const char *vid)
{
    struct events_asked asked;
    struct page page = {.request = request, .reply = reply, .asked = &asked};
    if (!query_read_format(request, reply, RECORD_FORMATS, &page.format) ||
        !query_page_size(request, reply, &page.size) || !events_ask(request, reply, vid, &asked))
        return;
    reply->content_type = format_content_type(page.format);
    http_reply_header(reply, "Vary", "Accept");
    bool paged = http_query(request, "page_size") || http_query(request, "page_token");
    if (page.format == FORMAT_JSON || paged)
        answer_page(&page);
    else
        answer_all(&page);
    events_asked_done(&asked);
}

void api_events(const struct http_request *request, struct http_reply *reply)
{
    answer_list(request, reply, NULL);
}

/* ---- a vehicle's ---- */

static bool note_found(void *closure, const struct record *record)
{
    bool *found = closure;
    (void)record;
    *found = true;
    return false;
}

/* Whether a vehicle has any record that the viewer sees. */
static enum archive_status find_any(const struct http_request *request, const char *vid,
                                    bool *found, struct archive_error *error)
{
    const struct app *app = request->app;
    struct record_question question;
    struct archive_turn turn = {
        .want = 1, .timeout_ms = API_EVENTS_SCAN_MS, .take = note_found, .closure = found};
    enum archive_status status = ARCHIVE_OK;
    record_question_init(&question, request->viewer);
    question.vid = vid;
    struct archive_scan *scan = archive_scan_new(&question, false);
    if (!scan)
        return ARCHIVE_FAILED;
    while (status == ARCHIVE_OK && !*found && !archive_scan_ended(scan))
        status = archive_scan_turn(scan, app->archive, &turn, error);
    archive_scan_free(scan);
    return status;
}

/* Whether there is a vehicle of that name, as far as the viewer may know: among the twins, or in
 * the record, which remembers the retired too. */
static bool knows_vehicle(const struct http_request *request, const char *vid,
                          enum archive_status *status, struct archive_error *error)
{
    const struct app *app = request->app;
    bool found = false;
    if (!vid_valid(vid, strlen(vid)) || !viewer_sees_vehicle(request->viewer, vid))
        return false;
    size_t place = store_enter(app->store);
    bool known = twin_visible(store_find(app->store, vid));
    store_leave(app->store, place);
    if (!known)
        *status = find_any(request, vid, &found, error);
    return known || found;
}

void api_timeline(const struct http_request *request, struct http_reply *reply)
{
    const char *vid = request->path_param[0];
    struct archive_error error = {""};
    enum archive_status status = ARCHIVE_OK;
    if (knows_vehicle(request, vid, &status, &error))
        answer_list(request, reply, vid);
    else if (status != ARCHIVE_OK)
        api_events_failure(request, reply, status, &error);
    else
        http_problem(request, reply, PROBLEM_UNKNOWN_VEHICLE,
                     "No vehicle %s is known here, and none is on record.", vid);
}

/* ---- one ---- */

struct one {
    struct buf *body;
    int64_t seq;
    bool redacted;
};

static void write_one(void *closure, const struct record *record)
{
    struct one *one = closure;
    record_write_public(one->body, record, true);
    one->seq = record->seq;
    one->redacted = record->redacted;
}

/* The record's last member is the proof that it is in the tree. */
static enum archive_status add_proof(struct archive_reader *archive, const struct one *one,
                                     struct archive_error *error)
{
    if (one->body->failed)
        return ARCHIVE_OK;   /* which is found out when it is sent */
    one->body->size_bytes--; /* the brace that ends it */
    buf_json_name(one->body, "proof");
    enum archive_status status = ARCHIVE_OK;
    if (one->redacted) /* it would let values be tried, as the hash would */
        buf_adds(one->body, "null");
    else
        status = archive_proof(archive, one->seq, one->body, error);
    buf_addc(one->body, '}');
    return status;
}

void api_event(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    const char *text = request->path_param[0];
    uint8_t id[RECORD_ID_BYTES];
    struct archive_error error = {""};
    enum archive_status status = ARCHIVE_NOT_FOUND;

    if (record_id_parse(text, strlen(text), id)) {
        if (!access_record_reading(request, reply, ACCESS_READ))
            return;
        struct one one = {.body = &reply->body};
        status = archive_get(app->archive, request->viewer, id, write_one, &one, &error);
        if (status == ARCHIVE_OK)
            status = add_proof(app->archive, &one, &error);
    }
    if (status == ARCHIVE_NOT_FOUND)
        http_problem(request, reply, PROBLEM_NOT_FOUND, "There is no record of this id.");
    else if (status != ARCHIVE_OK)
        api_events_failure(request, reply, status, &error);
    else /* what is shown depends on who asks */
        api_tag_by_content(reply);
}
