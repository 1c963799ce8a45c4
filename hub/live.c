/* The lane's thread, its clients coming and going, and the events' way to their connections. */
#include "hub/live_impl.h"

#include "hub/clock.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    PACE_MS = 5,        /* between two rounds over all clients, so that one wakes many */
    REFRESH_MS = 20,    /* in a long round: so that no client is told old news */
    DEAF_MAX_MS = 1000, /* so that the store's ring is not lost */
    GROUPS_LOOK_MS = 100,
    FIRST_SLOTS = 64,
};

#define NO_SLOT UINT32_MAX /* the lane has not met the client yet */

void live_mark_unref(struct live_mark *mark)
{
    if (mark && --mark->users == 0)
        free(mark);
}

/* ---- clients coming and going ---- */

static void wake(struct live *live)
{
    uint64_t one = 1;
    if (write(live->wake_fd, &one, sizeof one) != sizeof one)
        abort(); /* an eventfd takes one */
}

/* Asks for the lane's attention. `leaves`: for the last time; the lane lets go of the client then,
 * and not before, though it may see that it is gone: a call that came after that would find
 * nothing. */
static void call(struct live_client *client, bool leaves)
{
    struct live *live = client->live;
    pthread_mutex_lock(&live->lock);
    bool first = !live->called;
    client->left = client->left || leaves;
    if (!client->called) {
        client->called = true;
        client->next_called = live->called;
        live->called = client;
    }
    pthread_mutex_unlock(&live->lock);
    if (first)
        wake(live);
}

/* Somebody who has called; NULL: nobody has. */
static struct live_client *take_called(struct live *live, bool *left)
{
    pthread_mutex_lock(&live->lock);
    struct live_client *client = live->called;
    if (client) {
        live->called = client->next_called;
        client->called = false;
        *left = client->left;
    }
    pthread_mutex_unlock(&live->lock);
    return client;
}

