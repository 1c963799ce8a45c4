#include "hub/pg_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    POLL_SLICE_MS = 100,           /* how soon an interrupt is noticed */
    IDLE_SLICE_MS = 2,             /* and that there is something to do meanwhile */
    CLIENT_CHECK_VERSION = 140000, /* the first that knows client_connection_check_interval */
    KEEPALIVE_IDLE_S = 10,
    KEEPALIVE_INTERVAL_S = 5,
    KEEPALIVE_COUNT = 3,
};

#define PG_EPOCH_US INT64_C(946684800000000) /* 2000-01-01 in microseconds since 1970 */

int64_t pg_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- errors ---- */

static void error_set(struct pg_error *error, const char *sqlstate, const char *text)
{
    size_t used = 0;
    snprintf(error->sqlstate, sizeof error->sqlstate, "%s", sqlstate ? sqlstate : "");
    /* libpq's texts have several lines; a log line and a problem have one. */
    for (const char *at = text ? text : ""; *at && used + 1 < sizeof error->text; at++) {
        char c = *at == '\n' || *at == '\t' ? ' ' : *at;
        if (c != ' ' || (used > 0 && error->text[used - 1] != ' '))
            error->text[used++] = c;
    }
    while (used > 0 && error->text[used - 1] == ' ')
        used--;
    error->text[used] = '\0';
}

static enum pg_status status_of(struct pg *pg, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (PQstatus(pg->conn) != CONNECTION_OK || !state)
        return PG_LOST;
    /* 57P0x: the server is going down or ends this session. */
    if (strncmp(state, "57P", 3) == 0 || strncmp(state, "08", 2) == 0)
        return PG_LOST;
    return strncmp(state, "22", 2) == 0 || strncmp(state, "54", 2) == 0 ? PG_VALUE : PG_FAILED;
}

enum pg_status pg_refusal(struct pg *pg, const PGresult *result, struct pg_error *error)
{
    error_set(error, PQresultErrorField(result, PG_DIAG_SQLSTATE), PQresultErrorMessage(result));
    return status_of(pg, result);
}

/* ---- waiting ---- */

bool pg_socket_wait(struct pg *pg, short events, int64_t deadline_ms)
{
    for (;;) {
        if (pg->interrupt && atomic_load(pg->interrupt))
            return false;
        if (pg->given_up && pg->given_up(pg->closure))
            return false;
        int64_t left_ms = deadline_ms - pg_now_ms();
        if (left_ms <= 0)
            return false;
        struct pollfd fd = {.fd = PQsocket(pg->conn), .events = events};
        if (fd.fd < 0)
            return false;
        int slice_ms = pg->meanwhile ? IDLE_SLICE_MS : POLL_SLICE_MS;
        int n = pg->meanwhile ? poll(&fd, 1, 0) : 0;
        if (n == 0 && pg->meanwhile && pg->meanwhile(pg->meanwhile_closure))
            continue;
        if (n == 0)
            n = poll(&fd, 1, left_ms < slice_ms ? (int)left_ms : slice_ms);
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
    }
}

void pg_meanwhile(struct pg *pg, pg_meanwhile_fn *work, void *closure)
{
    pg->meanwhile = work;
    pg->meanwhile_closure = closure;
}

bool pg_flush_all(struct pg *pg, int64_t deadline_ms)
{
    int left;
    while ((left = PQflush(pg->conn)) == 1) {
        if (!pg_socket_wait(pg, POLLIN | POLLOUT, deadline_ms) || !PQconsumeInput(pg->conn))
            return false;
    }
    return left == 0;
}

bool pg_result_next(struct pg *pg, int64_t deadline_ms, PGresult **result)
{
    while (PQisBusy(pg->conn)) {
        if (!pg_socket_wait(pg, POLLIN, deadline_ms) || !PQconsumeInput(pg->conn))
            return false;
    }
    *result = PQgetResult(pg->conn);
    return true;
}

/* The server is told nothing: PQcancel could wait for ever on a frozen one; its statement timeout
 * ends what runs there. */
enum pg_status pg_drop(struct pg *pg, struct pg_error *error, const char *what)
{
    const char *text = PQerrorMessage(pg->conn);
    error_set(error, NULL, text && *text ? text : what);
    PQfinish(pg->conn);
    pg->conn = NULL;
    return PG_LOST;
}

enum pg_status pg_collect(struct pg *pg, PGresult **last, struct pg_error *error)
{
    int64_t deadline_ms = pg_now_ms() + pg->call_timeout_ms;
    enum pg_status status = PG_OK;
    PGresult *kept = NULL, *result;

    if (!pg_flush_all(pg, deadline_ms))
        return pg_drop(pg, error, "no answer in time");
    for (;;) {
        if (!pg_result_next(pg, deadline_ms, &result)) {
            PQclear(kept);
            return pg_drop(pg, error, "no answer in time");
        }
        if (!result)
            break;
        ExecStatusType type = PQresultStatus(result);
        if (type == PGRES_COPY_IN || type == PGRES_COPY_OUT) { /* for ever, until it is ended */
            PQclear(result);
            PQclear(kept);
            return pg_drop(pg, error, "a COPY was begun and not ended");
        }
        if (type != PGRES_COMMAND_OK && type != PGRES_TUPLES_OK && status == PG_OK) {
            status = pg_refusal(pg, result, error);
        }
        PQclear(kept);
        kept = result;
    }
    if (status == PG_OK && last)
        *last = kept;
    else
        PQclear(kept);
    if (status == PG_LOST) {
        PQfinish(pg->conn);
        pg->conn = NULL;
    }
    return status;
}

