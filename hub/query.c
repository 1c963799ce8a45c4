#include "hub/query.h"

#include <string.h>

/* ---- making ---- */

static bool out_of_memory(const struct text_error *error)
{
    return strcmp(error->detail, "out of memory") == 0;
}

/* Which blocks of a twin stand behind the path, as a set. */
static uint16_t blocks_of(struct query_fetch *fetch, const struct path *path)
{
    struct slice root = path_name(path, 0), type = path_name(path, 1);
    enum part_kind kind;
    if (part_of_name(root.at, root.size, &kind))
        return (uint16_t)(1u << (QUERY_BLOCK_PARTS + kind));
    if (!type.at || root.size != strlen("state") || memcmp(root.at, "state", root.size) != 0)
        return 0;
    size_t i = 0;
    while (i < fetch->type_count && !(fetch->types[i].size == type.size &&
                                      memcmp(fetch->types[i].at, type.at, type.size) == 0))
        i++;
    if (i == QUERY_FETCH_MAX)
        return 0;
    if (i == fetch->type_count)
        fetch->types[fetch->type_count++] = type;
    return (uint16_t)(1u << i);
}

bool query_looks_at(struct query *query, const struct path *path)
{
    query->fetch.rest |= blocks_of(&query->fetch, path);
    return query_sight_add(query->sight, path);
}

static bool judge_paths(struct query *query)
{
    const struct path *path;
    for (size_t term = 0; term < FILTER_MAX_TERMS; term++)
        for (size_t i = 0; (path = filter_term_path(query->filter, term, i)) != NULL; i++) {
            query->fetch.terms[term] |= blocks_of(&query->fetch, path);
            if (!query_sight_add(query->sight, path))
                return false;
        }
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
