/* GET /v1/commands/{id}/stream: `event: vehicle` for each vehicle as its state changes, `event:
 * command` with the counts after them; the stream ends behind the last one of a command that has
 * ended. A client has no queue: it has a number, up to which it has been told, and is told of each
 * vehicle as it is when its turn comes. */
#include "hub/api_commands.h"

#include "hub/api_write.h"
#include "hub/clock.h"
#include "hub/command_lane.h"
#include "hub/metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_MS = 50,       /* for a lane of this hub's */
    ASK_OTHER_MS = 250, /* for another's */
    HEARTBEAT_MS = 15000,
    CLIENTS_MAX = 1024,
};

/* Shared by its connection and the thread; whoever lets go last frees it. What is asked for it, and
 * the viewer with it, is a copy: the request goes with the connection, an answer may take longer.
 */
struct watcher {
    struct http_stream stream; /* first */
    struct command_watch *watch;
    _Atomic int users;
    pthread_mutex_t lock; /* of what follows */
    struct buf out;
    bool gone, ended;

    /* the thread's */
    struct watcher *next;
    struct command_asked *asked;
    struct buf text; /* that it borrows from */
    int64_t due_ms, beat_ms;
};

struct command_watch {
    struct app *app;
    pthread_mutex_t lock; /* of the list */
    struct watcher *watchers;
    size_t count;
    _Atomic bool draining;
    pthread_t thread;
};

static void watcher_unref(struct watcher *watcher)
{
    if (atomic_fetch_sub(&watcher->users, 1) != 1)
        return;
    pthread_mutex_destroy(&watcher->lock);
    buf_done(&watcher->out);
    command_asked_free(watcher->asked);
    buf_done(&watcher->text);
    free(watcher);
}

/* ---- the connection's side ---- */

static enum http_more next_events(struct http_stream *stream, struct buf *out)
{
    struct watcher *watcher = (struct watcher *)stream;
    pthread_mutex_lock(&watcher->lock);
    bool some = watcher->out.size_bytes > 0, ended = watcher->ended;
    bool broken = watcher->out.failed;
    if (some && !broken) {
        buf_done(out);
        *out = watcher->out;
        buf_init(&watcher->out);
    }
    pthread_mutex_unlock(&watcher->lock);
    if (broken)
        return HTTP_FAILED;
    if (some)
        return HTTP_MORE;
    return ended || atomic_load(&watcher->watch->draining) ? HTTP_END : HTTP_WAIT;
}

static void free_stream(struct http_stream *stream)
{
    struct watcher *watcher = (struct watcher *)stream;
    pthread_mutex_lock(&watcher->lock);
    watcher->gone = true;
    pthread_mutex_unlock(&watcher->lock);
    watcher_unref(watcher);
}

/* ---- the thread ---- */

/* With the watcher's lock: a stream is not woken once its connection has let go. */
static void wake(struct watcher *watcher)
{
    if (!watcher->gone)
        http_stream_wake(&watcher->stream);
}

/* Asks what is new. */
static void look(struct watcher *watcher, struct command_lane *lane, int64_t now_ms)
{
    struct command_ask *ask = &watcher->asked->ask;
    struct command_answer answer;
    watcher->due_ms = now_ms + (command_lane_holds(lane) ? LOOK_MS : ASK_OTHER_MS);
    command_answer_init(&answer);
    command_lane_ask(lane, ask, &answer);
    pthread_mutex_lock(&watcher->lock);
    if (answer.problem < 0) {
        buf_add(&watcher->out, answer.body.data, answer.body.size_bytes);
        watcher->out.failed = watcher->out.failed || answer.body.failed;
        watcher->ended = answer.ended;
        if (answer.change > ask->since)
            watcher->due_ms = now_ms; /* there may be more */
        ask->since = answer.change;
    } else if (answer.problem == PROBLEM_NOT_FOUND) {
        watcher->ended = true;
    }
    if (watcher->ended || watcher->out.failed || watcher->out.size_bytes > 0) {
        watcher->beat_ms = now_ms + HEARTBEAT_MS;
        wake(watcher);
    }
    pthread_mutex_unlock(&watcher->lock);
    command_answer_done(&answer);
}

/* False: the connection has gone. */
static bool turn(struct watcher *watcher, struct command_lane *lane, int64_t now_ms)
{
    pthread_mutex_lock(&watcher->lock);
    bool gone = watcher->gone;
    bool taken = watcher->out.size_bytes == 0 && !watcher->ended;
    if (taken && now_ms >= watcher->beat_ms) {
        buf_adds(&watcher->out, ": \n\n");
        watcher->beat_ms = now_ms + HEARTBEAT_MS;
        taken = false;
        wake(watcher);
    }
    pthread_mutex_unlock(&watcher->lock);
    if (!gone && taken && lane && now_ms >= watcher->due_ms)
        look(watcher, lane, now_ms);
    return !gone;
}

