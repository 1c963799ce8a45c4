/* metrics: what its files share; for them alone. */
#ifndef HUB_METRICS_IMPL_H
#define HUB_METRICS_IMPL_H

#include "hub/metrics.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum metric_type { COUNTER, GAUGE, TOTAL, HISTOGRAM, LATENCY_HISTOGRAM, FINE_HISTOGRAM };

enum label {
#define X(id, name) LABEL_##id,
    LABEL_TABLE(X)
#undef X
        LABELS
};

struct metric_kind {
    const char *name, *help;
    enum metric_type type;
    enum label label_a, label_b;
};
extern const struct metric_kind metrics_kinds[METRIC_COUNT];

const char *metrics_label_name(enum label label);
/* How many values it has, and how many it can have: a route's are known at the start. */
size_t metrics_label_count(enum label label);
extern const size_t metrics_label_room[LABELS];
/* NULL: this value is never written. */
const char *metrics_label_value(enum label label, size_t index);
/* NULL: the index is that of requests that met no route. */
const struct http_route *metrics_route(size_t index);
/* Appends the labels of build_info, as name and value in pairs, by `put`. */
void metrics_build_labels(void (*put)(void *closure, const char *name, const char *value),
                          void *closure);

#define X(code) +1
enum { METRICS_STATUS_LABELS = STATUS_TABLE(X) + 1 /* and one for all others */ };
#undef X

/* ---- values ---- */

#define X(bound) +1
enum {
    METRICS_BUCKETS = METRICS_BUCKET_TABLE(X),
    METRICS_CELL_REST = METRICS_BUCKETS, /* the bucket without a bound */
    METRICS_CELL_SUM,
    METRICS_HISTOGRAM_CELLS,
    /* One room for all lists of up to two labels but routes, which have their own. */
    METRICS_CELLS = STREAM_LABELS * METRICS_HISTOGRAM_CELLS,
};
#undef X

static inline bool metrics_is_histogram(enum metric metric)
{
    return metrics_kinds[metric].type >= HISTOGRAM;
}
static inline double metrics_double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The upper bounds of a histogram's METRICS_BUCKETS buckets. */
const double *metrics_bounds(enum metric metric);
/* What is in a cell, of a histogram what is in one of its cells. */
uint64_t metrics_cell(enum metric metric, size_t label_a, size_t label_b);
uint64_t metrics_histogram_cell(enum metric metric, size_t label, size_t cell);
/* Whether a gauge was ever set. */
bool metrics_touched(enum metric metric, size_t label_a, size_t label_b);

/* Sets what the process uses, from /proc. */
void metrics_sample_process(void);

#endif
