/* A follower: its connection, what is written for it, and its catching up. */
#include "hub/record_follow_impl.h"

#include "hub/clock.h"
#include "hub/log.h"
#include "hub/metrics.h"

#include <stdlib.h>
#include <string.h>

enum {
    CATCH_UP_WANT = 500,
    CATCH_UP_MS = 1000, /* then it is another client's turn */
};

void follow_client_unref(struct follow_client *client)
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
    struct follow_client *client = (struct follow_client *)stream;
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
        follow_call(client, CALL_ROOM);
    if (some)
        return HTTP_MORE;
    if (broken)
        return HTTP_FAILED;
    return atomic_load(&client->follow->draining) ? HTTP_END : HTTP_WAIT;
}

static void free_stream(struct http_stream *stream)
{
    struct follow_client *client = (struct follow_client *)stream;
    pthread_mutex_lock(&client->lock);
    client->gone = true;
    pthread_mutex_unlock(&client->lock);
    follow_call(client, CALL_LEFT);
    follow_client_unref(client);
}

/* ---- serving ---- */

static void write_id(struct follow_client *client, int64_t seq)
{
    buf_addf(&client->piece, "id: %lld\n", (long long)seq);
    client->told = seq;
}

void follow_client_write(struct follow_client *client, const struct record *record)
{
    buf_adds(&client->piece, "event: record\n");
    write_id(client, record->seq);
    buf_adds(&client->piece, "data: ");
    record_write_public(&client->piece, record, true); /* one line, whatever is in it */
    buf_adds(&client->piece, "\n\n");
}

void follow_client_greet(struct follow_client *client)
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
static void beat(struct follow_client *client, int64_t now_ms)
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

void follow_client_deliver(struct follow_client *client)
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

size_t follow_client_room(struct follow_client *client)
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
    struct follow_client *client = closure;
    if (atomic_load(&client->follow->draining))
        return true;
    pthread_mutex_lock(&client->lock);
    bool gone = client->gone;
    pthread_mutex_unlock(&client->lock);
    return gone;
}

static bool take_behind(void *closure, const struct record *record)
{
    struct follow_client *client = closure;
    follow_client_write(client, record);
    return client->piece.size_bytes < FOLLOW_OUT_BYTES;
}

static bool begin_scan(struct follow_client *client)
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

static void end_scan(struct follow_client *client)
{
    archive_scan_free(client->scan);
    client->scan = NULL;
}

static void run_reader(struct worker_job *job)
{
    struct follow_client *client =
        (struct follow_client *)(void *)((char *)job - offsetof(struct follow_client, job));
    struct archive_error error = {""};
    struct archive_turn turn = {.want = CATCH_UP_WANT,
                                .timeout_ms = ARCHIVE_CALL_TIMEOUT_MS,
                                .take = take_behind,
                                .given_up = is_given_up,
                                .closure = client};
    enum archive_status status = begin_scan(client) ? ARCHIVE_OK : ARCHIVE_FAILED;
    int64_t until_ms = clock_mono_ms() + CATCH_UP_MS;
    while (status == ARCHIVE_OK && client->scan && follow_client_room(client) > 0 &&
           clock_mono_ms() < until_ms) {
        status = archive_scan_turn(client->scan, client->follow->catch_up, &turn, &error);
        client->cursor = archive_scan_at(client->scan);
        if (status == ARCHIVE_OK && archive_scan_ended(client->scan)) {
            client->cursor = client->target;
            end_scan(client);
        }
        follow_client_deliver(client);
    }
    if (status == ARCHIVE_UNAVAILABLE) {
        client->retry_ms = clock_mono_ms() + FOLLOW_RETRY_MS;
    } else if (status == ARCHIVE_FAILED || status == ARCHIVE_CHANGED) {
        log_warn("record_follow.cut", "error", error.text);
        client->piece.failed = true;
        follow_client_deliver(client);
    }
    follow_call(client, CALL_RETURNED);
}

static void drop_reader(struct worker_job *job)
{
    struct follow_client *client =
        (struct follow_client *)(void *)((char *)job - offsetof(struct follow_client, job));
    follow_call(client, CALL_RETURNED);
}

/* ---- opening ---- */

static struct follow_client *client_new(struct record_follow *follow, struct events_asked *asked,
                                        const struct follow_start *start)
{
    struct follow_client *client = calloc(1, sizeof *client);
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
    follow_client_unref(client);
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
    struct follow_client *client = client_new(follow, asked, start);
    if (!client) {
        atomic_fetch_sub(&follow->open, 1);
        return FOLLOW_NO_MEMORY;
    }
    metrics_move(METRIC_FOLLOWERS, 0, 1);
    *stream = &client->stream;
    follow_call(client, CALL_NEW);
    return FOLLOW_OK;
}
