/* command_params: which commands there are, and what they may be given. */
#include "tests/unit/doc_help.h"
#include "tests/unit/fault.h"
#include "twin/command_params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct slice text(const char *z)
{
    return (struct slice){z, strlen(z)};
}

static const char *const extra[] = {"camera.photo", "spray", NULL};

static bool check(const char *type, const char *params, struct text_error *error)
{
    struct doc *doc = params ? doc_of(params) : NULL;
    assert_true(doc || !params);
    *error = (struct text_error){.offset = 99};
    bool good = command_params_check(text(type), doc_root(doc), extra, error);
    assert_true(good ? error->offset == 99 : error->offset == 0 && *error->detail);
    free(doc);
    return good;
}

static void command_params_of_the_table_pass(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"arm", "{}"},
        {"arm", NULL},
        {"disarm", "{}"},
        {"disarm", "{\"force\":true}"},
        {"disarm", "{\"force\":false}"},
        {"land", "{}"},
        {"rtl", NULL},
        {"hold", "{}"},
        {"mission.start", "{}"},
        {"takeoff", "{\"alt\":0}"},
        {"takeoff", "{\"alt\":30.5}"},
        {"goto", "{\"lat\":-90,\"lon\":180,\"alt\":1}"},
        {"goto", "{\"alt\":1,\"lon\":-180.0,\"lat\":90.0}"},
        {"set_mode", "{\"mode\":\"GUIDED\"}"},
        {"mission.upload", "{\"mission_id\":\"m-1\",\"items\":[]}"},
        {"mission.upload", "{\"mission_id\":\"m-1\",\"items\":[{\"lat\":1},{\"lat\":2}]}"},
        {"param.set", "{\"name\":\"RTL_ALT\",\"value\":1500}"},
        {"param.set", "{\"name\":\"RTL_ALT\",\"value\":\"high\"}"},
        {"param.set", "{\"name\":\"RTL_ALT\",\"value\":false}"},
        {"camera.photo", "{\"anything\":[1,{\"at\":\"all\"}]}"},
        {"spray", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text_error error;
        if (!check(cases[i][0], cases[i][1], &error))
            fail_msg("%s %s: %s", cases[i][0], cases[i][1] ? cases[i][1] : "", error.detail);
    }
}

static void command_params_out_of_the_table_are_refused_and_say_why(void **state)
{
    (void)state;
    static const struct {
        const char *type, *params, *detail, *hint;
    } cases[] = {
        {"rtl", "[]", "params must be an object", ""},
        {"rtl", "null", "params must be an object", ""},
        {"rtl", "{\"alt\":3}", "`rtl` has no parameter alt: it takes none", ""},
        {"takeoff", NULL, "`takeoff` needs params.alt: metres above home, 0 or more", ""},
        {"takeoff", "{\"atl\":3}", "`takeoff` has no parameter atl: it takes alt",
         "did you mean alt?"},
        {"takeoff", "{\"alt\":-0.001}",
         "params.alt must be metres above home, 0 or more, not -0.001", ""},
        {"takeoff", "{\"alt\":\"30\"}",
         "params.alt must be metres above home, 0 or more, not \"30\"", ""},
        {"takeoff", "{\"alt\":null}", "params.alt must be metres above home, 0 or more, not null",
         ""},
        {"goto", "{\"lat\":1,\"lon\":2}", "`goto` needs params.alt: metres above home, 0 or more",
         ""},
        {"goto", "{\"lat\":90.0000001,\"lon\":2,\"alt\":3}",
         "params.lat must be degrees from -90 to 90, not 90.0000001", ""},
        {"goto", "{\"lat\":1,\"lon\":-180.5,\"alt\":3}",
         "params.lon must be degrees from -180 to 180, not -180.5", ""},
        {"goto", "{\"lat\":1,\"lon\":2,\"alt\":3,\"speed\":4}",
         "`goto` has no parameter speed: it takes lat, lon, alt", ""},
        {"disarm", "{\"force\":1}", "params.force must be true or false, not 1", ""},
        {"disarm", "{\"force\":null}", "params.force must be true or false, not null", ""},
        {"set_mode", "{\"mode\":\"\"}", "params.mode must be a text of 1 to 256 bytes, not \"\"",
         ""},
        {"set_mode", "{\"mode\":5}", "params.mode must be a text of 1 to 256 bytes, not 5", ""},
        {"mission.upload", "{\"mission_id\":\"m\",\"items\":{}}",
         "params.items must be an array, not {}", ""},
        {"param.set", "{\"name\":\"A\",\"value\":[1]}",
         "params.value must be a number, a string, true or false, not [1]", ""},
        {"param.set", "{\"name\":\"A\",\"value\":null}",
         "params.value must be a number, a string, true or false, not null", ""},
        {"rtk", "{}", "`rtk` is no type of command here", "did you mean rtl?"},
        {"zebra", "{}", "`zebra` is no type of command here",
         "there are arm, disarm, takeoff, land, rtl, hold, goto, set_mode, mission.start, "
         "mission.upload, param.set; others if commands.extra_types names them"},
        {"", "{}", "a command's type is one to four tokens of letters, digits, `_` and `-`", ""},
        {"rtl.", "{}", "a command's type is one to four tokens of letters, digits, `_` and `-`",
         ""},
        {"a.b.c.d.e", "{}",
         "a command's type is one to four tokens of letters, digits, `_` and `-`", ""},
        {"r\xc3\xb8", "{}",
         "a command's type is one to four tokens of letters, digits, `_` and `-`", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text_error error;
        assert_false(check(cases[i].type, cases[i].params, &error));
        assert_string_equal(error.detail, cases[i].detail);
        assert_string_equal(error.hint, cases[i].hint);
    }
}

static void command_types_that_steer_are_refused_even_if_configured(void **state)
{
    (void)state;
    static const char *const types[] = {
        "manual",       "manual_control",  "rc",         "rc.override",   "RC_channels", "velocity",
        "velocity.set", "Attitude.target", "motor.test", "actuator_value"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const char *const named[] = {types[i], NULL};
        struct text_error error;
        assert_non_null(command_type_steers(text(types[i])));
        assert_false(
            command_params_check(text(types[i]), (struct doc_ref){NULL, NULL}, named, &error));
        assert_non_null(strstr(error.detail, "the network is never in a control loop"));
        assert_non_null(strstr(error.detail, types[i]));
    }
    assert_null(command_type_steers(text("rtl")));
    assert_null(command_type_steers(text("moto")));
    assert_null(command_type_steers(text("camera.motor"))); /* a family is a beginning */
}

static void command_recovery_types_are_land_rtl_and_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < command_type_count; i++) {
        const char *name = command_types[i].name;
        bool expected =
            strcmp(name, "land") == 0 || strcmp(name, "rtl") == 0 || strcmp(name, "hold") == 0;
        assert_int_equal(command_type_is_recovery(text(name)), expected);
        assert_true(command_type_is_well_formed(text(name)));
        assert_ptr_equal(command_type_find(text(name)), &command_types[i]);
    }
    assert_false(command_type_is_recovery(text("spray")));
}

