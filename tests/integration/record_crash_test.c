/* The record lane killed, frozen, doubled, and without its servers: each message on record exactly
 * once, the log without a gap. The lanes run in processes of their own. */
#include "tests/integration/record_help.h"

#include "hub/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum {
    KILLS = 12,
    EVENTS_EACH = 2500, /* between two kills: several batches */
    TAKEOVER_MS = 10000,
    SPIN_NS = 200000,
};

#define RECORDS "SELECT count(*) FROM records"

/* Waits until more than `than` are on record; false where the lane has archived all before. */
static int64_t wait_more_than(int64_t than)
{
    int64_t until_ms = clock_mono_ms() + HELP_ARCHIVE_WAIT_MS, count;
    while ((count = pg_server_int(help.pg, RECORDS)) <= than) {
        assert_true(clock_mono_ms() < until_ms);
        nanosleep(&(struct timespec){.tv_nsec = SPIN_NS}, NULL);
    }
    return count;
}

static void check_all(int64_t events)
{
    record_help_wait("SELECT count(*) FROM records WHERE kind = 'event'", events);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(DISTINCT stream_seq) FROM records "
                                            "WHERE kind = 'event'"),
                     events);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(DISTINCT (vid, vehicle_seq)) "
                                            "FROM records WHERE kind = 'event'"),
                     events);
    assert_int_equal(pg_server_int(help.pg, "SELECT count(*) FROM records WHERE kind = 'system'"),
                     0);
    record_help_check_log();
}

static void killed_in_mid_batch_loses_nothing_and_doubles_nothing(void **state)
{
    (void)state;
    int in_the_middle = 0;
    int64_t total = 0;
    for (int kill = 0; kill < KILLS; kill++) {
        record_help_events("V1", (int)total, EVENTS_EACH);
        total += EVENTS_EACH;
        pid_t lane = record_help_spawn();
        int64_t before = pg_server_int(help.pg, RECORDS);
        int64_t now = wait_more_than(before);
        /* A little later each time, so that every stage of a batch has its turn. */
        nanosleep(&(struct timespec){.tv_nsec = kill * 700000L}, NULL);
        now = pg_server_int(help.pg, RECORDS);
        in_the_middle += now < total;
        record_help_signal(lane, SIGKILL);
    }
    /* Else the kills met an idle lane, and show nothing. */
    assert_true(in_the_middle > KILLS / 2);
    pid_t lane = record_help_spawn();
    check_all(total);
    record_help_signal(lane, SIGTERM);
}

static void database_crashing_again_and_again_costs_only_time(void **state)
{
    (void)state;
    enum { CRASHES = 4 };
    int64_t total = 0;
    int in_the_middle = 0;
    pid_t lane = record_help_spawn();
    for (int i = 0; i < CRASHES; i++) {
        int64_t before = pg_server_int(help.pg, RECORDS);
        record_help_events("V1", (int)total, 2 * EVENTS_EACH);
        total += 2 * EVENTS_EACH;
        int64_t now = wait_more_than(before);
        in_the_middle += now < total;
        pg_server_stop(&help.postgres, i % 2 ? SIGQUIT : SIGINT);
        record_help_events("V2", (int)total, 10); /* while it is away */
        total += 10;
        pg_server_again(&help.postgres);
        record_help_reconnect();
        check_all(total);
    }
    assert_true(in_the_middle > 0);
    record_help_signal(lane, SIGTERM);
}

static void broker_killed_and_back_is_read_on(void **state)
{
    (void)state;
    pid_t lane = record_help_spawn();
    record_help_events("V1", 0, EVENTS_EACH);
    wait_more_than(0);
    for (int i = 1; i <= 3; i++) {
        bus_server_stop(&help.nats);
        bus_server_again(&help.nats, NULL, NULL);
        record_help_reconnect();
        record_help_events("V1", i * EVENTS_EACH, EVENTS_EACH);
    }
    check_all(4 * EVENTS_EACH);
    record_help_signal(lane, SIGTERM);
}

