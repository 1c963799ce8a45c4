/* Verification: the filter of `verify` on a vehicle's twin, by what was received after sending. */
#include "hub/command_impl.h"

#include <string.h>

static bool is(struct slice name, const char *text)
{
    return name.at && name.size == strlen(text) && memcmp(name.at, text, name.size) == 0;
}

/* Whether something of any state type has come since. */
static bool any_state_since(const struct twin *twin, int64_t sent_ns)
{
    for (uint16_t i = 0; i < twin->state_count; i++)
        if (twin->states[i]->received_ns > sent_ns)
            return true;
    return false;
}

/* Whether the part of the twin that the path names was received after sending. What is no report
 * of the vehicle's and of nobody else's either (its id, the region) needs none. */
static bool is_fresh(const struct path *path, const struct twin *twin, int64_t sent_ns)
{
    struct slice root = path_name(path, 0), rest = path_name(path, 1);
    enum part_kind kind = PART_REPORTED;
    if (is(root, "state")) {
        const struct state *state = rest.at ? twin_state(twin, rest) : NULL;
        return rest.at ? state && state->received_ns > sent_ns : any_state_since(twin, sent_ns);
    }
    if (is(root, "presence"))
        return twin->presence.last_seen_ns > sent_ns;
    /* a divergence ends by what the vehicle reports */
    if (!is(root, "delta") && !is(root, "delta_since") && !part_of_name(root.at, root.size, &kind))
        return true;
    return twin->parts[kind] && twin->parts[kind]->updated_ns > sent_ns;
}

static bool all_fresh(struct groups *groups, const struct filter *filter, const struct twin *twin,
                      int64_t sent_ns, unsigned depth, unsigned *work)
{
    const struct path *path;
    const char *name;
    for (size_t i = 0; (path = filter_path(filter, i)) != NULL; i++)
        if (!is_fresh(path, twin, sent_ns))
            return false;
    for (size_t i = 0; (name = filter_group(filter, i)) != NULL; i++) {
        const struct group *group = groups_find(groups, name);
        if (group && group->filter && depth < GROUP_DEPTH_MAX && ++*work <= GROUP_WORK_MAX &&
            !all_fresh(groups, group->filter, twin, sent_ns, depth + 1, work))
            return false;
    }
    return true;
}

bool command_verified(const struct command_lane *lane, const struct command *command,
                      const struct delivery *delivery, int64_t now_ns)
{
    const struct command_lane_options *options = &lane->options;
    unsigned work = 0;
    if (!command->verify || delivery->vehicle == DELIVERY_NO_VEHICLE)
        return false;
    size_t place = store_enter(options->store);
    size_t group_place = groups_enter(options->groups);
    const struct twin *twin = store_at(options->store, delivery->vehicle);
    struct subject_of_query subject = {.twin = twin, .region = options->config->region};
    bool verified =
        twin_visible(twin) &&
        all_fresh(options->groups, command->verify, twin, delivery->sent_ns, 0, &work) &&
        filter_matches(command->verify, &subject, now_ns);
    groups_leave(options->groups, group_place);
    store_leave(options->store, place);
    return verified;
}
