#include "hub/live_set.h"

#include <stdlib.h>
#include <string.h>

enum {
    LIST_MAX = 128, /* members of a list; a bitmap takes as much as twice that many */
    FIRST_ROOM = 4,
    WORDS = LIVE_SET_GROUP / 64,
};

struct live_group {
    uint16_t count;   /* 1 to LIVE_SET_GROUP - 1 */
    uint16_t room;    /* of the list; 0: a bitmap */
    uint64_t words[]; /* the bitmap, or the list in its place */
};

/* What stands for a group that holds all it can. */
static struct live_group full;

/* Its members, ascending. */
static uint16_t *list_of(const struct live_group *group)
{
    return (uint16_t *)(uintptr_t)group->words;
}

static struct live_group *group_new(uint16_t room)
{
    size_t bytes = room ? room * sizeof(uint16_t) : WORDS * sizeof(uint64_t);
    struct live_group *group = malloc(sizeof *group + bytes);
    if (group) {
        group->count = 0;
        group->room = room;
        if (!room)
            memset(group->words, 0, bytes);
    }
    return group;
}

static void group_free(struct live_group *group)
{
    if (group != &full)
        free(group);
}

void live_set_done(struct live_set *set)
{
    for (uint32_t i = 0; i < set->group_count; i++)
        group_free(set->groups[i]);
    free(set->groups);
    *set = (struct live_set){0};
}

/* The place of a member in a list, or where it would stand. */
static unsigned place_of(const struct live_group *group, uint16_t member)
{
    unsigned low = 0, high = group->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (list_of(group)[middle] < member)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool group_has(const struct live_group *group, uint16_t member)
{
    if (!group || group == &full)
        return group != NULL;
    if (!group->room)
        return group->words[member / 64] >> member % 64 & 1;
    unsigned place = place_of(group, member);
    return place < group->count && list_of(group)[place] == member;
}

bool live_set_has(const struct live_set *set, uint32_t index)
{
    uint32_t at = index / LIVE_SET_GROUP;
    return at < set->group_count && group_has(set->groups[at], index % LIVE_SET_GROUP);
}

/* ---- changing ---- */

/* The group with room for one more; another one where it had none. NULL: no memory. */
static struct live_group *with_room(struct live_group *group)
{
    if (!group)
        return group_new(FIRST_ROOM);
    if (!group->room || group->count < group->room)
        return group;
    uint16_t room = (uint16_t)(group->room * 2);
    const uint16_t *list = list_of(group);
    struct live_group *more = group_new(room <= LIST_MAX ? room : 0);
    if (!more)
        return NULL;
    more->count = group->count;
    if (more->room)
        memcpy(list_of(more), list, group->count * sizeof *list);
    for (unsigned i = 0; !more->room && i < group->count; i++)
        more->words[list[i] / 64] |= UINT64_C(1) << list[i] % 64;
    free(group);
    return more;
}

static void group_add(struct live_group *group, uint16_t member)
{
    if (group->room) {
        unsigned place = place_of(group, member);
        uint16_t *at = list_of(group) + place;
        memmove(at + 1, at, (group->count - place) * sizeof *at);
        *at = member;
    } else {
        group->words[member / 64] |= UINT64_C(1) << member % 64;
    }
    group->count++;
}

static bool grow(struct live_set *set, uint32_t count)
{
    struct live_group **groups = realloc(set->groups, count * sizeof *groups);
    if (!groups)
        return false;
    memset(groups + set->group_count, 0, (count - set->group_count) * sizeof *groups);
    set->groups = groups;
    set->group_count = count;
    return true;
}

bool live_set_add(struct live_set *set, uint32_t index)
{
    uint32_t at = index / LIVE_SET_GROUP;
    uint16_t member = index % LIVE_SET_GROUP;
    if (live_set_has(set, index))
        return true;
    if (at >= set->group_count && !grow(set, at + 1))
        return false;
    struct live_group *group = with_room(set->groups[at]);
    if (!group)
        return false;
    set->groups[at] = group;
    group_add(group, member);
    set->count++;
    if (group->count == LIVE_SET_GROUP) {
        free(group);
        set->groups[at] = &full;
    }
    return true;
}

static void group_remove(struct live_group *group, uint16_t member)
{
    if (group->room) {
        unsigned place = place_of(group, member);
        uint16_t *at = list_of(group) + place;
        memmove(at, at + 1, (group->count - place - 1u) * sizeof *at);
    } else {
        group->words[member / 64] &= ~(UINT64_C(1) << member % 64);
    }
    group->count--;
}

bool live_set_remove(struct live_set *set, uint32_t index)
{
    uint32_t at = index / LIVE_SET_GROUP;
    if (!live_set_has(set, index))
        return true;
    if (set->groups[at] == &full) {
        struct live_group *group = group_new(0);
        if (!group)
            return false;
        memset(group->words, 0xFF, WORDS * sizeof *group->words);
        group->count = LIVE_SET_GROUP;
        set->groups[at] = group;
    }
    group_remove(set->groups[at], index % LIVE_SET_GROUP);
    set->count--;
    if (set->groups[at]->count == 0) {
        free(set->groups[at]);
        set->groups[at] = NULL;
    }
    return true;
}
