/* fleetsim replay: recorded flights, sent as if they were flown now. */
#include "tools/commands.h"
#include "tools/run.h"
#include "tools/trace.h"

#include "twin/timestamp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Between the last line of a pass and the first of the next, in the flight's time. */
#define REPLAY_PAUSE_NS (1 * NS_PER_S)
#define GOLDEN_ANGLE 2.39996322972865332
enum { COPIES_MAX = 100000 };

static const struct option_spec REPLAY[] = {
    {"loop", "[N]", "N passes, each a new boot; without N for ever", OPTION_MAYBE_INT,
     offsetof(struct run_options, loop), "1", 0, 1e9},
    {"copies", "N", "each vehicle N times: VID, VID-2, … VID-N", OPTION_INT,
     offsetof(struct run_options, copies), "1", 1, COPIES_MAX},
    {"spread", "M", "metres between the copies' places", OPTION_REAL,
     offsetof(struct run_options, spread_m), "50", 0, 1e5},
};

/* What a vehicle last said of its mode, for `reported`. */
struct replay_facts {
    const struct trace_line *mode;
};

struct replay {
    struct run_options options;
    struct run run;
    struct trace *trace;
    struct roster *roster; /* vehicle v's copy c is number v * copies + c */
    int *types;            /* by line: its place in the report */
    struct replay_facts *facts;
    uint32_t copies;
    struct buf data;
};

static void usage(const struct option_group *groups, size_t group_count)
{
    printf(
        "usage: fleetsim replay [options] FILE...   (- is stdin)\n"
        "\n"
        "Publishes recorded flights: lines of {\"t\": seconds, \"vid\", \"subject\", \"data\"}.\n"
        "Several files are flown together. Timestamps are the start's present plus t/F; as fast\n"
        "as possible (--speed 0) the flight is dated back, so that its end is the present (or,\n"
        "looped for ever, each message has the instant of its sending).\n");
    options_help(groups, group_count);
    printf("\nHostile kinds:\n ");
    for (int i = 0; i < HOSTILE_COUNT; i++)
        printf(" %s", hostile_name((enum hostile)i));
    printf("\nExit: 0 good, 1 failed, 2 usage, 3 not everything archived.\n");
}

static bool load_trace(struct replay *replay, const struct option_args *args)
{
    char error[TRACE_ERROR_BYTES] = "no memory";

    replay->trace = trace_new();
    for (size_t i = 0; i < args->count; i++)
        if (!replay->trace || !trace_read(replay->trace, args->positionals[i], error)) {
            fprintf(stderr, "fleetsim: %s\n", error);
            return false;
        }
    trace_sort(replay->trace);
    if (trace_count(replay->trace) == 0) {
        fprintf(stderr, "fleetsim: nothing to replay\n");
        return false;
    }
    return true;
}

static bool name_copies(struct replay *replay)
{
    const struct roster *recorded = trace_vehicles(replay->trace);

    replay->copies = (uint32_t)replay->options.copies;
    replay->roster = roster_new();
    for (uint32_t v = 0; replay->roster && v < roster_count(recorded); v++) {
        for (uint32_t c = 0; c < replay->copies; c++) {
            char vid[2 * TOKEN_MAX_BYTES];
            int size = snprintf(vid, sizeof vid, "%s", roster_vid(recorded, v));
            if (c > 0)
                size = snprintf(vid, sizeof vid, "%s-%u", roster_vid(recorded, v), c + 1);
            if (roster_add(replay->roster, vid, (size_t)size) != v * replay->copies + c) {
                fprintf(stderr, "fleetsim: --copies: \"%s\" is too long, taken or one too many\n",
                        vid);
                return false;
            }
        }
    }
    replay->facts = calloc(roster_count(recorded), sizeof *replay->facts);
    return replay->roster && replay->facts;
}

static bool count_types(struct replay *replay)
{
    size_t count = trace_count(replay->trace);
    replay->types = calloc(count, sizeof *replay->types);
    for (size_t i = 0; replay->types && i < count; i++) {
        const struct trace_line *line = trace_line(replay->trace, i);
        replay->types[i] = report_type(&replay->run.report, line->category, line->type);
        if (replay->types[i] == REPORT_TYPE_NONE) {
            fprintf(stderr, "fleetsim: more than %d types\n", REPORT_TYPES_MAX);
            return false;
        }
    }
    return replay->types != NULL;
}

/* ---- shadow ---- */

static void facts(void *closure, uint32_t vehicle, json_t *reported)
{
    struct replay *replay = closure;
    const struct trace_line *mode = replay->facts[vehicle / replay->copies].mode;

    json_object_set_new(reported, "source", json_string("replay"));
    if (!mode)
        return;
    json_t *said = json_loadb(mode->data, mode->data_bytes, 0, NULL);
    json_object_update(reported, said);
    json_decref(said);
}

/* A recorded flight cannot be told another mode, only other settings. */
static enum shadow_wish follow(void *closure, uint32_t vehicle, const char *key,
                               const json_t *value)
{
    (void)closure;
    (void)vehicle;
    bool fact = strcmp(key, "mode") == 0 || strcmp(key, "armed") == 0 || strcmp(key, "source") == 0;
    return value && !fact ? SHADOW_COPY : SHADOW_IGNORED;
}

