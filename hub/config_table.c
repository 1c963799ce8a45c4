#include "hub/config_key.h"

#include <stdlib.h>
#include <string.h>

#define MEMBER(path) offsetof(struct config, path), sizeof(((struct config *)0)->path)
#define DAYS (24.0 * 60 * 60)
#define GB (1024.0 * 1024 * 1024)
#define AGE_MAX (36500 * DAYS)
#define SIZE_MAX_BYTES (1024.0 * 1024 * GB) /* a petabyte */
#define MESSAGE_MAX_BYTES (8.0 * 1024 * 1024)

#define STRING(path, kind, ...)                                                                    \
    {                                                                                              \
#path, kind, MEMBER(path), __VA_ARGS__                                                     \
    }
#define NUMBER(path, kind, default_, min_, max_, ...)                                              \
    {                                                                                              \
#path, kind, MEMBER(path), .fallback = default_, .min = min_, .max = max_, __VA_ARGS__     \
    }
#define CHOICE(path, default_, choices_, ...)                                                      \
    {                                                                                              \
#path, CONFIG_CHOICE, MEMBER(path), .fallback = default_, .choices = choices_, __VA_ARGS__ \
    }

/* clang-format off */
const struct config_key config_keys[] = {
    STRING(env, CONFIG_TOKEN, .variable = "FLEETHUB_ENV", .required = true, .example = "prod",
           .help = "Environment: the token after `fleet.` in every subject."),
    STRING(region, CONFIG_TOKEN, .variable = "FLEETHUB_REGION", .required = true,
           .example = "eu-north", .help = "Region that this hub serves."),

    STRING(nats.url, CONFIG_NATS, .variable = "FLEETHUB_NATS_URL", .required = true,
           .example = "nats://127.0.0.1:4222",
           .help = "Servers of the region's NATS cluster, commas between them."),
    STRING(nats.creds, CONFIG_FILE, .example = "/etc/fleethub/hub.creds",
           .help = "File with the hub's NATS credentials."),
    STRING(nats.tls.ca, CONFIG_FILE, .example = "/etc/fleethub/ca.pem",
           .help = "File with the certificates that NATS servers are verified against."),
    STRING(nats.tls.cert, CONFIG_FILE, .example = "/etc/fleethub/hub.pem",
           .help = "File with the hub's client certificate."),
    STRING(nats.tls.key, CONFIG_FILE, .example = "/etc/fleethub/hub.key",
           .help = "File with the key of the client certificate."),
    NUMBER(nats.replicas, CONFIG_INTEGER, "1", 1, 5,
           .help = "Copies of each stream: 1, or 3 in a cluster."),
    CHOICE(nats.streams, "manage", "manage|verify",
           .help = "Create the streams that are missing, or only verify those that exist."),
    CHOICE(nats.shadow_key_style, "slashes", "slashes|dots",
           .help = "Keys of TWIN_SHADOW: fleet/ENV/veh/VID/desired, or with dots."),
    NUMBER(nats.limits.payload_bytes, CONFIG_SIZE, "262144", 1024, MESSAGE_MAX_BYTES,
           .help = "Largest message of a vehicle; a larger one is refused."),
    NUMBER(nats.limits.state_age_s, CONFIG_AGE, "1h", 60, AGE_MAX,
           .help = "How long TWIN_STATE keeps a message."),
    NUMBER(nats.limits.state_bytes, CONFIG_SIZE, "10GB", 1024, SIZE_MAX_BYTES,
           .help = "Size of TWIN_STATE."),
    NUMBER(nats.limits.events_age_s, CONFIG_AGE, "90d", 60, AGE_MAX,
           .help = "How long TWIN_EVENTS keeps a message."),
    NUMBER(nats.limits.events_bytes, CONFIG_SIZE, "20GB", 1024, SIZE_MAX_BYTES,
           .help = "Size of TWIN_EVENTS."),
    NUMBER(nats.limits.cmd_age_s, CONFIG_AGE, "5min", 60, AGE_MAX,
           .help = "How long TWIN_CMD keeps a command."),
    NUMBER(nats.limits.ack_age_s, CONFIG_AGE, "7d", 60, AGE_MAX,
           .help = "How long TWIN_ACK keeps an acknowledgement."),
    NUMBER(nats.limits.ack_bytes, CONFIG_SIZE, "2GB", 1024, SIZE_MAX_BYTES,
           .help = "Size of TWIN_ACK."),
    NUMBER(nats.limits.record_age_s, CONFIG_AGE, "90d", 60, AGE_MAX,
           .help = "How long TWIN_RECORD keeps what the hub put on record."),
    NUMBER(nats.limits.record_bytes, CONFIG_SIZE, "20GB", 1024, SIZE_MAX_BYTES,
           .help = "Size of TWIN_RECORD."),
    NUMBER(nats.limits.commands_age_s, CONFIG_AGE, "30d", 60, AGE_MAX,
           .help = "How long TWIN_COMMANDS keeps a command."),

    STRING(postgres.dsn, CONFIG_DSN, .variable = "FLEETHUB_POSTGRES_DSN", .required = true,
           .example = "host=127.0.0.1 dbname=fleethub user=fleethub passfile=/etc/fleethub/pgpass",
           .help = "Connection string of the archive; the hub's own role only inserts and selects."),
    STRING(postgres.admin_dsn, CONFIG_DSN,
           .example = "host=127.0.0.1 dbname=fleethub user=fleethub_admin",
           .help = "Connection string for migrations and retention; postgres.dsn where not set."),

    STRING(http.listen, CONFIG_LISTEN, .fallback = "127.0.0.1:8480",
           .variable = "FLEETHUB_HTTP_LISTEN",
           .help = "Address and port of the HTTP API; port 0 takes any free one."),
    STRING(http.tls.cert, CONFIG_FILE, .example = "/etc/fleethub/http.pem",
           .help = "File with the server's certificate chain."),
    STRING(http.tls.key, CONFIG_FILE, .example = "/etc/fleethub/http.key",
           .help = "File with the key of the server's certificate."),
    STRING(http.cors_origins, CONFIG_ORIGINS, .fallback = "", .reloadable = true,
           .help = "Web origins whose pages may call the API from a browser."),
    NUMBER(http.limits.connections, CONFIG_INTEGER, "16384", 1, 1000000, .reloadable = true,
           .help = "Open connections; one more is turned away."),
    NUMBER(http.limits.per_address, CONFIG_INTEGER, "1024", 1, 1000000, .reloadable = true,
           .help = "Open connections from one address; of IPv6, from one /64."),
    NUMBER(http.limits.header_bytes, CONFIG_SIZE, "16384", 1024, 1024 * 1024, .reloadable = true,
           .help = "Headers of one request; beyond that it is a 431."),
    NUMBER(http.limits.body_bytes, CONFIG_SIZE, "1048576", 1024, 2 * MESSAGE_MAX_BYTES,
           .reloadable = true, .help = "Body of one request; beyond that it is a 413."),
    NUMBER(http.limits.request_s, CONFIG_AGE, "60", 1, 3600, .reloadable = true,
           .help = "Time for a client to send a request, from its first line to its last byte."),
    NUMBER(http.limits.reply_s, CONFIG_AGE, "60", 1, 3600, .reloadable = true,
           .help = "Time for a client to take a piece of a reply; a second more for each 16 KiB."),
    NUMBER(http.limits.streams_per_principal, CONFIG_INTEGER, "1024", 1, 1000000,
           .reloadable = true, .help = "Streams that one principal may have open; then 429."),
    NUMBER(http.limits.exports_per_principal, CONFIG_INTEGER, "8", 1, 1000, .reloadable = true,
           .help = "Answers in pieces (NDJSON, CSV, long pages) that one principal may have under "
                   "way; then 429."),
    NUMBER(http.limits.requests_per_minute, CONFIG_INTEGER, "6000", 1, 10000000,
           .reloadable = true, .help = "Requests of one principal a minute; beyond that it is a 429."),

    CHOICE(auth.mode, "tokens", "tokens|off", .variable = "FLEETHUB_AUTH", .reloadable = true,
           .help = "Who may call: holders of tokens, or (on a loopback address only) anyone."),
    STRING(auth.jwt, CONFIG_JWT, .reloadable = true,
           .example = "[{issuer: \"https://id.example.org\", audience: fleethub, algorithm: EdDSA, "
                      "key_file: /etc/fleethub/id.pem}]",
           .help = "Issuers of JWTs that are believed, each with one algorithm and public key."),

    CHOICE(vehicles.admission, "open", "open|registered",
           .help = "Vehicles appear with their first message, or must be registered before."),
    NUMBER(vehicles.max_clock_skew_s, CONFIG_AGE, "300", 1, 365 * DAYS,
           .help = "How far a vehicle's clock may be ahead before the broker's time replaces it."),

    NUMBER(twins.checkpoint_s, CONFIG_AGE, "30", 1, 1 * DAYS,
           .help = "Time between two writings of what changed to TWIN_LAST."),

    NUMBER(presence.stale_after_s, CONFIG_DURATION, "10", 0.1, 365 * DAYS, .reloadable = true,
           .help = "Silence after which a vehicle is stale."),
    NUMBER(presence.offline_after_s, CONFIG_DURATION, "60", 0.1, 365 * DAYS, .reloadable = true,
           .help = "Silence after which a vehicle is offline."),

    NUMBER(commands.confirm_above, CONFIG_INTEGER, "100", 0, 1000000, .reloadable = true,
           .help = "Commands to more vehicles than this need `confirm`."),
    NUMBER(commands.default_ttl_s, CONFIG_AGE, "60", 1, 300, .reloadable = true,
           .help = "Life of a command that does not say `ttl_s`."),
    STRING(commands.extra_types, CONFIG_TYPES, .fallback = "", .reloadable = true,
           .help = "Command types allowed beside the standard ones; none that steers."),
    NUMBER(commands.policy.max_alt_m, CONFIG_REAL, "120", 0, 100000, .reloadable = true,
           .help = "Highest altitude of goto and takeoff, in metres above home."),
    STRING(commands.policy.geofence, CONFIG_FILE, .reloadable = true,
           .example = "/etc/fleethub/geofence.geojson",
           .help = "GeoJSON file with the polygons that goto must stay inside."),
    NUMBER(commands.policy.min_battery, CONFIG_REAL, "0.15", 0, 1, .reloadable = true,
           .help = "Least remaining battery, 0 to 1, for takeoff and arm."),
    NUMBER(commands.policy.rate_per_vehicle_per_min, CONFIG_INTEGER, "30", 1, 100000,
           .reloadable = true, .help = "Commands to one vehicle within a minute."),

    NUMBER(record.retention_days, CONFIG_INTEGER, "365", 1, 36500,
           .help = "Days that the archive keeps a record."),
    NUMBER(record.checkpoint_s, CONFIG_AGE, "60", 1, 1 * DAYS,
           .help = "Time between two checkpoints of the record; 1,000 records bring one, too."),
    STRING(record.checkpoint_file, CONFIG_FILE, .example = "/var/lib/fleethub/checkpoint",
           .help = "File that the newest checkpoint is written to, for shipping elsewhere."),
    STRING(record.signing_key_file, CONFIG_FILE, .example = "/etc/fleethub/record.key",
           .help = "Ed25519 key (PKCS 8 PEM) that signs checkpoints; unsigned without it."),
    STRING(record.previous_key_file, CONFIG_FILE, .example = "/etc/fleethub/record-2025.key",
           .help = "Key before the present one, which signs too while it is being replaced."),
    NUMBER(record.track_s, CONFIG_AGE, "10", 1, 1 * DAYS,
           .help = "Time between two track records of a vehicle that is online."),

    CHOICE(log.level, "info", "debug|info|warn|error", .reloadable = true,
           .help = "Least level of the log lines written."),
    {"log.format", CONFIG_CHOICE, MEMBER(log.json), .fallback = "logfmt",
     .choices = "logfmt|json", .reloadable = true, .help = "Form of the log lines."},
};
/* clang-format on */
const size_t config_key_count = sizeof config_keys / sizeof *config_keys;