static void client_unref(struct live_client *client)
{
    if (atomic_fetch_sub(&client->users, 1) != 1)
        return;
    pthread_mutex_destroy(&client->turn);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

/* The server's, on an event thread. */
static enum http_more next_events(struct http_stream *stream, struct buf *out)
{
    struct live_client *client = (struct live_client *)stream;
    pthread_mutex_lock(&client->lock);
    bool some = client->out.size_bytes > 0, broken = client->broken;
    bool was_blocked = some && client->blocked;
    if (some) {
        buf_done(out);
        *out = client->out;
        buf_init(&client->out);
        client->blocked = false;
    }
    pthread_mutex_unlock(&client->lock);
    if (was_blocked)
        call(client, false);
    if (some)
        return HTTP_MORE;
    if (broken)
        return HTTP_FAILED;
    return atomic_load(&client->live->draining) ? HTTP_END : HTTP_WAIT;
}

/* The connection lets go, and with it the request. */
static void free_stream(struct http_stream *stream)
{
    struct live_client *client = (struct live_client *)stream;
    atomic_store(&client->gone, true);
    pthread_mutex_lock(&client->turn); /* a turn notices within some vehicles */
    pthread_mutex_unlock(&client->turn);
    call(client, true);
    client_unref(client);
}

static const char *reset_reason(const struct live_request *request,
                                const uint8_t digest[LIVE_DIGEST_BYTES], bool timed)
{
    if (!request->resumes)
        return NULL;
    if (!request->id_good)
        return "bad_id";
    if (memcmp(request->id.digest, digest, LIVE_DIGEST_BYTES) != 0)
        return "other_query";
    return request->id.unfinished || request->id.timed != timed ? "unfinished" : NULL;
}

static struct live_client *client_new(struct live *live, const struct live_request *request)
{
    struct live_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->stream = (struct http_stream){
        .next = next_events, .free = free_stream, .waits = true, .endless = true};
    client->live = live;
    atomic_store(&client->users, 2);
    pthread_mutex_init(&client->turn, NULL);
    pthread_mutex_init(&client->lock, NULL);
    memcpy(client->base_digest, request->digest, sizeof client->base_digest);
    bool whole = live_groups_digest(live->options.groups, request->query->filter, request->digest,
                                    client->digest);
    client->timed = filter_depends_on_time(request->query->filter);
    client->period_ms = request->period_ms;
    client->hint = CHANGES_END;
    client->slot = NO_SLOT;
    client->reset = reset_reason(request, client->digest, client->timed);
    client->stage = STAGE_BEGIN;
    whole = whole && live_watch_filter(&client->filter_watch, request->query->filter) &&
            (!request->fields || live_watch_fields(&client->fields_watch, request->fields));
    if (whole && request->resumes && !client->reset) {
        client->resume = malloc(sizeof *client->resume);
        whole = client->resume != NULL;
        if (whole)
            *client->resume = request->id;
        client->stage = STAGE_AWAIT;
        client->await_until_ms = clock_mono_ms() + LIVE_CATCH_UP_MS;
    }
    if (whole)
        return client;
    live_client_done(client);
    atomic_store(&client->users, 1);
    client_unref(client);
    return NULL;
}

enum live_status live_open(struct live *live, struct live_request *request,
                           struct http_stream **stream)
{
    if (atomic_load(&live->draining))
        return LIVE_STOPPING;
    if (atomic_fetch_add(&live->clients, 1) >= live->options.clients_max) {
        atomic_fetch_sub(&live->clients, 1);
        return LIVE_FULL;
    }
    struct live_client *client = client_new(live, request);
    if (!client) {
        atomic_fetch_sub(&live->clients, 1);
        return LIVE_NO_MEMORY;
    }
    client->query = *request->query;
    client->fields = request->fields;
    *request->query = (struct query){.filter = NULL};
    request->fields = NULL;
    *stream = &client->stream;
    metrics_move(METRIC_LIVE_CLIENTS, 0, 1);
    call(client, false);
    return LIVE_OK;
}

/* ---- the lane's side of it ---- */

static bool add_slot(struct live *live, struct live_client *client)
{
    if (live->slot_count == live->slot_room) {
        size_t room = live->slot_room ? live->slot_room * 2 : FIRST_SLOTS;
        struct live_slot *slots = realloc(live->slots, room * sizeof *slots);
        if (!slots)
            return false;
        live->slots = slots;
        live->slot_room = room;
    }
    client->slot = (uint32_t)live->slot_count;
    live->slots[live->slot_count++] = (struct live_slot){
        .client = client,
        .beat_ms = clock_mono_ms() + LIVE_HEARTBEAT_MS,
        .judge_ms = INT64_MAX,
        .groups = filter_group(client->query.filter, 0) ? live->groups : NO_GROUPS,
        .busy = true,
    };
    live->grouped += filter_group(client->query.filter, 0) != NULL;
    return true;
}

static void remove_slot(struct live *live, uint32_t at)
{
    struct live_slot *last = &live->slots[--live->slot_count];
    live->grouped -= live->slots[at].groups != NO_GROUPS;
    if (at != live->slot_count) {
        live->slots[at] = *last;
        live->slots[at].client->slot = at;
    }
}

/* The lane lets go of a client that is gone, and of all that only the lane may touch. */
static void forget(struct live *live, struct live_client *client)
{
    if (client->slot != NO_SLOT)
        remove_slot(live, client->slot);
    client->slot = NO_SLOT;
    atomic_fetch_sub(&live->clients, 1);
    metrics_move(METRIC_LIVE_CLIENTS, 0, -1);
    live_client_done(client);
    client_unref(client);
}

/* It looks what there is for it: events, or that it is to end. */
static void prod(struct live_client *client)
{
    pthread_mutex_lock(&client->turn);
    if (!atomic_load(&client->gone))
        http_stream_wake(&client->stream);
    pthread_mutex_unlock(&client->turn);
}

/* No memory: rather than miss something in silence the client is cut off. */
static void cut(struct live_client *client)
{
    pthread_mutex_lock(&client->lock);
    client->broken = true;
    pthread_mutex_unlock(&client->lock);
    prod(client);
}

/* Those who have called: new ones get a slot, those that are gone lose it, others have room again.
 */
static void attend(struct live *live)
{
    struct live_client *client;
    bool left;
    while ((client = take_called(live, &left)) != NULL) {
        if (left)
            forget(live, client);
        else if (client->slot != NO_SLOT)
            live->slots[client->slot].blocked = false;
        else if (!add_slot(live, client))
            cut(client);
        else if (atomic_load(&live->draining))
            prod(client);
    }
}

/* ---- rounds ---- */

/* Takes in what happened, and marks how far that is. */
static void refresh(struct live *live)
{
    struct live_mark made = {.users = 1};
    char text[POSITION_TOKEN_BYTES];
    position_take(live->options.store, &made.position);
    made.sweep = store_sweep(live->options.store);
    if (live->options.groups)
        live->groups = groups_version(live->options.groups);
    changes_follow(live->changes);
    made.change = changes_last(live->changes);
    if (live->mark && live->mark->change == made.change)
        return;
    position_write(&made.position, text);
    struct live_mark *mark = malloc(sizeof *mark + strlen(text) + 1);
    if (!mark)
        return; /* what is new is told when there is memory again */
    *mark = made;
    strcpy(mark->text, text);
    live_mark_unref(live->mark);
    live->mark = mark;
}

/* Hands the events over. False: no memory. */
static bool deliver(struct live_client *client, struct buf *events, bool *blocked)
{
    pthread_mutex_lock(&client->lock);
    buf_add(&client->out, events->data, events->size_bytes);
    bool good = !client->out.failed;
    client->blocked = good && client->out.size_bytes >= LIVE_OUT_BYTES;
    *blocked = client->blocked;
    pthread_mutex_unlock(&client->lock);
    if (good)
        http_stream_wake(&client->stream);
    return good;
}

static size_t room_of(struct live_client *client)
{
    pthread_mutex_lock(&client->lock);
    size_t used = client->out.size_bytes;
    pthread_mutex_unlock(&client->lock);
    return used < LIVE_OUT_BYTES ? LIVE_OUT_BYTES - used : 0;
}

static void take_turn(struct live *live, struct live_slot *slot)
{
    struct live_client *client = slot->client;
    bool good = true;
    pthread_mutex_lock(&client->turn);
    if (!atomic_load(&client->gone)) {
        buf_reset(&live->scratch);
        size_t place = store_enter(live->options.store);
        good = live_client_turn(client, slot, room_of(client));
        store_leave(live->options.store, place);
        if (good && live->scratch.size_bytes > 0)
            good = deliver(client, &live->scratch, &slot->blocked);
    }
    pthread_mutex_unlock(&client->turn);
    if (!good) {
        cut(client);
        slot->blocked = true; /* until its connection lets go */
    }
}

static bool is_due(const struct live *live, const struct live_slot *slot, int64_t now_ms)
{
    if (slot->blocked)
        return false;
    bool regrouped = slot->groups != NO_GROUPS && slot->groups != live->groups;
    return slot->busy || now_ms >= slot->beat_ms ||
           (now_ms >= slot->next_ms &&
            (slot->cursor < live->mark->change || now_ms >= slot->judge_ms || regrouped));
}

/* When the slot has something to do even if nothing happens any more. */
static int64_t due_ms(const struct live_slot *slot, uint64_t last)
{
    int64_t at = slot->judge_ms;
    if (slot->blocked)
        return INT64_MAX;
    if (slot->cursor < last)
        at = slot->next_ms;
    else if (at < slot->next_ms)
        at = slot->next_ms;
    return at < slot->beat_ms ? at : slot->beat_ms;
}

/* When a round has something to do. */
struct due {
    int64_t at_ms;      /* 0: at once */
    int64_t changes_ms; /* from when on changes are of use to anybody */
};

/* Everybody's turn, where there is something for him. */
static struct due round_of_all(struct live *live)
{
    int64_t refreshed_ms = clock_mono_ms();
    struct due due = {INT64_MAX, INT64_MAX};
    if (live->grouped > 0) /* nothing wakes the lane for groups alone */
        due.at_ms = refreshed_ms + GROUPS_LOOK_MS;
    refresh(live);
    if (!live->mark)
        return (struct due){refreshed_ms + REFRESH_MS, INT64_MAX};
    for (size_t i = 0; i < live->slot_count; i++) {
        struct live_slot *slot = &live->slots[i];
        if (is_due(live, slot, refreshed_ms)) {
            take_turn(live, slot);
            int64_t now_ms = clock_mono_ms();
            if (now_ms - refreshed_ms >= REFRESH_MS) {
                refresh(live);
                refreshed_ms = now_ms;
            }
        }
        int64_t at_ms = slot->busy && !slot->blocked ? 0 : due_ms(slot, live->mark->change);
        due.at_ms = at_ms < due.at_ms ? at_ms : due.at_ms;
        if (!slot->blocked && slot->next_ms < due.changes_ms)
            due.changes_ms = slot->next_ms;
    }
    return due;
}

/* ---- the thread ---- */

/* Until `until_ms`, or the eventfd is written to: then true. */
static bool rest(struct live *live, int64_t until_ms)
{
    struct pollfd wait = {.fd = live->wake_fd, .events = POLLIN};
    int64_t left_ms = until_ms == INT64_MAX ? -1 : until_ms - clock_mono_ms();
    uint64_t times;
    if (until_ms != INT64_MAX && left_ms <= 0)
        return false;
    if (poll(&wait, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms) != 1)
        return false;
    return read(live->wake_fd, &times, sizeof times) == sizeof times;
}

/* Until the next round. */
static void rest_until_due(struct live *live, const struct due *due, int64_t began_ms)
{
    int64_t deaf_ms = began_ms + PACE_MS;
    if (deaf_ms < due->changes_ms)
        deaf_ms =
            due->changes_ms < began_ms + DEAF_MAX_MS ? due->changes_ms : began_ms + DEAF_MAX_MS;
    if (deaf_ms >= due->at_ms) {
        rest(live, due->at_ms);
        return;
    }
    /* Deaf to changes for a while, so that one waking is for many of them. */
    if (rest(live, deaf_ms))
        return;
    store_bell_arm(live->options.store, BELL_CHANGE);
    if (store_changes(live->options.store) == changes_last(live->changes))
        rest(live, due->at_ms);
}

static void *run(void *closure)
{
    struct live *live = closure;
    bool ended = false;
    while (!atomic_load(&live->stop)) {
        int64_t began_ms = clock_mono_ms();
        attend(live);
        if (atomic_load(&live->draining)) {
            /* Their next piece is the end. */
            for (size_t i = 0; i < live->slot_count && !ended; i++)
                prod(live->slots[i].client);
            ended = true;
            rest(live, INT64_MAX);
        } else if (live->slot_count == 0) {
            rest(live, INT64_MAX);
        } else {
            struct due due = round_of_all(live);
            if (due.at_ms > 0)
                rest_until_due(live, &due, began_ms);
        }
    }
    return NULL;
}

struct live *live_new(const struct live_options *options)
{
    struct live *live = calloc(1, sizeof *live);
    if (!live)
        return NULL;
    live->options = *options;
    pthread_mutex_init(&live->lock, NULL);
    live->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    live->changes = changes_new(options->store);
    live->sent = malloc(TURN_JUDGED_MAX * sizeof *live->sent);
    metrics_set(METRIC_LIVE_CLIENTS, 0, 0);
    if (live->wake_fd >= 0)
        store_bell_set(options->store, BELL_CHANGE, live->wake_fd);
    live->running = live->wake_fd >= 0 && live->changes && live->sent &&
                    pthread_create(&live->thread, NULL, run, live) == 0;
    if (live->running)
        return live;
    live_free(live);
    return NULL;
}

void live_drain(struct live *live)
{
    if (!live)
        return;
    atomic_store(&live->draining, true);
    wake(live);
}

void live_free(struct live *live)
{
    if (!live)
        return;
    if (live->running) {
        atomic_store(&live->stop, true);
        wake(live);
        pthread_join(live->thread, NULL);
        attend(live); /* the last ones that let go */
    }
    live_mark_unref(live->mark);
    changes_free(live->changes);
    free(live->slots);
    free(live->sent);
    buf_done(&live->scratch);
    if (live->wake_fd >= 0)
        close(live->wake_fd);
    pthread_mutex_destroy(&live->lock);
    free(live);
}
