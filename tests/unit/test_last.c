/* last: what is written of a twin into TWIN_LAST is what is read back, and garbage is nothing. */
#include "hub/last.h"

#include "tests/unit/fault.h"
#include "tests/unit/random.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { MUTATIONS = 15000 };

static struct doc_parser *parser;
static struct twin *twin;

static int make(void **state)
{
    (void)state;
    parser = doc_parser_new();
    twin = twin_new("V1");
    return parser && twin ? 0 : -1;
}

static int done(void **state)
{
    (void)state;
    doc_parser_free(parser);
    last_free_twin(twin);
    return 0;
}

static struct twin *read_text(const char *text, size_t size)
{
    struct doc_ref entry;
    if (parse_exact(parser, text, size, wide_limits, &entry) != DOC_OK)
        return NULL;
    return last_read_twin(entry, "V1");
}

static char *entry_of(const struct twin *of, size_t *size)
{
    struct buf out = BUF_INIT;
    last_write_twin(&out, of);
    char *text = buf_take(&out, size);
    assert_non_null(text);
    return text;
}

static void assert_same_state(const struct state *a, const struct state *b)
{
    struct slice type = state_type(a), boot = state_boot(a);
    assert_int_equal(state_type(b).size, type.size);
    assert_memory_equal(state_type(b).at, type.at, type.size);
    assert_int_equal(!state_boot(b).at, !boot.at);
    assert_int_equal(state_boot(b).size, boot.size);
    if (boot.at)
        assert_memory_equal(state_boot(b).at, boot.at, boot.size);
    assert_int_equal(b->seq, a->seq);
    assert_int_equal(b->timestamp_ns, a->timestamp_ns);
    assert_int_equal(b->received_ns, a->received_ns);
    assert_int_equal(b->stream_seq, a->stream_seq);
    assert_true(doc_equal(doc_root(a->data), doc_root(b->data)));
}

static void assert_reads_back(void)
{
    size_t size;
    char *text = entry_of(twin, &size);
    struct twin *read = read_text(text, size);
    assert_non_null(read);
    assert_string_equal(read->vid, "V1");
    assert_int_equal(read->registered, twin->registered);
    assert_int_equal(read->hidden, twin->hidden);
    assert_int_equal(read->registered_ns, twin->registered_ns);
    assert_int_equal(read->retired_ns, twin->retired_ns);
    assert_int_equal(read->presence.status, twin->presence.status);
    assert_int_equal(read->presence.last_seen_ns, twin->presence.last_seen_ns);
    assert_int_equal(read->presence.since_ns, twin->presence.since_ns);
    assert_int_equal(read->delta_since_ns, twin->delta_since_ns);
    assert_int_equal(read->state_count, twin->state_count);
    for (size_t i = 0; i < twin->state_count; i++)
        assert_same_state(twin->states[i], read->states[i]);
    free(text);
    last_free_twin(read);
}

static void add_state(const char *type, struct version version, const char *data)
{
    assert_true(twin_take(&twin, state_of(type, version, T0 + 4, data)));
}

static void fill(void)
{
    twin->registered = true;
    twin->presence = (struct presence){PRESENCE_STALE, T0 + 5, T0 + 6};
    twin->delta_since_ns = T0 - 7;
    add_state("position", version_of("b7", 12345, T0 + 1), "{\"lat\":59.9,\"n\":[1,{\"a\":null}]}");
    add_state("battery.cells", version_of(NULL, SEQ_NONE, T0 + 2 * NS_PER_MS), "{}");
    add_state("mode", version_of("", 0, T0), "{\"mode\":\"AUTO\"}");
}

/* ---- there and back ---- */

static void last_twin_of_which_nothing_is_known_reads_back(void **state)
{
    (void)state;
    assert_reads_back();
}