static void remove_watcher(struct command_watch *watch, struct watcher *watcher)
{
    pthread_mutex_lock(&watch->lock);
    struct watcher **at = &watch->watchers;
    while (*at != watcher)
        at = &(*at)->next;
    *at = watcher->next;
    metrics_set(METRIC_COMMAND_STREAMS, 0, (double)--watch->count);
    pthread_mutex_unlock(&watch->lock);
    watcher_unref(watcher);
}

/* The next of the list; new ones are put before it, and this thread alone takes any out. */
static struct watcher *next_of(struct command_watch *watch, const struct watcher *watcher)
{
    pthread_mutex_lock(&watch->lock);
    struct watcher *next = watcher ? watcher->next : watch->watchers;
    pthread_mutex_unlock(&watch->lock);
    return next;
}

static void *run(void *closure)
{
    struct command_watch *watch = closure;
    while (!atomic_load(&watch->draining)) {
        struct command_lane *lane = atomic_load(&watch->app->commands);
        struct watcher *next;
        for (struct watcher *w = next_of(watch, NULL); w && !atomic_load(&watch->draining);
             w = next) {
            bool stays = turn(w, lane, clock_mono_ms());
            next = next_of(watch, w);
            if (!stays)
                remove_watcher(watch, w);
        }
        clock_pause_ms(LOOK_MS / 2);
    }
    return NULL;
}

struct command_watch *command_watch_new(struct app *app)
{
    struct command_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->app = app;
    pthread_mutex_init(&watch->lock, NULL);
    metrics_set(METRIC_COMMAND_STREAMS, 0, 0);
    if (pthread_create(&watch->thread, NULL, run, watch) == 0)
        return watch;
    pthread_mutex_destroy(&watch->lock);
    free(watch);
    return NULL;
}

void command_watch_drain(struct command_watch *watch)
{
    if (!watch)
        return;
    atomic_store(&watch->draining, true);
    pthread_join(watch->thread, NULL);
    for (struct watcher *w = next_of(watch, NULL); w; w = next_of(watch, w)) {
        pthread_mutex_lock(&w->lock);
        wake(w);
        pthread_mutex_unlock(&w->lock);
    }
}

void command_watch_free(struct command_watch *watch)
{
    if (!watch)
        return;
    while (watch->watchers)
        remove_watcher(watch, watch->watchers);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

/* ---- the route ---- */

/* Where a client was: the id of the last event that it has seen. */
static uint64_t since_of(const struct http_request *request)
{
    const char *id = http_header(request, "Last-Event-ID");
    return id && strspn(id, "0123456789") == strlen(id) ? strtoull(id, NULL, 10) : 0;
}

static struct watcher *watcher_new(const struct http_request *request, struct command_watch *watch)
{
    struct watcher *watcher = calloc(1, sizeof *watcher);
    struct command_ask ask = {.verb = VERB_WATCH,
                              .id = request->path_param[0],
                              .since = since_of(request),
                              .principal = request->principal,
                              .request_id = request->request_id,
                              .viewer = request->viewer};
    if (!watcher)
        return NULL;
    watcher->stream = (struct http_stream){.next = next_events, .free = free_stream, .waits = true};
    watcher->watch = watch;
    atomic_store(&watcher->users, 1);
    pthread_mutex_init(&watcher->lock, NULL);
    watcher->beat_ms = clock_mono_ms() + HEARTBEAT_MS;
    command_ask_write(&watcher->text, &ask);
    if (!watcher->text.failed)
        watcher->asked = command_ask_read(watcher->text.data, watcher->text.size_bytes);
    if (watcher->asked)
        return watcher;
    watcher_unref(watcher);
    return NULL;
}

/* Whether there is such a command, and this hub can say so now. */
static bool is_there(const struct http_request *request, struct http_reply *reply)
{
    api_command(request, reply);
    bool there = reply->status == 200;
    if (there) {
        buf_reset(&reply->body);
        reply->etag[0] = '\0';
    }
    return there;
}

void api_command_stream(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    struct command_watch *watch = app->command_watch;
    if (!is_there(request, reply))
        return;
    struct watcher *watcher = watcher_new(request, watch);
    if (!watcher) {
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "There is no memory for it.");
        return;
    }
    pthread_mutex_lock(&watch->lock);
    bool room = watch->count < CLIENTS_MAX && !atomic_load(&watch->draining);
    if (room) {
        atomic_fetch_add(&watcher->users, 1); /* the thread's */
        watcher->next = watch->watchers;
        watch->watchers = watcher;
        metrics_set(METRIC_COMMAND_STREAMS, 0, (double)++watch->count);
    }
    pthread_mutex_unlock(&watch->lock);
    if (!room) {
        watcher_unref(watcher);
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "There are as many streams of commands as this hub takes; try again later.");
        return;
    }
    reply->stream = &watcher->stream;
    reply->content_type = "text/event-stream";
    http_reply_header(reply, "Cache-Control", "no-store");
    http_reply_header(reply, "X-Accel-Buffering", "no");
}
