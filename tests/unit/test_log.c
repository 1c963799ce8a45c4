/* Lines of the log: their shape, their escapes, their bound, one write each. */
#include "hub/log.h"
#include "twin/buf.h"
#include "twin/doc.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LINE_MAX_BYTES = 4096, WRITERS = 4, LINES_EACH = 300 };

/* Standard error goes to a pipe between capture_start and capture_end. */
struct capture {
    int saved, read_end;
};

static struct capture capture_start(void)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct capture capture = {.saved = dup(STDERR_FILENO), .read_end = ends[0]};
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
    return capture;
}

static void capture_end(struct capture *capture, struct buf *out)
{
    char bytes[4096];
    ssize_t got;
    dup2(capture->saved, STDERR_FILENO); /* closes the pipe's last writing end */
    close(capture->saved);
    while ((got = read(capture->read_end, bytes, sizeof bytes)) > 0)
        buf_add(out, bytes, (size_t)got);
    close(capture->read_end);
}

static struct doc_ref parse_line(struct doc_parser *parser, const char *line, size_t size)
{
    struct doc_ref root = {0};
    struct doc_limits limits = {.max_bytes = LINE_MAX_BYTES, .max_depth = 2};
    assert_int_equal(doc_parse(parser, line, size, limits, &root), DOC_OK);
    return root;
}

static void assert_member(struct doc_ref line, const char *name, const char *expected)
{
    size_t size;
    struct doc_ref value = doc_getz(line, name);
    assert_true(doc_is(value, DOC_STRING));
    const char *text = doc_string(value, &size);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(text, expected, size);
}

static void log_line_in_logfmt_quotes_only_what_needs_it(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    log_setup(LOG_INFO, false);
    struct capture capture = capture_start();
    log_warn("record.batch_failed", "stream", "TWIN_EVENTS", "seq", LOG_INT(-812), "error",
             "a \"b\"=c", "empty", "", "none", NULL);
    capture_end(&capture, &out);
    const char *line = buf_cstr(&out);
    assert_memory_equal(line, "ts=20", 5);
    assert_string_equal(strstr(line, " level="),
                        " level=warn event=record.batch_failed stream=TWIN_EVENTS seq=-812 "
                        "error=\"a \\\"b\\\"=c\" empty=\"\" none=null\n");
    buf_done(&out);
}

static void log_line_in_json_is_one_object_of_strings(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct doc_parser *parser = doc_parser_new();
    log_setup(LOG_INFO, true);
    struct capture capture = capture_start();
    log_error("hub.stopped", "why", "he said \"no\"\\", "n", LOG_INT(7), "none", NULL);
    capture_end(&capture, &out);
    struct doc_ref line = parse_line(parser, out.data, out.size_bytes);
    assert_int_equal(out.data[out.size_bytes - 1], '\n');
    assert_member(line, "level", "error");
    assert_member(line, "event", "hub.stopped");
    assert_member(line, "why", "he said \"no\"\\");
    assert_member(line, "n", "7");
    assert_true(doc_is(doc_getz(line, "none"), DOC_NULL));
    assert_int_equal(doc_members(line), 6);
    doc_parser_free(parser);
    buf_done(&out);
}

static void log_never_sends_control_bytes_or_bad_utf8(void **state)
{
    (void)state;
    static const char hostile[] = "\x1b[2J\n\r\t\x7f\xc2\x9b"
                                  "x\xff\xc0\xaf\xed\xa0\x80 \xc3\xa5";
    for (int json = 0; json < 2; json++) {
        struct buf out = BUF_INIT;
        log_setup(LOG_INFO, json);
        struct capture capture = capture_start();
        log_info("a.b", "text", hostile);
        capture_end(&capture, &out);
        assert_int_equal(out.data[out.size_bytes - 1], '\n');
        for (size_t i = 0; i + 1 < out.size_bytes; i++) {
            unsigned char byte = (unsigned char)out.data[i];
            assert_true(byte >= 0x20 && byte != 0x7f && byte != 0xff && byte != 0x9b);
        }
        assert_non_null(strstr(buf_cstr(&out), "\"\\u001b[2J\\n\\r\\t\\u007f\\u009bx\\ufffd"));
        assert_non_null(strstr(buf_cstr(&out), " \xc3\xa5\""));
        buf_done(&out);
    }
    log_setup(LOG_INFO, false);
}

static void log_line_too_long_is_cut_and_says_so(void **state)
{
    (void)state;
    char *value = malloc(3 * LINE_MAX_BYTES);
    struct doc_parser *parser = doc_parser_new();
    /* Every size around the bound, so that the cut falls on every part of a line. */
    for (size_t size = LINE_MAX_BYTES - 200; size < LINE_MAX_BYTES + 20; size++) {
        for (int json = 0; json < 2; json++) {
            struct buf out = BUF_INIT;
            memset(value, size % 2 ? '"' : 'x', size);
            value[size] = '\0';
            log_setup(LOG_INFO, json);
            struct capture capture = capture_start();
            log_info("a.b", "long", value, "next", "y");
            capture_end(&capture, &out);
            assert_true(out.size_bytes <= LINE_MAX_BYTES);
            assert_int_equal(out.data[out.size_bytes - 1], '\n');
            const char *end = json ? ",\"cut\":true}\n" : " cut=true\n";
            bool whole = strstr(buf_cstr(&out), json ? "\"next\":\"y\"" : " next=y") != NULL;
            bool cut = strstr(buf_cstr(&out), end) != NULL;
            assert_true(whole != cut);
            if (json)
                parse_line(parser, out.data, out.size_bytes);
            buf_done(&out);
        }
    }
    doc_parser_free(parser);
    free(value);
    log_setup(LOG_INFO, false);
}

