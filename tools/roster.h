/*
 * roster: the vehicle ids of a run, numbered from 0 in the order they were added.
 *
 * Ownership: the roster owns its texts; the pointers to them hold until the next roster_add.
 * Threads: one.
 */
#ifndef TOOLS_ROSTER_H
#define TOOLS_ROSTER_H

#include <stddef.h>
#include <stdint.h>

enum { ROSTER_MAX = 1000000 };
#define ROSTER_NONE UINT32_MAX

struct roster;

struct roster *roster_new(void);
void roster_free(struct roster *roster);
/* The number of `vid`, added where it is new. ROSTER_NONE: no valid vehicle id (contract §1), too
 * many, or no memory. */
uint32_t roster_add(struct roster *roster, const char *vid, size_t size);
/* ROSTER_NONE where it is not there. */
uint32_t roster_find(const struct roster *roster, const char *vid, size_t size);
const char *roster_vid(const struct roster *roster, uint32_t number);
uint32_t roster_count(const struct roster *roster);

#endif
