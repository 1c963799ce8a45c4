/*
 * query_stats: statistics over the vehicles of a query, in groups: `group_by=path,…` and
 * `stats=count,avg(path),min(path),max(path),sum(path),p50(path),p95(path)` (contract §5).
 *
 * Percentiles are nearest-rank over all values, kept until the end: eight bytes for each vehicle
 * and path. Any whole percentile from p1 to p99 may be asked for.
 *
 * Ownership: query_stats_done. Threads: one at a time.
 * Limits: as below. More groups than STATS_GROUPS_MAX are refused, not cut.
 */
#ifndef HUB_QUERY_STATS_H
#define HUB_QUERY_STATS_H

#include "hub/query.h"

enum {
    STATS_KEYS_MAX = 8, /* paths of group_by */
    STATS_MAX = 32,     /* statistics */
    STATS_GROUPS_MAX = 10000,
    STATS_GROUP_BYTES_MAX = 32 << 20, /* of all groups' keys */
    STATS_TEXT_MAX_BYTES = 8192,
};

/* X(id, name): percentiles beside. */
#define STAT_TABLE(X)                                                                              \
    X(COUNT, "count")                                                                              \
    X(AVG, "avg")                                                                                  \
    X(MIN, "min")                                                                                  \
    X(MAX, "max")                                                                                  \
    X(SUM, "sum")

enum stat_kind {
#define X(id, name) STAT_##id,
    STAT_TABLE(X)
#undef X
        STAT_RANK
};

struct stat_asked {
    enum stat_kind kind;
    unsigned percent; /* STAT_RANK */
    size_t column;    /* whose values; of no meaning for STAT_COUNT */
    struct slice label;
};

/* A path whose numbers are looked at. */
struct stat_column {
    struct path *path;
    bool ranked;
};

struct stats_spec {
    size_t key_count, stat_count, column_count;
    struct path *keys[STATS_KEYS_MAX];
    struct slice key_labels[STATS_KEYS_MAX];
    struct stat_asked stats[STATS_MAX];
    struct stat_column columns[STATS_MAX];
};

/* Reads both texts, which it borrows; NULL for not given. On failure *parameter names the one that
 * *error is about. */
bool stats_spec_init(struct stats_spec *spec, const char *group_by, const char *stats,
                     const char **parameter, struct text_error *error);
void stats_spec_done(struct stats_spec *spec);

struct query_stats;
struct query_stats *query_stats_new(const struct stats_spec *spec, const struct query *query);
void query_stats_free(struct query_stats *stats);

enum stats_status { STATS_OK, STATS_DENIED, STATS_CHANGED, STATS_TOO_MANY, STATS_NO_MEMORY };
/* Looks at the whole fleet, some thousand vehicles at a time in a stay of their own. */
enum stats_status query_stats_run(struct query_stats *stats, struct store *store,
                                  struct query_denial *denial);
/* Appends the JSON answer; after a run that was well. */
void query_stats_write(struct query_stats *stats, struct buf *out);

#endif
