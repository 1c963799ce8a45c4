#include "hub/migrate.h"

#include "hub/migrate_grants.h"
#include "hub/pg.h"
#include "hub/record_hash.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    CONNECT_TIMEOUT_MS = 5000,
    CHECK_TIMEOUT_MS = 5000,
    APPLY_TIMEOUT_MS = 60 * 60 * 1000, /* an index over a large table takes its time */
    LOCK_WAIT_MS = 10 * 60 * 1000,
    LOCK_RETRY_MS = 100,
};

/* The advisory lock: "fleethub" in ASCII. */
#define LOCK_KEY "7380385375772505442"

static const struct pg_statement find_table = {
    .sql = "SELECT to_regclass('fleethub_migrations') IS NOT NULL, "
           "current_setting('server_encoding')"};
static const struct pg_statement list_applied = {
    .sql = "SELECT version, name, checksum FROM fleethub_migrations ORDER BY version"};
static const struct pg_statement try_lock = {.sql = "SELECT pg_try_advisory_lock(" LOCK_KEY ")"};
static const struct pg_statement note_applied = {
    .sql = "INSERT INTO fleethub_migrations (version, name, checksum) "
           "VALUES ($1::bigint, $2::text, $3::bytea)"};

static const char create_table[] =
    "CREATE TABLE IF NOT EXISTS fleethub_migrations ("
    "version bigint NOT NULL PRIMARY KEY, name text NOT NULL, checksum bytea NOT NULL, "
    "applied timestamptz NOT NULL DEFAULT now())";

static enum migrate_status failed(enum pg_status status, const struct pg_error *error,
                                  const char *doing, struct buf *report)
{
    buf_addf(report, "%s: %s\n", doing, error->text);
    return status == PG_LOST ? MIGRATE_UNREACHABLE : MIGRATE_REFUSED;
}

static enum migrate_status connect_to(const char *dsn, int call_timeout_ms, struct pg **pg,
                                      struct buf *report)
{
    struct pg_error error;
    struct pg_options options = {.dsn = dsn,
                                 .name = "fleethub migrate",
                                 .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                 .call_timeout_ms = call_timeout_ms};
    enum pg_status status = pg_open(&options, pg, &error);
    if (status != PG_OK)
        return failed(status, &error, "cannot connect to PostgreSQL", report);
    return MIGRATE_OK;
}

/* Compares one applied migration with the one built in. */
static bool same_migration(const struct pg_result *rows, int row, struct buf *report)
{
    uint8_t checksum[RECORD_HASH_BYTES];
    size_t size;
    int64_t version = pg_get_int(rows, row, 0);
    const char *name = pg_get_bytes(rows, row, 1, NULL);
    if (version > (int64_t)migration_count) {
        buf_addf(report,
                 "the database is at version %lld (%s), this program knows %zu: "
                 "run a newer fleethub\n",
                 (long long)version, name, migration_count);
        return false;
    }
    const struct migration *ours = &migrations[row];
    const char *theirs = pg_get_bytes(rows, row, 2, &size);
    record_sha256(ours->sql, ours->sql_bytes, checksum);
    if (version == ours->version && size == sizeof checksum && memcmp(theirs, checksum, size) == 0)
        return true;
    buf_addf(report,
             "migration %lld (%s) of the database is not the one this program was built with "
             "(%s): the database was migrated by another build\n",
             (long long)version, name, ours->name);
    return false;
}

/* How many migrations the database has; they are all known and unchanged. */
static enum migrate_status applied_count(struct pg *pg, size_t *count, struct buf *report)
{
    struct pg_error error;
    struct pg_result *rows = NULL;
    enum migrate_status outcome = MIGRATE_REFUSED;

    enum pg_status status = pg_run(pg, &find_table, NULL, &rows, &error);
    if (status != PG_OK)
        return failed(status, &error, "cannot look for fleethub_migrations", report);
    bool found = pg_get_bool(rows, 0, 0);
    bool utf8 = strcmp(pg_get_bytes(rows, 0, 1, NULL), "UTF8") == 0;
    pg_result_free(rows);
    rows = NULL;
    if (!utf8) {
        buf_adds(report, "the database's encoding is not UTF8: create it with ENCODING 'UTF8'\n");
        return MIGRATE_REFUSED;
    }
    if (!found) {
        *count = 0;
        return MIGRATE_OK;
    }
    status = pg_run(pg, &list_applied, NULL, &rows, &error);
    if (status != PG_OK)
        return failed(status, &error, "cannot read fleethub_migrations", report);
    for (int row = 0; row < pg_rows(rows); row++) {
        if (!same_migration(rows, row, report))
            goto out;
    }
    *count = (size_t)pg_rows(rows);
    outcome = MIGRATE_OK;
out:
    pg_result_free(rows);
    return outcome;
}

