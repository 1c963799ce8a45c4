/* fleetsim fly: a fleet of simulated vehicles. */
#include "tools/commands.h"
#include "tools/geo.h"
#include "tools/run.h"
#include "tools/vehicle.h"

#include "twin/timestamp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VEHICLES_MAX = 100000, VID_DIGITS_MIN = 3 };
#define FIRMWARE "fleetsim-1"
#define MODEL "quad-4s"

#define OPTION(name, arg, kind, member, value, min, max, help)                                     \
    {                                                                                              \
        name, arg, help, kind, offsetof(struct run_options, member), value, min, max               \
    }

static const struct option_spec FLY[] = {
    OPTION("vehicles", "N", OPTION_INT, vehicles, "10", 1, VEHICLES_MAX, "how many"),
    OPTION("duration", "S", OPTION_REAL, duration_s, "60", 0, 1e7,
           "seconds of flight; 0: until it is stopped"),
    OPTION("prefix", "TEXT", OPTION_TEXT, prefix, "VID-", 0, 0, "of the vehicle ids"),
    OPTION("start-lat", "DEG", OPTION_REAL, start_lat, "59.9139", -89, 89, "of the first home"),
    OPTION("start-lon", "DEG", OPTION_REAL, start_lon, "10.7522", -180, 180, "of the first home"),
    OPTION("start-alt", "M", OPTION_REAL, start_alt_m, "20", -400, 9000, "above mean sea level"),
    OPTION("spacing", "M", OPTION_REAL, spacing_m, "100", 0, 1e5, "between homes"),
    OPTION("endurance", "S", OPTION_REAL, endurance_s, "900", 10, 1e6,
           "flight time of a full battery, 15 % more or less"),
    OPTION("rate-position", "HZ", OPTION_REAL, rate_position, "10", 0, 1000, "messages a second"),
    OPTION("rate-attitude", "HZ", OPTION_REAL, rate_attitude, "10", 0, 1000, "messages a second"),
    OPTION("rate-battery", "HZ", OPTION_REAL, rate_battery, "1", 0, 1000, "messages a second"),
    OPTION("rate-mode", "HZ", OPTION_REAL, rate_mode, "0.5", 0, 1000,
           "messages a second, and at each change"),
    OPTION("rate-health", "HZ", OPTION_REAL, rate_health, "0.5", 0, 1000, "messages a second"),
};

/* The state types: how each is written and at what rate. */
static const struct telemetry {
    const char *type;
    size_t rate; /* offset of its option */
    void (*write)(struct buf *buf, struct vehicle *vehicle);
} TELEMETRY[] = {
    {"position", offsetof(struct run_options, rate_position), vehicle_write_position},
    {"attitude", offsetof(struct run_options, rate_attitude), vehicle_write_attitude},
    {"battery", offsetof(struct run_options, rate_battery), vehicle_write_battery},
    {"mode", offsetof(struct run_options, rate_mode), vehicle_write_mode},
    {"health", offsetof(struct run_options, rate_health), vehicle_write_health},
};
enum { TELEMETRY_COUNT = sizeof TELEMETRY / sizeof *TELEMETRY, TELEMETRY_MODE = 3 };

/* A message to come. */
struct turn {
    int64_t at_ns;
    uint32_t vehicle;
    uint32_t telemetry;
};

struct fleet {
    struct run_options options;
    struct run run;
    struct roster *roster;
    struct vehicle *vehicles;
    unsigned *changes_seen; /* by vehicle */
    struct turn *turns;     /* a heap, the least first */
    size_t turn_count;
    int state_types[TELEMETRY_COUNT], event_types[VEHICLE_EVENT_COUNT];
    struct buf data, told; /* scratch: of the schedule, of what is told in between */
};

static void usage(const struct option_group *groups, size_t group_count)
{
    printf(
        "usage: fleetsim fly [options]\n"
        "\n"
        "Simulates multicopters: take-off, missions of waypoints around their homes, return when\n"
        "done or when the battery runs low, landing, a fresh battery, the next mission.\n"
        "They report mode, armed, mission, waypoint, firmware and model, and follow desired:\n"
        "mode, mission, cruise_speed (m/s), cruise_alt (m); any other key is taken over as a\n"
        "setting. They do what commands say: arm, disarm, takeoff, goto, hold, rtl, land, "
        "set_mode,\n"
        "mission.start, mission.upload, param.set (cruise_speed, cruise_alt). 22 messages a second "
        "and vehicle unless told otherwise.\n");
    options_help(groups, group_count);
    printf("\nHostile kinds:\n ");
    for (int i = 0; i < HOSTILE_COUNT; i++)
        printf(" %s", hostile_name((enum hostile)i));
    printf("\nExit: 0 good, 1 failed, 2 usage, 3 not everything archived.\n");
}

