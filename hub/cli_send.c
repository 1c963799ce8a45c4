/* `send`: gives a command to vehicles, and watches it to its end. */
#include "hub/cli_client.h"
#include "hub/send.h"
#include "hub/term.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    POLL_MS = 250,
    RETRY_MS = 1000,
    RETRIES_MAX = 30, /* in a row, of a hub that does not answer */
    LINE_EVERY_MS = 1000,
    BAR_WIDTH = 30,
    LISTED_MAX = 50, /* vehicles of a command that succeeded; of another, all that did not */
    PAGE_MAX = 1000,
    HTTP_OK = 200,
    HTTP_ACCEPTED = 202,
    HTTP_TOO_MANY = 429,
    HTTP_UNAVAILABLE = 503,
};

const struct cli_option cli_send_options[] = {
    {"filter", "FILTER", "to the vehicles that match, as in GET /v1/vehicles"},
    {"vids", "A,B,…", "to these vehicles"},
    {"group", "NAME", "to the vehicles of a group"},
    {"all", NULL, "to all vehicles"},
    {"params", "JSON", "the command's parameters, as an object; or one by one:"},
    {"alt", "M", "altitude above home (takeoff, goto)"},
    {"lat", "DEG", "latitude (goto)"},
    {"lon", "DEG", "longitude (goto)"},
    {"mode", "MODE", "flight mode (set_mode)"},
    {"force", NULL, "disarm in the air too; needs --reason"},
    {"reason", "TEXT", "why; it goes on record"},
    {"dry-run", NULL, "say who would get it and who is blocked, and do nothing"},
    {"confirm", "N", "at most so many vehicles; needed above commands.confirm_above"},
    {"ttl", "S", "send it no later than so many seconds from now"},
    {"within", "S", "it has to be completed so many seconds after it was accepted"},
    {"wait", "completed|accepted", "what is success (default: completed)"},
    {"verify", "FILTER", "… and then the vehicle must match, by what it says after it was sent"},
    {"verify-within", "S", "within so many seconds"},
    {"batch", "N", "send it to so many at a time"},
    {"interval-ms", "MS", "time between two batches"},
    {"abort-failed", "PCT", "stop when more of those that ended have failed"},
    {"abort-min", "N", "… once so many have ended"},
    {"detach", NULL, "do not watch: print the command's id and end"},
    {"json", NULL, "print the command and all its vehicles as one JSON object at the end"},
    CLI_CLIENT_OPTIONS,
    {NULL, NULL, NULL},
};

static const struct doc_limits limits = {.max_bytes = 16 << 20, .max_depth = 64};

