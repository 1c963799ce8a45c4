#include "hub/query_stats.h"

#include "hub/fields.h"
#include "hub/query_key.h"
#include "twin/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_VEHICLES = 4096, /* in one stay in the store */
    FIRST_BUCKETS = 64,
};

struct column_sums {
    uint64_t count;
    double sum, lost; /* what rounding took from the sum (Neumaier) */
    double min, max;
    double *values; /* where percentiles are asked for */
    size_t room;
};

struct group {
    size_t key_at, key_size;   /* in `keys`: its identity */
    size_t json_at, json_size; /* and its JSON, `"path":value,…` */
    uint64_t count;
    struct column_sums columns[];
};

struct query_stats {
    const struct stats_spec *spec;
    const struct query *query;
    struct group **groups;
    size_t group_count, group_room;
    uint32_t *buckets; /* a group's number and one; 0: free */
    size_t mask;
    struct buf keys, scratch;
    uint64_t total;
    enum stats_status status;
};

/* ---- groups ---- */

struct query_stats *query_stats_new(const struct stats_spec *spec, const struct query *query)
{
    struct query_stats *stats = calloc(1, sizeof *stats);
    if (!stats)
        return NULL;
    stats->spec = spec;
    stats->query = query;
    stats->mask = FIRST_BUCKETS - 1;
    stats->buckets = calloc(FIRST_BUCKETS, sizeof *stats->buckets);
    if (stats->buckets)
        return stats;
    free(stats);
    return NULL;
}

void query_stats_free(struct query_stats *stats)
{
    if (!stats)
        return;
    for (size_t i = 0; i < stats->group_count; i++) {
        for (size_t c = 0; c < stats->spec->column_count; c++)
            free(stats->groups[i]->columns[c].values);
        free(stats->groups[i]);
    }
    free(stats->groups);
    free(stats->buckets);
    buf_done(&stats->keys);
    buf_done(&stats->scratch);
    free(stats);
}

static const char *key_of(const struct query_stats *stats, const struct group *group)
{
    return stats->keys.data + group->key_at;
}

/* Keeps the table at most half full. */
static bool grow_buckets(struct query_stats *stats)
{
    if (stats->group_count < (stats->mask + 1) / 2)
        return true;
    size_t mask = stats->mask * 2 + 1;
    uint32_t *buckets = calloc(mask + 1, sizeof *buckets);
    if (!buckets)
        return false;
    for (size_t g = 0; g < stats->group_count; g++) {
        size_t i = hash_slot(hash_of(key_of(stats, stats->groups[g]), stats->groups[g]->key_size));
        while (buckets[i & mask])
            i++;
        buckets[i & mask] = (uint32_t)g + 1;
    }
    free(stats->buckets);
    stats->buckets = buckets;
    stats->mask = mask;
    return true;
}

/* A null is what stands for a missing path; everything else as it is in the twin. */
static void add_json(struct query_stats *stats, const struct subject_of_query *subject)
{
    struct buf *out = &stats->keys;
    const struct stats_spec *spec = stats->spec;
    for (size_t i = 0; i < spec->key_count; i++) {
        struct value value = path_value(spec->keys[i], subject);
        if (i > 0)
            buf_addc(out, ',');
        buf_json_string(out, spec->key_labels[i].at, spec->key_labels[i].size);
        buf_addc(out, ':');
        size_t mark = out->size_bytes;
        fields_write_scalar(out, &value);
        if (out->size_bytes == mark)
            buf_adds(out, value.type == VALUE_OBJECT ? "{}" : "null");
    }
}