static double rate_of(const struct run_options *options, size_t telemetry)
{
    const void *rate = (const char *)options + TELEMETRY[telemetry].rate;
    return *(const double *)rate;
}

static double rate_total(const struct run_options *options)
{
    double total = 0;
    for (size_t i = 0; i < TELEMETRY_COUNT; i++)
        total += rate_of(options, i);
    return total;
}

/* ---- the schedule ---- */

static bool before(const struct turn *a, const struct turn *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->vehicle < b->vehicle;
}

/* Puts `turn` at the top's place and lets it sink. */
static void sink_turn(struct fleet *fleet, size_t at, struct turn turn)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < fleet->turn_count && before(&fleet->turns[child + 1], &fleet->turns[child]))
            child++;
        if (child >= fleet->turn_count || !before(&fleet->turns[child], &turn))
            break;
        fleet->turns[at] = fleet->turns[child];
        at = child;
    }
    fleet->turns[at] = turn;
}

/* The types of all vehicles start at random phases, so that the traffic is even. */
static bool plan_turns(struct fleet *fleet)
{
    struct rng rng;
    size_t vehicles = (size_t)fleet->options.vehicles;

    rng_init(&rng, (uint64_t)fleet->options.seed);
    fleet->turns = calloc(vehicles * TELEMETRY_COUNT, sizeof *fleet->turns);
    if (!fleet->turns)
        return false;
    for (size_t v = 0; v < vehicles; v++)
        for (size_t t = 0; t < TELEMETRY_COUNT; t++) {
            double rate = rate_of(&fleet->options, t);
            double phase_s = rng_unit(&rng) / (rate > 0 ? rate : 1);
            if (rate > 0)
                fleet->turns[fleet->turn_count++] =
                    (struct turn){(int64_t)(phase_s * (double)NS_PER_S), (uint32_t)v, (uint32_t)t};
        }
    for (size_t i = fleet->turn_count / 2; i-- > 0;)
        sink_turn(fleet, i, fleet->turns[i]);
    return true;
}

static bool make_vehicles(struct fleet *fleet)
{
    uint32_t count = (uint32_t)fleet->options.vehicles;
    int digits = snprintf(NULL, 0, "%u", count);
    uint32_t side = (uint32_t)ceil(sqrt(count));

    fleet->roster = roster_new();
    fleet->vehicles = calloc(count, sizeof *fleet->vehicles);
    fleet->changes_seen = calloc(count, sizeof *fleet->changes_seen);
    if (!fleet->roster || !fleet->vehicles || !fleet->changes_seen)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        char vid[2 * TOKEN_MAX_BYTES];
        int size = snprintf(vid, sizeof vid, "%s%0*u", fleet->options.prefix,
                            digits > VID_DIGITS_MIN ? digits : VID_DIGITS_MIN, i + 1);
        if (size >= (int)sizeof vid || roster_add(fleet->roster, vid, (size_t)size) != i) {
            fprintf(stderr, "fleetsim: --prefix: \"%s\" is no vehicle id\n", vid);
            return false;
        }
        struct vehicle_setup setup = {
            .seed = (uint64_t)fleet->options.seed * UINT64_C(1000003) + i,
            .home_lat = geo_lat(fleet->options.start_lat, fleet->options.spacing_m * (i / side)),
            .home_lon = geo_lon(fleet->options.start_lat, fleet->options.start_lon,
                                fleet->options.spacing_m * (i % side)),
            .home_alt_m = fleet->options.start_alt_m,
            .endurance_s = fleet->options.endurance_s,
        };
        vehicle_init(&fleet->vehicles[i], &setup);
    }
    return true;
}

static void count_types(struct fleet *fleet)
{
    for (size_t i = 0; i < TELEMETRY_COUNT; i++)
        fleet->state_types[i] = report_type(&fleet->run.report, CATEGORY_STATE, TELEMETRY[i].type);
    for (int i = 0; i < VEHICLE_EVENT_COUNT; i++)
        fleet->event_types[i] = report_type(&fleet->run.report, CATEGORY_EVENT,
                                            vehicle_event_name((enum vehicle_event_type)i));
}

/* ---- shadow ---- */