/* Waits for the lock by asking again: a wait inside the server could not be told from a dead one.
 */
static enum migrate_status lock_wait(struct pg *pg, struct buf *report)
{
    struct pg_error error;
    struct timespec pause = {.tv_nsec = LOCK_RETRY_MS * 1000000L};
    for (int waited_ms = 0; waited_ms < LOCK_WAIT_MS; waited_ms += LOCK_RETRY_MS) {
        struct pg_result *rows = NULL;
        enum pg_status status = pg_run(pg, &try_lock, NULL, &rows, &error);
        if (status != PG_OK)
            return failed(status, &error, "cannot take the lock", report);
        bool mine = pg_get_bool(rows, 0, 0);
        pg_result_free(rows);
        if (mine)
            return MIGRATE_OK;
        nanosleep(&pause, NULL);
    }
    buf_adds(report, "another migration holds the lock and does not end\n");
    return MIGRATE_REFUSED;
}

static enum migrate_status apply_one(struct pg *pg, const struct migration *migration,
                                     struct buf *report)
{
    uint8_t checksum[RECORD_HASH_BYTES];
    struct pg_error error, ignored;
    struct pg_params params;
    char doing[128];

    pg_params_init(&params);
    record_sha256(migration->sql, migration->sql_bytes, checksum);
    enum pg_status status = pg_script(pg, "BEGIN", &error);
    if (status == PG_OK)
        status = pg_script(pg, migration->sql, &error);
    if (status == PG_OK) {
        pg_add_int8(&params, migration->version);
        pg_add_text(&params, migration->name, strlen(migration->name));
        pg_add_bytea(&params, checksum, sizeof checksum);
        status = pg_run(pg, &note_applied, &params, NULL, &error);
    }
    if (status == PG_OK)
        status = pg_script(pg, "COMMIT", &error);
    pg_params_done(&params);
    if (status != PG_OK) {
        pg_script(pg, "ROLLBACK", &ignored);
        snprintf(doing, sizeof doing, "migration %s failed and was rolled back", migration->name);
        return failed(status, &error, doing, report);
    }
    buf_addf(report, "applied %s\n", migration->name);
    return MIGRATE_OK;
}

static enum migrate_status grant_all(struct pg *pg, const char *admin_dsn, const char *hub_dsn,
                                     struct buf *report)
{
    struct pg_error error;
    enum pg_status status = migrate_grants(pg, admin_dsn, hub_dsn, report, &error);
    if (status != PG_OK)
        return failed(status, &error, "cannot grant the roles what they need", report);
    return MIGRATE_OK;
}

enum migrate_status migrate_run(const char *admin_dsn, const char *hub_dsn, struct buf *report)
{
    struct pg *pg = NULL;
    struct pg_error error;
    size_t count = 0;

    enum migrate_status outcome = connect_to(admin_dsn, APPLY_TIMEOUT_MS, &pg, report);
    if (outcome == MIGRATE_OK)
        outcome = lock_wait(pg, report);
    if (outcome != MIGRATE_OK)
        goto out;
    enum pg_status status = pg_script(pg, create_table, &error);
    if (status != PG_OK) {
        outcome = failed(status, &error, "cannot create fleethub_migrations", report);
        goto out;
    }
    outcome = applied_count(pg, &count, report);
    for (size_t i = count; outcome == MIGRATE_OK && i < migration_count; i++)
        outcome = apply_one(pg, &migrations[i], report);
    if (outcome == MIGRATE_OK)
        outcome = grant_all(pg, admin_dsn, hub_dsn, report);
    if (outcome == MIGRATE_OK)
        buf_addf(report, "the database is at version %zu\n", migration_count);
out:
    pg_close(pg); /* gives the lock back */
    return outcome;
}

enum migrate_status migrate_check(const char *dsn, struct buf *report)
{
    struct pg *pg = NULL;
    size_t count = 0;

    enum migrate_status outcome = connect_to(dsn, CHECK_TIMEOUT_MS, &pg, report);
    if (outcome == MIGRATE_OK)
        outcome = applied_count(pg, &count, report);
    if (outcome == MIGRATE_OK && count < migration_count) {
        buf_addf(report,
                 "the database is at version %zu, this program needs %zu: run `fleethub migrate`, "
                 "or `fleethub run --migrate`\n",
                 count, migration_count);
        outcome = MIGRATE_REFUSED;
    }
    pg_close(pg);
    return outcome;
}
