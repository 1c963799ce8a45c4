#include "hub/live_groups.h"

#include "hub/groups_seal.h"
#include "hub/record_hash.h"

#include <string.h>

bool live_groups_digest(struct groups *groups, const struct filter *filter,
                        const uint8_t base[LIVE_DIGEST_BYTES], uint8_t digest[LIVE_DIGEST_BYTES])
{
    struct buf all = BUF_INIT;
    uint8_t hash[RECORD_HASH_BYTES];
    memcpy(digest, base, LIVE_DIGEST_BYTES);
    if (!groups || !filter_group(filter, 0))
        return true;
    buf_add(&all, base, LIVE_DIGEST_BYTES);
    groups_revisions(groups, filter, &all);
    bool good = !all.failed;
    if (good) {
        record_sha256(all.data, all.size_bytes, hash);
        memcpy(digest, hash, LIVE_DIGEST_BYTES);
    }
    buf_done(&all);
    return good;
}
