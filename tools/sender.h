/*
 * sender: the way of a good message from a vehicle to the broker, and the faults that befall it
 * there: composed, perhaps with a wrong clock, perhaps held back, perhaps sent twice, with hostile
 * ones among them. State goes out by a plain publish, events and acknowledgements by the gateway.
 *
 * Ownership: borrows roster, bus, gateway and report. Threads: one.
 */
#ifndef TOOLS_SENDER_H
#define TOOLS_SENDER_H

#include "tools/gateway.h"
#include "tools/report.h"
#include "tools/roster.h"
#include "tools/sim_bus.h"

struct fault_options {
    double duplicates_pct, late_pct, late_s, shuffle_ms;
    double wrong_clock_pct, wrong_clock_vehicles_pct;
    double refused_pct; /* hostile messages per hundred good ones */
    int64_t hostile;    /* so many in all, spread over the run */
    const char *hostile_kinds;
};

struct sender_config {
    const char *env;
    const struct roster *roster; /* complete by now */
    struct sim_bus *bus;
    struct gateway *gateway;
    struct report *report;
    struct fault_options faults;
    uint64_t seed;
    uint64_t expected_total; /* good messages the run will have; 0: not known */
    bool state_acks;         /* state too is sent until it is acknowledged */
    bool drop_state;         /* without a connection state is dropped, as if it were live */
};

struct sender;

/* NULL when there is no memory, or hostile_kinds names an unknown one. */
struct sender *sender_new(const struct sender_config *config);
void sender_free(struct sender *sender);

/* The gateways of all vehicles start anew: another boot, seq from 1. */
void sender_boot(struct sender *sender, const char *boot);
/* One vehicle's gateway starts anew. */
void sender_restart(struct sender *sender, uint32_t vehicle);
/* Whether a message can be taken now; otherwise wait for the connection or for acknowledgements. */
bool sender_ready(const struct sender *sender);
/* Sends one message, or holds it back. `type` is a place in the report's table. */
void sender_send(struct sender *sender, uint32_t vehicle, int type, const char *data,
                 size_t data_bytes, int64_t schedule_ns, int64_t timestamp_ns);

/* What was held back: when the next is due in schedule time (INT64_MAX: none), and sending it. */
int64_t sender_held_next_ns(const struct sender *sender);
void sender_held_send(struct sender *sender);
/* The hostile messages that are still owed at the end of the run. */
void sender_finish(struct sender *sender);

#endif
