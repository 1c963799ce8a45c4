/* run: the options that subcommands share, each group one table. */
#include "tools/run.h"

#include "twin/envelope.h"

#include <stdio.h>
#include <string.h>

#define OPTION(name, arg, kind, member, value, min, max, help)                                     \
    {                                                                                              \
        name, arg, help, kind, offsetof(struct run_options, member), value, min, max               \
    }
#define GROUP(title, specs)                                                                        \
    {                                                                                              \
        title, specs, sizeof specs / sizeof *specs                                                 \
    }

static const struct option_spec CONNECTION[] = {
    OPTION("url", "URL", OPTION_TEXT, url, "nats://127.0.0.1:4222", 0, 0,
           "NATS servers, comma separated; a leaf node will do"),
    OPTION("creds", "FILE", OPTION_TEXT, creds, NULL, 0, 0, "user credentials"),
    OPTION("tls-ca", "FILE", OPTION_TEXT, tls_ca, NULL, 0, 0, "CA certificates to trust"),
    OPTION("tls-cert", "FILE", OPTION_TEXT, tls_cert, NULL, 0, 0, "certificate to show"),
    OPTION("tls-key", "FILE", OPTION_TEXT, tls_key, NULL, 0, 0, "its key"),
    OPTION("connect-timeout", "S", OPTION_REAL, connect_timeout_s, "10", 0, 86400,
           "wait for the first connection, 0: for ever"),
};
const struct option_group RUN_CONNECTION_GROUP = GROUP("Connection", CONNECTION);

static const struct option_spec FLEET[] = {
    OPTION("env", "ENV", OPTION_TEXT, env, "dev", 0, 0, "the <env> of the subjects"),
    OPTION("seed", "N", OPTION_INT, seed, "1", 0, 9e15, "of all chance"),
    OPTION("speed", "F", OPTION_REAL, speed, "1", 0, 1e6,
           "times real time; 0: as fast as possible"),
    OPTION("max-messages", "N", OPTION_INT, max_messages, "0", 0, 9e15,
           "end after so many messages; 0: no bound"),
};
const struct option_group RUN_FLEET_GROUP = GROUP("Fleet", FLEET);

static const struct option_spec GATEWAY[] = {
    OPTION("region", "REGION", OPTION_TEXT, region, "*", 0, 0,
           "whose archive counts; *: the first one heard"),
    OPTION("no-gateway", NULL, OPTION_FLAG, no_gateway, NULL, 0, 0,
           "keep events until they are acknowledged, not until they are archived"),
    OPTION("state-acks", NULL, OPTION_FLAG, state_acks, NULL, 0, 0,
           "send state too until it is acknowledged"),
    OPTION("wait-acks", "S", OPTION_REAL, wait_acks_s, "30", 0, 86400,
           "at the end wait at most so long for acknowledgements; exit 1 without"),
    OPTION("wait-archived", "S", OPTION_REAL, wait_archived_s, "0", 0, 86400,
           "then wait for the archive; exit 3 if it does not cover everything"),
};
const struct option_group RUN_GATEWAY_GROUP = GROUP("Gateway", GATEWAY);

static const struct option_spec FAULTS[] = {
    OPTION("duplicates", "PCT", OPTION_REAL, faults.duplicates_pct, "0", 0, 100,
           "messages sent a second time, within 2 s"),
    OPTION("late", "PCT", OPTION_REAL, faults.late_pct, "0", 0, 100, "messages held back"),
    OPTION("late-by", "S", OPTION_REAL, faults.late_s, "5", 0, 86400,
           "by up to so many seconds of the flight's time"),
    OPTION("shuffle-ms", "MS", OPTION_REAL, faults.shuffle_ms, "0", 0, 864e5,
           "all order lost within such a window of the flight's time"),
    OPTION("wrong-clock", "PCT", OPTION_REAL, faults.wrong_clock_pct, "0", 0, 100,
           "messages dated 1970, 9999 or 10 minutes ahead, in turn"),
    OPTION("wrong-clock-vehicles", "PCT", OPTION_REAL, faults.wrong_clock_vehicles_pct, "0", 0, 100,
           "vehicles all of whose messages are dated so"),
    OPTION("hostile", "N", OPTION_INT, faults.hostile, "0", 0, 1e9,
           "so many hostile messages among the good ones"),
    OPTION("refused", "PCT", OPTION_REAL, faults.refused_pct, "0", 0, 100,
           "hostile messages per hundred good ones"),
    OPTION("hostile-kinds", "K,K,..", OPTION_TEXT, faults.hostile_kinds, NULL, 0, 0,
           "only these kinds, or \"all\" (see the end)"),
};
const struct option_group RUN_FAULT_GROUP = GROUP("Faults (each counted in the report)", FAULTS);

static const struct option_spec SHADOW[] = {
    OPTION("shadow", NULL, OPTION_FLAG, shadow, NULL, 0, 0,
           "write reported and follow desired (fly does so anyway)"),
    OPTION("no-shadow", NULL, OPTION_FLAG, no_shadow, NULL, 0, 0, "do neither"),
    OPTION("ignore-desired", NULL, OPTION_FLAG, ignore_desired, NULL, 0, 0, "write reported only"),
    OPTION("follow-delay-ms", "MS", OPTION_INT, follow_delay_ms, "1500", 0, 864e5,
           "how long following takes, half as much more or less"),
    OPTION("known-keys", "K,K,..", OPTION_TEXT, known_keys, NULL, 0, 0,
           "follow only these keys of desired"),
    OPTION("shadow-dots", NULL, OPTION_FLAG, dots, NULL, 0, 0,
           "keys with dots (nats.shadow_key_style: dots)"),
};
const struct option_group RUN_SHADOW_GROUP = GROUP("Shadow", SHADOW);

static const struct option_spec REPORT[] = {
    OPTION("report", "FILE", OPTION_TEXT, report_file, NULL, 0, 0,
           "write the report here too (always to stdout)"),
    OPTION("progress", NULL, OPTION_FLAG, progress, NULL, 0, 0,
           "a line a second on stderr even if that is no terminal"),
};
const struct option_group RUN_REPORT_GROUP = GROUP("Report", REPORT);

bool run_options_valid(const struct run_options *options)
{
    bool env = token_valid(options->env, strlen(options->env));
    bool region =
        strcmp(options->region, "*") == 0 || token_valid(options->region, strlen(options->region));
    if (!env)
        fprintf(stderr, "fleetsim: --env: \"%s\" is no token\n", options->env);
    if (!region)
        fprintf(stderr, "fleetsim: --region: \"%s\" is no token\n", options->region);
    return env && region;
}