static void facts(void *closure, uint32_t number, json_t *reported)
{
    struct fleet *fleet = closure;
    struct vehicle *vehicle = &fleet->vehicles[number];

    json_object_set_new(reported, "firmware", json_string(FIRMWARE));
    json_object_set_new(reported, "model", json_string(MODEL));
    json_object_set_new(reported, "mode", json_string(vehicle_mode_name(vehicle->mode)));
    json_object_set_new(reported, "armed", json_boolean(vehicle->armed));
    json_object_set_new(reported, "mission", json_string(vehicle->mission));
    json_object_set_new(reported, "waypoint", json_integer(vehicle->waypoint));
    json_object_set_new(reported, "waypoints", json_integer(vehicle->waypoint_count));
    json_object_set_new(reported, "cruise_speed", json_real(vehicle->cruise_m_s));
    json_object_set_new(reported, "cruise_alt", json_real(vehicle->cruise_alt_m));
}

static bool follow_mode(struct vehicle *vehicle, const json_t *value)
{
    if (value)
        return json_is_string(value) && vehicle_set_mode(vehicle, json_string_value(value));
    vehicle_release_mode(vehicle);
    return true;
}

static bool follow_mission(struct vehicle *vehicle, const json_t *value)
{
    return json_is_string(value) && vehicle_set_mission(vehicle, json_string_value(value));
}

static bool follow_cruise(struct vehicle *vehicle, const json_t *value)
{
    return json_is_number(value) && vehicle_set_cruise(vehicle, json_number_value(value));
}

static bool follow_cruise_alt(struct vehicle *vehicle, const json_t *value)
{
    return json_is_number(value) && vehicle_set_cruise_alt(vehicle, json_number_value(value));
}

/* The keys of `facts`, and what can be wished of them. */
static const struct {
    const char *key;
    bool (*follow)(struct vehicle *vehicle, const json_t *value); /* NULL: as it is */
} WISHES[] = {
    {"firmware", NULL},
    {"model", NULL},
    {"armed", NULL},
    {"waypoint", NULL},
    {"waypoints", NULL},
    {"mode", follow_mode},
    {"mission", follow_mission},
    {"cruise_speed", follow_cruise},
    {"cruise_alt", follow_cruise_alt},
};

static enum shadow_wish follow(void *closure, uint32_t vehicle, const char *key,
                               const json_t *value)
{
    struct fleet *fleet = closure;
    for (size_t i = 0; i < sizeof WISHES / sizeof *WISHES; i++)
        if (strcmp(WISHES[i].key, key) == 0) {
            bool done = WISHES[i].follow && WISHES[i].follow(&fleet->vehicles[vehicle], value);
            return done ? SHADOW_DONE : SHADOW_IGNORED;
        }
    return value ? SHADOW_COPY : SHADOW_IGNORED;
}

/* ---- commands ---- */

/* The new mode is told at once: at a low rate of messages nobody would see it for long. */
static void tell_mode(struct fleet *fleet, uint32_t number)
{
    if (fleet->options.rate_mode <= 0 || !sender_ready(fleet->run.sender))
        return;
    buf_reset(&fleet->told);
    vehicle_write_mode(&fleet->told, &fleet->vehicles[number]);
    run_say(&fleet->run, number, fleet->state_types[TELEMETRY_MODE], buf_cstr(&fleet->told),
            fleet->told.size_bytes);
}

static enum crew_act act(void *closure, uint32_t number, const char *type, struct doc_ref params,
                         struct crew_refusal *refusal)
{
    static const enum crew_act acts[] = {[VEHICLE_REFUSES] = ACT_REFUSED,
                                         [VEHICLE_NOTES] = ACT_NOTED,
                                         [VEHICLE_DOES] = ACT_DONE,
                                         [VEHICLE_BEGINS] = ACT_BEGUN};
    struct fleet *fleet = closure;
    struct vehicle *vehicle = &fleet->vehicles[number];
    struct vehicle_refusal why;
    unsigned changes = vehicle->changes;

    vehicle_advance(vehicle, run_schedule_ns(&fleet->run));
    enum vehicle_answer answer = vehicle_order(vehicle, type, params, &why);
    if (answer == VEHICLE_REFUSES) {
        snprintf(refusal->error, sizeof refusal->error, "%s", why.error);
        refusal->code = why.unsupported ? CODE_UNSUPPORTED : CODE_DENIED;
    }
    if (vehicle->changes != changes)
        tell_mode(fleet, number);
    return acts[answer];
}

static bool acted(void *closure, uint32_t number)
{
    struct fleet *fleet = closure;
    vehicle_advance(&fleet->vehicles[number], run_schedule_ns(&fleet->run));
    return vehicle_order_done(&fleet->vehicles[number]);
}

static void restarted(void *closure, uint32_t number)
{
    struct fleet *fleet = closure;
    vehicle_restart(&fleet->vehicles[number]);
}

/* ---- flying ---- */