static struct group *add_group(struct query_stats *stats, const struct subject_of_query *subject)
{
    enum { FIRST_ROOM = 16 };
    size_t columns = stats->spec->column_count;
    if (stats->group_count == stats->group_room) {
        size_t room = stats->group_room ? stats->group_room * 2 : FIRST_ROOM;
        struct group **groups = realloc(stats->groups, room * sizeof *groups);
        if (!groups)
            return NULL;
        stats->groups = groups;
        stats->group_room = room;
    }
    struct group *group = calloc(1, sizeof *group + columns * sizeof group->columns[0]);
    if (!group)
        return NULL;
    group->key_at = stats->keys.size_bytes;
    group->key_size = stats->scratch.size_bytes;
    buf_add(&stats->keys, stats->scratch.data, stats->scratch.size_bytes);
    group->json_at = stats->keys.size_bytes;
    if (subject)
        add_json(stats, subject);
    group->json_size = stats->keys.size_bytes - group->json_at;
    stats->groups[stats->group_count++] = group;
    return stats->keys.failed ? NULL : group;
}

/* The group of the key in `scratch`, made if it is new. NULL with the status set. */
static struct group *group_of(struct query_stats *stats, const struct subject_of_query *subject)
{
    const struct buf *key = &stats->scratch;
    size_t i = hash_slot(hash_of(key->data, key->size_bytes));
    uint32_t number;
    for (; (number = stats->buckets[i & stats->mask]) != 0; i++) {
        struct group *group = stats->groups[number - 1];
        if (group->key_size == key->size_bytes &&
            (key->size_bytes == 0 || memcmp(key_of(stats, group), key->data, key->size_bytes) == 0))
            return group;
    }
    if (stats->group_count == STATS_GROUPS_MAX || stats->keys.size_bytes > STATS_GROUP_BYTES_MAX) {
        stats->status = STATS_TOO_MANY;
        return NULL;
    }
    struct group *group = add_group(stats, subject);
    stats->buckets[i & stats->mask] = (uint32_t)stats->group_count;
    if (!group || !grow_buckets(stats)) {
        stats->status = STATS_NO_MEMORY;
        return NULL;
    }
    return group;
}

/* ---- vehicles ---- */

static void add_number(struct column_sums *column, double number)
{
    double sum = column->sum + number;
    column->lost += fabs(column->sum) >= fabs(number) ? (column->sum - sum) + number
                                                      : (number - sum) + column->sum;
    column->sum = sum;
    column->min = column->count == 0 || number < column->min ? number : column->min;
    column->max = column->count == 0 || number > column->max ? number : column->max;
    column->count++;
}

static bool keep_number(struct column_sums *column, double number)
{
    enum { FIRST_ROOM = 64 };
    if (column->count == column->room) {
        size_t room = column->room ? column->room * 2 : FIRST_ROOM;
        double *values = realloc(column->values, room * sizeof *values);
        if (!values)
            return false;
        column->values = values;
        column->room = room;
    }
    column->values[column->count] = number;
    return true;
}

static void take(void *closure, uint32_t index, const struct twin *twin)
{
    struct query_stats *stats = closure;
    const struct stats_spec *spec = stats->spec;
    struct subject_of_query subject = {twin, stats->query->region, NULL};
    (void)index;
    if (stats->status != STATS_OK)
        return;
    stats->total++;
    buf_reset(&stats->scratch);
    for (size_t i = 0; i < spec->key_count; i++) {
        struct value value = path_value(spec->keys[i], &subject);
        query_key_write(&stats->scratch, &value);
    }
    struct group *group = stats->scratch.failed ? NULL : group_of(stats, &subject);
    if (!group) {
        if (stats->status == STATS_OK)
            stats->status = STATS_NO_MEMORY;
        return;
    }
    group->count++;
    for (size_t i = 0; i < spec->column_count; i++) {
        struct value value = path_value(spec->columns[i].path, &subject);
        if (value.type != VALUE_NUMBER)
            continue;
        if (spec->columns[i].ranked && !keep_number(&group->columns[i], value.number)) {
            stats->status = STATS_NO_MEMORY;
            return;
        }
        add_number(&group->columns[i], value.number);
    }
}

