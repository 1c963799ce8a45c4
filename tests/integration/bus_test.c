/* The connection and publishing through a bus, against a nats-server of its own. */
#include "tests/integration/bus_help.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { AT_ONCE_MS = 2000, STORE_MS = 3000, OUTBOX_MESSAGES = 10000, OUTBOX_MAX = 500 };

static struct bus_server server;
static struct bus *bus;

static int setup(void **state)
{
    (void)state;
    bus_server_start(&server, NULL, NULL);
    bus = help_open(&server, true);
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

/* ---- the connection ---- */

static void opens_before_there_is_a_server(void **state)
{
    (void)state;
    bus_server_kill(&server);
    int64_t begun_ms = help_now_ms();
    struct bus *early = help_open(&server, false);
    assert_true(help_now_ms() - begun_ms < AT_ONCE_MS);
    assert_false(bus_connected(early));
    assert_int_equal(bus_connects(early), 0);
    assert_int_equal(bus_publish(early, "a", "b", 1), BUS_DISCONNECTED);
    bus_server_again(&server, NULL, NULL);
    help_wait_connected(early, true);
    assert_int_equal(bus_connects(early), 1);
    assert_int_equal(bus_publish(early, "a", "b", 1), BUS_OK);
    bus_close(early, 1000);
}

static void closes_without_ever_having_connected(void **state)
{
    (void)state;
    struct bus *lonely = NULL;
    struct bus_error error = {""};
    struct bus_options options = {.url = "nats://127.0.0.1:1", .name = "lonely"};
    assert_int_equal(bus_open(&options, &lonely, &error), BUS_OK);
    bus_close(lonely, 1000);
}

static void refuses_options_that_can_never_work(void **state)
{
    (void)state;
    struct bus *never = NULL;
    struct bus_error error = {""};
    struct bus_options options = {.url = ""};
    assert_int_equal(bus_open(&options, &never, &error), BUS_ERROR);
    options = (struct bus_options){.url = "nats://127.0.0.1:port"};
    assert_int_equal(bus_open(&options, &never, &error), BUS_ERROR);
    options = (struct bus_options){.url = server.url, .creds_file = "/nonexistent/creds"};
    assert_int_equal(bus_open(&options, &never, &error), BUS_ERROR);
    assert_non_null(strstr(error.text, "/nonexistent/creds"));
}

static void publishing_while_disconnected_fails_at_once(void **state)
{
    (void)state;
    help_stream(bus, "S", "s.>");
    bus_server_kill(&server);
    help_wait_connected(bus, false);
    struct bus_error error = {""};
    struct bus_stream_info info;
    struct bus_store what = {.subject = "s.a", .expected_last_of_subject = BUS_ANY_SEQ};
    int64_t begun_ms = help_now_ms();
    assert_int_equal(bus_publish(bus, "s.a", "x", 1), BUS_DISCONNECTED);
    assert_int_equal(bus_store(bus, &what, STORE_MS, NULL, &error), BUS_DISCONNECTED);
    assert_int_equal(bus_stream_info(bus, "S", &info, &error), BUS_DISCONNECTED);
    assert_true(help_now_ms() - begun_ms < AT_ONCE_MS);
    bus_server_again(&server, NULL, NULL);
    help_wait_connected(bus, true);
    assert_int_equal(help_info(bus, "S").messages, 0);
    uint64_t connects = 0;
    int64_t until_ms = help_now_ms() + HELP_WAIT_MS;
    while ((connects = bus_connects(bus)) < 2 && help_now_ms() < until_ms)
        help_nap();
    assert_int_equal(connects, 2);
}

/* nats.c gives a connection up for good when it is refused twice. */
static void comes_back_after_its_credentials_were_refused(void **state)
{
    (void)state;
    bus_server_stop(&server);
    bus_server_again(&server, NULL, "authorization { user: other, password: secret }");
    help_wait_connected(bus, false);
    /* the third attempt can only be of a new connection */
    int64_t until_ms = help_now_ms() + HELP_WAIT_MS;
    while (bus_server_log_count(&server, "authentication error") < 3) {
        assert_true(help_now_ms() < until_ms);
        assert_false(bus_connected(bus));
        help_nap();
    }
    bus_server_stop(&server);
    bus_server_again(&server, NULL, NULL);
    help_wait_connected(bus, true);
    help_stream(bus, "S", "s.>");
    help_fill(bus, "s.x", 1, 1, 10);
    struct bus_error error = {""};
    struct bus_consumer *consumer = NULL;
    assert_int_equal(
        bus_consume(bus, &(struct bus_consume){.stream = "S"}, &consumer, NULL, &error), BUS_OK);
    struct bus_msg msg = help_next(consumer);
    assert_int_equal(help_number(&msg), 1);
    bus_msg_done(&msg);
    bus_consumer_close(consumer);
}

/* ---- storing ---- */

static enum bus_status store(const char *subject, const char *text, uint64_t expected,
                             uint64_t *seq)
{
    struct bus_error error = {""};
    struct bus_store what = {.subject = subject,
                             .data = text,
                             .size = strlen(text),
                             .expected_last_of_subject = expected};
    return bus_store(bus, &what, STORE_MS, seq, &error);
}

static void a_wrong_expectation_is_a_conflict(void **state)
{
    (void)state;
    uint64_t first = 0;
    uint64_t second = 0;
    uint64_t third = 99;
    help_stream(bus, "S", "s.>");
    assert_int_equal(store("s.a", "1", 0, &first), BUS_OK);
    assert_int_equal(first, 1);
    assert_int_equal(store("s.a", "2", 0, &third), BUS_CONFLICT);
    assert_int_equal(store("s.b", "1", 0, &second), BUS_OK);
    assert_int_equal(store("s.a", "2", second, &third), BUS_CONFLICT);
    assert_int_equal(third, 99);
    assert_int_equal(store("s.a", "2", first, &third), BUS_OK);
    assert_int_equal(third, 3);
    assert_int_equal(store("s.a", "3", BUS_ANY_SEQ, &third), BUS_OK);
    assert_int_equal(help_info(bus, "S").messages, 4);
}

static void the_same_message_id_is_stored_once(void **state)
{
    (void)state;
    struct bus_error error = {""};
    uint64_t first = 0;
    uint64_t again = 0;
    help_stream(bus, "S", "s.>");
    struct bus_store what = {
        .subject = "s.a", .msg_id = "one", .expected_last_of_subject = BUS_ANY_SEQ};
    assert_int_equal(bus_store(bus, &what, STORE_MS, &first, &error), BUS_OK);
    assert_int_equal(bus_store(bus, &what, STORE_MS, &again, &error), BUS_OK);
    assert_int_equal(first, again);
    assert_int_equal(help_info(bus, "S").messages, 1);
}

static void a_header_cannot_bring_another(void **state)
{
    (void)state;
    struct bus_error error = {""};
    help_stream(bus, "S", "s.>");
    struct bus_store what = {.subject = "s.a",
                             .msg_id = "one\r\nNats-Rollup: all",
                             .expected_last_of_subject = BUS_ANY_SEQ};
    assert_int_equal(bus_store(bus, &what, STORE_MS, NULL, &error), BUS_ERROR);
    assert_int_equal(help_info(bus, "S").messages, 0);
}

static void a_full_stream_says_so(void **state)
{
    (void)state;
    struct bus_error error = {""};
    char text[1000]; /* not of a size that fits without its record's head: 2.9.10 then drops the
                      * oldest one instead of refusing */
    struct bus_stream_spec spec = {.name = "S",
                                   .subject = "s.>",
                                   .discard = BUS_DISCARD_NEW,
                                   .max_bytes = 4000,
                                   .replicas = 1};
    assert_int_equal(bus_stream_create(bus, &spec, &error), BUS_OK);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    enum bus_status status = BUS_OK;
    for (int i = 0; i < 10 && status == BUS_OK; i++)
        status = store("s.a", text, BUS_ANY_SEQ, NULL);
    assert_int_equal(status, BUS_FULL);
    /* room is made by purging what is archived, or by more bytes */
    uint64_t purged = 0;
    uint64_t last = help_info(bus, "S").last_seq;
    assert_int_equal(bus_stream_purge(bus, "S", 0, &purged, &error), BUS_OK);
    assert_int_equal(purged, 0);
    assert_int_equal(bus_stream_purge(bus, "S", last, &purged, &error), BUS_OK);
    assert_int_equal(purged, last - 1);
    assert_int_equal(help_info(bus, "S").first_seq, last);
    assert_int_equal(store("s.a", text, BUS_ANY_SEQ, NULL), BUS_OK);
    assert_int_equal(bus_stream_resize(bus, "S", 1 << 20, &error), BUS_OK);
    assert_int_equal(help_info(bus, "S").max_bytes, 1 << 20);
    assert_true(help_info(bus, "S").discard_new);
}

static void a_subject_without_a_stream_is_no_answer(void **state)
{
    (void)state;
    int64_t begun_ms = help_now_ms();
    assert_int_equal(store("nobody.a", "1", BUS_ANY_SEQ, NULL), BUS_DISCONNECTED);
    assert_true(help_now_ms() - begun_ms < STORE_MS);
}

/* ---- the outbox ---- */

struct tally {
    atomic_int done[OUTBOX_MESSAGES];
    atomic_int good, other;
    atomic_int last_status;
};

static void tally_done(void *closure, uint64_t tag, enum bus_status status, uint64_t seq)
{
    struct tally *tally = closure;
    atomic_fetch_add(&tally->done[tag], 1);
    atomic_fetch_add(status == BUS_OK && seq > 0 ? &tally->good : &tally->other, 1);
    atomic_store(&tally->last_status, (int)status);
}

static enum bus_status put(struct bus_outbox *outbox, const char *subject, uint64_t tag)
{
    char id[32];
    snprintf(id, sizeof(id), "id-%llu", (unsigned long long)tag);
    struct bus_store what = {.subject = subject,
                             .data = "0123456789",
                             .size = 10,
                             .msg_id = id,
                             .expected_last_of_subject = BUS_ANY_SEQ};
    return bus_outbox_store(outbox, &what, tag);
}

static void each_message_of_an_outbox_is_done_once(void **state)
{
    (void)state;
    struct tally *tally = calloc(1, sizeof(*tally));
    assert_non_null(tally);
    help_stream(bus, "S", "s.>");
    struct bus_outbox *outbox = bus_outbox_new(bus, OUTBOX_MAX, tally_done, tally);
    assert_non_null(outbox);
    bool was_full = false;
    for (uint64_t tag = 0; tag < OUTBOX_MESSAGES;) {
        enum bus_status status = put(outbox, "s.a", tag);
        if (status == BUS_FULL) {
            was_full = true;
            assert_in_range(bus_outbox_pending(outbox), 0, OUTBOX_MAX);
            bus_outbox_flush(outbox, 5);
            continue;
        }
        assert_int_equal(status, BUS_OK);
        tag++;
    }
    assert_true(was_full);
    assert_true(bus_outbox_flush(outbox, HELP_WAIT_MS));
    assert_int_equal(bus_outbox_pending(outbox), 0);
    for (int i = 0; i < OUTBOX_MESSAGES; i++)
        assert_int_equal(atomic_load(&tally->done[i]), 1);
    assert_int_equal(atomic_load(&tally->good), OUTBOX_MESSAGES);
    assert_int_equal(help_info(bus, "S").messages, OUTBOX_MESSAGES);
    bus_outbox_free(outbox);
    free(tally);
}

static void outbox_messages_are_done_once_when_the_server_dies(void **state)
{
    (void)state;
    struct tally *tally = calloc(1, sizeof(*tally));
    assert_non_null(tally);
    help_stream(bus, "S", "s.>");
    struct bus_outbox *outbox = bus_outbox_new(bus, OUTBOX_MAX, tally_done, tally);
    assert_non_null(outbox);
    int64_t until_ms = help_now_ms() + HELP_WAIT_MS;
    int taken = 0;
    int kills = 0;
    for (uint64_t tag = 0; tag < OUTBOX_MESSAGES;) {
        assert_true(help_now_ms() < until_ms);
        if (kills < 3 && taken >= OUTBOX_MESSAGES / 4 * (kills + 1)) {
            kills++;
            bus_server_kill(&server); /* with as many under way as there happen to be */
            bus_server_again(&server, NULL, NULL);
        }
        enum bus_status status = put(outbox, "s.a", tag);
        if (status == BUS_OK) {
            tag++;
            taken++;
        } else {
            assert_true(status == BUS_FULL || status == BUS_DISCONNECTED);
            help_nap();
        }
    }
    assert_true(bus_outbox_flush(outbox, HELP_WAIT_MS));
    for (int i = 0; i < OUTBOX_MESSAGES; i++)
        assert_int_equal(atomic_load(&tally->done[i]), 1);
    assert_int_equal(atomic_load(&tally->good) + atomic_load(&tally->other), taken);
    /* what was acknowledged is there */
    assert_true(help_info(bus, "S").messages >= (uint64_t)atomic_load(&tally->good));
    bus_outbox_free(outbox);
    free(tally);
}

static void an_outbox_tells_of_conflicts_and_of_nobody_there(void **state)
{
    (void)state;
    struct tally *tally = calloc(1, sizeof(*tally));
    assert_non_null(tally);
    help_stream(bus, "S", "s.>");
    struct bus_outbox *outbox = bus_outbox_new(bus, OUTBOX_MAX, tally_done, tally);
    assert_non_null(outbox);
    struct bus_store what = {.subject = "s.a", .expected_last_of_subject = 7};
    assert_int_equal(bus_outbox_store(outbox, &what, 0), BUS_OK);
    assert_true(bus_outbox_flush(outbox, HELP_WAIT_MS));
    assert_int_equal(atomic_load(&tally->last_status), BUS_CONFLICT);
    assert_int_equal(put(outbox, "nobody.a", 1), BUS_OK);
    assert_true(bus_outbox_flush(outbox, HELP_WAIT_MS));
    assert_int_equal(atomic_load(&tally->last_status), BUS_DISCONNECTED);
    bus_outbox_free(outbox);
    free(tally);
}

static void freeing_an_outbox_ends_what_is_under_way(void **state)
{
    (void)state;
    enum { ROUNDS = 20, EACH = 200 };
    help_stream(bus, "S", "s.>");
    for (int round = 0; round < ROUNDS; round++) {
        struct tally *tally = calloc(1, sizeof(*tally));
        assert_non_null(tally);
        struct bus_outbox *outbox = bus_outbox_new(bus, OUTBOX_MAX, tally_done, tally);
        assert_non_null(outbox);
        for (uint64_t tag = 0; tag < EACH; tag++)
            assert_int_equal(put(outbox, "s.a", tag), BUS_OK);
        bus_outbox_free(outbox);
        for (int i = 0; i < EACH; i++)
            assert_int_equal(atomic_load(&tally->done[i]), 1);
        free(tally);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opens_before_there_is_a_server),
        TEST(closes_without_ever_having_connected),
        TEST(refuses_options_that_can_never_work),
        TEST(publishing_while_disconnected_fails_at_once),
        TEST(comes_back_after_its_credentials_were_refused),
        TEST(a_wrong_expectation_is_a_conflict),
        TEST(the_same_message_id_is_stored_once),
        TEST(a_header_cannot_bring_another),
        TEST(a_full_stream_says_so),
        TEST(a_subject_without_a_stream_is_no_answer),
        TEST(each_message_of_an_outbox_is_done_once),
        TEST(outbox_messages_are_done_once_when_the_server_dies),
        TEST(an_outbox_tells_of_conflicts_and_of_nobody_there),
        TEST(freeing_an_outbox_ends_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
