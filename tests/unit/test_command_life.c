/* command_life: the whole product of states, events and goals, against the contract's sentences. */
#include "twin/command_life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FOR_ALL_STEPS(s, e, g)                                                                     \
    for (enum delivery_goal g = 0; g < DELIVERY_GOALS; g++)                                        \
        for (enum delivery_state s = 0; s < DELIVERY_STATES; s++)                                  \
            for (enum delivery_event e = 0; e < DELIVERY_EVENTS; e++)

static bool is_verifying(enum delivery_goal goal)
{
    return goal == GOAL_VERIFIED_ACCEPTED || goal == GOAL_VERIFIED_COMPLETED;
}

static bool is_report(enum delivery_event event)
{
    return (int)event < DELIVERY_REPORTS;
}

/* The contract's sentences once more, written as rules and not as a table. */
static enum delivery_state expected_next(enum delivery_state state, enum delivery_event event,
                                         enum delivery_goal goal)
{
    bool ended = state == DELIVERY_VERIFIED || state >= DELIVERY_BLOCKED ||
                 (goal == GOAL_ACCEPTED && state >= DELIVERY_ACCEPTED) ||
                 (goal == GOAL_COMPLETED && state >= DELIVERY_COMPLETED);
    if (ended)
        return state; /* the first terminal report wins */
    switch (event) {
    case EVENT_SENT:
        return state == DELIVERY_PENDING ? DELIVERY_SENT : state; /* nothing goes back */
    case EVENT_ACCEPTED:
        return state < DELIVERY_ACCEPTED ? DELIVERY_ACCEPTED : state;
    case EVENT_COMPLETED:
        return DELIVERY_COMPLETED; /* implies accepted, from wherever */
    case EVENT_REJECTED:
        return state < DELIVERY_COMPLETED ? DELIVERY_REJECTED : state;
    case EVENT_FAILED:
        return state < DELIVERY_COMPLETED ? DELIVERY_FAILED : state;
    case EVENT_TIMEOUT:
        return state < DELIVERY_COMPLETED ? DELIVERY_TIMED_OUT : state;
    case EVENT_BLOCKED:
        return state == DELIVERY_PENDING ? DELIVERY_BLOCKED : state;
    case EVENT_MATCHED: /* only what was received after sending counts */
        return is_verifying(goal) && state >= DELIVERY_SENT ? DELIVERY_VERIFIED : state;
    case EVENT_DEADLINE: /* not sent by the expiry; or sent, and late with the next step */
        return state == DELIVERY_PENDING ? DELIVERY_EXPIRED : DELIVERY_TIMED_OUT;
    case EVENT_CANCEL: /* stops what has not been sent */
    case EVENT_SUPERSEDE:
        return state == DELIVERY_PENDING ? DELIVERY_CANCELLED : state;
    case EVENT_REPLACE: /* takes the place of what is in flight, too */
        return DELIVERY_CANCELLED;
    case DELIVERY_EVENTS:
        break;
    }
    fail();
    return state;
}

static void delivery_every_step_is_as_the_contract_says(void **state)
{
    (void)state;
    FOR_ALL_STEPS(s, e, g)
    {
        struct delivery_step step = delivery_step(s, e, g);
        assert_string_equal(delivery_state_name(step.next),
                            delivery_state_name(expected_next(s, e, g)));
    }
}

static void delivery_effect_is_ignored_exactly_where_the_state_stays(void **state)
{
    (void)state;
    FOR_ALL_STEPS(s, e, g)
    {
        struct delivery_step step = delivery_step(s, e, g);
        assert_int_equal(step.effect == DELIVERY_IGNORED, step.next == s);
    }
}

static void delivery_dropped_is_what_might_still_be_sent(void **state)
{
    (void)state;
    FOR_ALL_STEPS(s, e, g)
    {
        struct delivery_step step = delivery_step(s, e, g);
        bool may_send = s == DELIVERY_PENDING || s == DELIVERY_SENT; /* or repeat */
        bool by_the_hub =
            !is_report(e) && e != EVENT_SENT && e != EVENT_MATCHED && e != EVENT_BLOCKED;
        if (step.effect != DELIVERY_IGNORED)
            assert_int_equal(step.effect == DELIVERY_DROPPED, may_send && by_the_hub);
    }
}

