/* Track records: what they hold, when there is none, and that hubs agree on their ids. */
#include "hub/track.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SLOT (T0 + 7 * NS_PER_S)

static const char position_text[] = "{\"lat\":59.910000,\"lon\":10.7}";

static struct twin *twin_with(const char *type, const char *data, struct twin *old)
{
    const struct state *replaced = NULL;
    struct state *state = state_of(type, version_of("b7", 12, T0), T0 + NS_PER_S, data);
    struct twin *twin = twin_with_state(old, state, &replaced);
    assert_non_null(twin);
    assert_null(replaced);
    free(old);
    return twin;
}

static struct twin *online(const char *vid)
{
    struct twin *twin = twin_new(vid);
    assert_non_null(twin);
    twin->presence = (struct presence){PRESENCE_ONLINE, T0, T0};
    return twin;
}

static void track_has_position_mode_and_battery_as_they_were_sent(void **state)
{
    (void)state;
    struct buf data = BUF_INIT;
    struct record record;
    struct twin *twin = twin_with("position", position_text, online("VID-1"));
    twin = twin_with("battery", "{\"remaining\":0.5}", twin);
    twin = twin_with("mode", "{\"mode\":\"AUTO\",\"armed\":true}", twin);
    twin = twin_with("attitude", "{\"roll\":0}", twin);
    assert_true(track_record(twin, SLOT, &data, &record));
    assert_int_equal(record.kind, RECORD_TRACK);
    assert_memory_equal(record.vid.at, "VID-1", 5);
    assert_memory_equal(record.boot.at, "b7", 2);
    assert_int_equal(record.vehicle_seq, 12);
    assert_true(record.timestamp_ns == T0);
    assert_true(record.received_ns == SLOT);
    assert_string_equal(buf_cstr(&data), "{\"position\":{\"lat\":59.910000,\"lon\":10.7},"
                                         "\"mode\":{\"mode\":\"AUTO\",\"armed\":true},"
                                         "\"battery\":{\"remaining\":0.5},"
                                         "\"received\":{\"position\":\"2026-01-15T10:30:01.000Z\","
                                         "\"mode\":\"2026-01-15T10:30:01.000Z\","
                                         "\"battery\":\"2026-01-15T10:30:01.000Z\"}}");
    assert_true(record.data.at == data.data && record.data.size == data.size_bytes);
    twin_destroy(twin);
    buf_done(&data);
}

static void track_without_a_position_has_what_there_is(void **state)
{
    (void)state;
    struct buf data = BUF_INIT;
    struct record record;
    struct twin *twin = twin_with("battery", "{\"remaining\":0.5}", online("VID-1"));
    assert_true(track_record(twin, SLOT, &data, &record));
    assert_string_equal(buf_cstr(&data),
                        "{\"battery\":{\"remaining\":0.5},"
                        "\"received\":{\"battery\":\"2026-01-15T10:30:01.000Z\"}}");
    twin_destroy(twin);
    buf_done(&data);
}

static void track_is_only_of_online_vehicles_that_have_told_something(void **state)
{
    (void)state;
    struct buf data = BUF_INIT;
    struct record record;
    struct twin *twin = twin_with("attitude", "{\"roll\":0}", online("VID-1"));
    assert_false(track_record(twin, SLOT, &data, &record));
    twin = twin_with("position", position_text, twin);
    assert_true(track_record(twin, SLOT, &data, &record));
    static const enum presence_status others[] = {PRESENCE_STALE, PRESENCE_OFFLINE,
                                                  PRESENCE_UNKNOWN};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        twin->presence.status = others[i];
        assert_false(track_record(twin, SLOT, &data, &record));
    }
    twin->presence.status = PRESENCE_ONLINE;
    twin->hidden = true;
    assert_false(track_record(twin, SLOT, &data, &record));
    twin_destroy(twin);
    buf_done(&data);
}

/* Two hubs may know different things; the record is one. */
static void track_id_is_that_of_vehicle_and_slot(void **state)
{
    (void)state;
    struct buf data = BUF_INIT;
    struct record one, same, later, other;
    struct twin *twin = twin_with("position", position_text, online("VID-1"));
    struct twin *newer = twin_with("position", "{\"lat\":60,\"lon\":11}", online("VID-1"));
    struct twin *neighbour = twin_with("position", position_text, online("VID-11"));
    assert_true(track_record(twin, SLOT, &data, &one));
    assert_true(track_record(newer, SLOT, &data, &same));
    assert_true(track_record(twin, SLOT + NS_PER_S, &data, &later));
    assert_true(track_record(neighbour, SLOT, &data, &other));
    assert_memory_equal(one.id, same.id, RECORD_ID_BYTES);
    assert_memory_not_equal(one.id, later.id, RECORD_ID_BYTES);
    assert_memory_not_equal(one.id, other.id, RECORD_ID_BYTES);
    twin_destroy(twin);
    twin_destroy(newer);
    twin_destroy(neighbour);
    buf_done(&data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(track_has_position_mode_and_battery_as_they_were_sent),
        cmocka_unit_test(track_without_a_position_has_what_there_is),
        cmocka_unit_test(track_is_only_of_online_vehicles_that_have_told_something),
        cmocka_unit_test(track_id_is_that_of_vehicle_and_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
