/*
 * access_role: the four roles, and what each may do (contract §6). One table.
 *
 * Pure, any thread.
 */
#ifndef HUB_ACCESS_ROLE_H
#define HUB_ACCESS_ROLE_H

#include <stdbool.h>
#include <stddef.h>

/* What a route, or a step of it, asks for. */
enum capability {
    CAN_READ,       /* twins, live queries, groups, commands */
    CAN_AUDIT,      /* the record, exports, checkpoints, verification, tokens and grants */
    CAN_OPERATE,    /* write desired, groups, commands */
    CAN_ADMINISTER, /* tokens, grants, meta, config, registration */
    CAPABILITIES,
};

#define ROLE_TABLE(X)                                                                              \
    X(VIEWER, "viewer", 1 << CAN_READ)                                                             \
    X(AUDITOR, "auditor", 1 << CAN_READ | 1 << CAN_AUDIT)                                          \
    X(OPERATOR, "operator", 1 << CAN_READ | 1 << CAN_OPERATE)                                      \
    X(ADMIN, "admin", (1 << CAPABILITIES) - 1)

enum role {
    ROLE_NONE, /* may nothing */
#define X(id, name, can) ROLE_##id,
    ROLE_TABLE(X)
#undef X
        ROLES
};

/* ROLE_NONE for a name that is none of them. */
enum role role_of(const char *name, size_t size);
const char *role_name(enum role role); /* "none" for ROLE_NONE */
bool role_can(enum role role, enum capability capability);
/* For texts: "viewer, auditor, operator or admin". */
extern const char role_names[];
/* What a capability is called in a refusal: "read the record". */
const char *capability_text(enum capability capability);

#endif
