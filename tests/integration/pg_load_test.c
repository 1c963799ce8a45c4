/* Rows loaded by COPY, on a PostgreSQL of the test's own: what arrives, what is refused and how
 * that is told, and what may be done while the server is at it. */
#include "hub/pg.h"
#include "tests/integration/pg_server.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 20000, TEXT_BYTES = 100, COLUMNS = 7 };

static const char load_things[] =
    "COPY things (id, small, big, name, data, raw, at) FROM STDIN (FORMAT binary)";

static struct pg_server server;
static struct pg *pg;

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
    pg_server_script(pg, "DROP TABLE IF EXISTS things; "
                         "CREATE TABLE things (id integer PRIMARY KEY, small smallint, big bigint, "
                         "name text, data jsonb, raw bytea, at timestamptz)");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pg_close(pg);
    return 0;
}

static void begin(struct pg_load *load)
{
    struct pg_error error;
    if (pg_load_begin(load, pg, load_things, &error) != PG_OK)
        fail_msg("%s", error.text);
}

static void row(struct pg_load *load, int id, const char *data)
{
    struct pg_error error;
    char name[TEXT_BYTES];
    memset(name, 'n', sizeof name);
    if (pg_load_row(load, COLUMNS, &error) != PG_OK)
        fail_msg("%s", error.text);
    pg_load_int4(load, id);
    pg_load_int2(load, -7);
    pg_load_int8(load, INT64_C(-5000000000));
    pg_load_bytes(load, name, sizeof name);
    pg_load_jsonb(load, data, strlen(data));
    pg_load_bytes(load, "\0\377", 2);
    pg_load_timestamp_us(load, INT64_C(1768473000123456));
}

static enum pg_status end(struct pg_load *load, struct pg_error *error)
{
    if (pg_load_end(load, error) != PG_OK)
        fail_msg("%s", error->text);
    return pg_load_result(load, error);
}

static void rows_arrive_with_every_type(void **state)
{
    (void)state;
    struct pg_load load;
    struct pg_error error;
    begin(&load);
    row(&load, 1, "{\"a\": [1, null]}");
    assert_int_equal(pg_load_row(&load, COLUMNS, &error), PG_OK);
    pg_load_int4(&load, 2);
    for (int i = 1; i < COLUMNS; i++)
        pg_load_null(&load);
    assert_int_equal(end(&load, &error), PG_OK);
    assert_int_equal(pg_server_int(pg,
                                   "SELECT count(*) FROM things WHERE id = 1 AND small = -7 AND "
                                   "big = -5000000000 AND name = repeat('n', 100) AND "
                                   "data = '{\"a\": [1, null]}' AND raw = '\\x00ff' AND "
                                   "at = '2026-01-15 10:30:00.123456+00'"),
                     1);
    assert_int_equal(pg_server_int(pg, "SELECT count(*) FROM things WHERE id = 2 AND "
                                       "num_nulls(small, big, name, data, raw, at) = 6"),
                     1);
}

static void nothing_loaded_is_nothing_wrong(void **state)
{
    (void)state;
    struct pg_load load;
    struct pg_error error;
    begin(&load);
    assert_int_equal(end(&load, &error), PG_OK);
    assert_int_equal(pg_server_int(pg, "SELECT count(*) FROM things"), 0);
}

static void value_that_is_refused_is_told_at_the_end(void **state)
{
    (void)state;
    struct pg_load load;
    struct pg_error error;
    begin(&load);
    for (int i = 0; i < MANY; i++)
        row(&load, i, i == 10 ? "{\"a\": \"\\u0000\"}" : "{}");
    assert_int_equal(end(&load, &error), PG_VALUE);
    assert_int_equal(pg_server_int(pg, "SELECT count(*) FROM things"), 0); /* and it goes on */
}

static void key_that_is_there_is_a_failure_with_its_sqlstate(void **state)
{
    (void)state;
    struct pg_load load;
    struct pg_error error;
    begin(&load);
    row(&load, 1, "{}");
    row(&load, 1, "{}");
    assert_int_equal(end(&load, &error), PG_FAILED);
    assert_string_equal(error.sqlstate, "23505");
    assert_int_equal(pg_server_int(pg, "SELECT count(*) FROM things"), 0);
}

static void table_that_is_not_there_leaves_nothing_to_end(void **state)
{
    (void)state;
    struct pg_load load;
    struct pg_error error;
    assert_int_equal(pg_load_begin(&load, pg, "COPY nothing FROM STDIN (FORMAT binary)", &error),
                     PG_FAILED);
    assert_string_equal(error.sqlstate, "42P01");
    assert_int_equal(pg_server_int(pg, "SELECT 1"), 1);
}

static bool count_it(void *closure)
{
    ++*(int *)closure;
    return true;
}

static void something_else_is_done_while_the_server_works(void **state)
{
    (void)state;
    struct pg_load load;
    struct pg_error error;
    int done = 0;
    pg_meanwhile(pg, count_it, &done);
    begin(&load);
    for (int i = 0; i < MANY; i++)
        row(&load, i, "{\"a\": 1}");
    assert_int_equal(end(&load, &error), PG_OK);
    pg_meanwhile(pg, NULL, NULL);
    assert_true(done > 0);
    int then = done;
    assert_int_equal(pg_server_int(pg, "SELECT count(*) FROM things"), MANY);
    assert_int_equal(done, then);
}

static void server_that_dies_among_the_rows_is_lost(void **state)
{
    (void)state;
    struct pg_load load;
    struct pg_error error;
    enum pg_status status = PG_OK;
    begin(&load);
    row(&load, 0, "{}");
    kill(pg_backend_pid(pg), SIGTERM);
    for (int i = 1; i < 10 * MANY && status == PG_OK; i++) {
        status = pg_load_row(&load, COLUMNS, &error);
        if (status == PG_OK)
            pg_load_int4(&load, i);
        for (int column = 1; status == PG_OK && column < COLUMNS; column++)
            pg_load_null(&load);
    }
    if (status == PG_OK)
        status = pg_load_end(&load, &error);
    if (status == PG_OK)
        status = pg_load_result(&load, &error);
    assert_int_equal(status, PG_LOST);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(rows_arrive_with_every_type),
        TEST(nothing_loaded_is_nothing_wrong),
        TEST(value_that_is_refused_is_told_at_the_end),
        TEST(key_that_is_there_is_a_failure_with_its_sqlstate),
        TEST(table_that_is_not_there_leaves_nothing_to_end),
        TEST(something_else_is_done_while_the_server_works),
        TEST(server_that_dies_among_the_rows_is_lost),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
