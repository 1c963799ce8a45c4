/*
 * recorder: what the hub itself must put on record, on its way to TWIN_RECORD.
 *
 * A record is queued, published with its id as Nats-Msg-Id, and published again until the stream
 * has acknowledged it. Ids are deterministic, so a replay after a crash, or a second hub that saw
 * the same, makes one record. Nobody waits for the stream: a lane asks later whether what it queued
 * has settled, before it lets go of what the record was made from.
 *
 * Bounded: RECORDER_QUEUE_MAX records. A full queue refuses, and the lane that produces waits with
 * its own work (it can be made again from its stream).
 *
 * Threads: recorder_put and recorder_settled from any thread; one thread of its own publishes.
 */
#ifndef HUB_RECORDER_H
#define HUB_RECORDER_H

#include "hub/bus.h"
#include "hub/record.h"

enum {
    RECORDER_QUEUE_MAX = 8192,
    RECORDER_RESERVE = 64, /* places kept for what cannot wait once it has begun */
};

struct recorder;
/* `env` and `region` name the subjects; they are copied. */
struct recorder *recorder_new(struct bus *bus, const char *env, const char *region);
/* Tries for timeout_ms to get everything stored, then ends. */
void recorder_free(struct recorder *recorder, int timeout_ms);

/* Queues one record; *ticket names it. False when the queue is full or there is no memory. */
bool recorder_put(struct recorder *recorder, const struct record *record, uint64_t *ticket);
/* False when a lane had better wait before it takes up the next message. */
bool recorder_has_room(struct recorder *recorder);
/* How many records wait for the stream. */
size_t recorder_queued(struct recorder *recorder);
/* The ticket of the record queued last; 0 before the first. */
uint64_t recorder_last(struct recorder *recorder);
/* True when this record and all before it are stored. */
bool recorder_settled(struct recorder *recorder, uint64_t ticket);
/* Waits for that; false after timeout_ms. */
bool recorder_wait(struct recorder *recorder, uint64_t ticket, int timeout_ms);

#endif
