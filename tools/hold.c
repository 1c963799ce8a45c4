#include "tools/hold.h"

#include <stdlib.h>
#include <string.h>

enum { HOLD_FIRST = 64 };

struct hold {
    struct held **heap; /* the least first */
    size_t count, capacity;
    uint64_t order;
};

struct held *held_new(int64_t at_ns, enum category category, bool repeat, const char *subject,
                      const char *msg_id, const void *payload, size_t payload_bytes)
{
    size_t subject_bytes = strlen(subject) + 1, id_bytes = strlen(msg_id) + 1;
    struct held *held = calloc(1, sizeof *held + subject_bytes + id_bytes + payload_bytes);
    if (!held)
        return NULL;
    held->at_ns = at_ns;
    held->category = category;
    held->repeat = repeat;
    held->payload_bytes = payload_bytes;
    held->subject = memcpy(held->bytes, subject, subject_bytes);
    held->msg_id = memcpy(held->bytes + subject_bytes, msg_id, id_bytes);
    held->payload = memcpy(held->bytes + subject_bytes + id_bytes, payload, payload_bytes);
    return held;
}

struct hold *hold_new(void)
{
    return calloc(1, sizeof(struct hold));
}

void hold_free(struct hold *hold)
{
    if (!hold)
        return;
    for (size_t i = 0; i < hold->count; i++)
        free(hold->heap[i]);
    free(hold->heap);
    free(hold);
}

static bool before(const struct held *a, const struct held *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

bool hold_put(struct hold *hold, struct held *held)
{
    if (hold->count == hold->capacity) {
        size_t capacity = hold->capacity ? hold->capacity * 2 : HOLD_FIRST;
        struct held **heap =
            hold->count < HOLD_MAX ? realloc(hold->heap, capacity * sizeof *heap) : NULL;
        if (!heap)
            return false;
        hold->heap = heap;
        hold->capacity = capacity;
    }
    held->order = hold->order++;
    size_t at = hold->count++;
    for (; at > 0 && before(held, hold->heap[(at - 1) / 2]); at = (at - 1) / 2)
        hold->heap[at] = hold->heap[(at - 1) / 2];
    hold->heap[at] = held;
    return true;
}

size_t hold_count(const struct hold *hold)
{
    return hold->count;
}

int64_t hold_next_ns(const struct hold *hold)
{
    return hold->count ? hold->heap[0]->at_ns : INT64_MAX;
}

struct held *hold_take(struct hold *hold)
{
    if (hold->count == 0)
        return NULL;
    struct held *first = hold->heap[0];
    struct held *last = hold->heap[--hold->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < hold->count && before(hold->heap[child + 1], hold->heap[child]))
            child++;
        if (child >= hold->count || !before(hold->heap[child], last))
            break;
        hold->heap[at] = hold->heap[child];
        at = child;
    }
    hold->heap[at] = last;
    return first;
}
