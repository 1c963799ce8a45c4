#include "hub/failpoint.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATUS_KILLED = 137 };

static const char *const names[FAILPOINT_COUNT] = {
#define X(id, name) name,
    FAILPOINT_TABLE(X)
#undef X
};

static _Atomic long left[FAILPOINT_COUNT]; /* how often it is still to be passed, and die; 0: not */
static bool freeze;                        /* instead of ending; set before any thread is there */

static const char freeze_word[] = ":freeze";

bool failpoint_init(void)
{
    const char *text = getenv("FLEETHUB_FAILPOINT");
    if (!text || !*text)
        return true;
    size_t size = strcspn(text, ":");
    char *end = NULL;
    long times = text[size] ? strtol(text + size + 1, &end, 10) : 1;
    bool stays = end && strcmp(end, freeze_word) == 0;
    if ((end && *end && !stays) || times < 1)
        return false;
    for (int i = 0; i < FAILPOINT_COUNT; i++) {
        if (strlen(names[i]) == size && memcmp(names[i], text, size) == 0) {
            freeze = stays;
            atomic_store(&left[i], times);
            return true;
        }
    }
    return false;
}

void failpoint_reached(enum failpoint point)
{
    if (atomic_load_explicit(&left[point], memory_order_relaxed) == 0)
        return;
    if (atomic_fetch_sub(&left[point], 1) != 1)
        return;
    if (!freeze)
        _exit(STATUS_KILLED);
    raise(SIGSTOP); /* to this thread: it goes no step further, and all the others stop with it */
}
