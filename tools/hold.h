/*
 * hold: messages held back to be sent later than their turn, ordered by when.
 *
 * Ownership: what is put in belongs to the hold until hold_take hands it out; free() it then.
 * Threads: one.
 */
#ifndef TOOLS_HOLD_H
#define TOOLS_HOLD_H

#include "twin/envelope.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOLD_MAX = 1000000 };

/* A composed message and how it is to go out; one malloc'd block. */
struct held {
    int64_t at_ns;  /* schedule time */
    uint64_t order; /* set by hold_put: first in, first out at the same time */
    enum category category;
    bool repeat; /* a duplicate: published once, not kept */
    size_t payload_bytes;
    const char *subject, *msg_id, *payload;
    char bytes[];
};

/* A copy of a message. NULL when there is no memory. */
struct held *held_new(int64_t at_ns, enum category category, bool repeat, const char *subject,
                      const char *msg_id, const void *payload, size_t payload_bytes);

struct hold;
struct hold *hold_new(void);
void hold_free(struct hold *hold);
/* False, and nothing taken, where it is full or there is no memory. */
bool hold_put(struct hold *hold, struct held *held);
size_t hold_count(const struct hold *hold);
/* When the next is due; INT64_MAX where there is none. */
int64_t hold_next_ns(const struct hold *hold);
/* The next one, NULL where there is none. */
struct held *hold_take(struct hold *hold);

#endif
