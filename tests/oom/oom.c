/*
 * oom: a hub whose allocations fail when a test says so. It is fleethub, linked with --wrap for
 * malloc and its kin, so that every call from the project's own objects passes here; what happens
 * inside shared libraries does not. That works the same with and without sanitizers.
 *
 * FLEETHUB_OOM names a file of four bytes, which stays mapped: 0, nothing fails; n, about one of n
 * allocations does.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
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

static int fails(void)
{
    static _Thread_local uint32_t state = 2463534242u;
    uint32_t n = one_of ? atomic_load_explicit(one_of, memory_order_relaxed) : 0;
    if (n == 0)
        return 0;
    state ^= state << 13; /* xorshift (Marsaglia 2003) */
    state ^= state >> 17;
    state ^= state << 5;
    return state % n == 0;
}

/* What the linker's --wrap calls and provides. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails() ? NULL : __real_realloc(block, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
    return fails() ? NULL : __real_strndup(text, size);
}