static void delivery_nothing_moves_one_that_has_ended(void **state)
{
    (void)state;
    FOR_ALL_STEPS(s, e, g)
    {
        if (delivery_ended(s, g))
            assert_int_equal(delivery_step(s, e, g).next, s);
    }
}

static void delivery_nothing_goes_back(void **state)
{
    (void)state;
    FOR_ALL_STEPS(s, e, g)
    {
        assert_true(delivery_step(s, e, g).next >= s);
    }
}

/* Whatever happens, in whatever order, each delivery ends: its deadline sees to it. */
static void delivery_every_one_ends_by_its_deadlines(void **state)
{
    (void)state;
    for (enum delivery_goal g = 0; g < DELIVERY_GOALS; g++) {
        for (enum delivery_state s = 0; s < DELIVERY_STATES; s++) {
            struct delivery_step step = delivery_step(s, EVENT_DEADLINE, g);
            assert_true(delivery_ended(step.next, g));
        }
    }
}

static void delivery_goals_decide_what_is_success(void **state)
{
    (void)state;
    assert_true(delivery_succeeded(DELIVERY_ACCEPTED, GOAL_ACCEPTED));
    assert_true(delivery_succeeded(DELIVERY_COMPLETED, GOAL_ACCEPTED)); /* it skipped a step */
    assert_false(delivery_succeeded(DELIVERY_ACCEPTED, GOAL_COMPLETED));
    assert_true(delivery_succeeded(DELIVERY_COMPLETED, GOAL_COMPLETED));
    assert_false(delivery_succeeded(DELIVERY_COMPLETED, GOAL_VERIFIED_ACCEPTED));
    assert_false(delivery_succeeded(DELIVERY_COMPLETED, GOAL_VERIFIED_COMPLETED));
    for (enum delivery_goal g = 0; g < DELIVERY_GOALS; g++) {
        assert_int_equal(delivery_succeeded(DELIVERY_VERIFIED, g), true);
        for (enum delivery_state s = DELIVERY_BLOCKED; s < DELIVERY_STATES; s++) {
            assert_true(delivery_ended(s, g));
            assert_false(delivery_succeeded(s, g));
        }
    }
}

static void delivery_verification_runs_from_what_the_goal_names(void **state)
{
    (void)state;
    assert_int_equal(delivery_waits_for(DELIVERY_ACCEPTED, GOAL_VERIFIED_ACCEPTED),
                     WAIT_VERIFICATION);
    assert_int_equal(delivery_waits_for(DELIVERY_ACCEPTED, GOAL_VERIFIED_COMPLETED),
                     WAIT_COMPLETION);
    assert_int_equal(delivery_waits_for(DELIVERY_COMPLETED, GOAL_VERIFIED_COMPLETED),
                     WAIT_VERIFICATION);
    assert_false(delivery_is_watched(DELIVERY_PENDING, GOAL_VERIFIED_COMPLETED));
    assert_true(delivery_is_watched(DELIVERY_SENT, GOAL_VERIFIED_COMPLETED));
    assert_false(delivery_is_watched(DELIVERY_SENT, GOAL_COMPLETED));
    assert_false(delivery_is_watched(DELIVERY_REJECTED, GOAL_VERIFIED_ACCEPTED));
}

