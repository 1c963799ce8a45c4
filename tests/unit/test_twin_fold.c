/* twin: whatever order messages come in, and however often, the newest of each type remains. */
#include "tests/unit/random.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { ROUNDS = 300, MESSAGES_MAX = 60, COPIES_MAX = 3, TYPES = 4 };
static const char *const types[TYPES] = {"position", "battery", "battery.cells", "mode"};

struct message {
    int type, number;
    char boot[8]; /* "": not given */
    int64_t seq, timestamp_ns;
};

struct trace {
    struct message messages[MESSAGES_MAX];
    int count;
    int last[TYPES]; /* number of each type's last message, -1 for none */
};

static struct message *add(struct trace *trace, struct random *random)
{
    struct message *message = &trace->messages[trace->count];
    *message = (struct message){.type = (int)random_below(random, TYPES), .number = trace->count};
    trace->last[message->type] = trace->count++;
    return message;
}

static void begin(struct trace *trace)
{
    trace->count = 0;
    for (int i = 0; i < TYPES; i++)
        trace->last[i] = -1;
}

/* Folds one message as the state lane does, and counts what became of it. */
static void fold(struct twin **twin, const struct message *message, int outcomes[3])
{
    char data[32];
    struct version version =
        version_of(message->boot[0] ? message->boot : NULL, message->seq, message->timestamp_ns);
    enum outcome outcome =
        version_judge(twin_state(*twin, slice_of(types[message->type])), &version);
    outcomes[outcome]++;
    if (outcome != OUTCOME_NEWER)
        return;
    snprintf(data, sizeof data, "{\"n\":%d}", message->number);
    assert_true(twin_take(twin, state_of(types[message->type], version, T0, data)));
}

static void assert_newest(const struct twin *twin, const struct trace *trace)
{
    for (int i = 0; i < TYPES; i++) {
        const struct state *found = twin_state(twin, slice_of(types[i]));
        int64_t number = -1;
        if (found)
            assert_true(doc_int(doc_getz(doc_root(found->data), "n"), &number));
        assert_int_equal(number, trace->last[i]);
        if (!found)
            continue;
        const struct message *last = &trace->messages[trace->last[i]];
        assert_int_equal(found->seq, last->seq);
        assert_int_equal(found->timestamp_ns, last->timestamp_ns);
        assert_int_equal(state_boot(found).size, strlen(last->boot));
    }
}

/* All messages, each one to three times, in the given order or a random one. */
static void assert_folds_to_the_newest(const struct trace *trace, struct random *random,
                                       bool shuffled)
{
    const struct message *order[MESSAGES_MAX * COPIES_MAX];
    int count = 0, outcomes[3] = {0};
    for (int i = 0; i < trace->count; i++)
        for (unsigned k = random_below(random, COPIES_MAX); k < COPIES_MAX; k++)
            order[count++] = &trace->messages[i];
    for (int i = count - 1; shuffled && i > 0; i--) {
        int k = (int)random_below(random, (unsigned)i + 1);
        const struct message *swap = order[i];
        order[i] = order[k];
        order[k] = swap;
    }
    struct twin *twin = twin_new("V1");
    assert_non_null(twin);
    for (int i = 0; i < count; i++)
        fold(&twin, order[i], outcomes);
    assert_newest(twin, trace);
    assert_int_equal(outcomes[OUTCOME_NEWER] + outcomes[OUTCOME_NOT_NEWER] + outcomes[OUTCOME_SAME],
                     count);
    if (!shuffled) { /* each message is newer once, its copies are duplicates */
        assert_int_equal(outcomes[OUTCOME_NEWER], trace->count);
        assert_int_equal(outcomes[OUTCOME_SAME], count - trace->count);
    }
    twin_destroy(twin);
}

static void assert_any_order(void (*make)(struct trace *trace, struct random *random),
                             const char *name)
{
    struct random random = random_seeded(name);
    struct trace trace;
    for (int round = 0; round < ROUNDS; round++) {
        begin(&trace);
        make(&trace, &random);
        assert_folds_to_the_newest(&trace, &random, false);
        for (int i = 0; i < 4; i++)
            assert_folds_to_the_newest(&trace, &random, true);
    }
}

/* The clock jumps as it likes: within a boot only the seq counts. */
static void one_boot(struct trace *trace, struct random *random)
{
    int64_t seq = (int64_t)random_below(random, 1000);
    int count = 1 + (int)random_below(random, MESSAGES_MAX);
    while (trace->count < count) {
        struct message *message = add(trace, random);
        memcpy(message->boot, "b7", 3);
        message->seq = seq += 1 + (int64_t)random_below(random, 3);
        message->timestamp_ns = T0 + (int64_t)random_below(random, 20) * NS_PER_S;
    }
}

/* Each boot lies later than the one before as a whole; its seq begins anew. */
static void several_boots(struct trace *trace, struct random *random)
{
    int boots = 1 + (int)random_below(random, 5);
    for (int boot = 0; boot < boots; boot++) {
        int64_t seq = (int64_t)random_below(random, 5);
        int count = 1 + (int)random_below(random, MESSAGES_MAX / 5 - 1);
        for (int i = 0; i < count; i++) {
            struct message *message = add(trace, random);
            message->boot[0] = (char)('z' - boot);
            message->seq = seq++;
            message->timestamp_ns =
                T0 + boot * 1000 * NS_PER_S + (int64_t)random_below(random, 999) * NS_PER_S;
        }
    }
}

/* Some messages name a boot, some a seq; the clock only goes forward. */
static void a_good_clock(struct trace *trace, struct random *random)
{
    int64_t timestamp_ns = T0, seq = 0;
    int count = 1 + (int)random_below(random, MESSAGES_MAX);
    while (trace->count < count) {
        struct message *message = add(trace, random);
        if (random_below(random, 2))
            memcpy(message->boot, "b7", 3);
        message->seq = random_below(random, 2) ? ++seq : SEQ_NONE;
        message->timestamp_ns = timestamp_ns += 1 + (int64_t)random_below(random, 3);
    }
}

/* No boot, and a clock of whole seconds: within one of them the seq decides. */
static void a_coarse_clock(struct trace *trace, struct random *random)
{
    int64_t timestamp_ns = T0, seq = 0;
    int count = 1 + (int)random_below(random, MESSAGES_MAX);
    while (trace->count < count) {
        struct message *message = add(trace, random);
        message->seq = seq++;
        message->timestamp_ns = timestamp_ns += (int64_t)random_below(random, 2) * NS_PER_S;
    }
}

static void fold_of_one_boot_is_the_same_in_any_order(void **state)
{
    (void)state;
    assert_any_order(one_boot, __func__);
}

static void fold_of_several_boots_is_the_same_in_any_order(void **state)
{
    (void)state;
    assert_any_order(several_boots, __func__);
}

static void fold_by_a_good_clock_is_the_same_in_any_order(void **state)
{
    (void)state;
    assert_any_order(a_good_clock, __func__);
}

static void fold_by_a_coarse_clock_is_the_same_in_any_order(void **state)
{
    (void)state;
    assert_any_order(a_coarse_clock, __func__);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fold_of_one_boot_is_the_same_in_any_order),
        cmocka_unit_test(fold_of_several_boots_is_the_same_in_any_order),
        cmocka_unit_test(fold_by_a_good_clock_is_the_same_in_any_order),
        cmocka_unit_test(fold_by_a_coarse_clock_is_the_same_in_any_order),
    };
    return cmocka_run_group_tests_name("twin_fold", tests, NULL, NULL);
}
