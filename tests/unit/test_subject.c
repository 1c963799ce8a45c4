/* envelope: the subjects of the contract's section 1, taken apart or refused. */
#include "twin/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define T16 "abcdefghijklmnop"
#define T64 T16 T16 "ABCDEFGHIJKLMNOP0123456789_-0123"

static bool parsed(const char *text, struct subject *subject)
{
    return subject_parse(text, strlen(text), subject);
}

static void assert_slice(struct slice slice, const char *text)
{
    assert_int_equal(slice.size, strlen(text));
    assert_memory_equal(slice.at, text, slice.size);
}

static void assert_subject(const char *text, const char *env, const char *vid,
                           enum category category, const char *type)
{
    struct subject subject;
    if (!parsed(text, &subject))
        fail_msg("refused: %s", text);
    assert_slice(subject.env, env);
    assert_slice(subject.vid, vid);
    assert_slice(subject.type, type);
    assert_int_equal(subject.category, category);
}

/* Refused, and `vid` (NULL: none) is known nevertheless. */
static void assert_refused(const char *text, const char *vid)
{
    struct subject subject;
    if (parsed(text, &subject))
        fail_msg("accepted: %s", text);
    if (!vid && subject.vid.at)
        fail_msg("a vehicle is known from %s", text);
    if (vid && !subject.vid.at)
        fail_msg("no vehicle is known from %s", text);
    if (vid)
        assert_slice(subject.vid, vid);
}

static void subject_of_every_category_is_taken_apart(void **state)
{
    (void)state;
    assert_subject("fleet.prod.veh.VID-001.state.position", "prod", "VID-001", CATEGORY_STATE,
                   "position");
    assert_subject("fleet.e_1.veh._.evt.battery.low", "e_1", "_", CATEGORY_EVENT, "battery.low");
    assert_subject("fleet.0.veh.-.cmd.mission.upload", "0", "-", CATEGORY_COMMAND,
                   "mission.upload");
    assert_subject("fleet.prod.veh.V.cmdack.rtl", "prod", "V", CATEGORY_ACK, "rtl");
}

static void subject_type_has_one_to_four_tokens(void **state)
{
    (void)state;
    assert_subject("fleet.p.veh.V.state.a.b.c.d", "p", "V", CATEGORY_STATE, "a.b.c.d");
    assert_refused("fleet.p.veh.V.state.a.b.c.d.e", "V");
    assert_refused("fleet.p.veh.V.state", "V");
}

static void subject_tokens_have_at_most_64_bytes(void **state)
{
    (void)state;
    assert_subject("fleet." T64 ".veh." T64 ".state." T64 "." T64 "." T64 "." T64, T64, T64,
                   CATEGORY_STATE, T64 "." T64 "." T64 "." T64);
    assert_int_equal(strlen(T64 "." T64 "." T64 "." T64), TYPE_MAX_BYTES);
    assert_refused("fleet." T64 "x.veh.V.state.a", "V");
    assert_refused("fleet.p.veh." T64 "x.state.a", NULL);
    assert_refused("fleet.p.veh.V.state." T64 "x", "V");
    assert_refused("fleet.p.veh.V.state.a.b.c." T64 "x", "V");
}

static void subject_stream_is_no_vehicle(void **state)
{
    (void)state;
    assert_refused("fleet.p.veh.stream.state.a", NULL);
    assert_subject("fleet.p.veh.Stream.state.a", "p", "Stream", CATEGORY_STATE, "a");
    assert_subject("fleet.p.veh.streams.state.a", "p", "streams", CATEGORY_STATE, "a");
    assert_subject("fleet.p.veh.strea.state.a", "p", "strea", CATEGORY_STATE, "a");
    assert_subject("fleet.stream.veh.V.state.stream", "stream", "V", CATEGORY_STATE, "stream");
}

static void subject_empty_tokens_are_refused(void **state)
{
    (void)state;
    assert_refused("", NULL);
    assert_refused(".", NULL);
    assert_refused(".....", NULL);
    assert_refused(".fleet.p.veh.V.state.a", NULL);
    assert_refused("fleet..veh.V.state.a", "V");
    assert_refused("fleet.p..veh.V.state.a", NULL);
    assert_refused("fleet.p.veh..state.a", NULL);
    assert_refused("fleet.p.veh.V..a", "V");
    assert_refused("fleet.p.veh.V..state.a", "V");
    assert_refused("fleet.p.veh.V.state.", "V");
    assert_refused("fleet.p.veh.V.state..a", "V");
    assert_refused("fleet.p.veh.V.state.a.", "V");
    assert_refused("fleet.p.veh.V.state.a..b", "V");
    assert_refused("fleet.p.veh.V.state.a.b.c.d.", "V");
}

