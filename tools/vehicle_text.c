/* vehicle: what it says of itself, as the `data` of contract §2. */
#include "tools/vehicle.h"

#include "tools/geo.h"

#include <math.h>

#define CELLS 4
#define CELL_EMPTY_V 3.4
#define CELL_FULL_V 4.15
#define PACK_OHM 0.02

static double jitter(struct vehicle *vehicle, double size)
{
    return rng_between(&vehicle->rng, -size, size);
}

/* Degrees clockwise from north, never 360 after rounding to a hundredth. */
static double heading_of(double yaw)
{
    double degrees = yaw * 180 / GEO_PI;
    if (degrees < 0)
        degrees += 360;
    return degrees >= 359.995 ? 0 : degrees;
}

void vehicle_write_position(struct buf *buf, struct vehicle *vehicle)
{
    double north_m = vehicle->north_m + jitter(vehicle, 0.3);
    double east_m = vehicle->east_m + jitter(vehicle, 0.3);
    buf_addf(buf,
             "{\"lat\":%.7f,\"lon\":%.7f,\"alt\":%.2f,\"rel_alt\":%.2f,\"vx\":%.2f,\"vy\":%.2f,"
             "\"vz\":%.2f,\"heading\":%.2f}",
             geo_lat(vehicle->home_lat, north_m),
             geo_lon(vehicle->home_lat, vehicle->home_lon, east_m),
             vehicle->home_alt_m + vehicle->up_m, vehicle->up_m, vehicle->vn, vehicle->ve,
             -vehicle->vu, heading_of(vehicle->yaw));
}

void vehicle_write_attitude(struct buf *buf, struct vehicle *vehicle)
{
    buf_addf(buf, "{\"roll\":%.5f,\"pitch\":%.5f,\"yaw\":%.5f}",
             vehicle->roll + jitter(vehicle, 0.005), vehicle->pitch + jitter(vehicle, 0.005),
             vehicle->yaw);
}

void vehicle_write_battery(struct buf *buf, struct vehicle *vehicle)
{
    double open_v = CELLS * (CELL_EMPTY_V + (CELL_FULL_V - CELL_EMPTY_V) * vehicle->remaining);
    buf_addf(buf, "{\"voltage\":%.3f,\"current\":%.2f,\"remaining\":%.4f}",
             open_v - PACK_OHM * vehicle->current_a + jitter(vehicle, 0.01),
             fmax(0, vehicle->current_a + jitter(vehicle, 0.2)), vehicle->remaining);
}

void vehicle_write_mode(struct buf *buf, struct vehicle *vehicle)
{
    buf_addf(buf, "{\"mode\":\"%s\",\"armed\":%s}", vehicle_mode_name(vehicle->mode),
             vehicle->armed ? "true" : "false");
}

void vehicle_write_health(struct buf *buf, struct vehicle *vehicle)
{
    buf_addf(buf,
             "{\"cpu_load\":%.3f,\"errors\":0,\"sensors_ok\":true,\"gps_fix\":3,\"satellites\":%u}",
             (vehicle->armed ? 0.35 : 0.2) + jitter(vehicle, 0.05),
             12 + (unsigned)(rng_next(&vehicle->rng) % 6));
}

const char *vehicle_event_name(enum vehicle_event_type type)
{
    static const char *const names[VEHICLE_EVENT_COUNT] = {
        [VEHICLE_EVENT_ARMED] = "armed",
        [VEHICLE_EVENT_DISARMED] = "disarmed",
        [VEHICLE_EVENT_TAKEOFF] = "takeoff",
        [VEHICLE_EVENT_LANDED] = "landed",
        [VEHICLE_EVENT_WAYPOINT] = "waypoint",
        [VEHICLE_EVENT_MODE_CHANGE] = "mode_change",
        [VEHICLE_EVENT_FAILSAFE] = "failsafe",
        [VEHICLE_EVENT_BATTERY_LOW] = "battery.low",
        [VEHICLE_EVENT_BATTERY_CRITICAL] = "battery.critical",
        [VEHICLE_EVENT_STATUSTEXT] = "statustext",
    };
    return names[type];
}

void vehicle_write_event(struct buf *buf, const struct vehicle_event *event)
{
    switch (event->type) {
    case VEHICLE_EVENT_ARMED:
    case VEHICLE_EVENT_DISARMED:
        buf_addf(buf, "{\"severity\":\"info\",\"mode\":\"%s\"}", vehicle_mode_name(event->to));
        break;
    case VEHICLE_EVENT_TAKEOFF:
    case VEHICLE_EVENT_LANDED:
        buf_addf(buf, "{\"severity\":\"info\",\"lat\":%.7f,\"lon\":%.7f,\"rel_alt\":%.2f}",
                 event->lat, event->lon, event->rel_alt_m);
        break;
    case VEHICLE_EVENT_WAYPOINT:
        buf_addf(buf, "{\"severity\":\"info\",\"index\":%u,\"count\":%u,\"lat\":%.7f,\"lon\":%.7f}",
                 event->waypoint + 1, event->waypoints, event->lat, event->lon);
        break;
    case VEHICLE_EVENT_MODE_CHANGE:
        buf_addf(buf, "{\"severity\":\"notice\",\"from\":\"%s\",\"to\":\"%s\"}",
                 vehicle_mode_name(event->from), vehicle_mode_name(event->to));
        break;
    case VEHICLE_EVENT_FAILSAFE:
        buf_addf(buf, "{\"severity\":\"error\",\"reason\":\"battery\",\"remaining\":%.4f}",
                 event->remaining);
        break;
    case VEHICLE_EVENT_BATTERY_LOW:
    case VEHICLE_EVENT_BATTERY_CRITICAL:
        buf_addf(buf, "{\"severity\":\"%s\",\"remaining\":%.4f}",
                 event->type == VEHICLE_EVENT_BATTERY_LOW ? "warning" : "critical",
                 event->remaining);
        break;
    case VEHICLE_EVENT_STATUSTEXT:
    case VEHICLE_EVENT_COUNT:
        buf_adds(buf, "{\"severity\":6,\"text\":\"simulated quadcopter started\"}");
        break;
    }
}
