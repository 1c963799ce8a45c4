#include "tools/run_crew.h"

#include "tools/message.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { COMMANDS_AT_ONCE = 1000 }; /* then the rest of the run has its turn */

static volatile sig_atomic_t account_wanted;

static void on_wanted(int number)
{
    (void)number;
    account_wanted = 1;
}

void run_crew_catch_signal(void)
{
    struct sigaction action = {.sa_handler = on_wanted, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
}

/* ---- the options ---- */

#define OPTION(name, arg, kind, member, value, min, max, help)                                     \
    {                                                                                              \
        name, arg, help, kind, offsetof(struct run_options, member), value, min, max               \
    }

static const struct option_spec CREW[] = {
    OPTION("no-commands", NULL, OPTION_FLAG, no_commands, NULL, 0, 0, "answer no commands"),
    OPTION("cmd-latency-ms", "MS", OPTION_REAL, crew.latency_ms, "50", 0, 864e5,
           "from hearing to the first answer, half as much more or less"),
    OPTION("cmd-complete-ms", "MS", OPTION_REAL, crew.complete_ms, "-1", -1, 864e5,
           "from there to `completed`; -1: when it is really done"),
#define X(id, name, help)                                                                          \
    OPTION("cmd-" name, "PCT", OPTION_REAL, crew.fate_pct[FATE_##id], "0", 0, 100,                 \
           "commands after which the vehicle " help),
    CREW_FATE_TABLE(X)
#undef X
        OPTION("cmd-restart-s", "S", OPTION_REAL, crew.restart_s, "2", 0, 86400,
               "how long such a restart takes"),
    OPTION("cmd-forget", NULL, OPTION_FLAG, crew.forget, NULL, 0, 0,
           "a restarted vehicle does not know which commands it has heard"),
    OPTION("cmd-duplicate-acks", "PCT", OPTION_REAL, crew.duplicate_pct, "0", 0, 100,
           "answers given twice"),
    OPTION("cmd-disorder", "PCT", OPTION_REAL, crew.disorder_pct, "0", 0, 100,
           "commands that are accepted after they are completed"),
    OPTION("offline", "PCT", OPTION_REAL, crew.offline_pct, "0", 0, 100,
           "vehicles that are cut off for a while"),
    OPTION("offline-from", "S", OPTION_REAL, crew.offline_from_s, "0", 0, 1e7, "from then on"),
    OPTION("offline-for", "S", OPTION_REAL, crew.offline_for_s, "0", 0, 1e7,
           "for so long; 0: for good"),
    OPTION("account", "FILE", OPTION_TEXT, account_file, NULL, 0, 0,
           "at the end, and at each SIGUSR1: what each vehicle did with each command, as NDJSON"),
};
const struct option_group RUN_CREW_GROUP = {"Commands", CREW, sizeof CREW / sizeof *CREW};

/* ---- what the crew asks of the run ---- */

static bool say(void *closure, uint32_t vehicle, const char *type, const char *data, size_t size)
{
    struct run *run = closure;
    int place = report_type(&run->report, CATEGORY_ACK, type);
    if (place == REPORT_TYPE_NONE || !sim_bus_connected(run->bus) || !sender_ready(run->sender))
        return false;
    run_say(run, vehicle, place, data, size);
    return true;
}

static void restart(void *closure, uint32_t vehicle)
{
    struct run *run = closure;
    sender_restart(run->sender, vehicle);
    if (run->setup.restarted)
        run->setup.restarted(run->setup.closure, vehicle);
}

static enum crew_act act(void *closure, uint32_t vehicle, const char *type, struct doc_ref params,
                         struct crew_refusal *refusal)
{
    struct run *run = closure;
    return run->setup.act(run->setup.closure, vehicle, type, params, refusal);
}

static bool done(void *closure, uint32_t vehicle)
{
    struct run *run = closure;
    return !run->setup.acted || run->setup.acted(run->setup.closure, vehicle);
}

bool run_crew_open(struct run *run, const struct run_setup *setup)
{
    const struct run_options *options = setup->options;
    struct sim_error error;
    char subject[3 * TOKEN_MAX_BYTES];
    struct crew_config config = {.env = options->env,
                                 .roster = setup->roster,
                                 .options = &options->crew,
                                 .seed = (uint64_t)options->seed,
                                 .start_ns = pace_mono_ns(),
                                 .closure = run,
                                 .say = say,
                                 .act = act,
                                 .done = done,
                                 .restart = restart};
    if (!setup->act || options->no_commands || options->speed <= 0)
        return true;
    run->crew = crew_new(&config);
    if (!run->crew)
        return false;
    snprintf(subject, sizeof subject, "fleet.%s.veh.*.%s.>", options->env,
             category_token(CATEGORY_COMMAND));
    run->commands = sim_sub_open(run->bus, subject, &error);
    if (!run->commands)
        fprintf(stderr, "fleetsim: %s\n", error.text);
    return run->commands != NULL;
}

bool run_is_cut_off(const struct run *run, uint32_t vehicle)
{
    return run->crew && crew_is_offline(run->crew, vehicle, pace_mono_ns());
}

void run_crew_pump(struct run *run, int64_t now_ns)
{
    struct sim_msg msg;
    if (!run->crew)
        return;
    for (int i = 0; i < COMMANDS_AT_ONCE && sim_sub_next(run->commands, &msg); i++) {
        crew_hear(run->crew, msg.subject, msg.data, msg.size, now_ns, pace_real_ns());
        sim_msg_done(&msg);
    }
    crew_tick(run->crew, now_ns);
    if (account_wanted) {
        account_wanted = 0;
        run_crew_tell(run);
    }
}

/* In place of the old one in one step: whoever reads it reads a whole one. */
bool run_crew_tell(struct run *run)
{
    const char *path = run->options->account_file;
    struct buf text = BUF_INIT, fresh = BUF_INIT;
    if (!run->crew || !path)
        return true;
    crew_write_account(run->crew, &text);
    buf_addf(&fresh, "%s.new", path);
    FILE *file = fresh.failed ? NULL : fopen(buf_cstr(&fresh), "w");
    bool ok = file && !text.failed && fputs(buf_cstr(&text), file) >= 0;
    if (file && fclose(file) != 0)
        ok = false;
    ok = ok && rename(buf_cstr(&fresh), path) == 0;
    if (!ok)
        fprintf(stderr, "fleetsim: %s: %s\n", path, strerror(errno));
    buf_done(&text);
    buf_done(&fresh);
    return ok;
}
