#include "hub/record_lease.h"

#include <string.h>

/* A session of another role shows its pid but not its start. */
static const struct pg_statement claim = {
    .name = "record_lease_claim",
    .sql = "UPDATE log_head SET writer = writer + 1, scope = $1::text, holder = $2::text, "
           "backend_pid = pg_backend_pid(), "
           "backend_start = (SELECT backend_start FROM pg_stat_activity "
           "                 WHERE pid = pg_backend_pid()), "
           "heartbeat = clock_timestamp() "
           "WHERE scope IN ('', $1::text) AND "
           "(heartbeat < clock_timestamp() - $3::bigint * interval '1 second' OR "
           " NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.pid = log_head.backend_pid AND "
           "             (a.backend_start = log_head.backend_start OR a.backend_start IS NULL))) "
           "RETURNING writer"};

/* A server that waits for more rows of a COPY minds no timeout: such a session is ended by whoever
 * stands by, once its hub has been silent for so long that it may be replaced. */
static const struct pg_statement end_silent = {
    .name = "record_lease_end_silent",
    .sql = "SELECT pg_terminate_backend(a.pid) FROM log_head h JOIN pg_stat_activity a "
           "ON a.pid = h.backend_pid AND a.backend_start = h.backend_start "
           "WHERE h.scope = $1::text AND a.pid <> pg_backend_pid() AND a.wait_event = 'ClientRead' "
           "AND h.heartbeat < clock_timestamp() - $2::bigint * interval '1 second'"};

static const struct pg_statement look = {.name = "record_lease_look",
                                         .sql = "SELECT scope IN ('', $1::text) FROM log_head"};

static const struct pg_statement beat = {
    .name = "record_lease_beat",
    .sql = "UPDATE log_head SET heartbeat = clock_timestamp() WHERE writer = $1::bigint"};

static const struct pg_statement release = {
    .name = "record_lease_release",
    .sql = "UPDATE log_head SET heartbeat = '-infinity' WHERE writer = $1::bigint"};

enum pg_status record_lease_claim(struct pg *pg, const char *scope, const char *holder,
                                  enum record_lease *lease, int64_t *writer, struct pg_error *error)
{
    struct pg_params params;
    struct pg_result *rows = NULL;

    pg_params_init(&params);
    pg_add_text(&params, scope, strlen(scope));
    pg_add_int8(&params, RECORD_LEASE_SILENCE_S);
    /* A session of a role that this one may not end goes on; there is no more to be done. */
    if (pg_run(pg, &end_silent, &params, NULL, error) == PG_LOST) {
        pg_params_done(&params);
        return PG_LOST;
    }
    pg_params_reset(&params);
    pg_add_text(&params, scope, strlen(scope));
    pg_add_text(&params, holder, strlen(holder));
    pg_add_int8(&params, RECORD_LEASE_SILENCE_S);
    enum pg_status status = pg_run(pg, &claim, &params, &rows, error);
    if (status == PG_OK && pg_rows(rows) == 1) {
        *lease = RECORD_LEASE_MINE;
        *writer = pg_get_int(rows, 0, 0);
        goto out;
    }
    if (status != PG_OK)
        goto out;
    pg_result_free(rows);
    rows = NULL;
    pg_params_reset(&params);
    pg_add_text(&params, scope, strlen(scope));
    status = pg_run(pg, &look, &params, &rows, error);
    if (status == PG_OK)
        *lease = pg_rows(rows) == 1 && pg_get_bool(rows, 0, 0) ? RECORD_LEASE_OTHERS
                                                               : RECORD_LEASE_FOREIGN;
out:
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}

static enum pg_status update_head(struct pg *pg, const struct pg_statement *statement,
                                  int64_t writer, bool *mine, struct pg_error *error)
{
    struct pg_params params;
    struct pg_result *result = NULL;

    pg_params_init(&params);
    pg_add_int8(&params, writer);
    enum pg_status status = pg_run(pg, statement, &params, &result, error);
    if (status == PG_OK && mine)
        *mine = pg_changed(result) == 1;
    pg_result_free(result);
    pg_params_done(&params);
    return status;
}

enum pg_status record_lease_beat(struct pg *pg, int64_t writer, bool *mine, struct pg_error *error)
{
    return update_head(pg, &beat, writer, mine, error);
}

enum pg_status record_lease_release(struct pg *pg, int64_t writer, struct pg_error *error)
{
    return update_head(pg, &release, writer, NULL, error);
}
