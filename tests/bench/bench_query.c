/*
 * bench_query: what questions to a fleet in the store cost, from their text to the JSON of the
 * first page, beside one pass over the same twins' fields: a loop that knows where each field
 * stands and does nothing but read it.
 *
 *     bench_query [VEHICLES [WORDS]]
 *
 * With WORDS only the pass and what has them in its name is measured.
 *
 * The fleet is folded type after type and then by updates in a random order, so that what belongs
 * to one vehicle lies apart in memory, as it does in a hub that has run for a while. Rounds of all
 * measurements are interleaved; medians are told, one JSON object a line. A ratio is the query's
 * time to the pass's, `limit` the most that it may be.
 *
 * Memory comes in large pages, as where deploy/ runs the hub; GLIBC_TUNABLES= (empty) is without.
 *
 * Last, all of these run one after the other while another thread folds as fast as it can: the
 * longest that one message of it takes, in processor time, so that only its own steps count and not
 * who else the machine lets run; the most that it may be is a millisecond.
 */
#include "hub/formats.h"
#include "hub/query_fields.h"
#include "hub/query_page.h"
#include "hub/query_stats.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    VEHICLES_DEFAULT = 100000,
    UPDATES_PER_VEHICLE = 2,
    ROUNDS = 9,
    PAGE = 100,
    TEXT_BYTES = 512,
    RATIO_MAX = 5,
    FOLD_ROUNDS = 5, /* with queries and without, in turn */
    FOLD_ALONE_MS = 500,
};

static const int64_t now_ns = INT64_C(1768473000) * NS_PER_S;
static const char three_terms[] = "state.battery.remaining < 0.5 AND presence.status = \"online\" "
                                  "AND distance(state.position, 59.91, 10.75) < 40000";

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_query: %s: %s\n", what, why);
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

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* one thread: what others do is not counted */
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* ---- the fleet ---- */

enum { POSITION, ATTITUDE, BATTERY, MODE, HEALTH, TYPES };
static const char *const type_names[TYPES] = {"position", "attitude", "battery", "mode", "health"};

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

static void fold(struct store *store, struct doc_parser *parser, struct vehicle *vehicle, int type)
{
    static int64_t seq;
    char text[TEXT_BYTES];
    const struct state *replaced;
    const char *name = type_names[type];
    struct doc_ref data = parse(parser, text, state_text(type, text));
    struct version version = {.boot = {"b7", 2}, .seq = ++seq, .timestamp_ns = now_ns};
    int64_t received_ns = now_ns - (int64_t)uniform(0, 2e10);
    struct state *state =
        state_new((struct slice){name, strlen(name)}, &version, received_ns, 1, data);
    struct twin *fresh = state ? twin_with_state(store_current(vehicle), state, &replaced) : NULL;
    if (!fresh)
        die("folding", "out of memory");
    fresh->presence = presence_heard(fresh->presence, received_ns);
    if (uniform(0, 1) < 0.02)
        fresh->presence.status = PRESENCE_OFFLINE;
    store_put(store, vehicle, fresh);
    store_retire(store, replaced);
}

static void add_shadow(struct store *store, struct doc_parser *parser, struct vehicle *vehicle)
{
    char text[TEXT_BYTES];
    int size = snprintf(text, sizeof text,
                        "{\"mode\":\"AUTO\",\"speed\":12.5,\"geofence\":\"north\",\"rate\":4,"
                        "\"light\":true,\"home\":\"oslo-%d\",\"a\":1,\"b\":2,\"c\":3,\"d\":4}",
                        (int)uniform(0, 9));
    struct twin *twin = twin_copy(store_current(vehicle));
    if (!twin)
        die("shadow", "out of memory");
    twin->parts[PART_META] = part_new(1, now_ns, "admin", parse(parser, text, size));
    twin->parts[PART_DESIRED] = part_new(1, now_ns, "ops", parse(parser, text, size));
    if (!twin->parts[PART_META] || !twin->parts[PART_DESIRED])
        die("shadow", "out of memory");
    store_put(store, vehicle, twin);
}

