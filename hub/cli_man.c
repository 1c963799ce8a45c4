/* `man`: the manual page, in the man macros that groff and mandoc both read. Commands, options and
 * keys come from their tables; what is said beside them stands here. */
#include "hub/build_info.h"
#include "hub/cli_table.h"

enum { LINE_MAX_BYTES = 78 };

/* One character as roff takes it: what is not ASCII by its number, but for the ellipsis, which few
 * typewriters have. */
static size_t add_character(struct buf *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    unsigned code = *at;
    size_t size = code < 0x80 ? 1 : code < 0xE0 ? 2 : code < 0xF0 ? 3 : 4;
    static const unsigned masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    code &= masks[size];
    for (size_t i = 1; i < size; i++)
        code = code << 6 | (at[i] & 0x3FU);
    if (*at == '\\')
        buf_adds(out, "\\e");
    else if (*at == '-')
        buf_adds(out, "\\-");
    else if (*at == '\'')
        buf_adds(out, "\\(aq");
    else if (*at == '`')
        buf_adds(out, "\\(ga");
    else if (*at == '^')
        buf_adds(out, "\\(ha");
    else if (*at == '~')
        buf_adds(out, "\\(ti");
    else if (*at == '"')
        buf_adds(out, "\\(dq");
    else if (code == 0x2026)
        buf_adds(out, "...");
    else if (size > 1)
        buf_addf(out, "\\[u%04X]", code);
    else
        buf_addc(out, *text);
    return size;
}

/* A text within a line; `name` in bold where it stands between backquotes. */
static void add_text(struct buf *out, const char *text)
{
    bool bold = false;
    if (*text == '.' || strncmp(text, "…", strlen("…")) == 0)
        buf_adds(out, "\\&"); /* else it would be a macro */
    while (*text) {
        if (*text != '`') {
            text += add_character(out, text);
            continue;
        }
        bold = !bold;
        buf_adds(out, bold ? "\\fB" : "\\fR");
        text++;
    }
}

/* In lines of a width that people can read the source in. */
static void line(struct buf *out, const char *text)
{
    size_t start = out->size_bytes;
    add_text(out, text);
    for (size_t i = start; i + 1 < out->size_bytes; i++) {
        if (out->data[i] != ' ' || out->data[i + 1] == '.')
            continue;
        const char *next = memchr(out->data + i + 1, ' ', out->size_bytes - i - 1);
        size_t end = next ? (size_t)(next - out->data) : out->size_bytes;
        if (end - start <= LINE_MAX_BYTES)
            continue;
        out->data[i] = '\n';
        start = i + 1;
    }
    buf_addc(out, '\n');
}

/* A macro, and its one argument. */
static void macro(struct buf *out, const char *name, const char *argument)
{
    buf_addf(out, ".%s \"", name);
    add_text(out, argument);
    buf_adds(out, "\"\n");
}

struct entry {
    const char *term, *text; /* NULL behind the last */
};

static void add_entries(struct buf *out, const char *title, const struct entry *entries)
{
    macro(out, "SH", title);
    for (; entries->term; entries++) {
        buf_adds(out, ".TP\n\\fB");
        add_text(out, entries->term);
        buf_adds(out, "\\fR\n");
        line(out, entries->text);
    }
}

static void add_option(struct buf *out, const struct cli_option *option)
{
    buf_adds(out, ".TP\n\\fB\\-\\-");
    add_text(out, option->name);
    buf_adds(out, "\\fR");
    if (option->argument) {
        buf_adds(out, " \\fI");
        add_text(out, option->argument);
        buf_adds(out, "\\fR");
    }
    buf_addc(out, '\n');
    line(out, option->help);
}

static void add_command(struct buf *out, const struct cli_command *command)
{
    buf_adds(out, ".SS \"");
    add_text(out, command->name);
    if (*command->arguments) {
        buf_addc(out, ' ');
        add_text(out, command->arguments);
    }
    buf_adds(out, "\"\n");
    line(out, command->help);
    if (command->word && strcmp(command->word, "TYPE") == 0) {
        struct buf types = BUF_INIT;
        cli_write_choices(&types, command->word);
        buf_adds(&types, "; and those of `commands.extra_types`.");
        buf_adds(out, ".br\nTypes of commands:\n");
        line(out, buf_cstr(&types));
        buf_done(&types);
    }
    for (const struct cli_option *option = command->options; option && option->name; option++)
        add_option(out, option);
    if (command->takes & CLI_TAKES_CONFIG)
        add_option(out, &cli_config_option);
}

static void add_key(struct buf *out, const struct config_key *key)
{
    buf_adds(out, ".TP\n\\fB\\-\\-");
    add_text(out, key->name);
    buf_adds(out, "\\fR=\\fI");
    add_text(out, cli_key_argument(key));
    buf_adds(out, "\\fR\n");
    line(out, key->help);
    if (key->fallback && *key->fallback) {
        buf_adds(out, "Default: ");
        add_text(out, key->fallback);
        buf_adds(out, ".\n");
    }
    if (key->required)
        buf_adds(out, "Required.\n");
    if (key->variable) {
        buf_adds(out, "Environment: ");
        add_text(out, key->variable);
        buf_adds(out, ".\n");
    }
    if (key->reloadable)
        buf_adds(out, "SIGHUP may change it.\n");
}

