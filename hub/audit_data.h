/*
 * audit_data: whether a jsonb shows what the text says that it was made of, without asking the
 * server to read every text anew.
 *
 * Threads: one per comparer.
 */
#ifndef HUB_AUDIT_DATA_H
#define HUB_AUDIT_DATA_H

#include "twin/doc.h"
#include "twin/envelope.h"

enum audit_sameness {
    AUDIT_SAME,
    AUDIT_DIFFERENT,
    AUDIT_UNSURE, /* no memory, too many members, numbers beyond 64 bits: the server knows */
};

struct audit_comparer; /* NULL when there is no memory */
struct audit_comparer *audit_comparer_new(void);
void audit_comparer_free(struct audit_comparer *comparer);

/* `shown`: the jsonb as PostgreSQL writes it as text. Members in any order; a number is the same
 * where it is written as jsonb writes it: without an exponent, with as many digits behind the
 * point. */
enum audit_sameness audit_compare(struct audit_comparer *comparer, struct slice said,
                                  struct slice shown);

#endif