static struct store *make_fleet(uint32_t count)
{
    struct doc_parser *parser = doc_parser_new();
    struct store *store = store_new();
    char vid[32];
    if (!parser || !store)
        die("fleet", "out of memory");
    store_lock(store);
    for (uint32_t i = 0; i < count; i++) {
        int size = snprintf(vid, sizeof vid, "CUST%u-%06u", i % 10, i);
        if (!store_vehicle(store, vid, (size_t)size))
            die("fleet", "out of memory");
    }
    for (int type = 0; type < TYPES; type++)
        for (uint32_t i = 0; i < count; i++)
            fold(store, parser, store_vehicle_at(store, i), type);
    for (uint32_t i = 0; i < count; i++)
        add_shadow(store, parser, store_vehicle_at(store, i));
    for (uint32_t i = 0; i < count * UPDATES_PER_VEHICLE; i++)
        fold(store, parser, store_vehicle_at(store, (uint32_t)uniform(0, count)),
             (int)uniform(0, TYPES));
    store_unlock(store);
    doc_parser_free(parser);
    return store;
}

/* ---- the limit ---- */

static volatile double sink;

/* A state's number by its place among the members, without looking for anything. */
static double number_at(const struct twin *twin, size_t state, size_t member)
{
    const struct doc *doc = twin->states[state]->data;
    return (double)doc->nodes[1 + member].u.mantissa;
}

static uint64_t pass(const struct store *store)
{
    double sum = 0;
    uint64_t online = 0;
    uint32_t count = store_count(store);
    for (uint32_t i = 0; i < count; i++) {
        const struct twin *twin = store_at(store, i);
        online += twin->presence.status == PRESENCE_ONLINE;
        sum += number_at(twin, 1, 2); /* battery.remaining: types are in the order of their bytes */
        sum += number_at(twin, 4, 0) + number_at(twin, 4, 1); /* position: lat, lon */
    }
    sink = sum;
    return online;
}

/* ---- queries ---- */

static const char *const three[] = {"CUST1-*", "CUST2-*", "CUST3-*"};
static const char *const attitude[] = {"state.attitude"};
static const struct viewer_scope bounded_scope = {{true, three, 3}, {false, NULL, 0}};
static const struct viewer bounded = {"bounded", &bounded_scope, 1, {true, attitude, 1}};
static const char *const most[] = {"CUST1-*", "CUST2-*", "CUST*"};
static const struct viewer_scope most_scope = {{true, most, 3}, {false, NULL, 0}};
static const struct viewer most_viewer = {"most", &most_scope, 1, {true, attitude, 1}};

static void open_query(struct query *query, const struct viewer *viewer, const char *filter,
                       const char *order)
{
    struct text_error error;
    struct query_options options = {
        .viewer = viewer, .region = "eu-north", .now_ns = now_ns, .filter = filter, .order = order};
    if (query_init(query, &options, &error) != QUERY_OK)
        die(filter ? filter : "query", error.detail);
}

/* From the text to the JSON of the first page. */
static uint64_t page(struct store *store, const struct viewer *viewer, const char *filter,
                     const char *order)
{
    struct query query;
    struct query_page found;
    struct query_denial denial;
    struct buf out = BUF_INIT;
    open_query(&query, viewer, filter, order);
    struct format_list list = {.format = FORMAT_JSON, .view = {viewer, "eu-north", false}};
    if (query_page_init(&found, &query, PAGE) != QUERY_OK)
        die("page", "out of memory");
    size_t place = store_enter(store);
    if (query_page_run(&found, store, &denial) != QUERY_OK)
        die("page", "denied");
    format_begin(&out, &list);
    for (size_t i = 0; i < found.count && i < PAGE; i++)
        format_item(&out, &list, found.entries[i].twin, i == 0);
    format_end(&out, &list, "", found.total);
    store_leave(store, place);
    uint64_t total = found.total;
    if (out.failed)
        die("page", "out of memory");
    buf_done(&out);
    query_page_done(&found);
    query_done(&query);
    return total;
}

