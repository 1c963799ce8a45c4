/*
 * groups_seal: that the groups which a filter names are still what they were when the rights of who
 * asks were judged. A stored filter is judged with the caller's rights (contract §6), and whoever
 * writes groups may write another one while a stream, an export or a long question is under way:
 * what that finds by paths nobody has judged must not be told.
 *
 * Sealed first, judged then; what was found is told only while the seal holds.
 *
 * Threads: a seal one at a time. Ownership: none of memory; borrows the groups and the filter.
 */
#ifndef HUB_GROUPS_SEAL_H
#define HUB_GROUPS_SEAL_H

#include "hub/record.h"
#include "twin/buf.h"
#include "twin/filter.h"

struct groups;

struct groups_seal {
    struct groups *groups; /* NULL: nothing that could change what may be seen */
    const struct filter *filter;
    uint64_t version;
    uint8_t digest[RECORD_HASH_BYTES];
};

/* For a viewer who sees everything, and for a filter that names no group, nothing is sealed;
 * `filter` may be NULL then. False when there is no memory. */
bool groups_seal(struct groups_seal *seal, struct groups *groups, const struct filter *filter,
                 bool sees_everything);
/* False: another definition has come, or there was no memory to find out. */
bool groups_seal_holds(const struct groups_seal *seal);

/* Appends name and revision of every group that the filter leads to, in the order of evaluation and
 * as far as that looks. Outside groups_enter. */
void groups_revisions(struct groups *groups, const struct filter *filter, struct buf *out);

#endif
