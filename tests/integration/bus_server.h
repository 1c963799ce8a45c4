/*
 * bus_server: a nats-server of a test's own: on 127.0.0.1, on a free port that it keeps when it is
 * started again, with its store in a temporary folder. It dies with the test.
 *
 * Threads: one.
 */
#ifndef TESTS_BUS_SERVER_H
#define TESTS_BUS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct bus_server {
    char folder[64];
    char url[64];
    int port;
    pid_t pid; /* 0: not running */
};

/* Makes the folder and starts it. `config`: more lines for the configuration, NULL for none.
 * `store_limit`: max_file_store, NULL for none. Fails the test where it does not come up. */
void bus_server_start(struct bus_server *server, const char *store_limit, const char *config);
/* The same folder and port once more. */
void bus_server_again(struct bus_server *server, const char *store_limit, const char *config);
/* kill -9, and SIGTERM; both wait for the end. */
void bus_server_kill(struct bus_server *server);
void bus_server_stop(struct bus_server *server);
/* Keeps a copy of the store, and brings it back; only while it is not running. */
void bus_server_keep(const struct bus_server *server);
void bus_server_bring_back(const struct bus_server *server);
/* Lines of its log, of all its runs, that hold `text`. */
int bus_server_log_count(const struct bus_server *server, const char *text);
/* Stops it and removes the folder. */
void bus_server_done(struct bus_server *server);

#endif