/* ---- commands ---- */

static enum crew_act act(void *closure, uint32_t vehicle, const char *type, struct doc_ref params,
                         struct crew_refusal *refusal)
{
    (void)closure;
    (void)vehicle;
    (void)type;
    (void)params;
    snprintf(refusal->error, sizeof refusal->error, "a recorded flight takes no commands");
    refusal->code = CODE_UNSUPPORTED;
    return ACT_REFUSED;
}

/* ---- flying ---- */

/* Copies stand on a spiral around the first, each about as far from its neighbours. */
static void put_data(struct replay *replay, const struct trace_line *line, uint32_t copy)
{
    double radius_m = replay->options.spread_m * sqrt(copy);
    buf_reset(&replay->data);
    trace_write_displaced(&replay->data, line, radius_m * cos(copy * GOLDEN_ANGLE),
                          radius_m * sin(copy * GOLDEN_ANGLE));
}

static bool send_line(struct replay *replay, size_t at, int64_t schedule_ns)
{
    const struct trace_line *line = trace_line(replay->trace, at);
    bool mode = line->category == CATEGORY_STATE && strcmp(line->type, "mode") == 0;

    if (mode)
        replay->facts[line->vehicle].mode = line;
    for (uint32_t copy = 0; copy < replay->copies; copy++) {
        uint32_t vehicle = line->vehicle * replay->copies + copy;
        const char *data = line->data;
        size_t size = line->data_bytes;
        if (copy > 0 && line->placed) {
            put_data(replay, line, copy);
            data = replay->data.data;
            size = replay->data.size_bytes;
        }
        if (run_is_cut_off(&replay->run, vehicle))
            continue;
        if (!run_send(&replay->run, vehicle, replay->types[at], data, size, schedule_ns))
            return false;
        if (mode && replay->run.shadow)
            shadow_changed(replay->run.shadow, vehicle);
    }
    return true;
}

static void fly_passes(struct replay *replay)
{
    int64_t pass_ns = trace_length_ns(replay->trace) + REPLAY_PAUSE_NS;
    int64_t passes = replay->options.loop;

    for (int64_t pass = 0; passes == 0 || pass < passes; pass++) {
        run_boot(&replay->run, (uint64_t)pass);
        for (size_t i = 0; i < trace_count(replay->trace); i++) {
            int64_t schedule_ns = pass * pass_ns + trace_line(replay->trace, i)->t_ns;
            if (!run_until(&replay->run, schedule_ns) || !send_line(replay, i, schedule_ns))
                return;
        }
    }
}

static int replay_run(struct replay *replay)
{
    int64_t passes = replay->options.loop;
    int64_t pass_ns = trace_length_ns(replay->trace) + REPLAY_PAUSE_NS;
    struct run_setup setup = {
        .command = "replay",
        .options = &replay->options,
        .roster = replay->roster,
        .shadow = replay->options.shadow && !replay->options.no_shadow,
        .facts = facts,
        .follow = follow,
        .act = act,
        .closure = replay,
        .expected_total = (uint64_t)passes * trace_count(replay->trace) * (uint64_t)replay->copies,
        .length_ns = passes * pass_ns,
    };
    int code = EXIT_FAILED;

    if (run_open(&replay->run, &setup) && count_types(replay)) {
        run_begin(&replay->run);
        fly_passes(replay);
        code = run_end(&replay->run);
    }
    run_close(&replay->run);
    return code;
}

int replay_main(int argc, char **argv)
{
    const struct option_group own = {"Replay", REPLAY, sizeof REPLAY / sizeof *REPLAY};
    const struct option_group groups[] = {own,
                                          RUN_FLEET_GROUP,
                                          RUN_CONNECTION_GROUP,
                                          RUN_GATEWAY_GROUP,
                                          RUN_FAULT_GROUP,
                                          RUN_SHADOW_GROUP,
                                          RUN_CREW_GROUP,
                                          RUN_REPORT_GROUP};
    const size_t group_count = sizeof groups / sizeof *groups;
    struct option_args args;
    char error[OPTION_ERROR_BYTES];
    int code = EXIT_FAILED;

    struct replay *replay = calloc(1, sizeof *replay);
    if (!replay)
        return EXIT_FAILED;
    if (!options_parse(groups, group_count, argc, argv, &replay->options, &args, error)) {
        fprintf(stderr, "fleetsim replay: %s (--help tells all)\n", error);
        code = EXIT_USAGE;
    } else if (args.help) {
        usage(groups, group_count);
        code = EXIT_OK;
    } else if (!run_options_valid(&replay->options) || args.count == 0) {
        fprintf(stderr, "usage: fleetsim replay [options] FILE... (--help tells all)\n");
        code = EXIT_USAGE;
    } else if (load_trace(replay, &args) && name_copies(replay)) {
        code = replay_run(replay);
    }
    trace_free(replay->trace);
    roster_free(replay->roster);
    buf_done(&replay->data);
    free(replay->types);
    free(replay->facts);
    free(replay);
    return code;
}
