/*
 * config: what the hub is told, from a YAML file, the environment and flags; flags win over
 * environment over file (contract §7).
 *
 * All keys stand in one table in config_table.c (see config_key.h): name, type, default, range,
 * environment variable, help, whether SIGHUP may change it. Parsing, checking, `config example`,
 * `config show`, the schema and the flags of `run` come from it.
 *
 * Ownership: a struct config owns its strings; config_done frees them. Immutable once loaded.
 * Threads: none of its own; a loaded config may be read by any number of threads.
 * Limits: a file of 1 MiB, a value of 4 KiB, 256 elements of a list, 100 errors told.
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
enum jwt_algorithm { JWT_EDDSA, JWT_ES256, JWT_RS256 };

/* One issuer of JWTs that is believed, with its one algorithm and key. */
struct config_jwt {
    char *issuer, *audience, *key_file;
    enum jwt_algorithm algorithm;
};

struct config_origin; /* where a key's value came from: config_key.h */

struct config {
    char *env, *region;
    struct {
        char *url, *creds; /* creds and what else names a file: NULL where not set */
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
        char *dsn, *admin_dsn; /* admin_dsn is dsn where it was not set */
    } postgres;
    struct {
        char *listen; /* literal address and port, "127.0.0.1:8480" or "[::1]:8480" */
        struct {
            char *cert, *key;
        } tls;
        char **cors_origins; /* NULL-terminated */
        struct {
            int connections, per_address, header_bytes, body_bytes, requests_per_minute;
            int streams_per_principal, exports_per_principal;
            int request_s, reply_s;
        } limits;
    } http;
    struct {
        enum auth_mode mode;
        struct config_jwt *jwt;
        size_t jwt_count;
    } auth;
    struct {
        enum admission admission;
        int64_t max_clock_skew_s;
    } vehicles;
    struct {
        int checkpoint_s;
    } twins;
    struct {
        double stale_after_s, offline_after_s;
    } presence;
    struct {
        int confirm_above, default_ttl_s;
        char **extra_types; /* NULL-terminated */
        struct {
            double max_alt_m;
            char *geofence;
            double min_battery;
            int rate_per_vehicle_per_min;
        } policy;
    } commands;
    struct {
        int retention_days, checkpoint_s;
        char *signing_key_file, *previous_key_file, *checkpoint_file;
        int track_s;
    } record;
    struct {
        int level; /* enum log_level */
        bool json;
    } log;

    struct config_cell *cell;      /* what is in force now; NULL: this one, for good */
    char *file;                    /* as it was named, NULL without one */
    struct config_origin *origins; /* one for each key of the table */
};

/* One `--name=value` of a command line; `name` is its first `name_size` bytes. */
struct config_flag {
    const char *name;
    size_t name_size;
    const char *value;
};

struct config_request {
    const char *file; /* NULL: no file */
    const char *text; /* where not NULL: the file's bytes, and `file` only names them */
    size_t text_bytes;
    const struct config_flag *flags;
    size_t flag_count;
    /* Keys without a default that have to be there: NULL for all of them, else those whose name
     * begins with this ("postgres." for `migrate`). */
    const char *required;
};

/* 0, and *config; or -1, and every error in `errors`, a line each, as `FILE:LINE:COL: text`
 * (`environment NAME: text`, `flag --name: text`). What is sensible in itself is checked here;
 * whether a file that is named can be read is found out by who reads it. */
int config_load(const struct config_request *request, struct config *config, struct buf *errors);
/* Whether the files that it names say what they should, as far as that is a matter of the
 * configuration alone: a line for each that does not, as above, and false. */
bool config_check_files(const struct config *config, struct buf *errors);
/* Frees what a loaded or zeroed config owns. */
void config_done(struct config *config);

/* From now on config_reload may put another one in force. False: no memory. */
bool config_reloadable(struct config *config);
/* The one in force, for the keys that a reload may change; `config` is the one that the hub started
 * with, which holds for all others. What it returns lives as long as `config`. Any thread. */
const struct config *config_now(const struct config *config);
/* Reads and judges everything anew, the files that are named too. 0: it is in force, and `report`
 * has a line for each key that changed or needs a restart. -1: the old one stays, and `report` has
 * the errors. One thread at a time. */
int config_reload(struct config *config, const struct config_request *request, struct buf *report);
void config_cell_free(struct config_cell *cell); /* NULL is nothing */

/* True where the address is a loopback one. */
bool config_listens_on_loopback(const struct config *config);

/* What is in force, as YAML that config_load takes, without passwords; with `origins`, each
 * value's source stands behind it as a comment. */
void config_show(const struct config *config, bool origins, struct buf *out);
/* A complete commented file: every key, its default, and what it is. */
void config_example(struct buf *out);
/* The JSON Schema (2020-12) of the file. */
void config_schema(struct buf *out);

/* A DSN or a URL of NATS with every password and token in it replaced: for logs and /version too.
 * Works on malformed ones, where it rather hides too much. */
void config_hide_dsn(const char *dsn, struct buf *out);
void config_hide_nats_url(const char *url, struct buf *out);

#endif
