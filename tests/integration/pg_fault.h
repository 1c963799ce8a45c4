/*
 * pg_fault: makes the N-th of the hub's calls to PostgreSQL fail, whatever it is: to connect, to
 * run a statement, to read the next rows.
 *
 * The integration tests are linked with --wrap for the calls of hub/pg.h that ask the server
 * something, so that every call from outside hub/pg*.c passes here.
 *
 * Threads: any; one fault at a time.
 */
#ifndef TESTS_PG_FAULT_H
#define TESTS_PG_FAULT_H

#include "hub/pg.h"

#include <stdbool.h>

enum pg_fault_where {
    PG_FAULT_ANYWHERE,
    PG_FAULT_ELSEWHERE, /* not in the thread that armed it, which looks on */
};

/* From now on: the `nth` call, counted from 1, says this and asks nothing; later ones succeed. */
void pg_fault_arm(unsigned nth, enum pg_status status, enum pg_fault_where where);
/* Lets everything through again; true where a call was made to fail since pg_fault_arm. */
bool pg_fault_disarm(void);
bool pg_fault_hit(void);

#endif
