/* `vehicles` and `events`: the fleet and its record, as a table or as JSON lines. */
#include "hub/cli_client.h"
#include "hub/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE_MAX = 1000, HTTP_OK = 200, LIMIT_MAX = 100000000 };

/* ---- what the lists are of ---- */

struct column {
    const char *title, *path; /* names with dots between them */
    bool status;              /* says how something is */
};

struct list {
    const char *subcommand, *target, *member;
    const struct column *columns;
    size_t column_count;
    const char *const (*parameters)[2]; /* option, query parameter; NULL behind the last */
    const char *limit;                  /* without --limit; NULL: none */
};

const struct cli_option cli_vehicles_options[] = {
    {"filter", "FILTER", "those that match, such as 'state.battery.remaining < 0.25'"},
    {"order-by", "PATH [desc]", "in this order (default: vid)"},
    {"fields", "PATH,…", "these parts, a column each"},
    {"limit", "N", "at most so many"},
    {"json", NULL, "one JSON object a line"},
    CLI_CLIENT_OPTIONS,
    {NULL, NULL, NULL},
};
static const char *const vehicles_parameters[][2] = {
    {"filter", "filter"}, {"order-by", "order_by"}, {"fields", "fields"}, {NULL, NULL}};
static const struct column vehicles_columns[] = {
    {"VID", "vid", false},
    {"PRESENCE", "presence.status", true},
    {"LAST SEEN", "presence.last_seen", false},
    {"MODE", "state.mode.mode", false},
    {"ARMED", "state.mode.armed", false},
    {"BATTERY", "state.battery.remaining", false},
    {"LAT", "state.position.lat", false},
    {"LON", "state.position.lon", false},
    {"REL ALT", "state.position.rel_alt", false},
};

const struct cli_option cli_events_options[] = {
    {"filter", "FILTER", "those that match, such as 'severity = \"critical\"'"},
    {"vid", "VID", "of this vehicle"},
    {"kind", "event|ack|command|shadow|presence|access|rejected|track|system", "of this kind"},
    {"type", "RECORD-TYPE", "of this type, such as battery.low"},
    {"start-time", "TIME", "received from then on, as 2026-01-15T10:30:00Z"},
    {"end-time", "TIME", "received before"},
    {"order-by", "seq [desc]", "oldest or newest first (default: newest)"},
    {"limit", "N", "at most so many (default: 100)"},
    {"json", NULL, "one JSON object a line"},
    CLI_CLIENT_OPTIONS,
    {NULL, NULL, NULL},
};
static const char *const events_parameters[][2] = {{"filter", "filter"},
                                                   {"vid", "vid"},
                                                   {"kind", "kind"},
                                                   {"type", "type"},
                                                   {"start-time", "start_time"},
                                                   {"end-time", "end_time"},
                                                   {"order-by", "order_by"},
                                                   {NULL, NULL}};
static const struct column events_columns[] = {
    {"SEQ", "seq", false},     {"RECEIVED", "received", false}, {"KIND", "kind", false},
    {"VID", "vid", false},     {"TYPE", "type", false},         {"SEVERITY", "severity", true},
    {"ACTOR", "actor", false}, {"DATA", "data", false},
};

#define COLUMNS(table) table, sizeof table / sizeof *table
static const struct list vehicles = {
    "vehicles", "/v1/vehicles", "vehicles", COLUMNS(vehicles_columns), vehicles_parameters, NULL};
static const struct list events = {
    "events", "/v1/events", "events", COLUMNS(events_columns), events_parameters, "100"};

/* ---- paths ---- */

/* What stands at a path of names with dots between them; one in quotes is one name, whatever it
 * holds. */
static struct doc_ref value_at(struct doc_ref value, const char *path)
{
    while (*path && doc_exists(value)) {
        bool quoted = *path == '"';
        const char *name = path + quoted;
        size_t size = strcspn(name, quoted ? "\"" : ".");
        value = doc_get(value, name, size);
        path = name + size + (quoted && name[size] == '"');
        path += *path == '.';
    }
    return value;
}

/* ---- asking and showing ---- */

struct listing {
    const struct list *list;
    const struct cli_args *args;
    struct client *client;
    struct doc_parser *parser;
    struct column columns[TABLE_COLUMNS_MAX];
    size_t column_count;
    char *fields; /* the text that own columns point into */
    struct table table;
    struct buf target, token, out;
    long long left; /* that may still be shown */
};

static int fail(const struct listing *listing, const char *why)
{
    fprintf(stderr, "fleethub %s: %s\n", listing->list->subcommand, why);
    return CLI_FAILED;
}

/* Own columns out of --fields: `vid` and each path, under its own name. */
static bool choose_columns(struct listing *listing)
{
    const char *fields = cli_value(listing->args, "fields");
    listing->column_count = 0;
    if (!fields) {
        memcpy(listing->columns, listing->list->columns,
               listing->list->column_count * sizeof *listing->columns);
        listing->column_count = listing->list->column_count;
        return true;
    }
    listing->fields = strdup(fields);
    if (!listing->fields)
        return false;
    listing->columns[listing->column_count++] = (struct column){"vid", "vid", false};
    char *rest = listing->fields;
    for (char *path; (path = strsep(&rest, ",")) != NULL;) {
        path += strspn(path, " ");
        if (strcmp(path, "vid") != 0 && listing->column_count < TABLE_COLUMNS_MAX)
            listing->columns[listing->column_count++] = (struct column){path, path, false};
    }
    return true;
}