static const struct entry signals[] = {
    {"SIGTERM, SIGINT", "The hub ends what it is at, and exits with 0 within 10 seconds."},
    {"SIGHUP", "The hub reads its configuration again. What may change does at once, what needs a "
               "restart is named in the log, and a bad configuration changes nothing."},
    {"SIGUSR2", "The hub drains: `/readyz` says 503, streams end, connections close behind their "
                "answers."},
    {NULL, NULL}};
static const struct entry variables[] = {
    {"FLEETHUB_SERVER", "Where the hub is, for vehicles, events, watch and send."},
    {"FLEETHUB_TOKEN_FILE, FLEETHUB_TOKEN", "The token that they show, in a file or as it is."},
    {"NO_COLOR", "Where it is set and not empty, nothing is coloured. Without it, tables on a "
                 "terminal are."},
    {"NOTIFY_SOCKET, WATCHDOG_USEC", "Set by systemd; see sd_notify(3)."},
    {NULL, NULL}};
static const struct entry files[] = {
    {"/etc/fleethub/fleethub.yaml", "The configuration that the systemd unit uses."},
    {"/etc/fleethub/secrets/", "What it names as credentials: systemd hands them to the hub."},
    {NULL, NULL}};
static const struct entry exits[] = {
    {"0", "Done. For send: every vehicle did what it was told."},
    {"1", "Not done; standard error says why. For audit verify: the record was changed."},
    {"2", "The command line makes no sense. For audit verify: there is nothing that can be "
          "verified."},
    {"130", "Ended by Ctrl-C."},
    {NULL, NULL}};
static const struct entry examples[] = {
    {"fleethub config example > fleethub.yaml", "Every key, with its default and what it is."},
    {"fleethub run --migrate --config fleethub.yaml", "Runs the hub."},
    {"fleethub vehicles --filter 'state.battery.remaining < 0.25'", "Who has to come home soon."},
    {"fleethub send rtl --filter 'state.battery.remaining < 0.2' --dry-run",
     "Says who would be sent home, and does nothing."},
    {"source <(fleethub completion bash)", "Completion for this shell."},
    {NULL, NULL}};

void cli_manual(struct buf *out)
{
    buf_adds(out, ".\\\" Made by `fleethub man`.\n.TH FLEETHUB 1 " FLEETHUB_DATE
                  " \"fleethub " FLEETHUB_VERSION "\" \"User Commands\"\n");
    macro(out, "SH", "NAME");
    line(out, "fleethub - hub for fleets of vehicles: digital twins and their record");
    macro(out, "SH", "SYNOPSIS");
    buf_adds(out, ".B fleethub\n.I command\n.RI [ argument ...]\n.br\n.B fleethub help\n"
                  ".RI [ command ]\n");
    macro(out, "SH", "DESCRIPTION");
    line(out, "Vehicles publish telemetry and events over NATS. The hub keeps a digital twin of "
              "each, answers what the fleet is doing over HTTP, carries commands to groups of "
              "vehicles, and puts every event on record in PostgreSQL exactly once. NATS "
              "JetStream holds the operational state and PostgreSQL the record: a hub can be "
              "killed, started again, or run twice side by side.");
    buf_adds(out, ".PP\n");
    line(out, "`vehicles`, `watch`, `events` and `send` talk to a running hub over HTTP, the other "
              "commands to NATS and PostgreSQL as the configuration says. What they print is a "
              "table for people, or with `--json` one JSON object a line. Every command takes "
              "`--help`.");
    macro(out, "SH", "COMMANDS");
    for (size_t i = 0; i < cli_command_count; i++)
        add_command(out, &cli_commands[i]);
    macro(out, "SH", "CONFIGURATION");
    line(out, "A YAML file. Every key is a flag too, of the commands that take `--config`: flags "
              "win over the environment, and the environment over the file.");
    for (size_t i = 0; i < config_key_count; i++)
        add_key(out, &config_keys[i]);
    add_entries(out, "SIGNALS", signals);
    add_entries(out, "ENVIRONMENT", variables);
    add_entries(out, "FILES", files);
    add_entries(out, "EXIT STATUS", exits);
    add_entries(out, "EXAMPLES", examples);
    macro(out, "SH", "SEE ALSO");
    buf_adds(out, ".BR nats\\-server (8),\n.BR postgres (1),\n.BR systemd.exec (5)\n");
}

int cli_man(const struct cli_args *args)
{
    struct buf text = BUF_INIT;
    (void)args;
    cli_manual(&text);
    int printed = cli_print(&text);
    buf_done(&text);
    return printed;
}
