#include "hub/metrics_impl.h"

/* A counter's cell is its number, a gauge's the bits of its double. A histogram's are a count for
 * each bucket, the one without a bound, and the sum's double; of one with a label, as often. */
static _Atomic uint64_t cells[METRIC_COUNT][METRICS_CELLS];
static atomic_bool touched[METRIC_COUNT][METRICS_CELLS];
static _Atomic uint64_t request_cells[METRICS_MAX_ROUTES + 1][METRICS_STATUS_LABELS];
static _Atomic uint64_t duration_cells[METRICS_MAX_ROUTES + 1][METRICS_HISTOGRAM_CELLS];

#define X(bound) bound,
static const double coarse_bounds[] = {METRICS_BUCKET_TABLE(X)};
static const double latency_bounds[] = {METRICS_LATENCY_BUCKET_TABLE(X)};
static const double fine_bounds[] = {METRICS_FINE_BUCKET_TABLE(X)};
#undef X
_Static_assert(sizeof coarse_bounds == sizeof fine_bounds &&
                   sizeof coarse_bounds == sizeof latency_bounds &&
                   sizeof coarse_bounds / sizeof *coarse_bounds == METRICS_BUCKETS,
               "all histograms have as many buckets");

const double *metrics_bounds(enum metric metric)
{
    switch (metrics_kinds[metric].type) {
    case FINE_HISTOGRAM:
        return fine_bounds;
    case LATENCY_HISTOGRAM:
        return latency_bounds;
    default:
        return coarse_bounds;
    }
}

static size_t clamped(size_t index, size_t count)
{
    return index < count ? index : count - 1;
}

/* `small` is the index within `cells` and `touched`, and means nothing for requests. */
static _Atomic uint64_t *cell_of(enum metric metric, size_t a, size_t b, size_t *small)
{
    const struct metric_kind *kind = &metrics_kinds[metric];
    size_t room_b = metrics_label_room[kind->label_b];
    *small = 0;
    b = clamped(b, room_b);
    if (metric == METRIC_HTTP_REQUESTS)
        return &request_cells[clamped(a, metrics_label_count(LABEL_ROUTE))][b];
    a = clamped(a, metrics_label_room[kind->label_a]);
    *small = a * room_b + b;
    return &cells[metric][*small];
}

static _Atomic uint64_t *histogram_of(enum metric metric, size_t label)
{
    if (metric == METRIC_HTTP_SECONDS)
        return duration_cells[clamped(label, metrics_label_count(LABEL_ROUTE))];
    label = clamped(label, metrics_label_room[metrics_kinds[metric].label_a]);
    return &cells[metric][label * METRICS_HISTOGRAM_CELLS];
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
    while (!atomic_compare_exchange_weak_explicit(cell, &seen,
                                                  bits_of(metrics_double_of(seen) + by),
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
}

void metrics_move(enum metric metric, size_t label, double by)
{
    size_t small;
    cell_move(cell_of(metric, label, 0, &small), by);
    atomic_store_explicit(&touched[metric][small], true, memory_order_relaxed);
}

void metrics_observe_of(enum metric metric, size_t label, double value)
{
    const double *bounds = metrics_bounds(metric);
    _Atomic uint64_t *histogram = histogram_of(metric, label);
    size_t bucket = 0;
    value = value > 0 ? value : 0;
    while (bucket < METRICS_BUCKETS && value > bounds[bucket])
        bucket++;
    atomic_fetch_add_explicit(&histogram[bucket], 1, memory_order_relaxed);
    cell_move(&histogram[METRICS_CELL_SUM], value);
}

uint64_t metrics_get(enum metric metric, size_t label_a, size_t label_b)
{
    uint64_t raw = metrics_cell(metric, label_a, label_b);
    if (metrics_kinds[metric].type == COUNTER)
        return raw;
    double value = metrics_double_of(raw);
    return value > 0 ? (uint64_t)value : 0;
}

/* ---- for the text ---- */

uint64_t metrics_cell(enum metric metric, size_t label_a, size_t label_b)
{
    size_t small;
    return atomic_load_explicit(cell_of(metric, label_a, label_b, &small), memory_order_relaxed);
}

uint64_t metrics_histogram_cell(enum metric metric, size_t label, size_t cell)
{
    return atomic_load_explicit(&histogram_of(metric, label)[cell], memory_order_relaxed);
}

bool metrics_touched(enum metric metric, size_t label_a, size_t label_b)
{
    size_t small;
    cell_of(metric, label_a, label_b, &small);
    return atomic_load_explicit(&touched[metric][small], memory_order_relaxed);
}
