/* The table of routes: what each takes of its caller. */
#include "hub/access_http.h"
#include "hub/routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Reading by a POST. */
static bool only_asks(const struct http_route *route)
{
    return strcmp(route->pattern, "/v1/access:check") == 0;
}

static void what_changes_something_takes_more_than_reading(void **state)
{
    (void)state;
    for (size_t i = 0; i < route_count; i++) {
        const struct http_route *route = &routes[i];
        bool reads = strcmp(route->method, "GET") == 0 || only_asks(route);
        enum capability capability = access_capability(route->flags);
        bool changes = capability == CAN_OPERATE || capability == CAN_ADMINISTER;
        if (reads == changes)
            fail_msg("%s %s: %s", route->method, route->pattern, capability_text(capability));
    }
}

static void the_record_and_access_are_for_auditors(void **state)
{
    (void)state;
    static const char *const audited[] = {"/v1/events", "/v1/audit/", "/v1/tokens", "/v1/grants",
                                          "/v1/vehicles/{vid}/timeline"};
    for (size_t i = 0; i < route_count; i++)
        for (size_t k = 0; k < sizeof audited / sizeof *audited; k++)
            if (strcmp(routes[i].method, "GET") == 0 && begins(routes[i].pattern, audited[k]) &&
                access_capability(routes[i].flags) != CAN_AUDIT)
                fail_msg("%s %s", routes[i].method, routes[i].pattern);
}

static void only_operation_is_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < route_count; i++)
        if ((routes[i].flags & (ROUTE_OPEN | ROUTE_METRICS)) && begins(routes[i].pattern, "/v1/"))
            fail_msg("%s %s", routes[i].method, routes[i].pattern);
}

static void streams_of_events_take_a_token_from_browsers(void **state)
{
    (void)state;
    for (size_t i = 0; i < route_count; i++) {
        size_t size = strlen(routes[i].pattern), tail = strlen("/stream");
        bool streams = size > tail && strcmp(routes[i].pattern + size - tail, "/stream") == 0;
        if (streams != ((routes[i].flags & ROUTE_SSE) != 0))
            fail_msg("%s %s", routes[i].method, routes[i].pattern);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_changes_something_takes_more_than_reading),
        cmocka_unit_test(the_record_and_access_are_for_auditors),
        cmocka_unit_test(only_operation_is_open),
        cmocka_unit_test(streams_of_events_take_a_token_from_browsers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
