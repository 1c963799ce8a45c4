/*
 * doc_lookup: finds members of one object by name, many times over, for what walks two documents
 * side by side.
 *
 * Members asked for in the order in which they stand cost nothing; a small object is searched from
 * its start; a large one is sorted once, at the first name out of order, so that two objects of n
 * members cost n log n and never n². Where there is no memory for that, it is searched from its
 * start as well: slower, never wrong.
 *
 * Ownership: a lookup borrows its object; doc_lookup_done releases what it holds itself.
 * Threads: one at a time per lookup.
 */
#ifndef TWIN_DOC_LOOKUP_H
#define TWIN_DOC_LOOKUP_H

#include "twin/doc.h"

struct doc_lookup {
    struct doc_ref object;
    struct doc_ref next; /* the member behind the one found last */
    uint32_t *order;     /* the members' places in the object, by name; NULL until needed */
};

/* `object` may be any value: what is no object has no members. */
void doc_lookup_init(struct doc_lookup *lookup, struct doc_ref object);
void doc_lookup_done(struct doc_lookup *lookup);
/* The member that has the name of `named`, a member of another object; no value without one. */
struct doc_ref doc_lookup_get(struct doc_lookup *lookup, struct doc_ref named);

#endif
