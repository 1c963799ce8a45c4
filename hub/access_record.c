#include "hub/access_record.h"

#include "hub/app.h"
#include "hub/log.h"
#include "hub/recorder.h"

#include <string.h>
#include <sys/random.h>

static const char *const types[] = {
#define X(id, type) type,
    ACCESS_READING_TABLE(X)
#undef X
};

static struct slice of_cstr(const char *text)
{
    return (struct slice){text, strlen(text)};
}

/* What was asked. A token in the query is nobody's to know. */
static void write_data(struct buf *out, const struct http_request *request)
{
    bool first = true;
    buf_adds(out, "{\"method\":");
    buf_json_cstr(out, request->method);
    buf_adds(out, ",\"path\":");
    buf_json_cstr(out, request->path);
    buf_adds(out, ",\"query\":{");
    for (size_t i = 0; i < request->query_count; i++) {
        if (strcmp(request->query[i].name, "access_token") == 0)
            continue;
        buf_adds(out, first ? "" : ",");
        buf_json_cstr(out, request->query[i].name);
        buf_addc(out, ':');
        buf_json_cstr(out, request->query[i].value);
        first = false;
    }
    buf_adds(out, "},\"remote\":");
    buf_json_cstr(out, request->remote);
    buf_addc(out, '}');
}

static bool store(struct app *app, const struct http_request *request, enum access_reading reading)
{
    struct record record;
    struct buf data = BUF_INIT;
    uint64_t ticket;
    bool stored = false;
    write_data(&data, request);
    record_init(&record);
    record.kind = RECORD_ACCESS;
    record.type = of_cstr(types[reading]);
    record.actor = of_cstr(request->principal);
    record.request_id = of_cstr(request->request_id);
    record.data = (struct slice){data.data, data.size_bytes};
    /* Request ids are the client's to choose, and the same request may come twice. */
    if (!data.failed && app->recorder && bus_connected(app->bus) &&
        getrandom(record.id, sizeof record.id, 0) == (ssize_t)sizeof record.id &&
        recorder_put(app->recorder, &record, &ticket))
        stored = recorder_wait(app->recorder, ticket, ACCESS_RECORD_WAIT_MS);
    buf_done(&data);
    return stored;
}

bool access_record_reading(const struct http_request *request, struct http_reply *reply,
                           enum access_reading reading)
{
    if (store(request->app, request, reading))
        return true;
    http_problem(request, reply, PROBLEM_UNAVAILABLE,
                 "Reading the record is itself put on record, and NATS does not take that at "
                 "present. Try again later.");
    log_warn("access.not_recorded", "request_id", request->request_id, "path", request->path);
    return false;
}
