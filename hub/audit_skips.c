#include "hub/audit_skips.h"

#include <string.h>

void audit_skips_add(struct audit_skips *skips, int64_t from, int64_t to)
{
    struct audit_skip *last = skips->count > 0 ? &skips->kept[skips->count - 1] : NULL;
    if (to <= skips->dropped_to)
        return;
    if (last && (last->to + 1 == from || skips->count == AUDIT_SKIPS_KEPT))
        last->to = to;
    else
        skips->kept[skips->count++] = (struct audit_skip){from, to};
}

void audit_skips_dropped(struct audit_skips *skips, int64_t to)
{
    size_t gone = 0;
    if (to <= skips->dropped_to)
        return;
    skips->dropped_to = to;
    while (gone < skips->count && skips->kept[gone].to <= to)
        gone++;
    skips->count -= gone;
    memmove(skips->kept, skips->kept + gone, skips->count * sizeof *skips->kept);
}

int64_t audit_skips_first(const struct audit_skips *skips)
{
    if (skips->count == 0)
        return 0;
    return skips->kept[0].from > skips->dropped_to ? skips->kept[0].from : skips->dropped_to + 1;
}
