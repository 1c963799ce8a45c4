#include "hub/api_history.h"

#include "hub/api_query.h"
#include "hub/api_vehicles.h"
#include "hub/app.h"
#include "hub/clock.h"
#include "hub/cursor.h"
#include "hub/query_sight.h"
#include "hub/shadow_history.h"
#include "hub/state_history.h"
#include "hub/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCOPE_BYTES = 1024 };

/* ---- what both ask first ---- */

/* What of the vehicle's past may be shown. */
struct past {
    bool visible, sees_part;
    int64_t registered_ns, retired_ns;
    uint64_t last_seq; /* of its accepted messages in TWIN_STATE */
};

static struct past look(const struct http_request *request, const char *part)
{
    const struct app *app = request->app;
    struct past past = {0};
    size_t place = store_enter(app->store);
    const struct twin *twin = store_find(app->store, request->path_param[0]);
    past.visible = twin_visible(twin) && viewer_sees_vehicle(request->viewer, twin->vid);
    if (past.visible) {
        past.sees_part = !part || query_sees_some(request->viewer, twin->vid, part);
        past.registered_ns = twin->registered_ns;
        past.retired_ns = twin->retired_ns;
        past.last_seq = store_heard_until(app->store, twin->vid, STREAM_STATE);
    }
    store_leave(app->store, place);
    return past;
}

static bool may_read(const struct http_request *request, struct http_reply *reply,
                     const struct past *past, const char *part)
{
    const struct app *app = request->app;
    const char *vid = request->path_param[0];
    if (!past->visible)
        http_problem(request, reply, PROBLEM_UNKNOWN_VEHICLE, "No vehicle %s is known here.", vid);
    else if (part && !past->sees_part)
        http_problem(request, reply, PROBLEM_FORBIDDEN, "Your access does not cover %s of %s.",
                     part, vid);
    else if (!bus_connected(app->bus))
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "NATS, which keeps the past, is away. Try again later.");
    else
        return true;
    return false;
}

/* ---- states ---- */

struct reading {
    const struct http_request *request;
    struct http_reply *reply;
    const char *type; /* NULL: all */
    int64_t start_ns, end_ns;
    size_t page_size;
    uint64_t from_seq; /* of a page token; 0: from the start */
    char scope[SCOPE_BYTES];
    struct past past;
    struct doc_parser *parser;
    size_t written;
    uint64_t next_seq; /* of the first on the next page; 0: there is none */
};

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

static bool read_type(struct reading *reading)
{
    const struct http_request *request = reading->request;
    char subject[STREAMS_SUBJECT_BYTES + TYPE_MAX_BYTES];
    struct subject parsed;
    reading->type = http_query(request, "type");
    if (!reading->type)
        return true;
    int size = snprintf(subject, sizeof subject, "fleet.x.veh.x.state.%s", reading->type);
    if (size >= (int)sizeof subject || !subject_parse(subject, (size_t)size, &parsed)) {
        http_problem(request, reading->reply, PROBLEM_BAD_PARAMETER,
                     "type is one to four tokens of the characters A-Z a-z 0-9 _ -, with dots "
                     "between them.");
        return false;
    }
    if (viewer_sees_part(request->viewer, request->path_param[0], "state", reading->type,
                         strlen(reading->type)))
        return true;
    http_problem(request, reading->reply, PROBLEM_FORBIDDEN,
                 "Your access does not cover state.%s of %s.", reading->type,
                 request->path_param[0]);
    return false;
}

