#include "tests/unit/fault.h"

#include "tests/oom/alloc_wrap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { ALLOCATIONS_MAX = 100000 }; /* an operation that takes more is not fit for a fault loop */

static _Thread_local struct {
    bool armed, hit;
    enum fault_mode mode;
    unsigned left; /* allocations until the one that fails; 0 once it has */
} fault;

void fault_arm(unsigned nth, enum fault_mode mode)
{
    fault.armed = true;
    fault.hit = false;
    fault.mode = mode;
    fault.left = nth;
}

bool fault_disarm(void)
{
    fault.armed = false;
    return fault.hit;
}

unsigned fault_loop(bool (*operation)(void *context), void *context)
{
    unsigned nth = 1;
    for (int mode = FAULT_ONCE; mode <= FAULT_FROM_THEN; mode++) {
        for (nth = 1;; nth++) {
            assert_true(nth < ALLOCATIONS_MAX);
            fault_arm(nth, (enum fault_mode)mode);
            bool succeeded = operation(context);
            bool hit = fault_disarm();
            assert_int_equal(succeeded, !hit);
            if (!hit)
                break;
        }
    }
    return nth - 1;
}

bool alloc_wrap_fails(void)
{
    if (!fault.armed)
        return false;
    if (fault.left > 0 && --fault.left > 0)
        return false;
    if (fault.hit && fault.mode == FAULT_ONCE)
        return false;
    fault.hit = true;
    return true;
}
