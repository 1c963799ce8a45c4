/* Request targets and what negotiates: whatever a client sends is refused, or decodes to UTF-8
 * that means the same when it is encoded again. */
#include "hub/accept.h"
#include "hub/http_route.h"
#include "hub/http_site.h"
#include "hub/http_uri.h"
#include "hub/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { INPUT_MAX_BYTES = 16 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void require_utf8(const char *text)
{
    size_t size = strlen(text), taken;
    for (size_t at = 0; at < size; at += taken)
        REQUIRE(utf8_next(text + at, size - at, &taken) != UTF8_BAD);
}

static char *append_escaped(char *out, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        *out++ = '%';
        *out++ = digits[byte >> 4];
        *out++ = digits[byte & 15];
    }
    return out;
}

static void check_query(char *query)
{
    struct http_param params[HTTP_MAX_QUERY_PARAMS], again[HTTP_MAX_QUERY_PARAMS];
    size_t count, count_again;
    char *encoded = malloc(3 * strlen(query) + 2 * HTTP_MAX_QUERY_PARAMS + 1);
    REQUIRE(encoded);
    if (uri_query(query, params, HTTP_MAX_QUERY_PARAMS, &count) == URI_OK) {
        char *end = encoded;
        for (size_t i = 0; i < count; i++) {
            require_utf8(params[i].name);
            require_utf8(params[i].value);
            end = append_escaped(end, params[i].name);
            *end++ = '=';
            end = append_escaped(end, params[i].value);
            *end++ = '&';
        }
        *end = '\0';
        REQUIRE(uri_query(encoded, again, HTTP_MAX_QUERY_PARAMS, &count_again) == URI_OK);
        REQUIRE(count_again == count);
        for (size_t i = 0; i < count; i++)
            REQUIRE(strcmp(params[i].name, again[i].name) == 0 &&
                    strcmp(params[i].value, again[i].value) == 0);
    }
    free(encoded);
}

static void check_route(char **segments, size_t count)
{
    static const struct http_route routes[] = {
        {"GET", "/", NULL, 0, ""},
        {"GET", "/v1/vehicles", NULL, 0, "filter"},
        {"GET", "/v1/vehicles/{vid}", NULL, 0, ""},
        {"GET", "/v1/vehicles/{vid}/state/{type}", NULL, 0, ""},
        {"POST", "/v1/commands/{id}:cancel", NULL, 0, ""},
    };
    char error[256];
    struct route_match match = {0};
    struct route_table *table = route_table_new(routes, sizeof routes / sizeof routes[0], error);
    REQUIRE(table);
    if (route_find(table, "GET", segments, count, &match) == ROUTE_FOUND)
        for (size_t i = 0; i < HTTP_MAX_PATH_PARAMS; i++)
            REQUIRE(!match.path_param[i] || *match.path_param[i]);
    match = (struct route_match){0};
    if (route_find(table, "POST", segments, count, &match) == ROUTE_FOUND)
        REQUIRE(match.path_param[0] && *match.path_param[0]);
    route_table_free(table);
}

static void check_accept(const char *text)
{
    static const struct accept_offer offers[] = {{"application/json", "json"}, {"text/csv", "csv"}};
    int choice = accept_choose(text, NULL, offers, 2);
    REQUIRE(choice >= ACCEPT_NOTHING && choice < 2);
    accept_gzip(text);
}

/* As Host, as Origin, and as where the server listens. */
static void check_site(const char *text)
{
    if (site_host_is_ours(text, "hub.local:8480"))
        REQUIRE(strncasecmp(text, "localhost", 9) == 0 || strncmp(text, "127.", 4) == 0 ||
                text[0] == '[' || strncasecmp(text, "hub.local", 9) == 0);
    REQUIRE(!site_host_is_ours("evil.example.org", text) ||
            strncasecmp(text, "evil.example.org", 16) == 0);
    REQUIRE(!site_origin_is_host(text, "localhost:8480") || strcasestr(text, "://localhost:8480"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX_BYTES)
        return 0;
    char *text = malloc(size + 1);
    REQUIRE(text);
    memcpy(text, data, size);
    text[size] = '\0';
    check_accept(text);
    check_site(text);

    char *path, *query, *segments[URI_MAX_SEGMENTS];
    size_t count;
    if (uri_split(text, &path, &query) == URI_OK) {
        REQUIRE(*path == '/');
        if (uri_path(path, segments, &count) == URI_OK) {
            REQUIRE(count >= 1 && count <= URI_MAX_SEGMENTS);
            for (size_t i = 0; i < count; i++) {
                require_utf8(segments[i]);
                REQUIRE(!strchr(segments[i], '/'));
            }
            check_route(segments, count);
        }
        check_query(query);
    }
    free(text);
    return 0;
}
