/*
 * fault: makes the N-th allocation of the code under test fail.
 *
 * The unit tests are linked with --wrap for malloc, calloc, realloc, reallocarray, strdup and
 * strndup, so that every call from the project's own objects passes here; what happens inside
 * shared libraries (cmocka, libc) does not. That works the same with and without sanitizers.
 *
 * Threads: what is armed belongs to the arming thread; other threads' allocations are let through.
 */
#ifndef TESTS_UNIT_FAULT_H
#define TESTS_UNIT_FAULT_H

#include <stdbool.h>

enum fault_mode {
    FAULT_ONCE,     /* the N-th allocation fails, later ones succeed */
    FAULT_FROM_THEN /* the N-th and all later ones fail */
};

/* From now on: the `nth` allocation, counted from 1. */
void fault_arm(unsigned nth, enum fault_mode mode);
/* Lets everything through again; true where an allocation was made to fail since fault_arm. */
bool fault_disarm(void);

/* Runs `operation` with its first allocation failing, then its second, and so on until none is left
 * to fail, in both modes. It returns whether it succeeded, having checked the error that it gave
 * and released what it had; fails the test unless it succeeds exactly where nothing was made to
 * fail. Returns how many allocations it takes. */
unsigned fault_loop(bool (*operation)(void *context), void *context);

#endif
