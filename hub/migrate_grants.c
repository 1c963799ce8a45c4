#include "hub/migrate_grants.h"

#include <string.h>

enum { USER_BYTES = 64, QUOTED_BYTES = 2 * USER_BYTES + 3 };

struct grant {
    const char *what; /* between GRANT and TO */
};

static const struct grant hub_grants[] = {
    {"SELECT ON fleethub_migrations"},
    {"SELECT, INSERT ON records"},
    {"SELECT, INSERT ON digests, tree_tiles, checkpoints, signing_keys"},
    {"SELECT, INSERT, UPDATE ON stream_positions, tree_edge"},
    {"SELECT, INSERT, UPDATE, DELETE ON refusals"},
    {"SELECT, UPDATE ON log_head"},
    {"SELECT ON record_partitions, digest_partitions, holds, retention_runs"},
    {"SELECT, UPDATE (recorded) ON record_notes"},
    {"EXECUTE ON FUNCTION record_partitions_ahead(integer)"},
    {NULL},
};

static const struct grant reader_grants[] = {
    {"SELECT ON fleethub_migrations"},
    {"SELECT ON fleet_events, fleet_commands, fleet_vehicle_timeline, fleet_tracks"},
    {"SELECT ON records, digests, log_head, stream_positions"},
    {"SELECT ON tree_tiles, tree_edge, checkpoints, signing_keys"},
    {"SELECT ON record_partitions, holds, retention_runs, record_notes"},
    {NULL},
};

static void quote(const char *name, char quoted[QUOTED_BYTES])
{
    size_t used = 0;
    quoted[used++] = '"';
    for (const char *at = name; *at; at++) {
        if (*at == '"')
            quoted[used++] = '"';
        quoted[used++] = *at;
    }
    quoted[used++] = '"';
    quoted[used] = '\0';
}

static enum pg_status give(struct pg *pg, const struct grant *grants, const char *role,
                           struct pg_error *error)
{
    struct buf sql = BUF_INIT;
    for (; grants->what; grants++)
        buf_addf(&sql, "GRANT %s TO %s; ", grants->what, role);
    buf_addf(&sql,
             "DO $$ BEGIN EXECUTE 'GRANT USAGE ON SCHEMA ' || quote_ident(current_schema()) || "
             "' TO ' || $role$%s$role$; END $$",
             role);
    enum pg_status status = PG_FAILED;
    if (sql.failed)
        *error = (struct pg_error){.text = "no memory"};
    else
        status = pg_script(pg, buf_cstr(&sql), error);
    buf_done(&sql);
    return status;
}

/* Roles are the server's, and another database of it may make this one at the same time. */
static enum pg_status make_reader(struct pg *pg, bool *there, struct pg_error *error)
{
    static const struct pg_statement look = {
        .sql = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleethub_reader')"};
    struct pg_result *rows = NULL;
    enum pg_status status = pg_script(
        pg,
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleethub_reader') THEN "
        "CREATE ROLE fleethub_reader NOLOGIN; END IF; "
        "EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL; "
        "END $$",
        error);
    if (status == PG_OK)
        status = pg_run(pg, &look, NULL, &rows, error);
    *there = status == PG_OK && pg_get_bool(rows, 0, 0);
    pg_result_free(rows);
    return status;
}

enum pg_status migrate_grants(struct pg *pg, const char *admin_dsn, const char *hub_dsn,
                              struct buf *report, struct pg_error *error)
{
    char admin[USER_BYTES], hub[USER_BYTES], quoted[QUOTED_BYTES];
    bool there = false;
    enum pg_status status = PG_OK;
    if (hub_dsn && pg_dsn_user(admin_dsn, admin, sizeof admin) &&
        pg_dsn_user(hub_dsn, hub, sizeof hub) && strcmp(admin, hub) != 0) {
        quote(hub, quoted);
        status = give(pg, hub_grants, quoted, error);
    }
    if (status == PG_OK)
        status = make_reader(pg, &there, error);
    if (status == PG_OK && there)
        status = give(pg, reader_grants, "fleethub_reader", error);
    if (status == PG_OK && !there)
        buf_adds(report, "the role fleethub_reader is not there, and admin_dsn may not make it: "
                         "`CREATE ROLE fleethub_reader NOLOGIN`, then migrate again\n");
    return status;
}
