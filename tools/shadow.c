#include "tools/shadow.h"

#include "tools/rng.h"
#include "twin/hash.h"

#include <stdlib.h>
#include <string.h>

#define SHADOW_BUCKET_PREFIX "$KV.TWIN_SHADOW."
#define SHADOW_STREAM "KV_TWIN_SHADOW"
#define SHADOW_ACK_TIMEOUT_NS (3 * NS_PER_S)
#define SHADOW_READ_RETRY_NS (2 * NS_PER_S)
/* By then what a new consumer finds has long come; from there on the watch has it all. */
#define SHADOW_READ_FOR_NS (10 * NS_PER_S)
#define SHADOW_TAG (UINT64_C(1) << 63)
#define SHADOW_TURN_MASK UINT32_C(0x7fffffff)

struct shadow_vehicle {
    json_t *settings; /* what it took over from desired */
    json_t *wishes;   /* the newest desired */
    json_t *followed; /* the desired it has followed last */
    int64_t follow_at_ns;
    bool queued, under_way, must_write;
    uint32_t turn; /* of the write under way */
    int64_t sent_ns;
    uint64_t written; /* a hash of the last text written */
};

struct shadow {
    struct shadow_config config;
    struct shadow_vehicle *vehicles;
    uint32_t *queue; /* those with something to write; a ring, each at most once */
    uint32_t queue_first, queue_count, count, under_way;
    uint32_t *following; /* those with wishes not yet followed */
    uint32_t following_count;
    struct rng rng;
    struct sim_sub *watch, *read;
    int64_t read_again_ns; /* 0: nothing to read */
    int64_t read_end_ns;
    int64_t now_ns;
    struct buf subject, text;
};

struct shadow *shadow_new(const struct shadow_config *config, struct sim_error *error)
{
    struct shadow *shadow = calloc(1, sizeof *shadow);
    if (!shadow)
        return NULL;
    shadow->config = *config;
    shadow->count = roster_count(config->roster);
    rng_init(&shadow->rng, config->seed);
    shadow->vehicles = calloc(shadow->count + 1, sizeof *shadow->vehicles);
    shadow->queue = calloc(shadow->count + 1, sizeof *shadow->queue);
    shadow->following = calloc(shadow->count + 1, sizeof *shadow->following);
    bool ok = shadow->vehicles && shadow->queue && shadow->following;
    for (uint32_t i = 0; ok && i < shadow->count; i++) {
        shadow->vehicles[i].settings = json_object();
        shadow->vehicles[i].followed = json_object();
        ok = shadow->vehicles[i].settings && shadow->vehicles[i].followed;
    }
    if (ok && !config->ignore_desired) {
        shadow->watch = sim_sub_open(config->bus, SHADOW_BUCKET_PREFIX ">", error);
        shadow->read_again_ns = 1;
        ok = shadow->watch != NULL;
    }
    if (!ok) {
        shadow_free(shadow);
        return NULL;
    }
    return shadow;
}

void shadow_free(struct shadow *shadow)
{
    if (!shadow)
        return;
    for (uint32_t i = 0; shadow->vehicles && i < shadow->count; i++) {
        json_decref(shadow->vehicles[i].settings);
        json_decref(shadow->vehicles[i].wishes);
        json_decref(shadow->vehicles[i].followed);
    }
    sim_sub_close(shadow->watch);
    sim_sub_close(shadow->read);
    free(shadow->vehicles);
    free(shadow->queue);
    free(shadow->following);
    buf_done(&shadow->subject);
    buf_done(&shadow->text);
    free(shadow);
}

void shadow_changed(struct shadow *shadow, uint32_t vehicle)
{
    if (shadow->vehicles[vehicle].queued)
        return;
    shadow->vehicles[vehicle].queued = true;
    shadow->queue[(shadow->queue_first + shadow->queue_count++) % shadow->count] = vehicle;
}

bool shadow_settled(const struct shadow *shadow)
{
    return shadow->queue_count == 0 && shadow->under_way == 0;
}

/* ---- writing reported ---- */

static void put_key(struct shadow *shadow, const char *vid, const char *part)
{
    char c = shadow->config.dots ? '.' : '/';
    buf_reset(&shadow->subject);
    buf_addf(&shadow->subject, "%sfleet%c%s%cveh%c%s%c%s", SHADOW_BUCKET_PREFIX, c,
             shadow->config.env, c, c, vid, c, part);
}

