/*
 * command_params: the types of commands and the schema of their parameters, as one table
 * (contract §2).
 *
 * A type is one of the table, or one that the configuration names (`commands.extra_types`); an
 * extra type takes any object. Types that steer, sticks, velocities, motors, are refused
 * everywhere, also in the configuration: no network is ever part of a control loop.
 *
 * Parameters are strict: the members of the schema and no others, each of its type and within its
 * range. A missing optional member is missing; there are no defaults.
 *
 * Ownership: the table is static; nothing is kept of what is judged.
 * Threads: pure functions.
 * Limits: COMMAND_TEXT_MAX_BYTES of a text, COMMAND_PARAMS_MAX_DEPTH of the parameters.
 */
#ifndef TWIN_COMMAND_PARAMS_H
#define TWIN_COMMAND_PARAMS_H

#include "twin/doc.h"
#include "twin/envelope.h"
#include "twin/geo.h"

enum {
    COMMAND_TEXT_MAX_BYTES = 256, /* a mode, a mission id, a parameter's name */
    COMMAND_PARAMS_MAX_DEPTH = ENVELOPE_MAX_DEPTH - 1, /* they stand one level down in `data` */
    COMMAND_MEMBERS_MAX = 3,                           /* in the schema of one type */
};

enum command_member_kind {
    MEMBER_ALT, /* m above home, 0 or more */
    MEMBER_LAT, /* degrees WGS 84 */
    MEMBER_LON,
    MEMBER_BOOL,
    MEMBER_TEXT,   /* not empty */
    MEMBER_LIST,   /* an array of anything */
    MEMBER_SCALAR, /* a number, a string, true or false */
};

struct command_member {
    const char *name; /* NULL behind the last */
    enum command_member_kind kind;
    bool optional;
};

/* What the policy asks about a type (twin/command_policy.h). */
enum {
    COMMAND_HAS_ALT = 1 << 0,   /* its altitude is bounded */
    COMMAND_HAS_PLACE = 1 << 1, /* its place must lie within the geofence */
    COMMAND_RISES = 1 << 2,     /* asks for battery and sensors */
    COMMAND_STOPS = 1 << 3,     /* in the air only by force */
};

struct command_type {
    const char *name;
    bool recovery; /* land, rtl, hold: a lane of their own (contract §5) */
    unsigned policy;
    struct command_member members[COMMAND_MEMBERS_MAX + 1];
};

extern const struct command_type command_types[];
extern const size_t command_type_count;

/* A type of the table; NULL where it is none of them. */
const struct command_type *command_type_find(struct slice type);
bool command_type_is_recovery(struct slice type);

/* Whether it is one to four tokens, as subjects take them (contract §1). */
bool command_type_is_well_formed(struct slice type);
/* The forbidden family that the type belongs to ("velocity"), in whatever case it is written;
 * NULL: none. */
const char *command_type_steers(struct slice type);

/* Whether a command of this type may be given with these parameters; `params` may be no value,
 * which is as `{}`. `extra` are the types of the configuration, NULL behind the last, or NULL.
 * False with *error set: detail and hint are whole sentences' worth for problem+json; the offset
 * is not used and 0. */
bool command_type_check(struct slice type, const char *const *extra, struct text_error *error);
bool command_params_check(struct slice type, struct doc_ref params, const char *const *extra,
                          struct text_error *error);

#endif
