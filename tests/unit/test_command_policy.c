/* command_policy: what blocks a command to one vehicle. */
#include "tests/unit/fault.h"
#include "tests/unit/twin_help.h"
#include "twin/command_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct command_policy policy = {.max_alt_m = 120, .min_battery = 0.15};

/* A twin with these states, `type=json` each. */
static struct twin *twin_with(const char *const *states)
{
    struct twin *twin = twin_new("VID-001");
    assert_non_null(twin);
    twin->presence = presence_heard(twin->presence, T0);
    for (; states && *states; states++) {
        char type[32];
        size_t size = strcspn(*states, "=");
        snprintf(type, sizeof type, "%.*s", (int)size, *states);
        assert_true(
            twin_take(&twin, state_of(type, version_of("b", 1, T0), T0, *states + size + 1)));
    }
    return twin;
}

static enum command_rule judge(const char *type, const char *params, const char *reason,
                               const char *const *states)
{
    struct twin *twin = twin_with(states);
    struct doc *doc = doc_of(params);
    enum command_rule rule =
        command_policy_judge(&policy, slice_of(type), doc_root(doc), reason, twin);
    free(doc);
    twin_destroy(twin);
    return rule;
}

#define STATES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void policy_bounds_the_altitude_of_goto_and_takeoff(void **state)
{
    (void)state;
    assert_int_equal(judge("takeoff", "{\"alt\":120}", NULL, NULL), RULE_NONE);
    assert_int_equal(judge("takeoff", "{\"alt\":120.001}", NULL, NULL), RULE_ALTITUDE);
    assert_int_equal(judge("goto", "{\"lat\":1,\"lon\":1,\"alt\":121}", NULL, NULL), RULE_ALTITUDE);
    assert_int_equal(judge("goto", "{\"lat\":1,\"lon\":1,\"alt\":12}", NULL, NULL), RULE_NONE);
    assert_int_equal(judge("spray", "{\"alt\":121}", NULL, NULL), RULE_NONE);
}

static void policy_keeps_goto_within_the_geofence_and_out_of_its_holes(void **state)
{
    (void)state;
    static const char fence[] =
        "{\"type\":\"MultiPolygon\",\"coordinates\":[[[[0,0],[10,0],[10,10],[0,10],[0,0]],"
        "[[4,4],[6,4],[6,6],[4,6],[4,4]]],[[[20,0],[30,0],[30,10],[20,0]]]]}";
    struct text_error error;
    struct geo_area *area = geo_area_from_geojson(fence, sizeof fence - 1, &error);
    assert_non_null(area);
    policy.geofence = area;
    assert_int_equal(judge("goto", "{\"lat\":1,\"lon\":1,\"alt\":1}", NULL, NULL), RULE_NONE);
    assert_int_equal(judge("goto", "{\"lat\":1,\"lon\":25,\"alt\":1}", NULL, NULL), RULE_NONE);
    assert_int_equal(judge("goto", "{\"lat\":5,\"lon\":5,\"alt\":1}", NULL, NULL), RULE_GEOFENCE);
    assert_int_equal(judge("goto", "{\"lat\":1,\"lon\":15,\"alt\":1}", NULL, NULL), RULE_GEOFENCE);
    assert_int_equal(judge("takeoff", "{\"alt\":1}", NULL, NULL), RULE_NONE);
    assert_int_equal(judge("rtl", "{}", NULL, NULL), RULE_NONE);
    policy.geofence = NULL;
    geo_area_free(area);
}

static void policy_lets_rise_only_with_battery_and_sensors(void **state)
{
    (void)state;
    static const char *const rising[][2] = {{"takeoff", "{\"alt\":10}"}, {"arm", "{}"}};
    for (size_t i = 0; i < 2; i++) {
        const char *type = rising[i][0], *params = rising[i][1];
        assert_int_equal(judge(type, params, NULL, NULL), RULE_NONE);
        assert_int_equal(judge(type, params, NULL, STATES("battery={\"remaining\":0.15}")),
                         RULE_NONE);
        assert_int_equal(judge(type, params, NULL, STATES("battery={\"remaining\":0.149}")),
                         RULE_BATTERY);
        assert_int_equal(judge(type, params, NULL, STATES("battery={\"remaining\":null}")),
                         RULE_NONE);
        assert_int_equal(judge(type, params, NULL, STATES("battery={\"remaining\":\"0\"}")),
                         RULE_NONE);
        assert_int_equal(judge(type, params, NULL, STATES("health={\"sensors_ok\":false}")),
                         RULE_SENSORS);
        assert_int_equal(judge(type, params, NULL, STATES("health={\"sensors_ok\":true}")),
                         RULE_NONE);
        assert_int_equal(judge(type, params, NULL, STATES("health={\"errors\":4}")), RULE_NONE);
    }
    assert_int_equal(judge("goto", "{\"lat\":1,\"lon\":1,\"alt\":1}", NULL,
                           STATES("battery={\"remaining\":0.01}", "health={\"sensors_ok\":false}")),
                     RULE_NONE);
}

