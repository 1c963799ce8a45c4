/* vehicle: what it does when it is told to. */
#include "tools/geo.h"
#include "tools/vehicle.h"

#include "twin/geo.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define REACH_M 20000.0 /* farther from home it does not go */

static enum vehicle_answer refuse(struct vehicle_refusal *refusal, const char *error)
{
    *refusal = (struct vehicle_refusal){.error = error};
    return VEHICLE_REFUSES;
}

/* A copy of a string; false where the parameter is none, or longer. */
static bool text_param(struct doc_ref params, const char *name, char *text, size_t room)
{
    struct doc_ref value = doc_getz(params, name);
    size_t size;
    const char *at = doc_is(value, DOC_STRING) ? doc_string(value, &size) : NULL;
    if (!at || size >= room)
        return false;
    memcpy(text, at, size);
    text[size] = '\0';
    return true;
}

static bool number_param(struct doc_ref params, const char *name, double *number)
{
    struct doc_ref value = doc_getz(params, name);
    if (!doc_is_number(value))
        return false;
    *number = doc_number(value);
    return true;
}

static void enter(struct vehicle *vehicle, enum vehicle_mode mode)
{
    vehicle_set_mode(vehicle, vehicle_mode_name(mode));
    vehicle->told_mode = true; /* also in AUTO: nothing of its own accord */
}

static enum vehicle_answer order_arm(struct vehicle *vehicle, struct doc_ref params,
                                     struct vehicle_refusal *refusal)
{
    (void)params;
    if (vehicle_in_the_air(vehicle))
        return refuse(refusal, "it is in the air, and armed");
    enter(vehicle, VEHICLE_MODE_GUIDED);
    vehicle_arm(vehicle, true);
    vehicle_enter_phase(vehicle, PHASE_ARMED);
    return VEHICLE_DOES;
}

static enum vehicle_answer order_disarm(struct vehicle *vehicle, struct doc_ref params,
                                        struct vehicle_refusal *refusal)
{
    if (vehicle_in_the_air(vehicle) && !doc_is(doc_getz(params, "force"), DOC_TRUE))
        return refuse(refusal, "it is in the air");
    /* The fall of one that is forced is over before anybody looks. */
    vehicle->up_m = vehicle->vn = vehicle->ve = vehicle->vu = 0;
    vehicle->roll = vehicle->pitch = 0;
    vehicle->told_mode = true;
    vehicle_arm(vehicle, false);
    vehicle_enter_phase(vehicle, PHASE_PARKED);
    return VEHICLE_DOES;
}

static enum vehicle_answer order_takeoff(struct vehicle *vehicle, struct doc_ref params,
                                         struct vehicle_refusal *refusal)
{
    double alt_m;
    if (!number_param(params, "alt", &alt_m) || alt_m < 0)
        return refuse(refusal, "no altitude");
    if (vehicle_in_the_air(vehicle))
        return refuse(refusal, "it is in the air already");
    enter(vehicle, VEHICLE_MODE_GUIDED);
    vehicle->told_alt_m = alt_m;
    vehicle_arm(vehicle, true);
    vehicle_tell(vehicle, VEHICLE_EVENT_TAKEOFF);
    vehicle_enter_phase(vehicle, PHASE_CLIMB);
    return VEHICLE_BEGINS;
}

static enum vehicle_answer order_land(struct vehicle *vehicle, struct doc_ref params,
                                      struct vehicle_refusal *refusal)
{
    (void)params;
    (void)refusal;
    enter(vehicle, VEHICLE_MODE_LAND);
    return VEHICLE_BEGINS;
}

static enum vehicle_answer order_rtl(struct vehicle *vehicle, struct doc_ref params,
                                     struct vehicle_refusal *refusal)
{
    (void)params;
    (void)refusal;
    enter(vehicle, VEHICLE_MODE_RTL);
    return VEHICLE_BEGINS;
}

static enum vehicle_answer order_hold(struct vehicle *vehicle, struct doc_ref params,
                                      struct vehicle_refusal *refusal)
{
    (void)params;
    (void)refusal;
    enter(vehicle, VEHICLE_MODE_LOITER);
    return VEHICLE_DOES;
}

