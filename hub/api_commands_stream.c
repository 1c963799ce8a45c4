/* GET /v1/commands/{id}/stream: `event: vehicle` for each vehicle as its state changes, `event:
 * command` with the counts after them; the stream ends behind the last one of a command that has
 * ended. A client has no queue: it has a number, up to which it has been told, and is told of each
 * vehicle as it is when its turn comes. */
#include "hub/api_commands.h"

#include "hub/api_write.h"
#include "hub/clock.h"
#include "hub/command_lane.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_MS = 50,       /* for a lane of this hub's */
    ASK_OTHER_MS = 250, /* for another's */
    HEARTBEAT_MS = 15000,
    CLIENTS_MAX = 1024,
};

struct watcher {
    struct http_stream stream; /* first */
    struct command_watch *watch;
    pthread_mutex_t lock; /* of what follows */
    struct buf out;
    bool gone, ended;

    /* the thread's */
    struct watcher *next;
    struct command_ask ask;
    char *id;
    int64_t due_ms, beat_ms;
};

struct command_watch {
    struct app *app;
    pthread_mutex_t lock; /* of the list */
    struct watcher *watchers;
    size_t count;
    _Atomic bool draining, stop;
    pthread_t thread;
};

static void watcher_free(struct watcher *watcher)
{
    pthread_mutex_destroy(&watcher->lock);
    buf_done(&watcher->out);
    free(watcher->id);
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

/* The request's viewer goes with the connection: nothing is asked for it any more. */
static void free_stream(struct http_stream *stream)
{
    struct watcher *watcher = (struct watcher *)stream;
    struct command_watch *watch = watcher->watch;
    pthread_mutex_lock(&watch->lock);
    pthread_mutex_lock(&watcher->lock);
    watcher->gone = true;
    pthread_mutex_unlock(&watcher->lock);
    struct watcher **at = &watch->watchers;
    while (*at && *at != watcher)
        at = &(*at)->next;
    if (*at) {
        *at = watcher->next;
        watch->count--;
    }
    pthread_mutex_unlock(&watch->lock);
    watcher_free(watcher);
}

/* ---- the thread ---- */

/* Asks what is new. With the list's lock: a connection that leaves waits for it, for as long as an
 * answer takes. */
static void look(struct watcher *watcher, struct command_lane *lane, int64_t now_ms)
{
    struct command_answer answer;
    bool here = command_lane_holds(lane);
    watcher->due_ms = now_ms + (here ? LOOK_MS : ASK_OTHER_MS);
    command_answer_init(&answer);
    command_lane_ask(lane, &watcher->ask, &answer);
    if (answer.problem < 0) {
        pthread_mutex_lock(&watcher->lock);
        buf_add(&watcher->out, answer.body.data, answer.body.size_bytes);
        watcher->out.failed = watcher->out.failed || answer.body.failed;
        watcher->ended = answer.ended;
        pthread_mutex_unlock(&watcher->lock);
        if (answer.change > watcher->ask.since)
            watcher->due_ms = now_ms; /* there may be more */
        watcher->ask.since = answer.change;
        if (answer.body.size_bytes > 0 || answer.ended) {
            watcher->beat_ms = now_ms + HEARTBEAT_MS;
            http_stream_wake(&watcher->stream);
        }
    } else if (answer.problem == PROBLEM_NOT_FOUND) {
        pthread_mutex_lock(&watcher->lock);
        watcher->ended = true;
        pthread_mutex_unlock(&watcher->lock);
        http_stream_wake(&watcher->stream);
    }
    command_answer_done(&answer);
}

static void turn(struct watcher *watcher, struct command_lane *lane, int64_t now_ms)
{
    pthread_mutex_lock(&watcher->lock);
    bool taken = watcher->out.size_bytes == 0, ended = watcher->ended;
    if (!ended && taken && now_ms >= watcher->beat_ms) {
        buf_adds(&watcher->out, ": \n\n");
        watcher->beat_ms = now_ms + HEARTBEAT_MS;
        taken = false;
        http_stream_wake(&watcher->stream);
    }
    pthread_mutex_unlock(&watcher->lock);
    if (taken && !ended && now_ms >= watcher->due_ms)
        look(watcher, lane, now_ms);
}

static void *run(void *closure)
{
    struct command_watch *watch = closure;
    while (!atomic_load(&watch->stop)) {
        struct command_lane *lane = atomic_load(&watch->app->commands);
        pthread_mutex_lock(&watch->lock);
        for (struct watcher *w = watch->watchers; w && lane && !atomic_load(&watch->draining);
             w = w->next)
            turn(w, lane, clock_mono_ms());
        pthread_mutex_unlock(&watch->lock);
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
    pthread_mutex_lock(&watch->lock);
    for (struct watcher *w = watch->watchers; w; w = w->next)
        http_stream_wake(&w->stream);
    pthread_mutex_unlock(&watch->lock);
    atomic_store(&watch->stop, true);
    pthread_join(watch->thread, NULL);
}

void command_watch_free(struct command_watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

/* ---- the route ---- */

static bool read_since(const struct http_request *request, uint64_t *since)
{
    const char *id = http_header(request, "Last-Event-ID");
    char *end;
    *since = id && *id ? strtoull(id, &end, 10) : 0;
    return true;
}

static struct watcher *watcher_new(const struct http_request *request, struct command_watch *watch)
{
    struct watcher *watcher = calloc(1, sizeof *watcher);
    if (!watcher)
        return NULL;
    watcher->stream = (struct http_stream){.next = next_events, .free = free_stream, .waits = true};
    watcher->watch = watch;
    pthread_mutex_init(&watcher->lock, NULL);
    watcher->id = strdup(request->path_param[0]);
    watcher->beat_ms = clock_mono_ms() + HEARTBEAT_MS;
    watcher->ask = (struct command_ask){.verb = VERB_WATCH,
                                        .id = watcher->id,
                                        .principal = request->principal,
                                        .request_id = request->request_id,
                                        .viewer = request->viewer};
    read_since(request, &watcher->ask.since);
    if (watcher->id)
        return watcher;
    watcher_free(watcher);
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
        http_problem(request, reply, PROBLEM_INTERNAL, "There is no memory for it.");
        return;
    }
    pthread_mutex_lock(&watch->lock);
    bool room = watch->count < CLIENTS_MAX && !atomic_load(&watch->draining);
    if (room) {
        watcher->next = watch->watchers;
        watch->watchers = watcher;
        watch->count++;
    }
    pthread_mutex_unlock(&watch->lock);
    if (!room) {
        watcher_free(watcher);
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "There are as many streams of commands as this hub takes; try again later.");
        return;
    }
    reply->stream = &watcher->stream;
    reply->content_type = "text/event-stream";
    http_reply_header(reply, "Cache-Control", "no-store");
    http_reply_header(reply, "X-Accel-Buffering", "no");
}
