/*
 * bench_fold: what the hub does for one state message, and what a vehicle costs in memory.
 *
 *     bench_fold
 *
 * - parse.<type>: an envelope judged and read, beside jansson's json_loadb of the same bytes, whose
 *   time is the limit;
 * - fold.<N>: everything the state lane does with a message once the broker's client has handed it
 *   over, into a store of N vehicles; the limit is what jansson needs for parsing it;
 * - memory.vehicle: a vehicle with five states, reported of ten keys, desired of two and a delta;
 *   the limit is the same documents as jansson's trees.
 *
 * CPU time, medians of several runs. Prints one JSON object a line; takes a few seconds.
 */
#include "hub/store.h"

#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    RUNS = 5,
    PARSES = 20000, /* of each type in a run */
    FOLDS = 200000, /* in a run */
    FEW = 1000,
    MANY = 100000,
    MEMORY_VEHICLES = 20000,
    TREES = 2000,
    MESSAGE_BYTES = 512,
    VID_DIGITS = 6,
    SEQ_DIGITS = 12,
};

#define FIRST_SEQ INT64_C(100000000000) /* every seq has as many digits, to be written in place */
#define T0 (INT64_C(1768473000) * NS_PER_S)

static const struct {
    const char *type, *data;
} types[] = {
    {"position", "{\"lat\":59.913912,\"lon\":10.752245,\"alt\":142.31,\"rel_alt\":48.9,\"vx\":3.12,"
                 "\"vy\":-1.07,\"vz\":0.03,\"heading\":275.12}"},
    {"attitude", "{\"roll\":0.01319,\"pitch\":-0.0001,\"yaw\":-1.48159}"},
    {"battery", "{\"voltage\":12.277,\"current\":14.53,\"remaining\":0.76}"},
    {"mode", "{\"mode\":\"AUTO\",\"armed\":true}"},
    {"health", "{\"cpu_load\":0.16,\"errors\":0,\"sensors_ok\":true,\"gps_fix\":3,"
               "\"satellites\":14}"},
};
enum { TYPES = sizeof types / sizeof *types };

static const char reported[] =
    "{\"mode\":\"AUTO\",\"rate_hz\":10,\"firmware\":\"4.5.4\",\"camera\":{\"zoom\":2.0,\"tilt\":-"
    "45},"
    "\"geofence\":true,\"max_alt\":120,\"return_alt\":60,\"lights\":\"on\",\"mission\":\"m-0042\"}";
static const char desired[] = "{\"rate_hz\":20,\"max_alt\":120}";

/* A message whose vehicle and seq are written over in place. */
struct message {
    char subject[128], payload[MESSAGE_BYTES];
    size_t payload_bytes;
    char *subject_vid, *payload_vid, *seq;
};

static struct message messages[TYPES];
static struct doc_parser *parser;

static void die(const char *why)
{
    fprintf(stderr, "bench_fold: %s\n", why);
    exit(1);
}

static void make_messages(void)
{
    for (size_t i = 0; i < TYPES; i++) {
        struct message *message = &messages[i];
        snprintf(message->subject, sizeof message->subject, "fleet.bench.veh.VID-000000.state.%s",
                 types[i].type);
        int size = snprintf(message->payload, sizeof message->payload,
                            "{\"vid\":\"VID-000000\",\"timestamp\":\"2026-01-15T10:30:00.123Z\","
                            "\"boot\":\"b7\",\"seq\":%lld,\"data\":%s}",
                            (long long)FIRST_SEQ, types[i].data);
        message->payload_bytes = (size_t)size;
        message->subject_vid = strstr(message->subject, "VID-") + 4;
        message->payload_vid = strstr(message->payload, "VID-") + 4;
        message->seq = strstr(message->payload, "\"seq\":") + 6;
    }
}

