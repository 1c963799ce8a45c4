/* `token create|list|revoke`: straight to TWIN_ACCESS, so that the first token needs no token.
 * Every hub that follows the bucket puts it on record. */
#include "hub/access.h"
#include "hub/bus.h"
#include "hub/cli.h"
#include "hub/clock.h"
#include "hub/log.h"
#include "hub/streams.h"
#include "hub/term.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNECT_MS = 5000,
    READ_MS = 10000,
    STEP_MS = 10,
    VALUE_MAX_BYTES = 256 * 1024,
    VALUE_DEPTH = 8,
};

#define ACTOR "cli"

static const struct access_by by = {.actor = ACTOR};

const struct cli_option cli_token_create_options[] = {
    {"role", "viewer|auditor|operator|admin", "what it may do"},
    {"name", "NAME", "whose it is, for people"},
    {"vehicles", "P,…", "only these: ids, or beginnings of ids and a `*` (CUST-*)"},
    {"allow", "P,…", "only these parts: state.*, evt.>, cmd.rtl, desired.>"},
    {"deny", "P,…", "not these parts"},
    {"expires", "TIME", "30d, 12h, or a time as in RFC 3339; never unless given"},
    {NULL, NULL, NULL},
};
const struct cli_option cli_token_list_options[] = {
    {"json", NULL, "one JSON object a line"},
    {NULL, NULL, NULL},
};

/* ---- NATS ---- */

/* NULL after its error went to standard error. */
static struct bus *open_bus(const struct config *config)
{
    struct bus_options options = {
        .url = config->nats.url,
        .name = "fleethub-cli",
        .creds_file = config->nats.creds,
        .tls_ca_file = config->nats.tls.ca,
        .tls_cert_file = config->nats.tls.cert,
        .tls_key_file = config->nats.tls.key,
        .connect_timeout_ms = CONNECT_MS,
    };
    struct bus *bus;
    struct bus_error error;
    if (bus_open(&options, &bus, &error) != BUS_OK) {
        fprintf(stderr, "fleethub: NATS cannot be used: %s\n", error.text);
        return NULL;
    }
    for (int ms = 0; !bus_connected(bus) && ms < CONNECT_MS; ms += STEP_MS)
        clock_pause_ms(STEP_MS);
    if (bus_connected(bus))
        return bus;
    fprintf(stderr, "fleethub: no answer from NATS at nats.url within %d s\n", CONNECT_MS / 1000);
    bus_close(bus, 0);
    return NULL;
}

static bool open_all(const struct cli_args *args, struct config *config, struct bus **bus)
{
    if (!cli_load(args, "nats.", config))
        return false;
    log_setup(LOG_ERROR, config->log.json);
    *bus = open_bus(config);
    if (!*bus)
        config_done(config);
    return *bus != NULL;
}

static void close_all(struct config *config, struct bus *bus)
{
    bus_close(bus, STEP_MS);
    config_done(config);
}

/* ---- create ---- */

/* "30d", "12h", or a time as in RFC 3339; appends it as one. False for anything else. */
static bool add_expires(struct buf *out, const char *text)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end, time[TIMESTAMP_TEXT_BYTES];
    int64_t at_ns;
    if (timestamp_parse(text, strlen(text), &at_ns)) {
        buf_json_cstr(out, text);
        return true;
    }
    double count = isdigit((unsigned char)*text) ? strtod(text, &end) : NAN;
    for (size_t i = 0; i < sizeof units / sizeof *units && isfinite(count); i++) {
        double seconds = count * units[i].seconds;
        if (strcmp(end, units[i].unit) != 0 || seconds <= 0 || seconds > 36500 * 86400.0)
            continue;
        timestamp_format(clock_wall_ns() + (int64_t)(seconds * (double)NS_PER_S), time);
        buf_json_cstr(out, time);
        return true;
    }
    return false;
}

/* "CUST-*,VID-7" as a list; an empty text is an empty list. */
static void add_list(struct buf *out, const char *name, const char *text)
{
    if (!text)
        return;
    buf_addf(out, ",\"%s\":[", name);
    for (const char *at = text; *at;) {
        size_t size = strcspn(at, ",");
        buf_json_string(out, at, size);
        at += size;
        if (*at == ',')
            buf_adds(out, *++at ? "," : "");
    }
    buf_addc(out, ']');
}

