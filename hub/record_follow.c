#include "hub/record_follow.h"

#include "hub/archive.h"
#include "hub/clock.h"
#include "hub/log.h"
#include "hub/metrics.h"
#include "hub/record_ring.h"
#include "hub/workers.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    READ_WANT = 1000, /* records of one look at the archive */
    CATCH_UP_WANT = 500,
    CATCH_UP_MS = 1000, /* then it is another client's turn */
    READERS_QUEUE_MAX = FOLLOW_CLIENTS_MAX,
    STOP_MS = 1000,
};

/* What a client calls the lane for. */
enum {
    CALL_NEW = 1 << 0,
    CALL_ROOM = 1 << 1,     /* its connection has taken what there was */
    CALL_RETURNED = 1 << 2, /* a reader is done with it */
    CALL_LEFT = 1 << 3,     /* its connection has let go, and calls no more */
};

struct client {
    struct http_stream stream; /* first */
    struct record_follow *follow;
    _Atomic int users; /* the connection, the lane */
    struct events_asked asked;

    struct client *next_called; /* with the lane's lock */
    unsigned calls;

    pthread_mutex_t lock; /* of what follows, up to the next blank line */
    struct buf out;
    bool full, broken, gone;

    /* Of whoever serves it: the lane, or a reader between a submission and CALL_RETURNED. */
    struct client *next, **link; /* the lane's list */
    bool read;                   /* a reader has it */
    bool leaving;                /* CALL_LEFT came meanwhile */
    struct record_judge judge;
    struct buf piece;
    const char *reset;
    bool greeted;
    int64_t cursor,
        told; /* the last seq looked at, and the last that the client was given as an id */
    int64_t beat_ms, retry_ms;
    struct worker_job job;
    struct archive_scan *scan; /* NULL: none is under way */
    int64_t target;            /* where it ends */
};

struct record_follow {
    struct archive_reader *reader; /* the lane's */
    struct archive_reader *catch_up;
    struct workers *workers;
    pthread_t thread;
    bool running;
    int wake_fd;
    _Atomic int open;
    _Atomic bool draining, stop;
    pthread_mutex_t lock; /* of `called` */
    struct client *called;

    /* the lane's */
    struct client *clients;
    struct record_ring *ring;
    int64_t last; /* as far as it has looked; -1: it has not */
    int64_t look_ms;
};

/* ---- calling the lane ---- */

static void wake(struct record_follow *follow)
{
    uint64_t one = 1;
    if (write(follow->wake_fd, &one, sizeof one) != sizeof one)
        abort(); /* an eventfd takes one */
}

static void call(struct client *client, unsigned why)
{
    struct record_follow *follow = client->follow;
    pthread_mutex_lock(&follow->lock);
    bool first = !follow->called;
    if (!client->calls) {
        client->next_called = follow->called;
        follow->called = client;
    }
    client->calls |= why;
    pthread_mutex_unlock(&follow->lock);
    if (first)
        wake(follow);
}

static struct client *take_called(struct record_follow *follow, unsigned *why)
{
    pthread_mutex_lock(&follow->lock);
    struct client *client = follow->called;
    if (client) {
        follow->called = client->next_called;
        *why = client->calls;
        client->calls = 0;
    }
    pthread_mutex_unlock(&follow->lock);
    return client;
}

