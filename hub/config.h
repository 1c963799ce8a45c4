/*
 * config: what the hub is told, from a YAML file, the environment and flags; flags win over
 * environment over file (contract §7).
 *
 * All keys stand in one table in config.c: name, type, default, range, environment variable, help,
 * whether SIGHUP may change it. Parsing, checking, `config example`, `config show` and the flags
 * of `run` come from it.
 *
 * Ownership: a struct config owns its strings; config_done frees them. Immutable once loaded.
 */
#ifndef HUB_CONFIG_H
#define HUB_CONFIG_H

#include "twin/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum streams_mode { STREAMS_MANAGE, STREAMS_VERIFY };
enum key_style { KEY_SLASHES, KEY_DOTS };
enum auth_mode { AUTH_TOKENS, AUTH_OFF };
enum admission { ADMISSION_OPEN, ADMISSION_REGISTERED };

struct config {
    char *env, *region;
    struct {
        char *url, *creds;
        struct {
            char *ca, *cert, *key;
        } tls;
        int replicas;
        enum streams_mode streams;
        enum key_style shadow_key_style;
        struct {
            int64_t payload_bytes; /* envelope bound, default 262144 */
            /* ages in seconds, sizes in bytes: contract §3's defaults */
            int64_t state_age_s, state_bytes, events_age_s, events_bytes, cmd_age_s, ack_age_s,
                ack_bytes, record_age_s, record_bytes, commands_age_s;
        } limits;
    } nats;
    struct {
        char *dsn, *admin_dsn;
    } postgres;
    struct {
        char *listen;
        struct {
            char *cert, *key;
        } tls;
        char **cors_origins; /* NULL-terminated */
        struct {
            int connections, per_address, header_bytes, body_bytes, requests_per_minute;
        } limits;
    } http;
    struct {
        enum auth_mode mode;
    } auth;
    struct {
        enum admission admission;
        int64_t max_clock_skew_s;
    } vehicles;
    struct {
        double stale_after_s, offline_after_s;
    } presence;
    struct {
        int confirm_above, default_ttl_s;
        char **extra_types;
        struct {
            double max_alt_m;
            char *geofence;
            double min_battery;
            int rate_per_vehicle_per_min;
        } policy;
    } commands;
    struct {
        int retention_days, checkpoint_s;
        char *signing_key_file;
        int track_s;
    } record;
    struct {
        int level; /* enum log_level */
        bool json;
    } log;
};

#endif
