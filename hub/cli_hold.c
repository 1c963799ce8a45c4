/* `audit hold` and `audit retention`: what retention is to leave alone, and what it would do. */
#include "hub/cli.h"
#include "hub/clock.h"
#include "hub/holds.h"
#include "hub/log.h"
#include "hub/retention.h"
#include "twin/envelope.h"
#include "twin/timestamp.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CONNECT_TIMEOUT_MS = 5000, CALL_TIMEOUT_MS = 60 * 60 * 1000, NAME_BYTES = 300 };

const struct cli_option cli_hold_options[] = {
    {"vid", "VID", "the records of this vehicle (add)"},
    {"from", "TIME", "received at this time (RFC 3339) or later (add)"},
    {"until", "TIME", "received before this time (add)"},
    {"id", "ID", "the hold, as `list` shows it (remove)"},
    {"reason", "TEXT", "why; it goes on record (add, remove)"},
    {"removed", NULL, "those too that were removed (list)"},
    {"json", NULL, "one JSON object a line (list)"},
    {NULL, NULL, NULL},
};

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "fleethub audit %s: %s\n", what, why);
    return CLI_FAILED;
}

static int usage(const char *why)
{
    fprintf(stderr, "fleethub audit hold: %s; see `fleethub help audit hold`\n", why);
    return CLI_USAGE;
}

static struct pg *open_admin(const struct config *config, const char *what)
{
    struct pg_options options = {.dsn = config->postgres.admin_dsn,
                                 .name = "fleethub audit",
                                 .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                 .call_timeout_ms = CALL_TIMEOUT_MS};
    struct pg_error error;
    struct pg *pg = NULL;
    if (pg_open(&options, &pg, &error) != PG_OK)
        fail(what, error.text);
    return pg;
}

/* ---- audit hold ---- */

enum verb { VERB_ADD, VERB_LIST, VERB_REMOVE, VERBS };

static bool verb_of(const char *word, enum verb *verb)
{
    static const char *const names[VERBS] = {"add", "list", "remove"};
    for (int i = 0; i < VERBS; i++) {
        if (word && strcmp(word, names[i]) == 0) {
            *verb = (enum verb)i;
            return true;
        }
    }
    return false;
}

static bool time_of(const struct cli_args *args, const char *name, int64_t *ns)
{
    const char *text = cli_value(args, name);
    *ns = TIMESTAMP_NONE;
    return !text || timestamp_parse(text, strlen(text), ns);
}

/* What the command line says, judged; CLI_OK or CLI_USAGE. */
static int read_hold(const struct cli_args *args, enum verb verb, struct hold *hold)
{
    const char *reason = cli_value(args, "reason");
    if (verb == VERB_LIST)
        return CLI_OK;
    if (!reason || *reason == '\0')
        return usage("say why with `--reason`; it goes on record");
    if (strlen(reason) > HOLD_REASON_MAX_BYTES)
        return usage("the reason is too long");
    hold->reason = reason;
    if (verb == VERB_REMOVE)
        return cli_value(args, "id") ? CLI_OK : usage("say which with `--id`");
    hold->vid = cli_value(args, "vid");
    if (hold->vid && !vid_valid(hold->vid, strlen(hold->vid)))
        return usage("`--vid` is no vehicle id");
    if (!time_of(args, "from", &hold->start_ns) || !time_of(args, "until", &hold->end_ns))
        return usage("a time is no RFC 3339 timestamp, as in 2026-01-15T10:30:00Z");
    if (hold->start_ns != TIMESTAMP_NONE && hold->end_ns != TIMESTAMP_NONE &&
        hold->start_ns >= hold->end_ns)
        return usage("`--from` has to lie before `--until`");
    if (!hold->vid && hold->start_ns == TIMESTAMP_NONE && hold->end_ns == TIMESTAMP_NONE)
        return usage("say what to keep: `--vid`, `--from`, `--until`");
    return CLI_OK;
}

/* Who runs this, and where, as the system knows it. */
static void name_actor(char actor[NAME_BYTES], char host[NAME_BYTES])
{
    const struct passwd *me = getpwuid(getuid());
    if (me)
        snprintf(actor, NAME_BYTES, "os:%s", me->pw_name);
    else
        snprintf(actor, NAME_BYTES, "os:%lu", (unsigned long)getuid());
    if (gethostname(host, NAME_BYTES - 1) != 0)
        snprintf(host, NAME_BYTES, "unknown");
    host[NAME_BYTES - 1] = '\0';
}

static int act(const struct cli_args *args, enum verb verb, const struct hold *hold, struct pg *pg)
{
    struct buf text = BUF_INIT;
    struct pg_error error;
    char id[HOLD_ID_TEXT_BYTES];
    bool found = true;
    enum pg_status status;
    if (verb == VERB_ADD) {
        status = hold_add(pg, hold, id, &error);
        if (status == PG_OK)
            buf_addf(&text, "%s\n", id);
    } else if (verb == VERB_REMOVE) {
        status = hold_remove(pg, cli_value(args, "id"), hold, &found, &error);
    } else {
        status = hold_list(pg, cli_value(args, "removed") != NULL, cli_value(args, "json") != NULL,
                           &text, &error);
    }
    int exit_code = CLI_OK;
    if (status != PG_OK)
        exit_code = fail("hold", error.text);
    else if (!found)
        exit_code = fail("hold", "no such hold is in force; see `fleethub audit hold list`");
    else
        exit_code = cli_print(&text);
    buf_done(&text);
    return exit_code;
}

int cli_hold(const struct cli_args *args)
{
    struct config config;
    struct hold hold = {.start_ns = TIMESTAMP_NONE, .end_ns = TIMESTAMP_NONE};
    char actor[NAME_BYTES], host[NAME_BYTES];
    enum verb verb;
    if (!verb_of(args->word, &verb))
        return usage("say `add`, `list` or `remove`");
    int exit_code = read_hold(args, verb, &hold);
    if (exit_code != CLI_OK)
        return exit_code;
    name_actor(actor, host);
    hold.actor = actor;
    hold.host = host;
    if (!cli_load(args, "postgres.", &config))
        return CLI_FAILED;
    struct pg *pg = open_admin(&config, "hold");
    exit_code = pg ? act(args, verb, &hold, pg) : CLI_FAILED;
    pg_close(pg);
    config_done(&config);
    return exit_code;
}

/* ---- audit retention ---- */

const struct cli_option cli_retention_options[] = {
    {"json", NULL, "one JSON object a line"},
    {NULL, NULL, NULL},
};

int cli_retention(const struct cli_args *args)
{
    struct config config;
    struct buf text = BUF_INIT;
    struct pg_error error;
    int exit_code = CLI_FAILED;
    if (!cli_load(args, "postgres.", &config))
        return CLI_FAILED;
    struct pg *pg = open_admin(&config, "retention");
    if (pg) {
        struct retention retention = {.pg = pg,
                                      .keep_s = retention_keep_s(config.record.retention_days),
                                      .now_ns = clock_wall_ns()};
        if (retention_plan(&retention, cli_value(args, "json") != NULL, &text, &error) == PG_OK)
            exit_code = cli_print(&text);
        else
            fail("retention", error.text);
    }
    pg_close(pg);
    buf_done(&text);
    config_done(&config);
    return exit_code;
}
