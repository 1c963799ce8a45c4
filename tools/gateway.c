#include "tools/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum entry_state { ENTRY_QUEUED, ENTRY_SENT, ENTRY_DELAYED, ENTRY_STORED, ENTRY_STATE_COUNT };

enum { ENTRIES_FIRST = 256, ARCHIVE_DOUBLINGS_MAX = 3 };

/* The top bit of a tag is not ours: another user of the same connection tells its own by it. */
#define GENERATION_MASK UINT32_C(0x7fffffff)

struct entry {
    struct entry *prev, *next;
    uint32_t slot, generation;
    enum entry_state state;
    enum gateway_stream stream;
    bool acknowledged;
    unsigned not_archived; /* times it was repeated for want of the archive */
    int64_t since_ns;      /* in this state */
    uint64_t seq, epoch;   /* ENTRY_STORED: of the latest acknowledgement */
    size_t payload_bytes;
    const char *subject, *msg_id, *payload;
    char bytes[];
};

struct entry_list {
    struct entry *first, *last;
    size_t count;
};

struct stream_position {
    char epoch[GATEWAY_EPOCH_BYTES];
    uint64_t epoch_no; /* counts the epochs heard; 0: none yet */
    uint64_t seq;
    int64_t heard_ns, moved_ns; /* moved: or came back after silence */
    uint64_t last_stored_seq;   /* of the latest publish acknowledgement */
    uint64_t void_seq;          /* positions up to here speak of what the broker has lost since */
};

struct gateway {
    struct gateway_config config;
    struct entry_list lists[ENTRY_STATE_COUNT];
    struct stream_position streams[GATEWAY_STREAM_COUNT];
    struct gateway_counts counts;
    struct entry **slots; /* by the low half of the tag */
    uint32_t *free_slots;
    uint32_t slot_count, free_count, generation;
    size_t kept, unacknowledged;
};

const char *gateway_stream_name(enum gateway_stream stream)
{
    static const char *const names[] = {"TWIN_EVENTS", "TWIN_ACK", "TWIN_STATE"};
    return names[stream];
}

const char *gateway_retry_name(enum gateway_retry retry)
{
    static const char *const names[] = {
#define X(id, name) name,
        GATEWAY_RETRY_TABLE(X)
#undef X
    };
    return names[retry];
}

/* ---- lists and slots ---- */

static void list_remove(struct gateway *gateway, struct entry *entry)
{
    struct entry_list *list = &gateway->lists[entry->state];
    if (entry->prev)
        entry->prev->next = entry->next;
    else
        list->first = entry->next;
    if (entry->next)
        entry->next->prev = entry->prev;
    else
        list->last = entry->prev;
    list->count--;
}

static void list_append(struct gateway *gateway, struct entry *entry, enum entry_state state,
                        int64_t now_ns)
{
    struct entry_list *list = &gateway->lists[state];
    entry->state = state;
    entry->since_ns = now_ns;
    entry->next = NULL;
    entry->prev = list->last;
    if (list->last)
        list->last->next = entry;
    else
        list->first = entry;
    list->last = entry;
    list->count++;
}

static void move_to(struct gateway *gateway, struct entry *entry, enum entry_state state,
                    int64_t now_ns)
{
    list_remove(gateway, entry);
    list_append(gateway, entry, state, now_ns);
}

static void queue_again(struct gateway *gateway, struct entry *entry, enum gateway_retry why,
                        int64_t now_ns)
{
    gateway->counts.retried[why]++;
    move_to(gateway, entry, ENTRY_QUEUED, now_ns);
}

static bool grow_slots(struct gateway *gateway)
{
    uint32_t count = gateway->slot_count ? gateway->slot_count * 2 : ENTRIES_FIRST;
    struct entry **slots = realloc(gateway->slots, count * sizeof *slots);
    if (slots)
        gateway->slots = slots;
    uint32_t *free_slots = realloc(gateway->free_slots, count * sizeof *free_slots);
    if (free_slots)
        gateway->free_slots = free_slots;
    if (!slots || !free_slots)
        return false;
    for (uint32_t i = count; i-- > gateway->slot_count;) {
        slots[i] = NULL;
        free_slots[gateway->free_count++] = i;
    }
    gateway->slot_count = count;
    return true;
}

