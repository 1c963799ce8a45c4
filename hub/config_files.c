/* What is found out about a configuration only by reading the files that it names. */
#include "hub/config_key.h"
#include "hub/geofence.h"
#include "hub/jwt.h"

#include <string.h>

static bool check_keys(const struct config *config, struct buf *errors)
{
    static const char name[] = "auth.jwt";
    bool good = true;
    for (size_t i = 0; i < config->auth.jwt_count; i++) {
        const struct config_jwt *jwt = &config->auth.jwt[i];
        char why[256];
        struct jwt_key *key = jwt_key_load(jwt->key_file, jwt->algorithm, why);
        good = good && key;
        if (!key) {
            config_write_origin(config, config_key_find(name, strlen(name)), errors);
            buf_addf(errors, ": %s: %s of issuer %s: %s\n", name, jwt->key_file, jwt->issuer, why);
        }
        jwt_key_free(key);
    }
    return good;
}

bool config_check_files(const struct config *config, struct buf *errors)
{
    static const char geofence[] = "commands.policy.geofence";
    struct geo_area *area = NULL;
    struct buf why = BUF_INIT;
    bool good = geofence_load(config, &area, &why);
    if (!good) {
        config_write_origin(config, config_key_find(geofence, strlen(geofence)), errors);
        buf_addf(errors, ": %s: %s\n", geofence, buf_cstr(&why));
    }
    buf_done(&why);
    geo_area_free(area);
    return check_keys(config, errors) && good;
}
