/* The OpenAPI document beside the code: the table of routes, and every list of names that it
 * repeats. That real answers are as it says is tests/system/test_schema.py. */
#include "http_fixture.h"
#include "hub/api_openapi.h"
#include "hub/build_info.h"
#include "hub/formats.h"
#include "hub/position_gate.h"
#include "hub/record.h"
#include "hub/routes.h"
#include "twin/command_life.h"
#include "twin/twin.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NAMES_MAX_BYTES = 512 };

static json_t *document;

static int load(void **state)
{
    (void)state;
    document = json_loadb(openapi_json, openapi_json_bytes, JSON_REJECT_DUPLICATES, NULL);
    return document ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    json_decref(document);
    return 0;
}

/* ---- looking about in the document ---- */

/* What "#/a/b" names; the document's names hold no escapes in there. */
static json_t *at(const char *pointer)
{
    char steps[NAMES_MAX_BYTES], *rest = steps;
    json_t *found = document;
    snprintf(steps, sizeof steps, "%s", pointer + strlen("#/"));
    for (char *step; found && (step = strsep(&rest, "/"));)
        found = json_object_get(found, step);
    if (!found)
        fail_msg("%s is not in the document", pointer);
    return found;
}

static json_t *followed(json_t *value)
{
    for (json_t *ref; (ref = json_object_get(value, "$ref"));)
        value = at(json_string_value(ref));
    return value;
}

static json_t *operation_of(const struct http_route *route)
{
    char method[16];
    json_t *path = json_object_get(json_object_get(document, "paths"), route->pattern);
    snprintf(method, sizeof method, "%s", route->method);
    for (char *c = method; *c; c++)
        *c = (char)(*c | 0x20);
    return json_object_get(path, method);
}

static const struct http_route *route_of(const char *method, const char *pattern)
{
    for (size_t i = 0; i < route_count; i++)
        if (strcasecmp(routes[i].method, method) == 0 && strcmp(routes[i].pattern, pattern) == 0)
            return &routes[i];
    return NULL;
}

static bool is_operation(const char *name)
{
    return strcmp(name, "parameters") != 0 && strcmp(name, "summary") != 0 &&
           strcmp(name, "description") != 0;
}

/* ---- sets of names ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Blank-separated words in the order of their bytes. */
static void sort_words(char words[NAMES_MAX_BYTES])
{
    char copy[NAMES_MAX_BYTES], *rest = copy;
    const char *word[NAMES_MAX_BYTES];
    size_t count = 0;
    strcpy(copy, words);
    for (char *next; (next = strsep(&rest, " "));)
        if (*next)
            word[count++] = next;
    qsort(word, count, sizeof *word, by_text);
    words[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strcat(words, i ? " " : "");
        strcat(words, word[i]);
    }
}

static void add_word(char words[NAMES_MAX_BYTES], const char *word)
{
    assert_true(strlen(words) + strlen(word) + 2 < NAMES_MAX_BYTES);
    strcat(words, " ");
    strcat(words, word);
}

static void add_parameters(json_t *list, const char *in, char words[NAMES_MAX_BYTES])
{
    json_t *parameter;
    size_t i;
    json_array_foreach(list, i, parameter)
    {
        json_t *found = followed(parameter);
        if (strcmp(json_string_value(json_object_get(found, "in")), in) == 0)
            add_word(words, json_string_value(json_object_get(found, "name")));
    }
}

/* The parameters of an operation, its path's among them. */
static void parameters_of(const struct http_route *route, const char *in,
                          char words[NAMES_MAX_BYTES])
{
    json_t *path = json_object_get(json_object_get(document, "paths"), route->pattern);
    words[0] = '\0';
    add_parameters(json_object_get(path, "parameters"), in, words);
    add_parameters(json_object_get(operation_of(route), "parameters"), in, words);
    sort_words(words);
}

/* That an enumeration of the document is this list, in whatever order. */
static void enum_is(const char *pointer, const char *names)
{
    char have[NAMES_MAX_BYTES] = "", want[NAMES_MAX_BYTES];
    json_t *name;
    size_t i;
    json_array_foreach(json_object_get(at(pointer), "enum"), i, name) if (!json_is_null(name))
        add_word(have, json_string_value(name));
    snprintf(want, sizeof want, "%s", names);
    sort_words(have);
    sort_words(want);
    assert_string_equal(have, want);
}

#define AS_WORD(id, name) " " name
#define AS_THIRD(id, media_type, name) " " name

/* ---- routes ---- */

static void every_route_is_in_the_document(void **state)
{
    (void)state;
    for (size_t i = 0; i < route_count; i++)
        if (!operation_of(&routes[i]))
            fail_msg("%s %s is not in schema/openapi.yaml", routes[i].method, routes[i].pattern);
}

