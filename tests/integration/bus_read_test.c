/* Reading streams through a bus, against a nats-server that is killed, loses its tail, forgets:
 * over the bus's connection and over a line of the reader's own. */
#include "hub/bus_api.h"
#include "tests/integration/bus_help.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct bus_server server;
static struct bus *bus;
static bool own_line;

static int setup(void **state)
{
    (void)state;
    own_line = false;
    bus_server_start(&server, NULL, NULL);
    bus = help_open(&server, true);
    return 0;
}

static int setup_own_line(void **state)
{
    setup(state);
    own_line = true;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bus_close(bus, 1000);
    bus = NULL;
    bus_server_done(&server);
    return 0;
}

static enum bus_status open_consumer(const struct bus_consume *what, struct bus_consumer **consumer,
                                     struct bus_stream_info *info, struct bus_error *error)
{
    struct bus_consume with = *what;
    with.own_line = own_line;
    return bus_consume(bus, &with, consumer, info, error);
}

static struct bus_consumer *consume(const struct bus_consume *what)
{
    struct bus_consumer *consumer = NULL;
    struct bus_error error = {""};
    if (open_consumer(what, &consumer, NULL, &error) != BUS_OK)
        fail_msg("%s: %s", what->stream, error.text);
    return consumer;
}

/* Reads messages `from`..`to`; each at the stream sequence `from + offset` and so on. */
static void expect_range(struct bus_consumer *consumer, int from, int to, int offset)
{
    for (int i = from; i <= to; i++) {
        struct bus_msg msg = help_next(consumer);
        assert_int_equal(help_number(&msg), i);
        assert_int_equal(msg.stream_seq, i + offset);
        bus_msg_done(&msg);
    }
}

static void expect_nothing(struct bus_consumer *consumer)
{
    struct bus_msg msg;
    assert_int_equal(bus_next(consumer, 300, &msg), BUS_TIMEOUT);
}

static enum bus_status wait_status(struct bus_consumer *consumer, enum bus_status wanted)
{
    struct bus_msg msg;
    int64_t until_ms = help_now_ms() + HELP_WAIT_MS;
    enum bus_status status = BUS_ERROR;
    while (status != wanted && help_now_ms() < until_ms) {
        status = bus_next(consumer, 100, &msg);
        if (status == BUS_OK)
            bus_msg_done(&msg);
    }
    return status;
}

static void reads_in_order_from_a_sequence(void **state)
{
    (void)state;
    help_stream(bus, "S", "s.>");
    help_fill(bus, "s.%d", 7, 1, 3000);
    struct bus_stream_info info;
    struct bus_error error = {""};
    struct bus_consumer *consumer = NULL;
    struct bus_consume what = {.stream = "S", .seq = 1001};
    assert_int_equal(open_consumer(&what, &consumer, &info, &error), BUS_OK);
    assert_int_equal(info.last_seq, 3000);
    assert_int_equal(info.messages, 3000);
    struct bus_msg msg = help_next(consumer);
    assert_int_equal(msg.stream_seq, 1001);
    assert_int_equal(help_number(&msg), 1001);
    assert_string_equal(msg.subject, "s.0");
    assert_int_equal(msg.pending, 1999);
    assert_true(msg.received_ns > info.created_ns);
    bus_msg_done(&msg);
    assert_false(bus_caught_up(consumer));
    expect_range(consumer, 1002, 3000, 0);
    assert_true(bus_caught_up(consumer));
    expect_nothing(consumer);
    help_fill(bus, "s.%d", 7, 3001, 5);
    expect_range(consumer, 3001, 3005, 0);
    bus_consumer_close(consumer);
}

static void an_empty_stream_is_caught_up_with(void **state)
{
    (void)state;
    help_stream(bus, "S", "s.>");
    struct bus_consumer *consumer = consume(&(struct bus_consume){.stream = "S"});
    assert_true(bus_caught_up(consumer));
    struct bus_msg msg;
    assert_int_equal(bus_next(consumer, 0, &msg), BUS_TIMEOUT);
    bus_consumer_close(consumer);
    struct bus_error error = {""};
    assert_int_equal(
        open_consumer(&(struct bus_consume){.stream = "NONE"}, &consumer, NULL, &error),
        BUS_NOT_FOUND);
}