static uint64_t tag_of(const struct entry *entry)
{
    return (uint64_t)entry->generation << 32 | entry->slot;
}

/* The entry a tag was given to, NULL where that one is gone. */
static struct entry *entry_of(const struct gateway *gateway, uint64_t tag)
{
    uint32_t slot = (uint32_t)tag;
    struct entry *entry = slot < gateway->slot_count ? gateway->slots[slot] : NULL;
    return entry && entry->generation == (uint32_t)(tag >> 32) ? entry : NULL;
}

static void forget(struct gateway *gateway, struct entry *entry)
{
    list_remove(gateway, entry);
    gateway->slots[entry->slot] = NULL;
    gateway->free_slots[gateway->free_count++] = entry->slot;
    gateway->kept--;
    free(entry);
}

/* ---- life ---- */

struct gateway *gateway_new(const struct gateway_config *config)
{
    struct gateway *gateway = calloc(1, sizeof *gateway);
    if (gateway)
        gateway->config = *config;
    return gateway;
}

void gateway_free(struct gateway *gateway)
{
    if (!gateway)
        return;
    for (uint32_t i = 0; i < gateway->slot_count; i++)
        free(gateway->slots[i]);
    free(gateway->slots);
    free(gateway->free_slots);
    free(gateway);
}

bool gateway_room(const struct gateway *gateway)
{
    return gateway->kept < GATEWAY_KEPT_MAX;
}

size_t gateway_kept(const struct gateway *gateway)
{
    return gateway->kept;
}

size_t gateway_unacknowledged(const struct gateway *gateway)
{
    return gateway->unacknowledged;
}

const struct gateway_counts *gateway_counts(const struct gateway *gateway)
{
    return &gateway->counts;
}

static const char *put_text(char **at, const void *text, size_t size)
{
    char *start = *at;
    memcpy(start, text, size);
    *at += size;
    return start;
}

static bool kept_until_archived(const struct gateway *gateway, const struct entry *entry)
{
    return gateway->config.until_archived && entry->stream != GATEWAY_STATE;
}

static void send_queued(struct gateway *gateway, int64_t now_ns)
{
    struct entry *entry;
    while (gateway->lists[ENTRY_SENT].count < GATEWAY_WINDOW &&
           (entry = gateway->lists[ENTRY_QUEUED].first) != NULL) {
        if (!gateway->config.send(gateway->config.closure, entry->subject, entry->payload,
                                  entry->payload_bytes, entry->msg_id, tag_of(entry)))
            return;
        gateway->counts.sends++;
        move_to(gateway, entry, ENTRY_SENT, now_ns);
    }
}

bool gateway_keep(struct gateway *gateway, enum gateway_stream stream, const char *subject,
                  const void *payload, size_t size, const char *msg_id, int64_t now_ns)
{
    size_t subject_bytes = strlen(subject) + 1, id_bytes = strlen(msg_id) + 1;

    if (!gateway_room(gateway) || (gateway->free_count == 0 && !grow_slots(gateway)))
        return false;
    struct entry *entry = calloc(1, sizeof *entry + subject_bytes + id_bytes + size);
    if (!entry)
        return false;
    char *at = entry->bytes;
    entry->subject = put_text(&at, subject, subject_bytes);
    entry->msg_id = put_text(&at, msg_id, id_bytes);
    entry->payload = put_text(&at, payload, size);
    entry->payload_bytes = size;
    entry->stream = stream;
    entry->generation = ++gateway->generation & GENERATION_MASK;
    entry->slot = gateway->free_slots[--gateway->free_count];
    gateway->slots[entry->slot] = entry;
    gateway->kept++;
    gateway->unacknowledged++;
    gateway->counts.kept[stream]++;
    list_append(gateway, entry, ENTRY_QUEUED, now_ns);
    send_queued(gateway, now_ns);
    return true;
}

