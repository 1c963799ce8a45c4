#include "hub/api_live.h"

#include "hub/api_query.h"
#include "hub/api_vehicles.h"
#include "hub/app.h"
#include "hub/live.h"
#include "hub/record_hash.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MS_PER_S = 1000, PERIOD_MAX_MS = 3600 * MS_PER_S };

/* `max_hz`, as the time between two events of a vehicle. */
static bool read_period(const struct http_request *request, struct http_reply *reply,
                        int *period_ms)
{
    const char *text = http_query(request, "max_hz");
    char *end;
    *period_ms = 0;
    if (!text)
        return true;
    bool plain = *text && text[strspn(text, "0123456789.")] == '\0';
    double hz = plain ? strtod(text, &end) : 0;
    if (plain && *end == '\0' && hz > 0 && hz <= LIVE_MAX_HZ && MS_PER_S / hz <= PERIOD_MAX_MS) {
        *period_ms = (int)ceil(MS_PER_S / hz);
        return true;
    }
    http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                 "max_hz is how many events a second each vehicle may cause: more than 0 (once an "
                 "hour), at most %d.",
                 LIVE_MAX_HZ);
    return false;
}

/* ---- what the ids are bound to ---- */

static void add_text(struct buf *out, const char *text)
{
    if (text)
        buf_add(out, text, strlen(text) + 1);
    buf_addc(out, text ? '\1' : '\2'); /* nothing is not the empty text */
}

static void add_patterns(struct buf *out, const struct viewer_patterns *patterns)
{
    buf_addc(out, patterns->given ? '\1' : '\2');
    for (size_t i = 0; patterns->given && i < patterns->count; i++)
        add_text(out, patterns->patterns[i]);
    add_text(out, NULL);
}

/* All that decides what the client is shown. False when there is no memory. */
static bool write_digest(const struct http_request *request, uint8_t digest[LIVE_DIGEST_BYTES])
{
    const struct app *app = request->app;
    const struct viewer *viewer = request->viewer;
    uint8_t hash[RECORD_HASH_BYTES];
    struct buf all = BUF_INIT;
    add_text(&all, app->config->env);
    add_text(&all, app->config->region);
    add_text(&all, http_query(request, "filter"));
    add_text(&all, http_query(request, "fields"));
    add_text(&all, request->principal);
    for (size_t i = 0; i < viewer->scope_count; i++) {
        add_patterns(&all, &viewer->scopes[i].vehicles);
        add_patterns(&all, &viewer->scopes[i].allow);
    }
    add_patterns(&all, &viewer->deny);
    bool good = !all.failed;
    if (good) {
        record_sha256(all.data, all.size_bytes, hash);
        memcpy(digest, hash, LIVE_DIGEST_BYTES);
    }
    buf_done(&all);
    return good;
}

/* ---- the route ---- */

/* A filter on something that is denied on any vehicle in view is refused (contract §6). */
static bool may_ask(const struct http_request *request, struct http_reply *reply,
                    const struct query *query)
{
    const struct app *app = request->app;
    struct query_denial denial = {.path = NULL};
    bool denied = false;
    if (viewer_sees_everything(request->viewer))
        return true;
    size_t place = store_enter(app->store);
    uint32_t count = store_count(app->store);
    for (uint32_t i = 0; i < count && !denied; i++) {
        const struct twin *twin = store_at(app->store, i);
        denied = twin_visible(twin) &&
                 query_sight_of(query->sight, twin->vid, &denial.path) == SIGHT_DENIED;
        if (denied)
            memcpy(denial.vid, twin->vid, strlen(twin->vid) + 1);
    }
    store_leave(app->store, place);
    if (denied)
        query_refuse(request, reply, QUERY_DENIED, &denial);
    return !denied;
}

static void refuse(const struct http_request *request, struct http_reply *reply,
                   enum live_status status)
{
    if (status == LIVE_NO_MEMORY)
        query_refuse(request, reply, QUERY_NO_MEMORY, NULL);
    else
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "%s",
                     status == LIVE_FULL
                         ? "There are as many live queries as this hub takes; try again later."
                         : "The hub is stopping.");
}

static void open_stream(const struct http_request *request, struct http_reply *reply,
                        struct live_request *live)
{
    const struct app *app = request->app;
    const char *id = http_header(request, "Last-Event-ID");
    live->resumes = id && *id;
    live->id_good = live->resumes && live_id_read(id, &live->id);
    enum live_status status = write_digest(request, live->digest)
                                  ? live_open(app->live, live, &reply->stream)
                                  : LIVE_NO_MEMORY;
    if (status != LIVE_OK) {
        refuse(request, reply, status);
        return;
    }
    reply->content_type = "text/event-stream";
    http_reply_header(reply, "Cache-Control", "no-store");
    http_reply_header(reply, "X-Accel-Buffering", "no"); /* a proxy that would keep it back */
}

void api_vehicles_stream(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    struct query query = {.filter = NULL};
    struct live_request live = {.query = &query};
    if (!atomic_load(&app->recovered)) {
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "The hub is starting, and does not know the whole fleet yet.");
        return;
    }
    if (read_period(request, reply, &live.period_ms) &&
        query_read_fields(request, reply, &live.fields) && query_read(request, reply, &query)) {
        api_position(app, reply);
        if (may_ask(request, reply, &query))
            open_stream(request, reply, &live);
    }
    query_done(&query);
    fields_free(live.fields);
}
