#include "tools/gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SENDS_MAX = 8192 };

/* What a broker would have got. */
struct wire {
    uint64_t tags[SENDS_MAX];
    char ids[SENDS_MAX][16];
    size_t count;
    bool down;
};

static bool take(void *closure, const char *subject, const void *payload, size_t size,
                 const char *msg_id, uint64_t tag)
{
    struct wire *wire = closure;
    if (wire->down)
        return false;
    assert_string_equal(subject, "fleet.dev.veh.V.evt.armed");
    assert_int_equal(size, 2);
    assert_memory_equal(payload, "{}", 2);
    assert_true(wire->count < SENDS_MAX);
    wire->tags[wire->count] = tag;
    snprintf(wire->ids[wire->count++], sizeof wire->ids[0], "%s", msg_id);
    return true;
}

static struct wire wire;

static struct gateway *open_gateway(bool until_archived)
{
    wire.count = 0;
    wire.down = false;
    struct gateway_config config = {
        .send = take, .closure = &wire, .until_archived = until_archived};
    struct gateway *gateway = gateway_new(&config);
    assert_non_null(gateway);
    return gateway;
}

static void keep(struct gateway *gateway, enum gateway_stream stream, const char *id,
                 int64_t now_ns)
{
    assert_true(gateway_keep(gateway, stream, "fleet.dev.veh.V.evt.armed", "{}", 2, id, now_ns));
}

static uint64_t retried(const struct gateway *gateway, enum gateway_retry why)
{
    return gateway_counts(gateway)->retried[why];
}

#define S NS_PER_S

static void event_is_kept_until_the_archive_covers_it(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    assert_int_equal(wire.count, 1);
    gateway_answered(gateway, wire.tags[0], 7, false, 1);
    assert_int_equal(gateway_unacknowledged(gateway), 0);
    gateway_archived(gateway, GATEWAY_EVENTS, "e1", 6, 2);
    assert_int_equal(gateway_kept(gateway), 1);
    gateway_archived(gateway, GATEWAY_ACKS, "e1", 7, 3); /* another stream's */
    assert_int_equal(gateway_kept(gateway), 1);
    gateway_archived(gateway, GATEWAY_EVENTS, "e1", 7, 4);
    assert_int_equal(gateway_kept(gateway), 0);
    assert_int_equal(gateway_counts(gateway)->archived[GATEWAY_EVENTS], 1);
    assert_int_equal(wire.count, 1);
    gateway_free(gateway);
}

static void without_the_duty_an_acknowledged_event_is_gone(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(false);
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    gateway_answered(gateway, wire.tags[0], 7, false, 1);
    assert_int_equal(gateway_kept(gateway), 0);
    gateway_free(gateway);
}

static void state_is_gone_once_it_is_acknowledged(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    keep(gateway, GATEWAY_STATE, "a", 0);
    gateway_answered(gateway, wire.tags[0], 7, false, 1);
    assert_int_equal(gateway_kept(gateway), 0);
    gateway_free(gateway);
}

static void unanswered_event_is_sent_again_under_the_same_id(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    gateway_tick(gateway, GATEWAY_ACK_TIMEOUT_NS);
    assert_int_equal(wire.count, 1);
    gateway_tick(gateway, GATEWAY_ACK_TIMEOUT_NS + 1);
    assert_int_equal(wire.count, 2);
    assert_string_equal(wire.ids[1], "a");
    assert_int_equal(retried(gateway, GATEWAY_RETRY_NO_ANSWER), 1);
    gateway_free(gateway);
}

static void refused_event_is_sent_again_after_a_pause(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    gateway_answered(gateway, wire.tags[0], 0, false, 1);
    gateway_tick(gateway, GATEWAY_REFUSED_PAUSE_NS);
    assert_int_equal(wire.count, 1);
    gateway_tick(gateway, GATEWAY_REFUSED_PAUSE_NS + 2);
    assert_int_equal(wire.count, 2);
    assert_int_equal(retried(gateway, GATEWAY_RETRY_REFUSED), 1);
    assert_int_equal(gateway_unacknowledged(gateway), 1);
    gateway_free(gateway);
}

static void without_a_connection_events_wait_in_order(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    wire.down = true;
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    keep(gateway, GATEWAY_EVENTS, "b", 0);
    gateway_tick(gateway, 100 * S);
    assert_int_equal(wire.count, 0);
    wire.down = false;
    gateway_tick(gateway, 101 * S);
    assert_int_equal(wire.count, 2);
    assert_string_equal(wire.ids[0], "a");
    assert_string_equal(wire.ids[1], "b");
    gateway_free(gateway);
}