static void reads_what_matches_a_filter(void **state)
{
    (void)state;
    help_stream(bus, "S", "s.>");
    help_fill(bus, "s.%d", 10, 0, 1000);
    struct bus_consumer *consumer = consume(&(struct bus_consume){.stream = "S", .filter = "s.3"});
    for (int i = 3; i < 1000; i += 10) {
        struct bus_msg msg = help_next(consumer);
        assert_int_equal(help_number(&msg), i);
        assert_string_equal(msg.subject, "s.3");
        bus_msg_done(&msg);
    }
    assert_true(bus_caught_up(consumer));
    expect_nothing(consumer);
    bus_consumer_close(consumer);
}

static void reads_the_last_of_each_subject_and_then_on(void **state)
{
    (void)state;
    help_stream(bus, "S", "s.>");
    help_fill(bus, "s.%d", 10, 0, 1000);
    struct bus_consumer *consumer =
        consume(&(struct bus_consume){.stream = "S", .from = BUS_FROM_LAST_PER});
    expect_range(consumer, 990, 999, 1);
    assert_true(bus_caught_up(consumer));
    help_fill(bus, "s.%d", 10, 1000, 3);
    expect_range(consumer, 1000, 1002, 1);
    /* after a loss it goes on by sequence */
    bus_server_kill(&server);
    bus_server_again(&server, NULL, NULL);
    help_wait_connected(bus, true);
    help_fill(bus, "s.%d", 10, 1003, 3);
    expect_range(consumer, 1003, 1005, 1);
    bus_consumer_close(consumer);
}

static void reads_only_what_is_new(void **state)
{
    (void)state;
    help_stream(bus, "S", "s.>");
    help_fill(bus, "s.x", 1, 1, 50);
    struct bus_consumer *consumer =
        consume(&(struct bus_consume){.stream = "S", .from = BUS_FROM_NEW});
    assert_true(bus_caught_up(consumer));
    help_fill(bus, "s.x", 1, 51, 2);
    expect_range(consumer, 51, 52, 0);
    bus_consumer_close(consumer);
}

static void shows_headers_and_leaves_bodies_out_where_asked(void **state)
{
    (void)state;
    struct bus_error error = {""};
    help_stream(bus, "S", "s.>");
    struct bus_store what = {.subject = "s.a",
                             .data = "body",
                             .size = 4,
                             .msg_id = "id-1",
                             .expected_last_of_subject = BUS_ANY_SEQ,
                             .headers = {{"KV-Operation", "DEL"}}};
    assert_int_equal(bus_store(bus, &what, 2000, NULL, &error), BUS_OK);
    for (int headers_only = 0; headers_only < 2; headers_only++) {
        struct bus_consumer *consumer =
            consume(&(struct bus_consume){.stream = "S", .headers_only = headers_only});
        struct bus_msg msg = help_next(consumer);
        assert_string_equal(bus_msg_header(&msg, "KV-Operation"), "DEL");
        assert_string_equal(bus_msg_header(&msg, "Nats-Msg-Id"), "id-1");
        assert_null(bus_msg_header(&msg, "Other"));
        assert_int_equal(msg.size, headers_only ? 0 : 4);
        bus_msg_done(&msg);
        bus_consumer_close(consumer);
    }
}

static void a_killed_server_loses_and_repeats_nothing(void **state)
{
    (void)state;
    enum { EACH = 8000, ROUNDS = 4 };
    help_stream(bus, "S", "s.>");
    int filled = EACH;
    help_fill(bus, "s.%d", 5, 1, filled);
    struct bus_consumer *consumer = consume(&(struct bus_consume){.stream = "S"});
    int at = 1;
    for (int round = 0; round < ROUNDS; round++) {
        expect_range(consumer, at, at + EACH / 4, 0);
        at += EACH / 4 + 1;
        bus_server_kill(&server);
        /* what is at hand is still handed out, and then it says so */
        struct bus_msg msg;
        enum bus_status status;
        while ((status = bus_next(consumer, 0, &msg)) == BUS_OK) {
            assert_int_equal(msg.stream_seq, at++);
            bus_msg_done(&msg);
        }
        assert_true(status == BUS_DISCONNECTED || status == BUS_TIMEOUT);
        bus_server_again(&server, NULL, NULL);
        help_wait_connected(bus, true);
        help_fill(bus, "s.%d", 5, filled + 1, EACH);
        filled += EACH;
    }
    expect_range(consumer, at, filled, 0);
    assert_int_equal(help_info(bus, "S").last_seq, filled);
    assert_true(bus_caught_up(consumer));
    bus_consumer_close(consumer);
}

