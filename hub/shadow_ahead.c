/* Reading TWIN_SHADOW before the twins are there: while TWIN_LAST is being read, which takes as
 * long, values are parsed and kept, in the order of the bucket. Only what the mark vouches for is
 * read ahead: nothing has to be looked up for it, and nothing put on record. What is newer, or not
 * readable, waits for the twins, and so does everything behind it. */
#include "hub/clock.h"
#include "hub/shadow_history.h"
#include "hub/shadow_impl.h"

#include <stdlib.h>
#include <string.h>

enum {
    AHEAD_MAX_BYTES = 64 << 20, /* most of it is what the twins will hold anyway */
    CHUNK_BYTES = 256 * 1024,   /* goes back to the system when it is freed */
    NEXT_MS = 20,
    RETRY_MS = 250,
};

/* A value, and its vehicle's id behind it. */
struct kept {
    struct part *part;
    uint16_t vid_len;
    uint8_t kind;
    bool deleted;
    char vid[];
};

struct shadow_chunk {
    struct shadow_chunk *next;
    size_t used;
    _Alignas(struct kept) char room[CHUNK_BYTES];
};

static size_t kept_bytes(size_t vid_len)
{
    size_t bytes = sizeof(struct kept) + vid_len;
    return (bytes + _Alignof(struct kept) - 1) / _Alignof(struct kept) * _Alignof(struct kept);
}

/* ---- keeping ---- */

/* Room for one; NULL when there is no memory. */
static struct kept *add(struct shadow_ahead *ahead, size_t vid_len)
{
    size_t bytes = kept_bytes(vid_len);
    if (!ahead->last || ahead->last->used + bytes > CHUNK_BYTES) {
        struct shadow_chunk *chunk = malloc(sizeof *chunk);
        if (!chunk)
            return NULL;
        chunk->next = NULL;
        chunk->used = 0;
        *(ahead->last ? &ahead->last->next : &ahead->first) = chunk;
        ahead->last = chunk;
        ahead->bytes += sizeof *chunk;
    }
    struct kept *kept = (struct kept *)(void *)(ahead->last->room + ahead->last->used);
    ahead->last->used += bytes;
    return kept;
}

static struct part *part_of(const struct bus_msg *msg, struct shadow_value *value)
{
    char vid[TOKEN_MAX_BYTES + 1];
    bool named = bus_msg_header(msg, SHADOW_HEADER_RECORD) != NULL; /* the mark vouches for it */
    return part_new(value->revision, value->received_ns, shadow_author_of(msg, value, named, vid),
                    value->value);
}

/* False where the message has to wait for the twins. */
static bool keep(struct shadow_lane *lane, const struct bus_msg *msg)
{
    struct shadow_ahead *ahead = &lane->ahead;
    struct shadow_value value;
    if (ahead->bytes > AHEAD_MAX_BYTES || !shadow_read_message(lane, msg, &value) || value.news)
        return false;
    struct part *part = part_of(msg, &value);
    struct kept *kept = part ? add(ahead, value.vid.size) : NULL;
    if (!kept) {
        free(part);
        return false;
    }
    *kept = (struct kept){part, (uint16_t)value.vid.size, (uint8_t)value.kind, value.deleted};
    memcpy(kept->vid, value.vid.at, value.vid.size);
    ahead->bytes += sizeof *part + doc_bytes(part->value);
    ahead->position = (struct position){lane->epoch_ns, msg->stream_seq, msg->received_ns};
    return true;
}

/* Calls `each` for every value, in order, and forgets them; where it says false it ends there. */
static void hand_out(struct shadow_lane *lane,
                     bool (*each)(struct shadow_lane *, const struct kept *))
{
    struct shadow_ahead *ahead = &lane->ahead;
    bool more = true;
    while (ahead->first) {
        struct shadow_chunk *chunk = ahead->first;
        for (size_t at = 0; at < chunk->used;) {
            const struct kept *kept = (const struct kept *)(const void *)(chunk->room + at);
            at += kept_bytes(kept->vid_len);
            more = more && each(lane, kept);
            if (!more)
                free(kept->part);
        }
        ahead->first = chunk->next;
        free(chunk);
    }
    ahead->last = NULL;
    ahead->bytes = 0;
}

static bool none(struct shadow_lane *lane, const struct kept *kept)
{
    (void)lane, (void)kept;
    return false;
}

/* ---- waiting for the twins ---- */

/* Whether they are there, or never will be. */
static bool over(struct shadow_lane *lane)
{
    return atomic_load(&lane->may_go) || atomic_load(&lane->stop);
}

static void wait_over(struct shadow_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    while (!over(lane))
        pthread_cond_wait(&lane->changed, &lane->lock);
    pthread_mutex_unlock(&lane->lock);
}

/* ---- reading ---- */

static void begin_again(struct shadow_lane *lane)
{
    hand_out(lane, none);
    lane->ahead.position = (struct position){0};
    bus_consumer_close(lane->consumer);
    lane->consumer = NULL;
}

static void read_one(struct shadow_lane *lane)
{
    struct shadow_ahead *ahead = &lane->ahead;
    switch (bus_next(lane->consumer, NEXT_MS, &ahead->held)) {
    case BUS_OK:
        ahead->holds = !keep(lane, &ahead->held);
        ahead->ended = !ahead->holds && ahead->held.pending == 0;
        if (!ahead->holds)
            bus_msg_done(&ahead->held);
        return;
    case BUS_TIMEOUT:
        ahead->ended = bus_caught_up(lane->consumer);
        return;
    case BUS_DISCONNECTED:
        return;
    default:
        begin_again(lane);
    }
}

static bool apply(struct shadow_lane *lane, const struct kept *kept)
{
    struct shadow_value value = {.vid = {kept->vid, kept->vid_len},
                                 .kind = (enum part_kind)kept->kind,
                                 .revision = kept->part->revision,
                                 .received_ns = kept->part->updated_ns,
                                 .deleted = kept->deleted};
    while (!shadow_apply_part(lane, &value, kept->part)) {
        if (atomic_load(&lane->stop))
            return false;
        clock_pause_ms(RETRY_MS);
    }
    return true;
}

void shadow_ahead_run(struct shadow_lane *lane)
{
    struct shadow_ahead *ahead = &lane->ahead;
    while (!over(lane)) {
        if (ahead->holds || ahead->ended)
            wait_over(lane);
        else if (lane->consumer || shadow_open(lane))
            read_one(lane);
        else
            clock_pause_ms(RETRY_MS);
    }
    bool stop = atomic_load(&lane->stop);
    hand_out(lane, stop ? none : apply);
    if (stop || ahead->position.seq == 0)
        return;
    store_lock(lane->options.store);
    store_advance(lane->options.store, STREAM_SHADOW, ahead->position);
    store_unlock(lane->options.store);
}
