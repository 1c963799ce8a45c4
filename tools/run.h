/*
 * run: what replay and fly have in common: the connection, the pace, the faults, the gateway's
 * duty, the shadow, progress and the report.
 *
 *     run_open → run_begin → { run_until → run_send }… → run_end → run_close
 *
 * Vehicles answer commands all the while (run_crew.c). On SIGUSR1 the account of that is written.
 *
 * Ownership: the run owns what it opens and borrows the roster. Threads: one (the signal handler
 * sets a flag and nothing else).
 */
#ifndef TOOLS_RUN_H
#define TOOLS_RUN_H

#include "tools/crew.h"
#include "tools/options.h"
#include "tools/pace.h"
#include "tools/sender.h"
#include "tools/shadow.h"

/* Exit codes of the program. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOT_ARCHIVED = 3 };

/* Where the options of all subcommands are put. */
struct run_options {
    const char *url, *creds, *tls_ca, *tls_cert, *tls_key;
    double connect_timeout_s;
    const char *env, *region;
    int64_t seed, max_messages;
    double speed;
    struct fault_options faults;
    bool no_gateway, state_acks;
    double wait_acks_s, wait_archived_s;
    bool shadow, no_shadow, dots, ignore_desired;
    int64_t follow_delay_ms;
    const char *known_keys, *report_file;
    bool no_commands;
    struct crew_options crew;
    const char *account_file;
    bool progress;
    /* replay */
    int64_t loop, copies;
    double spread_m;
    /* fly */
    int64_t vehicles;
    double duration_s, rate_position, rate_attitude, rate_battery, rate_mode, rate_health;
    const char *prefix;
    double start_lat, start_lon, start_alt_m, spacing_m, endurance_s;
    /* pub */
    const char *file, *data;
    struct option_texts headers;
    bool js;
    double timeout_s;
};

/* The groups of options that several subcommands share. */
extern const struct option_group RUN_CONNECTION_GROUP, RUN_FLEET_GROUP, RUN_GATEWAY_GROUP,
    RUN_FAULT_GROUP, RUN_SHADOW_GROUP, RUN_CREW_GROUP, RUN_REPORT_GROUP;

/* Whether env and region are tokens; says so on stderr where not. */
bool run_options_valid(const struct run_options *options);

/* From SIGINT or SIGTERM on. */
bool run_stopped(void);
void run_catch_signals(void);
/* Connects as the options say; NULL, having said why on stderr. */
struct sim_bus *run_connect(const struct run_options *options);

struct run_setup {
    const char *command;
    const struct run_options *options;
    const struct roster *roster;
    bool shadow; /* NULL functions for it where not */
    shadow_facts_fn *facts;
    shadow_follow_fn *follow;
    /* How a vehicle does what a command says, as in struct crew_config; NULL: nobody answers. */
    enum crew_act (*act)(void *closure, uint32_t vehicle, const char *type, struct doc_ref params,
                         struct crew_refusal *refusal);
    bool (*acted)(void *closure, uint32_t vehicle);
    void (*restarted)(void *closure, uint32_t vehicle);
    void *closure;
    uint64_t expected_total; /* good messages in all, 0: not known */
    int64_t length_ns;       /* of the schedule, 0: endless */
    bool live;               /* without a connection state is dropped, not waited with */
};

struct run {
    const struct run_options *options;
    struct sim_bus *bus;
    struct gateway *gateway;
    struct sender *sender;
    struct shadow *shadow; /* NULL: none */
    struct sim_sub *archived;
    struct crew *crew; /* NULL: none */
    struct sim_sub *commands;
    struct run_setup setup;
    struct report report;
    struct shadow_counts shadow_counts;
    struct pace pace;
    int64_t length_ns;
    char region[TOKEN_MAX_BYTES + 1]; /* the one whose positions count; "": none heard yet */
    unsigned reconnects;              /* seen */
    int64_t polled_ns, ticked_ns, told_ns;
    unsigned since_poll;
    bool progress, full;
};

/* False, having said why on stderr. */
bool run_open(struct run *run, const struct run_setup *setup);
/* Schedule time 0 is now. */
void run_begin(struct run *run);
/* A new boot of all vehicles: its text is unlike that of any other run. */
void run_boot(struct run *run, uint64_t pass);
/* Waits until the schedule time is due, sending what was held back until then. False: the run is to
 * end (a signal, or --max-messages). */
bool run_until(struct run *run, int64_t schedule_ns);
/* Sends a message, once there is a connection and room for it. False as above. */
bool run_send(struct run *run, uint32_t vehicle, int type, const char *data, size_t data_bytes,
              int64_t schedule_ns);
/* Sends a message of now without waiting, from within the functions of the setup. */
void run_say(struct run *run, uint32_t vehicle, int type, const char *data, size_t data_bytes);
/* The schedule's time of now, at which commands are done. */
int64_t run_schedule_ns(const struct run *run);
/* Whether the vehicle can send nothing now: what it says of its state is lost. */
bool run_is_cut_off(const struct run *run, uint32_t vehicle);
/* Sends the rest, waits as the options say, tells the report. The exit code. */
int run_end(struct run *run);
void run_close(struct run *run);

#endif
