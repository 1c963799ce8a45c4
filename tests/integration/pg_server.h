/*
 * pg_server: a PostgreSQL of a test's own: on 127.0.0.1, on a free port that it keeps when it is
 * started again, its cluster in a temporary folder. It dies with the test.
 *
 * Without fsync: the machine will not fail in the middle of a test; a kill of the server's
 * processes loses nothing of what was committed either way. FLEETHUB_PG_BIN says where its
 * programs are, else the newest of Debian's folders.
 *
 * Threads: one.
 */
#ifndef TESTS_PG_SERVER_H
#define TESTS_PG_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pg;

struct pg_server {
    char folder[64];
    char dsn[128]; /* of its superuser, database `postgres` */
    int port;
    pid_t pid; /* 0: not running */
};

/* Makes a cluster (UTF8, no passwords), starts it, waits until it takes connections. Fails the
 * test where it does not come up. */
void pg_server_start(struct pg_server *server);
/* The same cluster and port once more. */
void pg_server_again(struct pg_server *server);
/* Ends it and waits: SIGINT for a fast shutdown, SIGQUIT as after a crash. */
void pg_server_stop(struct pg_server *server, int with);
/* Stops it and removes the folder. */
void pg_server_done(struct pg_server *server);

/* A connection of the test's own; NULL where there is none to be had now. */
struct pg *pg_server_connect(const struct pg_server *server);
/* One value that is an integer, 0 for null or no row; fails the test where the statement fails. */
int64_t pg_server_int(struct pg *pg, const char *sql);
/* One value that is a text, NUL-terminated in `text`; "" for null or no row. */
void pg_server_text(struct pg *pg, const char *sql, char *text, size_t text_bytes);
void pg_server_script(struct pg *pg, const char *sql);

#endif
