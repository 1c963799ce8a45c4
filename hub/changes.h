/*
 * changes: the vehicles in the order of their last change, read off the store's ring of puts.
 *
 * Somebody who has seen all changes up to one number finds the vehicles that changed since by
 * walking from there to the end, each of them once, however often it changed. So a reader that is
 * slow, or wants to hear no more than once a second, needs no queue: one number says where it is.
 *
 * Where the ring was lost (the follower was away) the vehicles themselves say when they changed.
 *
 * Ownership: borrows the store. Threads: one. Memory: 16 bytes for each vehicle.
 */
#ifndef HUB_CHANGES_H
#define HUB_CHANGES_H

#include "hub/store.h"

#define CHANGES_END UINT32_MAX

struct changes;

struct changes *changes_new(const struct store *store); /* NULL: no memory */
void changes_free(struct changes *changes);

/* Takes in what was put since. False when there is no memory: then some of it is left for later. */
bool changes_follow(struct changes *changes);
/* The last put that was taken in: everything up to it is in the order. */
uint64_t changes_last(const struct changes *changes);

/* The vehicle's last change, 0: none was seen. */
uint64_t changes_of(const struct changes *changes, uint32_t index);
/* The first vehicle whose last change is behind `change`; CHANGES_END where there is none. `hint`
 * is a vehicle whose last change was `change` once, or CHANGES_END: it may save the search. */
uint32_t changes_after(const struct changes *changes, uint64_t change, uint32_t hint);
/* The one that changed next. */
uint32_t changes_next(const struct changes *changes, uint32_t index);

#endif