static void last_twin_reads_back_as_it_was(void **state)
{
    (void)state;
    fill();
    assert_reads_back();
    twin->registered_ns = T0 + 8;
    twin->retired_ns = T0 + 9;
    twin->hidden = true;
    assert_reads_back();
}

static void last_every_presence_reads_back(void **state)
{
    (void)state;
    for (int i = 0; i < PRESENCE_COUNT; i++) {
        twin->presence = (struct presence){(enum presence_status)i, T0 + i, T0 - i};
        assert_reads_back();
    }
}

static void last_extremes_read_back(void **state)
{
    (void)state;
    twin->presence = (struct presence){PRESENCE_ONLINE, TIMESTAMP_MAX, TIMESTAMP_MIN};
    twin->retired_ns = 0;
    add_state("a", version_of("b", INT64_MAX, TIMESTAMP_MAX), "{\"x\":1e308}");
    add_state("b", version_of("b", 0, TIMESTAMP_MIN), "{\"x\":18446744073709551617}");
    add_state("c", version_of(NULL, SEQ_NONE, TIMESTAMP_NONE), "{\"x\":-0.1e-300}");
    assert_reads_back();
}

static void last_any_boot_reads_back(void **state)
{
    (void)state;
    static const struct slice boots[] = {
        {"\"\\\n\x01\x7f", 5}, {"\0", 1}, {"a\0b", 3}, {"\303\251\360\237\232\201", 6}};
    struct doc *doc = doc_of("{\"\\u0000\":\"\\u0000\\ud83d\\ude81\"}");
    for (size_t i = 0; i < sizeof boots / sizeof *boots; i++) {
        struct version version = {boots[i], 1, T0};
        char type[8];
        snprintf(type, sizeof type, "t%zu", i);
        assert_true(twin_take(&twin, state_new(slice_of(type), &version, T0, 1, doc_root(doc))));
    }
    free(doc);
    assert_reads_back();
}

static void last_as_many_types_as_a_twin_may_have_read_back(void **state)
{
    (void)state;
    for (int i = 0; i < TWIN_STATES_MAX; i++) {
        char type[16];
        snprintf(type, sizeof type, "t%d", i);
        add_state(type, version_of("b", i, T0 + i), "{\"a\":1}");
    }
    assert_reads_back();
}

/* More than a twin keeps were never written; read, they obey the same bound. */
static void last_entry_with_too_many_types_keeps_those_received_last(void **state)
{
    (void)state;
    enum { TOO_MANY = TWIN_STATES_MAX + 20 };
    struct buf out = BUF_INIT;
    buf_adds(&out, "{\"presence\":{\"status\":\"online\"},\"states\":{");
    for (int i = 0; i < TOO_MANY; i++) {
        buf_addf(&out, "%s\"t%03d\":{\"received\":", i ? "," : "", i);
        buf_json_timestamp(&out, T0 - i);
        buf_adds(&out, ",\"data\":{}}");
    }
    buf_adds(&out, "}}");
    struct twin *read = read_text(out.data, out.size_bytes);
    assert_non_null(read);
    assert_int_equal(read->state_count, TWIN_STATES_MAX);
    assert_non_null(twin_state(read, slice_of("t255")));
    assert_null(twin_state(read, slice_of("t256")));
    last_free_twin(read);
    buf_done(&out);
}

/* Data as deep as an envelope may bring it fits into an entry. */
static void last_deepest_data_read_back(void **state)
{
    (void)state;
    char data[ENVELOPE_MAX_DEPTH * 6 + 1];
    size_t size = 0;
    for (int i = 1; i < ENVELOPE_MAX_DEPTH; i++, size += 5)
        memcpy(data + size, "{\"a\":", 5);
    memcpy(data + size, "{}", 2);
    size += 2;
    memset(data + size, '}', ENVELOPE_MAX_DEPTH - 1);
    data[size + ENVELOPE_MAX_DEPTH - 1] = '\0';
    add_state("deep", version_of("b", 1, T0), data);
    assert_reads_back();
}