enum stats_status query_stats_run(struct query_stats *stats, struct store *store,
                                  struct query_denial *denial)
{
    uint32_t count = store_count(store);
    if (stats->spec->key_count == 0 && !group_of(stats, NULL))
        return stats->status;
    for (uint32_t from = 0; from < count && stats->status == STATS_OK; from += CHUNK_VEHICLES) {
        uint32_t end = count - from < CHUNK_VEHICLES ? count : from + CHUNK_VEHICLES;
        size_t place = store_enter(store);
        enum query_status status = query_scan(stats->query, store, from, end, take, stats, denial);
        store_leave(store, place);
        if (status != QUERY_OK)
            return status == QUERY_DENIED ? STATS_DENIED : STATS_CHANGED;
    }
    return stats->status;
}

/* ---- the answer ---- */

static int compare_groups(const void *a, const void *b, void *closure)
{
    const struct query_stats *stats = closure;
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    size_t common = x->key_size < y->key_size ? x->key_size : y->key_size;
    int order = common ? memcmp(key_of(stats, x), key_of(stats, y), common) : 0;
    return order ? order : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* As few digits as say which double it is; what is beyond doubles is null. */
static void write_double(struct buf *out, double number)
{
    enum { DIGITS_LEAST = 15, DIGITS_MOST = 17 };
    char text[40];
    if (!isfinite(number)) {
        buf_adds(out, "null");
        return;
    }
    for (int digits = DIGITS_LEAST; digits <= DIGITS_MOST; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number == 0 ? 0 : number);
        if (strtod(text, NULL) == number)
            break;
    }
    buf_adds(out, text);
}

/* The smallest value that at least so many percent are not above. */
static double nearest_rank(const struct column_sums *column, unsigned percent)
{
    uint64_t rank = (column->count * percent + 99) / 100;
    return column->values[rank > 0 ? rank - 1 : 0];
}

static void write_stat(struct buf *out, const struct group *group, const struct stat_asked *asked)
{
    const struct column_sums *column = &group->columns[asked->column];
    if (asked->kind == STAT_COUNT) {
        buf_json_int(out, (int64_t)group->count);
        return;
    }
    if (column->count == 0) {
        buf_adds(out, asked->kind == STAT_SUM ? "0" : "null");
        return;
    }
    switch (asked->kind) {
    case STAT_AVG:
        write_double(out, (column->sum + column->lost) / (double)column->count);
        break;
    case STAT_MIN:
        write_double(out, column->min);
        break;
    case STAT_MAX:
        write_double(out, column->max);
        break;
    case STAT_SUM:
        write_double(out, column->sum + column->lost);
        break;
    case STAT_RANK:
        write_double(out, nearest_rank(column, asked->percent));
        break;
    case STAT_COUNT:
        break;
    }
}

static void write_group(struct query_stats *stats, struct group *group, struct buf *out)
{
    const struct stats_spec *spec = stats->spec;
    for (size_t i = 0; i < spec->column_count; i++)
        if (spec->columns[i].ranked && group->columns[i].count > 0)
            qsort(group->columns[i].values, group->columns[i].count, sizeof(double),
                  compare_doubles);
    buf_adds(out, "{\"key\":{");
    buf_add(out, stats->keys.data + group->json_at, group->json_size);
    buf_addc(out, '}');
    for (size_t i = 0; i < spec->stat_count; i++) {
        buf_addc(out, ',');
        buf_json_string(out, spec->stats[i].label.at, spec->stats[i].label.size);
        buf_addc(out, ':');
        write_stat(out, group, &spec->stats[i]);
    }
    buf_addc(out, '}');
}

void query_stats_write(struct query_stats *stats, struct buf *out)
{
    if (stats->status != STATS_OK) {
        out->failed = true;
        return;
    }
    if (stats->group_count > 1)
        qsort_r(stats->groups, stats->group_count, sizeof *stats->groups, compare_groups, stats);
    buf_adds(out, "{\"groups\":[");
    for (size_t i = 0; i < stats->group_count; i++) {
        if (i > 0)
            buf_addc(out, ',');
        write_group(stats, stats->groups[i], out);
    }
    buf_adds(out, "],\"total_size\":");
    buf_json_int(out, (int64_t)stats->total);
    buf_addc(out, '}');
}