static bool compose_reported(struct shadow *shadow, uint32_t vehicle)
{
    json_t *reported = json_deep_copy(shadow->vehicles[vehicle].settings);
    char *text = NULL;
    if (reported) {
        shadow->config.facts(shadow->config.closure, vehicle, reported);
        text = json_dumps(reported, JSON_COMPACT | JSON_REAL_PRECISION(15));
    }
    buf_reset(&shadow->text);
    if (text)
        buf_adds(&shadow->text, text);
    free(text);
    json_decref(reported);
    return shadow->text.size_bytes > 0;
}

static uint64_t tag_of(uint32_t vehicle, uint32_t turn)
{
    return SHADOW_TAG | (uint64_t)(turn & SHADOW_TURN_MASK) << 32 | vehicle;
}

/* False: not now. */
static bool write_reported(struct shadow *shadow, uint32_t vehicle)
{
    struct shadow_vehicle *one = &shadow->vehicles[vehicle];
    if (!compose_reported(shadow, vehicle))
        return true;
    uint64_t hash = hash_of(shadow->text.data, shadow->text.size_bytes);
    if (hash == one->written && !one->must_write)
        return true;
    put_key(shadow, roster_vid(shadow->config.roster, vehicle), "reported");
    if (!sim_bus_store(shadow->config.bus, buf_cstr(&shadow->subject), shadow->text.data,
                       shadow->text.size_bytes, NULL, 0, tag_of(vehicle, ++one->turn)))
        return false;
    one->written = hash;
    one->must_write = false;
    one->under_way = true;
    one->sent_ns = shadow->now_ns;
    shadow->under_way++;
    shadow->config.counts->reported_writes++;
    return true;
}

static void write_queued(struct shadow *shadow)
{
    /* one look at each: whose write is under way goes to the end of the queue */
    for (uint32_t looks = shadow->queue_count; looks > 0; looks--) {
        uint32_t vehicle = shadow->queue[shadow->queue_first];
        struct shadow_vehicle *one = &shadow->vehicles[vehicle];
        if (shadow->under_way >= SHADOW_WINDOW || !sim_bus_connected(shadow->config.bus))
            return;
        bool again = one->under_way || !write_reported(shadow, vehicle);
        shadow->queue_first = (shadow->queue_first + 1) % shadow->count;
        shadow->queue_count--;
        one->queued = false;
        if (again)
            shadow_changed(shadow, vehicle);
    }
}

static void write_again(struct shadow *shadow, uint32_t vehicle)
{
    struct shadow_vehicle *one = &shadow->vehicles[vehicle];
    one->under_way = false;
    one->must_write = true;
    shadow->under_way--;
    shadow_changed(shadow, vehicle);
}

static void check_answers(struct shadow *shadow)
{
    for (uint32_t i = 0; shadow->under_way > 0 && i < shadow->count; i++)
        if (shadow->vehicles[i].under_way &&
            shadow->now_ns - shadow->vehicles[i].sent_ns > SHADOW_ACK_TIMEOUT_NS)
            write_again(shadow, i);
}

bool shadow_owns(uint64_t tag)
{
    return tag != SIM_TAG_UNKNOWN && (tag & SHADOW_TAG) != 0;
}

void shadow_answered(struct shadow *shadow, uint64_t tag, bool stored)
{
    uint32_t vehicle = (uint32_t)tag;
    if (vehicle >= shadow->count || !shadow->vehicles[vehicle].under_way ||
        tag_of(vehicle, shadow->vehicles[vehicle].turn) != tag)
        return;
    if (!stored)
        return; /* its time limit makes the pause before the next */
    shadow->vehicles[vehicle].under_way = false;
    shadow->under_way--;
    shadow->config.counts->reported_acknowledged++;
}

void shadow_reconnected(struct shadow *shadow)
{
    for (uint32_t i = 0; i < shadow->count; i++)
        if (shadow->vehicles[i].under_way)
            write_again(shadow, i);
    if (shadow->watch)
        shadow->read_again_ns = 1;
}

/* ---- following desired ---- */

/* The vehicle whose `desired` this subject is. */
static uint32_t vehicle_of(struct shadow *shadow, const char *subject)
{
    char c = shadow->config.dots ? '.' : '/';
    put_key(shadow, "", "");
    size_t head = shadow->subject.size_bytes - 1; /* up to the vid: without the last separator */
    size_t size = strlen(subject), tail = strlen("desired") + 1;
    if (size <= head + tail || memcmp(subject, buf_cstr(&shadow->subject), head) != 0 ||
        subject[size - tail] != c || strcmp(subject + size - tail + 1, "desired") != 0)
        return ROSTER_NONE;
    return roster_find(shadow->config.roster, subject + head, size - tail - head);
}