/* ---- what comes back ---- */

/* Takes back every acknowledgement of a stream that is older than `before_ns`. */
static void queue_stored(struct gateway *gateway, enum gateway_stream stream, int64_t before_ns,
                         enum gateway_retry why, int64_t now_ns)
{
    struct entry *next;
    for (struct entry *entry = gateway->lists[ENTRY_STORED].first; entry; entry = next) {
        next = entry->next;
        if (entry->stream == stream && entry->since_ns < before_ns)
            queue_again(gateway, entry, why, now_ns);
    }
}

/* Acknowledgements come in the order of the stream. One that does not grow says that the broker
 * gives out sequences a second time: it has lost its tail, or all of the stream. */
static void note_stored_seq(struct gateway *gateway, enum gateway_stream stream, uint64_t seq,
                            int64_t now_ns)
{
    struct stream_position *position = &gateway->streams[stream];
    if (seq <= position->last_stored_seq) {
        queue_stored(gateway, stream, INT64_MAX, GATEWAY_RETRY_STEP_BACK, now_ns);
        position->void_seq = position->seq;
    }
    position->last_stored_seq = seq;
}

static bool covered(const struct gateway *gateway, const struct entry *entry)
{
    const struct stream_position *position = &gateway->streams[entry->stream];
    return position->epoch_no > 0 && entry->epoch == position->epoch_no &&
           entry->seq <= position->seq && position->seq > position->void_seq;
}

static void archive_entry(struct gateway *gateway, struct entry *entry)
{
    gateway->counts.archived[entry->stream]++;
    forget(gateway, entry);
}

void gateway_answered(struct gateway *gateway, uint64_t tag, uint64_t seq, bool duplicate,
                      int64_t now_ns)
{
    struct entry *entry = entry_of(gateway, tag);

    if (seq == 0) {
        gateway->counts.refused++;
        if (entry && entry->state == ENTRY_SENT) {
            gateway->counts.retried[GATEWAY_RETRY_REFUSED]++;
            move_to(gateway, entry, ENTRY_DELAYED, now_ns);
        }
        send_queued(gateway, now_ns);
        return;
    }
    if (!entry)
        return;
    if (!duplicate)
        note_stored_seq(gateway, entry->stream, seq, now_ns);
    if (!entry->acknowledged) {
        entry->acknowledged = true;
        gateway->unacknowledged--;
        gateway->counts.acknowledged[entry->stream]++;
    }
    if (!kept_until_archived(gateway, entry)) {
        forget(gateway, entry);
    } else {
        entry->seq = seq;
        entry->epoch = gateway->streams[entry->stream].epoch_no;
        move_to(gateway, entry, ENTRY_STORED, now_ns);
    }
    send_queued(gateway, now_ns);
}

static void enter_epoch(struct gateway *gateway, enum gateway_stream stream, const char *epoch,
                        int64_t now_ns)
{
    struct stream_position *position = &gateway->streams[stream];
    bool first = position->epoch_no == 0;

    position->epoch_no++;
    position->seq = 0;
    position->void_seq = 0;
    position->moved_ns = now_ns;
    snprintf(position->epoch, sizeof position->epoch, "%s", epoch);
    if (!first)
        position->last_stored_seq = 0;
    /* What was acknowledged just before the hub's first word is of the epoch that it names. What is
     * older was acknowledged while there was no hub, and the stream may be another one by now. */
    queue_stored(gateway, stream, first ? now_ns - GATEWAY_SILENT_NS : INT64_MAX,
                 GATEWAY_RETRY_NEW_EPOCH, now_ns);
    for (struct entry *entry = gateway->lists[ENTRY_STORED].first; entry; entry = entry->next)
        if (entry->stream == stream)
            entry->epoch = position->epoch_no;
}