static bool send_state(struct fleet *fleet, uint32_t number, size_t telemetry, int64_t at_ns)
{
    buf_reset(&fleet->data);
    TELEMETRY[telemetry].write(&fleet->data, &fleet->vehicles[number]);
    return run_send(&fleet->run, number, fleet->state_types[telemetry], buf_cstr(&fleet->data),
                    fleet->data.size_bytes, at_ns);
}

/* What happened to the vehicle since its last turn. */
static bool send_events(struct fleet *fleet, uint32_t number, int64_t at_ns)
{
    struct vehicle *vehicle = &fleet->vehicles[number];
    struct vehicle_event event;

    while (vehicle_take_event(vehicle, &event)) {
        buf_reset(&fleet->data);
        vehicle_write_event(&fleet->data, &event);
        if (!run_send(&fleet->run, number, fleet->event_types[event.type], buf_cstr(&fleet->data),
                      fleet->data.size_bytes, at_ns))
            return false;
    }
    if (vehicle->changes == fleet->changes_seen[number])
        return true;
    fleet->changes_seen[number] = vehicle->changes;
    if (fleet->run.shadow)
        shadow_changed(fleet->run.shadow, number);
    return fleet->options.rate_mode <= 0 || send_state(fleet, number, TELEMETRY_MODE, at_ns);
}

static void fly_turns(struct fleet *fleet)
{
    int64_t end_ns = (int64_t)(fleet->options.duration_s * (double)NS_PER_S);

    while (fleet->turn_count > 0) {
        struct turn turn = fleet->turns[0];
        if (end_ns > 0 && turn.at_ns >= end_ns)
            return;
        if (!run_until(&fleet->run, turn.at_ns))
            return;
        vehicle_advance(&fleet->vehicles[turn.vehicle], turn.at_ns);
        if (!run_is_cut_off(&fleet->run, turn.vehicle) &&
            (!send_events(fleet, turn.vehicle, turn.at_ns) ||
             !send_state(fleet, turn.vehicle, turn.telemetry, turn.at_ns)))
            return;
        turn.at_ns += (int64_t)((double)NS_PER_S / rate_of(&fleet->options, turn.telemetry));
        sink_turn(fleet, 0, turn);
    }
}

static int fly_run(struct fleet *fleet)
{
    const struct run_options *options = &fleet->options;
    struct run_setup setup = {
        .command = "fly",
        .options = options,
        .roster = fleet->roster,
        .shadow = !options->no_shadow,
        .facts = facts,
        .follow = follow,
        .act = act,
        .acted = acted,
        .restarted = restarted,
        .closure = fleet,
        .expected_total =
            (uint64_t)(rate_total(options) * (double)options->vehicles * options->duration_s),
        .length_ns = (int64_t)(options->duration_s * (double)NS_PER_S),
        .live = options->speed > 0,
    };
    int code = EXIT_FAILED;

    if (run_open(&fleet->run, &setup)) {
        count_types(fleet);
        run_begin(&fleet->run);
        run_boot(&fleet->run, 0);
        fly_turns(fleet);
        code = run_end(&fleet->run);
    }
    run_close(&fleet->run);
    return code;
}

int fly_main(int argc, char **argv)
{
    const struct option_group own = {"Flight", FLY, sizeof FLY / sizeof *FLY};
    const struct option_group groups[] = {own,
                                          RUN_FLEET_GROUP,
                                          RUN_CONNECTION_GROUP,
                                          RUN_GATEWAY_GROUP,
                                          RUN_FAULT_GROUP,
                                          RUN_SHADOW_GROUP,
                                          RUN_CREW_GROUP,
                                          RUN_REPORT_GROUP};
    const size_t group_count = sizeof groups / sizeof *groups;
    struct option_args args;
    char error[OPTION_ERROR_BYTES];
    int code = EXIT_FAILED;

    struct fleet *fleet = calloc(1, sizeof *fleet);
    if (!fleet)
        return EXIT_FAILED;
    if (!options_parse(groups, group_count, argc, argv, &fleet->options, &args, error)) {
        fprintf(stderr, "fleetsim fly: %s (--help tells all)\n", error);
        code = EXIT_USAGE;
    } else if (args.help) {
        usage(groups, group_count);
        code = EXIT_OK;
    } else if (!run_options_valid(&fleet->options) || args.count > 0 ||
               rate_total(&fleet->options) <= 0) {
        fprintf(stderr, "usage: fleetsim fly [options] (--help tells all)\n");
        code = EXIT_USAGE;
    } else if (make_vehicles(fleet) && plan_turns(fleet)) {
        code = fly_run(fleet);
    }
    roster_free(fleet->roster);
    buf_done(&fleet->data);
    buf_done(&fleet->told);
    free(fleet->vehicles);
    free(fleet->changes_seen);
    free(fleet->turns);
    free(fleet);
    return code;
}
