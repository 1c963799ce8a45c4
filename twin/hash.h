/*
 * hash: FNV-1a, for tables in memory. Keys are short, and where somebody could choose them the
 * tables are bounded; nothing of it is kept or sent.
 *
 * Threads: pure functions.
 */
#ifndef TWIN_HASH_H
#define TWIN_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_BEGIN UINT64_C(14695981039346656037)

static inline uint64_t hash_more(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

static inline uint64_t hash_of(const void *data, size_t size)
{
    return hash_more(HASH_BEGIN, data, size);
}

static inline uint64_t hash_of_text(const char *text)
{
    return hash_of(text, strlen(text));
}

/* For a table whose size is a power of two: all bits count. */
static inline size_t hash_slot(uint64_t hash)
{
    return (size_t)(hash ^ hash >> 32);
}

#endif
