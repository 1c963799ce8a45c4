/* What is found out about a configuration only by reading the files that it names. */
#include "hub/config_key.h"
#include "hub/geofence.h"

#include <string.h>

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
    return good;
}