static void reconnect_sends_even_acknowledged_events_again(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    keep(gateway, GATEWAY_EVENTS, "b", 0);
    gateway_answered(gateway, wire.tags[0], 7, false, 1);
    gateway_reconnected(gateway, 2);
    assert_int_equal(wire.count, 4);
    assert_int_equal(retried(gateway, GATEWAY_RETRY_RECONNECT), 2);
    gateway_archived(gateway, GATEWAY_EVENTS, "e1", 7,
                     3); /* the acknowledgement no longer counts */
    assert_int_equal(gateway_kept(gateway), 2);
    assert_int_equal(gateway_unacknowledged(gateway), 1); /* "a" had been stored once */
    gateway_free(gateway);
}

static void later_acknowledgement_counts(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    gateway_tick(gateway, GATEWAY_ACK_TIMEOUT_NS + 1); /* again */
    gateway_answered(gateway, wire.tags[0], 5, false, 4 * S);
    gateway_answered(gateway, wire.tags[1], 6, false, 4 * S);
    gateway_archived(gateway, GATEWAY_EVENTS, "e1", 5, 5 * S);
    assert_int_equal(gateway_kept(gateway), 1);
    gateway_archived(gateway, GATEWAY_EVENTS, "e1", 6, 6 * S);
    assert_int_equal(gateway_kept(gateway), 0);
    assert_int_equal(gateway_counts(gateway)->acknowledged[GATEWAY_EVENTS], 1);
    gateway_free(gateway);
}

static void answer_to_a_message_that_is_gone_touches_no_other(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(false);
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    gateway_answered(gateway, wire.tags[0], 5, false, 1);
    keep(gateway, GATEWAY_EVENTS, "b", 2); /* in the place of the first */
    gateway_answered(gateway, wire.tags[0], 6, false, 3);
    assert_int_equal(gateway_kept(gateway), 1);
    gateway_answered(gateway, UINT64_MAX, 0, false, 3);
    assert_int_equal(gateway_unacknowledged(gateway), 1);
    gateway_free(gateway);
}

static void new_epoch_voids_acknowledgements_of_the_old(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    gateway_archived(gateway, GATEWAY_EVENTS, "e1", 3, 0);
    keep(gateway, GATEWAY_EVENTS, "a", 1);
    gateway_answered(gateway, wire.tags[0], 7, false, 2);
    gateway_archived(gateway, GATEWAY_EVENTS, "e2", 900, 3);
    assert_int_equal(gateway_kept(gateway), 1);
    assert_int_equal(wire.count, 2);
    assert_int_equal(retried(gateway, GATEWAY_RETRY_NEW_EPOCH), 1);
    gateway_answered(gateway, wire.tags[1], 901, false, 4);
    gateway_archived(gateway, GATEWAY_EVENTS, "e2", 901, 5);
    assert_int_equal(gateway_kept(gateway), 0);
    gateway_free(gateway);
}

static void sequence_given_twice_means_a_lost_tail(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    gateway_archived(gateway, GATEWAY_EVENTS, "e1", 10, 0);
    keep(gateway, GATEWAY_EVENTS, "a", 1);
    keep(gateway, GATEWAY_EVENTS, "b", 1);
    keep(gateway, GATEWAY_EVENTS, "c", 1);
    gateway_answered(gateway, wire.tags[0], 11, false, 2);
    gateway_answered(gateway, wire.tags[1], 12, false, 2);
    gateway_answered(gateway, wire.tags[2], 4, false, 3); /* the broker is back at 3 */
    assert_int_equal(retried(gateway, GATEWAY_RETRY_STEP_BACK), 2);
    /* the archive's old position says nothing of what now stands below it */
    gateway_archived(gateway, GATEWAY_EVENTS, "e1", 10, 4);
    assert_int_equal(gateway_kept(gateway), 3);
    gateway_answered(gateway, wire.tags[3], 5, false, 5);
    gateway_answered(gateway, wire.tags[4], 6, false, 5);
    gateway_archived(gateway, GATEWAY_EVENTS, "e2", 6, 6);
    assert_int_equal(gateway_kept(gateway), 3); /* acknowledged before the epoch was heard: again */
    gateway_free(gateway);
}

static void acknowledgement_before_the_first_word_of_the_hub_counts(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    gateway_answered(gateway, wire.tags[0], 7, false, 1);
    gateway_archived(gateway, GATEWAY_EVENTS, "e1", 9, 2);
    assert_int_equal(gateway_kept(gateway), 0);
    gateway_free(gateway);
}

