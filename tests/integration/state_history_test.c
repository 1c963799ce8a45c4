/* A vehicle's messages out of TWIN_STATE, by a consumer and one by one: the same messages. */
#include "hub/state_history.h"
#include "tests/integration/bus_help.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STREAM "TWIN_STATE"

enum { VEHICLES = 3, MESSAGES = 60, FAR = 1000000 };

static struct bus_server server;
static struct bus *bus;

static int setup(void **state)
{
    (void)state;
    bus_server_start(&server, NULL, NULL);
    bus = help_open(&server, true);
    help_stream(bus, STREAM, "fleet.>");
    help_fill(bus, "fleet.test.veh.V-%d.state.battery", VEHICLES, 1, MESSAGES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bus_close(bus, 1000);
    bus_server_done(&server);
    return 0;
}

struct taken {
    int numbers[MESSAGES + 1];
    size_t count, max;
};

static bool take(void *closure, const struct bus_msg *msg)
{
    struct taken *taken = closure;
    assert_string_equal(msg->subject, "fleet.test.veh.V-1.state.battery");
    assert_true(msg->received_ns > 0);
    assert_true(taken->count < MESSAGES);
    assert_int_equal(help_number(msg), (int)msg->stream_seq); /* help_fill counts from 1 too */
    taken->numbers[taken->count++] = help_number(msg);
    return taken->count < taken->max;
}

static struct state_history history(uint64_t counted_max, struct taken *taken)
{
    *taken = (struct taken){.max = MESSAGES};
    return (struct state_history){.filter = "fleet.test.veh.V-1.state.>",
                                  .start_ns = TIMESTAMP_NONE,
                                  .last_seq = FAR,
                                  .counted_max = counted_max,
                                  .take = take,
                                  .closure = taken};
}

/* Fails unless what is read are the numbers of V-1 from `first` up to `last`. */
static void reads(const struct state_history *what, int first, int last)
{
    struct taken *taken = what->closure;
    struct bus_error error = {""};
    uint64_t next = 1;
    size_t count = 0;
    assert_int_equal(state_history_read(bus, what, &next, &error), BUS_OK);
    assert_int_equal(next, 0);
    for (int number = first; number <= last; number++)
        if (number % VEHICLES == 1) {
            assert_true(count < taken->count);
            assert_int_equal(taken->numbers[count++], number);
        }
    assert_int_equal(taken->count, count);
}

static int64_t received(uint64_t seq)
{
    struct bus_stored stored;
    struct bus_error error = {""};
    assert_int_equal(bus_get_seq(bus, STREAM, seq, &stored, &error), BUS_OK);
    int64_t received_ns = stored.received_ns;
    bus_stored_done(&stored);
    return received_ns;
}

static void check_both(uint64_t counted_max)
{
    struct taken taken;
    struct state_history what = history(counted_max, &taken);
    reads(&what, 1, MESSAGES);
    what = history(counted_max, &taken);
    taken.max = 5;
    reads(&what, 1, 13);
    what = history(counted_max, &taken);
    what.from_seq = 32;
    reads(&what, 32, MESSAGES);
    what = history(counted_max, &taken);
    what.from_seq = FAR;
    reads(&what, 1, 0);
    what = history(counted_max, &taken);
    what.start_ns = received(31);
    reads(&what, 31, MESSAGES);
    what = history(counted_max, &taken);
    what.start_ns = received(31) + 1;
    reads(&what, 32, MESSAGES);
    what = history(counted_max, &taken);
    what.start_ns = received(1) - NS_PER_S;
    reads(&what, 1, MESSAGES);
    what = history(counted_max, &taken);
    what.start_ns = received(MESSAGES) + NS_PER_S;
    reads(&what, 1, 0);
}

static void both_ways_read_the_same(void **state)
{
    (void)state;
    check_both(MESSAGES);
    check_both(0);
    check_both(10); /* by a consumer near the end, else one by one */
}

static void a_stream_with_holes_is_read_past_them(void **state)
{
    struct taken taken;
    struct bus_error error = {""};
    int64_t start_ns = received(30);
    (void)state;
    assert_int_equal(bus_stream_purge(bus, STREAM, 11, NULL, &error), BUS_OK);
    help_api(bus, "STREAM.MSG.DELETE." STREAM, "{\"seq\":30}");
    help_api(bus, "STREAM.MSG.DELETE." STREAM, "{\"seq\":35}");
    for (uint64_t counted_max = 0; counted_max <= MESSAGES; counted_max += MESSAGES) {
        struct state_history what = history(counted_max, &taken);
        reads(&what, 11, MESSAGES);
        what = history(counted_max, &taken);
        what.start_ns = start_ns;
        reads(&what, 31, MESSAGES);
    }
}

static void nothing_is_looked_for_behind_the_last_that_is_known(void **state)
{
    struct taken taken;
    (void)state;
    struct state_history what = history(0, &taken);
    what.last_seq = 40;
    reads(&what, 1, 40);
    what = history(0, &taken);
    what.last_seq = 0;
    reads(&what, 1, 0);
}

static void without_a_server_it_says_so(void **state)
{
    struct taken taken;
    struct bus_error error = {""};
    uint64_t next;
    (void)state;
    bus_server_kill(&server);
    help_wait_connected(bus, false);
    struct state_history what = history(0, &taken);
    assert_int_equal(state_history_read(bus, &what, &next, &error), BUS_DISCONNECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_ways_read_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_with_holes_is_read_past_them, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_looked_for_behind_the_last_that_is_known, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_a_server_it_says_so, setup, teardown),
    };
    return cmocka_run_group_tests_name("state_history", tests, NULL, NULL);
}
