#include "hub/api_query.h"

#include "hub/app.h"
#include "hub/groups.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* What a connection's memory holds beside a request that was as long. */
enum { LINK_MAX_BYTES = HTTP_MAX_REPLY_HEADER_BYTES - 1024 };

bool query_page_size(const struct http_request *request, struct http_reply *reply, size_t *size)
{
    const char *text = http_query(request, "page_size");
    *size = PAGE_SIZE_DEFAULT;
    if (!text)
        return true;
    char *end;
    long value = strtol(text, &end, 10); /* beyond its range it saturates, which the clamp bears */
    if (end == text || *end != '\0' || isspace((unsigned char)*text)) {
        http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                     "page_size is a whole number from 1 to %d; this is none.", PAGE_SIZE_MAX);
        return false;
    }
    *size = value < 1 ? 1 : value > PAGE_SIZE_MAX ? PAGE_SIZE_MAX : (size_t)value;
    return true;
}

bool query_flag(const struct http_request *request, struct http_reply *reply, const char *name,
                bool *value)
{
    const char *text = http_query(request, name);
    *value = text && (*text == '\0' || strcmp(text, "true") == 0);
    if (text && !*value && strcmp(text, "false") != 0) {
        http_problem(request, reply, PROBLEM_BAD_PARAMETER, "%s is `true` or `false`.", name);
        return false;
    }
    return true;
}

static void add_escaped(struct buf *out, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (isalnum(c) || strchr("-._~", c)) {
            buf_addc(out, (char)c);
        } else {
            buf_addc(out, '%');
            buf_addc(out, hex[c >> 4]);
            buf_addc(out, hex[c & 15]);
        }
    }
}

bool query_link_next(const struct http_request *request, struct http_reply *reply,
                     const char *token)
{
    struct buf target = BUF_INIT;
    buf_adds(&target, request->path);
    buf_addc(&target, '?');
    for (size_t i = 0; i < request->query_count; i++) {
        if (strcmp(request->query[i].name, "page_token") == 0)
            continue;
        add_escaped(&target, request->query[i].name);
        buf_addc(&target, '=');
        add_escaped(&target, request->query[i].value);
        buf_addc(&target, '&');
    }
    buf_adds(&target, "page_token=");
    buf_adds(&target, token);
    bool fits = !target.failed && target.size_bytes <= LINK_MAX_BYTES;
    if (fits)
        http_reply_header(reply, "Link", "<%s>; rel=\"next\"", buf_cstr(&target));
    buf_done(&target);
    return fits;
}

/* ---- queries ---- */

void query_refuse_text(const struct http_request *request, struct http_reply *reply,
                       const char *parameter, const struct text_error *error)
{
    if (strcmp(error->detail, "out of memory") == 0)
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "There is no memory to answer this.");
    else
        http_problem_text(request, reply,
                          strcmp(parameter, "filter") == 0 ? PROBLEM_BAD_FILTER
                                                           : PROBLEM_BAD_PARAMETER,
                          parameter, error);
}

void query_refuse(const struct http_request *request, struct http_reply *reply,
                  enum query_status status, const struct query_denial *denial)
{
    if (status == QUERY_DENIED)
        http_problem(request, reply, PROBLEM_FORBIDDEN,
                     "Your access does not cover %s of %s, which is among the vehicles that you "
                     "see: ask for something else.",
                     denial->path, denial->vid);
    else if (status == QUERY_CHANGED)
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "A group that the filter names was defined anew meanwhile; ask again.");
    else
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "There is no memory to answer this.");
}

/* A stored filter is judged with the caller's rights: its paths are looked at like the query's own.
 * Bounded as its evaluation is: what is not looked at there holds nobody. */
static bool look_at_groups(struct query *query, struct groups *groups, const struct filter *filter,
                           unsigned depth, unsigned *work)
{
    const struct path *path;
    const char *name;
    for (size_t i = 0; (name = filter_group(filter, i)) != NULL; i++) {
        const struct group *group = groups_find(groups, name);
        if (!group || !group->filter || depth == GROUP_DEPTH_MAX || ++*work > GROUP_WORK_MAX)
            continue;
        for (size_t p = 0; (path = filter_path(group->filter, p)) != NULL; p++)
            if (!query_sight_add(query->sight, path))
                return false;
        if (!look_at_groups(query, groups, group->filter, depth + 1, work))
            return false;
    }
    return true;
}

