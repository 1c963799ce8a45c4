#include "hub/shadow_seen.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    uint8_t request[RECORD_ID_BYTES];
    uint64_t revision;
};

struct shadow_seen {
    pthread_mutex_t lock;
    size_t count; /* of all that were added; the last ones are there */
    struct pair pairs[SHADOW_SEEN_MAX];
};

struct shadow_seen *shadow_seen_new(void)
{
    struct shadow_seen *seen = calloc(1, sizeof *seen);
    if (seen)
        pthread_mutex_init(&seen->lock, NULL);
    return seen;
}

void shadow_seen_free(struct shadow_seen *seen)
{
    if (!seen)
        return;
    pthread_mutex_destroy(&seen->lock);
    free(seen);
}

void shadow_seen_add(struct shadow_seen *seen, const uint8_t request[RECORD_ID_BYTES],
                     uint64_t revision)
{
    pthread_mutex_lock(&seen->lock);
    struct pair *pair = &seen->pairs[seen->count++ % SHADOW_SEEN_MAX];
    memcpy(pair->request, request, RECORD_ID_BYTES);
    pair->revision = revision;
    pthread_mutex_unlock(&seen->lock);
}

bool shadow_seen_find(struct shadow_seen *seen, const uint8_t request[RECORD_ID_BYTES],
                      uint64_t *revision)
{
    bool found = false;
    pthread_mutex_lock(&seen->lock);
    size_t there = seen->count < SHADOW_SEEN_MAX ? seen->count : SHADOW_SEEN_MAX;
    for (size_t i = 0; i < there && !found; i++) {
        found = memcmp(seen->pairs[i].request, request, RECORD_ID_BYTES) == 0;
        if (found)
            *revision = seen->pairs[i].revision;
    }
    pthread_mutex_unlock(&seen->lock);
    return found;
}
