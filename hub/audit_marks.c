#include "hub/audit_marks.h"

static bool is_trusted(const struct audit_mark *mark, const struct audit_marks *marks)
{
    return mark->trust == AUDIT_TRUSTED ||
           (mark->introduced_by > 0 && mark->introduced_by <= marks->good_to);
}

static void judge_outside(struct audit_marks *marks, const struct audit_mark *mark, bool same)
{
    if (same) {
        marks->outside_to = mark->size;
        marks->good_to = mark->size;
        return;
    }
    /* The table's own, though signed, show no more: then there are two histories under one key. */
    audit_find(&marks->bad, marks->outside_to + 1,
               "records %lld to %lld are not those that the checkpoint from elsewhere of %lld "
               "records was published of: they were rewritten, or the database was restored from a "
               "backup and written on",
               (long long)marks->outside_to + 1, (long long)mark->size, (long long)mark->size);
}

static void judge_own(struct audit_marks *marks, const struct audit_mark *mark, bool same)
{
    struct audit_report *report = marks->report;
    report->checkpoints++;
    if (mark->malformed || mark->trust == AUDIT_FORGED) {
        audit_find(&report->bad, mark->size, "the checkpoint of %lld records %s",
                   (long long)mark->size,
                   mark->malformed ? "is not one of this record, or stands in another's place"
                                   : "has a signature that is not of the key it names");
        return;
    }
    if (marks->keys_given && !is_trusted(mark, marks)) {
        marks->untrusted_size = mark->size;
        return;
    }
    report->trusted += marks->keys_given;
    if (!same) {
        if (marks->bad_size == 0)
            marks->bad_size = mark->size;
        return;
    }
    if (marks->bad_size != 0) /* the records are right up to here */
        audit_find(&report->bad, marks->bad_size,
                   "the checkpoint of %lld records is not of them, though later ones are: it was "
                   "exchanged",
                   (long long)marks->bad_size);
    marks->bad_size = 0;
    marks->good_to = mark->size;
}

void audit_marks_judge(struct audit_marks *marks, const struct audit_mark *mark, bool same)
{
    if (mark->outside)
        judge_outside(marks, mark, same);
    else
        judge_own(marks, mark, same);
}

void audit_marks_end(const struct audit_marks *marks)
{
    struct audit_report *report = marks->report;
    report->covered_to = marks->good_to;
    if (marks->bad_size != 0)
        audit_find(
            &report->bad, marks->good_to + 1,
            "records %lld to %lld are not those that the checkpoint of %lld records was made "
            "of, though they fit the tree: they were rewritten with it, or the checkpoint "
            "was exchanged",
            (long long)marks->good_to + 1, (long long)marks->bad_size, (long long)marks->bad_size);
    if (marks->bad.seq != 0)
        audit_find(&report->bad, marks->bad.seq, "%s", marks->bad.reason);
    if (report->bad.seq != 0)
        return; /* what is known of a record says more than what is not known of a signature */
    if (marks->untrusted_size > marks->good_to)
        audit_find(&report->bad, marks->good_to + 1,
                   "no checkpoint behind record %lld is signed by a key that is trusted, though "
                   "there is one of %lld records",
                   (long long)marks->good_to, (long long)marks->untrusted_size);
    else if (marks->keys_given && report->trusted == 0 && marks->size > 0)
        audit_find(&report->bad, 1, "there is no checkpoint that a trusted key signed");
}