static void stopped_by_sigterm_hands_the_log_over_at_once(void **state)
{
    (void)state;
    pid_t first = record_help_spawn();
    record_help_events("V1", 0, EVENTS_EACH);
    wait_more_than(0);
    pid_t second = record_help_spawn();
    record_help_signal(first, SIGTERM);
    record_help_events("V1", EVENTS_EACH, EVENTS_EACH);
    check_all(2 * EVENTS_EACH);
    assert_int_equal(pg_server_int(help.pg, "SELECT writer FROM log_head"), 2);
    record_help_signal(second, SIGTERM);
}

/* One hub is frozen while it works, again and again; the other takes over; thawed, the first
 * writes nothing. */
static void frozen_writer_is_replaced_and_writes_nothing_when_it_thaws(void **state)
{
    (void)state;
    pid_t lanes[2];
    int64_t total = 0;
    lanes[0] = record_help_spawn();
    record_help_events("V1", 0, 10);
    total += 10;
    record_help_wait(RECORDS, total);
    lanes[1] = record_help_spawn();
    for (int i = 0; i < 2; i++) {
        int64_t writer = pg_server_int(help.pg, "SELECT writer FROM log_head");
        int64_t before = pg_server_int(help.pg, RECORDS);
        record_help_events("V1", (int)total, 2 * EVENTS_EACH);
        total += 2 * EVENTS_EACH;
        wait_more_than(before);
        record_help_signal(lanes[i % 2], SIGSTOP);
        int64_t frozen_ms = clock_mono_ms();
        while (pg_server_int(help.pg, "SELECT writer FROM log_head") == writer) {
            assert_true(clock_mono_ms() - frozen_ms < TAKEOVER_MS);
            clock_pause_ms(20);
        }
        check_all(total);
        record_help_signal(lanes[i % 2], SIGCONT);
        record_help_events("V2", (int)total, EVENTS_EACH);
        total += EVENTS_EACH;
        check_all(total);
        assert_int_equal(pg_server_int(help.pg, "SELECT writer FROM log_head"), writer + 1);
    }
    record_help_signal(lanes[0], SIGTERM);
    record_help_signal(lanes[1], SIGTERM);
    check_all(total);
}

/* A frozen PostgreSQL answers nothing and refuses nothing: the lane notices by its deadlines, and
 * can be stopped meanwhile. */
static void frozen_database_does_not_hold_the_lane(void **state)
{
    (void)state;
    struct record_lane_status status;
    char find[] = "SELECT backend_pid FROM log_head";
    record_help_start();
    record_help_events("V1", 0, 10);
    record_help_wait(RECORDS, 10);
    pid_t backend = (pid_t)pg_server_int(help.pg, find);
    kill(backend, SIGSTOP);
    int64_t since_ms = clock_mono_ms();
    do {
        assert_true(clock_mono_ms() - since_ms < 2 * RECORD_LANE_ANSWER_MS);
        clock_pause_ms(20);
        record_lane_status(help.lane, &status);
    } while (status.postgres);
    assert_non_null(strstr(status.error, "has not answered"));
    since_ms = clock_mono_ms();
    record_lane_stop(help.lane, 500);
    help.lane = NULL;
    assert_true(clock_mono_ms() - since_ms < 3000);
    kill(backend, SIGCONT);
    record_help_start();
    record_help_events("V1", 10, 10);
    check_all(20);
}

int main(int argc, char **argv)
{
    record_help_child(argc, argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, record_help_setup, record_help_teardown)
    const struct CMUnitTest tests[] = {
        TEST(killed_in_mid_batch_loses_nothing_and_doubles_nothing),
        TEST(database_crashing_again_and_again_costs_only_time),
        TEST(broker_killed_and_back_is_read_on),
        TEST(stopped_by_sigterm_hands_the_log_over_at_once),
        TEST(frozen_writer_is_replaced_and_writes_nothing_when_it_thaws),
        TEST(frozen_database_does_not_hold_the_lane),
    };
    return cmocka_run_group_tests(tests, record_help_servers, record_help_servers_done);
}
