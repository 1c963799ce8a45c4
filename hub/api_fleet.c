#include "hub/api_fleet.h"

#include "hub/api_query.h"
#include "hub/api_vehicles.h"
#include "hub/app.h"
#include "hub/query_fields.h"
#include "hub/query_stats.h"

static bool look_at_paths(struct query *query, const struct stats_spec *spec)
{
    for (size_t i = 0; i < spec->key_count; i++)
        if (!query_looks_at(query, spec->keys[i]))
            return false;
    for (size_t i = 0; i < spec->column_count; i++)
        if (!query_looks_at(query, spec->columns[i].path))
            return false;
    return true;
}

static void answer_stats(const struct http_request *request, struct http_reply *reply,
                         struct query_stats *stats)
{
    const struct app *app = request->app;
    struct query_denial denial;
    api_position(app, reply);
    switch (query_stats_run(stats, app->store, &denial)) {
    case STATS_OK:
        query_stats_write(stats, &reply->body);
        break;
    case STATS_DENIED:
        query_refuse(request, reply, QUERY_DENIED, &denial);
        break;
    case STATS_CHANGED:
        query_refuse(request, reply, QUERY_CHANGED, NULL);
        break;
    case STATS_TOO_MANY:
        http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                     "group_by makes more than %d groups, or their keys are too long to be held: "
                     "group by something that has fewer values, or filter first.",
                     STATS_GROUPS_MAX);
        break;
    case STATS_NO_MEMORY:
        query_refuse(request, reply, QUERY_NO_MEMORY, NULL);
        break;
    }
}

void api_fleet_stats(const struct http_request *request, struct http_reply *reply)
{
    struct stats_spec spec;
    struct query query;
    struct text_error error;
    const char *parameter;
    if (!stats_spec_init(&spec, http_query(request, "group_by"), http_query(request, "stats"),
                         &parameter, &error)) {
        query_refuse_text(request, reply, parameter, &error);
        return;
    }
    if (query_read(request, reply, &query)) {
        struct query_stats *stats = NULL;
        if (look_at_paths(&query, &spec))
            stats = query_stats_new(&spec, &query);
        if (stats)
            answer_stats(request, reply, stats);
        else
            query_refuse(request, reply, QUERY_NO_MEMORY, NULL);
        query_stats_free(stats);
        query_done(&query);
    }
    stats_spec_done(&spec);
}

void api_fleet_fields(const struct http_request *request, struct http_reply *reply)
{
    const struct app *app = request->app;
    struct query query;
    struct query_denial denial;
    if (!query_read(request, reply, &query))
        return;
    struct query_fields *fields = query_fields_new(&query);
    enum query_status status = QUERY_NO_MEMORY;
    api_position(app, reply);
    if (fields)
        status = query_fields_run(fields, app->store, &denial);
    if (status == QUERY_OK)
        query_fields_write(fields, &reply->body);
    else
        query_refuse(request, reply, status, &denial);
    query_fields_free(fields);
    query_done(&query);
}
