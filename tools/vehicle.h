/*
 * vehicle: one simulated multicopter, as far as its telemetry shows it. It takes off, follows a
 * mission of waypoints around its home, returns when the mission is flown or the battery runs low,
 * lands, gets a fresh battery and goes again. Simple kinematics: it has a speed and a place, no
 * forces.
 *
 * Pure and deterministic: all chance comes from the seed. Units as in contract §2.
 * Ownership: a plain struct without pointers. Threads: one per vehicle.
 */
#ifndef TOOLS_VEHICLE_H
#define TOOLS_VEHICLE_H

#include "tools/rng.h"

#include "twin/buf.h"
#include "twin/doc.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    VEHICLE_WAYPOINTS_MAX = 8,
    VEHICLE_EVENTS_MAX = 16, /* not yet fetched; beyond it the oldest is overwritten */
    VEHICLE_MISSION_BYTES = 48,
};

/* id, name as in `state.mode` */
#define VEHICLE_MODE_TABLE(X)                                                                      \
    X(STABILIZE, "STABILIZE")                                                                      \
    X(GUIDED, "GUIDED")                                                                            \
    X(LOITER, "LOITER")                                                                            \
    X(AUTO, "AUTO")                                                                                \
    X(RTL, "RTL")                                                                                  \
    X(LAND, "LAND")

enum vehicle_mode {
#define X(id, name) VEHICLE_MODE_##id,
    VEHICLE_MODE_TABLE(X)
#undef X
        VEHICLE_MODE_COUNT
};
const char *vehicle_mode_name(enum vehicle_mode mode);

enum vehicle_phase {
    PHASE_PARKED, /* disarmed, a fresh battery is put in */
    PHASE_ARMED,  /* on the ground, motors idle */
    PHASE_CLIMB,
    PHASE_CRUISE,
    PHASE_LOITER, /* holds its place */
    PHASE_GOTO,   /* to a place it was told */
    PHASE_RETURN,
    PHASE_DESCEND,
    PHASE_LANDED, /* on the ground, still armed */
};

enum vehicle_event_type {
    VEHICLE_EVENT_ARMED,
    VEHICLE_EVENT_DISARMED,
    VEHICLE_EVENT_TAKEOFF,
    VEHICLE_EVENT_LANDED,
    VEHICLE_EVENT_WAYPOINT,
    VEHICLE_EVENT_MODE_CHANGE,
    VEHICLE_EVENT_FAILSAFE,
    VEHICLE_EVENT_BATTERY_LOW,
    VEHICLE_EVENT_BATTERY_CRITICAL,
    VEHICLE_EVENT_STATUSTEXT,
    VEHICLE_EVENT_COUNT
};
const char *vehicle_event_name(enum vehicle_event_type type); /* "battery.low" */

struct vehicle_event {
    enum vehicle_event_type type;
    enum vehicle_mode from, to; /* mode_change */
    unsigned waypoint, waypoints;
    double lat, lon, rel_alt_m, remaining;
};

struct vehicle {
    struct rng rng;
    double home_lat, home_lon, home_alt_m;
    double north_m, east_m, up_m; /* from home */
    double vn, ve, vu;            /* m/s */
    double yaw, roll, pitch;      /* rad, yaw -pi..pi */
    double remaining;             /* battery, 0..1 */
    double current_a;
    double endurance_s; /* a full battery in flight */
    double cruise_m_s, cruise_alt_m;
    enum vehicle_phase phase;
    enum vehicle_mode mode;
    bool armed, low_told, critical_told;
    bool told_mode;    /* an operator wants this mode: no mission of its own accord */
    bool told_mission; /* … this mission: it is flown again and again */
    double told_north_m, told_east_m, told_alt_m; /* PHASE_GOTO; PHASE_CLIMB where told_mode */
    double phase_s, parked_s; /* since the phase began; how long it stays parked */
    int64_t at_ns;            /* schedule time it has been simulated to */
    struct {
        double north_m, east_m;
    } waypoints[VEHICLE_WAYPOINTS_MAX];
    unsigned waypoint, waypoint_count, mission_no;
    char mission[VEHICLE_MISSION_BYTES];
    struct vehicle_event events[VEHICLE_EVENTS_MAX];
    unsigned event_first, event_count;
    unsigned changes; /* grows when mode, armed, mission or waypoint change */
};

struct vehicle_setup {
    uint64_t seed;
    double home_lat, home_lon, home_alt_m;
    double endurance_s;
};

/* How near is there. */
#define VEHICLE_REACHED_M 3.0
#define VEHICLE_LEVEL_M 1.0

void vehicle_init(struct vehicle *vehicle, const struct vehicle_setup *setup);
/* Simulates on to a schedule time; never back. */
void vehicle_advance(struct vehicle *vehicle, int64_t to_ns);
/* False where there is none left. */
bool vehicle_take_event(struct vehicle *vehicle, struct vehicle_event *event);

/* ---- commands (contract §2), in vehicle_order.c ---- */

struct vehicle_refusal {
    const char *error; /* a fixed text */
    bool unsupported;  /* no vehicle of this kind ever does it */
};
enum vehicle_answer {
    VEHICLE_REFUSES, /* and *refusal says why */
    VEHICLE_NOTES,   /* done, and what it does goes on */
    VEHICLE_DOES,    /* done, and it ends what the vehicle was doing */
    VEHICLE_BEGINS,  /* it takes a while, until vehicle_order_done */
};
enum vehicle_answer vehicle_order(struct vehicle *vehicle, const char *type, struct doc_ref params,
                                  struct vehicle_refusal *refusal);
/* Whether it has done what it began last. */
bool vehicle_order_done(const struct vehicle *vehicle);
bool vehicle_in_the_air(const struct vehicle *vehicle);
/* The computer that speaks for it starts anew, and says so; the flight goes on. */
void vehicle_restart(struct vehicle *vehicle);

/* What an operator can ask for by the desired state. False where the vehicle knows no such thing.
 */
bool vehicle_set_mode(struct vehicle *vehicle, const char *mode);
/* The wish is withdrawn: the vehicle goes on by itself. */
void vehicle_release_mode(struct vehicle *vehicle);
bool vehicle_set_mission(struct vehicle *vehicle, const char *mission);
bool vehicle_set_cruise(struct vehicle *vehicle, double m_s);
bool vehicle_set_cruise_alt(struct vehicle *vehicle, double alt_m);

/* Parts of the above, for vehicle_order.c. */
void vehicle_arm(struct vehicle *vehicle, bool armed);
void vehicle_enter_phase(struct vehicle *vehicle, enum vehicle_phase phase);
void vehicle_tell(struct vehicle *vehicle, enum vehicle_event_type type);

/* Append the `data` objects of contract §2. */
void vehicle_write_position(struct buf *buf, struct vehicle *vehicle);
void vehicle_write_attitude(struct buf *buf, struct vehicle *vehicle);
void vehicle_write_battery(struct buf *buf, struct vehicle *vehicle);
void vehicle_write_mode(struct buf *buf, struct vehicle *vehicle);
void vehicle_write_health(struct buf *buf, struct vehicle *vehicle);
void vehicle_write_event(struct buf *buf, const struct vehicle_event *event);

#endif
