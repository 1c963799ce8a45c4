/* record_parse: each member of a record that is of another sort is refused by name, and a member's
 * text is found however it is spelled. */
#include "hub/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID "\"id\":\"00112233445566778899aabbccddeeff\","
#define KIND "\"kind\":\"event\","
#define TYPE "\"type\":\"battery.low\","
#define DATA "\"data\":{}"

/* Why the text is no record; NULL where it is one. */
static const char *refusal(const char *text)
{
    struct doc_parser *parser = doc_parser_new();
    struct record record;
    const char *reason = NULL;
    assert_non_null(parser);
    bool read = record_parse(parser, text, strlen(text), &record, &reason);
    assert_int_equal(read, reason == NULL);
    doc_parser_free(parser);
    return reason;
}

static void each_member_of_another_sort_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"{" KIND TYPE DATA "}", "id or kind"},
        {"{\"id\":7," KIND TYPE DATA "}", "id or kind"},
        {"{\"id\":\"0011\"," KIND TYPE DATA "}", "id or kind"},
        {"{" ID TYPE DATA "}", "id or kind"},
        {"{" ID "\"kind\":[]," TYPE DATA "}", "id or kind"},
        {"{" ID "\"kind\":\"gossip\"," TYPE DATA "}", "id or kind"},
        {"{" ID KIND TYPE "\"vid\":7," DATA "}", "vid"},
        {"{" ID KIND TYPE "\"vid\":\"a b\"," DATA "}", "vid"},
        {"{" ID KIND DATA "}", "type"},
        {"{" ID KIND "\"type\":7," DATA "}", "type"},
        {"{" ID KIND "\"type\":\"a\\nb\"," DATA "}", "type"},
        {"{" ID KIND TYPE "\"severity\":7," DATA "}", "severity"},
        {"{" ID KIND TYPE "\"severity\":\"urgent\"," DATA "}", "severity"},
        {"{" ID KIND TYPE "\"actor\":{}," DATA "}", "actor"},
        {"{" ID KIND TYPE "\"request_id\":1," DATA "}", "request_id"},
        {"{" ID KIND TYPE "\"boot\":1," DATA "}", "boot or vehicle_seq"},
        {"{" ID KIND TYPE "\"vehicle_seq\":\"1\"," DATA "}", "boot or vehicle_seq"},
        {"{" ID KIND TYPE "\"vehicle_seq\":1.5," DATA "}", "boot or vehicle_seq"},
        {"{" ID KIND TYPE "\"vehicle_seq\":-1," DATA "}", "boot or vehicle_seq"},
        {"{" ID KIND TYPE "\"timestamp\":1," DATA "}", "timestamp or received"},
        {"{" ID KIND TYPE "\"received\":\"then\"," DATA "}", "timestamp or received"},
        {"{" ID KIND TYPE "\"stream\":1," DATA "}", "stream or stream_seq"},
        {"{" ID KIND TYPE "\"stream_seq\":true," DATA "}", "stream or stream_seq"},
        {"{" ID KIND TYPE "\"data\":[]}", "data"},
        {"[]", "no object"},
        {"{" ID KIND TYPE DATA "}", NULL},
        {"{" ID KIND TYPE "\"vid\":null,\"severity\":null,\"boot\":null," DATA "}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *reason = refusal(cases[i].text);
        if (!reason != !cases[i].reason || (reason && strcmp(reason, cases[i].reason) != 0))
            fail_msg("%s: %s", cases[i].text, reason ? reason : "is taken");
    }
}

static void a_text_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char text[1024], name[TYPE_MAX_BYTES + 2];
    memset(name, 'a', sizeof name);
    for (int more = 0; more < 2; more++) {
        name[TYPE_MAX_BYTES + more] = '\0';
        snprintf(text, sizeof text, "{" ID KIND "\"type\":\"%s\"," DATA "}", name);
        assert_int_equal(refusal(text) != NULL, more);
        name[TYPE_MAX_BYTES] = 'a';
    }
}

static void a_member_s_text_is_found_however_it_is_spelled(void **state)
{
    (void)state;
    static const struct {
        const char *text, *data;
    } cases[] = {
        {"{\"data\":1}", "1"},
        {" \t\r\n{ \t\r\n\"data\" : 12 }", "12"},
        {"{\"data\":12\t,\"b\":1}", "12"},
        {"{\"data\":12\n}", "12"},
        {"{\"data\":12\r}", "12"},
        {"{\"a\":[1,[2],{\"data\":3}],\"data\":[4]}", "[4]"},
        {"{\"a\":\"}\\\"{\",\"data\":{\"b\":\"]\"}}", "{\"b\":\"]\"}"},
        {"{\"\\u0064ata\":true}", "true"},
        {"{\"d\\u0061t\\u0061\":\"x\"}", "\"x\""},
        {"{\"\\u006Aata\":1,\"data\":2}", "2"},
        {"{\"\\u0164ata\":1,\"data\":2}", "2"},
        {"{\"\\u1064ata\":1,\"data\":2}", "2"},
        {"{\"\\nata\":1,\"data\":2}", "2"},
        {"{\"\\n\":1,\"data\":2}", "2"},
        {"{\"\\/abcde\":1,\"data\":2}", "2"},
        {"{\"\":1,\"dat\":2,\"dataa\":3,\"data\":4}", "4"},
        {"{\"dat\":1}", NULL},
        {"{}", NULL},
        {"[\"data\"]", NULL},
        {"", NULL},
        {"  ", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice found = {NULL, 0};
        bool has = record_member_text(cases[i].text, strlen(cases[i].text), "data", &found);
        assert_int_equal(has, cases[i].data != NULL);
        if (has && (found.size != strlen(cases[i].data) ||
                    memcmp(found.at, cases[i].data, found.size) != 0))
            fail_msg("%s: %.*s", cases[i].text, (int)found.size, found.at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_member_of_another_sort_is_refused_by_name),
        cmocka_unit_test(a_text_that_is_too_long_is_refused),
        cmocka_unit_test(a_member_s_text_is_found_however_it_is_spelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