static void client_unref(struct client *client)
{
    if (atomic_fetch_sub(&client->users, 1) != 1)
        return;
    record_judge_done(&client->judge);
    archive_scan_free(client->scan);
    events_asked_done(&client->asked);
    buf_done(&client->out);
    buf_done(&client->piece);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

/* ---- the connection's side ---- */

static enum http_more next_events(struct http_stream *stream, struct buf *out)
{
    struct client *client = (struct client *)stream;
    pthread_mutex_lock(&client->lock);
    bool some = client->out.size_bytes > 0, broken = client->broken, was_full = client->full;
    if (some) {
        buf_done(out);
        *out = client->out;
        buf_init(&client->out);
        client->full = false;
    }
    pthread_mutex_unlock(&client->lock);
    if (some && was_full)
        call(client, CALL_ROOM);
    if (some)
        return HTTP_MORE;
    if (broken)
        return HTTP_FAILED;
    return atomic_load(&client->follow->draining) ? HTTP_END : HTTP_WAIT;
}

static void free_stream(struct http_stream *stream)
{
    struct client *client = (struct client *)stream;
    pthread_mutex_lock(&client->lock);
    client->gone = true;
    pthread_mutex_unlock(&client->lock);
    call(client, CALL_LEFT);
    client_unref(client);
}

/* ---- serving ---- */

static void write_id(struct client *client, int64_t seq)
{
    buf_addf(&client->piece, "id: %lld\n", (long long)seq);
    client->told = seq;
}

static void write_record(struct client *client, const struct record *record)
{
    buf_adds(&client->piece, "event: record\n");
    write_id(client, record->seq);
    buf_adds(&client->piece, "data: ");
    record_write_public(&client->piece, record, true); /* one line, whatever is in it */
    buf_adds(&client->piece, "\n\n");
}

/* The first thing that a client hears: that it is heard. */
static void write_hello(struct client *client)
{
    if (client->reset) {
        buf_adds(&client->piece, "event: reset\n");
        write_id(client, client->cursor);
        buf_addf(&client->piece, "data: {\"reason\":\"%s\"}\n\n", client->reset);
    } else {
        buf_adds(&client->piece, ":\n\n");
    }
    client->greeted = true;
}

/* A comment where nothing else is to be sent; with it, as far as all has been looked at, so that a
 * client to whom little is sent does not begin far behind after a break. */
static void beat(struct client *client, int64_t now_ms)
{
    if (client->piece.size_bytes == 0 && now_ms >= client->beat_ms) {
        buf_adds(&client->piece, ":\n");
        if (client->told != client->cursor)
            write_id(client, client->cursor);
        buf_addc(&client->piece, '\n');
    }
    if (client->piece.size_bytes > 0)
        client->beat_ms = now_ms + FOLLOW_HEARTBEAT_MS;
}

/* Hands over what was written. Without memory the client is cut off rather than left without. */
static void deliver(struct client *client)
{
    beat(client, clock_mono_ms());
    bool failed = client->piece.failed;
    pthread_mutex_lock(&client->lock);
    if (client->piece.size_bytes > 0)
        buf_add(&client->out, client->piece.data, client->piece.size_bytes);
    client->broken = client->broken || failed || client->out.failed;
    client->full = client->out.size_bytes >= FOLLOW_OUT_BYTES;
    if (!client->gone && (client->out.size_bytes > 0 || client->broken))
        http_stream_wake(&client->stream);
    pthread_mutex_unlock(&client->lock);
    buf_reset(&client->piece);
}

static size_t room_of(struct client *client)
{
    pthread_mutex_lock(&client->lock);
    bool shut = client->broken || client->gone;
    size_t used = client->out.size_bytes;
    pthread_mutex_unlock(&client->lock);
    return used < FOLLOW_OUT_BYTES && !shut ? FOLLOW_OUT_BYTES - used : 0;
}

/* ---- readers: those who are behind ---- */

static bool is_given_up(void *closure)
{
    struct client *client = closure;
    if (atomic_load(&client->follow->draining))
        return true;
    pthread_mutex_lock(&client->lock);
    bool gone = client->gone;
    pthread_mutex_unlock(&client->lock);
    return gone;
}

static bool take_behind(void *closure, const struct record *record)
{
    struct client *client = closure;
    write_record(client, record);
    return client->piece.size_bytes < FOLLOW_OUT_BYTES;
}

static bool begin_scan(struct client *client)
{
    if (client->scan)
        return true;
    client->scan = archive_scan_new(&client->asked.question, true);
    if (!client->scan)
        return false;
    archive_scan_after(client->scan, client->cursor);
    archive_scan_until(client->scan, client->target);
    return true;
}

static void end_scan(struct client *client)
{
    archive_scan_free(client->scan);
    client->scan = NULL;
}

static void run_reader(struct worker_job *job)
{
    struct client *client = (struct client *)(void *)((char *)job - offsetof(struct client, job));
    struct archive_error error = {""};
    struct archive_turn turn = {.want = CATCH_UP_WANT,
                                .timeout_ms = ARCHIVE_CALL_TIMEOUT_MS,
                                .take = take_behind,
                                .given_up = is_given_up,
                                .closure = client};
    enum archive_status status = begin_scan(client) ? ARCHIVE_OK : ARCHIVE_FAILED;
    int64_t until_ms = clock_mono_ms() + CATCH_UP_MS;
    while (status == ARCHIVE_OK && client->scan && room_of(client) > 0 &&
           clock_mono_ms() < until_ms) {
        status = archive_scan_turn(client->scan, client->follow->catch_up, &turn, &error);
        client->cursor = archive_scan_at(client->scan);
        if (status == ARCHIVE_OK && archive_scan_ended(client->scan)) {
            client->cursor = client->target;
            end_scan(client);
        }
        deliver(client);
    }
    if (status == ARCHIVE_UNAVAILABLE) {
        client->retry_ms = clock_mono_ms() + FOLLOW_RETRY_MS;
    } else if (status == ARCHIVE_FAILED) {
        log_error("record_follow.failed", "error", error.text);
        client->piece.failed = true;
        deliver(client);
    }
    call(client, CALL_RETURNED);
}

static void drop_reader(struct worker_job *job)
{
    struct client *client = (struct client *)(void *)((char *)job - offsetof(struct client, job));
    call(client, CALL_RETURNED);
}

/* ---- the lane ---- */

static bool keep(void *closure, const struct record *record)
{
    struct record_follow *follow = closure;
    if (!record_ring_add(follow->ring, record))
        return false;
    follow->last = record->seq;
    return true;
}

static bool lane_ends(void *closure)
{
    struct record_follow *follow = closure;
    return atomic_load(&follow->draining) || atomic_load(&follow->stop);
}

/* What is new in the archive. */
static enum archive_status read_new(struct record_follow *follow, bool *more,
                                    struct archive_error *error)
{
    struct record_question everything;
    int64_t before = follow->last;
    struct archive_turn turn = {.want = READ_WANT,
                                .timeout_ms = ARCHIVE_CALL_TIMEOUT_MS,
                                .take = keep,
                                .given_up = lane_ends,
                                .closure = follow};
    record_question_init(&everything, &viewer_all);
    struct archive_scan *scan = archive_scan_new(&everything, true);
    if (!scan)
        return ARCHIVE_FAILED;
    archive_scan_after(scan, follow->last);
    enum archive_status status = archive_scan_turn(scan, follow->reader, &turn, error);
    *more = follow->last - before >= READ_WANT;
    archive_scan_free(scan);
    return status;
}

static void look(struct record_follow *follow, int64_t now_ms)
{
    struct archive_error error = {""};
    enum archive_status status = ARCHIVE_OK;
    int64_t first;
    bool more = false;
    if (now_ms < follow->look_ms)
        return;
    if (follow->last < 0)
        status = archive_bounds(follow->reader, &first, &follow->last, &error);
    else
        status = read_new(follow, &more, &error);
    if (status != ARCHIVE_OK)
        log_debug("record_follow.waits", "error", error.text);
    follow->look_ms = status != ARCHIVE_OK ? now_ms + FOLLOW_RETRY_MS
                      : more               ? now_ms
                                           : now_ms + FOLLOW_LOOK_MS;
}

static void forget(struct client *client)
{
    if (client->link) {
        *client->link = client->next;
        if (client->next)
            client->next->link = client->link;
    }
    atomic_fetch_sub(&client->follow->open, 1);
    metrics_move(METRIC_FOLLOWERS, 0, -1);
    client_unref(client);
}

static void attend(struct record_follow *follow)
{
    struct client *client;
    unsigned why;
    while ((client = take_called(follow, &why)) != NULL) {
        if (why & CALL_NEW) {
            client->next = follow->clients;
            client->link = &follow->clients;
            if (client->next)
                client->next->link = &client->next;
            follow->clients = client;
        }
        if (why & CALL_RETURNED)
            client->read = false;
        client->leaving = client->leaving || (why & CALL_LEFT);
        if (client->leaving && !client->read)
            forget(client);
    }
}

/* Somebody else reads for it, from the archive. */
static void hand_to_reader(struct record_follow *follow, struct client *client)
{
    if (!client->scan)
        client->target = follow->last;
    client->read = true;
    if (!workers_submit(follow->workers, &client->job))
        client->read = false; /* the hub is stopping */
}

/* All that is kept and was not looked at yet, as far as there is room. False: it is further behind
 * than that. */
static bool serve_kept(struct record_follow *follow, struct client *client, size_t room)
{
    while (client->cursor < follow->last && client->piece.size_bytes < room) {
        const struct record *kept = record_ring_at(follow->ring, client->cursor + 1);
        if (!kept)
            return false;
        struct record record = *kept;
        switch (record_judge_ask(&client->judge, &record)) {
        case RECORD_YES:
            write_record(client, &record);
            break;
        case RECORD_NO:
            break;
        case RECORD_NOT_JUDGED:
            client->piece.failed = true;
            return true;
        }
        client->cursor++;
    }
    return true;
}

static void serve(struct record_follow *follow, struct client *client, int64_t now_ms)
{
    if (client->read)
        return;
    size_t room = room_of(client);
    if (room == 0)
        return;
    if (!client->greeted)
        write_hello(client);
    bool near = !client->scan && serve_kept(follow, client, room);
    if (client->piece.size_bytes > 0 || client->piece.failed || now_ms >= client->beat_ms)
        deliver(client);
    if (!near && follow->last >= 0 && now_ms >= client->retry_ms)
        hand_to_reader(follow, client);
}

/* Their next piece is the end. */
static void end_all(struct record_follow *follow)
{
    for (struct client *client = follow->clients; client; client = client->next) {
        pthread_mutex_lock(&client->lock);
        if (!client->gone)
            http_stream_wake(&client->stream);
        pthread_mutex_unlock(&client->lock);
    }
}

static void rest(struct record_follow *follow, int64_t until_ms)
{
    struct pollfd wait = {.fd = follow->wake_fd, .events = POLLIN};
    int64_t left_ms = until_ms == INT64_MAX ? -1 : until_ms - clock_mono_ms();
    uint64_t times;
    if (until_ms != INT64_MAX && left_ms < 0)
        left_ms = 0;
    if (poll(&wait, 1, (int)left_ms) == 1 && read(follow->wake_fd, &times, sizeof times) < 0)
        return; /* taken already: there is nobody else to take it */
}

static void *run(void *closure)
{
    struct record_follow *follow = closure;
    while (!atomic_load(&follow->stop)) {
        attend(follow);
        if (atomic_load(&follow->draining)) {
            end_all(follow);
            rest(follow, INT64_MAX);
            continue;
        }
        if (!follow->clients) {
            follow->last = -1; /* nobody listens: what comes meanwhile is not looked at */
            follow->look_ms = 0;
            rest(follow, INT64_MAX);
            continue;
        }
        int64_t now_ms = clock_mono_ms();
        look(follow, now_ms);
        for (struct client *client = follow->clients; client; client = client->next)
            serve(follow, client, now_ms);
        rest(follow, follow->look_ms);
    }
    return NULL;
}

/* ---- starting and stopping ---- */

struct record_follow *record_follow_new(const char *dsn)
{
    struct record_follow *follow = calloc(1, sizeof *follow);
    if (!follow)
        return NULL;
    metrics_set(METRIC_FOLLOWERS, 0, 0);
    pthread_mutex_init(&follow->lock, NULL);
    follow->last = -1;
    follow->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    follow->ring = record_ring_new(FOLLOW_KEPT, FOLLOW_KEPT_BYTES);
    follow->reader = archive_reader_new(dsn, 1);
    follow->catch_up = archive_reader_new(dsn, FOLLOW_READERS);
    follow->workers = workers_new(FOLLOW_READERS, READERS_QUEUE_MAX);
    follow->running = follow->wake_fd >= 0 && follow->ring && follow->reader && follow->catch_up &&
                      follow->workers && pthread_create(&follow->thread, NULL, run, follow) == 0;
    if (follow->running)
        return follow;
    record_follow_free(follow);
    return NULL;
}

void record_follow_drain(struct record_follow *follow)
{
    if (!follow)
        return;
    atomic_store(&follow->draining, true);
    wake(follow);
}

void record_follow_free(struct record_follow *follow)
{
    if (!follow)
        return;
    while (follow->workers && !workers_stop(follow->workers, STOP_MS))
        ; /* a statement has its deadline */
    if (follow->running) {
        atomic_store(&follow->stop, true);
        wake(follow);
        pthread_join(follow->thread, NULL);
        attend(follow); /* the last ones that let go */
    }
    workers_free(follow->workers);
    archive_reader_free(follow->reader);
    archive_reader_free(follow->catch_up);
    record_ring_free(follow->ring);
    if (follow->wake_fd >= 0)
        close(follow->wake_fd);
    pthread_mutex_destroy(&follow->lock);
    free(follow);
}

static struct client *client_new(struct record_follow *follow, struct events_asked *asked,
                                 const struct follow_start *start)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->stream = (struct http_stream){
        .next = next_events, .free = free_stream, .waits = true, .endless = true};
    client->follow = follow;
    atomic_store(&client->users, 2);
    pthread_mutex_init(&client->lock, NULL);
    client->job = (struct worker_job){.run = run_reader, .drop = drop_reader};
    client->cursor = start->after_seq;
    client->told = -1;
    client->reset = start->reset;
    client->asked = *asked; /* taken over */
    *asked = (struct events_asked){.filter = NULL};
    if (events_asked_keep(&client->asked) &&
        record_judge_init(&client->judge, &client->asked.question))
        return client;
    atomic_store(&client->users, 1);
    client_unref(client);
    return NULL;
}

enum follow_status record_follow_open(struct record_follow *follow, struct events_asked *asked,
                                      const struct follow_start *start, struct http_stream **stream)
{
    if (atomic_load(&follow->draining))
        return FOLLOW_STOPPING;
    if (atomic_fetch_add(&follow->open, 1) >= FOLLOW_CLIENTS_MAX) {
        atomic_fetch_sub(&follow->open, 1);
        return FOLLOW_FULL;
    }
    struct client *client = client_new(follow, asked, start);
    if (!client) {
        atomic_fetch_sub(&follow->open, 1);
        return FOLLOW_NO_MEMORY;
    }
    metrics_move(METRIC_FOLLOWERS, 0, 1);
    *stream = &client->stream;
    call(client, CALL_NEW);
    return FOLLOW_OK;
}