/* ---- connecting ---- */

static enum pg_status connect_wait(struct pg *pg, int64_t deadline_ms, struct pg_error *error)
{
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;
    while (want != PGRES_POLLING_OK) {
        if (want == PGRES_POLLING_FAILED)
            return pg_drop(pg, error, "cannot connect");
        if (!pg_socket_wait(pg, want == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms))
            return pg_drop(pg, error, "no connection in time");
        want = PQconnectPoll(pg->conn);
    }
    return PG_OK;
}

static enum pg_status session_set_up(struct pg *pg, const struct pg_options *options,
                                     struct pg_error *error)
{
    char sql[320];
    snprintf(sql, sizeof sql,
             "SET statement_timeout = %d; SET lock_timeout = %d; "
             "SET idle_in_transaction_session_timeout = %d; SET timezone = 'UTC'; "
             "SET client_min_messages = warning; SET extra_float_digits = 1",
             options->statement_timeout_ms, options->lock_timeout_ms,
             options->idle_in_transaction_ms);
    enum pg_status status = pg_script(pg, sql, error);
    if (status != PG_OK || options->client_check_ms == 0 ||
        PQserverVersion(pg->conn) < CLIENT_CHECK_VERSION)
        return status;
    snprintf(sql, sizeof sql, "SET client_connection_check_interval = %d",
             options->client_check_ms);
    return pg_script(pg, sql, error);
}

/* Notices go nowhere: whatever matters comes as an error. */
static void ignore_notice(void *closure, const PGresult *result)
{
    (void)closure;
    (void)result;
}

enum pg_status pg_open(const struct pg_options *options, struct pg **out, struct pg_error *error)
{
    char idle[16], interval[16], count[16], user_timeout[16];
    snprintf(idle, sizeof idle, "%d", KEEPALIVE_IDLE_S);
    snprintf(interval, sizeof interval, "%d", KEEPALIVE_INTERVAL_S);
    snprintf(count, sizeof count, "%d", KEEPALIVE_COUNT);
    snprintf(user_timeout, sizeof user_timeout, "%d", options->call_timeout_ms);
    /* The dsn stands last, so that what it says wins. */
    const char *names[] = {"fallback_application_name",
                           "client_encoding",
                           "keepalives",
                           "keepalives_idle",
                           "keepalives_interval",
                           "keepalives_count",
                           "tcp_user_timeout",
                           "dbname",
                           NULL};
    const char *values[] = {options->name, "UTF8",       "1",          idle, interval,
                            count,         user_timeout, options->dsn, NULL};

    struct pg *pg = calloc(1, sizeof *pg);
    if (!pg) {
        error_set(error, NULL, "no memory");
        return PG_LOST;
    }
    pg->interrupt = options->interrupt;
    pg->call_timeout_ms = options->connect_timeout_ms;
    int64_t deadline_ms = pg_now_ms() + options->connect_timeout_ms;
    pg->conn = PQconnectStartParams(names, values, 1);
    enum pg_status status = PG_LOST;
    if (!pg->conn) {
        error_set(error, NULL, "no memory");
        goto out;
    }
    if (PQstatus(pg->conn) == CONNECTION_BAD) {
        status = pg_drop(pg, error, "cannot connect");
        goto out;
    }
    PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
    status = connect_wait(pg, deadline_ms, error);
    if (status == PG_OK && PQsetnonblocking(pg->conn, 1) != 0)
        status = pg_drop(pg, error, "cannot connect");
    if (status == PG_OK)
        status = session_set_up(pg, options, error);
out:
    if (status != PG_OK) {
        pg_close(pg);
        return status;
    }
    pg->call_timeout_ms = options->call_timeout_ms;
    *out = pg;
    return PG_OK;
}

void pg_close(struct pg *pg)
{
    if (!pg)
        return;
    PQfreemem(pg->copied);
    PQfinish(pg->conn);
    free(pg);
}

bool pg_alive(struct pg *pg)
{
    if (!pg->conn || PQstatus(pg->conn) != CONNECTION_OK)
        return false;
    /* Between calls the server has nothing to say but that it ends the session. */
    struct pollfd fd = {.fd = PQsocket(pg->conn), .events = POLLIN};
    if (poll(&fd, 1, 0) == 0)
        return true;
    if (!PQconsumeInput(pg->conn) || PQstatus(pg->conn) != CONNECTION_OK)
        return false;
    return poll(&fd, 1, 0) == 0;
}

void pg_watch(struct pg *pg, bool (*given_up)(void *closure), void *closure)
{
    pg->given_up = given_up;
    pg->closure = closure;
}