static void take_desired(struct shadow *shadow, const struct sim_msg *msg)
{
    uint32_t vehicle = vehicle_of(shadow, msg->subject);
    if (vehicle == ROSTER_NONE)
        return;
    struct shadow_vehicle *one = &shadow->vehicles[vehicle];
    json_t *desired = msg->deleted || msg->size == 0
                          ? json_object()
                          : json_loadb(msg->data, msg->size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(desired) ||
        json_equal(desired, one->wishes ? one->wishes : one->followed)) {
        json_decref(desired);
        return;
    }
    shadow->config.counts->desired_seen++;
    if (!one->wishes) {
        one->follow_at_ns = shadow->now_ns + (int64_t)((double)shadow->config.follow_delay_ns *
                                                       rng_between(&shadow->rng, 0.5, 1.5));
        shadow->following[shadow->following_count++] = vehicle;
    }
    json_decref(one->wishes);
    one->wishes = desired;
}

static bool key_known(const struct shadow *shadow, const char *key)
{
    const char *at = shadow->config.known_keys;
    size_t key_bytes = strlen(key);
    if (!at)
        return true;
    for (;;) {
        size_t size = strcspn(at, ",");
        if (size == key_bytes && memcmp(at, key, size) == 0)
            return true;
        if (at[size] == '\0')
            return false;
        at += size + 1;
    }
}

static void follow(struct shadow *shadow, uint32_t vehicle)
{
    struct shadow_vehicle *one = &shadow->vehicles[vehicle];
    const char *key;
    json_t *value;
    bool done = false, ignored = false;

    json_object_foreach(one->followed, key, value) if (!json_object_get(one->wishes, key))
        shadow->config.follow(shadow->config.closure, vehicle, key, NULL);
    json_object_foreach(one->wishes, key, value)
    {
        enum shadow_wish wish = SHADOW_IGNORED;
        if (key_known(shadow, key))
            wish = shadow->config.follow(shadow->config.closure, vehicle, key, value);
        if (wish == SHADOW_COPY)
            json_object_set_new(one->settings, key, json_deep_copy(value));
        done = done || wish != SHADOW_IGNORED;
        ignored = ignored || wish == SHADOW_IGNORED;
    }
    shadow->config.counts->desired_followed += done;
    shadow->config.counts->desired_ignored += ignored;
    json_decref(one->followed);
    one->followed = one->wishes;
    one->wishes = NULL;
    shadow_changed(shadow, vehicle);
}

static void follow_due(struct shadow *shadow)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < shadow->following_count; i++) {
        uint32_t vehicle = shadow->following[i];
        if (shadow->vehicles[vehicle].follow_at_ns <= shadow->now_ns)
            follow(shadow, vehicle);
        else
            shadow->following[kept++] = vehicle;
    }
    shadow->following_count = kept;
}

/* Reads the present `desired` where that is due; a request without an answer is made again. */
static void read_present(struct shadow *shadow)
{
    struct sim_error error;
    if (shadow->read_again_ns == 0 && shadow->read && shadow->now_ns > shadow->read_end_ns) {
        sim_sub_close(shadow->read);
        shadow->read = NULL;
    }
    if (shadow->read_again_ns == 0 || shadow->now_ns < shadow->read_again_ns ||
        !sim_bus_connected(shadow->config.bus))
        return;
    sim_sub_close(shadow->read);
    shadow->read =
        sim_sub_open_last(shadow->config.bus, SHADOW_STREAM, SHADOW_BUCKET_PREFIX ">", &error);
    shadow->read_again_ns = shadow->now_ns + SHADOW_READ_RETRY_NS;
    shadow->read_end_ns = shadow->now_ns + SHADOW_READ_FOR_NS;
}

static void poll(struct shadow *shadow)
{
    struct sim_msg msg;
    while (shadow->watch && sim_sub_next(shadow->watch, &msg)) {
        take_desired(shadow, &msg);
        sim_msg_done(&msg);
    }
    while (shadow->read && sim_sub_next(shadow->read, &msg)) {
        bool of_bucket =
            strncmp(msg.subject, SHADOW_BUCKET_PREFIX, strlen(SHADOW_BUCKET_PREFIX)) == 0;
        if (of_bucket)
            take_desired(shadow, &msg);
        else if (!memmem(msg.data, msg.size, "\"error\"", strlen("\"error\"")))
            shadow->read_again_ns = 0; /* the consumer is there: what it has comes by itself */
        sim_msg_done(&msg);
    }
}

void shadow_tick(struct shadow *shadow, int64_t now_ns)
{
    shadow->now_ns = now_ns;
    read_present(shadow);
    poll(shadow);
    follow_due(shadow);
    check_answers(shadow);
    write_queued(shadow);
}
