#include "hub/record_ring.h"

#include <stdlib.h>
#include <string.h>

struct kept {
    struct record record; /* its texts stand behind it */
    size_t bytes;
};

struct record_ring {
    size_t records_max, bytes_max, bytes;
    int64_t first, end; /* seq; `end` is behind the last */
    struct kept *slots[];
};

struct record_ring *record_ring_new(size_t records_max, size_t bytes_max)
{
    struct record_ring *ring = calloc(1, sizeof *ring + records_max * sizeof(struct kept *));
    if (!ring)
        return NULL;
    ring->records_max = records_max;
    ring->bytes_max = bytes_max;
    return ring;
}

static struct kept **slot_of(struct record_ring *ring, int64_t seq)
{
    return &ring->slots[(uint64_t)seq % ring->records_max];
}

static void drop_first(struct record_ring *ring)
{
    struct kept **slot = slot_of(ring, ring->first++);
    ring->bytes -= (*slot)->bytes;
    free(*slot);
    *slot = NULL;
}

void record_ring_free(struct record_ring *ring)
{
    while (ring && ring->first < ring->end)
        drop_first(ring);
    free(ring);
}

/* The texts of a record, one after the other. */
static size_t texts_of(struct record *record, struct slice *texts[8])
{
    struct slice *all[] = {&record->vid,  &record->type,   &record->actor,  &record->request_id,
                           &record->boot, &record->stream, &record->region, &record->data};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        texts[i] = all[i];
        bytes += all[i]->size;
    }
    return bytes;
}

static struct kept *keep(const struct record *record)
{
    struct slice *texts[8];
    struct record copy = *record;
    size_t bytes = texts_of(&copy, texts);
    struct kept *kept = malloc(sizeof *kept + bytes);
    if (!kept)
        return NULL;
    kept->record = copy;
    kept->bytes = sizeof *kept + bytes;
    texts_of(&kept->record, texts);
    char *to = (char *)(kept + 1);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i]->size > 0)
            memcpy(to, texts[i]->at, texts[i]->size);
        if (texts[i]->at)
            texts[i]->at = to;
        to += texts[i]->size;
    }
    return kept;
}

bool record_ring_add(struct record_ring *ring, const struct record *record)
{
    struct kept *kept = keep(record);
    if (!kept)
        return false;
    if (record->seq != ring->end) {
        while (ring->first < ring->end)
            drop_first(ring);
        ring->first = ring->end = record->seq;
    }
    while (ring->first < ring->end && ((size_t)(ring->end - ring->first) == ring->records_max ||
                                       ring->bytes + kept->bytes > ring->bytes_max))
        drop_first(ring);
    *slot_of(ring, ring->end++) = kept;
    ring->bytes += kept->bytes;
    return true;
}

const struct record *record_ring_at(const struct record_ring *ring, int64_t seq)
{
    if (seq < ring->first || seq >= ring->end)
        return NULL;
    return &ring->slots[(uint64_t)seq % ring->records_max]->record;
}

int64_t record_ring_first(const struct record_ring *ring)
{
    return ring->first;
}
