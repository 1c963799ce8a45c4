#include "tools/vehicle.h"

#include "tools/geo.h"

#include "twin/timestamp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A small quadcopter. */
#define CLIMB_M_S 2.5
#define DESCENT_M_S 1.5
#define RETURN_M_S 8.0
#define CRUISE_M_S 6.0
#define CRUISE_M_S_MAX 20.0
#define CRUISE_ALT_M 40.0
#define CRUISE_ALT_M_MAX 500.0
#define ACCELERATION_M_S2 2.0
#define MISSION_RADIUS_M 400.0
#define ARMED_S 3.0
#define LANDED_S 2.0
#define PARKED_S 20.0
#define BATTERY_LOW 0.25
#define BATTERY_CRITICAL 0.10
#define BATTERY_CHANGED 0.5 /* of one that is told to wait */
#define IDLE_CURRENT_A 0.6
#define FLIGHT_CURRENT_A 18.0
#define STEP_S 0.1      /* of the integration */
#define STEP_MAX_S 60.0 /* the most that one call simulates: what is beyond it is skipped */

static const char *const MODES[] = {
#define X(id, name) name,
    VEHICLE_MODE_TABLE(X)
#undef X
};

const char *vehicle_mode_name(enum vehicle_mode mode)
{
    return MODES[mode];
}

static void put_event(struct vehicle *vehicle, enum vehicle_event_type type, enum vehicle_mode from)
{
    unsigned at = (vehicle->event_first + vehicle->event_count) % VEHICLE_EVENTS_MAX;
    if (vehicle->event_count == VEHICLE_EVENTS_MAX)
        vehicle->event_first = (vehicle->event_first + 1) % VEHICLE_EVENTS_MAX;
    else
        vehicle->event_count++;
    vehicle->events[at] = (struct vehicle_event){
        .type = type,
        .from = from,
        .to = vehicle->mode,
        .waypoint = vehicle->waypoint,
        .waypoints = vehicle->waypoint_count,
        .lat = geo_lat(vehicle->home_lat, vehicle->north_m),
        .lon = geo_lon(vehicle->home_lat, vehicle->home_lon, vehicle->east_m),
        .rel_alt_m = vehicle->up_m,
        .remaining = vehicle->remaining,
    };
}

bool vehicle_take_event(struct vehicle *vehicle, struct vehicle_event *event)
{
    if (vehicle->event_count == 0)
        return false;
    *event = vehicle->events[vehicle->event_first];
    vehicle->event_first = (vehicle->event_first + 1) % VEHICLE_EVENTS_MAX;
    vehicle->event_count--;
    return true;
}

static void enter_mode(struct vehicle *vehicle, enum vehicle_mode mode)
{
    enum vehicle_mode from = vehicle->mode;
    if (mode == from)
        return;
    vehicle->mode = mode;
    vehicle->changes++;
    put_event(vehicle, VEHICLE_EVENT_MODE_CHANGE, from);
}

void vehicle_enter_phase(struct vehicle *vehicle, enum vehicle_phase phase)
{
    vehicle->phase = phase;
    vehicle->phase_s = 0;
}

void vehicle_arm(struct vehicle *vehicle, bool armed)
{
    if (vehicle->armed == armed)
        return;
    vehicle->armed = armed;
    vehicle->changes++;
    put_event(vehicle, armed ? VEHICLE_EVENT_ARMED : VEHICLE_EVENT_DISARMED, vehicle->mode);
}

static void plan_mission(struct vehicle *vehicle, const char *name)
{
    double bearing = rng_between(&vehicle->rng, 0, 2 * GEO_PI);
    vehicle->mission_no++;
    if (name)
        snprintf(vehicle->mission, sizeof vehicle->mission, "%s", name);
    else if (!vehicle->told_mission)
        snprintf(vehicle->mission, sizeof vehicle->mission, "survey-%u", vehicle->mission_no);
    vehicle->waypoint = 0;
    vehicle->waypoint_count = 4 + (unsigned)(rng_next(&vehicle->rng) % 5);
    for (unsigned i = 0; i < vehicle->waypoint_count; i++) {
        double radius = MISSION_RADIUS_M * rng_between(&vehicle->rng, 0.3, 1);
        bearing += 2 * GEO_PI / vehicle->waypoint_count;
        vehicle->waypoints[i].north_m = radius * cos(bearing);
        vehicle->waypoints[i].east_m = radius * sin(bearing);
    }
    vehicle->changes++;
}

