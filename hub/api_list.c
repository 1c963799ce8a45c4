/* GET /v1/vehicles: a page of the fleet, or all of it. */
#include "hub/api_query.h"
#include "hub/api_vehicles.h"
#include "hub/app.h"
#include "hub/clock.h"
#include "hub/position.h"
#include "hub/query_page.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_BYTES = 48 * 1024,    /* of a body that is made while it is sent */
    PAGE_WHOLE_BYTES = 4 << 20, /* of a page made at once; the rest of a longer one follows */
    EXPORTS_MAX = 64,           /* of lists being sent in pieces; one more is a 503 */
};

void api_position(const struct app *app, struct http_reply *reply)
{
    http_reply_header_text(reply, "Fleet-Position", position_token(app->store));
    if (!bus_connected(app->bus)) {
        int64_t heard_ms = atomic_load(&app->heard_ms);
        http_reply_header(reply, "Age", "%lld",
                          (long long)(heard_ms ? (clock_mono_ms() - heard_ms) / 1000 : 0));
    }
}

/* A list on its way: what was asked, and the vehicles that are still to be written. They are known
 * by their indices, and looked at anew, each in a short stay in the store: a client that reads
 * slowly keeps nothing alive. */
struct list {
    struct http_stream stream;
    struct store *store;
    struct query query;
    struct format_list format;
    struct fields *fields;
    uint32_t *indices;
    size_t count, at;
    bool begun;   /* an item was written */
    bool no_link; /* there is a next page, and no header that could name it */
    bool open;    /* counted among the exports */
    struct buf tail;
};

static _Atomic int exports;

static void list_free(struct list *list)
{
    if (!list)
        return;
    if (list->open)
        atomic_fetch_sub(&exports, 1);
    query_done(&list->query);
    fields_free(list->fields);
    free(list->indices);
    buf_done(&list->tail);
    free(list);
}

/* ---- in pieces ---- */

static void free_stream(struct http_stream *stream)
{
    list_free((struct list *)stream);
}

static enum http_more next_piece(struct http_stream *stream, struct buf *out)
{
    struct list *list = (struct list *)stream;
    size_t place = store_enter(list->store);
    while (list->at < list->count && out->size_bytes < PIECE_BYTES) {
        const struct twin *twin = store_at(list->store, list->indices[list->at++]);
        if (!query_selects(&list->query, twin))
            continue; /* not any more */
        format_item(out, &list->format, twin, !list->begun);
        list->begun = true;
    }
    store_leave(list->store, place);
    if (!groups_seal_holds(&list->query.seal))
        return HTTP_FAILED;
    if (list->at < list->count)
        return HTTP_MORE;
    if (list->tail.failed)
        return HTTP_FAILED;
    buf_add(out, list->tail.data, list->tail.size_bytes);
    return HTTP_END;
}

/* The rest of the list follows what is in the reply's body. The list is taken over. */
static void send_rest(struct list *list, const struct http_request *request,
                      struct http_reply *reply)
{
    list->open = true;
    list->stream = (struct http_stream){.next = next_piece, .free = free_stream};
    reply->stream = &list->stream;
    if (atomic_fetch_add(&exports, 1) >= EXPORTS_MAX)
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "%d lists are being sent already; try again when one has ended.", EXPORTS_MAX);
}

static void answer_all(struct list *list, const struct http_request *request,
                       struct http_reply *reply)
{
    struct query_denial denial;
    size_t place = store_enter(list->store);
    api_position(request->app, reply);
    enum query_status status =
        query_all(&list->query, list->store, &list->indices, &list->count, &denial);
    store_leave(list->store, place);
    if (status == QUERY_OK) {
        send_rest(list, request, reply);
        return;
    }
    query_refuse(request, reply, status, &denial);
    list_free(list);
}

/* ---- a page ---- */

/* The page's end is known before its vehicles are written. */
static void end_page(struct list *list, const struct query_page *page, const char *scope,
                     const struct http_request *request, struct http_reply *reply)
{
    struct buf token = BUF_INIT;
    if (page->count > page->size) {
        query_page_token(page, scope, &token);
        if (token.failed)
            list->tail.failed = true;
        else if (!query_link_next(request, reply, buf_cstr(&token)))
            list->no_link = true;
    }
    format_end(&list->tail, &list->format, buf_cstr(&token), page->total);
    buf_done(&token);
}

