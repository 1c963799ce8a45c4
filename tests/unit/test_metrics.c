#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hub/http.h"
#include "hub/metrics.h"
#include "hub/record.h"
#include "twin/envelope.h"
#include "twin/twin.h"

#include <ctype.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct http_route routes[] = {
    {"GET", "/v1/vehicles/{vid}", NULL, 0, ""},
    {"PUT", "/v1/vehicles/{vid}", NULL, 0, ""},
    {"GET", "/a\"b\\c", NULL, 0, ""},
};
enum { ROUTE_COUNT = sizeof routes / sizeof routes[0] };

/* The text, which the caller frees. */
static char *render(void)
{
    struct buf out = BUF_INIT;
    metrics_render(&out);
    char *text = buf_take(&out, NULL);
    assert_non_null(text);
    return text;
}

/* The value of a series, written as in the text; fails where it is not there. */
static double value_of(const char *text, const char *series)
{
    size_t size = strlen(series);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, series, size) == 0 && line[size] == ' ')
            return strtod(line + size, NULL);
    }
    fail_msg("no %s in:\n%s", series, text);
    return 0;
}

static double rendered(const char *series)
{
    char *text = render();
    double value = value_of(text, series);
    free(text);
    return value;
}

static bool renders(const char *needle)
{
    char *text = render();
    bool found = strstr(text, needle) != NULL;
    free(text);
    return found;
}

static void counter_is_there_from_the_start_and_counts(void **state)
{
    (void)state;
    assert_int_equal(rendered("fleethub_messages_total{stream=\"TWIN_ACK\",outcome=\"duplicate\"}"),
                     0);
    metrics_add(METRIC_MESSAGES, STREAM_ACK, OUTCOME_DUPLICATE, 41);
    metrics_add(METRIC_MESSAGES, STREAM_ACK, OUTCOME_DUPLICATE, 1);
    metrics_inc(METRIC_CLOCK_SKEW, 0);
    assert_int_equal(rendered("fleethub_messages_total{stream=\"TWIN_ACK\",outcome=\"duplicate\"}"),
                     42);
    assert_int_equal(rendered("fleethub_messages_total{stream=\"TWIN_ACK\",outcome=\"stale\"}"), 0);
    assert_int_equal(rendered("fleethub_clock_skew_total"), 1);
    assert_int_equal(metrics_get(METRIC_MESSAGES, STREAM_ACK, OUTCOME_DUPLICATE), 42);
}

static void gauge_is_there_when_it_was_set(void **state)
{
    (void)state;
    assert_false(renders("\nfleethub_vehicles{"));
    metrics_set(METRIC_VEHICLES, PRESENCE_OFFLINE, 12);
    assert_int_equal(rendered("fleethub_vehicles{presence=\"offline\"}"), 12);
    assert_false(renders("presence=\"online\""));
    metrics_set(METRIC_VEHICLES, PRESENCE_OFFLINE, 0);
    assert_int_equal(rendered("fleethub_vehicles{presence=\"offline\"}"), 0);
}

/* The label's list is the twin's own, in its order. */
static void vehicles_are_counted_under_the_name_of_their_presence(void **state)
{
    (void)state;
    for (size_t i = 0; i < PRESENCE_COUNT; i++) {
        char series[64];
        metrics_set(METRIC_VEHICLES, i, (double)(100 + i));
        snprintf(series, sizeof series, "fleethub_vehicles{presence=\"%s\"}",
                 presence_name((enum presence_status)i));
        assert_int_equal(rendered(series), 100 + i);
    }
}

static void gauge_moves_from_where_it_is(void **state)
{
    (void)state;
    metrics_move(METRIC_HTTP_OPEN, 0, 1);
    metrics_move(METRIC_HTTP_OPEN, 0, 2);
    metrics_move(METRIC_HTTP_OPEN, 0, -1);
    assert_int_equal(rendered("fleethub_http_connections"), 2);
    assert_int_equal(metrics_get(METRIC_HTTP_OPEN, 0, 0), 2);
}