static bool read_token(struct reading *reading)
{
    const struct http_request *request = reading->request;
    const char *token = http_query(request, "page_token");
    char key[CURSOR_KEY_MAX_BYTES + 1], *end = key;
    size_t key_bytes;
    const struct app *app = request->app;
    snprintf(reading->scope, sizeof reading->scope, "history/%lld/%s/%s/%lld/%lld/%s",
             (long long)store_position(app->store, STREAM_STATE).epoch_ns, request->path_param[0],
             reading->type ? reading->type : "", (long long)reading->start_ns,
             (long long)reading->end_ns, request->principal);
    if (!token)
        return true;
    if (cursor_read(token, reading->scope, key, &key_bytes) && key_bytes > 0)
        reading->from_seq = strtoull(key, &end, 10);
    if (end != key && *end == '\0' && reading->from_seq > 0)
        return true;
    http_problem(request, reading->reply, PROBLEM_BAD_PAGE_TOKEN,
                 "This page_token belongs to another list, or is none. Begin again without.");
    return false;
}

/* Whether the fold would have taken it. */
static bool accepted(const struct reading *reading, const struct bus_msg *msg,
                     struct envelope *envelope)
{
    const struct app *app = reading->request->app;
    const struct past *past = &reading->past;
    struct twin known = {.registered_ns = past->registered_ns, .retired_ns = past->retired_ns};
    bool admitted = app->config->vehicles.admission == ADMISSION_OPEN ||
                    twin_registered_at(&known, msg->received_ns);
    return admitted && !twin_buries(&known, msg->received_ns) &&
           envelope_parse(reading->parser, msg->subject, msg->data, msg->size,
                          (size_t)app->config->nats.limits.payload_bytes, envelope) == REFUSAL_NONE;
}

static bool shows(const struct reading *reading, const struct envelope *envelope)
{
    const struct http_request *request = reading->request;
    return reading->type ||
           viewer_sees_part(request->viewer, request->path_param[0], "state",
                            envelope->subject.type.at, envelope->subject.type.size);
}

static void write_state(struct reading *reading, const struct bus_msg *msg,
                        const struct envelope *envelope)
{
    const struct app *app = reading->request->app;
    struct buf *out = &reading->reply->body;
    bool skewed;
    int64_t timestamp_ns =
        clock_believed(envelope->timestamp_ns, msg->received_ns,
                       app->config->vehicles.max_clock_skew_s * NS_PER_S, &skewed);
    buf_adds(out, reading->written++ ? ",{\"type\":" : "{\"type\":");
    buf_json_string(out, envelope->subject.type.at, envelope->subject.type.size);
    buf_adds(out, ",\"timestamp\":");
    buf_json_timestamp(out, timestamp_ns);
    buf_adds(out, ",\"received\":");
    buf_json_timestamp(out, msg->received_ns);
    buf_adds(out, ",\"seq\":");
    if (envelope->seq == SEQ_NONE)
        buf_adds(out, "null");
    else
        buf_json_int(out, envelope->seq);
    buf_adds(out, ",\"data\":");
    doc_write(out, envelope->data);
    buf_addc(out, '}');
}

/* Takes one message; false when the page is done. */
static bool take(void *closure, const struct bus_msg *msg)
{
    struct reading *reading = closure;
    struct envelope envelope;
    if (reading->end_ns != TIMESTAMP_NONE && msg->received_ns >= reading->end_ns)
        return false;
    if ((reading->start_ns != TIMESTAMP_NONE && msg->received_ns < reading->start_ns) ||
        !accepted(reading, msg, &envelope) || !shows(reading, &envelope))
        return true;
    if (reading->written == reading->page_size) {
        reading->next_seq = msg->stream_seq;
        return false;
    }
    write_state(reading, msg, &envelope);
    return true;
}

static enum bus_status read_states(struct reading *reading, struct bus_error *error)
{
    const struct app *app = reading->request->app;
    char filter[STREAMS_SUBJECT_BYTES + TYPE_MAX_BYTES];
    uint64_t next_seq;
    snprintf(filter, sizeof filter, "fleet.%s.veh.%s.state.%s", app->config->env,
             reading->request->path_param[0], reading->type ? reading->type : ">");
    struct state_history what = {.filter = filter,
                                 .from_seq = reading->from_seq,
                                 .start_ns = reading->start_ns,
                                 .last_seq = reading->past.last_seq,
                                 .counted_max = STATE_HISTORY_COUNTED_MAX,
                                 .take = take,
                                 .closure = reading};
    enum bus_status status = state_history_read(app->bus, &what, &next_seq, error);
    if (status == BUS_OK && next_seq > 0)
        reading->next_seq = next_seq;
    return status;
}

