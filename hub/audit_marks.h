/*
 * audit_marks: what checkpoints say about the records before them. They are judged in the order of
 * their size, because what one that does not hold means depends on those around it: with a later
 * one that holds it was exchanged itself, without it is the records that are wrong.
 *
 * Ownership: the caller's. Threads: one.
 */
#ifndef HUB_AUDIT_MARKS_H
#define HUB_AUDIT_MARKS_H

#include "hub/audit_db.h"

struct audit_marks {
    struct audit_report *report; /* findings and counts go there */
    bool keys_given;             /* only what a trusted key signed counts */
    int64_t size;                /* of the tree */

    int64_t good_to;          /* the last one that holds and that counts */
    int64_t bad_size;         /* one of the table's behind it that does not hold; 0: none */
    int64_t untrusted_size;   /* the last one of the table's that no trusted key signed */
    int64_t outside_to;       /* the last from elsewhere that holds */
    struct audit_finding bad; /* what one from elsewhere says */
};

/* `same`: the records before it have the root that it says. */
void audit_marks_judge(struct audit_marks *marks, const struct audit_mark *mark, bool same);
/* Behind the last. */
void audit_marks_end(const struct audit_marks *marks);

#endif