/* NULL after its error went to standard error. */
static struct access_entry *entry_of(const struct cli_args *args)
{
    static const char no_hash[] =
        "0000000000000000000000000000000000000000000000000000000000000000";
    struct buf text = BUF_INIT;
    struct doc_parser *parser = doc_parser_new();
    struct doc_limits limits = {VALUE_MAX_BYTES, VALUE_DEPTH};
    struct access_entry *entry = NULL;
    struct doc_ref value;
    char error[256] = "there is no memory", now[TIMESTAMP_TEXT_BYTES];
    const char *name = cli_value(args, "name"), *role = cli_value(args, "role");
    const char *expires = cli_value(args, "expires");
    timestamp_format(clock_wall_ns(), now);
    buf_adds(&text, "{\"name\":");
    buf_json_cstr(&text, name ? name : "");
    buf_adds(&text, ",\"role\":");
    buf_json_cstr(&text, role ? role : "");
    add_list(&text, "vehicles", cli_value(args, "vehicles"));
    add_list(&text, "allow", cli_value(args, "allow"));
    add_list(&text, "deny", cli_value(args, "deny"));
    bool good = true;
    if (expires) {
        buf_adds(&text, ",\"expires\":");
        good = add_expires(&text, expires);
        snprintf(error, sizeof error,
                 "`--expires` takes a time like 30d, 12h or 2027-01-31T12:00:00Z");
    }
    buf_addf(&text, ",\"created\":\"%s\",\"created_by\":\"%s\",\"secret_sha256\":\"%s\"}", now,
             ACTOR, no_hash);
    if (good && parser && !text.failed &&
        doc_parse(parser, text.data, text.size_bytes, limits, &value) == DOC_OK)
        entry = access_entry_read(ACCESS_TOKEN, "", value, error);
    if (!entry)
        fprintf(stderr, "fleethub token create: %s\n", error);
    buf_done(&text);
    doc_parser_free(parser);
    return entry;
}

static int create(struct bus *bus, struct access_entry *entry)
{
    char token[ACCESS_TOKEN_BYTES];
    struct bus_error error = {""};
    size_t count = 0;
    enum bus_status status = access_count_stored(bus, READ_MS, &count, &error);
    if (status == BUS_OK && count >= ACCESS_ENTRIES_MAX) {
        fprintf(stderr,
                "fleethub token create: there are %zu tokens and grants already; revoke some\n",
                count);
        return CLI_FAILED;
    }
    if (!access_mint(entry, ACTOR, NULL, token)) {
        fputs("fleethub token create: there are no random numbers\n", stderr);
        return CLI_FAILED;
    }
    if (status == BUS_OK)
        status = access_write(NULL, bus, entry, false, &by, &error);
    if (status != BUS_OK) {
        fprintf(
            stderr,
            "fleethub token create: it could not be stored: %s\nThe bucket TWIN_ACCESS is made by "
            "the first start of the hub.\n",
            error.text);
        return CLI_FAILED;
    }
    struct buf line = BUF_INIT;
    buf_addf(&line, "%s\n", token);
    int printed = cli_print(&line);
    buf_done(&line);
    return printed;
}

int cli_token_create(const struct cli_args *args)
{
    struct config config;
    struct bus *bus;
    struct access_entry *entry = entry_of(args);
    int exit_code = CLI_FAILED;
    if (!entry)
        return CLI_USAGE;
    if (open_all(args, &config, &bus)) {
        exit_code = create(bus, entry);
        close_all(&config, bus);
    }
    access_entry_free(entry);
    return exit_code;
}

/* ---- list and revoke ---- */

/* All tokens, as the bucket has them now. False after its error went to standard error. */
static bool read_all(struct bus *bus, struct access_set *set)
{
    struct bus_consume what = {.stream = streams_name(TWIN_ACCESS),
                               .filter = "$KV.TWIN_ACCESS.auth.token.*",
                               .from = BUS_FROM_LAST_PER};
    struct bus_consumer *consumer = NULL;
    struct doc_parser *parser = doc_parser_new();
    struct doc_limits limits = {VALUE_MAX_BYTES, VALUE_DEPTH};
    struct bus_error error = {"out of memory"};
    int64_t until_ms = clock_mono_ms() + READ_MS;
    bool read = parser && bus_consume(bus, &what, &consumer, NULL, &error) == BUS_OK;
    while (read && !bus_caught_up(consumer) && clock_mono_ms() < until_ms) {
        struct bus_msg msg;
        struct doc_ref value;
        char why[256];
        if (bus_next(consumer, STEP_MS, &msg) != BUS_OK)
            continue;
        const char *id = strrchr(msg.subject, '.') + 1;
        if (!bus_msg_header(&msg, "KV-Operation") && strlen(id) < ACCESS_ID_BYTES &&
            doc_parse(parser, msg.data, msg.size, limits, &value) == DOC_OK) {
            struct access_entry *entry = access_entry_read(ACCESS_TOKEN, id, value, why);
            if (entry && !access_set_put(set, entry)) {
                access_entry_free(entry);
                read = false; /* the error that it began with holds */
            }
        }
        bus_msg_done(&msg);
    }
    if (read && !bus_caught_up(consumer)) {
        snprintf(error.text, sizeof error.text, "NATS did not send all of it within %d s",
                 READ_MS / 1000);
        read = false;
    }
    if (!read)
        fprintf(stderr, "fleethub token: TWIN_ACCESS cannot be read: %s\n", error.text);
    bus_consumer_close(consumer);
    doc_parser_free(parser);
    return read;
}