static uint64_t stats(struct store *store, const char *group_by, const char *asked)
{
    struct stats_spec spec;
    struct query query;
    struct query_denial denial;
    struct text_error error;
    struct buf out = BUF_INIT;
    const char *parameter;
    open_query(&query, &viewer_all, NULL, NULL);
    if (!stats_spec_init(&spec, group_by, asked, &parameter, &error))
        die(parameter, error.detail);
    for (size_t i = 0; i < spec.key_count; i++)
        query_looks_at(&query, spec.keys[i]);
    for (size_t i = 0; i < spec.column_count; i++)
        query_looks_at(&query, spec.columns[i].path);
    struct query_stats *sums = query_stats_new(&spec, &query);
    if (!sums || query_stats_run(sums, store, &denial) != STATS_OK)
        die("stats", "refused");
    query_stats_write(sums, &out);
    uint64_t bytes = out.size_bytes;
    buf_done(&out);
    query_stats_free(sums);
    stats_spec_done(&spec);
    query_done(&query);
    return bytes;
}

static uint64_t fields(struct store *store)
{
    struct query query;
    struct query_denial denial;
    struct buf out = BUF_INIT;
    open_query(&query, &viewer_all, NULL, NULL);
    struct query_fields *known = query_fields_new(&query);
    if (!known || query_fields_run(known, store, &denial) != QUERY_OK)
        die("fields", "refused");
    query_fields_write(known, &out);
    uint64_t bytes = out.size_bytes;
    buf_done(&out);
    query_fields_free(known);
    query_done(&query);
    return bytes;
}

static uint64_t all(struct store *store, const char *order)
{
    struct query query;
    struct query_denial denial;
    uint32_t *indices;
    size_t count;
    open_query(&query, &viewer_all, NULL, order);
    size_t place = store_enter(store);
    if (query_all(&query, store, &indices, &count, &denial) != QUERY_OK)
        die("all", "out of memory");
    store_leave(store, place);
    free(indices);
    query_done(&query);
    return count;
}

/* ---- measuring ---- */

static const char by_key[] = "state.battery.remaining";

#define MEASUREMENTS(X)                                                                            \
    X("pass over the fields", 0, pass(store))                                                      \
    X("three terms with distance, first 100 by a key", 10,                                         \
      page(store, &viewer_all, three_terms, by_key))                                               \
    X("the same, viewer of three patterns and a denied field", 10,                                 \
      page(store, &bounded, three_terms, by_key))                                                  \
    X("the same, whose third pattern holds the whole fleet", 10,                                   \
      page(store, &most_viewer, three_terms, by_key))                                              \
    X("first 100 by vid", 0, page(store, &viewer_all, NULL, NULL))                                 \
    X("first 100 by a key", 0, page(store, &viewer_all, NULL, "state.battery.remaining desc"))     \
    X("first 100 by distance", 0,                                                                  \
      page(store, &viewer_all, NULL, "distance(state.position, 59.91, 10.75)"))                    \
    X("stats by mode", 0,                                                                          \
      stats(store, "state.mode.mode",                                                              \
            "count,avg(state.battery.remaining),p95(state.battery.remaining)"))                    \
    X("fields of the fleet", 0, fields(store))                                                     \
    X("all in order of vid", 0, all(store, NULL))                                                  \
    X("all in order of a key", 0, all(store, by_key))

static uint64_t run(struct store *store, int which)
{
    int i = 0;
#define X(name, limit_ms, call)                                                                    \
    if (which == i++)                                                                              \
        return call;
    MEASUREMENTS(X)
#undef X
    return 0;
}

/* ---- folding meanwhile ---- */

struct folding {
    struct store *store;
    _Atomic bool stop;
    uint64_t messages;
    double longest_ms;
};

static void *fold_on(void *closure)
{
    struct folding *folding = closure;
    struct doc_parser *parser = doc_parser_new();
    if (!parser)
        die("folding", "out of memory");
    uint32_t count = store_count(folding->store);
    while (!atomic_load(&folding->stop)) {
        struct vehicle *vehicle = store_vehicle_at(folding->store, (uint32_t)uniform(0, count));
        int type = (int)uniform(0, TYPES);
        double from_ms = now_ms();
        store_lock_fold(folding->store);
        fold(folding->store, parser, vehicle, type);
        store_unlock(folding->store);
        double took_ms = now_ms() - from_ms;
        folding->longest_ms = took_ms > folding->longest_ms ? took_ms : folding->longest_ms;
        folding->messages++;
    }
    doc_parser_free(parser);
    return NULL;
}

