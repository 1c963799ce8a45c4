/* Filters that name groups, and groups that are filters (hub/groups.h). */
#include "hub/groups_impl.h"

#include "twin/record_view.h"

#include <stdlib.h>
#include <string.h>

/* One evaluation, from the filter that was asked down to the groups it leads to. */
struct evaluation {
    const struct groups_set *set; /* NULL: none is under way on this thread */
    unsigned depth, work;
};
static _Thread_local struct evaluation evaluation;

static int by_name(const void *key, const void *entry)
{
    const struct group *const *group = entry;
    return strcmp(key, (*group)->name);
}

const struct group *groups_set_find(const struct groups_set *set, const char *name)
{
    const struct group *const *found =
        bsearch(name, set->groups, set->count, sizeof *set->groups, by_name);
    return found ? *found : NULL;
}

/* ---- whether one holds a vehicle ---- */

static int by_vid(const void *key, const void *entry)
{
    return strcmp(key, *(const char *const *)entry);
}

/* In the evaluation that is under way. */
static bool holds_here(const char *name, const struct subject_of_query *subject, int64_t now_ns)
{
    const struct group *group = groups_set_find(evaluation.set, name);
    if (!group || evaluation.depth == GROUP_DEPTH_MAX || evaluation.work == GROUP_WORK_MAX)
        return false;
    evaluation.work++;
    if (!group->filter)
        return bsearch(subject->twin->vid, group->vids, group->vid_count, sizeof *group->vids,
                       by_vid) != NULL;
    evaluation.depth++;
    bool holds = filter_matches(group->filter, subject, now_ns);
    evaluation.depth--;
    return holds;
}

static bool inner_holds(void *closure, const char *name, const struct subject_of_query *subject,
                        int64_t now_ns)
{
    (void)closure;
    return holds_here(name, subject, now_ns);
}

/* A record is in a group when its vehicle is, as that is now. */
static bool holds_record(struct groups *groups, const char *name,
                         const struct subject_of_query *subject, int64_t now_ns)
{
    struct slice vid = subject->record->vid;
    char text[TOKEN_MAX_BYTES + 1];
    if (!vid.at || vid.size > TOKEN_MAX_BYTES)
        return false;
    memcpy(text, vid.at, vid.size);
    text[vid.size] = '\0';
    size_t place = store_enter(groups->store);
    struct twin *unknown = NULL;
    const struct twin *twin = store_find(groups->store, text);
    if (!twin)
        twin = unknown = twin_new(text); /* a list may name what is not known here */
    struct subject_of_query vehicle = {.twin = twin, .region = subject->region};
    bool holds = twin && holds_here(name, &vehicle, now_ns);
    free(unknown);
    store_leave(groups->store, place);
    return holds;
}

static bool outer_holds(void *closure, const char *name, const struct subject_of_query *subject,
                        int64_t now_ns)
{
    struct groups *groups = closure;
    size_t place = groups_enter(groups);
    evaluation = (struct evaluation){.set = atomic_load(&groups->set)};
    bool holds = subject->twin ? holds_here(name, subject, now_ns)
                               : holds_record(groups, name, subject, now_ns);
    evaluation.set = NULL;
    groups_leave(groups, place);
    return holds;
}

/* ---- whether that depends on time ---- */

static bool depends_here(const char *name)
{
    const struct group *group = groups_set_find(evaluation.set, name);
    if (!group || evaluation.depth == GROUP_DEPTH_MAX || evaluation.work == GROUP_WORK_MAX)
        return true; /* not known, or not to be known: it may */
    evaluation.work++;
    evaluation.depth++;
    bool depends = group->filter && filter_depends_on_time(group->filter);
    evaluation.depth--;
    return depends;
}

static bool inner_depends(void *closure, const char *name)
{
    (void)closure;
    return depends_here(name);
}

static bool outer_depends(void *closure, const char *name)
{
    struct groups *groups = closure;
    size_t place = groups_enter(groups);
    evaluation = (struct evaluation){.set = atomic_load(&groups->set)};
    bool depends = depends_here(name);
    evaluation.set = NULL;
    groups_leave(groups, place);
    return depends;
}

/* ---- whether one exists ---- */

static bool outer_exists(void *closure, const char *name)
{
    struct groups *groups = closure;
    size_t place = groups_enter(groups);
    bool exists = groups_find(groups, name) != NULL;
    groups_leave(groups, place);
    return exists;
}

/* A stored filter was judged when it was written: a group that it names and that was deleted since
 * holds nobody. */
static bool inner_exists(void *closure, const char *name)
{
    (void)closure;
    (void)name;
    return true;
}

void groups_filters_init(struct groups *groups)
{
    groups->outer = (struct filter_groups){groups, outer_exists, outer_holds, outer_depends};
    groups->inner = (struct filter_groups){groups, inner_exists, inner_holds, inner_depends};
}

const struct filter_groups *groups_for_filters(struct groups *groups)
{
    return groups ? &groups->outer : NULL;
}

/* ---- cycles ---- */

/* Follows every group that the filter leads to; false where it comes back, or never ends. */
static bool walk(const struct groups_set *set, const char *forbidden, const struct filter *filter,
                 unsigned depth, unsigned *work)
{
    const char *name;
    for (size_t i = 0; filter && (name = filter_group(filter, i)); i++) {
        if (strcmp(name, forbidden) == 0 || depth == GROUP_DEPTH_MAX || ++*work > GROUP_WORK_MAX)
            return false;
        const struct group *group = groups_set_find(set, name);
        if (group && !walk(set, forbidden, group->filter, depth + 1, work))
            return false;
    }
    return true;
}

bool groups_cyclic(const struct groups_set *set, const struct group *group)
{
    unsigned work = 1;
    return !walk(set, group->name, group->filter, 1, &work);
}
