/*
 * bench_filter: how long a filter takes over a fleet in memory, beside one pass over the same
 * twins' fields: a loop that knows where each field stands and does nothing but read it.
 *
 *     bench_filter [VEHICLES]
 *
 * The fleet is folded as the hub does it, type after type, so that what belongs to one vehicle lies
 * apart in memory. Rounds of all measurements are interleaved; medians are told, one JSON object a
 * line. A ratio is the filter's time to the pass's.
 */
#include "twin/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    VEHICLES_DEFAULT = 100000,
    ROUNDS = 9,
    PAGE = 100,
    TEXT_BYTES = 512,
    VID_BYTES = 32,
};

static const int64_t now_ns = INT64_C(1768473000) * NS_PER_S;
static const char three_terms[] = "state.battery.remaining < 0.5 AND presence.status = \"online\" "
                                  "AND distance(state.position, 59.91, 10.75) < 40000";

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_filter: %s: %s\n", what, why);
    exit(1);
}

/* The same fleet in every run. */
static double uniform(double from, double to)
{
    static uint64_t state = 20260115;
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return from + (to - from) * (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

/* ---- the fleet ---- */

enum { POSITION, ATTITUDE, BATTERY, MODE, HEALTH, TYPES };

static int state_text(int type, char text[TEXT_BYTES])
{
    switch (type) {
    case POSITION:
        return snprintf(text, TEXT_BYTES,
                        "{\"lat\":%.7f,\"lon\":%.7f,\"alt\":%.2f,\"rel_alt\":%.2f,\"vx\":%.2f,"
                        "\"vy\":%.2f,\"vz\":%.2f,\"heading\":%.1f}",
                        uniform(59.4, 60.4), uniform(9.8, 11.7), uniform(0, 300), uniform(0, 120),
                        uniform(-9, 9), uniform(-9, 9), uniform(-2, 2), uniform(0, 360));
    case ATTITUDE:
        return snprintf(text, TEXT_BYTES, "{\"roll\":%.4f,\"pitch\":%.4f,\"yaw\":%.4f}",
                        uniform(-1, 1), uniform(-1, 1), uniform(-3, 3));
    case BATTERY:
        return snprintf(text, TEXT_BYTES, "{\"voltage\":%.2f,\"current\":%.2f,\"remaining\":%.3f}",
                        uniform(10, 13), uniform(0, 30), uniform(0, 1));
    case MODE:
        return snprintf(text, TEXT_BYTES, "{\"mode\":\"%s\",\"armed\":%s}",
                        uniform(0, 1) < 0.3 ? "RTL" : "AUTO",
                        uniform(0, 1) < 0.5 ? "true" : "false");
    default:
        return snprintf(text, TEXT_BYTES,
                        "{\"cpu_load\":%.2f,\"errors\":%d,\"sensors_ok\":true,\"gps_fix\":3,"
                        "\"satellites\":%d}",
                        uniform(0, 1), (int)uniform(0, 4), (int)uniform(6, 20));
    }
}

static struct doc_ref parse(struct doc_parser *parser, const char *text, int size)
{
    struct doc_ref ref;
    struct doc_limits limits = {.max_bytes = TEXT_BYTES, .max_depth = 8};
    if (doc_parse(parser, text, (size_t)size, limits, &ref) != DOC_OK)
        die("parsing", text);
    return ref;
}

static struct twin *with_state(struct doc_parser *parser, struct twin *twin, int type)
{
    static const char *const names[TYPES] = {"position", "attitude", "battery", "mode", "health"};
    char text[TEXT_BYTES];
    const struct state *replaced;
    struct doc_ref data = parse(parser, text, state_text(type, text));
    struct version version = {.boot = {"b7", 2}, .seq = type, .timestamp_ns = now_ns};
    struct state *state = state_new((struct slice){names[type], strlen(names[type])}, &version,
                                    now_ns - (int64_t)uniform(0, 2e10), 1, data);
    struct twin *fresh = state ? twin_with_state(twin, state, &replaced) : NULL;
    if (!fresh)
        die("folding", "out of memory");
    free(twin);
    fresh->presence = presence_heard(fresh->presence, state->received_ns);
    if (uniform(0, 1) < 0.02)
        fresh->presence.status = PRESENCE_OFFLINE;
    return fresh;
}

static void add_shadow(struct doc_parser *parser, struct twin *twin)
{
    char text[TEXT_BYTES];
    int size = snprintf(text, sizeof text,
                        "{\"mode\":\"AUTO\",\"speed\":12.5,\"geofence\":\"north\",\"rate\":4,"
                        "\"light\":true,\"home\":\"oslo-%d\",\"a\":1,\"b\":2,\"c\":3,\"d\":4}",
                        (int)uniform(0, 9));
    twin->parts[PART_META] = part_new(1, now_ns, "admin", parse(parser, text, size));
    twin->parts[PART_DESIRED] = part_new(1, now_ns, "ops", parse(parser, text, size));
    if (!twin->parts[PART_META] || !twin->parts[PART_DESIRED])
        die("shadow", "out of memory");
}

static struct twin **make_fleet(size_t count)
{
    struct doc_parser *parser = doc_parser_new();
    struct twin **fleet = calloc(count, sizeof(struct twin *));
    if (!parser || !fleet)
        die("fleet", "out of memory");
    for (size_t i = 0; i < count; i++) {
        char *vid = malloc(VID_BYTES);
        if (!vid)
            die("fleet", "out of memory");
        snprintf(vid, VID_BYTES, "VID-%06zu", i);
        fleet[i] = twin_new(vid);
        if (!fleet[i])
            die("fleet", "out of memory");
    }
    for (int type = 0; type < TYPES; type++)
        for (size_t i = 0; i < count; i++)
            fleet[i] = with_state(parser, fleet[i], type);
    for (size_t i = 0; i < count; i++)
        add_shadow(parser, fleet[i]);
    doc_parser_free(parser);
    return fleet;
}

/* ---- what is measured ---- */

struct work {
    struct twin **fleet;
    size_t count;
    struct filter *filter;
    struct order *order;
    size_t found; /* of the last round */
};

/* Reads what the three terms look at from where it is known to stand. */
static void pass(struct work *work)
{
    enum { BATTERY_STATE = 1, POSITION_STATE = 4, REMAINING = 3, LAT = 1, LON = 2 };
    double sum = 0;
    work->found = 0;
    for (size_t i = 0; i < work->count; i++) {
        const struct twin *twin = work->fleet[i];
        const struct doc_node *battery = twin->states[BATTERY_STATE]->data->nodes;
        const struct doc_node *position = twin->states[POSITION_STATE]->data->nodes;
        sum += (double)battery[REMAINING].u.mantissa + (double)position[LAT].u.mantissa +
               (double)position[LON].u.mantissa;
        work->found += twin->presence.status == PRESENCE_ONLINE;
    }
    if (sum < 0)
        die("the pass", "the fleet is not where it should be");
}

static void run_filter(struct work *work)
{
    struct subject_of_query subject = {.region = "eu-north"};
    work->found = 0;
    for (size_t i = 0; i < work->count; i++) {
        subject.twin = work->fleet[i];
        work->found += filter_matches(work->filter, &subject, now_ns);
    }
}

struct best {
    size_t count;
    const struct twin *twin[PAGE];
    struct order_values values[PAGE];
};

/* Puts one more into the first page, kept in order. */
static void keep(const struct order *order, struct best *best, const struct twin *twin,
                 const struct order_values *values)
{
    if (best->count == PAGE && order_compare(order, values, &best->values[PAGE - 1]) >= 0)
        return;
    size_t place = best->count < PAGE ? best->count++ : PAGE - 1;
    for (; place > 0 && order_compare(order, values, &best->values[place - 1]) < 0; place--) {
        best->twin[place] = best->twin[place - 1];
        best->values[place].key[0] = best->values[place - 1].key[0];
    }
    best->twin[place] = twin;
    best->values[place].key[0] = values->key[0];
}

/* The filter, the count of what it finds, and the first page by a key. */
static void run_page(struct work *work)
{
    static struct best best;
    struct subject_of_query subject = {.region = "eu-north"};
    struct order_values values;
    work->found = 0;
    best.count = 0;
    for (size_t i = 0; i < work->count; i++) {
        subject.twin = work->fleet[i];
        if (!filter_matches(work->filter, &subject, now_ns))
            continue;
        work->found++;
        order_take(work->order, &subject, &values);
        keep(work->order, &best, work->fleet[i], &values);
    }
}

static const struct measured {
    const char *name, *filter, *order;
    void (*run)(struct work *work);
} measured[] = {
    {"pass over the fields", "", "", pass},
    {"three terms with distance", three_terms, "", run_filter},
    {"three terms with distance, first 100 by a key", three_terms, "state.battery.voltage desc",
     run_page},
    {"three terms with a polygon",
     "state.battery.remaining < 0.5 AND presence.status = \"online\" AND inside(state.position, "
     "\"POLYGON((10.1 59.6, 11.2 59.5, 11.4 60.1, 10.7 60.3, 10.2 60.0, 10.1 59.6))\")",
     "", run_filter},
    {"geo term alone", "distance(state.position, 59.91, 10.75) < 40000", "", run_filter},
    {"exact distance of every vehicle",
     "distance(state.position, 59.91, 10.75) < distance(state.position, 60, 11)", "", run_filter},
    {"presence alone", "presence.status = \"online\"", "", run_filter},
    {"vid with a wildcard", "vid = \"VID-00*\"", "", run_filter},
    {"shadow and mode", "meta.home = \"oslo-*\" AND NOT state.mode.mode = \"RTL\"", "", run_filter},
    {"age", "age(state.position) <= 10s", "", run_filter},
};
enum { MEASURED = sizeof measured / sizeof *measured };

static double now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double times_ms[MEASURED][ROUNDS];
    struct work work[MEASURED];
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : VEHICLES_DEFAULT;
    struct twin **fleet = make_fleet(count);
    for (size_t m = 0; m < MEASURED; m++) {
        struct text_error error;
        work[m] = (struct work){.fleet = fleet, .count = count};
        work[m].filter = filter_compile(PATH_OF_TWIN, measured[m].filter,
                                        strlen(measured[m].filter), NULL, &error);
        work[m].order = work[m].filter ? order_compile(PATH_OF_TWIN, measured[m].order,
                                                       strlen(measured[m].order), &error)
                                       : NULL;
        if (!work[m].order)
            die(measured[m].name, error.detail);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t m = 0; m < MEASURED; m++) {
            double start_ms = now_ms();
            measured[m].run(&work[m]);
            times_ms[m][round] = now_ms() - start_ms;
        }
    }
    for (size_t m = 0; m < MEASURED; m++)
        qsort(times_ms[m], ROUNDS, sizeof **times_ms, by_size);
    double limit_ms = times_ms[0][ROUNDS / 2];
    for (size_t m = 0; m < MEASURED; m++) {
        double value_ms = times_ms[m][ROUNDS / 2];
        printf("{\"name\": \"filter: %s\", \"value\": %.3f, \"unit\": \"ms\", \"limit\": %.3f, "
               "\"ratio\": %.2f, \"vehicles\": %zu, \"found\": %zu}\n",
               measured[m].name, value_ms, limit_ms, value_ms / limit_ms, count, work[m].found);
        filter_free(work[m].filter);
        order_free(work[m].order);
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t s = 0; s < fleet[i]->state_count; s++)
            free((struct state *)fleet[i]->states[s]);
        free((struct part *)fleet[i]->parts[PART_META]);
        free((struct part *)fleet[i]->parts[PART_DESIRED]);
        free((char *)fleet[i]->vid);
        free(fleet[i]);
    }
    free(fleet);
    return 0;
}