struct sending {
    const struct cli_args *args;
    struct client *client;
    struct doc_parser *parser;
    struct send_status status;
    struct buf text, command; /* scratch; the command as JSON, as last heard */
    int64_t told_ms;
    bool terminal, asked; /* asked: the request has been answered with a command */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int fail(const char *why)
{
    fprintf(stderr, "fleethub send: %s\n", why);
    return CLI_FAILED;
}

static int refused(struct sending *sending, const struct client_answer *answer)
{
    buf_reset(&sending->text);
    client_explain(answer, &sending->text);
    return fail(buf_cstr(&sending->text));
}

/* ---- asking ---- */

/* Asks until the hub answers: an idempotency key makes asking again safe. CLI_OK with an answer;
 * else it has been said why. */
static int ask(struct sending *sending, const struct client_request *request,
               struct client_answer *answer)
{
    struct buf why = BUF_INIT;
    int exit_code = CLI_FAILED;
    for (int tries = 0; tries < RETRIES_MAX; tries++) {
        buf_reset(&why);
        enum client_outcome outcome = client_ask(sending->client, request, answer, &why);
        if (outcome == CLIENT_OK && answer->status != HTTP_UNAVAILABLE &&
            answer->status != HTTP_TOO_MANY) {
            buf_done(&why);
            return CLI_OK;
        }
        if (outcome == CLIENT_INTERRUPTED || client_interrupted()) {
            exit_code = CLI_INTERRUPTED;
            break;
        }
        if (outcome == CLIENT_OK) {
            client_explain(answer, &why);
            client_answer_done(answer);
        } else if (outcome == CLIENT_UNREACHABLE && tries == 0 && !sending->asked) {
            break; /* it was never there: it will hardly come */
        }
        if (tries == 0)
            fprintf(stderr, "fleethub send: %s; trying again\n", buf_cstr(&why));
        client_pause(RETRY_MS);
    }
    if (exit_code == CLI_FAILED)
        fail(buf_cstr(&why));
    buf_done(&why);
    return exit_code;
}

/* The answer's JSON; no value where it is none. */
static struct doc_ref parse(struct sending *sending, const struct client_answer *answer)
{
    struct doc_ref root;
    if (doc_parse(sending->parser, answer->body.size_bytes ? answer->body.data : "",
                  answer->body.size_bytes, limits, &root) != DOC_OK)
        return (struct doc_ref){NULL, NULL};
    return root;
}

static int take_status(struct sending *sending, const struct client_answer *answer)
{
    struct doc_ref root = parse(sending, answer);
    if (!doc_exists(root) || !send_status_read(root, &sending->status))
        return fail("the server's answer is no command: is it a fleethub?");
    buf_reset(&sending->command);
    doc_write(&sending->command, root);
    return CLI_OK;
}

static int post(struct sending *sending, const char *body, bool *watch)
{
    char key[CLIENT_KEY_BYTES];
    client_new_key(key);
    struct client_request request = {
        .method = "POST", .target = "/v1/commands", .body = body, .idempotency_key = key};
    struct client_answer answer = {0};
    int exit_code = ask(sending, &request, &answer);
    *watch = false;
    if (exit_code != CLI_OK)
        return exit_code;
    if (answer.status == HTTP_ACCEPTED) {
        exit_code = take_status(sending, &answer);
        *watch = exit_code == CLI_OK;
        sending->asked = true;
    } else if (answer.status == HTTP_OK && cli_value(sending->args, "dry-run")) {
        struct doc_ref root = parse(sending, &answer);
        bool json = cli_value(sending->args, "json") != NULL;
        buf_reset(&sending->text);
        bool any = send_write_dry_run(&sending->text, root);
        if (json) {
            buf_reset(&sending->text);
            doc_write(&sending->text, root);
            buf_addc(&sending->text, '\n');
        }
        exit_code = cli_print(&sending->text);
        if (!any)
            exit_code = CLI_FAILED;
    } else {
        exit_code = refused(sending, &answer);
    }
    client_answer_done(&answer);
    return exit_code;
}

/* ---- watching ---- */

/* On a terminal one line that is rewritten, else a line when something has changed, at most one a
 * second. */
static void tell(struct sending *sending, bool changed)
{
    bool last = sending->status.ended;
    if (cli_value(sending->args, "json") && !sending->terminal)
        return;
    if (!sending->terminal && !last &&
        (!changed || (sending->told_ms && now_ms() - sending->told_ms < LINE_EVERY_MS)))
        return;
    sending->told_ms = now_ms();
    buf_reset(&sending->text);
    send_write_bar(&sending->text, &sending->status, BAR_WIDTH);
    fprintf(stderr, sending->terminal ? "\r%s\033[K%s" : "%s%s", buf_cstr(&sending->text),
            !sending->terminal || last ? "\n" : "");
}

static void tell_how_to_cancel(const struct sending *sending)
{
    fprintf(stderr,
            "\nThe command goes on. To cancel what has not been sent:\n"
            "  curl -X POST '%s/v1/commands/%s:cancel'\n",
            client_server(sending->client), sending->status.id);
}

static int watch_command(struct sending *sending)
{
    char target[128];
    struct client_request request = {.method = "GET", .target = target};
    snprintf(target, sizeof target, "/v1/commands/%s", sending->status.id);
    tell(sending, true);
    while (!sending->status.ended) {
        struct client_answer answer = {0};
        struct send_status before = sending->status;
        client_pause(POLL_MS);
        int exit_code = client_interrupted() ? CLI_INTERRUPTED : ask(sending, &request, &answer);
        if (exit_code == CLI_OK)
            exit_code = answer.status == HTTP_OK ? take_status(sending, &answer)
                                                 : refused(sending, &answer);
        client_answer_done(&answer);
        if (exit_code != CLI_OK) {
            tell_how_to_cancel(sending);
            return exit_code;
        }
        tell(sending, memcmp(&before, &sending->status, sizeof before) != 0);
    }
    return CLI_OK;
}

/* ---- the end ---- */

static bool is_listed(const struct sending *sending, struct doc_ref vehicle)
{
    size_t size = 0;
    struct doc_ref value = doc_getz(vehicle, "state");
    const char *state = doc_is(value, DOC_STRING) ? doc_string(value, &size) : "";
    enum delivery_state known;
    if (cli_value(sending->args, "json") || sending->status.total <= LISTED_MAX)
        return true;
    return !delivery_state_parse(state, size, &known) || known >= DELIVERY_BLOCKED ||
           known < DELIVERY_ACCEPTED;
}

/* Writes a page's vehicles and sets *token to the next page's; "" at the end. */
static void write_page(const struct sending *sending, struct doc_ref page, struct buf *out,
                       bool *first, struct buf *token)
{
    struct doc_ref vehicles = doc_getz(page, "vehicles"), next = doc_getz(page, "next_page_token");
    bool json = cli_value(sending->args, "json") != NULL;
    for (struct doc_ref v = doc_first(vehicles); doc_exists(v); v = doc_next(vehicles, v)) {
        if (!is_listed(sending, v))
            continue;
        if (json && !*first)
            buf_addc(out, ',');
        *first = false;
        if (json)
            doc_write(out, v);
        else
            send_write_vehicle(out, v, term_has_colours(STDOUT_FILENO));
    }
    buf_reset(token);
    size_t size = 0;
    const char *text = doc_is(next, DOC_STRING) ? doc_string(next, &size) : "";
    buf_add(token, text, size);
}

static int write_vehicles(struct sending *sending, struct buf *out)
{
    struct buf target = BUF_INIT, token = BUF_INIT;
    int exit_code;
    bool first = true;
    do {
        struct client_answer answer = {0};
        buf_reset(&target);
        buf_addf(&target, "/v1/commands/%s/vehicles?page_size=%d", sending->status.id,
                 (int)PAGE_MAX);
        if (token.size_bytes > 0) {
            buf_adds(&target, "&page_token=");
            client_encode(&target, buf_cstr(&token));
        }
        struct client_request request = {.method = "GET", .target = buf_cstr(&target)};
        exit_code = ask(sending, &request, &answer);
        if (exit_code == CLI_OK && answer.status != HTTP_OK)
            exit_code = refused(sending, &answer);
        else if (exit_code == CLI_OK)
            write_page(sending, parse(sending, &answer), out, &first, &token);
        client_answer_done(&answer);
    } while (exit_code == CLI_OK && token.size_bytes > 0);
    buf_done(&target);
    buf_done(&token);
    return exit_code;
}

static int show_end(struct sending *sending)
{
    struct buf out = BUF_INIT;
    bool json = cli_value(sending->args, "json") != NULL;
    if (json) {
        /* The command's object, with one more member. */
        buf_add(&out, sending->command.data, sending->command.size_bytes - 1);
        buf_json_name(&out, "vehicles");
        buf_addc(&out, '[');
    }
    int exit_code = write_vehicles(sending, &out);
    if (json) {
        buf_adds(&out, "]}\n");
    } else {
        const char *status = sending->status.status;
        enum term_colour colour =
            term_has_colours(STDOUT_FILENO) ? term_colour_of(status, strlen(status)) : TERM_PLAIN;
        buf_addf(&out, "%s ", sending->status.id);
        term_begin(&out, colour);
        buf_adds(&out, status);
        term_end(&out, colour);
        buf_adds(&out, ": ");
        send_write_counts(&out, &sending->status);
        buf_addc(&out, '\n');
    }
    if (exit_code == CLI_OK)
        exit_code = cli_print(&out);
    buf_done(&out);
    if (exit_code == CLI_OK && !sending->status.succeeded)
        exit_code = CLI_FAILED;
    return exit_code;
}

int cli_send(const struct cli_args *args)
{
    struct sending sending = {
        .args = args, .terminal = isatty(STDERR_FILENO) == 1, .parser = doc_parser_new()};
    struct buf body = BUF_INIT, why = BUF_INIT;
    int exit_code = CLI_FAILED;
    bool watch;
    if (!send_body(args, &body, &why)) {
        fail(buf_cstr(&why));
        exit_code = CLI_USAGE;
        goto out;
    }
    sending.client = sending.parser && !body.failed ? cli_client("send", args) : NULL;
    if (!sending.client)
        goto out;
    client_catch_signals();
    exit_code = post(&sending, buf_cstr(&body), &watch);
    if (!watch)
        goto out;
    if (cli_value(args, "detach")) {
        printf("%s\n", sending.status.id);
        exit_code = fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
        goto out;
    }
    exit_code = watch_command(&sending);
    if (exit_code == CLI_OK)
        exit_code = show_end(&sending);
out:
    client_free(sending.client);
    doc_parser_free(sending.parser);
    buf_done(&sending.text);
    buf_done(&sending.command);
    buf_done(&body);
    buf_done(&why);
    return exit_code;
}