static void large_numbers_keep_their_digits(void **state)
{
    (void)state;
    metrics_set(METRIC_ARCHIVED_SEQ, STREAM_EVENTS, 123456789012345);
    metrics_add(METRIC_RECORDS, RECORD_TRACK, 0, UINT64_C(1) << 60);
    assert_true(renders("fleethub_archived_seq{stream=\"TWIN_EVENTS\"} 123456789012345\n"));
    assert_true(renders("fleethub_records_total{kind=\"track\"} 1152921504606846976\n"));
}

static void reasons_are_counted_by_the_refusal(void **state)
{
    (void)state;
    metrics_inc(METRIC_REJECTED, REFUSAL_VID_MISMATCH);
    assert_int_equal(rendered("fleethub_rejected_total{reason=\"vid_mismatch\"}"), 1);
    assert_int_equal(rendered("fleethub_rejected_total{reason=\"not_registered\"}"), 0);
}

static void requests_are_counted_by_method_route_and_status(void **state)
{
    (void)state;
    metrics_routes(routes, ROUTE_COUNT);
    assert_false(renders("\nfleethub_http_requests_total{"));
    metrics_add(METRIC_HTTP_REQUESTS, 0, metrics_status(200), 1);
    metrics_add(METRIC_HTTP_REQUESTS, 1, metrics_status(200), 2);
    metrics_add(METRIC_HTTP_REQUESTS, 2, metrics_status(503), 3);
    metrics_add(METRIC_HTTP_REQUESTS, ROUTE_COUNT, metrics_status(404), 4);
    metrics_add(METRIC_HTTP_REQUESTS, ROUTE_COUNT, metrics_status(299), 5);
    metrics_add(METRIC_HTTP_REQUESTS, SIZE_MAX, SIZE_MAX, 6); /* counted as the last of each */
    char *text = render();
    const char *prefix = "fleethub_http_requests_total";
    const struct {
        const char *labels;
        int count;
    } wanted[] = {
        {"{method=\"GET\",route=\"/v1/vehicles/{vid}\",status=\"200\"}", 1},
        {"{method=\"PUT\",route=\"/v1/vehicles/{vid}\",status=\"200\"}", 2},
        {"{method=\"GET\",route=\"/a\\\"b\\\\c\",status=\"503\"}", 3},
        {"{method=\"any\",route=\"unmatched\",status=\"404\"}", 4},
        {"{method=\"any\",route=\"unmatched\",status=\"other\"}", 11},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        char series[256];
        snprintf(series, sizeof series, "%s%s", prefix, wanted[i].labels);
        assert_int_equal(value_of(text, series), wanted[i].count);
    }
    free(text);
}

static void process_metrics_tell_of_this_process(void **state)
{
    (void)state;
    clock_t until = clock() + CLOCKS_PER_SEC / 10; /* a tenth of a second of CPU, however long */
    while (clock() < until)
        continue;
    char *text = render();
    double cpu_s = value_of(text, "fleethub_process_cpu_seconds_total");
    assert_true(cpu_s >= 0.05 && cpu_s < 600);
    double resident = value_of(text, "fleethub_process_resident_memory_bytes");
    assert_true(resident > 100e3 && resident < 16e9);
    double start_s = value_of(text, "fleethub_process_start_time_seconds");
    assert_true(start_s <= (double)time(NULL) + 1 && start_s > (double)time(NULL) - 600);
    int fds[2];
    double before = value_of(text, "fleethub_process_open_fds");
    assert_true(before >= 3 && before < value_of(text, "fleethub_process_max_fds"));
    assert_true(value_of(text, "fleethub_process_threads") >= 1);
    free(text);
    assert_int_equal(pipe(fds), 0);
    assert_true(rendered("fleethub_process_open_fds") == before + 2);
    close(fds[0]);
    close(fds[1]);
}

static void build_info_carries_its_labels(void **state)
{
    (void)state;
    metrics_build_label("nats_c", "3.4.1");
    assert_true(renders("\nfleethub_build_info{version=\""));
    assert_true(renders("\",nats_c=\"3.4.1\"} 1\n"));
}