static void write_digits(char *at, int digits, uint64_t value)
{
    while (digits-- > 0) {
        at[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

static void address(struct message *message, uint32_t vehicle, uint64_t seq)
{
    write_digits(message->subject_vid, VID_DIGITS, vehicle);
    write_digits(message->payload_vid, VID_DIGITS, vehicle);
    write_digits(message->seq, SEQ_DIGITS, (uint64_t)FIRST_SEQ + seq);
}

/* ---- measuring ---- */

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[RUNS])
{
    qsort(values, RUNS, sizeof *values, by_value);
    return values[RUNS / 2];
}

static void print(const char *name, double value, const char *unit, double limit)
{
    printf("{\"name\":\"%s\",\"value\":%.1f,\"unit\":\"%s\",\"limit\":%.1f,\"ratio\":%.3f}\n", name,
           value, unit, limit, value / limit);
    fflush(stdout);
}

/* ---- parsing ---- */

static double parse_ns(const struct message *message)
{
    double began = cpu_ns();
    for (int i = 0; i < PARSES; i++) {
        struct envelope envelope;
        if (envelope_parse(parser, message->subject, message->payload, message->payload_bytes,
                           ENVELOPE_MAX_BYTES_DEFAULT, &envelope) != REFUSAL_NONE)
            die("a message was refused");
    }
    return (cpu_ns() - began) / PARSES;
}

static double jansson_ns(const struct message *message)
{
    double began = cpu_ns();
    for (int i = 0; i < PARSES; i++) {
        json_t *json =
            json_loadb(message->payload, message->payload_bytes, JSON_REJECT_DUPLICATES, NULL);
        if (!json)
            die("jansson refused a message");
        json_decref(json);
    }
    return (cpu_ns() - began) / PARSES;
}

/* Returns jansson's mean over all types. */
static double bench_parse(void)
{
    double sum = 0;
    for (size_t i = 0; i < TYPES; i++) {
        double ours[RUNS], theirs[RUNS];
        char name[64];
        for (int run = 0; run < RUNS; run++) {
            ours[run] = parse_ns(&messages[i]);
            theirs[run] = jansson_ns(&messages[i]);
        }
        double limit = median(theirs);
        snprintf(name, sizeof name, "parse.%s", types[i].type);
        print(name, median(ours), "ns", limit);
        sum += limit;
    }
    return sum / TYPES;
}

/* ---- folding: as hub/state_lane.c does it ---- */

static void fold(struct store *store, const struct message *message, uint64_t stream_seq)
{
    struct envelope envelope;
    const struct state *replaced = NULL;
    int64_t received_ns = T0 + (int64_t)stream_seq * 1000;
    bool skewed;
    if (envelope_parse(parser, message->subject, message->payload, message->payload_bytes,
                       ENVELOPE_MAX_BYTES_DEFAULT, &envelope) != REFUSAL_NONE)
        die("a message was refused");
    struct version version = {
        envelope.boot, envelope.seq,
        clock_believed(envelope.timestamp_ns, received_ns, 300 * NS_PER_S, &skewed)};

    store_lock(store);
    struct vehicle *vehicle =
        store_vehicle(store, envelope.subject.vid.at, envelope.subject.vid.size);
    const struct twin *old = vehicle ? store_current(vehicle) : NULL;
    if (!old || version_judge(twin_state(old, envelope.subject.type), &version) != OUTCOME_NEWER)
        die("a message was not newer");
    struct state *fresh =
        state_new(envelope.subject.type, &version, received_ns, stream_seq, envelope.data);
    struct twin *twin = fresh ? twin_with_state(old, fresh, &replaced) : NULL;
    if (!twin)
        die("no memory");
    twin->presence = presence_heard(old->presence, received_ns);
    store_put(store, vehicle, twin);
    store_retire(store, replaced);
    store_unlock(store);

    store_lock(store);
    store_advance(store, STREAM_STATE, (struct position){T0, stream_seq, received_ns});
    store_unlock(store);
}

/* `count` messages to `vehicles` vehicles in an order that no cache foresees. */
static void fold_many(struct store *store, uint32_t vehicles, uint32_t count, uint64_t *seq)
{
    const uint64_t stride = 7919; /* a prime that divides no number of vehicles here */
    for (uint32_t i = 0; i < count; i++) {
        struct message *message = &messages[i % TYPES];
        address(message, (uint32_t)(i / TYPES * stride % vehicles), ++*seq);
        fold(store, message, *seq);
    }
}

static void bench_fold(uint32_t vehicles, double limit)
{
    struct store *store = store_new();
    double values[RUNS];
    uint64_t seq = 0;
    char name[64];
    if (!store)
        die("no memory");
    fold_many(store, vehicles, vehicles * TYPES, &seq); /* all of them are there */
    for (int run = 0; run < RUNS; run++) {
        double began = cpu_ns();
        fold_many(store, vehicles, FOLDS, &seq);
        values[run] = (cpu_ns() - began) / FOLDS;
    }
    if (store_count(store) != vehicles)
        die("not every vehicle was folded");
    snprintf(name, sizeof name, "fold.%u", vehicles);
    print(name, median(values), "ns", limit);
    store_free(store);
}

/* ---- memory ---- */

static size_t used_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static const struct part *part_of(const char *text)
{
    struct doc_limits limits = {PART_MAX_BYTES, ENVELOPE_MAX_DEPTH};
    struct doc_ref value;
    struct part *part = NULL;
    if (doc_parse(parser, text, strlen(text), limits, &value) == DOC_OK)
        part = part_new(1, T0, "unknown", value);
    if (!part)
        die("a part was not made");
    return part;
}

static void add_shadow(struct store *store, uint32_t index)
{
    const struct doc *none;
    store_lock(store);
    struct vehicle *vehicle = store_vehicle_at(store, index);
    struct twin *twin = twin_copy(store_current(vehicle));
    if (!twin)
        die("no memory");
    twin->parts[PART_REPORTED] = part_of(reported);
    twin->parts[PART_DESIRED] = part_of(desired);
    if (!twin_refresh_delta(twin, T0, &none) || !twin->delta)
        die("no delta");
    store_put(store, vehicle, twin);
    store_unlock(store);
}

static double vehicle_bytes(void)
{
    uint64_t seq = 0;
    size_t before = used_bytes();
    struct store *store = store_new();
    if (!store)
        die("no memory");
    fold_many(store, MEMORY_VEHICLES, MEMORY_VEHICLES * TYPES, &seq);
    for (uint32_t i = 0; i < MEMORY_VEHICLES; i++)
        add_shadow(store, i);
    double bytes = (double)(used_bytes() - before) / MEMORY_VEHICLES;
    store_free(store);
    return bytes;
}

static json_t *tree_of(const char *text)
{
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json)
        die("jansson refused a document");
    return json;
}

static double tree_bytes(void)
{
    enum { DOCUMENTS = TYPES + 3 };
    json_t **trees = calloc((size_t)TREES * DOCUMENTS, sizeof *trees);
    size_t before = used_bytes(), count = 0;
    if (!trees)
        die("no memory");
    for (int i = 0; i < TREES; i++) {
        for (size_t k = 0; k < TYPES; k++)
            trees[count++] = tree_of(types[k].data);
        trees[count++] = tree_of(reported);
        trees[count++] = tree_of(desired);
        trees[count++] = tree_of("{\"rate_hz\":20}");
    }
    double bytes = (double)(used_bytes() - before) / TREES;
    while (count > 0)
        json_decref(trees[--count]);
    free(trees);
    return bytes;
}

int main(void)
{
    parser = doc_parser_new();
    if (!parser)
        die("no memory");
    make_messages();
    double limit = bench_parse();
    bench_fold(FEW, limit);
    bench_fold(MANY, limit);
    print("memory.vehicle", vehicle_bytes(), "bytes", tree_bytes());
    doc_parser_free(parser);
    return 0;
}