static void nothing_is_caught_up_with_while_the_server_is_away(void **state)
{
    (void)state;
    help_stream(bus, "S", "s.>");
    help_fill(bus, "s.x", 1, 1, 10);
    struct bus_consumer *consumer = consume(&(struct bus_consume){.stream = "S"});
    expect_range(consumer, 1, 10, 0);
    assert_true(bus_caught_up(consumer));
    bus_server_kill(&server);
    assert_int_equal(wait_status(consumer, BUS_DISCONNECTED), BUS_DISCONNECTED);
    assert_false(bus_caught_up(consumer));
    bus_server_again(&server, NULL, NULL);
    int64_t until_ms = help_now_ms() + HELP_WAIT_MS;
    while (!bus_caught_up(consumer)) {
        struct bus_msg msg;
        assert_int_not_equal(bus_next(consumer, 50, &msg), BUS_OK);
        assert_true(help_now_ms() < until_ms);
    }
    bus_consumer_close(consumer);
}

static void a_consumer_that_the_server_forgot_is_made_again(void **state)
{
    (void)state;
    help_stream(bus, "S", "s.>");
    help_fill(bus, "s.x", 1, 1, 10);
    struct bus_consumer *consumer = consume(&(struct bus_consume){.stream = "S"});
    struct bus_msg msg = help_next(consumer);
    bus_msg_done(&msg);
    expect_range(consumer, 2, 10, 0);
    /* delete every consumer of the stream by its name */
    struct bus_error error = {""};
    char call[192];
    json_t *names = NULL;
    assert_int_equal(bus_api(bus, "CONSUMER.NAMES.S", NULL, &names, &error), BUS_OK);
    const json_t *list = json_object_get(names, "consumers");
    assert_int_equal(json_array_size(list), 1);
    snprintf(call, sizeof(call), "CONSUMER.DELETE.S.%s",
             json_string_value(json_array_get(list, 0)));
    json_decref(names);
    help_api(bus, call, NULL);
    help_fill(bus, "s.x", 1, 11, 10);
    expect_range(consumer, 11, 20, 0);
    bus_consumer_close(consumer);
}

static void a_stream_made_anew_is_another_epoch(void **state)
{
    (void)state;
    help_stream(bus, "S", "s.>");
    help_fill(bus, "s.x", 1, 1, 10);
    struct bus_consumer *consumer = consume(&(struct bus_consume){.stream = "S"});
    expect_range(consumer, 1, 10, 0);
    int64_t epoch_ns = help_info(bus, "S").created_ns;
    help_api(bus, "STREAM.DELETE.S", NULL);
    help_stream(bus, "S", "s.>");
    help_fill(bus, "s.x", 1, 1, 20);
    assert_int_equal(wait_status(consumer, BUS_EPOCH), BUS_EPOCH);
    struct bus_msg msg;
    assert_int_equal(bus_next(consumer, 0, &msg), BUS_EPOCH);
    bus_consumer_close(consumer);
    struct bus_error error = {""};
    struct bus_consume what = {.stream = "S", .seq = 5, .epoch_ns = epoch_ns};
    struct bus_stream_info info = {0};
    assert_int_equal(open_consumer(&what, &consumer, &info, &error), BUS_EPOCH);
    assert_non_null(strstr(error.text, "anew"));
    assert_true(info.created_ns == help_info(bus, "S").created_ns); /* of the one that is there */
    assert_int_equal(info.last_seq, 20);
}

