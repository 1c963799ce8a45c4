#include "hub/live_groups.h"

#include "hub/record_hash.h"

#include <string.h>

/* A walk over groups within groups; both bounds are those of evaluation, which looks no further. */
struct walk {
    struct groups *groups;
    struct buf all;
    int left; /* groups */
};

static void add_filter(struct walk *walk, const struct filter *filter, int depth)
{
    const char *name;
    for (size_t i = 0; (name = filter_group(filter, i)) != NULL && walk->left > 0; i++) {
        const struct group *group = groups_find(walk->groups, name);
        walk->left--;
        buf_add(&walk->all, name, strlen(name) + 1);
        buf_addf(&walk->all, "%llu/", group ? (unsigned long long)group->revision : 0);
        if (group && group->filter && depth < GROUP_DEPTH_MAX)
            add_filter(walk, group->filter, depth + 1);
    }
}

bool live_groups_digest(struct groups *groups, const struct filter *filter,
                        const uint8_t base[LIVE_DIGEST_BYTES], uint8_t digest[LIVE_DIGEST_BYTES])
{
    struct walk walk = {.groups = groups, .left = GROUP_WORK_MAX};
    uint8_t hash[RECORD_HASH_BYTES];
    memcpy(digest, base, LIVE_DIGEST_BYTES);
    if (!groups || !filter_group(filter, 0))
        return true;
    buf_add(&walk.all, base, LIVE_DIGEST_BYTES);
    size_t place = groups_enter(groups);
    add_filter(&walk, filter, 0);
    groups_leave(groups, place);
    bool good = !walk.all.failed;
    if (good) {
        record_sha256(walk.all.data, walk.all.size_bytes, hash);
        memcpy(digest, hash, LIVE_DIGEST_BYTES);
    }
    buf_done(&walk.all);
    return good;
}
