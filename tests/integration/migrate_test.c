/* Migrations, on a PostgreSQL of the test's own. */
#include "hub/migrate.h"
#include "hub/pg.h"
#include "tests/integration/pg_server.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct pg_server server;
static struct pg *pg;
static struct buf report;

static int group_setup(void **state)
{
    (void)state;
    pg_server_start(&server);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    pg_server_done(&server);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    pg = pg_server_connect(&server);
    assert_non_null(pg);
    pg_server_script(pg, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    buf_reset(&report);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pg_close(pg);
    buf_done(&report);
    return 0;
}

static void assert_report_says(const char *text)
{
    if (!strstr(buf_cstr(&report), text))
        fail_msg("the report says: %s", buf_cstr(&report));
}

static void migrate_makes_the_schema_and_then_nothing(void **state)
{
    (void)state;
    assert_int_equal(migrate_run(server.dsn, server.dsn, &report), MIGRATE_OK);
    assert_report_says("applied 0001_record");
    assert_int_equal(pg_server_int(pg, "SELECT count(*) FROM records"), 0);
    assert_int_equal(pg_server_int(pg, "SELECT next_seq FROM log_head"), 1);
    assert_int_equal(pg_server_int(pg, "SELECT max(version) FROM fleethub_migrations"),
                     (int64_t)migration_count);

    buf_reset(&report);
    assert_int_equal(migrate_run(server.dsn, server.dsn, &report), MIGRATE_OK);
    assert_null(strstr(buf_cstr(&report), "applied"));
    assert_int_equal(migrate_check(server.dsn, &report), MIGRATE_OK);
}

static void check_refuses_an_empty_database_and_says_what_to_run(void **state)
{
    (void)state;
    assert_int_equal(migrate_check(server.dsn, &report), MIGRATE_REFUSED);
    assert_report_says("version 0");
    assert_report_says("fleethub migrate");
    assert_int_equal(
        pg_server_int(pg, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), 0);
}

static void check_refuses_a_newer_database(void **state)
{
    (void)state;
    assert_int_equal(migrate_run(server.dsn, server.dsn, &report), MIGRATE_OK);
    pg_server_script(pg, "INSERT INTO fleethub_migrations (version, name, checksum) "
                         "VALUES (9999, '9999_future', '')");
    assert_int_equal(migrate_check(server.dsn, &report), MIGRATE_REFUSED);
    assert_report_says("9999");
    buf_reset(&report);
    assert_int_equal(migrate_run(server.dsn, server.dsn, &report), MIGRATE_REFUSED);
    assert_report_says("newer fleethub");
}

static void migrate_refuses_a_changed_migration(void **state)
{
    (void)state;
    assert_int_equal(migrate_run(server.dsn, server.dsn, &report), MIGRATE_OK);
    pg_server_script(pg, "UPDATE fleethub_migrations SET checksum = '\\x00' WHERE version = 1");
    buf_reset(&report);
    assert_int_equal(migrate_run(server.dsn, server.dsn, &report), MIGRATE_REFUSED);
    assert_report_says("another build");
    assert_int_equal(migrate_check(server.dsn, &report), MIGRATE_REFUSED);
}

static void migrate_failing_leaves_nothing_behind(void **state)
{
    (void)state;
    /* The last table of 0001 is there already, of somebody else's making. */
    pg_server_script(pg, "CREATE TABLE log_head ()");
    assert_int_equal(migrate_run(server.dsn, server.dsn, &report), MIGRATE_REFUSED);
    assert_report_says("rolled back");
    assert_int_equal(
        pg_server_int(pg, "SELECT count(*) FROM pg_tables WHERE tablename = 'records'"), 0);
    assert_int_equal(pg_server_int(pg, "SELECT count(*) FROM fleethub_migrations"), 0);
    pg_server_script(pg, "DROP TABLE log_head");
    assert_int_equal(migrate_run(server.dsn, server.dsn, &report), MIGRATE_OK);
}

static void migrate_without_a_server_is_unreachable(void **state)
{
    (void)state;
    assert_int_equal(migrate_run("host=127.0.0.1 port=1 user=x dbname=x", NULL, &report),
                     MIGRATE_UNREACHABLE);
    assert_int_equal(migrate_check("host=127.0.0.1 port=1 user=x dbname=x", &report),
                     MIGRATE_UNREACHABLE);
}

static void migrate_refuses_an_encoding_that_is_not_utf8(void **state)
{
    (void)state;
    char dsn[160];
    pg_server_script(pg, "DROP DATABASE IF EXISTS latin");
    pg_server_script(pg, "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' "
                         "TEMPLATE template0");
    snprintf(dsn, sizeof dsn, "host=127.0.0.1 port=%d user=postgres dbname=latin", server.port);
    assert_int_equal(migrate_run(dsn, NULL, &report), MIGRATE_REFUSED);
    assert_report_says("UTF8");
}

struct migrator {
    pthread_t thread;
    struct buf report;
    enum migrate_status status;
};

static void *migrate_thread(void *closure)
{
    struct migrator *migrator = closure;
    migrator->status = migrate_run(server.dsn, server.dsn, &migrator->report);
    return NULL;
}

static void migrate_by_two_at_once_is_done_by_one(void **state)
{
    (void)state;
    enum { MIGRATORS = 4 };
    struct migrator migrators[MIGRATORS] = {0};
    int applied = 0;
    for (int i = 0; i < MIGRATORS; i++)
        pthread_create(&migrators[i].thread, NULL, migrate_thread, &migrators[i]);
    for (int i = 0; i < MIGRATORS; i++) {
        pthread_join(migrators[i].thread, NULL);
        assert_int_equal(migrators[i].status, MIGRATE_OK);
        applied += strstr(buf_cstr(&migrators[i].report), "applied 0001") != NULL;
        buf_done(&migrators[i].report);
    }
    assert_int_equal(applied, 1);
}

/* The hub's own role can append, and cannot rewrite. */
static void migrate_grants_the_hubs_role_no_more_than_it_needs(void **state)
{
    (void)state;
    char dsn[160];
    struct pg_error error;
    pg_server_script(pg, "DROP ROLE IF EXISTS \"the \"\"hub\"; CREATE ROLE \"the \"\"hub\" LOGIN; "
                         "GRANT USAGE ON SCHEMA public TO PUBLIC");
    snprintf(dsn, sizeof dsn, "host=127.0.0.1 port=%d user='the \"hub' dbname=postgres",
             server.port);
    assert_int_equal(migrate_run(server.dsn, dsn, &report), MIGRATE_OK);
    assert_int_equal(migrate_check(dsn, &report), MIGRATE_OK);

    struct pg_options options = {
        .dsn = dsn, .name = "test", .connect_timeout_ms = 5000, .call_timeout_ms = 5000};
    struct pg *hub = NULL;
    assert_int_equal(pg_open(&options, &hub, &error), PG_OK);
    assert_int_equal(pg_server_int(hub, "SELECT count(*) FROM records"), 0);
    static const char *const refused[] = {
        "UPDATE records SET vid = 'x'",
        "DELETE FROM records",
        "TRUNCATE records",
        "DROP TABLE records",
        "SELECT * FROM records_default FOR UPDATE",
        "UPDATE records_default SET vid = 'x'",
        "DELETE FROM records_default",
        "TRUNCATE records_default",
        "ALTER TABLE records DETACH PARTITION records_default",
        "UPDATE digests SET seq = 1",
        "DELETE FROM digests",
        "TRUNCATE digests",
        "UPDATE tree_tiles SET nodes = ''",
        "DELETE FROM tree_tiles",
        "UPDATE checkpoints SET note = ''",
        "DELETE FROM checkpoints",
        "DELETE FROM log_head",
        "DELETE FROM stream_positions",
        "INSERT INTO holds (vid, reason, actor) VALUES ('V1', 'x', 'x')",
        "DELETE FROM holds",
        "INSERT INTO record_notes (type, data) VALUES ('x', '{}')",
        "UPDATE record_notes SET data = '{}'",
        "DELETE FROM record_notes",
        "DELETE FROM retention_runs",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(pg_script(hub, refused[i], &error), PG_FAILED);
        assert_string_equal(error.sqlstate, "42501");
    }
    assert_int_equal(pg_script(hub, "UPDATE log_head SET holder = 'x'", &error), PG_OK);
    /* Partitions ahead it can have made, with the owner's rights, and nothing else of theirs. */
    assert_int_equal(pg_server_int(hub, "SELECT record_partitions_ahead(30)"), 4);
    assert_int_equal(pg_script(hub, "SELECT record_table_make('mine')", &error), PG_FAILED);
    assert_int_equal(
        pg_script(hub, "SELECT retention_swap(0, 'records_default', '', false, 1, 1, 1, 0, '{}')",
                  &error),
        PG_FAILED);
    pg_close(hub);
    pg_server_script(pg, "DROP OWNED BY \"the \"\"hub\"; DROP ROLE \"the \"\"hub\"");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(migrate_makes_the_schema_and_then_nothing),
        TEST(check_refuses_an_empty_database_and_says_what_to_run),
        TEST(check_refuses_a_newer_database),
        TEST(migrate_refuses_a_changed_migration),
        TEST(migrate_failing_leaves_nothing_behind),
        TEST(migrate_without_a_server_is_unreachable),
        TEST(migrate_refuses_an_encoding_that_is_not_utf8),
        TEST(migrate_by_two_at_once_is_done_by_one),
        TEST(migrate_grants_the_hubs_role_no_more_than_it_needs),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