void vehicle_init(struct vehicle *vehicle, const struct vehicle_setup *setup)
{
    memset(vehicle, 0, sizeof *vehicle);
    rng_init(&vehicle->rng, setup->seed);
    vehicle->home_lat = setup->home_lat;
    vehicle->home_lon = setup->home_lon;
    vehicle->home_alt_m = setup->home_alt_m;
    vehicle->endurance_s = setup->endurance_s * rng_between(&vehicle->rng, 0.85, 1.15);
    vehicle->remaining = rng_between(&vehicle->rng, 0.45, 1);
    vehicle->cruise_m_s = CRUISE_M_S;
    vehicle->cruise_alt_m = CRUISE_ALT_M;
    vehicle->yaw = rng_between(&vehicle->rng, -GEO_PI, GEO_PI);
    vehicle->mode = VEHICLE_MODE_STABILIZE;
    vehicle->parked_s = rng_between(&vehicle->rng, 0, PARKED_S / 4);
    vehicle->current_a = IDLE_CURRENT_A;
    plan_mission(vehicle, NULL);
    vehicle_tell(vehicle, VEHICLE_EVENT_STATUSTEXT);
}

void vehicle_tell(struct vehicle *vehicle, enum vehicle_event_type type)
{
    put_event(vehicle, type, vehicle->mode);
}

/* ---- motion ---- */

static double approach(double value, double target, double step)
{
    return value < target ? fmin(value + step, target) : fmax(value - step, target);
}

/* Velocity towards a place, slowing down before it. Returns the distance left. */
static double steer(struct vehicle *vehicle, double north_m, double east_m, double speed, double dt)
{
    double dn = north_m - vehicle->north_m, de = east_m - vehicle->east_m;
    double left = hypot(dn, de);
    double wanted = fmin(speed, sqrt(2 * ACCELERATION_M_S2 * left) * 0.8);
    double wanted_n = left > 0.01 ? wanted * dn / left : 0;
    double wanted_e = left > 0.01 ? wanted * de / left : 0;
    double before_n = vehicle->vn, before_e = vehicle->ve;

    vehicle->vn = approach(vehicle->vn, wanted_n, ACCELERATION_M_S2 * dt);
    vehicle->ve = approach(vehicle->ve, wanted_e, ACCELERATION_M_S2 * dt);
    if (left > VEHICLE_REACHED_M)
        vehicle->yaw = atan2(de, dn);
    /* a multicopter leans into its acceleration and against the air */
    double an = (vehicle->vn - before_n) / dt + 0.15 * vehicle->vn;
    double ae = (vehicle->ve - before_e) / dt + 0.15 * vehicle->ve;
    double forward = an * cos(vehicle->yaw) + ae * sin(vehicle->yaw);
    double right = ae * cos(vehicle->yaw) - an * sin(vehicle->yaw);
    vehicle->pitch = -atan2(forward, 9.81);
    vehicle->roll = atan2(right, 9.81);
    return left;
}

static void touch_down(struct vehicle *vehicle)
{
    vehicle->up_m = 0;
    vehicle->vn = vehicle->ve = vehicle->vu = 0;
    vehicle->roll = vehicle->pitch = 0;
    put_event(vehicle, VEHICLE_EVENT_LANDED, vehicle->mode);
    vehicle_enter_phase(vehicle, PHASE_LANDED);
}

static void step_parked(struct vehicle *vehicle)
{
    if (vehicle->told_mode && vehicle->remaining < BATTERY_CHANGED &&
        vehicle->phase_s >= vehicle->parked_s)
        vehicle->remaining = 1;
    if (vehicle->told_mode || vehicle->phase_s < vehicle->parked_s)
        return;
    if (vehicle->remaining < 0.9 && vehicle->mission_no > 1)
        vehicle->remaining = 1; /* a fresh battery */
    vehicle->low_told = vehicle->critical_told = false;
    enter_mode(vehicle, VEHICLE_MODE_AUTO);
    vehicle_arm(vehicle, true);
    vehicle_enter_phase(vehicle, PHASE_ARMED);
}