/* What was folded goes on as it was: an older message stays older after a restart. */
static void last_states_judge_as_before(void **state)
{
    (void)state;
    fill();
    size_t size;
    char *text = entry_of(twin, &size);
    struct twin *read = read_text(text, size);
    assert_non_null(read);
    struct version same = version_of("b7", 12345, T0 + 1), older = version_of("b7", 12344, T0 + 9);
    struct version newer = version_of("b7", 12346, T0 - 9);
    const struct state *position = twin_state(read, slice_of("position"));
    assert_int_equal(version_judge(position, &same), OUTCOME_SAME);
    assert_int_equal(version_judge(position, &older), OUTCOME_NOT_NEWER);
    assert_int_equal(version_judge(position, &newer), OUTCOME_NEWER);
    free(text);
    last_free_twin(read);
}

/* ---- garbage ---- */

#define GOOD_PRESENCE                                                                              \
    "\"presence\":{\"status\":\"online\",\"last_seen\":\"2026-01-15T10:30:00Z\",\"since\":null}"
#define WITH_STATE(state) "{" GOOD_PRESENCE ",\"states\":{\"mode\":" state "}}"

static void last_entry_that_makes_no_sense_is_no_twin(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "null",
        "[]",
        "7",
        "\"x\"",
        "{}",
        "{\"states\":{}}",
        "{" GOOD_PRESENCE "}",
        "{" GOOD_PRESENCE ",\"states\":[]}",
        "{" GOOD_PRESENCE ",\"states\":null}",
        "{\"presence\":{},\"states\":{}}",
        "{\"presence\":\"online\",\"states\":{}}",
        "{\"presence\":{\"status\":\"\"},\"states\":{}}",
        "{\"presence\":{\"status\":\"onlin\"},\"states\":{}}",
        "{\"presence\":{\"status\":\"online \"},\"states\":{}}",
        "{\"presence\":{\"status\":1},\"states\":{}}",
        "{\"presence\":{\"status\":\"online\",\"last_seen\":5},\"states\":{}}",
        "{\"presence\":{\"status\":\"online\",\"last_seen\":\"\"},\"states\":{}}",
        "{\"presence\":{\"status\":\"online\",\"since\":\"yesterday\"},\"states\":{}}",
        "{" GOOD_PRESENCE ",\"states\":{},\"retired\":true}",
        "{" GOOD_PRESENCE ",\"states\":{},\"retired\":\"2026-13-01T00:00:00Z\"}",
        "{" GOOD_PRESENCE ",\"states\":{},\"delta_since\":{}}",
        WITH_STATE("null"),
        WITH_STATE("{}"),
        WITH_STATE("{\"data\":[]}"),
        WITH_STATE("{\"data\":null}"),
        WITH_STATE("{\"data\":{},\"seq\":-1}"),
        WITH_STATE("{\"data\":{},\"seq\":1.5}"),
        WITH_STATE("{\"data\":{},\"seq\":9223372036854775808}"),
        WITH_STATE("{\"data\":{},\"seq\":\"1\"}"),
        WITH_STATE("{\"data\":{},\"seq\":null}"),
        WITH_STATE("{\"data\":{},\"stream_seq\":-1}"),
        WITH_STATE("{\"data\":{},\"stream_seq\":[]}"),
        WITH_STATE("{\"data\":{},\"timestamp\":0}"),
        WITH_STATE("{\"data\":{},\"timestamp\":\"2026-01-15\"}"),
        WITH_STATE("{\"data\":{},\"received\":false}"),
        "{" GOOD_PRESENCE ",\"states\":{\"mode\":{\"data\":{}},\"position\":{\"data\":1}}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct twin *read = read_text(bad[i], strlen(bad[i]));
        if (read)
            fail_msg("taken: %s", bad[i]);
    }
    struct twin *read = read_text(WITH_STATE("{\"data\":{}}"), strlen(WITH_STATE("{\"data\":{}}")));
    assert_non_null(read); /* it is the rest that was wrong */
    assert_int_equal(read->state_count, 1);
    last_free_twin(read);
}