static void subject_cut_short_is_refused(void **state)
{
    (void)state;
    assert_refused("fleet", NULL);
    assert_refused("fleet.", NULL);
    assert_refused("fleet.p", NULL);
    assert_refused("fleet.p.veh", NULL);
    assert_refused("fleet.p.veh.", NULL);
    assert_refused("fleet.p.veh.V", "V");
    assert_refused("fleet.p.veh.V.", "V");
    assert_refused("fleet.p.veh.V.st", "V");
    assert_refused("fleet.p.veh.V.state", "V");
}

static void subject_of_other_words_is_refused(void **state)
{
    (void)state;
    assert_refused("Fleet.p.veh.V.state.a", NULL);
    assert_refused("fleets.p.veh.V.state.a", NULL);
    assert_refused("fleet.p.vehicle.V.state.a", NULL);
    assert_refused("fleet.p.hub.r.archived", NULL);
    assert_refused("fleet.p.veh.V.states.a", "V");
    assert_refused("fleet.p.veh.V.STATE.a", "V");
    assert_refused("fleet.p.veh.V.event.a", "V");
    assert_refused("fleet.p.veh.V.cmdac.a", "V");
    assert_refused("$KV.TWIN_SHADOW.fleet/p/veh/V/desired", NULL);
}

static void subject_letters_are_ascii_letters_digits_underscore_and_dash(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        bool allowed = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-';
        char token[] = {'a', (char)c, 'b', '\0'};
        assert_int_equal(token_valid(token, 3), allowed);
        assert_int_equal(vid_valid(token, 3), allowed);
        if (c == '.')
            continue;
        char env[] = "fleet.aXb.veh.V.state.t", vid[] = "fleet.p.veh.aXb.state.t";
        char type[] = "fleet.p.veh.V.state.t.aXb";
        struct subject subject;
        *strchr(env, 'X') = *strchr(vid, 'X') = *strchr(type, 'X') = (char)c;
        assert_int_equal(parsed(env, &subject), allowed);
        assert_slice(subject.vid, "V");
        assert_int_equal(parsed(vid, &subject), allowed);
        assert_int_equal(subject.vid.at != NULL, allowed);
        assert_int_equal(parsed(type, &subject), allowed);
        assert_slice(subject.vid, "V");
    }
    assert_false(token_valid("a\0b", 3));
    assert_false(token_valid("", 0));
}

static void subject_is_read_within_its_size(void **state)
{
    (void)state;
    static const char text[] = "fleet.p.veh.V.state.position";
    for (size_t size = 0; size <= sizeof text - 1; size++) {
        char *exact = malloc(size ? size : 1);
        struct subject subject;
        assert_non_null(exact);
        memcpy(exact, text, size);
        /* from the first letter of the type on, it is a whole subject */
        assert_int_equal(subject_parse(exact, size, &subject),
                         size > strlen("fleet.p.veh.V.state."));
        free(exact);
    }
    struct subject subject;
    assert_false(
        subject_parse("fleet.p.veh.V.state.a\0", sizeof "fleet.p.veh.V.state.a", &subject));
}

static void envelope_of_a_bad_subject_still_names_the_vehicle(void **state)
{
    (void)state;
    struct doc_parser *parser = doc_parser_new();
    struct envelope envelope;
    assert_non_null(parser);
    assert_int_equal(envelope_parse(parser, "fleet.p.veh.V.nothing.a", "{}", 2, 100, &envelope),
                     REFUSAL_BAD_SUBJECT);
    assert_slice(envelope.subject.vid, "V");
    assert_int_equal(envelope_parse(parser, "fleet.p.veh.stream.state.a", "{}", 2, 100, &envelope),
                     REFUSAL_BAD_SUBJECT);
    assert_null(envelope.subject.vid.at);
    assert_int_equal(envelope_parse(parser, "fleet.p.veh.V.state.a", "{", 1, 100, &envelope),
                     REFUSAL_NOT_JSON);
    assert_slice(envelope.subject.vid, "V");
    doc_parser_free(parser);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(subject_of_every_category_is_taken_apart),
        cmocka_unit_test(subject_type_has_one_to_four_tokens),
        cmocka_unit_test(subject_tokens_have_at_most_64_bytes),
        cmocka_unit_test(subject_stream_is_no_vehicle),
        cmocka_unit_test(subject_empty_tokens_are_refused),
        cmocka_unit_test(subject_cut_short_is_refused),
        cmocka_unit_test(subject_of_other_words_is_refused),
        cmocka_unit_test(subject_letters_are_ascii_letters_digits_underscore_and_dash),
        cmocka_unit_test(subject_is_read_within_its_size),
        cmocka_unit_test(envelope_of_a_bad_subject_still_names_the_vehicle),
    };
    return cmocka_run_group_tests_name("subject", tests, NULL, NULL);
}
