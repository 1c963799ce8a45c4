/* command: ids, what of a command is kept and read back, and questions on their way to another hub.
 */
#include "hub/command.h"
#include "hub/command_ask.h"
#include "hub/command_impl.h"
#include "tests/unit/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID "0123456789abcdef0123456789abcdef"

static const char *const vids[] = {"V-1", "a", "no such thing", "Zz_9-"};
enum { VIDS = sizeof vids / sizeof *vids };

static struct command *make(void)
{
    struct command *command = command_new();
    size_t bytes = 0, used = 0;
    assert_non_null(command);
    for (size_t i = 0; i < VIDS; i++)
        bytes += strlen(vids[i]) + 1;
    assert_true(command_fill(command, VIDS, bytes));
    memcpy(command->spec.id, ID, sizeof ID);
    command->spec.type = strdup("goto");
    command->spec.params = strdup("{\"lat\":1.5}");
    command->spec.actor = strdup("local");
    command->spec.reason = strdup("h\"\xc3\xa4rter");
    command->spec.target = strdup("{\"all\":true}");
    command->spec.verify = strdup("state.mode.mode = \"RTL\"");
    command->spec.goal = GOAL_VERIFIED_ACCEPTED;
    command->spec.created_ns = 1768473000000000123;
    command->spec.expires_ns = 1768473060000000123;
    command->spec.rollout = (struct command_rollout){3, 250, true, 12.5, 20};
    for (uint32_t i = 0; i < VIDS; i++)
        command_set_vid(command, i, vids[i], strlen(vids[i]), &used);
    assert_true(command_index(command));
    return command;
}

static struct doc_ref parse(struct doc_parser *parser, const struct buf *text)
{
    struct doc_limits limits = {DOC_MAX_BYTES, COMMAND_SPEC_DEPTH};
    struct doc_ref root;
    assert_false(text->failed);
    assert_int_equal(doc_parse(parser, text->data, text->size_bytes, limits, &root), DOC_OK);
    return root;
}

static void command_finds_its_vehicles_and_no_others(void **state)
{
    (void)state;
    struct command *command = make();
    for (size_t i = 0; i < VIDS; i++)
        assert_ptr_equal(command_find(command, vids[i], strlen(vids[i])), &command->deliveries[i]);
    assert_null(command_find(command, "V-", 2));
    assert_null(command_find(command, "V-11", 4));
    assert_null(command_find(command, "", 0));
    command_drop_deliveries(command);
    assert_null(command_find(command, "V-1", 3));
    command_free(command);
}

static void command_spec_is_read_back_as_it_was(void **state)
{
    (void)state;
    struct command *command = make();
    struct command_spec read;
    struct buf text = BUF_INIT, again = BUF_INIT;
    struct doc_parser *parser = doc_parser_new();
    command_spec_write(&text, &command->spec);
    assert_true(command_spec_read(parse(parser, &text), &read));
    command_spec_write(&again, &read);
    assert_int_equal(text.size_bytes, again.size_bytes);
    assert_memory_equal(text.data, again.data, text.size_bytes);
    assert_string_equal(read.reason, command->spec.reason);
    assert_true(read.rollout.aborts);
    command_spec_done(&read);
    command_free(command);
    buf_done(&text);
    buf_done(&again);
    doc_parser_free(parser);
}

static void command_spec_of_anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"id\":\"x\"}",
        "{\"id\":\"" ID "\"}",
        "{\"id\":\"" ID "\",\"type\":\"rtl\",\"params\":{},\"actor\":\"a\",\"goal\":9,\"total\":1}",
        "{\"id\":\"" ID
        "\",\"type\":\"rtl\",\"params\":{},\"actor\":\"a\",\"goal\":1,\"total\":-1}",
    };
    struct doc_parser *parser = doc_parser_new();
    struct doc_limits limits = {1024, 8};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct command_spec spec;
        struct doc_ref root;
        assert_int_equal(doc_parse(parser, texts[i], strlen(texts[i]), limits, &root), DOC_OK);
        assert_false(command_spec_read(root, &spec));
    }
    doc_parser_free(parser);
}

