#include "hub/changes.h"

#include <stdlib.h>

enum { BATCH = 1024, FIRST_ROOM = 1024 };

/* A link of the chain from the vehicle that changed longest ago to the one that changed last. */
struct place {
    uint64_t change; /* 0: not in the chain */
    uint32_t before, after;
};

struct changes {
    const struct store *store;
    struct place *places; /* by the vehicle's index */
    uint32_t room, first, last;
    uint64_t seen;
};

struct changes *changes_new(const struct store *store)
{
    struct changes *changes = calloc(1, sizeof *changes);
    if (!changes)
        return NULL;
    changes->store = store;
    changes->first = CHANGES_END;
    changes->last = CHANGES_END;
    return changes;
}

void changes_free(struct changes *changes)
{
    if (!changes)
        return;
    free(changes->places);
    free(changes);
}

/* Room for every vehicle that there is. */
static bool make_room(struct changes *changes)
{
    uint32_t count = store_count(changes->store), room = changes->room ? changes->room : FIRST_ROOM;
    if (count <= changes->room)
        return true;
    while (room < count)
        room *= 2;
    struct place *places = realloc(changes->places, room * sizeof *places);
    if (!places)
        return false;
    for (uint32_t i = changes->room; i < room; i++)
        places[i] = (struct place){0, CHANGES_END, CHANGES_END};
    changes->places = places;
    changes->room = room;
    return true;
}

static void take_out(struct changes *changes, struct place *place)
{
    if (place->before != CHANGES_END)
        changes->places[place->before].after = place->after;
    else
        changes->first = place->after;
    if (place->after != CHANGES_END)
        changes->places[place->after].before = place->before;
    else
        changes->last = place->before;
}

/* Nothing in the chain is newer. */
static void move_to_end(struct changes *changes, uint32_t index, uint64_t change)
{
    struct place *place = &changes->places[index];
    if (place->change != 0)
        take_out(changes, place);
    *place = (struct place){change, changes->last, CHANGES_END};
    if (changes->last != CHANGES_END)
        changes->places[changes->last].after = index;
    else
        changes->first = index;
    changes->last = index;
}

/* ---- where the ring was lost ---- */

struct found {
    uint64_t change;
    uint32_t index;
};

static int by_change(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return (x->change > y->change) - (x->change < y->change);
}

static bool look_at_all(struct changes *changes)
{
    /* Asked first: whatever is put from now on is behind it, and stands in the ring. */
    uint64_t upto = store_changes(changes->store);
    if (!make_room(changes))
        return false;
    uint32_t count = store_count(changes->store);
    if (count > changes->room)
        count = changes->room;
    struct found *found = malloc((count ? count : 1) * sizeof *found);
    size_t size = 0;
    if (!found)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t change = store_changed(changes->store, i);
        if (change > changes->places[i].change)
            found[size++] = (struct found){change, i};
    }
    qsort(found, size, sizeof *found, by_change);
    for (size_t i = 0; i < size; i++)
        move_to_end(changes, found[i].index, found[i].change);
    free(found);
    changes->seen = upto;
    return true;
}

/* ---- following ---- */

bool changes_follow(struct changes *changes)
{
    uint32_t indices[BATCH];
    uint64_t last = store_changes(changes->store);
    if (last - changes->seen >= STORE_LOG)
        return look_at_all(changes);
    while (changes->seen < last) {
        size_t count;
        if (!store_log(changes->store, changes->seen, indices, BATCH, &count))
            return look_at_all(changes);
        if (!make_room(changes)) /* after the log: its vehicles are counted before they are put */
            return false;
        for (size_t i = 0; i < count; i++) {
            uint64_t change = changes->seen + 1 + i;
            if (change > changes->places[indices[i]].change) /* else it was found by looking */
                move_to_end(changes, indices[i], change);
        }
        changes->seen += count;
    }
    return true;
}

uint64_t changes_last(const struct changes *changes)
{
    return changes->seen;
}

uint64_t changes_of(const struct changes *changes, uint32_t index)
{
    return index < changes->room ? changes->places[index].change : 0;
}

uint32_t changes_after(const struct changes *changes, uint64_t change, uint32_t hint)
{
    if (hint < changes->room && changes->places[hint].change == change)
        return changes->places[hint].after;
    uint32_t at = CHANGES_END;
    for (uint32_t i = changes->last; i != CHANGES_END && changes->places[i].change > change;
         i = changes->places[i].before)
        at = i;
    return at;
}

uint32_t changes_next(const struct changes *changes, uint32_t index)
{
    return changes->places[index].after;
}
