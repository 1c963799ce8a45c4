/*
 * pg: PostgreSQL in the hub's own types. Only hub/pg*.c include libpq-fe.h.
 *
 * Every call has a deadline and nothing waits beyond it, also when the server is frozen: the
 * socket is non-blocking and polled. A call that runs into its deadline, or is interrupted, ends
 * the connection, since what became of the statement is unknown.
 *
 * Ownership: a connection is closed by who opened it, one of a pool is given back; a result is
 *            freed by the caller, and what pg_get_* point to lives as long as it.
 * Threads: a connection by one thread at a time; a pool by any.
 * Errors: enum pg_status, and text in the caller's `struct pg_error` (written on failure only).
 * Limits: PG_PARAMS_MAX parameters, PG_PREPARED_MAX statements prepared in one connection.
 */
#ifndef HUB_PG_H
#define HUB_PG_H

#include "twin/buf.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg;
struct pg_result;

enum { PG_PARAMS_MAX = 24, PG_PREPARED_MAX = 32 };

enum pg_status {
    PG_OK,
    PG_LOST,   /* no connection, or it was lost, or the deadline passed: the outcome is unknown */
    PG_VALUE,  /* the server will not take a value (SQLSTATE classes 22 and 54) */
    PG_FAILED, /* the server refused for another reason; the connection is good */
};

struct pg_error {
    char sqlstate[6]; /* "" where the server did not say one */
    char text[256];   /* one line, without a password */
};

struct pg_options {
    const char *dsn;
    const char *name;           /* application_name, unless the dsn has one */
    int connect_timeout_ms;     /* to be connected and set up */
    int call_timeout_ms;        /* of each call; above the statement timeout */
    int statement_timeout_ms;   /* the server ends a statement; 0: never */
    int lock_timeout_ms;        /* the server ends a wait for a lock; 0: never */
    int idle_in_transaction_ms; /* the server ends a session that fell silent; 0: never */
    /* The server looks that often, in the middle of a statement, whether the connection is still
     * there (from PostgreSQL 14 on); 0: never. */
    int client_check_ms;
    const atomic_bool *interrupt; /* when it turns true, calls fail within 100 ms; NULL: none */
};

/* Connects. Strings of `options` are only read during the call. */
enum pg_status pg_open(const struct pg_options *options, struct pg **pg, struct pg_error *error);
void pg_close(struct pg *pg);
/* False when the connection is known to be gone; looks at the socket, asks nothing. */
bool pg_alive(struct pg *pg);
/* Asked every 100 ms while a call waits: true fails it, and ends the connection. NULL: not any
 * more. */
void pg_watch(struct pg *pg, bool (*given_up)(void *closure), void *closure);
int pg_backend_pid(const struct pg *pg);
/* The user that a dsn connects as: its own, PGUSER, or the system's. False where the dsn cannot be
 * read. */
bool pg_dsn_user(const char *dsn, char *user, size_t user_bytes);

/* While a call waits for the server, `work` is called again and again, as long as it returns true
 * (it did something); it makes no call on this connection and takes a moment only. NULL: nothing is
 * done meanwhile, as at first. */
typedef bool pg_meanwhile_fn(void *closure);
void pg_meanwhile(struct pg *pg, pg_meanwhile_fn *work, void *closure);

/* ---- parameters, in binary ---- */

/* Type ids of PostgreSQL's own types never change (pg_type.dat). */
enum pg_type {
    PG_BOOL = 16,
    PG_BYTEA = 17,
    PG_INT8 = 20,
    PG_INT2 = 21,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_TIMESTAMPTZ = 1184,
    PG_UUID = 2950,
};

struct pg_params {
    struct buf bytes;
    struct {
        size_t at;
        int size; /* -1: NULL */
    } value[PG_PARAMS_MAX];
    int count;
    size_t array_at; /* of the array being written, for its element count */
    int32_t array_count;
};

void pg_params_init(struct pg_params *params);
void pg_params_reset(struct pg_params *params); /* keeps the memory */
void pg_params_done(struct pg_params *params);

/* Each appends one parameter, to be named $1, $2 … with a cast to its type. */
void pg_add_null(struct pg_params *params);
void pg_add_int8(struct pg_params *params, int64_t value);
void pg_add_text(struct pg_params *params, const char *text, size_t size);
void pg_add_bytea(struct pg_params *params, const void *bytes, size_t size);
void pg_add_timestamp_us(struct pg_params *params, int64_t unix_us);

/* Appends a text as a literal, for what takes no parameters; it is valid UTF-8 without NUL. */
void pg_literal(struct buf *sql, const char *text, size_t size);

/* An array parameter: begin, elements, end. */
void pg_array_begin(struct pg_params *params, enum pg_type type);
void pg_array_null(struct pg_params *params);
void pg_array_bool(struct pg_params *params, bool value);
void pg_array_int2(struct pg_params *params, int16_t value);
void pg_array_int4(struct pg_params *params, int32_t value);
void pg_array_int8(struct pg_params *params, int64_t value);
/* PG_TEXT, PG_BYTEA and PG_UUID (16 bytes). */
void pg_array_bytes(struct pg_params *params, const void *bytes, size_t size);
void pg_array_timestamp_us(struct pg_params *params, int64_t unix_us);
void pg_array_end(struct pg_params *params);