static void command_targets_and_states_are_read_back_as_they_were(void **state)
{
    (void)state;
    struct command *command = make(), *read = command_new();
    struct buf targets = BUF_INIT, states = BUF_INIT, again = BUF_INIT;
    struct doc_parser *parser = doc_parser_new();
    size_t used = 0;
    command->deliveries[2].state = DELIVERY_BLOCKED;
    command->deliveries[2].entered |= 1u << DELIVERY_BLOCKED;
    command->deliveries[2].reason = strdup("unknown_vehicle");
    command->deliveries[1].state = DELIVERY_REJECTED;
    command->deliveries[1].entered |= 1u << DELIVERY_SENT | 1u << DELIVERY_REJECTED;
    command->deliveries[1].sent_ns = 5;
    command->deliveries[1].code = -7;
    command->deliveries[1].reason = strdup("no \"way\"");
    command_targets_write(&targets, command, 0);
    command_states_write(&states, command, 0);
    struct doc_ref root = parse(parser, &targets);
    assert_true(command_fill(read, VIDS, command_targets_bytes(root)));
    memcpy(read->spec.id, ID, sizeof ID);
    assert_true(command_targets_read(root, read, 0, &used));
    assert_int_equal(read->deliveries[2].state, DELIVERY_BLOCKED);
    assert_int_equal(read->counts.of[DELIVERY_BLOCKED], 1);
    assert_int_equal(command_counts_total(&read->counts), VIDS);
    assert_true(command_states_read(parse(parser, &states), read, 0));
    command_states_write(&again, read, 0);
    assert_int_equal(states.size_bytes, again.size_bytes);
    assert_memory_equal(states.data, again.data, states.size_bytes);
    assert_int_equal(read->deliveries[1].code, -7);
    assert_int_equal(read->deliveries[0].code, DELIVERY_NO_CODE);
    command_free(command);
    command_free(read);
    buf_done(&targets);
    buf_done(&states);
    buf_done(&again);
    doc_parser_free(parser);
}

static void command_clone_shows_the_same_and_owns_it(void **state)
{
    (void)state;
    struct command *command = make();
    struct buf text = BUF_INIT, again = BUF_INIT;
    command->deliveries[0].reason = strdup("why");
    struct command *copy = command_clone(command);
    command_write(&text, command, NULL);
    delivery_write(&text, &command->deliveries[0]);
    command_free(command);
    command_write(&again, copy, NULL);
    delivery_write(&again, &copy->deliveries[0]);
    assert_int_equal(text.size_bytes, again.size_bytes);
    assert_memory_equal(text.data, again.data, text.size_bytes);
    command_free(copy);
    buf_done(&text);
    buf_done(&again);
}

static void turn(struct command *command, enum command_event event)
{
    struct command_step step = command_step(command->state, event);
    assert_int_not_equal(step.effect, COMMAND_REFUSED);
    assert_true(command_may_turn(command, event));
    assert_true(command_turn_add(command, step.next, 1, "local", NULL));
    command->state = step.next;
}

static void command_that_was_paused_too_often_can_still_be_resumed_withdrawn_and_end(void **state)
{
    (void)state;
    struct command *command = make();
    while (command_may_turn(command, COMMAND_PAUSE)) {
        turn(command, COMMAND_PAUSE);
        turn(command, COMMAND_RESUME);
    }
    assert_true(command->turn_count >= COMMAND_TURNS_MAX - 4);
    assert_int_equal(command->state, COMMAND_STATE_RUNNING);
    turn(command, COMMAND_CANCEL);
    turn(command, COMMAND_NONE_SUCCEED);
    assert_true(command_ended(command->state));
    command_free(command);
}

/* A vehicle that its hub had not heard of is found later; where there is no memory for its place in
 * the lane's list it is looked for again, and nothing reads beyond the list meanwhile. */
