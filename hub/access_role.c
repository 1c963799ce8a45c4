#include "hub/access_role.h"

#include <string.h>

static const struct {
    const char *name;
    unsigned can;
} table[ROLES] = {[ROLE_NONE] = {"none", 0},
#define X(id, name, can) [ROLE_##id] = {name, can},
                  ROLE_TABLE(X)
#undef X
};

const char role_names[] = "viewer, auditor, operator or admin";

enum role role_of(const char *name, size_t size)
{
    for (int role = ROLE_NONE + 1; role < ROLES; role++)
        if (strlen(table[role].name) == size && memcmp(table[role].name, name, size) == 0)
            return (enum role)role;
    return ROLE_NONE;
}

const char *role_name(enum role role)
{
    return table[role].name;
}

bool role_can(enum role role, enum capability capability)
{
    return (table[role].can >> capability & 1) != 0;
}

const char *capability_text(enum capability capability)
{
    static const char *const texts[CAPABILITIES] = {
        [CAN_READ] = "read twins, groups and commands",
        [CAN_AUDIT] = "read the record",
        [CAN_OPERATE] = "write desired, groups and commands",
        [CAN_ADMINISTER] = "change access, registration, meta and config",
    };
    return texts[capability];
}
