/* GET /v1/events/stream: the record as it grows. */
#include "hub/access_record.h"
#include "hub/api_events.h"
#include "hub/app.h"
#include "hub/record_follow.h"

#include <stdlib.h>
#include <string.h>

/* `Last-Event-ID`: a seq. */
static bool read_id(const char *text, int64_t *seq)
{
    enum { DIGITS_MAX = 18 };
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > DIGITS_MAX || text[digits] != '\0')
        return false;
    *seq = strtoll(text, NULL, 10);
    return true;
}

/* Where the client goes on. What it has seen may not be there any more, or be of another record. */
static struct follow_start start_at(const char *id, int64_t first, int64_t last)
{
    struct follow_start start = {.after_seq = last};
    int64_t seq;
    if (!id || !*id)
        return start;
    if (!read_id(id, &seq) || seq > last) {
        start.reset = "bad_id";
        return start;
    }
    start.after_seq = seq;
    if (seq > 0 && seq + 1 < first) { /* retention took what lies between */
        start.after_seq = first - 1;
        start.reset = "gone";
    }
    return start;
}

static void refuse(const struct http_request *request, struct http_reply *reply,
                   enum follow_status status)
{
    if (status == FOLLOW_NO_MEMORY)
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "There is no memory to answer this.");
    else
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "%s",
                     status == FOLLOW_FULL
                         ? "There are as many streams of the record as this hub takes; try again "
                           "later."
                         : "The hub is stopping.");
}

static void open_stream(const struct http_request *request, struct http_reply *reply,
                        struct events_asked *asked)
{
    const struct app *app = request->app;
    struct archive_error error = {""};
    int64_t first, last;
    enum archive_status status = archive_bounds(app->archive, &first, &last, &error);
    if (status != ARCHIVE_OK) {
        api_events_failure(request, reply, status, &error);
        return;
    }
    struct follow_start start = start_at(http_header(request, "Last-Event-ID"), first, last);
    enum follow_status opened = record_follow_open(app->follow, asked, &start, &reply->stream);
    if (opened != FOLLOW_OK) {
        refuse(request, reply, opened);
        return;
    }
    reply->content_type = "text/event-stream";
    http_reply_header(reply, "Cache-Control", "no-store");
    http_reply_header(reply, "X-Accel-Buffering", "no"); /* a proxy that would keep it back */
}

void api_events_stream(const struct http_request *request, struct http_reply *reply)
{
    struct events_asked asked;
    if (!events_ask(request, reply, NULL, &asked))
        return;
    if (access_record_reading(request, reply, ACCESS_STREAMED))
        open_stream(request, reply, &asked);
    events_asked_done(&asked);
}
