/* What only makes no sense together, and what is missing. */
#include "hub/config_key.h"

#include <stdlib.h>
#include <string.h>

static const struct config_key *key_named(const char *name)
{
    return config_key_find(name, strlen(name));
}

static bool is_good(const struct config_loading *loading, const char *name)
{
    return !config_origin(loading->config, key_named(name))->bad;
}

static void check_required(struct config_loading *loading, const char *required)
{
    const struct config *config = loading->config;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        const char *value = NULL;
        if (!key->required || config_origin(config, key)->bad ||
            (required && strncmp(key->name, required, strlen(required)) != 0))
            continue;
        memcpy(&value, (const char *)config + key->offset, sizeof value);
        if (!value)
            config_error(loading, key,
                         "%s: is missing: set it in the file, as %s in the environment, or by "
                         "--%s",
                         key->name, key->variable, key->name);
    }
}

static void check_pair(struct config_loading *loading, const char *cert_name, const char *cert,
                       const char *key_name, const char *key)
{
    if (!cert == !key || !is_good(loading, cert_name) || !is_good(loading, key_name))
        return;
    const char *there = cert ? cert_name : key_name, *missing = cert ? key_name : cert_name;
    config_error(loading, key_named(there), "%s: makes no sense without %s", there, missing);
}

static void check_presence(struct config_loading *loading)
{
    static const char stale[] = "presence.stale_after_s", offline[] = "presence.offline_after_s";
    const struct config *config = loading->config;
    if (config->presence.offline_after_s >= config->presence.stale_after_s ||
        !is_good(loading, stale) || !is_good(loading, offline))
        return;
    /* Told where someone wrote something; a default is never to blame. */
    if (config_origin(config, key_named(offline))->source != SOURCE_DEFAULT)
        config_error(loading, key_named(offline), "%s: %g s is below %s, which is %g s", offline,
                     config->presence.offline_after_s, stale, config->presence.stale_after_s);
    else
        config_error(loading, key_named(stale), "%s: %g s is above %s, which is %g s", stale,
                     config->presence.stale_after_s, offline, config->presence.offline_after_s);
}

static void check_access(struct config_loading *loading)
{
    const struct config *config = loading->config;
    if (config->auth.mode != AUTH_OFF || config_listens_on_loopback(config) ||
        !is_good(loading, "auth.mode") || !is_good(loading, "http.listen"))
        return;
    config_error(loading, key_named("auth.mode"),
                 "auth.mode: `off` is allowed only while http.listen is a loopback address, and %s "
                 "is none",
                 config->http.listen);
}

void config_check(struct config_loading *loading, const char *required)
{
    const struct config *config = loading->config;
    check_required(loading, required);
    check_pair(loading, "nats.tls.cert", config->nats.tls.cert, "nats.tls.key",
               config->nats.tls.key);
    check_pair(loading, "http.tls.cert", config->http.tls.cert, "http.tls.key",
               config->http.tls.key);
    check_presence(loading);
    check_access(loading);
}