void gateway_archived(struct gateway *gateway, enum gateway_stream stream, const char *epoch,
                      uint64_t seq, int64_t now_ns)
{
    struct stream_position *position = &gateway->streams[stream];
    struct entry *next;

    if (position->epoch_no == 0 || strcmp(position->epoch, epoch) != 0)
        enter_epoch(gateway, stream, epoch, now_ns);
    if (seq > position->seq || now_ns - position->heard_ns > GATEWAY_SILENT_NS)
        position->moved_ns = now_ns;
    if (seq > position->seq)
        position->seq = seq;
    position->heard_ns = now_ns;
    gateway->counts.positions++;
    for (struct entry *entry = gateway->lists[ENTRY_STORED].first; entry; entry = next) {
        next = entry->next;
        if (entry->stream == stream && covered(gateway, entry))
            archive_entry(gateway, entry);
    }
    send_queued(gateway, now_ns);
}

void gateway_reconnected(struct gateway *gateway, int64_t now_ns)
{
    static const enum entry_state uncertain[] = {ENTRY_STORED, ENTRY_SENT};
    for (size_t i = 0; i < sizeof uncertain / sizeof *uncertain; i++)
        while (gateway->lists[uncertain[i]].first)
            queue_again(gateway, gateway->lists[uncertain[i]].first, GATEWAY_RETRY_RECONNECT,
                        now_ns);
    send_queued(gateway, now_ns);
}

/* ---- time ---- */

static int64_t archive_timeout_ns(const struct entry *entry)
{
    unsigned doublings =
        entry->not_archived < ARCHIVE_DOUBLINGS_MAX ? entry->not_archived : ARCHIVE_DOUBLINGS_MAX;
    int64_t timeout_ns = GATEWAY_ARCHIVE_TIMEOUT_NS << doublings;
    return timeout_ns < GATEWAY_ARCHIVE_TIMEOUT_MAX_NS ? timeout_ns
                                                       : GATEWAY_ARCHIVE_TIMEOUT_MAX_NS;
}

static bool archive_stands_still(const struct gateway *gateway, const struct entry *entry,
                                 int64_t now_ns)
{
    const struct stream_position *position = &gateway->streams[entry->stream];
    int64_t since_ns = entry->since_ns > position->moved_ns ? entry->since_ns : position->moved_ns;
    return position->epoch_no > 0 && now_ns - position->heard_ns <= GATEWAY_SILENT_NS &&
           position->heard_ns > entry->since_ns && now_ns - since_ns > archive_timeout_ns(entry);
}

static void repeat_unarchived(struct gateway *gateway, int64_t now_ns)
{
    struct entry *next;
    for (struct entry *entry = gateway->lists[ENTRY_STORED].first; entry; entry = next) {
        next = entry->next;
        /* the list is in order of since_ns, and no limit is shorter than this */
        if (now_ns - entry->since_ns <= GATEWAY_ARCHIVE_TIMEOUT_NS)
            return;
        if (archive_stands_still(gateway, entry, now_ns)) {
            entry->not_archived++;
            queue_again(gateway, entry, GATEWAY_RETRY_NOT_ARCHIVED, now_ns);
        }
    }
}

void gateway_tick(struct gateway *gateway, int64_t now_ns)
{
    struct entry *entry;
    while ((entry = gateway->lists[ENTRY_SENT].first) != NULL &&
           now_ns - entry->since_ns > GATEWAY_ACK_TIMEOUT_NS)
        queue_again(gateway, entry, GATEWAY_RETRY_NO_ANSWER, now_ns);
    while ((entry = gateway->lists[ENTRY_DELAYED].first) != NULL &&
           now_ns - entry->since_ns > GATEWAY_REFUSED_PAUSE_NS)
        move_to(gateway, entry, ENTRY_QUEUED, now_ns);
    repeat_unarchived(gateway, now_ns);
    send_queued(gateway, now_ns);
}
