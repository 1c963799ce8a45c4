/*
 * command_policy: what a command must keep to before it is sent to a vehicle (contract §5, "Policy
 * defaults"), judged from the configuration, the command and the vehicle's twin.
 *
 * What the twin does not know blocks nothing. Recovery commands (land, rtl, hold) are bound by no
 * rule: in an emergency nothing stands in their way. A rule that blocks one vehicle says nothing
 * about the next.
 *
 * Ownership: a policy borrows its geofence; command_rate_free frees a rate.
 * Threads: judging is pure; a rate belongs to one thread at a time.
 * Limits: a rate holds the instants of the last minute, at most as many as the limit, per vehicle.
 */
#ifndef TWIN_COMMAND_POLICY_H
#define TWIN_COMMAND_POLICY_H

#include "twin/command_params.h"
#include "twin/geo.h"
#include "twin/twin.h"

/* The rules by the names that stand as the `reason` of a blocked vehicle. */
#define COMMAND_RULE_TABLE(X)                                                                      \
    X(UNKNOWN_VEHICLE, "unknown_vehicle")                                                          \
    X(ALTITUDE, "max_alt_m")                                                                       \
    X(GEOFENCE, "geofence")                                                                        \
    X(BATTERY, "min_battery")                                                                      \
    X(SENSORS, "sensors_ok")                                                                       \
    X(IN_AIR, "disarm_in_air")                                                                     \
    X(RATE, "rate_per_vehicle_per_min")

enum command_rule {
    RULE_NONE, /* nothing blocks it */
#define X(id, name) RULE_##id,
    COMMAND_RULE_TABLE(X)
#undef X
        RULE_COUNT
};
const char *command_rule_name(enum command_rule rule); /* "" of RULE_NONE */

struct command_policy {
    double max_alt_m;
    double min_battery;              /* 0..1 */
    const struct geo_area *geofence; /* NULL: anywhere */
};

/* Whether the command, whose params have passed command_params_check, may go to this vehicle; the
 * rate is asked separately. `reason` is what the operator gave, NULL or empty for none. A twin that
 * is NULL or not visible is RULE_UNKNOWN_VEHICLE, of a recovery command too. */
enum command_rule command_policy_judge(const struct command_policy *policy, struct slice type,
                                       struct doc_ref params, const char *reason,
                                       const struct twin *twin);

/* ---- the rate: commands to one vehicle within a sliding minute, judged at the POST ---- */

#define COMMAND_RATE_WINDOW_NS (60 * NS_PER_S)

struct command_rate;
struct command_rate *command_rate_new(void);
void command_rate_free(struct command_rate *rate);
/* Whether one more command to the vehicle at `now_ns` keeps within `limit` commands in the minute
 * that ends then. Vehicles are named by small numbers, such as their index in the store. Asking
 * changes nothing, so a dry run may. */
bool command_rate_allows(const struct command_rate *rate, uint32_t vehicle, int64_t now_ns,
                         unsigned limit);
/* A command was given at `at_ns`; also for commands read back after a restart, in any order.
 * Recovery commands are not to be noted. False when there is no memory. */
bool command_rate_note(struct command_rate *rate, uint32_t vehicle, int64_t at_ns);

#endif