static void command_s_lost_vehicle_is_found_once_there_is_memory_for_it(void **state)
{
    (void)state;
    struct command_lane *lane = calloc(1, sizeof *lane);
    struct command *command = make();
    assert_non_null(lane);
    lane->options.store = store_new();
    assert_non_null(lane->options.store);
    command->lost = VIDS;
    store_lock(lane->options.store);
    struct vehicle *other = store_vehicle(lane->options.store, "other", 5);
    struct vehicle *vehicle = store_vehicle(lane->options.store, vids[1], strlen(vids[1]));
    store_unlock(lane->options.store);
    assert_non_null(other);
    assert_non_null(vehicle);

    fault_arm(1, FAULT_FROM_THEN);
    command_find_lost(lane, command);
    assert_true(fault_disarm());
    assert_int_equal(command->deliveries[1].vehicle, DELIVERY_NO_VEHICLE);
    assert_int_equal(command->lost, VIDS);

    command_find_lost(lane, command);
    assert_int_equal(command->deliveries[1].vehicle, vehicle->index);
    assert_true(command->deliveries[1].listed);
    assert_ptr_equal(lane->vehicles[vehicle->index], &command->deliveries[1]);
    assert_null(lane->vehicles[other->index]);
    assert_int_equal(command->lost, VIDS - 1);
    command_find_lost(lane, command); /* and no second time */
    assert_int_equal(command->lost, VIDS - 1);
    assert_null(command->deliveries[1].next_of_vehicle);

    command_free(command);
    store_free(lane->options.store);
    free(lane->vehicles);
    free(lane);
}

static void command_ids_name_command_vehicle_and_repetition(void **state)
{
    (void)state;
    struct slice id, vid;
    uint32_t n = 99;
    assert_true(command_id_parse("c1.V-1", 6, &id, &vid, &n));
    assert_int_equal(id.size, 2);
    assert_memory_equal(vid.at, "V-1", 3);
    assert_int_equal(n, 0);
    assert_true(command_id_parse("c1.V-1.12", 9, &id, &vid, &n));
    assert_int_equal(vid.size, 3);
    assert_int_equal(n, 12);
    static const char *const wrong[] = {"",         "c1",       ".V-1",    "c1.",
                                        "c1..1",    "c1.V-1.",  "c1.V.0",  "c1.V.x",
                                        "c1.V 1",   "c1.V.1.2", "c1.V.-1", "c1.V.99999999999",
                                        "c1.stream"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(command_id_parse(wrong[i], strlen(wrong[i]), &id, &vid, &n));
}

static void command_ids_are_in_the_order_of_their_time(void **state)
{
    (void)state;
    char first[RECORD_ID_TEXT_BYTES], second[RECORD_ID_TEXT_BYTES];
    assert_true(command_id_make(1768473000000000122, first));
    assert_true(command_id_make(1768473000000000123, second));
    assert_true(strcmp(first, second) < 0);
    assert_true(command_id_make(1768473000000000123, first));
    assert_string_not_equal(first, second);
}

static void delivery_reasons_are_one_bounded_line(void **state)
{
    (void)state;
    char text[1024];
    memset(text, 'x', sizeof text);
    memcpy(text + COMMAND_REASON_MAX_BYTES - 1, "\xc3\xa4", 2);
    text[3] = '\n';
    char *reason = delivery_reason(text, sizeof text);
    assert_int_equal(strlen(reason), COMMAND_REASON_MAX_BYTES - 1);
    assert_int_equal(reason[3], ' ');
    free(reason);
    assert_null(delivery_reason("", 0));
}

/* ---- questions ---- */

static void ask_with_its_viewer_is_read_back_as_it_was(void **state)
{
    (void)state;
    const char *const vehicles[] = {"CUST-*"}, *const allow[] = {"state.*", "cmd.>"};
    const char *const deny[] = {"cmd.arm"};
    struct viewer_scope scopes[] = {{{true, vehicles, 1}, {false, NULL, 0}},
                                    {{true, NULL, 0}, {true, allow, 2}}};
    struct viewer viewer = {"desk", scopes, 2, {true, deny, 1}};
    struct command_ask ask = {.verb = VERB_CREATE,
                              .key = "k\"1",
                              .principal = "desk",
                              .request_id = "r",
                              .page_size = 7,
                              .since = 1768473000000000123u,
                              .viewer = &viewer,
                              .body = "{\"type\":\n\"rtl\"}",
                              .body_bytes = 15};
    struct buf text = BUF_INIT, again = BUF_INIT;
    command_ask_write(&text, &ask);
    struct command_asked *asked = command_ask_read(text.data, text.size_bytes);
    assert_non_null(asked);
    command_ask_write(&again, &asked->ask);
    assert_int_equal(text.size_bytes, again.size_bytes);
    assert_memory_equal(text.data, again.data, text.size_bytes);
    assert_true(viewer_sees_vehicle(asked->ask.viewer, "CUST-1"));
    assert_false(viewer_sees_vehicle(asked->ask.viewer, "OTHER"));
    assert_true(viewer_sees_part(asked->ask.viewer, "CUST-1", "cmd", "rtl", 3));
    assert_false(viewer_sees_part(asked->ask.viewer, "CUST-1", "cmd", "arm", 3));
    assert_false(viewer_sees_everything(asked->ask.viewer));
    command_asked_free(asked);
    buf_done(&text);
    buf_done(&again);
}

static void ask_without_a_viewer_or_a_name_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "\n",
        "{}\n",
        "{\"verb\":\"list\",\"principal\":\"a\",\"request_id\":\"r\"}\n",
        "{\"verb\":\"get\",\"principal\":\"a\",\"request_id\":\"r\",\"viewer\":{}}\n",
        "{\"verb\":\"list\",\"request_id\":\"r\",\"viewer\":{}}\n",
        "{\"verb\":\"dance\",\"principal\":\"a\",\"request_id\":\"r\",\"viewer\":{}}\n",
        "{\"verb\":\"list\",\"principal\":\"a\",\"request_id\":\"r\",\"viewer\":{}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_null(command_ask_read(texts[i], strlen(texts[i])));
}

