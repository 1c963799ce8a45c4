/* One message asked for by name, and reading from an instant on. */
#include "tests/integration/bus_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct bus_server server;
static struct bus *bus;

static int setup(void **state)
{
    (void)state;
    bus_server_start(&server, NULL, NULL);
    bus = help_open(&server, true);
    help_stream(bus, "S", "s.>");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bus_close(bus, 1000);
    bus_server_done(&server);
    return 0;
}

static uint64_t store(const char *subject, const void *data, size_t size)
{
    struct bus_error error = {""};
    uint64_t seq = 0;
    struct bus_store what = {.subject = subject,
                             .data = data,
                             .size = size,
                             .expected_last_of_subject = BUS_ANY_SEQ,
                             .headers = {{"Fleet-Actor", "ops: desk"}, {"Fleet-Record", "ab12"}}};
    assert_int_equal(bus_store(bus, &what, 3000, &seq, &error), BUS_OK);
    return seq;
}

static void the_last_of_a_subject_comes_back_byte_for_byte(void **state)
{
    (void)state;
    char bytes[256], value[16];
    struct bus_stored stored;
    struct bus_error error = {""};
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    store("s.a", "old", 3);
    for (size_t size = 0; size <= sizeof bytes; size++) { /* every remainder of base64 */
        uint64_t seq = store("s.a", bytes, size);
        store("s.b", "other", 5);
        assert_int_equal(bus_get_last(bus, "S", "s.a", &stored, &error), BUS_OK);
        assert_int_equal(stored.seq, seq);
        assert_string_equal(stored.subject, "s.a");
        assert_int_equal(stored.size, size);
        assert_memory_equal(stored.data, bytes, size);
        assert_true(stored.received_ns > 0);
        bus_stored_done(&stored);
    }
    assert_int_equal(bus_get_last(bus, "S", "s.a", &stored, &error), BUS_OK);
    assert_true(bus_stored_header(&stored, "fleet-actor", value, sizeof value));
    assert_string_equal(value, "ops: desk");
    assert_true(bus_stored_header(&stored, "Fleet-Record", value, sizeof value));
    assert_string_equal(value, "ab12");
    assert_false(bus_stored_header(&stored, "Fleet", value, sizeof value));
    assert_false(bus_stored_header(&stored, "Fleet-Actor", value, 4));
    bus_stored_done(&stored);
}

static void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct bus_stored stored;
    struct bus_error error = {""};
    assert_int_equal(bus_get_last(bus, "S", "s.a", &stored, &error), BUS_NOT_FOUND);
    assert_int_equal(bus_get_seq(bus, "S", 1, &stored, &error), BUS_NOT_FOUND);
    assert_int_equal(bus_get_last(bus, "T", "s.a", &stored, &error), BUS_NOT_FOUND);
    uint64_t seq = store("s.a", "x", 1);
    assert_int_equal(bus_get_seq(bus, "S", seq, &stored, &error), BUS_OK);
    assert_string_equal(stored.data, "x");
    bus_stored_done(&stored);
    bus_server_kill(&server);
    help_wait_connected(bus, false);
    assert_int_equal(bus_get_last(bus, "S", "s.a", &stored, &error), BUS_DISCONNECTED);
}

static void reading_begins_at_the_first_received_at_an_instant(void **state)
{
    (void)state;
    struct bus_stored stored;
    struct bus_error error = {""};
    struct bus_consumer *consumer = NULL;
    help_fill(bus, "s.a", 0, 1, 20);
    assert_int_equal(bus_get_seq(bus, "S", 15, &stored, &error), BUS_OK);
    struct bus_consume what = {.stream = "S", .from = BUS_FROM_TIME, .time_ns = stored.received_ns};
    bus_stored_done(&stored);
    assert_int_equal(bus_consume(bus, &what, &consumer, NULL, &error), BUS_OK);
    struct bus_msg msg = help_next(consumer);
    /* the server keeps nanoseconds: nothing else has that time */
    assert_int_equal(msg.stream_seq, 15);
    bus_msg_done(&msg);
    msg = help_next(consumer);
    assert_int_equal(msg.stream_seq, 16);
    bus_msg_done(&msg);
    bus_consumer_close(consumer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_of_a_subject_comes_back_byte_for_byte, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(reading_begins_at_the_first_received_at_an_instant, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("bus_get", tests, NULL, NULL);
}