static void add_patterns(struct buf *out, const char *name, const struct viewer_patterns *patterns)
{
    if (!patterns->given)
        return;
    buf_addf(out, "  %s", name);
    for (size_t i = 0; i < patterns->count; i++)
        buf_addf(out, "%s%s", i ? "," : " ", patterns->patterns[i]);
    if (patterns->count == 0)
        buf_adds(out, " nothing");
}

static void add_row(struct buf *out, const struct access_entry *entry)
{
    char expires[TIMESTAMP_TEXT_BYTES] = "never";
    if (entry->rights.expires_ns != RIGHTS_FOREVER)
        timestamp_format(entry->rights.expires_ns, expires);
    bool over = entry->rights.expires_ns <= clock_wall_ns();
    buf_addf(out, "%-18s %-9s %-31s %s", entry->id, role_name(entry->rights.role),
             over ? "expired" : expires, entry->name);
    add_patterns(out, "vehicles", &entry->rights.vehicles);
    add_patterns(out, "allow", &entry->rights.allow);
    add_patterns(out, "deny", &entry->rights.deny);
    buf_addc(out, '\n');
}

int cli_token_list(const struct cli_args *args)
{
    struct config config;
    struct bus *bus;
    struct access_set set = {NULL, 0, 0};
    struct buf out = BUF_INIT;
    bool json = cli_value(args, "json") != NULL;
    int exit_code = CLI_FAILED;
    if (!open_all(args, &config, &bus))
        return CLI_FAILED;
    if (read_all(bus, &set)) {
        enum term_colour bold = term_has_colours(STDOUT_FILENO) ? TERM_BOLD : TERM_PLAIN;
        if (!json) {
            term_begin(&out, bold);
            buf_addf(&out, "%-18s %-9s %-31s %s", "ID", "ROLE", "EXPIRES", "NAME");
            term_end(&out, bold);
            buf_addc(&out, '\n');
        }
        for (size_t i = 0; i < set.count; i++) {
            if (json)
                access_entry_show(&out, set.entries[i], NULL);
            else
                add_row(&out, set.entries[i]);
            buf_adds(&out, json ? "\n" : "");
        }
        exit_code = cli_print(&out);
    }
    buf_done(&out);
    access_set_done(&set);
    close_all(&config, bus);
    return exit_code;
}

static int take_away(struct bus *bus, const char *id)
{
    struct access_set set = {NULL, 0, 0};
    struct access_entry entry = {.kind = ACCESS_TOKEN};
    struct bus_error error = {""};
    bool read = read_all(bus, &set);
    bool known = read && access_set_find(&set, ACCESS_TOKEN, id);
    access_set_done(&set);
    if (!read)
        return CLI_FAILED;
    if (!known) {
        fprintf(stderr, "fleethub token revoke: there is no token %s; see `fleethub token list`\n",
                id);
        return CLI_FAILED;
    }
    snprintf(entry.id, sizeof entry.id, "%s", id);
    if (access_write(NULL, bus, &entry, true, &by, &error) == BUS_OK)
        return CLI_OK;
    fprintf(stderr, "fleethub token revoke: not done, as far as is known: %s\n", error.text);
    return CLI_FAILED;
}

int cli_token_revoke(const struct cli_args *args)
{
    struct config config;
    struct bus *bus;
    if (!args->word) {
        fputs("fleethub token revoke: which one? See `fleethub token list`\n", stderr);
        return CLI_USAGE;
    }
    if (!open_all(args, &config, &bus))
        return CLI_FAILED;
    int exit_code = take_away(bus, args->word);
    close_all(&config, bus);
    return exit_code;
}
