#include "tools/roster.h"

#include "twin/envelope.h"

#include <stdlib.h>
#include <string.h>

enum { ROSTER_FIRST_SLOTS = 64 };

struct roster {
    char (*vids)[TOKEN_MAX_BYTES + 1];
    uint32_t count;
    uint32_t *slots; /* numbers + 1, 0 is free; a power of two, at most half full */
    uint32_t slot_count;
};

struct roster *roster_new(void)
{
    struct roster *roster = calloc(1, sizeof *roster);
    if (!roster)
        return NULL;
    roster->slot_count = ROSTER_FIRST_SLOTS;
    roster->slots = calloc(roster->slot_count, sizeof *roster->slots);
    roster->vids = calloc(roster->slot_count / 2, sizeof *roster->vids);
    if (!roster->slots || !roster->vids) {
        roster_free(roster);
        return NULL;
    }
    return roster;
}

void roster_free(struct roster *roster)
{
    if (!roster)
        return;
    free(roster->vids);
    free(roster->slots);
    free(roster);
}

/* FNV-1a. */
static uint32_t hash_of(const char *text, size_t size)
{
    uint32_t hash = UINT32_C(2166136261);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT32_C(16777619);
    return hash;
}

/* The slot that holds the vid, or the free one where it would go. */
static uint32_t *slot_of(const struct roster *roster, const char *vid, size_t size)
{
    uint32_t mask = roster->slot_count - 1;
    for (uint32_t i = hash_of(vid, size) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &roster->slots[i];
        if (*slot == 0)
            return slot;
        const char *known = roster->vids[*slot - 1];
        if (strlen(known) == size && memcmp(known, vid, size) == 0)
            return slot;
    }
}

static int grow(struct roster *roster)
{
    uint32_t slot_count = roster->slot_count * 2;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    void *vids = realloc(roster->vids, slot_count / 2 * sizeof *roster->vids);
    if (vids)
        roster->vids = vids;
    if (!slots || !vids) {
        free(slots);
        return -1;
    }
    free(roster->slots);
    roster->slots = slots;
    roster->slot_count = slot_count;
    for (uint32_t i = 0; i < roster->count; i++)
        *slot_of(roster, roster->vids[i], strlen(roster->vids[i])) = i + 1;
    return 0;
}

uint32_t roster_add(struct roster *roster, const char *vid, size_t size)
{
    if (!vid_valid(vid, size))
        return ROSTER_NONE;
    uint32_t *slot = slot_of(roster, vid, size);
    if (*slot)
        return *slot - 1;
    if (roster->count >= ROSTER_MAX)
        return ROSTER_NONE;
    if (roster->count >= roster->slot_count / 2) {
        if (grow(roster) != 0)
            return ROSTER_NONE;
        slot = slot_of(roster, vid, size);
    }
    memcpy(roster->vids[roster->count], vid, size);
    roster->vids[roster->count][size] = '\0';
    *slot = ++roster->count;
    return roster->count - 1;
}

uint32_t roster_find(const struct roster *roster, const char *vid, size_t size)
{
    uint32_t slot = *slot_of(roster, vid, size);
    return slot ? slot - 1 : ROSTER_NONE;
}

const char *roster_vid(const struct roster *roster, uint32_t number)
{
    return roster->vids[number];
}

uint32_t roster_count(const struct roster *roster)
{
    return roster->count;
}
