/* presence: a change that is on record nowhere must not come about, however little room the
 * recorder has left for it. */
#include "hub/log.h"
#include "hub/presence.h"
#include "hub/state_lane.h"
#include "tests/integration/bus_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { VEHICLES = 100, PLACES = 10, STORE_MS = 10000 };

static struct bus_server server;
static struct bus *bus;
static struct store *store;
static struct recorder *recorder;

static void put_filler(unsigned number, bool expected)
{
    struct record record;
    uint64_t ticket;
    record_init(&record);
    record_id_of(RECORD_SYSTEM, &number, sizeof number, record.id);
    record.kind = RECORD_SYSTEM;
    record.type = (struct slice){"filler", 6};
    record.data = (struct slice){"{}", 2};
    assert_int_equal(recorder_put(recorder, &record, &ticket), expected);
}

static void speak(int vehicle, int seq)
{
    char subject[64], text[128];
    struct bus_error error;
    uint64_t stored;
    snprintf(subject, sizeof subject, "fleet.t.veh.V-%d.state.mode", vehicle);
    int size = snprintf(text, sizeof text,
                        "{\"timestamp\":\"2026-01-15T10:30:00Z\",\"boot\":\"b1\",\"seq\":%d,"
                        "\"data\":{\"mode\":\"RTL\"}}",
                        seq);
    struct bus_store what = {.subject = subject,
                             .data = text,
                             .size = (size_t)size,
                             .expected_last_of_subject = BUS_ANY_SEQ};
    if (bus_store(bus, &what, STORE_MS, &stored, &error) != BUS_OK)
        fail_msg("%s", error.text);
}

static int count_of(enum presence_status status)
{
    int count = 0;
    store_lock(store);
    for (uint32_t i = 0; i < store_count(store); i++)
        count += store_current(store_vehicle_at(store, i))->presence.status == status;
    store_unlock(store);
    return count;
}

static bool is_online(const char *vid)
{
    size_t place = store_enter(store);
    const struct twin *twin = store_find(store, vid);
    bool online = twin && twin->presence.status == PRESENCE_ONLINE;
    store_leave(store, place);
    return online;
}

/* One that is offline. */
static int silent_vehicle(void)
{
    char vid[16];
    for (int i = 0; i < VEHICLES; i++) {
        snprintf(vid, sizeof vid, "V-%d", i);
        size_t place = store_enter(store);
        bool offline = store_find(store, vid)->presence.status == PRESENCE_OFFLINE;
        store_leave(store, place);
        if (offline)
            return i;
    }
    fail_msg("none is offline");
    return -1;
}

static void wait_for_record(const char *subject, const char *type)
{
    struct bus_consume what = {
        .stream = "TWIN_RECORD", .filter = subject, .from = BUS_FROM_SEQ, .seq = 1};
    struct bus_consumer *consumer;
    struct bus_error error;
    bool found = false;
    assert_int_equal(bus_consume(bus, &what, &consumer, NULL, &error), BUS_OK);
    while (!found) {
        struct bus_msg msg = help_next(consumer);
        found = memmem(msg.data, msg.size, type, strlen(type)) != NULL;
        bus_msg_done(&msg);
    }
    bus_consumer_close(consumer);
}

static void a_fleet_falls_silent_and_speaks_while_the_recorder_is_full(void **state)
{
    (void)state;
    static char env[] = "t", region[] = "r";
    struct config config = {.env = env, .region = region};
    struct broker_clock clock;
    char vid[16], subject[64];
    config.nats.limits.payload_bytes = ENVELOPE_MAX_BYTES_DEFAULT;
    config.vehicles.max_clock_skew_s = 300;
    config.presence.stale_after_s = 0.5;
    config.presence.offline_after_s = 1;
    unsigned fillers = 0;
    while (fillers < RECORDER_QUEUE_MAX - RECORDER_RESERVE - PLACES)
        put_filler(fillers++, true);
    for (int i = 0; i < VEHICLES; i++)
        speak(i, 1);
    broker_clock_init(&clock, store);
    struct presence_lane *presence = presence_lane_start(&config, bus, store, &clock, recorder);
    struct state_lane *lane = state_lane_start(&config, bus, store, recorder, NULL);
    assert_non_null(presence);
    assert_non_null(lane);
    presence_lane_listen(presence, lane);

    /* All fall silent: as many are offline as there are places for their records. */
    int64_t until_ms = help_now_ms() + HELP_WAIT_MS;
    while (count_of(PRESENCE_OFFLINE) == 0) {
        assert_true(help_now_ms() < until_ms);
        help_nap();
    }
    assert_int_equal(count_of(PRESENCE_OFFLINE), PLACES);
    assert_int_equal(recorder_queued(recorder), RECORDER_QUEUE_MAX - RECORDER_RESERVE);

    /* One of them speaks again when there is no place at all. */
    int returning = silent_vehicle();
    while (recorder_queued(recorder) < RECORDER_QUEUE_MAX)
        put_filler(fillers++, true);
    put_filler(fillers, false);
    speak(returning, 2);

    help_stream(bus, "TWIN_RECORD", "fleet.t.hub.r.record.>");
    snprintf(vid, sizeof vid, "V-%d", returning);
    snprintf(subject, sizeof subject, "fleet.t.hub.r.record.presence.%s", vid);
    wait_for_record(subject, "\"online\"");
    until_ms = help_now_ms() + HELP_WAIT_MS;
    while (is_online(vid) || count_of(PRESENCE_OFFLINE) < VEHICLES) { /* it fell silent again */
        assert_true(help_now_ms() < until_ms);
        help_nap();
    }
    for (int i = 0; i < VEHICLES; i++) {
        snprintf(subject, sizeof subject, "fleet.t.hub.r.record.presence.V-%d", i);
        wait_for_record(subject, "\"offline\"");
    }
    presence_lane_stop(presence);
    state_lane_stop(lane);
    broker_clock_done(&clock);
}

static int setup(void **state)
{
    (void)state;
    log_setup(LOG_ERROR, false);
    bus_server_start(&server, NULL, NULL);
    bus = help_open(&server, true);
    help_stream(bus, "TWIN_STATE", "fleet.t.veh.*.state.>");
    help_stream(bus, "TWIN_EVENTS", "fleet.t.veh.*.evt.>");
    help_stream(bus, "TWIN_ACK", "fleet.t.veh.*.cmdack.>");
    store = store_new();
    recorder = recorder_new(bus, "t", "r"); /* whose stream is not there yet */
    return store && recorder ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    recorder_free(recorder, STORE_MS);
    store_free(store);
    bus_close(bus, STORE_MS);
    bus_server_done(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fleet_falls_silent_and_speaks_while_the_recorder_is_full,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