static void every_operation_is_a_route(void **state)
{
    const char *pattern, *method;
    json_t *path, *operation;
    (void)state;
    json_object_foreach(json_object_get(document, "paths"), pattern, path) json_object_foreach(
        path, method, operation) if (is_operation(method) && !route_of(method, pattern))
        fail_msg("%s %s of schema/openapi.yaml is no route", method, pattern);
}

static void operations_know_the_query_parameters_of_their_routes(void **state)
{
    struct store *store = store_new();
    struct position_gate *gate = position_gate_new(store, NULL);
    (void)state;
    assert_non_null(gate);
    for (size_t i = 0; i < route_count; i++) {
        char have[NAMES_MAX_BYTES], want[NAMES_MAX_BYTES];
        bool waits = (routes[i].flags & ROUTE_POSITION) != 0;
        parameters_of(&routes[i], "query", have);
        snprintf(want, sizeof want, "%s %s", routes[i].query,
                 waits ? position_gate_http(gate)->query : "");
        sort_words(want);
        if (strcmp(have, want) != 0)
            fail_msg("%s %s knows \"%s\", the document says \"%s\"", routes[i].method,
                     routes[i].pattern, want, have);
    }
    position_gate_stop(gate);
    position_gate_free(gate);
    store_free(store);
}

static void operations_name_what_is_in_their_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < route_count; i++) {
        char have[NAMES_MAX_BYTES], want[NAMES_MAX_BYTES] = "";
        const char *from = routes[i].pattern;
        while ((from = strchr(from, '{'))) {
            size_t size = strcspn(++from, "}");
            snprintf(want + strlen(want), sizeof want - strlen(want), " %.*s", (int)size, from);
        }
        sort_words(want);
        parameters_of(&routes[i], "path", have);
        assert_string_equal(have, want);
    }
}

static void operations_take_a_body_where_their_routes_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < route_count; i++) {
        json_t *operation = operation_of(&routes[i]);
        bool documented = json_object_get(operation, "requestBody") != NULL;
        bool takes_body = (routes[i].flags & ROUTE_BODY_JSON) != 0;
        json_t *responses = json_object_get(operation, "responses");
        if (documented != takes_body)
            fail_msg("%s %s: a body in the table or in the document alone", routes[i].method,
                     routes[i].pattern);
        if (takes_body &&
            (!json_object_get(responses, "413") || !json_object_get(responses, "415")))
            fail_msg("%s %s: a body may be too large or of another type", routes[i].method,
                     routes[i].pattern);
    }
}

static void operations_that_wait_for_a_position_say_how_that_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < route_count; i++) {
        json_t *responses = json_object_get(operation_of(&routes[i]), "responses");
        bool waits = (routes[i].flags & ROUTE_POSITION) != 0;
        bool documented = json_object_get(responses, "410") && json_object_get(responses, "504");
        if (waits != documented)
            fail_msg("%s %s: 410 and 504 belong to those that take min_position", routes[i].method,
                     routes[i].pattern);
    }
}

static void operations_have_ids_of_their_own_and_known_tags(void **state)
{
    json_t *ids = json_object(), *tags = json_object(), *tag;
    size_t i;
    (void)state;
    json_array_foreach(json_object_get(document, "tags"), i, tag)
        json_object_set(tags, json_string_value(json_object_get(tag, "name")), json_true());
    for (i = 0; i < route_count; i++) {
        json_t *operation = operation_of(&routes[i]);
        const char *id = json_string_value(json_object_get(operation, "operationId"));
        json_t *own = json_object_get(operation, "tags");
        assert_non_null(id);
        assert_null(json_object_get(ids, id));
        json_object_set(ids, id, json_true());
        assert_int_equal(json_array_size(own), 1);
        assert_non_null(json_object_get(tags, json_string_value(json_array_get(own, 0))));
        assert_non_null(json_object_get(operation, "summary"));
    }
    json_decref(ids);
    json_decref(tags);
}

/* ---- names ---- */

static const struct {
    int status;
    const char *type, *title;
} problems[] = {
#define X(id, status, slug, title) {status, "/problems/" slug, title},
    PROBLEM_TABLE(X)
#undef X
};

static void check_problem_example(json_t *example)
{
    const char *type = json_string_value(json_object_get(example, "type"));
    for (size_t i = 0; i < PROBLEM_COUNT; i++) {
        if (strcmp(problems[i].type, type) != 0)
            continue;
        assert_string_equal(json_string_value(json_object_get(example, "title")),
                            problems[i].title);
        assert_int_equal(json_integer_value(json_object_get(example, "status")),
                         problems[i].status);
        return;
    }
    fail_msg("%s is no kind of problem", type);
}

/* Counts the examples of problems below `value`, each of them checked. */
static size_t check_problem_examples(json_t *value)
{
    const char *name;
    json_t *member;
    size_t i, count = 0;
    const char *type = json_string_value(json_object_get(value, "type"));
    if (type && strncmp(type, "/problems/", 10) == 0) {
        check_problem_example(value);
        return 1;
    }
    json_array_foreach(value, i, member) count += check_problem_examples(member);
    json_object_foreach(value, name, member) count += check_problem_examples(member);
    return count;
}