static void a_position_behind_the_end_is_another_epoch(void **state)
{
    (void)state;
    help_stream(bus, "S", "s.>");
    help_fill(bus, "s.x", 1, 1, 10);
    struct bus_consumer *consumer = NULL;
    struct bus_error error = {""};
    struct bus_consume what = {.stream = "S", .seq = 12};
    struct bus_stream_info info = {0};
    assert_int_equal(open_consumer(&what, &consumer, &info, &error), BUS_EPOCH);
    assert_int_equal(info.last_seq, 10);
    what.seq = 11;
    assert_int_equal(open_consumer(&what, &consumer, NULL, &error), BUS_OK);
    expect_nothing(consumer);
    bus_consumer_close(consumer);
}

/* A store as it was some messages ago is what a machine that lost its power may come back with. */
static void a_lost_tail_is_another_epoch_even_when_written_over(void **state)
{
    (void)state;
    help_stream(bus, "S", "s.>");
    help_fill(bus, "s.x", 1, 1, 50);
    bus_server_stop(&server);
    bus_server_keep(&server);
    bus_server_again(&server, NULL, NULL);
    help_wait_connected(bus, true);
    help_fill(bus, "s.x", 1, 51, 50);
    struct bus_consumer *consumer = consume(&(struct bus_consume){.stream = "S"});
    expect_range(consumer, 1, 99, 0);
    struct bus_msg msg = help_next(consumer);
    int64_t before_ns = msg.received_ns;
    bus_msg_done(&msg);

    bus_server_kill(&server);
    bus_server_bring_back(&server);
    bus_server_again(&server, NULL, NULL);
    help_wait_connected(bus, true);
    assert_int_equal(help_info(bus, "S").last_seq, 50);
    help_fill(bus, "s.x", 1, 1051, 100);
    assert_int_equal(wait_status(consumer, BUS_EPOCH), BUS_EPOCH);
    bus_consumer_close(consumer);

    struct bus_error error = {""};
    struct bus_consume what = {.stream = "S", .seq = 101, .before_received_ns = before_ns};
    assert_int_equal(open_consumer(&what, &consumer, NULL, &error), BUS_EPOCH);
    assert_non_null(strstr(error.text, "tail"));
}

struct load {
    struct bus *bus;
    atomic_bool stop;
};

static void *load_main(void *closure)
{
    struct load *load = closure;
    for (int i = 0; !atomic_load(&load->stop); i++) {
        bus_publish(load->bus, "s.x", "1234567890", 10);
        if (i % 200 == 0)
            help_nap();
    }
    return NULL;
}

static void closes_with_messages_in_flight(void **state)
{
    (void)state;
    enum { ROUNDS = 60 };
    help_stream(bus, "S", "s.>");
    help_fill(bus, "s.x", 1, 1, 20000);
    struct load load = {.bus = bus};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, load_main, &load), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct bus_consumer *consumer = consume(&(struct bus_consume){.stream = "S"});
        for (int k = 0; k < i * 10; k++) {
            struct bus_msg msg = help_next(consumer);
            assert_int_equal(msg.stream_seq, k + 1);
            bus_msg_done(&msg);
        }
        bus_consumer_close(consumer);
    }
    atomic_store(&load.stop, true);
    pthread_join(thread, NULL);
}

static void the_server_keeps_no_consumer_of_a_closed_one(void **state)
{
    (void)state;
    help_stream(bus, "S", "s.>");
    struct bus_consumer *consumer = consume(&(struct bus_consume){.stream = "S"});
    bus_consumer_close(consumer);
    struct bus_error error = {""};
    json_t *names = NULL;
    assert_int_equal(bus_api(bus, "CONSUMER.NAMES.S", NULL, &names, &error), BUS_OK);
    assert_int_equal(json_array_size(json_object_get(names, "consumers")), 0);
    json_decref(names);
}

