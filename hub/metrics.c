#include "hub/metrics.h"

#include "hub/build_info.h"
#include "hub/http.h"
#include "twin/command_life.h"
#include "twin/envelope.h"
#include "twin/timestamp.h"
#include "twin/twin.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "fleethub_"

enum metric_type { COUNTER, GAUGE, TOTAL, HISTOGRAM, FINE_HISTOGRAM };
static const char *const type_names[] = {"counter", "gauge", "counter", "histogram", "histogram"};

enum label {
#define X(id, name) LABEL_##id,
    LABEL_TABLE(X)
#undef X
};

static const char *const label_names[] = {
#define X(id, name) name,
    LABEL_TABLE(X)
#undef X
};

static const struct metric_kind {
    const char *name, *help;
    enum metric_type type;
    enum label label_a, label_b;
} kinds[METRIC_COUNT] = {
#define X(id, name, type, label_a, label_b, help)                                                  \
    {PREFIX name, help, type, LABEL_##label_a, LABEL_##label_b},
    METRIC_TABLE(X)
#undef X
};

/* ---- lists of label values ---- */

static const char *const stream_names[STREAM_LABELS] = {"TWIN_STATE",  "TWIN_EVENTS", "TWIN_ACK",
                                                        "TWIN_RECORD", "TWIN_SHADOW", "TWIN_ACCESS",
                                                        "TWIN_LAST"};
static const char *const outcome_names[OUTCOME_LABELS] = {"applied", "stale", "duplicate",
                                                          "rejected"};
static const char *const result_names[RESULT_LABELS] = {"ok", "failed"};
static const char *const kind_names[KIND_LABELS] = {
    "event", "ack", "command", "shadow", "presence", "access", "rejected", "track", "system"};
static const char *const peer_names[PEER_LABELS] = {"nats", "postgres"};
static const char *const denied_names[DENIED_LABELS] = {"unauthenticated", "forbidden"};
static const char *const live_names[LIVE_LABELS] = {"enter", "update", "leave", "ready", "reset"};

static const char *const command_names[COMMAND_LABELS] = {"routine", "recovery"};
static const char *const ended_names[ENDED_LABELS] = {"succeeded", "failed", "partial", "aborted",
                                                      "cancelled"};
static const char *const ack_names[ACK_LABELS] = {"applied", "ignored", "unknown_status",
                                                  "for_nobody"};

/* Indexed by enum refusal; REFUSAL_NONE is no reason and is not written. */
static const char *const reason_names[REFUSAL_COUNT] = {NULL,
#define X(id, name) name,
                                                        REFUSAL_TABLE(X)
#undef X
};

static const int status_codes[] = {
#define X(code) code,
    STATUS_TABLE(X)
#undef X
};
static const char *const status_names[] = {
#define X(code) #code,
    STATUS_TABLE(X)
#undef X
        "other",
};

enum {
    STATUS_LABELS = sizeof status_names / sizeof status_names[0],
    ROUTE_LABELS = METRICS_MAX_ROUTES + 1, /* the last: no route */
};

static const struct http_route *known_routes;
static size_t known_route_count;

static size_t label_count(enum label label)
{
    switch (label) {
    case LABEL_NONE:
        return 1;
    case LABEL_STREAM:
        return STREAM_LABELS;
    case LABEL_OUTCOME:
        return OUTCOME_LABELS;
    case LABEL_RESULT:
        return RESULT_LABELS;
    case LABEL_REASON:
        return REFUSAL_COUNT;
    case LABEL_PRESENCE:
        return PRESENCE_COUNT;
    case LABEL_KIND:
        return KIND_LABELS;
    case LABEL_PEER:
        return PEER_LABELS;
    case LABEL_DENIED:
        return DENIED_LABELS;
    case LABEL_LIVE:
        return LIVE_LABELS;
    case LABEL_LANE:
        return COMMAND_LABELS;
    case LABEL_STATUS_OF:
        return ENDED_LABELS;
    case LABEL_DELIVERY:
        return DELIVERY_STATES;
    case LABEL_REPORT:
        return ACK_LABELS;
    case LABEL_ROUTE:
        return known_route_count + 1;
    case LABEL_STATUS:
        return STATUS_LABELS;
    }
    return 1;
}

/* NULL: this value is never written. */
static const char *label_value(enum label label, size_t index)
{
    switch (label) {
    case LABEL_NONE:
        return "";
    case LABEL_STREAM:
        return stream_names[index];
    case LABEL_OUTCOME:
        return outcome_names[index];
    case LABEL_RESULT:
        return result_names[index];
    case LABEL_REASON:
        return reason_names[index];
    case LABEL_PRESENCE:
        return presence_name((enum presence_status)index);
    case LABEL_KIND:
        return kind_names[index];
    case LABEL_PEER:
        return peer_names[index];
    case LABEL_DENIED:
        return denied_names[index];
    case LABEL_LIVE:
        return live_names[index];
    case LABEL_LANE:
        return command_names[index];
    case LABEL_STATUS_OF:
        return ended_names[index];
    case LABEL_DELIVERY:
        return delivery_state_name((enum delivery_state)index);
    case LABEL_REPORT:
        return ack_names[index];
    case LABEL_ROUTE:
        return index < known_route_count ? known_routes[index].pattern : "unmatched";
    case LABEL_STATUS:
        return status_names[index];
    }
    return NULL;
}

/* ---- values ---- */

/* One room for all lists of up to two labels but for requests, which have their own. */
enum { CELLS_SMALL = STREAM_LABELS * OUTCOME_LABELS };
#define FITS(list) ((int)(list) <= (int)CELLS_SMALL)
_Static_assert(FITS(KIND_LABELS) && FITS(REFUSAL_COUNT) && FITS(PRESENCE_COUNT) &&
                   FITS(PEER_LABELS) && FITS(LIVE_LABELS) && FITS(DELIVERY_STATES),
               "a list of labels outgrew its cells");

/* A counter's cell is its number, a gauge's the bits of its double. */
static _Atomic uint64_t cells[METRIC_COUNT][CELLS_SMALL];
static atomic_bool touched[METRIC_COUNT][CELLS_SMALL];
static _Atomic uint64_t request_cells[ROUTE_LABELS][STATUS_LABELS];

/* A histogram's cells: a count for each bucket, the one without a bound, and the sum's double. */
#define X(bound) bound,
static const double coarse_bounds[] = {METRICS_BUCKET_TABLE(X)};
static const double fine_bounds[] = {METRICS_FINE_BUCKET_TABLE(X)};
#undef X
_Static_assert(sizeof coarse_bounds == sizeof fine_bounds, "all histograms have as many buckets");
enum {
    BUCKETS = sizeof coarse_bounds / sizeof *coarse_bounds,
    CELL_REST = BUCKETS,
    CELL_SUM,
    HISTOGRAM_CELLS,
};
_Static_assert(FITS(HISTOGRAM_CELLS), "a histogram has more buckets than there are cells");

static struct {
    const char *name, *value;
} build_labels[METRICS_MAX_BUILD_LABELS] = {{"version", FLEETHUB_VERSION}};
static size_t build_label_count = 1;

static const double *bounds_of(enum metric metric)
{
    return kinds[metric].type == FINE_HISTOGRAM ? fine_bounds : coarse_bounds;
}

static size_t clamped(size_t index, size_t count)
{
    return index < count ? index : count - 1;
}

/* `small` is the index within `cells` and `touched`, and means nothing for requests. */
static _Atomic uint64_t *cell_of(enum metric metric, size_t a, size_t b, size_t *small)
{
    const struct metric_kind *kind = &kinds[metric];
    size_t count_b = label_count(kind->label_b);
    a = clamped(a, label_count(kind->label_a));
    b = clamped(b, count_b);
    *small = 0;
    if (metric == METRIC_HTTP_REQUESTS)
        return &request_cells[a][b];
    *small = a * count_b + b;
    return &cells[metric][*small];
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

void metrics_add(enum metric metric, size_t label_a, size_t label_b, uint64_t n)
{
    size_t small;
    atomic_fetch_add_explicit(cell_of(metric, label_a, label_b, &small), n, memory_order_relaxed);
}

void metrics_set(enum metric metric, size_t label, double value)
{
    size_t small;
    atomic_store_explicit(cell_of(metric, label, 0, &small), bits_of(value), memory_order_relaxed);
    atomic_store_explicit(&touched[metric][small], true, memory_order_relaxed);
}

static void cell_move(_Atomic uint64_t *cell, double by)
{
    uint64_t seen = atomic_load_explicit(cell, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(cell, &seen, bits_of(double_of(seen) + by),
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
}

void metrics_move(enum metric metric, size_t label, double by)
{
    size_t small;
    cell_move(cell_of(metric, label, 0, &small), by);
    atomic_store_explicit(&touched[metric][small], true, memory_order_relaxed);
}

void metrics_observe(enum metric metric, double value)
{
    const double *bounds = bounds_of(metric);
    size_t bucket = 0;
    while (bucket < BUCKETS && value > bounds[bucket])
        bucket++;
    atomic_fetch_add_explicit(&cells[metric][bucket], 1, memory_order_relaxed);
    cell_move(&cells[metric][CELL_SUM], value);
}

uint64_t metrics_get(enum metric metric, size_t label_a, size_t label_b)
{
    size_t small;
    uint64_t raw =
        atomic_load_explicit(cell_of(metric, label_a, label_b, &small), memory_order_relaxed);
    if (kinds[metric].type == COUNTER)
        return raw;
    double value = double_of(raw);
    return value > 0 ? (uint64_t)value : 0;
}

void metrics_routes(const struct http_route *routes, size_t count)
{
    known_routes = routes;
    known_route_count = count < METRICS_MAX_ROUTES ? count : METRICS_MAX_ROUTES;
}

size_t metrics_status(int status)
{
    for (size_t i = 0; i < STATUS_LABELS - 1; i++)
        if (status_codes[i] == status)
            return i;
    return STATUS_LABELS - 1;
}

void metrics_build_label(const char *name, const char *value)
{
    if (build_label_count == METRICS_MAX_BUILD_LABELS)
        return;
    build_labels[build_label_count].name = name;
    build_labels[build_label_count++].value = value;
}

/* ---- the process ---- */

/* Field `number` (as in proc(5), from 1) of /proc/self/stat. The second field, the program's
 * name, may hold anything, so counting starts behind its closing bracket. */
static double stat_field(const char *stat, int number)
{
    const char *at = strrchr(stat, ')');
    if (!at)
        return NAN;
    double value = NAN;
    int field = 2;
    for (at++; *at && field < number; field++) {
        while (*at == ' ')
            at++;
        if (field + 1 == number)
            return sscanf(at, "%lf", &value) == 1 ? value : NAN;
        at += strcspn(at, " ");
    }
    return NAN;
}

static void sample_process(void)
{
    char stat[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return;
    size_t size = fread(stat, 1, sizeof stat - 1, file);
    fclose(file);
    stat[size] = '\0';

    double ticks_per_s = (double)sysconf(_SC_CLK_TCK);
    struct timespec wall, since_boot;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    double boot_s = (double)(wall.tv_sec - since_boot.tv_sec) +
                    (double)(wall.tv_nsec - since_boot.tv_nsec) / (double)NS_PER_S;
    metrics_set(METRIC_CPU_SECONDS, 0, (stat_field(stat, 14) + stat_field(stat, 15)) / ticks_per_s);
    metrics_set(METRIC_RESIDENT, 0, stat_field(stat, 24) * (double)sysconf(_SC_PAGESIZE));
    /* Rounded: the two clocks are read one after the other, and a start time does not move. */
    metrics_set(METRIC_START_TIME, 0,
                round((boot_s + stat_field(stat, 22) / ticks_per_s) * 100) / 100);
}

/* ---- text ---- */

static void write_label(struct buf *out, char *separator, const char *name, const char *value)
{
    buf_addc(out, *separator);
    *separator = ',';
    buf_adds(out, name);
    buf_adds(out, "=\"");
    for (const char *at = value; *at; at++) {
        if (*at == '\n') {
            buf_adds(out, "\\n");
            continue;
        }
        if (*at == '"' || *at == '\\')
            buf_addc(out, '\\');
        buf_addc(out, *at);
    }
    buf_addc(out, '"');
}

static void write_labels(struct buf *out, enum metric metric, size_t a, size_t b)
{
    const struct metric_kind *kind = &kinds[metric];
    char separator = '{';
    if (metric == METRIC_BUILD_INFO)
        for (size_t i = 0; i < build_label_count; i++)
            write_label(out, &separator, build_labels[i].name, build_labels[i].value);
    /* A route is a method and a pattern: the pattern alone would name several series alike. */
    if (kind->label_a == LABEL_ROUTE)
        write_label(out, &separator, "method",
                    a < known_route_count ? known_routes[a].method : "any");
    if (kind->label_a != LABEL_NONE)
        write_label(out, &separator, label_names[kind->label_a], label_value(kind->label_a, a));
    if (kind->label_b != LABEL_NONE)
        write_label(out, &separator, label_names[kind->label_b], label_value(kind->label_b, b));
    if (separator == ',')
        buf_addc(out, '}');
}

static void write_value(struct buf *out, const struct metric_kind *kind, uint64_t raw)
{
    if (kind->type == COUNTER) {
        buf_addf(out, " %" PRIu64 "\n", raw);
        return;
    }
    double value = double_of(raw);
    if (isnan(value))
        buf_adds(out, " NaN\n");
    else if (isinf(value))
        buf_adds(out, value > 0 ? " +Inf\n" : " -Inf\n");
    else
        buf_addf(out, " %.15g\n", value);
}

static void write_series(struct buf *out, enum metric metric, size_t a, size_t b)
{
    const struct metric_kind *kind = &kinds[metric];
    size_t small;
    uint64_t raw = atomic_load_explicit(cell_of(metric, a, b, &small), memory_order_relaxed);
    if (metric == METRIC_HTTP_REQUESTS && raw == 0)
        return;
    if (kind->type != COUNTER &&
        !atomic_load_explicit(&touched[metric][small], memory_order_relaxed))
        return;
    if (!label_value(kind->label_a, a) || !label_value(kind->label_b, b))
        return;
    buf_adds(out, kind->name);
    write_labels(out, metric, a, b);
    write_value(out, kind, raw);
}

static void write_histogram(struct buf *out, enum metric metric)
{
    const char *name = kinds[metric].name;
    uint64_t count = 0;
    for (int i = 0; i <= CELL_REST; i++) {
        count += atomic_load_explicit(&cells[metric][i], memory_order_relaxed);
        if (i < BUCKETS)
            buf_addf(out, "%s_bucket{le=\"%.15g\"} %" PRIu64 "\n", name, bounds_of(metric)[i],
                     count);
        else
            buf_addf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
    }
    double sum = double_of(atomic_load_explicit(&cells[metric][CELL_SUM], memory_order_relaxed));
    buf_addf(out, "%s_sum %.15g\n%s_count %" PRIu64 "\n", name, sum, name, count);
}

void metrics_render(struct buf *out)
{
    sample_process();
    metrics_set(METRIC_BUILD_INFO, 0, 1);
    for (int i = 0; i < METRIC_COUNT; i++) {
        const struct metric_kind *kind = &kinds[i];
        buf_addf(out, "# HELP %s %s.\n# TYPE %s %s\n", kind->name, kind->help, kind->name,
                 type_names[kind->type]);
        if (kind->type == HISTOGRAM || kind->type == FINE_HISTOGRAM) {
            write_histogram(out, (enum metric)i);
            continue;
        }
        for (size_t a = 0; a < label_count(kind->label_a); a++)
            for (size_t b = 0; b < label_count(kind->label_b); b++)
                write_series(out, (enum metric)i, a, b);
    }
}