/* ---- statements ---- */

/* A statement with static lifetime; with a name it is prepared on first use in a connection. */
struct pg_statement {
    const char *name; /* NULL: parsed each time */
    const char *sql;
};

/* Runs one statement. `params` NULL: none. `result` NULL: its rows are not wanted. */
enum pg_status pg_run(struct pg *pg, const struct pg_statement *statement,
                      const struct pg_params *params, struct pg_result **result,
                      struct pg_error *error);
/* Runs a script of one or more statements without parameters. */
enum pg_status pg_script(struct pg *pg, const char *sql, struct pg_error *error);

/* ---- results, in binary ---- */

void pg_result_free(struct pg_result *result);
int pg_rows(const struct pg_result *result);
/* Rows that a statement changed. */
int64_t pg_changed(const struct pg_result *result);
bool pg_get_null(const struct pg_result *result, int row, int column);
bool pg_get_bool(const struct pg_result *result, int row, int column);
/* smallint, integer or bigint. */
int64_t pg_get_int(const struct pg_result *result, int row, int column);
/* text, bytea, uuid: borrowed; text is NUL-terminated. */
const char *pg_get_bytes(const struct pg_result *result, int row, int column, size_t *size);
/* timestamptz, in microseconds since 1970. */
int64_t pg_get_timestamp_us(const struct pg_result *result, int row, int column);

/* ---- many rows ---- */

struct pg_field {
    const char *at; /* NULL: null */
    size_t size;
};
/* Begins to read the rows of a query as they come, in constant memory: `sql` is a COPY (…) TO
 * STDOUT (FORMAT binary) without parameters. No other call is made until pg_copy_next said that it
 * is over, or pg_copy_cancel. */
enum pg_status pg_copy_begin(struct pg *pg, const char *sql, struct pg_error *error);
/* The next row's `count` fields, in binary, borrowed until the next call; *over behind the last.
 * Each call has the deadline of a call. A failure ends the copying. */
enum pg_status pg_copy_next(struct pg *pg, struct pg_field *fields, int count, bool *over,
                            struct pg_error *error);
/* Lets go of the rows that are still to come, and of the connection with them. */
void pg_copy_cancel(struct pg *pg);
/* A column of a result in the same form. */
struct pg_field pg_get_field(const struct pg_result *result, int row, int column);

/* Of a field: an integer of 2, 4 or 8 bytes, and a timestamptz in microseconds since 1970. */
int64_t pg_field_int(const struct pg_field *field);
int64_t pg_field_timestamp_us(const struct pg_field *field);

/* ---- loading many rows (pg_load.c) ---- */

struct pg_load {
    struct pg *pg;
    struct buf bytes; /* not yet handed to the connection */
};
/* Begins a COPY … FROM STDIN (FORMAT binary) without parameters. No other call is made until
 * pg_load_end, except where a call of it failed. On failure nothing is left to end. */
enum pg_status pg_load_begin(struct pg_load *load, struct pg *pg, const char *sql,
                             struct pg_error *error);
/* Begins a row of so many fields; those follow, each by one call. Waits while the server is behind,
 * so that memory is bounded. */
enum pg_status pg_load_row(struct pg_load *load, int fields, struct pg_error *error);
void pg_load_null(struct pg_load *load);
void pg_load_int2(struct pg_load *load, int16_t value);
void pg_load_int4(struct pg_load *load, int32_t value);
void pg_load_int8(struct pg_load *load, int64_t value);
/* text, bytea, uuid. */
void pg_load_bytes(struct pg_load *load, const void *bytes, size_t size);
void pg_load_jsonb(struct pg_load *load, const char *text, size_t size);
void pg_load_timestamp_us(struct pg_load *load, int64_t unix_us);
/* Sends the end. What the server made of it all is the business of pg_load_result. */
enum pg_status pg_load_end(struct pg_load *load, struct pg_error *error);
/* PG_VALUE: it did not take a value; PG_FAILED: a key that is there already, for one. */
enum pg_status pg_load_result(struct pg_load *load, struct pg_error *error);

/* ---- a pool for the workers of HTTP ---- */

struct pg_pool;
/* Opens nothing yet. `options` is copied, its strings too. */
struct pg_pool *pg_pool_new(const struct pg_options *options, int connections_max);
void pg_pool_free(struct pg_pool *pool); /* all connections have been given back */
/* A live connection within timeout_ms. After a failure to connect, calls within the next
 * PG_POOL_REST_MS fail at once, so that a dead server does not hold every worker. */
enum { PG_POOL_REST_MS = 500 };
enum pg_status pg_pool_take(struct pg_pool *pool, int timeout_ms, struct pg **pg,
                            struct pg_error *error);
void pg_pool_give(struct pg_pool *pool, struct pg *pg);

#endif
