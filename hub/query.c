#include "hub/query.h"

#include <stdio.h>
#include <string.h>

/* ---- making ---- */

static bool out_of_memory(const struct text_error *error)
{
    return strcmp(error->detail, "out of memory") == 0;
}

static void add_fetch(struct query_fetch *fetch, const struct path *path)
{
    struct slice root = path_name(path, 0), type = path_name(path, 1);
    enum part_kind kind;
    if (part_of_name(root.at, root.size, &kind))
        fetch->parts |= 1u << kind;
    if (!type.at || root.size != strlen("state") || memcmp(root.at, "state", root.size) != 0)
        return;
    for (size_t i = 0; i < fetch->type_count; i++)
        if (fetch->types[i].size == type.size &&
            memcmp(fetch->types[i].at, type.at, type.size) == 0)
            return;
    if (fetch->type_count < QUERY_FETCH_MAX)
        fetch->types[fetch->type_count++] = type;
}

bool query_looks_at(struct query *query, const struct path *path)
{
    add_fetch(&query->fetch, path);
    return query_sight_add(query->sight, path);
}

static bool judge_paths(struct query *query)
{
    const struct path *path;
    for (size_t i = 0; (path = filter_path(query->filter, i)) != NULL; i++)
        if (!query_looks_at(query, path))
            return false;
    for (size_t i = 0; i < order_keys(query->order); i++)
        if (!query_looks_at(query, order_path(query->order, i)))
            return false;
    return true;
}

enum query_status query_init(struct query *query, const struct query_options *options,
                             struct text_error *error)
{
    enum query_status status = QUERY_NO_MEMORY;
    *query = (struct query){
        .viewer = options->viewer,
        .region = options->region,
        .now_ns = options->now_ns,
        .sees_everything = viewer_sees_everything(options->viewer),
        .filter_text = options->filter ? options->filter : "",
        .order_text = options->order ? options->order : "",
    };
    *error = (struct text_error){.offset = 0};
    query->filter = filter_compile(PATH_OF_TWIN, query->filter_text, strlen(query->filter_text),
                                   options->groups, error);
    if (!query->filter) {
        status = out_of_memory(error) ? QUERY_NO_MEMORY : QUERY_BAD_FILTER;
        goto out;
    }
    query->order = order_compile(PATH_OF_TWIN, query->order_text, strlen(query->order_text), error);
    if (!query->order) {
        status = out_of_memory(error) ? QUERY_NO_MEMORY : QUERY_BAD_ORDER;
        goto out;
    }
    query->sight = query_sight_new(options->viewer);
    if (query->sight && judge_paths(query))
        return QUERY_OK;
out:
    query_done(query);
    return status;
}

void query_done(struct query *query)
{
    filter_free(query->filter);
    order_free(query->order);
    query_sight_free(query->sight);
    query->filter = NULL;
    query->order = NULL;
    query->sight = NULL;
}

/* ---- asking ---- */

bool query_matches(const struct query *query, const struct twin *twin)
{
    struct subject_of_query subject = {twin, query->region, NULL};
    return filter_matches(query->filter, &subject, query->now_ns);
}

bool query_selects(const struct query *query, const struct twin *twin)
{
    return twin_visible(twin) && query_sight_of(query->sight, twin->vid, NULL) == SIGHT_SEEN &&
           query_matches(query, twin);
}

/* ---- scanning ----
 *
 * Waiting for memory is most of what a query costs, so it waits for many vehicles at once: a batch
 * of twins is fetched; then, of those that the viewer sees, the states and parts that the query
 * reads; then they are looked at. */

enum {
    BATCH = 64,
    FETCH_BYTES = 256, /* what is read of a state or part lies within, mostly */
    CACHE_LINE_BYTES = 64,
};

struct batch {
    uint32_t count, indices[BATCH];
    const struct twin *twins[BATCH];
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

static void fetch_block(const void *block)
{
    const char *at = block;
    for (size_t i = 0; i < FETCH_BYTES; i += CACHE_LINE_BYTES)
        __builtin_prefetch(at + i);
}

/* Where the states that the query reads stand among a twin's. Twins of a fleet mostly have the same
 * states in the same places: those of one batch tell where to look in the next. */
struct places {
    size_t of[QUERY_FETCH_MAX];
};

static void find_places(const struct query_fetch *fetch, const struct twin *twin,
                        struct places *places)
{
    for (size_t t = 0; t < fetch->type_count; t++) {
        const struct state *state = twin_state(twin, fetch->types[t]);
        size_t place = 0;
        while (place < twin->state_count && twin->states[place] != state)
            place++;
        places->of[t] = place;
    }
}

static void fetch_batch(const struct query_fetch *fetch, const struct batch *batch,
                        const struct places *places)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct twin *twin = batch->twins[i];
        for (size_t t = 0; t < fetch->type_count; t++)
            if (places->of[t] < twin->state_count)
                fetch_block(twin->states[places->of[t]]);
        for (unsigned kind = 0; fetch->parts && kind < PART_COUNT; kind++)
            if ((fetch->parts & 1u << kind) && twin->parts[kind])
                fetch_block(twin->parts[kind]);
    }
}

enum query_status query_scan(const struct query *query, const struct store *store, uint32_t from,
                             uint32_t end, query_visit *visit, void *closure,
                             struct query_denial *denial)
{
    struct batch batch;
    struct places places = {{0}};
    for (uint32_t next, at = from; at < end; at = next) {
        next = end - at < BATCH ? end : at + BATCH;
        if (!take_batch(query, store, at, next, &batch, denial))
            return QUERY_DENIED;
        fetch_batch(&query->fetch, &batch, &places);
        for (uint32_t i = 0; i < batch.count; i++)
            if (query_matches(query, batch.twins[i]))
                visit(closure, batch.indices[i], batch.twins[i]);
        if (batch.count > 0)
            find_places(&query->fetch, batch.twins[0], &places);
    }
    return QUERY_OK;
}