static enum vehicle_answer order_goto(struct vehicle *vehicle, struct doc_ref params,
                                      struct vehicle_refusal *refusal)
{
    double lat, lon, alt_m;
    if (!number_param(params, "lat", &lat) || !number_param(params, "lon", &lon) ||
        !number_param(params, "alt", &alt_m))
        return refuse(refusal, "no place");
    if (!vehicle_in_the_air(vehicle))
        return refuse(refusal, "it is on the ground");
    if (geo_distance_m(vehicle->home_lat, vehicle->home_lon, lat, lon) > REACH_M)
        return refuse(refusal, "it is too far from home");
    enter(vehicle, VEHICLE_MODE_GUIDED);
    vehicle->told_north_m = (lat - vehicle->home_lat) * GEO_METRES_PER_DEGREE;
    vehicle->told_east_m =
        (lon - vehicle->home_lon) * GEO_METRES_PER_DEGREE * cos(vehicle->home_lat * GEO_PI / 180);
    vehicle->told_alt_m = alt_m;
    vehicle_enter_phase(vehicle, PHASE_GOTO);
    return VEHICLE_BEGINS;
}

static enum vehicle_answer order_set_mode(struct vehicle *vehicle, struct doc_ref params,
                                          struct vehicle_refusal *refusal)
{
    char mode[32];
    if (!text_param(params, "mode", mode, sizeof mode) || !vehicle_set_mode(vehicle, mode))
        return refuse(refusal, "it has no such mode");
    return VEHICLE_DOES;
}

static enum vehicle_answer order_mission_start(struct vehicle *vehicle, struct doc_ref params,
                                               struct vehicle_refusal *refusal)
{
    (void)params;
    (void)refusal;
    vehicle_set_mode(vehicle, vehicle_mode_name(VEHICLE_MODE_AUTO));
    vehicle->parked_s = 0;
    return VEHICLE_DOES;
}

static enum vehicle_answer order_mission_upload(struct vehicle *vehicle, struct doc_ref params,
                                                struct vehicle_refusal *refusal)
{
    char mission[VEHICLE_MISSION_BYTES];
    if (!text_param(params, "mission_id", mission, sizeof mission) ||
        !vehicle_set_mission(vehicle, mission))
        return refuse(refusal, "it cannot keep a mission of that name");
    return VEHICLE_NOTES;
}

static enum vehicle_answer order_param_set(struct vehicle *vehicle, struct doc_ref params,
                                           struct vehicle_refusal *refusal)
{
    char name[64];
    double value;
    if (!text_param(params, "name", name, sizeof name) || !number_param(params, "value", &value))
        return refuse(refusal, "its parameters are numbers");
    bool speed = strcmp(name, "cruise_speed") == 0, alt = strcmp(name, "cruise_alt") == 0;
    if ((speed && !vehicle_set_cruise(vehicle, value)) ||
        (alt && !vehicle_set_cruise_alt(vehicle, value)))
        return refuse(refusal, "the value is out of range");
    if (!speed && !alt)
        return refuse(refusal, "it has only cruise_speed and cruise_alt");
    return VEHICLE_NOTES;
}

static const struct {
    const char *type;
    enum vehicle_answer (*obey)(struct vehicle *vehicle, struct doc_ref params,
                                struct vehicle_refusal *refusal);
} ORDERS[] = {
    {"arm", order_arm},
    {"disarm", order_disarm},
    {"takeoff", order_takeoff},
    {"land", order_land},
    {"rtl", order_rtl},
    {"hold", order_hold},
    {"goto", order_goto},
    {"set_mode", order_set_mode},
    {"mission.start", order_mission_start},
    {"mission.upload", order_mission_upload},
    {"param.set", order_param_set},
};

enum vehicle_answer vehicle_order(struct vehicle *vehicle, const char *type, struct doc_ref params,
                                  struct vehicle_refusal *refusal)
{
    for (size_t i = 0; i < sizeof ORDERS / sizeof *ORDERS; i++)
        if (strcmp(ORDERS[i].type, type) == 0)
            return ORDERS[i].obey(vehicle, params, refusal);
    *refusal = (struct vehicle_refusal){"it knows no such command", true};
    return VEHICLE_REFUSES;
}

bool vehicle_order_done(const struct vehicle *vehicle)
{
    switch (vehicle->phase) {
    case PHASE_PARKED:
    case PHASE_LOITER:
        return true;
    default:
        return vehicle->phase == PHASE_ARMED && vehicle->told_mode;
    }
}

void vehicle_restart(struct vehicle *vehicle)
{
    vehicle_tell(vehicle, VEHICLE_EVENT_STATUSTEXT);
}
