/* Following TWIN_LAST: what other hubs changed, and what they left unfinished (hub/registry.h). */
#include "hub/registry_impl.h"

#include "hub/clock.h"
#include "hub/log.h"
#include "hub/streams.h"

#include <stdlib.h>
#include <string.h>

enum {
    NEXT_MS = 100,
    RETRY_MS = 250,
    STOP_STEP_MS = 5,
    SWEEP_AFTER_MS = 3000, /* the hub that retires a vehicle deletes its keys within that */
};

/* Positions of TWIN_LAST, too, are part of what a reader has seen. */
static void reposition(struct registry *registry)
{
    store_lock(registry->store);
    store_reposition(
        registry->store, STREAM_LAST,
        (struct position){.epoch_ns = registry->epoch_ns, .seq = registry->next_seq - 1});
    store_unlock(registry->store);
}

static void advance(struct registry *registry, const struct bus_msg *msg)
{
    registry->next_seq = msg->stream_seq + 1;
    store_lock(registry->store);
    store_advance(registry->store, STREAM_LAST,
                  (struct position){registry->epoch_ns, msg->stream_seq, msg->received_ns});
    store_unlock(registry->store);
}

/* The bucket is another one: nothing that the entries were known to hold is there. */
static void begin_anew(struct registry *registry, const struct bus_stream_info *info)
{
    log_warn(
        "registry.bucket_begins_anew", "last_seq", LOG_INT(info->last_seq), "detail",
        "TWIN_LAST was made anew, or came back without its tail; every entry is written again");
    store_lock(registry->store);
    uint32_t count = store_count(registry->store);
    for (uint32_t i = 0; i < count; i++) {
        struct vehicle *vehicle = store_vehicle_at(registry->store, i);
        vehicle->last_kv_seq = 0;
        vehicle->persisted = 0;
    }
    store_reposition(registry->store, STREAM_LAST, (struct position){.epoch_ns = info->created_ns});
    store_unlock(registry->store);
    registry->epoch_ns = info->created_ns;
    registry->next_seq = 1;
    reposition(registry);
}

static bool open_consumer(struct registry *registry)
{
    struct bus_consume what = {.stream = streams_name(TWIN_LAST),
                               .from = BUS_FROM_SEQ,
                               .seq = registry->next_seq,
                               .epoch_ns = registry->epoch_ns,
                               .headers_only = true};
    struct bus_stream_info info;
    struct bus_error error;
    enum bus_status status = bus_consume(registry->bus, &what, &registry->consumer, &info, &error);
    if (status == BUS_EPOCH)
        begin_anew(registry, &info);
    return status == BUS_OK;
}

/* The keys of a vehicle that somebody else has retired, looked at when he should be done. */
static void remember_sweep(struct registry *registry, const struct registry_entry *entry)
{
    struct sweep *sweep = malloc(sizeof *sweep);
    if (!sweep)
        return; /* its values stay buried, only in the bucket they can be seen */
    memcpy(sweep->vid, entry->vid.at, entry->vid.size);
    sweep->vid[entry->vid.size] = '\0';
    sweep->retired_ns = entry->received_ns;
    sweep->due_ms = clock_mono_ms() + SWEEP_AFTER_MS;
    sweep->next = NULL;
    *registry->sweeps_end = sweep;
    registry->sweeps_end = &sweep->next;
}

static void sweep_due(struct registry *registry)
{
    struct sweep *sweep = registry->sweeps;
    struct bus_error error;
    uint64_t last_seq;
    if (!sweep || clock_mono_ms() < sweep->due_ms)
        return;
    if (registry_delete_keys(registry, sweep->vid, sweep->retired_ns, &last_seq, &error) !=
        BUS_OK) {
        sweep->due_ms = clock_mono_ms() + SWEEP_AFTER_MS;
        return;
    }
    registry->sweeps = sweep->next;
    if (!registry->sweeps)
        registry->sweeps_end = &registry->sweeps;
    free(sweep);
}

static void read_one(struct registry *registry)
{
    struct bus_msg msg;
    struct registry_entry entry;
    switch (bus_next(registry->consumer, NEXT_MS, &msg)) {
    case BUS_OK:
        if (registry_entry_of(&msg, &entry)) {
            while (!registry_take(registry, &entry) && !atomic_load(&registry->stop))
                clock_pause_ms(RETRY_MS);
            if (entry.change == REGISTRY_RETIRED)
                remember_sweep(registry, &entry);
        }
        advance(registry, &msg);
        store_lock(registry->store);
        store_advance(registry->store, STREAM_LAST,
                      (struct position){registry->epoch_ns, msg.stream_seq, msg.received_ns});
        store_unlock(registry->store);
        bus_msg_done(&msg);
        return;
    case BUS_TIMEOUT:
    case BUS_DISCONNECTED:
        return;
    default:
        bus_consumer_close(registry->consumer);
        registry->consumer = NULL;
    }
}

static void *run(void *closure)
{
    struct registry *registry = closure;
    while (!atomic_load(&registry->stop)) {
        if (registry->consumer || open_consumer(registry))
            read_one(registry);
        else
            clock_pause_ms(RETRY_MS);
        sweep_due(registry);
    }
    bus_consumer_close(registry->consumer);
    return NULL;
}

/* ---- starting and stopping ---- */

void registry_free(struct registry *registry)
{
    if (!registry)
        return;
    while (registry->sweeps) {
        struct sweep *next = registry->sweeps->next;
        free(registry->sweeps);
        registry->sweeps = next;
    }
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

/* Retirements that are not in their entries yet: the hub that made them may not have come to delete
 * the keys. Before the other lanes start these alone are due to be written. */
static void remember_unfinished(struct registry *registry)
{
    store_lock(registry->store);
    uint32_t count = store_count(registry->store);
    for (uint32_t i = 0; i < count; i++) {
        struct vehicle *vehicle = store_vehicle_at(registry->store, i);
        const struct twin *twin = store_current(vehicle);
        if (twin->retired_ns == TIMESTAMP_NONE || vehicle->changed == vehicle->persisted)
            continue;
        struct registry_entry entry = {.vid = {vehicle->vid, strlen(vehicle->vid)},
                                       .received_ns = twin->retired_ns};
        remember_sweep(registry, &entry);
    }
    store_unlock(registry->store);
}

struct registry *registry_start(const struct config *config, struct bus *bus, struct store *store,
                                struct recorder *recorder, struct position from)
{
    struct registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return NULL;
    registry->config = config;
    registry->open = config->vehicles.admission == ADMISSION_OPEN;
    registry->bus = bus;
    registry->store = store;
    registry->recorder = recorder;
    registry->epoch_ns = from.epoch_ns;
    registry->next_seq = from.seq + 1;
    registry->sweeps_end = &registry->sweeps;
    pthread_mutex_init(&registry->lock, NULL);
    remember_unfinished(registry);
    store_lock(store);
    store_reposition(store, STREAM_LAST, from);
    store_unlock(store);
    if (pthread_create(&registry->thread, NULL, run, registry) != 0) {
        registry_free(registry);
        return NULL;
    }
    return registry;
}

void registry_stop(struct registry *registry)
{
    if (!registry)
        return;
    atomic_store(&registry->stop, true);
    pthread_join(registry->thread, NULL);
    while (atomic_load(&registry->users) > 0) /* each waits for NATS, with a deadline */
        clock_pause_ms(STOP_STEP_MS);
}