/* The longest pause of a fold beside `queries` of the measurements; 0: it folds alone for a while.
 */
static double pause_beside(struct store *store, int queries, uint64_t *messages)
{
    struct folding folding = {.store = store};
    pthread_t thread;
    if (pthread_create(&thread, NULL, fold_on, &folding) != 0)
        die("folding", "no thread");
    for (int i = 1; i < queries; i++) /* the pass is no query, and reads what the fold may free */
        run(store, i);
    if (queries == 0)
        nanosleep(&(struct timespec){.tv_nsec = FOLD_ALONE_MS * 1000000L}, NULL);
    atomic_store(&folding.stop, true);
    pthread_join(thread, NULL);
    *messages += folding.messages;
    return folding.longest_ms;
}

static void show_pauses(struct store *store, int queries)
{
    double beside_ms = 0, alone_ms = 0;
    uint64_t beside = 0, alone = 0;
    for (int round = 0; round < FOLD_ROUNDS; round++) {
        double longest_ms = pause_beside(store, queries, &beside);
        beside_ms = longest_ms > beside_ms ? longest_ms : beside_ms;
        longest_ms = pause_beside(store, 0, &alone);
        alone_ms = longest_ms > alone_ms ? longest_ms : alone_ms;
    }
    printf("{\"name\": \"query: longest pause of the fold beside all of these\", \"value\": %.3f, "
           "\"unit\": \"ms\", \"limit\": 1.000, \"messages\": %llu, \"alone\": %.3f, "
           "\"messages_alone\": %llu}\n",
           beside_ms, (unsigned long long)beside, alone_ms, (unsigned long long)alone);
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The fleet's memory comes in large pages, as it does where the hub runs by deploy/systemd. The C
 * library reads its tunables before main. */
static void want_large_pages(char **argv)
{
    if (getenv("GLIBC_TUNABLES") || setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 0) != 0)
        return;
    execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
    want_large_pages(argv);
#define X(name, limit_ms, call) {name, limit_ms, 0, {0}},
    struct {
        const char *name;
        double limit_ms;
        uint64_t found;
        double times_ms[ROUNDS];
    } measured[] = {MEASUREMENTS(X)};
#undef X
    enum { COUNT = sizeof measured / sizeof *measured };
    int vehicles = argc > 1 ? atoi(argv[1]) : VEHICLES_DEFAULT;
    if (vehicles < 1)
        die("usage", "bench_query [VEHICLES [WORDS]]");
    struct store *store = make_fleet((uint32_t)vehicles);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < COUNT; i++) {
            if (i > 0 && argc > 2 && !strstr(measured[i].name, argv[2]))
                continue;
            double from_ms = now_ms();
            measured[i].found = run(store, i);
            measured[i].times_ms[round] = now_ms() - from_ms;
        }
    for (int i = 0; i < COUNT; i++)
        qsort(measured[i].times_ms, ROUNDS, sizeof(double), by_time);
    double limit = measured[0].times_ms[ROUNDS / 2];
    for (int i = 0; i < COUNT; i++) {
        double time_ms = measured[i].times_ms[ROUNDS / 2];
        if (time_ms == 0)
            continue;
        printf("{\"name\": \"query: %s\", \"value\": %.3f, \"unit\": \"ms\", ", measured[i].name,
               time_ms);
        if (measured[i].limit_ms > 0)
            printf("\"limit\": %.3f, ", limit * RATIO_MAX < measured[i].limit_ms
                                            ? limit * RATIO_MAX
                                            : measured[i].limit_ms);
        printf("\"ratio\": %.2f, \"vehicles\": %d, \"found\": %llu}\n", time_ms / limit, vehicles,
               (unsigned long long)measured[i].found);
    }
    if (argc <= 2)
        show_pauses(store, COUNT);
    store_free(store);
    return 0;
}
