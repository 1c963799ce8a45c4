/* vehicle: what it does when a command tells it to. */
#include "tools/geo.h"
#include "tools/vehicle.h"

#include "twin/geo.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct vehicle_setup setup = {
    .seed = 7, .home_lat = 59.91, .home_lon = 10.75, .home_alt_m = 20, .endurance_s = 900};

static void start(struct vehicle *vehicle)
{
    vehicle_init(vehicle, &setup);
    vehicle->remaining = 1;
}

static void fly(struct vehicle *vehicle, double seconds)
{
    for (; seconds > 0; seconds -= 1)
        vehicle_advance(vehicle, vehicle->at_ns + NS_PER_S);
}

static void fly_until_done(struct vehicle *vehicle)
{
    for (int s = 0; s < 300 && !vehicle_order_done(vehicle); s++)
        fly(vehicle, 1);
    assert_true(vehicle_order_done(vehicle));
}

/* The refusal's text, NULL where it obeys. */
static const char *tell(struct vehicle *vehicle, const char *type, const char *params,
                        enum vehicle_answer expected)
{
    struct doc_parser *parser = doc_parser_new();
    struct vehicle_refusal refusal = {NULL, false};
    struct doc_ref root;
    assert_non_null(parser);
    assert_int_equal(doc_parse(parser, params, strlen(params),
                               (struct doc_limits){.max_bytes = 4096, .max_depth = 8}, &root),
                     DOC_OK);
    assert_int_equal(vehicle_order(vehicle, type, root, &refusal), expected);
    assert_int_equal(refusal.error == NULL, expected != VEHICLE_REFUSES);
    doc_parser_free(parser);
    return refusal.error;
}

static void order_takeoff_climbs_to_the_altitude_and_stays(void **state)
{
    (void)state;
    struct vehicle vehicle;
    start(&vehicle);
    tell(&vehicle, "takeoff", "{\"alt\":15}", VEHICLE_BEGINS);
    assert_true(vehicle.armed);
    assert_int_equal(vehicle.mode, VEHICLE_MODE_GUIDED);
    assert_false(vehicle_order_done(&vehicle));
    fly_until_done(&vehicle);
    fly(&vehicle, 60);
    assert_true(vehicle.up_m > 13 && vehicle.up_m < 18);
    assert_string_equal(tell(&vehicle, "takeoff", "{\"alt\":15}", VEHICLE_REFUSES),
                        "it is in the air already");
}

static void order_goto_ends_at_the_place(void **state)
{
    (void)state;
    struct vehicle vehicle;
    start(&vehicle);
    assert_string_equal(
        tell(&vehicle, "goto", "{\"lat\":59.911,\"lon\":10.751,\"alt\":30}", VEHICLE_REFUSES),
        "it is on the ground");
    tell(&vehicle, "takeoff", "{\"alt\":15}", VEHICLE_BEGINS);
    fly_until_done(&vehicle);
    tell(&vehicle, "goto", "{\"lat\":59.911,\"lon\":10.751,\"alt\":30}", VEHICLE_BEGINS);
    assert_false(vehicle_order_done(&vehicle));
    fly_until_done(&vehicle);
    fly(&vehicle, 30);
    double lat = geo_lat(vehicle.home_lat, vehicle.north_m);
    double lon = geo_lon(vehicle.home_lat, vehicle.home_lon, vehicle.east_m);
    assert_true(geo_distance_m(lat, lon, 59.911, 10.751) < 5);
    assert_true(vehicle.up_m > 28 && vehicle.up_m < 32);
    assert_string_equal(
        tell(&vehicle, "goto", "{\"lat\":10,\"lon\":10,\"alt\":30}", VEHICLE_REFUSES),
        "it is too far from home");
}

static void order_rtl_comes_home_and_stays_there(void **state)
{
    (void)state;
    struct vehicle vehicle;
    start(&vehicle);
    fly(&vehicle, 60); /* a mission of its own */
    assert_true(vehicle_in_the_air(&vehicle));
    tell(&vehicle, "rtl", "{}", VEHICLE_BEGINS);
    assert_int_equal(vehicle.mode, VEHICLE_MODE_RTL);
    assert_false(vehicle_order_done(&vehicle));
    fly_until_done(&vehicle);
    assert_false(vehicle.armed);
    assert_true(geo_distance_m(geo_lat(0, vehicle.north_m), geo_lon(0, 0, vehicle.east_m), 0, 0) <
                10);
    fly(&vehicle, 300);
    assert_false(vehicle.armed); /* it was told to be home */
    tell(&vehicle, "mission.start", "{}", VEHICLE_DOES);
    fly(&vehicle, 30);
    assert_true(vehicle_in_the_air(&vehicle));
}