static void problems_are_those_of_the_table(void **state)
{
    json_t *type,
        *types = json_object_get(at("#/components/schemas/problem/properties/type"), "enum");
    size_t i;
    (void)state;
    assert_int_equal(json_array_size(types), PROBLEM_COUNT);
    for (i = 0; i < PROBLEM_COUNT; i++) {
        bool found = false;
        size_t k;
        json_array_foreach(types, k, type) found =
            found || strcmp(json_string_value(type), problems[i].type) == 0;
        if (!found)
            fail_msg("%s is not in schema/problem.json", problems[i].type);
    }
    assert_true(check_problem_examples(document) > 10);
}

static void names_are_those_of_the_tables(void **state)
{
    (void)state;
    enum_is("#/components/schemas/record/$defs/kind", RECORD_KIND_TABLE(AS_WORD));
    enum_is("#/components/schemas/record/$defs/severity", RECORD_SEVERITY_TABLE(AS_WORD));
    enum_is("#/components/schemas/common/$defs/severity", RECORD_SEVERITY_TABLE(AS_WORD));
    enum_is("#/components/schemas/common/$defs/presence", PRESENCE_TABLE(AS_WORD));
    enum_is("#/components/schemas/common/$defs/part", PART_TABLE(AS_WORD));
    enum_is("#/components/schemas/record-data/$defs/reason", REFUSAL_TABLE(AS_WORD));
    enum_is("#/components/schemas/DeliveryState", DELIVERY_STATE_TABLE(AS_WORD));
    enum_is("#/components/parameters/format/schema", FORMAT_TABLE(AS_THIRD));
}

static void lists_offer_every_format(void **state)
{
    json_t *content = at("#/paths");
    (void)state;
    content = json_object_get(content, "/v1/vehicles");
    content = json_object_get(json_object_get(content, "get"), "responses");
    content = json_object_get(json_object_get(content, "200"), "content");
    assert_int_equal(json_object_size(content), FORMAT_COUNT);
    for (int i = 0; i < FORMAT_COUNT; i++)
        assert_non_null(json_object_get(content, format_offers[i].media_type));
}

/* ---- the whole ---- */

static void check_contained(json_t *value)
{
    const char *name, *ref = json_string_value(json_object_get(value, "$ref"));
    json_t *member;
    size_t i;
    if (ref)
        assert_non_null(at(ref));
    assert_null(json_object_get(value, "$id"));
    json_array_foreach(value, i, member) check_contained(member);
    json_object_foreach(value, name, member) check_contained(member);
}

static void the_document_needs_no_other(void **state)
{
    (void)state;
    check_contained(document);
}

static void the_document_is_of_this_version(void **state)
{
    (void)state;
    assert_string_equal(json_string_value(json_object_get(document, "openapi")), "3.1.0");
    assert_string_equal(json_string_value(at("#/info/version")), FLEETHUB_VERSION);
}

static void it_is_served_with_an_etag(void **state)
{
    static const struct http_route own[] = {{"GET", "/openapi.json", api_openapi, 0, ""}};
    struct client_reply reply;
    char fields[256];
    assert_int_equal(fixture_start(own, 1), 0);
    client_get(fixture_port, "/openapi.json", &reply);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body_bytes, openapi_json_bytes);
    assert_memory_equal(reply.body, openapi_json, openapi_json_bytes);
    assert_string_equal(header_of(&reply, "Content-Type"), "application/json");
    snprintf(fields, sizeof fields, "If-None-Match: %s\r\n", header_of(&reply, "ETag"));
    client_reply_done(&reply);
    client_do(fixture_port, "GET", "/openapi.json", fields, NULL, &reply);
    assert_int_equal(reply.status, 304);
    client_reply_done(&reply);
    assert_int_equal(fixture_stop(state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_in_the_document),
        cmocka_unit_test(every_operation_is_a_route),
        cmocka_unit_test(operations_know_the_query_parameters_of_their_routes),
        cmocka_unit_test(operations_name_what_is_in_their_paths),
        cmocka_unit_test(operations_take_a_body_where_their_routes_do),
        cmocka_unit_test(operations_that_wait_for_a_position_say_how_that_ends),
        cmocka_unit_test(operations_have_ids_of_their_own_and_known_tags),
        cmocka_unit_test(problems_are_those_of_the_table),
        cmocka_unit_test(names_are_those_of_the_tables),
        cmocka_unit_test(lists_offer_every_format),
        cmocka_unit_test(the_document_needs_no_other),
        cmocka_unit_test(the_document_is_of_this_version),
        cmocka_unit_test(it_is_served_with_an_etag),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
