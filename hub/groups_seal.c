#include "hub/groups_seal.h"

#include "hub/groups.h"
#include "hub/record_hash.h"

#include <string.h>

/* ---- what a filter leads to ---- */

/* A walk over groups within groups; both bounds are those of evaluation, which looks no further. */
struct walk {
    struct groups *groups;
    struct buf *out;
    int left; /* groups */
};

static void add_filter(struct walk *walk, const struct filter *filter, int depth)
{
    const char *name;
    for (size_t i = 0; (name = filter_group(filter, i)) != NULL && walk->left > 0; i++) {
        const struct group *group = groups_find(walk->groups, name);
        walk->left--;
        buf_add(walk->out, name, strlen(name) + 1);
        buf_addf(walk->out, "%llu/", group ? (unsigned long long)group->revision : 0);
        if (group && group->filter && depth < GROUP_DEPTH_MAX)
            add_filter(walk, group->filter, depth + 1);
    }
}

void groups_revisions(struct groups *groups, const struct filter *filter, struct buf *out)
{
    struct walk walk = {.groups = groups, .out = out, .left = GROUP_WORK_MAX};
    size_t place = groups_enter(groups);
    add_filter(&walk, filter, 0);
    groups_leave(groups, place);
}

/* ---- the seal ---- */

static bool digest_now(const struct groups_seal *seal, uint8_t digest[RECORD_HASH_BYTES])
{
    struct buf revisions = BUF_INIT;
    groups_revisions(seal->groups, seal->filter, &revisions);
    bool good = !revisions.failed;
    if (good)
        record_sha256(revisions.data, revisions.size_bytes, digest);
    buf_done(&revisions);
    return good;
}

bool groups_seal(struct groups_seal *seal, struct groups *groups, const struct filter *filter,
                 bool sees_everything)
{
    *seal = (struct groups_seal){.filter = filter};
    if (sees_everything || !groups || !filter || !filter_group(filter, 0))
        return true;
    seal->groups = groups;
    seal->version = groups_version(groups);
    return digest_now(seal, seal->digest);
}

bool groups_seal_holds(const struct groups_seal *seal)
{
    uint8_t digest[RECORD_HASH_BYTES];
    if (!seal->groups)
        return true;
    uint64_t version = groups_version(seal->groups);
    if (version == seal->version && !groups_changing(version))
        return true;
    return digest_now(seal, digest) && memcmp(digest, seal->digest, sizeof digest) == 0;
}
