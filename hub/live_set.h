/*
 * live_set: a set of vehicles by index, small for few of them, for most of them and for all: what a
 * live query's client is known to hold. A fleet's indices come in groups of LIVE_SET_GROUP; a group
 * that is empty or full takes a pointer, one with few members two bytes for each, any other a
 * bitmap.
 *
 * Ownership: live_set_done. Threads: one at a time.
 */
#ifndef HUB_LIVE_SET_H
#define HUB_LIVE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LIVE_SET_GROUP = 4096 };

struct live_group;

struct live_set {
    struct live_group **groups;
    uint32_t group_count;
    size_t count;
};

/* A zeroed set is empty. Empties it, and frees all it holds. */
void live_set_done(struct live_set *set);
bool live_set_has(const struct live_set *set, uint32_t index);
/* False when there is no memory: then nothing changed. */
bool live_set_add(struct live_set *set, uint32_t index);
bool live_set_remove(struct live_set *set, uint32_t index);

#endif