/* ---- the text as a whole, by the conventions that `promtool check metrics` checks ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static void expect_name(const char *name)
{
    assert_memory_equal(name, "fleethub_", 9);
    for (const char *c = name; *c; c++)
        assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
}

/* A line of a series of `name`: its labels are well-formed and its value is a number. */
static void expect_series(char *line, const char *name)
{
    size_t size = strlen(name);
    assert_memory_equal(line, name, size);
    char *at = line + size;
    if (*at == '{') {
        do {
            at++;
            size_t label = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
            assert_true(label > 0);
            at += label;
            assert_memory_equal(at, "=\"", 2);
            for (at += 2; *at != '"'; at++) {
                assert_int_not_equal(*at, '\0');
                at += *at == '\\';
            }
            at++;
        } while (*at == ',');
        assert_int_equal(*at++, '}');
    }
    assert_int_equal(*at++, ' ');
    char *end;
    strtod(at, &end);
    assert_true(end > at && *end == '\0');
}

static void text_follows_the_conventions(void **state)
{
    char name[128] = "", type[32] = "", *rest;
    int metrics = 0;
    (void)state;
    char *text = render();
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            char *help = strchr(line + 7, ' ');
            assert_non_null(help);
            assert_true(strlen(help) > 3 && !strchr(help, '\\'));
            *help = '\0';
            snprintf(name, sizeof name, "%s", line + 7);
            expect_name(name);
            metrics++;
            line = strtok_r(NULL, "\n", &rest);
            char expected[160];
            int size = snprintf(expected, sizeof expected, "# TYPE %s ", name);
            assert_non_null(line);
            assert_memory_equal(line, expected, (size_t)size);
            snprintf(type, sizeof type, "%s", line + size);
            assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 ||
                        strcmp(type, "histogram") == 0);
            assert_int_equal(ends_with(name, "_total"), strcmp(type, "counter") == 0);
            assert_false(ends_with(name, "_count") || ends_with(name, "_sum") ||
                         ends_with(name, "_bucket"));
        } else if (strcmp(type, "histogram") != 0) { /* those have a test of their own */
            expect_series(line, name);
        }
    }
    free(text);
    assert_int_equal(metrics, METRIC_COUNT);
}

static void histogram_counts_each_value_in_every_bucket_that_holds_it(void **state)
{
    static const double values[] = {0, 0.1, 0.11, 60, 86400, 86401};
    (void)state;
    assert_true(renders("fleethub_delta_convergence_seconds_count 0\n"));
    double sum = 0;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        metrics_observe(METRIC_DELTA_CONVERGENCE, values[i]);
        sum += values[i];
    }
    assert_true(renders("# TYPE fleethub_delta_convergence_seconds histogram\n"
                        "fleethub_delta_convergence_seconds_bucket{le=\"0.1\"} 2\n"
                        "fleethub_delta_convergence_seconds_bucket{le=\"0.5\"} 3\n"
                        "fleethub_delta_convergence_seconds_bucket{le=\"1\"} 3\n"));
    assert_true(renders("_bucket{le=\"30\"} 3\n"));
    assert_true(renders("_bucket{le=\"60\"} 4\n"));
    assert_true(renders("_bucket{le=\"86400\"} 5\n"));
    char end[200];
    snprintf(end, sizeof end,
             "fleethub_delta_convergence_seconds_bucket{le=\"+Inf\"} 6\n"
             "fleethub_delta_convergence_seconds_sum %.15g\n"
             "fleethub_delta_convergence_seconds_count 6\n",
             sum);
    assert_true(renders(end));
}

static void fine_histogram_tells_microseconds_apart(void **state)
{
    (void)state;
    metrics_observe(METRIC_FOLD_WAIT, 0.000004);
    metrics_observe(METRIC_FOLD_WAIT, 0.0007);
    metrics_observe(METRIC_FOLD_WAIT, 3);
    assert_true(renders("# TYPE fleethub_fold_wait_seconds histogram\n"
                        "fleethub_fold_wait_seconds_bucket{le=\"1e-05\"} 1\n"));
    assert_true(renders("fleethub_fold_wait_seconds_bucket{le=\"0.0005\"} 1\n"
                        "fleethub_fold_wait_seconds_bucket{le=\"0.001\"} 2\n"));
    assert_true(renders("fleethub_fold_wait_seconds_bucket{le=\"1\"} 2\n"
                        "fleethub_fold_wait_seconds_bucket{le=\"+Inf\"} 3\n"));
}

