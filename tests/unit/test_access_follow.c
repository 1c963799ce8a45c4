/* access_follow: whatever stands in TWIN_ACCESS and however it comes, what is in force is what was
 * written last and can be read, and each change is on record once. */
#include "hub/access_impl.h"
#include "hub/clock.h"
#include "hub/log.h"
#include "tests/fake/fake_bus.h"
#include "tests/unit/fault.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEY "$KV.TWIN_ACCESS.auth."
#define MADE "\"created\":\"2026-01-01T00:00:00Z\",\"created_by\":\"x\""
#define HASH                                                                                       \
    "\"secret_sha256\":\"00000000000000000000000000000000000000000000000000000000000000aa\""
#define TOKEN "{" MADE "," HASH ",\"name\":\"desk\",\"role\":\"viewer\"}"
#define GRANT "{" MADE ",\"subject\":\"t1\",\"role\":\"operator\"}"
#define LONG_ID "0123456789012345678901234567890123456789012345678901234567890123456789"
#define EPOCH_NS INT64_C(77)

static struct config config;
static struct access *access;

static void end(void *closure)
{
    (void)closure;
    atomic_store(&access->stop, true);
}

/* A hub that starts, with a mark that vouches for so many messages of this bucket. */
static void begin(int64_t epoch_ns, uint64_t seq)
{
    char error[512] = "";
    fake_bus_reset();
    fake_bus_when_idle(end, NULL);
    access = access_new(&config, fake_bus(), error);
    assert_non_null(access);
    access->recorder = fake_recorder();
    access->vouched = (struct position){.epoch_ns = epoch_ns, .seq = seq};
}

/* Runs the lane until there is nothing more to come. */
static void follow(void)
{
    atomic_store(&access->stop, false);
    access_run(access);
}

static void finish(void)
{
    access_free(access);
    access = NULL;
}

static void comes(uint64_t seq, const char *subject, const char *data)
{
    fake_bus_comes(&(struct fake_bus_msg){
        .subject = subject, .data = data, .seq = seq, .received_ns = clock_wall_ns()});
}

static void what_stands_under_no_name_of_ours_is_passed_over(void **state)
{
    static const char *const subjects[] = {
        KEY "token.",   KEY "token." LONG_ID,   KEY "token.a.b",
        KEY "group.g1", "$KV.TWIN_ACCESS.auth", KEY "grant.",
    };
    (void)state;
    begin(0, 0);
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++)
        comes(i + 1, subjects[i], TOKEN);
    comes(7, KEY "token.t1", TOKEN);
    follow();
    assert_int_equal(access_count(access), 1);
    assert_int_equal(fake_recorder_count(), 1);
    assert_int_equal(access->position.seq, 7);
    assert_true(access_recovered(access));
    finish();
}

/* A token that cannot be read is one that nobody holds. */
static void an_entry_that_cannot_be_read_ends_the_one_before_it(void **state)
{
    static const char *const texts[] = {"{", "", "[]", "{}", "{\"name\":7}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        begin(0, 0);
        comes(1, KEY "token.t1", TOKEN);
        follow();
        assert_int_equal(access_count(access), 1);
        comes(2, KEY "token.t1", texts[i]);
        follow();
        assert_int_equal(access_count(access), 0);
        assert_int_equal(fake_recorder_count(), 2);
        assert_non_null(strstr(fake_recorder_last(), "access token_written unknown"));
        assert_non_null(strstr(fake_recorder_last(), "\"after\":null"));
        finish();
    }
}

static void a_change_says_who_made_it_and_what_was_there(void **state)
{
    (void)state;
    begin(0, 0);
    comes(1, KEY "grant.g1", GRANT);
    fake_bus_comes(&(struct fake_bus_msg){.subject = KEY "grant.g1",
                                          .data = "",
                                          .seq = 2,
                                          .received_ns = clock_wall_ns(),
                                          .headers = {{"KV-Operation", "DEL"},
                                                      {ACCESS_HEADER_ACTOR, "ann"},
                                                      {ACCESS_HEADER_REQUEST, "r1"},
                                                      {ACCESS_HEADER_REMOTE, "192.0.2.1"}}});
    follow();
    assert_int_equal(access_count(access), 0);
    assert_non_null(strstr(fake_recorder_last(), "access grant_revoked ann {\"grant\":\"g1\""));
    assert_non_null(strstr(fake_recorder_last(), "\"before\":{"));
    assert_non_null(strstr(fake_recorder_last(), "\"remote\":\"192.0.2.1\""));
    finish();
}

/* ---- what is on record already ---- */

