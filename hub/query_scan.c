/*
 * Asking a question of every vehicle. Waiting for memory is most of what that costs, so it waits
 * for many vehicles at once: a batch of twins is fetched; then, of those that the viewer sees, what
 * the filter's first term reads; and what the next ones read only of those that are still in
 * question.
 */
#include "hub/query.h"

#include <stdint.h>
#include <stdio.h>

enum {
    BATCH = 64,
    FETCH_MAX_BYTES = 256, /* what is read of a state or part lies within, mostly */
    CACHE_LINE_BYTES = 64,
};

struct batch {
    uint32_t count, indices[BATCH];
    const struct twin *twins[BATCH];
    uint8_t at[BATCH];       /* the term that is next */
    uint16_t fetched[BATCH]; /* blocks */
};

/* Where the states that the query reads stand among a twin's, and how large they are. Twins of a
 * fleet mostly have the same states in the same places: those of one batch tell where to look in
 * the next. */
struct places {
    size_t of[QUERY_FETCH_MAX], bytes[QUERY_FETCH_MAX];
};

static bool add_seen(const struct query *query, const struct twin *twin, uint32_t index,
                     struct batch *batch, struct query_denial *denial)
{
    if (!twin_visible(twin))
        return true;
    switch (query_sight_of(query->sight, twin->vid, &denial->path)) {
    case SIGHT_HIDDEN:
        return true;
    case SIGHT_DENIED:
        snprintf(denial->vid, sizeof denial->vid, "%s", twin->vid);
        return false;
    case SIGHT_SEEN:
        break;
    }
    batch->twins[batch->count] = twin;
    batch->indices[batch->count++] = index;
    return true;
}

/* Those from `first` up to `end` that the viewer sees. False: it may not ask this. */
static bool take_batch(const struct query *query, const struct store *store, uint32_t first,
                       uint32_t end, struct batch *batch, struct query_denial *denial)
{
    const struct twin *twins[BATCH];
    store_batch(store, first, end, twins);
    if (!query->sees_everything)
        for (uint32_t i = first; i < end; i++)
            __builtin_prefetch(twins[i - first]->vid);
    batch->count = 0;
    for (uint32_t i = first; i < end; i++)
        if (!add_seen(query, twins[i - first], i, batch, denial))
            return false;
    return true;
}

static inline void fetch_block(const void *block, size_t bytes)
{
    uintptr_t at = (uintptr_t)block & ~(uintptr_t)(CACHE_LINE_BYTES - 1);
    for (uintptr_t end = (uintptr_t)block + bytes; at < end; at += CACHE_LINE_BYTES)
        __builtin_prefetch((const void *)at);
}

static void find_places(const struct query_fetch *fetch, const struct twin *twin,
                        struct places *places)
{
    for (size_t t = 0; t < fetch->type_count; t++) {
        const struct state *state = twin_state(twin, fetch->types[t]);
        size_t place = 0;
        while (place < twin->state_count && twin->states[place] != state)
            place++;
        places->of[t] = place;
        if (!state)
            continue;
        size_t before = (size_t)((const char *)state->data - (const char *)state);
        size_t bytes = before + doc_bytes(state->data);
        places->bytes[t] = bytes < FETCH_MAX_BYTES ? bytes : FETCH_MAX_BYTES;
    }
}

static inline void fetch_blocks(const struct places *places, const struct twin *twin,
                                unsigned blocks)
{
    for (; blocks; blocks &= blocks - 1) {
        unsigned block = (unsigned)__builtin_ctz(blocks);
        if (block >= QUERY_BLOCK_PARTS) {
            if (twin->parts[block - QUERY_BLOCK_PARTS])
                fetch_block(twin->parts[block - QUERY_BLOCK_PARTS], FETCH_MAX_BYTES);
        } else if (places->of[block] < twin->state_count) {
            fetch_block(twin->states[places->of[block]], places->bytes[block]);
        }
    }
}

/* Goes on with one vehicle until its outcome is known, or a term reads what is not there yet: then
 * that is on its way. */
static void go_on(const struct query *query, const struct places *places, struct batch *batch,
                  uint32_t i)
{
    const struct query_fetch *fetch = &query->fetch;
    struct subject_of_query subject = {batch->twins[i], query->region, NULL};
    size_t at = batch->at[i];
    unsigned fetched = batch->fetched[i], needed = 0;
    while (at < FILTER_ACCEPTS && !(needed = fetch->terms[at] & ~fetched))
        at = filter_ask(query->filter, at, &subject, query->now_ns);
    if (at == FILTER_ACCEPTS)
        needed = fetch->rest & ~fetched;
    batch->at[i] = (uint8_t)at;
    batch->fetched[i] = (uint16_t)(fetched | needed);
    fetch_blocks(places, subject.twin, needed);
}

/* All of the batch to their outcomes: batch->at. */
static void judge_batch(const struct query *query, const struct places *places, struct batch *batch)
{
    uint32_t waiting[BATCH], count = batch->count;
    for (uint32_t i = 0; i < count; i++) {
        waiting[i] = i;
        batch->at[i] = (uint8_t)filter_first(query->filter);
        batch->fetched[i] = 0;
    }
    while (count > 0) {
        uint32_t still = 0;
        for (uint32_t k = 0; k < count; k++) {
            go_on(query, places, batch, waiting[k]);
            if (batch->at[waiting[k]] < FILTER_ACCEPTS)
                waiting[still++] = waiting[k];
        }
        count = still;
    }
}

enum query_status query_scan(const struct query *query, const struct store *store, uint32_t from,
                             uint32_t end, query_visit *visit, void *closure,
                             struct query_denial *denial)
{
    struct batch batch;
    struct places places = {.of = {0}};
    for (uint32_t next, at = from; at < end; at = next) {
        next = end - at < BATCH ? end : at + BATCH;
        if (!take_batch(query, store, at, next, &batch, denial))
            return QUERY_DENIED;
        judge_batch(query, &places, &batch);
        for (uint32_t i = 0; i < batch.count; i++)
            if (batch.at[i] == FILTER_ACCEPTS)
                visit(closure, batch.indices[i], batch.twins[i]);
        if (batch.count > 0)
            find_places(&query->fetch, batch.twins[0], &places);
    }
    return groups_seal_holds(&query->seal) ? QUERY_OK : QUERY_CHANGED;
}
