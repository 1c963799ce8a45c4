/* `watch`: a live query, a line for each change. */
#include "hub/cli_client.h"
#include "hub/sse.h"
#include "hub/term.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { AGAIN_MS = 1000, HTTP_OK = 200, HTTP_UNAVAILABLE = 503, HTTP_TOO_MANY = 429 };

const struct cli_option cli_watch_options[] = {
    {"filter", "FILTER", "vehicles that match"},
    {"fields", "PATH,…", "these parts of them"},
    {"max-hz", "HZ", "at most so many lines a second for each vehicle"},
    {"json", NULL, "one JSON object a line: {\"event\", \"data\"}"},
    CLI_CLIENT_OPTIONS,
    {NULL, NULL, NULL},
};

struct watching {
    const struct cli_args *args;
    struct sse_reader reader;
    struct buf line;
    bool coloured;
    bool terminal; /* somebody looks at what is written */
    bool told;     /* something has come since the connection was opened */
    bool failed;
};

static void tell_person(struct watching *watching, const struct sse_event *event)
{
    struct buf *line = &watching->line;
    enum term_colour colour =
        watching->coloured ? term_colour_of(event->name, strlen(event->name)) : TERM_PLAIN;
    term_begin(line, colour);
    buf_addf(line, "%-6s", event->name);
    term_end(line, colour);
    buf_addc(line, ' ');
    term_add(line, event->data);
    buf_addc(line, '\n');
}

static void tell_program(struct watching *watching, const struct sse_event *event)
{
    struct buf *line = &watching->line;
    buf_addf(line, "{\"event\":\"%s\",\"data\":", event->name);
    if (watching->terminal)
        term_add(line, event->data);
    else
        buf_adds(line, event->data);
    buf_adds(line, "}\n");
}

/* An event as a line. False where it cannot be written. */
static bool tell(void *closure, const struct sse_event *event)
{
    struct watching *watching = closure;
    struct buf *line = &watching->line;
    watching->told = true;
    buf_reset(line);
    if (cli_value(watching->args, "json"))
        tell_program(watching, event);
    else
        tell_person(watching, event);
    watching->failed = cli_print(line) != CLI_OK;
    return !watching->failed;
}

static bool take(void *closure, const char *bytes, size_t size)
{
    struct watching *watching = closure;
    return sse_read(&watching->reader, bytes, size, tell, watching);
}

static void write_target(const struct cli_args *args, struct buf *target)
{
    static const char *const parameters[][2] = {
        {"filter", "filter"}, {"fields", "fields"}, {"max-hz", "max_hz"}};
    const char *mark = "?";
    buf_adds(target, "/v1/vehicles/stream");
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        const char *value = cli_value(args, parameters[i][0]);
        if (!value)
            continue;
        buf_addf(target, "%s%s=", mark, parameters[i][1]);
        client_encode(target, value);
        mark = "&";
    }
}

/* Whether asking again makes sense: what broke, and a hub that is not ready. */
static bool passes(enum client_outcome outcome, const struct client_answer *answer)
{
    return outcome == CLIENT_OK ? answer->status == HTTP_OK || answer->status == HTTP_UNAVAILABLE ||
                                      answer->status == HTTP_TOO_MANY
                                : outcome != CLIENT_INTERRUPTED;
}

int cli_watch(const struct cli_args *args)
{
    struct watching watching = {.args = args,
                                .coloured = term_has_colours(STDOUT_FILENO),
                                .terminal = isatty(STDOUT_FILENO) == 1};
    struct client *client = cli_client("watch", args);
    struct buf target = BUF_INIT, why = BUF_INIT;
    int exit_code = CLI_FAILED;
    bool ever = false, told_why = false;
    if (!client)
        return CLI_FAILED;
    sse_init(&watching.reader);
    write_target(args, &target);
    client_catch_signals();
    for (;;) {
        struct client_answer answer = {0};
        struct client_request request = {.method = "GET",
                                         .target = buf_cstr(&target),
                                         .accept = "text/event-stream",
                                         .last_event_id = sse_last_id(&watching.reader)};
        buf_reset(&why);
        watching.told = false;
        sse_restart(&watching.reader);
        enum client_outcome outcome =
            client_follow(client, &request, take, &watching, &answer, &why);
        if (outcome == CLIENT_OK && answer.status != HTTP_OK)
            client_explain(&answer, &why);
        else if (outcome == CLIENT_OK)
            buf_adds(&why, "the stream has ended");
        bool again = passes(outcome, &answer) && (ever || watching.told) && !watching.failed;
        client_answer_done(&answer);
        if (client_interrupted()) {
            exit_code = CLI_INTERRUPTED;
            break;
        }
        ever = ever || watching.told;
        told_why = told_why && !watching.told;
        if (!told_why && !watching.failed)
            fprintf(stderr, "fleethub watch: %s%s\n", buf_cstr(&why),
                    again ? "; trying again" : "");
        told_why = true;
        if (!again)
            break;
        client_pause(AGAIN_MS);
    }
    client_free(client);
    sse_done(&watching.reader);
    buf_done(&watching.line);
    buf_done(&target);
    buf_done(&why);
    return exit_code;
}
