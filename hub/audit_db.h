/*
 * audit_db: verification of a live database: every record, its place, the tree over all of them,
 * the checkpoints of it. What is verified is the record as it ends when it begins; what a hub
 * appends meanwhile is left for the next time.
 *
 * Nothing is locked and no transaction stays open: rows never change, so that parts of the record
 * are read one after the other, on AUDIT_DB_THREADS connections at a time.
 *
 * Ownership: the report is the caller's; what it is asked with outlives the call.
 * Threads: any; it makes threads of its own.
 * Memory: two megabytes a thread, and a hundred bytes for each checkpoint.
 */
#ifndef HUB_AUDIT_DB_H
#define HUB_AUDIT_DB_H

#include "hub/audit_unit.h"

#include <stdatomic.h>

enum { AUDIT_DB_THREADS = 2 };

struct audit_request {
    const char *dsn;
    const struct audit_keys *keys; /* that are trusted; none: signatures prove nothing */
    const struct audit_note *outside;
    size_t outside_count;
    const atomic_bool *interrupt; /* gives up when it turns true; NULL: never */
};

enum audit_verdict { AUDIT_GOOD, AUDIT_BAD, AUDIT_UNUSABLE };

struct audit_report {
    enum audit_verdict verdict;
    char origin[AUDIT_NAME_BYTES];
    int64_t records; /* of the log: the size of its tree */
    int64_t rows;    /* that are there: fewer after retention */
    struct tree_hash head;
    struct audit_finding bad; /* AUDIT_BAD */
    char error[256];          /* AUDIT_UNUSABLE */
    int64_t checkpoints, trusted, outside;
    int64_t covered_to; /* the size of the last checkpoint that is trusted, or from elsewhere */
};

void audit_db_verify(const struct audit_request *request, struct audit_report *report);

#endif