static void command_params_quote_long_values_whole_characters_at_a_time(void **state)
{
    (void)state;
    struct text_error error;
    /* The cut falls into the middle of a two-byte letter. */
    char params[200] = "{\"alt\":\"";
    for (int i = 0; i < 60; i++)
        strcat(params, "\xc3\xb8");
    strcat(params, "\"}");
    assert_false(check("takeoff", params, &error));
    const char *cut = strstr(error.detail, "\xe2\x80\xa6");
    assert_non_null(cut);
    assert_int_equal((unsigned char)cut[-1], 0xb8);
    char name[300] = "{\"";
    memset(name + 2, 'n', 200);
    strcpy(name + 202, "\":1}");
    assert_false(check("rtl", name, &error));
    assert_string_equal(error.detail, "`rtl` has no parameter of that name: it takes none");
}

static void command_params_too_deep_for_a_message_are_refused(void **state)
{
    (void)state;
    char params[200] = "";
    struct text_error error;
    for (int more = 0; more < 2; more++) {
        size_t depth = COMMAND_PARAMS_MAX_DEPTH - 1 + (size_t)more, at = 5;
        memcpy(params, "{\"a\":", at);
        memset(params + at, '[', depth);
        memset(params + at + depth, ']', depth);
        strcpy(params + at + 2 * depth, "}");
        assert_int_equal(check("spray", params, &error), !more);
    }
    assert_string_equal(error.detail, "params are nested too deep for a message");
}

static bool refuse_without_memory(void *context)
{
    struct doc *doc = context;
    struct text_error error = {0};
    assert_false(command_params_check(text("takeoff"), doc_root(doc), NULL, &error));
    assert_non_null(strstr(error.detail, "params.alt must be"));
    return true;
}

static void command_params_are_refused_without_memory_as_with_it(void **state)
{
    (void)state;
    struct doc *doc = doc_of("{\"alt\":\"high\"}");
    assert_non_null(doc);
    fault_arm(1, FAULT_FROM_THEN);
    refuse_without_memory(doc);
    assert_true(fault_disarm());
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_params_of_the_table_pass),
        cmocka_unit_test(command_params_out_of_the_table_are_refused_and_say_why),
        cmocka_unit_test(command_types_that_steer_are_refused_even_if_configured),
        cmocka_unit_test(command_recovery_types_are_land_rtl_and_hold),
        cmocka_unit_test(command_params_quote_long_values_whole_characters_at_a_time),
        cmocka_unit_test(command_params_too_deep_for_a_message_are_refused),
        cmocka_unit_test(command_params_are_refused_without_memory_as_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
