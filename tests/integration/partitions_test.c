/* The partitions of the archive: made ahead, for whatever comes, and never in the way. */
#include "hub/record_partitions.h"

#include "hub/clock.h"
#include "tests/integration/record_help.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int ahead(struct pg *pg, int retention_days)
{
    struct pg_error error = {.text = ""};
    int made = -1;
    if (record_partitions_ahead(pg, retention_days, &made, &error) != PG_OK)
        fail_msg("%s", error.text);
    return made;
}

/* A row that was committed so many days from now. */
static void insert_record(int seq, int days)
{
    char sql[512];
    snprintf(
        sql, sizeof sql,
        "INSERT INTO records (seq, id, hash, kind, region, type, timestamp_rest_ns, received, "
        "received_rest_ns, archived, raw) SELECT %d, gen_random_uuid(), '', 'event', 'r', 'x', "
        "0, now(), 0, now() + interval '%d days', '{}'",
        seq, days);
    pg_server_script(help.pg, sql);
}

static int64_t number(const char *sql)
{
    return pg_server_int(help.pg, sql);
}

static void width_is_a_twelfth_of_retention(void **state)
{
    (void)state;
    assert_int_equal(record_partitions_width_days(1), 1);
    assert_int_equal(record_partitions_width_days(7), 1);
    assert_int_equal(record_partitions_width_days(365), 30);
    assert_int_equal(record_partitions_width_days(3650), 304);
}

static void partitions_reach_two_widths_ahead_without_a_gap(void **state)
{
    (void)state;
    assert_int_equal(ahead(help.pg, 365), 4);
    assert_int_equal(ahead(help.pg, 365), 0);
    assert_int_equal(number("SELECT count(*) FROM record_partitions WHERE upper = "
                            "date_trunc('day', now()) + interval '60 days'"),
                     1);
    assert_int_equal(number("SELECT count(*) FROM record_partitions a WHERE lower > '-infinity' "
                            "AND NOT EXISTS (SELECT FROM record_partitions b "
                            "WHERE b.upper = a.lower)"),
                     0);
    for (int days = -1; days < 60; days++)
        insert_record(days + 2, days);
    assert_int_equal(number("SELECT count(*) FROM records_default"), 0);
    /* Another retention: the next ones are of another width. */
    assert_int_equal(ahead(help.pg, 3650), 4);
    assert_true(number("SELECT extract(day FROM max(upper) - now())::bigint FROM "
                       "record_partitions") >= 607);
}

/* Whoever comes too late finds the place that it was given in the meantime. */
static void rows_that_no_partition_took_get_one_of_their_own(void **state)
{
    (void)state;
    insert_record(1, 0);
    insert_record(2, 0);
    assert_int_equal(number("SELECT count(*) FROM records_default"), 2);
    assert_true(ahead(help.pg, 365) > 0);
    assert_int_equal(number("SELECT count(*) FROM records_default"), 0);
    assert_int_equal(number("SELECT count(*) FROM records"), 2);

    /* Nobody looked after partitions for a year. */
    insert_record(3, 400);
    assert_int_equal(number("SELECT count(*) FROM records_default"), 1);
    assert_true(ahead(help.pg, 365) > 0);
    assert_int_equal(number("SELECT count(*) FROM records_default"), 0);
    insert_record(4, 400);
    insert_record(5, 401);
    assert_true(ahead(help.pg, 365) >= 0);
    assert_int_equal(number("SELECT count(*) FROM records"), 5);
    assert_int_equal(number("SELECT count(*) FROM records_default"), 0);
    assert_int_equal(number("SELECT count(*) FROM record_partitions a JOIN record_partitions b "
                            "ON a.lower < b.upper AND b.lower < a.upper AND a.name <> b.name"),
                     0);
}

