/*
 * alloc_wrap: linked with --wrap for malloc and its kin (ALLOC_WRAP in tests/CMakeLists.txt), it
 * stands between the code under test and its allocations. Calls inside shared libraries do not pass
 * here. That works the same with and without sanitizers.
 *
 * Threads: as alloc_wrap_fails, which is the program's.
 */
#ifndef TESTS_OOM_ALLOC_WRAP_H
#define TESTS_OOM_ALLOC_WRAP_H

#include <stdbool.h>

/* Whether this allocation is to fail; asked before each. */
bool alloc_wrap_fails(void);

#endif
