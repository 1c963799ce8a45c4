#include "twin/command_policy.h"

#include "twin/filter_lex.h"

/* Above this a vehicle that is armed is taken to be in the air (contract §5). */
static const double in_air_m = 2;

const char *command_rule_name(enum command_rule rule)
{
    static const char *const names[] = {[RULE_NONE] = "",
#define X(id, name) [RULE_##id] = name,
                                        COMMAND_RULE_TABLE(X)
#undef X
    };
    return names[rule];
}

/* A member of a state type's data; no value where the twin has not got it. */
static struct doc_ref state_member(const struct twin *twin, const char *type, const char *name)
{
    struct slice wanted = {type, 0};
    while (type[wanted.size])
        wanted.size++;
    const struct state *state = twin_state(twin, wanted);
    return state ? doc_getz(doc_root(state->data), name) : (struct doc_ref){NULL, NULL};
}

static bool below(struct doc_ref value, double limit)
{
    return doc_is_number(value) && doc_number(value) < limit;
}

static bool in_air(const struct twin *twin)
{
    struct doc_ref height = state_member(twin, "position", "rel_alt");
    return doc_is(state_member(twin, "mode", "armed"), DOC_TRUE) && doc_is_number(height) &&
           doc_number(height) > in_air_m;
}

/* A number that command_params_check has seen; a missing one is 0. */
static double param(struct doc_ref params, const char *name)
{
    struct doc_ref value = doc_getz(params, name);
    return doc_is_number(value) ? doc_number(value) : 0;
}

enum command_rule command_policy_judge(const struct command_policy *policy, struct slice type,
                                       struct doc_ref params, const char *reason,
                                       const struct twin *twin)
{
    const struct command_type *known = command_type_find(type);
    unsigned asks = known && !known->recovery ? known->policy : 0;
    if (!twin_visible(twin))
        return RULE_UNKNOWN_VEHICLE;
    if (asks & COMMAND_HAS_ALT && param(params, "alt") > policy->max_alt_m)
        return RULE_ALTITUDE;
    if (asks & COMMAND_HAS_PLACE && policy->geofence &&
        !geo_area_holds(policy->geofence, param(params, "lat"), param(params, "lon")))
        return RULE_GEOFENCE;
    if (asks & COMMAND_RISES) {
        if (below(state_member(twin, "battery", "remaining"), policy->min_battery))
            return RULE_BATTERY;
        if (doc_is(state_member(twin, "health", "sensors_ok"), DOC_FALSE))
            return RULE_SENSORS;
    }
    bool forced = doc_is(doc_getz(params, "force"), DOC_TRUE) && reason && *reason;
    if (asks & COMMAND_STOPS && !forced && in_air(twin))
        return RULE_IN_AIR;
    return RULE_NONE;
}
