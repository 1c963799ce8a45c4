/*
 * audit_export: a part of the record, or all of it, as one file that proves itself
 * (docs/record-format.md): records, checkpoints, public keys, and for what is not in it the nodes
 * of the tree that stand for it. NDJSON, so that its records are lines as the API has them.
 *
 * Where nothing but a range of `seq` is asked for, every record of it is there, or there is a
 * record that retention dropped it: a gap that nothing explains is no export, but an error.
 *
 * Rows are read and written one after the other: any number in constant memory, and some hundred
 * bytes for each checkpoint that goes with them.
 *
 * Threads: any; calls block until it is written.
 */
#ifndef HUB_AUDIT_EXPORT_H
#define HUB_AUDIT_EXPORT_H

#include "hub/audit_note.h"

#include <stdatomic.h>
#include <stdio.h>

#define AUDIT_EXPORT_FORMAT "fleethub-record/1"

/* Which records; all conditions hold. */
struct audit_selection {
    const char *vid;          /* NULL: of all, and of none; else a valid one */
    int64_t start_ns, end_ns; /* by `received`, half-open; TIMESTAMP_NONE: no bound */
    int64_t from_seq, to_seq; /* 0: no bound */
};

struct audit_export_request {
    const char *dsn;
    struct audit_selection selection;
    const struct audit_note *outside; /* checkpoints whose sizes it is to show */
    size_t outside_count;
    FILE *out; /* the caller flushes and closes it */
};

struct audit_export_report {
    int64_t size;    /* of the tree */
    int64_t records; /* written */
};

/* False, and a line about why; what was written then is no export. */
bool audit_export(const struct audit_export_request *request, struct audit_export_report *report,
                  char error[AUDIT_ERROR_BYTES]);

#endif
