/* broker_clock: the broker's time between its messages. */
#include "hub/broker_clock.h"

#include "hub/clock.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct store *store;
static struct broker_clock broker;

static int make(void **state)
{
    (void)state;
    store = store_new();
    broker_clock_init(&broker, store);
    return store ? 0 : -1;
}

static int destroy(void **state)
{
    (void)state;
    broker_clock_done(&broker);
    store_free(store);
    return 0;
}

static void receive(uint64_t seq, int64_t received_ns)
{
    store_lock(store);
    store_advance(store, STREAM_STATE, (struct position){T0, seq, received_ns});
    store_unlock(store);
}

static void clock_is_the_hubs_own_before_any_message(void **state)
{
    (void)state;
    bool known = true;
    int64_t before_ns = clock_wall_ns(), now_ns = broker_clock_now(&broker, &known);
    assert_false(known);
    assert_in_range(now_ns, before_ns, clock_wall_ns());
    assert_int_equal(broker_clock_latest(&broker), now_ns);
}

static void clock_goes_on_from_the_newest_message(void **state)
{
    (void)state;
    bool known = false;
    receive(1, T0 + 50 * NS_PER_MS);
    int64_t first_ns = broker_clock_now(&broker, &known);
    assert_true(known);
    assert_true(first_ns >= T0 + 50 * NS_PER_MS);
    clock_pause_ms(20);
    assert_true(broker_clock_now(&broker, NULL) >= T0 + 60 * NS_PER_MS);
    receive(2, T0 + 20 * NS_PER_MS); /* of another stream's past */
    assert_true(broker_clock_now(&broker, NULL) >= T0 + 60 * NS_PER_MS);
}

/* Messages that were long on their way set it back; what somebody was told before stays told. */
static void clock_steps_back_and_remembers_the_latest_time_given(void **state)
{
    (void)state;
    assert_int_equal(broker_clock_latest(&broker), TIMESTAMP_NONE);
    receive(1, T0);
    broker_clock_now(&broker, NULL);
    broker.anchor_ms -= 10000; /* ten seconds of silence */
    int64_t silent_ns = broker_clock_now(&broker, NULL);
    assert_true(silent_ns >= T0 + 10000 * NS_PER_MS);
    receive(2, T0 + 1000 * NS_PER_MS);
    int64_t late_ns = broker_clock_now(&broker, NULL);
    assert_true(late_ns < silent_ns);
    assert_int_equal(broker_clock_latest(&broker), silent_ns);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, destroy)
    const struct CMUnitTest tests[] = {
        TEST(clock_is_the_hubs_own_before_any_message),
        TEST(clock_goes_on_from_the_newest_message),
        TEST(clock_steps_back_and_remembers_the_latest_time_given),
    };
    return cmocka_run_group_tests_name("broker_clock", tests, NULL, NULL);
}