static void step_cruise(struct vehicle *vehicle, double dt)
{
    unsigned at = vehicle->waypoint;
    vehicle->vu = approach(vehicle->vu, fmax(-1, fmin(1, vehicle->cruise_alt_m - vehicle->up_m)),
                           ACCELERATION_M_S2 * dt);
    if (steer(vehicle, vehicle->waypoints[at].north_m, vehicle->waypoints[at].east_m,
              vehicle->cruise_m_s, dt) > VEHICLE_REACHED_M)
        return;
    put_event(vehicle, VEHICLE_EVENT_WAYPOINT, vehicle->mode);
    vehicle->waypoint++;
    vehicle->changes++;
    if (vehicle->waypoint == vehicle->waypoint_count) {
        vehicle->waypoint = 0;
        enter_mode(vehicle, VEHICLE_MODE_RTL);
        vehicle_enter_phase(vehicle, PHASE_RETURN);
    }
}

static void step_goto(struct vehicle *vehicle, double dt)
{
    double below_m = vehicle->told_alt_m - vehicle->up_m;
    vehicle->vu =
        approach(vehicle->vu, fmax(-DESCENT_M_S, fmin(CLIMB_M_S, below_m)), ACCELERATION_M_S2 * dt);
    double left_m =
        steer(vehicle, vehicle->told_north_m, vehicle->told_east_m, vehicle->cruise_m_s, dt);
    if (left_m <= VEHICLE_REACHED_M && fabs(below_m) <= VEHICLE_LEVEL_M)
        vehicle_enter_phase(vehicle, PHASE_LOITER);
}

static void step_phase(struct vehicle *vehicle, double dt)
{
    switch (vehicle->phase) {
    case PHASE_PARKED:
        step_parked(vehicle);
        break;
    case PHASE_ARMED:
        if (vehicle->phase_s < ARMED_S || vehicle->told_mode)
            break; /* who was told to wait waits */
        put_event(vehicle, VEHICLE_EVENT_TAKEOFF, vehicle->mode);
        vehicle_enter_phase(vehicle, PHASE_CLIMB);
        break;
    case PHASE_CLIMB:
        vehicle->vu = approach(vehicle->vu, CLIMB_M_S, ACCELERATION_M_S2 * dt);
        steer(vehicle, vehicle->north_m, vehicle->east_m, 0, dt);
        if (vehicle->told_mode && vehicle->up_m >= vehicle->told_alt_m - VEHICLE_LEVEL_M)
            vehicle_enter_phase(vehicle, PHASE_LOITER);
        else if (!vehicle->told_mode && vehicle->up_m >= vehicle->cruise_alt_m - VEHICLE_LEVEL_M)
            vehicle_enter_phase(vehicle, PHASE_CRUISE);
        break;
    case PHASE_GOTO:
        step_goto(vehicle, dt);
        break;
    case PHASE_CRUISE:
        step_cruise(vehicle, dt);
        break;
    case PHASE_LOITER:
        vehicle->vu = approach(vehicle->vu, 0, ACCELERATION_M_S2 * dt);
        steer(vehicle, vehicle->north_m, vehicle->east_m, 0, dt);
        break;
    case PHASE_RETURN:
        vehicle->vu = approach(vehicle->vu, 0, ACCELERATION_M_S2 * dt);
        if (steer(vehicle, 0, 0, RETURN_M_S, dt) <= VEHICLE_REACHED_M)
            vehicle_enter_phase(vehicle, PHASE_DESCEND);
        break;
    case PHASE_DESCEND:
        vehicle->vu = approach(vehicle->vu, -DESCENT_M_S, ACCELERATION_M_S2 * dt);
        steer(vehicle, vehicle->north_m, vehicle->east_m, 0, dt);
        if (vehicle->up_m <= 0.1)
            touch_down(vehicle);
        break;
    case PHASE_LANDED:
        if (vehicle->phase_s < LANDED_S)
            break;
        vehicle_arm(vehicle, false);
        if (!vehicle->told_mode) {
            enter_mode(vehicle, VEHICLE_MODE_STABILIZE);
            plan_mission(vehicle, NULL);
        }
        vehicle->parked_s = rng_between(&vehicle->rng, 0.5, 1.5) * PARKED_S;
        vehicle_enter_phase(vehicle, PHASE_PARKED);
        break;
    }
}

bool vehicle_in_the_air(const struct vehicle *vehicle)
{
    return vehicle->phase >= PHASE_CLIMB && vehicle->phase <= PHASE_DESCEND;
}