static void last_entry_that_is_not_there_is_no_twin(void **state)
{
    (void)state;
    assert_null(last_read_twin((struct doc_ref){NULL, NULL}, "V1"));
    last_free_twin(NULL);
}

static void mutate(struct random *random, char *text, size_t *size)
{
    static const char likely[] = "{}[]\",:0123456789-+.eEtfnul\\TZ ";
    unsigned edits = 1 + random_below(random, 3);
    while (edits-- > 0 && *size > 1) {
        size_t at = random_below(random, (unsigned)*size);
        switch (random_below(random, 4)) {
        case 0:
            text[at] = likely[random_below(random, sizeof likely - 1)];
            break;
        case 1:
            text[at] = (char)random_below(random, 256);
            break;
        case 2: /* a piece less */
            memmove(text + at, text + at + 1, *size - at - 1);
            *size -= 1;
            break;
        default: /* a piece twice, elsewhere */
            text[random_below(random, (unsigned)*size)] = text[at];
        }
    }
}

/* Whatever is taken is written as something that reads back the same: nothing half valid. */
static void last_mutated_entry_is_nothing_or_a_whole_twin(void **state)
{
    (void)state;
    struct random random = random_seeded(__func__);
    int taken = 0, parsed = 0;
    fill();
    size_t size;
    char *text = entry_of(twin, &size);
    for (int i = 0; i < MUTATIONS; i++) {
        char *mutant = malloc(size);
        assert_non_null(mutant);
        memcpy(mutant, text, size);
        size_t mutant_size = size, first_size, second_size;
        mutate(&random, mutant, &mutant_size);
        struct doc_ref entry;
        if (parse_exact(parser, mutant, mutant_size, wide_limits, &entry) == DOC_OK) {
            struct twin *read = last_read_twin(entry, "V1");
            parsed++;
            if (read) {
                char *first = entry_of(read, &first_size);
                struct twin *again = read_text(first, first_size);
                assert_non_null(again);
                char *second = entry_of(again, &second_size);
                assert_string_equal(first, second);
                free(first);
                free(second);
                last_free_twin(again);
                taken++;
            }
            last_free_twin(read);
        }
        free(mutant);
    }
    free(text);
    print_message("%d mutants: %d are JSON, %d are twins\n", MUTATIONS, parsed, taken);
    assert_true(taken > 0 && taken < parsed);
}

static bool read_good(void *context)
{
    struct twin *read = last_read_twin(doc_root((const struct doc *)context), "V1");
    last_free_twin(read);
    return read != NULL;
}

static void last_read_without_memory_is_no_twin_and_no_leak(void **state)
{
    (void)state;
    size_t size;
    fill();
    char *text = entry_of(twin, &size);
    struct doc *doc = doc_of_bytes(text, size);
    assert_non_null(doc);
    assert_true(fault_loop(read_good, doc) > 3);
    free(doc);
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(last_twin_of_which_nothing_is_known_reads_back),
        TEST(last_twin_reads_back_as_it_was),
        TEST(last_every_presence_reads_back),
        TEST(last_extremes_read_back),
        TEST(last_any_boot_reads_back),
        TEST(last_as_many_types_as_a_twin_may_have_read_back),
        TEST(last_entry_with_too_many_types_keeps_those_received_last),
        TEST(last_deepest_data_read_back),
        TEST(last_states_judge_as_before),
        TEST(last_entry_that_makes_no_sense_is_no_twin),
        TEST(last_entry_that_is_not_there_is_no_twin),
        TEST(last_mutated_entry_is_nothing_or_a_whole_twin),
        TEST(last_read_without_memory_is_no_twin_and_no_leak),
    };
    return cmocka_run_group_tests_name("last", tests, NULL, NULL);
}