static void policy_disarms_in_the_air_only_by_force_and_with_a_reason(void **state)
{
    (void)state;
    static const char flying[] = "mode={\"mode\":\"AUTO\",\"armed\":true}",
                      high[] = "position={\"rel_alt\":2.1}", low[] = "position={\"rel_alt\":2}",
                      resting[] = "mode={\"armed\":false}";
    assert_int_equal(judge("disarm", "{}", NULL, STATES(flying, high)), RULE_IN_AIR);
    assert_int_equal(judge("disarm", "{}", "fire", STATES(flying, high)), RULE_IN_AIR);
    assert_int_equal(judge("disarm", "{\"force\":true}", NULL, STATES(flying, high)), RULE_IN_AIR);
    assert_int_equal(judge("disarm", "{\"force\":true}", "", STATES(flying, high)), RULE_IN_AIR);
    assert_int_equal(judge("disarm", "{\"force\":false}", "fire", STATES(flying, high)),
                     RULE_IN_AIR);
    assert_int_equal(judge("disarm", "{\"force\":true}", "fire", STATES(flying, high)), RULE_NONE);
    assert_int_equal(judge("disarm", "{}", NULL, STATES(flying, low)), RULE_NONE);
    assert_int_equal(judge("disarm", "{}", NULL, STATES(resting, high)), RULE_NONE);
    assert_int_equal(judge("disarm", "{}", NULL, STATES(flying)), RULE_NONE); /* height unknown */
    assert_int_equal(judge("disarm", "{}", NULL, STATES(high)), RULE_NONE);   /* armed unknown */
}

static void policy_stands_in_no_recovery_commands_way(void **state)
{
    (void)state;
    static const char *const types[] = {"land", "rtl", "hold"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(judge(types[i], "{}", NULL,
                               STATES("battery={\"remaining\":0}", "health={\"sensors_ok\":false}",
                                      "mode={\"armed\":true}", "position={\"rel_alt\":500}")),
                         RULE_NONE);
}

static void policy_blocks_what_is_no_vehicle(void **state)
{
    (void)state;
    struct twin *twin = twin_with(NULL);
    struct doc_ref none = {NULL, NULL};
    assert_int_equal(command_policy_judge(&policy, slice_of("rtl"), none, NULL, NULL),
                     RULE_UNKNOWN_VEHICLE);
    assert_int_equal(command_policy_judge(&policy, slice_of("rtl"), none, NULL, twin), RULE_NONE);
    twin->hidden = true;
    assert_int_equal(command_policy_judge(&policy, slice_of("rtl"), none, NULL, twin),
                     RULE_UNKNOWN_VEHICLE);
    twin_destroy(twin);
    for (int rule = RULE_NONE + 1; rule < RULE_COUNT; rule++)
        assert_true(*command_rule_name((enum command_rule)rule) != '\0');
    assert_string_equal(command_rule_name(RULE_NONE), "");
}

/* ---- the rate ---- */

static void rate_slides_over_a_minute(void **state)
{
    (void)state;
    struct command_rate *rate = command_rate_new();
    assert_non_null(rate);
    assert_false(command_rate_allows(rate, 7, T0, 0));
    for (int i = 0; i < 3; i++) {
        assert_true(command_rate_allows(rate, 7, T0 + i * 10 * NS_PER_S, 3));
        assert_true(command_rate_note(rate, 7, T0 + i * 10 * NS_PER_S));
    }
    assert_false(command_rate_allows(rate, 7, T0 + 30 * NS_PER_S, 3));
    assert_true(command_rate_allows(rate, 7, T0 + 30 * NS_PER_S, 4));
    assert_true(command_rate_allows(rate, 8, T0 + 30 * NS_PER_S, 3)); /* each vehicle its own */
    assert_false(command_rate_allows(rate, 7, T0 + 60 * NS_PER_S - 1, 3));
    assert_true(
        command_rate_allows(rate, 7, T0 + 60 * NS_PER_S, 3)); /* the first is a minute old */
    assert_true(command_rate_note(rate, 7, T0 + 60 * NS_PER_S));
    assert_false(command_rate_allows(rate, 7, T0 + 65 * NS_PER_S, 3));
    assert_true(command_rate_allows(rate, 7, T0 + 70 * NS_PER_S, 3));
    command_rate_free(rate);
}

static void rate_takes_instants_in_any_order(void **state)
{
    (void)state;
    struct command_rate *rate = command_rate_new();
    static const int at_s[] = {40, 10, 50, 0, 30, 20};
    assert_non_null(rate);
    for (size_t i = 0; i < sizeof at_s / sizeof *at_s; i++)
        assert_true(command_rate_note(rate, 100000, T0 + at_s[i] * NS_PER_S));
    for (int i = 0; i < 6; i++) {
        int64_t now_ns = T0 + (60 + 10 * i) * NS_PER_S; /* 5 - i of them are left */
        assert_true(command_rate_allows(rate, 100000, now_ns, (unsigned)(6 - i)));
        assert_false(command_rate_allows(rate, 100000, now_ns, (unsigned)(5 - i)));
    }
    command_rate_free(rate);
}

static bool note_many(void *context)
{
    (void)context;
    struct command_rate *rate = command_rate_new();
    bool good = rate != NULL;
    for (uint32_t i = 0; good && i < 20; i++)
        good = command_rate_note(rate, i % 2 * 100, T0 + i);
    if (good)
        assert_false(command_rate_allows(rate, 0, T0 + 20, 10));
    command_rate_free(rate);
    return good;
}

static void rate_survives_want_of_memory(void **state)
{
    (void)state;
    assert_true(fault_loop(note_many, NULL) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_bounds_the_altitude_of_goto_and_takeoff),
        cmocka_unit_test(policy_keeps_goto_within_the_geofence_and_out_of_its_holes),
        cmocka_unit_test(policy_lets_rise_only_with_battery_and_sensors),
        cmocka_unit_test(policy_disarms_in_the_air_only_by_force_and_with_a_reason),
        cmocka_unit_test(policy_stands_in_no_recovery_commands_way),
        cmocka_unit_test(policy_blocks_what_is_no_vehicle),
        cmocka_unit_test(rate_slides_over_a_minute),
        cmocka_unit_test(rate_takes_instants_in_any_order),
        cmocka_unit_test(rate_survives_want_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