static void order_land_and_hold_do_so_where_it_is(void **state)
{
    (void)state;
    struct vehicle vehicle;
    start(&vehicle);
    fly(&vehicle, 60);
    tell(&vehicle, "hold", "{}", VEHICLE_DOES);
    assert_int_equal(vehicle.mode, VEHICLE_MODE_LOITER);
    fly(&vehicle, 10);
    double north_m = vehicle.north_m, up_m = vehicle.up_m;
    fly(&vehicle, 60);
    assert_true(vehicle.north_m - north_m < 2 && north_m - vehicle.north_m < 2);
    assert_true(vehicle.up_m - up_m < 2 && up_m - vehicle.up_m < 2);
    tell(&vehicle, "land", "{}", VEHICLE_BEGINS);
    fly_until_done(&vehicle);
    assert_true(vehicle.north_m - north_m < 4 && north_m - vehicle.north_m < 4);
    assert_false(vehicle.armed);
    tell(&vehicle, "land", "{}", VEHICLE_BEGINS); /* as it has */
    assert_true(vehicle_order_done(&vehicle));
}

static void order_arm_and_disarm_mind_where_it_is(void **state)
{
    (void)state;
    struct vehicle vehicle;
    start(&vehicle);
    tell(&vehicle, "arm", "{}", VEHICLE_DOES);
    assert_true(vehicle.armed);
    fly(&vehicle, 60);
    assert_true(vehicle.armed && !vehicle_in_the_air(&vehicle)); /* it waits for more */
    tell(&vehicle, "disarm", "{}", VEHICLE_DOES);
    assert_false(vehicle.armed);
    tell(&vehicle, "takeoff", "{\"alt\":15}", VEHICLE_BEGINS);
    fly_until_done(&vehicle);
    assert_string_equal(tell(&vehicle, "arm", "{}", VEHICLE_REFUSES),
                        "it is in the air, and armed");
    assert_string_equal(tell(&vehicle, "disarm", "{}", VEHICLE_REFUSES), "it is in the air");
    tell(&vehicle, "disarm", "{\"force\":true}", VEHICLE_DOES);
    assert_false(vehicle.armed);
    assert_true(vehicle.up_m <= 0);
}

static void order_of_settings_moves_nothing(void **state)
{
    (void)state;
    struct vehicle vehicle;
    start(&vehicle);
    fly(&vehicle, 60);
    enum vehicle_phase phase = vehicle.phase;
    tell(&vehicle, "param.set", "{\"name\":\"cruise_speed\",\"value\":9.5}", VEHICLE_NOTES);
    assert_true(vehicle.cruise_m_s > 9.4);
    assert_string_equal(
        tell(&vehicle, "param.set", "{\"name\":\"cruise_alt\",\"value\":1e6}", VEHICLE_REFUSES),
        "the value is out of range");
    tell(&vehicle, "param.set", "{\"name\":\"colour\",\"value\":1}", VEHICLE_REFUSES);
    tell(&vehicle, "mission.upload", "{\"mission_id\":\"m-9\",\"items\":[]}", VEHICLE_NOTES);
    assert_string_equal(vehicle.mission, "m-9");
    assert_int_equal(vehicle.phase, phase);
    tell(&vehicle, "set_mode", "{\"mode\":\"LOITER\"}", VEHICLE_DOES);
    assert_int_equal(vehicle.phase, PHASE_LOITER);
    assert_string_equal(tell(&vehicle, "set_mode", "{\"mode\":\"WARP\"}", VEHICLE_REFUSES),
                        "it has no such mode");
    assert_string_equal(tell(&vehicle, "paint", "{}", VEHICLE_REFUSES), "it knows no such command");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_takeoff_climbs_to_the_altitude_and_stays),
        cmocka_unit_test(order_goto_ends_at_the_place),
        cmocka_unit_test(order_rtl_comes_home_and_stays_there),
        cmocka_unit_test(order_land_and_hold_do_so_where_it_is),
        cmocka_unit_test(order_arm_and_disarm_mind_where_it_is),
        cmocka_unit_test(order_of_settings_moves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