/* A histogram with a label has its series for each value that occurred, and none for others. */
static void labelled_histogram_keeps_its_values_apart(void **state)
{
    (void)state;
    assert_false(renders("fleethub_apply_latency_seconds_bucket"));
    metrics_observe_of(METRIC_APPLY_LATENCY, STREAM_ACK, 0.003);
    metrics_observe_of(METRIC_APPLY_LATENCY, STREAM_ACK, -1); /* the broker's clock is ahead */
    metrics_observe_of(METRIC_APPLY_LATENCY, STREAM_EVENTS, 400);
    const struct {
        const char *series;
        double value;
    } wanted[] = {
        {"fleethub_apply_latency_seconds_bucket{stream=\"TWIN_ACK\",le=\"0.001\"}", 1},
        {"fleethub_apply_latency_seconds_bucket{stream=\"TWIN_ACK\",le=\"0.005\"}", 2},
        {"fleethub_apply_latency_seconds_bucket{stream=\"TWIN_ACK\",le=\"+Inf\"}", 2},
        {"fleethub_apply_latency_seconds_sum{stream=\"TWIN_ACK\"}", 0.003},
        {"fleethub_apply_latency_seconds_count{stream=\"TWIN_ACK\"}", 2},
        {"fleethub_apply_latency_seconds_bucket{stream=\"TWIN_EVENTS\",le=\"300\"}", 0},
        {"fleethub_apply_latency_seconds_count{stream=\"TWIN_EVENTS\"}", 1},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_true(rendered(wanted[i].series) == wanted[i].value);
    assert_false(renders("fleethub_apply_latency_seconds_count{stream=\"TWIN_STATE\"}"));
}

static void requests_are_timed_by_their_route(void **state)
{
    (void)state;
    metrics_routes(routes, ROUTE_COUNT);
    metrics_observe_of(METRIC_HTTP_SECONDS, 1, 0.2);
    metrics_observe_of(METRIC_HTTP_SECONDS, 99999, 2); /* no route */
    assert_int_equal(rendered("fleethub_http_request_duration_seconds_bucket{method=\"PUT\","
                              "route=\"/v1/vehicles/{vid}\",le=\"0.25\"}"),
                     1);
    assert_int_equal(rendered("fleethub_http_request_duration_seconds_count{method=\"any\","
                              "route=\"unmatched\"}"),
                     1);
}

static void text_names_no_series_twice(void **state)
{
    (void)state;
    char *text = render(), *rest;
    const char *lines[4096];
    size_t count = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *value = strrchr(line, ' ');
        *value = '\0';
        for (size_t i = 0; i < count; i++)
            assert_string_not_equal(lines[i], line);
        assert_true(count < sizeof lines / sizeof lines[0]);
        lines[count++] = line;
    }
    free(text);
}

static void *count_up(void *argument)
{
    (void)argument;
    for (int i = 0; i < 10000; i++) {
        metrics_inc(METRIC_STREAM_EPOCHS, STREAM_STATE);
        metrics_move(METRIC_CONNECTED, PEER_NATS, 1);
    }
    return NULL;
}

static void counting_by_several_threads_loses_nothing(void **state)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metrics_get(METRIC_STREAM_EPOCHS, STREAM_STATE, 0), THREADS * 10000);
    assert_int_equal(metrics_get(METRIC_CONNECTED, PEER_NATS, 0), THREADS * 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counter_is_there_from_the_start_and_counts),
        cmocka_unit_test(gauge_is_there_when_it_was_set),
        cmocka_unit_test(vehicles_are_counted_under_the_name_of_their_presence),
        cmocka_unit_test(gauge_moves_from_where_it_is),
        cmocka_unit_test(histogram_counts_each_value_in_every_bucket_that_holds_it),
        cmocka_unit_test(large_numbers_keep_their_digits),
        cmocka_unit_test(reasons_are_counted_by_the_refusal),
        cmocka_unit_test(requests_are_counted_by_method_route_and_status),
        cmocka_unit_test(process_metrics_tell_of_this_process),
        cmocka_unit_test(build_info_carries_its_labels),
        cmocka_unit_test(counting_by_several_threads_loses_nothing),
        cmocka_unit_test(text_follows_the_conventions),
        cmocka_unit_test(fine_histogram_tells_microseconds_apart),
        cmocka_unit_test(labelled_histogram_keeps_its_values_apart),
        cmocka_unit_test(requests_are_timed_by_their_route),
        cmocka_unit_test(text_names_no_series_twice),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