const struct config_key *config_key_find(const char *name, size_t size)
{
    for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++)
        if (strlen(key->name) == size && memcmp(key->name, name, size) == 0)
            return key;
    return NULL;
}

bool config_is_group(const char *name, size_t size)
{
    for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++)
        if (size > 0 && strncmp(key->name, name, size) == 0 && key->name[size] == '.')
            return true;
    return false;
}

size_t config_distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    if (a_size > CONFIG_NAME_MAX_BYTES || b_size > CONFIG_NAME_MAX_BYTES)
        return SIZE_MAX;
    size_t rows[3][CONFIG_NAME_MAX_BYTES + 1] = {{0}};
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *twice = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                twice[j - 2] + 1 < best)
                best = twice[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[a_size % 3][b_size];
}

/* The last part of a dotted name. */
static const char *leaf_of(const char *name, size_t size, size_t *leaf_size)
{
    const char *dot = memrchr(name, '.', size);
    const char *leaf = dot ? dot + 1 : name;
    *leaf_size = size - (size_t)(leaf - name);
    return leaf;
}

static void consider(const char *name, size_t size, const char *candidate, size_t candidate_size,
                     size_t *best, char suggestion[CONFIG_NAME_MAX_BYTES])
{
    size_t edits = config_distance(name, size, candidate, candidate_size);
    size_t leaf_size, candidate_leaf_size;
    const char *leaf = leaf_of(name, size, &leaf_size);
    const char *candidate_leaf = leaf_of(candidate, candidate_size, &candidate_leaf_size);
    /* The right key in the wrong group is one mistake, not as many as the group has letters. */
    if (edits > 1 && leaf_size == candidate_leaf_size && leaf_size > 0 &&
        memcmp(leaf, candidate_leaf, leaf_size) == 0)
        edits = 1;
    if (edits >= *best || candidate_size >= CONFIG_NAME_MAX_BYTES)
        return;
    *best = edits;
    memcpy(suggestion, candidate, candidate_size);
    suggestion[candidate_size] = '\0';
}

const char *config_suggest(const char *name, size_t size, char suggestion[CONFIG_NAME_MAX_BYTES])
{
    if (size == 0 || size > CONFIG_NAME_MAX_BYTES)
        return NULL;
    size_t leaf_size;
    leaf_of(name, size, &leaf_size);
    size_t best = 1 + (leaf_size > 8 ? 3 : leaf_size > 3 ? 2 : 1); /* edits that are too many */
    size_t too_many = best;
    for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++) {
        consider(name, size, key->name, strlen(key->name), &best, suggestion);
        for (const char *dot = strchr(key->name, '.'); dot; dot = strchr(dot + 1, '.'))
            consider(name, size, key->name, (size_t)(dot - key->name), &best, suggestion);
    }
    return best < too_many ? suggestion : NULL;
}
