/*
 * audit_skips: whether what is not in a whole export is what retention took. Retention says so
 * behind what it took, in `system` records of type `retention`; so what is not there waits for the
 * record that explains it.
 *
 * Ownership: the caller's. Threads: one.
 * Limits: AUDIT_SKIPS_KEPT runs of records wait at a time; of more the last one stands for all
 * behind it, so that what is found then may be named too early, and nothing is passed over.
 */
#ifndef HUB_AUDIT_SKIPS_H
#define HUB_AUDIT_SKIPS_H

#include <stddef.h>
#include <stdint.h>

enum { AUDIT_SKIPS_KEPT = 1024 };

struct audit_skips {
    int64_t dropped_to; /* retention took records up to this one; holds may have kept some */
    struct audit_skip {
        int64_t from, to;
    } kept[AUDIT_SKIPS_KEPT]; /* in their order, all beyond dropped_to */
    size_t count;
};

/* Records `from` to `to` are not there; they come in order. */
void audit_skips_add(struct audit_skips *skips, int64_t from, int64_t to);
void audit_skips_dropped(struct audit_skips *skips, int64_t to);
/* The first that is not there and that retention did not take; 0 where there is none. */
int64_t audit_skips_first(const struct audit_skips *skips);

#endif