int pg_backend_pid(const struct pg *pg)
{
    return pg->conn ? PQbackendPID(pg->conn) : 0;
}

bool pg_dsn_user(const char *dsn, char *user, size_t user_bytes)
{
    PQconninfoOption *given = PQconninfoParse(dsn, NULL);
    if (!given)
        return false;
    const char *name = NULL;
    for (PQconninfoOption *o = given; o->keyword; o++) {
        if (strcmp(o->keyword, "user") == 0 && o->val)
            name = o->val;
    }
    if (!name)
        name = getenv("PGUSER");
    const struct passwd *me = name ? NULL : getpwuid(geteuid());
    if (!name && me)
        name = me->pw_name;
    bool fits = name && (size_t)snprintf(user, user_bytes, "%s", name) < user_bytes;
    PQconninfoFree(given);
    return fits;
}

/* ---- statements ---- */

static enum pg_status not_connected(struct pg_error *error)
{
    error_set(error, NULL, "not connected");
    return PG_LOST;
}

static enum pg_status prepare_once(struct pg *pg, const struct pg_statement *statement,
                                   int param_count, struct pg_error *error)
{
    for (int i = 0; i < pg->prepared_count; i++) {
        if (pg->prepared[i] == statement)
            return PG_OK;
    }
    if (pg->prepared_count == PG_PREPARED_MAX) {
        error_set(error, NULL, "too many prepared statements");
        return PG_FAILED;
    }
    if (!PQsendPrepare(pg->conn, statement->name, statement->sql, param_count, NULL))
        return pg_drop(pg, error, "cannot send");
    enum pg_status status = pg_collect(pg, NULL, error);
    if (status == PG_OK)
        pg->prepared[pg->prepared_count++] = statement;
    return status;
}

enum pg_status pg_run(struct pg *pg, const struct pg_statement *statement,
                      const struct pg_params *params, struct pg_result **result,
                      struct pg_error *error)
{
    const char *values[PG_PARAMS_MAX];
    int sizes[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
    int count = params ? params->count : 0;

    if (!pg->conn)
        return not_connected(error);
    if (params && params->bytes.failed) {
        error_set(error, NULL, "no memory");
        return PG_FAILED;
    }
    for (int i = 0; i < count; i++) {
        bool null = params->value[i].size < 0;
        values[i] = null ? NULL : params->bytes.data + params->value[i].at;
        sizes[i] = null ? 0 : params->value[i].size;
        formats[i] = 1;
    }
    if (statement->name) {
        enum pg_status status = prepare_once(pg, statement, count, error);
        if (status != PG_OK)
            return status;
    }
    int sent =
        statement->name
            ? PQsendQueryPrepared(pg->conn, statement->name, count, values, sizes, formats, 1)
            : PQsendQueryParams(pg->conn, statement->sql, count, NULL, values, sizes, formats, 1);
    if (!sent)
        return pg_drop(pg, error, "cannot send");
    return pg_collect(pg, (PGresult **)result, error);
}

enum pg_status pg_script(struct pg *pg, const char *sql, struct pg_error *error)
{
    if (!pg->conn)
        return not_connected(error);
    if (!PQsendQuery(pg->conn, sql))
        return pg_drop(pg, error, "cannot send");
    return pg_collect(pg, NULL, error);
}

/* ---- results ---- */

static const PGresult *inner(const struct pg_result *result)
{
    return (const PGresult *)result;
}

void pg_result_free(struct pg_result *result)
{
    PQclear((PGresult *)result);
}

int pg_rows(const struct pg_result *result)
{
    return PQntuples(inner(result));
}

int64_t pg_changed(const struct pg_result *result)
{
    return strtoll(PQcmdTuples((PGresult *)result), NULL, 10);
}

bool pg_get_null(const struct pg_result *result, int row, int column)
{
    return PQgetisnull(inner(result), row, column) != 0;
}

bool pg_get_bool(const struct pg_result *result, int row, int column)
{
    return !pg_get_null(result, row, column) && *PQgetvalue(inner(result), row, column) != 0;
}

int64_t pg_get_int(const struct pg_result *result, int row, int column)
{
    if (pg_get_null(result, row, column))
        return 0;
    const unsigned char *bytes = (const unsigned char *)PQgetvalue(inner(result), row, column);
    int size = PQgetlength(inner(result), row, column);
    uint64_t value = size > 0 && (bytes[0] & 0x80) ? UINT64_MAX : 0; /* the sign */
    for (int i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    return (int64_t)value;
}

const char *pg_get_bytes(const struct pg_result *result, int row, int column, size_t *size)
{
    if (size)
        *size = (size_t)PQgetlength(inner(result), row, column);
    return PQgetvalue(inner(result), row, column);
}

int64_t pg_get_timestamp_us(const struct pg_result *result, int row, int column)
{
    return pg_get_int(result, row, column) + PG_EPOCH_US;
}

struct pg_field pg_get_field(const struct pg_result *result, int row, int column)
{
    if (pg_get_null(result, row, column))
        return (struct pg_field){NULL, 0};
    return (struct pg_field){PQgetvalue(inner(result), row, column),
                             (size_t)PQgetlength(inner(result), row, column)};
}
