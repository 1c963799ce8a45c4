/*
 * crew: how simulated vehicles answer commands (contract §2), and an account of what each of them
 * really did.
 *
 * A vehicle hears a command, thinks for a while, then accepts or refuses it, acts, and says when it
 * has done it. A `cmd_id` it has heard before makes it repeat its last word and nothing else. What
 * is past its expires_at is refused. What goes wrong instead is drawn anew for each command of each
 * vehicle, from the seed (CREW_FATE_TABLE); beside it whole vehicles may be offline for a while,
 * and words may come twice or in the wrong order.
 *
 * Pure but for the functions it is given: time comes in as an argument.
 * Ownership: borrows roster, options and closure. Threads: one.
 * Limits: CREW_ORDERS_MAX commands in all; what comes after them is counted as lost.
 */
#ifndef TOOLS_CREW_H
#define TOOLS_CREW_H

#include "tools/roster.h"

#include "twin/buf.h"
#include "twin/doc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CREW_ORDERS_MAX = 2000000, CREW_ERROR_BYTES = 96 };

/* id, name in the account, what happens, the option that says how often */
#define CREW_FATE_TABLE(X)                                                                         \
    X(SILENT, "silent", "does nothing and says nothing")                                           \
    X(WORDLESS, "wordless", "does it and says nothing")                                            \
    X(MUTE, "mute", "accepts and does it, and says no more")                                       \
    X(REFUSE, "refuse", "refuses with a reason and a code")                                        \
    X(FAIL, "fail", "accepts, tries, and says that it failed")                                     \
    X(IGNORE, "ignore", "says all the right words and does nothing")                               \
    X(RESTART, "restart", "accepts, begins, and starts anew in the middle")

enum crew_fate {
    FATE_OBEY, /* none of these */
#define X(id, name, help) FATE_##id,
    CREW_FATE_TABLE(X)
#undef X
        FATE_EXPIRED, /* not drawn: it came too late */
    FATE_COUNT
};

/* What a vehicle says of a command. */
#define CREW_WORD_TABLE(X)                                                                         \
    X(ACCEPTED, "accepted")                                                                        \
    X(REJECTED, "rejected")                                                                        \
    X(COMPLETED, "completed")                                                                      \
    X(FAILED, "failed")

enum crew_word {
    WORD_NONE,
#define X(id, name) WORD_##id,
    CREW_WORD_TABLE(X)
#undef X
        WORD_COUNT
};

/* The autopilot's code beside a reason: MAVLink's MAV_RESULT. */
enum crew_code {
    CODE_NONE = -1,
    CODE_TEMPORARILY_REJECTED = 1,
    CODE_DENIED = 2,
    CODE_UNSUPPORTED = 3,
    CODE_FAILED = 4,
    CODE_CANCELLED = 6,
};

struct crew_options {
    double latency_ms;  /* from hearing to the first word, half as much more or less */
    double complete_ms; /* from there to the last; below 0: when it is really done */
    double fate_pct[FATE_COUNT];
    double restart_s; /* how long a restart takes */
    bool forget;      /* a restart forgets the ids that were heard */
    double offline_pct, offline_from_s, offline_for_s; /* vehicles; 0 s: for good */
    double duplicate_pct;                              /* words said twice */
    double disorder_pct;                               /* commands accepted after their end */
};

struct crew_refusal {
    char error[CREW_ERROR_BYTES];
    enum crew_code code;
};

enum crew_act {
    ACT_REFUSED,
    ACT_NOTED, /* done, and what the vehicle does goes on: a parameter */
    ACT_DONE,  /* done, and it ends what the vehicle was doing */
    ACT_BEGUN, /* it takes a while */
};

struct crew_config {
    const char *env;
    const struct roster *roster;
    const struct crew_options *options;
    uint64_t seed;
    int64_t start_ns; /* from which the offline time counts */
    void *closure;
    /* Says one word. False: there is no way now; it is tried again. */
    bool (*say)(void *closure, uint32_t vehicle, const char *type, const char *data, size_t size);
    /* The vehicle does it, or begins to, or refuses. */
    enum crew_act (*act)(void *closure, uint32_t vehicle, const char *type, struct doc_ref params,
                         struct crew_refusal *refusal);
    /* Whether it has done what it began last. */
    bool (*done)(void *closure, uint32_t vehicle);
    /* A new boot. */
    void (*restart)(void *closure, uint32_t vehicle);
};

struct crew;

struct crew *crew_new(const struct crew_config *config);
void crew_free(struct crew *crew);

/* A message on a subject `fleet.<env>.veh.<vid>.cmd.<type>`. */
void crew_hear(struct crew *crew, const char *subject, const char *payload, size_t size,
               int64_t now_ns, int64_t real_ns);
/* Does what is due. To be called every few milliseconds. */
void crew_tick(struct crew *crew, int64_t now_ns);
/* Whether the vehicle is cut off: it hears nothing and nothing that it says gets through. */
bool crew_is_offline(const struct crew *crew, uint32_t vehicle, int64_t now_ns);

/* What crew counts for the report. */
struct crew_counts {
    uint64_t heard;   /* commands, each vehicle's each time */
    uint64_t unheard; /* the vehicle was cut off or starting */
    uint64_t strange; /* no command at all, or for nobody here */
    uint64_t acted, repeated, said;
};
const struct crew_counts *crew_counts(const struct crew *crew);

/* Appends the account, a line of JSON for each command that a vehicle heard, in the order in which
 * they came:
 *   {"vid", "cmd_id", "type", "fate", "heard", "acted", "acks": {"accepted": 1, …},
 *    "outcome": the word that holds, or null, "error", "code"} */
void crew_write_account(const struct crew *crew, struct buf *out);

#endif