/* Beyond what a line has room for at first, with what comes behind them. */
static void reads_messages_of_every_size(void **state)
{
    (void)state;
    enum { LARGEST = 900 * 1024, SIZES = 40 };
    struct bus_error error = {""};
    char *data = malloc(LARGEST);
    assert_non_null(data);
    memset(data, 'x', LARGEST);
    help_stream(bus, "S", "s.>");
    for (int i = 0; i < SIZES; i++) {
        struct bus_store what = {.subject = "s.x",
                                 .data = data,
                                 .size = (size_t)(LARGEST / SIZES * i),
                                 .expected_last_of_subject = BUS_ANY_SEQ};
        assert_int_equal(bus_store(bus, &what, 5000, NULL, &error), BUS_OK);
    }
    struct bus_consumer *consumer = consume(&(struct bus_consume){.stream = "S"});
    for (int i = 0; i < SIZES; i++) {
        struct bus_msg msg = help_next(consumer);
        assert_int_equal(msg.size, LARGEST / SIZES * i);
        assert_memory_equal(msg.data, data, msg.size);
        assert_string_equal(msg.subject, "s.x");
        bus_msg_done(&msg);
    }
    expect_nothing(consumer);
    bus_consumer_close(consumer);
    free(data);
}

/* The server pings a connection that says nothing, and hangs up on one that does not answer. */
static void a_silent_reader_stays_connected(void **state)
{
    (void)state;
    enum { PINGS_MS = 8000 }; /* longer than the server waits for an answer */
    help_stream(bus, "S", "s.>");
    bus_server_stop(&server);
    help_wait_connected(bus, false);
    uint64_t connects = bus_connects(bus);
    bus_server_again(&server, NULL, "ping_interval: \"1s\"\nping_max: 5\n");
    help_wait_connects(bus, connects + 1);
    struct bus_consumer *consumer = consume(&(struct bus_consume){.stream = "S"});
    int64_t until_ms = help_now_ms() + PINGS_MS;
    while (help_now_ms() < until_ms) {
        struct bus_msg msg;
        assert_int_equal(bus_next(consumer, 200, &msg), BUS_TIMEOUT);
    }
    assert_true(bus_caught_up(consumer));
    assert_int_equal(bus_server_log_count(&server, "Stale Connection"), 0);
    help_fill(bus, "s.x", 1, 1, 3);
    expect_range(consumer, 1, 3, 0);
    bus_consumer_close(consumer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define LINE_TEST(name)                                                                            \
    {                                                                                              \
#name "_over_a_line", name, setup_own_line, teardown, NULL                                 \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_in_order_from_a_sequence),
        TEST(an_empty_stream_is_caught_up_with),
        TEST(reads_what_matches_a_filter),
        TEST(reads_the_last_of_each_subject_and_then_on),
        TEST(reads_only_what_is_new),
        TEST(shows_headers_and_leaves_bodies_out_where_asked),
        TEST(a_killed_server_loses_and_repeats_nothing),
        TEST(nothing_is_caught_up_with_while_the_server_is_away),
        TEST(a_consumer_that_the_server_forgot_is_made_again),
        TEST(a_stream_made_anew_is_another_epoch),
        TEST(a_position_behind_the_end_is_another_epoch),
        TEST(a_lost_tail_is_another_epoch_even_when_written_over),
        TEST(closes_with_messages_in_flight),
        TEST(the_server_keeps_no_consumer_of_a_closed_one),
        TEST(reads_messages_of_every_size),
        TEST(a_silent_reader_stays_connected),
        LINE_TEST(reads_messages_of_every_size),
        LINE_TEST(a_silent_reader_stays_connected),
        LINE_TEST(reads_in_order_from_a_sequence),
        LINE_TEST(an_empty_stream_is_caught_up_with),
        LINE_TEST(reads_what_matches_a_filter),
        LINE_TEST(reads_the_last_of_each_subject_and_then_on),
        LINE_TEST(reads_only_what_is_new),
        LINE_TEST(shows_headers_and_leaves_bodies_out_where_asked),
        LINE_TEST(a_killed_server_loses_and_repeats_nothing),
        LINE_TEST(nothing_is_caught_up_with_while_the_server_is_away),
        LINE_TEST(a_consumer_that_the_server_forgot_is_made_again),
        LINE_TEST(a_stream_made_anew_is_another_epoch),
        LINE_TEST(a_position_behind_the_end_is_another_epoch),
        LINE_TEST(a_lost_tail_is_another_epoch_even_when_written_over),
        LINE_TEST(closes_with_messages_in_flight),
        LINE_TEST(the_server_keeps_no_consumer_of_a_closed_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
