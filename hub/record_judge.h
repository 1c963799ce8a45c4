/*
 * record_judge: whether a record is among those that were asked for, and what of it the one who
 * asks may see. Exact: whatever a database, or anybody else, has sorted out before, this decides.
 *
 * Visibility comes first: what a filter looks at is what the viewer sees, so that nobody finds out
 * by asking what is kept from him.
 *
 * Ownership: borrows the question. Threads: one at a time for each judge.
 */
#ifndef HUB_RECORD_JUDGE_H
#define HUB_RECORD_JUDGE_H

#include "hub/groups_seal.h"
#include "hub/record.h"
#include "twin/filter.h"
#include "twin/viewer.h"

/* NULL and TIMESTAMP_NONE do not restrict. */
struct record_question {
    const struct viewer *viewer;
    const char *vid, *type;
    bool by_kind;
    enum record_kind kind;
    int64_t start_ns, end_ns;    /* by `received`, half-open */
    const struct filter *filter; /* over records */
    struct groups_seal seal;     /* of the groups that it names */
    int64_t now_ns;              /* for its ages */
};
/* Everything, for this viewer. */
void record_question_init(struct record_question *question, const struct viewer *viewer);

struct record_judge {
    const struct record_question *question;
    bool sees_everything, reads_data;
    struct doc_parser *parser; /* NULL: data is never looked at */
    struct buf data;           /* of a record of which something is left out */
};

/* False when there is no memory. */
bool record_judge_init(struct record_judge *judge, const struct record_question *question);
void record_judge_done(struct record_judge *judge);

enum record_verdict {
    RECORD_NO,
    RECORD_YES,
    RECORD_CHANGED, /* a group that the filter names is another one than was judged: nothing is told
                     */
    RECORD_NOT_JUDGED /* no memory */
};
/* With RECORD_YES the record's data is what may be seen; it may then be the judge's, until the next
 * record. */
enum record_verdict record_judge_ask(struct record_judge *judge, struct record *record);

#endif