/* Whatever the place at which a line is full: it is cut, says so, and stays one line in its form.
 */
static void log_line_is_whole_wherever_it_is_cut(void **state)
{
    (void)state;
    static char value[LINE_MAX_BYTES];
    static const char longer[] = "a value that is longer than what ends a line takes";
    for (int json = 0; json < 2; json++) {
        struct doc_parser *parser = doc_parser_new();
        int cut = 0, whole = 0;
        log_setup(LOG_INFO, json);
        for (size_t size = LINE_MAX_BYTES - 260; size < LINE_MAX_BYTES; size++) {
            struct buf out = BUF_INIT;
            memset(value, 'x', size);
            value[size] = '\0';
            struct capture capture = capture_start();
            log_info("a.b", "v", value, "name", "a=b", "more", longer, "last", "d");
            capture_end(&capture, &out);
            const char *line = buf_cstr(&out);
            assert_true(out.size_bytes <= LINE_MAX_BYTES);
            assert_ptr_equal(strchr(line, '\n'), line + out.size_bytes - 1);
            if (json)
                parse_line(parser, out.data, out.size_bytes - 1);
            bool says = strstr(line, json ? "\"cut\":true" : " cut=true") != NULL;
            bool all = strstr(line, json ? "\"last\":\"d\"" : " last=d") != NULL;
            assert_int_equal(says, !all);
            cut += says;
            whole += all;
            buf_done(&out);
        }
        assert_true(cut > 0 && whole > 0);
        doc_parser_free(parser);
    }
}

static void log_value_with_an_equals_sign_is_quoted(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    log_setup(LOG_INFO, false);
    struct capture capture = capture_start();
    log_info("a.b", "pair", "a=b");
    capture_end(&capture, &out);
    assert_non_null(strstr(buf_cstr(&out), " pair=\"a=b\"\n"));
    buf_done(&out);
}

static void log_below_the_level_writes_nothing(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    log_setup(LOG_WARN, false);
    struct capture capture = capture_start();
    log_debug("a.debug", "a", "b");
    log_info("a.info", "a", "b");
    log_warn("a.warn", "a", "b");
    log_setup(LOG_DEBUG, false);
    log_debug("b.debug", "a", "b");
    capture_end(&capture, &out);
    assert_null(strstr(buf_cstr(&out), "a.debug"));
    assert_null(strstr(buf_cstr(&out), "a.info"));
    assert_non_null(strstr(buf_cstr(&out), "level=warn event=a.warn"));
    assert_non_null(strstr(buf_cstr(&out), "level=debug event=b.debug"));
    log_setup(LOG_INFO, false);
    buf_done(&out);
}

static void *write_lines(void *name)
{
    for (int i = 0; i < LINES_EACH; i++)
        log_info("test.line", "writer", name, "filler",
                 "0123456789012345678901234567890123456789012345678901234567890123456789", "end",
                 "1");
    return NULL;
}

struct reading {
    int fd;
    struct buf out;
};

static void *read_all(void *closure)
{
    struct reading *reading = closure;
    char bytes[4096];
    ssize_t got;
    while ((got = read(reading->fd, bytes, sizeof bytes)) > 0)
        buf_add(&reading->out, bytes, (size_t)got);
    return NULL;
}

static void log_lines_of_several_threads_never_mix(void **state)
{
    (void)state;
    static char names[WRITERS][2] = {"a", "b", "c", "d"};
    pthread_t writers[WRITERS], reader;
    struct capture capture = capture_start();
    struct reading reading = {.fd = capture.read_end, .out = BUF_INIT};
    assert_int_equal(pthread_create(&reader, NULL, read_all, &reading), 0);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_lines, names[i]), 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    dup2(capture.saved, STDERR_FILENO);
    close(capture.saved);
    pthread_join(reader, NULL);
    close(capture.read_end);
    int lines = 0;
    buf_cstr(&reading.out); /* ends it with a NUL */
    char *rest = reading.out.data;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line; lines++) {
        assert_memory_equal(line, "ts=", 3);
        assert_null(strstr(line + 1, "ts=2"));
        assert_string_equal(line + strlen(line) - 6, " end=1");
    }
    assert_int_equal(lines, WRITERS * LINES_EACH);
    buf_done(&reading.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_line_in_logfmt_quotes_only_what_needs_it),
        cmocka_unit_test(log_line_in_json_is_one_object_of_strings),
        cmocka_unit_test(log_never_sends_control_bytes_or_bad_utf8),
        cmocka_unit_test(log_line_too_long_is_cut_and_says_so),
        cmocka_unit_test(log_line_is_whole_wherever_it_is_cut),
        cmocka_unit_test(log_value_with_an_equals_sign_is_quoted),
        cmocka_unit_test(log_below_the_level_writes_nothing),
        cmocka_unit_test(log_lines_of_several_threads_never_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
