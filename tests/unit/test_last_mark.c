/* last: the mark of TWIN_LAST, whose positions a restart begins from. */
#include "hub/last.h"

#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct doc_parser *parser;

static int make(void **state)
{
    (void)state;
    parser = doc_parser_new();
    return parser ? 0 : -1;
}

static int done(void **state)
{
    (void)state;
    doc_parser_free(parser);
    return 0;
}

static bool read_mark(const char *text, struct mark *mark)
{
    struct doc_ref entry;
    return parse_exact(parser, text, strlen(text), wide_limits, &entry) == DOC_OK &&
           last_read_mark(entry, mark);
}

static void last_mark_reads_back(void **state)
{
    (void)state;
    struct mark marks[] = {
        {.by = ""},
        {.by = "0123456789abcdef",
         .streams = {[STREAM_STATE] = {T0, 812, T0 + 1},
                     [STREAM_EVENTS] = {T0 + 3, INT64_MAX, T0 + 4 * NS_PER_MS},
                     [STREAM_ACK] = {1, 0, 0},
                     [STREAM_RECORD] = {T0, 5, 0},
                     [STREAM_SHADOW] = {T0, 6, T0 + 6},
                     [STREAM_ACCESS] = {T0, 7, T0 + 7}}},
    };
    memset(marks[0].by, 'f', sizeof marks[0].by - 1); /* as long as may be */
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        struct buf out = BUF_INIT;
        struct mark read;
        last_write_mark(&out, &marks[i]);
        assert_true(read_mark(buf_cstr(&out), &read));
        assert_string_equal(read.by, marks[i].by);
        for (int k = 0; k < STREAM_LABELS; k++) {
            assert_int_equal(read.streams[k].epoch_ns, marks[i].streams[k].epoch_ns);
            assert_int_equal(read.streams[k].seq, marks[i].streams[k].seq);
            assert_int_equal(read.streams[k].received_ns, marks[i].streams[k].received_ns);
        }
        buf_done(&out);
    }
}

static void last_mark_may_lack_streams_it_does_not_know(void **state)
{
    (void)state;
    struct mark mark;
    assert_true(read_mark("{\"by\":\"x\",\"streams\":{\"TWIN_STATE\":{\"seq\":5}}}", &mark));
    assert_string_equal(mark.by, "x");
    assert_int_equal(mark.streams[STREAM_STATE].seq, 5);
    assert_int_equal(mark.streams[STREAM_STATE].epoch_ns, 0);
    assert_int_equal(mark.streams[STREAM_EVENTS].seq, 0);
}

static void last_mark_of_a_longer_name_is_not_read(void **state)
{
    (void)state;
    struct mark mark;
    struct buf text = BUF_INIT;
    buf_addf(&text, "{\"by\":\"%0*d\",\"streams\":{}}", (int)sizeof mark.by - 1, 0);
    assert_true(read_mark(buf_cstr(&text), &mark));
    buf_reset(&text);
    buf_addf(&text, "{\"by\":\"%0*d\",\"streams\":{}}", (int)sizeof mark.by, 0);
    assert_false(read_mark(buf_cstr(&text), &mark));
    buf_done(&text);
}

static void last_mark_that_makes_no_sense_is_not_read(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "null",
        "{}",
        "{\"by\":\"x\"}",
        "{\"streams\":{}}",
        "{\"by\":null,\"streams\":{}}",
        "{\"by\":\"x\",\"streams\":[]}",
        "{\"by\":\"x\",\"streams\":{\"TWIN_STATE\":{\"seq\":-1}}}",
        "{\"by\":\"x\",\"streams\":{\"TWIN_STATE\":{\"seq\":\"1\"}}}",
        "{\"by\":\"x\",\"streams\":{\"TWIN_STATE\":{\"seq\":5},\"TWIN_ACK\":{\"epoch\":1}}}",
        "{\"by\":\"x\",\"streams\":{\"TWIN_STATE\":{\"seq\":5},\"TWIN_EVENTS\":{\"received\":[]}}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mark mark, before;
        memset(&mark, 0x5a, sizeof mark);
        before = mark;
        if (read_mark(bad[i], &mark))
            fail_msg("taken: %s", bad[i]);
        assert_memory_equal(&mark, &before, sizeof mark); /* written only on success */
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(last_mark_reads_back),
        TEST(last_mark_may_lack_streams_it_does_not_know),
        TEST(last_mark_of_a_longer_name_is_not_read),
        TEST(last_mark_that_makes_no_sense_is_not_read),
    };
    return cmocka_run_group_tests_name("last_mark", tests, NULL, NULL);
}
