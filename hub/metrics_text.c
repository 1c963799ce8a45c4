/* metrics: the text that Prometheus reads. */
#include "hub/http.h"
#include "hub/metrics_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const char *const type_names[] = {"counter",   "gauge",     "counter",
                                         "histogram", "histogram", "histogram"};

/* The labels of a series, being written: what separates the next from what is there. */
struct labels {
    struct buf *out;
    char separator;
};

static void put_label(void *closure, const char *name, const char *value)
{
    struct labels *labels = closure;
    struct buf *out = labels->out;
    buf_addc(out, labels->separator);
    labels->separator = ',';
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

/* `le`: of a histogram's bucket, NULL where there is none. */
static void write_labels(struct buf *out, enum metric metric, size_t a, size_t b, const char *le)
{
    const struct metric_kind *kind = &metrics_kinds[metric];
    struct labels labels = {out, '{'};
    if (metric == METRIC_BUILD_INFO)
        metrics_build_labels(put_label, &labels);
    /* A route is a method and a pattern: the pattern alone would name several series alike. */
    if (kind->label_a == LABEL_ROUTE)
        put_label(&labels, "method", metrics_route(a) ? metrics_route(a)->method : "any");
    if (kind->label_a != LABEL_NONE)
        put_label(&labels, metrics_label_name(kind->label_a),
                  metrics_label_value(kind->label_a, a));
    if (kind->label_b != LABEL_NONE)
        put_label(&labels, metrics_label_name(kind->label_b),
                  metrics_label_value(kind->label_b, b));
    if (le)
        put_label(&labels, "le", le);
    if (labels.separator == ',')
        buf_addc(out, '}');
}

static void write_value(struct buf *out, const struct metric_kind *kind, uint64_t raw)
{
    if (kind->type == COUNTER) {
        buf_addf(out, " %" PRIu64 "\n", raw);
        return;
    }
    double value = metrics_double_of(raw);
    if (isnan(value))
        buf_adds(out, " NaN\n");
    else if (isinf(value))
        buf_adds(out, value > 0 ? " +Inf\n" : " -Inf\n");
    else
        buf_addf(out, " %.15g\n", value);
}

static void write_series(struct buf *out, enum metric metric, size_t a, size_t b)
{
    const struct metric_kind *kind = &metrics_kinds[metric];
    uint64_t raw = metrics_cell(metric, a, b);
    if (metric == METRIC_HTTP_REQUESTS && raw == 0)
        return;
    if (kind->type != COUNTER && !metrics_touched(metric, a, b))
        return;
    if (!metrics_label_value(kind->label_a, a) || !metrics_label_value(kind->label_b, b))
        return;
    buf_adds(out, kind->name);
    write_labels(out, metric, a, b, NULL);
    write_value(out, kind, raw);
}

/* Of those with a label only what occurred. */
static void write_histogram(struct buf *out, enum metric metric, size_t label)
{
    const struct metric_kind *kind = &metrics_kinds[metric];
    uint64_t counts[METRICS_BUCKETS + 1], count = 0;
    for (size_t i = 0; i <= METRICS_BUCKETS; i++)
        counts[i] = count += metrics_histogram_cell(metric, label, i);
    if (count == 0 && kind->label_a != LABEL_NONE)
        return;
    for (size_t i = 0; i <= METRICS_BUCKETS; i++) {
        char bound[32] = "+Inf";
        if (i < METRICS_BUCKETS)
            snprintf(bound, sizeof bound, "%.15g", metrics_bounds(metric)[i]);
        buf_addf(out, "%s_bucket", kind->name);
        write_labels(out, metric, label, 0, bound);
        buf_addf(out, " %" PRIu64 "\n", counts[i]);
    }
    buf_addf(out, "%s_sum", kind->name);
    write_labels(out, metric, label, 0, NULL);
    buf_addf(out, " %.15g\n%s_count",
             metrics_double_of(metrics_histogram_cell(metric, label, METRICS_CELL_SUM)),
             kind->name);
    write_labels(out, metric, label, 0, NULL);
    buf_addf(out, " %" PRIu64 "\n", count);
}

void metrics_render(struct buf *out)
{
    metrics_sample_process();
    metrics_set(METRIC_BUILD_INFO, 0, 1);
    for (int i = 0; i < METRIC_COUNT; i++) {
        enum metric metric = (enum metric)i;
        const struct metric_kind *kind = &metrics_kinds[i];
        buf_addf(out, "# HELP %s %s.\n# TYPE %s %s\n", kind->name, kind->help, kind->name,
                 type_names[kind->type]);
        for (size_t a = 0; a < metrics_label_count(kind->label_a); a++) {
            if (metrics_is_histogram(metric)) {
                write_histogram(out, metric, a);
                continue;
            }
            for (size_t b = 0; b < metrics_label_count(kind->label_b); b++)
                write_series(out, metric, a, b);
        }
    }
}
