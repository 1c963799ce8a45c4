/*
 * oom: a hub whose allocations fail when a test says so. It is fleethub, linked with
 * alloc_wrap, so that every call from the project's own objects is asked about here.
 *
 * FLEETHUB_OOM names a file of four bytes, which stays mapped: 0, nothing fails; n, about one of n
 * allocations does.
 */
#include "tests/oom/alloc_wrap.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic uint32_t *one_of;

__attribute__((constructor)) static void map_file(void)
{
    const char *path = getenv("FLEETHUB_OOM");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = fd >= 0 ? mmap(NULL, sizeof *one_of, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        close(fd);
    if (mapped != MAP_FAILED)
        one_of = mapped;
}

bool alloc_wrap_fails(void)
{
    static _Thread_local uint32_t state = 2463534242u;
    uint32_t n = one_of ? atomic_load_explicit(one_of, memory_order_relaxed) : 0;
    if (n == 0)
        return false;
    state ^= state << 13; /* xorshift (Marsaglia 2003) */
    state ^= state >> 17;
    state ^= state << 5;
    return state % n == 0;
}
