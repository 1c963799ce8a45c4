/* The lane: who follows, and what is new. */
#include "hub/record_follow_impl.h"

#include "hub/clock.h"
#include "hub/log.h"
#include "hub/metrics.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    READ_WANT = 1000, /* records of one look at the archive */
    READERS_QUEUE_MAX = FOLLOW_CLIENTS_MAX,
    STOP_MS = 1000,
};

/* ---- calling the lane ---- */

static void wake(struct record_follow *follow)
{
    uint64_t one = 1;
    if (write(follow->wake_fd, &one, sizeof one) != sizeof one)
        abort(); /* an eventfd takes one */
}

void follow_call(struct follow_client *client, unsigned why)
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

static struct follow_client *take_called(struct record_follow *follow, unsigned *why)
{
    pthread_mutex_lock(&follow->lock);
    struct follow_client *client = follow->called;
    if (client) {
        follow->called = client->next_called;
        *why = client->calls;
        client->calls = 0;
    }
    pthread_mutex_unlock(&follow->lock);
    return client;
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

static void forget(struct follow_client *client)
{
    if (client->link) {
        *client->link = client->next;
        if (client->next)
            client->next->link = client->link;
    }
    atomic_fetch_sub(&client->follow->open, 1);
    metrics_move(METRIC_FOLLOWERS, 0, -1);
    follow_client_unref(client);
}

static void attend(struct record_follow *follow)
{
    struct follow_client *client;
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
static void hand_to_reader(struct record_follow *follow, struct follow_client *client)
{
    if (!client->scan)
        client->target = follow->last;
    client->read = true;
    if (!workers_submit(follow->workers, &client->job))
        client->read = false; /* the hub is stopping */
}

/* All that is kept and was not looked at yet, as far as there is room. False: it is further behind
 * than that. */
static bool serve_kept(struct record_follow *follow, struct follow_client *client, size_t room)
{
    while (client->cursor < follow->last && client->piece.size_bytes < room) {
        const struct record *kept = record_ring_at(follow->ring, client->cursor + 1);
        if (!kept)
            return false;
        struct record record = *kept;
        switch (record_judge_ask(&client->judge, &record)) {
        case RECORD_YES:
            follow_client_write(client, &record);
            break;
        case RECORD_NO:
            break;
        case RECORD_CHANGED:
        case RECORD_NOT_JUDGED:
            client->piece.failed = true;
            return true;
        }
        client->cursor++;
    }
    return true;
}

static void serve(struct record_follow *follow, struct follow_client *client, int64_t now_ms)
{
    if (client->read)
        return;
    size_t room = follow_client_room(client);
    if (room == 0)
        return;
    if (!client->greeted)
        follow_client_greet(client);
    bool near = !client->scan && serve_kept(follow, client, room);
    if (client->piece.size_bytes > 0 || client->piece.failed || now_ms >= client->beat_ms)
        follow_client_deliver(client);
    if (!near && follow->last >= 0 && now_ms >= client->retry_ms)
        hand_to_reader(follow, client);
}

/* Their next piece is the end. */
static void end_all(struct record_follow *follow)
{
    for (struct follow_client *client = follow->clients; client; client = client->next) {
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
        for (struct follow_client *client = follow->clients; client; client = client->next)
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
