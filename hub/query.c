#include "hub/query.h"

#include <stdio.h>
#include <string.h>

/* ---- making ---- */

static bool out_of_memory(const struct text_error *error)
{
    return strcmp(error->detail, "out of memory") == 0;
}

static bool judge_paths(struct query *query)
{
    const struct path *path;
    for (size_t i = 0; (path = filter_path(query->filter, i)) != NULL; i++)
        if (!query_sight_add(query->sight, path))
            return false;
    for (size_t i = 0; i < order_keys(query->order); i++)
        if (!query_sight_add(query->sight, order_path(query->order, i)))
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

bool query_looks_at(struct query *query, const struct path *path)
{
    return query_sight_add(query->sight, path);
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

static enum query_status denied(const struct twin *twin, struct query_denial *denial)
{
    snprintf(denial->vid, sizeof denial->vid, "%s", twin->vid);
    return QUERY_DENIED;
}

enum query_status query_scan(const struct query *query, const struct store *store, uint32_t from,
                             uint32_t end, query_visit *visit, void *closure,
                             struct query_denial *denial)
{
    const struct twin *twins[STORE_BATCH];
    for (uint32_t size, at = from; at < end && (size = store_batch(store, at, twins)) > 0;
         at += size) {
        if (size > end - at)
            size = end - at;
        for (uint32_t i = 0; i < size; i++) {
            if (!twin_visible(twins[i]))
                continue;
            enum sight sight = query_sight_of(query->sight, twins[i]->vid, &denial->path);
            if (sight == SIGHT_DENIED)
                return denied(twins[i], denial);
            if (sight == SIGHT_SEEN && query_matches(query, twins[i]))
                visit(closure, at + i, twins[i]);
        }
    }
    return QUERY_OK;
}