/* A vehicle whose clock runs ahead, and one whose clock says 1938. */
static void digests_of_odd_clocks_have_a_place_and_move_with_their_day(void **state)
{
    (void)state;
    ahead(help.pg, 365);
    pg_server_script(help.pg,
                     "INSERT INTO digests SELECT gen_random_uuid(), d, 1 FROM unnest(ARRAY[-11688, "
                     "0, 1, current_date - date '1970-01-01', current_date - date '1970-01-01' "
                     "+ 70, 2147483647]) AS d");
    assert_int_equal(number("SELECT count(*) FROM digests_default"), 3);
    assert_int_equal(number("SELECT count(*) FROM digests_undated"), 1);
    ahead(help.pg, 3650);
    assert_int_equal(number("SELECT count(*) FROM digests_default"), 2);
    assert_int_equal(number("SELECT count(*) FROM digests"), 6);
}

/* Of each partition: the primary key, and of those that retention looks through again and again an
 * index of seq. A digest is added at the cost of what it is asked for. */
static void digests_of_a_day_have_one_index(void **state)
{
    (void)state;
    ahead(help.pg, 365);
    assert_true(number("SELECT count(*) FROM digest_partitions") > 0);
    assert_int_equal(number("SELECT count(*) FROM pg_indexes i JOIN digest_partitions p "
                            "ON p.name = i.tablename"),
                     number("SELECT count(*) FROM digest_partitions"));
    assert_int_equal(number("SELECT count(*) FROM pg_indexes WHERE tablename IN "
                            "('digests_undated', 'digests_default') AND indexdef LIKE '%brin%'"),
                     2);
}

struct caller {
    pthread_t thread;
    int made;
};

static void *call(void *closure)
{
    struct caller *caller = closure;
    struct pg_error error;
    struct pg *pg = pg_server_connect(&help.postgres);
    caller->made = -1;
    if (pg && record_partitions_ahead(pg, 365, &caller->made, &error) != PG_OK)
        caller->made = strcmp(error.sqlstate, "55P03") == 0 ? 0 : -1; /* waited long enough */
    pg_close(pg);
    return NULL;
}

static void partitions_made_by_several_at_once_are_made_once(void **state)
{
    (void)state;
    enum { CALLERS = 4 };
    struct caller callers[CALLERS];
    int made = 0;
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_true(callers[i].made >= 0);
        made += callers[i].made;
    }
    assert_int_equal(made, 4);
    assert_int_equal(number("SELECT count(*) FROM record_partitions"), 2);
}

/* An export that runs for hours holds up the making of partitions, and that nobody else. */
static void partitions_that_cannot_be_made_now_hold_nobody_up(void **state)
{
    (void)state;
    struct pg_error error;
    int made;
    struct pg *reader = pg_server_connect(&help.postgres);
    assert_non_null(reader);
    pg_server_script(reader, "BEGIN");
    pg_server_script(reader, "SELECT count(*) FROM records");
    assert_int_equal(record_partitions_ahead(help.pg, 365, &made, &error), PG_FAILED);
    assert_string_equal(error.sqlstate, "55P03");

    record_help_start(); /* the lane finds the same, and writes all the same */
    record_help_events("V1", 1, 10);
    record_help_wait("SELECT count(*) FROM records", 10);
    assert_int_equal(number("SELECT count(*) FROM records_default"), 10);
    pg_server_script(reader, "COMMIT");
    pg_close(reader);
    record_help_stop();
    record_help_start(); /* the next writer makes up for it */
    record_help_events("V1", 11, 10);
    record_help_wait("SELECT count(*) FROM records", 20);
    assert_int_equal(number("SELECT count(*) FROM records_default"), 0);
    record_help_check_log();
}

int main(int argc, char **argv)
{
    record_help_child(argc, argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, record_help_setup, record_help_teardown)
    const struct CMUnitTest tests[] = {
        TEST(width_is_a_twelfth_of_retention),
        TEST(partitions_reach_two_widths_ahead_without_a_gap),
        TEST(rows_that_no_partition_took_get_one_of_their_own),
        TEST(digests_of_odd_clocks_have_a_place_and_move_with_their_day),
        TEST(digests_of_a_day_have_one_index),
        TEST(partitions_made_by_several_at_once_are_made_once),
        TEST(partitions_that_cannot_be_made_now_hold_nobody_up),
    };
    return cmocka_run_group_tests(tests, record_help_servers, record_help_servers_done);
}