static void acknowledgement_long_before_the_first_word_of_the_hub_does_not(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    gateway_answered(gateway, wire.tags[0], 7, false, 1);
    gateway_archived(gateway, GATEWAY_EVENTS, "e1", 9, GATEWAY_SILENT_NS + 2);
    assert_int_equal(gateway_kept(gateway), 1);
    assert_int_equal(wire.count, 2);
    gateway_free(gateway);
}

/* The hub speaks every second from `from_s` to `to_s`. */
static void hear(struct gateway *gateway, uint64_t seq, int64_t from_s, int64_t to_s)
{
    for (int64_t s = from_s; s <= to_s; s++) {
        gateway_archived(gateway, GATEWAY_EVENTS, "e1", seq, s * S);
        gateway_tick(gateway, s * S + 1);
    }
}

static void archive_that_stands_still_below_an_event_makes_it_sent_again(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    gateway_answered(gateway, wire.tags[0], 7, false, 0);
    hear(gateway, 5, 1, 10);
    assert_int_equal(wire.count, 1);
    hear(gateway, 5, 11, 11);
    assert_int_equal(wire.count, 2);
    gateway_answered(gateway, wire.tags[1], 8, false, 11 * S);
    hear(gateway, 5, 12, 30); /* the second time takes twice as long */
    assert_int_equal(wire.count, 2);
    hear(gateway, 5, 31, 31);
    assert_int_equal(wire.count, 3);
    assert_int_equal(retried(gateway, GATEWAY_RETRY_NOT_ARCHIVED), 2);
    gateway_free(gateway);
}

static void archive_that_moves_is_waited_for(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    gateway_answered(gateway, wire.tags[0], 1000, false, 0);
    for (int64_t s = 1; s < 120; s++)
        hear(gateway, (uint64_t)s, s, s);
    assert_int_equal(wire.count, 1);
    gateway_free(gateway);
}

static void silent_hub_causes_no_repetition(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    keep(gateway, GATEWAY_EVENTS, "a", 0);
    gateway_answered(gateway, wire.tags[0], 7, false, 0);
    hear(gateway, 5, 1, 5);
    gateway_tick(gateway, 1000 * S);
    assert_int_equal(wire.count, 1);
    hear(gateway, 5, 1001, 1010); /* it is back, and gets its time */
    assert_int_equal(wire.count, 1);
    hear(gateway, 5, 1011, 1012);
    assert_int_equal(wire.count, 2);
    gateway_free(gateway);
}

static void window_bounds_what_is_unanswered(void **state)
{
    (void)state;
    struct gateway *gateway = open_gateway(true);
    for (int i = 0; i < GATEWAY_WINDOW + 10; i++)
        keep(gateway, GATEWAY_EVENTS, "a", 0);
    assert_int_equal(wire.count, GATEWAY_WINDOW);
    for (int i = 0; i < 10; i++)
        gateway_answered(gateway, wire.tags[i], (uint64_t)i + 1, false, 1);
    assert_int_equal(wire.count, GATEWAY_WINDOW + 10);
    gateway_free(gateway);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_is_kept_until_the_archive_covers_it),
        cmocka_unit_test(without_the_duty_an_acknowledged_event_is_gone),
        cmocka_unit_test(state_is_gone_once_it_is_acknowledged),
        cmocka_unit_test(unanswered_event_is_sent_again_under_the_same_id),
        cmocka_unit_test(refused_event_is_sent_again_after_a_pause),
        cmocka_unit_test(without_a_connection_events_wait_in_order),
        cmocka_unit_test(reconnect_sends_even_acknowledged_events_again),
        cmocka_unit_test(later_acknowledgement_counts),
        cmocka_unit_test(answer_to_a_message_that_is_gone_touches_no_other),
        cmocka_unit_test(new_epoch_voids_acknowledgements_of_the_old),
        cmocka_unit_test(sequence_given_twice_means_a_lost_tail),
        cmocka_unit_test(acknowledgement_before_the_first_word_of_the_hub_counts),
        cmocka_unit_test(acknowledgement_long_before_the_first_word_of_the_hub_does_not),
        cmocka_unit_test(archive_that_stands_still_below_an_event_makes_it_sent_again),
        cmocka_unit_test(archive_that_moves_is_waited_for),
        cmocka_unit_test(silent_hub_causes_no_repetition),
        cmocka_unit_test(window_bounds_what_is_unanswered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
