#include "twin/doc_lookup.h"

#include <stdlib.h>
#include <string.h>

enum { SMALL_MEMBERS = 16 }; /* up to here an object is searched from its start */

void doc_lookup_init(struct doc_lookup *lookup, struct doc_ref object)
{
    struct doc_ref none = {NULL, NULL};
    bool searchable = doc_is(object, DOC_OBJECT);
    *lookup = (struct doc_lookup){.object = searchable ? object : none,
                                  .next = searchable ? doc_first(object) : none};
}

void doc_lookup_done(struct doc_lookup *lookup)
{
    free(lookup->order);
    lookup->order = NULL;
}

/* Any total order will do: shorter names first. */
static int name_order(struct doc_ref a, struct doc_ref b)
{
    size_t a_size, b_size;
    const char *a_name = doc_name(a, &a_size), *b_name = doc_name(b, &b_size);
    if (a_size != b_size)
        return a_size < b_size ? -1 : 1;
    return memcmp(a_name, b_name, a_size);
}

static struct doc_ref member_at(const struct doc_lookup *lookup, uint32_t place)
{
    return (struct doc_ref){lookup->object.node + place, lookup->object.heap};
}

static int place_order(const void *a, const void *b, void *closure)
{
    const struct doc_lookup *lookup = closure;
    return name_order(member_at(lookup, *(const uint32_t *)a),
                      member_at(lookup, *(const uint32_t *)b));
}

/* False where there is no memory. */
static bool sort_members(struct doc_lookup *lookup)
{
    size_t members = doc_members(lookup->object), i = 0;
    lookup->order = malloc(members * sizeof *lookup->order);
    if (!lookup->order)
        return false;
    struct doc_ref m = doc_first(lookup->object);
    for (; doc_exists(m); m = doc_next(lookup->object, m))
        lookup->order[i++] = (uint32_t)(m.node - lookup->object.node);
    qsort_r(lookup->order, members, sizeof *lookup->order, place_order, lookup);
    return true;
}

static struct doc_ref search(struct doc_lookup *lookup, struct doc_ref named)
{
    size_t size, members = doc_members(lookup->object);
    const char *name = doc_name(named, &size);
    if (members <= SMALL_MEMBERS || (!lookup->order && !sort_members(lookup)))
        return doc_get(lookup->object, name, size);
    size_t low = 0, high = members;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct doc_ref member = member_at(lookup, lookup->order[middle]);
        int order = name_order(named, member);
        if (order == 0)
            return member;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return (struct doc_ref){NULL, NULL};
}

struct doc_ref doc_lookup_get(struct doc_lookup *lookup, struct doc_ref named)
{
    struct doc_ref found = lookup->next;
    if (!doc_exists(found) || name_order(found, named) != 0)
        found = search(lookup, named);
    if (doc_exists(found))
        lookup->next = doc_next(lookup->object, found);
    return found;
}