static void step_battery(struct vehicle *vehicle, double dt)
{
    bool flying = vehicle_in_the_air(vehicle);
    double effort = flying ? 1 + 0.05 * vehicle->vu : IDLE_CURRENT_A / FLIGHT_CURRENT_A;

    vehicle->current_a = FLIGHT_CURRENT_A * effort;
    vehicle->remaining = fmax(0, vehicle->remaining - dt * effort / vehicle->endurance_s);
    if (!flying)
        return;
    if (vehicle->remaining < BATTERY_LOW && !vehicle->low_told) {
        vehicle->low_told = true;
        put_event(vehicle, VEHICLE_EVENT_BATTERY_LOW, vehicle->mode);
        if (vehicle->phase < PHASE_RETURN) {
            put_event(vehicle, VEHICLE_EVENT_FAILSAFE, vehicle->mode);
            vehicle->told_mode = false; /* the failsafe has the last word */
            enter_mode(vehicle, VEHICLE_MODE_RTL);
            vehicle_enter_phase(vehicle, PHASE_RETURN);
        }
    }
    if (vehicle->remaining < BATTERY_CRITICAL && !vehicle->critical_told) {
        vehicle->critical_told = true;
        put_event(vehicle, VEHICLE_EVENT_BATTERY_CRITICAL, vehicle->mode);
        enter_mode(vehicle, VEHICLE_MODE_LAND);
        vehicle_enter_phase(vehicle, PHASE_DESCEND);
    }
}

static void step(struct vehicle *vehicle, double dt)
{
    vehicle->phase_s += dt;
    step_phase(vehicle, dt);
    vehicle->north_m += vehicle->vn * dt;
    vehicle->east_m += vehicle->ve * dt;
    vehicle->up_m = fmax(0, vehicle->up_m + vehicle->vu * dt);
    step_battery(vehicle, dt);
}

void vehicle_advance(struct vehicle *vehicle, int64_t to_ns)
{
    double left_s = (double)(to_ns - vehicle->at_ns) / (double)NS_PER_S;

    if (left_s <= 0)
        return;
    vehicle->at_ns = to_ns;
    for (left_s = fmin(left_s, STEP_MAX_S); left_s > 0; left_s -= STEP_S)
        step(vehicle, fmin(left_s, STEP_S));
}

/* ---- wishes ---- */

bool vehicle_set_mode(struct vehicle *vehicle, const char *name)
{
    int mode = 0;
    while (mode < VEHICLE_MODE_COUNT && strcmp(MODES[mode], name) != 0)
        mode++;
    if (mode == VEHICLE_MODE_COUNT)
        return false;
    vehicle->told_mode = mode != VEHICLE_MODE_AUTO;
    enter_mode(vehicle, (enum vehicle_mode)mode);
    if (!vehicle_in_the_air(vehicle))
        return true;
    switch ((enum vehicle_mode)mode) {
    case VEHICLE_MODE_AUTO:
        vehicle_enter_phase(vehicle, PHASE_CRUISE);
        break;
    case VEHICLE_MODE_RTL:
        vehicle_enter_phase(vehicle, PHASE_RETURN);
        break;
    case VEHICLE_MODE_LAND:
        vehicle_enter_phase(vehicle, PHASE_DESCEND);
        break;
    default:
        vehicle_enter_phase(vehicle, PHASE_LOITER);
        break;
    }
    return true;
}

void vehicle_release_mode(struct vehicle *vehicle)
{
    vehicle->told_mode = false;
    if (vehicle->phase == PHASE_LOITER)
        vehicle_set_mode(vehicle, vehicle_mode_name(VEHICLE_MODE_AUTO));
}

bool vehicle_set_mission(struct vehicle *vehicle, const char *mission)
{
    if (strlen(mission) >= VEHICLE_MISSION_BYTES)
        return false;
    vehicle->told_mission = true;
    if (strcmp(mission, vehicle->mission) != 0)
        plan_mission(vehicle, mission);
    return true;
}

bool vehicle_set_cruise(struct vehicle *vehicle, double m_s)
{
    if (!(m_s > 0 && m_s <= CRUISE_M_S_MAX))
        return false;
    vehicle->cruise_m_s = m_s;
    return true;
}

bool vehicle_set_cruise_alt(struct vehicle *vehicle, double alt_m)
{
    if (!(alt_m > 2 && alt_m <= CRUISE_ALT_M_MAX))
        return false;
    vehicle->cruise_alt_m = alt_m;
    return true;
}