/* The vehicles as they were found; true where all of them are written. */
static bool write_page(struct list *list, const struct query_page *page, struct buf *out)
{
    list->count = page->count < page->size ? page->count : page->size;
    format_begin(out, &list->format);
    for (; list->at < list->count && out->size_bytes < PAGE_WHOLE_BYTES; list->at++) {
        format_item(out, &list->format, page->entries[list->at].twin, !list->begun);
        list->begun = true;
    }
    if (list->at == list->count) {
        buf_add(out, list->tail.data, list->tail.size_bytes);
        out->failed = out->failed || list->tail.failed;
        return true;
    }
    list->indices = malloc(list->count * sizeof *list->indices);
    for (size_t i = 0; list->indices && i < list->count; i++)
        list->indices[i] = page->entries[i].index;
    out->failed = out->failed || !list->indices;
    return out->failed;
}

/* True where the rest of the page is to follow. */
static bool make_page(struct list *list, struct query_page *page, const char *scope,
                      const struct http_request *request, struct http_reply *reply)
{
    const char *token = http_query(request, "page_token");
    struct query_denial denial;
    if (token && !query_page_resume(page, list->store, token, scope)) {
        http_problem(request, reply, PROBLEM_BAD_PAGE_TOKEN,
                     "This page_token belongs to another list, or is none. Begin again without.");
        return false;
    }
    enum query_status status = query_page_run(page, list->store, &denial);
    if (status != QUERY_OK) {
        query_refuse(request, reply, status, &denial);
        return false;
    }
    end_page(list, page, scope, request, reply);
    if (list->no_link && list->format.format == FORMAT_CSV) { /* nothing else would tell of it */
        http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                     "The filter is too long for the Link header that leads through pages of CSV: "
                     "make it a group, or ask for another format.");
        return false;
    }
    return !write_page(list, page, &reply->body);
}

static void answer_page(struct list *list, const struct http_request *request,
                        struct http_reply *reply)
{
    struct query_page page;
    struct buf scope = BUF_INIT;
    size_t size;
    bool more = false;
    if (!query_page_size(request, reply, &size))
        goto out;
    query_scope(&list->query, "vehicles", &scope);
    if (scope.failed || query_page_init(&page, &list->query, size) != QUERY_OK) {
        query_refuse(request, reply, QUERY_NO_MEMORY, NULL);
        goto out;
    }
    size_t place = store_enter(list->store);
    api_position(request->app, reply);
    more = make_page(list, &page, buf_cstr(&scope), request, reply);
    store_leave(list->store, place);
    query_page_done(&page);
out:
    buf_done(&scope);
    if (more)
        send_rest(list, request, reply);
    else
        list_free(list);
}

/* ---- what was asked ---- */

static bool read_list(struct list *list, const struct http_request *request,
                      struct http_reply *reply)
{
    const struct app *app = request->app;
    enum { ALL_FORMATS = (1 << FORMAT_COUNT) - 1 };
    list->store = app->store;
    list->format.view.viewer = request->viewer;
    list->format.view.region = app->config->region;
    if (!query_flag(request, reply, "metadata", &list->format.view.metadata) ||
        !query_read_format(request, reply, ALL_FORMATS, &list->format.format) ||
        !query_read_fields(request, reply, &list->fields))
        return false;
    list->format.fields = list->fields;
    if (list->format.format == FORMAT_CSV && !list->fields) {
        http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                     "CSV needs fields=path,…: they are the columns; /v1/fleet/fields lists what "
                     "there is.");
        return false;
    }
    if (list->format.format == FORMAT_NDJSON && http_query(request, "page_token")) {
        http_problem(request, reply, PROBLEM_BAD_PAGE_TOKEN,
                     "NDJSON has no pages: it holds every vehicle that matches.");
        return false;
    }
    return query_read(request, reply, &list->query);
}

void api_vehicles(const struct http_request *request, struct http_reply *reply)
{
    struct list *list = calloc(1, sizeof *list);
    if (!list) {
        query_refuse(request, reply, QUERY_NO_MEMORY, NULL);
        return;
    }
    if (!read_list(list, request, reply)) {
        list_free(list);
        return;
    }
    reply->content_type = format_content_type(list->format.format);
    http_reply_header(reply, "Vary", "Accept");
    if (list->format.format == FORMAT_NDJSON)
        answer_all(list, request, reply);
    else
        answer_page(list, request, reply);
}