bool query_judge_groups(struct query *query, struct groups *groups)
{
    unsigned work = 0;
    if (!groups || !filter_group(query->filter, 0))
        return true;
    if (!groups_seal(&query->seal, groups, query->filter, query->sees_everything))
        return false;
    size_t place = groups_enter(groups);
    bool ok = look_at_groups(query, groups, query->filter, 0, &work);
    groups_leave(groups, place);
    return ok;
}

/* The first of the vehicles in view on which it is denied. */
static bool find_denial(struct store *store, const struct query_sight *sight,
                        struct query_denial *denial)
{
    bool denied = false;
    size_t place = store_enter(store);
    uint32_t count = store_count(store);
    for (uint32_t i = 0; i < count && !denied; i++) {
        const struct twin *twin = store_at(store, i);
        denied =
            twin_visible(twin) && query_sight_of(sight, twin->vid, &denial->path) == SIGHT_DENIED;
        if (denied)
            memcpy(denial->vid, twin->vid, strlen(twin->vid) + 1);
    }
    store_leave(store, place);
    return denied;
}

bool query_may_ask_groups(const struct http_request *request, struct http_reply *reply,
                          const struct filter *filter)
{
    struct app *app = request->app;
    struct query_denial denial = {.path = NULL};
    if (viewer_sees_everything(request->viewer) || !app->groups || !filter_group(filter, 0))
        return true;
    struct query query = {.sight = query_sight_new(request->viewer)};
    unsigned work = 0;
    size_t place = groups_enter(app->groups);
    bool made = query.sight && look_at_groups(&query, app->groups, filter, 0, &work);
    groups_leave(app->groups, place);
    bool denied = made && find_denial(app->store, query.sight, &denial);
    if (!made || denied)
        query_refuse(request, reply, made ? QUERY_DENIED : QUERY_NO_MEMORY, &denial);
    query_sight_free(query.sight);
    return made && !denied;
}

bool query_read(const struct http_request *request, struct http_reply *reply, struct query *query)
{
    struct app *app = request->app;
    struct text_error error;
    struct query_options options = {
        .viewer = request->viewer,
        .region = app->config->region,
        .now_ns = broker_clock_now(&app->clock, NULL),
        .filter = http_query(request, "filter"),
        .order = http_query(request, "order_by"),
        .groups = groups_for_filters(app->groups),
    };
    enum query_status status = query_init(query, &options, &error);
    if (status == QUERY_OK && !query_judge_groups(query, app->groups)) {
        query_done(query);
        status = QUERY_NO_MEMORY;
    }
    if (status == QUERY_OK)
        return true;
    if (status == QUERY_BAD_FILTER || status == QUERY_BAD_ORDER)
        query_refuse_text(request, reply, status == QUERY_BAD_FILTER ? "filter" : "order_by",
                          &error);
    else
        query_refuse(request, reply, status, NULL);
    return false;
}

bool query_read_fields(const struct http_request *request, struct http_reply *reply,
                       struct fields **fields)
{
    const char *text = http_query(request, "fields");
    struct text_error error;
    *fields = NULL;
    if (!text)
        return true;
    *fields = fields_compile(text, strlen(text), &error);
    if (!*fields)
        query_refuse_text(request, reply, "fields", &error);
    return *fields != NULL;
}

bool query_read_format(const struct http_request *request, struct http_reply *reply,
                       unsigned offered, enum format *format)
{
    struct accept_offer offers[FORMAT_COUNT];
    enum format formats[FORMAT_COUNT];
    struct buf names = BUF_INIT;
    size_t count = 0;
    for (int i = 0; i < FORMAT_COUNT; i++) {
        if (!(offered & 1u << i))
            continue;
        buf_adds(&names, count ? ", " : "");
        buf_adds(&names, format_offers[i].format);
        formats[count] = (enum format)i;
        offers[count++] = format_offers[i];
    }
    int chosen = accept_choose(request->accept, http_query(request, "format"), offers, count);
    if (chosen == ACCEPT_BAD_FORMAT)
        http_problem(request, reply, PROBLEM_BAD_PARAMETER, "format is one of %s.",
                     buf_cstr(&names));
    else if (chosen == ACCEPT_NOTHING)
        http_problem(request, reply, PROBLEM_NOT_ACCEPTABLE,
                     "None of what the header Accept names can be sent; there are %s.",
                     buf_cstr(&names));
    else
        *format = formats[chosen];
    buf_done(&names);
    return chosen >= 0;
}
