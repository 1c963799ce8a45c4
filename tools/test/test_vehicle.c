#include "tools/vehicle.h"

#include "twin/timestamp.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct vehicle_setup SETUP = {
    .seed = 7, .home_lat = 59.9, .home_lon = 10.7, .home_alt_m = 20, .endurance_s = 900};

static unsigned seen[VEHICLE_EVENT_COUNT];

static void fly(struct vehicle *vehicle, int64_t seconds)
{
    struct vehicle_event event;
    int64_t end_ns = vehicle->at_ns + seconds * NS_PER_S;
    while (vehicle->at_ns < end_ns) {
        vehicle_advance(vehicle, vehicle->at_ns + NS_PER_S / 10);
        assert_true(vehicle->up_m >= 0 && vehicle->up_m < 200);
        assert_true(hypot(vehicle->vn, vehicle->ve) < 25);
        assert_true(hypot(vehicle->north_m, vehicle->east_m) < 1000);
        assert_true(vehicle->remaining >= 0 && vehicle->remaining <= 1);
        assert_true(fabs(vehicle->roll) < 1 && fabs(vehicle->pitch) < 1);
        assert_true(vehicle->armed || vehicle->up_m == 0);
        while (vehicle_take_event(vehicle, &event))
            seen[event.type]++;
    }
}

static void start(struct vehicle *vehicle)
{
    memset(seen, 0, sizeof seen);
    vehicle_init(vehicle, &SETUP);
}

static void mission_ends_where_it_began(void **state)
{
    (void)state;
    struct vehicle vehicle;
    start(&vehicle);
    vehicle.remaining = 1;
    for (int s = 0; s < 900 && seen[VEHICLE_EVENT_DISARMED] == 0; s++)
        fly(&vehicle, 1);
    assert_int_equal(seen[VEHICLE_EVENT_ARMED], 1);
    assert_int_equal(seen[VEHICLE_EVENT_TAKEOFF], 1);
    assert_int_equal(seen[VEHICLE_EVENT_LANDED], 1);
    assert_int_equal(seen[VEHICLE_EVENT_DISARMED], 1);
    assert_true(seen[VEHICLE_EVENT_WAYPOINT] >= 4);
    assert_true(seen[VEHICLE_EVENT_MODE_CHANGE] >= 2);
    assert_true(hypot(vehicle.north_m, vehicle.east_m) < 10);
    assert_true(vehicle.remaining < 0.9);
}

static void low_battery_brings_it_home(void **state)
{
    (void)state;
    struct vehicle vehicle;
    start(&vehicle);
    vehicle.remaining = 0.27;
    for (int s = 0; s < 600 && seen[VEHICLE_EVENT_DISARMED] == 0; s++)
        fly(&vehicle, 1);
    assert_int_equal(seen[VEHICLE_EVENT_BATTERY_LOW], 1);
    assert_int_equal(seen[VEHICLE_EVENT_FAILSAFE], 1);
    assert_int_equal(seen[VEHICLE_EVENT_LANDED], 1);
}

static void fleet_flies_for_hours(void **state)
{
    (void)state;
    struct vehicle vehicle;
    start(&vehicle);
    fly(&vehicle, 2 * 3600);
    assert_true(seen[VEHICLE_EVENT_TAKEOFF] >= 5);
    assert_true(seen[VEHICLE_EVENT_LANDED] + 1 >= seen[VEHICLE_EVENT_TAKEOFF]);
}

static void same_seed_is_the_same_flight(void **state)
{
    (void)state;
    struct vehicle a, b;
    struct buf text = BUF_INIT, again = BUF_INIT;
    start(&a);
    fly(&a, 100);
    vehicle_write_position(&text, &a);
    start(&b);
    fly(&b, 100);
    vehicle_write_position(&again, &b);
    assert_string_equal(buf_cstr(&text), buf_cstr(&again));
    buf_done(&text);
    buf_done(&again);
}

static void told_mode_is_kept_until_it_is_withdrawn(void **state)
{
    (void)state;
    struct vehicle vehicle;
    start(&vehicle);
    vehicle.remaining = 1;
    fly(&vehicle, 40);
    unsigned changes = vehicle.changes;
    assert_true(vehicle_set_mode(&vehicle, "LOITER"));
    assert_true(vehicle.changes > changes);
    fly(&vehicle, 10);
    double north_m = vehicle.north_m, east_m = vehicle.east_m;
    fly(&vehicle, 20);
    assert_true(hypot(vehicle.north_m - north_m, vehicle.east_m - east_m) < 1);
    assert_string_equal(vehicle_mode_name(vehicle.mode), "LOITER");
    vehicle_release_mode(&vehicle);
    assert_string_equal(vehicle_mode_name(vehicle.mode), "AUTO");
    assert_false(vehicle_set_mode(&vehicle, "HYPERSPACE"));
    assert_false(vehicle_set_cruise(&vehicle, -1));
    assert_false(vehicle_set_cruise_alt(&vehicle, 1e9));
}

static void told_mission_stays_its_mission(void **state)
{
    (void)state;
    struct vehicle vehicle;
    start(&vehicle);
    vehicle.remaining = 1;
    assert_true(vehicle_set_mission(&vehicle, "M-7"));
    for (int s = 0; s < 900 && seen[VEHICLE_EVENT_TAKEOFF] < 2; s++)
        fly(&vehicle, 1);
    assert_int_equal(seen[VEHICLE_EVENT_TAKEOFF], 2);
    assert_string_equal(vehicle.mission, "M-7");
}

static void everything_it_says_is_an_object_in_range(void **state)
{
    (void)state;
    void (*const writers[])(struct buf *, struct vehicle *) = {
        vehicle_write_position, vehicle_write_attitude, vehicle_write_battery, vehicle_write_mode,
        vehicle_write_health};
    struct vehicle vehicle;
    start(&vehicle);
    for (int i = 0; i < 500; i++) {
        fly(&vehicle, 1);
        for (size_t w = 0; w < sizeof writers / sizeof *writers; w++) {
            struct buf text = BUF_INIT;
            writers[w](&text, &vehicle);
            json_t *json = json_loads(buf_cstr(&text), 0, NULL);
            assert_true(json_is_object(json));
            double heading = json_number_value(json_object_get(json, "heading"));
            double cpu = json_number_value(json_object_get(json, "cpu_load"));
            double remaining = json_number_value(json_object_get(json, "remaining"));
            assert_true(heading >= 0 && heading < 360);
            assert_true(cpu >= 0 && cpu <= 1);
            assert_true(remaining >= 0 && remaining <= 1);
            json_decref(json);
            buf_done(&text);
        }
    }
    for (int i = 0; i < VEHICLE_EVENT_COUNT; i++) {
        struct buf text = BUF_INIT;
        struct vehicle_event event = {.type = (enum vehicle_event_type)i};
        vehicle_write_event(&text, &event);
        json_t *json = json_loads(buf_cstr(&text), 0, NULL);
        assert_true(json_is_object(json));
        assert_non_null(json_object_get(json, "severity"));
        json_decref(json);
        buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mission_ends_where_it_began),
        cmocka_unit_test(low_battery_brings_it_home),
        cmocka_unit_test(fleet_flies_for_hours),
        cmocka_unit_test(same_seed_is_the_same_flight),
        cmocka_unit_test(told_mode_is_kept_until_it_is_withdrawn),
        cmocka_unit_test(told_mission_stays_its_mission),
        cmocka_unit_test(everything_it_says_is_an_object_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