static void write_next(struct reading *reading)
{
    char key[24];
    struct buf token = BUF_INIT;
    int key_bytes = snprintf(key, sizeof key, "%llu", (unsigned long long)reading->next_seq);
    cursor_write(&token, reading->scope, key, (size_t)key_bytes);
    buf_json_name(&reading->reply->body, "next_page_token");
    buf_json_cstr(&reading->reply->body, buf_cstr(&token));
    query_link_next(reading->request, reading->reply, buf_cstr(&token));
    buf_done(&token);
}

void api_vehicle_history(const struct http_request *request, struct http_reply *reply)
{
    struct reading reading = {.request = request, .reply = reply};
    struct bus_error error = {""};
    reading.past = look(request, NULL);
    if (!may_read(request, reply, &reading.past, NULL) || !read_type(&reading) ||
        !read_time(request, reply, "start_time", &reading.start_ns) ||
        !read_time(request, reply, "end_time", &reading.end_ns) ||
        !query_page_size(request, reply, &reading.page_size) || !read_token(&reading))
        return;
    reading.parser = doc_parser_new();
    if (!reading.parser) {
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "There is no memory for it.");
        return;
    }
    api_position(request->app, reply);
    buf_adds(&reply->body, "{\"states\":[");
    if (read_states(&reading, &error) == BUS_OK) {
        buf_addc(&reply->body, ']');
        if (reading.next_seq)
            write_next(&reading);
        buf_addc(&reply->body, '}');
    } else {
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "NATS, which keeps the past, does not answer. Try again, with less at once.");
    }
    doc_parser_free(reading.parser);
}

/* ---- revisions of desired ---- */

/* False when there is no memory. */
static bool write_revision(const struct http_request *request, struct buf *out,
                           const struct shadow_revision *revision, bool first)
{
    struct part *part =
        part_new(revision->revision, revision->updated_ns, "", doc_root(revision->value));
    struct twin *twin = twin_new(request->path_param[0]);
    if (part && twin) {
        twin->parts[PART_DESIRED] = part;
        buf_adds(out, first ? "{\"revision\":" : ",{\"revision\":");
        buf_json_int(out, (int64_t)revision->revision);
        buf_adds(out, ",\"updated\":");
        buf_json_timestamp(out, revision->updated_ns);
        buf_adds(out, ",\"updated_by\":");
        buf_json_cstr(out, revision->actor);
        buf_adds(out, ",\"value\":");
        twin_write_part(out, twin, PART_DESIRED, request->viewer);
        buf_addc(out, '}');
    }
    bool written = part && twin;
    free(part);
    free(twin);
    return written;
}

void api_desired_history(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    struct past past = look(request, part_name(PART_DESIRED));
    struct shadow_history history;
    struct bus_error error = {""};
    bool first = true, written = true;
    if (!may_read(request, reply, &past, part_name(PART_DESIRED)))
        return;
    api_position(app, reply);
    if (shadow_history_read(app->config, app->bus, request->path_param[0], PART_DESIRED, &history,
                            &error) != BUS_OK) {
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "NATS, which keeps the past, does not answer. Try again later.");
        return;
    }
    buf_adds(&reply->body, "{\"revisions\":[");
    for (size_t i = history.count; i-- > 0 && written;) {
        const struct shadow_revision *revision = &history.revisions[i];
        if (!revision->good ||
            (past.retired_ns != TIMESTAMP_NONE && revision->updated_ns <= past.retired_ns))
            continue;
        written = write_revision(request, &reply->body, revision, first);
        first = false;
    }
    buf_adds(&reply->body, "]}");
    shadow_history_done(&history);
    if (!written)
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "There is no memory for it.");
}