static void answers_are_read_back_as_they_were(void **state)
{
    (void)state;
    struct command_answer answer, read;
    struct text_error error = {3, "there is no root", "state?"};
    struct buf text = BUF_INIT, again = BUF_INIT;
    command_answer_init(&answer);
    command_answer_init(&read);
    command_answer_text(&answer, PROBLEM_BAD_FILTER, "target.filter", &error);
    snprintf(answer.location, sizeof answer.location, "/v1/commands/x");
    buf_adds(&answer.next, "token");
    buf_adds(&answer.body, "{\"a\":\n1}");
    answer.change = 1768473000000000123u;
    command_answer_write(&text, &answer);
    assert_true(command_answer_read(text.data, text.size_bytes, &read));
    command_answer_write(&again, &read);
    assert_int_equal(text.size_bytes, again.size_bytes);
    assert_memory_equal(text.data, again.data, text.size_bytes);
    assert_int_equal(read.problem, PROBLEM_BAD_FILTER);
    command_answer_done(&answer);
    command_answer_done(&read);
    buf_done(&text);
    buf_done(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_finds_its_vehicles_and_no_others),
        cmocka_unit_test(command_spec_is_read_back_as_it_was),
        cmocka_unit_test(command_spec_of_anything_else_is_refused),
        cmocka_unit_test(command_targets_and_states_are_read_back_as_they_were),
        cmocka_unit_test(command_clone_shows_the_same_and_owns_it),
        cmocka_unit_test(command_that_was_paused_too_often_can_still_be_resumed_withdrawn_and_end),
        cmocka_unit_test(command_s_lost_vehicle_is_found_once_there_is_memory_for_it),
        cmocka_unit_test(command_ids_name_command_vehicle_and_repetition),
        cmocka_unit_test(command_ids_are_in_the_order_of_their_time),
        cmocka_unit_test(delivery_reasons_are_one_bounded_line),
        cmocka_unit_test(ask_with_its_viewer_is_read_back_as_it_was),
        cmocka_unit_test(ask_without_a_viewer_or_a_name_is_none),
        cmocka_unit_test(answers_are_read_back_as_they_were),
    };
    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