static void write_target(struct listing *listing)
{
    const char *mark = "?";
    buf_reset(&listing->target);
    buf_adds(&listing->target, listing->list->target);
    for (size_t i = 0; listing->list->parameters[i][0]; i++) {
        const char *value = cli_value(listing->args, listing->list->parameters[i][0]);
        if (!value)
            continue;
        buf_addf(&listing->target, "%s%s=", mark, listing->list->parameters[i][1]);
        client_encode(&listing->target, value);
        mark = "&";
    }
    buf_addf(&listing->target, "%spage_size=%lld", mark,
             listing->left < PAGE_MAX ? listing->left : (long long)PAGE_MAX);
    if (listing->token.size_bytes > 0) {
        buf_adds(&listing->target, "&page_token=");
        client_encode(&listing->target, buf_cstr(&listing->token));
    }
}

static void show_item(struct listing *listing, struct doc_ref item)
{
    if (cli_value(listing->args, "json")) {
        doc_write(&listing->out, item);
        buf_addc(&listing->out, '\n');
        return;
    }
    for (size_t i = 0; i < listing->column_count; i++)
        (listing->columns[i].status ? table_status_value : table_value)(
            &listing->table, value_at(item, listing->columns[i].path));
}

static int show_page(struct listing *listing, const struct client_answer *answer)
{
    static const struct doc_limits limits = {.max_bytes = DOC_MAX_BYTES, .max_depth = 64};
    struct doc_ref page;
    if (doc_parse(listing->parser, answer->body.size_bytes ? answer->body.data : "",
                  answer->body.size_bytes, limits, &page) != DOC_OK ||
        !doc_is(doc_getz(page, listing->list->member), DOC_ARRAY))
        return fail(listing, "the server's answer is no list: is it a fleethub?");
    struct doc_ref items = doc_getz(page, listing->list->member);
    struct doc_ref next = doc_getz(page, "next_page_token");
    buf_reset(&listing->out);
    for (struct doc_ref item = doc_first(items); doc_exists(item) && listing->left > 0;
         item = doc_next(items, item)) {
        show_item(listing, item);
        listing->left--;
    }
    if (listing->table.count > 0)
        table_write(&listing->table, &listing->out);
    size_t size = 0;
    const char *token = doc_is(next, DOC_STRING) ? doc_string(next, &size) : "";
    buf_reset(&listing->token);
    buf_add(&listing->token, token, size);
    return cli_print(&listing->out);
}

static int show_pages(struct listing *listing)
{
    int exit_code;
    do {
        struct client_answer answer = {0};
        struct buf why = BUF_INIT;
        write_target(listing);
        struct client_request request = {.method = "GET", .target = buf_cstr(&listing->target)};
        enum client_outcome outcome = client_ask(listing->client, &request, &answer, &why);
        if (outcome == CLIENT_INTERRUPTED) {
            exit_code = CLI_INTERRUPTED;
        } else if (outcome != CLIENT_OK) {
            exit_code = fail(listing, buf_cstr(&why));
        } else if (answer.status != HTTP_OK) {
            client_explain(&answer, &why);
            exit_code = fail(listing, buf_cstr(&why));
        } else {
            exit_code = show_page(listing, &answer);
        }
        client_answer_done(&answer);
        buf_done(&why);
    } while (exit_code == CLI_OK && listing->token.size_bytes > 0 && listing->left > 0);
    return exit_code;
}

static int run_list(const struct list *list, const struct cli_args *args)
{
    struct listing listing = {.list = list, .args = args, .parser = doc_parser_new()};
    const char *limit = cli_value(args, "limit");
    char *end = NULL;
    int exit_code = CLI_FAILED;
    if (!limit)
        limit = list->limit;
    listing.left = limit ? strtoll(limit, &end, 10) : LIMIT_MAX;
    if (listing.left < 1 || listing.left > LIMIT_MAX || (end && *end)) {
        fprintf(stderr, "fleethub %s: --limit: `%.40s` is no number from 1 on\n", list->subcommand,
                limit);
        exit_code = CLI_USAGE;
        goto out;
    }
    if (!listing.parser || !choose_columns(&listing)) {
        fail(&listing, "no memory");
        goto out;
    }
    table_init(&listing.table, listing.column_count);
    listing.table.coloured = term_has_colours(STDOUT_FILENO);
    for (size_t i = 0; !cli_value(args, "json") && i < listing.column_count; i++)
        table_title(&listing.table, listing.columns[i].title);
    listing.client = cli_client(list->subcommand, args);
    client_catch_signals();
    if (listing.client)
        exit_code = show_pages(&listing);
out:
    client_free(listing.client);
    doc_parser_free(listing.parser);
    table_done(&listing.table);
    buf_done(&listing.target);
    buf_done(&listing.token);
    buf_done(&listing.out);
    free(listing.fields);
    return exit_code;
}

int cli_vehicles(const struct cli_args *args)
{
    return run_list(&vehicles, args);
}

int cli_events(const struct cli_args *args)
{
    return run_list(&events, args);
}