static int records_of(int64_t vouched_epoch_ns, uint64_t vouched_seq, int64_t received_ns)
{
    begin(vouched_epoch_ns, vouched_seq);
    fake_bus_opening(BUS_OK, EPOCH_NS, 5);
    fake_bus_comes(&(struct fake_bus_msg){
        .subject = KEY "token.t1", .data = TOKEN, .seq = 3, .received_ns = received_ns});
    follow();
    assert_int_equal(access_count(access), 1);
    finish();
    return fake_recorder_count();
}

static void what_the_mark_vouches_for_is_recorded_again_for_a_day_alone(void **state)
{
    (void)state;
    int64_t now_ns = clock_wall_ns(), old_ns = now_ns - 2 * INT64_C(86400) * NS_PER_S;
    assert_int_equal(records_of(EPOCH_NS, 3, old_ns), 0);
    assert_int_equal(records_of(EPOCH_NS, 3, now_ns), 1);
    assert_int_equal(records_of(EPOCH_NS, 2, old_ns), 1);
    assert_int_equal(records_of(EPOCH_NS + 1, 3, old_ns), 1); /* a mark of another bucket */
    assert_int_equal(records_of(EPOCH_NS, 6, old_ns), 1);     /* of one that lost its tail */
}

/* ---- what fails on the way ---- */

static void whatever_has_no_memory_is_in_force_and_on_record_once_there_is(void **state)
{
    (void)state;
    bool hit = true;
    for (unsigned nth = 1; hit; nth++) {
        begin(0, 0);
        comes(1, KEY "token.t1", TOKEN);
        comes(2, KEY "grant.g1", GRANT);
        fault_arm(nth, FAULT_ONCE);
        follow();
        hit = fault_disarm();
        assert_int_equal(access_count(access), 2);
        assert_int_equal(fake_recorder_count(), 2);
        assert_int_equal(access->position.seq, 2);
        finish();
    }
}

static void a_full_queue_is_waited_for_and_the_change_holds_meanwhile(void **state)
{
    (void)state;
    begin(0, 0);
    fake_recorder_refuses(2);
    comes(1, KEY "token.t1", TOKEN);
    follow();
    assert_int_equal(fake_recorder_count(), 1);
    /* It stays full, and the hub stops: the next one reads the message again. */
    fake_recorder_refuses(-1);
    comes(2, KEY "token.t2", TOKEN);
    follow();
    assert_int_equal(access_count(access), 2);
    assert_int_equal(fake_recorder_count(), 1);
    assert_int_equal(access->position.seq, 1);
    finish();
}

static void a_bucket_that_begins_anew_takes_what_was_in_the_old_one_with_it(void **state)
{
    (void)state;
    begin(EPOCH_NS, 9);
    fake_bus_opening(BUS_DISCONNECTED, 0, 0);
    fake_bus_opening(BUS_OK, EPOCH_NS, 9);
    comes(4, KEY "token.t1", TOKEN);
    fake_bus_says(BUS_DISCONNECTED);
    comes(5, KEY "token.t2", TOKEN);
    fake_bus_says(BUS_ERROR); /* it is opened anew behind what was taken */
    fake_bus_opening(BUS_OK, EPOCH_NS, 9);
    fake_bus_says(BUS_EPOCH);
    fake_bus_opening(BUS_EPOCH, EPOCH_NS + 1, 0);
    fake_bus_opening(BUS_OK, EPOCH_NS + 1, 1);
    comes(1, KEY "token.t3", TOKEN);
    follow();
    assert_int_equal(fake_bus_openings(), 5);
    assert_int_equal(fake_bus_opened().epoch_ns, EPOCH_NS + 1);
    assert_int_equal(fake_bus_opened().seq, 1);
    assert_int_equal(access_count(access), 1);
    assert_null(access_look_up(access, "t1"));
    assert_int_equal(fake_recorder_count(), 3);
    finish();
}

static void the_lane_runs_in_a_thread_of_its_own(void **state)
{
    (void)state;
    begin(0, 0);
    fake_bus_when_idle(NULL, NULL);
    comes(1, KEY "token.t1", TOKEN);
    assert_true(access_start(access, fake_recorder(), (struct position){0}));
    while (!access_recovered(access))
        clock_pause_ms(1);
    access_stop(access);
    assert_int_equal(access_count(access), 1);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stands_under_no_name_of_ours_is_passed_over),
        cmocka_unit_test(an_entry_that_cannot_be_read_ends_the_one_before_it),
        cmocka_unit_test(a_change_says_who_made_it_and_what_was_there),
        cmocka_unit_test(what_the_mark_vouches_for_is_recorded_again_for_a_day_alone),
        cmocka_unit_test(whatever_has_no_memory_is_in_force_and_on_record_once_there_is),
        cmocka_unit_test(a_full_queue_is_waited_for_and_the_change_holds_meanwhile),
        cmocka_unit_test(a_bucket_that_begins_anew_takes_what_was_in_the_old_one_with_it),
        cmocka_unit_test(the_lane_runs_in_a_thread_of_its_own),
    };
    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