static void delivery_names_are_the_contracts(void **state)
{
    (void)state;
    static const char *const names[] = {"pending",   "sent",    "accepted", "completed",
                                        "verified",  "blocked", "rejected", "failed",
                                        "timed_out", "expired", "cancelled"};
    assert_int_equal(DELIVERY_STATES, sizeof names / sizeof *names);
    for (enum delivery_state s = 0; s < DELIVERY_STATES; s++) {
        enum delivery_state read = DELIVERY_STATES;
        assert_string_equal(delivery_state_name(s), names[s]);
        assert_true(delivery_state_parse(names[s], strlen(names[s]), &read));
        assert_int_equal(read, s);
    }
    enum delivery_state unread = DELIVERY_STATES;
    assert_false(delivery_state_parse("accept", 6, &unread));
    assert_int_equal(unread, DELIVERY_STATES);
}

static void delivery_reports_are_the_contracts_and_no_others(void **state)
{
    (void)state;
    static const char *const reports[] = {"accepted", "rejected", "completed", "failed", "timeout"};
    static const char *const others[] = {"sent", "cancel", "", "ACCEPTED", "deadline", "matched"};
    enum delivery_event event;
    for (size_t i = 0; i < 5; i++) {
        assert_true(delivery_report_parse(reports[i], strlen(reports[i]), &event));
        assert_int_equal(event, i);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(delivery_report_parse(others[i], strlen(others[i]), &event));
}

static void delivery_retry_takes_what_did_not_succeed_and_was_not_stopped(void **state)
{
    (void)state;
    for (enum delivery_state s = 0; s < DELIVERY_STATES; s++) {
        bool retried = s == DELIVERY_REJECTED || s == DELIVERY_FAILED || s == DELIVERY_TIMED_OUT ||
                       s == DELIVERY_EXPIRED;
        assert_int_equal(delivery_may_be_retried(s), retried);
    }
}

/* ---- commands ---- */

static void command_every_step_is_as_the_contract_says(void **state)
{
    (void)state;
    for (enum command_state s = 0; s < COMMAND_STATES; s++) {
        for (enum command_event e = 0; e < COMMAND_EVENTS; e++) {
            struct command_step step = command_step(s, e);
            bool withdrawing = s == COMMAND_STATE_CANCELLING || s == COMMAND_STATE_ABORTING;
            if (step.effect == COMMAND_UNCHANGED || step.effect == COMMAND_REFUSED)
                assert_int_equal(step.next, s);
            else
                assert_int_not_equal(step.next, s);
            if (command_ended(s)) {
                bool wish = e <= COMMAND_CANCEL;
                assert_int_equal(step.effect, wish ? COMMAND_REFUSED : COMMAND_UNCHANGED);
            } else if (e >= COMMAND_ALL_SUCCEED) {
                assert_int_equal(step.effect, COMMAND_SETTLED);
                assert_true(command_ended(step.next));
                if (s == COMMAND_STATE_CANCELLING)
                    assert_int_equal(step.next, COMMAND_STATE_CANCELLED);
                if (s == COMMAND_STATE_ABORTING)
                    assert_int_equal(step.next, COMMAND_STATE_ABORTED);
            } else if (withdrawing) {
                assert_int_equal(step.next, s); /* there is no way back */
            } else if (e == COMMAND_CANCEL || e == COMMAND_ABORT) {
                assert_int_equal(step.effect, COMMAND_WITHDRAWN);
            }
        }
    }
}

static void command_outcome_is_of_every_vehicle(void **state)
{
    (void)state;
    struct command_counts counts = {{0}};
    counts.of[DELIVERY_COMPLETED] = 3;
    assert_int_equal(command_counts_outcome(&counts, GOAL_COMPLETED), COMMAND_ALL_SUCCEED);
    assert_int_equal(command_step(COMMAND_STATE_RUNNING, COMMAND_ALL_SUCCEED).next,
                     COMMAND_STATE_SUCCEEDED);
    counts.of[DELIVERY_BLOCKED] = 1;
    assert_int_equal(command_counts_outcome(&counts, GOAL_COMPLETED), COMMAND_SOME_SUCCEED);
    assert_int_equal(command_step(COMMAND_STATE_RUNNING, COMMAND_SOME_SUCCEED).next,
                     COMMAND_STATE_PARTIAL);
    counts.of[DELIVERY_COMPLETED] = 0;
    assert_int_equal(command_counts_outcome(&counts, GOAL_COMPLETED), COMMAND_NONE_SUCCEED);
    assert_int_equal(command_step(COMMAND_STATE_RUNNING, COMMAND_NONE_SUCCEED).next,
                     COMMAND_STATE_FAILED);
}

static void command_counts_sum_to_the_total(void **state)
{
    (void)state;
    struct command_counts counts;
    for (int i = 0; i < DELIVERY_STATES; i++)
        counts.of[i] = (uint32_t)i + 1;
    assert_int_equal(command_counts_total(&counts), DELIVERY_STATES * (DELIVERY_STATES + 1) / 2);
    assert_int_equal(command_counts_ended(&counts, GOAL_COMPLETED),
                     command_counts_total(&counts) - 1 - 2 - 3);
}

static void command_rollout_aborts_beyond_its_percentage_and_not_at_it(void **state)
{
    (void)state;
    struct command_counts counts = {{0}};
    counts.of[DELIVERY_PENDING] = 1000;
    assert_false(command_counts_abort(&counts, GOAL_COMPLETED, 0, 0)); /* nothing has ended */
    counts.of[DELIVERY_COMPLETED] = 18;
    counts.of[DELIVERY_REJECTED] = 1;
    assert_false(command_counts_abort(&counts, GOAL_COMPLETED, 5, 20)); /* too few have ended */
    counts.of[DELIVERY_COMPLETED] = 19;
    assert_false(command_counts_abort(&counts, GOAL_COMPLETED, 5, 20)); /* 5 of 100 just is not */
    counts.of[DELIVERY_TIMED_OUT] = 1;
    assert_true(command_counts_abort(&counts, GOAL_COMPLETED, 5, 20));
    counts.of[DELIVERY_TIMED_OUT] = 0;
    counts.of[DELIVERY_EXPIRED] = 100;
    assert_false(command_counts_abort(&counts, GOAL_COMPLETED, 5, 20)); /* not its failures */
}

static void command_statuses_hide_what_is_being_withdrawn(void **state)
{
    (void)state;
    assert_string_equal(command_status(COMMAND_STATE_CANCELLING), "running");
    assert_string_equal(command_status(COMMAND_STATE_ABORTING), "running");
    for (enum command_state s = 0; s < COMMAND_STATES; s++) {
        enum command_state read = COMMAND_STATES;
        const char *name = command_state_name(s);
        assert_true(command_status_known(command_status(s)));
        assert_true(command_state_parse(name, strlen(name), &read));
        assert_int_equal(read, s);
    }
    assert_false(command_status_known("cancelling"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivery_every_step_is_as_the_contract_says),
        cmocka_unit_test(delivery_effect_is_ignored_exactly_where_the_state_stays),
        cmocka_unit_test(delivery_dropped_is_what_might_still_be_sent),
        cmocka_unit_test(delivery_nothing_moves_one_that_has_ended),
        cmocka_unit_test(delivery_nothing_goes_back),
        cmocka_unit_test(delivery_every_one_ends_by_its_deadlines),
        cmocka_unit_test(delivery_goals_decide_what_is_success),
        cmocka_unit_test(delivery_verification_runs_from_what_the_goal_names),
        cmocka_unit_test(delivery_names_are_the_contracts),
        cmocka_unit_test(delivery_reports_are_the_contracts_and_no_others),
        cmocka_unit_test(delivery_retry_takes_what_did_not_succeed_and_was_not_stopped),
        cmocka_unit_test(command_every_step_is_as_the_contract_says),
        cmocka_unit_test(command_outcome_is_of_every_vehicle),
        cmocka_unit_test(command_counts_sum_to_the_total),
        cmocka_unit_test(command_rollout_aborts_beyond_its_percentage_and_not_at_it),
        cmocka_unit_test(command_statuses_hide_what_is_being_withdrawn),
    };
    return cmocka_run_group_tests_name("command_life", tests, NULL, NULL);
}
