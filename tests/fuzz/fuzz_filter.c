/*
 * fuzz_filter: any bytes as a filter, an order_by, a list of paths and a polygon.
 *
 * The first byte chooses what the rest is: '@' an order_by, '#' a list of paths, '$' WKT, '%' the
 * bytes of a page token, '&' a filter of records; anything else begins a filter of twins. What is
 * accepted is asked about a fixed set of twins, twice; what is refused points into the text.
 */
#include "tests/unit/filter_help.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TWINS = 4 };

static struct twin *twins[TWINS];
static struct record_view record;

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void make_subjects(void)
{
    static const char *const texts[TWINS] = {
        "{\"vid\":\"V-1\"}",
        "{\"vid\":\"V-2\",\"status\":\"online\",\"seen\":5,\"since\":60,\"delta_since\":9,"
        "\"state\":{"
        "\"position\":{\"lat\":59.9,\"lon\":10.7,\"heading\":null},\"battery\":{\"remaining\":0.25}"
        ","
        "\"mode\":{\"mode\":\"AUTO\",\"armed\":true}},\"desired\":{\"mode\":\"RTL\"},"
        "\"meta\":{\"site\":\"oslo\",\"tags\":[1,\"a\",null,true]}}",
        "{\"vid\":\"V-3\",\"status\":\"offline\",\"state\":{\"position\":{\"lat\":1e300,\"lon\":-"
        "1e300},"
        "\"battery\":{\"remaining\":12345678901234567890123}}}",
        "{\"vid\":\"V-4\",\"state\":{\"position\":{\"lat\":-90,\"lon\":180},\"\":{\"\":\"\\u0000\"}"
        "},"
        "\"meta\":{\"site\":\"\",\"tags\":{\"a\":1}}}"};
    static struct doc *data;
    for (int i = 0; i < TWINS && !twins[i]; i++) {
        twins[i] = help_twin(texts[i]);
        require(twins[i] != NULL, "the twins are read");
    }
    if (data)
        return;
    data = doc_of("{\"remaining\":0.25,\"lat\":1,\"lon\":2}");
    record = (struct record_view){.kind = {"event", 5},
                                  .seq = 7,
                                  .vehicle_seq = -1,
                                  .received_ns = HELP_NOW_NS,
                                  .timestamp_ns = TIMESTAMP_MIN,
                                  .archived_ns = TIMESTAMP_NONE,
                                  .data = doc_root(data)};
}

static void check_error(const struct text_error *error, const char *text, size_t size)
{
    size_t points = 0;
    for (size_t i = 0; i < size; i++)
        points += ((unsigned char)text[i] & 0xc0) != 0x80;
    require(error->offset <= points, "the offset lies in the text");
    require(error->detail[0] != '\0', "an error says what it is");
    require(strnlen(error->detail, sizeof error->detail) < sizeof error->detail &&
                strnlen(error->hint, sizeof error->hint) < sizeof error->hint,
            "errors are ended");
}

static void check_filter(enum path_kind kind, const char *text, size_t size)
{
    struct text_error error;
    struct filter *filter = filter_compile(kind, text, size, &help_groups, &error);
    if (!filter) {
        check_error(&error, text, size);
        return;
    }
    struct subject_of_query subject = {.record = &record};
    for (int i = 0; i < TWINS; i++) {
        if (kind == PATH_OF_TWIN)
            subject = (struct subject_of_query){.twin = twins[i], .region = "north"};
        bool once = filter_matches(filter, &subject, HELP_NOW_NS);
        require(once == filter_matches(filter, &subject, HELP_NOW_NS), "the same answer twice");
        bool later = filter_matches(filter, &subject, HELP_NOW_NS + NS_PER_S);
        require(once == later || filter_depends_on_time(filter), "time is asked for");
    }
    for (size_t i = 0; filter_path(filter, i); i++) {
        const char *name = path_text(filter_path(filter, i));
        struct path *path = path_compile(kind, name, strlen(name), 0, &error);
        /* A key behind a colon may be longer than a path that is written. */
        require(path ? strcmp(path_text(path), name) == 0 : strlen(name) > PATH_MAX_BYTES / 2,
                "a path is read as it is written");
        path_free(path);
    }
    filter_free(filter);
}

static void check_order(const char *text, size_t size)
{
    struct text_error error;
    struct order *order = order_compile(PATH_OF_TWIN, text, size, &error);
    struct order_values values[TWINS], again;
    if (!order) {
        check_error(&error, text, size);
        return;
    }
    for (int i = 0; i < TWINS; i++) {
        struct subject_of_query subject = {.twin = twins[i], .region = "north"};
        struct buf bytes = BUF_INIT;
        order_take(order, &subject, &values[i]);
        order_write(order, &values[i], &bytes);
        require(order_read(order, bytes.data, bytes.size_bytes, &again), "tokens are read");
        require(order_compare(order, &values[i], &again) == 0, "tokens are exact");
        for (int j = 0; j < i; j++) {
            int forth = order_compare(order, &values[i], &values[j]);
            int back = order_compare(order, &values[j], &values[i]);
            require((forth > 0) == (back < 0) && (forth < 0) == (back > 0),
                    "order is antisymmetric");
        }
        buf_done(&bytes);
    }
    order_free(order);
}

static void check_list(const char *text, size_t size)
{
    struct text_error error;
    struct path *path;
    size_t at = 0, before = 0;
    while ((path = path_next(PATH_OF_TWIN, text, size, &at, &error))) {
        path_free(path);
        require(at > before && at <= size, "a list goes on");
        before = at;
    }
    if (at < size)
        check_error(&error, text, size);
}

static void check_area(const char *text, size_t size)
{
    static const double places[][2] = {{59.9, 10.7}, {0, 0}, {90, 180}, {1e300, 5}, {0.5, 0.5}};
    struct text_error error;
    struct geo_area *area = geo_area_from_wkt(text, size, &error);
    if (!area) {
        check_error(&error, text, size);
        return;
    }
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        require(geo_area_holds(area, places[i][0], places[i][1]) ==
                    geo_area_holds(area, places[i][0], places[i][1]),
                "the same answer twice");
    require(!geo_area_holds(area, 91, 0), "nothing is off the globe");
    geo_area_free(area);
}

static void check_token(const char *bytes, size_t size)
{
    static const char text[] = "vid, meta.x desc";
    struct text_error error;
    struct order_values values;
    struct order *order = order_compile(PATH_OF_TWIN, text, sizeof text - 1, &error);
    require(order != NULL, "memory");
    if (order_read(order, bytes, size, &values)) {
        struct buf again = BUF_INIT;
        require(order_compare(order, &values, &values) == 0, "a token is itself");
        order_write(order, &values, &again);
        require(again.size_bytes == size && memcmp(again.data, bytes, size) == 0,
                "a token is written as it was read");
        buf_done(&again);
    }
    order_free(order);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *rest = text + 1;
    make_subjects();
    switch (size ? *text : '\0') {
    case '@':
        check_order(rest, size - 1);
        break;
    case '#':
        check_list(rest, size - 1);
        break;
    case '$':
        check_area(rest, size - 1);
        break;
    case '%':
        check_token(rest, size - 1);
        break;
    case '&':
        check_filter(PATH_OF_RECORD, rest, size - 1);
        break;
    default:
        check_filter(PATH_OF_TWIN, text, size);
    }
    return 0;
}
