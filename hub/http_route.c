#include "hub/http_route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct segment {
    bool is_param;
    const char *literal; /* the segment, or what stands behind the parameter */
    size_t literal_bytes;
};

/* Everything that one path may be asked for. */
struct pattern {
    const char *text;
    struct segment segments[URI_MAX_SEGMENTS];
    size_t segment_count;
    size_t routes[ROUTE_MAX_METHODS]; /* indices into the table of routes */
    size_t route_count;
    char allow[ROUTE_ALLOW_BYTES];
};

struct route_table {
    const struct http_route *routes;
    size_t pattern_count;
    size_t first[URI_MAX_SEGMENTS + 2]; /* pattern of at least so many segments */
    struct pattern patterns[];          /* in the order of the search */
};

/* ---- compiling ---- */

static const char *compile_segment(const char *at, size_t size, struct segment *segment)
{
    const char *close = at[0] == '{' ? memchr(at, '}', size) : NULL;
    segment->is_param = close != NULL;
    segment->literal = close ? close + 1 : at;
    segment->literal_bytes = size - (size_t)(segment->literal - at);
    if (memchr(segment->literal, '{', segment->literal_bytes))
        return "a parameter begins a segment and is closed in it";
    return NULL;
}

static const char *compile_pattern(const char *text, struct pattern *pattern)
{
    size_t params = 0;
    if (text[0] != '/')
        return "it does not begin with /";
    pattern->text = text;
    for (const char *at = text; *at;) {
        at++;
        size_t size = strcspn(at, "/");
        if (pattern->segment_count == URI_MAX_SEGMENTS)
            return "too many segments";
        struct segment *segment = &pattern->segments[pattern->segment_count++];
        const char *wrong = compile_segment(at, size, segment);
        if (wrong)
            return wrong;
        params += segment->is_param;
        at += size;
    }
    return params > HTTP_MAX_PATH_PARAMS ? "too many parameters" : NULL;
}

static const char *add_method(struct pattern *pattern, const struct http_route *routes,
                              size_t index)
{
    const char *method = routes[index].method;
    for (size_t i = 0; i < pattern->route_count; i++)
        if (strcmp(routes[pattern->routes[i]].method, method) == 0)
            return "it stands there twice";
    size_t used = strlen(pattern->allow);
    int more = snprintf(pattern->allow + used, sizeof pattern->allow - used, "%s%s%s",
                        used ? ", " : "", method, strcmp(method, "GET") == 0 ? ", HEAD" : "");
    if (pattern->route_count == ROUTE_MAX_METHODS || (size_t)more >= sizeof pattern->allow - used)
        return "too many methods";
    pattern->routes[pattern->route_count++] = index;
    return NULL;
}

static int rank(const struct segment *segment)
{
    if (!segment->is_param)
        return 0;
    return segment->literal_bytes ? 1 : 2;
}

static int compare(const void *left, const void *right)
{
    const struct pattern *a = left, *b = right;
    if (a->segment_count != b->segment_count)
        return a->segment_count < b->segment_count ? -1 : 1;
    for (size_t i = 0; i < a->segment_count; i++) {
        int difference = rank(&a->segments[i]) - rank(&b->segments[i]);
        if (difference)
            return difference;
    }
    return strcmp(a->text, b->text); /* whatever, but always the same */
}

static struct pattern *pattern_of(struct route_table *table, const char *text)
{
    for (size_t i = 0; i < table->pattern_count; i++)
        if (strcmp(table->patterns[i].text, text) == 0)
            return &table->patterns[i];
    return NULL;
}

struct route_table *route_table_new(const struct http_route *routes, size_t count, char error[256])
{
    struct route_table *table = calloc(1, sizeof *table + count * sizeof table->patterns[0]);
    if (!table) {
        snprintf(error, 256, "no memory for the table of routes");
        return NULL;
    }
    table->routes = routes;
    for (size_t i = 0; i < count; i++) {
        const char *wrong = NULL;
        struct pattern *pattern = pattern_of(table, routes[i].pattern);
        if (!pattern) {
            pattern = &table->patterns[table->pattern_count++];
            wrong = compile_pattern(routes[i].pattern, pattern);
        }
        if (!wrong)
            wrong = add_method(pattern, routes, i);
        if (wrong) {
            snprintf(error, 256, "route %s %s: %s", routes[i].method, routes[i].pattern, wrong);
            route_table_free(table);
            return NULL;
        }
    }
    qsort(table->patterns, table->pattern_count, sizeof table->patterns[0], compare);
    for (size_t segments = 0; segments < sizeof table->first / sizeof *table->first; segments++) {
        size_t at = segments > 0 ? table->first[segments - 1] : 0;
        while (at < table->pattern_count && table->patterns[at].segment_count < segments)
            at++;
        table->first[segments] = at;
    }
    return table;
}

void route_table_free(struct route_table *table)
{
    free(table);
}

/* ---- finding ---- */

static bool segment_fits(const struct segment *segment, const char *text, size_t size)
{
    if (!segment->is_param)
        return size == segment->literal_bytes && memcmp(text, segment->literal, size) == 0;
    if (size <= segment->literal_bytes)
        return false;
    return memcmp(text + size - segment->literal_bytes, segment->literal, segment->literal_bytes) ==
           0;
}

static bool pattern_fits(const struct pattern *pattern, char **segments, const size_t *sizes)
{
    for (size_t i = 0; i < pattern->segment_count; i++)
        if (!segment_fits(&pattern->segments[i], segments[i], sizes[i]))
            return false;
    return true;
}

static void take_params(const struct pattern *pattern, char **segments, struct route_match *match)
{
    size_t taken = 0;
    for (size_t i = 0; i < pattern->segment_count; i++) {
        if (!pattern->segments[i].is_param)
            continue;
        segments[i][strlen(segments[i]) - pattern->segments[i].literal_bytes] = '\0';
        match->path_param[taken++] = segments[i];
    }
}

enum route_found route_find(const struct route_table *table, const char *method, char **segments,
                            size_t count, struct route_match *match)
{
    size_t sizes[URI_MAX_SEGMENTS];
    if (count > URI_MAX_SEGMENTS)
        return ROUTE_NO_PATH;
    for (size_t i = 0; i < count; i++)
        sizes[i] = strlen(segments[i]);
    const struct pattern *pattern = table->patterns + table->first[count];
    const struct pattern *end = table->patterns + table->first[count + 1];
    while (pattern < end && !pattern_fits(pattern, segments, sizes))
        pattern++;
    if (pattern == end)
        return ROUTE_NO_PATH;
    match->allow = pattern->allow;
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (size_t i = 0; i < pattern->route_count; i++) {
        const struct http_route *route = &table->routes[pattern->routes[i]];
        if (strcmp(route->method, method) != 0)
            continue;
        match->route = route;
        match->index = pattern->routes[i];
        take_params(pattern, segments, match);
        return ROUTE_FOUND;
    }
    return ROUTE_NO_METHOD;
}

bool route_lists(const char *list, const char *parameter)
{
    size_t size = strlen(parameter);
    for (const char *at = list; *at;) {
        size_t word = strcspn(at, " ");
        if (word == size && memcmp(at, parameter, size) == 0)
            return size > 0;
        at += word;
        at += strspn(at, " ");
    }
    return false;
}
