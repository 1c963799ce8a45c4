/* presence: over a vehicle's life, and over the hub's own deafness (contract §4). */
#include "tests/unit/random.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define S NS_PER_S
static const struct presence_limits limits = {.stale_after_ns = 10 * S, .offline_after_ns = 60 * S};
static const struct presence unknown = {PRESENCE_UNKNOWN, TIMESTAMP_NONE, TIMESTAMP_NONE};

#define assert_presence(got, expected_status, expected_seen, expected_since)                       \
    do {                                                                                           \
        struct presence got_ = (got);                                                              \
        assert_string_equal(presence_name(got_.status),                                            \
                            presence_name(PRESENCE_##expected_status));                            \
        assert_int_equal(got_.last_seen_ns, expected_seen);                                        \
        assert_int_equal(got_.since_ns, expected_since);                                           \
    } while (0)

/* At `now`, by a hub that always heard. */
static struct presence aged(struct presence was, int64_t now_ns)
{
    return presence_aged(was, now_ns, T0 - 3600 * S, &limits);
}

static void presence_names_are_the_contracts(void **state)
{
    (void)state;
    assert_string_equal(presence_name(PRESENCE_UNKNOWN), "unknown");
    assert_string_equal(presence_name(PRESENCE_ONLINE), "online");
    assert_string_equal(presence_name(PRESENCE_STALE), "stale");
    assert_string_equal(presence_name(PRESENCE_OFFLINE), "offline");
}

/* ---- a vehicle's life ---- */

static void presence_of_a_vehicle_never_heard_stays_unknown(void **state)
{
    (void)state;
    assert_presence(aged(unknown, T0 + 3600 * S), UNKNOWN, TIMESTAMP_NONE, TIMESTAMP_NONE);
    assert_presence(aged(unknown, TIMESTAMP_MAX), UNKNOWN, TIMESTAMP_NONE, TIMESTAMP_NONE);
}

static void presence_is_online_with_the_first_message(void **state)
{
    (void)state;
    assert_presence(presence_heard(unknown, T0), ONLINE, T0, T0);
    assert_presence(presence_heard(unknown, 0), ONLINE, 0, 0);
}

static void presence_stays_online_since_its_first_message(void **state)
{
    (void)state;
    struct presence now = presence_heard(unknown, T0);
    for (int i = 1; i <= 100; i++) {
        now = aged(now, T0 + 9 * i * S);
        now = presence_heard(now, T0 + 9 * i * S);
        assert_presence(now, ONLINE, T0 + 9 * i * S, T0);
    }
}

static void presence_ages_at_its_limits_exactly(void **state)
{
    (void)state;
    struct presence now = presence_heard(unknown, T0);
    assert_presence(aged(now, T0 + 10 * S - 1), ONLINE, T0, T0);
    assert_presence(aged(now, T0 + 10 * S), STALE, T0, T0 + 10 * S);
    assert_presence(aged(now, T0 + 60 * S - 1), STALE, T0, T0 + 10 * S);
    assert_presence(aged(now, T0 + 60 * S), OFFLINE, T0, T0 + 60 * S);
}

static void presence_changes_once_however_often_it_is_looked_at(void **state)
{
    (void)state;
    struct presence now = presence_heard(unknown, T0);
    int changes = 0;
    for (int64_t at = T0; at < T0 + 120 * S; at += S / 4) {
        struct presence next = aged(now, at);
        changes += next.status != now.status;
        now = next;
    }
    assert_int_equal(changes, 2);
    assert_presence(now, OFFLINE, T0, T0 + 60 * S);
}

/* The status began when the limit was reached, not when somebody looked. */
static void presence_since_does_not_depend_on_when_it_is_looked_at(void **state)
{
    (void)state;
    struct presence now = presence_heard(unknown, T0);
    assert_presence(aged(now, T0 + 47 * S), STALE, T0, T0 + 10 * S);
    assert_presence(aged(now, T0 + 4700 * S), OFFLINE, T0, T0 + 60 * S);
    assert_presence(aged(aged(now, T0 + 59 * S), T0 + 4700 * S), OFFLINE, T0, T0 + 60 * S);
}

static void presence_comes_back_with_a_message(void **state)
{
    (void)state;
    struct presence stale = aged(presence_heard(unknown, T0), T0 + 20 * S);
    assert_presence(presence_heard(stale, T0 + 21 * S), ONLINE, T0 + 21 * S, T0 + 21 * S);
    struct presence offline = aged(stale, T0 + 90 * S);
    struct presence back = presence_heard(offline, T0 + 91 * S);
    assert_presence(back, ONLINE, T0 + 91 * S, T0 + 91 * S);
    assert_presence(aged(back, T0 + 101 * S), STALE, T0 + 91 * S, T0 + 101 * S);
}

/* ---- messages out of order ---- */

static void presence_heard_late_keeps_the_newest_instant(void **state)
{
    (void)state;
    struct presence now = presence_heard(unknown, T0);
    assert_presence(presence_heard(now, T0 - 5 * S), ONLINE, T0, T0);
    assert_presence(presence_heard(now, T0), ONLINE, T0, T0);
}

/* A stream that is read late, or again, says nothing of the silence since. */
static void presence_heard_late_ends_no_silence(void **state)
{
    (void)state;
    struct presence stale = aged(presence_heard(unknown, T0), T0 + 10 * S);
    assert_presence(presence_heard(stale, T0 - 1), STALE, T0, T0 + 10 * S);
    assert_presence(presence_heard(stale, T0), STALE, T0, T0 + 10 * S);
    struct presence offline = aged(stale, T0 + 60 * S);
    assert_presence(presence_heard(offline, T0 - 3600 * S), OFFLINE, T0, T0 + 60 * S);
    assert_presence(presence_heard(offline, T0), OFFLINE, T0, T0 + 60 * S);
    assert_presence(presence_heard(offline, T0 + 1), ONLINE, T0 + 1, T0 + 1);
}

static void presence_last_seen_is_the_newest_in_any_order(void **state)
{
    (void)state;
    struct random random = random_seeded(__func__);
    for (int round = 0; round < 200; round++) {
        struct presence now = unknown;
        int64_t newest = TIMESTAMP_NONE;
        for (int i = 0; i < 50; i++) {
            int64_t received = T0 + (int64_t)random_below(&random, 1000) * S / 100;
            newest = received > newest ? received : newest;
            now = presence_heard(now, received);
            assert_int_equal(now.status, PRESENCE_ONLINE);
            assert_int_equal(now.last_seen_ns, newest);
            assert_true(now.since_ns <= newest);
        }
    }
}

/* ---- a hub that does not hear ---- */

static void presence_never_ages_while_the_hub_does_not_hear(void **state)
{
    (void)state;
    struct presence online = presence_heard(unknown, T0);
    struct presence stale = aged(online, T0 + 10 * S);
    struct presence offline = aged(online, T0 + 60 * S);
    int64_t later = T0 + 86400 * S;
    assert_presence(presence_aged(online, later, TIMESTAMP_NONE, &limits), ONLINE, T0, T0);
    assert_presence(presence_aged(stale, later, TIMESTAMP_NONE, &limits), STALE, T0, T0 + 10 * S);
    assert_presence(presence_aged(offline, later, TIMESTAMP_NONE, &limits), OFFLINE, T0,
                    T0 + 60 * S);
    assert_presence(presence_aged(online, TIMESTAMP_MAX, TIMESTAMP_NONE, &limits), ONLINE, T0, T0);
}

static void presence_ages_from_when_the_hub_hears_again(void **state)
{
    (void)state;
    struct presence online = presence_heard(unknown, T0);
    int64_t again = T0 + 3600 * S;
    assert_presence(presence_aged(online, again, again, &limits), ONLINE, T0, T0);
    assert_presence(presence_aged(online, again + 10 * S - 1, again, &limits), ONLINE, T0, T0);
    assert_presence(presence_aged(online, again + 10 * S, again, &limits), STALE, T0,
                    again + 10 * S);
    assert_presence(presence_aged(online, again + 60 * S - 1, again, &limits), STALE, T0,
                    again + 10 * S);
    assert_presence(presence_aged(online, again + 60 * S, again, &limits), OFFLINE, T0,
                    again + 60 * S);
}

/* It was stale before the hub went deaf: what it was stays, offline counts from anew. */
static void presence_stale_before_the_deafness_stays_so_through_it(void **state)
{
    (void)state;
    struct presence stale = aged(presence_heard(unknown, T0), T0 + 59 * S);
    int64_t again = T0 + 3600 * S;
    struct presence now = presence_aged(stale, again + 59 * S, again, &limits);
    assert_presence(now, STALE, T0, T0 + 10 * S);
    assert_presence(presence_aged(now, again + 60 * S, again, &limits), OFFLINE, T0,
                    again + 60 * S);
}

static void presence_ages_from_its_message_where_that_is_later(void **state)
{
    (void)state;
    struct presence online = presence_heard(unknown, T0);
    assert_presence(presence_aged(online, T0 + 10 * S, T0 - 1, &limits), STALE, T0, T0 + 10 * S);
    assert_presence(presence_aged(online, T0 + 10 * S, T0 + 1, &limits), ONLINE, T0, T0);
}

/* Clocks step back now and then: the hub's, or the broker's after another took over. */
static void presence_of_the_future_does_not_age(void **state)
{
    (void)state;
    struct presence online = presence_heard(unknown, T0 + 3600 * S);
    assert_presence(aged(online, T0), ONLINE, T0 + 3600 * S, T0 + 3600 * S);
    struct presence last = presence_heard(unknown, TIMESTAMP_MAX);
    assert_presence(aged(last, T0), ONLINE, TIMESTAMP_MAX, TIMESTAMP_MAX);
    struct presence first = presence_heard(unknown, TIMESTAMP_MIN);
    assert_presence(aged(first, T0 + 3600 * S), OFFLINE, TIMESTAMP_MIN, T0 - 3540 * S);
}

/* However hearing comes and goes: nobody goes offline before offline_after of hearing in a row. */
static void presence_goes_offline_only_after_hearing_long_enough(void **state)
{
    (void)state;
    struct random random = random_seeded(__func__);
    for (int round = 0; round < 200; round++) {
        struct presence now = presence_heard(unknown, T0);
        int64_t hearing = T0, silent_since = T0;
        for (int64_t at = T0; at < T0 + 600 * S; at += S) {
            if (random_below(&random, 100) == 0) {
                bool deaf = random_below(&random, 2);
                hearing = deaf ? TIMESTAMP_NONE : at;
            }
            if (hearing != TIMESTAMP_NONE && random_below(&random, 60) == 0) {
                now = presence_heard(now, at);
                silent_since = at;
            }
            struct presence next = presence_aged(now, at, hearing, &limits);
            if (next.status == PRESENCE_OFFLINE && now.status != PRESENCE_OFFLINE) {
                assert_true(hearing != TIMESTAMP_NONE);
                assert_true(at - hearing >= 60 * S && at - silent_since >= 60 * S);
            }
            if (hearing != TIMESTAMP_NONE && at - hearing >= 60 * S && at - silent_since >= 60 * S)
                assert_int_equal(next.status, PRESENCE_OFFLINE);
            assert_true(next.since_ns >= now.since_ns && next.since_ns <= at);
            now = next;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presence_names_are_the_contracts),
        cmocka_unit_test(presence_of_a_vehicle_never_heard_stays_unknown),
        cmocka_unit_test(presence_is_online_with_the_first_message),
        cmocka_unit_test(presence_stays_online_since_its_first_message),
        cmocka_unit_test(presence_ages_at_its_limits_exactly),
        cmocka_unit_test(presence_changes_once_however_often_it_is_looked_at),
        cmocka_unit_test(presence_since_does_not_depend_on_when_it_is_looked_at),
        cmocka_unit_test(presence_comes_back_with_a_message),
        cmocka_unit_test(presence_heard_late_keeps_the_newest_instant),
        cmocka_unit_test(presence_heard_late_ends_no_silence),
        cmocka_unit_test(presence_last_seen_is_the_newest_in_any_order),
        cmocka_unit_test(presence_never_ages_while_the_hub_does_not_hear),
        cmocka_unit_test(presence_ages_from_when_the_hub_hears_again),
        cmocka_unit_test(presence_stale_before_the_deafness_stays_so_through_it),
        cmocka_unit_test(presence_ages_from_its_message_where_that_is_later),
        cmocka_unit_test(presence_of_the_future_does_not_age),
        cmocka_unit_test(presence_goes_offline_only_after_hearing_long_enough),
    };
    return cmocka_run_group_tests_name("presence", tests, NULL, NULL);
}
