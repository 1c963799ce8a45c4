/*
 * record_help: a record lane between a nats-server and a PostgreSQL of the test's own, in this
 * process or in a child that can be killed.
 *
 * Threads: the test's.
 */
#ifndef TESTS_RECORD_HELP_H
#define TESTS_RECORD_HELP_H

#include "hub/config.h"
#include "hub/pg.h"
#include "hub/record_lane.h"
#include "tests/integration/bus_help.h"
#include "tests/integration/pg_server.h"

struct record_help {
    struct bus_server nats;
    struct pg_server postgres;
    struct bus *bus;
    struct pg *pg;
    struct config config;
    const struct record_signers *signers; /* of the lane in this process; NULL: unsigned */
    struct record_lane *lane;             /* that lane, or NULL */
};
extern struct record_help help;

enum { HELP_ARCHIVE_WAIT_MS = 60000 };

/* cmocka's fixtures: servers for the group; streams, an empty database and connections for each
 * test. */
int record_help_servers(void **state);
int record_help_servers_done(void **state);
int record_help_setup(void **state);
int record_help_teardown(void **state);

/* Opens the test's connections anew, after a server was away. */
void record_help_reconnect(void);
void record_help_streams(void);

/* A lane in this process. */
void record_help_start(void);
void record_help_stop(void);

/* A lane in a process of its own. main() calls record_help_child first: it returns only in the
 * test itself. */
void record_help_child(int argc, char **argv);
pid_t record_help_spawn(void);
/* Sends a signal; waits for the end where it is one that ends. */
void record_help_signal(pid_t pid, int signal);

/* Publishes `count` events of one vehicle with seq from..; each is acknowledged by the broker. */
void record_help_events(const char *vid, int from, int count);
/* Stores one message and returns its sequence. */
uint64_t record_help_store(const char *subject, const void *payload, size_t size);

/* Waits until the query's bigint is `wanted`; fails the test with what it is otherwise. */
void record_help_wait(const char *sql, int64_t wanted);
/* The log is whole: seq from 1 without a gap, as log_head says; each id once; one digest each. */
void record_help_check_log(void);

#endif
